package journal

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Tree holds all hashes of a journal in memory, in the order of tlog.StoredHashIndex. It
// is a tlog.HashReader. The zero value is the empty tree. It isn't safe for concurrent use
// while entries are appended.
//
// A store on disk does the same with [NewFrontier] once and [Frontier.Append] for each
// entry, and hands its own tlog.HashReader to [Root], [ProveInclusion] and
// [ProveConsistency].
type Tree struct {
	edge   Frontier
	stored []Hash
}

// Append adds an entry's exact bytes and returns its index. The error is [ErrSize].
func (t *Tree) Append(entry []byte) (int64, error) { return t.AppendLeaf(LeafHash(entry)) }

// AppendLeaf adds an entry by its leaf hash and returns its index. The error is [ErrSize].
func (t *Tree) AppendLeaf(leaf Hash) (int64, error) {
	hashes, err := t.edge.Append(leaf)
	if err != nil {
		return 0, err
	}
	t.stored = append(t.stored, hashes...)
	return t.edge.size - 1, nil
}

// Size is the number of entries.
func (t *Tree) Size() int64 { return t.edge.size }

// Frontier is the tree's right edge.
func (t *Tree) Frontier() Frontier { return t.edge }

// Leaf is the leaf hash of the entry at an index. The error is [ErrSize].
func (t *Tree) Leaf(index int64) (Hash, error) {
	if index < 0 || index >= t.edge.size {
		return Hash{}, fmt.Errorf("%w: entry %d of %d", ErrSize, index, t.edge.size)
	}
	return t.stored[tlog.StoredHashIndex(0, index)], nil
}

// Root is the root of the first size entries. The error is [ErrSize].
func (t *Tree) Root(size int64) (Hash, error) {
	if size == t.edge.size {
		return t.edge.Root(), nil
	}
	return Root(size, t)
}

// ReadHashes implements tlog.HashReader. The error is [ErrSize].
func (t *Tree) ReadHashes(indexes []int64) ([]Hash, error) {
	out := make([]Hash, len(indexes))
	for i, index := range indexes {
		if index < 0 || index >= int64(len(t.stored)) {
			return nil, fmt.Errorf("%w: hash %d of %d", ErrSize, index, len(t.stored))
		}
		out[i] = t.stored[index]
	}
	return out, nil
}

// Checkpoint names the first size entries of the log at origin. The error is [ErrSize].
func (t *Tree) Checkpoint(origin Origin, size int64) (Checkpoint, error) {
	root, err := t.Root(size)
	return Checkpoint{origin, size, root}, err
}

// Root is the root of the first size entries of a stored tree, from at most 53 stored
// hashes. The error is [ErrSize] or the reader's.
func Root(size int64, r tlog.HashReader) (Hash, error) {
	if size < 0 || size > MaxSize {
		return Hash{}, fmt.Errorf("%w: %d", ErrSize, size)
	}
	root, err := tlog.TreeHash(size, r)
	if err != nil {
		return Hash{}, fmt.Errorf("journal: root of %d: %w", size, err)
	}
	return root, nil
}

// Divergence is the index of the first entry in which two logs differ, given functions
// that compute the root of either log's first size entries: the largest size up to which
// all roots are equal. It is limit, the smaller of both sizes, where one log is a prefix
// of the other. It asks each function at most 54 times. The error is [ErrSize] or that of
// a function.
func Divergence(limit int64, a, b func(size int64) (Hash, error)) (int64, error) {
	if limit < 0 || limit > MaxSize {
		return 0, fmt.Errorf("%w: %d", ErrSize, limit)
	}
	low, high := int64(0), limit+1 // equal up to low; different, or out of range, at high
	for low+1 < high {
		size := low + (high-low)/2
		ra, err := a(size)
		if err != nil {
			return 0, err
		}
		rb, err := b(size)
		if err != nil {
			return 0, err
		}
		if ra == rb {
			low = size
		} else {
			high = size
		}
	}
	return low, nil
}
