package tss

import (
	"fmt"

	"github.com/cofferhq/coffer/tss/group"
)

// Suite is a signature scheme over a group, as it stands in proposals and
// headers.
type Suite uint8

// The suites. Number 1 is kept for ECDSA.
const (
	SuiteBIP340  Suite = 2 // Schnorr over secp256k1 (BIP-340), by FROST
	SuiteEd25519 Suite = 3 // Ed25519 (RFC 8032), by FROST (RFC 9591)
)

// Group returns the suite's group, or 0 for an unknown suite.
func (s Suite) Group() group.Group {
	switch s {
	case SuiteBIP340:
		return group.Secp256k1
	case SuiteEd25519:
		return group.Edwards25519
	}
	return 0
}

// String returns the scheme's short name.
func (s Suite) String() string {
	switch s {
	case SuiteBIP340:
		return "bip340"
	case SuiteEd25519:
		return "ed25519"
	}
	return fmt.Sprintf("suite(%d)", uint8(s))
}

// Protocol is what a session runs.
type Protocol uint8

// The protocols, by their numbers on the wire.
const (
	ProtocolDKG   Protocol = 1
	ProtocolFROST Protocol = 6
)

// version of the wire format and of the protocols.
const version = 1
