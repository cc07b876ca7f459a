package vss_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/vss"
)

type stream struct{ n uint64 }

func (s *stream) Read(p []byte) (int, error) {
	s.n++
	return copy(p, hash.Expand("vss/test", len(p), hash.U64(s.n))), nil
}

// Any t values give the secret, in the field and in the exponent; every value fits
// the commitment; t-1 values give another secret.
func TestSharing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := rapid.SampledFrom([]group.Group{group.Secp256k1, group.Edwards25519}).Draw(t, "group")
		threshold := rapid.IntRange(2, 6).Draw(t, "t")
		ids := rapid.SliceOfNDistinct(rapid.Uint16Range(1, 65535), threshold, threshold+3, rapid.ID).Draw(t, "ids")
		f, err := vss.NewPolynomial(g, threshold, &stream{rapid.Uint64().Draw(t, "seed")})
		if err != nil {
			t.Fatal(err)
		}
		c := f.Commit()
		reconstruct := func(ids []uint16) (group.Scalar, group.Point) {
			sum, point := g.Zero(), g.Identity()
			for _, x := range ids {
				l, err := vss.Lagrange(g, x, ids)
				if err != nil {
					t.Fatal(err)
				}
				if !g.BaseMul(f.Eval(x)).Equal(c.Eval(x)) {
					t.Fatalf("share of %d doesn't fit its commitment", x)
				}
				sum = sum.Add(l.Mul(f.Eval(x)))
				point = point.Add(c.Eval(x).Mul(l))
			}
			return sum, point
		}
		secret, public := reconstruct(ids)
		if !secret.Equal(f.Coefficients()[0]) || !public.Equal(c[0]) {
			t.Fatal("values don't interpolate to the secret")
		}
		if few, _ := reconstruct(ids[:threshold-1]); few.Equal(secret) {
			t.Fatal("t-1 values give the secret")
		}
		if sum := vss.Sum([]vss.Commitment{c, c}); !sum.Eval(ids[0]).Equal(c.Eval(ids[0]).Add(c.Eval(ids[0]))) {
			t.Fatal("sum of commitments")
		}
		f.Clear()
		if !f.Eval(ids[0]).IsZero() {
			t.Fatal("Clear leaves the polynomial")
		}
	})
}

// Attacks A1 and A2: id 0, repeated ids, and an id that isn't among them.
func TestLagrangeRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		x   uint16
		ids []uint16
	}{
		{0, []uint16{0, 1, 2}},
		{1, []uint16{0, 1, 2}},
		{1, []uint16{1, 1, 2}},
		{1, []uint16{1, 2, 2}},
		{1, []uint16{1, 2, 1}},
		{3, []uint16{1, 2}},
		{1, nil},
	} {
		for _, g := range []group.Group{group.Secp256k1, group.Edwards25519} {
			if _, err := vss.Lagrange(g, c.x, c.ids); !errors.Is(err, vss.ErrIDs) {
				t.Errorf("Lagrange(%d, %v): %v", c.x, c.ids, err)
			}
		}
	}
}

func TestCommitmentBytes(t *testing.T) {
	t.Parallel()
	f, err := vss.NewPolynomial(group.Secp256k1, 3, &stream{1})
	if err != nil {
		t.Fatal(err)
	}
	c := f.Commit()
	if len(c.Bytes()) != 3*33 || vss.Commitment(nil).Bytes() != nil {
		t.Error("length of the encoding")
	}
}
