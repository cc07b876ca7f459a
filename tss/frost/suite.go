package frost

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"slices"

	"gitlab.com/yawning/secp256k1-voi/secec/bitcoin"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/group"
)

// ciphersuite is what RFC 9591 §6 leaves to the suite.
type ciphersuite struct {
	group     group.Group
	context   string
	xOnly     bool                                                     // BIP-340: keys and nonces have even y
	challenge func(r, public group.Point, message []byte) group.Scalar // H2
	encode    func(r group.Point, z group.Scalar) []byte               // the signature
	verify    func(public group.Point, message, signature []byte) bool // by other code than this package's
}

// scalar is H1 and H3, the hashes to a scalar, of a || b.
func (cs *ciphersuite) scalar(tag string, a, b []byte) group.Scalar {
	if cs.group == group.Secp256k1 {
		return hashToField(cs.context, tag, a, b)
	}
	d := sha512Of(cs.context, tag, a, b)
	return cs.group.ReduceLittle(d[:])
}

// appendDigest appends H4 or H5 of m.
func (cs *ciphersuite) appendDigest(out []byte, tag string, m []byte) []byte {
	if cs.group == group.Secp256k1 {
		d := sha256.Sum256(slices.Concat([]byte(cs.context+tag), m))
		return append(out, d[:]...)
	}
	d := sha512Of(cs.context, tag, m, nil)
	return append(out, d[:]...)
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
	challenge: func(r, public group.Point, message []byte) group.Scalar {
		// Without context, as RFC 8032 has it.
		d := sha512Of("", "", public.AppendBytes(r.Bytes()), message)
		return group.Edwards25519.ReduceLittle(d[:])
	},
	encode: func(r group.Point, z group.Scalar) []byte { return z.AppendBytes(r.Bytes()) },
	verify: func(public group.Point, message, signature []byte) bool {
		return ed25519.Verify(public.Bytes(), message, signature)
	},
}

func sha512Of(context, tag string, a, b []byte) [sha512.Size]byte {
	var stack [512]byte // longer inputs spill
	in := append(append(stack[:0], context...), tag...)
	return sha512.Sum512(append(append(in, a...), b...))
}

// bip340 is FROST(secp256k1, SHA-256) of RFC 9591 §6.5 with the challenge and the
// even-y rules of BIP-340.
var bip340 = ciphersuite{
	group:   group.Secp256k1,
	context: "FROST-secp256k1-SHA256-TR-v1",
	xOnly:   true,
	challenge: func(r, public group.Point, message []byte) group.Scalar {
		return group.Secp256k1.ReduceBig(taggedHash("BIP0340/challenge", r.XOnly(), public.XOnly(), message))
	},
	encode: func(r group.Point, z group.Scalar) []byte { return z.AppendBytes(r.XOnly()) },
	verify: func(public group.Point, message, signature []byte) bool {
		k, err := bitcoin.NewSchnorrPublicKey(public.XOnly())
		return err == nil && k.Verify(message, signature)
	},
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

// hashToField is hash_to_field of RFC 9380 §5.2 of a || b for one element with
// L = 48 and expand_message_xmd (§5.3.1) over SHA-256, DST = context || tag.
func hashToField(context, tag string, a, b []byte) group.Scalar {
	const length = 48 // so two blocks
	var stack [768]byte
	suffix := func(in []byte) []byte {
		in = append(append(in, context...), tag...)
		return append(in, byte(len(context)+len(tag)))
	}
	in := append(append(stack[:sha256.BlockSize], a...), b...) // after a block of zeros
	b0 := sha256.Sum256(suffix(append(in, 0, length, 0)))
	b1 := sha256.Sum256(suffix(append(append(stack[:0], b0[:]...), 1)))
	for i := range b0 {
		b0[i] ^= b1[i]
	}
	b2 := sha256.Sum256(suffix(append(append(stack[:0], b0[:]...), 2)))
	var out [2 * sha256.Size]byte
	copy(out[:], b1[:])
	copy(out[sha256.Size:], b2[:])
	return group.Secp256k1.ReduceBig(out[:length])
}
