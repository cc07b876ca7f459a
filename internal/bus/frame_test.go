package bus

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
)

// layouts is one frame of each type, with bytes that tell the fields apart.
func layouts() map[uint8][]byte {
	fill := func(b []byte, sizes ...int) []byte {
		for i, n := range sizes {
			b = append(b, bytes.Repeat([]byte{byte(i + 1)}, n)...)
		}
		return b
	}
	head := func(kind uint8) []byte { return appendHead(nil, kind, "node-1") }
	return map[uint8][]byte{
		typeHello:   fill(head(typeHello), 32, 8, 1216, 2484),
		typeWelcome: fill(head(typeWelcome), 32, 32, 8, 1216, 1120, 2484),
		typeFinish:  fill(head(typeFinish), 16, 1120, 2484),
		typeData:    fill(head(typeData), 16, 8, 100),
		typeUnknown: fill(head(typeUnknown), 16),
	}
}

func TestParseFrame(t *testing.T) {
	t.Parallel()
	for kind, b := range layouts() {
		f, err := parseFrame(b)
		if err != nil || f.kind != kind || f.from != "node-1" || !bytes.Equal(slices.Concat(f.body, f.last), b) {
			t.Errorf("type %d: %v", kind, err)
		}
		for name, bad := range map[string][]byte{
			"version": append([]byte{2}, b[1:]...),
			"short":   b[:len(b)-1],
			"long":    append(slices.Clone(b), 0),
			"name":    slices.Concat(b[:2], []byte{0}, b[9:]),
			"too big": append(slices.Clone(b), make([]byte, MaxFrame)...),
		} {
			if kind == typeData && (name == "short" || name == "long") {
				continue // of any length
			}
			if _, err := parseFrame(bad); !errors.Is(err, ErrFrame) {
				t.Errorf("type %d, %s: %v", kind, name, err)
			}
		}
		for n := range 9 {
			if _, err := parseFrame(b[:n]); !errors.Is(err, ErrFrame) {
				t.Errorf("type %d, %d bytes: %v", kind, n, err)
			}
		}
	}
	long := append(appendHead(nil, typeUnknown, strings.Repeat("a", maxName+1)), make([]byte, sessionSize)...)
	if _, err := parseFrame(long); !errors.Is(err, ErrFrame) {
		t.Errorf("a long name: %v", err)
	}
}

func FuzzFrame(f *testing.F) {
	for _, b := range layouts() {
		f.Add(b)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := parseFrame(b)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Error(err)
			}
			return
		}
		out := appendHead(nil, x.kind, x.from)
		switch x.kind {
		case typeHello:
			out = append(binary.BigEndian.AppendUint64(append(out, x.nonce[:]...), x.time), x.ek...)
		case typeWelcome:
			out = append(append(out, x.digest[:]...), x.nonce[:]...)
			out = append(append(binary.BigEndian.AppendUint64(out, x.time), x.ek...), x.enc...)
		case typeFinish:
			out = append(append(out, x.session[:]...), x.enc...)
		case typeData:
			out = binary.BigEndian.AppendUint64(append(out, x.session[:]...), x.counter)
		case typeUnknown:
			out = append(out, x.session[:]...)
		}
		if out = append(out, x.last...); !bytes.Equal(out, b) {
			t.Errorf("%x reads and writes as %x", b, out)
		}
	})
}

func TestParseMessage(t *testing.T) {
	t.Parallel()
	for _, m := range []message{
		{kind: kindCall, id: callID{1}, time: 2, topic: "a/b.c-d_9", body: []byte("x")},
		{kind: kindAnswer, topic: "a"},
		{kind: kindError, topic: "a", body: []byte{0, 0, 0}},
		{kind: kindNotice, topic: topicTSS, body: make([]byte, MaxBody)},
		{kind: kindAck},
		{kind: kindAck, id: callID{1}, topic: topicTSS},
	} {
		b := m.bytes()
		got, err := parseMessage(b)
		if err != nil || got.kind != m.kind || got.id != m.id || got.time != m.time || got.topic != m.topic || !bytes.Equal(got.body, m.body) {
			t.Errorf("kind %d: %v", m.kind, err)
		}
		if len(b) > 100 {
			continue
		}
		for n := range b {
			if _, err := parseMessage(b[:n]); !errors.Is(err, ErrMessage) {
				t.Errorf("kind %d, %d bytes: %v", m.kind, n, err)
			}
		}
		if _, err := parseMessage(append(b, 0)); !errors.Is(err, ErrMessage) {
			t.Errorf("kind %d, a byte more: %v", m.kind, err)
		}
	}
	for _, m := range []message{
		{kind: 0, topic: "a"},
		{kind: 6, topic: "a"},
		{kind: kindCall},
		{kind: kindCall, topic: topicTSS},
		{kind: kindCall, topic: "A"},
		{kind: kindNotice, topic: "a"},
		{kind: kindAck, topic: "a", body: []byte("x")},
		{kind: kindAck, id: callID{1}},
		{kind: kindCall, topic: "a", body: make([]byte, MaxBody+1)},
	} {
		if _, err := parseMessage(m.bytes()); !errors.Is(err, ErrMessage) {
			t.Errorf("kind %d with topic %q: %v", m.kind, m.topic, err)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, m := range []message{{kind: kindCall, topic: "a", body: []byte("x")}, {kind: kindNotice, topic: topicTSS}, {kind: kindAck}} {
		f.Add(m.bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseMessage(b); err == nil && !bytes.Equal(m.bytes(), b) {
			t.Errorf("%x reads and writes as %x", b, m.bytes())
		}
	})
}

// The numbers are on the wire: they don't follow the order in package custody.
func TestErrorCodes(t *testing.T) {
	t.Parallel()
	for n, name := range []string{
		"internal", "invalid", "unauthenticated", "forbidden", "denied", "not_found", "conflict", "exhausted", "unavailable",
	} {
		b := encodeError(&custody.Error{Code: codes[n], Field: "f", Message: "m"})
		if codes[n].String() != name || !bytes.Equal(b, []byte{byte(n), 0, 1, 'f', 'm'}) {
			t.Errorf("%d: %s, %x", n, codes[n], b)
		}
	}
	if c := custody.CodeOf(parseError([]byte{99, 0, 0})); c != custody.Internal {
		t.Errorf("an unknown number: %s", c)
	}
	long := &custody.Error{Code: custody.Denied, Field: strings.Repeat("f", 1000), Message: "\xff" + strings.Repeat("é", 4000)}
	got, ok := errors.AsType[*custody.Error](parseError(encodeError(long)))
	if !ok || got.Code != custody.Denied || len(got.Field) != maxField || len(got.Message) < maxText-3 || len(got.Message) > maxText {
		t.Errorf("a long error: %v", got)
	}
}

func FuzzError(f *testing.F) {
	f.Add([]byte{5, 0, 5, 't', 'o', 'p', 'i', 'c', 'x'})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := errors.AsType[*custody.Error](parseError(b))
		if !ok || len(e.Field) > maxField || len(e.Message) > maxText || e.Message == "" {
			t.Errorf("%#v", e)
		}
	})
}

func TestWindow(t *testing.T) {
	t.Parallel()
	var w window
	for _, c := range []struct {
		n    uint64
		want bool
	}{
		{0, true},
		{0, false},
		{2, true},
		{1, true},
		{1, false},
		{2, false},
		{windowSize + 1, true},
		{2, false},
		{3, true},
		{1, false},
		{0, false},
		{10 * windowSize, true},
		{9 * windowSize, false},
		{9*windowSize + 1, true},
		{10 * windowSize, false},
		{10*windowSize - 1, true},
		{maxCounter - 1, true},
		{maxCounter - 1, false},
		{maxCounter - windowSize, true},
	} {
		if got := w.mark(c.n); got != c.want {
			t.Errorf("counter %d: %v", c.n, got)
		}
	}
	// All of a window in any order, each once.
	var v window
	for step := range uint64(2) {
		for i := range uint64(windowSize) {
			if got := v.mark(i * 1021 % windowSize); got != (step == 0) {
				t.Fatalf("counter %d: %v", i*1021%windowSize, got)
			}
		}
	}
}

// The layouts and digests of the specification, byte by byte.
func TestSpecification(t *testing.T) {
	t.Parallel()
	if got, want := tagged("x", []byte("ab"), nil), "coffer/bus/v1/x\x00\x00\x00\x00\x00\x00\x00\x00\x02ab\x00\x00\x00\x00\x00\x00\x00\x00"; string(got) != want {
		t.Errorf("tagged: %q", got)
	}
	if sum("x") != sha256.Sum256([]byte("coffer/bus/v1/x\x00")) {
		t.Error("sum")
	}
	m := message{kind: kindCall, id: callID{15: 7}, time: 258, topic: "a", body: []byte("b")}
	want := "\x01" + strings.Repeat("\x00", 15) + "\x07" + "\x00\x00\x00\x00\x00\x00\x01\x02" + "\x01a" + "\x00\x00\x00\x01b"
	if string(m.bytes()) != want {
		t.Errorf("message: %q", m.bytes())
	}
	for kind, size := range map[uint8]int{typeHello: 3740, typeWelcome: 4892, typeFinish: 3620, typeUnknown: 16} {
		if got := len(layouts()[kind]) - len(appendHead(nil, kind, "node-1")); got != size {
			t.Errorf("type %d has %d bytes after the head, not %d", kind, got, size)
		}
	}
}
