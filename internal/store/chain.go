package store

import (
	"context"

	"github.com/cofferhq/coffer/internal/custody"
)

// Block is a block whose transactions were looked through. Height 0 is no block
// where a height is asked for: what a network's first block pays can't be spent.
type Block struct {
	Network custody.Network
	Height  uint64
	Hash    custody.Hash
}

// Tip returns the highest block of a network on record; false if there is none.
func (r Reader) Tip(ctx context.Context, network custody.Network) (Block, bool, error) {
	b, err := row(ctx, r.db, "network", func(b *Block) []any { return []any{&b.Network, &b.Height, text{&b.Hash}} },
		`SELECT network, height, hash FROM blocks WHERE network = $1 ORDER BY height DESC LIMIT 1`, network)
	if custody.CodeOf(err) == custody.NotFound {
		return Block{}, false, nil
	}
	return b, err == nil, err
}

// maxHeight is the largest height that a block may have.
const maxHeight = 1<<53 - 1

// BlockAt returns the block of a network on record at a height. The error is of code
// NotFound if there is none.
func (r Reader) BlockAt(ctx context.Context, network custody.Network, height uint64) (Block, error) {
	return row(ctx, r.db, "height", func(b *Block) []any { return []any{&b.Network, &b.Height, text{&b.Hash}} },
		`SELECT network, height, hash FROM blocks WHERE network = $1 AND height = $2`, network, int64(min(height, maxHeight)))
}

// AddBlock puts a block on top of the highest; the first may have any height. The
// error is of code Conflict for one that doesn't follow, and Invalid from height 2^53
// on.
func (t *Tx) AddBlock(b Block) error {
	if b.Height > maxHeight {
		return invalid("height", "not below 2^53")
	}
	tip, ok, err := t.Tip(t.ctx, b.Network)
	if err != nil {
		return err
	}
	if ok && b.Height != tip.Height+1 {
		return conflict("height", "not the next block")
	}
	return t.change(`INSERT INTO blocks (network, height, hash) VALUES ($1, $2, $3)`, b.Network, int64(b.Height), b.Hash.String())
}

// RemoveBlock takes the highest block of a network back, with all that it did:
// coins and transactions are as they were before it was added and what it brought
// was written. A deposit in it is DETECTED again, whatever its state, or gone if
// nobody saw it before; one in an earlier block that was credited stays so. Intents
// whose transactions it held are due. The error is of code Conflict if it isn't the
// highest.
func (t *Tx) RemoveBlock(b Block) error {
	tip, ok, err := t.Tip(t.ctx, b.Network)
	if err != nil {
		return err
	}
	if !ok || tip != b {
		return conflict("height", "not the highest block")
	}
	network, height := b.Network, int64(b.Height)
	held, err := rows(t.ctx, t.tx, func(id *custody.ID[custody.Intent]) []any { return []any{text{id}} },
		`SELECT intent FROM transactions WHERE network = $1 AND height = $2`, network, height)
	if err != nil {
		return err
	}
	for _, id := range held {
		if err := t.Wake(id); err != nil {
			return err
		}
	}
	for _, statement := range []string{
		`UPDATE coins SET spender = NULL, spent_height = NULL WHERE network = $1 AND spent_height = $2`,
		`DELETE FROM coins WHERE network = $1 AND height = $2 AND seen = 0`,
		`UPDATE coins SET deposit = 'DETECTED' WHERE network = $1 AND height = $2 AND deposit IS NOT NULL`,
		`UPDATE coins SET height = NULL WHERE network = $1 AND height = $2`,
		`UPDATE transactions SET height = NULL WHERE network = $1 AND height = $2`,
		`DELETE FROM blocks WHERE network = $1 AND height = $2`,
	} {
		if err := t.change(statement, network, height); err != nil {
			return err
		}
	}
	return nil
}

// hasBlock refuses a height at which no block is on record.
func (t *Tx) hasBlock(network custody.Network, height uint64) error {
	ok, err := t.isOn(`SELECT 1 FROM blocks WHERE network = $1 AND height = $2`, network, int64(height))
	if err == nil && (!ok || height == 0) {
		err = &custody.Error{Code: custody.NotFound, Field: "height", Message: "no block of this height is on record"}
	}
	return err
}
