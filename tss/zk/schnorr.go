// Package zk holds the sigma protocols, made non-interactive by Fiat and Shamir,
// one file each. Every challenge covers the session, the prover, all statements
// and all commitments.
package zk

import (
	"fmt"
	"io"

	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/vss"
)

// Context says where a proof belongs; a proof verifies in no other place.
type Context struct {
	Tag     string      // the protocol's tag of the challenge hash
	Session hash.Digest // the session's sid
	Member  uint16      // the prover
}

// Schnorr proves knowledge of the discrete logarithm of every point of a
// commitment, under one challenge: K_k = nu_k G, z_k = nu_k + c a_k.
type Schnorr struct {
	K vss.Commitment // nonce commitments, one per point
	Z []group.Scalar // responses, one per point
}

func (c Context) challenge(a, k vss.Commitment) group.Scalar {
	return a[0].Group().HashToScalar(c.Tag, c.Session[:], hash.U16(c.Member), a.Bytes(), k.Bytes())
}

// ProveSchnorr proves knowledge of secrets, whose images are a, with nonces from
// r. Both slices have the same length, at least 1.
func ProveSchnorr(c Context, secrets []group.Scalar, a vss.Commitment, r io.Reader) (*Schnorr, error) {
	g := a[0].Group()
	p := &Schnorr{K: make(vss.Commitment, len(a)), Z: make([]group.Scalar, len(a))}
	nonces := make([]group.Scalar, len(a))
	for i := range nonces {
		var random [32]byte
		if _, err := io.ReadFull(r, random[:]); err != nil {
			return nil, fmt.Errorf("read randomness: %w", err)
		}
		nonces[i] = hedge(g, c, random, uint64(i))
		p.K[i] = g.BaseMul(nonces[i])
	}
	ch := c.challenge(a, p.K)
	for i := range nonces {
		p.Z[i] = nonces[i].Add(ch.Mul(secrets[i]))
		nonces[i].Clear()
	}
	return p, nil
}

// hedge makes a nonce that differs between sessions even where the random source
// repeats itself.
func hedge(g group.Group, c Context, random [32]byte, counter uint64) group.Scalar {
	return g.HashToScalar("hedge", []byte(c.Tag), random[:], nil, c.Session[:], hash.U64(counter))
}

// Verify reports whether the proof shows knowledge of the logarithms of all
// points of a: z_k G = K_k + c A_k for every k, and exactly one of each.
func (p *Schnorr) Verify(c Context, a vss.Commitment) bool {
	if len(a) == 0 || len(p.K) != len(a) || len(p.Z) != len(a) {
		return false
	}
	g := a[0].Group()
	ch := c.challenge(a, p.K).Neg()
	for i := range a {
		// z G - c A = K; proofs are public.
		if !g.VarTimeMultiMul(p.Z[i], []group.Scalar{ch}, []group.Point{a[i]}).Equal(p.K[i]) {
			return false
		}
	}
	return true
}

// Batch gathers proofs to check all of them at once: the sum of all equations,
// each with a 128-bit weight, holds for a false one with a chance of 2^-128. The
// weights are a hash of everything in the batch and of randomness, so that not even
// who knows the random source can aim at them. A failure doesn't tell which proof is
// false.
type Batch struct {
	g      group.Group
	proofs []batched
	parts  [][]byte // of the weights' hash
	bad    bool
}

type batched struct {
	a  vss.Commitment
	p  *Schnorr
	ch group.Scalar
}

// NewBatch starts an empty batch.
func NewBatch(g group.Group) *Batch { return &Batch{g: g} }

// Add takes the proof p for a into the batch.
func (b *Batch) Add(c Context, a vss.Commitment, p *Schnorr) {
	if len(a) == 0 || len(p.K) != len(a) || len(p.Z) != len(a) {
		b.bad = true
		return
	}
	ch := c.challenge(a, p.K) // covers c, a and K
	part := ch.Bytes()
	for _, z := range p.Z {
		part = z.AppendBytes(part)
	}
	b.proofs, b.parts = append(b.proofs, batched{a, p, ch}), append(b.parts, part)
}

// Valid reports whether every proof added is valid, with randomness from r. An empty
// batch is not, and nothing is without randomness.
func (b *Batch) Valid(r io.Reader) bool {
	var random [32]byte
	if _, err := io.ReadFull(r, random[:]); err != nil || b.bad || len(b.proofs) == 0 {
		return false
	}
	seed := hash.Sum("zk/batch", append(b.parts, random[:])...)
	n := 0
	for _, e := range b.proofs {
		n += len(e.a)
	}
	weights := hash.Stretch(seed, 16*n)
	base := b.g.Zero()
	scalars, points := make([]group.Scalar, 0, 2*n), make([]group.Point, 0, 2*n)
	for _, e := range b.proofs {
		for i := range e.a {
			w := b.g.ReduceBig(weights[:16])
			weights = weights[16:]
			base = base.Add(w.Mul(e.p.Z[i]))
			scalars = append(scalars, w.Neg(), w.Mul(e.ch).Neg())
			points = append(points, e.p.K[i], e.a[i])
		}
	}
	return b.g.VarTimeMultiMul(base, scalars, points).IsIdentity()
}
