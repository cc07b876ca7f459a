// Package broker is a NATS server in this process, for deployments that have no broker
// of their own. Start from [Start]. Nodes don't link it.
package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Config is what a Broker is made of.
type Config struct {
	Host  string // to listen at; empty: 127.0.0.1
	Port  int    // 0: any free one
	Token string // that clients must show; at least 16 bytes

	// TLS is for brokers that machines other than this one reach: without it the token passes
	// in the clear. It holds the certificate; clients must begin with the handshake. May be nil.
	TLS *tls.Config

	// Report hears of the broker's warnings and errors. It must not block. May be nil.
	Report func(error)
}

// Broker is a NATS server in this process, without JetStream, files, signal handling or output.
// Its clients prove nothing but that they know the token; all security is in the frames.
type Broker struct {
	server *server.Server
}

const startTime = 10 * time.Second

// MaxPayload is the longest message, in bytes: that of a frame of package bus.
const MaxPayload = 2 << 20

// Start starts a broker and returns once clients can connect.
func Start(cfg Config) (*Broker, error) {
	if len(cfg.Token) < 16 {
		return nil, errors.New("broker: Config.Token has less than 16 bytes")
	}
	if cfg.Host == "" {
		cfg.Host = "127.0.0.1"
	}
	if cfg.Port == 0 {
		cfg.Port = server.RANDOM_PORT
	}
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	options := &server.Options{
		ServerName: "coffer", Host: cfg.Host, Port: cfg.Port, Authorization: cfg.Token,
		MaxPayload: MaxPayload, NoHeaderSupport: true, NoSigs: true, NoLog: true, NoSystemAccount: true,
	}
	if cfg.TLS != nil {
		options.TLSConfig, options.TLS, options.TLSHandshakeFirst = cfg.TLS.Clone(), true, true
		options.TLSConfig.MinVersion = tls.VersionTLS13
	}
	s, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	log := &serverLog{report: cfg.Report}
	s.SetLoggerV2(log, false, false, false)
	s.Start()
	if err = log.fatal(); err == nil && !s.ReadyForConnections(startTime) {
		err = errors.New("it isn't ready in time")
	}
	if err != nil {
		s.Shutdown()
		return nil, fmt.Errorf("broker at %s doesn't start: %w", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)), err)
	}
	return &Broker{s}, nil
}

// URL is where clients connect, for bus.NATSConfig.
func (b *Broker) URL() string { return b.server.ClientURL() }

// Close ends all connections and waits until the broker has ended.
func (b *Broker) Close() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

// serverLog turns the server's log into reports.
type serverLog struct {
	report func(error)

	mu   sync.Mutex
	last error
}

func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *serverLog) Noticef(string, ...any) {}
func (l *serverLog) Debugf(string, ...any)  {}
func (l *serverLog) Tracef(string, ...any)  {}

func (l *serverLog) Warnf(format string, v ...any) { l.Errorf(format, v...) }
func (l *serverLog) Errorf(format string, v ...any) {
	l.report(fmt.Errorf("broker: "+format, v...))
}

// Fatalf is how the server says that it can't listen; it goes on to return.
func (l *serverLog) Fatalf(format string, v ...any) {
	err := fmt.Errorf(format, v...)
	l.mu.Lock()
	l.last = err
	l.mu.Unlock()
	l.report(fmt.Errorf("broker: %w", err))
}
