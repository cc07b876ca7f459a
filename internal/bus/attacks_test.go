package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/tss"
)

// recorder keeps every frame that passes.
type recorder struct {
	mu     sync.Mutex
	frames []recorded
}

type recorded struct {
	to    string
	frame []byte
}

func (r *recorder) between(party string, f []byte) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = append(r.frames, recorded{party, slices.Clone(f)})
	return [][]byte{f}
}

func (r *recorder) all() []recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.frames)
}

// of returns the first frame of a type.
func (r *recorder) of(t *testing.T, kind uint8) recorded {
	t.Helper()
	for _, f := range r.all() {
		if f.frame[1] == kind {
			return f
		}
	}
	t.Fatalf("no frame of type %d was recorded", kind)
	return recorded{}
}

// record is a and b after calls both ways, a message of tss each way and a hint, so that every type
// of frame and kind of message was sent. ran counts the calls that ran at them.
func record(t *testing.T, open opener) (w *world, r *recorder, a, b *Endpoint, ran *atomic.Int64) {
	t.Helper()
	r, ran = &recorder{}, &atomic.Int64{}
	w = newWorld(t, open(t, r.between), "a", "b")
	serve := func(e *Endpoint) {
		e.Handle("echo", func(ctx context.Context, from string, body []byte) ([]byte, error) {
			ran.Add(1)
			return echo(ctx, from, body)
		})
	}
	a, b = w.start(t, "a"), w.start(t, "b")
	serve(b)
	calls(t, a, "b")
	b.Close()
	b = w.start(t, "b")
	serve(a)
	serve(b)
	calls(t, a, "b") // b sent a hint
	calls(t, b, "a")
	if _, err := a.Call(t.Context(), "b", "nothing", nil); custody.CodeOf(err) != custody.NotFound {
		t.Fatal(err)
	}
	m := bytes.Repeat([]byte{1}, 200)
	for from, to := range map[*Endpoint]*Endpoint{a: b, b: a} {
		if err := from.Channel().Send(t.Context(), []tss.IdentityKey{to.cfg.Identity.Public()}, m); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Channel().Receive(limit(t)); err != nil {
			t.Fatal(err)
		}
	}
	await(t, func() bool { return a.idle("b") && b.idle("a") })
	return w, r, a, b, ran
}

func (e *Endpoint) idle(name string) bool {
	p := e.lookup(name)
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(p.waiting) == 0 && p.running == 0 && p.begun == nil
}

// quiet reports that nothing waits in the inbox.
func (e *Endpoint) quiet() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.inbox) == 0
}

func TestC17Replay(t *testing.T) {
	conformance(t, func(t *testing.T, open opener) {
		w, r, a, b, ran := record(t, open)
		before := ran.Load()
		frames := r.all()
		replay := func(when string, to map[string]*Endpoint) {
			t.Helper()
			session := map[string]sessionID{"a": to["a"].newest("b"), "b": to["b"].newest("a")}
			for _, f := range frames {
				for _, e := range to { // whoever it was for
					e.receive(slices.Clone(f.frame))
				}
			}
			if n := ran.Load(); n != before {
				t.Errorf("%s: %d calls ran again", when, n-before)
			}
			if !to["a"].quiet() || !to["b"].quiet() {
				t.Errorf("%s: a message is delivered again", when)
			}
			if to["a"].newest("b") != session["a"] || to["b"].newest("a") != session["b"] {
				t.Errorf("%s: there is another session", when)
			}
		}
		replay("at once", map[string]*Endpoint{"a": a, "b": b})
		calls(t, a, "b")
		before++

		// In another session.
		w.clock.advance(time.Hour)
		calls(t, a, "b")
		before++
		replay("in a later session", map[string]*Endpoint{"a": a, "b": b})

		// After a restart of both, now and later: nobody has a session.
		for _, d := range []time.Duration{-time.Hour, 0, 31 * time.Minute, 365 * 24 * time.Hour} {
			w.clock.advance(d)
			a.Close()
			b.Close()
			a, b = w.start(t, "a"), w.start(t, "b")
			for _, e := range []*Endpoint{a, b} {
				e.Handle("echo", func(ctx context.Context, from string, body []byte) ([]byte, error) {
					ran.Add(1)
					return echo(ctx, from, body)
				})
			}
			replay(fmt.Sprintf("%v after restarts", d), map[string]*Endpoint{"a": a, "b": b})
		}
		calls(t, a, "b")
		calls(t, b, "a")
	})
}

// A data frame that came before is refused as such, before anything in it is looked at.
func TestC17DataFrames(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	w := newWorld(t, openMemory(t, rec.between), "a", "b")
	a, b := w.start(t, "a"), w.start(t, "b")
	b.Handle("echo", echo)
	calls(t, a, "b")
	await(t, func() bool { return a.idle("b") && b.idle("a") })
	frames := rec.all()
	for _, f := range frames {
		if f.frame[1] != typeData {
			continue
		}
		before := w.reports(ErrReplay)
		map[string]*Endpoint{"a": a, "b": b}[f.to].receive(f.frame)
		if w.reports(ErrReplay) != before+1 {
			t.Errorf("a data frame to %s isn't refused with %v", f.to, ErrReplay)
		}
	}
	if n := len(rec.all()); n != len(frames) {
		t.Errorf("%d frames answer it", n-len(frames))
	}
}

// The broker keeps back a repetition of a call and delivers it later than anybody waits.
func TestC17HeldBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var held [][]byte // frames of a call to b, but the first
		var hold, swallow atomic.Bool
		first := true
		w := newWorld(t, openMemory(t, func(to string, f []byte) [][]byte {
			switch {
			case f[1] != typeData || !hold.Load():
			case to == "a" && swallow.Load(): // the answer is lost, so a repeats the call
				return nil
			case to == "b" && first:
				first = false
			case to == "b":
				held = append(held, slices.Clone(f))
				if len(held) == 3 {
					swallow.Store(false)
					return [][]byte{f}
				}
				return nil
			}
			return [][]byte{f}
		}), "a", "b")
		a, b := w.start(t, "a"), w.start(t, "b")
		defer a.Close()
		defer b.Close()
		ran := 0
		b.Handle("echo", func(ctx context.Context, from string, body []byte) ([]byte, error) {
			ran++
			return echo(ctx, from, body)
		})
		calls(t, a, "b")
		hold.Store(true)
		swallow.Store(true)
		calls(t, a, "b")
		synctest.Wait()
		if ran != 2 || len(held) < 3 {
			t.Fatalf("%d calls ran, %d frames are held back", ran, len(held))
		}
		hold.Store(false)
		for i, late := range []time.Duration{time.Minute, 6 * time.Minute} { // known; too old
			before := w.reports(ErrMessage)
			time.Sleep(late)
			b.receive(held[i])
			synctest.Wait()
			if ran != 2 {
				t.Errorf("the call ran again after %v", late)
			}
			if got := w.reports(ErrMessage) - before; got != i {
				t.Errorf("after %v: %d refusals for the time, not %d", late, got, i)
			}
		}
	})
}

// mutants calls f with altered versions of a frame: every byte flipped once, and n random
// alterations.
func mutants(r *rand.Rand, frame []byte, n int, f func([]byte)) {
	for i := range frame {
		if len(frame) > 1000 && i > 100 && i%37 != 0 && n < 1000 { // in short tests
			continue
		}
		g := slices.Clone(frame)
		g[i] ^= 1 << r.IntN(8)
		f(g)
	}
	for range n {
		g := slices.Clone(frame)
		switch r.IntN(5) {
		case 0:
			g = g[:r.IntN(len(g))]
		case 1:
			g = append(g, make([]byte, 1+r.IntN(2000))...)
		case 2: // all but the head
			for i := 4; i < len(g); i++ {
				g[i] = byte(r.Uint32())
			}
		case 3: // another type
			g[1] = byte(r.IntN(7))
		default:
			for range 1 + r.IntN(8) {
				g[r.IntN(len(g))] = byte(r.Uint32())
			}
		}
		if !bytes.Equal(g, frame) {
			f(g)
		}
	}
}

func TestC16Garbage(t *testing.T) {
	conformance(t, func(t *testing.T, open opener) {
		w, rec, a, b, ran := record(t, open)
		n := 20_000
		if testing.Short() {
			n = 500
		}
		frames := make([]recorded, 0, 6)
		for kind := uint8(typeHello); kind <= typeUnknown; kind++ {
			frames = append(frames, rec.of(t, kind))
		}
		to := map[string]*Endpoint{"a": a, "b": b}
		before := ran.Load()
		a.inboxOf(t, 0)

		// Calls run all the time.
		stop := make(chan struct{})
		var wg sync.WaitGroup
		var made atomic.Int64
		for _, c := range []struct {
			from *Endpoint
			to   string
		}{{a, "b"}, {b, "a"}} {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						calls(t, c.from, c.to)
						made.Add(1)
					}
					if t.Failed() {
						return
					}
				}
			})
		}
		inputs := 0
		r := rand.New(rand.NewPCG(16, 0))
		send := func(party string, g []byte) {
			inputs++
			to[party].receive(g)
			if inputs%100 == 0 { // the way there too
				if err := a.cfg.Transport.Publish(party, g); err != nil && !errors.Is(err, ErrFrame) {
					t.Error(err)
				}
			}
		}
		for _, f := range frames {
			mutants(r, f.frame, n, func(g []byte) { send(f.to, g) })
		}
		for _, g := range [][]byte{
			nil,
			{},
			{0},
			{1},
			[]byte("{}"), []byte("null"), []byte(strings.Repeat("[", 10_000)),
			make([]byte, MaxFrame), make([]byte, 100<<20), bytes.Repeat([]byte{0xff}, 5000),
		} {
			send("a", g)
			send("b", g)
		}
		close(stop)
		wg.Wait()
		if got := ran.Load() - before; got != made.Load() {
			t.Errorf("%d calls ran, %d were made", got, made.Load())
		}
		if !a.quiet() || !b.quiet() {
			t.Error("a message of tss came out of garbage")
		}
		await(t, func() bool { return a.idle("b") && b.idle("a") })
		for _, e := range to {
			e.bounded(t)
		}
		if !testing.Short() && inputs < 100_000 {
			t.Errorf("%d inputs only", inputs)
		}
		if w.reports(ErrForged) == 0 || w.reports(ErrFrame) == 0 || w.reports(ErrPeer) == 0 {
			t.Error("an expected kind of refusal is missing")
		}
	})
}

// TestC16Memory isn't parallel: it measures the heap.
func TestC16Memory(t *testing.T) {
	_, rec, a, b, _ := record(t, openMemory)
	to := map[string]*Endpoint{"a": a, "b": b}
	var heap runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&heap)
	start := heap.HeapAlloc
	r := rand.New(rand.NewPCG(16, 1))
	for kind := uint8(typeHello); kind <= typeUnknown; kind++ {
		f := rec.of(t, kind)
		mutants(r, f.frame, 500, to[f.to].receive)
	}
	for range 100 {
		g := slices.Clone(rec.of(t, typeData).frame)
		to["b"].receive(append(g, make([]byte, 1<<20)...))
	}
	runtime.GC()
	runtime.ReadMemStats(&heap)
	if heap.HeapAlloc > start+1<<20 {
		t.Errorf("%d bytes more are in use", heap.HeapAlloc-start)
	}
}

// inboxOf fails unless n messages wait.
func (e *Endpoint) inboxOf(tb testing.TB, n int) {
	tb.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.inbox) != n {
		tb.Errorf("%d messages in the inbox, not %d", len(e.inbox), n)
	}
}

// bounded holds what an endpoint keeps against the specification.
func (e *Endpoint) bounded(tb testing.TB) {
	tb.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.peers {
		if len(p.sessions) > maxSessions || len(p.accepted) > maxAccepted || len(p.nonces) > maxNonces ||
			len(p.served) > maxServed || len(p.order) != len(p.served) || p.answerBytes > maxAnswerBytes ||
			p.running > maxRunning || p.runningBytes > maxRunningBytes || p.inboxCount > maxInbox || p.inboxBytes > maxInboxBytes {
			tb.Errorf("%s keeps too much of %s", e.cfg.Name, p.name)
		}
	}
}

// linked is two endpoints with a session.
func linked(t *testing.T) (w *world, a, b *Endpoint, pa, pb *peer, s *session) {
	t.Helper()
	w = newWorld(t, openMemory(t, nil), "a", "b")
	a, b = w.start(t, "a"), w.start(t, "b")
	a.Handle("echo", echo)
	b.Handle("echo", echo)
	calls(t, a, "b")
	pa, pb = a.lookup("b"), b.lookup("a")
	s, _ = b.current(pb)
	return w, a, b, pa, pb, s
}

// What one peer may send in place of another kind: every kind of message, at every kind of
// thing that waits.
func TestC13Kinds(t *testing.T) {
	t.Parallel()
	w, a, b, pa, pb, s := linked(t)
	m := bytes.Repeat([]byte{1}, 200)
	envelope, err := b.cfg.Identity.SignEnvelope(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, waits := range []uint8{kindCall, kindNotice} {
		for kind := range uint8(8) {
			for _, topic := range []string{"other", "wanted", topicTSS, ""} {
				id := callID{waits, kind, byte(len(topic)), 1}
				wait := &waiting{kind: waits, topic: "wanted", done: make(chan message, 1)}
				if waits == kindNotice {
					wait.topic = topicTSS
				}
				a.mu.Lock()
				pa.waiting[id] = wait
				a.mu.Unlock()
				var body, signature []byte
				if kind == kindError {
					body = encodeError(&custody.Error{Code: custody.Denied})
				}
				if kind == kindNotice {
					body, signature = m, envelope
				}
				sent := &message{kind: kind, id: id, time: millis(w.clock.now()), topic: topic, body: body}
				f, err := b.pack(pb, s, sent, signature)
				if err != nil {
					t.Fatal(err)
				}
				a.receive(f)
				ended := len(wait.done) == 1
				want := waits == kindCall && topic == "wanted" && (kind == kindAnswer || kind == kindError) ||
					waits == kindNotice && topic == topicTSS && kind == kindAck
				if ended != want {
					t.Errorf("kind %d with topic %q ends what waits as kind %d: %v", kind, topic, waits, ended)
				}
				a.mu.Lock()
				delete(pa.waiting, id)
				a.mu.Unlock()
			}
		}
	}
	// One notice for each kind of thing that waits came in under topic tss, and nothing else.
	a.inboxOf(t, 2)
}

// An answer counts from the peer that was called, and from nobody else.
func TestC13AnotherPeer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, openMemory(t, nil), "a", "b", "c")
	a, b, c := w.start(t, "a"), w.start(t, "b"), w.start(t, "c")
	a.Handle("echo", echo)
	calls(t, c, "a")
	id := make(chan message, 1)
	go func() {
		p := a.lookup("b")
		await(t, func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			for i, w := range p.waiting {
				id <- message{kind: kindAnswer, id: i, topic: w.topic, body: []byte("from c")}
				return true
			}
			return false
		})
	}()
	b.Handle("echo", func(_ context.Context, _ string, _ []byte) ([]byte, error) {
		before := w.reports(ErrUnwanted)
		m := <-id
		p := c.lookup("a")
		s, _ := c.current(p)
		c.sendNow(p, s, &m)
		await(t, func() bool { return w.reports(ErrUnwanted) > before })
		return []byte("from b"), nil
	})
	if got, err := a.Call(limit(t), "b", "echo", nil); err != nil || string(got) != "from b" {
		t.Errorf("%q, %v", got, err)
	}
}

// Every part that a message's signature binds: made for another, it doesn't hold.
func TestC13Signatures(t *testing.T) {
	t.Parallel()
	w, a, b, _, pb, s := linked(t)
	call := message{kind: kindCall, id: callID{1}, time: millis(w.clock.now()), topic: "echo", body: []byte("pay")}
	m := call.bytes()
	good := b.signedMessage("b", "a", s.id, m)
	other := &Endpoint{cfg: b.cfg}
	other.cfg.Charter = [32]byte{1}
	wrong := map[string][]byte{
		"another charter":  other.signedMessage("b", "a", s.id, m),
		"another sender":   b.signedMessage("c", "a", s.id, m),
		"another receiver": b.signedMessage("b", "c", s.id, m),
		"swapped":          b.signedMessage("a", "b", s.id, m),
		"another session":  b.signedMessage("b", "a", sessionID{1}, m),
		"no tag":           m,
		"tag of a hello":   tagged("hello", m),
	}
	for name, change := range map[string]func(*message){
		"another kind":  func(m *message) { m.kind = kindAnswer },
		"another id":    func(m *message) { m.id[0]++ },
		"another time":  func(m *message) { m.time++ },
		"another topic": func(m *message) { m.topic = "echa" },
		"another body":  func(m *message) { m.body = []byte("don't pay") },
	} {
		c := call
		change(&c)
		wrong[name] = b.signedMessage("b", "a", s.id, c.bytes())
	}
	p := a.lookup("b")
	sessionA, _ := a.find(p, s.id, w.clock.now())
	open := func(signature, m []byte) error {
		_, _, err := a.unpack(p, sessionA, append(slices.Clone(signature), m...))
		return err
	}
	sign := func(b2 *Endpoint, text []byte) []byte {
		t.Helper()
		x, err := b2.cfg.Key.SignHalf(hybrid.Ed25519, text)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if err := open(sign(b, good), m); err != nil {
		t.Fatal(err)
	}
	for name, text := range wrong {
		if err := open(sign(b, text), m); !errors.Is(err, ErrForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := open(sign(a, good), m); !errors.Is(err, ErrForged) {
		t.Errorf("another key: %v", err)
	}
	// A message of tss under this package's signature, and this package's under that of tss.
	notice := message{kind: kindNotice, topic: topicTSS, body: bytes.Repeat([]byte{1}, 200)}
	encoded := notice.bytes()
	if err := open(sign(b, b.signedMessage("b", "a", s.id, encoded)), encoded); !errors.Is(err, ErrForged) {
		t.Errorf("a notice signed as a call: %v", err)
	}
	long := call
	long.body = bytes.Repeat([]byte{1}, 200)
	envelope, err := b.cfg.Identity.SignEnvelope(long.body)
	if err != nil {
		t.Fatal(err)
	}
	if err := open(envelope, long.bytes()); !errors.Is(err, ErrForged) {
		t.Errorf("a call signed as a notice: %v", err)
	}
	// A frame sent back to its sender, under its own name and under the other's.
	f, err := b.pack(pb, s, &call, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := [2]int{w.reports(ErrPeer), w.reports(ErrForged)}
	b.receive(f)
	g := slices.Clone(f)
	g[3] = 'a'
	b.receive(g)
	if got := [2]int{w.reports(ErrPeer), w.reports(ErrForged)}; got != [2]int{before[0] + 1, before[1] + 1} {
		t.Errorf("a reflected frame: reports %v after %v", got, before)
	}
}

// The frames of a handshake are bound to their place, their time and each other.
func TestHandshakeChecks(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	w := newWorld(t, openMemory(t, rec.between), "a", "b")
	a := w.start(t, "a")
	b := w.start(t, "b")
	b.Handle("echo", echo)
	calls(t, a, "b")
	hello, welcome, finish := rec.of(t, typeHello).frame, rec.of(t, typeWelcome).frame, rec.of(t, typeFinish).frame
	refused := func(what string, e *Endpoint, f []byte, want error) {
		t.Helper()
		before, sent := w.reports(want), len(rec.all())
		e.receive(f)
		if w.reports(want) != before+1 {
			t.Errorf("%s isn't refused with %v", what, want)
		}
		if n := len(rec.all()); n != sent {
			t.Errorf("%s is answered", what)
		}
	}
	refused("a hello that came before", b, hello, ErrHandshake)
	refused("a welcome that nobody waits for", a, welcome, ErrHandshake)
	other := slices.Clone(finish)
	other[len(other)-1] ^= 1
	refused("another finish of a session", b, other, ErrForged)
	sent := len(rec.all())
	b.receive(finish) // the ack was lost
	if n := len(rec.all()); n != sent+1 || rec.all()[sent].frame[1] != typeData {
		t.Error("a repeated finish isn't acked")
	}

	p := a.lookup("b")
	for _, c := range []struct {
		ahead time.Duration
		want  error
	}{{-3 * time.Minute, ErrHandshake}, {3 * time.Minute, ErrHandshake}} {
		w.clock.advance(c.ahead)
		f, err := a.hello(p, &begun{})
		w.clock.advance(-c.ahead)
		if err != nil {
			t.Fatal(err)
		}
		refused(fmt.Sprintf("a hello %v ahead", c.ahead), b, f, c.want)
	}
	// Beyond the bounds of handshakes.
	q := b.lookup("a")
	b.mu.Lock()
	for i := range maxNonces {
		q.nonces[sha256.Sum256([]byte{byte(i), byte(i >> 8)})] = w.clock.now().Add(time.Minute).UnixMilli()
	}
	b.mu.Unlock()
	f, err := a.hello(p, &begun{})
	if err != nil {
		t.Fatal(err)
	}
	refused("one hello too many", b, f, ErrFull)
	w.clock.advance(61 * time.Second)
	b.receive(f)
	b.mu.Lock()
	if len(q.nonces) != 2 { // this one's, and that of the first session
		t.Errorf("%d nonces are remembered", len(q.nonces))
	}
	b.mu.Unlock()
	for range 2 * maxAccepted {
		if f, err = a.hello(p, &begun{}); err != nil {
			t.Fatal(err)
		}
		b.receive(f)
	}
	b.bounded(t)
}

// Welcome and finish need both halves of their signer's signature, while they are awaited.
func TestC21HandshakeSignatures(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	w := newWorld(t, openMemory(t, func(party string, f []byte) [][]byte {
		rec.between(party, f)
		return nil // the test delivers
	}), "a", "b")
	a, b := w.start(t, "a"), w.start(t, "b")
	pa := a.lookup("b")
	h := &begun{wake: make(chan struct{}, 1)}
	h.ctx, h.cancel = context.WithCancel(t.Context())
	hello, err := a.hello(pa, h)
	if err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	pa.begun = h
	a.mu.Unlock()

	forged := func(what string, e *Endpoint, f []byte) {
		t.Helper()
		for _, at := range []int{len(f) - hybrid.SignatureSize, len(f) - hybrid.SignatureSize + hybrid.Ed25519SignatureSize, len(f) - 100} {
			g := slices.Clone(f)
			g[at] ^= 1
			before, sent := w.reports(ErrForged), len(rec.all())
			e.receive(g)
			if w.reports(ErrForged) != before+1 || len(rec.all()) != sent {
				t.Errorf("%s whose byte %d is altered isn't refused", what, at)
			}
		}
	}
	forged("a hello", b, hello)
	b.receive(hello)
	welcome := rec.of(t, typeWelcome).frame
	forged("a welcome", a, welcome)
	if h.finish != nil {
		t.Fatal("a forged welcome is finished")
	}
	a.receive(welcome)
	if h.finish == nil {
		t.Fatal("the welcome isn't finished")
	}
	forged("a finish", b, h.finish)
	if b.newest("a") != (sessionID{}) {
		t.Fatal("a forged finish makes a session")
	}
	b.receive(h.finish)
	if a.newest("b") != (sessionID{}) {
		t.Error("the initiator sends before it has heard of the responder's keys")
	}
	a.receive(rec.of(t, typeData).frame)
	if id := a.newest("b"); id == (sessionID{}) || id != b.newest("a") {
		t.Error("there is no session")
	}
}

// A forged hint begins at most one handshake a second, and none for a session not in use.
func TestHints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // a slow handshake would say its hello twice
		var hellos atomic.Int64
		w := newWorld(t, openMemory(t, func(_ string, f []byte) [][]byte {
			if f[1] == typeHello {
				hellos.Add(1)
			}
			return [][]byte{f}
		}), "a", "b")
		fixed := w.clock.now()
		cfg := w.config(t, "a")
		cfg.Now = func() time.Time { return fixed }
		a, b := start(t, cfg), w.start(t, "b")
		defer a.Close()
		b.Handle("echo", echo)
		calls(t, a, "b")
		hint := func(id sessionID) []byte { return append(appendHead(nil, typeUnknown, "b"), id[:]...) }
		a.receive(hint(sessionID{1}))
		if n := hellos.Load(); n != 1 {
			t.Fatalf("%d hellos, not 1", n)
		}
		first := a.newest("b")
		for range 100 {
			a.receive(hint(a.newest("b")))
			calls(t, a, "b")
		}
		await(t, func() bool { return a.newest("b") != first })
		for range 100 {
			a.receive(hint(a.newest("b")))
		}
		await(t, func() bool { return a.idle("b") })
		if n := hellos.Load(); n != 2 {
			t.Errorf("%d hellos, not 2", n)
		}
		// And the one who hints does so at most every half second.
		before := w.reports(ErrSession)
		cfg = w.config(t, "b")
		cfg.Now = func() time.Time { return fixed }
		b.Close()
		sent := 0
		cfg.Transport = counting{cfg.Transport, &sent}
		b = start(t, cfg)
		defer b.Close()
		f := append(appendHead(nil, typeData, "a"), make([]byte, sessionSize+counterSize+tagSize)...)
		for range 100 {
			b.receive(f)
		}
		if got := w.reports(ErrSession) - before; got != 100 || sent != 1 {
			t.Errorf("%d frames refused, %d hints", got, sent)
		}
	})
}

// counting counts what is published.
type counting struct {
	Transport
	n *int
}

func (c counting) Publish(party string, f []byte) error {
	*c.n++
	return c.Transport.Publish(party, f)
}

// More calls than may run wait; more messages than the inbox holds wait.
func TestBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, openMemory(t, nil), "a", "b")
		a, b := w.start(t, "a"), w.start(t, "b")
		defer a.Close()
		defer b.Close()
		var now, most, ran atomic.Int64
		b.Handle("work", func(context.Context, string, []byte) ([]byte, error) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			ran.Add(1)
			return make([]byte, 1<<20), nil
		})
		var wg sync.WaitGroup
		for range 2 * maxRunning {
			wg.Go(func() {
				if _, err := a.Call(limit(t), "b", "work", nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most.Load() != maxRunning || ran.Load() != 2*maxRunning {
			t.Errorf("%d calls at once, %d in all", most.Load(), ran.Load())
		}
		b.bounded(t)
		m := bytes.Repeat([]byte{1}, 64<<10)
		to := []tss.IdentityKey{b.cfg.Identity.Public()}
		for range 100 {
			if err := a.Channel().Send(t.Context(), to, m); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		b.bounded(t)
		b.inboxOf(t, maxInboxBytes/len(m))
		for range 100 {
			if _, err := b.Channel().Receive(limit(t)); err != nil {
				t.Fatal(err)
			}
		}
		p := a.lookup("b")
		a.mu.Lock()
		p.calls = maxCalls
		a.mu.Unlock()
		if _, err := a.Call(t.Context(), "b", "work", nil); custody.CodeOf(err) != custody.Exhausted {
			t.Errorf("one call too many: %v", err)
		}
		// Ids are forgotten once nobody can use them.
		time.Sleep(callLife + maxSkew)
		q := b.lookup("a")
		b.mu.Lock()
		if _, _, err := b.admit(q, &message{time: millis(w.clock.now())}, w.clock.now()); err != nil || len(q.served)+len(q.order)+len(q.answers)+q.answerBytes != 0 {
			t.Errorf("%d ids, %d answers, %d bytes are kept: %v", len(q.served), len(q.answers), q.answerBytes, err)
		}
		b.mu.Unlock()
	})
}

// Sessions and ids of calls are bounded too; beyond, the oldest session goes, and no call runs.
func TestBoundsOfPeer(t *testing.T) {
	t.Parallel()
	w, a, b, pa, pb, _ := linked(t)
	for range 2 * maxSessions {
		last := a.newest("b")
		s, _ := a.current(pa)
		a.renew(pa, s)
		await(t, func() bool { return a.newest("b") != last })
		calls(t, a, "b")
	}
	a.bounded(t)
	b.bounded(t)

	b.mu.Lock()
	for i := len(pb.served); i < maxServed; i++ {
		pb.remember(callID{1, byte(i), byte(i >> 8), byte(i >> 16)}, &served{until: w.clock.now().Add(time.Minute)})
	}
	b.mu.Unlock()
	m := message{kind: kindCall, id: callID{2}, topic: "echo", time: millis(w.clock.now())}
	if err := b.serve(pb, &m, w.clock.now()); !errors.Is(err, ErrFull) {
		t.Errorf("one call too many: %v", err)
	}
}

// An answer that isn't kept any more is unavailable, and the call doesn't run again.
func TestAnswerNotKept(t *testing.T) {
	t.Parallel()
	w, _, b, _, pb, _ := linked(t)
	ran := 0
	b.Handle("big", func(context.Context, string, []byte) ([]byte, error) {
		ran++
		return make([]byte, MaxBody), nil
	})
	m := message{kind: kindCall, topic: "big", time: millis(w.clock.now())}
	for i := range maxAnswerBytes/MaxBody + 2 {
		m.id = callID{9, byte(i)}
		call := m
		if err := b.serve(pb, &call, w.clock.now()); err != nil {
			t.Fatal(err)
		}
		await(t, func() bool { return b.idle("a") })
	}
	runs := ran
	m.id = callID{9, 0}
	if err := b.serve(pb, &m, w.clock.now()); err != nil || ran != runs {
		t.Errorf("ran %d times, not %d: %v", ran, runs, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := parseError(pb.served[m.id].answer.body); custody.CodeOf(err) != custody.Unavailable {
		t.Errorf("the answer: %v", err)
	}
}
