package tss

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/cofferhq/coffer/tss/hash"
)

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
