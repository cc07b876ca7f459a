package tlschannel

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/tsstest"
)

// TestMain also checks that closed channels leave no goroutine behind.
func TestMain(m *testing.M) {
	status := m.Run()
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for goroutine := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(goroutine, "tlschannel.(*") {
			fmt.Fprintf(os.Stderr, "a goroutine is left:\n%s\n", goroutine)
			status = 1
		}
	}
	os.Exit(status)
}

// site is what belongs to one node.
type site struct {
	identity    *tss.Identity
	certificate tls.Certificate
	pin         Pin
	listener    net.Listener
	reports     chan error
}

func newSite(t *testing.T) *site {
	t.Helper()
	id, err := tss.NewIdentity(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	pin, err := PinOf(cert)
	if err != nil {
		t.Fatal(err)
	}
	return &site{identity: id, certificate: cert, pin: pin, listener: listen(t, "127.0.0.1:0"), reports: make(chan error, 4096)}
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func newSites(t *testing.T, n int) []*site {
	t.Helper()
	sites := make([]*site, n)
	for i := range sites {
		sites[i] = newSite(t)
	}
	return sites
}

func (s *site) peer() Peer {
	return Peer{Identity: s.identity.Public(), Pin: s.pin, Address: s.listener.Addr().String()}
}

// open starts the site's channel with the given peers. It is closed at the end of
// the test at the latest.
func (s *site) open(t *testing.T, peers ...Peer) *Channel {
	t.Helper()
	c, err := New(Config{
		Identity: s.identity, Certificate: s.certificate, Listener: s.listener, Peers: peers,
		Report: func(_ tss.IdentityKey, err error) {
			select {
			case s.reports <- err:
			default:
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// reported waits until the site reports an error that want is in.
func (s *site) reported(t *testing.T, want error) {
	t.Helper()
	ctx := limit(t)
	for {
		select {
		case err := <-s.reports:
			if errors.Is(err, want) || want == nil {
				return
			}
			t.Logf("also reported: %v", err)
		case <-ctx.Done():
			t.Fatalf("%v wasn't reported", want)
		}
	}
}

func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

const clock = 1_800_000_000

// cluster is nodes on real connections, with ids from 1 on.
type cluster struct {
	sites    []*site
	channels []*Channel
	nodes    []*tss.Node
	set      tss.Parties
}

func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{sites: newSites(t, n)}
	for i, s := range c.sites {
		var peers []Peer
		for j, other := range c.sites {
			if j != i {
				peers = append(peers, other.peer())
			}
		}
		ch := s.open(t, peers...)
		node, err := tss.NewNode(tss.Config{
			Identity: s.identity, Channel: ch, Log: tss.NewMemoryLog(), Now: func() int64 { return clock },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(node.Close)
		c.channels, c.nodes = append(c.channels, ch), append(c.nodes, node)
		c.set = append(c.set, tss.Party{ID: uint16(i + 1), Owner: s.identity.Public()})
	}
	return c
}

func (c *cluster) keygen(t *testing.T, suite tss.Suite, threshold int) []*tss.KeyShare {
	t.Helper()
	p := &tss.Proposal{
		Protocol: tss.ProtocolDKG, Suite: suite, Target: 1, Threshold: threshold, Parties: c.set,
		Attempt: 1, Expiry: clock + 60, Initiator: 1, Nonce: [32]byte{1},
	}
	shares := make([]*tss.KeyShare, len(c.nodes))
	c.each(t, c.set.IDs(), func(i int) error {
		out, err := tsstest.Keygen(limit(t), c.nodes[i], p, nil)
		shares[i] = out.Share
		return err
	})
	return shares
}

func (c *cluster) sign(t *testing.T, shares []*tss.KeyShare, signers []uint16, message string) {
	t.Helper()
	key := &shares[0].Key
	r := frost.Request{Message: []byte(message)}
	p := &tss.Proposal{
		Protocol: tss.ProtocolFROST, Suite: key.Suite, KeyID: key.ID, Epoch: key.Epoch, Source: key.T,
		Threshold: key.Threshold, Parties: key.Parties, Signers: signers, Request: r.Digest(key.Suite),
		Expiry: clock + 60, Initiator: signers[0], Nonce: [32]byte{2},
	}
	public, err := frost.PublicKey(key, r)
	if err != nil {
		t.Fatal(err)
	}
	c.each(t, signers, func(i int) error {
		signature, err := tsstest.Sign(limit(t), c.nodes[i], p, shares[i], r)
		if err == nil && !frost.Verify(key.Suite, public, r.Message, signature) {
			err = errors.New("signature doesn't verify")
		}
		return err
	})
}

func (c *cluster) each(t *testing.T, ids []uint16, f func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			if err := f(int(id) - 1); err != nil {
				t.Errorf("party %d: %v", id, err)
			}
		})
	}
	if wg.Wait(); t.Failed() {
		t.FailNow()
	}
}

func TestKeygenAndSign(t *testing.T) {
	t.Parallel()
	for _, suite := range []tss.Suite{tss.SuiteBIP340, tss.SuiteEd25519} {
		t.Run(suite.String(), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 3)
			shares := c.keygen(t, suite, 2)
			c.sign(t, shares, []uint16{1, 3}, "one")
			c.sign(t, shares, []uint16{1, 2, 3}, "two")
			// A node that is gone doesn't keep the others from signing.
			c.nodes[0].Close()
			if err := c.channels[0].Close(); err != nil {
				t.Error(err)
			}
			c.sign(t, shares, []uint16{2, 3}, "three")
		})
	}
}

// TestForgery shows that what a peer didn't sign itself has no effect, wherever it
// has it from, and that its own messages go on to count.
func TestForgery(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	message := make([]byte, 200)
	own := func(id *tss.Identity) frame {
		sig, err := id.SignEnvelope(message)
		if err != nil {
			t.Fatal(err)
		}
		return newFrame(sig, message)
	}
	stranger := newSite(t)
	altered := own(c.sites[2].identity)
	altered[len(altered)-1] ^= 1
	for name, f := range map[string]frame{
		"signed by a stranger":        own(stranger.identity),
		"signed by another peer":      own(c.sites[1].identity),
		"signed by the receiver":      own(c.sites[0].identity),
		"altered after it was signed": altered,
		"shorter than a header":       newFrame(make([]byte, 64), message[:10]),
	} {
		t.Log(name)
		c.channels[2].links[c.sites[0].identity.Public()].push(f)
		c.sites[0].reported(t, ErrSignature)
	}
	shares := c.keygen(t, tss.SuiteEd25519, 2)
	c.sign(t, shares, []uint16{1, 3}, "after forgeries")
	select {
	case err := <-c.sites[0].reports:
		t.Errorf("also reported: %v", err)
	default:
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	s, a, b := newSite(t), newSite(t), newSite(t)
	good := Config{Identity: s.identity, Certificate: s.certificate, Listener: s.listener, Peers: []Peer{a.peer(), b.peer()}}
	for name, spoil := range map[string]func(*Config){
		"Config.Identity is missing":    func(c *Config) { c.Identity = nil },
		"Config.Listener is missing":    func(c *Config) { c.Listener = nil },
		"Config.Certificate: it must":   func(c *Config) { c.Certificate = tls.Certificate{} },
		"has this node's own key":       func(c *Config) { c.Peers = []Peer{s.peer()} },
		"own key":                       func(c *Config) { c.Peers = []Peer{{a.identity.Public(), s.pin, "a:1"}} },
		"has the key of another peer":   func(c *Config) { c.Peers = []Peer{a.peer(), {a.identity.Public(), b.pin, "b:1"}} },
		"key of another peer":           func(c *Config) { c.Peers = []Peer{a.peer(), {b.identity.Public(), a.pin, "b:1"}} },
		"has no address":                func(c *Config) { c.Peers = []Peer{{a.identity.Public(), a.pin, ""}} },
		"Config.Certificate: x509: mal": func(c *Config) { c.Certificate.Certificate = [][]byte{{1, 2, 3}} },
	} {
		cfg := good
		spoil(&cfg)
		if c, err := New(cfg); err == nil {
			_ = c.Close()
			t.Errorf("want an error with %q", name)
		} else if !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q in it", err, name)
		}
	}
}
