package state_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
)

// TestIdentityProvider: where policy asks for it, a person approves with a key and
// is seen by the bank's identity provider for this very intent. Neither is enough.
func TestIdentityProvider(t *testing.T) {
	provider := ed25519.NewKeyFromSeed(statetest.Seed("provider")[:32])
	pkix, err := x509.MarshalPKIXPublicKey(provider.Public())
	if err != nil {
		t.Fatal(err)
	}
	issuer := custody.Issuer{
		ID: "bank-login", URL: "https://login.bank.example", Audience: "coffer",
		Keys: []custody.IssuerKey{{ID: "k1", Algorithm: custody.EdDSA, PublicKey: pkix}},
	}
	account := statetest.NewID[custody.Credential](statetest.Start, 999)
	yaml := strings.Replace(small, "{group: treasury, count: 2}", "{group: treasury, count: 1, identity: OIDC}", 1)
	b := newBank(t, yaml, func(s *statetest.Setup) {
		s.Edit = func(c *custody.Charter) {
			c.Issuers = []custody.Issuer{issuer}
			for _, g := range c.Groups {
				if g.ID == "treasury" {
					c.Credentials = append(c.Credentials, custody.Credential{
						ID: account, Person: g.Members[0], Kind: custody.OIDC, Issuer: issuer.ID, Subject: sha256.Sum256([]byte("pairwise-1")),
					})
				}
			}
		}
	})
	seen := func(in, tokenFor *custody.Intent, v custody.Verdict) state.Result {
		hash := b.Hash(tokenFor, v)
		return b.Append(custody.EvidenceEntry, &custody.EvidenceRecord{Intent: in.ID, Approval: &custody.Approval{Verdict: v, Evidence: custody.Evidence{
			Kind: custody.EvidenceKind(custody.OIDC), Credential: account,
			Signed: &custody.Signed{Token: token(t, provider, map[string]any{
				"iss": issuer.URL, "aud": issuer.Audience, "sub": "pairwise-1", "nonce": base64.RawURLEncoding.EncodeToString(hash[:]),
				"iat": b.Now.Time().Unix(), "exp": b.Now.Time().Unix() + 300,
			})},
		}}})
	}
	in, other := b.pay("ida", 60_000_000), b.pay("ida", 60_000_000)
	b.Must(b.Submit("ida", in))
	b.Must(b.Submit("ida", other))
	b.Must(b.Say("tom", custody.Yes, in))
	void(t, b.Authorize(in), state.NotAllowed) // a key alone
	void(t, seen(in, other, custody.Yes), state.Signature)
	void(t, seen(in, in, custody.No), state.Signature) // the provider alone rejects nothing
	b.Must(seen(other, other, custody.Yes))
	void(t, b.Authorize(other), state.NotAllowed) // the provider alone
	b.Must(seen(in, in, custody.Yes))
	void(t, seen(in, in, custody.Yes), state.Duplicate)
	b.Must(b.Authorize(in))

	// An intent isn't submitted by the provider's word.
	third := b.pay("tom", 1)
	hash := b.Hash(third, custody.Submit)
	void(t, b.Append(custody.IntentEntry, &custody.IntentRecord{Bytes: third.Raw, Evidence: custody.Evidence{
		Kind: custody.EvidenceKind(custody.OIDC), Credential: account,
		Signed: &custody.Signed{Token: token(t, provider, map[string]any{
			"iss": issuer.URL, "aud": issuer.Audience, "sub": "pairwise-1", "nonce": base64.RawURLEncoding.EncodeToString(hash[:]),
			"iat": b.Now.Time().Unix(), "exp": b.Now.Time().Unix() + 300,
		})},
	}}), state.Signature)

	// Without its issuer an account identifies nobody, also where it has.
	b.govern(custody.IssuerChangeIntent, &custody.IssuerChange{Action: custody.Remove, Issuer: issuer})
	void(t, b.Prepare(in, 1, statetest.Outpoint(1)), state.NotAllowed)
}

func token(t *testing.T, key ed25519.PrivateKey, claims map[string]any) custody.Token {
	t.Helper()
	options := (&jose.SignerOptions{}).WithHeader("kid", "k1")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return custody.Token(text)
}
