// Package group provides the two prime-order groups of the signature schemes,
// secp256k1 and edwards25519, behind one pair of value types: Scalar and Point.
//
// Start from a Group. Arithmetic on Scalars, BaseMul and Point.Mul run in
// constant time; only the functions in vartime.go, whose names say so, do not,
// and they are for public values. Decoding follows the rules of
// docs/spec/01-notation.md §3: one canonical encoding per value, no identity, no
// point outside the prime-order subgroup.
//
// Mixing values of different groups is a mistake of the programmer and panics;
// no input can cause it.
package group

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/edwards25519"
	secp256k1 "gitlab.com/yawning/secp256k1-voi"

	"github.com/cofferhq/coffer/tss/hash"
)

// Group names one of the groups. The zero value is none.
type Group uint8

// The groups.
const (
	Secp256k1    Group = 1 // SEC 2 v2 §2.4.1
	Edwards25519 Group = 2 // RFC 8032 §5.1, its subgroup of order L
)

// ScalarSize is the length of an encoded scalar in both groups.
const ScalarSize = 32

// wideSize bytes reduced modulo the order are within 2^-128 of uniform.
const wideSize = 48

// Errors of decoding. They carry no part of the input.
var (
	ErrScalar = errors.New("scalar is not 32 bytes below the group order")
	ErrPoint  = errors.New("point is not the canonical encoding of a group element other than the identity")
)

// String returns the curve's name.
func (g Group) String() string {
	switch g {
	case Secp256k1:
		return "secp256k1"
	case Edwards25519:
		return "edwards25519"
	}
	return fmt.Sprintf("group(%d)", uint8(g))
}

// PointSize is the length of an encoded point: 33 bytes of compressed SEC 1 for
// secp256k1, 32 of RFC 8032 for edwards25519.
func (g Group) PointSize() int {
	if g == Secp256k1 {
		return 33
	}
	return 32
}

// Scalar is an integer modulo the group order. Scalars are often secret: they
// print as a redaction and have no JSON form. Use Bytes to encode one.
type Scalar struct {
	group Group
	k     secp256k1.Scalar
	e     edwards25519.Scalar
}

// Zero returns 0.
func (g Group) Zero() Scalar { return Scalar{group: g} }

// Uint returns v as a scalar.
func (g Group) Uint(v uint64) Scalar {
	var b [8]byte
	for i := range b {
		b[7-i] = byte(v >> (8 * i))
	}
	return g.ReduceBig(b[:])
}

// ReduceBig returns the big-endian integer b, at most 64 bytes, modulo the
// order, in constant time for a given length.
func (g Group) ReduceBig(b []byte) Scalar {
	var wide [64]byte
	copy(wide[64-len(b):], b)
	s := Scalar{group: g}
	switch g {
	case Secp256k1:
		var hi, lo secp256k1.Scalar
		hi.SetBytes((*[32]byte)(wide[:32]))
		lo.SetBytes((*[32]byte)(wide[32:]))
		s.k.Add(hi.Multiply(&hi, &twoTo256), &lo)
	case Edwards25519:
		slices.Reverse(wide[:])
		if _, err := s.e.SetUniformBytes(wide[:]); err != nil {
			panic(err) // 64 bytes always fit
		}
	}
	clear(wide[:])
	return s
}

// ReduceLittle is ReduceBig for a little-endian integer.
func (g Group) ReduceLittle(b []byte) Scalar {
	var wide [64]byte
	n := copy(wide[:], b)
	slices.Reverse(wide[:n])
	s := g.ReduceBig(wide[:n])
	clear(wide[:])
	return s
}

var twoTo256 = func() secp256k1.Scalar {
	s := secp256k1.NewScalarFromUint64(1 << 32)
	for range 3 { // 32 * 2^3 = 256
		s.Square(s)
	}
	return *s
}()

// HashToScalar is HS of the specification: 48 bytes of hash.Expand, big-endian,
// modulo the order.
func (g Group) HashToScalar(tag string, parts ...[]byte) Scalar {
	return g.ReduceBig(hash.Expand(tag, wideSize, parts...))
}

// Random returns a uniform scalar other than 0, made of 48 bytes of r.
func (g Group) Random(r io.Reader) (Scalar, error) {
	var b [wideSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return Scalar{}, fmt.Errorf("read randomness: %w", err)
	}
	s := g.ReduceBig(b[:])
	clear(b[:])
	if s.IsZero() {
		return Scalar{}, errors.New("randomness gave the scalar 0")
	}
	return s, nil
}

// DecodeScalar reads 32 bytes, big-endian for secp256k1 and little-endian for
// edwards25519. Zero is accepted; where it must not be, the caller says so.
func (g Group) DecodeScalar(b []byte) (Scalar, error) {
	s := Scalar{group: g}
	if len(b) != ScalarSize {
		return Scalar{}, ErrScalar
	}
	var err error
	switch g {
	case Secp256k1:
		_, err = s.k.SetCanonicalBytes((*[ScalarSize]byte)(b))
	case Edwards25519:
		_, err = s.e.SetCanonicalBytes(b)
	default:
		err = ErrScalar
	}
	if err != nil {
		return Scalar{}, ErrScalar
	}
	return s, nil
}

// Group returns the group that the scalar belongs to.
func (s Scalar) Group() Group { return s.group }

// Bytes returns the 32-byte encoding.
func (s Scalar) Bytes() []byte {
	if s.group == Secp256k1 {
		return s.k.Bytes()
	}
	return s.e.Bytes()
}

// AppendBytes appends the 32-byte encoding to b.
func (s Scalar) AppendBytes(b []byte) []byte {
	if s.group == Secp256k1 {
		return append(b, s.k.Bytes()...)
	}
	return append(b, s.e.Bytes()...)
}

func same(a, b Group) {
	if a != b || a == 0 {
		panic("group: values of different groups, or of none")
	}
}

// Add returns s + o.
func (s Scalar) Add(o Scalar) Scalar {
	same(s.group, o.group)
	if s.group == Secp256k1 {
		s.k.Add(&s.k, &o.k)
	} else {
		s.e.Add(&s.e, &o.e)
	}
	return s
}

// Sub returns s - o.
func (s Scalar) Sub(o Scalar) Scalar {
	same(s.group, o.group)
	if s.group == Secp256k1 {
		s.k.Subtract(&s.k, &o.k)
	} else {
		s.e.Subtract(&s.e, &o.e)
	}
	return s
}

// Mul returns s * o.
func (s Scalar) Mul(o Scalar) Scalar {
	same(s.group, o.group)
	if s.group == Secp256k1 {
		s.k.Multiply(&s.k, &o.k)
	} else {
		s.e.Multiply(&s.e, &o.e)
	}
	return s
}

// Neg returns -s.
func (s Scalar) Neg() Scalar {
	if s.group == Secp256k1 {
		s.k.Negate(&s.k)
	} else {
		s.e.Negate(&s.e)
	}
	return s
}

// Invert returns 1/s, and 0 for 0.
func (s Scalar) Invert() Scalar {
	if s.group == Secp256k1 {
		s.k.Invert(&s.k)
	} else {
		s.e.Invert(&s.e)
	}
	return s
}

// NegIf returns -s where flag is 1 and s where it is 0, without a branch on it.
func (s Scalar) NegIf(flag uint64) Scalar {
	same(s.group, Secp256k1)
	s.k.ConditionalNegate(&s.k, flag)
	return s
}

// Equal reports whether s = o, in constant time.
func (s Scalar) Equal(o Scalar) bool {
	if s.group != o.group {
		return false
	}
	if s.group == Secp256k1 {
		return s.k.Equal(&o.k) == 1
	}
	return s.e.Equal(&o.e) == 1
}

// IsZero reports whether s = 0.
func (s Scalar) IsZero() bool { return s.Equal(s.group.Zero()) }

// Clear overwrites the scalar with 0. Copies that the compiler made are out of
// reach: erasure in Go is best effort.
func (s *Scalar) Clear() {
	s.k.Zero()
	s.e = edwards25519.Scalar{}
}

// String redacts.
func (Scalar) String() string { return "[scalar]" }

// Format redacts under every verb.
func (Scalar) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[scalar]") }

// MarshalJSON refuses: a scalar may be secret.
func (Scalar) MarshalJSON() ([]byte, error) { return nil, errors.New("a scalar has no JSON form") }
