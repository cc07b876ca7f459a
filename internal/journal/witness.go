package journal

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cofferhq/coffer/internal/hybrid"
)

// MaxSkew is how far the newest entry's time may be from a witness's clock, either way.
const MaxSkew = 30 * time.Second

// HeadStore keeps the one note that a witness cosigned last.
type HeadStore interface {
	// Load returns the note of the last Save, or nil if there never was one. A store
	// that can't tell has to return an error: a witness that forgot its head cosigns
	// any other.
	Load(ctx context.Context) ([]byte, error)
	// Save replaces the note. When it returns nil the note is on stable storage; when it
	// doesn't, either may be there.
	Save(ctx context.Context, note []byte) error
}

// Witness cosigns the heads of one log, each one consistent with all that it cosigned
// before (C2SP tlog-witness, without its HTTP). It is safe for concurrent use; a HeadStore
// belongs to one Witness.
type Witness struct {
	origin Origin
	log    hybrid.PublicKey
	keys   []noteKey
	key    hybrid.PrivateKey
	store  HeadStore

	mu sync.Mutex // held from Load to Save, so that two heads are never checked against one
}

// NewWitness prepares a witness. Its key signs cosignatures and nothing else. The error is
// [ErrOrigin], hybrid.ErrKey or [ErrWitnesses].
func NewWitness(origin Origin, log hybrid.PublicKey, id WitnessID, key hybrid.PrivateKey, store HeadStore) (*Witness, error) {
	if _, err := ParseOrigin(string(origin)); err != nil {
		return nil, err
	}
	public := key.Public()
	switch {
	case log.IsZero() || public.IsZero():
		return nil, fmt.Errorf("journal: a witness: %w", hybrid.ErrKey)
	case !id.valid():
		return nil, fmt.Errorf("%w: %.100q is no id", ErrWitnesses, string(id))
	case sharesHalf(log, public):
		return nil, fmt.Errorf("%w: %s and the log share a key", ErrWitnesses, id)
	}
	return &Witness{origin: origin, log: log, keys: witnessKeys(origin, id, public), key: key, store: store}, nil
}

// Request asks a witness to cosign a head.
type Request struct {
	Note    []byte    // the checkpoint, signed by the log; other lines are ignored
	OldSize int64     // the size that Proof starts from: that of the witness's last head
	Proof   Proof     // consistency from OldSize to the checkpoint; empty from zero
	Newest  time.Time // time of the entry at the checkpoint's size - 1, which the caller read and checked
}

// ClockError says that the newest entry's time is too far from the witness's clock.
type ClockError struct{ Newest, Now time.Time }

// Error says how far.
func (e *ClockError) Error() string {
	return fmt.Sprintf("journal: the newest entry's time is %s from this clock, %s at most", e.Newest.Sub(e.Now), MaxSkew)
}

// RollbackError says that a head is smaller than one seen before.
type RollbackError struct {
	Seen, Got Checkpoint
	Note      []byte // the one seen, signed by the log; nil where it isn't at hand
}

// Error names both sizes.
func (e *RollbackError) Error() string {
	return fmt.Sprintf("journal: rollback: a head of %d after one of %d", e.Got.Size, e.Seen.Size)
}

// OldSizeError says that a proof starts from another head than the witness's last one.
// The caller asks again with a proof from Seen, as after "409 Conflict" of tlog-witness.
type OldSizeError struct {
	Seen    Checkpoint // the zero value if the witness never cosigned
	OldSize int64      // what was asked
}

// Error names both sizes.
func (e *OldSizeError) Error() string {
	return fmt.Sprintf("journal: the proof starts from %d, the last head is of %d", e.OldSize, e.Seen.Size)
}

// InconsistentError says that a larger head came without a proof that holds. The log has
// forked, or the proof is wrong; both notes are what it takes to find out.
type InconsistentError struct {
	Seen, Got         Checkpoint
	SeenNote, GotNote []byte // signed by the log
	Err               error  // ErrProof or ErrSize
}

// Error names both sizes.
func (e *InconsistentError) Error() string {
	return fmt.Sprintf("journal: no proof that the head of %d continues that of %d: %v", e.Got.Size, e.Seen.Size, e.Err)
}

// Unwrap returns what is wrong with the proof.
func (e *InconsistentError) Unwrap() error { return e.Err }

// Cosign checks a head and returns this witness's two note lines for it: Ed25519
// cosignature/v1 and ML-DSA-44 subtree/v1 (C2SP tlog-cosignature), both with the second of
// now. It stores the head before it answers. The same head may be cosigned again, with a
// new time.
//
// It refuses, and stores nothing:
//   - a note that isn't whole, as [OpenCheckpoint]; the empty tree, with [ErrSize];
//   - a head smaller than the last one: [RollbackError];
//   - another head of the same size: [ForkError] with a proof that convicts the log key;
//   - a proof that starts elsewhere: [OldSizeError]; one that fails: [InconsistentError];
//   - a newest entry more than MaxSkew from now: [ClockError].
//
// The first head ever is taken on the log's word, as tlog-witness has it; a node that
// follows the journal compares every root with its own Frontier before it asks.
// Any other error is the store's: then nothing is cosigned, and the head may be stored.
func (w *Witness) Cosign(ctx context.Context, r Request, now time.Time) ([]byte, error) {
	n, err := openNote(r.Note, w.origin, logKeys(w.origin, w.log))
	if err != nil {
		return nil, err
	}
	c := n.checkpoint
	if c.Size == 0 {
		return nil, fmt.Errorf("%w: nothing to witness in an empty journal", ErrSize)
	}
	if now.Unix() < 1 || now.Unix() > maxTime {
		return nil, &ClockError{r.Newest, now}
	}
	note := n.signedBy(func(id WitnessID) bool { return id == "" })

	w.mu.Lock()
	defer w.mu.Unlock()
	seenNote, seen, err := w.last(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Size < seen.Size:
		return nil, &RollbackError{seen, c, seenNote}
	case c.Size == seen.Size && c.Root != seen.Root:
		return nil, &ForkError{Older: seen, Newer: c, To: c.Size, Proof: &ForkProof{Older: string(seenNote), Newer: string(note), Path: Proof{}}}
	case r.OldSize != seen.Size:
		return nil, &OldSizeError{seen, r.OldSize}
	}
	if err := CheckConsistency(r.Proof, seen.Size, seen.Root, c.Size, c.Root); err != nil {
		return nil, &InconsistentError{seen, c, seenNote, note, err}
	}
	if skew := r.Newest.Sub(now); skew > MaxSkew || skew < -MaxSkew {
		return nil, &ClockError{r.Newest, now}
	}
	lines, err := signLines(w.keys, c, now.Unix(), w.key)
	if err != nil {
		return nil, fmt.Errorf("journal: cosigning: %w", err)
	}
	if c.Size > seen.Size {
		if err := w.store.Save(ctx, note); err != nil {
			return nil, fmt.Errorf("journal: storing the head of %d: %w", c.Size, err)
		}
	}
	return lines, nil
}

// last reads the head that was cosigned last; the empty tree if there is none. The store
// is believed: its note may be signed by an earlier log key.
func (w *Witness) last(ctx context.Context) ([]byte, Checkpoint, error) {
	none := Checkpoint{Origin: w.origin, Root: EmptyRoot()}
	note, err := w.store.Load(ctx)
	if err != nil {
		return nil, none, fmt.Errorf("journal: loading the last head: %w", err)
	}
	if note == nil {
		return nil, none, nil
	}
	text, err := checkForm(note)
	if err != nil {
		return nil, none, fmt.Errorf("journal: the stored head: %w", err)
	}
	seen, err := ParseCheckpoint(text)
	if err != nil {
		return nil, none, fmt.Errorf("journal: the stored head: %w", err)
	}
	if seen.Origin != w.origin {
		return nil, none, fmt.Errorf("journal: the stored head: %w: %s", ErrOrigin, seen.Origin)
	}
	return note, seen, nil
}
