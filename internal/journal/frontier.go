package journal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Frontier is the right edge of a tree: the roots of the complete subtrees that the
// entries so far make up, one for each bit set in the size. That is all it takes to append
// and to know the root, so a replica that holds a Frontier needs no other hash.
//
// It is a plain value: assignment copies it, == compares it, and the zero value is the
// empty tree. It isn't safe for concurrent use.
type Frontier struct {
	size  int64
	roots [levels]Hash // of the complete subtree of 2^i entries at i; zero where size has no such bit
}

// ErrFrontier is the error of text that isn't a Frontier.
var ErrFrontier = errors.New("journal: frontier is malformed")

// NewFrontier reads the right edge of the tree of size entries from its stored hashes, at
// most 53 of them. The error is [ErrSize] or the reader's.
func NewFrontier(size int64, r tlog.HashReader) (Frontier, error) {
	if size < 0 || size > MaxSize {
		return Frontier{}, fmt.Errorf("%w: %d", ErrSize, size)
	}
	f := Frontier{size: size}
	var heights []int
	var indexes []int64
	first := int64(0)
	for level := levels - 1; level >= 0; level-- {
		if size>>level&1 == 1 {
			heights = append(heights, level)
			indexes = append(indexes, tlog.StoredHashIndex(level, first>>level))
			first += 1 << level
		}
	}
	hashes, err := r.ReadHashes(indexes)
	if err != nil {
		return Frontier{}, fmt.Errorf("journal: reading the frontier of %d: %w", size, err)
	}
	if len(hashes) != len(indexes) {
		return Frontier{}, fmt.Errorf("journal: reading the frontier of %d: %d hashes, not %d", size, len(hashes), len(indexes))
	}
	for i, level := range heights {
		f.roots[level] = hashes[i]
	}
	return f, nil
}

// Append adds an entry by its leaf hash. It returns the hashes that a store of the tree
// appends: the leaf, then the root of every subtree that it completes, lowest first. They
// belong at tlog.StoredHashIndex(0, size before), one after the other. The error is
// [ErrSize], when the journal is full.
func (f *Frontier) Append(leaf Hash) ([]Hash, error) {
	if f.size >= MaxSize {
		return nil, fmt.Errorf("%w: the journal is full", ErrSize)
	}
	stored := make([]Hash, 1, 2+bits.TrailingZeros64(uint64(f.size+1)))
	stored[0] = leaf
	level := 0
	for ; f.size>>level&1 == 1; level++ {
		leaf = tlog.NodeHash(f.roots[level], leaf)
		f.roots[level] = Hash{}
		stored = append(stored, leaf)
	}
	f.roots[level] = leaf
	f.size++
	return stored, nil
}

// Size is the number of entries.
func (f *Frontier) Size() int64 { return f.size }

// Root is the root of the tree (RFC 6962 §2.1).
func (f *Frontier) Root() Hash {
	root, some := EmptyRoot(), false
	for level := range levels {
		switch {
		case f.size>>level&1 == 0:
		case some:
			root = tlog.NodeHash(f.roots[level], root)
		default:
			root, some = f.roots[level], true
		}
	}
	return root
}

// MarshalText writes the size in decimal and, from the largest subtree to the smallest,
// each root in base64, with one space before each. It never fails.
func (f Frontier) MarshalText() ([]byte, error) {
	b := strconv.AppendInt(nil, f.size, 10)
	for level := levels - 1; level >= 0; level-- {
		if f.size>>level&1 == 1 {
			b = append(b, ' ')
			b = base64.StdEncoding.AppendEncode(b, f.roots[level][:])
		}
	}
	return b, nil
}

// UnmarshalText reads what MarshalText writes and nothing else. Every error is
// [ErrFrontier].
func (f *Frontier) UnmarshalText(text []byte) error {
	fields := strings.SplitN(string(text), " ", levels+2)
	size, err := parseSize(fields[0])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFrontier, err)
	}
	if n := bits.OnesCount64(uint64(size)); len(fields)-1 != n {
		return fmt.Errorf("%w: %d hashes, not the %d of size %d", ErrFrontier, len(fields)-1, n, size)
	}
	g, next := Frontier{size: size}, 1
	for level := levels - 1; level >= 0; level-- {
		if size>>level&1 == 1 {
			if g.roots[level], err = parseHash(fields[next]); err != nil {
				return fmt.Errorf("%w: %w", ErrFrontier, err)
			}
			next++
		}
	}
	*f = g
	return nil
}

// parseSize reads a size from 0 to MaxSize in the one decimal form that it has.
func parseSize(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > MaxSize || strconv.FormatInt(n, 10) != s {
		return 0, errors.New("the size isn't a decimal from 0 to 2^53-1")
	}
	return n, nil
}

// parseHash reads 32 bytes in the one base64 form that they have.
func parseHash(s string) (Hash, error) {
	h, err := tlog.ParseHash(s)
	if err != nil || h.String() != s {
		return Hash{}, errors.New("a hash isn't the base64 of 32 bytes")
	}
	return h, nil
}
