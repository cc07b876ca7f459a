package custody

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// Verdict is what a person says of an intent.
type Verdict string

// The verdicts. Submit is the initiator's signature in an INTENT entry.
const (
	Submit Verdict = "SUBMIT"
	Yes    Verdict = "YES"
	No     Verdict = "NO"
)

// UnmarshalText checks the word.
func (v *Verdict) UnmarshalText(b []byte) error { return oneOf(v, b, Submit, Yes, No) }

// ApprovalHash is what is signed for a verdict on the intent with the given
// digest: the SHA-256 of "coffer/approval/v1", a zero byte, the digest and one
// byte, 1 to submit, 2 for yes, 3 for no. An unknown verdict has no hash.
func ApprovalHash(digest Hash, v Verdict) (Hash, error) {
	code := slices.Index([]Verdict{Submit, Yes, No}, v)
	if code < 0 {
		return Hash{}, invalid("verdict", "not one of SUBMIT, YES, NO")
	}
	return tagged("coffer/approval/v1", digest[:], []byte{byte(code + 1)}), nil
}

// Beside the kinds of credential, evidence can come from a recovery key or from
// a node, which may only stop a recovery.
const (
	RecoveryEvidence CredentialKind = "RECOVERY"
	NodeEvidence     CredentialKind = "NODE"
)

// Evidence is a signature over a hash, by one credential, recovery key or node.
type Evidence struct {
	Kind       EvidenceKind   `json:"kind"`
	Credential ID[Credential] `json:"credential,omitzero"` // WEBAUTHN, DEVICE, OIDC
	Recovery   ID[Person]     `json:"recovery,omitzero"`   // RECOVERY
	Node       Name           `json:"node,omitzero"`       // NODE
	Signed     *Signed        `json:"signed,omitzero"`     // WEBAUTHN, OIDC
	Signature  Blob           `json:"signature,omitzero"`  // all but OIDC
}

// EvidenceKind is a [CredentialKind], RECOVERY or NODE.
type EvidenceKind CredentialKind

// UnmarshalText checks the word.
func (k *EvidenceKind) UnmarshalText(b []byte) error {
	return oneOf((*CredentialKind)(k), b, WebAuthn, Device, OIDC, RecoveryEvidence, NodeEvidence)
}

// Signed holds what a kind of evidence signs beyond the hash: for WEBAUTHN the
// client and authenticator data, for OIDC the token.
type Signed struct {
	ClientData        Blob  `json:"clientDataJSON,omitzero"`
	AuthenticatorData Blob  `json:"authenticatorData,omitzero"`
	Token             Token `json:"token,omitzero"`
}

const maxSignature = 4096

func (e Evidence) valid() error {
	kind := CredentialKind(e.Kind)
	credential := kind == WebAuthn || kind == Device || kind == OIDC
	switch {
	case credential != (e.Credential != ID[Credential]{}):
		return invalid("credential", "needed for WEBAUTHN, DEVICE and OIDC and only there")
	case (kind == RecoveryEvidence) != (e.Recovery != ID[Person]{}):
		return invalid("recovery", "needed for RECOVERY and only there")
	case (kind == NodeEvidence) != (e.Node != ""):
		return invalid("node", "needed for NODE and only there")
	case (kind == WebAuthn || kind == OIDC) != (e.Signed != nil):
		return invalid("signed", "needed for WEBAUTHN and OIDC and only there")
	case (kind != OIDC) != (len(e.Signature) > 0):
		return invalid("signature", "needed for all kinds but OIDC, and only there")
	case len(e.Signature) > maxSignature:
		return invalid("signature", fmt.Sprintf("more than %d bytes", maxSignature))
	}
	if e.Signed == nil {
		return nil
	}
	passkey := len(e.Signed.ClientData) > 0 && len(e.Signed.AuthenticatorData) > 0 && e.Signed.Token == ""
	token := len(e.Signed.ClientData) == 0 && len(e.Signed.AuthenticatorData) == 0 && e.Signed.Token != ""
	switch {
	case kind == WebAuthn && !passkey:
		return invalid("signed", "a passkey needs clientDataJSON and authenticatorData alone")
	case kind == OIDC && !token:
		return invalid("signed", "an identity provider needs token alone")
	case len(e.Signed.ClientData) > 4096:
		return invalid("signed.clientDataJSON", "more than 4,096 bytes")
	case len(e.Signed.AuthenticatorData) > 1024:
		return invalid("signed.authenticatorData", "more than 1,024 bytes")
	}
	return nil
}

// Token is an OpenID Connect ID token in compact form (RFC 7519), of at most
// 8 KiB, with no claim that could name its holder.
type Token string

// tokenClaims are the claims that a token may have. None of them describes a
// person; sub must be pairwise, which the issuer is set up for.
var tokenClaims = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "nonce", "auth_time", "acr", "amr", "azp", "at_hash", "c_hash", "sid",
}

// tokenHeaders are the header parameters that a token may have (RFC 7515 §4.1).
var tokenHeaders = []string{"alg", "kid", "typ", "x5t", "x5t#S256"}

// maxTokenSignature is the size of an RSA signature with a modulus of 4,096 bits.
const maxTokenSignature = 512

// UnmarshalText refuses a token with any claim beyond a fixed list, with a claim
// that isn't a text, a number or a list of texts, or with a text in it that looks
// like an e-mail address, so that nothing in an entry names a human.
func (t *Token) UnmarshalText(b []byte) error {
	if len(b) > 8<<10 {
		return invalid("", "a token of more than 8 KiB")
	}
	parts := bytes.Split(b, []byte{'.'})
	if len(parts) != 3 {
		return invalid("", "not a signed token in compact form")
	}
	if err := tokenPart(parts[0], tokenHeaders); err != nil {
		return err
	}
	if err := tokenPart(parts[1], tokenClaims); err != nil {
		return err
	}
	signature, err := tokenBytes(parts[2])
	if err != nil {
		return err
	}
	if len(signature) == 0 || len(signature) > maxTokenSignature {
		return invalid("", fmt.Sprintf("the token's signature is not of 1 to %d bytes", maxTokenSignature))
	}
	*t = Token(b)
	return nil
}

// tokenBytes reads base64url in its one valid spelling.
func tokenBytes(part []byte) ([]byte, error) {
	out, err := base64.RawURLEncoding.Strict().AppendDecode(nil, part)
	if err != nil || bytes.IndexByte(part, '\r') >= 0 || bytes.IndexByte(part, '\n') >= 0 {
		return nil, invalid("", "not a signed token in compact form")
	}
	return out, nil
}

func tokenPart(part []byte, allowed []string) error {
	text, err := tokenBytes(part)
	if err != nil {
		return err
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		return invalid("", "the token holds something else than JSON objects")
	}
	for _, name := range sortedKeys(members) {
		if !slices.Contains(allowed, name) {
			return invalid("", "the token has a member that is not allowed: ask for scope openid alone")
		}
		values, ok := members[name].([]any)
		if !ok {
			values = []any{members[name]}
		}
		for _, v := range values {
			switch v := v.(type) {
			case string:
				if strings.ContainsAny(v, "@\uff20\ufe6b") {
					return invalid("", "the token holds an address: let the provider use pairwise subjects")
				}
			case float64:
			default:
				return invalid("", "the token has a member that is no text, number or list of texts")
			}
		}
	}
	return nil
}

// ScreeningVerdict is what a screening provider says of an intent.
type ScreeningVerdict string

// The verdicts of screening.
const (
	ScreeningPass        ScreeningVerdict = "PASS"
	ScreeningReview      ScreeningVerdict = "REVIEW"
	ScreeningBlock       ScreeningVerdict = "BLOCK"
	ScreeningUnavailable ScreeningVerdict = "UNAVAILABLE"
)

// UnmarshalText checks the word.
func (v *ScreeningVerdict) UnmarshalText(b []byte) error {
	return oneOf(v, b, ScreeningPass, ScreeningReview, ScreeningBlock, ScreeningUnavailable)
}

// TravelRuleStatus is how far the exchange with the other side has come.
type TravelRuleStatus string

// The statuses.
const (
	TravelRulePending  TravelRuleStatus = "PENDING"
	TravelRuleAccepted TravelRuleStatus = "ACCEPTED"
	TravelRuleRejected TravelRuleStatus = "REJECTED"
)

// UnmarshalText checks the word.
func (s *TravelRuleStatus) UnmarshalText(b []byte) error {
	return oneOf(s, b, TravelRulePending, TravelRuleAccepted, TravelRuleRejected)
}

// Currency is an ISO 4217 code.
type Currency string

// UnmarshalText checks the form.
func (c *Currency) UnmarshalText(b []byte) error {
	return match(c, b, patterns.currency, "not a currency code of 3 capital letters (ISO 4217)")
}

// Price says that Units base units of Asset are worth Value minor units of
// Currency.
type Price struct {
	Asset    Asset    `json:"asset"`
	Currency Currency `json:"currency"`
	Units    Amount   `json:"units"`
	Value    Amount   `json:"value"`
}

// Screening is a verdict on the intent with Digest, by a version of a source's
// list.
type Screening struct {
	Digest  Hash             `json:"digest"`
	Verdict ScreeningVerdict `json:"verdict"`
	List    Hash             `json:"list"` // SHA-256 of the list's version, or of its name for one
}

// TravelRule is the status of the exchange for the intent with Digest.
type TravelRule struct {
	Digest Hash             `json:"digest"`
	Status TravelRuleStatus `json:"status"`
}

// Attestation is an attestor's statement: exactly one of Price, Screening and
// TravelRule, true from Time until Until.
type Attestation struct {
	Attestor   Name        `json:"attestor"`
	Source     Name        `json:"source"` // where the attestor has it from
	Time       Time        `json:"time"`
	Until      Time        `json:"until"`
	Price      *Price      `json:"price,omitzero"`
	Screening  *Screening  `json:"screening,omitzero"`
	TravelRule *TravelRule `json:"travelRule,omitzero"`
}

// MaxAttestationLife is the longest that an attestation may hold.
const MaxAttestationLife = 30 * Day

func (a *Attestation) valid() error {
	n := 0
	for _, set := range []bool{a.Price != nil, a.Screening != nil, a.TravelRule != nil} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return invalid("", "exactly one of price, screening, travelRule")
	case a.Until <= a.Time:
		return invalid("until", "not after time")
	case a.Until > a.Time.Add(MaxAttestationLife):
		return invalid("until", "more than 30 days after time")
	case a.Price != nil && a.Price.Units.IsZero():
		return invalid("price.units", "zero")
	case a.Price != nil && a.Price.Value.IsZero():
		return invalid("price.value", "zero")
	}
	return nil
}

// Kind returns what is stated.
func (a *Attestation) Kind() AttestationKind {
	switch {
	case a.Price != nil:
		return PriceAttestation
	case a.Screening != nil:
		return ScreeningAttestation
	default:
		return TravelRuleAttestation
	}
}

// AttestationHash is what an attestor signs, given the canonical bytes: the
// SHA-256 of "coffer/attestation/v1", a zero byte, the charter hash and the bytes.
func AttestationHash(charter Hash, raw []byte) Hash {
	return tagged("coffer/attestation/v1", charter[:], raw)
}
