package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cofferhq/coffer/internal/custody"
)

// Bounds of calls for each peer (docs/spec/10-bus.md §5).
const (
	maxCalls        = 1024
	maxRunning      = 64
	maxRunningBytes = 16 << 20
	maxServed       = 1 << 16
	maxAnswerBytes  = 16 << 20
	maxField        = 256
	maxText         = 4096

	firstResend = 200 * time.Millisecond
	quietSends  = 3 // sent so often without a sign of life, a message asks for a new session
)

// waiting is a call or notice that was sent and isn't answered.
type waiting struct {
	kind  uint8
	topic string
	done  chan message // gets what ends it
}

// served is a call or notice that came.
type served struct {
	until  time.Time // then it isn't taken any more
	done   bool
	answer message // kindAnswer or kindError
}

// Handle makes f answer the calls of a topic: 1 to 64 bytes of a-z, 0-9 and . - _ /, other
// than "tss"; no call can have another. A later f replaces an earlier one.
//
// An error of f that is or wraps a [custody.Error] reaches the caller with its code, field
// and message, without its cause. Any other error reaches it as custody.Internal without
// text, and Report in full. At most 64 handlers run for one peer; further calls wait.
func (e *Endpoint) Handle(topic string, f Handler) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.handlers[topic] = f
}

// Call sends body, at most [MaxBody] bytes, to a peer's handler of the topic and returns
// what it answers. It repeats the call until ctx ends, for 5 minutes at most; the handler runs
// once all the same, unless the peer restarts.
//
// The error is a [custody.Error]: the handler's own; NotFound where there is no such peer or
// no such handler; Invalid for topic or body; Exhausted with 1024 calls to the peer waiting;
// Unavailable where no answer came, with ctx's error or [ErrClosed] as its cause. The call may
// have taken effect then.
func (e *Endpoint) Call(ctx context.Context, to, topic string, body []byte) ([]byte, error) {
	switch {
	case !validTopic(topic):
		return nil, &custody.Error{Code: custody.Invalid, Field: "topic", Message: "not a topic of calls"}
	case len(body) > MaxBody:
		return nil, &custody.Error{Code: custody.Invalid, Field: "body", Message: fmt.Sprintf("has more than %d bytes", MaxBody)}
	}
	m := message{kind: kindCall, topic: topic, body: body}
	ctx, cancel := context.WithTimeout(ctx, callLife)
	defer cancel()
	answer, err := e.exchange(ctx, to, &m, nil)
	switch {
	case err != nil:
		return nil, err
	case answer.kind == kindError:
		return nil, parseError(answer.body)
	}
	return answer.body, nil
}

// exchange sends a call or notice until it is answered.
func (e *Endpoint) exchange(ctx context.Context, to string, m *message, signature []byte) (message, error) {
	if err := e.read(m.id[:]); err != nil {
		return message{}, err
	}
	m.time = millis(e.cfg.Now())
	w := &waiting{kind: m.kind, topic: m.topic, done: make(chan message, 1)}
	p, err := e.wait(to, m, w)
	if err != nil {
		return message{}, err
	}
	defer e.forget(p, m, w)

	heard, sent := p.heard.Load(), 0
	for pause := firstResend; ; pause = min(2*pause, longestPause) {
		s, changed := e.current(p)
		if s != nil {
			if now := p.heard.Load(); now != heard {
				heard, sent = now, 0
			}
			if sent++; sent > quietSends {
				e.renew(p, s)
			}
			f, err := e.pack(p, s, m, signature)
			if err != nil {
				e.cfg.Report(p.name, err)
			} else {
				e.publish(p, f)
			}
		}
		timer := time.NewTimer(pause)
		select {
		case answer := <-w.done:
			timer.Stop()
			return answer, nil
		case <-timer.C:
		case <-changed:
			timer.Stop()
			pause = firstResend / 2
		case <-ctx.Done():
			timer.Stop()
			return message{}, unavailable(to, m.topic, context.Cause(ctx))
		case <-e.ctx.Done():
			timer.Stop()
			return message{}, unavailable(to, m.topic, ErrClosed)
		case <-p.gone:
			timer.Stop()
			return message{}, unavailable(to, m.topic, ErrPeer)
		}
	}
}

func unavailable(to, topic string, cause error) error {
	return &custody.Error{Code: custody.Unavailable, Message: "no answer of " + to + " to " + topic, Err: cause}
}

// wait enters a call or notice among those that wait for the peer.
func (e *Endpoint) wait(to string, m *message, w *waiting) (*peer, error) {
	p := e.lookup(to)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return nil, unavailable(to, m.topic, ErrClosed)
	case p == nil:
		return nil, &custody.Error{Code: custody.NotFound, Field: "to", Message: "not a peer"}
	case m.kind == kindCall && p.calls >= maxCalls:
		return nil, &custody.Error{Code: custody.Exhausted, Message: "too many calls to " + to + " wait", Err: ErrFull}
	case m.kind == kindNotice && (p.notices >= maxNotices || p.noticeBytes+len(m.body) > maxNoticeBytes):
		return nil, &custody.Error{Code: custody.Exhausted, Message: "too many messages to " + to + " wait", Err: ErrFull}
	case m.kind == kindCall:
		p.calls++
	default:
		p.notices++
		p.noticeBytes += len(m.body)
	}
	p.waiting[m.id] = w
	return p, nil
}

func (e *Endpoint) forget(p *peer, m *message, w *waiting) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(p.waiting, m.id)
	if w.kind == kindCall {
		p.calls--
	} else {
		p.notices--
		p.noticeBytes -= len(m.body)
	}
}

// takeAnswer hands an answer, error or ack to what waits for it.
func (e *Endpoint) takeAnswer(p *peer, m *message) error {
	if m.kind == kindAck && m.id == (callID{}) {
		return nil // it confirmed a session
	}
	e.mu.Lock()
	w := p.waiting[m.id]
	e.mu.Unlock()
	switch {
	case w == nil || w.topic != m.topic:
		return fmt.Errorf("%w: an answer", ErrUnwanted)
	case (m.kind == kindAck) != (w.kind == kindNotice):
		if m.kind == kindAck {
			return nil // the call is being worked on
		}
		return fmt.Errorf("%w: an answer", ErrUnwanted)
	}
	select {
	case w.done <- *m:
	default: // it has one
	}
	return nil
}

// admit enters a call or notice that came, or returns the entry that it has. The caller
// holds e.mu.
func (e *Endpoint) admit(p *peer, m *message, now time.Time) (s *served, fresh bool, err error) {
	for len(p.order) > 0 {
		first := p.served[p.order[0]]
		if now.Before(first.until) {
			break
		}
		delete(p.served, p.order[0])
		p.order = p.order[1:]
	}
	for len(p.answers) > 0 && !now.Before(p.answers[0].until) {
		p.answerBytes -= len(p.answers[0].answer.body)
		p.answers = p.answers[1:]
	}
	age, ok := since(m.time, now)
	if !ok || age < -maxSkew || age >= callLife+maxSkew {
		return nil, false, fmt.Errorf("%w: its time is too far from this clock", ErrMessage)
	}
	if s := p.served[m.id]; s != nil {
		return s, false, nil
	}
	if len(p.served) >= maxServed {
		return nil, false, fmt.Errorf("%w: calls", ErrFull)
	}
	s = &served{until: now.Add(callLife + maxSkew - age)}
	return s, true, nil
}

func (p *peer) remember(id callID, s *served) {
	p.served[id] = s
	p.order = append(p.order, id)
}

// serve runs the handler of a call that is new, and repeats the answer of an old one.
func (e *Endpoint) serve(p *peer, m *message, now time.Time) error {
	e.mu.Lock()
	s, fresh, err := e.admit(p, m, now)
	switch {
	case err != nil:
	case fresh && (p.running >= maxRunning || p.runningBytes+len(m.body) > maxRunningBytes):
		err = fmt.Errorf("%w: calls", ErrFull)
	case fresh:
		p.remember(m.id, s)
		p.running++
		p.runningBytes += len(m.body)
		f := e.handlers[m.topic]
		call := *m
		e.spawn(func() { e.run(p, s, f, &call) })
	}
	if err != nil || fresh {
		e.mu.Unlock()
		return err
	}
	again := message{kind: kindAck, id: m.id, time: m.time, topic: m.topic}
	if s.done {
		again = s.answer
	}
	e.mu.Unlock()
	e.reply(p, &again)
	return nil
}

// run runs a handler, keeps its answer and sends it.
func (e *Endpoint) run(p *peer, s *served, f Handler, call *message) {
	ctx, cancel := context.WithTimeout(e.ctx, callLife)
	defer cancel()
	answer := message{kind: kindAnswer, id: call.id, time: call.time, topic: call.topic}
	body, err := e.guarded(ctx, p, f, call)
	if err != nil && e.ctx.Err() != nil {
		return // the end of this endpoint ended the handler: the peer asks whoever comes after
	}
	if err == nil && len(body) > MaxBody {
		err = fmt.Errorf("%w: the answer to %s has %d bytes, at most %d", ErrHandler, call.topic, len(body), MaxBody)
	}
	if answer.body = body; err != nil {
		if _, ok := errors.AsType[*custody.Error](err); !ok {
			e.cfg.Report(p.name, fmt.Errorf("%w: %s: %w", ErrHandler, call.topic, err))
		}
		answer.kind, answer.body = kindError, encodeError(err)
	}

	e.mu.Lock()
	p.running--
	p.runningBytes -= len(call.body)
	s.done, s.answer = true, answer
	p.answers = append(p.answers, s)
	p.answerBytes += len(answer.body)
	for p.answerBytes > maxAnswerBytes {
		old := p.answers[0]
		p.answers = p.answers[1:]
		p.answerBytes -= len(old.answer.body)
		old.answer.kind = kindError
		old.answer.body = encodeError(&custody.Error{Code: custody.Unavailable, Message: "the answer isn't kept any more"})
	}
	e.mu.Unlock()
	e.reply(p, &answer)
}

// guarded keeps a handler's panic, a defect that a peer may have found, from ending the
// process.
func (e *Endpoint) guarded(ctx context.Context, p *peer, f Handler, call *message) (body []byte, err error) {
	if f == nil {
		return nil, &custody.Error{Code: custody.NotFound, Field: "topic", Message: "no handler"}
	}
	defer func() {
		if r := recover(); r != nil {
			body, err = nil, fmt.Errorf("%w: panic: %v", ErrHandler, r)
		}
	}()
	return f(ctx, p.name, call.body)
}

// reply sends a message once, where there is a session: the peer asks again.
func (e *Endpoint) reply(p *peer, m *message) {
	if s, _ := e.current(p); s != nil {
		e.sendNow(p, s, m)
	}
}

func (e *Endpoint) sendNow(p *peer, s *session, m *message) {
	f, err := e.pack(p, s, m, nil)
	if err != nil {
		e.cfg.Report(p.name, err)
		return
	}
	e.publish(p, f)
}

// codes gives the codes of errors their numbers on the wire (docs/spec/10-bus.md §5).
var codes = []custody.Code{
	custody.Internal, custody.Invalid, custody.Unauthenticated, custody.Forbidden, custody.Denied,
	custody.NotFound, custody.Conflict, custody.Exhausted, custody.Unavailable,
}

// encodeError writes a handler's error as the caller may see it.
func encodeError(err error) []byte {
	var said custody.Error
	if c, ok := errors.AsType[*custody.Error](err); ok {
		said = *c
	}
	field := cut(said.Field, maxField)
	b := []byte{byte(max(slices.Index(codes, said.Code), 0))}
	b = binary.BigEndian.AppendUint16(b, uint16(len(field)))
	return append(append(b, field...), cut(said.Message, maxText)...)
}

// cut makes s valid UTF-8 of at most n bytes.
func cut(s string, n int) string {
	if s = strings.ToValidUTF8(s, "�"); len(s) <= n {
		return s
	}
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// parseError reads what encodeError writes. Whatever doesn't read is an internal error of the
// peer.
func parseError(b []byte) error {
	malformed := &custody.Error{Code: custody.Internal, Message: "the peer's error is malformed", Err: ErrMessage}
	r := reader{rest: b}
	number := r.u8()
	n := int(r.u8())<<8 | int(r.u8())
	field, text := string(r.take(n)), string(r.take(len(r.rest)))
	if r.err != nil || len(field) > maxField || len(text) > maxText || !utf8.ValidString(field) || !utf8.ValidString(text) {
		return malformed
	}
	e := &custody.Error{Field: field, Message: text}
	if int(number) < len(codes) {
		e.Code = codes[number]
	}
	if e.Message == "" {
		e.Message = e.Code.String()
	}
	return e
}
