package dkg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/vss"
)

// Certificate proves that all members voted for one sharing. It makes stored
// shares of it live, on whatever node it arrives late, and anyone who may see the
// chain code can check and forward it (docs/spec/03-keygen.md §5).
type Certificate struct {
	Proposal     []byte
	Joins        []tss.Envelope // of all members, ascending
	Commitment   []byte         // A_0 .. A_{t-1}
	ChainCode    hash.Digest
	Echo1, Echo2 hash.Digest
	Votes        []tss.Statement // of all members, ascending
}

// ErrCertificate says that a certificate proves nothing.
var ErrCertificate = errors.New("dkg: certificate is invalid")

// Key verifies the certificate against what the verifier knows to be configured,
// the party set and the threshold, and returns the key that it proves. Nothing in
// the certificate is taken on trust: the session id is computed from the joins,
// T from the sharing, and every member must have signed both.
func (c *Certificate) Key(parties tss.Parties, threshold int) (*tss.Key, error) {
	p, err := tss.DecodeProposal(c.Proposal)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	// Its time is over, so it is checked as of when it was valid.
	if err := p.Validate(p.Expiry-1, true); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	if p.Protocol != tss.ProtocolDKG || p.Threshold != threshold || !slices.Equal(p.Parties, parties) {
		return nil, fmt.Errorf("%w: it is about other parties or another threshold", ErrCertificate)
	}
	sid, members, err := tss.SessionID(p, c.Joins)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	g := p.Suite.Group()
	if len(c.Commitment) != threshold*g.PointSize() {
		return nil, fmt.Errorf("%w: commitment has a wrong length", ErrCertificate)
	}
	commitment := make(vss.Commitment, threshold)
	for k := range commitment {
		if commitment[k], err = g.DecodePoint(c.Commitment[k*g.PointSize() : (k+1)*g.PointSize()]); err != nil {
			return nil, fmt.Errorf("%w: commitment: %w", ErrCertificate, err)
		}
	}
	t := fingerprint(sid, c.Commitment, c.ChainCode, c.Echo1, c.Echo2)
	key := keyOf(p, sid, t, c.ChainCode, commitment)
	if len(c.Votes) != len(members) {
		return nil, fmt.Errorf("%w: %d votes of %d members", ErrCertificate, len(c.Votes), len(members))
	}
	want := &tss.Statement{Kind: tss.StatementYes, KeyID: key.ID, Target: p.Target, Attempt: p.Attempt, T: t}
	for i, m := range members {
		if err := checkVote(want, m, c.Joins[i].From, c.Votes[i].Bytes()); err != nil {
			return nil, fmt.Errorf("%w: vote of party %d: %w", ErrCertificate, m, err)
		}
	}
	return &key, nil
}

// Activates reports, by its error, whether the certificate makes a stored share
// live: it must prove exactly the sharing that the share is of.
func (c *Certificate) Activates(share *tss.KeyShare) error {
	key, err := c.Key(share.Parties, share.Threshold)
	if err != nil {
		return err
	}
	if key.T != share.T || key.ID != share.ID || key.Epoch != share.Epoch || key.Suite != share.Suite ||
		!key.Public.Equal(share.Public) || key.ChainCode != share.ChainCode {
		return fmt.Errorf("%w: it is about another sharing", ErrCertificate)
	}
	return nil
}

const certificateMagic = "coffer certificate 1\n"

// Bytes returns the encoding.
func (c *Certificate) Bytes() []byte {
	b := []byte(certificateMagic)
	lp := func(p []byte) {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(p))), p...)
	}
	lp(c.Proposal)
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.Joins)))
	for _, j := range c.Joins {
		b = append(b, j.From[:]...)
		lp(j.Message)
		lp(j.Signature)
	}
	lp(c.Commitment)
	b = append(b, c.ChainCode[:]...)
	b = append(b, c.Echo1[:]...)
	b = append(b, c.Echo2[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.Votes)))
	for _, v := range c.Votes {
		b = append(b, v.Bytes()...)
	}
	return b
}

// DecodeCertificate reads the encoding; Key checks what it says.
func DecodeCertificate(b []byte) (*Certificate, error) {
	r := tss.NewReader(b)
	if string(r.Take(len(certificateMagic))) != certificateMagic {
		return nil, fmt.Errorf("%w: not an encoding of one", ErrCertificate)
	}
	c := &Certificate{Proposal: r.LP()}
	joins := int(r.U16())
	if joins > tss.MaxIDs {
		return nil, fmt.Errorf("%w: %d joins, at most %d", ErrCertificate, joins, tss.MaxIDs)
	}
	for range joins {
		c.Joins = append(c.Joins, tss.Envelope{From: r.Digest(), Message: r.LP(), Signature: r.LP()})
	}
	c.Commitment = r.LP()
	c.ChainCode, c.Echo1, c.Echo2 = r.Digest(), r.Digest(), r.Digest()
	votes := int(r.U16())
	if votes > tss.MaxIDs {
		return nil, fmt.Errorf("%w: %d votes, at most %d", ErrCertificate, votes, tss.MaxIDs)
	}
	for range votes {
		v, err := tss.DecodeStatement(r.Take(tss.StatementSize))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
		}
		c.Votes = append(c.Votes, v)
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return c, nil
}
