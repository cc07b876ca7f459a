package bitcoin_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/tss/derive"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
)

// secret is a whole private key, which exists in tests alone.
var secret, _ = btcec.PrivKeyFromBytes(bytes.Repeat([]byte{7}, 32))

var account = chain.Account{
	Network:   bitcoin.Regtest,
	Scheme:    custody.BIP340Secp256k1,
	PublicKey: secret.PubKey().SerializeCompressed(),
	ChainCode: custody.Hash(sha256.Sum256([]byte("chain code"))),
	Path:      5,
}

// stranger is an address of nobody's account here.
const stranger custody.Address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"

// must returns v, and ends the test's process where there is an error: for values
// that tests make themselves.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func own(a chain.Account, branch, index uint32) custody.Address {
	return must(bitcoin.Family{}.Address(a, branch, index))
}

// coin makes a coin of the account at m/Path/branch/index with the transaction
// that it comes from.
func coin(a chain.Account, satoshi int64, branch, index uint32) bitcoin.Coin {
	tx := wire.NewMsgTx(2)
	seed := chainhash.Hash(sha256.Sum256(fmt.Appendf(nil, "%d %d %d", satoshi, branch, index)))
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: seed, Index: index}, nil, wire.TxWitness{{1, 2, 3}}))
	tx.AddTxOut(wire.NewTxOut(1234, []byte{txscript.OP_TRUE}))
	tx.AddTxOut(wire.NewTxOut(satoshi, must(bitcoin.Script(a.Network, own(a, branch, index)))))
	var raw bytes.Buffer
	if err := tx.Serialize(&raw); err != nil {
		panic(err)
	}
	return bitcoin.Coin{
		Outpoint: custody.Outpoint(tx.TxHash().String() + ":1"), Amount: custody.NewAmount(uint64(satoshi)),
		Branch: branch, Index: index, Previous: raw.Bytes(),
	}
}

// order pays 60,000 satoshi to the stranger out of two coins of 50,000.
func order() bitcoin.Order {
	return bitcoin.Order{
		Account: account, Coins: []bitcoin.Coin{coin(account, 50_000, 0, 3), coin(account, 50_000, 1, 9)},
		To: stranger, Amount: custody.NewAmount(60_000), FeeLimit: custody.NewAmount(10_000),
		FeeRate: 2000, ChangeIndex: 10,
	}
}

// sign signs for every message with the private key of its path.
func sign(t testing.TB, a chain.Account, e *chain.Effects) [][]byte {
	t.Helper()
	root := must(group.Secp256k1.DecodePoint(a.PublicKey))
	var out [][]byte
	for _, m := range e.Messages {
		tweak := must(derive.Derive(root, hash.Digest(a.ChainCode), m.Path)).Tweak()
		var child btcec.ModNScalar
		child.SetByteSlice(tweak.Bytes())
		child.Add(&secret.Key)
		output := txscript.TweakTaprootPrivKey(*btcec.PrivKeyFromScalar(&child), nil)
		out = append(out, must(schnorr.Sign(output, m.Bytes)).Serialize())
	}
	return out
}

// pair and maps are a PSBT taken apart by other code than the package's, so that
// tests can put it together wrongly.
type pair struct{ key, value []byte }

type maps struct {
	tx      *wire.MsgTx
	global  []pair // without the transaction
	inputs  [][]pair
	outputs [][]pair
	tail    []byte
}

func open(t testing.TB, raw []byte) *maps {
	t.Helper()
	r := bytes.NewReader(raw[5:])
	section := func() []pair {
		var list []pair
		for {
			key := must(wire.ReadVarBytes(r, 0, 1<<20, "key"))
			if len(key) == 0 {
				return list
			}
			list = append(list, pair{key, must(wire.ReadVarBytes(r, 0, 1<<20, "value"))})
		}
	}
	m := &maps{tx: new(wire.MsgTx)}
	m.global = section()
	if err := m.tx.DeserializeNoWitness(bytes.NewReader(m.global[0].value)); err != nil {
		t.Fatal(err)
	}
	m.global = m.global[1:]
	for range m.tx.TxIn {
		m.inputs = append(m.inputs, section())
	}
	for range m.tx.TxOut {
		m.outputs = append(m.outputs, section())
	}
	return m
}

func (m *maps) bytes() []byte {
	var tx, b bytes.Buffer
	must(0, m.tx.SerializeNoWitness(&tx))
	b.WriteString("psbt\xff")
	sections := slices.Concat([][]pair{append([]pair{{[]byte{0}, tx.Bytes()}}, m.global...)}, m.inputs, m.outputs)
	for _, s := range sections {
		for _, p := range s {
			must(0, wire.WriteVarBytes(&b, 0, p.key))
			must(0, wire.WriteVarBytes(&b, 0, p.value))
		}
		b.WriteByte(0)
	}
	return append(b.Bytes(), m.tail...)
}

// at returns the value of the first pair of a type.
func at(section []pair, kind byte) *pair {
	return &section[slices.IndexFunc(section, func(p pair) bool { return p.key[0] == kind })]
}

// put adds a pair in the order of keys.
func put(section []pair, key, value []byte) []pair {
	section = append(slices.Clone(section), pair{key, value})
	slices.SortStableFunc(section, func(a, b pair) int { return bytes.Compare(a.key, b.key) })
	return section
}

// without leaves out all pairs of a type.
func without(section []pair, kind byte) []pair {
	return slices.DeleteFunc(slices.Clone(section), func(p pair) bool { return p.key[0] == kind })
}

// change returns the number of the output of change.
func (m *maps) change() int {
	return slices.IndexFunc(m.outputs, func(s []pair) bool { return len(s) > 0 })
}

// derivation writes what the PSBT of an account says of a path.
func derivation(a chain.Account, path ...uint32) []byte {
	b := append([]byte{0}, address.Hash160(a.PublicKey)[:4]...)
	for _, i := range path {
		b = binary.LittleEndian.AppendUint32(b, i)
	}
	return b
}

// claimed returns the pairs by which an output claims to be an account's, and its
// script.
func claimed(a chain.Account, branch, index uint32) ([]pair, []byte) {
	root := must(group.Secp256k1.DecodePoint(a.PublicKey))
	node := must(derive.Derive(root, hash.Digest(a.ChainCode), derive.Path{a.Path, branch, index}))
	key := node.Public.XOnly()
	return []pair{
		{[]byte{5}, key},
		{append([]byte{7}, key...), derivation(a, a.Path, branch, index)},
	}, must(bitcoin.Script(a.Network, own(a, branch, index)))
}

func satoshi(a custody.Amount) (int64, error) { return strconv.ParseInt(a.String(), 10, 64) }
