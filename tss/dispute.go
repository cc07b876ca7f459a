package tss

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/tss/hash"
)

// Whoever finds a fault tells all others in one broadcast, the abort: whom it
// accuses, with all signed messages that it has from the accused. The others
// decide for themselves by the same judgement that runs on their own messages,
// so a true accusation convicts the accused everywhere and a false one convicts
// the accuser (docs/spec/02-session.md §6).

// control handles what came outside the rounds: equivocation, accusations,
// disputes that others opened. It returns an error where the session is over.
func (s *Session) control(ctx context.Context) error {
	var faults Faults
	for _, seat := range s.seats {
		if f := s.equivocation(seat.Number); f != nil {
			faults = append(faults, f)
		}
	}
	for _, seat := range s.seats {
		// Before Start there is nothing to judge by, and nothing to accuse of.
		if a := s.box.get(slot{roundAbort, kindBroadcast, seat.Number}); a != nil && s.judge != nil && !s.heard[seat.Number] {
			found, undecided := s.hear(a, 0)
			if !undecided {
				if s.heard == nil {
					s.heard = make(map[Member]bool)
				}
				s.heard[seat.Number] = true
			}
			for _, f := range found {
				faults = faults.with(f)
			}
		}
	}
	if len(faults) > 0 {
		return s.accuse(ctx, faults)
	}
	for _, seat := range s.seats {
		show := s.box.get(slot{roundShow, kindBroadcast, seat.Number})
		if show != nil && len(show.body) > 0 && int(show.body[0]) < s.next {
			return s.dispute(ctx, int(show.body[0]))
		}
	}
	return nil
}

func (s *Session) equivocation(m Member) *Fault {
	second := s.box.secondOf(m)
	if second == nil {
		return nil
	}
	return s.fault(m, int(second.round), Equivocated, twoMessages)
}

// Blame judges everyone's messages so far, after a check over all of them failed,
// and returns the faults found. Where the judge convicts nobody it is
// ErrInconsistent.
func (s *Session) Blame(ctx context.Context) error {
	var faults Faults
	for _, seat := range s.seats {
		if seat.Number == s.me {
			continue
		}
		if f, _ := s.convict(seat.Number, s.me, s.box.all(seat.Number), 0); f != nil {
			faults = append(faults, f)
		}
	}
	if len(faults) == 0 {
		return ErrInconsistent
	}
	return s.accuse(ctx, faults)
}

// accuse tells everyone, once, and returns the faults as the session's error. None
// says that a dispute is over for this member.
func (s *Session) accuse(ctx context.Context, faults Faults) error {
	faults = faults.sort()
	body := []byte{0}
	for _, f := range faults {
		if f.Party == s.me {
			return fmt.Errorf("%w: %w", ErrLocal, f)
		}
		if !slices.Contains(s.Members(), f.Party) {
			continue // a coordinator: its evidence is the request it signed
		}
		if f.Evidence == nil {
			f.victim = s.me
			for _, r := range s.box.all(f.Party) {
				f.Evidence = append(f.Evidence, r.Envelope)
			}
		}
		body[0]++
		body = binary.BigEndian.AppendUint16(body, uint16(f.Party))
		body = binary.BigEndian.AppendUint16(body, uint16(f.victim))
		body = appendEnvelopes(body, f.Evidence)
	}
	if !s.accused && len(body) <= MaxMessage-headerSize {
		s.accused = true
		// The session is over whether or not the others hear of it.
		_ = s.send(ctx, s.others, s.message(roundAbort, kindBroadcast, 0, hash.Digest{}, body))
	}
	return faults
}

// hear decides the accusations of an abort. It returns faults of the accused, or
// of the accuser for what isn't proved. undecided says that some accusation needs
// values that this member doesn't have yet.
func (s *Session) hear(abort *received, depth int) (faults Faults, undecided bool) {
	accuser := abort.from
	r := NewReader(abort.body)
	for range r.U8() {
		accused, victim := Member(r.U16()), Member(r.U16())
		envelopes, err := readEnvelopes(r)
		if err != nil {
			return Faults{s.fault(accuser, roundAbort, Malformed, "accusation doesn't decode")}, false
		}
		evidence, ok := s.admit(accused, accuser, victim, envelopes)
		if !ok {
			return Faults{s.fault(accuser, roundAbort, Invalid, "evidence isn't the accused's")}, false
		}
		f, err := s.convict(accused, victim, evidence, depth)
		switch {
		case f != nil:
			// The proof travels on: others may not have heard this accuser.
			f.victim, f.Evidence = victim, envelopes
			if second := s.box.secondOf(accused); second != nil && f.Kind == Equivocated {
				f.Evidence = append(f.Evidence, second.Envelope)
			}
			faults = append(faults, f)
		case errors.Is(err, ErrUndecided):
			undecided = true
		default:
			return Faults{s.fault(accuser, roundAbort, Invalid, "accusation isn't proved")}, false
		}
	}
	if r.Close() != nil {
		return Faults{s.fault(accuser, roundAbort, Malformed, "accusation doesn't decode")}, false
	}
	return faults, undecided
}

// admit opens evidence: messages of this session, signed by the accused, sent to
// the victim or to all.
func (s *Session) admit(accused, accuser, victim Member, envelopes []Envelope) ([]*received, bool) {
	if accused == accuser || !slices.Contains(s.Members(), accused) {
		return nil, false
	}
	key := s.Identity(accused)
	var out []*received
	for _, e := range envelopes {
		e.From = key
		r, ok := open(e)
		if !ok || r.from != accused || !s.box.belongs(r) || !key.VerifyEnvelope(e.Message, e.Signature) {
			return nil, false
		}
		if r.kind == kindPrivate && r.to != victim || r.kind == kindBroadcast && r.to != 0 {
			return nil, false
		}
		out = append(out, r)
	}
	return out, true
}

// convict judges what member m sent member to.
func (s *Session) convict(m, to Member, messages []*received, depth int) (*Fault, error) {
	seen := make(map[slot]*received, len(messages))
	for _, r := range messages {
		if first := seen[r.slot()]; first != nil && !bytes.Equal(first.Message, r.Message) {
			return s.fault(m, int(r.round), Equivocated, twoMessages), nil
		}
		seen[r.slot()] = r
		if r.kind == kindBroadcast && m != s.me {
			if mine := s.box.get(r.slot()); mine != nil && !bytes.Equal(mine.Message, r.Message) {
				s.box.put(r) // keep it: both together are the proof
				return s.fault(m, int(r.round), Equivocated, twoMessages), nil
			}
		}
		if r.round != roundAbort && r.round != roundShow && len(r.body) != s.size(int(r.round), r.kind, m, to) {
			return s.fault(m, int(r.round), Malformed, wrongLength), nil
		}
		if !s.echoed(int(r.round)) && r.echo != (hash.Digest{}) {
			return s.fault(m, int(r.round), Malformed, echoSet), nil
		}
	}
	if show := seen[slot{roundShow, kindBroadcast, m}]; show != nil {
		if f := s.convictShow(m, show, seen); f != nil {
			return f, nil
		}
	}
	var undecided error
	if abort := seen[slot{roundAbort, kindBroadcast, m}]; abort != nil && depth == 0 {
		faults, pending := s.hear(abort, depth+1)
		for _, f := range faults {
			if f.Party == m {
				return f, nil
			}
		}
		if pending {
			undecided = ErrUndecided
		}
	}
	err := s.judge(m, to, Messages{messages})
	var v *Verdict
	if errors.As(err, &v) {
		return s.fault(m, lastRound(messages), v.Kind, v.Reason), nil
	}
	if err != nil {
		return nil, ErrUndecided
	}
	return nil, undecided
}

const twoMessages = "two different messages for one place"

const otherEcho = "its echo or value isn't that of the messages it received"

const echoSet = "an echo is set where the round has none"

// echoed reports whether headers of a round carry the echo of the one before.
func (s *Session) echoed(round int) bool {
	return round >= 2 && round <= len(s.rounds) && s.rounds[round-2].broadcasts() && !s.rounds[round-2].NoEcho
}

func lastRound(messages []*received) int {
	last := 0
	for _, r := range messages {
		if r.round < roundShow {
			last = max(last, int(r.round))
		}
	}
	return last
}

// dispute settles who caused different echoes or values: every member shows the
// signed broadcasts of the round that it received. Two different ones of the same
// member convict it; whoever's own set gives another echo than the one it sent is
// convicted too. It ends when every other member has said what it found, be it
// nothing; it always returns an error.
func (s *Session) dispute(ctx context.Context, round int) error {
	body := appendLP([]byte{uint8(round)}, s.exhibit)
	var mine []Envelope
	for _, seat := range s.seats {
		if r := s.box.get(slot{uint8(round), kindBroadcast, seat.Number}); r != nil && round > 0 {
			mine = append(mine, r.Envelope)
		}
	}
	body = appendEnvelopes(body, mine)
	if len(body) > MaxMessage-headerSize {
		return ErrInconsistent
	}
	if err := s.send(ctx, s.others, s.message(roundShow, kindBroadcast, 0, hash.Digest{}, body)); err != nil {
		return err
	}
	for {
		faults, exhibited := s.examine(round)
		switch {
		case exhibited != nil:
			// Everyone is shown the exhibits, so nobody needs to be told.
			return errors.Join(ErrInconsistent, Faults{exhibited})
		case len(faults) > 0:
			return errors.Join(ErrInconsistent, s.accuse(ctx, faults))
		}
		absent := s.missing(slot{round: roundShow, kind: kindBroadcast})
		if len(absent) == 0 {
			if !s.accused {
				_ = s.accuse(ctx, nil)
			}
			if absent = s.missing(slot{round: roundAbort, kind: kindBroadcast}); len(absent) == 0 {
				return ErrInconsistent
			}
		}
		select {
		case <-s.box.wake:
		case <-ctx.Done():
			return errors.Join(ErrInconsistent, s.absence(ctx, s.next, absent))
		case <-s.node.done:
			return errors.Join(ErrInconsistent, s.node.failure())
		}
	}
}

// examine looks at everything that a dispute has brought so far.
func (s *Session) examine(round int) (faults Faults, exhibited *Fault) {
	for _, seat := range s.seats {
		m := seat.Number
		if f := s.equivocation(m); f != nil {
			faults = faults.with(f)
		}
		if show := s.box.get(slot{roundShow, kindBroadcast, m}); show != nil {
			if f := s.questioned(m, show); f != nil {
				return nil, f
			}
			if f := s.inspect(m, show, round); f != nil {
				faults = faults.with(f)
			}
		}
	}
	if len(faults) > 0 {
		return faults, nil
	}
	for _, seat := range s.seats {
		if a := s.box.get(slot{roundAbort, kindBroadcast, seat.Number}); a != nil {
			found, _ := s.hear(a, 0)
			for _, f := range found {
				faults = faults.with(f)
			}
		}
	}
	return faults, nil
}

// differs reports whether a member's messages after a round carry another echo of
// it than mine, or another value that all must agree on.
func (s *Session) differs(m Member, round int) bool {
	for _, kind := range []uint8{kindBroadcast, kindPrivate} {
		r := s.box.get(slot{uint8(round + 1), kind, m})
		if r == nil {
			continue
		}
		if round >= 1 && r.echo != s.echoes[round-1] {
			return true
		}
		if s.value != nil && round+1 == s.next && !bytes.HasSuffix(r.body, s.value) {
			return true
		}
	}
	return false
}

// inspect compares what member m shows of a round with what I hold.
func (s *Session) inspect(m Member, show *received, round int) *Fault {
	shown, _, of, err := s.readShow(m, show)
	if err != nil || of != round {
		return s.fault(m, roundShow, Malformed, "what it shows of the round doesn't decode, or isn't signed")
	}
	for _, r := range shown {
		if mine := s.box.get(r.slot()); r.from != s.me && mine != nil && !bytes.Equal(mine.Message, r.Message) {
			s.box.put(r) // keep it: both together are the proof
			return s.fault(r.from, round, Equivocated, twoMessages)
		}
	}
	if s.differs(m, round) {
		return s.fault(m, round+1, Invalid, otherEcho)
	}
	return nil
}

// questioned puts m's exhibit to the protocol's inquiry.
func (s *Session) questioned(m Member, show *received) *Fault {
	if s.inquire == nil {
		return nil
	}
	if _, exhibit, _, err := s.readShow(m, show); err == nil {
		return s.inquire(m, exhibit)
	}
	return nil // inspect says what is wrong with it
}

// readShow opens what m shows: its round, its exhibit, and the broadcasts of all
// members but itself, each signed by its sender.
func (s *Session) readShow(m Member, show *received) (shown []*received, exhibit []byte, round int, err error) {
	r := NewReader(show.body)
	round = int(r.U8())
	exhibit = r.LP()
	envelopes, err := readEnvelopes(r)
	if err == nil {
		err = r.Close()
	}
	if err != nil {
		return nil, nil, 0, err
	}
	want := s.Members()
	want = slices.DeleteFunc(want, func(o Member) bool { return o == m || s.size(round, kindBroadcast, o, 0) < 0 })
	if len(envelopes) != len(want) {
		return nil, nil, 0, errEncoding
	}
	for i, e := range envelopes {
		e.From = s.Identity(want[i])
		env, ok := open(e)
		if !ok || env.slot() != (slot{uint8(round), kindBroadcast, want[i]}) || !s.box.belongs(env) ||
			!e.From.VerifyEnvelope(e.Message, e.Signature) {
			return nil, nil, 0, errEncoding
		}
		shown = append(shown, env)
	}
	return shown, exhibit, round, nil
}

// convictShow judges a show together with m's other messages: the echo that m
// put into its next round must be that of the broadcasts it shows.
func (s *Session) convictShow(m Member, show *received, seen map[slot]*received) *Fault {
	shown, _, round, err := s.readShow(m, show)
	if err != nil {
		return s.fault(m, roundShow, Malformed, "what it shows of the round doesn't decode, or isn't signed")
	}
	own := seen[slot{uint8(round), kindBroadcast, m}]
	if own == nil || round < 1 || s.rounds[round-1].NoEcho {
		return nil
	}
	bodies := make([][]byte, len(s.seats))
	for i, seat := range s.seats {
		if seat.Number == m {
			bodies[i] = own.body
			continue
		}
		for _, r := range shown {
			if r.from == seat.Number {
				bodies[i] = r.body
			}
		}
	}
	echo := s.echoOf(round, bodies)
	for _, kind := range []uint8{kindBroadcast, kindPrivate} {
		if next := seen[slot{uint8(round + 1), kind, m}]; next != nil && next.echo != echo {
			return s.fault(m, round+1, Invalid, otherEcho)
		}
	}
	return nil
}

// appendEnvelopes appends u16(count) and lp(message) || signature for each.
func appendEnvelopes(b []byte, es []Envelope) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(es)))
	for _, e := range es {
		b = appendLP(b, e.Message)
		var sig [ed25519.SignatureSize]byte
		copy(sig[:], e.Signature)
		b = append(b, sig[:]...)
	}
	return b
}

func readEnvelopes(r *Reader) ([]Envelope, error) {
	n := int(r.U16())
	if n*(8+headerSize+ed25519.SignatureSize) > r.Len() {
		return nil, fmt.Errorf("%d envelopes: %w", n, errEncoding)
	}
	out := make([]Envelope, 0, n)
	for range n {
		e := Envelope{Message: r.LP(), Signature: r.Take(ed25519.SignatureSize)}
		out = append(out, e)
	}
	return out, r.Err()
}
