package journal_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/journal"
)

// audit walks entries against the heads of true at the given sizes, the last of which is
// the cosigned one.
func audit(d *deployment, entries [][]byte, truth *journal.Tree, recorded bool, sizes ...int64) error {
	d.Helper()
	a := journal.Audit{Head: d.checkpoint(truth, sizes[len(sizes)-1]), Stamp: stamp}
	for _, size := range sizes[:len(sizes)-1] {
		a.Earlier = append(a.Earlier, d.checkpoint(truth, size))
	}
	if recorded {
		a.Leaf = func(index int64) (journal.Hash, bool) {
			leaf, err := truth.Leaf(index)
			return leaf, err == nil
		}
	}
	_, err := a.Walk(all(entries))
	return err
}

// without, with and changed make a damaged copy of entries.
func without(entries [][]byte, from, to int) [][]byte {
	return slices.Delete(slices.Clone(entries), from, to)
}

func with(entries [][]byte, at int, e ...[]byte) [][]byte {
	return slices.Insert(slices.Clone(entries), at, e...)
}

func changed(entries [][]byte, at int, e []byte) [][]byte {
	return slices.Replace(slices.Clone(entries), at, at+1, e)
}

func TestAuditPasses(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, 1, 0)
	entries, tree := log(t, 20, 20, "")
	for _, recorded := range []bool{false, true} {
		if err := audit(d, entries, tree, recorded, 0, 5, 5, 12, 20); err != nil {
			t.Error(err)
		}
		// Entries beyond the head are fine, and counted.
		if err := audit(d, entries, tree, recorded, 5, 12); err != nil {
			t.Error(err)
		}
	}
	a := journal.Audit{Head: d.checkpoint(tree, 12), Stamp: stamp}
	if edge, err := a.Walk(all(entries)); err != nil || edge != tree.Frontier() {
		t.Errorf("the frontier: %v", err)
	}
	broken := errors.New("disk")
	_, err := a.Walk(func(yield func([]byte, error) bool) { _ = yield(entries[0], nil) && yield(nil, broken) })
	if !errors.Is(err, broken) {
		t.Errorf("a store that fails: %v", err)
	}
	foreign := journal.Audit{Head: a.Head, Earlier: []journal.Checkpoint{{Origin: "coffer/x"}}, Stamp: stamp}
	if _, err := foreign.Walk(all(nil)); !errors.Is(err, journal.ErrOrigin) {
		t.Errorf("heads of two logs: %v", err)
	}
}

// Each kind of damage has its own error, with the place.
func TestAuditNames(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, 1, 0)
	entries, tree := log(t, 20, 20, "")
	swapped := slices.Clone(entries)
	swapped[3], swapped[7] = swapped[7], swapped[3]
	neighbours := slices.Clone(entries)
	neighbours[3], neighbours[4] = neighbours[4], neighbours[3]
	moved := with(without(entries, 3, 4), 9, entries[3])
	for _, c := range []struct {
		name     string
		entries  [][]byte
		recorded bool
		want     string
	}{
		{"tampered, leaves recorded", changed(entries, 7, entry(7, "evil")), true, "journal: entry 7 isn't the one that was recorded"},
		{"tampered, heads alone", changed(entries, 7, entry(7, "evil")), false, "journal: an entry in 5 to 11 isn't the one that was cosigned"},
		{"tampered behind the last earlier head", changed(entries, 19, entry(19, "evil")), false, "journal: an entry in 12 to 19 isn't the one that was cosigned"},
		{"garbage, leaves recorded", changed(entries, 7, []byte("garbage")), true, "journal: entry 7 isn't the one that was recorded"},
		{"an index changed", changed(entries, 7, entryAt(70, "main", start.Add(seconds(7)))), false, "journal: entry 7 isn't the one that was recorded"},
		{"the last index changed", changed(entries, 19, entryAt(20, "main", start.Add(seconds(19)))), false, "journal: entry 19 isn't the one that was recorded"},
		{"a copy in its place", changed(entries, 7, entries[5]), false, "journal: entry 7 isn't the one that was recorded"},
		{"truncated", entries[:17], false, "journal: truncated: 17 of 20 entries, the last 3 are missing"},
		{"nothing left", nil, false, "journal: truncated: 0 of 20 entries, the last 20 are missing"},
		{"tampered and truncated", changed(entries, 7, entry(7, "evil"))[:17], true, "journal: entry 7 isn't the one that was recorded\njournal: truncated: 17 of 20 entries, the last 3 are missing"},
		{"one deleted", without(entries, 7, 8), false, "journal: entries 7 to 7 are missing"},
		{"three deleted", without(entries, 7, 10), true, "journal: entries 7 to 9 are missing"},
		{"the first deleted", without(entries, 0, 1), false, "journal: entries 0 to 0 are missing"},
		{"two swapped", swapped, false, "journal: reordered: entry 7 stands at position 3"},
		{"neighbours swapped", neighbours, true, "journal: reordered: entry 4 stands at position 3"},
		{"one moved", moved, false, "journal: reordered: entry 4 stands at position 3"},
		{"inserted", with(entries, 7, entry(7, "evil")), false, "journal: inserted: entries too many up to position 8: 1"},
		{"inserted twice", with(entries, 7, entry(7, "evil"), entry(8, "evil")), false, "journal: inserted: entries too many up to position 9: 2"},
		{"one repeated", with(entries, 7, entries[7]), false, "journal: inserted: entries too many up to position 8: 1"},
		{"inserted with an earlier date", with(entries, 7, entryAt(7, "evil", start)), false, "journal: entry 7 is dated 6s before its predecessor"},
		{"dated back", changed(entries, 7, entryAt(7, "main", start.Add(seconds(5)))), false, "journal: entry 7 is dated 1s before its predecessor"},
	} {
		err := audit(d, c.entries, tree, c.recorded, 5, 12, 20)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v\nnot: %s", c.name, err, c.want)
		}
	}
	if err := audit(d, changed(entries, 7, []byte("garbage")), tree, false, 20); err == nil {
		t.Error("garbage passes")
	}
}

// A history rewritten from one entry on, with every later index and time made to fit.
func TestAuditRewritten(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, 1, 0)
	_, tree := log(t, 20, 20, "")
	rewritten, fork := log(t, 20, 7, "evil")
	if e, ok := as[*journal.TamperError](audit(d, rewritten, tree, true, 5, 12, 20)); !ok || *e != (journal.TamperError{From: 7, To: 8}) {
		t.Errorf("leaves recorded: %v", e)
	}
	if e, ok := as[*journal.TamperError](audit(d, rewritten, tree, false, 5, 12, 20)); !ok || *e != (journal.TamperError{From: 5, To: 12}) {
		t.Errorf("heads alone: %v", e)
	}

	// Where the log signed the rewritten journal's head as well, it is a fork.
	leaf := func(index int64) (journal.Hash, bool) { h, err := tree.Leaf(index); return h, err == nil }
	older := d.checkpoint(tree, 12)
	for name, c := range map[string]struct {
		audit    journal.Audit
		from, to int64
	}{
		"an earlier head":                  {journal.Audit{Head: d.checkpoint(fork, 20), Earlier: []journal.Checkpoint{d.checkpoint(tree, 5), older}}, 5, 12},
		"recorded leaves":                  {journal.Audit{Head: d.checkpoint(fork, 20), Leaf: leaf}, 7, 8},
		"both":                             {journal.Audit{Head: d.checkpoint(fork, 20), Earlier: []journal.Checkpoint{older}, Leaf: leaf}, 7, 8},
		"an earlier head of the same size": {journal.Audit{Head: d.checkpoint(fork, 20), Earlier: []journal.Checkpoint{d.checkpoint(tree, 20)}}, 0, 20},
	} {
		c.audit.Stamp = stamp
		_, err := c.audit.Walk(all(rewritten))
		if e, ok := as[*journal.ForkError](err); !ok || e.From != c.from || e.To != c.to {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The journal fits all that was recorded, the head doesn't.
	mine, _ := log(t, 20, 20, "")
	a := journal.Audit{Head: d.checkpoint(fork, 20), Earlier: []journal.Checkpoint{older}, Leaf: leaf, Stamp: stamp}
	if _, err := a.Walk(all(mine)); err == nil {
		t.Error("a forked head passes")
	} else if e, ok := as[*journal.ForkError](err); !ok || e.From != 12 || e.To != 20 {
		t.Errorf("a forked head: %v", err)
	}
}

// Whatever single change is made to a random journal, the audit finds it; without one it
// passes.
func TestAuditFindsAnyChange(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, 1, 0)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(rt, "n")
		entries, tree := log(t, int64(n), math.MaxInt64, "")
		sizes := rapid.SliceOfN(rapid.Int64Range(0, int64(n)), 0, 3).Draw(rt, "earlier")
		i, j := rapid.IntRange(0, n-1).Draw(rt, "i"), rapid.IntRange(0, n-1).Draw(rt, "j")
		bad := slices.Clone(entries)
		switch kind := rapid.IntRange(0, 5).Draw(rt, "kind"); kind {
		case 0:
			bad = bad[:i]
		case 1:
			bad = without(bad, i, i+1)
		case 2:
			bad[i], bad[j] = bad[j], bad[i]
		case 3:
			bad = with(bad, i, bad[j])
		case 4:
			bad[i] = slices.Clone(bad[i])
			bad[i][rapid.IntRange(0, len(bad[i])-1).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		case 5:
			bad[i] = entryAt(int64(i), "main", start.Add(time.Duration(rapid.Int64Range(-9, 9).Draw(rt, "shift"))*time.Second))
		}
		same := fmt.Sprintf("%q", bad) == fmt.Sprintf("%q", entries)
		recorded := rapid.Bool().Draw(rt, "recorded")
		if err := audit(d, bad, tree, recorded, append(sizes, int64(n))...); (err == nil) != same {
			rt.Fatalf("%v:\n%s", err, bad)
		}
	})
}
