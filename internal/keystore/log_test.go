package keystore_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/tss/hash"
)

// Digests go when they are over and never before, and what was forgotten never comes
// back as new.
func TestRemember(t *testing.T) {
	t.Parallel()
	now := start
	cfg := config()
	cfg.Now = func() time.Time { return now }
	dir := t.TempDir()
	s := open(t, dir, cfg)
	remember := func(d byte, until int64, want bool) {
		t.Helper()
		if fresh, err := s.Log().Remember(hash.Digest{d}, until); err != nil || fresh != want {
			t.Fatalf("digest %d: fresh %v, %v", d, fresh, err)
		}
	}
	digests := func(want int) {
		t.Helper()
		if seen, over, err := s.Digests(); err != nil || seen != want || over != want {
			t.Fatalf("%d and %d digests, %v; want %d", seen, over, err, want)
		}
	}
	at := start.Unix()
	for d := range byte(40) {
		remember(d, at+int64(d), true)
	}
	for d := range byte(40) {
		remember(d, at+int64(d), false)
		remember(d, at+1000, false)
	}
	digests(40)
	now = now.Add(10 * time.Second) // 0 to 9 are over
	remember(100, at+500, true)
	digests(31)
	remember(10, at+10, false)
	now = now.Add(90 * time.Second) // all of the 40, of which 16 go at once
	remember(101, at+500, true)
	digests(16)
	check(t, s.Close())
	s = open(t, dir, cfg)
	remember(102, at+500, true)
	digests(3)

	now = start // the clock is set back
	_, err := s.Log().Remember(hash.Digest{1}, at+1)
	refused(t, err, custody.Unavailable, "the clock was set back")
	_, err = s.Log().Remember(hash.Digest{200}, at+39)
	refused(t, err, custody.Unavailable, "are forgotten")
	remember(200, at+40, true)
	_, err = s.Log().Remember(hash.Digest{201}, -1)
	refused(t, err, custody.Invalid, "until: ")
}

// A witness whose process ends goes on from the head that it cosigned last.
func TestWitness(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, config())
	origin := journal.NewOrigin(config().Charter)
	key := func(b byte) hybrid.PrivateKey {
		k, err := hybrid.NewPrivateKey(bytes.Repeat([]byte{b}, hybrid.SeedSize))
		check(t, err)
		return k
	}
	log, mine := key(1), key(2)
	tree := new(journal.Tree)
	request := func(size, old int64) journal.Request {
		t.Helper()
		for tree.Size() < size {
			_, err := tree.Append([]byte{byte(tree.Size())})
			check(t, err)
		}
		c, err := tree.Checkpoint(origin, size)
		check(t, err)
		note, err := journal.SignCheckpoint(c, log)
		check(t, err)
		proof, err := journal.ProveConsistency(old, size, tree)
		check(t, err)
		return journal.Request{Note: note, OldSize: old, Proof: proof, Newest: start}
	}
	witness := func() *journal.Witness {
		t.Helper()
		w, err := journal.NewWitness(origin, log.Public(), "node-a", mine, s.Heads())
		check(t, err)
		return w
	}
	if note, err := s.Heads().Load(t.Context()); err != nil || note != nil {
		t.Fatalf("%q, %v", note, err)
	}
	five := request(5, 0)
	_, err := witness().Cosign(t.Context(), five, start)
	check(t, err)
	check(t, s.Close())

	s = open(t, dir, config())
	if note, err := s.Heads().Load(t.Context()); err != nil || string(note) != string(five.Note) {
		t.Fatalf("%s, %v", note, err)
	}
	if _, err := witness().Cosign(t.Context(), request(4, 0), start); err == nil {
		t.Error("cosigned a smaller head")
	}
	_, err = witness().Cosign(t.Context(), request(9, 5), start)
	check(t, err)
	refused(t, s.Heads().Save(t.Context(), nil), custody.Invalid, "note: ")
	refused(t, s.Heads().Save(t.Context(), make([]byte, journal.MaxNote+1)), custody.Invalid, "note: ")
}
