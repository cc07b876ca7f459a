package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/dkg"
	"github.com/cofferhq/coffer/tss/frost"
)

// coffer is the side that is measured against the others. Like them it runs over
// a channel that does nothing but deliver, so signing and verifying of envelopes
// isn't in its figures; joining the session is.
var coffer = library{
	name: "Coffer",
	makers: map[kind]maker{
		signEd25519:     cofferSigning(tss.SuiteEd25519),
		signBIP340:      cofferSigning(tss.SuiteBIP340),
		keygenEd25519:   cofferKeygen(tss.SuiteEd25519),
		keygenSecp256k1: cofferKeygen(tss.SuiteBIP340),
	},
}

func cofferSigning(suite tss.Suite) maker {
	return func(quorum, parties int) (runner, error) {
		c, err := newCofferCluster(quorum, parties)
		if err != nil {
			return nil, err
		}
		shares, _, err := c.keygen(suite)
		if err != nil {
			return nil, err
		}
		return func() (outcome, error) { return c.sign(shares, c.parties.IDs()[:quorum]) }, nil
	}
}

func cofferKeygen(suite tss.Suite) maker {
	return func(quorum, parties int) (runner, error) {
		c, err := newCofferCluster(quorum, parties)
		if err != nil {
			return nil, err
		}
		return func() (outcome, error) {
			shares, t, err := c.keygen(suite)
			return outcome{t, func() error {
				o, err := c.sign(shares, c.parties.IDs()[parties-quorum:])
				if err != nil {
					return err
				}
				return o.check()
			}}, err
		}, nil
	}
}

// cofferCluster is a node for each party, with one id each.
type cofferCluster struct {
	net       cofferNetwork
	nodes     []*tss.Node
	parties   tss.Parties
	threshold int
	sessions  uint64
}

func newCofferCluster(quorum, parties int) (*cofferCluster, error) {
	c := &cofferCluster{threshold: quorum, net: cofferNetwork{ports: make(map[tss.IdentityKey]*cofferPort)}}
	for i := range parties {
		id, err := tss.NewIdentity(rand.Reader)
		if err != nil {
			return nil, err
		}
		port := &cofferPort{net: &c.net, key: id.Public(), in: make(chan tss.Envelope, 1024)}
		c.net.ports[id.Public()] = port
		n, err := tss.NewNode(tss.Config{
			Identity: id, Channel: port, Log: tss.NewMemoryLog(), Now: func() int64 { return 1 }, NoLossTolerance: true,
		})
		if err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, n)
		c.parties = append(c.parties, tss.Party{ID: uint16(i + 1), Owner: id.Public()})
	}
	return c, nil
}

func (c *cofferCluster) propose(p *tss.Proposal) *tss.Proposal {
	c.sessions++
	binary.BigEndian.PutUint64(p.Nonce[:], c.sessions)
	p.Threshold, p.Parties, p.Expiry, p.Initiator = c.threshold, c.parties, 60, 1
	return p
}

func (c *cofferCluster) keygen(suite tss.Suite) ([]*tss.KeyShare, traffic, error) {
	p := c.propose(&tss.Proposal{Protocol: tss.ProtocolDKG, Suite: suite, Target: 1, Attempt: 1})
	shares := make([]*tss.KeyShare, len(c.nodes))
	t, err := c.run(c.nodes, 3, func(i int, n *tss.Node) error {
		s, err := n.Join(context.Background(), p, nil)
		if err != nil {
			return err
		}
		defer s.Close()
		shares[i], _, err = dkg.Run(context.Background(), s, nil)
		return err
	})
	return shares, t, err
}

func (c *cofferCluster) sign(shares []*tss.KeyShare, ids []uint16) (outcome, error) {
	k := &shares[0].Key
	request := frost.Request{Message: digest[:]}
	p := c.propose(&tss.Proposal{
		Protocol: tss.ProtocolFROST, Suite: k.Suite, KeyID: k.ID, Epoch: k.Epoch, Source: k.T,
		Signers: ids, Request: request.Digest(k.Suite),
	})
	first := int(ids[0]) - 1
	signatures := make([][]byte, len(ids))
	t, err := c.run(c.nodes[first:first+len(ids)], 2, func(i int, n *tss.Node) error {
		s, err := n.Join(context.Background(), p, shares[first+i])
		if err != nil {
			return err
		}
		defer s.Close()
		signatures[i], err = frost.Sign(context.Background(), s, request)
		return err
	})
	return outcome{t, func() error {
		public, err := frost.PublicKey(k, request)
		if err != nil {
			return err
		}
		for _, s := range signatures {
			if k.Suite == tss.SuiteBIP340 {
				err = checkBIP340(public, s)
			} else {
				err = checkEd25519(public, s)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}}, err
}

// run lets all nodes work at once and adds up what they sent.
func (c *cofferCluster) run(nodes []*tss.Node, rounds int, work func(i int, n *tss.Node) error) (traffic, error) {
	before := c.net.sent()
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { errs[i] = work(i, n) })
	}
	wg.Wait()
	return traffic{bytes: c.net.sent() - before, rounds: rounds}, errors.Join(errs...)
}

// cofferNetwork delivers messages and counts their bytes.
type cofferNetwork struct {
	ports map[tss.IdentityKey]*cofferPort

	mu    sync.Mutex
	bytes int
}

func (n *cofferNetwork) sent() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.bytes
}

type cofferPort struct {
	net *cofferNetwork
	key tss.IdentityKey
	in  chan tss.Envelope
}

// Send implements tss.Channel.
func (p *cofferPort) Send(_ context.Context, to []tss.IdentityKey, message []byte) error {
	p.net.mu.Lock()
	p.net.bytes += len(to) * len(message)
	p.net.mu.Unlock()
	message = slices.Clone(message)
	for _, k := range to {
		p.net.ports[k].in <- tss.Envelope{From: p.key, Message: message}
	}
	return nil
}

// Receive implements tss.Channel.
func (p *cofferPort) Receive(ctx context.Context) (tss.Envelope, error) {
	select {
	case e := <-p.in:
		return e, nil
	case <-ctx.Done():
		return tss.Envelope{}, ctx.Err()
	}
}
