package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"gitlab.com/yawning/secp256k1-voi/secec/bitcoin"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/dkg"
	"github.com/cofferhq/coffer/tss/frost"
)

// ceremony is the making of one key and one signature among parties of this
// process.
type ceremony struct {
	suite     tss.Suite
	threshold int
	parties   int
	kill      int // how many parties are lost between the key and the signature
	request   frost.Request
}

// outcome is a signature that was verified, and what the signing took.
type outcome struct {
	killed    []uint16
	signers   []uint16
	publicKey []byte
	signature []byte
	rounds    int           // of the signing protocol, its join not counted
	bytes     int           // sent by all signers in these rounds
	cpu       time.Duration // of the process in these rounds
}

// party is one node with what it holds.
type party struct {
	id    uint16
	node  *tss.Node
	share *tss.KeyShare
}

// proposalLife is how long parties have to join, in seconds.
const proposalLife = 120

// run makes the key, takes the parties with the lowest ids off the network and
// lets the next ones sign, exactly as many as the threshold.
func (c *ceremony) run(ctx context.Context) (*outcome, error) {
	net := newNetwork()
	parties, set, err := c.admit(net)
	defer func() {
		for _, p := range parties {
			p.leave(net)
		}
	}()
	if err != nil {
		return nil, err
	}
	if err := c.makeKey(ctx, parties, set); err != nil {
		return nil, fmt.Errorf("make the key: %w", err)
	}
	out := &outcome{}
	for _, p := range parties[:c.kill] {
		p.leave(net)
		out.killed = append(out.killed, p.id)
	}
	if err := c.sign(ctx, net, parties[c.kill:][:c.threshold], out); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if !verify(c.suite, out.publicKey, c.request.Message, out.signature) {
		return nil, errors.New("the signature doesn't verify")
	}
	return out, nil
}

// admit starts the nodes, ids from 1 on, and returns the set that they form.
func (c *ceremony) admit(net *network) (parties []*party, set tss.Parties, err error) {
	for id := uint16(1); int(id) <= c.parties; id++ {
		identity, err := tss.NewIdentity(rand.Reader)
		if err != nil {
			return parties, nil, err
		}
		node, err := tss.NewNode(tss.Config{
			Identity: identity, Channel: net.join(identity), Log: tss.NewMemoryLog(), Now: now, NoLossTolerance: true,
		})
		if err != nil {
			return parties, nil, err
		}
		parties = append(parties, &party{id: id, node: node})
		set = append(set, tss.Party{ID: id, Owner: identity.Public()})
	}
	return parties, set, nil
}

// leave takes a party off the network for good.
func (p *party) leave(net *network) {
	net.leave(p.node.Identity())
	p.node.Close()
	if p.share != nil {
		p.share.Clear()
	}
}

func (c *ceremony) makeKey(ctx context.Context, parties []*party, set tss.Parties) error {
	p := &tss.Proposal{
		Protocol: tss.ProtocolDKG, Suite: c.suite, Target: 1, Threshold: c.threshold, Parties: set,
		Attempt: 1, Expiry: now() + proposalLife, Initiator: set[0].ID,
	}
	if _, err := rand.Read(p.Nonce[:]); err != nil {
		return err
	}
	return each(ctx, parties, func(ctx context.Context, _ int, member *party) error {
		s, err := member.node.Join(ctx, p, nil)
		if err != nil {
			return err
		}
		defer s.Close()
		member.share, _, err = dkg.Run(ctx, s, nil)
		return err
	})
}

// sign runs the signing in two steps, so that the join isn't measured with it.
func (c *ceremony) sign(ctx context.Context, net *network, signers []*party, out *outcome) error {
	key := &signers[0].share.Key
	for _, p := range signers {
		out.signers = append(out.signers, p.id)
	}
	p := &tss.Proposal{
		Protocol: tss.ProtocolFROST, Suite: key.Suite, KeyID: key.ID, Epoch: key.Epoch, Source: key.T,
		Threshold: key.Threshold, Parties: key.Parties, Signers: out.signers, Request: c.request.Digest(key.Suite),
		Expiry: now() + proposalLife, Initiator: out.signers[0],
	}
	if _, err := rand.Read(p.Nonce[:]); err != nil {
		return err
	}
	sessions := make([]*tss.Session, len(signers))
	defer func() {
		for _, s := range sessions {
			if s != nil {
				s.Close()
			}
		}
	}()
	if err := each(ctx, signers, func(ctx context.Context, i int, member *party) (err error) {
		sessions[i], err = member.node.Join(ctx, p, member.share)
		return err
	}); err != nil {
		return err
	}

	net.start()
	before, err := cpuTime()
	if err != nil {
		return err
	}
	signatures := make([][]byte, len(signers))
	if err := each(ctx, signers, func(ctx context.Context, i int, _ *party) (err error) {
		signatures[i], err = frost.Sign(ctx, sessions[i], c.request)
		return err
	}); err != nil {
		return err
	}
	after, err := cpuTime()
	if err != nil {
		return err
	}
	out.cpu = after - before
	out.bytes, out.rounds = net.sent()

	for i, s := range signatures {
		if string(s) != string(signatures[0]) {
			return fmt.Errorf("party %d has another signature than party %d", out.signers[i], out.signers[0])
		}
	}
	out.signature = signatures[0]
	out.publicKey, err = frost.PublicKey(key, c.request)
	return err
}

// verify checks a signature by code that plays no part in making it.
func verify(suite tss.Suite, public, message, signature []byte) bool {
	if suite == tss.SuiteBIP340 {
		k, err := bitcoin.NewSchnorrPublicKey(public)
		return err == nil && k.Verify(message, signature)
	}
	return len(public) == ed25519.PublicKeySize && ed25519.Verify(public, message, signature)
}

// each runs f for all parties at once. The first error ends the others' waiting
// and is what it returns.
func each(ctx context.Context, parties []*party, f func(ctx context.Context, i int, p *party) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for i, p := range parties {
		wg.Go(func() {
			if err := f(ctx, i, p); err != nil {
				cancel(fmt.Errorf("party %d: %w", p.id, err))
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// now is the program's clock, in Unix seconds.
func now() int64 {
	return time.Now().Unix() //nolint:forbidigo // the program is where time comes in
}

// cpuTime returns the CPU time, in user and kernel, of this process so far.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("measure CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
