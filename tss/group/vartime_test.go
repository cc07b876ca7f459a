package group

import (
	"encoding/hex"
	"testing"

	"filippo.io/edwards25519"
)

// The subgroup check agrees with multiplying by the order, on the eight cosets of the
// subgroup, in every representation of a point.
func TestPrimeSubgroup(t *testing.T) {
	t.Parallel()
	last := Edwards25519.Uint(1).Neg() // L - 1
	generator, err := hex.DecodeString("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
	if err != nil {
		t.Fatal(err)
	}
	torsion, err := edwards25519.NewIdentityPoint().SetBytes(generator) // of order 8
	if err != nil {
		t.Fatal(err)
	}
	in := 0
	for i := range 2000 {
		s := Edwards25519.HashToScalar("subgroup", []byte{byte(i), byte(i >> 8)})
		p := edwards25519.NewIdentityPoint().ScalarBaseMult(&s.e)
		if i == 0 {
			p = edwards25519.NewIdentityPoint()
		}
		for k := range 8 {
			want := edwards25519.NewIdentityPoint().ScalarMult(&last.e, p)
			isIn := want.Add(want, p).Equal(edwards25519.NewIdentityPoint()) == 1
			if isIn != (k == 0) {
				t.Fatalf("coset %d of point %d: by multiplication %v", k, i, isIn)
			}
			affine, err := edwards25519.NewIdentityPoint().SetBytes(p.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if inPrimeSubgroup(p) != isIn || inPrimeSubgroup(affine) != isIn {
				t.Fatalf("coset %d of point %d (%x): %v %v, want %v", k, i, p.Bytes(), inPrimeSubgroup(p), inPrimeSubgroup(affine), isIn)
			}
			if isIn {
				in++
			}
			p.Add(p, torsion)
		}
	}
	if in != 2000 {
		t.Errorf("%d points in the subgroup", in)
	}
}
