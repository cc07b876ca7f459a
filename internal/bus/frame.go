package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/internal/hybrid"
)

// MaxFrame is the longest frame that a transport carries, in bytes.
const MaxFrame = 2 << 20

// MaxBody is the longest body of a call, an answer or a tss message, in bytes.
const MaxBody = 1<<20 + 512<<10

const version = 1

// Types of frames (docs/spec/10-bus.md §1).
const (
	typeHello   = 1
	typeWelcome = 2
	typeFinish  = 3
	typeData    = 4
	typeUnknown = 5
)

// Sizes in bytes. Those of the KEM are draft-ietf-hpke-pq's for MLKEM768-X25519.
const (
	nonceSize   = 32
	timeSize    = 8
	kemKeySize  = 1216
	kemEncSize  = 1120
	sessionSize = 16
	counterSize = 8
	tagSize     = 16
	maxName     = 63
)

type sessionID [sessionSize]byte

// frame is a parsed frame. Its slices are parts of raw; a type has the fields that its
// layout has.
type frame struct {
	kind    uint8
	from    string
	raw     []byte
	body    []byte // raw without what comes last: the signature, or the ciphertext
	digest  digest // of the hello
	nonce   [nonceSize]byte
	time    uint64
	ek, enc []byte
	session sessionID
	counter uint64
	last    []byte // the signature, or the ciphertext
}

// parseFrame splits a frame by its type's layout. The error is [ErrFrame].
func parseFrame(b []byte) (frame, error) {
	if len(b) > MaxFrame {
		return frame{}, fmt.Errorf("%w: %d bytes, at most %d", ErrFrame, len(b), MaxFrame)
	}
	r := reader{rest: b}
	if v := r.u8(); v != version && r.err == nil {
		return frame{}, fmt.Errorf("%w: version %d", ErrFrame, v)
	}
	f := frame{kind: r.u8(), raw: b}
	f.from = string(r.short())
	switch f.kind {
	case typeHello:
		copy(f.nonce[:], r.take(nonceSize))
		f.time = r.u64()
		f.ek = r.take(kemKeySize)
		f.last = r.take(hybrid.SignatureSize)
	case typeWelcome:
		copy(f.digest[:], r.take(len(f.digest)))
		copy(f.nonce[:], r.take(nonceSize))
		f.time = r.u64()
		f.ek = r.take(kemKeySize)
		f.enc = r.take(kemEncSize)
		f.last = r.take(hybrid.SignatureSize)
	case typeFinish:
		copy(f.session[:], r.take(sessionSize))
		f.enc = r.take(kemEncSize)
		f.last = r.take(hybrid.SignatureSize)
	case typeData:
		copy(f.session[:], r.take(sessionSize))
		f.counter = r.u64()
		f.last = r.take(max(len(r.rest), tagSize))
	case typeUnknown:
		copy(f.session[:], r.take(sessionSize))
	default:
		return frame{}, fmt.Errorf("%w: type %d", ErrFrame, f.kind)
	}
	if err := r.close(); err != nil {
		return frame{}, fmt.Errorf("%w: type %d: %w", ErrFrame, f.kind, err)
	}
	if f.from == "" || len(f.from) > maxName {
		return frame{}, fmt.Errorf("%w: a name of %d bytes", ErrFrame, len(f.from))
	}
	f.body = b[:len(b)-len(f.last)]
	return f, nil
}

// appendHead begins a frame.
func appendHead(b []byte, kind uint8, from string) []byte {
	return appendShort(append(b, version, kind), from)
}

func appendShort(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

// reader takes a layout apart. Its first error stays; everything read after it is empty.
type reader struct {
	rest []byte
	err  error
}

var (
	errShort = errors.New("cut short")
	errLong  = errors.New("bytes left over")
)

func (r *reader) take(n int) []byte {
	if r.err != nil || len(r.rest) < n {
		r.err, r.rest = errShort, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// short reads sp(s).
func (r *reader) short() []byte { return r.take(int(r.u8())) }

func (r *reader) close() error {
	if r.err == nil && len(r.rest) > 0 {
		r.err = errLong
	}
	return r.err
}

// Kinds of messages (docs/spec/10-bus.md §5).
const (
	kindCall   = 1
	kindAnswer = 2
	kindError  = 3
	kindNotice = 4
	kindAck    = 5
)

// topicTSS is the topic of all notices, and of nothing else.
const topicTSS = "tss"

type callID [16]byte

// message is what a data frame holds inside.
type message struct {
	kind  uint8
	id    callID
	time  uint64 // milliseconds since 1970, when the call was first sent
	topic string
	body  []byte
}

// bytes is the layout without the signature.
func (m *message) bytes() []byte {
	b := append(make([]byte, 0, 1+len(m.id)+timeSize+1+len(m.topic)+4+len(m.body)), m.kind)
	b = append(b, m.id[:]...)
	b = binary.BigEndian.AppendUint64(b, m.time)
	b = appendShort(b, m.topic)
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.body)))
	return append(b, m.body...)
}

// parseMessage reads what bytes writes and nothing else. The error is [ErrMessage].
func parseMessage(b []byte) (message, error) {
	r := reader{rest: b}
	m := message{kind: r.u8()}
	copy(m.id[:], r.take(len(m.id)))
	m.time = r.u64()
	m.topic = string(r.short())
	n := r.u32()
	if r.err == nil && uint64(n) != uint64(len(r.rest)) {
		r.err = errShort
	}
	m.body = r.take(len(r.rest))
	if err := r.close(); err != nil {
		return message{}, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	ok := false
	switch m.kind {
	case kindCall, kindAnswer, kindError:
		ok = validTopic(m.topic)
	case kindNotice:
		ok = m.topic == topicTSS
	case kindAck:
		ok = len(m.body) == 0 && (m.topic == topicTSS || validTopic(m.topic) || m.topic == "" && m.id == callID{})
	}
	if !ok || len(m.body) > MaxBody {
		return message{}, fmt.Errorf("%w: kind %d with topic %.64q and %d bytes", ErrMessage, m.kind, m.topic, len(m.body))
	}
	return m, nil
}

const maxTopic = 64

// validTopic reports whether calls can have this topic.
func validTopic(s string) bool {
	return s != "" && len(s) <= maxTopic && s != topicTSS && !slices.ContainsFunc([]byte(s), func(c byte) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' && c != '/'
	})
}
