package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/keystore"
	"github.com/cofferhq/coffer/internal/signer"
)

// TestWhole: a journal without the keystore beside it would let the node begin anew
// without its shares, and is refused.
func TestWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := whole(filepath.Join(dir, "not there yet")); err != nil {
		t.Error(err)
	}
	touch := func(name string) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	touch(signer.JournalName)
	if err := whole(dir); err == nil || !strings.Contains(err.Error(), "keystore.db is missing beside journal.jsonl") {
		t.Errorf("a journal alone: %v", err)
	}
	touch(keystore.FileName)
	if err := whole(dir); err != nil {
		t.Error(err)
	}
}
