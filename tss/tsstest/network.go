// Package tsstest runs the protocols in memory: a network that can delay,
// duplicate, lose and alter messages, clusters of nodes with deterministic
// randomness, and a cheater's tools. It is for tests only; start from NewCluster.
package tsstest

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cofferhq/coffer/tss"
)

// Network connects nodes in memory. Set its hooks before the first message.
type Network struct {
	// Tamper sees every message before its sender signs it, once per receiver,
	// and returns what is sent in its place: nothing, it, or other ones. Only
	// a sender can alter its own messages; that is what a cheater does.
	Tamper func(from, to tss.IdentityKey, m Message) []Message
	// Deliver says after how long each copy of a signed message arrives; none
	// loses it. nil delivers one copy at once.
	Deliver func(from, to tss.IdentityKey) []time.Duration
	// Watch sees every message as it is sent.
	Watch func(from, to tss.IdentityKey, m Message)
	// Unsigned leaves out signatures, so that a benchmark measures the protocol
	// alone. Nothing can be proved to others then.
	Unsigned bool

	mu    sync.Mutex
	ports map[tss.IdentityKey]*port
}

// Channel returns the end of the network that belongs to an identity.
func (n *Network) Channel(id *tss.Identity) tss.Channel {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ports == nil {
		n.ports = make(map[tss.IdentityKey]*port)
	}
	p := &port{net: n, id: id, wake: make(chan struct{}, 1)}
	n.ports[id.Public()] = p
	return p
}

func (n *Network) port(k tss.IdentityKey) *port {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ports[k]
}

// Cut takes a node off the network: what it sends and what is sent to it is lost.
func (n *Network) Cut(k tss.IdentityKey) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.ports, k)
}

type port struct {
	net  *Network
	id   *tss.Identity
	wake chan struct{}

	mu    sync.Mutex
	queue []tss.Envelope
}

var errSize = errors.New("tsstest: message is too long")

// Send implements tss.Channel.
func (p *port) Send(_ context.Context, to []tss.IdentityKey, message []byte) error {
	if len(message) > tss.MaxMessage {
		return errSize
	}
	var sig []byte
	for _, k := range to {
		messages := []Message{message}
		if p.net.Tamper != nil {
			messages = p.net.Tamper(p.id.Public(), k, slices.Clone(message))
		}
		for _, m := range messages {
			if p.net.Watch != nil {
				p.net.Watch(p.id.Public(), k, m)
			}
			if !p.net.Unsigned && (sig == nil || p.net.Tamper != nil) {
				var err error
				if sig, err = p.id.SignEnvelope(m); err != nil {
					return err
				}
			}
			p.net.Inject(k, tss.Envelope{From: p.id.Public(), Message: m, Signature: sig})
		}
	}
	return nil
}

// Inject delivers an envelope as if its sender had sent it, if the sender is on
// the network and really signed it: a channel authenticates.
func (n *Network) Inject(to tss.IdentityKey, e tss.Envelope) {
	dst := n.port(to)
	if dst == nil || n.port(e.From) == nil {
		return
	}
	if !n.Unsigned && !e.From.VerifyEnvelope(e.Message, e.Signature) {
		return
	}
	delays := []time.Duration{0}
	if n.Deliver != nil {
		delays = n.Deliver(e.From, to)
	}
	for _, d := range delays {
		if d == 0 {
			dst.put(e)
			continue
		}
		time.AfterFunc(d, func() { dst.put(e) })
	}
}

func (p *port) put(e tss.Envelope) {
	p.mu.Lock()
	p.queue = append(p.queue, e)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Receive implements tss.Channel.
func (p *port) Receive(ctx context.Context) (tss.Envelope, error) {
	for {
		p.mu.Lock()
		if len(p.queue) > 0 {
			e := p.queue[0]
			p.queue = p.queue[1:]
			p.mu.Unlock()
			return e, nil
		}
		p.mu.Unlock()
		select {
		case <-p.wake:
		case <-ctx.Done():
			return tss.Envelope{}, ctx.Err()
		}
	}
}

// Message is a protocol message, header and body, as it is signed.
type Message []byte

// Places of the header (docs/spec/02-session.md §3).
const (
	atRound = 4
	atKind  = 5
	atFrom  = 86
	atTo    = 88
	atEcho  = 90
	atLen   = 122
	atBody  = 126
)

// Round returns the round.
func (m Message) Round() int { return int(m[atRound]) }

// Private reports whether the message is for its receiver alone.
func (m Message) Private() bool { return m[atKind] == 1 }

// From returns the sender's number.
func (m Message) From() tss.Member { return tss.Member(binary.BigEndian.Uint16(m[atFrom:])) }

// Echo returns the echo in the header, for reading and altering.
func (m Message) Echo() []byte { return m[atEcho:atLen] }

// Body returns the body, for reading and altering.
func (m Message) Body() []byte { return m[atBody:] }

// With returns the message with another body.
func (m Message) With(body []byte) Message {
	out := append(slices.Clone(m[:atLen:atLen]), binary.BigEndian.AppendUint32(nil, uint32(len(body)))...)
	return append(out, body...)
}

// As returns the message with another round.
func (m Message) As(round int) Message {
	out := slices.Clone(m)
	out[atRound] = byte(round)
	return out
}

// Broadcast returns the message as one to all.
func (m Message) Broadcast() Message {
	out := m.To(0)
	out[atKind] = 0
	return out
}

// To returns the message with another receiver's number in its header.
func (m Message) To(to tss.Member) Message {
	out := slices.Clone(m)
	binary.BigEndian.PutUint16(out[atTo:], uint16(to))
	return out
}

// Sender returns the message with another sender's number in its header.
func (m Message) Sender(from tss.Member) Message {
	out := slices.Clone(m)
	binary.BigEndian.PutUint16(out[atFrom:], uint16(from))
	return out
}
