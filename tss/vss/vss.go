// Package vss is Feldman's verifiable secret sharing (FOCS 1987) over the groups
// of package group: polynomials, commitments to them, and Lagrange coefficients.
// Start from NewPolynomial. It sends nothing and keeps nothing.
package vss

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cofferhq/coffer/tss/group"
)

// Polynomial is a secret polynomial f(X) = a_0 + a_1 X + ... of t coefficients.
type Polynomial struct {
	coefficients []group.Scalar
}

// NewPolynomial draws a polynomial of t random coefficients, none of them 0,
// from r. Any t of its values determine it, fewer say nothing of f(0).
func NewPolynomial(g group.Group, t int, r io.Reader) (*Polynomial, error) {
	p := &Polynomial{coefficients: make([]group.Scalar, t)}
	for k := range p.coefficients {
		a, err := g.Random(r)
		if err != nil {
			return nil, err
		}
		p.coefficients[k] = a
	}
	return p, nil
}

// Coefficients returns the secret coefficients a_0 .. a_{t-1}, not a copy.
func (p *Polynomial) Coefficients() []group.Scalar { return p.coefficients }

// Eval returns f(x), the share of id x, in time that depends on t alone.
func (p *Polynomial) Eval(x uint16) group.Scalar {
	last := len(p.coefficients) - 1
	at := p.coefficients[last].Group().Uint(uint64(x))
	acc := p.coefficients[last]
	for k := last - 1; k >= 0; k-- {
		acc = acc.Mul(at).Add(p.coefficients[k])
	}
	return acc
}

// Commit returns the commitment (a_0 G, .., a_{t-1} G).
func (p *Polynomial) Commit() Commitment {
	c := make(Commitment, len(p.coefficients))
	for k, a := range p.coefficients {
		c[k] = a.Group().BaseMul(a)
	}
	return c
}

// Format redacts under every verb.
func (p *Polynomial) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[polynomial]") }

// Clear overwrites the coefficients.
func (p *Polynomial) Clear() {
	for k := range p.coefficients {
		p.coefficients[k].Clear()
	}
}

// Commitment is the public image of a polynomial, A_k = a_k G.
type Commitment []group.Point

// Eval returns f(x) G, the public share of id x. It is public arithmetic.
func (c Commitment) Eval(x uint16) group.Point {
	acc := c[len(c)-1]
	for k := len(c) - 2; k >= 0; k-- {
		acc = acc.VarTimeMulUint(x).Add(c[k])
	}
	return acc
}

// Bytes returns the concatenated encodings.
func (c Commitment) Bytes() []byte {
	if len(c) == 0 {
		return nil
	}
	b := make([]byte, 0, len(c)*c[0].Group().PointSize())
	for _, p := range c {
		b = p.AppendBytes(b)
	}
	return b
}

// Sum returns the commitment to the sum of the polynomials; all have t points.
func Sum(cs []Commitment) Commitment {
	sum := append(Commitment{}, cs[0]...)
	for _, c := range cs[1:] {
		for k := range sum {
			sum[k] = sum[k].Add(c[k])
		}
	}
	return sum
}

// ErrIDs says that a set of ids can't be interpolated over.
var ErrIDs = errors.New("ids are not distinct, or one is 0, or the wanted one is not among them")

// Lagrange returns the coefficient of id x for interpolation at 0 over the ids
// of s: the product of y/(y-x) over all other y. An id of 0, a repeated id and an
// x outside s give ErrIDs.
func Lagrange(g group.Group, x uint16, s []uint16) (group.Scalar, error) {
	num, den := g.Uint(1), g.Uint(1)
	at := g.Uint(uint64(x))
	found := false
	for i, y := range s {
		if y == 0 || slices.Contains(s[:i], y) {
			return group.Scalar{}, ErrIDs
		}
		if y == x {
			found = true
			continue
		}
		v := g.Uint(uint64(y))
		num, den = num.Mul(v), den.Mul(v.Sub(at))
	}
	if !found {
		return group.Scalar{}, ErrIDs
	}
	return num.Mul(den.Invert()), nil
}
