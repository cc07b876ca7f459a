package lifecycle

import (
	"context"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/store"
)

// Evidence returns the evidence bundle of a transfer whose transaction was signed, in
// canonical JSON, under the newest head that a quorum cosigned.
func (l *Lifecycle) Evidence(ctx context.Context, id custody.ID[custody.Intent]) ([]byte, error) {
	in, err := l.cfg.Store.Intent(ctx, id)
	if err != nil {
		return nil, err
	}
	all, err := l.cfg.Store.TransactionsOf(ctx, id)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(t store.Transaction) bool { return t.Signed == nil })
	if len(all) == 0 {
		return nil, &custody.Error{Code: custody.Conflict, Field: "intent", Message: "nothing of it was signed, so there is nothing to prove"}
	}
	tx := all[len(all)-1]
	history, err := l.cfg.Store.History(ctx, id)
	if err != nil {
		return nil, err
	}
	last := int64(0)
	for _, line := range history {
		if line.Type == custody.SignedEntry {
			last = line.Index
		}
	}
	head, note := l.cfg.Nodes.Head()
	if head.Size <= last {
		return nil, &custody.Error{Code: custody.Unavailable, Field: "head", Message: fmt.Sprintf("no quorum of witnesses has cosigned entry %d yet", last)}
	}
	lists, err := l.cfg.Store.Lists(ctx)
	if err != nil {
		return nil, err
	}
	charter := custody.Hash{}
	var of chain.Account
	err = l.cfg.Store.View(func(s *state.State) error {
		charter = s.CharterHash()
		of, err = account(ctx, s, l.cfg.Store.Reader, in.Wallet)
		return err
	})
	if err != nil {
		return nil, err
	}
	b, err := state.Collect(l.cfg.Store, note, id, charter, lists...)
	if err != nil {
		return nil, err
	}
	b.Transaction, b.ChainCode = tx.Details, of.ChainCode
	return custody.Encode(b)
}
