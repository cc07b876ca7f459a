package tlschannel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/cofferhq/coffer/tss"
)

// TestDeadPeer shows that sending to a peer that is away, or that takes nothing,
// neither blocks nor collects without bound.
func TestDeadPeer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		make func(t *testing.T, s *site)
	}{
		{"isn't there", func(_ *testing.T, s *site) { _ = s.listener.Close() }},
		{"doesn't accept", func(*testing.T, *site) {}},
		{"accepts and reads nothing", func(t *testing.T, s *site) {
			t.Helper()
			go func() {
				conn, err := s.listener.Accept()
				if err != nil {
					return
				}
				<-t.Context().Done()
				_ = conn.Close()
			}()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, dead := newSite(t), newSite(t)
			tc.make(t, dead)
			c := s.open(t, dead.peer())
			to := []tss.IdentityKey{dead.identity.Public()}
			send := func(count, size int) {
				for range count {
					if err := c.Send(t.Context(), to, make([]byte, size)); err != nil {
						t.Fatal(err)
					}
				}
				s.reported(t, ErrQueue)
			}
			send(maxQueuedFrames+50, 200)
			send(8, tss.MaxMessage)
			l := c.links[to[0]]
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.bytes > maxQueuedBytes || len(l.queue) > maxQueuedFrames {
				t.Errorf("%d frames of %d bytes are queued", len(l.queue), l.bytes)
			}
			if last := l.queue[len(l.queue)-1]; len(last) != atMessage+tss.MaxMessage {
				t.Error("the newest message isn't queued")
			}
		})
	}
}

// TestReconnect shows that a peer gets what was queued for it while it was away.
func TestReconnect(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newSite(t)
	c := s.open(t, p.peer())
	to := []tss.IdentityKey{p.identity.Public()}
	message := func(n byte) []byte { return bytes.Repeat([]byte{n}, 200) }
	send := func(n byte) {
		t.Helper()
		if err := c.Send(t.Context(), to, message(n)); err != nil {
			t.Fatal(err)
		}
	}
	receive := func(from *Channel, n byte) {
		t.Helper()
		e, err := from.Receive(limit(t))
		if err != nil {
			t.Fatal(err)
		}
		if e.From != s.identity.Public() || !bytes.Equal(e.Message, message(n)) || !e.From.VerifyEnvelope(e.Message, e.Signature) {
			t.Errorf("received another message than %d", n)
		}
	}

	first := p.open(t, s.peer())
	send(1)
	receive(first, 1)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s.reported(t, nil) // the connection broke

	send(2)
	send(3)
	s.reported(t, nil) // it wasn't accepted again
	p.listener = listen(t, p.listener.Addr().String())
	second := p.open(t, s.peer())
	receive(second, 2)
	receive(second, 3)
	send(4)
	receive(second, 4)
}

func TestSend(t *testing.T) {
	t.Parallel()
	s, p, stranger := newSite(t), newSite(t), newSite(t)
	c := s.open(t, p.peer())
	if err := c.Send(t.Context(), []tss.IdentityKey{p.identity.Public()}, make([]byte, tss.MaxMessage+1)); !errors.Is(err, ErrFrame) {
		t.Errorf("long message: %v", err)
	}
	if err := c.Send(t.Context(), []tss.IdentityKey{p.identity.Public()}, make([]byte, 10)); err == nil {
		t.Error("a message without a header is sent")
	}
	if err := c.Send(t.Context(), []tss.IdentityKey{p.identity.Public(), stranger.identity.Public()}, make([]byte, 200)); !errors.Is(err, ErrPeer) {
		t.Errorf("stranger: %v", err)
	}
	if c.links[p.identity.Public()].first() != nil {
		t.Error("something was queued")
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newSite(t)
	c := s.open(t, p.peer())
	received := make(chan error, 1)
	go func() {
		_, err := c.Receive(limit(t))
		received <- err
	}()
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-received; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive: %v", err)
	}
	if err := c.Send(t.Context(), []tss.IdentityKey{p.identity.Public()}, make([]byte, 200)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send: %v", err)
	}
}

func TestReadFrame(t *testing.T) {
	t.Parallel()
	sig, message := bytes.Repeat([]byte{1}, 64), bytes.Repeat([]byte{2}, 300)
	f := newFrame(sig, message)
	gotSig, gotMessage, err := readFrame(bytes.NewReader(f))
	if err != nil || !bytes.Equal(gotSig, sig) || !bytes.Equal(gotMessage, message) {
		t.Errorf("%x, %x, %v", gotSig, gotMessage, err)
	}
	for n := range f {
		want := io.ErrUnexpectedEOF
		if n == 0 || n == lengthSize {
			want = io.EOF
		}
		if _, _, err := readFrame(bytes.NewReader(f[:n])); !errors.Is(err, want) {
			t.Errorf("%d bytes of a frame: %v, want %v", n, err, want)
		}
	}
}

// TestReadFrameMemory isn't parallel: it counts what is allocated.
func TestReadFrameMemory(t *testing.T) {
	for _, n := range []uint32{0, tss.MaxMessage + 1, 1<<32 - 1} {
		length := bytes.NewReader(binary.BigEndian.AppendUint32(nil, n))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 100 {
			length.Reset(binary.BigEndian.AppendUint32(nil, n))
			if _, _, err := readFrame(length); !errors.Is(err, ErrFrame) {
				t.Fatalf("length %d: %v", n, err)
			}
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 100_000 {
			t.Errorf("length %d: %d bytes allocated", n, got)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte(newFrame(make([]byte, 64), make([]byte, 130))))
	f.Fuzz(func(t *testing.T, b []byte) {
		sig, message, err := readFrame(bytes.NewReader(b))
		if err != nil {
			return
		}
		if out := newFrame(sig, message); !bytes.Equal(out, b[:len(out)]) {
			t.Errorf("%x reads and writes as %x", b, out)
		}
	})
}
