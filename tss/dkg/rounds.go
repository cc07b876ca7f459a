package dkg

import (
	"fmt"
	"io"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/vss"
	"github.com/cofferhq/coffer/tss/zk"
)

// Setting is what all members of one key generation agree on.
type Setting struct {
	Suite     tss.Suite
	Session   hash.Digest // sid
	Threshold int
}

func (st Setting) proofContext(m tss.Member) zk.Context {
	return zk.Context{Tag: "dkg/pok", Session: st.Session, Member: uint16(m)}
}

// RevealSize is the length of a reveal in bytes: per coefficient a point, a proof
// nonce and a response, then chain code part and opening.
func (st Setting) RevealSize() int {
	return st.Threshold*(2*st.Suite.Group().PointSize()+group.ScalarSize) + 2*hash.Size
}

// Dealing is one member's secret contribution.
type Dealing struct {
	setting    Setting
	member     tss.Member
	polynomial *vss.Polynomial
	reveal     []byte
}

// Deal draws a member's contribution from r: polynomial, proofs of knowledge of
// every coefficient, chain code part, opening (docs/spec/03-keygen.md, R1).
func Deal(st Setting, m tss.Member, r io.Reader) (*Dealing, error) {
	f, err := vss.NewPolynomial(st.Suite.Group(), st.Threshold, r)
	if err != nil {
		return nil, fmt.Errorf("dkg: draw polynomial: %w", err)
	}
	commitment := f.Commit()
	proof, err := zk.ProveSchnorr(st.proofContext(m), f.Coefficients(), commitment, r)
	if err != nil {
		return nil, fmt.Errorf("dkg: prove: %w", err)
	}
	body := make([]byte, 0, st.RevealSize())
	body = append(body, commitment.Bytes()...)
	body = append(body, proof.K.Bytes()...)
	for _, z := range proof.Z {
		body = z.AppendBytes(body)
	}
	tail := make([]byte, 2*hash.Size) // chain code part, opening
	if _, err := io.ReadFull(r, tail); err != nil {
		return nil, fmt.Errorf("dkg: read randomness: %w", err)
	}
	return &Dealing{st, m, f, append(body, tail...)}, nil
}

// Commit returns C_i, the body of round 1.
func (d *Dealing) Commit() hash.Digest { return d.setting.commitment(d.member, d.reveal) }

// Reveal returns the broadcast body of round 2, which opens Commit.
func (d *Dealing) Reveal() []byte { return d.reveal }

// Share returns the private body of round 2 for the owner of ids: f(x) for each.
func (d *Dealing) Share(ids []uint16) []byte {
	b := make([]byte, 0, len(ids)*group.ScalarSize)
	for _, x := range ids {
		b = d.polynomial.Eval(x).AppendBytes(b)
	}
	return b
}

// Format redacts under every verb.
func (d *Dealing) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[dealing]") }

// Clear overwrites the polynomial.
func (d *Dealing) Clear() { d.polynomial.Clear() }

// commitment hashes a reveal field by field: H("dkg/com", sid, u16(i), A, K, pz, cc, op).
func (st Setting) commitment(m tss.Member, reveal []byte) hash.Digest {
	n := st.Threshold * st.Suite.Group().PointSize()
	a, rest := reveal[:n], reveal[n:]
	k, rest := rest[:n], rest[n:]
	z, rest := rest[:st.Threshold*group.ScalarSize], rest[st.Threshold*group.ScalarSize:]
	return hash.Sum("dkg/com", st.Session[:], hash.U16(uint16(m)), a, k, z, rest[:hash.Size], rest[hash.Size:])
}

// Reveal is a decoded round 2 broadcast.
type Reveal struct {
	Commitment vss.Commitment
	Proof      zk.Schnorr
	ChainCode  hash.Digest // this member's part
}

// DecodeReveal reads a reveal of exactly RevealSize bytes. Every point is valid
// and not the identity, so neither the constant nor the top coefficient is.
func (st Setting) DecodeReveal(b []byte) (*Reveal, error) {
	if len(b) != st.RevealSize() {
		return nil, tss.MalformedBecause("reveal has a wrong length")
	}
	g, t := st.Suite.Group(), st.Threshold
	r := tss.NewReader(b)
	out := &Reveal{
		Commitment: make(vss.Commitment, t),
		Proof:      zk.Schnorr{K: make(vss.Commitment, t), Z: make([]group.Scalar, t)},
	}
	for _, points := range []vss.Commitment{out.Commitment, out.Proof.K} {
		for k := range points {
			p, err := g.DecodePoint(r.Take(g.PointSize()))
			if err != nil {
				return nil, tss.MalformedBecause("reveal holds an invalid point")
			}
			points[k] = p
		}
	}
	for k := range out.Proof.Z {
		z, err := g.DecodeScalar(r.Take(group.ScalarSize))
		if err != nil {
			return nil, tss.MalformedBecause("reveal holds an invalid scalar")
		}
		out.Proof.Z[k] = z
	}
	out.ChainCode = r.Digest()
	return out, nil
}

// DecodeShares reads the private body for n ids.
func (st Setting) DecodeShares(b []byte, n int) ([]group.Scalar, error) {
	if len(b) != n*group.ScalarSize {
		return nil, tss.MalformedBecause("shares have a wrong length")
	}
	out := make([]group.Scalar, n)
	for i := range out {
		s, err := st.Suite.Group().DecodeScalar(b[i*group.ScalarSize : (i+1)*group.ScalarSize])
		if err != nil {
			return nil, tss.MalformedBecause("a share is not a scalar")
		}
		out[i] = s
	}
	return out, nil
}

// Opens checks a reveal of member m against its commitment of round 1.
func (st Setting) Opens(m tss.Member, commitment, reveal []byte) error {
	if want := st.commitment(m, reveal); string(want[:]) != string(commitment) {
		return tss.InvalidBecause("reveal doesn't open the commitment")
	}
	return nil
}

// CheckShares checks f(x) G = sum of x^k A_k for every id (Feldman).
func (r *Reveal) CheckShares(ids []uint16, shares []group.Scalar) error {
	for i, x := range ids {
		if !shares[i].Group().BaseMul(shares[i]).Equal(r.Commitment.Eval(x)) {
			return tss.InvalidBecause("share doesn't fit the commitment")
		}
	}
	return nil
}

// CheckMember is the whole check of what one member sent: its commitment, reveal
// and shares, the last two or the last nil where they aren't known. ids are those
// of the receiver of the shares.
func (st Setting) CheckMember(m tss.Member, commitment, reveal, shares []byte, ids []uint16) error {
	if reveal == nil {
		return nil
	}
	r, err := st.DecodeReveal(reveal)
	if err != nil {
		return err
	}
	if commitment != nil {
		if err := st.Opens(m, commitment, reveal); err != nil {
			return err
		}
	}
	if !r.Proof.Verify(st.proofContext(m), r.Commitment) {
		return tss.InvalidBecause("proof of knowledge is wrong")
	}
	if shares == nil {
		return nil
	}
	s, err := st.DecodeShares(shares, len(ids))
	if err != nil {
		return err
	}
	return r.CheckShares(ids, s)
}

// outcome is the sum of all contributions.
type outcome struct {
	commitment vss.Commitment // A_0 .. A_{t-1}
	chainCode  hash.Digest
	secrets    []group.Scalar // of the own ids
}

// combine adds up everyone's reveals and the own ids' shares. reveals are those of
// all members in their order.
func (st Setting) combine(reveals []*Reveal, shares [][]group.Scalar) outcome {
	commitments := make([]vss.Commitment, len(reveals))
	parts := [][]byte{st.Session[:]}
	for i, r := range reveals {
		commitments[i] = r.Commitment
		parts = append(parts, r.ChainCode[:])
	}
	secrets := append([]group.Scalar{}, shares[0]...)
	for _, s := range shares[1:] {
		for i := range secrets {
			secrets[i] = secrets[i].Add(s[i])
		}
	}
	return outcome{vss.Sum(commitments), hash.Sum("dkg/cc", parts...), secrets}
}

// fingerprint is T: it covers the sharing and, through the echoes, every
// broadcast that led to it.
func fingerprint(sid hash.Digest, commitment []byte, cc, echo1, echo2 hash.Digest) hash.Digest {
	var none hash.Digest // the echo of a view round, which these suites don't have
	return hash.Sum("dkg/T", sid[:], commitment, cc[:], echo1[:], echo2[:], none[:])
}

// keyOf builds the public key of a sharing.
func keyOf(p *tss.Proposal, sid, t, cc hash.Digest, commitment vss.Commitment) tss.Key {
	k := tss.Key{
		Suite: p.Suite, ID: hash.Sum("keyid", sid[:]), Epoch: p.Target, T: t,
		Threshold: p.Threshold, Parties: p.Parties, Public: commitment[0], ChainCode: cc,
	}
	for _, party := range p.Parties {
		k.Shares = append(k.Shares, commitment.Eval(party.ID))
	}
	return k
}
