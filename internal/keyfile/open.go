package keyfile

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/tss"
)

// Device is a device key, ready to sign.
type Device struct {
	Public DevicePublic

	sign func(custody.Hash) ([]byte, error) // a function, so that fmt stops at its address
}

// Sign signs a hash: 64 bytes of Ed25519 (RFC 8032) over its 32 bytes, or ECDSA in
// ASN.1 DER with the hash as the digest.
func (d *Device) Sign(h custody.Hash) ([]byte, error) { return d.sign(h) }

// Node is the keys of a signer node, or of a witness.
type Node struct {
	Public   NodePublic
	Identity hybrid.PrivateKey
	Witness  hybrid.PrivateKey

	// TSS is the node's identity in sessions: the Ed25519 half of Identity.
	TSS *tss.Identity
}

// Control is the keys of the control plane.
type Control struct {
	Public      ControlPublic
	Log         hybrid.PrivateKey
	Coordinator hybrid.PrivateKey
}

// Open opens a key file of any kind: a [*Device], [*Node] or [*Control].
func Open(file, passphrase string) (any, error) {
	sealed, err := ReadFile(file, MaxSize)
	if err != nil {
		return nil, err
	}
	plain, err := Unseal(sealed, passphrase)
	if err != nil {
		return nil, invalid(file, err)
	}
	defer clear(plain)
	key, err := parse(plain)
	if err != nil {
		return nil, invalid(file, err)
	}
	return key, nil
}

// OpenDevice opens the key file of a device. It takes what scrypt takes at the work
// factor of the file: at the default about a second and 256 MiB.
func OpenDevice(file, passphrase string) (*Device, error) {
	return openKind[*Device](file, passphrase, DeviceKind)
}

// OpenNode opens the key file of a signer node or a witness, in the time of OpenDevice.
func OpenNode(file, passphrase string) (*Node, error) {
	return openKind[*Node](file, passphrase, NodeKind)
}

// OpenControl opens the key file of the control plane, in the time of OpenDevice.
func OpenControl(file, passphrase string) (*Control, error) {
	return openKind[*Control](file, passphrase, ControlKind)
}

func openKind[K any](file, passphrase string, kind Kind) (key K, err error) {
	opened, err := Open(file, passphrase)
	if err != nil {
		return key, err
	}
	key, ok := opened.(K)
	if !ok {
		return key, invalidf("%s: not a %s key", file, kind)
	}
	return key, nil
}

// parse reads the content of a key file.
func parse(plain []byte) (any, error) {
	var peek struct {
		Public struct {
			Kind Kind `json:"kind"`
		} `json:"public"`
	}
	if err := json.Unmarshal(plain, &peek); err != nil {
		return nil, errNoKey // the cause may quote the content
	}
	switch peek.Public.Kind {
	case DeviceKind:
		return parseDevice(plain)
	case NodeKind:
		return parseNode(plain)
	case ControlKind:
		return parseControl(plain)
	}
	return nil, errNoKey
}

var (
	errNoKey    = errors.New("not a key of Coffer")
	errOtherKey = errors.New("its public part is another key's")
)

func parseDevice(plain []byte) (*Device, error) {
	var in sealedDevice
	if err := custody.Decode(plain, &in, MaxSize); err != nil {
		return nil, err
	}
	defer clear(in.PrivateKey)
	key, err := x509.ParsePKCS8PrivateKey(in.PrivateKey)
	if err != nil {
		return nil, errors.New("its private key isn't one in PKCS #8")
	}
	d := &Device{Public: in.Public}
	var public crypto.PublicKey
	var algorithm custody.Algorithm
	switch k := key.(type) {
	case ed25519.PrivateKey:
		public, algorithm = k.Public(), custody.EdDSA
		d.sign = func(h custody.Hash) ([]byte, error) { return ed25519.Sign(k, h[:]), nil }
	case *ecdsa.PrivateKey:
		public, algorithm = k.Public(), custody.ES256
		d.sign = func(h custody.Hash) ([]byte, error) { return ecdsa.SignASN1(rand.Reader, k, h[:]) }
	default:
		return nil, errors.New("neither Ed25519 nor P-256")
	}
	if pkix, err := x509.MarshalPKIXPublicKey(public); err != nil || !bytes.Equal(pkix, in.Public.PublicKey) || algorithm != in.Public.Algorithm {
		return nil, errOtherKey
	}
	return d, nil
}

func parseNode(plain []byte) (*Node, error) {
	var in sealedNode
	if err := custody.Decode(plain, &in, MaxSize); err != nil {
		return nil, err
	}
	defer clear(in.IdentitySeed)
	defer clear(in.WitnessSeed)
	n := &Node{Public: in.Public}
	var err error
	if n.Identity, err = hybridKey(in.IdentitySeed, in.Public.IdentityKey); err != nil {
		return nil, fmt.Errorf("identityKey: %w", err)
	}
	if n.Witness, err = hybridKey(in.WitnessSeed, in.Public.WitnessKey); err != nil {
		return nil, fmt.Errorf("witnessKey: %w", err)
	}
	n.TSS, err = tss.IdentityFromSeed(in.IdentitySeed[:32])
	return n, err
}

func parseControl(plain []byte) (*Control, error) {
	var in sealedControl
	if err := custody.Decode(plain, &in, MaxSize); err != nil {
		return nil, err
	}
	defer clear(in.LogSeed)
	defer clear(in.CoordinatorSeed)
	c := &Control{Public: in.Public}
	var err error
	if c.Log, err = hybridKey(in.LogSeed, in.Public.LogKey); err != nil {
		return nil, fmt.Errorf("logKey: %w", err)
	}
	if c.Coordinator, err = hybridKey(in.CoordinatorSeed, in.Public.CoordinatorKey); err != nil {
		return nil, fmt.Errorf("coordinatorKey: %w", err)
	}
	return c, nil
}

// hybridKey restores a key and checks that it is the public one's.
func hybridKey(seed secret, public custody.HybridKey) (hybrid.PrivateKey, error) {
	key, err := hybrid.NewPrivateKey(seed)
	if err == nil && !bytes.Equal(key.Public().Bytes(), public) {
		err = errOtherKey
	}
	return key, err
}
