package tss

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cofferhq/coffer/tss/hash"
)

// Session is one run of a protocol among its members: agreed once by Join, never
// persisted, never resumed. A message lives in the slot (session, round, kind,
// sender); the first one counts, a different second one convicts its sender.
//
// A protocol calls Start with its rounds, then Broadcast, Scatter or Agree once
// for each of them. A Session is used by one goroutine; Child gives another one
// its own.
type Session struct {
	node     *Node
	proposal *Proposal
	share    *KeyShare // nil in key generation
	head     header
	me       Member
	seats    []seat
	others   []IdentityKey // of all members but this one
	signing  [][]uint16    // the chosen ids of each member, all of them in key generation
	box      *inbox
	joins    []Envelope

	rounds []Round
	judge  Judge
	next   int         // rounds begun
	echo   hash.Digest // over the previous broadcast round, for the next headers
	echoes []hash.Digest
	value  []byte // of Agree

	shows   map[Member]*openedShow
	exhibit []byte // what this member shows in a dispute beside the envelopes
	inquire Inquiry

	accused bool
	heard   map[Member]int // the round from which accusations are judged again; see hearAll
}

// Round says which messages a round has and how long their bodies are, exactly.
type Round struct {
	Broadcast int  // bytes of a broadcast body
	PerID     int  // and as many more for each id of the sender in this session
	Private   int  // bytes of a private body for each id of the receiver; 0 for none
	NoEcho    bool // the next round's header carries no echo of this broadcast
}

func (r Round) broadcasts() bool { return r.Broadcast+r.PerID > 0 }

// Messages are the bodies that one member sent another in a session.
type Messages struct {
	list []*received
}

// Broadcast returns the broadcast body of a round, or nil.
func (m Messages) Broadcast(round int) []byte { return m.find(round, kindBroadcast) }

// Private returns the private body of a round, or nil.
func (m Messages) Private(round int) []byte { return m.find(round, kindPrivate) }

func (m Messages) find(round int, kind uint8) []byte {
	for _, r := range m.list {
		if int(r.round) == round && r.kind == kind {
			return r.body
		}
	}
	return nil
}

// Judge checks the messages that member from sent member to, all of a right
// length: nil where nothing is wrong with them, a *Verdict where they convict
// from, ErrUndecided where this member doesn't know enough yet. A message that is
// missing convicts nobody. A judge uses nothing but the session's agreed values
// and these messages, so that all honest members judge alike.
type Judge func(from, to Member, m Messages) error

// Inquiry compares a member's exhibit in a dispute with one's own, and convicts
// by returning a Fault.
type Inquiry func(from Member, exhibit []byte) *Fault

// Join takes part in the proposed session: it checks the proposal, sends this
// member's fresh nonce, waits for everyone's and derives the session id from all
// of them. share is the key that the session uses, or nil for key generation.
// The caller has checked that policy wants this session; Join checks the rest.
func (n *Node) Join(ctx context.Context, p *Proposal, share *KeyShare) (*Session, error) {
	if err := p.Validate(n.cfg.Now(), n.cfg.NoLossTolerance); err != nil {
		return nil, err
	}
	var shareBytes []byte
	if share != nil {
		if err := share.matches(p); err != nil {
			return nil, err
		}
		shareBytes = share.secretBytes()
		defer clear(shareBytes)
	} else if p.Protocol != ProtocolDKG {
		return nil, fmt.Errorf("%w: it needs a key share", ErrProposal)
	}
	proposal := *p
	proposal.Parties, proposal.Signers = slices.Clone(p.Parties), slices.Clone(p.Signers)

	seats := proposal.seats()
	at := slices.IndexFunc(seats, func(s seat) bool { return s.Key == n.Identity() })
	if at < 0 {
		return nil, fmt.Errorf("%w: this node is no member of it", ErrProposal)
	}
	encoded := proposal.Bytes()
	propHash := hash.Sum("prop", encoded)
	if fresh, err := n.cfg.Log.Remember(propHash, p.Expiry+rememberFor); err != nil {
		return nil, fmt.Errorf("tss: remember proposal: %w", err)
	} else if !fresh {
		return nil, ErrRepeated
	}
	nonce, err := n.joinNonce(shareBytes)
	if err != nil {
		return nil, err
	}

	head := header{protocol: p.Protocol, suite: p.Suite, sid: propHash, keyID: p.KeyID, epoch: p.Epoch}
	copy(head.tsel[:], p.Source[:])
	s := &Session{node: n, proposal: &proposal, share: share, me: seats[at].Number, seats: seats}
	s.open(head)
	defer n.detach(propHash)
	joins, err := s.join(ctx, propHash, nonce)
	if err != nil {
		return nil, err
	}

	s.head.sid = sessionID(encoded, seats, joins)
	if fresh, err := n.cfg.Log.Remember(s.head.sid, p.Expiry+rememberFor); err != nil {
		return nil, fmt.Errorf("tss: remember session: %w", err)
	} else if !fresh {
		return nil, ErrRepeated
	}
	s.open(s.head)
	return s, nil
}

// sessionID covers the encoded proposal and every member's number and nonce.
func sessionID(proposal []byte, seats []seat, joins [][]byte) hash.Digest {
	const size = 2 + hash.Size
	list := make([]byte, 0, len(seats)*size)
	parts := make([][]byte, 1, 1+len(seats))
	parts[0] = proposal
	for i, seat := range seats {
		list = binary.BigEndian.AppendUint16(list, uint16(seat.Number))
		list = append(list, joins[i][hash.Size:]...)
		parts = append(parts, list[i*size:])
	}
	return hash.Sum("sid", parts...)
}

// SessionID computes the id of a session from its proposal and the signed joins of
// all its members, ascending, and verifies them. It also returns the members.
func SessionID(p *Proposal, joins []Envelope) (sid hash.Digest, members []Member, err error) {
	seats, propHash := p.seats(), p.Hash()
	if len(joins) != len(seats) {
		return hash.Digest{}, nil, fmt.Errorf("%w: %d joins of %d members", ErrProposal, len(joins), len(seats))
	}
	bodies := make([][]byte, len(joins))
	for i, j := range joins {
		r, ok := open(j)
		if !ok || j.From != seats[i].Key || r.from != seats[i].Number || r.round != roundJoin || r.kind != kindBroadcast ||
			r.sid != propHash || len(r.body) != 2*hash.Size || hash.Digest(r.body[:hash.Size]) != propHash ||
			!j.From.VerifyEnvelope(j.Message, j.Signature) {
			return hash.Digest{}, nil, fmt.Errorf("%w: join of party %d", ErrProposal, seats[i].Number)
		}
		bodies[i] = r.body
		members = append(members, seats[i].Number)
	}
	return sessionID(p.Bytes(), seats, bodies), members, nil
}

// joinNonce is fresh even where the random source repeats: it covers a durable
// counter and the secret shares.
func (n *Node) joinNonce(shareBytes []byte) (hash.Digest, error) {
	var random [32]byte
	if _, err := io.ReadFull(n.cfg.Rand, random[:]); err != nil {
		return hash.Digest{}, fmt.Errorf("tss: read randomness: %w", err)
	}
	counter, err := n.cfg.Log.NextCounter()
	if err != nil {
		return hash.Digest{}, fmt.Errorf("tss: take a counter: %w", err)
	}
	return hash.Sum("nonce", random[:], shareBytes, hash.U64(counter)), nil
}

// join runs round 0, under the proposal's hash in place of a session id.
func (s *Session) join(ctx context.Context, propHash, nonce hash.Digest) ([][]byte, error) {
	body := slices.Concat(propHash[:], nonce[:])
	message := s.message(roundJoin, kindBroadcast, 0, hash.Digest{}, body)
	if err := s.send(ctx, s.others, message); err != nil {
		return nil, err
	}
	bodies := make([][]byte, len(s.seats))
	s.joins = make([]Envelope, len(s.seats))
	err := s.await(ctx, roundJoin, func() []Member {
		return s.missing(slot{round: roundJoin, kind: kindBroadcast})
	})
	if err != nil {
		return nil, err
	}
	var faults Faults
	for i, seat := range s.seats {
		if seat.Number == s.me {
			bodies[i], s.joins[i] = body, Envelope{From: seat.Key, Message: message}
			continue
		}
		r := s.box.get(slot{roundJoin, kindBroadcast, seat.Number})
		if len(r.body) != 2*hash.Size || hash.Digest(r.body[:hash.Size]) != propHash {
			faults = append(faults, s.fault(seat.Number, roundJoin, Malformed, "join doesn't fit the proposal"))
			continue
		}
		bodies[i], s.joins[i] = r.body, r.Envelope
	}
	if len(faults) > 0 {
		return nil, faults.sort()
	}
	return bodies, nil
}

// Open attaches to a session that needs no join because a signed request made it
// unique: online signing from stored nonces. The caller makes sure that sid never
// repeats.
func (n *Node) Open(protocol Protocol, share *KeyShare, signers []uint16, sid hash.Digest) (*Session, error) {
	seats := seatsOf(share.Parties, signers)
	at := slices.IndexFunc(seats, func(s seat) bool { return s.Key == n.Identity() })
	if at < 0 {
		return nil, fmt.Errorf("%w: this node is no member of it", ErrProposal)
	}
	p := &Proposal{
		Protocol: protocol, Suite: share.Suite, KeyID: share.ID, Epoch: share.Epoch, Source: share.T,
		Threshold: share.Threshold, Parties: share.Parties, Signers: slices.Clone(signers),
	}
	if err := p.validateSigners(); err != nil {
		return nil, err
	}
	s := &Session{node: n, proposal: p, share: share, me: seats[at].Number, seats: seats}
	s.open(share.head(protocol, sid))
	return s, nil
}

// Child gives a sub-protocol that runs beside others its own session: same
// members, own rounds, a session id bound to this one's and to the label.
func (s *Session) Child(label string) *Session {
	c := &Session{node: s.node, proposal: s.proposal, share: s.share, me: s.me, seats: s.seats}
	head := s.head
	head.sid = hash.Sum("child", s.head.sid[:], []byte(label))
	c.open(head)
	return c
}

func (s *Session) open(head header) {
	s.head = head
	s.head.from = s.me
	s.box = newInbox(s.head, s.me, s.seats)
	if s.others == nil {
		s.signing = s.proposal.chosen(s.seats)
		s.others = make([]IdentityKey, 0, len(s.seats)-1)
		for _, seat := range s.seats {
			if seat.Number != s.me {
				s.others = append(s.others, seat.Key)
			}
		}
	}
	s.node.attach(s.box)
}

// Close forgets the session; messages for it are dropped from now on.
func (s *Session) Close() { s.node.detach(s.head.sid) }

// Start fixes the rounds and the judge, before the first exchange.
func (s *Session) Start(rounds []Round, judge Judge) {
	s.rounds, s.judge = rounds, judge
}

// Exhibit sets what this member shows in a dispute beside the envelopes it
// received, and how it judges what others show.
func (s *Session) Exhibit(mine []byte, inquire Inquiry) { s.exhibit, s.inquire = mine, inquire }

// ID returns the session id.
func (s *Session) ID() hash.Digest { return s.head.sid }

// Proposal returns what was joined; after Open, without request, expiry and nonce. The
// caller doesn't change it.
func (s *Session) Proposal() *Proposal { return s.proposal }

// Me returns this member's number.
func (s *Session) Me() Member { return s.me }

// Members returns the numbers of all members, ascending.
func (s *Session) Members() []Member {
	out := make([]Member, len(s.seats))
	for i, seat := range s.seats {
		out[i] = seat.Number
	}
	return out
}

// IDs returns the ids of a member among those chosen to sign, ascending; in
// key generation all of them.
func (s *Session) IDs(m Member) []uint16 {
	for i, seat := range s.seats {
		if seat.Number == m {
			return s.signing[i]
		}
	}
	return nil
}

// Share returns the key share that the session was joined with, or nil.
func (s *Session) Share() *KeyShare { return s.share }

// Identity returns the identity key of a member.
func (s *Session) Identity(m Member) IdentityKey {
	for _, seat := range s.seats {
		if seat.Number == m {
			return seat.Key
		}
	}
	return IdentityKey{}
}

// Joins returns the signed joins of all members, in their order; they prove the
// session id. There are none in a session without a join.
func (s *Session) Joins() []Envelope {
	joins := slices.Clone(s.joins)
	for i := range joins {
		if joins[i].From == s.node.Identity() { // Ed25519 gives the signature that the channel sent
			joins[i].Signature = s.node.cfg.Identity.sign(envelopeDigest(joins[i].Message))
		}
	}
	return joins
}

// Echo returns the echo of a broadcast round that has ended, from 1.
func (s *Session) Echo(round int) hash.Digest { return s.echoes[round-1] }

// Rand returns the node's source of randomness.
func (s *Session) Rand() io.Reader { return s.node.cfg.Rand }

// SignStatement signs a statement of this member; see Statement.
func (s *Session) SignStatement(st Statement) Statement {
	st.Member = s.me
	st.Signature = [64]byte(s.node.cfg.Identity.sign(st.digest()))
	return st
}

func (s *Session) message(round, kind uint8, to Member, echo hash.Digest, body []byte) []byte {
	h := s.head
	h.round, h.kind, h.to, h.echo = round, kind, to, echo
	return h.append(make([]byte, 0, headerSize+len(body)), body)
}

func (s *Session) send(ctx context.Context, to []IdentityKey, message []byte) error {
	// A process that stood still may wake to a message and an ended ctx at once.
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.node.cfg.Channel.Send(ctx, to, message); err != nil {
		return fmt.Errorf("tss: send round %d: %w", message[4], err)
	}
	return nil
}

func (s *Session) fault(m Member, round int, k Kind, reason string) *Fault {
	return &Fault{Party: m, Identity: s.Identity(m), Round: round, Kind: k, Reason: reason}
}

// ErrPanic says that a step of the protocol's code panicked: a defect of this
// library, which may have been triggered by another member.
var ErrPanic = errors.New("tss: a protocol step panicked")

// Guard turns a panic of the protocol's code into ErrPanic, so that no input that
// slipped through every check can end the process. Defer it first.
func Guard(err *error) {
	if r := recover(); r != nil {
		*err = ErrPanic
	}
}
