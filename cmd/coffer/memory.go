package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/cofferhq/coffer/tss"
)

// network joins the nodes of this process. Messages are signed by their senders
// and verified by their receivers, as on a network between machines; there is
// nothing to encrypt.
type network struct {
	mu    sync.Mutex
	ports map[tss.IdentityKey]*port
	bytes int           // sent since start was called, signatures included
	seen  map[byte]bool // the rounds of those messages
}

// queued is how many messages wait for a node before their senders do. Nodes
// don't wait while they receive, so senders go on.
const queued = 64

// port is the end of the network that belongs to one node: its tss.Channel.
type port struct {
	net   *network
	id    *tss.Identity
	inbox chan tss.Envelope
	gone  chan struct{} // closed when the node is off the network
}

func newNetwork() *network { return &network{ports: make(map[tss.IdentityKey]*port)} }

// join gives an identity its channel.
func (n *network) join(id *tss.Identity) *port {
	p := &port{net: n, id: id, inbox: make(chan tss.Envelope, queued), gone: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ports[id.Public()] = p
	return p
}

// leave takes a node off the network: what is sent to it is lost.
func (n *network) leave(k tss.IdentityKey) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.ports[k]; p != nil {
		delete(n.ports, k)
		close(p.gone)
	}
}

// start begins to count what is sent.
func (n *network) start() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.bytes, n.seen = 0, make(map[byte]bool)
}

// sent returns the bytes and the rounds counted since start.
func (n *network) sent() (bytes, rounds int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.bytes, len(n.seen)
}

// roundAt is the place of the round in a message (docs/spec/02-session.md §3).
const roundAt = 4

// address counts a message of size bytes and returns where it goes, nil for a
// node that left.
func (n *network) address(to tss.IdentityKey, round byte, size int) *port {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.bytes += size
	if n.seen != nil {
		n.seen[round] = true
	}
	return n.ports[to]
}

// Send implements tss.Channel.
func (p *port) Send(ctx context.Context, to []tss.IdentityKey, message []byte) error {
	if len(message) > tss.MaxMessage {
		return fmt.Errorf("message has %d bytes, at most %d", len(message), tss.MaxMessage)
	}
	sig, err := p.id.SignEnvelope(message)
	if err != nil {
		return err
	}
	e := tss.Envelope{From: p.id.Public(), Message: message, Signature: sig}
	for _, k := range to {
		dst := p.net.address(k, message[roundAt], len(message)+len(sig))
		if dst == nil {
			continue
		}
		select {
		case dst.inbox <- e:
		case <-dst.gone:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Receive implements tss.Channel. It drops what its sender didn't sign.
func (p *port) Receive(ctx context.Context) (tss.Envelope, error) {
	for {
		select {
		case e := <-p.inbox:
			if e.From.VerifyEnvelope(e.Message, e.Signature) {
				return e, nil
			}
		case <-ctx.Done():
			return tss.Envelope{}, ctx.Err()
		}
	}
}
