package lifecycle

import (
	"context"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/policy"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/store"
)

// decide authorizes an intent as soon as policy allows it. Until then it waits for
// people, facts or time.
func (l *Lifecycle) decide(ctx context.Context, id custody.ID[custody.Intent]) (next later, done bool, err error) {
	var d state.Decision
	var v state.IntentView
	err = l.cfg.Store.Advance(ctx, func(t *store.Tx) error {
		now := t.Now()
		v, _ = t.State().Intent(id)
		if v.State != custody.Submitted || v.Intent.Expires <= now {
			done = true
			return nil
		}
		if d, err = t.State().Decide(id, now); err != nil || d.Outcome != policy.Allowed {
			return err
		}
		_, _, err := t.Append(custody.AuthorizedEntry, &custody.Authorized{
			Intent: id, Policy: d.Policy, Facts: d.FactsHash, Prev: t.State().ChainHead(),
		})
		return err
	})
	switch {
	case isVoid(err):
		return later{l.now().Add(30), err.Error()}, true, nil
	case err != nil || done || d.Outcome == policy.Allowed:
		return never, done, err
	}
	next = later{v.Intent.Expires, ""}
	if len(d.Ways) == 0 || len(d.Ways[0].Missing.Approvals) > 0 || d.Ways[0].Missing.Delay == 0 {
		return next, true, nil // whoever is missing wakes it
	}
	next.note = "waits for the delay that policy asks for"
	if until := d.Ways[0].Missing.Until; until > 0 {
		next.at = min(until, v.Intent.Expires)
		return next, true, nil
	}
	next.at = l.now().Add(30)
	return next, true, l.witness(ctx, v)
}

// witness puts the witnessed time of an intent's last approval on record, from which
// its delay runs.
func (l *Lifecycle) witness(ctx context.Context, v state.IntentView) error {
	last := v.Index
	for _, a := range v.Approvals {
		last = max(last, a.Index)
	}
	if err := l.cfg.Nodes.Covered(ctx, last); err != nil {
		return err
	}
	head, note := l.cfg.Nodes.Head()
	err := l.cfg.Store.Advance(ctx, func(t *store.Tx) error {
		body := &custody.Cosigned{Intent: v.Intent.ID, Head: custody.Note(note), Proof: []custody.Hash{}}
		proof, err := journal.ProveConsistency(head.Size, l.cfg.Store.Size(), l.cfg.Store)
		if err != nil {
			return err
		}
		for _, h := range proof {
			body.Proof = append(body.Proof, custody.Hash(h))
		}
		if v.Intent.Type.Governs() {
			body.Prev = t.State().ChainHead()
		}
		if _, _, err := t.Append(custody.CosignedEntry, body); err != nil {
			return err
		}
		return t.Wake(v.Intent.ID)
	})
	if isVoid(err) {
		return nil
	}
	return err
}
