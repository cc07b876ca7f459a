package frost_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/derive"
	"github.com/cofferhq/coffer/tss/dkg"
	"github.com/cofferhq/coffer/tss/frost"
)

// wire is a channel inside one process. A real one crosses a network: it
// authenticates both ends, encrypts, and verifies every signature on receipt.
type wire struct {
	id    *tss.Identity
	in    chan tss.Envelope
	peers map[tss.IdentityKey]*wire
}

func (w *wire) Send(_ context.Context, to []tss.IdentityKey, message []byte) error {
	signature, err := w.id.SignEnvelope(message)
	if err != nil {
		return err
	}
	for _, k := range to {
		w.peers[k].in <- tss.Envelope{From: w.id.Public(), Message: message, Signature: signature}
	}
	return nil
}

func (w *wire) Receive(ctx context.Context) (tss.Envelope, error) {
	select {
	case e := <-w.in:
		if !e.From.VerifyEnvelope(e.Message, e.Signature) {
			return tss.Envelope{}, fmt.Errorf("message of %s isn't signed by it", e.From)
		}
		return e, nil
	case <-ctx.Done():
		return tss.Envelope{}, ctx.Err()
	}
}

// start connects n nodes, each the owner of one id, 1 to n.
func start(n int) (nodes []*tss.Node, parties tss.Parties) {
	peers := make(map[tss.IdentityKey]*wire)
	for i := range n {
		id, err := tss.NewIdentity(rand.Reader)
		check(err)
		w := &wire{id: id, in: make(chan tss.Envelope, 100), peers: peers}
		peers[id.Public()] = w
		node, err := tss.NewNode(tss.Config{
			Identity: id, Channel: w,
			Log: tss.NewMemoryLog(), // a real one is durable
			Now: func() int64 { return time.Now().Unix() },
		})
		check(err)
		nodes = append(nodes, node)
		parties = append(parties, tss.Party{ID: uint16(i + 1), Owner: id.Public()})
	}
	return nodes, parties
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// together runs f at every node at once.
func together(nodes []*tss.Node, f func(i int, n *tss.Node) error) {
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { check(f(i, n)) })
	}
	wg.Wait()
}

// generate makes a 2-of-3 key.
func generate(ctx context.Context, suite tss.Suite) ([]*tss.Node, []*tss.KeyShare) {
	nodes, parties := start(3)
	proposal := &tss.Proposal{
		Protocol: tss.ProtocolDKG, Suite: suite, Target: 1, Attempt: 1, Threshold: 2, Parties: parties,
		Expiry: time.Now().Unix() + 60, Initiator: 1,
	}
	_, err := io.ReadFull(rand.Reader, proposal.Nonce[:])
	check(err)
	shares := make([]*tss.KeyShare, len(nodes))
	together(nodes, func(i int, n *tss.Node) error {
		session, err := n.Join(ctx, proposal, nil)
		if err != nil {
			return err
		}
		defer session.Close()
		shares[i], _, err = dkg.Run(ctx, session, func(*tss.KeyShare) error {
			return nil // seal and store the share here
		})
		return err
	})
	return nodes, shares
}

// sign signs with the first two of the nodes.
func sign(ctx context.Context, nodes []*tss.Node, shares []*tss.KeyShare, request frost.Request) (signature []byte) {
	k := shares[0].Key
	proposal := &tss.Proposal{
		Protocol: tss.ProtocolFROST, Suite: k.Suite, KeyID: k.ID, Epoch: k.Epoch, Source: k.T,
		Threshold: k.Threshold, Parties: k.Parties, Signers: []uint16{1, 2}, Request: request.Digest(k.Suite),
		Expiry: time.Now().Unix() + 60, Initiator: 1,
	}
	_, err := io.ReadFull(rand.Reader, proposal.Nonce[:])
	check(err)
	var mu sync.Mutex
	together(nodes[:2], func(i int, n *tss.Node) error {
		session, err := n.Join(ctx, proposal, shares[i])
		if err != nil {
			return err
		}
		defer session.Close()
		mine, err := frost.Sign(ctx, session, request)
		mu.Lock()
		defer mu.Unlock()
		signature = mine
		return err
	})
	return signature
}

func ExampleSign_ed25519() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	nodes, shares := generate(ctx, tss.SuiteEd25519)
	request := frost.Request{Message: []byte("any message, signed as it is")}
	signature := sign(ctx, nodes, shares, request)

	public, err := frost.PublicKey(&shares[2].Key, request)
	check(err)
	fmt.Println(len(public), len(signature), frost.Verify(tss.SuiteEd25519, public, request.Message, signature))
	// Output: 32 64 true
}

func ExampleSign_bip340() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	nodes, shares := generate(ctx, tss.SuiteBIP340)
	request := frost.Request{
		Message: make([]byte, 32),     // the digest of a transaction input, BIP-341
		Path:    derive.Path{0, 0, 7}, // m/0/0/7
		Taproot: &frost.Taproot{},     // the output key, without scripts
	}
	signature := sign(ctx, nodes, shares, request)

	public, err := frost.PublicKey(&shares[2].Key, request)
	check(err)
	fmt.Println(len(public), len(signature), frost.Verify(tss.SuiteBIP340, public, request.Message, signature))
	// Output: 32 64 true
}
