// Package hybrid signs with Ed25519 (RFC 8032) and ML-DSA-44 (FIPS 204) together: a
// signature holds only where both halves verify. Whoever breaks one of the two schemes
// forges nothing.
//
// Identities of nodes, witnesses, the log key and the coordinator key are such pairs.
// Start at [NewPrivateKey] and [ParsePublicKey]. The package reads no clock, keeps no
// state and never writes a private key anywhere.
package hybrid

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"filippo.io/mldsa"
)

// Sizes in bytes. An encoding is always the Ed25519 half followed by the ML-DSA-44 half.
const (
	Ed25519KeySize = ed25519.PublicKeySize
	MLDSA44KeySize = mldsa.MLDSA44PublicKeySize
	PublicKeySize  = Ed25519KeySize + MLDSA44KeySize // 1344

	Ed25519SignatureSize = ed25519.SignatureSize
	MLDSA44SignatureSize = mldsa.MLDSA44SignatureSize
	SignatureSize        = Ed25519SignatureSize + MLDSA44SignatureSize // 2484

	// SeedSize is the length of a private key: 32 bytes of Ed25519 and 32 of ML-DSA-44.
	SeedSize = ed25519.SeedSize + mldsa.PrivateKeySize
)

// domain stands before every message that Sign signs and Verify verifies. The halves of
// a signed note sign the C2SP messages bare; none of those begins like this, so nobody
// who is given hybrid signatures of his choice gets half of a checkpoint or cosignature.
const domain = "coffer/hybrid/v1\x00"

// Half names one of the two schemes.
type Half uint8

// The halves.
const (
	Ed25519 Half = iota + 1
	MLDSA44
)

// String returns the scheme's name.
func (h Half) String() string {
	switch h {
	case Ed25519:
		return "Ed25519"
	case MLDSA44:
		return "ML-DSA-44"
	}
	return fmt.Sprintf("half(%d)", uint8(h))
}

// ErrKey is the error of bytes or text that aren't a key.
var ErrKey = errors.New("hybrid: key is malformed")

// ErrLength is the error of a signature that isn't SignatureSize bytes, as one half alone.
var ErrLength = fmt.Errorf("hybrid: a signature has %d bytes", SignatureSize)

// HalfError says which half of a signature failed; if both did, it names Ed25519.
type HalfError struct{ Half Half }

// Error names the half.
func (e *HalfError) Error() string {
	return "hybrid: the " + e.Half.String() + " half doesn't verify"
}
