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
// accuses, with the signed messages that prove it. The others
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
	for _, f := range s.hearAll() {
		faults = faults.with(f)
	}
	if len(faults) > 0 {
		return s.accuse(ctx, faults)
	}
	for _, seat := range s.seats {
		if show := s.box.get(slot{roundShow, kindBroadcast, seat.Number}); show != nil && s.judge != nil {
			opened, err := s.showOf(seat.Number, show)
			if err != nil {
				return s.accuse(ctx, Faults{s.malformedShow(seat.Number, show)})
			}
			if f := s.conflict(opened); f != nil {
				return s.accuse(ctx, Faults{f})
			}
			if s.grounded(opened) {
				return s.dispute(ctx, opened.round)
			}
		}
	}
	return nil
}

// hearAll decides the accusations that came, each sender's once; what can't be
// decided yet is tried again in the next round.
func (s *Session) hearAll() (faults Faults) {
	for _, seat := range s.seats {
		a := s.box.get(slot{roundAbort, kindBroadcast, seat.Number})
		// Before Start there is nothing to judge by, and nothing to accuse of.
		if a == nil || s.judge == nil || s.heard[seat.Number] > s.next {
			continue
		}
		found, undecided := s.hear(a, 0)
		if s.heard == nil {
			s.heard = make(map[Member]int)
		}
		if s.heard[seat.Number] = s.next + 1; !undecided {
			s.heard[seat.Number] = maxRounds + 2 // past every round
		}
		for _, f := range found {
			faults = faults.with(f)
		}
	}
	return faults
}

func (s *Session) equivocation(m Member) *Fault {
	second := s.box.secondOf(m)
	if second == nil {
		return nil
	}
	first := s.box.get(second.slot())
	return s.fault(m, int(second.round), Equivocated, twoMessages).by(s.me, first, second)
}

// by sets the messages that prove the fault, and to whom they were sent.
func (f *Fault) by(victim Member, proof ...*received) *Fault {
	f.victim, f.Evidence = victim, nil
	for _, r := range proof {
		f.Evidence = append(f.Evidence, r.Envelope)
	}
	return f
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
		if len(f.Evidence) == 0 {
			continue // everyone sees it without being told
		}
		more := binary.BigEndian.AppendUint16(slices.Clone(body), uint16(f.Party))
		more = binary.BigEndian.AppendUint16(more, uint16(f.victim))
		more = appendEnvelopes(more, f.Evidence)
		if more[0]++; len(more) <= maxAbortBody || passesOn(more) {
			body = more // else it is too large beside the others
		}
	}
	if !s.accused {
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
			return Faults{s.fault(accuser, roundAbort, Malformed, "accusation doesn't decode").by(s.me, abort)}, false
		}
		evidence, ok := s.admit(accused, accuser, victim, envelopes)
		if !ok {
			return Faults{s.fault(accuser, roundAbort, Invalid, "evidence isn't the accused's").by(s.me, abort)}, false
		}
		f, err := s.convict(accused, victim, evidence, depth)
		switch {
		case f != nil:
			faults = append(faults, f) // with its proof, for those who didn't hear this accuser
		case errors.Is(err, ErrUndecided):
			undecided = true
		default:
			return Faults{s.fault(accuser, roundAbort, Invalid, "accusation isn't proved").by(s.me, abort)}, false
		}
	}
	if r.Close() != nil {
		return Faults{s.fault(accuser, roundAbort, Malformed, "accusation doesn't decode").by(s.me, abort)}, false
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

// convict judges what member m sent member to. Its verdict is the same for all
// honest members, or ErrUndecided: whoever makes a true accusation is believed.
func (s *Session) convict(m, to Member, messages []*received, depth int) (*Fault, error) {
	seen := make(map[slot]*received, len(messages))
	rounds := make([]*received, 0, len(messages))
	for _, r := range messages {
		if first := seen[r.slot()]; first != nil && !bytes.Equal(first.Message, r.Message) {
			return s.fault(m, int(r.round), Equivocated, twoMessages).by(to, first, r), nil
		}
		seen[r.slot()] = r
		if r.kind == kindBroadcast && m != s.me {
			if mine := s.box.get(r.slot()); mine != nil && !bytes.Equal(mine.Message, r.Message) {
				return s.fault(m, int(r.round), Equivocated, twoMessages).by(to, mine, r), nil
			}
		}
		if r.round >= roundShow {
			continue
		}
		if len(r.body) != s.size(int(r.round), r.kind, m, to) {
			return s.fault(m, int(r.round), Malformed, wrongLength).by(to, r), nil
		}
		if !s.echoed(int(r.round)) && r.echo != (hash.Digest{}) {
			return s.fault(m, int(r.round), Malformed, echoSet).by(to, r), nil
		}
		rounds = append(rounds, r)
	}
	if show := seen[slot{roundShow, kindBroadcast, m}]; show != nil {
		if f := s.convictShow(m, to, show, seen); f != nil {
			return f, nil
		}
	}
	var undecided error
	if abort := seen[slot{roundAbort, kindBroadcast, m}]; abort != nil {
		if depth > 0 {
			return nil, ErrUndecided // accusations of accusations end here
		}
		faults, pending := s.hear(abort, depth+1)
		for _, f := range faults {
			if f.Party == m {
				return f.by(to, abort), nil
			}
		}
		if len(faults) > 0 {
			return faults[0], nil // m's accusation was true after all
		}
		if pending {
			undecided = ErrUndecided
		}
	}
	err := s.judge(m, to, Messages{rounds})
	var v *Verdict
	if errors.As(err, &v) {
		return s.fault(m, lastRound(rounds), v.Kind, v.Reason).by(to, rounds...), nil
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
		last = max(last, int(r.round))
	}
	return last
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
