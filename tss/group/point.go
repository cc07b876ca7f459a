package group

import (
	"filippo.io/edwards25519"
	secp256k1 "gitlab.com/yawning/secp256k1-voi"
)

// Point is an element of a group, the identity included. The zero value is no
// point.
type Point struct {
	group Group
	k     secp256k1.Point
	e     edwards25519.Point
}

// Identity returns the neutral element.
func (g Group) Identity() Point {
	p := Point{group: g}
	if g == Secp256k1 {
		p.k.Identity()
	} else {
		p.e.Set(edwards25519.NewIdentityPoint())
	}
	return p
}

// Generator returns the base point.
func (g Group) Generator() Point {
	p := Point{group: g}
	if g == Secp256k1 {
		p.k.Generator()
	} else {
		p.e.Set(edwards25519.NewGeneratorPoint())
	}
	return p
}

// BaseMul returns s times the base point, in constant time.
func (g Group) BaseMul(s Scalar) Point {
	same(g, s.group)
	p := Point{group: g}
	if g == Secp256k1 {
		p.k.ScalarBaseMult(&s.k)
	} else {
		p.e.ScalarBaseMult(&s.e)
	}
	return p
}

// DecodePoint reads a point that somebody sent: the canonical encoding of an
// element of the prime-order subgroup other than the identity, or ErrPoint.
func (g Group) DecodePoint(b []byte) (Point, error) {
	p := Point{group: g}
	switch {
	case g == Secp256k1 && len(b) == 33:
		if _, err := p.k.SetCompressedBytes(b); err != nil || p.k.IsIdentity() == 1 {
			return Point{}, ErrPoint
		}
	case g == Edwards25519 && len(b) == 32:
		// SetBytes takes y = p .. p+18 too, and x = 0 with its sign set, which is the
		// identity or of order 2.
		if _, err := p.e.SetBytes(b); err != nil || !belowFieldOrder(b) {
			return Point{}, ErrPoint
		}
		if p.IsIdentity() || !inPrimeSubgroup(&p.e) {
			return Point{}, ErrPoint
		}
	default:
		return Point{}, ErrPoint
	}
	return p, nil
}

// belowFieldOrder reports whether y of an encoded point is below p = 2^255 - 19.
func belowFieldOrder(b []byte) bool {
	for i := 30; i > 0; i-- {
		if b[i] != 0xff {
			return true
		}
	}
	return b[31]&0x7f != 0x7f || b[0] < 0xed
}

// Group returns the group that the point belongs to.
func (p Point) Group() Group { return p.group }

// Bytes returns the encoding, PointSize bytes. The identity of secp256k1 has
// none and becomes zero bytes, which no decoder accepts.
func (p Point) Bytes() []byte { return p.AppendBytes(nil) }

// AppendBytes appends the encoding to b.
func (p Point) AppendBytes(b []byte) []byte {
	switch {
	case p.group == Edwards25519:
		return append(b, p.e.Bytes()...)
	case p.IsIdentity():
		return append(b, make([]byte, 33)...)
	}
	return append(b, p.k.CompressedBytes()...)
}

// Add returns p + o.
func (p Point) Add(o Point) Point {
	same(p.group, o.group)
	if p.group == Secp256k1 {
		p.k.Add(&p.k, &o.k)
	} else {
		p.e.Add(&p.e, &o.e)
	}
	return p
}

// Neg returns -p.
func (p Point) Neg() Point {
	if p.group == Secp256k1 {
		p.k.Negate(&p.k)
	} else {
		p.e.Negate(&p.e)
	}
	return p
}

// Sub returns p - o.
func (p Point) Sub(o Point) Point { return p.Add(o.Neg()) }

// Mul returns s * p, in constant time.
func (p Point) Mul(s Scalar) Point {
	same(p.group, s.group)
	if p.group == Secp256k1 {
		p.k.ScalarMult(&s.k, &p.k)
	} else {
		p.e.ScalarMult(&s.e, &p.e)
	}
	return p
}

// Equal reports whether p = o.
func (p Point) Equal(o Point) bool {
	if p.group != o.group {
		return false
	}
	if p.group == Secp256k1 {
		return p.k.Equal(&o.k) == 1
	}
	return p.e.Equal(&o.e) == 1
}

// IsIdentity reports whether p is the neutral element.
func (p Point) IsIdentity() bool {
	if p.group == Secp256k1 {
		return p.k.IsIdentity() == 1
	}
	return p.e.Equal(edwards25519.NewIdentityPoint()) == 1
}

// OddY returns 1 where the affine y of a secp256k1 point is odd, else 0
// (BIP-340).
func (p Point) OddY() uint64 {
	same(p.group, Secp256k1)
	return p.k.IsYOdd()
}

// XOnly returns the 32-byte x coordinate of a secp256k1 point (BIP-340).
func (p Point) XOnly() []byte {
	same(p.group, Secp256k1)
	return p.Bytes()[1:]
}
