// Package tlschannel is a tss.Channel over mutual TLS 1.3, as an example for users
// of the library: use it as it is, or copy and change it. Start from New.
//
// What it gives is what tss asks of a channel:
//
//   - The sender is authenticated. Each node has a TLS key beside its identity key,
//     and each is configured with the SHA-256 of the others' public TLS keys. There
//     are no certificate authorities and no names. The identity key never enters
//     TLS: it signs tagged hashes and nothing else.
//   - Nobody but the two ends can read a message, now or with a later quantum
//     computer: the key exchange is X25519MLKEM768 and nothing else.
//   - Every message comes with its sender's Ed25519 signature over the plaintext,
//     which was verified, so that it can serve as evidence.
//
// Send never waits for a peer. Every pair of nodes has two connections, each for
// one direction; the sender dials, again where a connection breaks. Nothing that
// came over the network is allocated for before its length was checked.
//
// What it doesn't give: delivery. A message that a broken connection swallowed
// isn't sent again, and what waits for a peer that stays away is dropped, the
// oldest first. The session then ends by its deadline, which names the absent, and
// is started again. Nor does it hide who talks to whom, withstand a flood of
// connections, or authenticate by post-quantum signatures: who can forge Ed25519
// at the time of a handshake can take a node's place in TLS, though not sign its
// messages without its identity key.
package tlschannel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/cofferhq/coffer/tss"
)

// Config is what a node's channel is made of.
type Config struct {
	Identity    *tss.Identity
	Certificate tls.Certificate // see NewCertificate
	Listener    net.Listener    // where the peers connect; Close closes it
	Peers       []Peer          // all other nodes

	// Report hears why connections were refused or broke and messages were
	// dropped. The peer is zero where it isn't known. It is called by several
	// goroutines and must not block. nil hears nothing.
	Report func(peer tss.IdentityKey, err error)
}

// Peer is what a node is told about another one.
type Peer struct {
	Identity tss.IdentityKey
	Pin      Pin    // of its TLS key
	Address  string // host:port where it listens
}

// Channel is one node's end of the connections to all its peers. It implements
// tss.Channel.
type Channel struct {
	cfg   Config
	links map[tss.IdentityKey]*link
	byPin map[Pin]tss.IdentityKey
	inbox chan tss.Envelope // unbuffered: a reader holds one message

	ctx    context.Context // done when the channel is closed
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	open     map[net.Conn]struct{}
	incoming map[tss.IdentityKey]net.Conn // the newest from each peer
}

// Errors that Send returns and Report hears.
var (
	ErrPeer      = errors.New("tlschannel: not a configured peer")
	ErrTLS       = errors.New("tlschannel: connection isn't TLS 1.3 with X25519MLKEM768 and a certificate")
	ErrSignature = errors.New("tlschannel: message isn't signed by the peer that sent it")
	ErrFrame     = errors.New("tlschannel: frame has an invalid length")
	ErrQueue     = errors.New("tlschannel: queue to the peer is full, the oldest message is dropped")
)

var _ tss.Channel = (*Channel)(nil)

// New starts to listen and returns the channel. It dials peers when there is
// something to send. The listener stays the caller's where New fails.
func New(cfg Config) (*Channel, error) {
	switch {
	case cfg.Identity == nil:
		return nil, errors.New("tlschannel: Config.Identity is missing")
	case cfg.Listener == nil:
		return nil, errors.New("tlschannel: Config.Listener is missing")
	}
	own, err := PinOf(cfg.Certificate)
	if err != nil {
		return nil, fmt.Errorf("tlschannel: Config.Certificate: %w", err)
	}
	if cfg.Report == nil {
		cfg.Report = func(tss.IdentityKey, error) {}
	}
	cfg.Peers = slices.Clone(cfg.Peers)
	c := &Channel{
		cfg: cfg, links: make(map[tss.IdentityKey]*link), byPin: make(map[Pin]tss.IdentityKey),
		inbox: make(chan tss.Envelope), open: make(map[net.Conn]struct{}), incoming: make(map[tss.IdentityKey]net.Conn),
	}
	for _, p := range cfg.Peers {
		_, knownPin := c.byPin[p.Pin]
		switch {
		case p.Identity == cfg.Identity.Public() || p.Pin == own:
			return nil, fmt.Errorf("tlschannel: peer %s has this node's own key", p.Identity)
		case c.links[p.Identity] != nil || knownPin:
			return nil, fmt.Errorf("tlschannel: peer %s has the key of another peer", p.Identity)
		case p.Address == "":
			return nil, fmt.Errorf("tlschannel: peer %s has no address", p.Identity)
		}
		c.byPin[p.Pin] = p.Identity
		c.links[p.Identity] = newLink(p)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.work.Go(c.accept)
	for _, l := range c.links {
		c.work.Go(func() { c.keep(l) })
	}
	return c, nil
}

// Send implements tss.Channel: it signs the message and puts it into the queue of
// every receiver.
func (c *Channel) Send(_ context.Context, to []tss.IdentityKey, message []byte) error {
	if len(message) > tss.MaxMessage {
		return fmt.Errorf("%w: message has %d bytes, at most %d", ErrFrame, len(message), tss.MaxMessage)
	}
	sig, err := c.cfg.Identity.SignEnvelope(message)
	if err != nil {
		return err
	}
	for _, k := range to {
		if c.links[k] == nil {
			return fmt.Errorf("%w: %s", ErrPeer, k)
		}
	}
	if c.ctx.Err() != nil {
		return net.ErrClosed
	}
	f := newFrame(sig, message)
	for _, k := range to {
		if !c.links[k].push(f) {
			c.report(k, ErrQueue)
		}
	}
	return nil
}

// Receive implements tss.Channel. After Close it returns net.ErrClosed.
func (c *Channel) Receive(ctx context.Context) (tss.Envelope, error) {
	select {
	case e := <-c.inbox:
		return e, nil
	case <-ctx.Done():
		return tss.Envelope{}, ctx.Err()
	case <-c.ctx.Done():
		return tss.Envelope{}, net.ErrClosed
	}
}

// Close ends all connections and waits until everything that the channel started
// has ended. What is still queued is lost.
func (c *Channel) Close() error {
	c.cancel()
	err := c.cfg.Listener.Close()
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	for conn := range c.open {
		_ = conn.Close() // its user sees the error
	}
	c.mu.Unlock()
	c.work.Wait()
	if !first {
		return nil
	}
	return err
}

// track makes Close close a connection; done undoes that and closes it. ok is
// false where the channel is closed already.
func (c *Channel) track(conn net.Conn) (done func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close() // never used
		return nil, false
	}
	c.open[conn] = struct{}{}
	return func() {
		_ = conn.Close() // its user has seen the error that mattered
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, conn)
	}, true
}

// Time limits, of a whole handshake and of one write. Whoever exceeds them loses
// the connection, not more.
const (
	handshakeTime = 10 * time.Second
	writeTime     = 10 * time.Second
)

// within runs f and closes conn where that takes longer than d.
func within(d time.Duration, conn net.Conn, f func() error) error {
	t := time.AfterFunc(d, func() { _ = conn.Close() }) // f sees the error
	defer t.Stop()
	return f()
}

// report tells of an error, unless it only comes of closing the channel.
func (c *Channel) report(peer tss.IdentityKey, err error) {
	if c.ctx.Err() == nil {
		c.cfg.Report(peer, err)
	}
}

// wait lets d pass, and reports whether the channel is still open then.
func (c *Channel) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}
