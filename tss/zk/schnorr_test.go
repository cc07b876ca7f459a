package zk_test

import (
	"bytes"
	"testing"

	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/vss"
	"github.com/cofferhq/coffer/tss/zk"
)

type stream struct{ n uint64 }

func (s *stream) Read(p []byte) (int, error) {
	s.n++
	return copy(p, hash.Expand("zk/test", len(p), hash.U64(s.n))), nil
}

type constant struct{}

func (constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 7
	}
	return len(p), nil
}

func prove(t *testing.T, g group.Group, n int, c zk.Context) (vss.Commitment, *zk.Schnorr) {
	t.Helper()
	f, err := vss.NewPolynomial(g, n, &stream{uint64(n) << 8})
	if err != nil {
		t.Fatal(err)
	}
	a := f.Commit()
	p, err := zk.ProveSchnorr(c, f.Coefficients(), a, &stream{99})
	if err != nil {
		t.Fatal(err)
	}
	return a, p
}

func valid(c zk.Context, a vss.Commitment, p *zk.Schnorr, g group.Group) (single, batch bool) {
	b := zk.NewBatch(g)
	b.Add(c, a, p)
	return p.Verify(c, a), b.Valid(&stream{1 << 40})
}

// Attacks A6, A7, A54, A55: every input of the challenge and every number of the
// proof counts, singly and in a batch.
func TestSchnorr(t *testing.T) {
	t.Parallel()
	for _, g := range []group.Group{group.Secp256k1, group.Edwards25519} {
		for n := 1; n <= 3; n++ {
			c := zk.Context{Tag: "t", Session: hash.Sum("s"), Member: 2}
			a, p := prove(t, g, n, c)
			if one, all := valid(c, a, p, g); !one || !all {
				t.Fatalf("%s: right proof of %d refused: %v %v", g, n, one, all)
			}
			one := g.Uint(1)
			cheats := map[string]func() (zk.Context, vss.Commitment, *zk.Schnorr){
				"other tag": func() (zk.Context, vss.Commitment, *zk.Schnorr) {
					return zk.Context{Tag: "u", Session: c.Session, Member: 2}, a, p
				},
				"other session": func() (zk.Context, vss.Commitment, *zk.Schnorr) {
					return zk.Context{Tag: "t", Session: hash.Sum("x"), Member: 2}, a, p
				},
				"other member": func() (zk.Context, vss.Commitment, *zk.Schnorr) {
					return zk.Context{Tag: "t", Session: c.Session, Member: 3}, a, p
				},
				"no proof":    func() (zk.Context, vss.Commitment, *zk.Schnorr) { return c, a, &zk.Schnorr{} },
				"one too few": func() (zk.Context, vss.Commitment, *zk.Schnorr) { return c, a, &zk.Schnorr{K: p.K[:n-1], Z: p.Z[:n-1]} },
				"one too many": func() (zk.Context, vss.Commitment, *zk.Schnorr) {
					return c, a, &zk.Schnorr{K: append(p.K[:n:n], p.K[0]), Z: append(p.Z[:n:n], p.Z[0])}
				},
			}
			if (&zk.Schnorr{}).Verify(c, nil) {
				t.Error("a proof of nothing is valid")
			}
			for i := range n {
				cheats["other statement"] = func() (zk.Context, vss.Commitment, *zk.Schnorr) {
					b := append(vss.Commitment{}, a...)
					b[i] = b[i].Add(g.Generator())
					return c, b, p
				}
				cheats["other nonce"] = func() (zk.Context, vss.Commitment, *zk.Schnorr) {
					k := append(vss.Commitment{}, p.K...)
					k[i] = k[i].Add(g.Generator())
					return c, a, &zk.Schnorr{K: k, Z: p.Z}
				}
				cheats["other response"] = func() (zk.Context, vss.Commitment, *zk.Schnorr) {
					z := append([]group.Scalar{}, p.Z...)
					z[i] = z[i].Add(one)
					return c, a, &zk.Schnorr{K: p.K, Z: z}
				}
				// Shifting statement and response together keeps z G - K - c A only
				// where the challenge doesn't cover the statement.
				cheats["statement outside the challenge"] = func() (zk.Context, vss.Commitment, *zk.Schnorr) {
					b := append(vss.Commitment{}, a...)
					b[i] = b[i].Add(g.Generator())
					ch := g.HashToScalar(c.Tag, c.Session[:], hash.U16(c.Member), a.Bytes(), p.K.Bytes())
					z := append([]group.Scalar{}, p.Z...)
					z[i] = z[i].Add(ch)
					return c, b, &zk.Schnorr{K: p.K, Z: z}
				}
				for name, cheat := range cheats {
					cc, ca, cp := cheat()
					if one, all := valid(cc, ca, cp, g); one || all {
						t.Errorf("%s: %s accepted: single %v, batch %v", g, name, one, all)
					}
				}
			}
		}
	}
}

// Two wrong proofs whose errors cancel in a plain sum don't cancel in the batch.
func TestBatchWeights(t *testing.T) {
	t.Parallel()
	g := group.Edwards25519
	c1, c2 := zk.Context{Tag: "t", Member: 1}, zk.Context{Tag: "t", Member: 2}
	a1, p1 := prove(t, g, 2, c1)
	a2, p2 := prove(t, g, 2, c2)
	p1.Z[0], p2.Z[0] = p1.Z[0].Add(g.Uint(5)), p2.Z[0].Sub(g.Uint(5))
	b := zk.NewBatch(g)
	b.Add(c1, a1, p1)
	b.Add(c2, a2, p2)
	if b.Valid(&stream{5}) {
		t.Error("cancelling errors accepted")
	}
	if zk.NewBatch(g).Valid(&stream{5}) {
		t.Error("an empty batch is valid")
	}
	good := zk.NewBatch(g)
	a3, p3 := prove(t, g, 2, c1)
	good.Add(c1, a3, p3)
	if !good.Valid(&stream{5}) || good.Valid(bytes.NewReader(nil)) {
		t.Error("a batch is valid with randomness, and not without")
	}
}

// Attack A49: with a random source that repeats, two sessions still have different
// proof nonces, so two proofs don't give the secret away.
func TestNoncesAreHedged(t *testing.T) {
	t.Parallel()
	g := group.Secp256k1
	f, err := vss.NewPolynomial(g, 2, &stream{1})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for i := range 4 {
		p, err := zk.ProveSchnorr(zk.Context{Tag: "t", Session: hash.Sum("s", hash.U16(uint16(i)))}, f.Coefficients(), f.Commit(), constant{})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range p.K {
			if seen[string(k.Bytes())] {
				t.Fatal("a nonce repeats")
			}
			seen[string(k.Bytes())] = true
		}
	}
	if _, err := zk.ProveSchnorr(zk.Context{}, f.Coefficients(), f.Commit(), bytes.NewReader(nil)); err == nil {
		t.Error("no error from a broken random source")
	}
}
