package frost

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/derive"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
)

// MaxMessageSize is the longest message that is signed, in bytes.
const MaxMessageSize = 1 << 20

// Request is what to sign and with which key of the tree. Every signer gets it
// from where it decides whether to sign, never from another signer.
type Request struct {
	Message []byte      // as the scheme takes it: no hashing beforehand
	Path    derive.Path // of the child key; none is the key itself
	Taproot *Taproot    // BIP-340 only: sign for the Taproot output key (BIP-341)
}

// Taproot asks for the tweak of BIP-341, so that no signer can have hidden a
// script path in the key. An output key always carries it.
type Taproot struct {
	MerkleRoot []byte // 32 bytes, or none for a key without scripts
}

// Errors of requests.
var (
	ErrRequest = errors.New("frost: request is invalid")
	// ErrOtherRequest says that the session was joined for something else.
	ErrOtherRequest = errors.New("frost: the session was joined for another request")
)

func (r Request) validate(s tss.Suite) error {
	switch {
	case len(r.Message) > MaxMessageSize:
		return fmt.Errorf("%w: message has %d bytes, at most %d", ErrRequest, len(r.Message), MaxMessageSize)
	case r.Taproot != nil && s != tss.SuiteBIP340:
		return fmt.Errorf("%w: only a BIP-340 key has a Taproot tweak", ErrRequest)
	case r.Taproot != nil && len(r.Taproot.MerkleRoot) != 0 && len(r.Taproot.MerkleRoot) != hash.Size:
		return fmt.Errorf("%w: a merkle root has 32 bytes", ErrRequest)
	case len(r.Path) > derive.MaxDepth:
		return fmt.Errorf("%w: path is longer than %d", ErrRequest, derive.MaxDepth)
	}
	return nil
}

// body is the encoding of everything but the message.
func (r Request) body() []byte {
	b := make([]byte, 1, 64) // 0: no hashing of the message
	b = r.Path.AppendBytes(b)
	if r.Taproot == nil {
		return binary.BigEndian.AppendUint64(append(b, 0), 0)
	}
	b = binary.BigEndian.AppendUint64(append(b, 1), uint64(len(r.Taproot.MerkleRoot)))
	return append(b, r.Taproot.MerkleRoot...)
}

// Digest is the request's hash in a proposal.
func (r Request) Digest(s tss.Suite) hash.Digest {
	b := r.body()
	tweak := 1 + 2 + 4*len(r.Path)
	return hash.Sum("req", []byte{byte(s)}, b[:1], b[1:tweak], b[tweak:], r.Message)
}

// target is the key that a request signs with, and how shares of the root key
// become shares of it: s' = s + add, or -s + add where negate is 1. All of it is
// public.
type target struct {
	public group.Point // even y for BIP-340
	negate uint64
	add    group.Scalar
}

// targetOf computes the target from the key and the request alone.
func targetOf(k *tss.Key, r Request) (target, error) {
	if err := r.validate(k.Suite); err != nil {
		return target{}, err
	}
	node, err := derive.Derive(k.Public, k.ChainCode, r.Path)
	if err != nil {
		return target{}, fmt.Errorf("%w: path: %w", ErrRequest, err)
	}
	t := target{public: node.Public, add: node.Tweak()}
	if k.Suite != tss.SuiteBIP340 {
		return t, nil
	}
	t = t.evenY()
	if r.Taproot == nil {
		return t, nil
	}
	// BIP-341: Q = P + int(hash_TapTweak(x(P) || root)) G.
	tau, err := group.Secp256k1.DecodeScalar(taggedHash("TapTweak", t.public.XOnly(), r.Taproot.MerkleRoot))
	if err != nil {
		return target{}, fmt.Errorf("%w: Taproot tweak is not below the group order", ErrRequest)
	}
	t.public = t.public.Add(group.Secp256k1.BaseMul(tau))
	t.add = t.add.Add(tau)
	if t.public.IsIdentity() {
		return target{}, fmt.Errorf("%w: the tweaked key is the identity", ErrRequest)
	}
	return t.evenY(), nil
}

func (t target) evenY() target {
	if t.public.OddY() == 0 {
		return t
	}
	return target{public: t.public.Neg(), negate: 1 - t.negate, add: t.add.Neg()}
}

func (t target) share(s group.Scalar) group.Scalar {
	if t.negate == 1 {
		s = s.Neg()
	}
	return s.Add(t.add)
}

func (t target) publicShare(s group.Point) group.Point {
	if t.negate == 1 {
		s = s.Neg()
	}
	return s.Add(s.Group().BaseMul(t.add))
}

// PublicKey returns the key under which signatures for the request verify: 32
// bytes, x-only for BIP-340 (the output key where Taproot is set), RFC 8032 for
// Ed25519. The message plays no part. Anyone with the key and its chain code can
// recompute it.
func PublicKey(k *tss.Key, r Request) ([]byte, error) {
	t, err := targetOf(k, r)
	if err != nil {
		return nil, err
	}
	if k.Suite == tss.SuiteBIP340 {
		return t.public.XOnly(), nil
	}
	return t.public.Bytes(), nil
}

// Verify reports whether signature is valid for the message under a public key as
// PublicKey gives it, by code that shares nothing with the signing protocol but curve arithmetic.
func Verify(s tss.Suite, public, message, signature []byte) bool {
	suite := suiteOf(s)
	if suite == nil || len(signature) != 64 || len(public) != 32 {
		return false
	}
	if suite.xOnly {
		public = append([]byte{2}, public...)
	}
	p, err := suite.group.DecodePoint(public)
	return err == nil && suite.verify(p, message, signature)
}
