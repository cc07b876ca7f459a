package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/cofferhq/coffer/internal/custody"
)

// Address is one of our own: that at m/w/Branch/Index of its wallet.
type Address struct {
	Wallet  custody.ID[custody.Wallet]
	Branch  uint32 // 0 to receive, 1 for change
	Index   uint32
	Network custody.Network
	Address custody.Address
	Script  []byte       // what outputs to it carry
	Created custody.Time // when it was put on record
}

const selectAddress = `SELECT wallet, branch, idx, network, address, script, created FROM addresses `

func (a *Address) fields() []any {
	return []any{text{&a.Wallet}, &a.Branch, &a.Index, &a.Network, &a.Address, &a.Script, &a.Created}
}

// AddAddress puts an address on record; Created is set to Now. The error is of code
// Conflict if its place in the wallet or its script is taken on the network.
func (t *Tx) AddAddress(a Address) error {
	if len(a.Script) == 0 {
		return invalid("script", "missing")
	}
	n, err := t.exec(`INSERT INTO addresses (wallet, branch, idx, network, address, script, created) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT DO NOTHING`, a.Wallet.String(), a.Branch, a.Index, a.Network, a.Address, a.Script, t.now)
	if err == nil && n == 0 {
		err = conflict("address", "its index or script is on record")
	}
	return err
}

// NextIndex returns the index behind the highest of a wallet's branch on record.
func (r Reader) NextIndex(ctx context.Context, wallet custody.ID[custody.Wallet], branch uint32) (uint32, error) {
	return row(ctx, r.db, "wallet", only[uint32],
		`SELECT COALESCE(MAX(idx) + 1, 0) FROM addresses WHERE wallet = $1 AND branch = $2`, wallet.String(), branch)
}

// Addresses returns the addresses of a wallet's branch in order.
func (r Reader) Addresses(ctx context.Context, wallet custody.ID[custody.Wallet], branch uint32) ([]Address, error) {
	return rows(ctx, r.db, (*Address).fields, selectAddress+`WHERE wallet = $1 AND branch = $2 ORDER BY idx`, wallet.String(), branch)
}

// AddressesByScript returns those of our addresses on a network that outputs with
// the given scripts pay, in the order of the scripts.
func (r Reader) AddressesByScript(ctx context.Context, network custody.Network, scripts [][]byte) ([]Address, error) {
	find, err := r.db.PrepareContext(ctx, selectAddress+`WHERE network = $1 AND script = $2`)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer func() { _ = find.Close() }()
	var out []Address
	for _, script := range scripts {
		var a Address
		err := find.QueryRowContext(ctx, network, script).Scan(a.fields()...)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		out = append(out, a)
	}
	return out, nil
}

// PutChainCode keeps the chain code of a key, to which its KEY entry commits. Whoever
// knows it knows all addresses of the key. The error is of code Conflict if another
// one is on record.
func (t *Tx) PutChainCode(key custody.ID[custody.Key], code custody.Hash) error {
	n, err := t.exec(`INSERT INTO chain_codes (key, code) VALUES ($1, $2)
		ON CONFLICT (key) DO UPDATE SET code = excluded.code WHERE chain_codes.code = excluded.code`, key.String(), code.String())
	if err == nil && n == 0 {
		err = conflict("chainCode", "the key has another")
	}
	return err
}

// ChainCode returns the chain code of a key. The error is of code NotFound if there
// is none.
func (r Reader) ChainCode(ctx context.Context, key custody.ID[custody.Key]) (custody.Hash, error) {
	return row(ctx, r.db, "key", func(code *custody.Hash) []any { return []any{text{code}} },
		`SELECT code FROM chain_codes WHERE key = $1`, key.String())
}
