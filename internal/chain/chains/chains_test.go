package chains_test

import (
	"testing"

	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/chain/chains"
	"github.com/cofferhq/coffer/internal/custody"
)

func TestFor(t *testing.T) {
	t.Parallel()
	for _, n := range []custody.Network{bitcoin.Mainnet, bitcoin.Testnet3, bitcoin.Testnet4, bitcoin.Signet, bitcoin.Regtest} {
		if f, err := chains.For(n); err != nil || f != (bitcoin.Family{}) {
			t.Errorf("%s: %T, %v", n, f, err)
		}
	}
	for _, n := range []custody.Network{"", "bip122:ff", "eip155:1"} {
		if f, err := chains.For(n); f != nil || custody.CodeOf(err) != custody.Invalid {
			t.Errorf("%q: %T, %v", n, f, err)
		}
	}
}
