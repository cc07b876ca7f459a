package authz

import (
	"crypto"
	"slices"

	"github.com/cofferhq/coffer/internal/custody"
)

// Realm is what people's evidence is verified against, as it stands in the
// journal.
type Realm struct {
	RelyingParty *custody.RelyingParty
	Issuer       func(custody.Name) *custody.Issuer // nil if there is none

	// Key is [ParseKey] for a credential's key, for a caller that keeps what it
	// returned. Nil is ParseKey itself.
	Key func(*custody.Credential) (crypto.PublicKey, error)
}

func (r Realm) key(c *custody.Credential) (crypto.PublicKey, error) {
	if r.Key != nil {
		return r.Key(c)
	}
	return ParseKey(c.Algorithm, c.PublicKey)
}

// Verified is what verified evidence shows beside the signature.
type Verified struct {
	Kind custody.CredentialKind
	ACR  string // OIDC: the token's authentication context class, if it has one
}

// Verify checks that the holder of credential c made evidence e over hash, at
// time now. Errors are of code [custody.Unauthenticated] and name the part of e; a
// key on record that can't be used gives [custody.Invalid].
func (r Realm) Verify(c *custody.Credential, e *custody.Evidence, hash custody.Hash, now custody.Time) (Verified, error) {
	kind := custody.CredentialKind(e.Kind)
	if e.Credential != c.ID {
		return Verified{}, refuse("credential", "another credential signed")
	}
	if kind != c.Kind {
		return Verified{}, refuse("kind", "the credential is of kind "+string(c.Kind))
	}
	if e.Signed == nil && kind != custody.Device {
		return Verified{}, refuse("signed", "missing")
	}
	switch kind {
	case custody.WebAuthn:
		key, err := r.key(c)
		if err != nil {
			return Verified{}, err
		}
		return Verified{Kind: kind}, verifyPasskey(key, e, hash, r.RelyingParty)
	case custody.Device:
		key, err := r.key(c)
		if err != nil {
			return Verified{}, err
		}
		if !verifyHash(key, hash, e.Signature) {
			return Verified{}, refuse("signature", "not by the device key over this hash")
		}
		return Verified{Kind: kind}, nil
	case custody.OIDC:
		issuer := r.Issuer(c.Issuer)
		if issuer == nil {
			return Verified{}, refuse("credential", "its issuer is not on record")
		}
		acr, err := verifyToken(c, string(e.Signed.Token), hash, issuer, now)
		return Verified{Kind: kind, ACR: acr}, err
	case custody.RecoveryEvidence, custody.NodeEvidence:
	}
	return Verified{}, refuse("kind", "not a credential's")
}

// VerifyAttestation checks that attestor a, who may state this kind of fact,
// signed the statement for this deployment, and that it holds at now: an entry
// may not be more than [MaxAhead] older than the statement.
func VerifyAttestation(a *custody.Attestor, p *custody.AttestationProof, charter custody.Hash, now custody.Time) error {
	s := p.Attestation
	switch {
	case s.Attestor != a.ID:
		return refuse("statement.attestor", "another attestor")
	case !slices.Contains(a.States, s.Kind()):
		return refuse("statement", "the attestor may not state "+string(s.Kind()))
	case s.Time > now.Add(MaxAhead):
		return refuse("statement.time", "in the future")
	case s.Until <= now:
		return refuse("statement.until", "over")
	}
	hash := custody.AttestationHash(charter, p.Bytes)
	if !verifyEd25519(a.Key, hash, p.Signature) {
		return refuse("signature", "not by the attestor over this statement")
	}
	return nil
}

// MaxAhead is how far another's clock may be ahead of the journal's time.
const MaxAhead = custody.Minute
