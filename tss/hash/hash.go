// Package hash holds the hash functions of the protocols: SHA-256 behind one
// domain prefix and an injective encoding, so that no two different lists of
// inputs are ever hashed to the same bytes (docs/spec/01-notation.md).
package hash

import (
	"crypto/sha256"
	"encoding/binary"
)

// Size is the length of a digest in bytes.
const Size = sha256.Size

// Digest is an output of Sum.
type Digest = [Size]byte

// prefix names this family of protocols and their version. It changes with any
// change of a protocol, never with the name of the library.
const prefix = "threshold/v1"

// Sum is H of the specification:
//
//	SHA-256(lp(prefix) || lp(tag) || u64(len(parts)) || lp(part) ...)
//
// with lp(b) = u64(len(b)) || b. A vector of fixed-length values is one part.
func Sum(tag string, parts ...[]byte) Digest {
	// Nearly all inputs fit the stack buffer; longer ones spill by append.
	var stack [1024]byte
	b := stack[:0]
	b = binary.BigEndian.AppendUint64(b, uint64(len(prefix)))
	b = append(b, prefix...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(tag)))
	b = append(b, tag...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(parts)))
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return sha256.Sum256(b)
}

// Stretch is XOF of the specification: n bytes of SHA-256(seed || u32(0)) ||
// SHA-256(seed || u32(1)) || ...
func Stretch(seed Digest, n int) []byte {
	out := make([]byte, 0, n+Size)
	var block [Size + 4]byte
	copy(block[:], seed[:])
	for i := uint32(0); len(out) < n; i++ {
		binary.BigEndian.PutUint32(block[Size:], i)
		d := sha256.Sum256(block[:])
		out = append(out, d[:]...)
	}
	return out[:n]
}

// Expand is HX of the specification: n bytes stretched from Sum(tag, parts...).
func Expand(tag string, n int, parts ...[]byte) []byte {
	return Stretch(Sum(tag, parts...), n)
}

// U16 is a big-endian integer of two bytes, as a part of a hash.
func U16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

// U32 is a big-endian integer of four bytes.
func U32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// U64 is a big-endian integer of eight bytes.
func U64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
