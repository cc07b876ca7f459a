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

	"filippo.io/edwards25519"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
)

// ParseKey reads a public key in PKIX form and checks that it is one of the
// algorithm: P-256, Ed25519 of large order in its canonical encoding, or RSA of
// 2,048 to 4,096 bits with an odd exponent of at least 3.
func ParseKey(algorithm custody.Algorithm, pkix []byte) (crypto.PublicKey, error) {
	key, err := x509.ParsePKIXPublicKey(pkix)
	if err != nil {
		return nil, &custody.Error{Code: custody.Invalid, Field: "publicKey", Message: "not a public key in PKIX form", Err: err}
	}
	// One key has one spelling: it may be on record once.
	if again, err := x509.MarshalPKIXPublicKey(key); err != nil || !bytes.Equal(again, pkix) {
		return nil, &custody.Error{Code: custody.Invalid, Field: "publicKey", Message: "not in the one DER form of its key"}
	}
	ok := false
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		ok = algorithm == custody.ES256 && k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		ok = algorithm == custody.EdDSA && usableEd25519(k)
	case *rsa.PublicKey:
		ok = algorithm == custody.RS256 && k.N.BitLen() >= 2048 && k.N.BitLen() <= 4096 && k.E >= 3 && k.E%2 == 1
	}
	if !ok {
		return nil, &custody.Error{Code: custody.Invalid, Field: "publicKey", Message: "not a key of algorithm " + string(algorithm)}
	}
	return key, nil
}

// usableEd25519 reports whether key is the canonical encoding of a point that isn't
// of small order. Under a point of small order signatures hold for messages that
// nobody signed.
func usableEd25519(key []byte) bool {
	p, err := new(edwards25519.Point).SetBytes(key)
	if err != nil || !bytes.Equal(p.Bytes(), key) {
		return false
	}
	return p.MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 0
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
	if !verifyEd25519(key.Key, hash, signature) {
		return refuse("signature", "not by the recovery key over this hash")
	}
	return nil
}

// verifyEd25519 checks a signature under a key that [CheckEd25519] passed when it
// was put on record.
func verifyEd25519(key []byte, hash custody.Hash, signature []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, hash[:], signature)
}

// CheckEd25519 refuses a bare Ed25519 key, of an attestor or of recovery, that
// can't be used: one that isn't the canonical encoding of a point of large order.
func CheckEd25519(key []byte) error {
	if len(key) != ed25519.PublicKeySize || !usableEd25519(key) {
		return &custody.Error{Code: custody.Invalid, Field: "key", Message: "not an Ed25519 public key that can be used"}
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
