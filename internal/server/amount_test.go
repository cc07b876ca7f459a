package server

import (
	"testing"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
)

func TestAmount(t *testing.T) {
	t.Parallel()
	const most = "115792089237316195423570985008687907853269984665640564039457584007913129639935"
	for _, c := range []struct {
		units   string
		asset   custody.Asset
		decimal string
	}{
		{"0", "bip122:000000000019d6689c085ae165831e93/slip44:0", "0"},
		{"1", "bip122:000000000019d6689c085ae165831e93/slip44:0", "0.00000001"},
		{"30000000", "bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:1", "0.3"},
		{"100000000", "bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:1", "1"},
		{"2100000000000001", "bip122:000000000019d6689c085ae165831e93/slip44:0", "21000000.00000001"},
		{"1", "eip155:1/slip44:60", "0.000000000000000001"},
		{most, "eip155:1/slip44:60", most[:60] + "." + most[60:]},
		{most, "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", ""},
		{"5", "bip122:000000000019d6689c085ae165831e93/slip44:60", ""},
	} {
		units, err := custody.ParseAmount(c.units)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := amount(units, c.asset), (api.Amount{Units: c.units, Decimal: c.decimal, Asset: string(c.asset)}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}
