package bus

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/cofferhq/coffer/internal/bus/broker"
)

// The broker carries whatever the bus sends, and no more.
func TestBrokerTakesFrames(t *testing.T) {
	if broker.MaxPayload != MaxFrame {
		t.Errorf("the broker takes %d bytes, a frame has at most %d", broker.MaxPayload, MaxFrame)
	}
}

func TestConnectRefuses(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"", "localhost:4222", "http://localhost", "nats://", "nats://token@localhost", "nats://a:1,ws://b:1", "nats://a:1,tls://b:1", "nats://a"} {
		if _, err := Connect(t.Context(), NATSConfig{URL: u}); err == nil {
			t.Errorf("%q is taken", u)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Connect(ctx, NATSConfig{URL: "nats://127.0.0.1:1"}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
	if _, err := broker.Start(broker.Config{Token: "short"}); err == nil {
		t.Error("a short token is taken")
	}
}

// A broker that can't listen says why.
func TestBrokerPortTaken(t *testing.T) {
	t.Parallel()
	b, err := broker.Start(broker.Config{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if !strings.HasPrefix(b.URL(), "nats://127.0.0.1:") {
		t.Errorf("it listens at %s", b.URL())
	}
	if _, err := broker.Start(broker.Config{Token: token, Port: portOf(t, b.URL())}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("two brokers at one port: %v", err)
	}
}

func portOf(tb testing.TB, broker string) int {
	tb.Helper()
	u, err := url.Parse(broker)
	if err != nil {
		tb.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		tb.Fatal(err)
	}
	return port
}

// Over TLS a client comes in that trusts the broker's certificate, and no other one.
func TestTLS(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	b, err := broker.Start(broker.Config{Token: token, TLS: &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}, MinVersion: tls.VersionTLS13,
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	address := fmt.Sprintf("127.0.0.1:%d", portOf(t, b.URL()))

	c, err := Connect(t.Context(), NATSConfig{
		URL: "tls://" + address, Token: token, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := make(chan string, 1)
	stop, err := c.Subscribe("a", func(f []byte) { got <- string(f) })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	await(t, func() bool { return c.Publish("a", []byte("frame")) == nil })
	if f := <-got; f != "frame" {
		t.Errorf("got %q", f)
	}
	for _, u := range []string{"tls://" + address, "nats://" + address} {
		refused := make(chan error, 100)
		x, err := Connect(t.Context(), NATSConfig{URL: u, Token: token, Report: func(err error) {
			select {
			case refused <- err:
			default:
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		<-refused
		if err := x.Publish("a", []byte("frame")); err == nil {
			t.Errorf("%s: it is connected", u)
		}
		x.Close()
	}
}

// Only who knows the token comes in, subjects are those of the specification, and what is too
// long is refused.
func TestBroker(t *testing.T) {
	t.Parallel()
	b, err := broker.Start(broker.Config{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, opt := range [][]nats.Option{nil, {nats.Token("another token of the tests")}} {
		if c, err := nats.Connect(b.URL(), opt...); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("without the token: %v", err)
			c.Close()
		}
	}
	plain, err := nats.Connect(b.URL(), nats.Token(token))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if n := plain.MaxPayload(); n != MaxFrame {
		t.Errorf("payloads up to %d", n)
	}
	sub, err := plain.SubscribeSync("coffer." + hex.EncodeToString(charter[:]) + ".40636f6f7264696e61746f72")
	if err != nil {
		t.Fatal(err)
	}
	if err := plain.Flush(); err != nil {
		t.Fatal(err)
	}
	c, err := Connect(t.Context(), NATSConfig{URL: b.URL(), Token: token, Charter: charter})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Publish(Coordinator, []byte("frame")); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.NextMsgWithContext(limit(t)); err != nil || string(m.Data) != "frame" {
		t.Errorf("%v, %v", m, err)
	}
}

// A client with a wrong token, or before there is a broker, keeps trying; what it publishes is
// lost with an error.
func TestConnectBeforeBroker(t *testing.T) {
	t.Parallel()
	b, err := broker.Start(broker.Config{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	u := b.URL()
	b.Close()
	c, err := Connect(t.Context(), NATSConfig{URL: u, Token: token, Charter: charter})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := make(chan string, 1)
	stop, err := c.Subscribe("a", func(f []byte) { got <- string(f) })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := c.Publish("a", []byte("lost")); err == nil {
		t.Error("a frame without a broker isn't lost")
	}
	if b, err = broker.Start(broker.Config{Token: token, Port: portOf(t, u)}); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	await(t, func() bool { return c.Publish("a", []byte("frame")) == nil })
	select {
	case f := <-got:
		if f != "frame" {
			t.Errorf("got %q", f)
		}
	case <-limit(t).Done():
		t.Error("nothing comes")
	}
}

// A hostile broker can't make a client allocate what it announces.
func TestC16HostileBroker(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]string{
		"an endless message":  "MSG x 1 99999999999999\r\nabc",
		"a large message":     "MSG x 1 2200000000\r\nabc",
		"a message of 3 MiB":  "MSG x 1 3145728\r\nabc",
		"with headers":        "HMSG x 1 10 99999999999999\r\nabc",
		"a line without end":  strings.Repeat("A", maxLine+1),
		"an INFO without end": "INFO " + strings.Repeat(" ", maxLine),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close() //nolint:errcheck // the test is over
			accepted := make(chan struct{})
			go func() {
				defer close(accepted)
				for range 2 { // it comes again
					c, err := l.Accept()
					if err != nil {
						return
					}
					buf := make([]byte, 4096)
					fmt.Fprintf(c, "INFO {\"max_payload\":2097152}\r\n")
					for !bytes.Contains(buf, []byte("PING")) {
						if _, err := c.Read(buf); err != nil {
							break
						}
					}
					fmt.Fprintf(c, "PONG\r\n%s", says)
					for err == nil {
						_, err = c.Read(buf) // until the client is gone
					}
					_ = c.Close()
				}
			}()
			c, err := Connect(t.Context(), NATSConfig{URL: "nats://" + l.Addr().String(), Token: token})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			select {
			case <-accepted:
			case <-limit(t).Done():
				t.Error("the client stays connected")
			}
		})
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"INFO {}\r\nPING\r\n": true,
		"MSG a 1 5\r\nhello\r\nMSG a 1 reply 0\r\n\r\nPING\r\n": true,
		"msg\ta\t1\t3\r\nM\r\n\r\nPING\r\n":                     true,
		"HMSG a 1 2 4\r\nhhbb\r\n":                              true,
		"MSG a 1 5\r\nhello!\r\n":                               false,
		"MSG a 1 5\r\nhell\r\n\r\n":                             false,
		"MSG a 1 x\r\n":                                         false,
		"MSG a 1 -1\r\n":                                        false,
		"MSG a 1 +1\r\n":                                        false,
		"MSG a 1 5\r99999999999\n":                              false,
		"PING\n":                                                false,
		fmt.Sprintf("MSG a 1 %d\r\n", MaxFrame+maxLine):         true,
		fmt.Sprintf("MSG a 1 %d\r\n", MaxFrame+maxLine+1):       false,
	} {
		for _, step := range []int{1, 2, 3, len(text)} {
			c := &bounded{}
			var err error
			for b := []byte(text); len(b) > 0 && err == nil; {
				n := min(step, len(b))
				err = c.watch(b[:n])
				b = b[n:]
			}
			if (err == nil) != ok || err != nil && !errors.Is(err, errProtocol) {
				t.Errorf("%q in steps of %d: %v", text, step, err)
			}
		}
	}
}

func FuzzBounded(f *testing.F) {
	f.Add([]byte("MSG a 1 5\r\nhello\r\nPING\r\n"), 3)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		if at < 0 || at > len(b) {
			return
		}
		whole, parts := &bounded{}, &bounded{}
		err := whole.watch(b)
		other := parts.watch(b[:at])
		if other == nil {
			other = parts.watch(b[at:])
		}
		if (err == nil) != (other == nil) || err == nil && (whole.skip != parts.skip || !bytes.Equal(whole.line, parts.line)) {
			t.Errorf("%q cut at %d: %v, %v", b, at, err, other)
		}
		if len(whole.line) > maxLine || whole.skip > MaxFrame+maxLine+2 {
			t.Errorf("%q: a line of %d bytes, %d to skip", b, len(whole.line), whole.skip)
		}
	})
}
