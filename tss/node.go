package tss

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/cofferhq/coffer/tss/hash"
)

// Channel carries messages between nodes. The caller brings it, and with it three
// properties that every protocol here rests on (docs/spec/02-session.md §2):
// the sender is authenticated, nobody but the two ends can read a message, now or
// with a later quantum computer, and every message arrives with its sender's
// signature over the plaintext, as evidence.
type Channel interface {
	// Send signs the message (Identity.SignEnvelope) and hands it to every
	// receiver. It may queue; it doesn't wait for delivery.
	Send(ctx context.Context, to []IdentityKey, message []byte) error
	// Receive waits for the next message that passed authentication, with a
	// signature that it has verified. Any error ends all sessions of the node.
	Receive(ctx context.Context) (Envelope, error)
}

// Log is a member's durable memory of the sessions it took part in. It must
// survive restarts and never be rolled back: a repeated session id could repeat
// secrets.
type Log interface {
	// NextCounter returns a number that it never returns again.
	NextCounter() (uint64, error)
	// Remember stores d durably until the given Unix second and reports whether
	// it was new.
	Remember(d hash.Digest, until int64) (fresh bool, err error)
}

// rememberFor is how long after its expiry a proposal stays refused, in seconds.
const rememberFor = 24 * 3600

// MemoryLog is a Log for processes whose keys don't outlive them.
type MemoryLog struct {
	mu      sync.Mutex
	counter uint64
	seen    map[hash.Digest]bool
}

// NewMemoryLog returns an empty log.
func NewMemoryLog() *MemoryLog { return &MemoryLog{seen: make(map[hash.Digest]bool)} }

// NextCounter counts from 1.
func (l *MemoryLog) NextCounter() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counter++
	return l.counter, nil
}

// Remember keeps d for the life of the process.
func (l *MemoryLog) Remember(d hash.Digest, _ int64) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := !l.seen[d]
	l.seen[d] = true
	return fresh, nil
}

// Config is what a Node is made of.
type Config struct {
	Identity *Identity
	Channel  Channel
	Log      Log

	// Now returns the Unix time in seconds; the library has no clock of its own.
	Now func() int64
	// Rand is the source of randomness; nil means crypto/rand.
	Rand io.Reader
	// NoLossTolerance allows keys that the loss of one member would lose, such
	// as n of n. It is this node's configuration, never part of a proposal.
	NoLossTolerance bool
}

// Node is one member's end of the channel. It runs any number of sessions, at
// once or one after another, over it.
type Node struct {
	cfg    Config
	cancel context.CancelFunc
	done   chan struct{} // closed when nothing more will be received

	mu       sync.Mutex
	err      error
	sessions map[hash.Digest]*inbox
	finished []hash.Digest // the newest session ids that ended
	early    map[IdentityKey][]*received
}

// Messages for sessions that this node doesn't know yet wait, up to these bounds
// for each sender; then the oldest goes.
const (
	earlyMessages = 256
	earlyBytes    = 2 * MaxMessage
	keepFinished  = 1024
)

// NewNode starts to receive from the channel. Close ends it.
func NewNode(cfg Config) (*Node, error) {
	switch {
	case cfg.Identity == nil:
		return nil, errors.New("tss: Config.Identity is missing")
	case cfg.Channel == nil:
		return nil, errors.New("tss: Config.Channel is missing")
	case cfg.Log == nil:
		return nil, errors.New("tss: Config.Log is missing")
	case cfg.Now == nil:
		return nil, errors.New("tss: Config.Now is missing")
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := &Node{
		cfg: cfg, cancel: cancel, done: make(chan struct{}),
		sessions: make(map[hash.Digest]*inbox), early: make(map[IdentityKey][]*received),
	}
	go n.receive(ctx)
	return n, nil
}

// Identity returns the node's public identity key.
func (n *Node) Identity() IdentityKey { return n.cfg.Identity.public }

// Close stops receiving and ends all sessions. It doesn't close the channel.
func (n *Node) Close() {
	n.cancel()
	<-n.done
}

func (n *Node) receive(ctx context.Context) {
	defer close(n.done)
	for {
		e, err := n.cfg.Channel.Receive(ctx)
		if err != nil {
			n.mu.Lock()
			n.err = fmt.Errorf("tss: channel: %w", err)
			n.mu.Unlock()
			return
		}
		if r, ok := open(e); ok {
			n.deliver(r)
		}
	}
}

func (n *Node) failure() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

func (n *Node) deliver(r *received) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if box := n.sessions[r.sid]; box != nil {
		box.put(r)
		return
	}
	if slices.Contains(n.finished, r.sid) {
		return
	}
	held := append(n.early[r.From], r)
	size := 0
	for i := len(held) - 1; i >= 0; i-- {
		if size += len(held[i].Message); size > earlyBytes || len(held)-i > earlyMessages {
			held = slices.Delete(held, 0, i+1)
			break
		}
	}
	n.early[r.From] = held
}

// attach makes box the receiver of its session's messages, those included that
// came before.
func (n *Node) attach(box *inbox) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sessions[box.head.sid] = box
	for _, s := range box.seats {
		held := n.early[s.Key]
		if len(held) == 0 {
			continue
		}
		n.early[s.Key] = slices.DeleteFunc(held, func(r *received) bool {
			if r.sid != box.head.sid {
				return false
			}
			box.put(r)
			return true
		})
	}
}

func (n *Node) detach(sid hash.Digest) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.sessions[sid]; !ok {
		return
	}
	delete(n.sessions, sid)
	n.finished = append(n.finished, sid)
	if len(n.finished) > keepFinished {
		n.finished = slices.Delete(n.finished, 0, keepFinished/2)
	}
}

// inbox holds what arrived for one session, one message to a slot.
type inbox struct {
	head  header // what every message of the session has in common
	me    Member
	seats []seat
	wake  chan struct{}

	mu     sync.Mutex
	slots  map[slot]*received
	second map[Member]*received // a different signed message for a slot taken
}

func newInbox(head header, me Member, seats []seat) *inbox {
	return &inbox{
		head: head, me: me, seats: seats, wake: make(chan struct{}, 1),
		slots: make(map[slot]*received),
	}
}

// belongs reports whether a message is of this session and of the member that
// sent it.
func (b *inbox) belongs(r *received) bool {
	h := &r.header
	if h.protocol != b.head.protocol || h.suite != b.head.suite || h.sid != b.head.sid ||
		h.keyID != b.head.keyID || h.epoch != b.head.epoch || h.tsel != b.head.tsel {
		return false
	}
	return slices.Contains(b.seats, seat{h.from, r.From})
}

// Bounds of what an inbox keeps. No protocol has more rounds or longer bodies.
const (
	maxRounds    = 8
	maxBody      = 64 << 10
	maxShowBody  = 400 << 10 // two of them fit an abort
	maxAbortBody = 900 << 10 // one of them fits an abort that passes it on
)

func bounded(r *received) bool {
	switch r.round {
	case roundShow:
		return r.kind == kindBroadcast && len(r.body) <= maxShowBody
	case roundAbort:
		return r.kind == kindBroadcast && (len(r.body) <= maxAbortBody || passesOn(r.body))
	}
	return r.round <= maxRounds && len(r.body) <= maxBody
}

// passesOn reports whether an abort does nothing but pass on a smaller one: only
// such aborts may be larger than others.
func passesOn(abort []byte) bool {
	r := NewReader(abort)
	if r.U8() != 1 {
		return false
	}
	r.Take(4) // accused and victim
	es, err := readEnvelopes(r)
	if err != nil || r.Close() != nil || len(es) != 1 {
		return false
	}
	h, body, ok := decodeHeader(es[0].Message)
	return ok && h.round == roundAbort && len(body) <= maxAbortBody
}

// put files a message that the channel has authenticated. What doesn't belong, or
// is beyond all bounds, is dropped without effect; the first message of a slot
// stays, and a different second one is kept as proof. Only the first abort counts:
// two of them together would be too large to prove anything to others.
func (b *inbox) put(r *received) {
	toMe := r.kind == kindBroadcast && r.to == 0 || r.kind == kindPrivate && r.to == b.me
	if !b.belongs(r) || !toMe || r.from == b.me || !bounded(r) {
		return
	}
	b.mu.Lock()
	first, taken := b.slots[r.slot()]
	switch {
	case !taken:
		b.slots[r.slot()] = r
	case !slices.Equal(first.Message, r.Message) && b.second[r.from] == nil && r.round != roundAbort:
		if b.second == nil {
			b.second = make(map[Member]*received)
		}
		b.second[r.from] = r
	default:
		b.mu.Unlock()
		return // nothing new
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox) get(s slot) *received {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.slots[s]
}

// secondOf returns the message that proves a member's equivocation, or nil.
func (b *inbox) secondOf(m Member) *received {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.second[m]
}

// all returns everything that came from a member, the evidence of equivocation
// included, in order of round and kind.
func (b *inbox) all(from Member) []*received {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []*received
	for s, r := range b.slots {
		if s.from == from {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(x, y *received) int {
		return int(x.round)<<8 + int(x.kind) - int(y.round)<<8 - int(y.kind)
	})
	if r := b.second[from]; r != nil {
		out = append(out, r)
	}
	return out
}
