package journal_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
)

// FAULTS C41, split view: the log shows each half of the witnesses another journal. Only
// one of the two can reach a quorum, and the notes convict the log key.
func TestC41SplitView(t *testing.T) {
	t.Parallel()
	d := deploy(t, 4, 3, 1)
	_, one := log(t, 20, 8, "one")
	_, two := log(t, 20, 8, "two")
	for _, id := range d.ids {
		d.cosign(id, one, 0, 5)
	}
	a, b := d.sign(one, 15), d.sign(two, 15)
	for i, id := range d.ids {
		if i < 2 {
			a = d.add(a, d.cosign(id, one, 5, 15))
		} else {
			b = d.add(b, d.cosign(id, two, 5, 15))
		}
	}
	for _, id := range d.ids[2:] {
		_, err := d.witness[id].Cosign(background, d.request(one, 15, 15), start.Add(seconds(15)))
		if e, ok := as[*journal.ForkError](err); !ok || e.Proof == nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	// The one liar of this deployment signs both views. Still no two quorums.
	a = d.add(a, cosignAt(d, "w4", one, 15, 15))
	d.check(a)
	if _, err := d.quorum.Check(b); err == nil {
		t.Error("both views have a quorum")
	} else if e, ok := as[*journal.QuorumError](err); !ok || len(e.Signed) != 2 {
		t.Error(err)
	}
	p, err := journal.NewForkProof(a, b, d.origin, d.log.Public(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Verify(d.origin, d.log.Public()); err != nil {
		t.Error(err)
	}
	// The exact place, from both logs.
	if at, err := journal.Divergence(15, one.Root, two.Root); err != nil || at != 8 {
		t.Errorf("differ at %d: %v", at, err)
	}
}

// FAULTS C41, damage: truncation, deletion, reorder, back-dated insert. A witness that saw
// the true log refuses the damaged one's head, and the audit names what was done.
func TestC41Damage(t *testing.T) {
	t.Parallel()
	entries, truth := log(t, 20, 20, "")
	swapped := append([][]byte{}, entries...)
	swapped[4], swapped[9] = swapped[9], swapped[4]
	for name, c := range map[string]struct {
		entries [][]byte
		named   func(error) bool
	}{
		"truncation": {entries[:13], func(err error) bool {
			e, ok := as[*journal.TruncatedError](err)
			return ok && *e == journal.TruncatedError{Have: 13, Want: 16}
		}},
		"deletion": {without(entries, 6, 8), func(err error) bool {
			e, ok := as[*journal.MissingError](err)
			return ok && *e == journal.MissingError{From: 6, To: 8}
		}},
		"reorder": {swapped, func(err error) bool {
			e, ok := as[*journal.OrderError](err)
			return ok && *e == journal.OrderError{Position: 4, Index: 9}
		}},
		"back-dated insert": {with(entries, 6, entryAt(6, "evil", start.Add(seconds(2)))), func(err error) bool {
			e, ok := as[*journal.BackdatedError](err)
			return ok && e.Index == 6
		}},
		"insert": {with(entries, 6, entryAt(6, "evil", start.Add(seconds(6)))), func(err error) bool {
			e, ok := as[*journal.InsertedError](err)
			return ok && *e == journal.InsertedError{Position: 7, Count: 1}
		}},
	} {
		d := deploy(t, 1, 1, 0)
		head := d.check(d.add(d.sign(truth, 16), d.cosign("w1", truth, 0, 16)))
		damaged := new(journal.Tree)
		for _, e := range c.entries {
			if _, err := damaged.Append(e); err != nil {
				t.Fatal(err)
			}
		}
		r := d.request(damaged, min(16, damaged.Size()), damaged.Size())
		r.OldSize = 16
		if lines, err := d.witness["w1"].Cosign(background, r, start.Add(seconds(16))); err == nil {
			t.Errorf("%s: cosigned: %s", name, lines)
		}
		a := journal.Audit{Head: head.Checkpoint, Stamp: stamp}
		if _, err := a.Walk(all(c.entries)); !c.named(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FAULTS C41, rollback: a head smaller than one accepted before.
func TestC41Rollback(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, 1, 0)
	entries, tree := log(t, 20, 20, "")
	d.cosign("w1", tree, 0, 16)
	_, err := d.witness["w1"].Cosign(background, d.request(tree, 0, 9), start.Add(seconds(9)))
	if e, ok := as[*journal.RollbackError](err); !ok || e.Seen.Size != 16 || e.Got.Size != 9 {
		t.Errorf("witness: %v", err)
	}
	a := journal.Audit{Head: d.checkpoint(tree, 9), Earlier: []journal.Checkpoint{d.checkpoint(tree, 16)}, Stamp: stamp}
	_, err = a.Walk(all(entries))
	if e, ok := as[*journal.RollbackError](err); !ok || e.Seen.Size != 16 || e.Got.Size != 9 {
		t.Errorf("audit: %v", err)
	}
}

// FAULTS C41, stolen log key: the thief signs any journal he likes. No witness cosigns it,
// no verifier takes it, the audit gives the exact size of divergence, and whoever sees his
// note and a true one convicts the key.
func TestC41StolenLogKey(t *testing.T) {
	t.Parallel()
	d := deploy(t, 3, 2, 0)
	_, truth := log(t, 20, 20, "")
	forged, thief := log(t, 18, 11, "evil")
	note := d.sign(truth, 15)
	for _, id := range d.ids {
		note = d.add(note, d.cosign(id, truth, 0, 15))
	}
	d.check(note)
	stolen := d.sign(thief, 18)
	for _, id := range d.ids {
		_, err := d.witness[id].Cosign(background, d.request(thief, 15, 18), start.Add(seconds(18)))
		if _, ok := as[*journal.InconsistentError](err); !ok {
			t.Errorf("%s: %v", id, err)
		}
	}
	if _, err := d.quorum.Check(stolen); err == nil {
		t.Error("a head without witnesses counts")
	}
	if at, err := journal.Divergence(15, truth.Root, thief.Root); err != nil || at != 11 {
		t.Errorf("differ at %d: %v", at, err)
	}
	a := journal.Audit{
		Head: d.checkpoint(thief, 18), Earlier: []journal.Checkpoint{d.checkpoint(truth, 15)}, Stamp: stamp,
		Leaf: func(index int64) (journal.Hash, bool) {
			h, err := truth.Leaf(index)
			return h, err == nil && index < 15
		},
	}
	_, err := a.Walk(all(forged))
	if e, ok := as[*journal.ForkError](err); !ok || e.From != 11 || e.To != 12 ||
		e.Error() != "journal: fork: the heads of 12 and 18 are not of one log: they differ from entry 11" {
		t.Errorf("audit: %v", err)
	}
	p, err := journal.NewForkProof(stolen, note, d.origin, d.log.Public(), thief)
	if err != nil {
		t.Fatal(err)
	}
	older, newer, err := p.Verify(d.origin, d.log.Public())
	if err != nil || older != d.checkpoint(truth, 15) || newer != d.checkpoint(thief, 18) {
		t.Errorf("%v", err)
	}
}

// FAULTS C41, signing stops where no head is fresh: a head older than 60 s isn't.
func TestC41NoFreshHead(t *testing.T) {
	t.Parallel()
	d := deploy(t, 3, 2, 0)
	_, tree := log(t, 20, 20, "")
	h := d.check(d.add(d.sign(tree, 20), d.cosign("w1", tree, 0, 20), d.cosign("w2", tree, 0, 20)))
	if err := h.Fresh(h.WitnessedTime.Add(60*time.Second), 60*time.Second); err != nil {
		t.Error(err)
	}
	err := h.Fresh(h.WitnessedTime.Add(61*time.Second), 60*time.Second)
	if e, ok := as[*journal.StaleError](err); !ok || e.FromFuture || err.Error() != "journal: the head of 20 was last witnessed 1m1s ago, 1m0s at most" {
		t.Error(err)
	}
}

// A ForkProof convicts nobody who signed one log alone, and nothing in it can be changed.
func TestForkProof(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, 1, 0)
	_, one := log(t, 20, 20, "")
	_, two := log(t, 20, 8, "two")
	public := d.log.Public()
	for size := int64(1); size <= 20; size++ {
		if _, err := journal.NewForkProof(d.sign(one, size), d.sign(one, 20), d.origin, public, one); !errors.Is(err, journal.ErrNoFork) {
			t.Errorf("a true head of %d: %v", size, err)
		}
		p, err := journal.NewForkProof(d.sign(one, size), d.sign(two, 20), d.origin, public, two)
		if (err == nil) != (size > 8) {
			t.Errorf("logs that differ from 8, head of %d: %v", size, err)
		}
		if err != nil {
			continue
		}
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var again journal.ForkProof
		if err := json.Unmarshal(b, &again); err != nil {
			t.Fatal(err)
		}
		if _, _, err := again.Verify(d.origin, public); err != nil {
			t.Errorf("from JSON: %v", err)
		}
	}
	if _, err := journal.NewForkProof(d.sign(one, 12), d.sign(two, 20), d.origin, public, nil); !errors.Is(err, journal.ErrNoFork) {
		t.Errorf("without the log: %v", err)
	}

	p, err := journal.NewForkProof(d.sign(one, 12), d.sign(two, 20), d.origin, public, two)
	if err != nil {
		t.Fatal(err)
	}
	same, err := journal.NewForkProof(d.sign(one, 20), d.sign(two, 20), d.origin, public, nil)
	if err != nil {
		t.Fatal(err)
	}
	truth, err := one.Root(12)
	if err != nil {
		t.Fatal(err)
	}
	path, err := journal.ProveConsistency(12, 20, one)
	if err != nil {
		t.Fatal(err)
	}
	unsigned, _ := lines([]byte(p.Newer))
	for name, bad := range map[string]journal.ForkProof{
		"empty":                {},
		"older twice":          {Older: p.Older, Newer: p.Older, Path: p.Path, Root: p.Root},
		"swapped":              {Older: p.Newer, Newer: p.Older, Path: p.Path, Root: p.Root},
		"no path":              {Older: p.Older, Newer: p.Newer, Root: p.Root},
		"no root":              {Older: p.Older, Newer: p.Newer, Path: p.Path},
		"the true root":        {Older: p.Older, Newer: p.Newer, Root: truth, Path: p.Path},
		"an invented root":     {Older: p.Older, Newer: string(d.sign(one, 20)), Root: flip(truth, 3), Path: path},
		"the other log's path": {Older: p.Older, Newer: string(d.sign(one, 20)), Root: p.Root, Path: p.Path},
		"one size and a path":  {Older: same.Older, Newer: same.Newer, Path: p.Path},
		"one note not signed":  {Older: p.Older, Newer: unsigned, Root: p.Root, Path: p.Path},
		"signed by another":    {Older: p.Older, Newer: string(forge(t, d, two)), Root: p.Root, Path: p.Path},
	} {
		if _, _, err := bad.Verify(d.origin, public); err == nil {
			t.Errorf("%s: convicts", name)
		}
	}
	if _, _, err := p.Verify(d.origin, key(t, 5).Public()); !isSignature(err) {
		t.Errorf("another log key: %v", err)
	}
	if _, _, err := p.Verify(d.origin, hybrid.PublicKey{}); err == nil {
		t.Error("no log key")
	}
}

func forge(tb testing.TB, d *deployment, tree *journal.Tree) []byte {
	tb.Helper()
	n, err := journal.SignCheckpoint(d.checkpoint(tree, 20), key(tb, 77))
	if err != nil {
		tb.Fatal(err)
	}
	return n
}
