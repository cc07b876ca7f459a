package lifecycle

import (
	"context"
	"crypto/sha256"

	"github.com/cofferhq/coffer/internal/ceremony"
	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/chains"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/store"
)

// keygen has the nodes make the key that an authorized intent asks for, and puts
// their attestations on record.
func (l *Lifecycle) keygen(ctx context.Context, v state.IntentView) error {
	order, ok := v.Intent.Body.(*custody.KeyCeremony)
	if !ok || order.Ceremony != custody.Keygen {
		return &custody.Error{Code: custody.Unavailable, Field: "ceremony", Message: "this version makes keys, no other ceremonies"}
	}
	record, chainCode, err := l.cfg.Nodes.Keygen(ctx, v.Intent.ID, v.Authorized.Index, order.Set)
	if err != nil {
		return err
	}
	return l.cfg.Store.Advance(ctx, func(t *store.Tx) error {
		record.Prev = t.State().ChainHead()
		if _, _, err := t.Append(custody.KeyEntry, record); err != nil {
			return err
		}
		return t.PutChainCode(order.Key, chainCode)
	})
}

// resend is how often a transaction in no block is sent again, in seconds.
const resend = 30

// execute moves the newest transaction of an intent on: it is signed, sent, and sent
// again until it is in a block. What happens in blocks, watch sees to.
func (l *Lifecycle) execute(ctx context.Context, v state.IntentView) (next later, done bool, err error) {
	p := v.Prepared[len(v.Prepared)-1]
	switch p.State {
	case custody.TxPrepared:
		if v.Intent.Expires <= l.now() {
			return later{store.Never, "expired before it was signed"}, true, nil
		}
		return never, false, l.sign(ctx, v, p)
	case custody.TxSigned, custody.TxBroadcasting, custody.TxReorged, custody.TxDropped:
		if err := l.send(ctx, v, p); err != nil {
			return never, true, err
		}
		return later{l.now().Add(resend), "waits for a block"}, true, nil
	default:
		return never, true, nil
	}
}

// sign has a prepared transaction signed and puts the signatures on record, together
// with the bytes that the network takes.
func (l *Lifecycle) sign(ctx context.Context, v state.IntentView, p state.Prepared) error {
	tx, err := l.cfg.Store.Transaction(ctx, p.Leaf)
	if err != nil {
		return err
	}
	transfer, ok := v.Intent.Body.(*custody.Transfer)
	if !ok {
		return &custody.Error{Code: custody.Internal, Message: "not a transfer"}
	}
	order := ceremony.Order{Intent: v.Intent.ID, Prepared: p.Leaf, Index: p.Index, Details: tx.Details}
	var from chain.Account
	err = l.cfg.Store.View(func(s *state.State) error {
		if from, err = account(ctx, s, l.cfg.Store.Reader, transfer.Wallet); err != nil {
			return err
		}
		order.Set = s.Key(s.Wallet(transfer.Wallet).Key).Set
		if to := s.Wallet(transfer.Destination.Wallet); to != nil {
			order.Recipient, err = l.cfg.Store.ChainCode(ctx, to.Key)
		}
		return err
	})
	if err != nil {
		return err
	}
	family, err := chains.For(transfer.Network)
	if err != nil {
		return err
	}
	effects, err := family.Decode(from, tx.Details)
	if err != nil {
		return err
	}
	for _, m := range effects.Messages {
		order.Messages = append(order.Messages, sha256.Sum256(m.Bytes))
	}
	var signed *chain.Signed
	order.Verify = func(signatures []custody.Blob) error {
		raw := make([][]byte, len(signatures))
		for i, s := range signatures {
			raw[i] = s
		}
		signed, err = family.Assemble(from, tx.Details, raw)
		return err
	}
	done, err := l.cfg.Nodes.Sign(ctx, order)
	if err != nil {
		return err
	}
	record := &custody.SignedRecord{Intent: v.Intent.ID, Prepared: p.Leaf, Messages: order.Messages, Signatures: done.Signatures, Receipts: done.Receipts}
	return l.cfg.Store.Advance(ctx, func(t *store.Tx) error {
		if _, _, err := t.Append(custody.SignedEntry, record); err != nil {
			return err
		}
		if err := t.SetSigned(p.Leaf, signed.Raw, signed.ID); err != nil {
			return err
		}
		for _, c := range effects.Claims { // spent as far as balances go, though in no block yet
			if err := t.SpendCoin(transfer.Network, c.Outpoint, signed.ID, 0); err != nil {
				return err
			}
		}
		for _, c := range effects.Change {
			err := t.AddCoin(store.Coin{
				Network: transfer.Network, Outpoint: outpoint(signed.ID, c.Output), Wallet: transfer.Wallet,
				Branch: c.Path[1], Index: c.Path[2], Amount: c.Amount,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// send hands a signed transaction to the network. To send the same bytes again does
// no harm.
func (l *Lifecycle) send(ctx context.Context, v state.IntentView, p state.Prepared) error {
	tx, err := l.cfg.Store.Transaction(ctx, p.Leaf)
	if err != nil {
		return err
	}
	n := l.cfg.Networks[tx.Network]
	if n == nil {
		return &custody.Error{Code: custody.Unavailable, Field: "network", Message: "this control plane isn't connected to " + string(tx.Network)}
	}
	asking, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if err := n.Node.Send(asking, tx.Signed); err != nil {
		return err
	}
	if p.State == custody.TxBroadcasting {
		return nil
	}
	err = l.cfg.Store.Advance(ctx, func(t *store.Tx) error {
		_, _, err := t.Append(custody.ObservedEntry, &custody.Observed{
			Kind: custody.Broadcast, Intent: v.Intent.ID, Prepared: p.Leaf, Transaction: tx.ID,
		})
		return err
	})
	if isVoid(err) {
		return nil // a block had it first
	}
	return err
}
