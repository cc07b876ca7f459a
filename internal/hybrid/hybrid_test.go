package hybrid_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"filippo.io/mldsa"

	"github.com/cofferhq/coffer/internal/hybrid"
)

func newKey(tb testing.TB, b byte) hybrid.PrivateKey {
	tb.Helper()
	k, err := hybrid.NewPrivateKey(bytes.Repeat([]byte{b}, hybrid.SeedSize))
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func sign(tb testing.TB, k hybrid.PrivateKey, message string) []byte {
	tb.Helper()
	s, err := k.Sign([]byte(message))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestSignVerify(t *testing.T) {
	t.Parallel()
	k := newKey(t, 1)
	s := sign(t, k, "pay")
	if len(s) != hybrid.SignatureSize {
		t.Fatalf("%d bytes", len(s))
	}
	if err := k.Public().Verify([]byte("pay"), s); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s, sign(t, k, "pay")) {
		t.Error("signing isn't deterministic")
	}
	if err := newKey(t, 2).Public().Verify([]byte("pay"), s); err == nil {
		t.Error("verifies under another key")
	}

	// Each half is plain Ed25519 and ML-DSA-44 over the documented bytes.
	m := []byte("coffer/hybrid/v1\x00pay")
	if !ed25519.Verify(k.Public().Ed25519(), m, s[:64]) {
		t.Error("the Ed25519 half isn't RFC 8032")
	}
	p, err := mldsa.NewPublicKey(mldsa.MLDSA44(), k.Public().MLDSA44())
	if err != nil {
		t.Fatal(err)
	}
	if err := mldsa.Verify(p, m, s[64:], nil); err != nil {
		t.Errorf("the ML-DSA-44 half isn't FIPS 204: %v", err)
	}
}

// Each half is needed: stripped, swapped, taken from another key or message, or with any
// byte changed, the signature fails and the error names the half.
func TestBothHalvesNeeded(t *testing.T) {
	t.Parallel()
	k := newKey(t, 1)
	s, other, said := sign(t, k, "pay"), sign(t, newKey(t, 2), "pay"), sign(t, k, "don't pay")
	join := func(a, b []byte) []byte { return append(bytes.Clone(a), b...) }
	for _, c := range []struct {
		name string
		sig  []byte
		want hybrid.Half // 0: wrong length
	}{
		{"empty", nil, 0},
		{"Ed25519 alone", s[:64], 0},
		{"ML-DSA-44 alone", s[64:], 0},
		{"one byte more", join(s, []byte{0}), 0},
		{"one byte less", s[:len(s)-1], 0},
		{"halves swapped", join(s[64:], s[:64]), hybrid.Ed25519},
		{"Ed25519 zero", join(make([]byte, 64), s[64:]), hybrid.Ed25519},
		{"ML-DSA-44 zero", join(s[:64], make([]byte, 2420)), hybrid.MLDSA44},
		{"Ed25519 of another key", join(other[:64], s[64:]), hybrid.Ed25519},
		{"ML-DSA-44 of another key", join(s[:64], other[64:]), hybrid.MLDSA44},
		{"Ed25519 of another message", join(said[:64], s[64:]), hybrid.Ed25519},
		{"ML-DSA-44 of another message", join(s[:64], said[64:]), hybrid.MLDSA44},
	} {
		err := k.Public().Verify([]byte("pay"), c.sig)
		var half *hybrid.HalfError
		switch {
		case c.want == 0 && !errors.Is(err, hybrid.ErrLength):
			t.Errorf("%s: %v, not ErrLength", c.name, err)
		case c.want != 0 && (!errors.As(err, &half) || half.Half != c.want || !strings.Contains(err.Error(), c.want.String())):
			t.Errorf("%s: %v doesn't name %s", c.name, err, c.want)
		}
	}
	for i := range s {
		bad := bytes.Clone(s)
		bad[i] ^= 1 << (i % 8)
		if k.Public().Verify([]byte("pay"), bad) == nil {
			t.Fatalf("byte %d changed and the signature holds", i)
		}
	}
	if k.Public().VerifyHalf(0, nil, nil) == nil {
		t.Error("an unknown half verifies")
	}
}

func TestZeroValues(t *testing.T) {
	t.Parallel()
	var pub hybrid.PublicKey
	var key hybrid.PrivateKey
	if err := pub.Verify(nil, make([]byte, hybrid.SignatureSize)); !errors.Is(err, hybrid.ErrKey) {
		t.Errorf("verifying under no key: %v", err)
	}
	if err := pub.VerifyHalf(hybrid.MLDSA44, nil, nil); !errors.Is(err, hybrid.ErrKey) {
		t.Errorf("verifying half under no key: %v", err)
	}
	if _, err := pub.MarshalText(); !errors.Is(err, hybrid.ErrKey) {
		t.Errorf("the text of no key: %v", err)
	}
	if _, err := key.Sign(nil); !errors.Is(err, hybrid.ErrKey) {
		t.Errorf("signing with no key: %v", err)
	}
	if !key.Public().IsZero() || pub.Bytes() != nil || pub.Ed25519() != nil || pub.MLDSA44() != nil {
		t.Error("no key has a public key")
	}
	if _, err := newKey(t, 1).SignHalf(9, nil); !errors.Is(err, hybrid.ErrKey) {
		t.Errorf("an unknown half: %v", err)
	}
	if _, err := hybrid.NewPrivateKey(make([]byte, 63)); !errors.Is(err, hybrid.ErrKey) {
		t.Errorf("a short seed: %v", err)
	}
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	random := bytes.NewReader(bytes.Repeat([]byte{1}, hybrid.SeedSize))
	k, seed, err := hybrid.Generate(random)
	if err != nil || !k.Public().Equal(newKey(t, 1).Public()) || !bytes.Equal(seed, bytes.Repeat([]byte{1}, hybrid.SeedSize)) {
		t.Errorf("not the key of the seed read: %v", err)
	}
	if _, _, err := hybrid.Generate(random); err == nil {
		t.Error("a key without randomness")
	}
}

func TestPublicKeyText(t *testing.T) {
	t.Parallel()
	k := newKey(t, 1).Public()
	text, err := k.MarshalText()
	if err != nil || len(text) != 1792 {
		t.Fatalf("%d letters: %v", len(text), err)
	}
	j, err := json.Marshal(map[string]hybrid.PublicKey{"key": k})
	if err != nil || string(j) != `{"key":"`+string(text)+`"}` {
		t.Fatalf("%s: %v", j, err)
	}
	var got map[string]hybrid.PublicKey
	if err := json.Unmarshal(j, &got); err != nil || !got["key"].Equal(k) {
		t.Errorf("%v: not the same key", err)
	}
	for name, bad := range map[string]string{
		"empty":           "",
		"short":           string(text[:1788]),
		"long":            string(text) + "AAAA",
		"line break":      string(text[:1788]) + "\nAAA",
		"line break more": string(text) + "\n",
		"URL alphabet":    strings.Replace(string(text), string(text[5]), "-", 1),
		"padding":         string(text[:1791]) + "=",
		"small order":     base64.StdEncoding.EncodeToString(append(append([]byte{1}, make([]byte, 31)...), k.MLDSA44()...)),
	} {
		var p hybrid.PublicKey
		if err := p.UnmarshalText([]byte(bad)); !errors.Is(err, hybrid.ErrKey) || !p.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParsePublicKeyRefuses(t *testing.T) {
	t.Parallel()
	good := newKey(t, 1).Public().Bytes()
	if p, err := hybrid.ParsePublicKey(good); err != nil || !bytes.Equal(p.Bytes(), good) {
		t.Fatal(err)
	}
	for name, ed := range map[string]string{
		"identity":                   "0100000000000000000000000000000000000000000000000000000000000000",
		"order 2":                    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"order 4":                    "0000000000000000000000000000000000000000000000000000000000000000",
		"order 8":                    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"identity, not canonical":    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"y = p + 3, not canonical":   "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"x = 0 with its sign set":    "0100000000000000000000000000000000000000000000000000000000000080",
		"not on the curve":           "0200000000000000000000000000000000000000000000000000000000000000",
		"all ones, beyond the field": "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	} {
		e, err := hex.DecodeString(ed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := hybrid.ParsePublicKey(append(e, good[32:]...)); !errors.Is(err, hybrid.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nothing that prints a private key prints its bytes.
func TestPrivateKeyRedactsItself(t *testing.T) {
	t.Parallel()
	seed := []byte(strings.Repeat("secretsecretsecr", 4))
	k, err := hybrid.NewPrivateKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	type owner struct {
		Key hybrid.PrivateKey
		key hybrid.PrivateKey
	}
	o := owner{k, k}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+verb, k, &k, o, &o)
		if got := fmt.Sprintf(verb, k); got != "redacted" {
			t.Errorf("%s: %s", verb, got)
		}
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", k, "owner", o)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", k, "owner", o)
	j, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	for _, leak := range []string{
		"secret", "115 101 99 114", "73656372", "73, 65", "0x73, 0x65", base64.StdEncoding.EncodeToString(seed[:9])[:10],
	} {
		if strings.Contains(strings.ToLower(out.String()), strings.ToLower(leak)) {
			t.Errorf("output holds %q", leak)
		}
	}
	if !strings.Contains(out.String(), "redacted") {
		t.Error("nothing is marked as redacted")
	}
	if o.key.Public() != k.Public() {
		t.Error("keys differ")
	}
}

func FuzzPublicKeyText(f *testing.F) {
	k := newKey(f, 1).Public()
	f.Add(k.String())
	f.Add(k.String()[:1790] + "==")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		var p hybrid.PublicKey
		if p.UnmarshalText([]byte(s)) != nil {
			return
		}
		if text, err := p.MarshalText(); err != nil || string(text) != s {
			t.Errorf("%q is accepted and isn't what is written: %v", s, err)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	k, m := newKey(b, 1), make([]byte, 32)
	for b.Loop() {
		if _, err := k.Sign(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	k, m := newKey(b, 1), make([]byte, 32)
	s, p := sign(b, k, string(m)), k.Public()
	for b.Loop() {
		if err := p.Verify(m, s); err != nil {
			b.Fatal(err)
		}
	}
}
