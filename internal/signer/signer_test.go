package signer_test

import (
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
)

// TestSign carries a transfer through with three nodes: they make the key, cosign,
// and every two of them sign a transaction that the network's own code finds valid.
func TestSign(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		for _, pair := range [][]custody.Name{{"node-a", "node-b"}, {"node-b", "node-c"}, {"node-a", "node-c"}, everybody} {
			p.paid(p.pay(30_000_000), nil, pair...)
		}
	})
}

// TestEd25519Key makes a key of the other scheme.
func TestEd25519Key(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		key, _ := p.keygen(custody.Ed25519)
		if len(key.PublicKey) != 32 {
			t.Errorf("a public key of %d bytes", len(key.PublicKey))
		}
	})
}
