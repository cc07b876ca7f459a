package keyfile_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
	"github.com/cofferhq/coffer/tss"
)

const passphrase = "correct horse battery"

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks the code of an error, and what it says.
func refused(t *testing.T, err error, code custody.Code, words string) {
	t.Helper()
	if err == nil || custody.CodeOf(err) != code || !strings.Contains(err.Error(), words) {
		t.Errorf("%v: not %s, or doesn't say %q", err, code, words)
	}
}

// write makes a key file and returns its name.
func write(t *testing.T, key *keyfile.Fresh, err error) string {
	t.Helper()
	check(t, err)
	file := filepath.Join(t.TempDir(), "a.key")
	check(t, keyfile.Write(file, passphrase, key, keyfile.MinWorkFactor))
	return file
}

func node() custody.SignerNode {
	return custody.SignerNode{ID: "node-a", Institution: "alpha", Jurisdiction: "CH", Sealing: custody.SealedByFile}
}

func TestDevice(t *testing.T) {
	t.Parallel()
	h := custody.Hash{1, 2, 3}
	for algorithm, verify := range map[custody.Algorithm]func(key any, signature []byte) bool{
		custody.EdDSA: func(key any, s []byte) bool { return ed25519.Verify(key.(ed25519.PublicKey), h[:], s) },
		custody.ES256: func(key any, s []byte) bool { return ecdsa.VerifyASN1(key.(*ecdsa.PublicKey), h[:], s) },
	} {
		fresh, err := keyfile.NewDevice(algorithm, 1_800_000_000_000)
		file := write(t, fresh, err)
		d, err := keyfile.OpenDevice(file, passphrase)
		check(t, err)
		if diff := cmp.Diff(fresh.Public, any(d.Public)); diff != "" {
			t.Error(diff)
		}
		var public keyfile.DevicePublic
		check(t, keyfile.ReadPublic(file+".pub", keyfile.DeviceKind, &public))
		if diff := cmp.Diff(d.Public, public); diff != "" {
			t.Error(diff)
		}
		if public.Kind != keyfile.DeviceKind || public.Algorithm != algorithm || public.ID.Time() != 1_800_000_000_000 {
			t.Errorf("%+v", public)
		}
		key, err := x509.ParsePKIXPublicKey(public.PublicKey)
		check(t, err)
		signature, err := d.Sign(h)
		check(t, err)
		if !verify(key, signature) {
			t.Errorf("%s: the signature doesn't verify", algorithm)
		}
	}
	_, err := keyfile.NewDevice(custody.RS256, 0)
	refused(t, err, custody.Invalid, "EdDSA or ES256")
}

func TestNode(t *testing.T) {
	t.Parallel()
	fresh, err := keyfile.NewNode(node())
	file := write(t, fresh, err)
	n, err := keyfile.OpenNode(file, passphrase)
	check(t, err)
	var public keyfile.NodePublic
	check(t, keyfile.ReadPublic(file+".pub", keyfile.NodeKind, &public))
	if diff := cmp.Diff(n.Public, public); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(fresh.Public, any(public)); diff != "" {
		t.Error(diff)
	}
	want := node()
	want.IdentityKey, want.WitnessKey = n.Identity.Public().Bytes(), n.Witness.Public().Bytes()
	if diff := cmp.Diff(want, public.SignerNode); diff != "" {
		t.Error(diff)
	}
	if n.Identity.Public().Equal(n.Witness.Public()) {
		t.Error("identity and witness are one key")
	}
	if n.TSS.Public() != tss.IdentityKey(n.Identity.Public().Ed25519()) {
		t.Error("the identity in sessions isn't the Ed25519 half of the node's")
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	fresh, err := keyfile.NewControl()
	file := write(t, fresh, err)
	c, err := keyfile.OpenControl(file, passphrase)
	check(t, err)
	var public keyfile.ControlPublic
	check(t, keyfile.ReadPublic(file+".pub", keyfile.ControlKind, &public))
	if diff := cmp.Diff(c.Public, public); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(c.Log.Public().Bytes(), public.LogKey) || !bytes.Equal(c.Coordinator.Public().Bytes(), public.CoordinatorKey) {
		t.Error("other keys")
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	fresh, err := keyfile.NewNode(node())
	file := write(t, fresh, err)
	_, err = keyfile.OpenDevice(file, passphrase)
	refused(t, err, custody.Invalid, file+": not a device key")
	_, err = keyfile.OpenControl(file, passphrase)
	refused(t, err, custody.Invalid, "not a control key")
	_, err = keyfile.OpenNode(file, "correct horse buttery")
	refused(t, err, custody.Invalid, file+": the passphrase is wrong")
	_, err = keyfile.OpenNode(file, "")
	refused(t, err, custody.Invalid, "passphrase")
	_, err = keyfile.OpenNode(file+".pub", passphrase)
	refused(t, err, custody.Invalid, "not a key file")
	_, err = keyfile.OpenNode(file+".absent", passphrase)
	refused(t, err, custody.Invalid, "no such file")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v: the cause is lost", err)
	}
	large := filepath.Join(t.TempDir(), "large")
	check(t, os.WriteFile(large, make([]byte, keyfile.MaxSize+1), 0o600))
	_, err = keyfile.OpenNode(large, passphrase)
	refused(t, err, custody.Invalid, "more than 65536 bytes")
	_, err = keyfile.OpenNode(filepath.Dir(large), passphrase)
	refused(t, err, custody.Invalid, "is a directory")

	// Any change of the sealed file shows.
	sealed, err := os.ReadFile(file)
	check(t, err)
	for i := 0; i < len(sealed); i += 211 {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		check(t, os.WriteFile(large, bad, 0o600))
		_, err = keyfile.OpenNode(large, passphrase)
		refused(t, err, custody.Invalid, large+": ")
	}
	for _, n := range []int{0, 1, len(sealed) / 2, len(sealed) - 10} {
		check(t, os.WriteFile(large, sealed[:n], 0o600))
		_, err = keyfile.OpenNode(large, passphrase)
		refused(t, err, custody.Invalid, large+": ")
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	key, err := keyfile.NewControl()
	check(t, err)
	dir := t.TempDir()
	file := filepath.Join(dir, "c.key")
	refused(t, keyfile.Write(file, "elf letters", key, keyfile.MinWorkFactor), custody.Invalid, "at least 12 characters, this one has 11")
	for _, factor := range []int{-1, 0, keyfile.MinWorkFactor - 1, keyfile.MaxWorkFactor + 1} {
		refused(t, keyfile.Write(file, passphrase, key, factor), custody.Invalid, "a work factor is 10 to 22")
	}
	refused(t, keyfile.Write(filepath.Join(dir, "absent", "c.key"), passphrase, key, keyfile.MinWorkFactor), custody.Invalid, "no such file")
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v, %v: something was written", left, err)
	}

	check(t, keyfile.Write(file, passphrase, key, keyfile.MinWorkFactor))
	before, err := os.ReadFile(file)
	check(t, err)
	refused(t, keyfile.Write(file, passphrase, key, keyfile.MinWorkFactor), custody.Conflict, file+" is there already")
	refused(t, keyfile.Create(file, 0o600, nil), custody.Conflict, file+" is there already")
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("%v: the file changed", err)
	}
	check(t, os.Remove(file))
	refused(t, keyfile.Write(file, passphrase, key, keyfile.MinWorkFactor), custody.Conflict, file+".pub is there already")
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v: a key without its public part", err)
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	key, err := keyfile.NewDevice(custody.EdDSA, 0)
	file := write(t, key, err)
	for name, want := range map[string]os.FileMode{file: 0o600, file + ".pub": 0o644} {
		info, err := os.Stat(name)
		check(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: mode %o, want %o", name, got, want)
		}
	}
}

func TestReadPublicRefuses(t *testing.T) {
	t.Parallel()
	key, err := keyfile.NewDevice(custody.EdDSA, 0)
	file := write(t, key, err)
	var device keyfile.DevicePublic
	var control keyfile.ControlPublic
	refused(t, keyfile.ReadPublic(file, keyfile.DeviceKind, &device), custody.Invalid, "goes to nobody: give "+file+".pub")
	refused(t, keyfile.ReadPublic(file+".pub", keyfile.ControlKind, &control), custody.Invalid, "not the public part of a control key")
	good, err := os.ReadFile(file + ".pub")
	check(t, err)
	for _, bad := range []string{
		"", "{}", "null", `{"kind":"device"}`, string(good) + "\n", " " + string(good),
		strings.Replace(string(good), `"kind"`, `"more":1,"kind"`, 1),
	} {
		check(t, os.WriteFile(file+".pub", []byte(bad), 0o600))
		refused(t, keyfile.ReadPublic(file+".pub", keyfile.DeviceKind, &device), custody.Invalid, file+".pub: ")
	}
}

func TestReadPassphrase(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pass")
	for content, want := range map[string]string{
		"correct horse battery":           passphrase,
		"correct horse battery\n":         passphrase,
		"correct horse battery\r\nmore\n": passphrase,
		" spaces stay \n":                 " spaces stay ",
	} {
		check(t, os.WriteFile(file, []byte(content), 0o600))
		if got, err := keyfile.ReadPassphrase(file); err != nil || got != want {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
	for mode, allowed := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o700: true, 0o640: false, 0o604: false, 0o620: false, 0o601: false, 0o644: false, 0o440: false,
	} {
		check(t, os.Chmod(file, mode))
		_, err := keyfile.ReadPassphrase(file)
		if allowed {
			check(t, err)
			continue
		}
		refused(t, err, custody.Invalid, fmt.Sprintf("%s: mode %#o", file, mode))
	}
	check(t, os.Chmod(file, 0o600))
	for _, content := range []string{"", "\n", "\r\n", "\ncorrect horse battery\n"} {
		check(t, os.WriteFile(file, []byte(content), 0o600))
		_, err := keyfile.ReadPassphrase(file)
		refused(t, err, custody.Invalid, file+": its first line is empty")
	}
	_, err := keyfile.ReadPassphrase(file + ".absent")
	refused(t, err, custody.Invalid, "no such file")
}

// Nothing that prints keys prints their secrets.
func TestKeysRedactThemselves(t *testing.T) {
	t.Parallel()
	fresh, err := keyfile.NewNode(node())
	file := write(t, fresh, err)
	n, err := keyfile.OpenNode(file, passphrase)
	check(t, err)
	// The seed of the Ed25519 half stands behind TSS, whose String is its public key.
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		out := fmt.Sprintf(verb, []any{fresh, *fresh, n, *n})
		if strings.Contains(out, "Seed") || !strings.Contains(out, "redacted") {
			t.Errorf("%s: %.2000s", verb, out)
		}
	}
}
