package bitcoin

import (
	"bytes"
	"fmt"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/custody"
)

// Assemble joins a PSBT that [Family.Decode] accepts to its signatures of BIP-340,
// 64 bytes for each input, in order. Before it returns the transaction, btcd's
// script engine runs every input of it by the rules of relay: other code than what
// made the hashes that were signed, and than what made the signatures.
func (Family) Assemble(a chain.Account, raw []byte, signatures [][]byte) (*chain.Signed, error) {
	p, _, err := decode(a, raw)
	if err != nil {
		return nil, err
	}
	if len(signatures) != len(p.spent) {
		return nil, invalid("signatures", fmt.Sprintf("%d for %d inputs", len(signatures), len(p.spent)))
	}
	tx := new(wire.MsgTx)
	if err := tx.DeserializeNoWitness(bytes.NewReader(p.tx.raw)); err != nil {
		return nil, fmt.Errorf("read the unsigned transaction: %w", err)
	}
	spent := make(map[wire.OutPoint]*wire.TxOut, len(p.spent))
	for i, out := range p.spent {
		if len(signatures[i]) != 64 {
			return nil, invalid(fmt.Sprintf("signatures.%d", i), "not 64 bytes")
		}
		tx.TxIn[i].Witness = wire.TxWitness{signatures[i]}
		spent[tx.TxIn[i].PreviousOutPoint] = wire.NewTxOut(int64(out.amount), out.script)
	}
	outputs := txscript.NewMultiPrevOutFetcher(spent)
	hashes := txscript.NewTxSigHashes(tx, outputs)
	for i, out := range p.spent {
		engine, err := txscript.NewEngine(out.script, tx, i, txscript.StandardVerifyFlags, nil, hashes, int64(out.amount), outputs)
		if err != nil {
			return nil, fmt.Errorf("verify input %d: %w", i, err)
		}
		if err := engine.Execute(); err != nil {
			return nil, &custody.Error{
				Code: custody.Unauthenticated, Field: fmt.Sprintf("signatures.%d", i),
				Message: fmt.Sprintf("doesn't verify under the key at %s", p.keys[i].path), Err: err,
			}
		}
	}
	var b bytes.Buffer
	if err := tx.Serialize(&b); err != nil {
		return nil, fmt.Errorf("write the transaction: %w", err)
	}
	return &chain.Signed{Raw: b.Bytes(), ID: displayed(p.tx.id())}, nil
}
