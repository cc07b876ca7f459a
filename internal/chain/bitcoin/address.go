package bitcoin

import (
	"fmt"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/derive"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
)

// Family implements [chain.Family]. The zero Family is ready to use.
type Family struct{}

var _ chain.Family = Family{}

// Address returns the P2TR address of an account at m/Path/branch/index (BIP-350):
// the output key of BIP-341 of the child key, without scripts.
func (Family) Address(a chain.Account, branch, index uint32) (custody.Address, error) {
	own, err := open(a)
	if err != nil {
		return "", err
	}
	k, err := own.key(branch, index)
	if err != nil {
		return "", err
	}
	return k.address(own.params)
}

// CheckAddress refuses what isn't a P2PKH, P2SH, P2WPKH, P2WSH or P2TR address of
// the network as wallets write it, and a P2TR address that nobody can spend from.
func (Family) CheckAddress(n custody.Network, a custody.Address) error {
	_, err := Script(n, a)
	return err
}

// Script returns the output script that pays an address, by which transactions to
// it are found. It refuses what [Family.CheckAddress] does.
func Script(n custody.Network, a custody.Address) ([]byte, error) {
	params, err := Parameters(n)
	if err != nil {
		return nil, err
	}
	decoded, err := address.DecodeAddress(string(a), params)
	if err != nil || !decoded.IsForNet(params) {
		return nil, invalid("address", fmt.Sprintf("%q is no address of %s", a, params.Name))
	}
	switch t := decoded.(type) {
	case *address.AddressPubKeyHash, *address.AddressScriptHash, *address.AddressWitnessPubKeyHash, *address.AddressWitnessScriptHash:
	case *address.AddressTaproot:
		if _, err := schnorr.ParsePubKey(t.ScriptAddress()); err != nil {
			return nil, invalid("address", fmt.Sprintf("%q holds no point of the curve: nobody could spend it", a))
		}
	default:
		return nil, invalid("address", fmt.Sprintf("%q is of a kind that isn't paid", a))
	}
	if decoded.EncodeAddress() != string(a) {
		return nil, invalid("address", fmt.Sprintf("%q is written otherwise: %s", a, decoded.EncodeAddress()))
	}
	script, err := txscript.PayToAddrScript(decoded)
	if err != nil {
		return nil, invalid("address", err.Error())
	}
	return script, nil
}

// payee returns the address that a script pays, and false for a script that
// [Script] gives for no address.
func payee(n custody.Network, params *chaincfg.Params, script []byte) (custody.Address, bool) {
	_, addresses, _, err := txscript.ExtractPkScriptAddrs(script, params)
	if err != nil || len(addresses) != 1 {
		return "", false
	}
	a := custody.Address(addresses[0].EncodeAddress())
	again, err := Script(n, a)
	return a, err == nil && string(again) == string(script)
}

// account is an account made ready to derive keys.
type account struct {
	chain.Account
	params      *chaincfg.Params
	fingerprint [4]byte    // of the threshold key (BIP-32)
	branches    [2]tss.Key // m/Path/0 and m/Path/1
}

// key is a child key of an account.
type key struct {
	path     derive.Path // from the threshold key
	internal []byte      // x-only (BIP-340)
	output   []byte      // with the tweak of BIP-341, x-only
}

func open(a chain.Account) (*account, error) {
	params, err := Parameters(a.Network)
	if err != nil {
		return nil, err
	}
	if a.Scheme != custody.BIP340Secp256k1 {
		return nil, invalid("account.scheme", fmt.Sprintf("only %s signs for Taproot", custody.BIP340Secp256k1))
	}
	root, err := group.Secp256k1.DecodePoint(a.PublicKey)
	if err != nil {
		return nil, invalid("account.publicKey", "no point of secp256k1")
	}
	own := &account{Account: a, params: params, fingerprint: [4]byte(address.Hash160(a.PublicKey))}
	for branch := range own.branches {
		node, err := derive.Derive(root, hash.Digest(a.ChainCode), derive.Path{a.Path, uint32(branch)})
		if err != nil {
			return nil, &custody.Error{Code: custody.Invalid, Field: "account.path", Err: err}
		}
		own.branches[branch] = tss.Key{Suite: tss.SuiteBIP340, Public: node.Public, ChainCode: node.ChainCode}
	}
	return own, nil
}

// key derives the child at m/Path/branch/index.
func (a *account) key(branch, index uint32) (*key, error) {
	if branch > 1 {
		return nil, invalid("branch", "not 0, to receive, or 1, for change")
	}
	step := derive.Path{index}
	internal, err := frost.PublicKey(&a.branches[branch], frost.Request{Path: step})
	if err != nil {
		return nil, &custody.Error{Code: custody.Invalid, Field: "index", Err: err}
	}
	output, err := frost.PublicKey(&a.branches[branch], frost.Request{Path: step, Taproot: new(frost.Taproot)})
	if err != nil {
		return nil, &custody.Error{Code: custody.Invalid, Field: "index", Err: err}
	}
	return &key{derive.Path{a.Path, branch, index}, internal, output}, nil
}

// script is the output script of BIP-341: OP_1 and the output key.
func (k *key) script() []byte {
	return append([]byte{txscript.OP_1, txscript.OP_DATA_32}, k.output...)
}

func (k *key) address(params *chaincfg.Params) (custody.Address, error) {
	a, err := address.NewAddressTaproot(k.output, params)
	if err != nil {
		return "", fmt.Errorf("encode a P2TR address: %w", err)
	}
	return custody.Address(a.EncodeAddress()), nil
}
