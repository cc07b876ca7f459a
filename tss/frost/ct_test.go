//go:build ct

package frost

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/vss"
)

// A statistical test of constant time after dudect (Reparaz, Balasch, Verbauwhede,
// DATE 2017): the time of an operation is measured with one fixed secret and with
// random ones, in random order, and Welch's t-test tells whether the two differ.
//
// What it can't say: that nothing leaks. It sees means of wall-clock time on this
// machine and with this compiler, no power, no caches shared with a neighbour, no
// speculation, and only the two classes of secrets that it compares. A |t| above
// 4.5 is a reason to look, above 10 a difference for sure; below, nothing was seen
// in so many measurements. The control has to be seen, else the machine is too
// noisy to see anything.
const (
	measurements = 100_000
	suspicious   = 4.5
	certain      = 10
)

// operation is what is measured: prepare makes the inputs of one measurement from a
// secret, run uses them.
type operation struct {
	name    string
	control bool // known to be variable-time
	repeat  int  // runs in one measurement, so that it lasts microseconds
	fixed   func() group.Scalar
	group   group.Group
	run     func(secret group.Scalar)
}

var sink any

func operations(t *testing.T) []operation {
	var out []operation
	for _, suite := range []*ciphersuite{&bip340, &ed25519SHA512} {
		g := suite.group
		small := func() group.Scalar { return g.Uint(1) }
		dense := func() group.Scalar { return g.Uint(1).Neg() }
		point := g.BaseMul(g.HashToScalar("ct"))
		lambda, c, rho := g.HashToScalar("l"), g.HashToScalar("c"), g.HashToScalar("r")
		d := deal(t, suite, 1, 2)
		tg := target{public: d.target.public, add: g.HashToScalar("tweak")}
		for class, fixed := range map[string]func() group.Scalar{"1": small, "-1": dense} {
			name := func(what string) string { return fmt.Sprintf("%s, %s, fixed secret %s", g, what, class) }
			out = append(out,
				operation{name("nonce commitment: base times nonce"), false, 1, fixed, g, func(s group.Scalar) { p := g.BaseMul(s); sink = &p }},
				operation{name("point times secret"), false, 1, fixed, g, func(s group.Scalar) { p := point.Mul(s); sink = &p }},
				operation{name("share: d + rho e + lambda c s'"), false, 40, fixed, g, func(s group.Scalar) {
					z := s.Add(rho.Mul(s)).Add(lambda.Mul(c).Mul(tg.share(s)))
					sink = &z
				}},
				operation{name("share of a polynomial"), false, 10, fixed, g, func(s group.Scalar) {
					f, err := vss.NewPolynomial(g, 3, fixedReader(s.Bytes()))
					if err != nil {
						panic(err)
					}
					z := f.Eval(7)
					sink = &z
				}},
				operation{name("nonce from randomness and share"), false, 4, fixed, g, func(s group.Scalar) {
					z := suite.scalar("nonce", make([]byte, 32), s.Bytes())
					sink = &z
				}},
			)
			if suite.xOnly {
				out = append(out, operation{name("nonce negated or not"), false, 100, fixed, g, func(s group.Scalar) { z := s.NegIf(1); sink = &z }})
			}
		}
		out = append(out, operation{fmt.Sprintf("%s, control: multi-scalar multiplication in variable time", g), true, 1, small, g, func(s group.Scalar) {
			p := g.VarTimeMultiMul(g.Zero(), []group.Scalar{s}, []group.Point{point})
			sink = &p
		}})
	}
	return out
}

type fixedReader []byte

func (r fixedReader) Read(p []byte) (int, error) {
	for n := 0; n < len(p); {
		n += copy(p[n:], r)
	}
	return len(p), nil
}

func TestConstantTime(t *testing.T) {
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for _, op := range operations(t) {
		n := measurements
		if op.repeat == 1 {
			n /= 4
		}
		tValue := welch(measure(rng, op, n))
		verdict := "nothing seen"
		switch {
		case op.control && tValue < certain:
			t.Errorf("the control isn't seen: this machine is too noisy to tell")
			verdict = "NOT SEEN"
		case op.control:
			verdict = "seen, as it must be"
		case tValue > certain:
			t.Errorf("%s depends on its secret", op.name)
			verdict = "LEAK"
		case tValue > suspicious:
			verdict = "suspicious, run again"
		}
		t.Logf("|t| = %7.2f  %-20s %s (%d measurements)", tValue, verdict, op.name, n)
	}
	t.Log("Nothing seen isn't nothing there: see the comment in ct_test.go for the limits.")
}

// measure returns the times of both classes.
func measure(rng *rand.Rand, op operation, n int) (fixed, random []float64) {
	var wide [48]byte
	for range n {
		isFixed := rng.IntN(2) == 0
		for i := range wide {
			wide[i] = byte(rng.Uint32())
		}
		secret := op.group.ReduceBig(wide[:]) // made for both classes alike
		if isFixed {
			secret = op.fixed()
		}
		begin := time.Now()
		for range op.repeat {
			op.run(secret)
		}
		d := float64(time.Since(begin))
		if isFixed {
			fixed = append(fixed, d)
		} else {
			random = append(random, d)
		}
	}
	return fixed, random
}

// welch is |t| of Welch's test over the lower nine tenths of all times, which leaves
// out interrupts and garbage collection.
func welch(a, b []float64) float64 {
	all := slices.Sorted(slices.Values(slices.Concat(a, b)))
	limit := all[len(all)*9/10]
	mean := func(v []float64) (m, variance, n float64) {
		for _, x := range v {
			if x <= limit {
				m += x
				n++
			}
		}
		m /= n
		for _, x := range v {
			if x <= limit {
				variance += (x - m) * (x - m)
			}
		}
		return m, variance / (n - 1), n
	}
	ma, va, na := mean(a)
	mb, vb, nb := mean(b)
	return math.Abs(ma-mb) / math.Sqrt(va/na+vb/nb)
}
