package lifecycle

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/network"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/store"
)

// watch reads a network's blocks in order, for deposits and for what became of our
// own transactions, until ctx ends.
func (l *Lifecycle) watch(ctx context.Context, id custody.Network, n *Network) {
	checked := false
	for ctx.Err() == nil {
		err := error(nil)
		if !checked {
			err = n.Node.Check(ctx)
			checked = err == nil
		}
		if checked {
			err = l.read(ctx, id, n)
		}
		wait := n.Poll
		if err != nil && ctx.Err() == nil {
			l.cfg.Log.Warn("network", "network", id, "reason", err.Error())
			wait = max(wait, backOff)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// read takes in blocks until it has the node's newest one. Where the node has another
// block than ours at some height, there was a reorganisation: ours are taken back, one
// after the other, down to where the chains part. A node that is merely behind on the
// same chain is waited for.
func (l *Lifecycle) read(ctx context.Context, id custody.Network, n *Network) error {
	for ctx.Err() == nil {
		height, hash, err := n.Node.Tip(ctx)
		if err != nil {
			return err
		}
		own, begun, err := l.cfg.Store.Tip(ctx, id)
		if err != nil {
			return err
		}
		next := n.Start
		if begun {
			next = int64(own.Height) + 1
		}
		if begun && own.Hash == hash {
			return nil
		}
		if begun {
			parts, err := l.parting(ctx, id, n, own, height)
			if err != nil {
				return err
			}
			if parts < int64(own.Height) && parts < height {
				if err := l.takeBack(ctx, own); err != nil {
					return err
				}
				continue
			}
		}
		if next > height {
			return nil // the node is behind, on the same chain
		}
		block, err := n.Node.Block(ctx, next)
		if custody.CodeOf(err) == custody.NotFound {
			continue // it went away since
		} else if err != nil {
			return err
		}
		if begun && block.Previous != own.Hash {
			continue // the chain changed since
		}
		if err := l.takeIn(ctx, id, n, block); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// maxReorganisation is how many blocks are taken back by themselves. What goes deeper
// is another chain, or a broken node, and for people to look at.
const maxReorganisation = 100

// parting finds the highest block that we and the node both have.
func (l *Lifecycle) parting(ctx context.Context, id custody.Network, n *Network, own store.Block, height int64) (int64, error) {
	top := min(int64(own.Height), height)
	for h := top; h > top-maxReorganisation; h-- {
		ours, err := l.cfg.Store.BlockAt(ctx, id, uint64(max(h, 0)))
		if custody.CodeOf(err) == custody.NotFound {
			return h, nil // below what we have read
		} else if err != nil {
			return 0, err
		}
		theirs, err := n.Node.HashAt(ctx, h)
		if err != nil {
			return 0, err
		}
		if ours.Hash == theirs {
			return h, nil
		}
	}
	return 0, &custody.Error{
		Code: custody.Conflict, Field: "network",
		Message: fmt.Sprintf("the node shows another chain than was read before, for %d blocks and more: nothing is taken back until somebody has looked", maxReorganisation),
	}
}

// takeIn puts a block on record with all that concerns us: coins that it brings and
// spends, our transactions in it, and those below that are deep enough now.
func (l *Lifecycle) takeIn(ctx context.Context, id custody.Network, n *Network, block *network.Block) error {
	return l.cfg.Store.Advance(ctx, func(t *store.Tx) error {
		height := uint64(block.Height)
		if err := t.AddBlock(store.Block{Network: id, Height: height, Hash: block.Hash}); err != nil {
			return err
		}
		unfinished, err := t.Unfinished(ctx, id)
		if err != nil {
			return err
		}
		ours := make(map[custody.Hash]*store.Transaction)
		for i := range unfinished {
			ours[unfinished[i].ID] = &unfinished[i]
		}
		for _, tx := range block.Transactions {
			if err := coins(ctx, t, id, block, &tx); err != nil {
				return err
			}
			own := ours[tx.ID]
			if own == nil || own.Signed == nil {
				continue
			}
			own.Height, own.Block = height, block.Hash
			if err := t.SetMined(own.Prepared, height); err != nil {
				return err
			}
			if err := observe(t, own, custody.Confirming); err != nil {
				return err
			}
			own.State = custody.TxConfirming
		}
		for _, own := range ours {
			if err := deepen(t, n, own, height); err != nil {
				return err
			}
		}
		if deep := block.Height - n.Confirmations + 1; deep > 0 {
			return t.CreditDeposits(id, uint64(deep))
		}
		return nil
	})
}

// deepen says of a transaction in a block that it is as deep as the network's rules
// ask for.
func deepen(t *store.Tx, n *Network, own *store.Transaction, tip uint64) error {
	if own.Height == 0 {
		return nil
	}
	depth := int64(tip-own.Height) + 1
	if own.State == custody.TxConfirming && depth >= n.Confirmations {
		if err := observe(t, own, custody.Confirmed); err != nil {
			return err
		}
		own.State = custody.TxConfirmed
	}
	if own.State == custody.TxConfirmed && depth >= n.Final {
		return observe(t, own, custody.Finalized)
	}
	return nil
}

func observe(t *store.Tx, own *store.Transaction, kind custody.ObservedKind) error {
	_, _, err := t.Append(custody.ObservedEntry, &custody.Observed{
		Kind: kind, Intent: own.Intent, Prepared: own.Prepared, Transaction: own.ID, Block: own.Block, Height: own.Height,
	})
	if err != nil {
		return err
	}
	return t.Wake(own.Intent)
}

// coins puts on record what a transaction pays to our addresses and spends of our
// coins.
func coins(ctx context.Context, t *store.Tx, id custody.Network, block *network.Block, tx *network.Transaction) error {
	height := uint64(block.Height)
	for _, o := range tx.Inputs {
		if err := t.SpendCoin(id, o, tx.ID, height); err != nil && custody.CodeOf(err) != custody.NotFound {
			return err
		}
	}
	scripts := make([][]byte, len(tx.Outputs))
	for i, out := range tx.Outputs {
		scripts[i] = out.Script
	}
	known, err := t.AddressesByScript(ctx, id, scripts)
	if err != nil {
		return err
	}
	ours := make(map[string]store.Address)
	for _, a := range known {
		ours[string(a.Script)] = a
	}
	for i, out := range tx.Outputs {
		a, ok := ours[string(out.Script)]
		if !ok {
			continue
		}
		coin := store.Coin{
			Network: id, Outpoint: outpoint(tx.ID, uint32(i)), Wallet: a.Wallet, Branch: a.Branch, Index: a.Index,
			Amount: out.Amount, Coinbase: tx.Coinbase, Height: height,
		}
		if err := t.AddCoin(coin); err != nil {
			return err
		}
		if a.Branch != receiving {
			continue
		}
		_, _, err := t.Append(custody.ObservedEntry, &custody.Observed{
			Kind: custody.DepositSeen, Wallet: a.Wallet, Transaction: tx.ID, Output: uint32(i),
			Block: block.Hash, Height: height, Asset: state.NativeAsset(id), Amount: out.Amount,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// takeBack takes the newest block on record back, with what it did. Our transactions
// in it are sent again.
func (l *Lifecycle) takeBack(ctx context.Context, b store.Block) error {
	l.cfg.Log.Warn("reorganisation", "network", b.Network, "height", b.Height, "block", b.Hash)
	return l.cfg.Store.Advance(ctx, func(t *store.Tx) error {
		mined, err := t.MinedAt(ctx, b.Network, b.Height)
		if err != nil {
			return err
		}
		if err := t.RemoveBlock(b); err != nil {
			return err
		}
		for i := range mined {
			if err := observe(t, &mined[i], custody.Reorged); err != nil {
				return err
			}
		}
		return nil
	})
}

func outpoint(id custody.Hash, output uint32) custody.Outpoint {
	return custody.Outpoint(id.String() + ":" + strconv.FormatUint(uint64(output), 10))
}
