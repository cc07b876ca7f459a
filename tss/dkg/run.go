// Package dkg generates a threshold key among its members, so that the private
// key exists nowhere at any time: Feldman's verifiable secret sharing by every
// member, committed before it is revealed, with a proof of knowledge of every
// coefficient (docs/spec/03-keygen.md). Start from Run.
//
// It never outputs a key that some honest member didn't vote for, and a key is
// usable only with the votes of all.
package dkg

import (
	"context"
	"errors"
	"fmt"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/zk"
)

// ErrDegenerate says that the contributions added up to a degenerate polynomial,
// which happens by chance once in 2^252 runs. Nobody is to blame: start again.
var ErrDegenerate = errors.New("dkg: the contributions add up to a degenerate polynomial")

// Run generates a key in a session joined for it. All members of the proposal run
// it, each on its own node, and get shares of the same key.
//
// persist stores the share durably; it is called after every check and before
// this member's vote leaves. A share that was stored while Run then failed may
// still become live by a certificate that others hold (Certificate.Activates), so
// it is kept. nil keeps shares in memory only.
//
// The error is tss.Faults where members broke the protocol.
func Run(ctx context.Context, s *tss.Session, persist func(*tss.KeyShare) error) (share *tss.KeyShare, cert *Certificate, err error) {
	defer tss.Guard(&err)
	p := s.Proposal()
	if p.Protocol != tss.ProtocolDKG {
		return nil, nil, fmt.Errorf("dkg: %w: the session is for another protocol", tss.ErrProposal)
	}
	st := Setting{Suite: p.Suite, Session: s.ID(), Threshold: p.Threshold}
	own := s.IDs(s.Me())

	// Known from round 3 on, when votes can be judged.
	var vote *tss.Statement
	s.Start([]tss.Round{
		{Broadcast: hash.Size},
		{Broadcast: st.RevealSize(), Private: group.ScalarSize},
		{Broadcast: tss.StatementSize, NoEcho: true},
	}, func(from, to tss.Member, m tss.Messages) error {
		if err := st.CheckMember(from, m.Broadcast(1), m.Broadcast(2), m.Private(2), s.IDs(to)); err != nil {
			return err
		}
		return checkVote(vote, from, s.Identity(from), m.Broadcast(3))
	})

	// R1: commit to the contribution.
	dealing, err := Deal(st, s.Me(), s.Rand())
	if err != nil {
		return nil, nil, err
	}
	defer dealing.Clear()
	c := dealing.Commit()
	commitments, err := s.Broadcast(ctx, c[:])
	if err != nil {
		return nil, nil, err
	}

	// R2: reveal it, and send every member the shares of its ids.
	bodies, privates, err := s.Scatter(ctx, dealing.Reveal(), func(to tss.Member) []byte {
		return dealing.Share(s.IDs(to))
	})
	if err != nil {
		return nil, nil, err
	}
	privates[index(s)] = dealing.Share(own)
	out, ok := st.gather(s, commitments, bodies, privates)
	if !ok {
		return nil, nil, s.Blame(ctx)
	}
	if out.commitment[0].IsIdentity() || out.commitment[p.Threshold-1].IsIdentity() {
		return nil, nil, ErrDegenerate
	}

	// R3: store the share, then vote for exactly this sharing.
	cert = &Certificate{
		Proposal: p.Bytes(), Joins: s.Joins(), Commitment: out.commitment.Bytes(),
		ChainCode: out.chainCode, Echo1: s.Echo(1), Echo2: s.Echo(2),
	}
	t := fingerprint(st.Session, cert.Commitment, cert.ChainCode, cert.Echo1, cert.Echo2)
	share, err = tss.NewKeyShare(keyOf(p, st.Session, t, out.chainCode, out.commitment), s.Identity(s.Me()), out.secrets)
	if err != nil { // the shares don't lie on the common polynomial
		return nil, nil, s.Blame(ctx)
	}
	if persist != nil {
		if err := persist(share); err != nil {
			return nil, nil, fmt.Errorf("dkg: store the share: %w", err)
		}
	}
	mine := s.SignStatement(tss.Statement{Kind: tss.StatementYes, KeyID: share.ID, Target: p.Target, Attempt: p.Attempt, T: t})
	vote = &mine
	votes, err := s.Broadcast(ctx, mine.Bytes())
	if err != nil {
		return nil, nil, err
	}
	for i, m := range s.Members() {
		if m != s.Me() && checkVote(vote, m, s.Identity(m), votes[i]) != nil {
			return nil, nil, s.Blame(ctx)
		}
		v, err := tss.DecodeStatement(votes[i])
		if err != nil {
			return nil, nil, err
		}
		cert.Votes = append(cert.Votes, v)
	}
	return share, cert, nil
}

func index(s *tss.Session) int {
	for i, m := range s.Members() {
		if m == s.Me() {
			return i
		}
	}
	return -1
}

// gather decodes, checks and adds up round 2. It checks proofs all at once, and the
// shares are checked by their sum; where that fails, Blame finds out whose they are.
func (st Setting) gather(s *tss.Session, commitments, bodies, privates [][]byte) (out outcome, ok bool) {
	members, own := s.Members(), s.IDs(s.Me())
	reveals := make([]*Reveal, len(members))
	shares := make([][]group.Scalar, len(members))
	proofs := zk.NewBatch(st.Suite.Group())
	for i, m := range members {
		r, err := st.DecodeReveal(bodies[i])
		if err != nil {
			return outcome{}, false
		}
		if reveals[i] = r; m != s.Me() {
			if st.Opens(m, commitments[i], bodies[i]) != nil {
				return outcome{}, false
			}
			proofs.Add(st.proofContext(m), r.Commitment, &r.Proof)
		}
		if shares[i], err = st.DecodeShares(privates[i], len(own)); err != nil {
			return outcome{}, false
		}
	}
	out = st.combine(reveals, shares)
	return out, proofs.Valid(s.Rand())
}

// checkVote judges the vote of a member against the own one, which is nil until
// the sharing is known.
func checkVote(mine *tss.Statement, m tss.Member, key tss.IdentityKey, body []byte) error {
	if body == nil {
		return nil
	}
	v, err := tss.DecodeStatement(body)
	if err != nil {
		return tss.MalformedBecause("vote doesn't decode")
	}
	if mine == nil {
		return tss.ErrUndecided
	}
	want := *mine
	want.Member, want.Signature = m, v.Signature
	if v != want || !v.Verify(key) {
		return tss.InvalidBecause("vote isn't a signed yes to this sharing")
	}
	return nil
}
