package keystore

import (
	"bytes"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/cofferhq/coffer/internal/custody"
)

// FuzzRecord feeds what stands in the file for a share: nothing opens but what was
// sealed, for its key and ceremony.
func FuzzRecord(f *testing.F) {
	aead, err := chacha20poly1305.NewX(make([]byte, chacha20poly1305.KeySize))
	if err != nil {
		f.Fatal(err)
	}
	s := &Store{cfg: Config{Charter: custody.Hash{1}, Random: bytes.NewReader(make([]byte, 1000))}, aead: aead}
	key := bytes.Repeat([]byte{2}, 32)
	good, err := s.seal(custody.ID[custody.Intent]{3}, key, []byte("share"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key, good)
	f.Add(key, good[:recordHeader])
	f.Add(key[1:], good)
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, k, record []byte) {
		plain, err := s.unseal(k, record)
		same := bytes.Equal(k, key) && bytes.Equal(record, good)
		if (err == nil) != same || same && string(plain) != "share" {
			t.Errorf("%q, %v", plain, err)
		}
	})
}
