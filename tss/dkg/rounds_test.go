package dkg_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/dkg"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/tsstest"
)

// interesting are the values of FAULTS C3 for a 32-byte field or a point.
func interesting(g group.Group) [][]byte {
	order := g.Uint(1).Neg().Bytes() // q - 1
	q, q1 := slices.Clone(order), slices.Clone(order)
	last := 31
	if g == group.Edwards25519 {
		last = 0
	}
	q[last]++
	q1[last] += 2
	one := slices.Repeat([]byte{0}, 32)
	one[0] = 1
	return [][]byte{
		make([]byte, 33), make([]byte, 32), one, order, q, q1, slices.Repeat([]byte{0xff}, 33),
		g.Generator().Bytes(), g.Generator().Neg().Bytes(),
		append([]byte{2}, make([]byte, 32)...), append([]byte{4}, g.Generator().Bytes()...),
		{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
	}
}

// mutate changes b somehow, never into itself.
func mutate(rng *rand.Rand, b []byte, values [][]byte) []byte {
	for {
		c := slices.Clone(b)
		switch at := rng.IntN(len(c)); rng.IntN(7) {
		case 0, 1:
			c[at] ^= 1 << rng.IntN(8)
		case 2:
			c = c[:at]
		case 3:
			c = append(c, byte(at))
		case 4:
			copy(c[at:], values[rng.IntN(len(values))])
		case 5: // at a field's border
			copy(c[at/32*32:], values[rng.IntN(len(values))])
		case 6: // a part of it twice
			copy(c[at:], c)
		}
		if !bytes.Equal(c, b) {
			return c
		}
	}
}

// FAULTS C3, attack A58: 50,000 mutations of what a dealer sends, each convicting
// it and none causing a panic.
func TestMutations(t *testing.T) {
	t.Parallel()
	n := 12_500
	if testing.Short() {
		n = 500
	}
	for _, suite := range []tss.Suite{tss.SuiteBIP340, tss.SuiteEd25519} {
		for _, part := range []string{"with its commitment", "without"} {
			t.Run(suite.String()+" "+part, func(t *testing.T) {
				t.Parallel()
				rng := rand.New(rand.NewPCG(1, 2))
				st := dkg.Setting{Suite: suite, Session: hash.Sum("s"), Threshold: 2}
				d, err := dkg.Deal(st, 3, tsstest.Reader(1, "deal", 0))
				if err != nil {
					t.Fatal(err)
				}
				ids := []uint16{1, 5}
				c, reveal, shares := d.Commit(), d.Reveal(), d.Share(ids)
				if err := st.CheckMember(3, c[:], reveal, shares, ids); err != nil {
					t.Fatal(err)
				}
				values := interesting(suite.Group())
				for range n {
					commitment, r, s := c[:], reveal, shares
					if part == "without" {
						commitment = nil
					}
					switch rng.IntN(3) {
					case 0:
						s = mutate(rng, s, values)
					case 1:
						r = mutate(rng, r, values)
					case 2:
						if commitment != nil {
							commitment = mutate(rng, commitment, values)
						} else {
							r, s = mutate(rng, r, values), mutate(rng, s, values)
						}
					}
					// Without the commitment, the chain code part and the opening
					// aren't covered by anything.
					open := len(reveal) - 64
					if commitment == nil && len(r) == len(reveal) && bytes.Equal(r[:open], reveal[:open]) && bytes.Equal(s, shares) {
						continue
					}
					var v *tss.Verdict
					if err := st.CheckMember(3, commitment, r, s, ids); !errors.As(err, &v) {
						t.Fatalf("error is %v for\n%x\n%x\n%x", err, commitment, r, s)
					}
				}
			})
		}
	}
}

// Attack A9: equal contents under two openings give different commitments.
func TestCommitmentHides(t *testing.T) {
	t.Parallel()
	st := dkg.Setting{Suite: tss.SuiteEd25519, Session: hash.Sum("s"), Threshold: 2}
	sum := func(reveal []byte) hash.Digest {
		k, z := 2*32, 4*32
		return hash.Sum("dkg/com", st.Session[:], hash.U16(1), reveal[:k], reveal[k:z], reveal[z:z+64], reveal[z+64:z+96], reveal[z+96:])
	}
	d, err := dkg.Deal(st, 1, tsstest.Reader(1, "deal", 0))
	if err != nil {
		t.Fatal(err)
	}
	if sum(d.Reveal()) != d.Commit() {
		t.Fatal("the commitment isn't the hash of the reveal's fields")
	}
	other := slices.Clone(d.Reveal())
	other[len(other)-1] ^= 1
	if sum(other) == d.Commit() {
		t.Error("the opening doesn't enter the commitment")
	}
	var v *tss.Verdict
	c := d.Commit()
	if err := st.Opens(1, c[:], other); !errors.As(err, &v) {
		t.Errorf("another opening opens: %v", err)
	}
	if err := st.Opens(2, c[:], d.Reveal()); !errors.As(err, &v) {
		t.Errorf("another member's commitment opens: %v", err)
	}
}

func FuzzCheckMember(f *testing.F) {
	st := dkg.Setting{Suite: tss.SuiteEd25519, Session: hash.Sum("s"), Threshold: 2}
	d, err := dkg.Deal(st, 1, tsstest.Reader(1, "deal", 0))
	if err != nil {
		f.Fatal(err)
	}
	c := d.Commit()
	f.Add(c[:], d.Reveal(), d.Share([]uint16{1}))
	f.Fuzz(func(t *testing.T, commitment, reveal, shares []byte) {
		err := st.CheckMember(1, commitment, reveal, shares, []uint16{1})
		if err == nil && len(reveal) > 0 && !bytes.Equal(reveal, d.Reveal()) {
			t.Errorf("accepted %x", reveal)
		}
	})
}

func FuzzDecodeCertificate(f *testing.F) {
	f.Add((&dkg.Certificate{}).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := dkg.DecodeCertificate(b)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Bytes(), b) {
			t.Errorf("%x isn't canonical", b)
		}
		if _, err := c.Key(nil, 2); err == nil {
			t.Error("a certificate for nobody")
		}
	})
}
