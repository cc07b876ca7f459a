package hybrid

import (
	"crypto/ed25519"
	"fmt"
	"io"

	"filippo.io/mldsa"
)

// PrivateKey signs with both halves. It is safe for concurrent use. The zero value signs
// nothing. Printing, logging or marshalling it gives the word "redacted", never the key;
// its owner keeps the seed, and erases it.
type PrivateKey struct {
	// A function, so that fmt stops at its address where the key is an unexported field
	// of something else and Format isn't called. A pointer doesn't do: fmt follows it for
	// the verbs that pointers lack, such as %s.
	keys func() *keys
}

type keys struct {
	ed25519 ed25519.PrivateKey
	mldsa44 *mldsa.PrivateKey
	public  PublicKey
}

// NewPrivateKey makes the key of a seed of SeedSize random bytes: 32 for Ed25519 (RFC
// 8032 §5.1.5), then 32 for ML-DSA-44 (FIPS 204, ξ of Algorithm 1). The error is [ErrKey].
func NewPrivateKey(seed []byte) (PrivateKey, error) {
	if len(seed) != SeedSize {
		return PrivateKey{}, fmt.Errorf("%w: a seed of %d bytes, not %d", ErrKey, len(seed), SeedSize)
	}
	m, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), seed[ed25519.SeedSize:])
	if err != nil {
		return PrivateKey{}, fmt.Errorf("%w: the ML-DSA-44 half: %w", ErrKey, err)
	}
	e := ed25519.NewKeyFromSeed(seed[:ed25519.SeedSize])
	public := m.PublicKey()
	k := &keys{e, m, PublicKey{&pair{string(e[ed25519.SeedSize:]) + string(public.Bytes()), public}}}
	return PrivateKey{func() *keys { return k }}, nil
}

// Generate makes a key of SeedSize bytes from random, and returns the seed beside it for
// the caller to keep and erase. The error is that of reading.
func Generate(random io.Reader) (key PrivateKey, seed []byte, err error) {
	seed = make([]byte, SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return PrivateKey{}, nil, fmt.Errorf("hybrid: reading a seed: %w", err)
	}
	key, err = NewPrivateKey(seed)
	return key, seed, err
}

// Public returns the public key; the zero PublicKey for the zero value.
func (k PrivateKey) Public() PublicKey {
	if k.keys == nil {
		return PublicKey{}
	}
	return k.keys().public
}

// Sign returns SignatureSize bytes: the Ed25519 signature, then the ML-DSA-44 signature,
// both over "coffer/hybrid/v1", a zero byte and the message. The error is [ErrKey], for
// the zero value alone.
//
// Signing is deterministic in both halves (FIPS 204 §3.4 allows it). One key and one
// message give one signature: a recorded run replays byte by byte, and no signature hangs
// on the quality of randomness at that moment. The price is less resistance to faults that
// somebody with hands on the machine injects while it signs; Ed25519 pays it too.
func (k PrivateKey) Sign(message []byte) ([]byte, error) {
	m := bound(message)
	e, err := k.SignHalf(Ed25519, m)
	if err != nil {
		return nil, err
	}
	p, err := k.SignHalf(MLDSA44, m)
	if err != nil {
		return nil, err
	}
	return append(e, p...), nil
}

// SignHalf signs exactly these bytes with one half: 64 bytes for Ed25519, 2420 for
// ML-DSA-44 with an empty context. See [PublicKey.VerifyHalf] for whom it is; anything
// else calls Sign. The error is [ErrKey], for the zero value and an unknown half.
func (k PrivateKey) SignHalf(half Half, message []byte) ([]byte, error) {
	if k.keys == nil {
		return nil, fmt.Errorf("%w: no key", ErrKey)
	}
	switch half {
	case Ed25519:
		return ed25519.Sign(k.keys().ed25519, message), nil
	case MLDSA44:
		s, err := k.keys().mldsa44.SignDeterministic(message, nil)
		if err != nil {
			return nil, fmt.Errorf("%w: the ML-DSA-44 half: %w", ErrKey, err)
		}
		return s, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrKey, half)
}

const redacted = "redacted"

// Format prints "redacted" for every verb.
func (k PrivateKey) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// MarshalText returns "redacted", and so do JSON and slog.
func (k PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }
