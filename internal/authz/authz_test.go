package authz

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
)

const now = custody.Time(1_767_322_800_000) // 2026-01-02T03:00:00.000Z

// id returns the nth id made at now.
func id[T any](n uint64) custody.ID[T] {
	var out custody.ID[T]
	binary.BigEndian.PutUint64(out[:8], uint64(now)<<16|0x7000)
	binary.BigEndian.PutUint64(out[8:], 1<<63|n)
	return out
}

func hashOf(s string) custody.Hash { return sha256.Sum256([]byte(s)) }

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Keys are made once: those of RSA take their time.
var (
	keyP256    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	keyP384    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	keyRSA     = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	keyEd25519 = sync.OnceValue(func() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, 32)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func signerOf(a custody.Algorithm) crypto.Signer {
	switch a {
	case custody.ES256:
		return keyP256()
	case custody.RS256:
		return keyRSA()
	default:
		return keyEd25519()
	}
}

func pkix(t testing.TB, key crypto.PublicKey) custody.Blob {
	t.Helper()
	b, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sign signs a message as its algorithm does: ES256 in ASN.1, RS256 in PKCS #1 v1.5.
func sign(t testing.TB, key crypto.Signer, message []byte) custody.Blob {
	t.Helper()
	digest := sha256.Sum256(message)
	var sig []byte
	var err error
	if _, ok := key.(ed25519.PrivateKey); ok {
		sig, err = key.Sign(nil, message, crypto.Hash(0))
	} else {
		sig, err = key.Sign(rand.Reader, digest[:], crypto.SHA256)
	}
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// signHash signs a hash as a device does: P-256 takes it as the digest.
func signHash(t testing.TB, key crypto.Signer, hash custody.Hash) custody.Blob {
	t.Helper()
	var options crypto.SignerOpts = crypto.SHA256
	if _, ok := key.(ed25519.PrivateKey); ok {
		options = crypto.Hash(0)
	}
	sig, err := key.Sign(rand.Reader, hash[:], options)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func credential(t testing.TB, kind custody.CredentialKind, a custody.Algorithm) *custody.Credential {
	t.Helper()
	c := &custody.Credential{ID: id[custody.Credential](1), Person: id[custody.Person](1), Kind: kind}
	if kind == custody.OIDC {
		c.Issuer, c.Subject = "bank-id", hashOf("subject-1")
		return c
	}
	c.Algorithm, c.PublicKey = a, pkix(t, signerOf(a).Public())
	if kind == custody.WebAuthn {
		c.WebAuthn = custody.Blob("credential")
	}
	return c
}

var site = &custody.RelyingParty{ID: "bank.example", Origins: []custody.Origin{"https://coffer.bank.example", "http://localhost:8080"}}

func realm(issuers ...*custody.Issuer) Realm {
	return Realm{RelyingParty: site, Issuer: func(n custody.Name) *custody.Issuer {
		i := slices.IndexFunc(issuers, func(i *custody.Issuer) bool { return i.ID == n })
		if i < 0 {
			return nil
		}
		return issuers[i]
	}}
}

// refused checks that an error is of evidence that doesn't verify, and the field.
func refused(t testing.TB, what string, err error, field string) {
	t.Helper()
	e, ok := errors.AsType[*custody.Error](err)
	if !ok || e.Code != custody.Unauthenticated || e.Field != field {
		t.Errorf("%s: %v, want a refusal that names %s", what, err, field)
	}
}

// assertion is what a passkey and its browser make.
type assertion struct {
	client map[string]any
	data   []byte
}

func newAssertion(hash custody.Hash) assertion {
	rp := sha256.Sum256([]byte(site.ID))
	return assertion{
		client: map[string]any{"type": "webauthn.get", "challenge": b64(hash[:]), "origin": string(site.Origins[0]), "crossOrigin": false},
		data:   slices.Concat(rp[:], []byte{userPresent | userVerified}, []byte{0, 0, 0, 7}),
	}
}

func (a assertion) sign(t testing.TB, key crypto.Signer) *custody.Evidence {
	t.Helper()
	client, err := json.Marshal(a.client)
	if err != nil {
		t.Fatal(err)
	}
	return signAssertion(t, key, client, a.data)
}

func signAssertion(t testing.TB, key crypto.Signer, client, data []byte) *custody.Evidence {
	t.Helper()
	digest := sha256.Sum256(client)
	return &custody.Evidence{
		Kind: custody.EvidenceKind(custody.WebAuthn), Credential: id[custody.Credential](1),
		Signed:    &custody.Signed{ClientData: client, AuthenticatorData: slices.Clone(data)},
		Signature: sign(t, key, slices.Concat(data, digest[:])),
	}
}

func deviceEvidence(t testing.TB, key crypto.Signer, hash custody.Hash) *custody.Evidence {
	t.Helper()
	return &custody.Evidence{Kind: custody.EvidenceKind(custody.Device), Credential: id[custody.Credential](1), Signature: signHash(t, key, hash)}
}

func TestDeviceKeys(t *testing.T) {
	t.Parallel()
	hash := hashOf("approve")
	for _, a := range []custody.Algorithm{custody.ES256, custody.EdDSA} {
		c, e := credential(t, custody.Device, a), deviceEvidence(t, signerOf(a), hash)
		verify := func(c *custody.Credential, e *custody.Evidence, hash custody.Hash) error {
			_, err := realm().Verify(c, e, hash, now)
			return err
		}
		if v, err := realm().Verify(c, e, hash, now); err != nil || v.Kind != custody.Device || v.ACR != "" {
			t.Errorf("%s: %v", a, err)
		}
		refused(t, "another hash", verify(c, e, hashOf("deny")), "signature")
		for i := range e.Signature {
			for _, bit := range []byte{1, 0x80} {
				odd := *e
				odd.Signature = slices.Clone(e.Signature)
				odd.Signature[i] ^= bit
				refused(t, fmt.Sprintf("%s: byte %d flipped", a, i), verify(c, &odd, hash), "signature")
			}
		}
		for _, sig := range [][]byte{nil, {}, e.Signature[:len(e.Signature)-1], append(slices.Clone(e.Signature), 0), make([]byte, 64), make([]byte, 4096)} {
			odd := *e
			odd.Signature = sig
			refused(t, fmt.Sprintf("%s: %d bytes", a, len(sig)), verify(c, &odd, hash), "signature")
		}
		other := *c
		other.ID = id[custody.Credential](2)
		refused(t, "another credential", verify(&other, e, hash), "credential")
		kind := *e
		kind.Kind = custody.EvidenceKind(custody.WebAuthn)
		refused(t, "another kind", verify(c, &kind, hash), "kind")
		// The message signed like a passkey's, hashed once more, counts for nothing.
		twice := *e
		twice.Signature = sign(t, signerOf(a), slices.Concat(hash[:], hash[:]))
		refused(t, "another message", verify(c, &twice, hash), "signature")
	}
	if c := credential(t, custody.Device, custody.ES256); true {
		e := &custody.Evidence{Kind: custody.EvidenceKind(custody.Device), Credential: c.ID, Signature: sign(t, keyP256(), hash[:])}
		_, err := realm().Verify(c, e, hash, now)
		refused(t, "the hash hashed again", err, "signature")
	}
	// An RSA key is no device's, whatever the credential says.
	hash2 := hashOf("x")
	if verifyHash(&keyRSA().PublicKey, hash2, signHash(t, keyRSA(), hash2)) || verifyHash(nil, hash2, nil) || verifyMessage(nil, nil, nil) {
		t.Error("a key of no known kind verifies")
	}
}

// The kinds that no credential has, and evidence without what its kind needs.
func TestVerifyKinds(t *testing.T) {
	t.Parallel()
	hash := hashOf("approve")
	for _, kind := range []custody.CredentialKind{custody.RecoveryEvidence, custody.NodeEvidence, "", "OTHER"} {
		c := credential(t, custody.Device, custody.EdDSA)
		c.Kind = kind
		e := deviceEvidence(t, keyEd25519(), hash)
		e.Kind = custody.EvidenceKind(kind)
		for _, s := range []*custody.Signed{nil, {}} {
			e.Signed = s
			_, err := realm().Verify(c, e, hash, now)
			if custody.CodeOf(err) != custody.Unauthenticated {
				t.Errorf("kind %q: %v", kind, err)
			}
		}
	}
	for _, kind := range []custody.CredentialKind{custody.WebAuthn, custody.OIDC} {
		c := credential(t, kind, custody.EdDSA)
		e := &custody.Evidence{Kind: custody.EvidenceKind(kind), Credential: c.ID}
		_, err := realm(issuer(t)).Verify(c, e, hash, now)
		refused(t, string(kind)+" without signed", err, "signed")
	}
	// A caller that keeps keys: Key is asked, and its answer is what counts.
	c, e := credential(t, custody.Device, custody.EdDSA), deviceEvidence(t, keyEd25519(), hash)
	r := realm()
	r.Key = func(*custody.Credential) (crypto.PublicKey, error) { return keyP256().Public(), nil }
	_, err := r.Verify(c, e, hash, now)
	refused(t, "another key", err, "signature")
	want := errors.New("no key")
	r.Key = func(*custody.Credential) (crypto.PublicKey, error) { return nil, want }
	if _, err := r.Verify(c, e, hash, now); !errors.Is(err, want) {
		t.Error(err)
	}
	r.Key = func(c *custody.Credential) (crypto.PublicKey, error) { return ParseKey(c.Algorithm, c.PublicKey) }
	if _, err := r.Verify(c, e, hash, now); err != nil {
		t.Error(err)
	}
}

func TestRecoveryKeys(t *testing.T) {
	t.Parallel()
	hash := hashOf("recover")
	k := &custody.RecoveryKey{ID: id[custody.Person](9), Key: custody.Blob(keyEd25519().Public().(ed25519.PublicKey))}
	sig := signHash(t, keyEd25519(), hash)
	if err := VerifyRecovery(k, hash, sig); err != nil {
		t.Error(err)
	}
	refused(t, "another hash", VerifyRecovery(k, hashOf("x"), sig), "signature")
	refused(t, "short", VerifyRecovery(k, hash, sig[:63]), "signature")
	refused(t, "none", VerifyRecovery(k, hash, nil), "signature")
	for i := range sig {
		odd := slices.Clone(sig)
		odd[i] ^= 1
		refused(t, fmt.Sprintf("byte %d", i), VerifyRecovery(k, hash, odd), "signature")
	}
	for _, key := range [][]byte{nil, {}, make([]byte, 31), make([]byte, 33), make([]byte, 64)} {
		refused(t, fmt.Sprintf("key of %d bytes", len(key)), VerifyRecovery(&custody.RecoveryKey{Key: key}, hash, sig), "signature")
	}
	// Keys of small order, under which one signature holds for every message, don't
	// get on record.
	for _, key := range append(smallOrder, nil, make([]byte, 31)) {
		if CheckEd25519(key) == nil {
			t.Errorf("%x can be used", key)
		}
	}
	if err := CheckEd25519(k.Key); err != nil {
		t.Error(err)
	}
}

var identity = append([]byte{1}, make([]byte, 31)...)

// smallOrder are encodings of all points of small order, and encodings that
// aren't canonical.
var smallOrder = func() [][]byte {
	var out [][]byte
	for _, s := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"0100000000000000000000000000000000000000000000000000000000000080", // not canonical
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // y = p + 3, of large order
	} {
		out = append(out, unhex(s))
	}
	return out
}()

func unhex(s string) []byte {
	var b []byte
	if _, err := fmt.Sscanf(strings.TrimSpace(s), "%x", &b); err != nil {
		panic(err)
	}
	return b
}
