package network_test

import (
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/network"
	"github.com/cofferhq/coffer/internal/network/btcdtest"
	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/tsstest"
)

// wallet is an account whose key is shared by three nodes, two of which sign.
type wallet struct {
	chain.Account
	t       *testing.T
	cluster *tsstest.Cluster
	shares  []*tss.KeyShare
	node    *btcdtest.Node
}

func newWallet(t *testing.T, seed uint64, node *btcdtest.Node) *wallet {
	t.Helper()
	c := tsstest.NewCluster(t, seed, 2, tsstest.Single(3)...)
	shares := c.Keygen(tss.SuiteBIP340)
	return &wallet{chain.Account{
		Network: bitcoin.Regtest, Scheme: custody.BIP340Secp256k1,
		PublicKey: shares[0].Public.Bytes(), ChainCode: custody.Hash(shares[0].ChainCode), Path: 4,
	}, t, c, shares, node}
}

func (w *wallet) address(branch, index uint32) custody.Address {
	w.t.Helper()
	a, err := bitcoin.Family{}.Address(w.Account, branch, index)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// fund pays and mines satoshi to m/4/0/index for each element.
func (w *wallet) fund(satoshi ...int64) []bitcoin.Coin {
	w.t.Helper()
	for i, n := range satoshi {
		w.node.Pay(w.address(0, uint32(i)), n)
	}
	w.node.Mine(1)
	tip, _, err := w.node.Client.Tip(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	coins := w.received(tip, len(satoshi))
	if len(coins) != len(satoshi) {
		w.t.Fatalf("%d of %d payments are in block %d", len(coins), len(satoshi), tip)
	}
	return coins
}

// received finds the coins of the first addresses in a block.
func (w *wallet) received(height int64, addresses int) []bitcoin.Coin {
	w.t.Helper()
	block, err := w.node.Client.Block(w.t.Context(), height)
	if err != nil {
		w.t.Fatal(err)
	}
	var coins []bitcoin.Coin
	for branch := range uint32(2) {
		for index := range uint32(addresses) {
			script, err := bitcoin.Script(w.Network, w.address(branch, index))
			if err != nil {
				w.t.Fatal(err)
			}
			for _, tx := range block.Transactions {
				for i, out := range tx.Outputs {
					if string(out.Script) == string(script) {
						coins = append(coins, bitcoin.Coin{
							Outpoint: custody.Outpoint(tx.ID.String() + ":" + string(rune('0'+i))), Amount: out.Amount,
							Branch: branch, Index: index, Previous: w.node.Transaction(tx.ID),
						})
					}
				}
			}
		}
	}
	return coins
}

// order pays to the faucet's side of the world, at 2 satoshi per virtual byte.
func (w *wallet) order(amount uint64, coins ...bitcoin.Coin) bitcoin.Order {
	return bitcoin.Order{
		Account: w.Account, Coins: coins, To: stranger, Amount: custody.NewAmount(amount),
		FeeLimit: custody.NewAmount(100_000), FeeRate: 2000,
	}
}

const stranger custody.Address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"

// sign builds, decodes, signs by two of the three nodes and assembles.
func (w *wallet) sign(o bitcoin.Order) (*chain.Signed, *chain.Effects) {
	w.t.Helper()
	raw, err := bitcoin.Build(o)
	if err != nil {
		w.t.Fatal(err)
	}
	e, err := bitcoin.Family{}.Decode(w.Account, raw)
	if err != nil {
		w.t.Fatal(err)
	}
	var signatures [][]byte
	for _, m := range e.Messages {
		signatures = append(signatures, w.cluster.Sign(w.shares, []uint16{1, 3}, frost.Request{Message: m.Bytes, Path: m.Path, Taproot: new(frost.Taproot)}))
	}
	signed, err := bitcoin.Family{}.Assemble(w.Account, raw, signatures)
	if err != nil {
		w.t.Fatal(err)
	}
	return signed, e
}

// sent holds the result of sending against the code and words that it should have;
// no words mean that the node has it.
func (w *wallet) sent(s *chain.Signed, code custody.Code, words string) {
	w.t.Helper()
	err := w.node.Client.Send(w.t.Context(), s.Raw)
	if words == "" {
		if err != nil {
			w.t.Fatal(err)
		}
		if known, err := w.node.Client.Known(w.t.Context(), s.ID); !known || err != nil {
			w.t.Fatalf("the node doesn't know what it took: %v", err)
		}
		return
	}
	if err == nil || custody.CodeOf(err) != code || !strings.Contains(err.Error(), words) {
		w.t.Fatalf("%s: %v, want %s and %q", custody.CodeOf(err), err, code, words)
	}
}

func (w *wallet) mempool(want ...custody.Hash) {
	w.t.Helper()
	got := w.node.Mempool()
	if len(got) != len(want) || len(want) == 1 && got[0] != want[0] {
		w.t.Fatalf("in the mempool %s, want %s", got, want)
	}
}

// TestTransfers takes real transactions of a 2-of-3 key through a real node.
func TestTransfers(t *testing.T) {
	t.Parallel()
	node := btcdtest.Start(t, btcdtest.Options{Blocks: 20})
	w := newWallet(t, 1, node)

	t.Run("paid, again and again", func(t *testing.T) {
		w.t = t
		coins := w.fund(300_000, 200_000)
		signed, e := w.sign(w.order(400_000, coins...))
		if len(e.Messages) != 2 || len(e.Change) != 1 {
			t.Fatalf("%d inputs and %d outputs of change", len(e.Messages), len(e.Change))
		}
		if known, err := node.Client.Known(t.Context(), signed.ID); known || err != nil {
			t.Fatalf("known before it is sent: %v", err)
		}
		w.sent(signed, 0, "")
		w.mempool(signed.ID)
		w.sent(signed, 0, "") // already in the mempool
		node.Mine(1)
		w.mempool()
		w.sent(signed, 0, "") // already in a block

		// The change can be found and spent.
		tip, _, err := node.Client.Tip(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		change := w.received(tip, 1)
		if len(change) != 1 || change[0].Branch != 1 || change[0].Amount != e.Change[0].Amount {
			t.Fatalf("change %+v, want one coin of %s", change, e.Change[0].Amount)
		}
		next, _ := w.sign(w.order(50_000, change...))
		w.sent(next, 0, "")
		node.Mine(1)
		w.sent(signed, 0, "") // and all its outputs spent
	})

	t.Run("spent already", func(t *testing.T) {
		w.t = t
		coins := w.fund(100_000)
		first, _ := w.sign(w.order(50_000, coins...))
		second, _ := w.sign(w.order(50_001, coins...))
		w.sent(first, 0, "")
		w.sent(second, custody.Conflict, "replacement transaction has an insufficient")
		node.Mine(1)
		w.sent(second, custody.Conflict, "orphan transaction")
		w.sent(first, 0, "")
	})

	t.Run("replaced", func(t *testing.T) {
		w.t = t
		coins := w.fund(100_000, 100_000)
		o := w.order(150_000, coins...)
		first, paid := w.sign(o)
		w.sent(first, 0, "")
		for _, c := range paid.Claims {
			o.Must = append(o.Must, c.Outpoint)
		}
		// The fee that BIP-125 asks for at least; what is a satoshi less is refused.
		o.Replaced = paid.Fee.Sub(custody.NewAmount(1))
		low, _ := w.sign(o)
		w.sent(low, custody.Conflict, "insufficient absolute fee")
		o.Replaced = paid.Fee
		second, replaced := w.sign(o)
		w.sent(second, 0, "")
		w.mempool(second.ID)
		if known, err := node.Client.Known(t.Context(), first.ID); known || err != nil {
			t.Fatalf("the replaced one is still known: %v", err)
		}
		if replaced.Fee.Cmp(paid.Fee) <= 0 {
			t.Fatalf("replaced at %s, which had paid %s", replaced.Fee, paid.Fee)
		}
		// Cancelled: everything comes back.
		cancel := bitcoin.Order{
			Account: w.Account, Coins: coins, FeeLimit: o.FeeLimit, FeeRate: 20_000, ChangeIndex: 1,
			Must: o.Must, Replaced: replaced.Fee,
		}
		third, back := w.sign(cancel)
		if err := back.CheckCancel(o.FeeLimit); err != nil {
			t.Fatal(err)
		}
		w.sent(third, 0, "")
		w.mempool(third.ID)
		node.Mine(1)
		w.sent(first, custody.Conflict, "orphan transaction")
	})

	t.Run("least amounts and fees", func(t *testing.T) {
		w.t = t
		coins := w.fund(10_000, 10_001, 10_002, 10_003)
		for i, c := range []struct {
			to    custody.Address
			least uint64
		}{{stranger, 294}, {w.address(0, 9), 330}, {"mkHS9ne12qx9pS9VojpwU5xtRd4T7X7ZUt", 546}} {
			o := w.order(c.least, coins[i])
			o.To, o.FeeRate = c.to, 1000
			signed, _ := w.sign(o)
			w.sent(signed, 0, "")
		}
		o := w.order(5000, coins[3])
		o.FeeRate = 900
		signed, _ := w.sign(o)
		w.sent(signed, custody.Invalid, "due to low fees")
		node.Mine(1)
	})

	t.Run("tampered", func(t *testing.T) {
		w.t = t
		signed, _ := w.sign(w.order(50_000, w.fund(100_000)...))
		raw := signed.Raw
		raw[len(raw)-10] ^= 1 // in the signature
		w.sent(&chain.Signed{Raw: raw, ID: signed.ID}, custody.Invalid, "the node says")
		w.sent(&chain.Signed{Raw: raw[:50]}, custody.Invalid, "transaction")
	})
}

// TestReorganisation sees a reorganisation as a block whose parent is another than
// the one read before.
func TestReorganisation(t *testing.T) {
	t.Parallel()
	node := btcdtest.Start(t, btcdtest.Options{})
	paid := node.Pay(stranger, 50_000)
	node.Mine(3)
	tip, best, err := node.Client.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	read := func(height int64) *network.Block {
		t.Helper()
		b, err := node.Client.Block(t.Context(), height)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	has := func(b *network.Block) bool {
		for _, tx := range b.Transactions {
			if tx.ID == paid {
				return true
			}
		}
		return false
	}
	old := []*network.Block{read(tip - 2), read(tip - 1), read(tip)}
	if old[2].Hash != best || old[1].Hash != old[2].Previous || old[0].Hash != old[1].Previous || old[2].Height != tip {
		t.Fatal("the blocks don't follow each other")
	}
	if !has(old[0]) || has(old[1]) {
		t.Fatal("the payment isn't where it was mined")
	}
	if first := old[0].Transactions[0]; !first.Coinbase || len(first.Inputs) != 0 || len(old[0].Transactions[1].Inputs) != 1 {
		t.Error("the coinbase isn't told from the others")
	}
	if _, err := node.Client.Block(t.Context(), tip+1); custody.CodeOf(err) != custody.NotFound {
		t.Errorf("a block above the tip: %v", err)
	}
	if _, err := node.Client.Block(t.Context(), -1); custody.CodeOf(err) != custody.NotFound {
		t.Errorf("a block below the first: %v", err)
	}

	node.Invalidate(old[0].Hash)
	if ids := node.Mempool(); len(ids) != 1 || ids[0] != paid {
		t.Errorf("after the payment's block is gone, the mempool has %s", ids)
	}
	if known, err := node.Client.Known(t.Context(), paid); !known || err != nil {
		t.Errorf("a payment that waits again isn't known: %v", err)
	}
	node.Pay(stranger, 1000) // so that no new block is an old one
	node.Mine(4)
	for i, b := range old {
		if read(b.Height).Hash == b.Hash {
			t.Errorf("block %d is still there", i)
		}
	}
	if next := read(tip + 1); next.Previous == old[2].Hash {
		t.Error("the block above the old tip names it as its parent")
	}
	if now, _, err := node.Client.Tip(t.Context()); err != nil || now != tip+1 {
		t.Errorf("tip %d (%v), want %d", now, err, tip+1)
	}
	node.Reconsider(old[0].Hash)
	if read(tip).Hash == old[2].Hash {
		t.Error("the shorter chain is the best one")
	}
}

// TestCheck refuses a node of another chain.
func TestCheck(t *testing.T) {
	t.Parallel()
	node := btcdtest.Start(t, btcdtest.Options{})
	if err := node.Client.Check(t.Context()); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		name string
		edit func(*network.BitcoinConfig)
		code custody.Code
		says string
	}{
		{"mainnet", func(c *network.BitcoinConfig) { c.Network = bitcoin.Mainnet }, custody.Conflict, "network: the node's chain begins with block 0f9188f1"},
		{"signet", func(c *network.BitcoinConfig) { c.Network = bitcoin.Signet }, custody.Conflict, "network: "},
		{"password", func(c *network.BitcoinConfig) { c.Password = "guess" }, custody.Unavailable, "user name and password"},
		{"nobody there", func(c *network.BitcoinConfig) { c.URL = "http://127.0.0.1:1" }, custody.Unavailable, "getblockhash"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := network.BitcoinConfig{Network: bitcoin.Regtest, URL: node.URL, User: node.User, Password: node.Password}
			c.edit(&config)
			client, err := network.NewBitcoin(config)
			if err != nil {
				t.Fatal(err)
			}
			err = client.Check(t.Context())
			if err == nil || custody.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "guess") {
				t.Errorf("%s: %v, want %s and %q", custody.CodeOf(err), err, c.code, c.says)
			}
		})
	}
	if _, err := network.NewBitcoin(network.BitcoinConfig{Network: "eip155:1"}); custody.CodeOf(err) != custody.Invalid {
		t.Errorf("a network that isn't Bitcoin: %v", err)
	}
}
