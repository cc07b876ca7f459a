package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/bus/broker"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/dkg"
	"github.com/cofferhq/coffer/tss/frost"
)

// between sees every frame on its way and says what is delivered.
type between = func(party string, frame []byte) [][]byte

// network is one broker, seen by the conformance suite.
type network struct {
	connect func(t testing.TB) Transport // a connection of one party
	restart func()                       // of the broker; nil where it can't
}

type opener func(t *testing.T, f between) *network

var transports = map[string]opener{"memory": openMemory, "NATS": openNATS}

func openMemory(_ *testing.T, f between) *network {
	m := NewMemory()
	if f != nil {
		m.Between(f)
	}
	return &network{connect: func(testing.TB) Transport { return m }}
}

const token = "a token of the tests"

var charter = sha256.Sum256([]byte("charter"))

func openNATS(t *testing.T, f between) *network {
	b, err := broker.Start(broker.Config{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	n := &network{}
	var mu sync.Mutex
	n.connect = func(t testing.TB) Transport {
		c, err := Connect(t.Context(), NATSConfig{URL: b.URL(), Token: token, Charter: charter})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		if f == nil {
			return c
		}
		return &wire{c, &mu, f}
	}
	t.Cleanup(func() { b.Close() })
	port := portOf(t, b.URL())
	n.restart = func() {
		b.Close()
		var err error
		if b, err = broker.Start(broker.Config{Token: token, Port: port}); err != nil {
			t.Error(err)
		}
	}
	return n
}

// wire gives a transport what Memory.Between gives Memory.
type wire struct {
	Transport
	mu *sync.Mutex
	f  between
}

func (w *wire) Publish(party string, frame []byte) error {
	w.mu.Lock()
	frames := w.f(party, frame)
	w.mu.Unlock()
	for _, b := range frames {
		if err := w.Transport.Publish(party, b); err != nil {
			return err
		}
	}
	return nil
}

// conformance runs f over every transport.
func conformance(t *testing.T, f func(t *testing.T, open opener)) {
	t.Helper()
	t.Parallel()
	for name, open := range transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, open)
		})
	}
}

// clock is the time of day, moved.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// site is what a party keeps over restarts.
type site struct {
	name     string
	key      hybrid.PrivateKey
	identity *tss.Identity
}

func newSite(tb testing.TB, name string, b byte) *site {
	tb.Helper()
	seed := bytes.Repeat([]byte{b}, hybrid.SeedSize)
	key, err := hybrid.NewPrivateKey(seed)
	if err != nil {
		tb.Fatal(err)
	}
	identity, err := tss.IdentityFromSeed(seed[:32])
	if err != nil {
		tb.Fatal(err)
	}
	return &site{name, key, identity}
}

// world is some parties who know each other, at one broker.
type world struct {
	*network
	clock clock
	sites map[string]*site

	mu    sync.Mutex
	peers map[string]hybrid.PublicKey
	errs  map[error]int // what Report heard, by sentinel
}

func newWorld(tb testing.TB, n *network, names ...string) *world {
	tb.Helper()
	w := &world{network: n, sites: make(map[string]*site), peers: make(map[string]hybrid.PublicKey), errs: make(map[error]int)}
	for i, name := range names {
		w.sites[name] = newSite(tb, name, byte(i+1))
		w.peers[name] = w.sites[name].key.Public()
	}
	return w
}

func (w *world) list() map[string]hybrid.PublicKey {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peers
}

// setPeer changes a peer's key; the zero key removes it.
func (w *world) setPeer(name string, k hybrid.PublicKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := maps.Clone(w.peers)
	next[name] = k
	if k.IsZero() {
		delete(next, name)
	}
	w.peers = next
}

func (w *world) report(_ string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range []error{
		ErrFrame, ErrPeer, ErrHandshake, ErrSession, ErrForged, ErrReplay, ErrMessage, ErrUnwanted, ErrFull, ErrTransport, ErrHandler,
	} {
		if errors.Is(err, s) {
			w.errs[s]++
		}
	}
}

func (w *world) reports(s error) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.errs[s]
}

func (w *world) config(tb testing.TB, name string) Config {
	tb.Helper()
	s := w.sites[name]
	return Config{
		Charter: charter, Name: name, Key: s.key, Identity: s.identity, Peers: w.list,
		Transport: w.connect(tb), Now: w.clock.now, Report: w.report,
	}
}

func start(tb testing.TB, cfg Config) *Endpoint {
	tb.Helper()
	e, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(e.Close)
	return e
}

func (w *world) start(tb testing.TB, name string) *Endpoint {
	tb.Helper()
	return start(tb, w.config(tb, name))
}

func echo(_ context.Context, from string, body []byte) ([]byte, error) {
	return append([]byte(from+":"), body...), nil
}

func limit(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	tb.Cleanup(cancel)
	return ctx
}

// calls makes one call to an echo and checks the answer.
func calls(tb testing.TB, from *Endpoint, to string) {
	tb.Helper()
	got, err := from.Call(limit(tb), to, "echo", []byte("hello"))
	if err != nil || string(got) != from.cfg.Name+":hello" {
		tb.Errorf("%s calls %s: %q, %v", from.cfg.Name, to, got, err)
	}
}

// noAnswer makes a call that must end with its context, or as not a peer.
func noAnswer(tb testing.TB, from *Endpoint, to string, until func() bool) {
	tb.Helper()
	ctx, cancel := context.WithCancel(limit(tb))
	done := make(chan error, 1)
	go func() {
		_, err := from.Call(ctx, to, "echo", nil)
		done <- err
	}()
	await(tb, until)
	cancel()
	if err := <-done; custody.CodeOf(err) != custody.Unavailable || !errors.Is(err, context.Canceled) {
		tb.Errorf("%s calls %s: %v, want no answer", from.cfg.Name, to, err)
	}
}

// await polls what other goroutines bring about.
func await(tb testing.TB, until func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	ctx := limit(tb)
	for !until() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Error("it doesn't come about")
			return
		}
	}
}

func TestCall(t *testing.T) {
	conformance(t, func(t *testing.T, open opener) {
		w := newWorld(t, open(t, nil), "a", "b", Coordinator)
		a, c := w.start(t, "a"), w.start(t, Coordinator)
		a.Handle("echo", echo)
		c.Handle("echo", echo)
		calls(t, c, "a")
		calls(t, a, Coordinator)
		if got, err := a.Call(t.Context(), Coordinator, "echo", nil); err != nil || string(got) != "a:" {
			t.Errorf("empty body: %q, %v", got, err)
		}
		for to, want := range map[string]custody.Code{"nobody": custody.NotFound, "a": custody.NotFound} {
			if _, err := a.Call(t.Context(), to, "echo", nil); custody.CodeOf(err) != want {
				t.Errorf("call to %s: %v", to, err)
			}
		}
		for _, topic := range []string{"", "tss", "Echo", "a b", strings.Repeat("a", 65)} {
			if _, err := a.Call(t.Context(), Coordinator, topic, nil); custody.CodeOf(err) != custody.Invalid {
				t.Errorf("topic %q: %v", topic, err)
			}
		}
	})
}

func TestConcurrentCalls(t *testing.T) {
	conformance(t, func(t *testing.T, open opener) {
		w := newWorld(t, open(t, nil), "a", "b")
		a, b := w.start(t, "a"), w.start(t, "b")
		a.Handle("echo", echo)
		b.Handle("echo", echo)
		ctx := limit(t)
		var wg sync.WaitGroup
		for i := range 200 {
			from, to := a, "b"
			if i%2 == 0 {
				from, to = b, "a"
			}
			wg.Go(func() {
				body := strconv.Itoa(i)
				if got, err := from.Call(ctx, to, "echo", []byte(body)); err != nil || string(got) != from.cfg.Name+":"+body {
					t.Errorf("call %d: %q, %v", i, got, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestErrors(t *testing.T) {
	conformance(t, func(t *testing.T, open opener) {
		w := newWorld(t, open(t, nil), "a", "b")
		a, b := w.start(t, "a"), w.start(t, "b")
		say := func(err error) {
			t.Helper()
			b.Handle("fail", func(context.Context, string, []byte) ([]byte, error) { return []byte("nothing"), err })
		}
		for code := custody.Internal; code <= custody.Unavailable; code++ {
			said := &custody.Error{Code: code, Field: "body.amount", Message: "is too large", Err: errors.New("a cause")}
			say(fmt.Errorf("wrapped: %w", said))
			got, err := a.Call(limit(t), "b", "fail", nil)
			e, ok := errors.AsType[*custody.Error](err)
			if !ok || e.Code != code || e.Field != said.Field || e.Message != said.Message || e.Err != nil || got != nil {
				t.Errorf("%s: %q, %#v", code, got, err)
			}
		}
		say(errors.New("a secret of the handler"))
		if _, err := a.Call(limit(t), "b", "fail", nil); custody.CodeOf(err) != custody.Internal || err.Error() != "internal" {
			t.Errorf("an error without a code: %v", err)
		}
		b.Handle("fail", func(context.Context, string, []byte) ([]byte, error) { panic("a defect") })
		if _, err := a.Call(limit(t), "b", "fail", nil); custody.CodeOf(err) != custody.Internal {
			t.Errorf("a panic: %v", err)
		}
		if n := w.reports(ErrHandler); n != 2 {
			t.Errorf("%d reports of handlers, not 2", n)
		}
		_, err := a.Call(limit(t), "b", "nothing", nil)
		if e, ok := errors.AsType[*custody.Error](err); !ok || e.Code != custody.NotFound || e.Field != "topic" {
			t.Errorf("no handler: %v", err)
		}
	})
}

func TestLargeBodies(t *testing.T) {
	conformance(t, func(t *testing.T, open opener) {
		w := newWorld(t, open(t, nil), "a", "b")
		a, b := w.start(t, "a"), w.start(t, "b")
		b.Handle("same", func(_ context.Context, _ string, body []byte) ([]byte, error) { return body, nil })
		b.Handle("more", func(_ context.Context, _ string, body []byte) ([]byte, error) { return append(body, 0), nil })
		body := bytes.Repeat([]byte("0123456789abcdef"), MaxBody/16)
		if got, err := a.Call(limit(t), "b", "same", body); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes: %v", len(got), err)
		}
		if _, err := a.Call(limit(t), "b", "same", append(body, 0)); custody.CodeOf(err) != custody.Invalid {
			t.Errorf("too long a call: %v", err)
		}
		if _, err := a.Call(limit(t), "b", "more", body); custody.CodeOf(err) != custody.Internal {
			t.Errorf("too long an answer: %v", err)
		}
		// What the message and the frame add fits.
		m := message{kind: kindCall, topic: strings.Repeat("t", maxTopic), body: body}
		if n := len(m.bytes()) + hybrid.Ed25519SignatureSize + tagSize + 2 + 1 + maxName + sessionSize + counterSize; n > MaxFrame {
			t.Errorf("a frame of %d bytes", n)
		}
		if err := a.cfg.Transport.Publish("b", make([]byte, MaxFrame+1)); !errors.Is(err, ErrFrame) {
			t.Errorf("too long a frame: %v", err)
		}
	})
}

// trio is three endpoints with a tss node each.
func trio(t *testing.T, w *world) []*tss.Node {
	t.Helper()
	var nodes []*tss.Node
	for _, name := range []string{"a", "b", "c"} {
		e := w.start(t, name)
		n, err := tss.NewNode(tss.Config{
			Identity: w.sites[name].identity, Channel: e.Channel(), Log: tss.NewMemoryLog(),
			Now: func() int64 { return w.clock.now().Unix() },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(n.Close)
		nodes = append(nodes, n)
	}
	return nodes
}

// together runs f at all nodes and returns what it returned, and fails where one fails.
func together[T any](t *testing.T, nodes []*tss.Node, f func(i int, n *tss.Node) (T, error)) []T {
	t.Helper()
	out := make([]T, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			var err error
			if out[i], err = f(i, n); err != nil {
				t.Errorf("node %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return out
}

// keygenAndSign makes a 2-of-3 key and signs with it at the first two nodes.
func keygenAndSign(t *testing.T, w *world, nodes []*tss.Node) {
	t.Helper()
	ctx := limit(t)
	p := &tss.Proposal{
		Protocol: tss.ProtocolDKG, Suite: tss.SuiteEd25519, Target: 1, Threshold: 2, Attempt: 1,
		Expiry: w.clock.now().Unix() + 120, Initiator: 1,
	}
	for i, n := range nodes {
		p.Parties = append(p.Parties, tss.Party{ID: uint16(i + 1), Owner: n.Identity()})
	}
	shares := together(t, nodes, func(_ int, n *tss.Node) (*tss.KeyShare, error) {
		s, err := n.Join(ctx, p, nil)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		share, _, err := dkg.Run(ctx, s, nil)
		return share, err
	})
	k := &shares[0].Key
	r := frost.Request{Message: []byte("pay")}
	q := &tss.Proposal{
		Protocol: tss.ProtocolFROST, Suite: k.Suite, KeyID: k.ID, Epoch: k.Epoch, Source: k.T, Threshold: 2,
		Parties: k.Parties, Signers: []uint16{1, 2}, Request: r.Digest(k.Suite), Expiry: p.Expiry, Initiator: 1,
	}
	signatures := together(t, nodes[:2], func(i int, n *tss.Node) ([]byte, error) {
		s, err := n.Join(ctx, q, shares[i])
		if err != nil {
			return nil, err
		}
		defer s.Close()
		return frost.Sign(ctx, s, r)
	})
	public, err := frost.PublicKey(k, r)
	if err != nil || !frost.Verify(k.Suite, public, r.Message, signatures[0]) || !bytes.Equal(signatures[0], signatures[1]) {
		t.Errorf("the signature doesn't verify: %v", err)
	}
}

func TestThresholdProtocols(t *testing.T) {
	conformance(t, func(t *testing.T, open opener) {
		w := newWorld(t, open(t, nil), "a", "b", "c", Coordinator)
		nodes := trio(t, w)
		keygenAndSign(t, w, nodes)
	})
}

func TestChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, openMemory(t, nil), "a", "b", Coordinator)
	a, b := w.start(t, "a"), w.start(t, "b")
	cfg := w.config(t, Coordinator)
	cfg.Identity = nil
	c := start(t, cfg)
	m := bytes.Repeat([]byte{1}, 200)
	to := func(s string) []tss.IdentityKey { return []tss.IdentityKey{w.sites[s].identity.Public()} }
	if err := a.Channel().Send(t.Context(), to("b"), m); err != nil {
		t.Fatal(err)
	}
	got, err := b.Channel().Receive(limit(t))
	if err != nil || got.From != a.cfg.Identity.Public() || !bytes.Equal(got.Message, m) || !got.From.VerifyEnvelope(got.Message, got.Signature) {
		t.Errorf("%v, %v", got, err)
	}
	for name, c := range map[string]struct {
		e    *Endpoint
		to   []tss.IdentityKey
		m    []byte
		want custody.Code
	}{
		"to nobody":        {a, []tss.IdentityKey{{1}}, m, custody.NotFound},
		"to itself":        {a, to("a"), m, custody.NotFound},
		"too long":         {a, to("b"), make([]byte, MaxBody+1), custody.Invalid},
		"without identity": {c, to("b"), m, custody.Invalid},
	} {
		if err := c.e.Channel().Send(t.Context(), c.to, c.m); custody.CodeOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := a.Channel().Send(t.Context(), to("b"), m[:10]); err == nil {
		t.Error("a message without a header is sent")
	}
	// A party without threshold protocols takes no messages of them.
	if err := a.Channel().Send(t.Context(), to(Coordinator), m); err != nil {
		t.Error(err)
	}
	await(t, func() bool { return w.reports(ErrUnwanted) > 0 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Channel().Receive(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a second message or %v", err)
	}
	b.Close()
	if _, err := b.Channel().Receive(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Receive: %v", err)
	}
	if err := b.Channel().Send(t.Context(), to("a"), m); !errors.Is(err, ErrClosed) {
		t.Errorf("Send: %v", err)
	}
}

// A party that restarts has no sessions; the other one finds out and both talk on.
func TestRestart(t *testing.T) {
	conformance(t, func(t *testing.T, open opener) {
		w := newWorld(t, open(t, nil), "a", "b")
		a, b := w.start(t, "a"), w.start(t, "b")
		b.Handle("echo", echo)
		calls(t, a, "b")
		for range 3 {
			b.Close()
			b = w.start(t, "b")
			b.Handle("echo", echo)
			calls(t, a, "b")
		}
		a.Close()
		a = w.start(t, "a")
		a.Handle("echo", echo)
		calls(t, b, "a")
	})
}

// Without hints, as where the broker swallows them, a session is given up all the same.
func TestRestartWithoutHints(t *testing.T) {
	t.Parallel()
	w := newWorld(t, openMemory(t, func(_ string, f []byte) [][]byte {
		if f[1] == typeUnknown {
			return nil
		}
		return [][]byte{f}
	}), "a", "b")
	a, b := w.start(t, "a"), w.start(t, "b")
	b.Handle("echo", echo)
	calls(t, a, "b")
	b.Close()
	b = w.start(t, "b")
	b.Handle("echo", echo)
	calls(t, a, "b")
}

func (e *Endpoint) newest(name string) sessionID {
	p := e.lookup(name)
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(p.sessions) == 0 {
		return sessionID{}
	}
	return p.sessions[len(p.sessions)-1].id
}

func TestRekey(t *testing.T) {
	conformance(t, func(t *testing.T, open opener) {
		w := newWorld(t, open(t, nil), "a", "b")
		a, b := w.start(t, "a"), w.start(t, "b")
		b.Handle("echo", echo)
		calls(t, a, "b")
		first := a.newest("b")
		w.clock.advance(59 * time.Minute)
		calls(t, a, "b")
		if a.newest("b") != first {
			t.Error("another session before the hour is over")
		}
		w.clock.advance(time.Minute)
		p := b.lookup("a")
		b.mu.Lock()
		s, _ := b.find(p, first, w.clock.now())
		b.mu.Unlock()
		if s == nil || s.sends(w.clock.now()) {
			t.Error("after an hour a session is received under, not sent under")
		}
		calls(t, a, "b")
		second := a.newest("b")
		if second == first {
			t.Error("no other session after an hour")
		}
		w.clock.advance(2 * time.Minute)
		b.mu.Lock()
		if s, _ := b.find(p, first, w.clock.now()); s != nil {
			t.Error("a session is received under for longer than 2 minutes")
		}
		b.mu.Unlock()

		pa := a.lookup("b")
		a.mu.Lock()
		pa.sessions[len(pa.sessions)-1].sent.Store(maxCounter - 1)
		a.mu.Unlock()
		for range 3 {
			calls(t, a, "b")
		}
		if a.newest("b") == second {
			t.Error("no other session after 2^32 frames")
		}
		if n := w.reports(ErrSession); n != 0 {
			t.Errorf("%d frames were sent or sealed under a session that was over", n)
		}
	})
}

// Both begin at once, again and again; both sessions work.
func TestBothBegin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, openMemory(t, nil), "a", "b")
	a, b := w.start(t, "a"), w.start(t, "b")
	a.Handle("echo", echo)
	b.Handle("echo", echo)
	for range 5 {
		var wg sync.WaitGroup
		wg.Go(func() { calls(t, a, "b") })
		wg.Go(func() { calls(t, b, "a") })
		wg.Wait()
		w.clock.advance(time.Hour)
	}
}

func TestPeers(t *testing.T) {
	conformance(t, func(t *testing.T, open opener) {
		w := newWorld(t, open(t, nil), "a", "b", "x")
		a, b := w.start(t, "a"), w.start(t, "b")
		b.Handle("echo", echo)
		calls(t, a, "b")

		// x knows b, but b doesn't know x.
		x := w.config(t, "x")
		all := w.list()
		x.Peers = func() map[string]hybrid.PublicKey { return all }
		stranger := start(t, x)
		w.setPeer("x", hybrid.PublicKey{})
		noAnswer(t, stranger, "b", func() bool { return w.reports(ErrPeer) > 0 })
		b.mu.Lock()
		if len(b.peers) != 1 {
			t.Errorf("b keeps %d peers", len(b.peers))
		}
		b.mu.Unlock()

		// A peer that goes is forgotten, also by what waits for it.
		b.Handle("wait", func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
			w.setPeer("b", hybrid.PublicKey{})
			<-ctx.Done()
			return nil, ctx.Err()
		})
		done := make(chan error, 1)
		go func() {
			_, err := a.Call(limit(t), "b", "wait", nil)
			done <- err
		}()
		await(t, func() bool { return a.lookup("b") == nil })
		if err := <-done; !errors.Is(err, ErrPeer) {
			t.Errorf("the call that waits: %v", err)
		}
		a.mu.Lock()
		if len(a.peers) != 0 {
			t.Errorf("a keeps %d peers", len(a.peers))
		}
		a.mu.Unlock()
		w.setPeer("b", w.sites["b"].key.Public())
		calls(t, a, "b")
	})
}

func TestWrongCharter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, openMemory(t, nil), "a", "b")
	cfg := w.config(t, "a")
	cfg.Charter = [32]byte{1}
	a, b := start(t, cfg), w.start(t, "b")
	b.Handle("echo", func(context.Context, string, []byte) ([]byte, error) {
		t.Error("a call of another charter runs")
		return nil, nil
	})
	noAnswer(t, a, "b", func() bool { return w.reports(ErrForged) > 0 })
	if b.newest("a") != (sessionID{}) {
		t.Error("there is a session")
	}
}

// Somebody with another key takes a party's name, as the one who calls and as the one called.
func TestC5C21WrongIdentity(t *testing.T) {
	conformance(t, func(t *testing.T, open opener) {
		var finished atomic.Int64
		w := newWorld(t, open(t, func(_ string, f []byte) [][]byte {
			if f[1] == typeFinish || f[1] == typeData {
				finished.Add(1)
			}
			return [][]byte{f}
		}), "a", "b")
		mallory := newSite(t, "b", 9)
		other := newSite(t, "a", 8).key

		for name, k := range map[string]hybrid.PrivateKey{
			"another key": mallory.key, "half of the key": halfKey(t, 2, 9), "the other half": halfKey(t, 9, 2),
		} {
			cfg := w.config(t, "b")
			cfg.Key, cfg.Identity = k, nil
			x := start(t, cfg)
			x.Handle("echo", func(context.Context, string, []byte) ([]byte, error) {
				t.Errorf("%s: it was called", name)
				return nil, nil
			})
			cfg = w.config(t, "a")
			a := start(t, cfg)
			a.Handle("echo", func(context.Context, string, []byte) ([]byte, error) {
				t.Errorf("%s: it called", name)
				return nil, nil
			})
			before := w.reports(ErrForged)
			noAnswer(t, a, "b", func() bool { return w.reports(ErrForged) > before })
			before = w.reports(ErrForged)
			noAnswer(t, x, "a", func() bool { return w.reports(ErrForged) > before })
			a.Close()
			x.Close()
		}
		// The responder that does know the key it is called by: it has a key of its own for a.
		b := w.start(t, "b")
		cfg := w.config(t, "a")
		cfg.Key, cfg.Identity = other, nil
		a := start(t, cfg)
		before := w.reports(ErrForged)
		noAnswer(t, a, "b", func() bool { return w.reports(ErrForged) > before })
		if n := finished.Load(); n != 0 {
			t.Errorf("%d frames that finish a handshake or hold data were sent", n)
		}
		_ = b
	})
}

// halfKey is a key whose halves come from two sites' seeds.
func halfKey(tb testing.TB, ed, ml byte) hybrid.PrivateKey {
	tb.Helper()
	k, err := hybrid.NewPrivateKey(append(bytes.Repeat([]byte{ed}, 32), bytes.Repeat([]byte{ml}, 32)...))
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// faults loses, repeats, holds back and alters frames with probability p each.
func faults(seed uint64, p float64) between {
	r := rand.New(rand.NewPCG(seed, 0))
	held := make(map[string][][]byte)
	return func(party string, f []byte) [][]byte {
		out := [][]byte{f}
		if r.Float64() < p {
			out = append(out, f)
		}
		if r.Float64() < p {
			out = nil
		}
		if r.Float64() < p && len(f) > 0 {
			g := slices.Clone(f)
			g[r.IntN(len(g))] ^= 1 << r.IntN(8)
			out = append(out, g)
		}
		if r.Float64() < p {
			held[party] = append(held[party], out...)
			return nil
		}
		out = append(out, held[party]...) // what was held back comes after what was sent later
		delete(held, party)
		return out
	}
}

func TestC18Faults(t *testing.T) {
	conformance(t, func(t *testing.T, open opener) {
		for i, p := range []float64{0.01, 0.05, 0.1} {
			t.Run(fmt.Sprint(p), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, open(t, faults(uint64(i), p)), "a", "b", "c", Coordinator)
				nodes := trio(t, w)
				d := w.start(t, Coordinator)
				var ran sync.Map
				d.Handle("once", func(ctx context.Context, from string, body []byte) ([]byte, error) {
					if _, again := ran.LoadOrStore(string(body), true); again {
						t.Errorf("%s ran twice", body)
					}
					return echo(ctx, from, body)
				})
				w.setPeer("d", newSite(t, "d", 7).key.Public())
				w.sites["d"] = newSite(t, "d", 7)
				caller := w.start(t, "d")
				ctx := limit(t)
				var wg sync.WaitGroup
				for j := range 40 {
					wg.Go(func() {
						body := strconv.Itoa(j)
						if got, err := caller.Call(ctx, Coordinator, "once", []byte(body)); err != nil || string(got) != "d:"+body {
							t.Errorf("call %d: %q, %v", j, got, err)
						}
					})
				}
				keygenAndSign(t, w, nodes)
				wg.Wait()
			})
		}
	})
}

func TestC19BrokerRestarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, openNATS(t, nil), "a", "b")
	a, b := w.start(t, "a"), w.start(t, "b")
	b.Handle("echo", echo)
	calls(t, a, "b")
	for range 2 {
		running, release := make(chan bool), make(chan bool)
		ran := 0
		b.Handle("slow", func(context.Context, string, []byte) ([]byte, error) {
			ran++
			running <- true
			<-release
			return nil, nil
		})
		done := make(chan error, 1)
		go func() {
			_, err := a.Call(limit(t), "b", "slow", nil)
			done <- err
		}()
		<-running
		w.restart()
		close(release)
		if err := <-done; err != nil || ran != 1 {
			t.Fatalf("a call across the restart: ran %d times, %v", ran, err)
		}
		calls(t, a, "b")
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, openMemory(t, nil), "a", "b")
	for field, spoil := range map[string]func(*Config){
		"name":      func(c *Config) { c.Name = "@other" },
		"key":       func(c *Config) { c.Key = hybrid.PrivateKey{} },
		"identity":  func(c *Config) { c.Identity = w.sites["b"].identity },
		"peers":     func(c *Config) { c.Peers = nil },
		"transport": func(c *Config) { c.Transport = nil },
		"now":       func(c *Config) { c.Now = nil },
	} {
		cfg := w.config(t, "a")
		spoil(&cfg)
		_, err := New(cfg)
		if e, ok := errors.AsType[*custody.Error](err); !ok || e.Code != custody.Invalid || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t, openMemory(t, nil), "a", "b")
	a, b := w.start(t, "a"), w.start(t, "b")
	running := make(chan bool)
	b.Handle("wait", func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		running <- true
		<-ctx.Done()
		return nil, ctx.Err()
	})
	done := make(chan error, 1)
	go func() {
		_, err := a.Call(limit(t), "b", "wait", nil)
		done <- err
	}()
	<-running
	b.Close()
	b.Close()
	a.Close()
	if err := <-done; custody.CodeOf(err) != custody.Unavailable || !errors.Is(err, ErrClosed) {
		t.Errorf("a call that waits: %v", err)
	}
	if _, err := a.Call(t.Context(), "b", "wait", nil); custody.CodeOf(err) != custody.Unavailable {
		t.Errorf("a call after it: %v", err)
	}
}

// A call whose context has a deadline ends with it, and can be told from one that was refused.
func TestDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, openMemory(t, nil), "a", "b")
	a := w.start(t, "a")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := a.Call(ctx, "b", "echo", nil)
	if custody.CodeOf(err) != custody.Unavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
