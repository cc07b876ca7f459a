package bitcoin

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/custody"
)

// Coin is an output of the account that can be spent.
type Coin struct {
	Outpoint      custody.Outpoint
	Amount        custody.Amount // satoshi
	Branch, Index uint32         // its address is m/Path/Branch/Index
	Previous      []byte         // the transaction that it is an output of, with or without witness; optional
}

// Order says what transaction to build. Amounts are in satoshi.
type Order struct {
	Account     chain.Account
	Coins       []Coin          // what may be spent
	To          custody.Address // empty: return everything to the account, as a CANCEL does
	Amount      custody.Amount  // what To gets; 0 if there is no To
	FeeLimit    custody.Amount
	FeeRate     uint64 // satoshi per 1,000 virtual bytes; to replace, above that of what is replaced
	ChangeIndex uint32 // change goes to m/Path/1/ChangeIndex

	// Must is for a retry: one of these is spent again, so that only one of the
	// transactions can be mined. Give the outputs that all earlier ones spend.
	Must []custody.Outpoint
	// Replaced is the highest fee of an earlier transaction: a node takes a
	// replacement that pays that and the price of relaying once more (BIP-125
	// rule 4).
	Replaced custody.Amount
}

// Bounds of an order.
const (
	// DustLimit is the least that an output of change is worth, in satoshi: what
	// nodes relay of P2TR.
	DustLimit = 330
	// MaxFeeRate is the highest FeeRate, in satoshi per 1,000 virtual bytes.
	MaxFeeRate = 1_000_000_000
	// relayRate is what relaying once more costs, in satoshi per 1,000 virtual bytes.
	relayRate = 1000
)

// Build makes the PSBT of a transaction, the same for the same order. It takes one
// coin that pays without change where one fits closely, which spares an output now
// and an input later; else the largest coins first, which makes the fewest inputs.
// Inputs and outputs are in the order of BIP-69, inputs signal BIP-125. Change
// below [DustLimit] goes to the fee.
//
// Coins that don't suffice and a fee above the limit are errors of code
// [custody.Exhausted] that name both numbers; an amount below the dust limit of
// its address is [custody.Invalid].
func Build(o Order) ([]byte, error) {
	own, err := open(o.Account)
	if err != nil {
		return nil, err
	}
	s, err := o.selection()
	if err != nil {
		return nil, err
	}
	if err := s.choose(); err != nil {
		return nil, err
	}
	tx := wire.NewMsgTx(2)
	for _, c := range s.chosen {
		in := wire.NewTxIn(&c.outpoint, nil, nil)
		in.Sequence = wire.MaxTxInSequenceNum - 2
		tx.AddTxIn(in)
	}
	if s.payment != nil {
		tx.AddTxOut(s.payment)
	}
	if s.change > 0 {
		tx.AddTxOut(wire.NewTxOut(s.change, nil)) // the script follows
	}
	packet, err := psbt.NewFromUnsignedTx(tx)
	if err != nil {
		return nil, fmt.Errorf("start a PSBT: %w", err)
	}
	for i, c := range s.chosen {
		k, err := own.key(c.Branch, c.Index)
		if err != nil {
			return nil, fmt.Errorf("coin %s: %w", c.Outpoint, err)
		}
		in := &packet.Inputs[i]
		in.WitnessUtxo = wire.NewTxOut(c.amount, k.script())
		in.TaprootInternalKey = k.internal
		in.TaprootBip32Derivation = []*psbt.TaprootBip32Derivation{own.derivation(k)}
		if in.NonWitnessUtxo, err = c.previous(in.WitnessUtxo); err != nil {
			return nil, err
		}
	}
	if s.change > 0 {
		k, err := own.key(1, o.ChangeIndex)
		if err != nil {
			return nil, fmt.Errorf("change: %w", err)
		}
		last := len(tx.TxOut) - 1
		tx.TxOut[last].PkScript = k.script()
		packet.Outputs[last].TaprootInternalKey = k.internal
		packet.Outputs[last].TaprootBip32Derivation = []*psbt.TaprootBip32Derivation{own.derivation(k)}
	}
	if err := psbt.InPlaceSort(packet); err != nil {
		return nil, fmt.Errorf("sort the PSBT: %w", err)
	}
	var b bytes.Buffer
	if err := packet.Serialize(&b); err != nil {
		return nil, fmt.Errorf("write the PSBT: %w", err)
	}
	if b.Len() > MaxPSBT {
		return nil, invalid("coins", fmt.Sprintf("a PSBT of %d bytes, at most %d are read: leave out previous transactions", b.Len(), MaxPSBT))
	}
	return b.Bytes(), nil
}

// derivation is how a PSBT says where a key comes from.
func (a *account) derivation(k *key) *psbt.TaprootBip32Derivation {
	return &psbt.TaprootBip32Derivation{
		XOnlyPubKey:          k.internal,
		MasterKeyFingerprint: binary.LittleEndian.Uint32(a.fingerprint[:]),
		Bip32Path:            k.path,
	}
}

// coin is a [Coin] with its texts parsed.
type coin struct {
	Coin
	outpoint wire.OutPoint
	amount   int64
}

func (c Coin) parse() (coin, error) {
	id, number, _ := strings.Cut(string(c.Outpoint), ":")
	hash, err := chainhash.NewHashFromStr(id)
	index, err2 := strconv.ParseUint(number, 10, 32)
	if new(custody.Outpoint).UnmarshalText([]byte(c.Outpoint)) != nil || err != nil || err2 != nil {
		return coin{}, invalid("outpoint", "not TXID:N")
	}
	amount, err := satoshi(c.Amount)
	if err != nil {
		return coin{}, err
	}
	return coin{c, wire.OutPoint{Hash: *hash, Index: uint32(index)}, amount}, nil
}

// previous reads the transaction that a coin comes from, without its witnesses,
// which its id doesn't cover; nil if there is none.
func (c coin) previous(spent *wire.TxOut) (*wire.MsgTx, error) {
	if len(c.Previous) == 0 {
		return nil, nil
	}
	field := fmt.Sprintf("coin %s: previous", c.Outpoint)
	tx := new(wire.MsgTx)
	r := bytes.NewReader(c.Previous)
	if err := tx.Deserialize(r); err != nil || r.Len() > 0 {
		return nil, invalid(field, "no transaction")
	}
	for _, in := range tx.TxIn {
		in.Witness = nil
	}
	if tx.TxHash() != c.outpoint.Hash || uint64(c.outpoint.Index) >= uint64(len(tx.TxOut)) {
		return nil, invalid(field, "not the transaction of the outpoint")
	}
	out := tx.TxOut[c.outpoint.Index]
	if out.Value != spent.Value || !bytes.Equal(out.PkScript, spent.PkScript) {
		return nil, invalid(field, "has another amount or script in that output")
	}
	return tx, nil
}

// satoshi returns an amount as Bitcoin counts it.
func satoshi(a custody.Amount) (int64, error) {
	n, err := strconv.ParseInt(a.String(), 10, 64)
	if err != nil || n > maxSatoshi {
		return 0, invalid("amount", "more than all the money there is")
	}
	return n, nil
}
