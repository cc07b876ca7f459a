package group_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"filippo.io/edwards25519"
	dcrec "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
)

var groups = []group.Group{group.Secp256k1, group.Edwards25519}

var orders = map[group.Group]*big.Int{
	group.Secp256k1:    fromHex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"),
	group.Edwards25519: fromHex("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed"),
}

func fromHex(s string) *big.Int {
	v, ok := new(big.Int).SetString(s, 16)
	if !ok {
		panic(s)
	}
	return v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// encode writes a 32-byte integer in the scalar encoding of the group.
func encode(g group.Group, v *big.Int) []byte {
	b := v.FillBytes(make([]byte, 32))
	if g == group.Edwards25519 {
		slices.Reverse(b)
	}
	return b
}

func TestHashToScalarKnownAnswer(t *testing.T) {
	t.Parallel()
	got := group.Secp256k1.HashToScalar("kat/a", []byte{1}, []byte{2, 3}).Bytes()
	if want := "ab5caeb5698482be147dbf8d3b51c623303aa30d0563735b800687dca0784988"; hex.EncodeToString(got) != want {
		t.Errorf("%x, want %s", got, want)
	}
}

// Scalar arithmetic agrees with math/big, weighted to the edges.
func TestScalarArithmetic(t *testing.T) {
	t.Parallel()
	for _, g := range groups {
		q := orders[g]
		rapid.Check(t, func(t *rapid.T) {
			draw := func(label string) *big.Int {
				v := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, label))
				if rapid.Bool().Draw(t, label+" edge") {
					v.Sub(q, big.NewInt(rapid.Int64Range(1, 3).Draw(t, label+" below")))
				}
				return v.Mod(v, q)
			}
			a, b := draw("a"), draw("b")
			sa, errA := g.DecodeScalar(encode(g, a))
			sb, errB := g.DecodeScalar(encode(g, b))
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			check := func(what string, got group.Scalar, want *big.Int) {
				if !bytes.Equal(got.Bytes(), encode(g, want.Mod(want, q))) {
					t.Fatalf("%s: %x, want %x", what, got.Bytes(), want)
				}
			}
			check("add", sa.Add(sb), new(big.Int).Add(a, b))
			check("sub", sa.Sub(sb), new(big.Int).Sub(a, b))
			check("mul", sa.Mul(sb), new(big.Int).Mul(a, b))
			check("neg", sa.Neg(), new(big.Int).Neg(a))
			if a.Sign() != 0 {
				check("invert", sa.Invert(), new(big.Int).ModInverse(a, q))
			}
			wide := rapid.SliceOfN(rapid.Byte(), 1, 64).Draw(t, "wide")
			check("reduce", g.ReduceBig(wide), new(big.Int).SetBytes(wide))
			check("reduce little", g.ReduceLittle(wide), new(big.Int).SetBytes(reversed(wide)))
			if sa.IsZero() != (a.Sign() == 0) || sa.Equal(sb) != (a.Cmp(b) == 0) {
				t.Fatal("comparison")
			}
		})
	}
}

func reversed(b []byte) []byte {
	b = slices.Clone(b)
	slices.Reverse(b)
	return b
}

// Attack A64: no second encoding of a scalar or a point.
func TestDecodeScalarRefuses(t *testing.T) {
	t.Parallel()
	for _, g := range groups {
		q := orders[g]
		last := new(big.Int).Sub(q, big.NewInt(1))
		if _, err := g.DecodeScalar(encode(g, last)); err != nil {
			t.Errorf("%s: q-1 refused: %v", g, err)
		}
		all := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
		for _, v := range []*big.Int{q, new(big.Int).Add(q, big.NewInt(1)), new(big.Int).Add(q, big.NewInt(77)), all} {
			if _, err := g.DecodeScalar(encode(g, v)); err == nil {
				t.Errorf("%s: %x accepted", g, v)
			}
		}
		for _, n := range []int{0, 31, 33} {
			if _, err := g.DecodeScalar(make([]byte, n)); err == nil {
				t.Errorf("%s: %d bytes accepted", g, n)
			}
		}
	}
}

var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
}

// Attack A20: points of small order, and of the prime order plus one of them.
func TestTorsionRefused(t *testing.T) {
	t.Parallel()
	g := group.Edwards25519
	for _, s := range smallOrder {
		if _, err := g.DecodePoint(unhex(t, s)); err == nil {
			t.Errorf("small-order point %s accepted", s)
		}
		torsion, err := edwards25519.NewIdentityPoint().SetBytes(unhex(t, s))
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			k, err := g.Random(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			p, err := edwards25519.NewIdentityPoint().SetBytes(g.BaseMul(k).Bytes())
			if err != nil {
				t.Fatal(err)
			}
			sum := edwards25519.NewIdentityPoint().Add(p, torsion).Bytes()
			_, err = g.DecodePoint(sum)
			if isIdentity := s == smallOrder[0]; (err == nil) != isIdentity {
				t.Errorf("point plus torsion %s: %v", s, err)
			}
		}
	}
}

func TestDecodePointRefuses(t *testing.T) {
	t.Parallel()
	secp := hex.EncodeToString(group.Secp256k1.Generator().Bytes())
	for name, s := range map[string]string{
		"uncompressed":      "04" + secp[2:] + "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8",
		"hybrid prefix":     "06" + secp[2:],
		"prefix 0":          "00" + secp[2:],
		"x not below p":     "02fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f",
		"x plus p":          "02fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc30",
		"not on the curve":  "020000000000000000000000000000000000000000000000000000000000000005",
		"identity":          "00",
		"identity, 33":      "000000000000000000000000000000000000000000000000000000000000000000",
		"short":             secp[:64],
		"long":              secp + "00",
		"empty":             "",
		"ed25519's encoded": hex.EncodeToString(group.Edwards25519.Generator().Bytes()),
	} {
		if _, err := group.Secp256k1.DecodePoint(unhex(t, s)); err == nil {
			t.Errorf("secp256k1: %s accepted", name)
		}
	}
	for name, s := range map[string]string{
		"y = p + 1":           "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"y = p + 3":           "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"y = 1 with sign":     "0100000000000000000000000000000000000000000000000000000000000080",
		"not on the curve":    "0200000000000000000000000000000000000000000000000000000000000000",
		"short":               "58",
		"secp256k1's encoded": secp,
		"empty":               "",
	} {
		if _, err := group.Edwards25519.DecodePoint(unhex(t, s)); err == nil {
			t.Errorf("edwards25519: %s accepted", name)
		}
	}
}

func randomScalars(t testing.TB, g group.Group, n int) []group.Scalar {
	t.Helper()
	out := make([]group.Scalar, n)
	for i := range out {
		s, err := g.Random(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = s
	}
	return out
}

// Every way to multiply gives the same point, and it survives encoding.
func TestPointArithmetic(t *testing.T) {
	t.Parallel()
	for _, g := range groups {
		for n := range 6 {
			ss := randomScalars(t, g, n)
			base := randomScalars(t, g, 1)[0]
			points := make([]group.Point, n)
			want := g.BaseMul(base)
			for i, s := range randomScalars(t, g, n) {
				points[i] = g.BaseMul(s)
				if !points[i].Equal(g.Generator().Mul(s)) {
					t.Fatalf("%s: fixed and variable base differ", g)
				}
				want = want.Add(points[i].Mul(ss[i]))
			}
			if got := g.VarTimeMultiMul(base, ss, points); !got.Equal(want) {
				t.Errorf("%s: VarTimeMultiMul of %d points", g, n)
			}
			back, err := g.DecodePoint(want.Bytes())
			if err != nil || !back.Equal(want) {
				t.Errorf("%s: encoding doesn't round-trip: %v", g, err)
			}
			if !want.Sub(want).IsIdentity() || want.IsIdentity() || !want.Add(g.Identity()).Equal(want) {
				t.Errorf("%s: identity", g)
			}
		}
		p := g.BaseMul(randomScalars(t, g, 1)[0])
		for _, x := range []uint16{0, 1, 2, 3, 7, 255, 256, 65535} {
			if !p.VarTimeMulUint(x).Equal(p.Mul(g.Uint(uint64(x)))) {
				t.Errorf("%s: small multiple %d", g, x)
			}
		}
	}
}

// Differential: decred's secp256k1 is other code for the same curve.
func TestAgreesWithDecred(t *testing.T) {
	t.Parallel()
	for range 50 {
		s := randomScalars(t, group.Secp256k1, 1)[0]
		want := dcrec.PrivKeyFromBytes(s.Bytes()).PubKey().SerializeCompressed()
		if got := group.Secp256k1.BaseMul(s).Bytes(); !bytes.Equal(got, want) {
			t.Fatalf("%x, decred %x", got, want)
		}
	}
}

func TestScalarsDontPrint(t *testing.T) {
	t.Parallel()
	s := randomScalars(t, group.Secp256k1, 1)[0]
	secret := hex.EncodeToString(s.Bytes())
	for _, f := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, v := range []any{s, &s, []group.Scalar{s}, struct{ S group.Scalar }{s}} {
			if out := fmt.Sprintf(f, v); bytes.Contains([]byte(out), []byte(secret[:8])) || !bytes.Contains([]byte(out), []byte("[scalar]")) {
				t.Errorf("%s prints %s", f, out)
			}
		}
	}
	if _, err := json.Marshal(s); err == nil {
		t.Error("a scalar has a JSON form")
	}
	s.Clear()
	if !s.IsZero() {
		t.Error("Clear leaves the value")
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken") }

// Attack A49: a random source that fails stops everything.
func TestRandomFails(t *testing.T) {
	t.Parallel()
	for _, g := range groups {
		if _, err := g.Random(failing{}); err == nil {
			t.Error("no error from a broken source")
		}
		if _, err := g.Random(bytes.NewReader(make([]byte, 48))); err == nil {
			t.Error("the scalar 0 is accepted")
		}
	}
}

func FuzzDecodePoint(f *testing.F) {
	for _, g := range groups {
		f.Add(g.Generator().Bytes())
	}
	for _, s := range smallOrder {
		b, _ := hex.DecodeString(s)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, g := range groups {
			p, err := g.DecodePoint(b)
			if err != nil {
				continue
			}
			if !bytes.Equal(p.Bytes(), b) {
				t.Errorf("%s: %x encodes as %x", g, b, p.Bytes())
			}
			last := new(big.Int).Sub(orders[g], big.NewInt(1))
			s, err := g.DecodeScalar(encode(g, last))
			if err != nil {
				t.Fatal(err)
			}
			if p.IsIdentity() || !p.Mul(s).Add(p).IsIdentity() {
				t.Errorf("%s: %x isn't of prime order", g, b)
			}
		}
	})
}

func BenchmarkDecodePoint(b *testing.B) {
	for _, g := range groups {
		enc := g.HashToScalar("bench", hash.U16(1))
		p := g.BaseMul(enc).Bytes()
		b.Run(g.String(), func(b *testing.B) {
			for b.Loop() {
				if _, err := g.DecodePoint(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
