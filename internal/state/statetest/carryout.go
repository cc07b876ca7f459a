package statetest

import (
	"crypto/sha256"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/chain/chains"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/frost"
)

// Stranger is an address on regtest of nobody on record: the key of the examples of
// BIP-173.
const Stranger custody.Address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"

// CarryOut puts the transaction of an authorized transfer on record, built of two
// coins that its wallet has, and the signatures that sign makes, with receipts of
// the nodes named. Between the two it calls between. It returns the leaf hash of the
// PREPARED entry and the transaction.
func (w *World) CarryOut(in *custody.Intent, key *tss.Key, sign func(frost.Request) []byte, between func(), nodes ...custody.Name) (custody.Hash, []byte) {
	w.tb.Helper()
	transfer := in.Body.(*custody.Transfer)
	of := w.State.Wallet(transfer.Wallet)
	account := chain.Account{
		Network: of.Network, Scheme: custody.BIP340Secp256k1, PublicKey: key.Public.Bytes(), ChainCode: custody.Hash(key.ChainCode), Path: of.Path,
	}
	half, _ := transfer.Amount.MulDiv(custody.NewAmount(2), custody.NewAmount(3))
	details, err := bitcoin.Build(bitcoin.Order{
		Account: account, To: transfer.Destination.Address, Amount: transfer.Amount, FeeLimit: transfer.FeeLimit, FeeRate: 3000,
		Coins: []bitcoin.Coin{
			{Outpoint: Outpoint(1).Outpoint, Amount: half, Branch: 0, Index: 3},
			{Outpoint: Outpoint(2).Outpoint, Amount: half, Branch: 1, Index: 0},
		},
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	family, err := chains.For(of.Network)
	if err != nil {
		w.tb.Fatal(err)
	}
	effects, err := family.Decode(account, details)
	if err != nil {
		w.tb.Fatal(err)
	}
	p := w.Must(w.Append(custody.PreparedEntry, &custody.Prepared{
		Intent: in.ID, By: in.ID, Transaction: sha256.Sum256(effects.Unsigned), Claims: effects.Claims, Fee: effects.Fee, Prev: w.State.ChainHead(),
	}))
	between()
	record := &custody.SignedRecord{Intent: in.ID, Prepared: p.Leaf}
	for _, m := range effects.Messages {
		record.Messages = append(record.Messages, sha256.Sum256(m.Bytes))
		record.Signatures = append(record.Signatures, sign(frost.Request{Message: m.Bytes, Path: m.Path, Taproot: new(frost.Taproot)}))
	}
	record.Receipts = w.Receipts(p.Leaf, record.Messages, nodes...)
	w.Must(w.Append(custody.SignedEntry, record))
	return p.Leaf, details
}
