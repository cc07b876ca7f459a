package bus

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// domain begins every tag of this package.
const domain = "coffer/bus/v1/"

// Bounds of handshakes (docs/spec/10-bus.md §2, §4).
const (
	handshakeTime = 10 * time.Second // of one's own
	acceptTime    = 30 * time.Second // of the peer's
	maxAccepted   = 8
	nonceLife     = 2 * maxSkew
	maxNonces     = 1024
	hintPause     = 500 * time.Millisecond // between hints sent
	hintedPause   = time.Second            // between hints taken
	firstPause    = 250 * time.Millisecond // before a frame is repeated
	longestPause  = 2 * time.Second
)

type digest = [sha256.Size]byte

// begun is a handshake of which this party is the initiator. Endpoint.mu guards what comes
// after wake.
type begun struct {
	wake    chan struct{} // there is another frame to send
	ctx     context.Context
	cancel  context.CancelFunc // it is over
	key     kemKey
	hello   []byte
	digest  digest
	finish  []byte   // nil before the welcome
	session *session // with finish
}

// accepted is a handshake that the peer began.
type accepted struct {
	session sessionID
	until   time.Time
	key     kemKey
	secret  []byte // k1
	digest  digest // of hello
	hello   []byte
	welcome []byte
}

// tagged writes a tag and parts with their lengths: what signatures cover and D hashes.
func tagged(tag string, parts ...[]byte) []byte {
	b := []byte(domain + tag + "\x00")
	for _, p := range parts {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(p))), p...)
	}
	return b
}

// sum is D of the specification.
func sum(tag string, parts ...[]byte) digest { return sha256.Sum256(tagged(tag, parts...)) }

// pair is what the specification calls parties: charter, names and keys.
func (e *Endpoint) pair(p *peer, initiator bool) []byte {
	a, b := e.cfg.Name, p.name
	keyA, keyB := e.cfg.Key.Public(), p.key
	if !initiator {
		a, b, keyA, keyB = b, a, keyB, keyA
	}
	return slices.Concat(appendShort(appendShort(slices.Clone(e.cfg.Charter[:]), a), b), keyA.Bytes(), keyB.Bytes())
}

func millis(now time.Time) uint64 { return uint64(max(now.UnixMilli(), 0)) }

// since is the time between a peer's stamp and now, and fails for stamps beyond all clocks.
func since(stamp uint64, now time.Time) (time.Duration, bool) {
	const year10000 = 253_402_300_800_000
	if stamp > year10000 {
		return 0, false
	}
	return now.Sub(time.UnixMilli(int64(stamp))), true
}

// checkTime holds the time of a hello or welcome against the own clock.
func checkTime(stamp uint64, now time.Time) error {
	if d, ok := since(stamp, now); !ok || d.Abs() > maxSkew {
		return fmt.Errorf("%w: its time is more than %v from this clock", ErrHandshake, maxSkew)
	}
	return nil
}

// newKEMKey makes a key pair from this endpoint's randomness.
func (e *Endpoint) newKEMKey() (kemKey, error) {
	seed := make([]byte, 32)
	defer clear(seed)
	if err := e.read(seed); err != nil {
		return nil, err
	}
	k, err := kem.NewPrivateKey(seed)
	if err != nil {
		return nil, fmt.Errorf("bus: fresh key: %w", err)
	}
	return k, nil
}

// derive makes the session of a finished handshake.
func (e *Endpoint) derive(p *peer, now time.Time, k1, k2, parties, hello, welcome, finish []byte) (*session, error) {
	secret := slices.Concat(k1, k2)
	defer clear(secret)
	salt := sum("keys", parties, hello, welcome, finish)
	key := func(from, to string) ([]byte, error) {
		info := append([]byte(domain+"key\x00"), e.cfg.Charter[:]...)
		return hkdf.Key(sha256.New, secret, salt[:], string(appendShort(appendShort(info, from), to)), 32)
	}
	send, err := key(e.cfg.Name, p.name)
	if err != nil {
		return nil, fmt.Errorf("bus: session key: %w", err)
	}
	defer clear(send)
	open, err := key(p.name, e.cfg.Name)
	if err != nil {
		return nil, fmt.Errorf("bus: session key: %w", err)
	}
	defer clear(open)
	s, err := newSession(sessionOf(parties, hello, welcome), now, send, open)
	if err == nil {
		s.finish = sha256.Sum256(finish)
	}
	return s, err
}

func sessionOf(parties, hello, welcome []byte) sessionID {
	s := sum("session", parties, hello, welcome)
	return sessionID(s[:sessionSize])
}

// begin starts a handshake unless one is in progress. The caller holds e.mu.
func (e *Endpoint) begin(p *peer) {
	if p.begun != nil || e.closed {
		return
	}
	h := &begun{wake: make(chan struct{}, 1)}
	h.ctx, h.cancel = context.WithTimeout(e.ctx, handshakeTime)
	p.begun = h
	e.spawn(func() { e.initiate(p, h) })
}

// initiate sends hello, then finish, until the handshake is over.
func (e *Endpoint) initiate(p *peer, h *begun) {
	defer func() {
		h.cancel()
		e.mu.Lock()
		defer e.mu.Unlock()
		if p.begun == h {
			p.begun = nil
		}
	}()
	next, err := e.hello(p, h)
	if err != nil {
		e.cfg.Report(p.name, err)
		return
	}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		e.publish(p, next)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-h.wake:
			pause = firstPause / 2
		case <-h.ctx.Done():
			timer.Stop()
			return
		case <-p.gone:
			timer.Stop()
			return
		}
		timer.Stop()
		e.mu.Lock()
		if h.finish != nil {
			next = h.finish
		}
		e.mu.Unlock()
	}
}

// hello makes step 1.
func (e *Endpoint) hello(p *peer, h *begun) ([]byte, error) {
	key, err := e.newKEMKey()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, nonceSize)
	if err := e.read(nonce); err != nil {
		return nil, err
	}
	b := append(appendHead(nil, typeHello, e.cfg.Name), nonce...)
	b = binary.BigEndian.AppendUint64(b, millis(e.cfg.Now()))
	b = append(b, key.PublicKey().Bytes()...)
	parties := e.pair(p, true)
	signature, err := e.cfg.Key.Sign(tagged("hello", parties, b))
	if err != nil {
		return nil, err
	}
	b = append(b, signature...)
	e.mu.Lock()
	defer e.mu.Unlock()
	h.key, h.hello, h.digest = key, b, sum("hello", parties, b)
	return b, nil
}

// takeHello is step 2, of the responder.
func (e *Endpoint) takeHello(p *peer, f *frame) error {
	now := e.cfg.Now()
	if err := checkTime(f.time, now); err != nil {
		return err
	}
	parties := e.pair(p, false)
	d := sum("hello", parties, f.raw)
	e.mu.Lock()
	p.accepted = slices.DeleteFunc(p.accepted, func(a *accepted) bool { return !now.Before(a.until) })
	i := slices.IndexFunc(p.accepted, func(a *accepted) bool { return a.digest == d })
	var again []byte
	if i >= 0 {
		again = p.accepted[i].welcome
	}
	_, seen := p.nonces[f.nonce]
	e.mu.Unlock()
	switch {
	case again != nil:
		e.publish(p, again)
		return nil
	case seen:
		return fmt.Errorf("%w: its hello came before", ErrHandshake)
	case p.key.Verify(tagged("hello", parties, f.body), f.last) != nil:
		return ErrForged
	}
	if err := e.rememberNonce(p, f.nonce, now); err != nil {
		return err
	}

	key, err := e.newKEMKey()
	if err != nil {
		return err
	}
	nonce := make([]byte, nonceSize)
	if err := e.read(nonce); err != nil {
		return err
	}
	enc, secret, err := encapsulate(f.ek, d)
	if err != nil {
		return fmt.Errorf("%w: its key: %w", ErrHandshake, err)
	}
	b := append(appendHead(nil, typeWelcome, e.cfg.Name), d[:]...)
	b = append(b, nonce...)
	b = binary.BigEndian.AppendUint64(b, millis(now))
	b = append(b, key.PublicKey().Bytes()...)
	b = append(b, enc...)
	signature, err := e.cfg.Key.Sign(tagged("welcome", parties, f.raw, b))
	if err != nil {
		return err
	}
	b = append(b, signature...)
	e.mu.Lock()
	p.accepted = append(p.accepted, &accepted{
		session: sessionOf(parties, f.raw, b), until: now.Add(acceptTime),
		key: key, secret: secret, digest: d, hello: f.raw, welcome: b,
	})
	if len(p.accepted) > maxAccepted {
		p.accepted = slices.Delete(p.accepted, 0, 1)
	}
	e.mu.Unlock()
	e.publish(p, b)
	return nil
}

func (e *Endpoint) rememberNonce(p *peer, nonce [nonceSize]byte, now time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(p.nonces) >= maxNonces {
		for n, until := range p.nonces {
			if until < now.UnixMilli() {
				delete(p.nonces, n)
			}
		}
	}
	if len(p.nonces) >= maxNonces {
		return fmt.Errorf("%w: too many handshakes", ErrFull)
	}
	p.nonces[nonce] = now.Add(nonceLife).UnixMilli()
	return nil
}

// takeWelcome is step 3, of the initiator.
func (e *Endpoint) takeWelcome(p *peer, f *frame) error {
	now := e.cfg.Now()
	if err := checkTime(f.time, now); err != nil {
		return err
	}
	e.mu.Lock()
	h := p.begun
	if h == nil || h.hello == nil || h.digest != f.digest || h.finish != nil {
		e.mu.Unlock()
		return fmt.Errorf("%w: its welcome answers nothing in progress", ErrHandshake)
	}
	key, hello := h.key, h.hello
	e.mu.Unlock()

	parties := e.pair(p, true)
	if p.key.Verify(tagged("welcome", parties, hello, f.body), f.last) != nil {
		return ErrForged
	}
	k1, err := decapsulate(key, f.enc, f.digest)
	if err != nil {
		return fmt.Errorf("%w: its secret: %w", ErrHandshake, err)
	}
	defer clear(k1)
	enc, k2, err := encapsulate(f.ek, sum("session", parties, hello, f.raw))
	if err != nil {
		return fmt.Errorf("%w: its key: %w", ErrHandshake, err)
	}
	defer clear(k2)
	id := sessionOf(parties, hello, f.raw)
	b := append(appendHead(nil, typeFinish, e.cfg.Name), id[:]...)
	b = append(b, enc...)
	signature, err := e.cfg.Key.Sign(tagged("finish", parties, hello, f.raw, b))
	if err != nil {
		return err
	}
	b = append(b, signature...)
	s, err := e.derive(p, now, k1, k2, parties, hello, f.raw, b)
	if err != nil {
		return err
	}
	e.mu.Lock()
	h.key, h.finish, h.session = nil, b, s
	e.mu.Unlock()
	h.wake <- struct{}{} // once for each handshake, and it has room for one
	return nil
}

// takeFinish is step 4, of the responder.
func (e *Endpoint) takeFinish(p *peer, f *frame) error {
	now := e.cfg.Now()
	e.mu.Lock()
	s, _ := e.find(p, f.session, now)
	i := slices.IndexFunc(p.accepted, func(a *accepted) bool { return a.session == f.session && now.Before(a.until) })
	var a *accepted
	if i >= 0 {
		a = p.accepted[i]
	}
	e.mu.Unlock()
	switch {
	case s != nil && s.finish != sha256.Sum256(f.raw):
		return ErrForged
	case s != nil: // a repetition: the ack was lost
		e.sendNow(p, s, &message{kind: kindAck})
		return nil
	case a == nil:
		e.hint(p, f.session, now)
		return ErrSession
	}

	parties := e.pair(p, false)
	if p.key.Verify(tagged("finish", parties, a.hello, a.welcome, f.body), f.last) != nil {
		return ErrForged
	}
	k2, err := decapsulate(a.key, f.enc, sum("session", parties, a.hello, a.welcome))
	if err != nil {
		return fmt.Errorf("%w: its secret: %w", ErrHandshake, err)
	}
	defer clear(k2)
	s, err = e.derive(p, now, a.secret, k2, parties, a.hello, a.welcome, f.raw)
	if err != nil {
		return err
	}
	clear(a.secret)
	e.mu.Lock()
	p.accepted = slices.DeleteFunc(p.accepted, func(x *accepted) bool { return x == a })
	e.establish(p, s)
	e.mu.Unlock()
	e.sendNow(p, s, &message{kind: kindAck})
	return nil
}

// establish makes s the session to send under. The caller holds e.mu.
func (e *Endpoint) establish(p *peer, s *session) {
	p.sessions = append(p.sessions, s)
	if len(p.sessions) > maxSessions {
		p.sessions = slices.Delete(p.sessions, 0, 1)
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// confirm ends the own handshake of session s: the peer has sent under it.
func (e *Endpoint) confirm(p *peer, s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := p.begun; h != nil && h.session == s {
		p.begun = nil
		h.cancel()
		e.establish(p, s)
	}
}

// find returns the session to open a frame with. known says that there is a handshake or
// session of this id, though it can't be used. The caller holds e.mu.
func (e *Endpoint) find(p *peer, id sessionID, now time.Time) (s *session, known bool) {
	p.sessions = slices.DeleteFunc(p.sessions, func(s *session) bool { return !s.receives(now) })
	for _, s := range p.sessions {
		if s.id == id {
			return s, true
		}
	}
	if h := p.begun; h != nil && h.session != nil && h.session.id == id {
		return h.session, true
	}
	return nil, slices.ContainsFunc(p.accepted, func(a *accepted) bool { return a.session == id })
}

// current returns the session to send under, nil where there is none: then a handshake
// begins. changed is closed when there is a newer one.
func (e *Endpoint) current(p *peer) (s *session, changed <-chan struct{}) {
	now := e.cfg.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(p.sessions); n > 0 && p.sessions[n-1].sends(now) {
		return p.sessions[n-1], p.changed
	}
	e.begin(p)
	return nil, p.changed
}

// renew begins a handshake where s, which the peer doesn't answer, is still the newest session.
func (e *Endpoint) renew(p *peer, s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(p.sessions); n > 0 && p.sessions[n-1] == s {
		e.begin(p)
	}
}

// hint tells a peer that its session is unknown here.
func (e *Endpoint) hint(p *peer, id sessionID, now time.Time) {
	e.mu.Lock()
	early := tooSoon(p.hinting, now, hintPause)
	if !early {
		p.hinting = now
	}
	e.mu.Unlock()
	if !early {
		e.publish(p, append(appendHead(nil, typeUnknown, e.cfg.Name), id[:]...))
	}
}

func tooSoon(last, now time.Time, pause time.Duration) bool {
	d := now.Sub(last)
	return d >= 0 && d < pause
}

// takeHint begins a handshake where the peer doesn't know the session in use.
func (e *Endpoint) takeHint(p *peer, f *frame) error {
	now := e.cfg.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(p.sessions)
	finishing := p.begun != nil && p.begun.session != nil && p.begun.session.id == f.session
	using := n > 0 && p.sessions[n-1].id == f.session && p.begun == nil
	switch {
	case !finishing && !using:
		return fmt.Errorf("%w: a hint", ErrUnwanted)
	case tooSoon(p.hinted, now, hintedPause):
		return fmt.Errorf("%w: hints", ErrFull)
	}
	p.hinted = now
	if finishing {
		p.begun.cancel()
		p.begun = nil
	}
	e.begin(p)
	return nil
}
