package frost

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/vss"
)

// ErrUsed says that nonces were used before. A nonce signs once, whatever came of
// it: twice would give away the share.
var ErrUsed = errors.New("frost: these nonces were used before")

// nonces are one member's secret nonces for one signature, a pair for each of its
// signing ids. They are consumed by the first call that needs them, and belong to one
// goroutine, or to a Pool under its lock.
type nonces struct {
	d, e   []group.Scalar // nil once used
	points []group.Point  // D, E for each id
	public []byte         // their encodings
}

// commit draws nonces for the secret shares of a member's signing ids, hedged with
// the shares themselves (RFC 9591 §4.1).
func (cs *ciphersuite) commit(secrets []group.Scalar, r io.Reader) (*nonces, error) {
	n := &nonces{
		d: make([]group.Scalar, len(secrets)), e: make([]group.Scalar, len(secrets)),
		points: make([]group.Point, 0, 2*len(secrets)),
		public: make([]byte, 0, len(secrets)*2*cs.group.PointSize()),
	}
	var random, secret []byte
	for i, s := range secrets {
		secret = s.AppendBytes(secret[:0])
		for _, nonce := range []*group.Scalar{&n.d[i], &n.e[i]} {
			random = slices.Grow(random[:0], 32)[:32]
			if _, err := io.ReadFull(r, random); err != nil {
				return nil, fmt.Errorf("frost: read randomness: %w", err)
			}
			*nonce = cs.scalar("nonce", random, secret)
			if nonce.IsZero() {
				return nil, errors.New("frost: randomness gave the nonce 0")
			}
			point := cs.group.BaseMul(*nonce)
			n.points, n.public = append(n.points, point), point.AppendBytes(n.public)
		}
	}
	return n, nil
}

// take hands out the nonces once and forgets them.
func (n *nonces) take() (d, e []group.Scalar, err error) {
	if n.d == nil {
		return nil, nil, ErrUsed
	}
	d, e = n.d, n.e
	n.d, n.e = nil, nil
	return d, e, nil
}

// clear overwrites the nonces; they can't be used any more.
func (n *nonces) clear() {
	for i := range n.d {
		n.d[i].Clear()
		n.e[i].Clear()
	}
	n.d, n.e = nil, nil
}

// Format redacts under every verb.
func (n *nonces) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[nonces]") }

// MarshalJSON refuses: nonces are secret.
func (n *nonces) MarshalJSON() ([]byte, error) { return nil, errors.New("nonces have no JSON form") }

// commitment is one id's public nonces.
type commitment struct {
	id      uint16
	d, e    group.Point
	encoded []byte // D || E
}

// appendCommitments appends the own commitments, for the ids that the nonces are
// for.
func (n *nonces) appendCommitments(out []commitment, ids []uint16) []commitment {
	size := len(n.public) / len(ids)
	for i, id := range ids {
		out = append(out, commitment{id, n.points[2*i], n.points[2*i+1], n.public[i*size : (i+1)*size]})
	}
	return out
}

// decodeCommitments reads D || E for each of a member's signing ids and appends
// them.
func (cs *ciphersuite) decodeCommitments(out []commitment, ids []uint16, b []byte) ([]commitment, error) {
	size := cs.group.PointSize()
	if len(b) != len(ids)*2*size {
		return nil, tss.MalformedBecause("nonce commitments have a wrong length")
	}
	for i, id := range ids {
		both := b[2*i*size : 2*(i+1)*size]
		d, errD := cs.group.DecodePoint(both[:size])
		e, errE := cs.group.DecodePoint(both[size:])
		if errD != nil || errE != nil {
			return nil, tss.MalformedBecause("nonce commitment is an invalid point")
		}
		out = append(out, commitment{id, d, e, both})
	}
	return out, nil
}

// signing is the public state of one signature at one member, fixed by the
// commitments of all ids, ascending, and the message.
type signing struct {
	*ciphersuite
	target      target
	message     []byte
	commitments []commitment
	encoded     []byte // B: sc(id) || enc(D) || enc(E), ids ascending
	factors     []group.Scalar
	lambdas     []group.Scalar
	r           group.Point
	c           group.Scalar
}

// prepare computes binding factors and Lagrange coefficients (RFC 9591 §4.4, §4.2).
func (cs *ciphersuite) prepare(t target, message []byte, commitments []commitment) (*signing, error) {
	s := &signing{
		ciphersuite: cs, target: t, message: message, commitments: commitments,
		factors: make([]group.Scalar, len(commitments)), lambdas: make([]group.Scalar, len(commitments)),
	}
	ids := make([]uint16, len(commitments))
	entry := group.ScalarSize + 2*cs.group.PointSize()
	s.encoded = make([]byte, 0, len(commitments)*entry)
	for i, c := range commitments {
		ids[i] = c.id
		s.encoded = append(cs.group.Uint(uint64(c.id)).AppendBytes(s.encoded), c.encoded...)
	}
	for i, id := range ids {
		l, err := vss.Lagrange(cs.group, id, ids)
		if err != nil {
			return nil, fmt.Errorf("frost: signers: %w", err)
		}
		s.lambdas[i] = l
	}
	prefix := s.bindingPrefix()
	for i := range commitments {
		s.factors[i] = cs.scalar("rho", prefix, s.encoded[i*entry:i*entry+group.ScalarSize])
	}
	return s, nil
}

// bindingPrefix is enc(X') || H4(msg) || H5(B); sc(id) follows it.
func (s *signing) bindingPrefix() []byte {
	in := s.target.public.AppendBytes(make([]byte, 0, 33+2*64))
	in = s.appendDigest(in, "msg", s.message)
	return s.appendDigest(in, "com", s.encoded)
}

func (s *signing) position(id uint16) int {
	return slices.IndexFunc(s.commitments, func(c commitment) bool { return c.id == id })
}

// sign consumes the nonces and returns z_i for each of the own ids, ascending,
// whose secret shares of the root key are given. It also fixes R and c: the own
// nonces enter R by their secret sum, which is faster than their commitments.
func (s *signing) sign(ids []uint16, secrets []group.Scalar, n *nonces) ([]group.Scalar, error) {
	d, e, err := n.take()
	if err != nil {
		return nil, err
	}
	defer (&nonces{d: d, e: e}).clear()
	at := make([]int, len(ids))
	issued := make([]byte, 0, len(n.public))
	for i, id := range ids {
		if at[i] = s.position(id); at[i] < 0 {
			return nil, fmt.Errorf("%w: id %d isn't among the commitments", ErrRequest, id)
		}
		issued = append(issued, s.commitments[at[i]].encoded...)
	}
	if string(issued) != string(n.public) {
		return nil, fmt.Errorf("%w: the commitments of this member aren't those it issued", ErrRequest)
	}
	own := s.group.Zero()
	z := make([]group.Scalar, len(ids))
	for i := range ids {
		z[i] = d[i].Add(s.factors[at[i]].Mul(e[i]))
		own = own.Add(z[i])
	}
	if err := s.bind(s.group.BaseMul(own), ids); err != nil {
		return nil, err
	}
	for i := range ids {
		if s.xOnly {
			z[i] = z[i].NegIf(s.r.OddY())
		}
		z[i] = z[i].Add(s.lambdas[at[i]].Mul(s.c).Mul(s.target.share(secrets[i])))
	}
	return z, nil
}

// bind computes R = own + sum of D_i + rho_i E_i over all other ids, and c.
func (s *signing) bind(own group.Point, ids []uint16) error {
	scalars := make([]group.Scalar, 0, len(s.commitments))
	points := make([]group.Point, 0, len(s.commitments))
	r := own
	for i, c := range s.commitments {
		if !slices.Contains(ids, c.id) {
			r = r.Add(c.d)
			scalars, points = append(scalars, s.factors[i]), append(points, c.e)
		}
	}
	if len(points) > 0 {
		r = r.Add(s.group.VarTimeMultiMul(s.group.Zero(), scalars, points))
	}
	if r.IsIdentity() {
		return errors.New("frost: the nonces add up to the identity")
	}
	s.r = r
	s.c = s.challenge(r, s.target.public, s.message)
	return nil
}

// checkShare checks z G = ±(D + rho E) + c lambda S' for one id, whose public
// share of the root key is given (RFC 9591 §5.4).
func (s *signing) checkShare(i int, z group.Scalar, share group.Point) bool {
	c := s.commitments[i]
	left := s.group.BaseMul(z)
	nonce := c.d.Add(s.group.VarTimeMultiMul(s.group.Zero(), s.factors[i:i+1], []group.Point{c.e}))
	if s.xOnly && s.r.OddY() == 1 {
		nonce = nonce.Neg()
	}
	weight := s.lambdas[i].Mul(s.c)
	key := s.group.VarTimeMultiMul(s.group.Zero(), []group.Scalar{weight}, []group.Point{s.target.publicShare(share)})
	return left.Equal(nonce.Add(key))
}

// decodeShares reads a member's z for each of its n signing ids and appends them.
func (cs *ciphersuite) decodeShares(out []group.Scalar, b []byte, n int) ([]group.Scalar, error) {
	if len(b) != n*group.ScalarSize {
		return nil, tss.MalformedBecause("signature shares have a wrong length")
	}
	for i := range n {
		z, err := cs.group.DecodeScalar(b[i*group.ScalarSize : (i+1)*group.ScalarSize])
		if err != nil {
			return nil, tss.MalformedBecause("a signature share is not a scalar")
		}
		out = append(out, z)
	}
	return out, nil
}

// aggregate adds up the shares of all ids and verifies the signature; ok is false
// where it isn't valid.
func (s *signing) aggregate(shares []group.Scalar) (signature []byte, ok bool) {
	z := s.group.Zero()
	for _, share := range shares {
		z = z.Add(share)
	}
	signature = s.encode(s.r, z)
	return signature, s.verify(s.target.public, s.message, signature)
}

// agreement is hB: it binds a member's share to the session, all commitments and
// the message, so that a share is never judged by other values than it was made
// with.
func (s *signing) agreement(session hash.Digest) hash.Digest {
	return hash.Sum("frost/B", session[:], s.encoded, s.message)
}
