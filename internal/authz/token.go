package authz

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/cofferhq/coffer/internal/custody"
)

// MaxTokenAge is how long after it was issued a token may be put on record.
const MaxTokenAge = 15 * custody.Minute

// claims are those of an ID token (OpenID Connect Core §2) that are checked.
type claims struct {
	Issuer   string         `json:"iss"`
	Subject  string         `json:"sub"`
	Audience jsontext.Value `json:"aud"`
	Party    string         `json:"azp"`
	Nonce    string         `json:"nonce"`
	ACR      string         `json:"acr"`
	Issued   int64          `json:"iat"`
	Begins   int64          `json:"nbf"` // RFC 7519 §4.1.5
	Expires  int64          `json:"exp"`
}

// verifyToken checks an ID token (OpenID Connect Core §3.1.3.7) whose nonce is
// the hash in base64url: the identity provider saw this person for this very
// intent. It returns the acr claim. The key is chosen by kid among the issuer's,
// the algorithm is the key's own; the token's header decides nothing.
func verifyToken(c *custody.Credential, token string, hash custody.Hash, issuer *custody.Issuer, now custody.Time) (string, error) {
	const field = "signed.token"
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA})
	if err != nil {
		return "", refuse(field, "not a signed token of algorithm RS256, ES256 or EdDSA")
	}
	header := parsed.Signatures[0].Protected
	i := slices.IndexFunc(issuer.Keys, func(k custody.IssuerKey) bool { return string(k.ID) == header.KeyID })
	if i < 0 {
		return "", refuse(field, "its key is not on record for the issuer")
	}
	if header.Algorithm != string(issuer.Keys[i].Algorithm) {
		return "", refuse(field, "not of its key's algorithm")
	}
	key, err := ParseKey(issuer.Keys[i].Algorithm, issuer.Keys[i].PublicKey)
	if err != nil {
		return "", err
	}
	payload, err := parsed.Verify(key)
	if err != nil {
		return "", refuse(field, "not signed by its key")
	}
	var got claims
	if err := json.Unmarshal(payload, &got); err != nil {
		return "", refuse(field, "a claim is ill-typed or given twice")
	}
	issued, expires := custody.Time(0).Add(custody.Seconds(got.Issued)), custody.Time(0).Add(custody.Seconds(got.Expires))
	switch {
	case got.Issued < 0 || got.Issued > maxUnix || got.Expires < 0 || got.Expires > maxUnix || got.Begins < 0 || got.Begins > maxUnix:
		return "", refuse(field+".exp", "not a time")
	case got.Issuer != string(issuer.URL):
		return "", refuse(field+".iss", "another issuer")
	case !forAudience(got.Audience, string(issuer.Audience)):
		return "", refuse(field+".aud", "not for Coffer's client alone")
	case got.Party != "" && got.Party != string(issuer.Audience):
		return "", refuse(field+".azp", "another client")
	case got.Nonce != base64.RawURLEncoding.EncodeToString(hash[:]):
		return "", refuse(field+".nonce", "not the hash to sign")
	case custody.Hash(sha256.Sum256([]byte(got.Subject))) != c.Subject:
		return "", refuse(field+".sub", "another subject")
	case issued > now.Add(MaxAhead):
		return "", refuse(field+".iat", "in the future")
	case custody.Time(0).Add(custody.Seconds(got.Begins)) > now.Add(MaxAhead):
		return "", refuse(field+".nbf", "in the future")
	case expires <= now:
		return "", refuse(field+".exp", "over")
	case issued.Add(MaxTokenAge) < now:
		return "", refuse(field+".iat", "issued more than 15 minutes ago")
	}
	return got.ACR, nil
}

const maxUnix = 253402300799 // the end of the year 9999

// forAudience reports whether aud, a string or a list, is want alone.
func forAudience(aud jsontext.Value, want string) bool {
	var one string
	if json.Unmarshal(aud, &one) == nil {
		return one == want
	}
	var list []string
	return json.Unmarshal(aud, &list) == nil && len(list) == 1 && list[0] == want
}
