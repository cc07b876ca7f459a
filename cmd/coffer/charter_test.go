package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
)

// copySample puts the sample bundle and what belongs to it where a script runs.
func copySample(to string) error {
	const from = "../../internal/state/testdata"
	for _, name := range []string{"sample.bundle.json", "sample.trust"} {
		raw, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), raw, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// makeKeys makes the setup of testdata/charter with all its keys where a script runs;
// the passphrase of each is in the file pass.
func makeKeys(ts *testscript.TestScript, _ bool, _ []string) {
	for _, name := range []string{"setup.yaml", "policy.yaml"} {
		raw, err := os.ReadFile(filepath.Join("testdata/charter", name))
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name), raw, 0o600))
	}
	ts.Check(os.WriteFile(ts.MkAbs("pass"), []byte("correct horse battery\n"), 0o600))
	for _, args := range [][]string{
		{"device", "new", "ida.key"},
		{"device", "new", "tom.key"},
		{"device", "new", "una.key", "--algorithm", "p256"},
		{"device", "new", "payments.key"},
		{"device", "new", "safe-1.key"},
		{"device", "new", "safe-2.key"},
		{"device", "new", "safe-3.key"},
		{"node", "new", "node-a.key", "--id", "node-a", "--institution", "alpha", "--jurisdiction", "CH"},
		{"node", "new", "node-b.key", "--id", "node-b", "--institution", "alpha", "--jurisdiction", "SG"},
		{"node", "new", "node-c.key", "--id", "node-c", "--institution", "alpha", "--jurisdiction", "DE"},
		{"node", "new", "auditor.key", "--id", "auditor", "--institution", "auditor", "--jurisdiction", "LU"},
		{"control", "new", "control.key"},
	} {
		ts.Check(ts.Exec("coffer", append(args, "--passphrase-file", "pass")...))
	}
}

// shows checks that words of one output are in another.
func shows(ts *testscript.TestScript, _ bool, args []string) {
	m := regexp.MustCompile(`(?m)^` + args[0] + ` +(.*)$`).FindStringSubmatch(ts.ReadFile(args[1]))
	if m == nil || !strings.Contains(ts.ReadFile(args[2]), m[1]+"\n") {
		ts.Fatalf("%s doesn't have the %s of %s: %v", args[2], args[0], args[1], m)
	}
}

// unverified checks that a bundle fails a check, in both forms of output.
func unverified(ts *testscript.TestScript, _ bool, args []string) {
	check, bundle, trust := args[0], args[1], "sample.trust"
	if len(args) > 2 {
		trust = args[2]
	}
	for _, form := range []struct {
		args []string
		want string
	}{
		{nil, "^FAILED: " + check + ": .+\n$"},
		{[]string{"--json"}, `^{"verified":false,"failed":{"check":"` + check + `","error":".+"}}\n$`},
	} {
		err := ts.Exec("coffer", append([]string{"verify", bundle, "--trust", trust}, form.args...)...)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitFailure {
			ts.Fatalf("exit: %v, want status 1", err)
		}
		if out := ts.ReadFile("stdout"); !regexp.MustCompile(form.want).MatchString(out) {
			ts.Fatalf("stdout: %q, want a match of %s", out, form.want)
		}
		if line := ts.ReadFile("stderr"); !strings.HasPrefix(line, "coffer: "+bundle+": not verified: "+check+": ") || strings.Count(line, "\n") != 1 {
			ts.Fatalf("stderr: %q", line)
		}
	}
}

func replaced(ts *testscript.TestScript, _ bool, args []string) {
	before := ts.ReadFile(args[0])
	after := bytes.Replace([]byte(before), []byte(args[1]), []byte(args[2]), 1)
	if string(after) == before {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), after, 0o600))
}

func substituted(ts *testscript.TestScript, _ bool, args []string) {
	before := ts.ReadFile(args[0])
	after := regexp.MustCompile(args[1]).ReplaceAllString(before, args[2])
	if after == before {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), []byte(after), 0o600))
}

func flipped(ts *testscript.TestScript, _ bool, args []string) {
	raw := []byte(ts.ReadFile(args[0]))
	at := bytes.Index(raw, []byte(args[1]))
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	if at < 0 {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	raw[at+n] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), raw, 0o600))
}

func TestWords(t *testing.T) {
	t.Parallel()
	var h custody.Hash
	if got := words(h); got != "abandon abandon abandon abandon abandon abandon abandon abandon" {
		t.Error(got)
	}
	// One bit of each word, from the first to the last, and nothing beyond the 88th.
	for i := range digestWords {
		bit := i*11 + 10
		h[bit/8] |= 1 << (7 - bit%8)
	}
	h[11], h[31] = 0xff, 0xff
	if got := words(h); got != "ability ability ability ability ability ability ability ability" {
		t.Error(got)
	}
	for i := range h {
		h[i] = 0xff
	}
	if got := words(h); got != "zoo zoo zoo zoo zoo zoo zoo zoo" {
		t.Error(got)
	}
}

// TestKeyFileAtFullCost makes and opens a key file as users do: scripts use a lower
// work factor.
func TestKeyFileAtFullCost(t *testing.T) {
	if testing.Short() {
		t.Skip("scrypt takes a second and 256 MiB")
	}
	defer func(before int) { workFactor = before }(workFactor)
	workFactor = keyfile.DefaultWorkFactor
	dir := t.TempDir()
	pass, key := filepath.Join(dir, "pass"), filepath.Join(dir, "ida.key")
	if err := os.WriteFile(pass, []byte("correct horse battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if status := Main([]string{"device", "new", key, "--passphrase-file", pass}, nil, &out, &errs); status != exitOK {
		t.Fatalf("status %d: %s", status, &errs)
	}
	sealed, err := os.ReadFile(key)
	if err != nil || !bytes.HasPrefix(sealed, []byte("-----BEGIN AGE ENCRYPTED FILE-----\n")) {
		t.Errorf("%.60q, %v", sealed, err)
	}
	if _, err := keyfile.Open(key, "correct horse battery"); err != nil {
		t.Error(err)
	}
}
