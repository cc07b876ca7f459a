package regtest_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/network/regtest"
)

const payee custody.Address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"

func root(t *testing.T) string {
	t.Helper()
	mod, err := exec.CommandContext(t.Context(), "go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(strings.TrimSpace(string(mod)))
}

// TestFaucet spends the two coins that a new network has, their change, and then
// nothing that is too young.
func TestFaucet(t *testing.T) {
	t.Parallel()
	binary, err := regtest.Binary(t.Context(), root(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	node, err := regtest.Start(ctx, t.TempDir(), binary)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second out of change, too, that isn't mined yet
		if _, err := node.Pay(ctx, payee, 40_00000000); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := node.Pay(ctx, payee, 40_00000000); custody.CodeOf(err) != custody.Exhausted {
		t.Errorf("120 of 100: %v", err)
	}
	if ids, err := node.Mempool(ctx); len(ids) != 2 || err != nil {
		t.Errorf("%d transactions wait: %v", len(ids), err)
	}
	if _, err := node.Mine(ctx, 2); err != nil { // which gives two mature coins
		t.Fatal(err)
	}
	if _, err := node.Pay(ctx, payee, 90_00000000); err != nil {
		t.Error(err)
	}
	if _, err := node.Pay(ctx, "nonsense", 1000); custody.CodeOf(err) != custody.Invalid {
		t.Errorf("paid to nonsense: %v", err)
	}
	if err := node.Close(); err != nil {
		t.Error(err)
	}
	if err := node.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if err := node.Client.Check(ctx); custody.CodeOf(err) != custody.Unavailable {
		t.Errorf("closed, and it answers: %v", err)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	if _, err := regtest.Start(t.Context(), t.TempDir(), filepath.Join(t.TempDir(), "btcd")); err == nil {
		t.Error("runs a program that isn't there")
	}
	_, err := regtest.Start(t.Context(), t.TempDir(), "/bin/echo")
	if err == nil || !strings.Contains(err.Error(), "btcd ended at once; btcd printed: --regtest") {
		t.Errorf("runs something else: %v", err)
	}
	if _, err := regtest.Binary(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "build btcd") {
		t.Errorf("built from nothing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := regtest.Start(ctx, t.TempDir(), "/bin/cat"); err == nil {
		t.Error("starts when it is too late")
	}
}
