package group

import (
	"filippo.io/edwards25519"
	secp256k1 "gitlab.com/yawning/secp256k1-voi"
)

// Everything in this file takes time that depends on its arguments, and is for
// public values only. The linter keeps the underlying functions out of all
// other files.

// VarTimeMulUint returns x * p for a small public x, such as a party id.
func (p Point) VarTimeMulUint(x uint16) Point {
	acc := p.group.Identity()
	started := false
	for i := 15; i >= 0; i-- {
		if started {
			acc = acc.Add(acc)
		}
		if x>>i&1 == 1 {
			if started {
				acc = acc.Add(p)
			} else {
				acc, started = p, true
			}
		}
	}
	return acc
}

// VarTimeMultiMul returns base*G + sum of scalars[i]*points[i], for public
// values. The slices have equal lengths.
func (g Group) VarTimeMultiMul(base Scalar, scalars []Scalar, points []Point) Point {
	same(g, base.group)
	out := Point{group: g}
	if g == Secp256k1 {
		if len(points) == 1 {
			out.k.DoubleScalarMultBasepointVartime(&base.k, &scalars[0].k, &points[0].k)
			return out
		}
		ss := make([]*secp256k1.Scalar, len(scalars))
		ps := make([]*secp256k1.Point, len(points))
		for i := range points {
			ss[i], ps[i] = &scalars[i].k, &points[i].k
		}
		out.k.Identity()
		if len(points) > 0 {
			out.k.MultiScalarMultVartime(ss, ps)
		}
		if !base.IsZero() {
			out = out.Add(g.BaseMul(base))
		}
		return out
	}
	if len(points) == 1 {
		out.e.VarTimeDoubleScalarBaseMult(&scalars[0].e, &points[0].e, &base.e)
		return out
	}
	ss := make([]*edwards25519.Scalar, len(scalars))
	ps := make([]*edwards25519.Point, len(points))
	for i := range points {
		ss[i], ps[i] = &scalars[i].e, &points[i].e
	}
	out.e.VarTimeMultiScalarMult(ss, ps)
	if !base.IsZero() {
		out = out.Add(g.BaseMul(base))
	}
	return out
}

var orderMinusOne = func() *edwards25519.Scalar {
	one := Edwards25519.Uint(1)
	return edwards25519.NewScalar().Negate(&one.e)
}()

// inPrimeSubgroup reports whether L*p is the identity. Scalars are reduced
// modulo L, so it computes (L-1)*p + p.
func inPrimeSubgroup(p *edwards25519.Point) bool {
	var q edwards25519.Point
	q.VarTimeDoubleScalarBaseMult(orderMinusOne, p, edwards25519.NewScalar())
	return q.Add(&q, p).Equal(edwards25519.NewIdentityPoint()) == 1
}
