package bus

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/tss"
)

// Bounds of a session (docs/spec/10-bus.md §3).
const (
	sessionLife  = time.Hour
	sessionGrace = 2 * time.Minute
	maxCounter   = 1 << 32
	maxSessions  = 4
)

// session holds the keys of both directions between two parties.
type session struct {
	id         sessionID
	made       time.Time
	send, open cipher.AEAD
	finish     digest        // of the frame that ended its handshake
	sent       atomic.Uint64 // counters taken
	seen       window
}

func newSession(id sessionID, made time.Time, sendKey, openKey []byte) (*session, error) {
	send, err := newGCM(sendKey)
	if err != nil {
		return nil, err
	}
	open, err := newGCM(openKey)
	if err != nil {
		return nil, err
	}
	return &session{id: id, made: made, send: send, open: open}, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("bus: session key: %w", err)
	}
	return cipher.NewGCM(block)
}

// sends reports whether the session may still be sent under.
func (s *session) sends(now time.Time) bool {
	return s.younger(now, sessionLife) && s.sent.Load() < maxCounter
}

// receives reports whether the session may still be received under.
func (s *session) receives(now time.Time) bool { return s.younger(now, sessionLife+sessionGrace) }

// younger also counts a session as old whose time is far ahead: the clock was set back.
func (s *session) younger(now time.Time, d time.Duration) bool {
	age := now.Sub(s.made)
	return age >= -maxSkew && age < d
}

func gcmNonce(counter uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 4, 12), counter)
}

// seal makes a data frame; ok is false where the counters are used up.
func (s *session) seal(from string, plaintext []byte) (frame []byte, ok bool) {
	counter := s.sent.Add(1) - 1
	if counter >= maxCounter {
		return nil, false
	}
	head := appendHead(make([]byte, 0, 2+1+len(from)+sessionSize+counterSize+len(plaintext)+tagSize), typeData, from)
	head = append(head, s.id[:]...)
	head = binary.BigEndian.AppendUint64(head, counter)
	return s.send.Seal(head, gcmNonce(counter), plaintext, head), true
}

// unseal opens a data frame and marks its counter as seen. Calls come one at a time.
func (s *session) unseal(f *frame) ([]byte, error) {
	if f.counter >= maxCounter {
		return nil, fmt.Errorf("%w: counter %d", ErrFrame, f.counter)
	}
	plaintext, err := s.open.Open(nil, gcmNonce(f.counter), f.last, f.body)
	if err != nil {
		return nil, ErrForged
	}
	if !s.seen.mark(f.counter) {
		return nil, ErrReplay
	}
	return plaintext, nil
}

// window remembers which of the last windowSize counters were seen.
type window struct {
	next uint64 // above all seen
	bits [windowSize / 64]uint64
}

const windowSize = 2048

// mark reports whether counter n is new, and remembers it.
func (w *window) mark(n uint64) bool {
	if n+windowSize < w.next {
		return false
	}
	if n >= w.next {
		if n-w.next >= windowSize {
			clear(w.bits[:])
		} else {
			for i := w.next; i <= n; i++ {
				w.bits[i%windowSize/64] &^= 1 << (i % 64)
			}
		}
		w.next = n + 1
	}
	word, bit := &w.bits[n%windowSize/64], uint64(1)<<(n%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// signedMessage is what the signature of a message covers; not that of a notice.
func (e *Endpoint) signedMessage(from, to string, session sessionID, m []byte) []byte {
	b := append([]byte(domain+"message\x00"), e.cfg.Charter[:]...)
	b = appendShort(appendShort(b, from), to)
	b = append(b, session[:]...)
	return append(b, m...)
}

// pack signs a message and seals it. signature is that of a notice, nil for the rest.
func (e *Endpoint) pack(p *peer, s *session, m *message, signature []byte) ([]byte, error) {
	encoded := m.bytes()
	if signature == nil {
		var err error
		if signature, err = e.cfg.Key.SignHalf(hybrid.Ed25519, e.signedMessage(e.cfg.Name, p.name, s.id, encoded)); err != nil {
			return nil, err
		}
	}
	f, ok := s.seal(e.cfg.Name, append(signature[:len(signature):len(signature)], encoded...))
	if !ok {
		return nil, fmt.Errorf("%w: its counters are used up", ErrSession)
	}
	return f, nil
}

// unpack verifies the signature of an opened frame, then reads the message.
func (e *Endpoint) unpack(p *peer, s *session, plaintext []byte) (m message, signature []byte, err error) {
	const size = hybrid.Ed25519SignatureSize
	if len(plaintext) <= size {
		return message{}, nil, fmt.Errorf("%w: %w", ErrMessage, errShort)
	}
	signature, encoded := plaintext[:size], plaintext[size:]
	if encoded[0] != kindNotice {
		if p.key.VerifyHalf(hybrid.Ed25519, e.signedMessage(p.name, e.cfg.Name, s.id, encoded), signature) != nil {
			return message{}, nil, ErrForged
		}
		m, err = parseMessage(encoded)
		return m, signature, err
	}
	// The envelope signature covers the body alone, so the layout around it, which the
	// session authenticates, is taken apart first.
	if m, err = parseMessage(encoded); err != nil {
		return message{}, nil, err
	}
	if !tss.IdentityKey(p.key.Ed25519()).VerifyEnvelope(m.body, signature) {
		return message{}, nil, ErrForged
	}
	return m, signature, nil
}
