package keystore

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
	"github.com/cofferhq/coffer/tss/hash"
)

// After a write that failed nothing more is written until the store is opened again;
// what is there can be read.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const passphrase = "correct horse battery"
	cfg := Config{Charter: custody.Hash{1}, Node: "node-a", WorkFactor: keyfile.MinWorkFactor, Now: time.Now}
	dir := t.TempDir()
	s, err := Open(dir, passphrase, cfg)
	check(err)
	_, err = s.Log().NextCounter()
	check(err)
	check(s.SetQuorumHead([]byte("head"), 1))
	before, err := os.ReadFile(filepath.Join(dir, FileName))
	check(err)

	// Where every write says ENOSPC.
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	check(err)
	check(syscall.Dup3(int(full.Fd()), int(s.file.Fd()), 0))
	check(full.Close())
	if n, err := s.Log().NextCounter(); err == nil || n != 0 || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("%d, %v", n, err)
	}
	if fresh, err := s.Log().Remember(hash.Digest{1}, 1); err == nil || fresh || !strings.Contains(err.Error(), "open the store again") {
		t.Errorf("fresh %v, %v", fresh, err)
	}
	if note, err := s.QuorumHead(); err != nil || string(note) != "head" {
		t.Errorf("%s, %v", note, err)
	}
	check(s.Close())
	check(s.Close())
	if after, err := os.ReadFile(filepath.Join(dir, FileName)); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file changed: %v", err)
	}
	s, err = Open(dir, passphrase, cfg)
	check(err)
	if n, err := s.Log().NextCounter(); err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
	check(s.Close())
}
