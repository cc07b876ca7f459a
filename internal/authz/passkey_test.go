package authz

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/descope/virtualwebauthn"

	"github.com/cofferhq/coffer/internal/custody"
)

// Assertions of an independent authenticator.
func TestVirtualAuthenticator(t *testing.T) {
	t.Parallel()
	hash := hashOf("approve")
	for _, c := range []struct {
		algorithm custody.Algorithm
		kind      virtualwebauthn.KeyType
		key       crypto.Signer
	}{
		{custody.ES256, virtualwebauthn.KeyTypeEC2, keyP256()},
		{custody.RS256, virtualwebauthn.KeyTypeRSA, keyRSA()},
	} {
		pkcs8, err := x509.MarshalPKCS8PrivateKey(c.key)
		if err != nil {
			t.Fatal(err)
		}
		passkey := virtualwebauthn.NewCredentialWithImportedKey(c.kind, pkcs8)
		for _, o := range []struct {
			options virtualwebauthn.AuthenticatorOptions
			rp      virtualwebauthn.RelyingParty
			field   string // "" if it verifies
		}{
			{rp: virtualwebauthn.RelyingParty{ID: "bank.example", Origin: "https://coffer.bank.example"}},
			{rp: virtualwebauthn.RelyingParty{ID: "bank.example", Origin: "http://localhost:8080"}},
			{rp: virtualwebauthn.RelyingParty{ID: "bank.example", Origin: "https://coffer.bank.example"}, options: virtualwebauthn.AuthenticatorOptions{BackupEligible: true, BackupState: true}},
			{rp: virtualwebauthn.RelyingParty{ID: "bank.example", Origin: "https://evil.example"}, field: "signed.clientDataJSON.origin"},
			{rp: virtualwebauthn.RelyingParty{ID: "evil.example", Origin: "https://coffer.bank.example"}, field: "signed.authenticatorData"},
			{rp: virtualwebauthn.RelyingParty{ID: "bank.example", Origin: "https://coffer.bank.example"}, options: virtualwebauthn.AuthenticatorOptions{UserNotVerified: true}, field: "signed.authenticatorData"},
			{rp: virtualwebauthn.RelyingParty{ID: "bank.example", Origin: "https://coffer.bank.example"}, options: virtualwebauthn.AuthenticatorOptions{UserNotPresent: true}, field: "signed.authenticatorData"},
			{rp: virtualwebauthn.RelyingParty{ID: "bank.example", Origin: "https://coffer.bank.example"}, options: virtualwebauthn.AuthenticatorOptions{BackupState: true}, field: "signed.authenticatorData"},
		} {
			answer := virtualwebauthn.CreateAssertionResponse(o.rp, virtualwebauthn.NewAuthenticatorWithOptions(o.options), passkey, virtualwebauthn.AssertionOptions{Challenge: hash[:]})
			var response struct {
				Response struct{ AuthenticatorData, ClientDataJSON, Signature string }
			}
			if err := json.Unmarshal([]byte(answer), &response); err != nil {
				t.Fatal(err)
			}
			bin := func(s string) custody.Blob {
				b, err := base64.RawURLEncoding.DecodeString(s)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			e := &custody.Evidence{
				Kind: custody.EvidenceKind(custody.WebAuthn), Credential: id[custody.Credential](1), Signature: bin(response.Response.Signature),
				Signed: &custody.Signed{ClientData: bin(response.Response.ClientDataJSON), AuthenticatorData: bin(response.Response.AuthenticatorData)},
			}
			_, err := realm().Verify(credential(t, custody.WebAuthn, c.algorithm), e, hash, now)
			if o.field == "" {
				if err != nil {
					t.Errorf("%s %+v: %v", c.algorithm, o, err)
				}
				_, err = realm().Verify(credential(t, custody.WebAuthn, c.algorithm), e, hashOf("deny"), now)
				refused(t, "another hash", err, "signed.clientDataJSON.challenge")
				continue
			}
			refused(t, string(c.algorithm), err, o.field)
		}
	}
}

// The test vectors of Web Authentication Level 3, §16. Where this package is
// stricter than the specification asks, the reason stands beside the vector: the
// signature still verifies.
func TestPublishedAssertions(t *testing.T) {
	t.Parallel()
	const (
		noUser  = "signed.authenticatorData"                 // user verification is always required here
		framed  = "signed.clientDataJSON.crossOrigin"        // no page of another site may ask
		foreign = "P-384, P-521 and Ed448 have no name here" // not among the algorithms
	)
	want := map[string]string{
		"sctn-test-vectors-none-es256":                    noUser,
		"sctn-test-vectors-packed-self-es256":             noUser,
		"sctn-test-vectors-none-es256-crossOrigin":        framed,
		"sctn-test-vectors-none-es256-topOrigin":          framed,
		"sctn-test-vectors-none-es256-long-credential-id": "",
		"sctn-test-vectors-packed-es256":                  "",
		"sctn-test-vectors-packed-es384":                  foreign,
		"sctn-test-vectors-packed-es512":                  foreign,
		"sctn-test-vectors-packed-rs256":                  noUser,
		"sctn-test-vectors-packed-eddsa":                  noUser,
		"sctn-test-vectors-packed-ed448":                  foreign,
		"sctn-test-vectors-tpm-es256":                     "",
		"sctn-test-vectors-android-key-es256":             noUser,
		"sctn-test-vectors-apple-es256":                   noUser,
		"sctn-test-vectors-fido-u2f-es256":                noUser,
	}
	var file struct {
		Assertions []struct {
			Section, Challenge, ClientDataJSON, AuthenticatorData, Signature string

			COSE map[string]any `json:"coseKey"`
		}
	}
	readJSON(t, "testdata/webauthn_level3.json", &file)
	if len(file.Assertions) != len(want) {
		t.Fatalf("%d vectors", len(file.Assertions))
	}
	org := Realm{RelyingParty: &custody.RelyingParty{ID: "example.org", Origins: []custody.Origin{"https://example.org"}}}
	for _, v := range file.Assertions {
		bin := func(s string) []byte {
			b, err := hex.DecodeString(s)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		member := func(n string) []byte { s, _ := v.COSE[n].(string); return bin(s) } // COSE key parameters, RFC 9053
		var key crypto.PublicKey
		var algorithm custody.Algorithm
		switch v.COSE["3"].(float64) {
		case -7:
			algorithm, key = custody.ES256, &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(member("-2")), Y: new(big.Int).SetBytes(member("-3"))}
		case -257:
			algorithm, key = custody.RS256, &rsa.PublicKey{N: new(big.Int).SetBytes(member("-1")), E: int(new(big.Int).SetBytes(member("-2")).Int64())}
		case -8:
			algorithm, key = custody.EdDSA, ed25519.PublicKey(member("-2"))
		default:
			if want[v.Section] != foreign {
				t.Errorf("%s: no such algorithm", v.Section)
			}
			continue
		}
		c := &custody.Credential{ID: id[custody.Credential](1), Kind: custody.WebAuthn, Algorithm: algorithm, PublicKey: pkix(t, key)}
		e := &custody.Evidence{
			Kind: custody.EvidenceKind(custody.WebAuthn), Credential: c.ID, Signature: bin(v.Signature),
			Signed: &custody.Signed{ClientData: bin(v.ClientDataJSON), AuthenticatorData: bin(v.AuthenticatorData)},
		}
		_, err := org.Verify(c, e, custody.Hash(bin(v.Challenge)), now)
		if field := want[v.Section]; field == "" && err != nil {
			t.Errorf("%s: %v", v.Section, err)
		} else if field != "" {
			refused(t, v.Section, err, field)
		}
		parsed, err := ParseKey(algorithm, c.PublicKey)
		digest := sha256.Sum256(e.Signed.ClientData)
		if err != nil || !verifyMessage(parsed, slices.Concat([]byte(e.Signed.AuthenticatorData), digest[:]), e.Signature) {
			t.Errorf("%s: the signature itself doesn't verify (%v)", v.Section, err)
		}
	}
}

func TestPasskeyRefusals(t *testing.T) {
	t.Parallel()
	hash := hashOf("approve")
	const client = "signed.clientDataJSON"
	set := func(name string, v any) func(*assertion) { return func(a *assertion) { a.client[name] = v } }
	flags := func(f byte) func(*assertion) { return func(a *assertion) { a.data[32] = f } }
	for what, c := range map[string]struct {
		edit  func(*assertion)
		field string // "" if it verifies
	}{
		"as it is":                  {func(*assertion) {}, ""},
		"second origin":             {set("origin", "http://localhost:8080"), ""},
		"no crossOrigin":            {func(a *assertion) { delete(a.client, "crossOrigin") }, ""},
		"members of later browsers": {set("extraData", map[string]any{"a": []int{1}}), ""},
		"empty topOrigin":           {set("topOrigin", ""), ""},
		"backup eligible":           {flags(userPresent | userVerified | backupEligible), ""},
		"backed up":                 {flags(userPresent | userVerified | backupEligible | backedUp), ""},
		"counter of zero":           {func(a *assertion) { copy(a.data[33:], []byte{0, 0, 0, 0}) }, ""},

		"a registration":            {set("type", "webauthn.create"), client + ".type"},
		"a payment":                 {set("type", "payment.get"), client + ".type"},
		"type in capitals":          {set("type", "WEBAUTHN.GET"), client + ".type"},
		"no type":                   {func(a *assertion) { delete(a.client, "type") }, client + ".type"},
		"member in capitals":        {func(a *assertion) { a.client["Type"] = a.client["type"]; delete(a.client, "type") }, client + ".type"},
		"another challenge":         {func(a *assertion) { h := hashOf("x"); a.client["challenge"] = b64(h[:]) }, client + ".challenge"},
		"challenge padded":          {set("challenge", base64.URLEncoding.EncodeToString(hash[:])), client + ".challenge"},
		"challenge in other base64": {set("challenge", base64.RawStdEncoding.EncodeToString(hash[:])+" "), client + ".challenge"},
		"challenge in hex":          {set("challenge", hash.String()), client + ".challenge"},
		"challenge cut":             {set("challenge", b64(hash[:31])), client + ".challenge"},
		"challenge longer":          {set("challenge", b64(append(slices.Clone(hash[:]), 0))), client + ".challenge"},
		"empty challenge":           {set("challenge", ""), client + ".challenge"},
		"another origin":            {set("origin", "https://evil.example"), client + ".origin"},
		"RP ID for origin":          {set("origin", "https://bank.example"), client + ".origin"},
		"subdomain":                 {set("origin", "https://x.coffer.bank.example"), client + ".origin"},
		"origin with slash":         {set("origin", "https://coffer.bank.example/"), client + ".origin"},
		"origin with port":          {set("origin", "https://coffer.bank.example:444"), client + ".origin"},
		"origin without tls":        {set("origin", "http://coffer.bank.example"), client + ".origin"},
		"origin in capitals":        {set("origin", "https://COFFER.bank.example"), client + ".origin"},
		"look-alike origin":         {set("origin", "https://c\u043effer.bank.example"), client + ".origin"},
		"native app":                {set("origin", "android:apk-key-hash:AA"), client + ".origin"},
		"no origin":                 {func(a *assertion) { delete(a.client, "origin") }, client + ".origin"},
		"framed":                    {set("crossOrigin", true), client + ".crossOrigin"},
		"framed by":                 {set("topOrigin", "https://evil.example"), client + ".topOrigin"},
		"framed by itself":          {set("topOrigin", "https://coffer.bank.example"), client + ".topOrigin"},
		"crossOrigin a text":        {set("crossOrigin", "false"), client},
		"challenge a list":          {set("challenge", []string{b64(hash[:])}), client},

		"another RP ID":           {func(a *assertion) { h := hashOf("evil.example"); copy(a.data, h[:]) }, "signed.authenticatorData"},
		"origin's RP ID":          {func(a *assertion) { h := hashOf("coffer.bank.example"); copy(a.data, h[:]) }, "signed.authenticatorData"},
		"no RP ID":                {func(a *assertion) { copy(a.data, make([]byte, 32)) }, "signed.authenticatorData"},
		"user not present":        {flags(userVerified), "signed.authenticatorData"},
		"user not verified":       {flags(userPresent), "signed.authenticatorData"},
		"no flags":                {flags(0), "signed.authenticatorData"},
		"backed up, not eligible": {flags(userPresent | userVerified | backedUp), "signed.authenticatorData"},
		"attested credential":     {flags(userPresent | userVerified | 1<<6), "signed.authenticatorData"},
		"extensions":              {flags(userPresent | userVerified | 1<<7), "signed.authenticatorData"},
		"reserved 1":              {flags(userPresent | userVerified | 1<<1), "signed.authenticatorData"},
		"reserved 5":              {flags(userPresent | userVerified | 1<<5), "signed.authenticatorData"},
		"extension data":          {func(a *assertion) { a.data[32] |= 1 << 7; a.data = append(a.data, 0xa0) }, "signed.authenticatorData"},
		"a byte more":             {func(a *assertion) { a.data = append(a.data, 0) }, "signed.authenticatorData"},
		"a byte less":             {func(a *assertion) { a.data = a.data[:36] }, "signed.authenticatorData"},
		"no counter":              {func(a *assertion) { a.data = a.data[:33] }, "signed.authenticatorData"},
		"nothing":                 {func(a *assertion) { a.data = nil }, "signed.authenticatorData"},
		"a whole registration":    {func(a *assertion) { a.data = append(a.data, make([]byte, 130)...) }, "signed.authenticatorData"},
	} {
		for _, algorithm := range []custody.Algorithm{custody.ES256, custody.EdDSA, custody.RS256} {
			a := newAssertion(hash)
			c.edit(&a)
			_, err := realm().Verify(credential(t, custody.WebAuthn, algorithm), a.sign(t, signerOf(algorithm)), hash, now)
			if c.field == "" {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
				continue
			}
			refused(t, what, err, c.field)
		}
	}
	// Client data that no browser writes, correctly signed.
	good := newAssertion(hash)
	text := string(must(json.Marshal(good.client)))
	for what, client := range map[string]string{
		"empty":           "",
		"no object":       `"webauthn.get"`,
		"null":            "null",
		"list":            "[" + text + "]",
		"trailing":        text + "{}",
		"cut":             text[:len(text)-1],
		"type twice":      strings.Replace(text, "{", `{"type":"webauthn.create",`, 1),
		"challenge twice": strings.Replace(text, "{", `{"challenge":"x",`, 1),
		"not UTF-8":       strings.Replace(text, "{", "{\"x\":\"\xff\",", 1),
		"byte order mark": "\ufeff" + text,
	} {
		_, err := realm().Verify(credential(t, custody.WebAuthn, custody.ES256), signAssertion(t, keyP256(), []byte(client), good.data), hash, now)
		if custody.CodeOf(err) != custody.Unauthenticated {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Any byte of what was signed or of the signature changed, another key, another
// algorithm: refused.
func TestPasskeyTampered(t *testing.T) {
	t.Parallel()
	hash := hashOf("approve")
	for _, algorithm := range []custody.Algorithm{custody.ES256, custody.EdDSA, custody.RS256} {
		c := credential(t, custody.WebAuthn, algorithm)
		e := newAssertion(hash).sign(t, signerOf(algorithm))
		try := func(what string, edit func(*custody.Evidence)) {
			odd := *e
			odd.Signed = &custody.Signed{ClientData: bytes.Clone(e.Signed.ClientData), AuthenticatorData: bytes.Clone(e.Signed.AuthenticatorData)}
			odd.Signature = bytes.Clone(e.Signature)
			edit(&odd)
			if _, err := realm().Verify(c, &odd, hash, now); custody.CodeOf(err) != custody.Unauthenticated {
				t.Errorf("%s: %s: %v", algorithm, what, err)
			}
		}
		for i := range e.Signed.ClientData {
			try("client data", func(e *custody.Evidence) { e.Signed.ClientData[i] ^= 1 })
		}
		try("client data with space", func(e *custody.Evidence) { e.Signed.ClientData = append(e.Signed.ClientData, ' ') })
		for i := range e.Signed.AuthenticatorData {
			try("authenticator data", func(e *custody.Evidence) { e.Signed.AuthenticatorData[i] ^= 1 })
		}
		try("counter", func(e *custody.Evidence) { e.Signed.AuthenticatorData[36]++ })
		for i := range e.Signature {
			try("signature", func(e *custody.Evidence) { e.Signature[i] ^= 1 })
		}
		try("no signature", func(e *custody.Evidence) { e.Signature = nil })
		for _, other := range []custody.Algorithm{custody.ES256, custody.EdDSA, custody.RS256} {
			if other != algorithm {
				_, err := realm().Verify(credential(t, custody.WebAuthn, other), e, hash, now)
				refused(t, "key of another algorithm", err, "signature")
			}
		}
		wrong := *c
		wrong.Algorithm = custody.EdDSA
		if algorithm == custody.EdDSA {
			wrong.Algorithm = custody.ES256
		}
		if _, err := realm().Verify(&wrong, e, hash, now); custody.CodeOf(err) != custody.Invalid {
			t.Errorf("key on record under another algorithm: %v", err)
		}
	}
}
