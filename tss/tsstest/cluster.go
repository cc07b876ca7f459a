package tsstest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/dkg"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/hash"
)

// Cluster is a set of nodes on one network, all of whose randomness comes from a
// seed.
type Cluster struct {
	Net        *Network
	Identities []*tss.Identity
	Nodes      []*tss.Node
	Logs       []*tss.MemoryLog
	Parties    tss.Parties
	Threshold  int

	t    testing.TB
	seed uint64
	runs uint64
}

// Epoch is the clock's reading of every node, in Unix seconds.
const Epoch = 1_800_000_000

// NewCluster starts a node for each entry of ids, which lists the ids that the
// member owns. The nodes end with the test.
func NewCluster(t testing.TB, seed uint64, threshold int, ids ...[]uint16) *Cluster {
	t.Helper()
	c := &Cluster{Net: &Network{}, Threshold: threshold, t: t, seed: seed}
	for i, own := range ids {
		id, err := tss.NewIdentity(Reader(seed, "identity", uint64(i)))
		if err != nil {
			t.Fatal(err)
		}
		log := tss.NewMemoryLog()
		node, err := tss.NewNode(tss.Config{
			Identity: id, Channel: c.Net.Channel(id), Log: log, NoLossTolerance: true,
			Now: func() int64 { return Epoch }, Rand: Reader(seed, "node", uint64(i)),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(node.Close)
		c.Identities, c.Nodes, c.Logs = append(c.Identities, id), append(c.Nodes, node), append(c.Logs, log)
		for _, x := range own {
			c.Parties = append(c.Parties, tss.Party{ID: x, Owner: id.Public()})
		}
	}
	slices.SortFunc(c.Parties, func(a, b tss.Party) int { return int(a.ID) - int(b.ID) })
	return c
}

// Single gives n members one id each, 1 to n.
func Single(n int) [][]uint16 {
	out := make([][]uint16, n)
	for i := range out {
		out[i] = []uint16{uint16(i + 1)}
	}
	return out
}

// Reader is a deterministic random source. It may be used by several goroutines;
// it is deterministic when one uses it.
func Reader(seed uint64, label string, n uint64) io.Reader {
	return &reader{key: hash.Sum("tsstest/rand", hash.U64(seed), []byte(label), hash.U64(n))}
}

type reader struct {
	mu      sync.Mutex
	key     hash.Digest
	counter uint64
	rest    []byte
}

func (r *reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := 0; n < len(p); {
		if len(r.rest) == 0 {
			block := sha256.Sum256(binary.BigEndian.AppendUint64(r.key[:], r.counter))
			r.counter++
			r.rest = block[:]
		}
		k := copy(p[n:], r.rest)
		n, r.rest = n+k, r.rest[k:]
	}
	return len(p), nil
}

// KeygenProposal proposes a key generation for all members.
func (c *Cluster) KeygenProposal(s tss.Suite) *tss.Proposal {
	c.runs++
	p := &tss.Proposal{
		Protocol: tss.ProtocolDKG, Suite: s, Target: 1, Threshold: c.Threshold, Parties: c.Parties,
		Attempt: 1, Expiry: Epoch + 60, Initiator: c.Parties[0].ID,
	}
	p.Nonce = hash.Sum("tsstest/nonce", hash.U64(c.seed), hash.U64(c.runs))
	return p
}

// SignProposal proposes a signature by the given ids.
func (c *Cluster) SignProposal(k *tss.Key, ids []uint16, r frost.Request) *tss.Proposal {
	c.runs++
	p := &tss.Proposal{
		Protocol: tss.ProtocolFROST, Suite: k.Suite, KeyID: k.ID, Epoch: k.Epoch, Source: k.T,
		Threshold: k.Threshold, Parties: k.Parties, Signers: ids, Request: r.Digest(k.Suite),
		Expiry: Epoch + 60, Initiator: k.Parties[0].ID,
	}
	p.Nonce = hash.Sum("tsstest/nonce", hash.U64(c.seed), hash.U64(c.runs))
	return p
}

// Result is what one member's run ended with.
type Result[T any] struct {
	Value T
	Err   error
}

// Each runs f for every node at once and returns the results in their order. skip
// leaves nodes out.
func Each[T any](ctx context.Context, c *Cluster, skip func(i int) bool, f func(ctx context.Context, i int, n *tss.Node) (T, error)) []Result[T] {
	out := make([]Result[T], len(c.Nodes))
	var wg sync.WaitGroup
	for i, n := range c.Nodes {
		if skip != nil && skip(i) {
			continue
		}
		wg.Go(func() { out[i].Value, out[i].Err = f(ctx, i, n) })
	}
	wg.Wait()
	return out
}

// KeyShareOf is the outcome of key generation at one member.
type KeyShareOf struct {
	Share       *tss.KeyShare
	Certificate *dkg.Certificate
}

// TryKeygen runs key generation at every node.
func (c *Cluster) TryKeygen(ctx context.Context, s tss.Suite) []Result[KeyShareOf] {
	p := c.KeygenProposal(s)
	return Each(ctx, c, nil, func(ctx context.Context, _ int, n *tss.Node) (KeyShareOf, error) {
		return Keygen(ctx, n, p, nil)
	})
}

// Keygen joins and runs key generation at one node.
func Keygen(ctx context.Context, n *tss.Node, p *tss.Proposal, persist func(*tss.KeyShare) error) (KeyShareOf, error) {
	s, err := n.Join(ctx, p, nil)
	if err != nil {
		return KeyShareOf{}, err
	}
	defer s.Close()
	share, cert, err := dkg.Run(ctx, s, persist)
	return KeyShareOf{share, cert}, err
}

// Keygen generates a key and fails the test where a member doesn't get its share.
func (c *Cluster) Keygen(s tss.Suite) []*tss.KeyShare {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	shares := make([]*tss.KeyShare, len(c.Nodes))
	for i, r := range c.TryKeygen(ctx, s) {
		if r.Err != nil {
			c.t.Fatalf("key generation at node %d: %v", i, r.Err)
		}
		shares[i] = r.Value.Share
	}
	return shares
}

// TrySign runs interactive signing by the given ids at the nodes that own them.
func (c *Cluster) TrySign(ctx context.Context, shares []*tss.KeyShare, ids []uint16, r frost.Request) []Result[[]byte] {
	p := c.SignProposal(&shares[0].Key, ids, r)
	return Each(ctx, c, func(i int) bool { return !c.Owns(i, ids) }, func(ctx context.Context, i int, n *tss.Node) ([]byte, error) {
		return Sign(ctx, n, p, shares[i], r)
	})
}

// Sign joins and runs interactive signing at one node.
func Sign(ctx context.Context, n *tss.Node, p *tss.Proposal, share *tss.KeyShare, r frost.Request) ([]byte, error) {
	s, err := n.Join(ctx, p, share)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return frost.Sign(ctx, s, r)
}

// Sign signs by the given ids, verifies the signature and fails the test where
// anything goes wrong or the members' signatures differ.
func (c *Cluster) Sign(shares []*tss.KeyShare, ids []uint16, r frost.Request) []byte {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var signature []byte
	for i, res := range c.TrySign(ctx, shares, ids, r) {
		switch {
		case !c.Owns(i, ids):
		case res.Err != nil:
			c.t.Fatalf("signing at node %d: %v", i, res.Err)
		case signature == nil:
			signature = res.Value
		case string(signature) != string(res.Value):
			c.t.Fatalf("node %d has another signature", i)
		}
	}
	public, err := frost.PublicKey(&shares[0].Key, r)
	if err != nil {
		c.t.Fatal(err)
	}
	if !frost.Verify(shares[0].Suite, public, r.Message, signature) {
		c.t.Fatal("signature doesn't verify")
	}
	return signature
}

// Owns reports whether node i owns one of the ids.
func (c *Cluster) Owns(i int, ids []uint16) bool {
	for _, id := range ids {
		if k, ok := c.Parties.Owner(id); ok && k == c.Identities[i].Public() {
			return true
		}
	}
	return false
}

// Member returns the number of node i among all parties.
func (c *Cluster) Member(i int) tss.Member {
	return tss.Member(c.Parties.Owned(c.Identities[i].Public())[0])
}

// String names the cluster's shape.
func (c *Cluster) String() string {
	return fmt.Sprintf("%d of %d ids at %d members", c.Threshold, len(c.Parties), len(c.Nodes))
}
