package hybrid

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"

	"filippo.io/edwards25519"
	"filippo.io/mldsa"
)

// PublicKey is a pair of public keys. It is immutable and copied for the price of a
// pointer; compare with Equal. The zero value is no key: nothing verifies under it, and
// it has no text.
type PublicKey struct {
	pair *pair
}

type pair struct {
	raw   string // PublicKeySize bytes that ParsePublicKey accepted
	mldsa *mldsa.PublicKey
}

// ParsePublicKey reads the encoding of PublicKeySize bytes. The Ed25519 half must be the
// canonical encoding of a point that isn't of small order: under a point of small order
// signatures hold for messages that nobody signed. Every error is [ErrKey].
func ParsePublicKey(b []byte) (PublicKey, error) {
	if len(b) != PublicKeySize {
		return PublicKey{}, fmt.Errorf("%w: %d bytes, not %d", ErrKey, len(b), PublicKeySize)
	}
	p, err := new(edwards25519.Point).SetBytes(b[:Ed25519KeySize])
	if err != nil || string(p.Bytes()) != string(b[:Ed25519KeySize]) {
		return PublicKey{}, fmt.Errorf("%w: the Ed25519 half isn't a canonical point", ErrKey)
	}
	if p.MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return PublicKey{}, fmt.Errorf("%w: the Ed25519 half is of small order", ErrKey)
	}
	m, err := mldsa.NewPublicKey(mldsa.MLDSA44(), b[Ed25519KeySize:])
	if err != nil {
		return PublicKey{}, fmt.Errorf("%w: the ML-DSA-44 half: %w", ErrKey, err)
	}
	return PublicKey{&pair{string(b), m}}, nil
}

// IsZero reports whether k is the zero value.
func (k PublicKey) IsZero() bool { return k.pair == nil }

// Equal reports whether the keys are the same.
func (k PublicKey) Equal(other PublicKey) bool {
	if k.IsZero() || other.IsZero() {
		return k.IsZero() == other.IsZero()
	}
	return k.pair.raw == other.pair.raw
}

// Bytes returns the encoding; nil for the zero value.
func (k PublicKey) Bytes() []byte {
	if k.IsZero() {
		return nil
	}
	return []byte(k.pair.raw)
}

// Ed25519 returns the 32 bytes of the Ed25519 half; nil for the zero value.
func (k PublicKey) Ed25519() []byte {
	if k.IsZero() {
		return nil
	}
	return []byte(k.pair.raw[:Ed25519KeySize])
}

// MLDSA44 returns the 1312 bytes of the ML-DSA-44 half; nil for the zero value.
func (k PublicKey) MLDSA44() []byte {
	if k.IsZero() {
		return nil
	}
	return []byte(k.pair.raw[Ed25519KeySize:])
}

// Verify checks a signature of SignatureSize bytes that [PrivateKey.Sign] made. The error
// is [ErrLength], [ErrKey] for the zero value, or a [HalfError].
func (k PublicKey) Verify(message, signature []byte) error {
	if k.IsZero() {
		return fmt.Errorf("%w: no key", ErrKey)
	}
	if len(signature) != SignatureSize {
		return fmt.Errorf("%w, not %d", ErrLength, len(signature))
	}
	m := bound(message)
	if err := k.VerifyHalf(Ed25519, m, signature[:Ed25519SignatureSize]); err != nil {
		return err
	}
	return k.VerifyHalf(MLDSA44, m, signature[Ed25519SignatureSize:])
}

// VerifyHalf checks a bare signature of one half over exactly these bytes. It is for
// formats that fix what each half signs, as the lines of a signed note do; such a format
// has to demand both halves itself. The error is [ErrKey] for the zero value, or a
// [HalfError].
func (k PublicKey) VerifyHalf(half Half, message, signature []byte) error {
	if k.IsZero() {
		return fmt.Errorf("%w: no key", ErrKey)
	}
	ok := false
	switch half {
	case Ed25519:
		ok = len(signature) == Ed25519SignatureSize && ed25519.Verify(k.Ed25519(), message, signature)
	case MLDSA44:
		ok = mldsa.Verify(k.pair.mldsa, message, signature, nil) == nil
	}
	if !ok {
		return &HalfError{half}
	}
	return nil
}

// String returns the text, or "none" for the zero value.
func (k PublicKey) String() string {
	if k.IsZero() {
		return "none"
	}
	return base64.StdEncoding.EncodeToString([]byte(k.pair.raw))
}

// MarshalText returns the standard base64 (RFC 4648 §4) of the encoding: 1792 letters, no
// padding, as 1344 is divisible by three. The zero value is an error.
func (k PublicKey) MarshalText() ([]byte, error) {
	if k.IsZero() {
		return nil, fmt.Errorf("%w: no key", ErrKey)
	}
	return []byte(k.String()), nil
}

// UnmarshalText reads what MarshalText writes and nothing else. Every error is [ErrKey].
func (k *PublicKey) UnmarshalText(text []byte) error {
	if len(text) != base64.StdEncoding.EncodedLen(PublicKeySize) {
		return fmt.Errorf("%w: %d letters, not %d", ErrKey, len(text), base64.StdEncoding.EncodedLen(PublicKeySize))
	}
	b, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	p, err := ParsePublicKey(b) // refuses too few bytes: the decoder skips line breaks
	if err != nil {
		return err
	}
	*k = p
	return nil
}

func bound(message []byte) []byte {
	return append([]byte(domain), message...)
}
