package store

import (
	"context"
	"errors"

	"github.com/cofferhq/coffer/internal/custody"
)

// Coin is an output that pays one of our addresses.
type Coin struct {
	Network  custody.Network
	Outpoint custody.Outpoint
	Wallet   custody.ID[custody.Wallet]
	Branch   uint32 // of the address: 0 to receive, 1 for change
	Index    uint32 // of the address
	Amount   custody.Amount
	Coinbase bool
	Height   uint64 // of the block that holds it; 0 if none does
}

const selectCoin = `SELECT c.network, c.outpoint, c.wallet, c.branch, c.idx, c.amount, c.coinbase, c.height FROM coins c `

func (c *Coin) fields() []any {
	return []any{&c.Network, &c.Outpoint, text{&c.Wallet}, &c.Branch, &c.Index, text{&c.Amount}, &c.Coinbase, number[uint64]{&c.Height}}
}

const unspent = `c.spender IS NULL AND c.pending IS NULL`

// Coins returns the coins of a wallet that no transaction known here spends, in the
// order of their outpoints. Whether an intent claims one already, [state.State]
// knows.
func (r Reader) Coins(ctx context.Context, wallet custody.ID[custody.Wallet]) ([]Coin, error) {
	return rows(ctx, r.db, (*Coin).fields, selectCoin+`WHERE c.wallet = $1 AND `+unspent+` ORDER BY c.outpoint`, wallet.String())
}

// Balance is what a wallet's unspent coins come to, in base units.
type Balance struct {
	Confirmed   custody.Amount // in blocks
	Unconfirmed custody.Amount // in no block yet
}

// Balance sums a wallet's coins.
func (r Reader) Balance(ctx context.Context, wallet custody.ID[custody.Wallet]) (Balance, error) {
	coins, err := r.Coins(ctx, wallet)
	if err != nil {
		return Balance{}, err
	}
	var b Balance
	for _, c := range coins {
		sum := &b.Confirmed
		if c.Height == 0 {
			sum = &b.Unconfirmed
		}
		total, ok := sum.Add(c.Amount)
		if !ok {
			return Balance{}, errors.New("store: a balance of 2^256 or more")
		}
		*sum = total
	}
	return b, nil
}

// Deposit is a coin that somebody else paid in.
type Deposit struct {
	Coin
	State         custody.DepositState
	Confirmations uint64 // blocks from the coin's own to the highest; 0 in no block
}

// Deposits returns the newest deposits of a wallet, at most limit: coins on branch
// 0, spent or not, that no transaction of ours made. Those in no block come first.
func (r Reader) Deposits(ctx context.Context, wallet custody.ID[custody.Wallet], limit int) ([]Deposit, error) {
	return rows(ctx, r.db, func(d *Deposit) []any {
		return append(d.fields(), &d.State, &d.Confirmations)
	}, `SELECT c.network, c.outpoint, c.wallet, c.branch, c.idx, c.amount, c.coinbase, c.height, c.deposit,
			COALESCE((SELECT MAX(b.height) FROM blocks b WHERE b.network = c.network) - c.height + 1, 0)
		FROM coins c WHERE c.wallet = $1 AND c.deposit IS NOT NULL
			AND NOT EXISTS (SELECT 1 FROM transactions t WHERE t.network = c.network AND t.txid = c.txid)
		ORDER BY CASE WHEN c.height IS NULL THEN 0 ELSE 1 END, c.height DESC, c.outpoint LIMIT $2`, wallet.String(), limit)
}

// CreditDeposits credits the deposits of a network that are CONFIRMING in blocks up
// to a height: those that are as deep as the network's rule asks for. Nothing asks
// for screening, so they are cleared at once. Deposits in other states stay as they
// are.
func (t *Tx) CreditDeposits(network custody.Network, upTo uint64) error {
	at := custody.DepositConfirming
	for _, event := range []custody.DepositEvent{custody.DepositConfirm, custody.DepositClear, custody.DepositCredit} {
		var err error
		if at, err = custody.DepositLife.Next(at, event); err != nil {
			return err
		}
	}
	return t.change(`UPDATE coins SET deposit = $3 WHERE network = $1 AND height <= $2 AND deposit = 'CONFIRMING'`,
		network, int64(min(upTo, maxHeight)), at)
}

// AddCoin puts a coin on record, or says of one seen before in which block it is.
// Its block must be on record. To say again what is known changes nothing. The
// error is of code Conflict if the outpoint holds another coin, or is in another
// block.
func (t *Tx) AddCoin(c Coin) error {
	id, err := txid(c.Outpoint)
	if err != nil {
		return err
	}
	if c.Height > 0 {
		if err := t.hasBlock(c.Network, c.Height); err != nil {
			return err
		}
	}
	coinbase, seen := 0, 0
	if c.Coinbase {
		coinbase = 1
	}
	var deposit any
	if c.Branch == 0 {
		deposit = string(custody.DepositConfirming)
	}
	if c.Height == 0 {
		seen = 1
		if deposit != nil {
			deposit = string(custody.DepositLife.Start)
		}
	}
	n, err := t.exec(`INSERT INTO coins (network, outpoint, txid, wallet, branch, idx, amount, coinbase, seen, height, deposit)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (network, outpoint) DO UPDATE SET height = COALESCE(coins.height, excluded.height),
			deposit = CASE WHEN coins.deposit = 'DETECTED' THEN excluded.deposit ELSE coins.deposit END
		WHERE coins.wallet = excluded.wallet AND coins.branch = excluded.branch AND coins.idx = excluded.idx
			AND coins.amount = excluded.amount AND coins.coinbase = excluded.coinbase
			AND (coins.height IS NULL OR excluded.height IS NULL OR coins.height = excluded.height)`,
		c.Network, c.Outpoint, id, c.Wallet.String(), c.Branch, c.Index, c.Amount.String(), coinbase, seen, heightOrNull(c.Height), deposit)
	if err == nil && n == 0 {
		err = conflict("outpoint", "another coin is on record for it, or in another block")
	}
	return err
}

// SpendCoin says that a transaction spends a coin: the one named by is in the block
// at a height, or with height 0 in none yet. The latter stands for what was said so
// before; a block stands above both. The error is of code NotFound if the coin is
// on no record, and Conflict if a block on record has it spent otherwise.
func (t *Tx) SpendCoin(network custody.Network, outpoint custody.Outpoint, by custody.Hash, height uint64) error {
	var n int64
	var err error
	if height == 0 {
		n, err = t.exec(`UPDATE coins SET pending = $3 WHERE network = $1 AND outpoint = $2 AND (spender IS NULL OR spender = $3)`,
			network, outpoint, by.String())
	} else {
		if err := t.hasBlock(network, height); err != nil {
			return err
		}
		n, err = t.exec(`UPDATE coins SET spender = $3, spent_height = $4
			WHERE network = $1 AND outpoint = $2 AND (spender IS NULL OR spender = $3 AND spent_height = $4)`,
			network, outpoint, by.String(), int64(height))
	}
	if err != nil || n > 0 {
		return err
	}
	known, err := t.isOn(`SELECT 1 FROM coins WHERE network = $1 AND outpoint = $2`, network, outpoint)
	switch {
	case err != nil:
		return err
	case !known:
		return notFound("outpoint")
	default:
		return conflict("outpoint", "a block on record has it spent otherwise")
	}
}

// txid is the id of the transaction that makes a coin.
func txid(o custody.Outpoint) (string, error) {
	if err := new(custody.Outpoint).UnmarshalText([]byte(o)); err != nil {
		return "", err
	}
	return string(o[:64]), nil
}
