package keyfile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
)

// Fresh is a key that was just made and isn't written yet.
type Fresh struct {
	// Public is the public part: a [DevicePublic], [NodePublic] or [ControlPublic].
	Public any

	content func() any // a function, so that fmt stops at its address
}

// NewDevice makes a device key of the algorithm EdDSA (Ed25519) or ES256 (P-256). Its id
// carries the time.
func NewDevice(algorithm custody.Algorithm, at custody.Time) (*Fresh, error) {
	var key crypto.Signer
	var err error
	switch algorithm {
	case custody.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case custody.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return nil, invalidf("a device key is of EdDSA or ES256, not %q", algorithm)
	}
	if err != nil {
		return nil, err
	}
	p := DevicePublic{Kind: DeviceKind, Algorithm: algorithm}
	if p.ID, err = custody.NewID[custody.Credential](at, rand.Reader); err != nil {
		return nil, err
	}
	if p.PublicKey, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &Fresh{p, func() any { return sealedDevice{p, private} }}, nil
}

// NewNode makes the identity key and the witness key of a signer node, or of a witness.
// The node's other fields are the caller's.
func NewNode(node custody.SignerNode) (*Fresh, error) {
	identity, identitySeed, err := hybrid.Generate(rand.Reader)
	if err != nil {
		return nil, err
	}
	witness, witnessSeed, err := hybrid.Generate(rand.Reader)
	if err != nil {
		return nil, err
	}
	node.IdentityKey, node.WitnessKey = identity.Public().Bytes(), witness.Public().Bytes()
	p := NodePublic{NodeKind, node}
	return &Fresh{p, func() any { return sealedNode{p, identitySeed, witnessSeed} }}, nil
}

// NewControl makes the log key and the coordinator key of the control plane.
func NewControl() (*Fresh, error) {
	log, logSeed, err := hybrid.Generate(rand.Reader)
	if err != nil {
		return nil, err
	}
	coordinator, coordinatorSeed, err := hybrid.Generate(rand.Reader)
	if err != nil {
		return nil, err
	}
	p := ControlPublic{ControlKind, custody.Control{LogKey: log.Public().Bytes(), CoordinatorKey: coordinator.Public().Bytes()}}
	return &Fresh{p, func() any { return sealedControl{p, logSeed, coordinatorSeed} }}, nil
}
