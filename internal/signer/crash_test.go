package signer_test

import (
	"bytes"
	"path/filepath"
	"strconv"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/cofferhq/coffer/internal/bus"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keystore"
	"github.com/cofferhq/coffer/internal/wire"
)

// pairs are all choices of as many nodes as a key needs.
var pairs = [][]custody.Name{{"node-a", "node-b"}, {"node-a", "node-c"}, {"node-b", "node-c"}}

// cut cuts a node off when it has sent the n-th frame that nodes send from now on: that
// frame is lost, and nothing more comes or goes. It tells which node it was.
func (p *plane) cut(n int) <-chan custody.Name {
	dead := make(chan custody.Name, 1)
	var victim string
	sent := 0
	p.road.let(func(from, to string, _ []byte) bool {
		if victim == "" && from != bus.Coordinator {
			if sent++; sent == n {
				victim = from
				dead <- custody.Name(from)
			}
		}
		return from != victim && to != victim
	})
	return dead
}

// enumerate runs a test for all frames, each fourth of them in a bubble of its own. Short
// tests look at a fourth of them. do is given the first frame and how many lie between.
func enumerate(t *testing.T, do func(t *testing.T, p *plane, first, step int)) {
	t.Helper()
	const parts = 4
	for first := range parts {
		t.Run("from "+strconv.Itoa(first+1), func(t *testing.T) {
			if testing.Short() && first > 0 {
				t.Skip("each frame")
			}
			bubble(t, func(t *testing.T, p *plane) { do(t, p, first+1, parts) })
		})
	}
}

// TestC22 kills a node at each frame that is sent in a key generation: whoever sends it.
// Started again from its disk, it takes part in the next attempt. The key that the KEY
// entry names then signs with all of them, and no other share of the ceremony is left.
func TestC22(t *testing.T) {
	enumerate(t, func(t *testing.T, p *plane, first, step int) {
		ended := make(map[custody.ID[custody.Intent]][]byte) // ceremonies, by their keys
		for n := first; ; n += step {
			intent := p.order(custody.BIP340Secp256k1)
			p.sync()
			p.quiet()
			dead := p.cut(n)
			answers := make(chan map[custody.Name]wire.KeygenDone, 1)
			go func() { answers <- p.invite(intent) }()
			var done map[custody.Name]wire.KeygenDone
			crashed := true
			select {
			case victim := <-dead:
				p.kill(victim)
				p.road.let(nil)
				p.start(victim)
				p.quiet()
				<-answers
				p.sync()
				done = p.invite(intent)
			case done = <-answers:
				crashed = false
			}
			p.road.let(nil)
			record := p.keyRecord(intent, done)
			ended[intent] = record.Key.PublicKey
			p.Must(p.Append(custody.KeyEntry, record))
			p.sync()
			p.use(record.Key.ID, done["node-a"].ChainCode)
			p.paid(p.pay(1_000_000), everybody...) // every share is checked by the others
			if !crashed {
				break
			}
		}
		for _, pair := range pairs {
			p.paid(p.pay(1_000_000), pair...)
		}
		p.oneShareEach(t, ended)
	})
}

// use makes a key the one of the plane's wallets.
func (p *plane) use(id custody.ID[custody.Key], chainCode custody.Hash) {
	p.t.Helper()
	p.key, p.chainCode = p.State.Key(id), chainCode
	p.hot = p.wallet(0)
	p.sync()
}

// oneShareEach ends all nodes and looks into their stores: of each ceremony there is the
// share of its key, and no other.
func (p *plane) oneShareEach(t *testing.T, ended map[custody.ID[custody.Intent]][]byte) {
	t.Helper()
	for _, name := range everybody {
		p.nodes[name].stop()
		found := shares(t, p.nodes[name].dir)
		for intent, want := range ended {
			if keys := found[intent]; len(keys) != 1 || !bytes.Equal(keys[0], want) {
				t.Errorf("%s holds shares of %x for the ceremony of %x", name, keys, want)
			}
		}
	}
}

// shares are the public keys of the shares in a store that nobody has open, by ceremony.
func shares(t *testing.T, dir string) map[custody.ID[custody.Intent]][][]byte {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, keystore.FileName), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[custody.ID[custody.Intent]][][]byte)
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("shares")).ForEach(func(key, record []byte) error {
			var intent custody.ID[custody.Intent]
			copy(intent[:], record)
			out[intent] = append(out[intent], bytes.Clone(key))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestC22Attempts makes a key twice for one intent, with all nodes started anew between
// and after. Whichever of the two the KEY entry names, the other one is gone, and before
// that neither is a key of anything.
func TestC22Attempts(t *testing.T) {
	for name, chosen := range map[string]int{"the first": 0, "the second": 1} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plane) {
				intent := p.order(custody.BIP340Secp256k1)
				p.sync()
				var done [2]map[custody.Name]wire.KeygenDone
				for i := range done {
					done[i] = p.invite(intent)
					p.restart(everybody...)
					p.sync()
				}
				record := p.keyRecord(intent, done[chosen])
				p.keyRecord(intent, done[1-chosen])
				p.Must(p.Append(custody.KeyEntry, record))
				p.sync()
				p.restart(everybody...)
				p.sync()
				p.use(record.Key.ID, done[chosen]["node-a"].ChainCode)
				for _, pair := range pairs {
					p.paid(p.pay(1_000_000), pair...)
				}
				p.oneShareEach(t, map[custody.ID[custody.Intent]][]byte{intent: record.Key.PublicKey})
			})
		})
	}
}

// TestC23 kills a node at each frame that is sent while two nodes sign. The other one
// signs with the third, and the one that was killed signs again, before anything is on
// record and not after (C25).
func TestC23(t *testing.T) {
	enumerate(t, func(t *testing.T, p *plane, first, step int) {
		for n := first; ; n += step {
			in := p.pay(1_000_000)
			details := p.build(in, nil)
			r := p.Must(p.prepare(in, details))
			p.sync()
			p.quiet()
			dead := p.cut(n)
			m := p.invitation(in, r.Leaf, details)
			answers := make(chan map[custody.Name]signed, 1)
			go func() { answers <- p.inviteToSign(each(m)) }()
			select {
			case victim := <-dead:
				p.kill(victim)
				for _, pair := range pairs {
					if pair[0] != victim && pair[1] != victim {
						p.assemble(details, p.sign(in, r.Leaf, details, pair...))
					}
				}
				p.road.let(nil)
				p.start(victim)
				p.quiet()
				<-answers
				p.sync()
				got := p.sign(in, r.Leaf, details)
				p.assemble(details, got)
				p.signed(in, r.Leaf, details, got)
				p.sync()
				p.refused("on record", p.invitation(in, r.Leaf, details), "prepared", "SIGNED")
			case got := <-answers:
				p.road.let(nil)
				p.assemble(details, got)
				return
			}
		}
	})
}
