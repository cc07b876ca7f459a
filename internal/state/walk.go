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
	report, err := Verify(raw, trust)
	if err != nil {
		return nil, err
	}
	var b Bundle
	if err := custody.Decode(raw, &b, MaxBundle); err != nil {
		return nil, failed("form", err)
	}
	if err := b.replayed(report, entries); err != nil {
		return nil, failed("journal", err)
	}
	for i, c := range report.Checks {
		if c.Check == "total" {
			report.Checks[i].Standing, report.Checks[i].By = Proved, "replay of the journal"
		}
	}
	return report, nil
}

// replayed applies the entries up to the bundle's head and compares what they come
// to.
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
	authorized := false
	leaf, err := b.authorization()
	if err != nil {
		return err
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
	err = s.ApplyAll(below, func(r Result) error {
		authorized = authorized || r.Void == "" && r.Leaf == leaf
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
	case !authorized:
		return errors.New("the intent's authorization is void in it")
	}
	report.add("journal replay", Proved, "every entry", "%d entries come to the root of the head", head.Size)
	return nil
}

// authorization is the leaf hash of the AUTHORIZED entry of the bundle's intent.
func (b *Bundle) authorization() (custody.Hash, error) {
	for _, raw := range b.Entries {
		e, err := custody.ParseEntry(raw)
		if err != nil {
			return custody.Hash{}, err
		}
		if a, ok := e.Body.(*custody.Authorized); ok && a.Intent == b.Intent {
			return custody.Hash(journal.LeafHash(raw)), nil
		}
	}
	return custody.Hash{}, errors.New("the bundle holds no authorization")
}
