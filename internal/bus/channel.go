package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/tss"
)

// Bounds of notices for each peer (docs/spec/10-bus.md §5).
const (
	maxNotices     = 256
	maxNoticeBytes = 8 << 20
	noticeTime     = 15 * time.Second
	maxInbox       = 256
	maxInboxBytes  = 4 << 20
)

// envelope is a tss message in the inbox, and whose share of it it takes.
type envelope struct {
	tss.Envelope
	peer *peer
}

// Channel returns the endpoint as tss asks for it. All calls return the same inbox, so one
// node uses it. Its Send fails for a party without Identity.
func (e *Endpoint) Channel() tss.Channel { return channel{e} }

type channel struct{ e *Endpoint }

// Send implements tss.Channel: it signs the message, at most [MaxBody] bytes, and sends it to
// each receiver until it is acked, for 15 seconds. It waits for nothing. Report hears of
// messages that too many others were in the way of.
func (c channel) Send(ctx context.Context, to []tss.IdentityKey, m []byte) error {
	e := c.e
	switch {
	case e.cfg.Identity == nil:
		return &custody.Error{Code: custody.Invalid, Field: "identity", Message: "this party runs no threshold protocols"}
	case len(m) > MaxBody:
		return &custody.Error{Code: custody.Invalid, Field: "message", Message: fmt.Sprintf("has more than %d bytes", MaxBody)}
	}
	signature, err := e.cfg.Identity.SignEnvelope(m)
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	names := make(map[tss.IdentityKey]string)
	for name, key := range e.cfg.Peers() {
		if name != e.cfg.Name && !key.IsZero() {
			names[tss.IdentityKey(key.Ed25519())] = name
		}
	}
	for _, k := range to {
		if names[k] == "" {
			return &custody.Error{Code: custody.NotFound, Field: "to", Message: "not a peer: " + k.String()}
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	for _, k := range to {
		e.spawn(func() { e.notify(context.WithoutCancel(ctx), names[k], m, signature) })
	}
	return nil
}

// notify sends a notice until it is acked.
func (e *Endpoint) notify(ctx context.Context, to string, body, signature []byte) {
	ctx, cancel := context.WithTimeout(ctx, noticeTime)
	defer cancel()
	m := message{kind: kindNotice, topic: topicTSS, body: body}
	if _, err := e.exchange(ctx, to, &m, signature); err != nil && e.ctx.Err() == nil {
		e.cfg.Report(to, err)
	}
}

// Receive implements tss.Channel. After Close of the endpoint it returns [ErrClosed].
func (c channel) Receive(ctx context.Context) (tss.Envelope, error) {
	e := c.e
	for {
		e.mu.Lock()
		if len(e.inbox) > 0 {
			first := e.inbox[0]
			e.inbox[0] = envelope{}
			e.inbox = e.inbox[1:]
			first.peer.inboxCount--
			first.peer.inboxBytes -= len(first.Message)
			e.mu.Unlock()
			return first.Envelope, nil
		}
		e.mu.Unlock()
		select {
		case <-e.wake:
		case <-ctx.Done():
			return tss.Envelope{}, ctx.Err()
		case <-e.ctx.Done():
			return tss.Envelope{}, ErrClosed
		}
	}
}

var errNoIdentity = errors.New("this party runs no threshold protocols")

// takeNotice puts a notice into the inbox, once, and acks it.
func (e *Endpoint) takeNotice(p *peer, m *message, signature []byte, now time.Time) error {
	if e.cfg.Identity == nil {
		return fmt.Errorf("%w: %w", ErrUnwanted, errNoIdentity)
	}
	e.mu.Lock()
	s, fresh, err := e.admit(p, m, now)
	if err == nil && fresh && (p.inboxCount >= maxInbox || p.inboxBytes+len(m.body) > maxInboxBytes) {
		err = fmt.Errorf("%w: messages", ErrFull)
	}
	if err != nil {
		e.mu.Unlock()
		return err
	}
	if fresh {
		p.remember(m.id, s)
		p.inboxCount++
		p.inboxBytes += len(m.body)
		e.inbox = append(e.inbox, envelope{
			tss.Envelope{From: tss.IdentityKey(p.key.Ed25519()), Message: m.body, Signature: signature}, p,
		})
	}
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
	e.reply(p, &message{kind: kindAck, id: m.id, time: m.time, topic: topicTSS})
	return nil
}
