package tlschannel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/cofferhq/coffer/tss"
)

// What may wait for one peer.
const (
	maxQueuedBytes  = 4 * (atMessage + tss.MaxMessage)
	maxQueuedFrames = 1024
)

// link is the way to one peer.
type link struct {
	peer Peer
	wake chan struct{} // something was queued

	mu    sync.Mutex
	queue []frame
	bytes int
}

func newLink(p Peer) *link { return &link{peer: p, wake: make(chan struct{}, 1)} }

// push queues a frame. ok is false where older ones had to go for it.
func (l *link) push(f frame) (ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue, l.bytes = append(l.queue, f), l.bytes+len(f)
	ok = true
	for l.bytes > maxQueuedBytes || len(l.queue) > maxQueuedFrames {
		l.drop()
		ok = false
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return ok
}

// first returns the oldest frame and leaves it queued; nil where there is none.
func (l *link) first() frame {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return nil
	}
	return l.queue[0]
}

// sent takes a frame out, unless it was dropped meanwhile.
func (l *link) sent(f frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) > 0 && &l.queue[0][0] == &f[0] {
		l.drop()
	}
}

func (l *link) drop() {
	l.bytes -= len(l.queue[0])
	l.queue[0] = nil // it may hold secrets for the peer: let go of it now
	l.queue = l.queue[1:]
}

// How long a link waits after a connection that failed: twice as long each time,
// until one is accepted.
const (
	shortestWait = 20 * time.Millisecond
	longestWait  = 5 * time.Second
)

// keep dials the peer whenever something is queued, until the channel is closed.
func (c *Channel) keep(l *link) {
	pause := shortestWait
	for {
		for l.first() == nil {
			select {
			case <-l.wake:
			case <-c.ctx.Done():
				return
			}
		}
		accepted, err := c.connect(l)
		if accepted {
			pause = shortestWait
		}
		c.report(l.peer.Identity, err)
		if !c.wait(pause) {
			return
		}
		pause = min(2*pause, longestWait)
	}
}

// connect dials the peer once and sends what is queued and what will be, until
// the connection breaks. accepted says that the peer took it.
func (c *Channel) connect(l *link) (accepted bool, err error) {
	ctx, cancel := context.WithTimeout(c.ctx, handshakeTime)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", l.peer.Address)
	if err != nil {
		return false, err
	}
	done, ok := c.track(raw)
	if !ok {
		return false, net.ErrClosed
	}
	defer done()
	conn := tls.Client(raw, c.asClient(l.peer))
	if err := conn.HandshakeContext(ctx); err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	// In TLS 1.3 the handshake ends here before the server has seen our key.
	hello := make([]byte, len(welcome))
	err = within(handshakeTime, raw, func() error {
		_, err := io.ReadFull(conn, hello)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("connect: the peer refused this node: %w", err)
	}
	return true, c.sendAll(l, raw, conn)
}

func (c *Channel) sendAll(l *link, raw net.Conn, conn *tls.Conn) error {
	// The peer sends nothing more, so reading ends where the connection does.
	broken := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		if err == nil {
			err = errors.New("the peer sent something on a connection that is ours to send")
		}
		_ = raw.Close() // a write under way ends
		broken <- err
	}()
	for {
		f := l.first()
		if f == nil {
			select {
			case <-l.wake:
				continue
			case err := <-broken:
				return fmt.Errorf("connection: %w", err)
			}
		}
		err := within(writeTime, raw, func() error {
			_, err := conn.Write(f)
			return err
		})
		if err != nil {
			_ = raw.Close() // so that the reader ends
			<-broken
			return fmt.Errorf("send: %w", err) // f stays queued; twice does no harm
		}
		l.sent(f)
	}
}
