package signer_test

import (
	"testing"

	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/custody"
)

// TestSign carries a transfer through with three nodes: they make the key, cosign,
// and every two of them sign a transaction that the network's own code finds valid.
func TestSign(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		for _, pair := range [][]custody.Name{{"node-a", "node-b"}, {"node-b", "node-c"}, {"node-a", "node-c"}, everybody} {
			p.paid(p.pay(30_000_000), pair...)
		}
	})
}

// TestInputs signs a transaction of more inputs than sessions run at once.
func TestInputs(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		in := p.pay(40_000_000)
		details := p.build(in, func(o *bitcoin.Order) {
			o.FeeLimit, o.FeeRate, o.Coins = custody.NewAmount(2000), 1000, nil
			for i := range uint32(20) {
				c := p.coin()
				c.Amount, c.Branch, c.Index = custody.NewAmount(2_000_080), i%2, i
				o.Coins = append(o.Coins, c)
			}
		})
		r := p.Must(p.prepare(in, details))
		p.sync()
		answers := p.sign(in, r.Leaf, details)
		if n := len(answers["node-a"].done.Signatures); n != 20 {
			t.Errorf("%d signatures", n)
		}
		p.assemble(details, answers)
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
