package state

import (
	"errors"
	"fmt"
	"iter"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
)

// VerifyWithJournal is [Verify] with the whole journal at hand, as entries in
// order: what a bundle shows as attested by the nodes, the running totals, is
// proved by replaying all of it from the charter. A check named "journal" fails
// where the journal isn't the bundle's.
func VerifyWithJournal(raw []byte, trust Trust, entries iter.Seq2[[]byte, error]) (*Report, error) {
	v, err := verify(raw, trust)
	if err != nil {
		return nil, err
	}
	report := v.report
	if err := v.bundle.replayed(report, entries); err != nil {
		return nil, &CheckError{"journal", err}
	}
	for i, c := range report.Checks {
		if c.Check == "total" {
			report.Checks[i].Standing, report.Checks[i].By = Proved, "replay of the journal"
		}
	}
	return report, nil
}

// replayed applies the entries up to the bundle's head. All that the bundle shows
// must be in effect there, the governance chain be whole, and the witnesses be
// those in force.
func (b *Bundle) replayed(report *Report, entries iter.Seq2[[]byte, error]) error {
	head, err := headOf(b.Head)
	if err != nil {
		return err
	}
	s := New(report.Charter)
	for _, list := range b.Lists {
		if err := s.Offer(list); err != nil {
			return err
		}
	}
	below := func(yield func([]byte, error) bool) {
		n := int64(0)
		for raw, err := range entries {
			if n == head.Size || !yield(raw, err) {
				return
			}
			n++
		}
	}
	inEffect := make(map[custody.Hash]bool)
	var chain []custody.Hash
	err = s.ApplyAll(below, func(r Result) error {
		if r.Void == "" {
			inEffect[r.Leaf] = true
		}
		if s.Chain == r.Leaf {
			chain = append(chain, r.Leaf)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("entry %d: %w", s.Size(), err)
	}
	switch {
	case s.Size() < head.Size:
		return fmt.Errorf("truncated: %d entries, the bundle's head is of %d", s.Size(), head.Size)
	case journal.Hash(s.Root()) != head.Root:
		return errors.New("its root is not that of the bundle's head: entries were changed")
	}
	for _, raw := range b.Entries {
		if !inEffect[custody.Hash(journal.LeafHash(raw))] {
			return errors.New("an entry of the bundle is void in it")
		}
	}
	shown := chain[len(chain)-min(len(b.Chain), len(chain)):]
	for i, raw := range b.Chain {
		if len(shown) != len(b.Chain) || shown[i] != custody.Hash(journal.LeafHash(raw)) {
			return errors.New("its governance chain is another one: the bundle leaves something out")
		}
	}
	if len(b.Snapshot) == 0 && len(b.Chain) != len(chain) {
		return errors.New("its governance chain is another one: the bundle leaves something out")
	}
	if _, err := s.CheckHead([]byte(b.Head)); err != nil {
		return err
	}
	report.add("journal replay", Proved, "every entry", "%d entries come to the root of the head", head.Size)
	return nil
}
