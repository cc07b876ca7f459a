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
	var cause []Envelope // a message that others may not have, or not like this
	for _, seat := range s.seats {
		if r := s.differs(seat.Number, round); r != nil {
			cause = []Envelope{r.Envelope}
			break
		}
	}
	body = appendEnvelopes(body, cause)
	if len(body) > maxShowBody {
		return ErrInconsistent
	}
	if err := s.send(ctx, s.others, s.message(roundShow, kindBroadcast, 0, hash.Digest{}, body)); err != nil {
		return err
	}
	for {
		// Who is missing is counted first: what comes later is looked at again.
		unshown := s.unshown(round)
		unfinished := s.missing(slot{round: roundAbort, kind: kindBroadcast})
		faults, exhibited := s.examine(round)
		switch {
		case exhibited != nil:
			// Everyone is shown the exhibits, so nobody needs to be told.
			return errors.Join(ErrInconsistent, Faults{exhibited})
		case len(faults) > 0:
			return errors.Join(ErrInconsistent, s.accuse(ctx, faults))
		}
		absent := unshown
		if len(unshown) == 0 {
			if !s.accused {
				_ = s.accuse(ctx, nil)
			}
			if absent = unfinished; len(unfinished) == 0 {
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
		shown := s.box.get(slot{roundShow, kindBroadcast, m})
		if shown == nil {
			continue
		}
		show, err := s.showOf(m, shown)
		if err != nil {
			faults = faults.with(s.malformedShow(m, shown))
			continue
		}
		if show.round != round { // about something else: as good as none
			if f := s.conflict(show); f != nil {
				faults = faults.with(f)
			}
			continue
		}
		if s.inquire != nil {
			if f := s.inquire(m, show.exhibit); f != nil {
				return nil, f
			}
		}
		if f := s.inspect(m, shown, show); f != nil {
			faults = faults.with(f)
		}
	}
	if len(faults) == 0 {
		faults = s.hearAll()
	}
	return faults, nil
}

// differs returns a message of a member after a round that carries another echo of
// it than mine, or another value that all must agree on; else nil.
func (s *Session) differs(m Member, round int) *received {
	for _, kind := range []uint8{kindBroadcast, kindPrivate} {
		if r := s.box.get(slot{uint8(round + 1), kind, m}); r != nil && s.contradicts(r) {
			return r
		}
	}
	return nil
}

// contradicts reports whether a message carries another echo than mine of the round
// before it, or another value.
func (s *Session) contradicts(r *received) bool {
	return s.echoed(int(r.round)) && r.echo != s.echoes[r.round-2] ||
		s.value != nil && int(r.round) == s.next && !bytes.HasSuffix(r.body, s.value)
}

// conflict convicts a member of whom a show holds another broadcast than I do.
func (s *Session) conflict(show *openedShow) *Fault {
	for _, r := range show.broadcasts {
		if mine := s.box.get(r.slot()); r.from != s.me && mine != nil && !bytes.Equal(mine.Message, r.Message) {
			return s.fault(r.from, int(r.round), Equivocated, twoMessages).by(s.me, mine, r)
		}
	}
	return nil
}

// inspect compares what member m shows of a round with what I hold.
func (s *Session) inspect(m Member, shown *received, show *openedShow) *Fault {
	if f := s.conflict(show); f != nil {
		return f
	}
	if s.differs(m, show.round) == nil {
		return nil
	}
	proof := []*received{shown}
	for _, at := range []slot{
		{uint8(show.round), kindBroadcast, m}, {uint8(show.round + 1), kindBroadcast, m}, {uint8(show.round + 1), kindPrivate, m},
	} {
		if r := s.box.get(at); r != nil && show.round > 0 {
			proof = append(proof, r)
		}
	}
	f := s.fault(m, show.round+1, Invalid, otherEcho).by(s.me, proof...)
	if !s.echoed(show.round + 1) {
		f.Evidence = nil // a value stands in a broadcast, which everyone has
	}
	return f
}

// openedShow is what a member shows in a dispute: the broadcasts of a round that it
// received from all others, what its protocol adds, and at most one message of the
// next round that caused the dispute. broadcasts holds the cause too if it is one.
type openedShow struct {
	round      int
	exhibit    []byte
	broadcasts []*received
	cause      *received
}

// unshown returns the members that haven't shown a round.
func (s *Session) unshown(round int) []Member {
	out := s.missing(slot{round: roundShow, kind: kindBroadcast})
	for _, seat := range s.seats {
		if shown := s.box.get(slot{roundShow, kindBroadcast, seat.Number}); shown != nil {
			if show, err := s.showOf(seat.Number, shown); err == nil && show.round != round {
				out = append(out, seat.Number)
			}
		}
	}
	return out
}

// showOf is readShow of the show that m sent to me, read once.
func (s *Session) showOf(m Member, from *received) (*openedShow, error) {
	if known := s.shows[m]; known != nil {
		return known, nil
	}
	show, err := s.readShow(m, from)
	if err == nil {
		if s.shows == nil {
			s.shows = make(map[Member]*openedShow)
		}
		s.shows[m] = show
	}
	return show, err
}

// readShow opens what m shows. It reads alike at all members.
func (s *Session) readShow(m Member, from *received) (*openedShow, error) {
	r := NewReader(from.body)
	out := &openedShow{round: int(r.U8()), exhibit: r.LP()}
	envelopes, err := readEnvelopes(r)
	if err != nil {
		return nil, err
	}
	cause, err := readEnvelopes(r)
	if err == nil {
		err = r.Close()
	}
	if err != nil {
		return nil, err
	}
	want := slices.DeleteFunc(s.Members(), func(o Member) bool { return o == m || s.size(out.round, kindBroadcast, o, 0) < 0 })
	if out.round >= len(s.rounds) || len(envelopes) != len(want) || len(cause) > 1 {
		return nil, errEncoding
	}
	for i, e := range envelopes {
		e.From = s.Identity(want[i])
		env, ok := open(e)
		if !ok || env.slot() != (slot{uint8(out.round), kindBroadcast, want[i]}) || !s.box.belongs(env) ||
			!e.From.VerifyEnvelope(e.Message, e.Signature) {
			return nil, errEncoding
		}
		out.broadcasts = append(out.broadcasts, env)
	}
	for _, e := range cause {
		env, ok := open(e)
		if !ok {
			return nil, errEncoding
		}
		env.From = s.Identity(env.from)
		if env.kind == kindPrivate && env.to != m || env.kind == kindBroadcast && env.to != 0 || env.kind > kindPrivate ||
			env.from == m || int(env.round) != out.round+1 || !s.box.belongs(env) || !env.From.VerifyEnvelope(e.Message, e.Signature) {
			return nil, errEncoding
		}
		if out.cause = env; env.kind == kindBroadcast {
			out.broadcasts = append(out.broadcasts, env)
		}
	}
	return out, nil
}

func (s *Session) malformedShow(m Member, shown *received) *Fault {
	return s.fault(m, roundShow, Malformed, "what it shows of a round doesn't decode, or isn't signed").by(s.me, shown)
}

// grounded reports whether a show opens a dispute for me too: I hold a message whose
// echo or value differs, or the show brings one. Without a ground it has no effect.
func (s *Session) grounded(show *openedShow) bool {
	if show.round >= s.next {
		return false // a round that I haven't ended
	}
	if show.cause != nil && s.contradicts(show.cause) {
		return true
	}
	return slices.ContainsFunc(s.seats, func(o seat) bool { return s.differs(o.Number, show.round) != nil })
}

// convictShow judges a show together with m's other messages: the echo that m
// put into its next round must be that of the broadcasts it shows.
func (s *Session) convictShow(m, to Member, shown *received, seen map[slot]*received) *Fault {
	show, err := s.readShow(m, shown)
	if err != nil {
		return s.malformedShow(m, shown).by(to, shown)
	}
	own := seen[slot{uint8(show.round), kindBroadcast, m}]
	if own == nil || !s.echoed(show.round+1) {
		return nil
	}
	bodies := make([][]byte, len(s.seats))
	for i, seat := range s.seats {
		if seat.Number == m {
			bodies[i] = own.body
		}
		for _, r := range show.broadcasts {
			if r.from == seat.Number && int(r.round) == show.round {
				bodies[i] = r.body
			}
		}
	}
	echo := s.echoOf(show.round, bodies)
	for _, kind := range []uint8{kindBroadcast, kindPrivate} {
		if next := seen[slot{uint8(show.round + 1), kind, m}]; next != nil && next.echo != echo {
			return s.fault(m, show.round+1, Invalid, otherEcho).by(to, shown, own, next)
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
