package bitcoin_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/v2/txsort"
	"github.com/btcsuite/btcd/wire/v2"
	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/custody"
)

// size is the virtual size of a transaction with signatures of 64 bytes (BIP-141).
func size(tx *wire.MsgTx) int64 {
	tx = tx.Copy()
	for _, in := range tx.TxIn {
		in.Witness = wire.TxWitness{make([]byte, 64)}
	}
	return int64(3*tx.SerializeSizeStripped()+tx.SerializeSize()+3) / 4
}

func TestBuild(t *testing.T) {
	t.Parallel()
	small, fitting, big, huge := coin(account, 20_000, 0, 0), coin(account, 60_300, 0, 1), coin(account, 100_000, 0, 2), coin(account, 1_000_000, 0, 3)
	all := []bitcoin.Coin{small, fitting, big, huge}
	for _, c := range []struct {
		name   string
		edit   func(o *bitcoin.Order)
		spends []bitcoin.Coin
		fee    int64
		change int64
	}{
		{"one coin fits closely", func(*bitcoin.Order) {}, []bitcoin.Coin{fitting}, 300, 0},
		{"none fits: the largest", func(o *bitcoin.Order) { o.Amount = custody.NewAmount(70_000) }, []bitcoin.Coin{huge}, 284, 929_716},
		{"as few as possible", func(o *bitcoin.Order) { o.Amount = custody.NewAmount(1_000_000) }, []bitcoin.Coin{huge, big}, 400, 99_600},
		{"all of them", func(o *bitcoin.Order) { o.Amount = custody.NewAmount(1_179_500) }, all, 800, 0},
		{"change is dust", func(o *bitcoin.Order) {
			o.Coins, o.Amount = []bitcoin.Coin{big}, custody.NewAmount(99_400)
		}, []bitcoin.Coin{big}, 600, 0},
		{"change is just worth it", func(o *bitcoin.Order) {
			o.Coins, o.Amount, o.FeeRate = []bitcoin.Coin{big}, custody.NewAmount(100_000-330-142), 1000
		}, []bitcoin.Coin{big}, 142, 330},
		{"dust above the fee limit: one coin more", func(o *bitcoin.Order) {
			o.Coins, o.Amount, o.FeeLimit = []bitcoin.Coin{small, big}, custody.NewAmount(99_400), custody.NewAmount(500)
		}, []bitcoin.Coin{big, small}, 400, 20_200},
		{"one that must be spent, alone enough", func(o *bitcoin.Order) {
			o.Must = []custody.Outpoint{big.Outpoint}
		}, []bitcoin.Coin{big}, 284, 39_716},
		{"one that must be spent, not enough", func(o *bitcoin.Order) {
			o.Must, o.Amount = []custody.Outpoint{small.Outpoint}, custody.NewAmount(80_000-122)
		}, []bitcoin.Coin{small, fitting}, 422, 0},
		{"one that must be spent, and the largest", func(o *bitcoin.Order) {
			o.Must, o.Amount = []custody.Outpoint{small.Outpoint}, custody.NewAmount(90_000)
		}, []bitcoin.Coin{small, huge}, 400, 929_600},
		{"one of two that must be spent", func(o *bitcoin.Order) {
			o.Must = []custody.Outpoint{small.Outpoint, fitting.Outpoint}
		}, []bitcoin.Coin{fitting}, 300, 0},
		{"replaced", func(o *bitcoin.Order) {
			o.Must, o.Replaced = []custody.Outpoint{big.Outpoint}, custody.NewAmount(500)
		}, []bitcoin.Coin{big}, 500 + 142, 39_358},
		{"replaced by a higher rate", func(o *bitcoin.Order) {
			o.Must, o.Replaced, o.FeeRate = []custody.Outpoint{big.Outpoint}, custody.NewAmount(500), 10_000
		}, []bitcoin.Coin{big}, 1420, 38_580},
		{"everything back", func(o *bitcoin.Order) {
			o.To, o.Amount, o.Must = "", custody.Amount{}, []custody.Outpoint{small.Outpoint}
		}, []bitcoin.Coin{small}, 222, 19_778},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := order()
			o.Coins = all
			c.edit(&o)
			raw, err := bitcoin.Build(o)
			if err != nil {
				t.Fatal(err)
			}
			e := must(bitcoin.Family{}.Decode(account, raw))
			var want, got []string
			for _, coin := range c.spends {
				want = append(want, string(coin.Outpoint))
			}
			for _, claim := range e.Claims {
				got = append(got, string(claim.Outpoint))
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(want, got) {
				t.Errorf("spends %q, want %q", got, want)
			}
			if e.Fee != custody.NewAmount(uint64(c.fee)) {
				t.Errorf("fee %s, want %d", e.Fee, c.fee)
			}
			var change custody.Amount
			for _, x := range e.Change {
				change = x.Amount
			}
			if change != custody.NewAmount(uint64(c.change)) {
				t.Errorf("change %s, want %d", change, c.change)
			}
		})
	}
}

func TestBuildRefused(t *testing.T) {
	t.Parallel()
	coins := order().Coins
	wrong := coins[0]
	wrong.Previous = coins[1].Previous
	for _, c := range []struct {
		name string
		edit func(o *bitcoin.Order)
		code custody.Code
		says string
	}{
		{"not enough", func(o *bitcoin.Order) { o.Amount = custody.NewAmount(100_000) }, custody.Exhausted, "coins: have 0.001 tBTC, need 0.00100314 tBTC with the fee"},
		{"no coins", func(o *bitcoin.Order) { o.Coins = nil }, custody.Exhausted, "coins: have 0 tBTC, need 0.00060198 tBTC"},
		{"all but the fee", func(o *bitcoin.Order) { o.Amount = custody.NewAmount(99_700) }, custody.Exhausted, "need 0.00100014"},
		{"nothing to give back", func(o *bitcoin.Order) {
			o.To, o.Amount, o.Coins = "", custody.Amount{}, []bitcoin.Coin{coin(account, 500, 0, 0)}
		}, custody.Exhausted, "have 0.000005 tBTC, need 0.00000552 tBTC"},
		{"fee above the limit", func(o *bitcoin.Order) { o.FeeLimit = custody.NewAmount(399) }, custody.Exhausted, "feeLimit: the fee would be 0.000004 tBTC, the limit is 0.00000399 tBTC"},
		{"replacement above the limit", func(o *bitcoin.Order) { o.Replaced = custody.NewAmount(10_000) }, custody.Exhausted, "the fee would be 0.000102 tBTC, the limit is 0.0001 tBTC"},
		{"dust", func(o *bitcoin.Order) { o.Amount = custody.NewAmount(293) }, custody.Invalid, "amount: 293 satoshi are dust, which nodes don't relay: at least 294"},
		{"dust for P2TR", func(o *bitcoin.Order) { o.To, o.Amount = own(account, 0, 0), custody.NewAmount(329) }, custody.Invalid, "at least 330"},
		{"dust for P2PKH", func(o *bitcoin.Order) {
			o.To, o.Amount = "mkHS9ne12qx9pS9VojpwU5xtRd4T7X7ZUt", custody.NewAmount(545)
		}, custody.Invalid, "at least 546"},
		{"nobody to pay", func(o *bitcoin.Order) { o.To = "" }, custody.Invalid, "amount: without an address"},
		{"bad address", func(o *bitcoin.Order) { o.To = "bc1q" }, custody.Invalid, "address: "},
		{"more than all the money", func(o *bitcoin.Order) { o.Amount = custody.NewAmount(21e14 + 1) }, custody.Invalid, "amount: "},
		{"far more", func(o *bitcoin.Order) { o.Amount = must(custody.ParseAmount("1" + strings.Repeat("0", 40))) }, custody.Invalid, "amount: "},
		{"coin of more", func(o *bitcoin.Order) { o.Coins[1].Amount = custody.NewAmount(1 << 63) }, custody.Invalid, "coins.1.amount"},
		{"rate of nothing", func(o *bitcoin.Order) { o.FeeRate = 0 }, custody.Invalid, "feeRate"},
		{"absurd rate", func(o *bitcoin.Order) { o.FeeRate = 1 << 63 }, custody.Invalid, "feeRate"},
		{"coin twice", func(o *bitcoin.Order) { o.Coins[1] = o.Coins[0] }, custody.Invalid, "coins.1.outpoint: given twice"},
		{"bad outpoint", func(o *bitcoin.Order) { o.Coins[0].Outpoint = "00:1" }, custody.Invalid, "coins.0.outpoint: "},
		{"must is no coin", func(o *bitcoin.Order) { o.Must = []custody.Outpoint{coin(account, 1, 0, 0).Outpoint} }, custody.Invalid, "must: "},
		{"wrong previous", func(o *bitcoin.Order) { o.Coins[0] = wrong }, custody.Invalid, "not the transaction of the outpoint"},
		{"previous of another amount", func(o *bitcoin.Order) { o.Coins[0].Amount = custody.NewAmount(50_001) }, custody.Invalid, "another amount"},
		{"previous of another address", func(o *bitcoin.Order) { o.Coins[0].Index++ }, custody.Invalid, "another amount or script"},
		{"no previous at all", func(o *bitcoin.Order) { o.Coins[0].Previous = []byte{1, 2} }, custody.Invalid, "no transaction"},
		{"third branch", func(o *bitcoin.Order) { o.Coins[0].Branch = 2 }, custody.Invalid, "branch"},
		{"hardened change", func(o *bitcoin.Order) { o.ChangeIndex = 1 << 31 }, custody.Invalid, "change: index"},
		{"account", func(o *bitcoin.Order) { o.Account.Scheme = custody.Ed25519 }, custody.Invalid, "account.scheme"},
		{"previous transactions of a megabyte", func(o *bitcoin.Order) {
			tx := new(wire.MsgTx)
			must(0, tx.Deserialize(bytes.NewReader(o.Coins[0].Previous)))
			tx.AddTxOut(wire.NewTxOut(0, make([]byte, 1<<20)))
			var b bytes.Buffer
			must(0, tx.Serialize(&b))
			o.Coins[0].Previous, o.Coins[0].Outpoint = b.Bytes(), custody.Outpoint(tx.TxHash().String()+":1")
		}, custody.Invalid, "leave out previous transactions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := order()
			c.edit(&o)
			_, err := bitcoin.Build(o)
			if err == nil {
				t.Fatal("built")
			}
			if custody.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %s and %q", custody.CodeOf(err), err, c.code, c.says)
			}
		})
	}
}

// TestManyCoins spends as many outputs as an entry may claim, and no more.
func TestManyCoins(t *testing.T) {
	t.Parallel()
	o := order()
	o.Coins = nil
	for i := range uint32(custody.MaxClaims + 1) {
		c := coin(account, 1000, 0, i)
		c.Previous = nil
		o.Coins = append(o.Coins, c)
	}
	o.Amount, o.FeeLimit, o.FeeRate = custody.NewAmount(900_000), custody.NewAmount(100_000), 1000
	e, err := bitcoin.Family{}.Decode(account, must(bitcoin.Build(o)))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(e.Claims); n < 950 || n > custody.MaxClaims {
		t.Errorf("%d inputs", n)
	}
	o.Amount = custody.NewAmount(990_000)
	if _, err := bitcoin.Build(o); custody.CodeOf(err) != custody.Exhausted || !strings.Contains(err.Error(), "the 1000 largest hold 0.01 tBTC") {
		t.Errorf("more than 1,000 inputs: %v", err)
	}
}

// TestRandomBuilds holds random transactions against what was ordered and, by
// btcd's own code, against what Decode finds in them.
func TestRandomBuilds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := bitcoin.Order{
			Account: account, To: stranger,
			Amount:      custody.NewAmount(rapid.Uint64Range(294, 3_000_000).Draw(t, "amount")),
			FeeLimit:    custody.NewAmount(rapid.Uint64Range(100, 200_000).Draw(t, "limit")),
			FeeRate:     rapid.Uint64Range(1, 100_000).Draw(t, "rate"),
			ChangeIndex: rapid.Uint32Range(0, 1<<31-1).Draw(t, "change"),
		}
		if rapid.IntRange(0, 9).Draw(t, "cancel") == 0 {
			o.To, o.Amount = "", custody.Amount{}
		}
		for i := range uint32(rapid.IntRange(0, 12).Draw(t, "coins")) {
			c := coin(account, rapid.Int64Range(1, 1_000_000).Draw(t, "coin"), i%2, i)
			if rapid.Bool().Draw(t, "bare") {
				c.Previous = nil
			}
			if o.Coins = append(o.Coins, c); rapid.IntRange(0, 5).Draw(t, "must") == 0 {
				o.Must = append(o.Must, c.Outpoint)
			}
		}
		if rapid.Bool().Draw(t, "replaces") {
			o.Replaced = custody.NewAmount(rapid.Uint64Range(1, 5000).Draw(t, "replaced"))
		}
		raw, err := bitcoin.Build(o)
		if err != nil {
			if custody.CodeOf(err) != custody.Exhausted {
				t.Fatal(err)
			}
			return
		}
		if again := must(bitcoin.Build(o)); !bytes.Equal(raw, again) {
			t.Fatal("the same order, two transactions")
		}
		e, err := bitcoin.Family{}.Decode(account, raw)
		if err != nil {
			t.Fatal(err)
		}
		agrees(t, raw, e)
		held(t, o, raw, e)
	})
}

// held checks what Build promises.
func held(t *rapid.T, o bitcoin.Order, raw []byte, e *chain.Effects) {
	tx := new(wire.MsgTx)
	must(0, tx.DeserializeNoWitness(bytes.NewReader(e.Unsigned)))
	fee := must(satoshi(e.Fee))
	rate := int64(o.FeeRate)
	if least := (size(tx)*rate + 999) / 1000; fee < least {
		t.Fatalf("a fee of %d for %d virtual bytes", fee, size(tx))
	}
	if !o.Replaced.IsZero() && fee < must(satoshi(o.Replaced))+size(tx) {
		t.Fatalf("a fee of %d for %d virtual bytes to replace %s", fee, size(tx), o.Replaced)
	}
	if len(e.Change) == 1 && o.Replaced.IsZero() && fee != (size(tx)*rate+999)/1000 {
		t.Fatalf("with change a fee of %d for %d virtual bytes", fee, size(tx))
	}
	if e.Fee.Cmp(o.FeeLimit) > 0 {
		t.Fatalf("a fee of %d above the limit", fee)
	}
	if !txsort.IsSorted(tx) {
		t.Fatal("not in the order of BIP-69")
	}
	for _, c := range e.Change {
		if c.Amount.Cmp(custody.NewAmount(330)) < 0 || c.Path[2] != o.ChangeIndex {
			t.Fatalf("change %+v", c)
		}
	}
	var err error
	if o.To == "" {
		err = e.CheckCancel(o.FeeLimit)
	} else {
		err = e.Check(&custody.Transfer{
			Asset: bitcoin.UnitOf(account.Network).Asset, Amount: o.Amount, FeeLimit: o.FeeLimit,
			Destination: custody.Recipient{Address: o.To},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	shared := len(o.Must) == 0
	for _, c := range e.Claims {
		shared = shared || slices.Contains(o.Must, c.Outpoint)
	}
	if !shared {
		t.Fatal("spends none of what it must")
	}
	if len(raw) > bitcoin.MaxPSBT {
		t.Fatal("too long")
	}
}
