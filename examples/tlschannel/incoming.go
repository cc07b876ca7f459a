package tlschannel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/cofferhq/coffer/tss"
)

// welcome tells a peer that its connection was accepted.
var welcome = []byte{1}

// maxHandshakes is how many connections of whoever it may be are looked at at
// once. More are refused.
const maxHandshakes = 64

// accept takes connections until the channel is closed.
func (c *Channel) accept() {
	slots := make(chan struct{}, maxHandshakes)
	for {
		raw, err := c.cfg.Listener.Accept()
		if err != nil {
			if c.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			c.report(tss.IdentityKey{}, fmt.Errorf("accept: %w", err))
			if !c.wait(shortestWait) {
				return
			}
			continue
		}
		select {
		case slots <- struct{}{}:
			c.work.Go(func() { c.serve(raw, func() { <-slots }) })
		default:
			_ = raw.Close() // refused
		}
	}
}

// serve reads one connection to its end. It calls known when it knows the peer,
// or that it isn't one.
func (c *Channel) serve(raw net.Conn, known func()) {
	done, ok := c.track(raw)
	if !ok {
		known()
		return
	}
	defer done()
	conn := tls.Server(raw, c.asServer())
	peer, err := c.shakeHands(raw, conn)
	known()
	if err != nil {
		c.report(tss.IdentityKey{}, fmt.Errorf("refuse connection from %s: %w", raw.RemoteAddr(), err))
		return
	}
	// A peer that connects again has lost the connection that it had.
	c.mu.Lock()
	before := c.incoming[peer]
	c.incoming[peer] = raw
	c.mu.Unlock()
	if before != nil {
		_ = before.Close() // its reader sees the error
	}
	err = c.read(conn, peer)
	c.mu.Lock()
	if c.incoming[peer] == raw {
		delete(c.incoming, peer)
	}
	c.mu.Unlock()
	if !errors.Is(err, io.EOF) {
		c.report(peer, fmt.Errorf("receive: %w", err))
	}
}

func (c *Channel) shakeHands(raw net.Conn, conn *tls.Conn) (peer tss.IdentityKey, err error) {
	ctx, cancel := context.WithTimeout(c.ctx, handshakeTime)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return tss.IdentityKey{}, err
	}
	if peer, err = c.peerOf(conn.ConnectionState()); err != nil {
		return tss.IdentityKey{}, err
	}
	return peer, within(writeTime, raw, func() error {
		_, err := conn.Write(welcome)
		return err
	})
}

// read hands out what a peer sends, until the connection ends. Whatever the peer
// didn't sign itself is dropped, without effect on the rest.
func (c *Channel) read(conn *tls.Conn, peer tss.IdentityKey) error {
	for {
		sig, message, err := readFrame(conn)
		if err != nil {
			return err
		}
		if !peer.VerifyEnvelope(message, sig) {
			c.report(peer, ErrSignature)
			continue
		}
		select {
		case c.inbox <- tss.Envelope{From: peer, Message: message, Signature: sig}:
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
	}
}
