package tss

import (
	"encoding/binary"
	"errors"

	"github.com/cofferhq/coffer/tss/hash"
)

var errEncoding = errors.New("encoding is cut short, or has bytes left over")

// Reader takes a fixed-layout encoding apart, front to back. After the first
// short read everything is zero and Close says so; lengths are checked against
// the bytes that are there before anything is allocated.
type Reader struct {
	b   []byte
	bad bool
}

// NewReader starts at the front of b, which it doesn't copy.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Take returns the next n bytes, or nil.
func (r *Reader) Take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

// U8 reads one byte.
func (r *Reader) U8() uint8 {
	if b := r.Take(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 reads a big-endian integer of two bytes.
func (r *Reader) U16() uint16 {
	if b := r.Take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// U32 reads a big-endian integer of four bytes.
func (r *Reader) U32() uint32 {
	if b := r.Take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// U64 reads a big-endian integer of eight bytes.
func (r *Reader) U64() uint64 {
	if b := r.Take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Digest reads 32 bytes.
func (r *Reader) Digest() (d hash.Digest) {
	copy(d[:], r.Take(hash.Size))
	return d
}

// LP reads u64(length) and as many bytes.
func (r *Reader) LP() []byte {
	n := r.U64()
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	return r.Take(int(n))
}

// Len returns how many bytes are left.
func (r *Reader) Len() int { return len(r.b) }

// Err reports a short read so far.
func (r *Reader) Err() error {
	if r.bad {
		return errEncoding
	}
	return nil
}

// Close reports a short read or bytes left over.
func (r *Reader) Close() error {
	if r.bad || len(r.b) != 0 {
		return errEncoding
	}
	return nil
}
