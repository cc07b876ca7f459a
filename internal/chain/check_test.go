package chain_test

import (
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/custody"
)

const (
	native custody.Asset = "eip155:1/slip44:60"
	erc20  custody.Asset = "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
)

var unit = chain.Unit{Asset: native, Symbol: "ETH", Decimals: 18}

func TestFormat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		amount   string
		decimals int
		want     string
	}{
		{"0", 8, "0 X"},
		{"1", 8, "0.00000001 X"},
		{"50000000", 8, "0.5 X"},
		{"100000000", 8, "1 X"},
		{"2100000000000000", 8, "21000000 X"},
		{"123456789", 8, "1.23456789 X"},
		{"120", 0, "120 X"},
		{"115792089237316195423570985008687907853269984665640564039457584007913129639935", 18, "115792089237316195423570985008687907853269984665640564039457.584007913129639935 X"},
	} {
		a, err := custody.ParseAmount(c.amount)
		if err != nil {
			t.Fatal(err)
		}
		if got := (chain.Unit{Symbol: "X", Decimals: c.decimals}).Format(a); got != c.want {
			t.Errorf("%s with %d decimals: %q, want %q", c.amount, c.decimals, got, c.want)
		}
	}
}

func amount(n uint64) custody.Amount { return custody.NewAmount(n) }

func TestCheck(t *testing.T) {
	t.Parallel()
	const payee, thief custody.Address = "payee", "thief"
	asked := &custody.Transfer{
		Network: "eip155:1", Asset: erc20, Amount: amount(5), FeeLimit: amount(100),
		Destination: custody.Recipient{Kind: custody.OneTime, Address: payee},
	}
	for _, c := range []struct {
		name     string
		payments []chain.Payment
		fee      uint64
		want     string // empty: it is what was asked for
	}{
		{"exactly", []chain.Payment{{Address: payee, Asset: erc20, Amount: amount(5)}}, 100, ""},
		{"cheaper", []chain.Payment{{Address: payee, Asset: erc20, Amount: amount(5)}}, 0, ""},
		{"nothing", nil, 100, "payments: the transaction makes 0 payments, the intent is for one"},
		{"twice", []chain.Payment{{Address: payee, Asset: erc20, Amount: amount(5)}, {Address: payee, Asset: erc20, Amount: amount(5)}}, 100, "payments: the transaction makes 2 payments, the intent is for one"},
		{"to another", []chain.Payment{{Address: thief, Asset: erc20, Amount: amount(5)}}, 100, "destination: the transaction pays 5 base units of " + string(erc20) + " to thief, the intent says payee"},
		{"of another asset", []chain.Payment{{Address: payee, Asset: native, Amount: amount(5)}}, 100, "asset: the transaction pays in eip155:1/slip44:60, the intent says " + string(erc20)},
		{"less", []chain.Payment{{Address: payee, Asset: erc20, Amount: amount(4)}}, 100, "amount: the transaction pays 4 base units of " + string(erc20) + " to payee, the intent says 5 base units of " + string(erc20)},
		{"dearer", []chain.Payment{{Address: payee, Asset: erc20, Amount: amount(5)}}, 101, "fee: the transaction costs 0.000000000000000101 ETH, the limit is 0.0000000000000001 ETH"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := chain.Effects{Payments: c.payments, Fee: amount(c.fee), Unit: unit}
			mismatch(t, e.Check(asked), c.want)
		})
	}
}

func TestCheckCancel(t *testing.T) {
	t.Parallel()
	back := []chain.Change{{Address: "own", Amount: amount(7)}}
	for _, c := range []struct {
		name    string
		effects chain.Effects
		want    string
	}{
		{"all comes back", chain.Effects{Change: back, Fee: amount(100)}, ""},
		{"pays", chain.Effects{Change: back, Payments: []chain.Payment{{Address: "thief", Asset: native, Amount: amount(1)}}}, "payments: the transaction pays 0.000000000000000001 ETH to thief, a CANCEL pays nobody"},
		{"all to the fee", chain.Effects{}, "change: the transaction returns nothing, a CANCEL returns what it spends"},
		{"dear", chain.Effects{Change: back, Fee: amount(101)}, "fee: the transaction costs 0.000000000000000101 ETH, the limit is 0.0000000000000001 ETH"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.effects.Unit = unit
			mismatch(t, c.effects.CheckCancel(amount(100)), c.want)
		})
	}
}

func TestCheckPrepared(t *testing.T) {
	t.Parallel()
	a, b := custody.Claim{Outpoint: "aa:0"}, custody.Claim{Outpoint: "bb:1"}
	lane := func(n uint64) custody.Claim { return custody.Claim{Nonce: &n} }
	e := chain.Effects{Unsigned: []byte("unsigned"), Claims: []custody.Claim{a, b}, Fee: amount(3), Unit: unit}
	hash := custody.Hash(sha256.Sum256(e.Unsigned))
	for _, c := range []struct {
		name     string
		prepared custody.Prepared
		what     string
	}{
		{"the same", custody.Prepared{Transaction: hash, Claims: []custody.Claim{a, b}, Fee: amount(3)}, ""},
		{"other bytes", custody.Prepared{Claims: []custody.Claim{a, b}, Fee: amount(3)}, "transaction"},
		{"fewer claims", custody.Prepared{Transaction: hash, Claims: []custody.Claim{a}, Fee: amount(3)}, "claims"},
		{"more claims", custody.Prepared{Transaction: hash, Claims: []custody.Claim{a, b, a}, Fee: amount(3)}, "claims"},
		{"other claims", custody.Prepared{Transaction: hash, Claims: []custody.Claim{a, a}, Fee: amount(3)}, "claims"},
		{"in another order", custody.Prepared{Transaction: hash, Claims: []custody.Claim{b, a}, Fee: amount(3)}, "claims"},
		{"a nonce", custody.Prepared{Transaction: hash, Claims: []custody.Claim{a, lane(1)}, Fee: amount(3)}, "claims"},
		{"another fee", custody.Prepared{Transaction: hash, Claims: []custody.Claim{a, b}, Fee: amount(4)}, "fee"},
		{"a lower fee", custody.Prepared{Transaction: hash, Claims: []custody.Claim{a, b}, Fee: amount(2)}, "fee"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := e.CheckPrepared(&c.prepared)
			if got, _ := errors.AsType[*chain.Mismatch](err); (err == nil) != (c.what == "") || got != nil && got.What != c.what {
				t.Errorf("%v, want %q", err, c.what)
			}
		})
	}
	ordered := chain.Effects{Unsigned: e.Unsigned, Claims: []custody.Claim{lane(7)}, Fee: e.Fee, Unit: unit}
	if err := ordered.CheckPrepared(&custody.Prepared{Transaction: hash, Claims: []custody.Claim{lane(7)}, Fee: amount(3)}); err != nil {
		t.Errorf("the same nonce: %v", err)
	}
	if err := ordered.CheckPrepared(&custody.Prepared{Transaction: hash, Claims: []custody.Claim{lane(8)}, Fee: amount(3)}); err == nil {
		t.Error("another nonce is accepted")
	}
}

func mismatch(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Error(err)
	case want == "":
	case err == nil:
		t.Error("accepted")
	case err.Error() != want || custody.CodeOf(err) != custody.Conflict:
		t.Errorf("%s: %q, want %q", custody.CodeOf(err), err, want)
	}
}
