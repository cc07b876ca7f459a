package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/state"
)

var _ state.Journal = (*Store)(nil)

// Size is the number of entries that are committed.
func (s *Store) Size() int64 { return s.size.Load() }

// Changed returns a channel that is closed when something is committed that others
// may wait for: entries, a head, work to look at. To miss nothing, ask for the
// channel first and look then.
func (s *Store) Changed() <-chan struct{} {
	s.changedMu.Lock()
	defer s.changedMu.Unlock()
	return s.changed
}

func (s *Store) announce() {
	s.changedMu.Lock()
	defer s.changedMu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Entries returns the bytes of at most limit entries from the index given on; none
// behind the newest.
func (r Reader) Entries(ctx context.Context, from int64, limit int) ([][]byte, error) {
	return rows(ctx, r.db, only[[]byte],
		`SELECT raw FROM entries WHERE idx >= $1 ORDER BY idx LIMIT $2`, from, limit)
}

// Entry implements [state.Journal]: the bytes of an entry. The code is always
// empty, because no entry here is void. The error is of code NotFound behind the
// newest entry.
func (s *Store) Entry(index int64) ([]byte, state.Code, error) {
	raw, err := row(context.Background(), s.db, "entry", only[[]byte],
		`SELECT raw FROM entries WHERE idx = $1`, index)
	return raw, "", err
}

// ReadHashes implements tlog.HashReader: the tree's hashes as [journal.Frontier]
// hands them out. The error is [journal.ErrSize] for one that isn't there.
func (s *Store) ReadHashes(indexes []int64) ([]journal.Hash, error) {
	ctx := context.Background()
	find, err := s.db.PrepareContext(ctx, `SELECT hash FROM hashes WHERE idx = $1`)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer func() { _ = find.Close() }()
	out := make([]journal.Hash, len(indexes))
	for i, index := range indexes {
		var hash []byte
		if err := find.QueryRowContext(ctx, index).Scan(&hash); errors.Is(err, sql.ErrNoRows) {
			return nil, fmt.Errorf("%w: hash %d", journal.ErrSize, index)
		} else if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		copy(out[i][:], hash) // 32 bytes, by a rule of the table
	}
	return out, nil
}

// Checkpoint names the first size entries; the log key signs it. The error is
// [journal.ErrSize] or the database's.
func (s *Store) Checkpoint(size int64) (journal.Checkpoint, error) {
	root, err := journal.Root(size, s)
	return journal.Checkpoint{Origin: journal.NewOrigin(s.charter), Size: size, Root: root}, err
}

// SetHead keeps a note as the newest cosigned head, of size entries. That its
// signatures verify, the caller knows; that it is of this journal is checked. The
// error is of code Invalid if it isn't, and Conflict if a larger head is kept.
func (s *Store) SetHead(ctx context.Context, note []byte, size int64) error {
	if err := s.ours(note, size); err != nil {
		return &custody.Error{Code: custody.Invalid, Field: "head", Message: "not a head of this journal", Err: err}
	}
	n, err := exec(ctx, s.writer, `UPDATE deployment SET head = $1, head_size = $2 WHERE head_size <= $2`, note, size)
	if err != nil {
		return err
	}
	if n == 0 {
		return &custody.Error{Code: custody.Conflict, Field: "head", Message: "a larger head is on record"}
	}
	s.announce()
	return nil
}

// ours holds the checkpoint of a note against the tree.
func (s *Store) ours(note []byte, size int64) error {
	body, _, _ := strings.Cut(string(note), "\n\n")
	c, err := journal.ParseCheckpoint(body + "\n")
	if err != nil {
		return err
	}
	own, err := s.Checkpoint(size)
	if err != nil {
		return err
	}
	if c != own {
		return fmt.Errorf("the head is %d %s, the journal %d %s", c.Size, c.Root, own.Size, own.Root)
	}
	return nil
}

// Head returns the newest cosigned head and its size; nil and 0 if there is none.
func (r Reader) Head(ctx context.Context) (note []byte, size int64, err error) {
	if err := r.db.QueryRowContext(ctx, `SELECT head, head_size FROM deployment`).Scan(&note, &size); err != nil {
		return nil, 0, fmt.Errorf("store: %w", err)
	}
	return note, size, nil
}

// checkHead refuses a journal that is shorter than its cosigned head, or another.
func (s *Store) checkHead(ctx context.Context) error {
	note, size, err := s.Head(ctx)
	if err != nil || note == nil {
		return err
	}
	if err := s.ours(note, size); err != nil {
		return fmt.Errorf("%w: it doesn't fit the cosigned head of %d entries: %w", ErrDamaged, size, err)
	}
	return nil
}

// Lists returns the bytes of all lists that [Tx.PutList] kept.
func (r Reader) Lists(ctx context.Context) ([][]byte, error) {
	return rows(ctx, r.db, only[[]byte],
		`SELECT raw FROM lists ORDER BY hash`)
}

const replayBatch = 512

// recorded is an entry as it is on record.
type recorded struct {
	index int64
	leaf  custody.Hash
	raw   []byte
}

// replay applies the next entries on record, and compares their hashes with those
// on record. It reports whether there were any.
func (s *Store) replay(ctx context.Context, st *state.State) (more bool, err error) {
	from := st.Size()
	entries, err := rows(ctx, s.reader, func(e *recorded) []any {
		return []any{&e.index, text{&e.leaf}, &e.raw}
	}, `SELECT idx, leaf, raw FROM entries WHERE idx >= $1 ORDER BY idx LIMIT $2`, from, replayBatch)
	if err != nil || len(entries) == 0 {
		return false, err
	}
	hashes, err := rows(ctx, s.reader, only[[]byte],
		`SELECT hash FROM hashes WHERE idx >= $1 AND idx < $2 ORDER BY idx`,
		tlog.StoredHashIndex(0, from), tlog.StoredHashIndex(0, from+int64(len(entries))))
	if err != nil {
		return false, err
	}
	for i, e := range entries {
		if e.index != from+int64(i) {
			return false, fmt.Errorf("%w: entry %d is missing", ErrDamaged, from+int64(i))
		}
		edge := st.Edge
		result, err := st.Replay(e.raw, "")
		if err != nil {
			return false, fmt.Errorf("%w: entry %d: %w", ErrDamaged, e.index, err)
		}
		stored, err := edge.Append(journal.Hash(result.Leaf))
		if err != nil {
			return false, fmt.Errorf("store: %w", err)
		}
		if result.Leaf != e.leaf {
			return false, fmt.Errorf("%w: entry %d isn't the one that was recorded", ErrDamaged, e.index)
		}
		for _, want := range stored {
			if len(hashes) == 0 || string(hashes[0]) != string(want[:]) {
				return false, fmt.Errorf("%w: the hashes of entry %d aren't those that were recorded", ErrDamaged, e.index)
			}
			hashes = hashes[1:]
		}
	}
	return true, nil
}

// complete refuses hashes behind those of size entries.
func (s *Store) complete(ctx context.Context, size int64) error {
	var count int64
	if err := s.reader.QueryRowContext(ctx, `SELECT COUNT(*) FROM hashes WHERE idx >= $1`, tlog.StoredHashIndex(0, size)).Scan(&count); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if count > 0 {
		return fmt.Errorf("%w: entries behind %d are missing", ErrDamaged, size)
	}
	return nil
}
