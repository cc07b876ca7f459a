package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/internal/store"
)

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBank(t)
	b.carry()
	b.follow()
	if _, err := store.Open(ctx, b.path, b.State.CharterHash(), b.clock); !errors.Is(err, store.ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	if err := b.SetHead(ctx, b.Head(), b.Size()); err != nil {
		t.Error(err)
	}
	check(t, b.Close())
	if _, err := store.Open(ctx, b.path, custody.Hash{1}, b.clock); !errors.Is(err, store.ErrCharter) {
		t.Errorf("another charter: %v", err)
	}
	last := b.Size() - 1
	middle := bytes.Clone(b.Entries[5])
	middle[bytes.Index(middle, []byte(`"signature":"`))+20] ^= 1 // a signature, which a replay doesn't verify
	for name, c := range map[string]struct {
		statement string
		args      []any
		want      error
	}{
		"a flipped byte in an entry":      {`UPDATE entries SET raw = $1 WHERE idx = 5`, []any{middle}, store.ErrDamaged},
		"garbage for an entry":            {`UPDATE entries SET raw = $1 WHERE idx = 5`, []any{[]byte("garbage")}, store.ErrDamaged},
		"another entry in its place":      {`UPDATE entries SET raw = $1 WHERE idx = 5`, []any{b.Entries[6]}, store.ErrDamaged},
		"a flipped leaf":                  {`UPDATE entries SET leaf = $1 WHERE idx = 1`, []any{custody.Hash{1}.String()}, store.ErrDamaged},
		"a flipped hash of the tree":      {`UPDATE hashes SET hash = $1 WHERE idx = 2`, []any{make([]byte, 32)}, store.ErrDamaged},
		"a missing hash":                  {`DELETE FROM hashes WHERE idx = 2`, nil, store.ErrDamaged},
		"hashes too many":                 {`INSERT INTO hashes (idx, hash) VALUES (100000, $1)`, []any{make([]byte, 32)}, store.ErrDamaged},
		"a missing entry":                 {`DELETE FROM entries WHERE idx = 5`, nil, store.ErrDamaged},
		"the last entry missing":          {`DELETE FROM entries WHERE idx = $1`, []any{last}, store.ErrDamaged},
		"an end cut off":                  {`DELETE FROM hashes WHERE idx >= (SELECT MAX(idx) FROM hashes); DELETE FROM entries WHERE idx = $1`, []any{last}, store.ErrDamaged},
		"a head of another journal":       {`UPDATE deployment SET head = $1`, []any{b.otherHead()}, store.ErrDamaged},
		"no head of this size":            {`UPDATE deployment SET head_size = head_size - 1`, nil, store.ErrDamaged},
		"tables that a newer program has": {`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`, nil, store.ErrNewer},
		"nothing":                         {`SELECT 1`, nil, nil},
	} {
		path := t.TempDir() + "/copy.db"
		raw, err := os.ReadFile(b.path)
		check(t, err)
		check(t, os.WriteFile(path, raw, 0o600))
		db, err := sql.Open("sqlite", path)
		check(t, err)
		_, err = db.ExecContext(ctx, c.statement, c.args...)
		check(t, errors.Join(err, db.Close()))
		s, err := store.Open(ctx, path, b.State.CharterHash(), b.clock)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			check(t, s.Close())
		}
	}
	if _, err := store.Open(ctx, t.TempDir()+"/none/coffer.db", custody.Hash{}, b.clock); err == nil {
		t.Error("opened where no folder is")
	}
}

// otherHead is a cosigned head of the same charter's journal, gone on otherwise.
func (b *bank) otherHead() []byte {
	b.tb.Helper()
	b.Tick()
	return b.Head()
}

// Another process can't have the database at the same time.
func TestSecondProcess(t *testing.T) {
	const path = "COFFER_STORE_TEST_PATH"
	if given, ok := os.LookupEnv(path); ok { // the other process
		_, err := store.Open(t.Context(), given, custody.Hash{1}, nil)
		t.Log(err)
		return
	}
	b := newBank(t)
	other := func(want error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSecondProcess$", "-test.v")
		cmd.Env = append(os.Environ(), path+"="+b.path)
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte(want.Error())) {
			t.Errorf("%v\n%s", err, out)
		}
	}
	other(store.ErrInUse)
	check(t, b.Close())
	other(store.ErrCharter)
}

func TestHead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBank(t)
	b.follow()
	if note, size, err := b.Store.Head(ctx); note != nil || size != 0 || err != nil {
		t.Errorf("a head without one: %d %v", size, err)
	}
	old, oldSize := b.Head(), b.Size()
	b.Tick()
	b.follow()
	note := b.Head()
	hasCode(t, b.SetHead(ctx, note, oldSize), custody.Invalid)
	hasCode(t, b.SetHead(ctx, []byte("note"), b.Size()), custody.Invalid)
	c := b.Changed()
	check(t, b.SetHead(ctx, note, b.Size()))
	<-c
	hasCode(t, b.SetHead(ctx, old, oldSize), custody.Conflict)
	check(t, b.SetHead(ctx, note, b.Size()))
	b.Tick()
	hasCode(t, b.SetHead(ctx, b.Head(), b.Size()+1), custody.Invalid)
	b.reopen()
	if got, size, err := b.Store.Head(ctx); !bytes.Equal(got, note) || size != b.Size() || err != nil {
		t.Errorf("size %d: %v", size, err)
	}
	checkpoint, err := b.Checkpoint(oldSize)
	if err != nil || !bytes.HasPrefix(old, []byte(checkpoint.Text())) {
		t.Errorf("%v %v", checkpoint, err)
	}
}

// A list is there before the entry behind which the journal can't be read without.
func TestLists(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	list := statetest.Encode(t, custody.List{Name: "sanctioned", Addresses: []custody.Address{"bcrt1qbad"}})
	hash := statetest.Sum(list)
	other := statetest.Encode(t, custody.List{Name: "other", Addresses: []custody.Address{"bcrt1qbad"}})
	check(t, b.State.Offer(list))
	b.govern(custody.ListChangeIntent, &custody.ListChange{Action: custody.Put, List: "sanctioned", SHA256: hash})
	b.Tick()
	for b.Size() < int64(len(b.Entries)-2) {
		b.next(nil)
	}
	hasCode(t, b.Advance(context.Background(), b.appendNext), custody.NotFound)
	hasCode(t, b.Advance(context.Background(), func(tx *store.Tx) error { return tx.PutList([]byte("{}")) }), custody.Invalid)
	b.advance(func(tx *store.Tx) error { return errors.Join(tx.PutList(list), tx.PutList(list), tx.PutList(other)) })
	b.follow()
	b.reopen()
	if lists, err := b.Lists(t.Context()); err != nil || len(lists) != 2 {
		t.Errorf("%d lists, %v", len(lists), err)
	}
	if want, err := b.State.Snapshot(); err != nil || !bytes.Equal(b.snapshot(), want) {
		t.Errorf("another state: %v", err)
	}
}
