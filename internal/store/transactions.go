package store

import (
	"bytes"
	"context"

	"github.com/cofferhq/coffer/internal/custody"
)

// Transaction is one that was prepared, by the leaf hash of its PREPARED entry.
// State is what the journal says of it; Height and Block are where the chain has
// it now.
type Transaction struct {
	Prepared  custody.Hash
	Index     int64 // of the PREPARED entry
	Intent    custody.ID[custody.Intent]
	Network   custody.Network
	Details   []byte         // what the network's own code needs to go on, such as a PSBT
	Fee       custody.Amount // the highest that it can cost, in base units
	State     custody.TransactionState
	Signed    []byte       // as broadcast; nil before
	ID        custody.Hash // the network's id of it, as the network writes it; zero before it is signed
	Broadcast custody.Time // first; 0 before
	Height    uint64       // of its block; 0 if none
	Block     custody.Hash
}

const selectTransaction = `SELECT t.prepared, t.idx, t.intent, t.network, t.details, t.fee, t.state, t.signed, t.txid, t.broadcast, t.height, b.hash
	FROM transactions t LEFT JOIN blocks b ON b.network = t.network AND b.height = t.height `

func (t *Transaction) fields() []any {
	return []any{
		text{&t.Prepared},
		&t.Index,
		text{&t.Intent},
		&t.Network, &t.Details,
		text{&t.Fee},
		&t.State, &t.Signed,
		text{&t.ID},
		number[custody.Time]{&t.Broadcast},
		number[uint64]{&t.Height},
		text{&t.Block},
	}
}

// Transaction returns the transaction of a PREPARED entry. The error is of code
// NotFound if none was put.
func (r Reader) Transaction(ctx context.Context, prepared custody.Hash) (Transaction, error) {
	return row(ctx, r.db, "prepared", (*Transaction).fields, selectTransaction+`WHERE t.prepared = $1`, prepared.String())
}

// TransactionsOf returns the transactions of an intent, in the order in which they
// were prepared.
func (r Reader) TransactionsOf(ctx context.Context, intent custody.ID[custody.Intent]) ([]Transaction, error) {
	return rows(ctx, r.db, (*Transaction).fields, selectTransaction+`WHERE t.intent = $1 ORDER BY t.idx`, intent.String())
}

// Unfinished returns the transactions of a network of which something can still
// come, in the order in which they were prepared: those of intents of which none is
// finalized or failed, since all of an intent's exclude each other; but none that
// was replaced before it was signed.
func (r Reader) Unfinished(ctx context.Context, network custody.Network) ([]Transaction, error) {
	return rows(ctx, r.db, (*Transaction).fields, selectTransaction+`WHERE t.network = $1 AND t.state NOT IN ('FINALIZED', 'FAILED')
		AND NOT (t.state = 'REPLACED' AND t.signed IS NULL)
		AND NOT EXISTS (SELECT 1 FROM transactions o WHERE o.intent = t.intent AND o.state IN ('FINALIZED', 'FAILED'))
		ORDER BY t.idx`, network)
}

// MinedAt returns our transactions in the block at a height, finalized ones too, in
// the order in which they were prepared.
func (r Reader) MinedAt(ctx context.Context, network custody.Network, height uint64) ([]Transaction, error) {
	return rows(ctx, r.db, (*Transaction).fields, selectTransaction+`WHERE t.network = $1 AND t.height = $2 ORDER BY t.idx`, network, int64(height))
}

// PutTransaction keeps what belongs to a PREPARED entry, best in the Tx that
// appends it. details mustn't be empty. The error is of code NotFound if the leaf
// hash is not that of a PREPARED entry, and Conflict if something was put for it.
func (t *Tx) PutTransaction(prepared custody.Hash, network custody.Network, details []byte) error {
	if len(details) == 0 {
		return invalid("details", "missing")
	}
	raw, err := row(t.ctx, t.tx, "prepared", only[[]byte],
		`SELECT raw FROM entries WHERE leaf = $1`, prepared.String())
	if err != nil {
		return err
	}
	e, err := custody.ParseEntry(raw)
	if err != nil {
		return err
	}
	body, ok := e.Body.(*custody.Prepared)
	if !ok {
		return notFound("prepared")
	}
	n, err := t.exec(`INSERT INTO transactions (prepared, idx, intent, network, details, fee, state) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT DO NOTHING`,
		prepared.String(), e.Index, body.Intent.String(), network, details, body.Fee.String(), custody.TransactionLife.Start)
	if err == nil && n == 0 {
		err = conflict("prepared", "its transaction is on record")
	}
	return err
}

// SetSigned keeps a transaction as it is broadcast, and the network's id of it, or
// for a typed message its signature and no id. The error is of code Conflict if
// other bytes are on record.
func (t *Tx) SetSigned(prepared custody.Hash, signed []byte, id custody.Hash) error {
	if len(signed) == 0 {
		return invalid("signed", "missing")
	}
	old, err := t.Transaction(t.ctx, prepared)
	if err != nil {
		return err
	}
	if old.Signed != nil && (!bytes.Equal(old.Signed, signed) || old.ID != id) {
		return conflict("signed", "the transaction was signed otherwise")
	}
	return t.change(`UPDATE transactions SET signed = $2, txid = $3 WHERE prepared = $1`, prepared.String(), signed, orNull(id))
}

// SetMined says that a transaction is in the block at a height, which must be on
// record.
func (t *Tx) SetMined(prepared custody.Hash, height uint64) error {
	old, err := t.Transaction(t.ctx, prepared)
	if err != nil {
		return err
	}
	if err := t.hasBlock(old.Network, height); err != nil {
		return err
	}
	return t.change(`UPDATE transactions SET height = $2 WHERE prepared = $1`, prepared.String(), heightOrNull(height))
}

// observed is what an OBSERVED entry lets happen to its transaction.
var observed = map[custody.ObservedKind]custody.TransactionEvent{
	custody.Broadcast:  custody.TxBroadcast,
	custody.Confirming: custody.TxMine,
	custody.Confirmed:  custody.TxConfirm,
	custody.Finalized:  custody.TxFinalize,
	custody.Reorged:    custody.TxReorg,
	custody.Dropped:    custody.TxDrop,
	custody.Reverted:   custody.TxRevert,
}

func (t *Tx) observe(body *custody.Observed, at custody.Time) error {
	event, ok := observed[body.Kind]
	if !ok {
		return nil
	}
	if body.Kind == custody.Broadcast {
		if err := t.change(`UPDATE transactions SET broadcast = COALESCE(broadcast, $2) WHERE prepared = $1`, body.Prepared.String(), at); err != nil {
			return err
		}
	}
	return t.moveTransaction(body.Prepared, event)
}

// moveTransaction follows the journal. A transaction that was never put is nobody's
// concern here.
func (t *Tx) moveTransaction(prepared custody.Hash, event custody.TransactionEvent) error {
	old, err := t.Transaction(t.ctx, prepared)
	if custody.CodeOf(err) == custody.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	next, err := custody.TransactionLife.Next(old.State, event)
	if err != nil {
		return err
	}
	return t.change(`UPDATE transactions SET state = $2 WHERE prepared = $1`, prepared.String(), next)
}

// replace says of an intent's transactions that another one is prepared.
func (t *Tx) replace(intent custody.ID[custody.Intent]) error {
	earlier, err := t.TransactionsOf(t.ctx, intent)
	if err != nil {
		return err
	}
	for _, old := range earlier {
		next, err := custody.TransactionLife.Next(old.State, custody.TxReplace)
		if err != nil {
			continue // it can't be replaced any more
		}
		if err := t.change(`UPDATE transactions SET state = $2 WHERE prepared = $1`, old.Prepared.String(), next); err != nil {
			return err
		}
	}
	return nil
}
