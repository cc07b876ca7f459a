package journal

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferhq/coffer/internal/hybrid"
)

// ForkError says that two heads are not of one log. The first entry in which the logs
// differ has an index in From .. To-1.
type ForkError struct {
	Older, Newer Checkpoint // by size
	From, To     int64
	Proof        *ForkProof // convicts the log key; nil where the notes aren't at hand
}

// Error names both sizes and where the logs differ.
func (e *ForkError) Error() string {
	return fmt.Sprintf("journal: fork: the heads of %d and %d are not of one log: %s", e.Older.Size, e.Newer.Size, differ(e.From, e.To))
}

func differ(from, to int64) string {
	if to-from == 1 {
		return fmt.Sprintf("they differ from entry %d", from)
	}
	return fmt.Sprintf("they differ from an entry in %d to %d", from, to-1)
}

// ForkProof convicts a log key: two notes with both its signatures whose heads aren't of
// one log. Anybody verifies it offline with the origin and the log's public key.
//
// For heads of one size, two roots are enough. Otherwise Root and Path show which tree the
// newer log had at the older size: Path is the consistency proof from Root to the newer
// head, and Root isn't the root of the older head.
type ForkProof struct {
	Older string `json:"older"` // note with the smaller or equal size
	Newer string `json:"newer"`
	Root  Hash   `json:"root"` // zero for heads of one size
	Path  Proof  `json:"path"` // empty for heads of one size
}

// ErrNoFork is the error of a ForkProof that convicts nobody.
var ErrNoFork = errors.New("journal: no proof of a fork")

// NewForkProof makes the proof of two notes, in any order. r holds the log of the one with
// the larger size; nil does for equal sizes. The error is that of [OpenCheckpoint], of
// reading, or [ErrNoFork] where the heads are of one log.
func NewForkProof(a, b []byte, origin Origin, log hybrid.PublicKey, r tlog.HashReader) (*ForkProof, error) {
	older, err := OpenCheckpoint(a, origin, log)
	if err != nil {
		return nil, err
	}
	newer, err := OpenCheckpoint(b, origin, log)
	if err != nil {
		return nil, err
	}
	if older.Size > newer.Size {
		a, b, older, newer = b, a, newer, older
	}
	p := &ForkProof{Older: string(a), Newer: string(b), Path: Proof{}}
	if older.Size < newer.Size {
		if r == nil {
			return nil, fmt.Errorf("%w: the log of %d entries is needed", ErrNoFork, newer.Size)
		}
		if p.Root, err = Root(older.Size, r); err != nil {
			return nil, err
		}
		if p.Path, err = ProveConsistency(older.Size, newer.Size, r); err != nil {
			return nil, err
		}
	}
	if _, _, err := p.Verify(origin, log); err != nil {
		return nil, err
	}
	return p, nil
}

// Verify returns the two heads that convict the log key, by size. The error is that of
// [OpenCheckpoint] for either note, or [ErrNoFork].
func (p *ForkProof) Verify(origin Origin, log hybrid.PublicKey) (older, newer Checkpoint, err error) {
	if older, err = OpenCheckpoint([]byte(p.Older), origin, log); err != nil {
		return older, newer, fmt.Errorf("the older note: %w", err)
	}
	if newer, err = OpenCheckpoint([]byte(p.Newer), origin, log); err != nil {
		return older, newer, fmt.Errorf("the newer note: %w", err)
	}
	switch {
	case older.Size > newer.Size:
		return older, newer, fmt.Errorf("%w: the older head is the larger one", ErrNoFork)
	case older.Size == newer.Size && (older.Root == newer.Root || p.Root != Hash{} || len(p.Path) != 0):
		return older, newer, fmt.Errorf("%w: the heads are the same", ErrNoFork)
	case older.Size == newer.Size:
		return older, newer, nil
	case older.Root == p.Root:
		return older, newer, fmt.Errorf("%w: the newer log contains the older head", ErrNoFork)
	}
	if err := CheckConsistency(p.Path, older.Size, p.Root, newer.Size, newer.Root); err != nil {
		return older, newer, fmt.Errorf("%w: %w", ErrNoFork, err)
	}
	return older, newer, nil
}
