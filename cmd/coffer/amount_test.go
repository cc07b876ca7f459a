package main

import (
	"math/big"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/custody"
)

func TestParseAmount(t *testing.T) {
	t.Parallel()
	largest := "115792089237316195423570985008687907853269984665640564039457584007913129639935"
	for _, c := range []struct {
		text     string
		decimals int
		want     string // base units, or the rule that is broken
	}{
		{"0.3", 8, "30000000"},
		{"1", 8, "100000000"},
		{"0.00000001", 8, "1"},
		{"0.10000000", 8, "10000000"},
		{"21000000", 8, "2100000000000000"},
		{"0.29", 8, "29000000"}, // where binary floating point has 28999999.999…
		{"123456789.12345678", 8, "12345678912345678"},
		{"30000", 0, "30000"},
		{largest, 0, largest},

		{"0", 8, "zero"},
		{"0.00000000", 8, "zero"},
		{"0.000000001", 8, "more than 8 decimals"},
		{"0.300000000", 8, "more than 8 decimals"},
		{"0.5", 0, "more than 0 decimals"},
		{largest[:len(largest)-1] + "6", 0, "2^256 base units or more"},
		{largest, 8, "2^256 base units or more"},
		{strings.Repeat("9", 1000), 8, "2^256 base units or more"},
		{"", 8, "not a decimal number"},
		{"-1", 8, "not a decimal number"},
		{"+1", 8, "not a decimal number"},
		{"1e8", 8, "not a decimal number"},
		{"1E-3", 8, "not a decimal number"},
		{"0x10", 8, "not a decimal number"},
		{".5", 8, "not a decimal number"},
		{"5.", 8, "not a decimal number"},
		{"00.5", 8, "not a decimal number"},
		{"01", 8, "not a decimal number"},
		{"1,5", 8, "not a decimal number"},
		{"1_000", 8, "not a decimal number"},
		{"1.2.3", 8, "not a decimal number"},
		{" 1", 8, "not a decimal number"},
		{"1\n", 8, "not a decimal number"},
		{"NaN", 8, "not a decimal number"},
		{"٣", 8, "not a decimal number"},
	} {
		got, err := parseAmount(c.text, c.decimals)
		if err != nil {
			if !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%q with %d decimals: %v, want %s", c.text, c.decimals, err, c.want)
			}
			continue
		}
		if got.String() != c.want {
			t.Errorf("%q with %d decimals: %s, want %s", c.text, c.decimals, got, c.want)
		}
	}
}

// FuzzParseAmount compares with exact rational arithmetic, and with what is printed of
// the result.
func FuzzParseAmount(f *testing.F) {
	for _, s := range []string{"0.3", "21000000", "0.000000001", "1e8", "-0", "00.1"} {
		f.Add(s, uint8(8))
	}
	f.Fuzz(func(t *testing.T, s string, decimals uint8) {
		decimals %= 19
		a, err := parseAmount(s, int(decimals))
		if err != nil {
			return
		}
		value, ok := new(big.Rat).SetString(s)
		if !ok {
			t.Fatalf("%q is no number", s)
		}
		scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil)
		units, ok := new(big.Rat).SetString(a.String())
		if !ok || units.Cmp(value.Mul(value, new(big.Rat).SetInt(scale))) != 0 || a.IsZero() {
			t.Fatalf("%q with %d decimals is %s", s, decimals, a)
		}
		if strings.Contains(s, ".") {
			s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
		}
		if got := (chain.Unit{Symbol: "X", Decimals: int(decimals)}).Format(a); got != s+" X" {
			t.Fatalf("%q is printed as %q", s, got)
		}
	})
}

func TestAmountWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		units uint64
		asset custody.Asset
		want  string
	}{
		{30_000_000, "bip122:000000000019d6689c085ae165831e93/slip44:0", "0.3 BTC"},
		{1, "bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:1", "0.00000001 tBTC"},
		{7, "bip122:000000000019d6689c085ae165831e93/slip44:60", "7 base units of bip122:000000000019d6689c085ae165831e93/slip44:60"},
		{7, "eip155:1/slip44:60", "7 base units of eip155:1/slip44:60"},
	} {
		if got := amountWords(custody.NewAmount(c.units), c.asset); got != c.want {
			t.Errorf("%d of %s: %q, want %q", c.units, c.asset, got, c.want)
		}
	}
	if got := feeWords(custody.NewAmount(7), "eip155:1"); got != "7 base units of the asset that eip155:1 takes fees in" {
		t.Error(got)
	}
}
