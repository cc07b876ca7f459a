package group

import (
	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
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

// inPrimeSubgroup reports whether p is in the subgroup of order L: whether it is 8
// times some point. It halves p up to three times on the Montgomery curve
// v^2 = u^3 + A u^2 + u (RFC 7748 §4.1), which takes half the time of multiplying
// by L. What it rests on:
//
//   - (u, v) is twice a point if and only if u is a square, and so if and only if
//     u^2 + A u + 1 is, for their product is v^2. (The 2-torsion is {O, (0, 0)}.)
//   - Doubling (x, y) gives u = (w^2 - 4) / (4 (w + A)) with w = x + 1/x. So
//     w = 2u + 2s or 2u - 2s with s^2 = u^2 + A u + 1, and of the two the one for
//     which w + A is a square belongs to points of the curve; it is exactly one, as
//     the product of both w + A is A^2 - 4, which is no square.
//   - x is a square if and only if w + 2 is: x = t^2 gives w + 2 = (t + 1/t)^2.
//   - The halves of a point differ by (0, 0), which is 4 times a point. So it
//     doesn't matter which half is taken.
func inPrimeSubgroup(p *edwards25519.Point) bool {
	_, y, z, _ := p.ExtendedCoordinates()
	var n, d, e, m, f, k, l field.Element
	n.Add(z, y) // u = n/d
	d.Subtract(z, y)
	if isZero(&d) || isZero(&n) {
		return isZero(&d) // the identity, else the point of order 2
	}

	// p is twice a point q: s = r/d.
	e.Add(e.Square(&n), f.Square(&d))
	e.Add(&e, f.Mult32(f.Multiply(&n, &d), montgomeryA))
	r, square := new(field.Element).SqrtRatio(&e, fieldOne)
	if square == 0 {
		return false
	}
	// w = 2m/d of q, and a with a^2 = w + A.
	f.Mult32(&d, montgomeryA)
	m.Add(&n, r)
	a, square := new(field.Element).SqrtRatio(e.Add(e.Add(&m, &m), &f), &d)
	if square == 0 {
		m.Subtract(&n, r)
		a, _ = new(field.Element).SqrtRatio(e.Add(e.Add(&m, &m), &f), &d)
	}

	// q is twice a point: g^2 = w + 2. Its u is t^2 with 2t = g + h, h^2 = w - 2.
	e.Add(&m, &d)
	g, square := new(field.Element).SqrtRatio(e.Add(&e, &e), &d)
	if square == 0 {
		return false
	}
	e.Subtract(&m, &d)
	h, _ := new(field.Element).SqrtRatio(e.Add(&e, &e), &d)
	g.Add(g, h)

	// Half of q: w = 2 t^2 + 2 t a or 2 t^2 - 2 t a; it is twice a point if w + 2 is
	// a square.
	k.Multiply(k.Square(g), fieldHalf)
	l.Multiply(g, a)
	f.Add(&k, &l)
	if _, square = e.SqrtRatio(e.Add(&f, fieldA), fieldOne); square == 0 {
		f.Subtract(&k, &l)
	}
	_, square = e.SqrtRatio(e.Add(&f, fieldTwo), fieldOne)
	return square == 1
}

const montgomeryA = 486662

var (
	fieldOne  = new(field.Element).One()
	fieldTwo  = new(field.Element).Add(fieldOne, fieldOne)
	fieldHalf = new(field.Element).Invert(fieldTwo)
	fieldA    = new(field.Element).Mult32(fieldOne, montgomeryA)
)

func isZero(v *field.Element) bool { return v.Equal(new(field.Element)) == 1 }
