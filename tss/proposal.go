package tss

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/tss/hash"
)

// Proposal is what a session is about: the protocol, the key, who takes part
// (docs/spec/02-session.md §1). Every member checks it before it joins, and every
// hash of the session covers all of it. Fields that a protocol doesn't use are
// zero.
type Proposal struct {
	Protocol Protocol
	Suite    Suite

	// The state that the session starts from; zero for key generation.
	KeyID  hash.Digest
	Epoch  uint64
	Source hash.Digest // T of the active sharing

	Target uint64 // the epoch that key generation (1) or a reshare makes

	Threshold int     // of Parties
	Parties   Parties // all ids of the key

	Signers []uint16 // the ids chosen for this session, ascending; none for key generation

	Attempt   uint32      // 1 for key generation
	Request   hash.Digest // digest of what is signed; zero for key generation
	Expiry    int64       // Unix seconds, at most MaxExpiry ahead
	Initiator uint16      // number of the member or coordinator that proposes
	Nonce     [32]byte    // random
}

// MaxExpiry is how far ahead a proposal may expire, in seconds.
const MaxExpiry = 600

// Errors of proposals.
var (
	ErrProposal = errors.New("tss: proposal is invalid")
	ErrExpired  = errors.New("tss: proposal is expired or expires too far ahead")
	ErrRepeated = errors.New("tss: proposal was joined before")
)

// Bytes returns the canonical encoding.
func (p *Proposal) Bytes() []byte {
	b := make([]byte, 0, 300+len(p.Parties)*partySize+2*len(p.Signers))
	b = binary.BigEndian.AppendUint16(b, version)
	b = append(b, byte(p.Protocol), byte(p.Suite))
	b = append(b, p.KeyID[:]...)
	b = binary.BigEndian.AppendUint64(b, p.Epoch)
	b = binary.BigEndian.AppendUint64(b, p.Target)
	b = append(b, p.Source[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(p.Threshold))
	b = p.Parties.appendLP(b)
	b = binary.BigEndian.AppendUint16(b, 0) // threshold and set after a reshare
	b = Parties(nil).appendLP(b)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.Signers)))
	for _, id := range p.Signers {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	b = binary.BigEndian.AppendUint32(b, p.Attempt)
	var source hash.Digest // digest of a reshare's or import's key
	b = append(b, source[:]...)
	b = append(b, p.Request[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(p.Expiry))
	b = binary.BigEndian.AppendUint16(b, p.Initiator)
	return append(b, p.Nonce[:]...)
}

func appendLP(b, p []byte) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(len(p))), p...)
}

// DecodeProposal reads the canonical encoding and nothing else; Validate checks
// what it says.
func DecodeProposal(b []byte) (*Proposal, error) {
	r := NewReader(b)
	p := &Proposal{}
	if v := r.U16(); v != version {
		return nil, fmt.Errorf("%w: version %d, not %d", ErrProposal, v, version)
	}
	p.Protocol, p.Suite = Protocol(r.U8()), Suite(r.U8())
	p.KeyID = r.Digest()
	p.Epoch, p.Target = r.U64(), r.U64()
	p.Source = r.Digest()
	p.Threshold = int(r.U16())
	var err error
	if p.Parties, err = DecodeParties(r.LP()); err != nil && r.Err() == nil {
		return nil, fmt.Errorf("%w: parties: %w", ErrProposal, err)
	}
	r.U16()
	r.LP()
	n := int(r.U16())
	if n > MaxIDs {
		return nil, fmt.Errorf("%w: %d signers, at most %d", ErrProposal, n, MaxIDs)
	}
	for range n {
		p.Signers = append(p.Signers, r.U16())
	}
	p.Attempt = r.U32()
	r.Digest()
	p.Request = r.Digest()
	p.Expiry = int64(r.U64())
	p.Initiator = r.U16()
	p.Nonce = r.Digest()
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProposal, err)
	}
	// The unused fields of this version are zero, so encoding again shows them.
	if !slices.Equal(p.Bytes(), b) {
		return nil, fmt.Errorf("%w: a field that the protocol doesn't use is set", ErrProposal)
	}
	return p, nil
}

// Validate checks the proposal by itself: field by field, and the bounds of the
// sharing. now is Unix seconds by the member's own clock.
func (p *Proposal) Validate(now int64, noLossTolerance bool) error {
	var zero hash.Digest
	switch p.Protocol {
	case ProtocolDKG:
		if p.KeyID != zero || p.Source != zero || p.Epoch != 0 || p.Target != 1 || p.Attempt != 1 ||
			p.Request != zero || len(p.Signers) != 0 {
			return fmt.Errorf("%w: key generation starts from nothing and makes epoch 1", ErrProposal)
		}
	case ProtocolFROST:
		if p.Target != 0 || p.Attempt != 0 || p.KeyID == zero || p.Source == zero || p.Epoch == 0 {
			return fmt.Errorf("%w: signing starts from a key and makes no epoch", ErrProposal)
		}
		if err := p.validateSigners(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w: protocol %d is not known", ErrProposal, p.Protocol)
	}
	if p.Suite.Group() == 0 {
		return fmt.Errorf("%w: suite %d is not known", ErrProposal, p.Suite)
	}
	if err := p.Parties.Validate(p.Threshold, noLossTolerance); err != nil {
		return fmt.Errorf("%w: %w", ErrProposal, err)
	}
	if p.Expiry <= now || p.Expiry > now+MaxExpiry {
		return fmt.Errorf("%w: %d at %d", ErrExpired, p.Expiry, now)
	}
	return nil
}

func (p *Proposal) validateSigners() error {
	last := uint16(0)
	for _, id := range p.Signers {
		if id <= last {
			return fmt.Errorf("%w: signer %d after %d: signers are distinct and ascending", ErrProposal, id, last)
		}
		last = id
		if _, ok := p.Parties.Owner(id); !ok {
			return fmt.Errorf("%w: signer %d is no id of the key", ErrProposal, id)
		}
	}
	if len(p.Signers) < p.Threshold {
		return fmt.Errorf("%w: signers: %d, fewer than the threshold of %d", ErrProposal, len(p.Signers), p.Threshold)
	}
	return nil
}

// seat is a member of a session.
type seat struct {
	Number Member
	Key    IdentityKey
}

// seats returns the session's members in ascending number: the owners of the
// chosen signers, or of all ids in key generation.
func (p *Proposal) seats() []seat {
	chosen := p.Signers
	if p.Protocol == ProtocolDKG {
		chosen = p.Parties.IDs()
	}
	return seatsOf(p.Parties, chosen)
}

// seatsOf numbers the owners of the chosen ids by the smallest id that each owns
// among all parties.
func seatsOf(parties Parties, chosen []uint16) []seat {
	out := make([]seat, 0, len(chosen))
	for _, party := range parties {
		if slices.ContainsFunc(out, func(s seat) bool { return s.Key == party.Owner }) {
			continue
		}
		if slices.ContainsFunc(chosen, func(id uint16) bool { o, _ := parties.Owner(id); return o == party.Owner }) {
			out = append(out, seat{Member(party.ID), party.Owner})
		}
	}
	return out
}

// chosen returns the signers of each seat, ascending; all ids in key generation.
func (p *Proposal) chosen(seats []seat) [][]uint16 {
	out := make([][]uint16, len(seats))
	all := make([]uint16, 0, len(p.Parties))
	for i, s := range seats {
		from := len(all)
		for _, party := range p.Parties {
			if party.Owner == s.Key && (p.Protocol == ProtocolDKG || slices.Contains(p.Signers, party.ID)) {
				all = append(all, party.ID)
			}
		}
		out[i] = all[from:len(all):len(all)]
	}
	return out
}

// Hash is the hash that joins carry.
func (p *Proposal) Hash() hash.Digest { return hash.Sum("prop", p.Bytes()) }
