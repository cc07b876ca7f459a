package journal_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
)

var background = context.Background()

func TestCosign(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, 1, 0)
	_, tree := log(t, 20, 20, "")
	w, s := d.witness["w1"], d.stores["w1"]

	first := d.cosign("w1", tree, 0, 5)
	if h := d.check(d.add(d.sign(tree, 5), first)); !h.WitnessedTime.Equal(start.Add(seconds(5))) {
		t.Errorf("%+v", h)
	}
	if !bytes.Equal(s.note, d.sign(tree, 5)) || s.saves != 1 {
		t.Errorf("stored %d times:\n%s", s.saves, s.note)
	}
	// The same head again, with a new time; nothing new to store.
	lines, err := w.Cosign(background, d.request(tree, 5, 5), start.Add(seconds(9)))
	if err != nil || s.saves != 1 {
		t.Fatal(err)
	}
	if h := d.check(d.add(d.sign(tree, 5), lines)); !h.WitnessedTime.Equal(start.Add(seconds(9))) {
		t.Errorf("%+v", h)
	}
	// On to the next, after a restart; other people's lines aren't stored.
	d.witness["w1"] = d.restart("w1")
	r := d.request(tree, 5, 12)
	r.Note = append(r.Note, "— example.com/x AAAAAAA=\n"...)
	if _, err := d.witness["w1"].Cosign(background, r, start.Add(seconds(12))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.note, d.sign(tree, 12)) {
		t.Errorf("stored:\n%s", s.note)
	}
}

func TestCosignRefuses(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, 1, 0)
	_, tree := log(t, 20, 20, "")
	_, other := log(t, 20, 3, "other")
	d.cosign("w1", tree, 0, 10)
	w, s := d.witness["w1"], d.stores["w1"]
	ten := d.sign(tree, 10)

	refuse := func(name string, r journal.Request, now time.Time) error {
		t.Helper()
		lines, err := w.Cosign(background, r, now)
		if err == nil || lines != nil {
			t.Fatalf("%s: cosigned", name)
		}
		if !bytes.Equal(s.note, ten) || s.saves != 1 {
			t.Fatalf("%s: the stored head changed", name)
		}
		return err
	}
	at := start.Add(seconds(15))

	err := refuse("rollback", d.request(tree, 0, 9), at)
	if e, ok := as[*journal.RollbackError](err); !ok || e.Seen.Size != 10 || e.Got.Size != 9 || !bytes.Equal(e.Note, ten) {
		t.Errorf("rollback: %v", err)
	}
	err = refuse("fork of one size", d.request(other, 10, 10), at)
	if e, ok := as[*journal.ForkError](err); !ok || e.Older != d.checkpoint(tree, 10) || e.Newer != d.checkpoint(other, 10) {
		t.Errorf("fork: %v", err)
	} else if _, _, err := e.Proof.Verify(d.origin, d.log.Public()); err != nil {
		t.Errorf("the fork's proof: %v", err)
	}
	err = refuse("fork of another size", d.request(other, 10, 15), at)
	if e, ok := as[*journal.InconsistentError](err); !ok || !errors.Is(err, journal.ErrProof) || e.Seen.Size != 10 || e.Got.Size != 15 {
		t.Errorf("larger fork: %v", err)
	} else if p, err := journal.NewForkProof(e.SeenNote, e.GotNote, d.origin, d.log.Public(), other); err != nil {
		t.Errorf("no proof from both notes: %v", err)
	} else if _, _, err := p.Verify(d.origin, d.log.Public()); err != nil {
		t.Errorf("the fork's proof: %v", err)
	}
	for _, old := range []int64{0, 9, 11} {
		err = refuse("a proof from elsewhere", d.request(tree, old, 15), at)
		if e, ok := as[*journal.OldSizeError](err); !ok || e.Seen != d.checkpoint(tree, 10) || e.OldSize != old {
			t.Errorf("from %d: %v", old, err)
		}
	}
	r := d.request(tree, 10, 15)
	for name, p := range map[string]journal.Proof{
		"no proof": nil, "short": r.Proof[1:], "long": append(r.Proof, journal.Hash{}), "huge": make(journal.Proof, 10000),
	} {
		bad := r
		bad.Proof = p
		if _, ok := as[*journal.InconsistentError](refuse(name, bad, at)); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	same := d.request(tree, 10, 10)
	same.Proof = journal.Proof{{}}
	if _, ok := as[*journal.InconsistentError](refuse("a proof where none is needed", same, at)); !ok {
		t.Error("a proof where none is needed")
	}

	// The newest entry is of second 14.
	for name, now := range map[string]time.Time{
		"newest entry too old":  start.Add(seconds(14+30) + 1),
		"newest entry too new":  start.Add(seconds(14-30) - 1),
		"before 1970":           time.Unix(-5, 0),
		"no time":               {},
		"beyond the year 9999":  time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"beyond all timestamps": time.Unix(1<<62, 0),
	} {
		if _, ok := as[*journal.ClockError](refuse(name, r, now)); !ok {
			t.Errorf("%s: another error", name)
		}
	}

	forged, err := journal.SignCheckpoint(d.checkpoint(tree, 15), key(t, 77))
	if err != nil {
		t.Fatal(err)
	}
	text, sigs := lines(r.Note)
	for name, note := range map[string]string{
		"signed by another key": string(forged), "Ed25519 stripped": text + sigs[1], "ML-DSA-44 stripped": text + sigs[0],
	} {
		bad := r
		bad.Note = []byte(note)
		if err := refuse(name, bad, at); !isSignature(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	foreign := d.checkpoint(tree, 15)
	foreign.Origin = journal.NewOrigin([32]byte{9})
	if r.Note, err = journal.SignCheckpoint(foreign, d.log); err != nil {
		t.Fatal(err)
	}
	if err := refuse("another log", r, at); !errors.Is(err, journal.ErrOrigin) {
		t.Errorf("another log: %v", err)
	}
	if r.Note, err = journal.SignCheckpoint(d.checkpoint(new(journal.Tree), 0), d.log); err != nil {
		t.Fatal(err)
	}
	if err := refuse("the empty tree", r, at); !errors.Is(err, journal.ErrSize) {
		t.Errorf("the empty tree: %v", err)
	}

	// At the edges of the skew it cosigns.
	for _, now := range []time.Duration{seconds(14 + 30), seconds(14 - 30)} {
		if _, err := d.restart("w1").Cosign(background, d.request(tree, s.size(d), 15), start.Add(now)); err != nil {
			t.Errorf("at %v: %v", now, err)
		}
	}
}

// size is that of the stored head.
func (s *store) size(d *deployment) int64 {
	d.Helper()
	c, err := journal.OpenCheckpoint(s.note, d.origin, d.log.Public())
	if err != nil {
		d.Fatal(err)
	}
	return c.Size
}

// A witness stores its head before it answers: without a store it says nothing, and a
// crash behind the store leaves a witness that still refuses every other head.
func TestCosignStoresFirst(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, 1, 0)
	_, tree := log(t, 20, 20, "")
	_, other := log(t, 20, 3, "other")
	w, s := d.witness["w1"], d.stores["w1"]
	now := start.Add(seconds(10))

	full := errors.New("disk full")
	s.failing = full
	if lines, err := w.Cosign(background, d.request(tree, 0, 10), now); !errors.Is(err, full) || lines != nil {
		t.Errorf("cosigned with a store that fails: %v", err)
	}
	s.failing, s.loading = nil, full
	if lines, err := w.Cosign(background, d.request(tree, 0, 10), now); !errors.Is(err, full) || lines != nil {
		t.Errorf("cosigned with a store that can't be read: %v", err)
	}
	s.loading, s.crash = nil, true
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it didn't store")
			}
		}()
		lines, err := w.Cosign(background, d.request(tree, 0, 10), now)
		t.Errorf("it answered behind the crash: %q, %v", lines, err)
	}()
	s.crash = false

	after := d.restart("w1")
	if _, err := after.Cosign(background, d.request(other, 0, 10), now); err == nil {
		t.Error("cosigned a fork after the crash")
	} else if _, ok := as[*journal.ForkError](err); !ok {
		t.Errorf("after the crash: %v", err)
	}
	if _, err := after.Cosign(background, d.request(tree, 0, 9), now); err == nil {
		t.Error("cosigned a rollback after the crash")
	}
	if _, err := after.Cosign(background, d.request(tree, 10, 10), now); err != nil {
		t.Errorf("the stored head itself: %v", err)
	}

	for name, c := range map[string]struct {
		note string
		want error
	}{
		"empty":          {"", journal.ErrNote},
		"torn":           {string(s.note[:100]), journal.ErrNote},
		"no checkpoint":  {"x\n\n— x AAAAAAA=\n", journal.ErrCheckpoint},
		"of another log": {string(bytes.Replace(s.note, []byte("c0ff"), []byte("0000"), 1)), journal.ErrOrigin},
	} {
		s.note = append([]byte{}, c.note...)
		if _, err := after.Cosign(background, d.request(tree, 10, 10), now); !errors.Is(err, c.want) {
			t.Errorf("a stored head that is %s: %v", name, err)
		}
	}
}

func TestNewWitnessRefuses(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, 1, 0)
	for name, c := range map[string]struct {
		origin journal.Origin
		log    hybrid.PublicKey
		id     journal.WitnessID
		key    hybrid.PrivateKey
		want   error
	}{
		"no origin":       {"", d.log.Public(), "w1", key(t, 1), journal.ErrOrigin},
		"no log key":      {d.origin, hybrid.PublicKey{}, "w1", key(t, 1), hybrid.ErrKey},
		"no key":          {d.origin, d.log.Public(), "w1", hybrid.PrivateKey{}, hybrid.ErrKey},
		"no id":           {d.origin, d.log.Public(), "", key(t, 1), journal.ErrWitnesses},
		"the log's key":   {d.origin, d.log.Public(), "w1", d.log, journal.ErrWitnesses},
		"id with newline": {d.origin, d.log.Public(), "w1\n", key(t, 1), journal.ErrWitnesses},
	} {
		if _, err := journal.NewWitness(c.origin, c.log, c.id, c.key, &store{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Requests that race never make a witness cosign two heads that aren't of one log, nor a
// smaller head after a larger one.
func TestCosignConcurrently(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, 1, 0)
	_, one := log(t, 20, 3, "one")
	_, two := log(t, 20, 3, "two")
	d.stores["w1"].slow = true
	w := d.witness["w1"]
	requests := []journal.Request{d.request(one, 0, 10), d.request(two, 0, 10), d.request(one, 0, 12), d.request(two, 0, 12), d.request(one, 10, 15), d.request(two, 10, 15)}
	trees := []*journal.Tree{one, two, one, two, one, two}
	var mu sync.Mutex
	cosigned := map[*journal.Tree]int{}
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			lines, err := w.Cosign(background, requests[i%6], start.Add(seconds(12)))
			if err != nil {
				return
			}
			if _, err := d.quorum.Add(requests[i%6].Note, lines); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			cosigned[trees[i%6]]++
		})
	}
	wg.Wait()
	if len(cosigned) != 1 {
		t.Errorf("cosigned %d logs", len(cosigned))
	}
}

func BenchmarkCosign(b *testing.B) {
	d := deploy(b, 1, 1, 0)
	_, tree := log(b, 1001, 1001, "")
	d.cosign("w1", tree, 0, 1000)
	r := d.request(tree, 1000, 1001)
	note := d.stores["w1"].note
	for b.Loop() {
		d.stores["w1"].note = note
		if _, err := d.witness["w1"].Cosign(background, r, start.Add(seconds(1000))); err != nil {
			b.Fatal(err)
		}
	}
}
