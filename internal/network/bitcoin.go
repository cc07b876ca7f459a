package network

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/custody"
)

// BitcoinConfig says where a node of a Bitcoin network is.
type BitcoinConfig struct {
	Network  custody.Network
	URL      string // http://HOST:PORT; https behind a proxy of the operator's
	User     string
	Password Password
	Client   *http.Client // nil for one that waits 30 seconds
}

// Bitcoin is a node of a Bitcoin network: btcd, or Bitcoin Core, with an index of
// transactions (txindex). It uses calls that both have. Its methods may be called
// by several goroutines; what they can't get from the node is an error of code
// [custody.Unavailable].
type Bitcoin struct {
	network custody.Network
	genesis custody.Hash
	rpc     rpc
}

// Block is a block with what is needed to find payments. Hashes are in the order
// in which the network shows them.
type Block struct {
	Hash, Previous custody.Hash
	Height         int64
	Transactions   []Transaction
}

// Transaction is one transaction of a [Block].
type Transaction struct {
	ID       custody.Hash
	Coinbase bool
	Inputs   []custody.Outpoint // none for a coinbase
	Outputs  []Output
}

// Output is one output of a [Transaction]. Amount is in satoshi.
type Output struct {
	Script []byte
	Amount custody.Amount
}

// Codes of answers, of Bitcoin Core's rpc/protocol.h.
const (
	codeMisc           = -1 // btcd: no such height
	codeNotFound       = -5
	codeParameter      = -8 // Bitcoin Core: no such height
	codeDecode         = -22
	codeVerify         = -25
	codeRejected       = -26
	codeInChain        = -27
	codeInvalidRequest = -32600 // btcd: can't estimate
	codeNoMethod       = -32601
)

// NewBitcoin returns a client. It connects to nothing yet: call
// [Bitcoin.Check] before relying on the node.
func NewBitcoin(c BitcoinConfig) (*Bitcoin, error) {
	params, err := bitcoin.Parameters(c.Network)
	if err != nil {
		return nil, err
	}
	client := c.Client
	if client == nil {
		client = &http.Client{Timeout: 30 * time.Second}
	}
	return &Bitcoin{c.Network, shown(*params.GenesisHash), rpc{c.URL, c.User, c.Password, client}}, nil
}

// Check refuses a node that serves another chain than the configured one, with
// code [custody.Conflict], or that has no index of transactions, with code
// [custody.Invalid].
func (b *Bitcoin) Check(ctx context.Context) error {
	genesis, err := b.HashAt(ctx, 0)
	if err != nil {
		return err
	}
	if genesis != b.genesis {
		return &custody.Error{
			Code: custody.Conflict, Field: "network",
			Message: fmt.Sprintf("the node's chain begins with block %s, that of %s with %s", genesis, b.network, b.genesis),
		}
	}
	first, err := b.Block(ctx, 1) // the genesis block is in no index
	if custody.CodeOf(err) == custody.NotFound {
		return nil
	} else if err != nil {
		return err
	}
	indexed, err := b.Known(ctx, first.Transactions[0].ID)
	if err != nil {
		return err
	}
	if !indexed {
		return &custody.Error{Code: custody.Invalid, Field: "url", Message: "the node has no index of transactions: start it with txindex"}
	}
	return nil
}

// Tip returns the newest block of the node's best chain.
func (b *Bitcoin) Tip(ctx context.Context) (height int64, hash custody.Hash, err error) {
	var info struct {
		Blocks int64        `json:"blocks"`
		Best   custody.Hash `json:"bestblockhash"`
	}
	if err := b.Call(ctx, &info, "getblockchaininfo"); err != nil {
		return 0, custody.Hash{}, err
	}
	return info.Blocks, info.Best, nil
}

// Block returns the block at a height of the node's best chain. Above the tip it
// is an error of code [custody.NotFound]. A block whose Previous isn't the block
// below as it was read before shows a reorganisation.
func (b *Bitcoin) Block(ctx context.Context, height int64) (*Block, error) {
	hash, err := b.HashAt(ctx, height)
	if err != nil {
		return nil, err
	}
	var text string
	if err := b.limited(ctx, &text, maxBlock, "getblock", hash.String(), 0); err != nil {
		return nil, err
	}
	block, err := parseBlock(text)
	if err != nil {
		return nil, unavailable("getblock", err)
	}
	if block.Hash != hash {
		return nil, unavailable("getblock", fmt.Errorf("block %s came for %s", block.Hash, hash))
	}
	block.Height = height
	return block, nil
}

// HashAt returns the hash of the block at a height of the node's best chain. Above
// the tip it is an error of code [custody.NotFound].
func (b *Bitcoin) HashAt(ctx context.Context, height int64) (custody.Hash, error) {
	var hash custody.Hash
	err := b.rpc.call(ctx, &hash, maxAnswer, "getblockhash", height)
	if said, ok := errors.AsType[*refusal](err); ok && (said.Code == codeMisc || said.Code == codeParameter) {
		return hash, &custody.Error{Code: custody.NotFound, Field: "height", Message: fmt.Sprintf("no block at %d", height)}
	}
	return hash, silent("getblockhash", err)
}

// parseBlock reads a block in hex.
func parseBlock(text string) (*Block, error) {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, errors.New("a block that isn't in hex")
	}
	var m wire.MsgBlock
	r := bytes.NewReader(raw)
	if err := m.Deserialize(r); err != nil {
		return nil, fmt.Errorf("no block: %w", err)
	}
	if r.Len() > 0 || len(m.Transactions) == 0 {
		return nil, errors.New("no block: empty, or with bytes after its end")
	}
	block := &Block{
		Hash: shown(m.BlockHash()), Previous: shown(m.Header.PrevBlock),
		Transactions: make([]Transaction, len(m.Transactions)),
	}
	for i, tx := range m.Transactions {
		t := Transaction{ID: shown(tx.TxHash()), Coinbase: i == 0}
		if !t.Coinbase {
			for _, in := range tx.TxIn {
				t.Inputs = append(t.Inputs, custody.Outpoint(in.PreviousOutPoint.String()))
			}
		}
		for _, out := range tx.TxOut {
			if out.Value < 0 {
				return nil, fmt.Errorf("transaction %s: a negative amount", t.ID)
			}
			t.Outputs = append(t.Outputs, Output{out.PkScript, custody.NewAmount(uint64(out.Value))})
		}
		block.Transactions[i] = t
	}
	return block, nil
}

// FeeRate estimates, in satoshi per 1,000 virtual bytes, what a transaction pays
// to be mined within target blocks; ok is false if the node has no estimate.
func (b *Bitcoin) FeeRate(ctx context.Context, target int) (rate uint64, ok bool, err error) {
	var smart struct {
		Rate float64 `json:"feerate"` // BTC per 1,000 virtual bytes
	}
	err = b.rpc.call(ctx, &smart, maxAnswer, "estimatesmartfee", target)
	if said, is := errors.AsType[*refusal](err); is && said.Code == codeNoMethod { // btcd
		err = b.rpc.call(ctx, &smart.Rate, maxAnswer, "estimatefee", target)
		if said, is := errors.AsType[*refusal](err); is && said.Code == codeInvalidRequest {
			return 0, false, nil
		}
	}
	if err != nil {
		return 0, false, silent("estimate a fee", err)
	}
	// Eight decimals of what is an estimate fit a float64 exactly.
	satoshi := math.Round(smart.Rate * 1e8)
	if !(satoshi >= 1 && satoshi <= bitcoin.MaxFeeRate) {
		return 0, false, nil
	}
	return uint64(satoshi), true, nil
}

// Send gives the node a signed transaction. It may be repeated: a transaction that
// the node knows already, in its mempool or in a block, is no error. What the node
// will never take has code [custody.Invalid]; what contradicts another transaction,
// or spends an output that the node doesn't know or that is spent,
// [custody.Conflict]; both with the node's words. After [custody.Unavailable] it
// isn't known whether the node has it: send it again.
func (b *Bitcoin) Send(ctx context.Context, raw []byte) error {
	var tx wire.MsgTx
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		return &custody.Error{Code: custody.Invalid, Field: "transaction", Err: err}
	}
	var id string
	err := b.rpc.call(ctx, &id, maxAnswer, "sendrawtransaction", hex.EncodeToString(raw))
	said, ok := errors.AsType[*refusal](err)
	if !ok {
		return err
	}
	if said.Code == codeInChain {
		return nil
	}
	// One question instead of the many ways to say that it is there.
	if known, err := b.Known(ctx, shown(tx.TxHash())); err == nil && known {
		return nil
	}
	return &custody.Error{Code: verdict(said), Field: "transaction", Err: said}
}

// verdict says what a refusal means. The words are those of Bitcoin Core's
// validation.cpp and of btcd's mempool.
func verdict(said *refusal) custody.Code {
	switch said.Code {
	case codeDecode:
		return custody.Invalid
	case codeVerify, codeRejected:
	default:
		return custody.Unavailable
	}
	words := strings.ToLower(said.Message)
	has := func(list ...string) bool {
		return slices.ContainsFunc(list, func(w string) bool { return strings.Contains(words, w) })
	}
	switch {
	case has("mempool min fee not met", "mempool full", "too-long-mempool-chain"):
		return custody.Unavailable
	case has("missingorspent", "missing inputs", "mempool-conflict", "replacement", "txn-mempool", // Bitcoin Core
		"orphan transaction", "already been spent", "already spent in mempool"): // btcd
		return custody.Conflict
	}
	return custody.Invalid
}

// Known reports whether the node has a transaction, in its mempool or in a block
// of its best chain.
func (b *Bitcoin) Known(ctx context.Context, id custody.Hash) (bool, error) {
	var raw string
	err := b.rpc.call(ctx, &raw, maxBlock, "getrawtransaction", id.String(), 0)
	if said, ok := errors.AsType[*refusal](err); ok && said.Code == codeNotFound {
		return false, nil
	}
	return err == nil, silent("getrawtransaction", err)
}

// Call asks the node for anything else and reads the result, of at most 1 MiB, into
// result.
func (b *Bitcoin) Call(ctx context.Context, result any, method string, params ...any) error {
	return b.limited(ctx, result, maxAnswer, method, params...)
}

func (b *Bitcoin) limited(ctx context.Context, result any, limit int64, method string, params ...any) error {
	return silent(method, b.rpc.call(ctx, result, limit, method, params...))
}

// silent gives a refusal that nobody expects code [custody.Unavailable].
func silent(method string, err error) error {
	if said, ok := errors.AsType[*refusal](err); ok {
		return unavailable(method, said)
	}
	return err
}

// shown turns a hash into the order in which the network shows it.
func shown(h [32]byte) custody.Hash {
	slices.Reverse(h[:])
	return h
}
