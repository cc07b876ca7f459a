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
// each with a random 128-bit weight, holds for a false one with a chance of
// 2^-128. A failure doesn't tell which one is false.
type Batch struct {
	g       group.Group
	weights io.Reader
	base    group.Scalar
	scalars []group.Scalar
	points  []group.Point
	bad     bool
}

// NewBatch starts an empty batch for n points; its weights come from r.
func NewBatch(g group.Group, n int, r io.Reader) *Batch {
	return &Batch{
		g: g, weights: r, base: g.Zero(),
		scalars: make([]group.Scalar, 0, 2*n), points: make([]group.Point, 0, 2*n),
	}
}

// Add takes the proof p for a into the batch.
func (b *Batch) Add(c Context, a vss.Commitment, p *Schnorr) {
	if len(a) == 0 || len(p.K) != len(a) || len(p.Z) != len(a) {
		b.bad = true
		return
	}
	ch := c.challenge(a, p.K)
	var w [16]byte
	for i := range a {
		if _, err := io.ReadFull(b.weights, w[:]); err != nil {
			b.bad = true
			return
		}
		weight := b.g.ReduceBig(w[:])
		b.base = b.base.Add(weight.Mul(p.Z[i]))
		b.scalars = append(b.scalars, weight.Neg(), weight.Mul(ch).Neg())
		b.points = append(b.points, p.K[i], a[i])
	}
}

// Valid reports whether every proof added is valid. An empty batch is not.
func (b *Batch) Valid() bool {
	return !b.bad && len(b.points) > 0 && b.g.VarTimeMultiMul(b.base, b.scalars, b.points).IsIdentity()
}
