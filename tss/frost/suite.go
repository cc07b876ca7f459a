package frost

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"

	"gitlab.com/yawning/secp256k1-voi/secec/bitcoin"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/group"
)

// ciphersuite is what RFC 9591 §6 leaves to the suite.
type ciphersuite struct {
	group     group.Group
	context   string
	xOnly     bool                                                     // BIP-340: keys and nonces have even y
	scalar    func(context, tag string, parts ...[]byte) group.Scalar  // H1, H3
	digest    func(context, tag string, parts ...[]byte) []byte        // H4, H5
	challenge func(r, public group.Point, message []byte) group.Scalar // H2
	encode    func(r group.Point, z group.Scalar) []byte               // the signature
	verify    func(public group.Point, message, signature []byte) bool // by other code than this package's
}

// suiteOf returns the suite of a key. DKG and decoding let no other suite pass.
func suiteOf(s tss.Suite) *ciphersuite {
	switch s {
	case tss.SuiteBIP340:
		return &bip340
	case tss.SuiteEd25519:
		return &ed25519SHA512
	}
	return nil
}

// ed25519SHA512 is FROST(Ed25519, SHA-512), RFC 9591 §6.1; its signatures are
// those of RFC 8032.
var ed25519SHA512 = ciphersuite{
	group:   group.Edwards25519,
	context: "FROST-ED25519-SHA512-v1",
	scalar: func(context, tag string, parts ...[]byte) group.Scalar {
		return group.Edwards25519.ReduceLittle(sha512Of(context+tag, parts))
	},
	digest: func(context, tag string, parts ...[]byte) []byte { return sha512Of(context+tag, parts) },
	challenge: func(r, public group.Point, message []byte) group.Scalar {
		// Without context, as RFC 8032 has it.
		return group.Edwards25519.ReduceLittle(sha512Of("", [][]byte{r.Bytes(), public.Bytes(), message}))
	},
	encode: func(r group.Point, z group.Scalar) []byte { return z.AppendBytes(r.Bytes()) },
	verify: func(public group.Point, message, signature []byte) bool {
		return ed25519.Verify(public.Bytes(), message, signature)
	},
}

func sha512Of(prefix string, parts [][]byte) []byte {
	h := sha512.New()
	h.Write([]byte(prefix))
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// bip340 is FROST(secp256k1, SHA-256) of RFC 9591 §6.5 with the challenge and the
// even-y rules of BIP-340.
var bip340 = ciphersuite{
	group:   group.Secp256k1,
	context: "FROST-secp256k1-SHA256-TR-v1",
	xOnly:   true,
	scalar:  hashToField,
	digest:  func(context, tag string, parts ...[]byte) []byte { return sha256Of(context+tag, parts) },
	challenge: func(r, public group.Point, message []byte) group.Scalar {
		return group.Secp256k1.ReduceBig(taggedHash("BIP0340/challenge", r.XOnly(), public.XOnly(), message))
	},
	encode: func(r group.Point, z group.Scalar) []byte { return z.AppendBytes(r.XOnly()) },
	verify: func(public group.Point, message, signature []byte) bool {
		k, err := bitcoin.NewSchnorrPublicKey(public.XOnly())
		return err == nil && k.Verify(message, signature)
	},
}

func sha256Of(prefix string, parts [][]byte) []byte {
	h := sha256.New()
	h.Write([]byte(prefix))
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// taggedHash is BIP-340's.
func taggedHash(tag string, parts ...[]byte) []byte {
	t := sha256.Sum256([]byte(tag))
	h := sha256.New()
	h.Write(t[:])
	h.Write(t[:])
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// hashToField is hash_to_field of RFC 9380 §5.2 for one element with L = 48 and
// expand_message_xmd (§5.3.1) over SHA-256, DST = context || tag.
func hashToField(context, tag string, parts ...[]byte) group.Scalar {
	const length = 48 // so two blocks
	dst := context + tag
	suffix := append([]byte(dst), byte(len(dst)))

	h := sha256.New()
	var pad [sha256.BlockSize]byte
	h.Write(pad[:])
	for _, p := range parts {
		h.Write(p)
	}
	h.Write([]byte{0, length, 0})
	h.Write(suffix)
	b0 := h.Sum(nil)

	h.Reset()
	h.Write(b0)
	h.Write([]byte{1})
	h.Write(suffix)
	out := h.Sum(nil)
	for i := range b0 {
		b0[i] ^= out[i]
	}
	h.Reset()
	h.Write(b0)
	h.Write([]byte{2})
	h.Write(suffix)
	return group.Secp256k1.ReduceBig(h.Sum(out)[:length])
}
