package tlschannel

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/cofferhq/coffer/tss"
)

// dial connects to a site by TLS with the given configuration and returns what
// ends the connection: io.EOF never before the site was willing to read.
func dial(t *testing.T, to *site, cfg *tls.Config, send []byte) error {
	t.Helper()
	ctx := limit(t)
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", to.listener.Addr().String())
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the connection is over
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	hello := make([]byte, len(welcome))
	if _, err := io.ReadFull(conn, hello); err != nil {
		return err
	}
	if _, err := conn.Write(send); err != nil {
		return err
	}
	_, err = conn.Read(hello)
	return err
}

func clientConfig(s *site) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{s.certificate}, InsecureSkipVerify: true, //nolint:gosec // G402: the server is under test
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768},
	}
}

// TestServerRefuses shows whom a node doesn't listen to.
func TestServerRefuses(t *testing.T) {
	t.Parallel()
	s, peer, stranger := newSite(t), newSite(t), newSite(t)
	s.open(t, peer.peer())

	for _, tc := range []struct {
		name  string
		who   *site
		spoil func(*tls.Config)
		want  error // reported; nil for any
	}{
		{"certificate that isn't pinned", stranger, nil, ErrPeer},
		{"no certificate", peer, func(c *tls.Config) { c.Certificates = nil }, nil},
		{"certificate of a peer without its key", stranger, func(c *tls.Config) {
			c.Certificates = []tls.Certificate{{Certificate: peer.certificate.Certificate, PrivateKey: stranger.certificate.PrivateKey}}
		}, nil},
		{"two certificates", peer, func(c *tls.Config) {
			c.Certificates = []tls.Certificate{{
				Certificate: [][]byte{peer.certificate.Certificate[0], stranger.certificate.Certificate[0]},
				PrivateKey:  peer.certificate.PrivateKey,
			}}
		}, ErrTLS},
		{"classic key exchange", peer, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256} }, nil},
		{"another hybrid", peer, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.SecP256r1MLKEM768} }, nil},
		{"TLS 1.2", peer, func(c *tls.Config) {
			c.CurvePreferences, c.MaxVersion = nil, tls.VersionTLS12
		}, nil},
	} {
		cfg := clientConfig(tc.who)
		if tc.spoil != nil {
			tc.spoil(cfg)
		}
		if err := dial(t, s, cfg, nil); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v, want a refusal", tc.name, err)
		}
		s.reported(t, tc.want)
	}

	// The same without any fault is let in: it is the connection that s ends.
	if err := dial(t, s, clientConfig(peer), binary.BigEndian.AppendUint32(nil, 0)); !errors.Is(err, io.EOF) {
		t.Errorf("a good connection: %v", err)
	}
	s.reported(t, ErrFrame)
}

// TestClientRefuses shows whom a node doesn't send to.
func TestClientRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		spoil func(server *tls.Config, other, stranger *site)
		want  error // reported; nil for any
	}{
		{"certificate that isn't pinned", func(c *tls.Config, _, stranger *site) {
			c.Certificates = []tls.Certificate{stranger.certificate}
		}, ErrPeer},
		{"certificate of another peer", func(c *tls.Config, other, _ *site) {
			c.Certificates = []tls.Certificate{other.certificate}
		}, ErrPeer},
		{"classic key exchange", func(c *tls.Config, _, _ *site) {
			c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
		}, nil},
		{"TLS 1.2", func(c *tls.Config, _, _ *site) { c.MaxVersion, c.CurvePreferences = tls.VersionTLS12, nil }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, server, other, stranger := newSite(t), newSite(t), newSite(t), newSite(t)
			cfg := clientConfig(server)
			tc.spoil(cfg, other, stranger)
			got := make(chan int, 1)
			go func() {
				conn, err := tls.NewListener(server.listener, cfg).Accept()
				if err != nil {
					got <- 0
					return
				}
				defer conn.Close() //nolint:errcheck // the connection is over
				_, _ = conn.Write(welcome)
				n, _ := io.Copy(io.Discard, conn)
				got <- int(n)
			}()
			c := s.open(t, server.peer(), other.peer())
			if err := c.Send(t.Context(), []tss.IdentityKey{server.identity.Public()}, make([]byte, 200)); err != nil {
				t.Fatal(err)
			}
			s.reported(t, tc.want)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if n := <-got; n != 0 {
				t.Errorf("the server read %d bytes", n)
			}
		})
	}
}

// TestPeerOf shows that the state of a connection is judged by itself too: a
// mistake in the configuration lets nothing through.
func TestPeerOf(t *testing.T) {
	t.Parallel()
	s, peer := newSite(t), newSite(t)
	c := s.open(t, peer.peer())
	leaf, err := x509.ParseCertificate(peer.certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	good := tls.ConnectionState{Version: tls.VersionTLS13, CurveID: tls.X25519MLKEM768, PeerCertificates: []*x509.Certificate{leaf}}
	if got, err := c.peerOf(good); err != nil || got != peer.identity.Public() {
		t.Fatalf("good state: %s, %v", got, err)
	}
	for name, spoil := range map[string]func(*tls.ConnectionState){
		"version":      func(s *tls.ConnectionState) { s.Version = tls.VersionTLS12 },
		"key exchange": func(s *tls.ConnectionState) { s.CurveID = tls.X25519 },
		"resumed":      func(s *tls.ConnectionState) { s.DidResume = true },
		"certificates": func(s *tls.ConnectionState) { s.PeerCertificates = nil },
	} {
		state := good
		spoil(&state)
		if _, err := c.peerOf(state); !errors.Is(err, ErrTLS) {
			t.Errorf("%s: %v, want ErrTLS", name, err)
		}
	}
}

// TestOversizedFrame shows what a peer gets for a length out of bounds.
func TestOversizedFrame(t *testing.T) {
	t.Parallel()
	for _, n := range []uint32{0, tss.MaxMessage + 1, 1<<32 - 1} {
		s, peer := newSite(t), newSite(t)
		s.open(t, peer.peer())
		if err := dial(t, s, clientConfig(peer), binary.BigEndian.AppendUint32(nil, n)); !errors.Is(err, io.EOF) {
			t.Errorf("length %d: %v, want the end of the connection", n, err)
		}
		s.reported(t, ErrFrame)
	}
}

// TestSilence shows that connections which say nothing don't keep a node from
// closing.
func TestSilence(t *testing.T) {
	t.Parallel()
	s, peer := newSite(t), newSite(t)
	c := s.open(t, peer.peer())
	conn, err := new(net.Dialer).DialContext(limit(t), "tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the connection is over
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
}
