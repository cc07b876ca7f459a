// Package bus carries sealed messages between parties, the signer nodes and the control
// plane's coordinator, over a broker that nobody trusts: calls with answers, and the
// messages of threshold protocols (docs/spec/10-bus.md).
//
// Start from [New], over a [Transport]: [NewMemory] within a process, [Connect] over NATS,
// with package broker where no broker runs yet. [Endpoint.Handle] answers calls,
// [Endpoint.Call] makes them, and [Endpoint.Channel] is what tss.NewNode asks for.
//
// Every message is sealed end to end under a session that both parties' hybrid keys signed
// for, and signed by its sender. The package decides nothing about who may ask for what, and
// stores nothing: who restarts forgets its sessions and the answers it gave.
package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/tss"
)

// Coordinator is the name of the control plane's coordinator. No node can have it: a
// custody.Name begins with a letter.
const Coordinator = "@coordinator"

// Transport moves frames of at most [MaxFrame] bytes between parties. It may lose, repeat,
// reorder, alter and invent them.
type Transport interface {
	// Subscribe calls f for every frame to the party until stop is called, one at a time.
	// f must not wait for anything; it may keep the frame.
	Subscribe(party string, f func(frame []byte)) (stop func(), err error)
	// Publish hands over a frame, without waiting for its delivery. It doesn't keep or
	// change the frame. An error says that it is lost.
	Publish(party string, frame []byte) error
}

// Config is what an Endpoint is made of.
type Config struct {
	Charter  [32]byte          // hash of the charter; parties of different charters don't understand each other
	Name     string            // a custody.Name, or Coordinator
	Key      hybrid.PrivateKey // this party's identity
	Identity *tss.Identity     // the Ed25519 half of Key; nil for a party that runs no threshold protocols

	// Peers returns the parties that there are now, by name; the own name is ignored. It
	// is asked for every frame, so it must be quick, and nobody may change what it returned.
	Peers     func() map[string]hybrid.PublicKey
	Transport Transport
	Now       func() time.Time
	Rand      io.Reader // nil: crypto/rand

	// Report hears of every frame that was dropped, with one of this package's errors, and of
	// defects. The peer is the one named by the frame, which nothing may have proved; empty if
	// there is none. Several goroutines call it and it must not block. May be nil.
	Report func(peer string, err error)
}

// What Report hears, and Call's cause after Close.
var (
	ErrFrame     = errors.New("bus: frame is malformed")
	ErrPeer      = errors.New("bus: sender isn't a peer")
	ErrHandshake = errors.New("bus: handshake is refused")
	ErrSession   = errors.New("bus: session is unknown or too old")
	ErrForged    = errors.New("bus: frame isn't from the peer that it names")
	ErrReplay    = errors.New("bus: frame came before")
	ErrMessage   = errors.New("bus: message is malformed")
	ErrUnwanted  = errors.New("bus: message belongs to nothing that waits for it")
	ErrFull      = errors.New("bus: too much from or for this peer at once")
	ErrTransport = errors.New("bus: transport")
	ErrHandler   = errors.New("bus: handler")
	ErrClosed    = errors.New("bus: closed")
)

// Bounds of clocks (docs/spec/10-bus.md §2, §5).
const (
	maxSkew  = 2 * time.Minute
	callLife = 5 * time.Minute // a call ends at the latest
)

// Handler answers a call of a peer. It runs in a goroutine of its own; ctx ends with the
// endpoint, and when nobody waits for the answer any more.
type Handler = func(ctx context.Context, from string, body []byte) ([]byte, error)

// Endpoint is one party's end of the bus. Its methods may be called by several goroutines.
type Endpoint struct {
	cfg    Config
	stop   func() // of the subscription
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	receiving sync.Mutex // one frame at a time, whatever the transport does
	random    sync.Mutex

	mu       sync.Mutex
	closed   bool
	handlers map[string]Handler
	peers    map[string]*peer
	inbox    []envelope    // of notices, for Channel
	wake     chan struct{} // there is something in the inbox
}

// New begins to receive. Handlers are registered right after it: a call that comes earlier
// is answered custody.NotFound. The error is [custody.Error], Invalid with the field, or the
// transport's.
func New(cfg Config) (*Endpoint, error) {
	refuse := func(field, rule string) (*Endpoint, error) {
		return nil, &custody.Error{Code: custody.Invalid, Field: field, Message: rule}
	}
	switch {
	case !validParty(cfg.Name):
		return refuse("name", "neither a name of a node nor "+Coordinator)
	case cfg.Key.Public().IsZero():
		return refuse("key", "missing")
	case cfg.Identity != nil && cfg.Identity.Public() != tss.IdentityKey(cfg.Key.Public().Ed25519()):
		return refuse("identity", "isn't the Ed25519 half of the key")
	case cfg.Peers == nil:
		return refuse("peers", "missing")
	case cfg.Transport == nil:
		return refuse("transport", "missing")
	case cfg.Now == nil:
		return refuse("now", "missing")
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Report == nil {
		cfg.Report = func(string, error) {}
	}
	e := &Endpoint{
		cfg: cfg, handlers: make(map[string]Handler), peers: make(map[string]*peer),
		wake: make(chan struct{}, 1),
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	stop, err := cfg.Transport.Subscribe(cfg.Name, e.receive)
	if err != nil {
		e.cancel()
		return nil, fmt.Errorf("%w: %w", ErrTransport, err)
	}
	e.stop = stop
	return e, nil
}

func validParty(name string) bool {
	var n custody.Name
	return name == Coordinator || n.UnmarshalText([]byte(name)) == nil
}

// Close ends everything that waits or runs, with [ErrClosed] as the cause, and returns when it
// has ended. A handler must not call it. It leaves the transport open.
func (e *Endpoint) Close() {
	e.mu.Lock()
	first := !e.closed
	e.closed = true
	e.mu.Unlock()
	if first {
		e.stop()
		e.cancel()
	}
	e.work.Wait()
}

// spawn runs f in a goroutine that Close waits for, unless the endpoint is closed. The
// caller holds e.mu.
func (e *Endpoint) spawn(f func()) {
	if !e.closed {
		e.work.Go(f)
	}
}

// peer is what an endpoint keeps about another party. Endpoint.mu guards all of it, but
// for what a field says.
type peer struct {
	name string
	key  hybrid.PublicKey
	gone chan struct{} // closed when it isn't a peer any more

	sessions []*session    // the newest last
	changed  chan struct{} // closed and replaced when there is a newer session
	heard    atomic.Uint64 // frames opened

	begun    *begun             // the own handshake in progress
	accepted []*accepted        // the peer's handshakes in progress, the oldest first
	nonces   map[[32]byte]int64 // of its hellos, with the millisecond until which they count
	hinted   time.Time          // when a hint was taken last
	hinting  time.Time          // when a hint was sent last

	waiting     map[callID]*waiting
	calls       int // of those waiting
	notices     int
	noticeBytes int

	served       map[callID]*served
	order        []callID  // of served, the oldest first
	answers      []*served // with an answer that is kept, the oldest first
	answerBytes  int
	running      int
	runningBytes int

	inboxCount int
	inboxBytes int
}

// lookup returns the state of a peer, nil where there is no such peer. It forgets all who
// aren't peers any more.
func (e *Endpoint) lookup(name string) *peer {
	now := e.cfg.Peers()
	e.mu.Lock()
	defer e.mu.Unlock()
	for n, p := range e.peers {
		if !p.key.Equal(now[n]) {
			delete(e.peers, n)
			close(p.gone)
		}
	}
	key, ok := now[name]
	if !ok || key.IsZero() || name == e.cfg.Name || e.closed {
		return nil
	}
	p := e.peers[name]
	if p == nil {
		p = &peer{
			name: name, key: key, gone: make(chan struct{}), changed: make(chan struct{}),
			nonces: make(map[[32]byte]int64), waiting: make(map[callID]*waiting), served: make(map[callID]*served),
		}
		e.peers[name] = p
	}
	return p
}

func (e *Endpoint) drop(peer string, err error) {
	e.cfg.Report(peer, err)
}

// receive takes a frame from the transport.
func (e *Endpoint) receive(b []byte) {
	e.receiving.Lock()
	defer e.receiving.Unlock()
	if e.ctx.Err() != nil {
		return
	}
	f, err := parseFrame(b)
	if err != nil {
		e.drop("", err)
		return
	}
	p := e.lookup(f.from)
	if p == nil {
		e.drop(f.from, ErrPeer)
		return
	}
	switch f.kind {
	case typeHello:
		err = e.takeHello(p, &f)
	case typeWelcome:
		err = e.takeWelcome(p, &f)
	case typeFinish:
		err = e.takeFinish(p, &f)
	case typeData:
		err = e.takeData(p, &f)
	case typeUnknown:
		err = e.takeHint(p, &f)
	}
	if err != nil {
		e.drop(p.name, err)
	}
}

// takeData opens a data frame and hands on what is in it.
func (e *Endpoint) takeData(p *peer, f *frame) error {
	now := e.cfg.Now()
	e.mu.Lock()
	s, known := e.find(p, f.session, now)
	e.mu.Unlock()
	if s == nil {
		if !known {
			e.hint(p, f.session, now)
		}
		return ErrSession
	}
	plaintext, err := s.unseal(f)
	if err != nil {
		return err
	}
	m, signature, err := e.unpack(p, s, plaintext)
	if err != nil {
		return err
	}
	p.heard.Add(1)
	e.confirm(p, s)
	switch m.kind {
	case kindCall:
		return e.serve(p, &m, now)
	case kindNotice:
		return e.takeNotice(p, &m, signature, now)
	default:
		return e.takeAnswer(p, &m)
	}
}

func (e *Endpoint) publish(p *peer, f []byte) {
	if err := e.cfg.Transport.Publish(p.name, f); err != nil {
		e.cfg.Report(p.name, fmt.Errorf("%w: %w", ErrTransport, err))
	}
}

// read fills b from the source of randomness.
func (e *Endpoint) read(b []byte) error {
	e.random.Lock()
	defer e.random.Unlock()
	if _, err := io.ReadFull(e.cfg.Rand, b); err != nil {
		return fmt.Errorf("bus: read randomness: %w", err)
	}
	return nil
}
