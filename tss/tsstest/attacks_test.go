package tsstest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/dkg"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/tsstest"
)

// The tables of this file say for each cheat what every honest member must report.
// The cheater is member 2; member 1 is the victim where there is only one.
const (
	cheater = 1 // index of the node
	victim  = 0
	guilty  = tss.Member(2)
)

type cheat struct {
	name string
	// tamper replaces messages of the cheater; toVictim tells the receivers apart.
	tamper func(m tsstest.Message, toVictim bool) []tsstest.Message
	// deal replaces the cheater's whole key generation.
	deal func(ctx context.Context, s *tss.Session) error

	succeeds     bool       // honest members finish: the cheat has no effect
	kinds        []tss.Kind // what honest members say of the cheater, any of these
	unproved     bool       // nobody is named
	absentOnly   bool       // the cheater is missing, not guilty
	partial      bool       // some honest members may finish, the others name nobody
	attackNumber string     // of the specification
}

// one applies a change to the cheater's broadcast (or private) message of a round.
func one(round int, private bool, change func(m tsstest.Message, toVictim bool) []tsstest.Message) func(tsstest.Message, bool) []tsstest.Message {
	return func(m tsstest.Message, toVictim bool) []tsstest.Message {
		if m.Round() == round && m.Private() == private {
			return change(m, toVictim)
		}
		return []tsstest.Message{m}
	}
}

func body(f func(b []byte) []byte) func(tsstest.Message, bool) []tsstest.Message {
	return func(m tsstest.Message, _ bool) []tsstest.Message {
		return []tsstest.Message{m.With(f(slices.Clone(m.Body())))}
	}
}

func bodyToVictim(f func(b []byte) []byte) func(tsstest.Message, bool) []tsstest.Message {
	return func(m tsstest.Message, toVictim bool) []tsstest.Message {
		if !toVictim {
			return []tsstest.Message{m}
		}
		return []tsstest.Message{m.With(f(slices.Clone(m.Body())))}
	}
}

func flip(i int) func([]byte) []byte {
	return func(b []byte) []byte {
		if i < 0 {
			b[len(b)+i] ^= 1
		} else {
			b[i] ^= 1
		}
		return b
	}
}

func short(b []byte) []byte { return b[:len(b)-1] }
func long(b []byte) []byte  { return append(b, 0) }
func empty([]byte) []byte   { return nil }

func put(at int, with []byte) func([]byte) []byte {
	return func(b []byte) []byte { copy(b[at:], with); return b }
}

func silent(tsstest.Message, bool) []tsstest.Message { return nil }

func silentToVictim(m tsstest.Message, toVictim bool) []tsstest.Message {
	if toVictim {
		return nil
	}
	return []tsstest.Message{m}
}

func echo(onlyVictim bool) func(tsstest.Message, bool) []tsstest.Message {
	return func(m tsstest.Message, toVictim bool) []tsstest.Message {
		if toVictim || !onlyVictim {
			m.Echo()[5] ^= 1
		}
		return []tsstest.Message{m}
	}
}

// thenGone answers nothing after the rounds, so that it shows and accuses nobody.
func thenGone(tamper func(tsstest.Message, bool) []tsstest.Message) func(tsstest.Message, bool) []tsstest.Message {
	return func(m tsstest.Message, toVictim bool) []tsstest.Message {
		if m.Round() >= roundShow {
			return nil
		}
		return tamper(m, toVictim)
	}
}

// and sends the true message, then another one beside it.
func and(other func(m tsstest.Message) tsstest.Message) func(tsstest.Message, bool) []tsstest.Message {
	return func(m tsstest.Message, _ bool) []tsstest.Message { return []tsstest.Message{m, other(m)} }
}

// before sends another message first.
func before(other func(m tsstest.Message) tsstest.Message) func(tsstest.Message, bool) []tsstest.Message {
	return func(m tsstest.Message, _ bool) []tsstest.Message { return []tsstest.Message{other(m), m} }
}

var (
	bad         = []tss.Kind{tss.Malformed}
	wrong       = []tss.Kind{tss.Invalid}
	twice       = []tss.Kind{tss.Equivocated}
	badOrTwice  = []tss.Kind{tss.Malformed, tss.Equivocated}
	wrongOrTwin = []tss.Kind{tss.Invalid, tss.Equivocated}
)

// accusation is the body of an abort that accuses a member with the messages.
func accusation(accused, victim tss.Member, evidence ...[]byte) []byte {
	b := append([]byte{1}, hash.U16(uint16(accused))...)
	b = append(b, hash.U16(uint16(victim))...)
	b = append(b, hash.U16(uint16(len(evidence)))...)
	for _, m := range evidence {
		b = append(append(b, hash.U64(uint64(len(m)))...), m...)
		b = append(b, make([]byte, 64)...)
	}
	return b
}

// control turns a message into one of the rounds outside the protocol.
func control(round int, b []byte) func(m tsstest.Message) tsstest.Message {
	return func(m tsstest.Message) tsstest.Message {
		out := m.As(round).With(b)
		clear(out.Echo())
		return out
	}
}

// emptyShow is the body of a show of a round that has no broadcasts.
func emptyShow(round byte) []byte {
	return append(append([]byte{round}, hash.U64(0)...), 0, 0, 0, 0)
}

const (
	roundShow  = 254
	roundAbort = 255
)

func size(g group.Group) int { return g.PointSize() }

func dkgCheats(suite tss.Suite, threshold int) []cheat {
	g := suite.Group()
	p := size(g)
	pointA, pointK := 0, threshold*p
	scalarZ := 2 * threshold * p
	chainCode := scalarZ + 32*threshold
	order := make([]byte, 32) // the smallest integer that isn't a scalar
	copy(order, g.Uint(1).Neg().Bytes())
	if suite == tss.SuiteEd25519 {
		order[0]++
	} else {
		order[31]++
	}
	identity := make([]byte, p)
	if suite == tss.SuiteEd25519 {
		identity[0] = 1
	}
	list := []cheat{
		// Round 1: the commitment.
		{name: "R1 short", tamper: one(1, false, body(short)), kinds: bad},
		{name: "R1 long", tamper: one(1, false, body(long)), kinds: bad},
		{name: "R1 empty", tamper: one(1, false, body(empty)), kinds: bad},
		{name: "R1 short to one", tamper: one(1, false, bodyToVictim(short)), kinds: badOrTwice},
		{name: "R1 differs to one", attackNumber: "A10 C4", tamper: one(1, false, bodyToVictim(flip(3))), kinds: wrongOrTwin},
		{name: "R1 differs to all from R2", attackNumber: "A8", tamper: one(1, false, body(flip(3))), kinds: wrong},
		{name: "R1 twice, differing", attackNumber: "C4", tamper: one(1, false, and(func(m tsstest.Message) tsstest.Message { return m.With(flip(0)(slices.Clone(m.Body()))) })), kinds: twice},
		{name: "R1 never", tamper: one(1, false, silent), absentOnly: true},
		{name: "R1 not to one", tamper: one(1, false, silentToVictim), absentOnly: true},
		{name: "R1 with an echo", tamper: one(1, false, echo(false)), kinds: bad},
		{name: "R1 duplicated", attackNumber: "A57", tamper: one(1, false, and(func(m tsstest.Message) tsstest.Message { return slices.Clone(m) })), succeeds: true},
		{name: "R1 under another's number", attackNumber: "C5", tamper: one(1, false, and(func(m tsstest.Message) tsstest.Message { return m.Sender(3).With(make([]byte, 32)) })), succeeds: true},
		{name: "R1 under another's number first", attackNumber: "A79", tamper: one(1, false, before(func(m tsstest.Message) tsstest.Message { return m.Sender(1).With(make([]byte, 32)) })), succeeds: true},
		{name: "rounds that don't exist", tamper: one(1, false, and(func(m tsstest.Message) tsstest.Message { return m.As(77) })), succeeds: true},
		{name: "R3 early, differing", attackNumber: "A57", tamper: one(1, false, and(func(m tsstest.Message) tsstest.Message { return m.As(3).With(make([]byte, tss.StatementSize)) })), kinds: twice},

		// Round 2: the reveal, to everyone.
		{name: "R2 short", attackNumber: "A4 A6", tamper: one(2, false, body(short)), kinds: bad},
		{name: "R2 long", attackNumber: "A3", tamper: one(2, false, body(long)), kinds: bad},
		{name: "R2 empty", tamper: one(2, false, body(empty)), kinds: bad},
		{name: "R2 another constant term", attackNumber: "A5", tamper: one(2, false, body(put(pointA, g.Generator().Bytes()))), kinds: wrong},
		{name: "R2 another nonce", tamper: one(2, false, body(put(pointK, g.Generator().Bytes()))), kinds: wrong},
		{name: "R2 identity as constant term", attackNumber: "A4", tamper: one(2, false, body(put(pointA, identity))), kinds: bad},
		{name: "R2 identity as top coefficient", attackNumber: "A4", tamper: one(2, false, body(put(pointK-p, identity))), kinds: bad},
		{name: "R2 identity as nonce", tamper: one(2, false, body(put(pointK, identity))), kinds: bad},
		{name: "R2 no point", tamper: one(2, false, body(put(pointA, make([]byte, p)))), kinds: bad},
		{name: "R2 response not below the order", attackNumber: "A64", tamper: one(2, false, body(put(scalarZ, order))), kinds: bad},
		{name: "R2 response 0", tamper: one(2, false, body(put(scalarZ, make([]byte, 32)))), kinds: wrong},
		{name: "R2 another chain code", attackNumber: "A10", tamper: one(2, false, body(flip(chainCode))), kinds: wrong},
		{name: "R2 another chain code to one", attackNumber: "A10", tamper: one(2, false, bodyToVictim(flip(chainCode))), kinds: wrongOrTwin},
		{name: "R2 another opening", tamper: one(2, false, body(flip(-1))), kinds: wrong},
		{name: "R2 never", tamper: one(2, false, silent), absentOnly: true},
		{name: "R2 wrong echo", tamper: one(2, false, echo(false)), kinds: wrong},
		{name: "R2 wrong echo to one", tamper: one(2, false, echo(true)), kinds: wrongOrTwin},

		// Round 2: the shares, to each.
		{name: "R2 wrong share to all", attackNumber: "A11", tamper: one(2, true, body(flip(9))), kinds: wrong},
		{name: "R2 wrong share to one", attackNumber: "A11", tamper: one(2, true, bodyToVictim(flip(9))), kinds: wrong},
		{name: "R2 share 0 to one", tamper: one(2, true, bodyToVictim(put(0, make([]byte, 32)))), kinds: wrong},
		{name: "R2 share not below the order to one", attackNumber: "A64", tamper: one(2, true, bodyToVictim(put(0, order))), kinds: bad},
		{name: "R2 share short to one", tamper: one(2, true, bodyToVictim(short)), kinds: bad},
		{name: "R2 share long to one", tamper: one(2, true, bodyToVictim(long)), kinds: bad},
		{name: "R2 share wrong echo to one", tamper: one(2, true, echo(true)), kinds: wrong},
		{name: "R2 share never to one", tamper: one(2, true, silentToVictim), absentOnly: true},
		{name: "R2 share with another receiver's number", attackNumber: "A61", tamper: one(2, true, func(m tsstest.Message, _ bool) []tsstest.Message { return []tsstest.Message{m.To(9)} }), absentOnly: true},

		// Round 3: the vote.
		{name: "R3 short", tamper: one(3, false, body(short)), kinds: bad},
		{name: "R3 no signature", tamper: one(3, false, body(flip(-1))), kinds: wrong},
		{name: "R3 another kind", tamper: one(3, false, body(put(0, []byte{2}))), kinds: wrong},
		{name: "R3 for another sharing", tamper: one(3, false, body(flip(1+32+8+8+4))), kinds: wrong},
		{name: "R3 of another member", tamper: one(3, false, body(flip(1+32+8+8+4+32+1))), kinds: wrong},
		{name: "R3 wrong echo, then gone", tamper: thenGone(one(3, false, echo(false))), unproved: true},
		{name: "R3 never", attackNumber: "C8", tamper: one(3, false, silent), absentOnly: true},
		{name: "R3 not to one", attackNumber: "A12 C8", tamper: one(3, false, silentToVictim), partial: true},
		{name: "R3 no signature to one", tamper: one(3, false, bodyToVictim(flip(-1))), partial: true, kinds: wrongOrTwin},

		// Outside the rounds.
		{name: "accusation without evidence", attackNumber: "A11", tamper: one(2, false, and(control(roundAbort, accusation(3, 2)))), kinds: wrong},
		{name: "accusation with a forged message", attackNumber: "A11", tamper: one(2, false, and(func(m tsstest.Message) tsstest.Message {
			return control(roundAbort, accusation(3, 2, m.Sender(3).With(nil)))(m)
		})), kinds: wrong},
		{name: "accusation of nobody", tamper: one(2, false, and(control(roundAbort, accusation(9, 2)))), kinds: wrong},
		{name: "accusation of itself", tamper: one(2, false, and(control(roundAbort, accusation(2, 2)))), kinds: wrong},
		{name: "accusation that doesn't decode", tamper: one(2, false, and(control(roundAbort, []byte{9, 9}))), kinds: bad},
		{name: "accusation of nothing", tamper: one(2, false, and(control(roundAbort, []byte{0}))), succeeds: true},
		{name: "accusation, empty", tamper: one(2, false, and(control(roundAbort, nil))), kinds: bad},
		{name: "dispute about nothing that doesn't decode", tamper: one(2, false, and(control(roundShow, []byte{1}))), kinds: bad},
		{name: "dispute of a round that doesn't exist", tamper: one(2, false, and(control(roundShow, emptyShow(200)))), kinds: bad},
		{name: "dispute of a control round", attackNumber: "A58", tamper: one(2, false, and(control(roundShow, emptyShow(254)))), kinds: bad},
		{name: "dispute without a ground", tamper: one(2, false, and(control(roundShow, emptyShow(0)))), succeeds: true},
		{name: "disputes of two rounds", tamper: one(2, false, func(m tsstest.Message, toVictim bool) []tsstest.Message {
			if toVictim {
				return []tsstest.Message{m, control(roundShow, emptyShow(0))(m)}
			}
			return []tsstest.Message{m, control(roundShow, emptyShow(2))(m)}
		}), kinds: bad, partial: true},
		{name: "wrong share, hidden behind large aborts", tamper: func(m tsstest.Message, toVictim bool) []tsstest.Message {
			if m.Round() != 2 || !m.Private() || !toVictim {
				return []tsstest.Message{m}
			}
			var out []tsstest.Message
			for i, size := range []int{1500 << 10, 460 << 10, 461 << 10} {
				out = append(out, control(roundAbort, slices.Repeat([]byte{byte(i + 1)}, size))(m.Broadcast()))
			}
			m.Body()[9] ^= 1
			return append(out, m)
		}, kinds: []tss.Kind{tss.Malformed, tss.Invalid}},
		{name: "R3 wrong echo, behind a show of another round", tamper: func(m tsstest.Message, _ bool) []tsstest.Message {
			switch {
			case m.Round() == 1:
				return []tsstest.Message{m, control(roundShow, emptyShow(0))(m), control(roundAbort, []byte{0})(m)}
			case m.Round() == 3:
				m.Echo()[3] ^= 1
			case m.Round() >= roundShow:
				return nil
			}
			return []tsstest.Message{m}
		}, unproved: true},
		{name: "an abort that is passed on, about nothing", tamper: one(2, false, and(func(m tsstest.Message) tsstest.Message {
			return control(roundAbort, accusation(3, 2, control(roundAbort, []byte{0})(m.Sender(3))))(m)
		})), kinds: wrong},
		{name: "show of forged broadcasts", attackNumber: "A11", tamper: one(2, false, and(func(m tsstest.Message) tsstest.Message {
			show := append([]byte{1}, hash.U64(0)...)
			show = append(show, 0, 3)
			for _, from := range []tss.Member{1, 3, 4} {
				forged := m.As(1).Sender(from).With(make([]byte, 32))
				clear(forged.Echo())
				show = append(append(show, hash.U64(uint64(len(forged)))...), forged...)
				show = append(show, make([]byte, 64)...)
			}
			return control(roundShow, append(show, 0, 0))(m)
		})), kinds: bad},
		{name: "wrong share, hidden behind padding", tamper: func(m tsstest.Message, toVictim bool) []tsstest.Message {
			out := []tsstest.Message{m}
			if m.Round() == 1 {
				for _, round := range []int{4, 5, 6, 7, 8, 9, 100, 253} {
					out = append(out, m.As(round).With(make([]byte, 1<<20)), m.As(round).With(make([]byte, 60<<10)))
				}
			}
			if m.Round() == 2 && m.Private() && toVictim {
				m.Body()[9] ^= 1
			}
			return out
		}, kinds: append(wrongOrTwin, tss.Malformed)},
		{name: "wrong share after a dispute without a ground", tamper: func(m tsstest.Message, toVictim bool) []tsstest.Message {
			out := []tsstest.Message{m}
			if m.Round() == 1 {
				out = append(out, control(roundShow, emptyShow(0))(m))
			}
			if m.Round() == 2 && m.Private() && toVictim {
				m.Body()[9] ^= 1
			}
			return out
		}, kinds: wrong},
	}
	st := func(s *tss.Session) dkg.Setting {
		return dkg.Setting{Suite: suite, Session: s.ID(), Threshold: threshold}
	}
	return append(list,
		cheat{name: "proof replayed from another session", attackNumber: "A7 C2 A56", kinds: wrong, deal: func(ctx context.Context, s *tss.Session) error {
			other := st(s)
			other.Session = hash.Sum("earlier")
			return cheatDealing(ctx, s, other, guilty, nil)
		}},
		cheat{name: "proof made as another member", attackNumber: "A7 C5", kinds: wrong, deal: func(ctx context.Context, s *tss.Session) error {
			return cheatDealing(ctx, s, st(s), 3, nil)
		}},
		cheat{name: "another chain code, with a vote for what follows", attackNumber: "A8 A10", kinds: wrong, deal: func(ctx context.Context, s *tss.Session) error {
			return rushingDealing(ctx, s, st(s), flip(chainCode))
		}},
		cheat{name: "wrong proof, properly committed to", attackNumber: "A5", kinds: wrong, deal: func(ctx context.Context, s *tss.Session) error {
			return cheatDealing(ctx, s, st(s), guilty, flip(scalarZ+8))
		}},
		cheat{name: "rogue key with a copied proof, properly committed to", attackNumber: "A5 C6", kinds: wrong, deal: func(ctx context.Context, s *tss.Session) error {
			return cheatDealing(ctx, s, st(s), guilty, put(pointA, g.BaseMul(g.Uint(12345)).Bytes()))
		}},
		cheat{name: "degree raised, shares fit", attackNumber: "A3 C6", kinds: bad, deal: func(ctx context.Context, s *tss.Session) error {
			other := st(s)
			other.Threshold++
			return cheatDealing(ctx, s, other, guilty, nil)
		}},
		cheat{name: "degree lowered, shares fit", attackNumber: "A4 C6", kinds: bad, deal: func(ctx context.Context, s *tss.Session) error {
			other := st(s)
			other.Threshold--
			return cheatDealing(ctx, s, other, guilty, nil)
		}},
	)
}

// cheatDealing runs the rounds of key generation honestly but for its dealing,
// which is made under another setting or number, or altered before it is committed
// to.
func cheatDealing(ctx context.Context, s *tss.Session, st dkg.Setting, as tss.Member, alter func([]byte) []byte) error {
	agreed := dkg.Setting{Suite: st.Suite, Session: s.ID(), Threshold: s.Proposal().Threshold}
	s.Start([]tss.Round{
		{Broadcast: hash.Size},
		{Broadcast: agreed.RevealSize(), Private: group.ScalarSize},
		{Broadcast: tss.StatementSize, NoEcho: true},
	}, func(_, _ tss.Member, _ tss.Messages) error { return nil })
	d, err := dkg.Deal(st, as, s.Rand())
	if err != nil {
		return err
	}
	reveal := slices.Clone(d.Reveal())
	if alter != nil {
		reveal = alter(reveal)
	}
	// The commitment, computed here once more from its definition.
	n := st.Threshold * st.Suite.Group().PointSize()
	z := 2*n + st.Threshold*group.ScalarSize
	sid := s.ID()
	c := hash.Sum("dkg/com", sid[:], hash.U16(uint16(guilty)), reveal[:n], reveal[n:2*n], reveal[2*n:z], reveal[z:z+32], reveal[z+32:])
	if _, err := s.Broadcast(ctx, c[:]); err != nil {
		return err
	}
	_, _, err = s.Scatter(ctx, reveal, func(to tss.Member) []byte { return d.Share(s.IDs(to)) })
	return err
}

// rushingDealing alters its reveal after it committed to another one, and goes on to
// the vote as if nothing were wrong.
func rushingDealing(ctx context.Context, s *tss.Session, st dkg.Setting, alter func([]byte) []byte) error {
	s.Start([]tss.Round{
		{Broadcast: hash.Size},
		{Broadcast: st.RevealSize(), Private: group.ScalarSize},
		{Broadcast: tss.StatementSize, NoEcho: true},
	}, func(_, _ tss.Member, _ tss.Messages) error { return nil })
	d, err := dkg.Deal(st, guilty, s.Rand())
	if err != nil {
		return err
	}
	c := d.Commit()
	if _, err := s.Broadcast(ctx, c[:]); err != nil {
		return err
	}
	bodies, _, err := s.Scatter(ctx, alter(slices.Clone(d.Reveal())), func(to tss.Member) []byte { return d.Share(s.IDs(to)) })
	if err != nil {
		return err
	}
	// The sharing that follows from what everyone revealed.
	g, t := st.Suite.Group(), st.Threshold
	sum := make([]group.Point, t)
	sid := s.ID()
	parts := [][]byte{sid[:]}
	for k := range sum {
		sum[k] = g.Identity()
	}
	for _, b := range bodies {
		r, err := st.DecodeReveal(b)
		if err != nil {
			return err
		}
		for k := range sum {
			sum[k] = sum[k].Add(r.Commitment[k])
		}
		parts = append(parts, r.ChainCode[:])
	}
	var commitment []byte
	for _, p := range sum {
		commitment = p.AppendBytes(commitment)
	}
	cc, e1, e2 := hash.Sum("dkg/cc", parts...), s.Echo(1), s.Echo(2)
	fingerprint := hash.Sum("dkg/T", sid[:], commitment, cc[:], e1[:], e2[:], make([]byte, 32))
	vote := s.SignStatement(tss.Statement{
		Kind: tss.StatementYes, KeyID: hash.Sum("keyid", sid[:]), Target: 1, Attempt: 1, T: fingerprint,
	})
	_, err = s.Broadcast(ctx, vote.Bytes())
	return err
}

// A cheater turns what an honest member really signed against it: a private message as
// if it had been for somebody else, and a message of an earlier session.
func TestTrueMessagesFrameNobody(t *testing.T) {
	t.Parallel()
	const framed = 2 // index of the honest member that is accused
	for name, use := range map[string]func(earlier, now []tsstest.Message) []tsstest.Message{
		"private message for somebody else": func(_, now []tsstest.Message) []tsstest.Message { return now },
		"broadcast of another session":      func(earlier, _ []tsstest.Message) []tsstest.Message { return earlier[:1] },
	} {
		synctestRun(t, name, func(t *testing.T) {
			cl := tsstest.NewCluster(t, 7, 3, tsstest.Single(4)...)
			var mu sync.Mutex
			var seen []tsstest.Message // round 2 of the framed member, as the cheater got it
			cl.Net.Watch = func(from, to tss.IdentityKey, m tsstest.Message) {
				mu.Lock()
				defer mu.Unlock()
				if from == cl.Identities[framed].Public() && to == cl.Identities[cheater].Public() && m.Round() == 2 {
					seen = append(seen, m)
				}
			}
			cl.Keygen(tss.SuiteEd25519)
			mu.Lock()
			earlier := seen
			seen = nil
			mu.Unlock()

			cl.Net.Tamper = func(from, _ tss.IdentityKey, m tsstest.Message) []tsstest.Message {
				if from != cl.Identities[cheater].Public() || m.Round() != 3 {
					return []tsstest.Message{m}
				}
				mu.Lock()
				evidence := use(earlier, seen)
				mu.Unlock()
				body := append([]byte{1}, hash.U16(uint16(framed+1))...)
				body = append(body, hash.U16(1)...) // victim
				body = append(body, hash.U16(uint16(len(evidence)))...)
				for _, e := range evidence {
					sig, err := cl.Identities[framed].SignEnvelope(e) // as it was sent
					if err != nil {
						t.Error(err)
					}
					body = append(append(append(body, hash.U64(uint64(len(e)))...), e...), sig...)
				}
				return []tsstest.Message{control(roundAbort, body)(m)}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for i, r := range cl.TryKeygen(ctx, tss.SuiteEd25519) {
				if i != cheater {
					cheat{kinds: wrong}.judge(t, i, r.Err)
				}
			}
		})
	}
}

// Two colluders try to have member 4 convicted by member 1: Y sends them different
// broadcasts, and X accuses Y to member 4 alone, with the one that member 4 has.
func TestNobodyIsFramedByAHalfTruth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const a, x, y, b = 0, 1, 2, 3
		cl := tsstest.NewCluster(t, 7, 3, tsstest.Single(4)...)
		key := func(i int) tss.IdentityKey { return cl.Identities[i].Public() }
		sign := func(i int, m tsstest.Message) tss.Envelope {
			sig, err := cl.Identities[i].SignEnvelope(m)
			if err != nil {
				t.Error(err)
			}
			return tss.Envelope{From: key(i), Message: m, Signature: sig}
		}
		cl.Net.Tamper = func(from, to tss.IdentityKey, m tsstest.Message) []tsstest.Message {
			switch {
			case m.Round() == 0 || from == key(a) || from == key(b):
				return []tsstest.Message{m}
			case from == key(y) && m.Round() == 1 && to == key(b):
				proof := sign(y, slices.Clone(m))
				abort := accusation(3, 4, proof.Message)
				copy(abort[len(abort)-64:], proof.Signature)
				accuse := sign(x, control(roundAbort, abort)(m.Sender(2)))
				time.AfterFunc(time.Millisecond, func() { cl.Net.Inject(key(b), accuse) })
				return []tsstest.Message{m}
			case from == key(y) && m.Round() == 1:
				m.Body()[3] ^= 1
				return []tsstest.Message{m}
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		results := cl.TryKeygen(ctx, tss.SuiteEd25519)
		for _, i := range []int{a, b} {
			culprits := tss.Culprits(results[i].Err)
			if len(culprits) == 0 || slices.Contains(culprits, 1) || slices.Contains(culprits, 4) {
				t.Errorf("node %d: %v", i, results[i].Err)
			}
		}
	})
}

func TestKeygenCheats(t *testing.T) {
	t.Parallel()
	for _, suite := range []tss.Suite{tss.SuiteBIP340, tss.SuiteEd25519} {
		for _, c := range dkgCheats(suite, 3) {
			t.Run(fmt.Sprintf("%s/%s", suite, c.name), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { runKeygenCheat(t, suite, c) })
			})
		}
	}
}

func (c cheat) install(cl *tsstest.Cluster) {
	if c.tamper == nil {
		return
	}
	cl.Net.Tamper = func(from, to tss.IdentityKey, m tsstest.Message) []tsstest.Message {
		if from != cl.Identities[cheater].Public() || m.Round() == 0 {
			return []tsstest.Message{m}
		}
		return c.tamper(m, to == cl.Identities[victim].Public())
	}
}

func runKeygenCheat(t *testing.T, suite tss.Suite, c cheat) {
	cl := tsstest.NewCluster(t, 7, 3, tsstest.Single(4)...)
	c.install(cl)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	p := cl.KeygenProposal(suite)
	results := tsstest.Each(ctx, cl, nil, func(ctx context.Context, i int, n *tss.Node) (tsstest.KeyShareOf, error) {
		if i != cheater || c.deal == nil {
			return tsstest.Keygen(ctx, n, p, nil)
		}
		s, err := n.Join(ctx, p, nil)
		if err != nil {
			return tsstest.KeyShareOf{}, err
		}
		defer s.Close()
		return tsstest.KeyShareOf{}, c.deal(ctx, s)
	})
	var public *group.Point
	for i, r := range results {
		if i == cheater {
			continue
		}
		c.judge(t, i, r.Err)
		if r.Err != nil {
			continue
		}
		if public != nil && !public.Equal(r.Value.Share.Public) {
			t.Errorf("node %d has another key", i)
		}
		public = &r.Value.Share.Public
		if err := r.Value.Certificate.Activates(r.Value.Share); err != nil {
			t.Errorf("node %d: %v", i, err)
		}
	}
}

// judge compares what an honest member reports with what the table says.
func (c cheat) judge(t *testing.T, i int, err error) {
	t.Helper()
	culprits := tss.Culprits(err)
	if slices.ContainsFunc(culprits, func(m tss.Member) bool { return m != guilty }) {
		t.Errorf("node %d blames an honest member: %v", i, err)
	}
	switch {
	case c.succeeds:
		if err != nil {
			t.Errorf("node %d: %v", i, err)
		}
	case c.partial:
		if len(culprits) > 0 && c.kinds == nil {
			t.Errorf("node %d blames %v", i, err)
		}
	case c.absentOnly:
		if err == nil || len(culprits) > 0 {
			t.Errorf("node %d: %v, want nobody blamed", i, err)
		}
		var fs tss.Faults
		if !errors.As(err, &fs) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("node %d doesn't say who is absent: %v", i, err)
		}
	case c.unproved:
		if !errors.Is(err, tss.ErrInconsistent) || len(culprits) > 0 {
			t.Errorf("node %d: %v, want nobody blamed", i, err)
		}
	default:
		if !slices.Equal(culprits, []tss.Member{guilty}) {
			t.Fatalf("node %d: %v, want party %d blamed", i, err, guilty)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("node %d waited for the deadline: %v", i, err)
		}
		var f *tss.Fault
		if errors.As(err, &f); !slices.Contains(c.kinds, f.Kind) {
			t.Errorf("node %d says %s, want one of %v", i, f.Kind, c.kinds)
		}
	}
}

func frostCheats(suite tss.Suite) []cheat {
	g := suite.Group()
	p := size(g)
	point := g.BaseMul(g.Uint(77)).Bytes()
	identity := make([]byte, p)
	if suite == tss.SuiteEd25519 {
		identity[0] = 1
	}
	return []cheat{
		{name: "R1 short", tamper: one(1, false, body(short)), kinds: bad},
		{name: "R1 long", tamper: one(1, false, body(long)), kinds: bad},
		{name: "R1 no point", tamper: one(1, false, body(put(0, make([]byte, p)))), kinds: bad},
		{name: "R1 identity", attackNumber: "A46", tamper: one(1, false, body(put(p, identity))), kinds: bad},
		{name: "R1 identity to one", attackNumber: "A46", tamper: one(1, false, bodyToVictim(put(p, identity))), kinds: badOrTwice},
		{name: "R1 other commitments", attackNumber: "A46", tamper: one(1, false, body(put(0, point))), kinds: wrongOrTwin},
		{name: "R1 other commitments to one", attackNumber: "A47 C4", tamper: one(1, false, bodyToVictim(put(0, point))), kinds: wrongOrTwin},
		{name: "R1 twice, differing", attackNumber: "C4", tamper: one(1, false, and(func(m tsstest.Message) tsstest.Message { return m.With(put(0, point)(slices.Clone(m.Body()))) })), kinds: twice},
		{name: "R1 never", tamper: one(1, false, silent), absentOnly: true},
		{name: "R1 with an echo", tamper: one(1, false, echo(false)), kinds: bad},
		{name: "R1 duplicated", attackNumber: "A57", tamper: one(1, false, and(func(m tsstest.Message) tsstest.Message { return slices.Clone(m) })), succeeds: true},
		{name: "R2 wrong share", attackNumber: "C10", tamper: one(2, false, body(flip(9))), kinds: wrong},
		{name: "R2 wrong share to one", attackNumber: "C10", tamper: one(2, false, bodyToVictim(flip(9))), partial: true, kinds: wrongOrTwin},
		{name: "R2 share 0", attackNumber: "C3", tamper: one(2, false, body(put(0, make([]byte, 32)))), kinds: wrong},
		{name: "R2 share not below the order", attackNumber: "A64", tamper: one(2, false, body(put(0, slices.Repeat([]byte{0xff}, 32)))), kinds: bad},
		{name: "R2 short", tamper: one(2, false, body(short)), kinds: bad},
		{name: "R2 long", tamper: one(2, false, body(long)), kinds: bad},
		{name: "R2 another agreement, then gone", attackNumber: "A47", tamper: thenGone(one(2, false, body(flip(-1)))), unproved: true},
		{name: "R2 another agreement to one", attackNumber: "A47", tamper: one(2, false, bodyToVictim(flip(-1))), partial: true, kinds: wrongOrTwin},
		{name: "R2 with an echo", tamper: one(2, false, echo(false)), kinds: bad},
		{name: "R2 never", tamper: one(2, false, silent), absentOnly: true},
		{name: "R2 not to one", tamper: one(2, false, silentToVictim), partial: true},
		{name: "accusation without evidence", attackNumber: "A11", tamper: one(1, false, and(control(roundAbort, accusation(3, 2)))), kinds: wrong},
	}
}

func TestSigningCheats(t *testing.T) {
	t.Parallel()
	for _, suite := range []tss.Suite{tss.SuiteBIP340, tss.SuiteEd25519} {
		for _, c := range frostCheats(suite) {
			t.Run(fmt.Sprintf("%s/%s", suite, c.name), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					cl := tsstest.NewCluster(t, 8, 3, tsstest.Single(4)...)
					shares := cl.Keygen(suite)
					c.install(cl)
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					r := frost.Request{Message: []byte("pay 1")}
					for i, res := range cl.TrySign(ctx, shares, []uint16{1, 2, 3}, r) {
						if i == cheater || i > 2 {
							continue
						}
						c.judge(t, i, res.Err)
						public, err := frost.PublicKey(&shares[i].Key, r)
						if err != nil {
							t.Fatal(err)
						}
						if res.Err == nil && !frost.Verify(suite, public, r.Message, res.Value) {
							t.Errorf("node %d released a wrong signature", i)
						}
					}
					// C10: the others go on without the cheater, at once.
					cl.Net.Tamper = nil
					cl.Sign(shares, []uint16{1, 3, 4}, r)
				})
			})
		}
	}
}
