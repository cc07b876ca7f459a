package bus

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// NATSConfig says how to reach a broker.
type NATSConfig struct {
	URL     string   // nats://host:port or tls://host:port, or several of a kind joined by commas
	Token   string   // that the broker asks for
	Charter [32]byte // hash of the charter: part of all subjects

	// TLS is for tls://, where the broker must take the handshake first (nats-server's
	// handshake_first). nil trusts the system's roots.
	TLS *tls.Config

	// Report hears of connections lost and frames dropped by the client. It must not
	// block. May be nil.
	Report func(error)
}

// NATS is a Transport over core NATS. It is safe for concurrent use.
type NATS struct {
	conn   *nats.Conn
	prefix string
	cancel context.CancelFunc
}

const (
	dialTime      = 2 * time.Second
	reconnectWait = 250 * time.Millisecond
	pingInterval  = 5 * time.Second
	maxLine       = 64 << 10 // of the NATS protocol
)

// Connect returns a client that connects and reconnects for ever, also where no broker is
// there yet: frames are lost meanwhile. ctx ends only Connect itself. The error is of the
// configuration, or ctx's.
func Connect(ctx context.Context, cfg NATSConfig) (*NATS, error) {
	scheme, _, _ := strings.Cut(cfg.URL, "://")
	for u := range strings.SplitSeq(cfg.URL, ",") {
		p, err := url.Parse(strings.TrimSpace(u))
		if err != nil || p.Scheme != scheme || scheme != "nats" && scheme != "tls" || p.Port() == "" || p.User != nil {
			return nil, errors.New("bus: NATSConfig.URL isn't nats://host:port or tls://host:port")
		}
	}
	report := cfg.Report
	if report == nil {
		report = func(error) {}
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, cancel)()
	d := &dialer{ctx: life}
	if scheme == "tls" {
		d.tls = tls13(cfg.TLS)
	}
	conn, err := nats.Connect(cfg.URL,
		nats.Name("coffer"), nats.Token(cfg.Token),
		nats.SetCustomDialer(d), nats.SkipHostLookup(), nats.Timeout(dialTime),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(func(attempts int) time.Duration {
			return reconnectWait << min(attempts, 3)
		}),
		nats.ReconnectBufSize(-1), // what couldn't be sent is lost, not sent late
		nats.PingInterval(pingInterval), nats.IgnoreDiscoveredServers(), nats.NoCallbacksAfterClientClose(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err == nil {
				err = errors.New("connection ended")
			}
			report(fmt.Errorf("%w: %w", ErrTransport, err))
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { report(fmt.Errorf("%w: %w", ErrTransport, err)) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { report(fmt.Errorf("%w: %w", ErrTransport, err)) }),
	)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%w: %w", ErrTransport, err)
	}
	if ctx.Err() != nil {
		conn.Close()
		cancel()
		return nil, fmt.Errorf("%w: %w", ErrTransport, context.Cause(ctx))
	}
	return &NATS{conn: conn, prefix: "coffer." + hex.EncodeToString(cfg.Charter[:]) + ".", cancel: cancel}, nil
}

func (n *NATS) subject(party string) string { return n.prefix + hex.EncodeToString([]byte(party)) }

// Subscribe implements Transport. Frames wait for f, up to 8192 and 64 MiB.
func (n *NATS) Subscribe(party string, f func(frame []byte)) (stop func(), err error) {
	s, err := n.conn.Subscribe(n.subject(party), func(m *nats.Msg) { f(m.Data) })
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	if err := s.SetPendingLimits(maxPending, maxPendingBytes); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return func() { _ = s.Unsubscribe() }, nil // fails where the connection is closed: nothing comes then
}

// Publish implements Transport.
func (n *NATS) Publish(party string, frame []byte) error {
	if len(frame) > MaxFrame {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrFrame, len(frame), MaxFrame)
	}
	return n.conn.Publish(n.subject(party), frame)
}

// Close ends the connection and every subscription.
func (n *NATS) Close() {
	n.cancel()
	n.conn.Close()
}

// dialer opens connections that watch the broker.
type dialer struct {
	ctx context.Context
	tls *tls.Config // nil for none
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (c net.Conn, err error) {
	ctx, cancel := context.WithTimeout(d.ctx, dialTime)
	defer cancel()
	if d.tls == nil {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
	} else {
		c, err = (&tls.Dialer{Config: d.tls}).DialContext(ctx, network, address)
	}
	if err != nil {
		return nil, err
	}
	return &bounded{Conn: c}, nil
}

// SkipTLSHandshake tells the client that Dial has done it.
func (d *dialer) SkipTLSHandshake() bool { return d.tls != nil }

// tls13 is the configuration with TLS 1.3 as the lowest version.
func tls13(c *tls.Config) *tls.Config {
	if c == nil {
		return &tls.Config{MinVersion: tls.VersionTLS13}
	}
	c = c.Clone()
	c.MinVersion = tls.VersionTLS13
	return c
}

// bounded is a connection that fails before the client makes room for what is too long. The
// client itself allocates whatever length a broker announces, and lets a line grow without end.
type bounded struct {
	net.Conn
	line []byte // the line that is being read
	skip int    // bytes of a payload that are to come, with its end
	err  error
}

var errProtocol = errors.New("bus: the broker breaks the NATS protocol")

// Read implements net.Conn.
func (c *bounded) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.Conn.Read(p)
	if c.err = c.watch(p[:n]); c.err != nil {
		_ = c.Close() // c.err says what matters
		return 0, c.err
	}
	return n, err
}

// watch follows the protocol: lines, and payloads after the lines that announce one. It is
// stricter than the client, so that both see the same lines.
func (c *bounded) watch(b []byte) error {
	for len(b) > 0 {
		if c.skip > 0 {
			n := min(c.skip, len(b))
			for i, x := range b[:n] { // a payload is followed by CR LF
				if left := c.skip - i; left == 2 && x != '\r' || left == 1 && x != '\n' {
					return fmt.Errorf("%w: a payload has another length than announced", errProtocol)
				}
			}
			c.skip -= n
			b = b[n:]
			continue
		}
		part, rest, ended := bytes.Cut(b, []byte("\n"))
		if len(c.line)+len(part) > maxLine {
			return fmt.Errorf("%w: a line has more than %d bytes", errProtocol, maxLine)
		}
		c.line, b = append(c.line, part...), rest
		if !ended {
			return nil
		}
		if err := c.endLine(); err != nil {
			return err
		}
		c.line = c.line[:0]
	}
	return nil
}

func (c *bounded) endLine() error {
	line, ok := bytes.CutSuffix(c.line, []byte("\r"))
	if !ok || bytes.IndexByte(line, '\r') >= 0 {
		return fmt.Errorf("%w: a line doesn't end in CR LF", errProtocol)
	}
	fields := bytes.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(fields) == 0 {
		return nil
	}
	if name := strings.ToUpper(string(fields[0])); name != "MSG" && name != "HMSG" {
		return nil
	}
	size, err := strconv.ParseUint(string(fields[len(fields)-1]), 10, 31)
	if err != nil || size > MaxFrame+maxLine {
		return fmt.Errorf("%w: it announces a message of %.20q bytes", errProtocol, fields[len(fields)-1])
	}
	c.skip = int(size) + 2
	return nil
}
