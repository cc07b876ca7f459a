package lifecycle

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/chain/chains"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/store"
)

// coinbaseDepth is how many blocks, its own included, a block's reward needs before
// it can be spent in the next one (Bitcoin consensus, COINBASE_MATURITY).
const coinbaseDepth = 100

// askTime is how long an intent waits for a network's node, so that one that hangs
// holds up nobody else.
const askTime = 5 * time.Second

// relayRate is what nodes ask for before they relay anything, in satoshi per 1,000
// virtual bytes (minrelaytxfee of Bitcoin Core and btcd).
const relayRate = 1000

// prepare builds the transaction of an authorized transfer from the coins at hand,
// and puts its hash, claims and fee on record together with its bytes.
func (l *Lifecycle) prepare(ctx context.Context, v state.IntentView) error {
	transfer, ok := v.Intent.Body.(*custody.Transfer)
	if !ok {
		return &custody.Error{Code: custody.Internal, Message: "not a transfer"}
	}
	n := l.cfg.Networks[transfer.Network]
	if n == nil {
		return &custody.Error{Code: custody.Unavailable, Field: "network", Message: "this control plane isn't connected to " + string(transfer.Network)}
	}
	asking, cancel := context.WithTimeout(ctx, askTime)
	rate, ok, err := n.Node.FeeRate(asking, 6)
	cancel()
	if err != nil {
		return err
	}
	if !ok {
		rate = n.FeeRate
	}
	rate = max(rate, relayRate)
	var set custody.SignerSet
	err = l.cfg.Store.View(func(s *state.State) error {
		set = s.Key(s.Wallet(transfer.Wallet).Key).Set
		return nil
	})
	if err != nil {
		return err
	}
	if err := l.cfg.Nodes.Able(set); err != nil {
		return err
	}
	return l.cfg.Store.Advance(ctx, func(t *store.Tx) error {
		if err := t.State().MayPrepare(v.Intent.ID, t.Now()); err != nil {
			return err
		}
		coins, err := spendable(ctx, t, transfer.Network, transfer.Wallet)
		if err != nil {
			return err
		}
		account, err := account(ctx, t.State(), t.Reader, transfer.Wallet)
		if err != nil {
			return err
		}
		change, _, err := addAddress(ctx, t, transfer.Wallet, changing)
		if err != nil {
			return err
		}
		details, err := bitcoin.Build(bitcoin.Order{
			Account: account, Coins: coins, To: transfer.Destination.Address, Amount: transfer.Amount,
			FeeLimit: transfer.FeeLimit, FeeRate: rate, ChangeIndex: change,
		})
		if err != nil {
			return err
		}
		family, err := chains.For(transfer.Network)
		if err != nil {
			return err
		}
		effects, err := family.Decode(account, details)
		if err != nil {
			return err
		}
		if err := effects.Check(transfer); err != nil {
			return err
		}
		leaf, _, err := t.Append(custody.PreparedEntry, &custody.Prepared{
			Intent: v.Intent.ID, By: v.Intent.ID, Transaction: sha256.Sum256(effects.Unsigned),
			Claims: effects.Claims, Fee: effects.Fee, Prev: t.State().ChainHead(),
		})
		if err != nil {
			return err
		}
		return t.PutTransaction(leaf, transfer.Network, details)
	})
}

// spendable are a wallet's coins that are in a block, deep enough, and claimed by
// nobody.
func spendable(ctx context.Context, t *store.Tx, network custody.Network, wallet custody.ID[custody.Wallet]) ([]bitcoin.Coin, error) {
	tip, _, err := t.Tip(ctx, network)
	if err != nil {
		return nil, err
	}
	all, err := t.Coins(ctx, wallet)
	if err != nil {
		return nil, err
	}
	var out []bitcoin.Coin
	for _, c := range all {
		deep := c.Height > 0 && (!c.Coinbase || tip.Height-c.Height+1 >= coinbaseDepth)
		if deep && t.State().Claimed(c.Outpoint) == (custody.ID[custody.Intent]{}) {
			out = append(out, bitcoin.Coin{Outpoint: c.Outpoint, Amount: c.Amount, Branch: c.Branch, Index: c.Index})
		}
	}
	return out, nil
}
