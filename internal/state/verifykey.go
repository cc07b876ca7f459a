package state

import (
	"fmt"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/group"
)

// signatures checks each signature of the transaction under the key that the
// attested key and chain code give at its path.
func (v *verification) signatures() error {
	m, err := v.state.movement(v.record)
	if err != nil {
		return err
	}
	key := v.state.Keys[m.wallet.Key]
	for i, message := range v.effects.Messages {
		public, suite, err := childKey(key, v.bundle.ChainCode, message)
		if err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if !frost.Verify(suite, public, message.Bytes, v.signed.Signatures[i]) {
			return fmt.Errorf("signature %d doesn't verify under the key at %s", i, message.Path)
		}
		v.report.add("signature", Proved, fmt.Sprintf("key %x", public), "%s, of key %s at %s", key.Scheme, key.ID, message.Path)
	}
	for _, r := range v.signed.Receipts {
		v.report.add("receipt", Attested, "node "+string(r.Node), "signed this transaction and its %d messages", len(v.signed.Messages))
	}
	return nil
}

// childKey computes the key under which the signature of a message verifies.
func childKey(key *custody.Key, chainCode custody.Hash, message chain.Message) ([]byte, tss.Suite, error) {
	k := tss.Key{ChainCode: chainCode}
	request := frost.Request{Path: message.Path}
	if message.Taproot {
		request.Taproot = new(frost.Taproot)
	}
	switch key.Scheme {
	case custody.BIP340Secp256k1:
		k.Suite = tss.SuiteBIP340
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
