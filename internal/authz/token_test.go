package authz

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/cofferhq/coffer/internal/custody"
)

func issuer(t testing.TB) *custody.Issuer {
	t.Helper()
	return &custody.Issuer{
		ID: "bank-id", URL: "https://id.bank.example/realms/bank", Audience: "coffer",
		Keys: []custody.IssuerKey{
			{ID: "es", Algorithm: custody.ES256, PublicKey: pkix(t, keyP256().Public())},
			{ID: "rs", Algorithm: custody.RS256, PublicKey: pkix(t, keyRSA().Public())},
			{ID: "ed", Algorithm: custody.EdDSA, PublicKey: pkix(t, keyEd25519().Public())},
		},
	}
}

var kids = map[custody.Algorithm]string{custody.ES256: "es", custody.RS256: "rs", custody.EdDSA: "ed"}

const second = 1000

func claimsFor(hash custody.Hash) map[string]any {
	unix := int64(now) / second
	return map[string]any{
		"iss": "https://id.bank.example/realms/bank", "sub": "subject-1", "aud": "coffer", "nonce": b64(hash[:]),
		"iat": unix, "exp": unix + 300, "acr": "aal2", "amr": []string{"hwk"},
	}
}

// compact makes a token with go-jose.
func compact(t testing.TB, alg jose.SignatureAlgorithm, key any, header map[jose.HeaderKey]any, claims any) string {
	t.Helper()
	options := &jose.SignerOptions{}
	for k, v := range header {
		options = options.WithHeader(k, v)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, ok := claims.(string)
	if !ok {
		payload = string(must(json.Marshal(claims)))
	}
	signed, err := s.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tokenFor(t testing.TB, a custody.Algorithm, claims any) string {
	t.Helper()
	return compact(t, jose.SignatureAlgorithm(a), signerOf(a), map[jose.HeaderKey]any{"kid": kids[a]}, claims)
}

func tokenEvidence(token string) *custody.Evidence {
	return &custody.Evidence{Kind: custody.EvidenceKind(custody.OIDC), Credential: id[custody.Credential](1), Signed: &custody.Signed{Token: custody.Token(token)}}
}

// verifyAs runs a token through the door that entries come by and then through
// verification. Either may refuse.
func verifyAs(t testing.TB, token string, hash custody.Hash, at custody.Time) (Verified, error) {
	t.Helper()
	if err := new(custody.Token).UnmarshalText([]byte(token)); err != nil {
		return Verified{}, err
	}
	return realm(issuer(t)).Verify(credential(t, custody.OIDC, ""), tokenEvidence(token), hash, at)
}

func TestTokens(t *testing.T) {
	t.Parallel()
	hash := hashOf("approve")
	for a := range kids {
		v, err := verifyAs(t, tokenFor(t, a, claimsFor(hash)), hash, now)
		if err != nil || v.Kind != custody.OIDC || v.ACR != "aal2" {
			t.Errorf("%s: %+v, %v", a, v, err)
		}
		_, err = verifyAs(t, tokenFor(t, a, claimsFor(hash)), hashOf("deny"), now)
		refused(t, "another hash", err, "signed.token.nonce")
	}
	c := credential(t, custody.OIDC, "")
	c.Issuer = "other"
	_, err := realm(issuer(t)).Verify(c, tokenEvidence(tokenFor(t, custody.ES256, claimsFor(hash))), hash, now)
	refused(t, "issuer not on record", err, "credential")
}

// Claims, one by one. The token is signed by the right key each time.
func TestTokenClaims(t *testing.T) {
	t.Parallel()
	hash := hashOf("approve")
	unix := int64(now) / second
	type edit = map[string]any
	for what, c := range map[string]struct {
		edit  edit   // nil removes a claim
		field string // "" if it verifies, "*" for any refusal
	}{
		"as it is":                {edit{}, ""},
		"audience list of one":    {edit{"aud": []string{"coffer"}}, ""},
		"authorized party":        {edit{"azp": "coffer"}, ""},
		"no acr":                  {edit{"acr": nil}, ""},
		"issued now":              {edit{"iat": unix}, ""},
		"15 minutes old":          {edit{"iat": unix - 900}, ""},
		"a minute ahead":          {edit{"iat": unix + 60, "exp": unix + 400}, ""},
		"a second left":           {edit{"exp": unix + 1}, ""},
		"begins in a minute":      {edit{"nbf": unix + 60}, ""},
		"began":                   {edit{"nbf": unix - 1000}, ""},
		"claims that aren't read": {edit{"jti": "x", "auth_time": unix, "sid": "x", "at_hash": "x"}, ""},

		"15 minutes and a second old": {edit{"iat": unix - 901}, "signed.token.iat"},
		"a minute and a second ahead": {edit{"iat": unix + 61, "exp": unix + 400}, "signed.token.iat"},
		"over now":                    {edit{"exp": unix}, "signed.token.exp"},
		"over":                        {edit{"exp": unix - 1}, "signed.token.exp"},
		"begins later":                {edit{"nbf": unix + 61}, "signed.token.nbf"},
		"no iat":                      {edit{"iat": nil}, "signed.token.iat"},
		"no exp":                      {edit{"exp": nil}, "signed.token.exp"},
		"negative exp":                {edit{"exp": -1}, "signed.token.exp"},
		"negative iat":                {edit{"iat": -1}, "signed.token.exp"},
		"negative nbf":                {edit{"nbf": -1}, "signed.token.exp"},
		"exp beyond the calendar":     {edit{"exp": int64(1) << 60}, "signed.token.exp"},
		"exp that would wrap":         {edit{"exp": int64(math.MaxInt64)}, "signed.token.exp"},
		"exp a fraction":              {edit{"exp": float64(unix) + 300.5}, "signed.token"},
		"exp a text":                  {edit{"exp": strconv.FormatInt(unix+300, 10)}, "signed.token"},
		"iat in milliseconds":         {edit{"iat": int64(now)}, "*"},
		"another issuer":              {edit{"iss": "https://id.evil.example"}, "signed.token.iss"},
		"issuer with slash":           {edit{"iss": "https://id.bank.example/realms/bank/"}, "signed.token.iss"},
		"no issuer":                   {edit{"iss": nil}, "signed.token.iss"},
		"another audience":            {edit{"aud": "payroll"}, "signed.token.aud"},
		"two audiences":               {edit{"aud": []string{"coffer", "payroll"}}, "signed.token.aud"},
		"two audiences, other order":  {edit{"aud": []string{"payroll", "coffer"}}, "signed.token.aud"},
		"the same audience twice":     {edit{"aud": []string{"coffer", "coffer"}}, "signed.token.aud"},
		"no audience":                 {edit{"aud": nil}, "signed.token.aud"},
		"empty audience":              {edit{"aud": []string{}}, "signed.token.aud"},
		"audience a number":           {edit{"aud": 1}, "signed.token.aud"},
		"audience in capitals":        {edit{"aud": "Coffer"}, "signed.token.aud"},
		"another party":               {edit{"azp": "payroll"}, "signed.token.azp"},
		"another nonce":               {edit{"nonce": "x"}, "signed.token.nonce"},
		"nonce padded":                {edit{"nonce": base64.URLEncoding.EncodeToString(hash[:])}, "signed.token.nonce"},
		"nonce in hex":                {edit{"nonce": hash.String()}, "signed.token.nonce"},
		"no nonce":                    {edit{"nonce": nil}, "signed.token.nonce"},
		"nonce a list":                {edit{"nonce": []string{b64(hash[:])}}, "signed.token"},
		"another subject":             {edit{"sub": "subject-2"}, "signed.token.sub"},
		"subject in capitals":         {edit{"sub": "SUBJECT-1"}, "signed.token.sub"},
		"no subject":                  {edit{"sub": nil}, "signed.token.sub"},
		"subject a number":            {edit{"sub": 1}, "signed.token"},
		"acr a number":                {edit{"acr": 1}, "signed.token"},
		"an e-mail address":           {edit{"email": "alice@bank.example"}, "*"},
		"subject an address":          {edit{"sub": "alice@bank.example"}, "*"},
	} {
		claims := claimsFor(hash)
		for k, v := range c.edit {
			if v == nil {
				delete(claims, k)
			} else {
				claims[k] = v
			}
		}
		_, err := verifyAs(t, tokenFor(t, custody.ES256, claims), hash, now)
		switch {
		case c.field == "" && err != nil:
			t.Errorf("%s: %v", what, err)
		case c.field == "*" && err == nil:
			t.Errorf("%s: accepted", what)
		case c.field != "" && c.field != "*":
			refused(t, what, err, c.field)
		}
	}
	// Edges to the millisecond: a token counts until its second of expiry begins.
	token := tokenFor(t, custody.ES256, claimsFor(hash))
	for at, ok := range map[custody.Time]bool{
		now - 60*second: true, now - 60*second - 1: false,
		now + 300*second - 1: true, now + 300*second: false,
	} {
		if _, err := verifyAs(t, token, hash, at); ok != (err == nil) {
			t.Errorf("at %d ms: %v", at-now, err)
		}
	}
	long := claimsFor(hash)
	long["exp"] = unix + 86400
	token = tokenFor(t, custody.ES256, long)
	for at, ok := range map[custody.Time]bool{now + 900*second: true, now + 900*second + 1: false} {
		if _, err := verifyAs(t, token, hash, at); ok != (err == nil) {
			t.Errorf("a long-lived token at %d ms: %v", at-now, err)
		}
	}
	// Claims given twice, each way round.
	text := string(must(json.Marshal(claimsFor(hash))))
	for claim := range claimsFor(hash) {
		_, err := realm(issuer(t)).Verify(credential(t, custody.OIDC, ""), tokenEvidence(tokenFor(t, custody.ES256, strings.Replace(text, "{", `{"`+claim+`":"x",`, 1))), hash, now)
		if custody.CodeOf(err) != custody.Unauthenticated {
			t.Errorf("%s given twice: %v", claim, err)
		}
	}
	for _, payload := range []string{"", "null", "[]", `"x"`, text + text, "\ufeff" + text, text[:len(text)-1]} {
		_, err := realm(issuer(t)).Verify(credential(t, custody.OIDC, ""), tokenEvidence(tokenFor(t, custody.ES256, payload)), hash, now)
		if custody.CodeOf(err) != custody.Unauthenticated {
			t.Errorf("claims %q: %v", payload, err)
		}
	}
}

// What a forger makes without the issuer's private key, and what the header may
// not decide. Each is tried at the door and behind it.
func TestTokenForgeries(t *testing.T) {
	t.Parallel()
	hash := hashOf("approve")
	claims := claimsFor(hash)
	body := b64(must(json.Marshal(claims)))
	raw := func(header string, sig []byte) string { return b64([]byte(header)) + "." + body + "." + b64(sig) }
	good := tokenFor(t, custody.ES256, claims)
	part := strings.Split(good, ".")
	signature := func(header string, key crypto.Signer) []byte {
		return []byte(sign(t, key, []byte(b64([]byte(header))+"."+body)))
	}
	kid := func(k string) map[jose.HeaderKey]any { return map[jose.HeaderKey]any{"kid": k} }
	stranger := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	strangerRSA := must(rsa.GenerateKey(rand.Reader, 2048))
	_, strangerEd, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forged := map[string]string{
		"alg none":                 raw(`{"alg":"none","kid":"es"}`, nil),
		"alg none, signed":         raw(`{"alg":"none","kid":"es"}`, []byte("x")),
		"alg NONE":                 raw(`{"alg":"NONE","kid":"es"}`, []byte("x")),
		"no alg":                   raw(`{"kid":"es"}`, signature(`{"kid":"es"}`, keyP256())),
		"header null":              raw(`null`, nil),
		"stranger's key":           compact(t, jose.ES256, stranger, kid("es"), claims),
		"stranger's RSA key":       compact(t, jose.RS256, strangerRSA, kid("rs"), claims),
		"stranger's Ed25519 key":   compact(t, jose.EdDSA, strangerEd, kid("ed"), claims),
		"another key's kid":        compact(t, jose.ES256, keyP256(), kid("rs"), claims),
		"another key's kid too":    compact(t, jose.RS256, keyRSA(), kid("es"), claims),
		"Ed25519 as ES256":         compact(t, jose.EdDSA, keyEd25519(), kid("es"), claims),
		"unknown kid":              compact(t, jose.ES256, keyP256(), kid("zz"), claims),
		"kid in capitals":          compact(t, jose.ES256, keyP256(), kid("ES"), claims),
		"empty kid":                compact(t, jose.ES256, keyP256(), kid(""), claims),
		"no kid":                   compact(t, jose.ES256, keyP256(), nil, claims),
		"kid a path":               compact(t, jose.ES256, keyP256(), kid("../es"), claims),
		"PS256":                    compact(t, jose.PS256, keyRSA(), kid("rs"), claims),
		"RS512":                    compact(t, jose.RS512, keyRSA(), kid("rs"), claims),
		"ES384":                    compact(t, jose.ES384, keyP384(), kid("es"), claims),
		"crit":                     compact(t, jose.ES256, keyP256(), map[jose.HeaderKey]any{"kid": "es", "crit": []string{"exp"}, "exp": 1}, claims),
		"crit of what is known":    raw(`{"alg":"ES256","crit":["alg"],"kid":"es"}`, signature(`{"alg":"ES256","crit":["alg"],"kid":"es"}`, keyP256())),
		"ASN.1 for r and s":        raw(`{"alg":"ES256","kid":"es"}`, signature(`{"alg":"ES256","kid":"es"}`, keyP256())),
		"embedded key":             compact(t, jose.ES256, stranger, map[jose.HeaderKey]any{"kid": "es", "jwk": jose.JSONWebKey{Key: stranger.Public()}}, claims),
		"embedded certificate url": compact(t, jose.ES256, stranger, map[jose.HeaderKey]any{"kid": "es", "jku": "https://evil.example/jwks"}, claims),
		"unsigned payload swapped": part[0] + "." + b64([]byte(strings.Replace(string(must(json.Marshal(claims))), "subject-1", "subject-2", 1))) + "." + part[2],
		"no signature":             part[0] + "." + part[1] + ".",
		"signature of zeros":       part[0] + "." + part[1] + "." + b64(make([]byte, 64)),
		"signature doubled":        good + part[2],
		"signature longer":         part[0] + "." + part[1] + "." + b64(append(must(base64.RawURLEncoding.DecodeString(part[2])), 0)),
		"four parts":               good + "." + part[2],
		"two parts":                part[0] + "." + part[1],
		"empty":                    "",
		"padded":                   part[0] + "." + part[1] + "." + part[2] + "==",
		"newline":                  part[0] + "." + part[1] + "." + part[2][:40] + "\n" + part[2][40:],
		"space":                    " " + good,
		"JSON serialisation":       `{"protected":"` + part[0] + `","payload":"` + part[1] + `","signature":"` + part[2] + `"}`,
		"general serialisation":    `{"payload":"` + part[1] + `","signatures":[{"protected":"` + part[0] + `","signature":"` + part[2] + `"}]}`,
		"detached payload":         part[0] + ".." + part[2],
		"encrypted":                part[0] + "." + part[1] + "." + part[2] + "." + part[1] + "." + part[2],
	}
	// The public key, which everybody has, as the secret of an HMAC.
	for name, secret := range map[string][]byte{
		"PKIX":  issuer(t).Keys[1].PublicKey,
		"PEM":   pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: issuer(t).Keys[1].PublicKey}),
		"P-256": issuer(t).Keys[0].PublicKey,
		"raw":   append([]byte{}, keyEd25519().Public().(ed25519.PublicKey)...),
	} {
		for k := range maps.Values(kids) {
			forged["HS256 with "+name+" as "+k] = compact(t, jose.HS256, bytes.Clone(secret), kid(k), claims)
		}
	}
	for what, token := range forged {
		if _, err := verifyAs(t, token, hash, now); err == nil {
			t.Errorf("%s: accepted", what)
		}
		_, err := realm(issuer(t)).Verify(credential(t, custody.OIDC, ""), tokenEvidence(token), hash, now)
		switch what {
		case "padded", "newline", "space", "embedded certificate url":
			// Spelling is the door's affair; behind it what matters is that nothing
			// but the token's own bytes can come of it.
			continue
		}
		if custody.CodeOf(err) != custody.Unauthenticated {
			t.Errorf("%s: behind the door: %v", what, err)
		}
	}
	// A key of the issuer that can't be used, and one under another algorithm.
	bad := issuer(t)
	bad.Keys[0].PublicKey = pkix(t, keyP384().Public())
	if _, err := realm(bad).Verify(credential(t, custody.OIDC, ""), tokenEvidence(good), hash, now); custody.CodeOf(err) != custody.Invalid {
		t.Errorf("an unusable key: %v", err)
	}
	bad = issuer(t)
	bad.Keys[0].Algorithm = custody.RS256
	_, err = realm(bad).Verify(credential(t, custody.OIDC, ""), tokenEvidence(good), hash, now)
	refused(t, "algorithm of the key", err, "signed.token")
}

// Any character of a token changed: refused at the door or behind it.
func TestTokenTampered(t *testing.T) {
	t.Parallel()
	hash := hashOf("approve")
	for a := range kids {
		token := tokenFor(t, a, claimsFor(hash))
		for i := range token {
			for _, c := range []byte{token[i] ^ 1, token[i] ^ 2, token[i] ^ 0x20, 'A', '.', '\n'} {
				odd := []byte(token)
				odd[i] = c
				if string(odd) == token {
					continue
				}
				if _, err := verifyAs(t, string(odd), hash, now); err == nil {
					t.Fatalf("%s: character %d as %q: accepted", a, i, c)
				}
			}
		}
	}
}
