package keyfile

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io"
	"strings"
	"testing"

	"filippo.io/age/armor"

	"github.com/cofferhq/coffer/internal/custody"
)

func contents(tb testing.TB) map[Kind][]byte {
	tb.Helper()
	device, err1 := NewDevice(custody.EdDSA, 0)
	node, err2 := NewNode(custody.SignerNode{ID: "node-a", Institution: "alpha", Jurisdiction: "CH", Sealing: custody.SealedByFile})
	control, err3 := NewControl()
	out := make(map[Kind][]byte)
	for kind, k := range map[Kind]*Fresh{DeviceKind: device, NodeKind: node, ControlKind: control} {
		if err1 != nil || err2 != nil || err3 != nil {
			tb.Fatal(err1, err2, err3)
		}
		raw, err := custody.Encode(k.content())
		if err != nil {
			tb.Fatal(err)
		}
		out[kind] = raw
	}
	return out
}

// A key file whose parts don't belong together is refused, whoever could seal it, and
// the error doesn't quote it.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	device, node, control := new(sealedDevice), new(sealedNode), new(sealedControl)
	encode := func(v any) []byte {
		raw, err := custody.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	other := bytes.Repeat([]byte{7}, 64)
	for _, c := range []struct {
		name string
		raw  func() []byte
		want string
	}{
		{"no JSON", func() []byte { return []byte("secret") }, "not a key of Coffer"},
		{"no kind", func() []byte { return []byte("{}") }, "not a key of Coffer"},
		{"another kind", func() []byte { device.Public.Kind = "person"; return encode(device) }, "not a key of Coffer"},
		{"no PKCS #8", func() []byte { device.PrivateKey = other; return encode(device) }, "PKCS #8"},
		{"RSA", func() []byte { device.PrivateKey = pkcs8; return encode(device) }, "neither Ed25519 nor P-256"},
		{"another public key", func() []byte { device.Public.PublicKey[20] ^= 1; return encode(device) }, "its public part is another key's"},
		{"another algorithm", func() []byte { device.Public.Algorithm = custody.ES256; return encode(device) }, "its public part is another key's"},
		{"another identity", func() []byte { node.IdentitySeed = other; return encode(node) }, "identityKey: its public part"},
		{"another witness", func() []byte { node.WitnessSeed = other; return encode(node) }, "witnessKey: its public part"},
		{"a short seed", func() []byte { node.WitnessSeed = other[:63]; return encode(node) }, "witnessKey: "},
		{"no seed", func() []byte { node.IdentitySeed = nil; return encode(node) }, "identity"},
		{"another log key", func() []byte { control.LogSeed = other; return encode(control) }, "logKey: its public part"},
		{"another coordinator", func() []byte { control.CoordinatorSeed = other; return encode(control) }, "coordinatorKey: its public part"},
	} {
		raw := contents(t)
		for kind, to := range map[Kind]any{DeviceKind: device, NodeKind: node, ControlKind: control} {
			if err := custody.Decode(raw[kind], to, MaxSize); err != nil {
				t.Fatal(err)
			}
		}
		key, err := parse(c.raw())
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, %v", c.name, key, err)
		}
	}
	for kind, raw := range contents(t) {
		if _, err := parse(raw); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := parse(append(raw, ' ')); err == nil {
			t.Errorf("%s: not canonical", kind)
		}
	}
}

func TestSecretRedactsItself(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		if got := fmt.Sprintf(verb, secret("abc")); got != "redacted" {
			t.Errorf("%s: %s", verb, got)
		}
	}
}

// FuzzParse feeds the content of key files: what is taken has the public part that it
// was read with.
func FuzzParse(f *testing.F) {
	f.Add(contents(f)[DeviceKind])
	// Whole ones have kilobytes, which take the fuzzer minutes to make smaller.
	f.Add([]byte(`{"identitySeed":"AA==","public":{"kind":"node"},"witnessSeed":""}`))
	f.Add([]byte(`{"coordinatorSeed":"AA==","logSeed":"","public":{"kind":"control"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		key, err := parse(raw)
		if err != nil {
			return
		}
		var public any
		switch k := key.(type) {
		case *Device:
			public = k.Public
			if _, err := k.Sign(custody.Hash{}); err != nil {
				t.Error(err)
			}
		case *Node:
			public = k.Public
		case *Control:
			public = k.Public
		}
		if encoded, err := custody.Encode(public); err != nil || !bytes.Contains(raw, encoded) {
			t.Errorf("%s isn't the public part, %v", encoded, err)
		}
	})
}

// FuzzPublic feeds .pub files: what is taken is what is written.
func FuzzPublic(f *testing.F) {
	for _, k := range []Kind{DeviceKind, NodeKind, ControlKind} {
		f.Add([]byte(`{"kind":"` + k + `"}`))
	}
	device, err := NewDevice(custody.ES256, 0)
	if err != nil {
		f.Fatal(err)
	}
	raw, err := custody.Encode(device.Public)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(raw, '\n'))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var device DevicePublic
		var node NodePublic
		var control ControlPublic
		for kind, to := range map[Kind]any{DeviceKind: &device, NodeKind: &node, ControlKind: &control} {
			if parsePublic("a.pub", raw, kind, to) != nil {
				continue
			}
			if again, err := custody.Encode(to); err != nil || !bytes.Equal(again, bytes.TrimSuffix(raw, []byte{'\n'})) {
				t.Errorf("%s: read %q, %v", kind, again, err)
			}
		}
	})
}

// FuzzUnseal feeds sealed files, which nobody has vouched for before they are opened.
func FuzzUnseal(f *testing.F) {
	const passphrase = "correct horse battery"
	sealed, err := Seal([]byte("plain"), passphrase, MinWorkFactor)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte("-----BEGIN AGE ENCRYPTED FILE-----\n-----END AGE ENCRYPTED FILE-----\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		inside, _ := io.ReadAll(armor.NewReader(bytes.NewReader(raw)))
		if bytes.Contains(inside, []byte("scrypt")) && !bytes.Equal(raw, sealed) {
			return // it may ask for the work of 4 GiB
		}
		if plain, err := Unseal(raw, passphrase); err == nil && string(plain) != "plain" {
			t.Errorf("opened as %q", plain)
		}
	})
}
