package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
)

// The kinds of key file. A key file is age-encrypted under a passphrase; beside it
// lies its public part, FILE.pub, as canonical JSON.
const (
	deviceKind  = "device"
	nodeKind    = "node"
	controlKind = "control"
)

// DevicePublic is the public part of a device key: of a person, or of recovery.
type DevicePublic struct {
	Kind      string                         `json:"kind"`
	ID        custody.ID[custody.Credential] `json:"id"`
	Algorithm custody.Algorithm              `json:"algorithm"`
	PublicKey custody.Blob                   `json:"publicKey"` // PKIX, ASN.1 DER
}

// NodePublic is the public part of a signer node's keys.
type NodePublic struct {
	Kind string `json:"kind"`
	custody.SignerNode
}

// ControlPublic is the public part of the control plane's keys.
type ControlPublic struct {
	Kind string `json:"kind"`
	custody.Control
}

// What stands in key files, once opened, as canonical JSON.
type (
	sealedDevice struct {
		Public     DevicePublic `json:"public"`
		PrivateKey secret       `json:"privateKey"` // PKCS #8, ASN.1 DER
	}
	sealedNode struct {
		Public       NodePublic `json:"public"`
		IdentitySeed secret     `json:"identitySeed"` // 64 bytes, as package hybrid has it
		WitnessSeed  secret     `json:"witnessSeed"`
	}
	sealedControl struct {
		Public          ControlPublic `json:"public"`
		LogSeed         secret        `json:"logSeed"`
		CoordinatorSeed secret        `json:"coordinatorSeed"`
	}
)

// secret is bytes that are written into key files and nowhere else: printing gives
// the word "redacted".
type secret []byte

// Format prints "redacted" for every verb.
func (s secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "redacted") }

// MarshalText writes base64.
func (s secret) MarshalText() ([]byte, error) { return custody.Blob(s).MarshalText() }

// UnmarshalText reads base64.
func (s *secret) UnmarshalText(text []byte) error { return (*custody.Blob)(s).UnmarshalText(text) }

const (
	maxKeyFile = 64 << 10 // bytes of a key file, a .pub file or a passphrase file
	keyMode    = 0o600
	publicMode = 0o644
)

// workFactor is the binary logarithm of what scrypt costs a key file's writer, and
// whoever guesses: 18 takes a second and 256 MiB. Tests lower it.
var workFactor = 18

// writeKeyFile seals a key under a passphrase into a file that isn't there yet, and
// writes its public part beside it.
func writeKeyFile(name, passphrase string, public, key any) error {
	open, err := custody.Encode(public)
	if err != nil {
		return err
	}
	plain, err := custody.Encode(key)
	if err != nil {
		return err
	}
	defer clear(plain)
	sealed, err := seal(plain, passphrase)
	if err != nil {
		return err
	}
	if err := create(name, keyMode, sealed); err != nil {
		return err
	}
	if err := create(name+".pub", publicMode, append(open, '\n')); err != nil {
		// Nobody has seen the public part, so the key is good for nothing.
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

// free refuses a key file that is there, before anybody is asked for a passphrase.
func free(name string) error {
	for _, n := range []string{name, name + ".pub"} {
		if _, err := os.Lstat(n); err == nil {
			return usagef("%s is there already: key files are never overwritten", n)
		}
	}
	return nil
}

func seal(plain []byte, passphrase string) ([]byte, error) {
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, err
	}
	r.SetWorkFactor(workFactor)
	var out bytes.Buffer
	text := armor.NewWriter(&out)
	w, err := age.Encrypt(text, r)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := errors.Join(w.Close(), text.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// signer is a key file that was opened to sign a charter.
type signer struct {
	device *DevicePublic // one of the two
	node   *NodePublic
	sign   func(custody.Hash) ([]byte, error)
}

// openKeyFile opens a key file of a device or a node.
func openKeyFile(name, passphrase string) (*signer, error) {
	sealed, err := readFile(name, maxKeyFile)
	if err != nil {
		return nil, err
	}
	plain, err := unseal(sealed, passphrase)
	if err != nil {
		return nil, usagef("%s: %v", name, err)
	}
	defer clear(plain)
	var peek struct {
		Public struct {
			Kind string `json:"kind"`
		} `json:"public"`
	}
	if err := json.Unmarshal(plain, &peek); err != nil {
		return nil, usagef("%s: not a key of Coffer", name)
	}
	var s *signer
	switch peek.Public.Kind {
	case deviceKind:
		s, err = openDevice(plain)
	case nodeKind:
		s, err = openNode(plain)
	case controlKind:
		err = errors.New("the control plane's keys sign no charter")
	default:
		err = errors.New("not a key of Coffer")
	}
	if err != nil {
		return nil, usagef("%s: %v", name, err)
	}
	return s, nil
}

func unseal(sealed []byte, passphrase string) ([]byte, error) {
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(sealed)), id)
	if _, wrong := errors.AsType[*age.NoIdentityMatchError](err); wrong {
		return nil, errors.New("the passphrase is wrong")
	} else if err != nil {
		return nil, fmt.Errorf("not a key file: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	return plain, nil
}

func openDevice(plain []byte) (*signer, error) {
	var d sealedDevice
	if err := custody.Decode(plain, &d, maxKeyFile); err != nil {
		return nil, err
	}
	defer clear(d.PrivateKey)
	key, err := x509.ParsePKCS8PrivateKey(d.PrivateKey)
	if err != nil {
		return nil, err
	}
	s := &signer{device: &d.Public}
	var public crypto.PublicKey
	switch k := key.(type) {
	case ed25519.PrivateKey:
		public = k.Public()
		s.sign = func(h custody.Hash) ([]byte, error) { return ed25519.Sign(k, h[:]), nil }
	case *ecdsa.PrivateKey:
		public = k.Public()
		s.sign = func(h custody.Hash) ([]byte, error) { return ecdsa.SignASN1(rand.Reader, k, h[:]) }
	default:
		return nil, errors.New("neither Ed25519 nor P-256")
	}
	if pkix, err := x509.MarshalPKIXPublicKey(public); err != nil || !bytes.Equal(pkix, d.Public.PublicKey) {
		return nil, errors.New("its public part is another key's")
	}
	return s, nil
}

func openNode(plain []byte) (*signer, error) {
	var n sealedNode
	if err := custody.Decode(plain, &n, maxKeyFile); err != nil {
		return nil, err
	}
	defer clear(n.IdentitySeed)
	defer clear(n.WitnessSeed)
	key, err := hybrid.NewPrivateKey(n.IdentitySeed)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(key.Public().Bytes(), n.Public.IdentityKey) {
		return nil, errors.New("its public part is another key's")
	}
	return &signer{node: &n.Public, sign: func(h custody.Hash) ([]byte, error) { return key.Sign(h[:]) }}, nil
}

// readPublic reads a .pub file of the given kind.
func readPublic(name, kind string, to any) error {
	raw, err := readFile(name, maxKeyFile)
	if err != nil {
		return err
	}
	if bytes.HasPrefix(raw, []byte(armor.Header)) {
		return usagef("%s is a key file, which goes to nobody: give %s.pub", name, name)
	}
	var peek struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(raw, &peek); err != nil || peek.Kind != kind {
		return usagef("%s: not the public part of a %s key", name, kind)
	}
	if err := custody.Decode(bytes.TrimSuffix(raw, []byte{'\n'}), to, maxKeyFile); err != nil {
		return usagef("%s: %v", name, err)
	}
	return nil
}

// readFile reads a file of at most limit bytes. What the command line names and
// can't be read is a mistake of the command line.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name) //nolint:gosec // the user names it
	if err != nil {
		return nil, usagef("%v", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, usagef("%v", err)
	case int64(len(raw)) > limit:
		return nil, usagef("%s: more than %d bytes", name, limit)
	}
	return raw, nil
}

// create writes a file that isn't there yet, down to the disk.
func create(name string, mode os.FileMode, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode) //nolint:gosec // the user names it
	if errors.Is(err, os.ErrExist) {
		return usagef("%s is there already", name)
	} else if err != nil {
		return usagef("%v", err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return syncDirectory(name)
}

// replace puts other content in the place of a file, at once or not at all.
func replace(name string, content []byte) error {
	before, err := os.Stat(name)
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Chmod(before.Mode().Perm()), temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return syncDirectory(name)
}

func syncDirectory(name string) error {
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// newID makes a UUIDv7 (RFC 9562 §5.7) of an instant and 74 random bits.
func newID[T any](at time.Time, random io.Reader) (id custody.ID[T], err error) {
	if _, err := io.ReadFull(random, id[6:]); err != nil {
		return id, fmt.Errorf("make an id: %w", err)
	}
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	copy(id[:6], ms[2:])
	id[6] = 0x70 | id[6]&0x0f
	id[8] = 0x80 | id[8]&0x3f
	return id, nil
}

// clock is where time comes into these commands.
func clock() time.Time {
	return time.Now() //nolint:forbidigo // the edge of the program
}

// fingerprint names a public part in words, for people who compare.
func fingerprint(public any) (string, error) {
	raw, err := custody.Encode(public)
	if err != nil {
		return "", err
	}
	return words(sha256.Sum256(raw)), nil
}
