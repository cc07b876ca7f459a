package authz

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
)

// ParseKey reads a public key in PKIX form and checks that it is one of the
// algorithm: P-256, Ed25519, or RSA of 2,048 to 4,096 bits with an exponent of at
// least 3.
func ParseKey(algorithm custody.Algorithm, pkix []byte) (crypto.PublicKey, error) {
	key, err := x509.ParsePKIXPublicKey(pkix)
	if err != nil {
		return nil, &custody.Error{Code: custody.Invalid, Field: "publicKey", Message: "not a public key in PKIX form", Err: err}
	}
	ok := false
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		ok = algorithm == custody.ES256 && k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		ok = algorithm == custody.EdDSA
	case *rsa.PublicKey:
		ok = algorithm == custody.RS256 && k.N.BitLen() >= 2048 && k.N.BitLen() <= 4096 && k.E >= 3
	}
	if !ok {
		return nil, &custody.Error{Code: custody.Invalid, Field: "publicKey", Message: "not a key of algorithm " + string(algorithm)}
	}
	return key, nil
}

// CheckCredential refuses a credential whose key can't be used. What concerns
// form alone package custody has checked.
func CheckCredential(c *custody.Credential) error {
	if c.Kind == custody.OIDC {
		return nil
	}
	_, err := ParseKey(c.Algorithm, c.PublicKey)
	return err
}

// CheckIssuer refuses an issuer with a key that can't be used.
func CheckIssuer(i *custody.Issuer) error {
	for _, k := range i.Keys {
		if _, err := ParseKey(k.Algorithm, k.PublicKey); err != nil {
			return err
		}
	}
	return nil
}

// verifyMessage checks a signature over message under its algorithm's own hash.
func verifyMessage(key crypto.PublicKey, message, signature []byte) bool {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(message)
		return ecdsa.VerifyASN1(k, digest[:], signature)
	case ed25519.PublicKey:
		return ed25519.Verify(k, message, signature)
	case *rsa.PublicKey:
		digest := sha256.Sum256(message)
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], signature) == nil
	default:
		return false
	}
}

// verifyHash checks a device key's signature. Ed25519 signs the 32 bytes, P-256
// takes them as the digest.
func verifyHash(key crypto.PublicKey, hash custody.Hash, signature []byte) bool {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, hash[:], signature)
	case ed25519.PublicKey:
		return ed25519.Verify(k, hash[:], signature)
	default:
		return false
	}
}

// VerifyNode checks a node's hybrid signature over a hash.
func VerifyNode(key hybrid.PublicKey, hash custody.Hash, signature []byte) error {
	if err := key.Verify(hash[:], signature); err != nil {
		return &custody.Error{Code: custody.Unauthenticated, Field: "signature", Err: err}
	}
	return nil
}

// VerifyRecovery checks a recovery key's Ed25519 signature over a hash.
func VerifyRecovery(key *custody.RecoveryKey, hash custody.Hash, signature []byte) error {
	if len(key.Key) != ed25519.PublicKeySize || !ed25519.Verify(ed25519.PublicKey(key.Key), hash[:], signature) {
		return refuse("signature", "not by the recovery key over this hash")
	}
	return nil
}

// CheckNode refuses a node whose keys can't be used.
func CheckNode(n *custody.SignerNode) error {
	if _, err := hybrid.ParsePublicKey(n.IdentityKey); err != nil {
		return &custody.Error{Code: custody.Invalid, Field: "identityKey", Err: err}
	}
	if _, err := hybrid.ParsePublicKey(n.WitnessKey); err != nil {
		return &custody.Error{Code: custody.Invalid, Field: "witnessKey", Err: err}
	}
	return nil
}
