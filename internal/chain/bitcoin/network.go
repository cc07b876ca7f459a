package bitcoin

import (
	"fmt"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/custody"
)

// The networks, by the first 32 hex digits of the hash of their genesis block
// (CAIP-2, namespace bip122).
const (
	Mainnet  custody.Network = "bip122:000000000019d6689c085ae165831e93"
	Testnet3 custody.Network = "bip122:000000000933ea01ad0ee984209779ba"
	Testnet4 custody.Network = "bip122:00000000da84f2bafbbc53dee25a72ae"
	Signet   custody.Network = "bip122:00000008819873e925422c1ff0f99f7c"
	Regtest  custody.Network = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328"
)

// Knows reports whether n is one of the networks.
func Knows(n custody.Network) bool {
	_, err := Parameters(n)
	return err == nil
}

// Parameters returns the parameters of a network: its genesis block, how it writes
// addresses. Don't change them. An unknown network is an error of code
// [custody.Invalid].
func Parameters(n custody.Network) (*chaincfg.Params, error) {
	switch n {
	case Mainnet:
		return &chaincfg.MainNetParams, nil
	case Testnet3:
		return &chaincfg.TestNet3Params, nil
	case Testnet4:
		return &chaincfg.TestNet4Params, nil
	case Signet:
		return &chaincfg.SigNetParams, nil
	case Regtest:
		return &chaincfg.RegressionNetParams, nil
	}
	return nil, invalid("network", fmt.Sprintf("%q is no Bitcoin network", n))
}

// UnitOf returns the asset of a network, by its coin type of SLIP-44, and how
// people write amounts of it.
func UnitOf(n custody.Network) chain.Unit {
	if n == Mainnet {
		return chain.Unit{Asset: custody.Asset(n) + "/slip44:0", Symbol: "BTC", Decimals: 8}
	}
	return chain.Unit{Asset: custody.Asset(n) + "/slip44:1", Symbol: "tBTC", Decimals: 8}
}

// maxSatoshi is all the money that there can be, in satoshi.
const maxSatoshi = 21_000_000 * 100_000_000

func invalid(field, message string) error {
	return &custody.Error{Code: custody.Invalid, Field: field, Message: message}
}
