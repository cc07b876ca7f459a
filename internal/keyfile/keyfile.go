// Package keyfile keeps private keys in files: of devices, of signer nodes and of the
// control plane. A key file is canonical JSON, sealed with age (age-encryption.org/v1)
// under a passphrase by scrypt (RFC 7914), in ASCII armor. Its public part lies beside
// it in FILE.pub, as one line of canonical JSON.
//
// Whoever makes keys starts from [NewDevice], [NewNode] or [NewControl] and [Write];
// whoever uses them from [OpenDevice], [OpenNode] or [OpenControl].
//
// The package never overwrites a file, and never puts a private key or a passphrase
// into an error. What the caller can put right, such as a wrong passphrase or a file
// that isn't there, is a [custody.Error] of code Invalid, or Conflict for a file that
// is there already. Any other error is the machine's.
package keyfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"filippo.io/age/armor"

	"github.com/cofferhq/coffer/internal/custody"
)

// Kind says whose keys a key file has.
type Kind string

// The kinds.
const (
	DeviceKind  Kind = "device"  // of a person, a service or recovery: one key
	NodeKind    Kind = "node"    // of a signer node or a witness: identity and witness key
	ControlKind Kind = "control" // of the control plane: log and coordinator key
)

// MaxSize is the most bytes that a key file, its public part or a passphrase file has.
const MaxSize = 64 << 10

// DevicePublic is the public part of a device key: of a person, or of recovery.
type DevicePublic struct {
	Kind      Kind                           `json:"kind"`
	ID        custody.ID[custody.Credential] `json:"id"`
	Algorithm custody.Algorithm              `json:"algorithm"`
	PublicKey custody.Blob                   `json:"publicKey"` // PKIX, ASN.1 DER
}

// NodePublic is the public part of a signer node's keys.
type NodePublic struct {
	Kind Kind `json:"kind"`
	custody.SignerNode
}

// ControlPublic is the public part of the control plane's keys.
type ControlPublic struct {
	Kind Kind `json:"kind"`
	custody.Control
}

// What stands in key files, once opened.
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

// Write seals a key under a passphrase into a file that isn't there yet, which its
// owner alone can read, and writes its public part into FILE.pub. Both are on the disk
// when it returns nil. The work factor is as of [Seal].
func Write(file, passphrase string, key *Fresh, workFactor int) error {
	if err := CheckFree(file); err != nil {
		return err
	}
	if err := CheckPassphrase(passphrase); err != nil {
		return err
	}
	public, err := custody.Encode(key.Public)
	if err != nil {
		return err
	}
	plain, err := custody.Encode(key.content())
	if err != nil {
		return err
	}
	defer clear(plain)
	sealed, err := Seal(plain, passphrase, workFactor)
	if err != nil {
		return err
	}
	if err := Create(file, 0o600, sealed); err != nil {
		return err
	}
	if err := Create(file+".pub", 0o644, append(public, '\n')); err != nil {
		// Nobody has seen the public part, so the key is good for nothing.
		return errors.Join(err, os.Remove(file))
	}
	return nil
}

// CheckFree refuses a key file that is there already, or whose public part is.
func CheckFree(file string) error {
	for _, name := range []string{file, file + ".pub"} {
		if _, err := os.Lstat(name); err == nil {
			return &custody.Error{Code: custody.Conflict, Message: name + " is there already: key files are never overwritten"}
		}
	}
	return nil
}

// ReadPublic reads the public part of a key of the given kind into to, a pointer to a
// [DevicePublic], [NodePublic] or [ControlPublic].
func ReadPublic(file string, kind Kind, to any) error {
	raw, err := ReadFile(file, MaxSize)
	if err != nil {
		return err
	}
	return parsePublic(file, raw, kind, to)
}

func parsePublic(file string, raw []byte, kind Kind, to any) error {
	if bytes.HasPrefix(raw, []byte(armor.Header)) {
		return invalidf("%s is a key file, which goes to nobody: give %s.pub", file, file)
	}
	var peek struct {
		Kind Kind `json:"kind"`
	}
	if err := json.Unmarshal(raw, &peek); err != nil || peek.Kind != kind {
		return invalidf("%s: not the public part of a %s key", file, kind)
	}
	if err := custody.Decode(bytes.TrimSuffix(raw, []byte{'\n'}), to, MaxSize); err != nil {
		return invalid(file, err)
	}
	return nil
}

func invalidf(format string, args ...any) error {
	return &custody.Error{Code: custody.Invalid, Message: fmt.Sprintf(format, args...)}
}

// invalid says which file an error is about.
func invalid(file string, err error) error {
	return &custody.Error{Code: custody.Invalid, Message: file, Err: err}
}
