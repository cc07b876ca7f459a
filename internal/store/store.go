package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/state"
)

// Store is the control plane's database and the state that its journal makes true.
// It is safe for concurrent use.
type Store struct {
	Reader // of what is committed

	charter        custody.Hash
	now            func() time.Time
	lock           *os.File
	writer, reader *sql.DB // one connection to write, several to read

	mu       sync.Mutex   // held while the state is looked at or moved on
	state    *state.State // nil if it could not be rebuilt
	base     []byte       // an earlier snapshot, from which a rebuild is short
	baseSize int64

	size      atomic.Int64
	changedMu sync.Mutex
	changed   chan struct{}
}

// Tx is one Advance: it appends entries and writes what goes with them. It is valid
// until the function that it is given to returns, and for one goroutine.
type Tx struct {
	Reader // what is committed, and what this Tx wrote

	ctx     context.Context // of Advance, which the Tx doesn't outlive
	tx      *sql.Tx
	store   *Store
	now     custody.Time
	applied bool  // the state has moved on
	err     error // of an Append; nothing is committed after one
}

// VoidError says that an entry would have had no effect. It is on no record, and
// the whole Advance is undone.
type VoidError struct {
	Code state.Code
	Why  error // for people
}

func (e *VoidError) Error() string {
	return fmt.Sprintf("store: the entry would be void: %v", e.Why)
}

func (e *VoidError) Unwrap() error { return e.Why }

// Advance calls fn, alone among all Advance calls, and commits what it appended and
// wrote. If fn or an [Tx.Append] in it returns an error, that is the error, and
// database and state are as they were. fn must ask and write through its Tx alone:
// a call of a method of s in it that writes or looks at the state waits forever.
func (s *Store) Advance(ctx context.Context, fn func(*Tx) error) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(ctx); err != nil {
		return err
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	t := &Tx{Reader: Reader{tx}, ctx: ctx, tx: tx, store: s, now: max(custody.At(s.now()), s.state.Time)}
	committed := false
	defer func() { // also when fn panics
		if !committed {
			_ = tx.Rollback() // of no consequence: what counts is what is on disk then
			t.undo(context.WithoutCancel(ctx))
		}
		t.err = sql.ErrTxDone
	}()
	if err := fn(t); err != nil {
		return err
	}
	if t.err != nil {
		return t.err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	committed = true
	s.size.Store(s.state.Size())
	if s.state.Size() >= s.baseSize+rebaseEvery {
		s.rebase()
	}
	s.announce()
	return nil
}

// undo takes the state back to what is committed.
func (t *Tx) undo(ctx context.Context) {
	if !t.applied {
		return
	}
	t.store.state = nil
	if t.store.rebuild(ctx) == nil {
		// A commit that failed may have succeeded all the same.
		t.store.size.Store(t.store.state.Size())
	} // else whoever needs the state next tries again, and gets the error
}

// ready makes sure that there is a state.
func (s *Store) ready(ctx context.Context) error {
	if s.state != nil {
		return nil
	}
	if err := s.rebuild(ctx); err != nil {
		return &custody.Error{Code: custody.Unavailable, Message: "the state can't be rebuilt from the database", Err: err}
	}
	s.size.Store(s.state.Size())
	return nil
}

// rebaseEvery is how many entries a rebuild replays at most: some 50 ms of them.
const rebaseEvery = 4096

func (s *Store) rebase() {
	if snapshot, err := s.state.Snapshot(); err == nil { // there is none before the charter
		s.base, s.baseSize = snapshot, s.state.Size()
	}
}

// View lets fn look at the state as it is committed, while nothing moves on. fn
// must not change the state, nor keep anything that it finds there; nor may it call
// Advance or View.
func (s *Store) View(fn func(*state.State) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready(context.Background()); err != nil {
		return err
	}
	return fn(s.state)
}

// State is the state with what this Tx appended. It must not be changed but by
// Append.
func (t *Tx) State() *state.State { return t.store.state }

// Now is the time of the entries that this Tx appends: one time for all of them,
// never before the newest entry's.
func (t *Tx) Now() custody.Time { return t.now }

// Append makes the journal's next entry, at the time of Now, and lets it take
// effect; what the intents that it touches have come to is written beside it, and
// they are due to be looked at. An entry of the governance chain, AUTHORIZED or
// PREPARED names the chain's newest entry, which the caller fills in. It returns
// the leaf hash and index. The error is a [VoidError], a [state.StopError], or of
// code Invalid for a body without form; after any error nothing is committed.
func (t *Tx) Append(kind custody.EntryType, body custody.EntryBody) (leaf custody.Hash, index int64, err error) {
	if t.err != nil {
		return custody.Hash{}, 0, t.err
	}
	if leaf, index, err = t.append(kind, body); err != nil {
		t.err = err
	}
	return leaf, index, err
}

func (t *Tx) append(kind custody.EntryType, body custody.EntryBody) (leaf custody.Hash, index int64, err error) {
	st := t.store.state
	e, err := custody.NewEntry(custody.Entry{Index: st.Size(), Time: t.now, Type: kind, Body: body})
	if err != nil {
		return custody.Hash{}, 0, err
	}
	if a, ok := e.Body.(*custody.Authorized); ok {
		if err := t.hasList(a.Intent); err != nil {
			return custody.Hash{}, 0, err
		}
	}
	edge, intents, totals := st.Edge, len(st.Intents), len(st.Totals)
	result, err := st.Apply(e.Raw)
	if err != nil {
		return custody.Hash{}, 0, err
	}
	if result.Void != "" {
		// A void entry counts and changes nothing, unless it was the turn of what is
		// over to be forgotten.
		t.applied = t.applied || len(st.Intents) != intents || len(st.Totals) != totals
		st.Edge = edge
		return custody.Hash{}, 0, &VoidError{result.Void, result.Why}
	}
	t.applied = true
	hashes, err := edge.Append(journal.Hash(result.Leaf))
	if err != nil {
		return custody.Hash{}, 0, err
	}
	if err := t.record(e, result.Leaf, hashes); err != nil {
		return custody.Hash{}, 0, err
	}
	return result.Leaf, result.Index, t.project(e)
}

// exec returns how many rows a statement changed.
func (t *Tx) exec(statement string, args ...any) (int64, error) {
	return exec(t.ctx, t.tx, statement, args...)
}

// change runs a statement that may find nothing to change.
func (t *Tx) change(statement string, args ...any) error {
	_, err := t.exec(statement, args...)
	return err
}

// isOn reports whether a query finds a row.
func (t *Tx) isOn(query string, args ...any) (bool, error) {
	var one int
	err := t.tx.QueryRowContext(t.ctx, query, args...).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("store: %w", err)
	}
	return true, nil
}
