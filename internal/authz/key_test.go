package authz

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"slices"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
)

func TestParseKey(t *testing.T) {
	t.Parallel()
	algorithms := []custody.Algorithm{custody.ES256, custody.EdDSA, custody.RS256, "", "HS256", "none", "ES384"}
	modulus := func(bits int) *big.Int { // odd, and of exactly as many bits
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return n.SetBit(n, 0, 1)
	}
	p521 := must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	x25519 := must(ecdh.X25519().GenerateKey(rand.Reader))
	for name, c := range map[string]struct {
		key  crypto.PublicKey
		want custody.Algorithm
	}{
		"P-256":          {keyP256().Public(), custody.ES256},
		"P-384":          {keyP384().Public(), ""},
		"P-521":          {p521.Public(), ""},
		"Ed25519":        {keyEd25519().Public(), custody.EdDSA},
		"X25519":         {x25519.PublicKey(), ""},
		"RSA 2048":       {keyRSA().Public(), custody.RS256},
		"RSA 1024":       {&rsa.PublicKey{N: modulus(1024), E: 65537}, ""},
		"RSA 2047":       {&rsa.PublicKey{N: modulus(2047), E: 65537}, ""},
		"RSA 4096":       {&rsa.PublicKey{N: modulus(4096), E: 65537}, custody.RS256},
		"RSA 4097":       {&rsa.PublicKey{N: modulus(4097), E: 65537}, ""},
		"RSA 8192":       {&rsa.PublicKey{N: modulus(8192), E: 65537}, ""},
		"RSA exponent 3": {&rsa.PublicKey{N: modulus(2048), E: 3}, custody.RS256},
		"RSA exponent 2": {&rsa.PublicKey{N: modulus(2048), E: 2}, ""},
		"RSA exponent 1": {&rsa.PublicKey{N: modulus(2048), E: 1}, ""},
		"RSA exponent 4": {&rsa.PublicKey{N: modulus(2048), E: 65536}, ""},
	} {
		der := pkix(t, c.key)
		for _, a := range algorithms {
			key, err := ParseKey(a, der)
			ok := a == c.want && a != ""
			if ok != (err == nil) || !ok && (custody.CodeOf(err) != custody.Invalid || key != nil) {
				t.Errorf("%s as %q: %v", name, a, err)
			}
		}
		if c.want != "" {
			if _, err := ParseKey(c.want, append(slices.Clone(der), 0)); err == nil {
				t.Errorf("%s with a byte behind it is accepted", name)
			}
			if _, err := ParseKey(c.want, der[:len(der)-1]); err == nil {
				t.Errorf("%s cut short is accepted", name)
			}
		}
	}
	prefix := pkix(t, keyEd25519().Public())[:12]
	for _, point := range smallOrder {
		if _, err := ParseKey(custody.EdDSA, slices.Concat(prefix, point)); custody.CodeOf(err) != custody.Invalid {
			t.Errorf("Ed25519 key %x is accepted", point)
		}
	}
	for _, junk := range [][]byte{nil, {}, {0x30}, bytes.Repeat([]byte{0xff}, 91), x509.MarshalPKCS1PublicKey(&keyRSA().PublicKey)} {
		if _, err := ParseKey(custody.ES256, junk); custody.CodeOf(err) != custody.Invalid {
			t.Errorf("%x: %v", junk, err)
		}
	}
	// The same key in another DER form: a parameter that RFC 8410 leaves out, a
	// compressed point.
	ed := pkix(t, keyEd25519().Public())
	if _, err := ParseKey(custody.EdDSA, slices.Concat([]byte{0x30, 0x2c, 0x30, 0x07}, ed[4:9], []byte{0x05, 0x00}, ed[9:])); custody.CodeOf(err) != custody.Invalid {
		t.Errorf("Ed25519 with a parameter: %v", err)
	}
	ec := pkix(t, keyP256().Public())
	point := elliptic.MarshalCompressed(elliptic.P256(), keyP256().X, keyP256().Y)
	short := slices.Concat([]byte{0x30, 0x39}, ec[2:23], []byte{0x03, 0x22, 0x00}, point)
	if _, err := ParseKey(custody.ES256, short); custody.CodeOf(err) != custody.Invalid {
		t.Errorf("a compressed point: %v", err)
	}
	long := slices.Concat([]byte{0x30, 0x81, ed[1]}, ed[2:])
	if _, err := ParseKey(custody.EdDSA, long); custody.CodeOf(err) != custody.Invalid {
		t.Errorf("a length in two bytes: %v", err)
	}
	// A point that isn't on the curve.
	der := pkix(t, keyP256().Public())
	der[len(der)-1] ^= 1
	if _, err := ParseKey(custody.ES256, der); custody.CodeOf(err) != custody.Invalid {
		t.Errorf("a point beside the curve: %v", err)
	}
}

func TestCheckCredential(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		credential *custody.Credential
		ok         bool
	}{
		{credential(t, custody.WebAuthn, custody.ES256), true},
		{credential(t, custody.WebAuthn, custody.RS256), true},
		{credential(t, custody.Device, custody.EdDSA), true},
		{credential(t, custody.OIDC, ""), true},
		{&custody.Credential{Kind: custody.Device, Algorithm: custody.EdDSA, PublicKey: pkix(t, keyP256().Public())}, false},
		{&custody.Credential{Kind: custody.Device, Algorithm: custody.ES256, PublicKey: pkix(t, keyP384().Public())}, false},
		{&custody.Credential{Kind: custody.WebAuthn, Algorithm: custody.ES256}, false},
	} {
		if err := CheckCredential(c.credential); c.ok != (err == nil) || !c.ok && custody.CodeOf(err) != custody.Invalid {
			t.Errorf("%s %s: %v", c.credential.Kind, c.credential.Algorithm, err)
		}
	}
	i := issuer(t)
	if err := CheckIssuer(i); err != nil {
		t.Error(err)
	}
	i.Keys[1].PublicKey = pkix(t, keyP384().Public())
	if err := CheckIssuer(i); custody.CodeOf(err) != custody.Invalid {
		t.Error(err)
	}
}

func TestCheckNode(t *testing.T) {
	t.Parallel()
	good := hybridKey(t, 1).Public().Bytes()
	bad := slices.Concat(identity, good[32:]) // the Ed25519 half of small order
	for _, c := range []struct {
		identity, witness []byte
		field             string
	}{
		{good, hybridKey(t, 2).Public().Bytes(), ""},
		{bad, good, "identityKey"},
		{good, bad, "witnessKey"},
		{good[1:], good, "identityKey"},
		{good, nil, "witnessKey"},
	} {
		err := CheckNode(&custody.SignerNode{IdentityKey: c.identity, WitnessKey: c.witness})
		if c.field == "" && err == nil {
			continue
		}
		if e, ok := err.(*custody.Error); !ok || e.Field != c.field || e.Code != custody.Invalid { //nolint:errorlint // CheckNode returns it as it is
			t.Errorf("want %q: %v", c.field, err)
		}
	}
}

func hybridKey(t testing.TB, n byte) hybrid.PrivateKey {
	t.Helper()
	k, err := hybrid.NewPrivateKey(bytes.Repeat([]byte{n}, hybrid.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVerifyNode(t *testing.T) {
	t.Parallel()
	k, hash := hybridKey(t, 1), hashOf("attest")
	sig, err := k.Sign(hash[:])
	if err != nil {
		t.Fatal(err)
	}
	if err := VerifyNode(k.Public(), hash, sig); err != nil {
		t.Error(err)
	}
	refused(t, "another hash", VerifyNode(k.Public(), hashOf("x"), sig), "signature")
	refused(t, "another node", VerifyNode(hybridKey(t, 2).Public(), hash, sig), "signature")
	refused(t, "no key", VerifyNode(hybrid.PublicKey{}, hash, sig), "signature")
	refused(t, "short", VerifyNode(k.Public(), hash, sig[1:]), "signature")
	refused(t, "none", VerifyNode(k.Public(), hash, nil), "signature")
	for i := 0; i < len(sig); i += 41 {
		odd := slices.Clone(sig)
		odd[i] ^= 1
		refused(t, "flipped", VerifyNode(k.Public(), hash, odd), "signature")
	}
}

// wycheproof is a file of C2SP/wycheproof, unchanged.
type wycheproof struct {
	Algorithm     string `json:"algorithm"`
	NumberOfTests int    `json:"numberOfTests"`
	Groups        []struct {
		Key   string `json:"publicKeyDer"`
		Tests []struct {
			ID      int    `json:"tcId"`
			Comment string `json:"comment"`
			Message string `json:"msg"`
			Sig     string `json:"sig"`
			Result  string `json:"result"`
		} `json:"tests"`
	} `json:"testGroups"`
}

func readJSON(t testing.TB, file string, v any) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
}

// The vectors of project Wycheproof, through the two functions that check
// signatures, keys read as journals hold them.
func TestWycheproof(t *testing.T) {
	t.Parallel()
	for file, algorithm := range map[string]custody.Algorithm{"ed25519_test.json": custody.EdDSA, "ecdsa_secp256r1_sha256_test.json": custody.ES256} {
		var v wycheproof
		readJSON(t, "testdata/"+file, &v)
		count := 0
		for _, g := range v.Groups {
			der, err := hex.DecodeString(g.Key)
			if err != nil {
				t.Fatal(err)
			}
			key, err := ParseKey(algorithm, der)
			if err != nil {
				t.Errorf("%s: key %s: %v", file, g.Key, err)
				continue
			}
			for _, c := range g.Tests {
				count++
				message, err1 := hex.DecodeString(c.Message)
				sig, err2 := hex.DecodeString(c.Sig)
				if err1 != nil || err2 != nil || c.Result != "valid" && c.Result != "invalid" {
					t.Fatalf("%s %d: not a vector", file, c.ID)
				}
				valid := c.Result == "valid"
				if verifyMessage(key, message, sig) != valid {
					t.Errorf("%s %d (%s): want %s", file, c.ID, c.Comment, c.Result)
				}
				// A device signs a hash: ECDSA takes it as the digest, Ed25519 as the message.
				if algorithm == custody.ES256 && verifyHash(key, sha256.Sum256(message), sig) != valid {
					t.Errorf("%s %d (%s) as a device: want %s", file, c.ID, c.Comment, c.Result)
				}
				if algorithm == custody.EdDSA && len(message) == 32 && verifyHash(key, custody.Hash(message), sig) != valid {
					t.Errorf("%s %d (%s) as a device: want %s", file, c.ID, c.Comment, c.Result)
				}
				if p, ok := key.(ed25519.PublicKey); ok && len(message) == 32 && verifyEd25519(p, custody.Hash(message), sig) != valid {
					t.Errorf("%s %d (%s) as a recovery key: want %s", file, c.ID, c.Comment, c.Result)
				}
			}
		}
		if count != v.NumberOfTests || count < 100 {
			t.Errorf("%s: %d tests of %d", file, count, v.NumberOfTests)
		}
	}
}
