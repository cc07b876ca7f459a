package journal

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Proof is a list of hashes from the bottom of the tree upwards: an audit path or a
// consistency proof of RFC 6962 §2.1.1 and §2.1.2.
type Proof []Hash

// MaxProof is the largest number of hashes that a proof is read with (C2SP tlog-witness).
const MaxProof = 63

// ErrProof is the error of a proof that doesn't verify.
var ErrProof = errors.New("journal: proof doesn't hold")

// ProveInclusion proves that the tree of size entries holds the entry at index (RFC 6962
// §2.1.1). The error is [ErrSize] or the reader's.
func ProveInclusion(index, size int64, r tlog.HashReader) (Proof, error) {
	if index < 0 || index >= size || size > MaxSize {
		return nil, fmt.Errorf("%w: entry %d of %d", ErrSize, index, size)
	}
	p, err := tlog.ProveRecord(size, index, r)
	if err != nil {
		return nil, fmt.Errorf("journal: proof of entry %d in %d: %w", index, size, err)
	}
	return Proof(p), nil
}

// ProveConsistency proves that the first old entries of the tree of size entries are the
// tree of old entries (RFC 6962 §2.1.2). It is empty where old is zero or size. The error
// is [ErrSize] or the reader's.
func ProveConsistency(old, size int64, r tlog.HashReader) (Proof, error) {
	if old < 0 || old > size || size > MaxSize {
		return nil, fmt.Errorf("%w: %d in %d", ErrSize, old, size)
	}
	if old == 0 {
		return Proof{}, nil
	}
	p, err := tlog.ProveTree(size, old, r)
	if err != nil {
		return nil, fmt.Errorf("journal: proof of %d in %d: %w", old, size, err)
	}
	return Proof(p), nil
}

// CheckInclusion checks that the entry at index, of this leaf hash, is in the tree of size
// entries and this root. Size and root must come from one signed head: a root alone
// doesn't fix the size, and where two sizes give one index a path of the same shape, a
// proof holds for both. The error is [ErrSize] or [ErrProof].
func CheckInclusion(p Proof, index int64, leaf Hash, size int64, root Hash) error {
	if index < 0 || index >= size || size > MaxSize {
		return fmt.Errorf("%w: entry %d of %d", ErrSize, index, size)
	}
	if len(p) > MaxProof {
		return fmt.Errorf("%w: %d hashes, at most %d", ErrProof, len(p), MaxProof)
	}
	if tlog.CheckRecord(tlog.RecordProof(p), size, root, index, leaf) != nil {
		return fmt.Errorf("%w: that entry %d is in the tree of %d", ErrProof, index, size)
	}
	return nil
}

// CheckConsistency checks that the tree of old entries and oldRoot is a prefix of the tree
// of size entries and root. The empty tree is a prefix of all, by the empty proof; a tree
// is a prefix of itself, by the empty proof. Both heads must be signed, as for
// CheckInclusion. The error is [ErrSize] or [ErrProof].
func CheckConsistency(p Proof, old int64, oldRoot Hash, size int64, root Hash) error {
	if old < 0 || old > size || size > MaxSize {
		return fmt.Errorf("%w: %d in %d", ErrSize, old, size)
	}
	if len(p) > MaxProof {
		return fmt.Errorf("%w: %d hashes, at most %d", ErrProof, len(p), MaxProof)
	}
	ok := old == 0 && len(p) == 0 && oldRoot == EmptyRoot() && (size > 0 || root == oldRoot)
	if old > 0 {
		ok = tlog.CheckTree(tlog.TreeProof(p), size, root, old, oldRoot) == nil
	}
	if !ok {
		return fmt.Errorf("%w: that the tree of %d is a prefix of that of %d", ErrProof, old, size)
	}
	return nil
}
