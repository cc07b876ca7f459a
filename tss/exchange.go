package tss

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/tss/hash"
)

// Broadcast runs a round in which every member sends everyone the same body. It
// returns all bodies in the order of Members, the own one included.
func (s *Session) Broadcast(ctx context.Context, body []byte) ([][]byte, error) {
	bodies, _, err := s.Scatter(ctx, body, nil)
	return bodies, err
}

// Agree is Broadcast with a value, the last 32 bytes of each body, that must be
// the same for all members. Where values differ, the members show each other the
// signed broadcasts of the round before and whoever lied is named. It returns the
// bodies without the value.
func (s *Session) Agree(ctx context.Context, body []byte, value hash.Digest) ([][]byte, error) {
	s.value = value[:]
	bodies, err := s.Broadcast(ctx, append(slices.Clone(body), value[:]...))
	if err != nil {
		return nil, err
	}
	differ := false
	for i, b := range bodies {
		differ = differ || !bytes.HasSuffix(b, value[:])
		bodies[i] = b[:len(b)-hash.Size]
	}
	if differ {
		return nil, s.dispute(ctx, s.next-1)
	}
	return bodies, nil
}

// Scatter runs a round in which every member sends everyone the same broadcast
// body, and each a private one. It returns both kinds in the order of Members;
// the own private body is nil.
func (s *Session) Scatter(ctx context.Context, body []byte, private func(to Member) []byte) (bodies, privates [][]byte, err error) {
	if s.next >= len(s.rounds) {
		return nil, nil, fmt.Errorf("tss: the session has no round %d", s.next+1)
	}
	r := s.rounds[s.next]
	s.next++
	number := uint8(s.next)
	if r.broadcasts() {
		if err := s.send(ctx, s.others, s.message(number, kindBroadcast, 0, s.echo, body)); err != nil {
			return nil, nil, err
		}
	}
	if private != nil {
		for _, seat := range s.seats {
			if seat.Number == s.me {
				continue
			}
			m := s.message(number, kindPrivate, seat.Number, s.echo, private(seat.Number))
			if err := s.send(ctx, []IdentityKey{seat.Key}, m); err != nil {
				return nil, nil, err
			}
		}
	}

	err = s.await(ctx, s.next, func() []Member {
		var out []Member
		if r.broadcasts() {
			out = s.missing(slot{round: number, kind: kindBroadcast})
		}
		if r.Private > 0 {
			out = append(out, s.missing(slot{round: number, kind: kindPrivate})...)
		}
		return out
	})
	if err != nil {
		return nil, nil, err
	}
	return s.collect(ctx, r, number, body)
}

// collect checks lengths and echoes of a round that has come in whole, from all
// members in their order.
func (s *Session) collect(ctx context.Context, r Round, number uint8, own []byte) (bodies, privates [][]byte, err error) {
	var faults Faults
	differ := false
	if r.broadcasts() {
		bodies = make([][]byte, len(s.seats))
	}
	if r.Private > 0 {
		privates = make([][]byte, len(s.seats))
	}
	take := func(i int, kind uint8, into [][]byte) {
		m := s.seats[i].Number
		got := s.box.get(slot{number, kind, m})
		switch {
		case len(got.body) != s.size(int(number), kind, m, s.me):
			faults = faults.with(s.fault(m, int(number), Malformed, wrongLength).by(s.me, got))
		case got.echo != s.echo && !s.echoed(int(number)):
			faults = faults.with(s.fault(m, int(number), Malformed, echoSet).by(s.me, got))
		case got.echo != s.echo:
			differ = true
		}
		into[i] = got.body
	}
	for i, seat := range s.seats {
		if seat.Number == s.me {
			if bodies != nil {
				bodies[i] = own
			}
			continue
		}
		if bodies != nil {
			take(i, kindBroadcast, bodies)
		}
		if privates != nil {
			take(i, kindPrivate, privates)
		}
	}
	if len(faults) > 0 {
		return nil, nil, s.accuse(ctx, faults)
	}
	if differ {
		return nil, nil, s.dispute(ctx, int(number)-1)
	}
	s.echo = hash.Digest{}
	if r.broadcasts() && !r.NoEcho {
		s.echo = s.echoOf(int(number), bodies)
	}
	s.echoes = append(s.echoes, s.echo)
	return bodies, privates, nil
}

// size returns the exact body length of a message in the rounds of the protocol,
// or -1 for a round it doesn't have.
func (s *Session) size(round int, kind uint8, from, to Member) int {
	if round < 1 || round > len(s.rounds) {
		return -1
	}
	r := s.rounds[round-1]
	switch {
	case kind == kindBroadcast && r.broadcasts():
		return r.Broadcast + r.PerID*len(s.IDs(from))
	case kind == kindPrivate && r.Private > 0:
		return r.Private * len(s.IDs(to))
	}
	return -1
}

func (s *Session) echoOf(round int, bodies [][]byte) hash.Digest {
	list := make([]byte, 0, len(bodies)*(2+hash.Size))
	for i, seat := range s.seats {
		d := hash.Sum("body", bodies[i])
		list = append(binary.BigEndian.AppendUint16(list, uint16(seat.Number)), d[:]...)
	}
	return hash.Sum("echo", s.head.sid[:], []byte{uint8(round)}, list)
}

func (s *Session) missing(at slot) []Member {
	var out []Member
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	for _, seat := range s.seats {
		at.from = seat.Number
		if seat.Number != s.me && s.box.slots[at] == nil {
			out = append(out, seat.Number)
		}
	}
	return out
}

// await blocks until nobody is missing. It ends early with the error of a proven
// fault, with the absent where ctx ends, or with the channel's error.
func (s *Session) await(ctx context.Context, round int, missing func() []Member) error {
	for {
		if err := s.control(ctx); err != nil {
			return err
		}
		absent := missing()
		if len(absent) == 0 {
			return nil
		}
		select {
		case <-s.box.wake:
		case <-ctx.Done():
			return s.absence(ctx, round, absent)
		case <-s.node.done:
			return s.node.failure()
		}
	}
}

const wrongLength = "body has a wrong length"

// absence is the error of a deadline: who is missing, and who is guilty all the same.
func (s *Session) absence(ctx context.Context, round int, absent []Member) error {
	var faults Faults
	for _, seat := range s.seats { // who did send, but wrongly, is named all the same
		for _, kind := range []uint8{kindBroadcast, kindPrivate} {
			r := s.box.get(slot{uint8(round), kind, seat.Number})
			if want := s.size(round, kind, seat.Number, s.me); r != nil && want >= 0 && len(r.body) != want {
				faults = faults.with(s.fault(seat.Number, round, Malformed, wrongLength))
			}
		}
	}
	slices.Sort(absent)
	for _, m := range slices.Compact(absent) {
		faults = faults.with(s.fault(m, round, Absent, ""))
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), faults.sort())
}
