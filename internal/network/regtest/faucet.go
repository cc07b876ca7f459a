package regtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/custody"
)

// coin is an output of the faucet's.
type coin struct {
	outpoint wire.OutPoint
	amount   int64
	coinbase bool
}

// faucetFee is what the faucet pays for each of its transactions, in satoshi.
const faucetFee = 1_000

// faucetKey is the same in every network of our own: everybody may know it.
func faucetKey() *btcec.PrivateKey {
	seed := sha256.Sum256([]byte("coffer regtest faucet"))
	key, _ := btcec.PrivKeyFromBytes(seed[:])
	return key
}

// Address is the faucet's own, where it takes payments back.
func (n *Node) Address() (custody.Address, error) {
	params, err := bitcoin.Parameters(Network)
	if err != nil {
		return "", err
	}
	output := txscript.ComputeTaprootKeyNoScript(n.key.PubKey())
	a, err := address.NewAddressTaproot(schnorr.SerializePubKey(output), params)
	if err != nil {
		return "", err
	}
	return custody.Address(a.EncodeAddress()), nil
}

func (n *Node) script() ([]byte, error) {
	a, err := n.Address()
	if err != nil {
		return nil, err
	}
	return bitcoin.Script(Network, a)
}

// collect notes the rewards of the newest blocks.
func (n *Node) collect(ctx context.Context, blocks int) error {
	tip, _, err := n.Client.Tip(ctx)
	if err != nil {
		return err
	}
	for height := tip - int64(blocks) + 1; height <= tip; height++ {
		block, err := n.Client.Block(ctx, height)
		if err != nil {
			return err
		}
		reward := block.Transactions[0]
		hash, err := chainhash.NewHashFromStr(reward.ID.String())
		if err != nil {
			return err
		}
		amount, err := strconv.ParseInt(reward.Outputs[0].Amount.String(), 10, 64)
		if err != nil {
			return err
		}
		n.coins = append(n.coins, coin{wire.OutPoint{Hash: *hash}, amount, true})
	}
	return nil
}

// Pay sends satoshi from the faucet to an address, and returns the id of the
// transaction. It waits in the mempool until something is mined.
func (n *Node) Pay(ctx context.Context, to custody.Address, satoshi int64) (custody.Hash, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	script, err := bitcoin.Script(Network, to)
	if err != nil {
		return custody.Hash{}, err
	}
	own, err := n.script()
	if err != nil {
		return custody.Hash{}, err
	}
	tx := wire.NewMsgTx(2)
	tx.AddTxOut(wire.NewTxOut(satoshi, script))
	spent := make(map[wire.OutPoint]*wire.TxOut)
	var sum int64
	var kept []coin
	for _, c := range n.coins {
		usable := false
		if sum < satoshi+faucetFee {
			if usable, err = n.usable(ctx, c); err != nil {
				return custody.Hash{}, err
			}
		}
		if !usable {
			kept = append(kept, c)
			continue
		}
		tx.AddTxIn(wire.NewTxIn(&c.outpoint, nil, nil))
		spent[c.outpoint] = wire.NewTxOut(c.amount, own)
		sum += c.amount
	}
	change := sum - satoshi - faucetFee
	if change < 0 {
		return custody.Hash{}, &custody.Error{Code: custody.Exhausted, Message: "the faucet has too little that is mature: mine"}
	}
	if change >= bitcoin.DustLimit {
		tx.AddTxOut(wire.NewTxOut(change, own))
	}
	if err := n.sign(tx, spent); err != nil {
		return custody.Hash{}, err
	}
	var raw bytes.Buffer
	if err := tx.Serialize(&raw); err != nil {
		return custody.Hash{}, err
	}
	if err := n.Client.Send(ctx, raw.Bytes()); err != nil {
		return custody.Hash{}, err
	}
	if n.coins = kept; change >= bitcoin.DustLimit {
		n.coins = append(n.coins, coin{wire.OutPoint{Hash: tx.TxHash(), Index: 1}, change, false})
	}
	var id custody.Hash
	return id, id.UnmarshalText([]byte(tx.TxHash().String()))
}

// usable reports whether a coin is on the best chain, or waits to be, and is old
// enough to spend.
func (n *Node) usable(ctx context.Context, c coin) (bool, error) {
	var out *struct {
		Confirmations int64 `json:"confirmations"`
	}
	if err := n.Client.Call(ctx, &out, "gettxout", c.outpoint.Hash.String(), c.outpoint.Index, true); err != nil {
		return false, err
	}
	return out != nil && (!c.coinbase || out.Confirmations >= 100), nil
}

func (n *Node) sign(tx *wire.MsgTx, spent map[wire.OutPoint]*wire.TxOut) error {
	outputs := txscript.NewMultiPrevOutFetcher(spent)
	hashes := txscript.NewTxSigHashes(tx, outputs)
	for i, in := range tx.TxIn {
		out := spent[in.PreviousOutPoint]
		signature, err := txscript.RawTxInTaprootSignature(tx, hashes, i, out.Value, out.PkScript, nil, txscript.SigHashDefault, n.key)
		if err != nil {
			return fmt.Errorf("sign by the faucet: %w", err)
		}
		in.Witness = wire.TxWitness{signature}
	}
	return nil
}

// Transaction returns a transaction of the mempool or a block, as it was sent.
func (n *Node) Transaction(ctx context.Context, id custody.Hash) ([]byte, error) {
	var text string
	if err := n.Client.Call(ctx, &text, "getrawtransaction", id, 0); err != nil {
		return nil, err
	}
	return hex.DecodeString(text)
}
