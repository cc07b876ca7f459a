package state

import (
	"slices"
	"strings"

	"github.com/cofferhq/coffer/internal/custody"
)

// family is what kind of network it is, by the CAIP-2 namespace.
type family string

// The families.
const (
	evm     family = "eip155"
	bitcoin family = "bip122"
)

func familyOf(n custody.Network) family {
	namespace, _, _ := strings.Cut(string(n), ":")
	return family(namespace)
}

// bitcoinMainnet is the first 32 hex digits of its genesis block's hash (CAIP-4
// of namespace bip122).
const bitcoinMainnet custody.Network = "bip122:000000000019d6689c085ae165831e93"

// NativeAsset is what a network takes fees in: SLIP-44 coin types. It is empty for
// a network of an unknown family.
func NativeAsset(n custody.Network) custody.Asset {
	switch familyOf(n) {
	case evm:
		return custody.Asset(n) + "/slip44:60"
	case bitcoin:
		if n == bitcoinMainnet {
			return custody.Asset(n) + "/slip44:0"
		}
		return custody.Asset(n) + "/slip44:1"
	default:
		return ""
	}
}

// signsFor reports whether keys of a scheme sign for a network.
func signsFor(s custody.Scheme, n custody.Network) bool {
	schemes := map[family][]custody.Scheme{
		evm:     {custody.ECDSASecp256k1},
		bitcoin: {custody.ECDSASecp256k1, custody.BIP340Secp256k1},
	}
	return slices.Contains(schemes[familyOf(n)], s)
}

// spelled refuses an address that its network would also take in another
// spelling, so that one address is one text in policies, lists and totals:
// hexadecimal begins with 0x, bech32 (BIP-173) is in lower case.
func spelled(n custody.Network, a custody.Address) error {
	switch familyOf(n) {
	case evm:
		if !strings.HasPrefix(string(a), "0x") || len(a) != 42 {
			return refuse(Impossible, "an address of %s is 0x and 40 hex digits", n)
		}
	case bitcoin:
		lower := strings.ToLower(string(a))
		bech32 := strings.HasPrefix(lower, "bc1") || strings.HasPrefix(lower, "tb1") || strings.HasPrefix(lower, "bcrt1")
		if bech32 && string(a) != lower {
			return refuse(Impossible, "a bech32 address is written in lower case")
		}
	}
	return nil
}

// lanes reports whether transactions of a network are ordered by a nonce for each
// account, rather than claiming outputs.
func lanes(n custody.Network) bool { return familyOf(n) == evm }
