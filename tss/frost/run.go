// Package frost signs with a threshold key by FROST (RFC 9591): Ed25519
// signatures that any RFC 8032 verifier takes, and BIP-340 signatures, with the
// Taproot tweak where asked. Start from Sign, or from Pool and Stock for signing
// in one round from nonces made beforehand (docs/spec/04-frost.md).
//
// It signs whole messages, never digests made elsewhere, takes no tweak but a
// derivation path, and releases no signature that an independent verifier hasn't
// accepted. A signature share is no authorisation of anything: nothing here
// verifies one for a caller.
package frost

import (
	"context"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
)

// Sign signs the request with the key share that the session was joined with, in
// two rounds. All members of the session run it with the same request, and all
// get the signature: 64 bytes, of BIP-340 or of RFC 8032. Two runs on one message
// give different signatures.
//
// The error is tss.Faults where members broke the protocol.
func Sign(ctx context.Context, s *tss.Session, req Request) (signature []byte, err error) {
	defer tss.Guard(&err)
	p, share := s.Proposal(), s.Share()
	if p.Protocol != tss.ProtocolFROST || share == nil {
		return nil, fmt.Errorf("frost: %w: the session is for another protocol", tss.ErrProposal)
	}
	if p.Request != req.Digest(p.Suite) {
		return nil, ErrOtherRequest
	}
	r, err := newRun(s, req)
	if err != nil {
		return nil, err
	}
	size := 2 * r.suite.group.PointSize()
	s.Start([]tss.Round{{PerID: size, NoEcho: true}, shareRound}, r.judgeInteractive)

	// Round 1: fresh nonces, their commitments to everyone.
	own, err := r.suite.commit(r.secrets, s.Rand())
	if err != nil {
		return nil, err
	}
	defer own.clear()
	bodies, err := s.Broadcast(ctx, own.public)
	if err != nil {
		return nil, err
	}
	commitments := own.appendCommitments(make([]commitment, 0, len(p.Signers)), r.ids)
	for i, m := range s.Members() {
		if m == s.Me() {
			continue
		}
		if commitments, err = r.suite.decodeCommitments(commitments, s.IDs(m), bodies[i]); err != nil {
			return nil, s.Blame(ctx)
		}
	}

	// Round 2: signature shares.
	return r.finish(ctx, commitments, own, s.ID())
}

// shareRound carries z for each of the sender's signing ids, and hB.
var shareRound = tss.Round{PerID: group.ScalarSize, Broadcast: hash.Size, NoEcho: true}

// run is one signing at one member.
type run struct {
	session *tss.Session
	suite   *ciphersuite
	target  target
	message []byte
	ids     []uint16       // own signing ids
	secrets []group.Scalar // their shares of the root key
	signing *signing       // known once all commitments are
	agreed  hash.Digest    // hB, known with it
}

func newRun(s *tss.Session, req Request) (*run, error) {
	share := s.Share()
	t, err := targetOf(&share.Key, req)
	if err != nil {
		return nil, err
	}
	r := &run{session: s, suite: suiteOf(share.Suite), target: t, message: req.Message, ids: s.IDs(s.Me())}
	for _, id := range r.ids {
		secret, ok := share.Secret(id)
		if !ok {
			return nil, fmt.Errorf("%w: no share of id %d", tss.ErrKeyShare, id)
		}
		r.secrets = append(r.secrets, secret)
	}
	return r, nil
}

// finish makes the own shares, exchanges them and puts the signature together.
// Values of all members' ids come in member order; commitments are sorted by id.
func (r *run) finish(ctx context.Context, commitments []commitment, n *nonces, binding hash.Digest) ([]byte, error) {
	slices.SortFunc(commitments, func(a, b commitment) int { return int(a.id) - int(b.id) })
	signing, err := r.suite.prepare(r.target, r.message, commitments)
	if err != nil {
		return nil, err
	}
	own, err := signing.sign(r.ids, r.secrets, n)
	if err != nil {
		return nil, err
	}
	r.signing, r.agreed = signing, signing.agreement(binding)
	body := make([]byte, 0, len(own)*group.ScalarSize+hash.Size)
	for _, z := range own {
		body = z.AppendBytes(body)
	}
	s := r.session
	bodies, err := s.Agree(ctx, body, r.agreed)
	if err != nil {
		return nil, err
	}
	shares := make([]group.Scalar, 0, len(commitments))
	for i, m := range s.Members() {
		if shares, err = r.suite.decodeShares(shares, bodies[i], len(s.IDs(m))); err != nil {
			return nil, s.Blame(ctx)
		}
	}
	signature, ok := signing.aggregate(shares)
	if !ok {
		return nil, s.Blame(ctx)
	}
	return signature, nil
}

func (r *run) judgeInteractive(from, _ tss.Member, m tss.Messages) error {
	if b := m.Broadcast(1); b != nil {
		if _, err := r.suite.decodeCommitments(nil, r.session.IDs(from), b); err != nil {
			return err
		}
	}
	return r.judgeShares(from, m.Broadcast(2))
}

// judgeShares checks a member's signature shares, under the same commitments and
// message only.
func (r *run) judgeShares(from tss.Member, body []byte) error {
	if body == nil {
		return nil
	}
	ids := r.session.IDs(from)
	cut := len(body) - hash.Size
	shares, err := r.suite.decodeShares(nil, body[:cut], len(ids))
	if err != nil {
		return err
	}
	if r.signing == nil {
		return tss.ErrUndecided
	}
	if want := r.agreed; want != hash.Digest(body[cut:]) {
		return tss.ErrUndecided
	}
	for i, id := range ids {
		public, _ := r.session.Share().Share(id)
		if !r.signing.checkShare(r.signing.position(id), shares[i], public) {
			return tss.InvalidBecause("signature share is wrong")
		}
	}
	return nil
}
