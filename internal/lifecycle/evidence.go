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
	all, err := l.cfg.Store.TransactionsOf(ctx, id)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(t store.Transaction) bool { return t.Signed == nil })
	if len(all) == 0 {
		if _, err := l.cfg.Store.Intent(ctx, id); err != nil {
			return nil, err
		}
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
	var account chain.Account
	err = l.cfg.Store.Advance(ctx, func(t *store.Tx) error { // it only reads
		charter = t.State().CharterHash()
		in, err := t.Intent(ctx, id)
		if err != nil {
			return err
		}
		account, err = l.account(ctx, t, in.Wallet)
		return err
	})
	if err != nil {
		return nil, err
	}
	b, err := state.Collect(l.cfg.Store, note, id, charter, lists...)
	if err != nil {
		return nil, err
	}
	b.Transaction, b.ChainCode = tx.Details, account.ChainCode
	return custody.Encode(b)
}
