package bitcoin_test

import (
	"strings"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/txscript/v2"
	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/custody"
)

// TestAddress derives addresses by btcd's BIP-32 and BIP-341 too.
func TestAddress(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := account
		a.Network = rapid.SampledFrom(networks).Draw(t, "network")
		a.Path = rapid.Uint32Range(0, 1<<31-1).Draw(t, "wallet")
		branch := rapid.Uint32Range(0, 1).Draw(t, "branch")
		index := rapid.Uint32Range(0, 1<<31-1).Draw(t, "index")

		params := must(bitcoin.Parameters(a.Network))
		key := hdkeychain.NewExtendedKey(params.HDPublicKeyID[:], a.PublicKey, a.ChainCode[:], make([]byte, 4), 0, 0, false)
		for _, i := range []uint32{a.Path, branch, index} {
			key = must(key.Derive(i))
		}
		output := schnorr.SerializePubKey(txscript.ComputeTaprootKeyNoScript(must(key.ECPubKey())))
		want := must(address.NewAddressTaproot(output, params)).EncodeAddress()
		got, err := bitcoin.Family{}.Address(a, branch, index)
		if err != nil || string(got) != want {
			t.Fatalf("%s (%v), btcd says %s", got, err, want)
		}
		if err := (bitcoin.Family{}).CheckAddress(a.Network, got); err != nil {
			t.Fatal(err)
		}
	})
}

var networks = []custody.Network{bitcoin.Mainnet, bitcoin.Testnet3, bitcoin.Testnet4, bitcoin.Signet, bitcoin.Regtest}

func TestAddressRefused(t *testing.T) {
	t.Parallel()
	_, err := bitcoin.Family{}.Address(account, 2, 0)
	refused(t, err, "branch", "change")
	_, err = bitcoin.Family{}.Address(account, 0, 1<<31)
	refused(t, err, "index", "hardened")
}

// TestNetworks holds the names of networks against their genesis blocks.
func TestNetworks(t *testing.T) {
	t.Parallel()
	for _, n := range networks {
		params, err := bitcoin.Parameters(n)
		if err != nil {
			t.Fatal(err)
		}
		if want := "bip122:" + params.GenesisHash.String()[:32]; string(n) != want {
			t.Errorf("%s is called %s", params.Name, n)
		}
		if got := bitcoin.UnitOf(n); (got.Symbol == "BTC") != (n == bitcoin.Mainnet) || got.Asset.Network() != n {
			t.Errorf("%s: unit %+v", n, got)
		}
	}
	if bitcoin.Knows("bip122:000000000000000000000000000000ff") || bitcoin.Knows("eip155:1") {
		t.Error("knows what it doesn't")
	}
}

func TestCheckAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		network custody.Network
		address custody.Address
		says    string // empty: it is good
	}{
		{bitcoin.Mainnet, "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", ""},
		{bitcoin.Mainnet, "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", ""},
		{bitcoin.Mainnet, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", ""},
		{bitcoin.Mainnet, "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3", ""},
		{bitcoin.Mainnet, "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", ""}, // BIP-350
		{bitcoin.Signet, "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", ""},
		{bitcoin.Regtest, stranger, ""},
		{bitcoin.Regtest, "mkHS9ne12qx9pS9VojpwU5xtRd4T7X7ZUt", ""},

		{bitcoin.Mainnet, "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "written otherwise"},
		{bitcoin.Mainnet, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", "no address"},
		{bitcoin.Mainnet, "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", "no address"},
		{bitcoin.Mainnet, "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "no address of mainnet"},
		{bitcoin.Mainnet, "mkHS9ne12qx9pS9VojpwU5xtRd4T7X7ZUt", "no address"},
		{bitcoin.Regtest, "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "no address of regtest"},
		{bitcoin.Mainnet, "bc1pfeessrawgf", "kind that isn't paid"},                                                     // pay to anchor
		{bitcoin.Mainnet, "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", "no address"},                                         // witness version 2
		{bitcoin.Mainnet, "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798", "kind that isn't paid"}, // a public key
		{bitcoin.Mainnet, "bc1plllllllllllllllllllllllllllllllllllllllllllllllllllskumr8m", "no"},                       // checksum
		{bitcoin.Mainnet, custody.Address(offCurve()), "no point of the curve"},                                         // nobody's
		{bitcoin.Mainnet, "", "no address"},
		{bitcoin.Mainnet, custody.Address(strings.Repeat("1", 128)), "no address"},
		{"eip155:1", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "no Bitcoin network"},
	} {
		err := bitcoin.Family{}.CheckAddress(c.network, c.address)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.address, err)
		case c.says == "":
		case err == nil:
			t.Errorf("%q is accepted", c.address)
		case custody.CodeOf(err) != custody.Invalid || !strings.Contains(err.Error(), c.says):
			t.Errorf("%q: %v, want %q", c.address, err, c.says)
		}
	}
}

// offCurve is a well-formed P2TR address whose program is no x of the curve: 5³+7
// has no square root.
func offCurve() string {
	program := make([]byte, 32)
	program[31] = 5
	return must(address.NewAddressTaproot(program, must(bitcoin.Parameters(bitcoin.Mainnet)))).EncodeAddress()
}

func FuzzCheckAddress(f *testing.F) {
	f.Add(string(stranger))
	f.Add("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2")
	f.Fuzz(func(t *testing.T, text string) {
		for _, n := range networks {
			err := bitcoin.Family{}.CheckAddress(n, custody.Address(text))
			if err != nil && custody.CodeOf(err) != custody.Invalid {
				t.Errorf("code of %v", err)
			}
			if err == nil && new(custody.Address).UnmarshalText([]byte(text)) != nil {
				t.Errorf("%q is no address of an intent", text)
			}
		}
	})
}
