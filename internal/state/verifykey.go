package state

import (
	"errors"
	"fmt"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/derive"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
)

// signatures checks each signature of the transaction under the key that the
// attested key and chain code give at its path, below the wallet's own.
func (v *verification) signatures() error {
	m, err := v.state.movement(v.record)
	if err != nil {
		return err
	}
	key := v.state.Keys[m.wallet.Key]
	if key == nil {
		return errors.New("the wallet's key is not on record")
	}
	if custody.Hash(hash.Sum("cc", v.bundle.ChainCode[:])) != key.ChainCode {
		return errors.New("chainCode: not the one that the key's attestation commits to")
	}
	if len(v.bundle.Paths) != len(v.signed.Signatures) {
		return errors.New("paths: not one for each signature")
	}
	for i, text := range v.bundle.Paths {
		path, err := derive.ParsePath(text)
		if err != nil {
			return fmt.Errorf("paths.%d: %w", i, err)
		}
		if len(path) != 3 || path[0] != m.wallet.Path || path[1] > 1 {
			return fmt.Errorf("paths.%d: not below the wallet's path m/%d", i, m.wallet.Path)
		}
		public, suite, err := childKey(key, v.bundle.ChainCode, path, m.wallet.Network)
		if err != nil {
			return fmt.Errorf("paths.%d: %w", i, err)
		}
		if !frost.Verify(suite, public, v.bundle.Messages[i], v.signed.Signatures[i]) {
			return fmt.Errorf("signature %d doesn't verify under the key at %s", i, text)
		}
		v.report.add("signature", Proved, fmt.Sprintf("key %x", public), "%s, of key %s at %s", key.Scheme, key.ID, text)
	}
	return nil
}

// childKey computes the key under which signatures at a path verify.
func childKey(key *custody.Key, chainCode custody.Hash, path derive.Path, network custody.Network) ([]byte, tss.Suite, error) {
	k := tss.Key{ChainCode: chainCode}
	request := frost.Request{Path: path}
	switch key.Scheme {
	case custody.BIP340Secp256k1:
		k.Suite = tss.SuiteBIP340
		if familyOf(network) == bitcoin {
			request.Taproot = new(frost.Taproot)
		}
	case custody.Ed25519:
		k.Suite = tss.SuiteEd25519
	default:
		return nil, 0, fmt.Errorf("no verifier for scheme %s here", key.Scheme)
	}
	point, err := k.Suite.Group().DecodePoint(key.PublicKey)
	if err != nil {
		return nil, 0, fmt.Errorf("public key: %w", err)
	}
	k.Public = point
	public, err := frost.PublicKey(&k, request)
	return public, k.Suite, err
}

// onCurve refuses a key whose public key is no point of its scheme's group.
func onCurve(key *custody.Key) error {
	g := group.Secp256k1
	if key.Scheme == custody.Ed25519 {
		g = group.Edwards25519
	}
	_, err := g.DecodePoint(key.PublicKey)
	return err
}
