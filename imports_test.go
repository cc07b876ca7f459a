package coffer_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/cofferhq/coffer"

// A row says what one package, or every package under a path ending in "/...",
// may import of ours. Paths are relative to the module. The first row that
// matches counts; a package without a row fails the test.
type row struct {
	pkg  string
	ours []string
	why  string
}

var rows = []row{
	{"", nil, "the root holds tests alone"},

	{"tss/hash", nil, "tagged hashing is the ground: everything stands on it"},
	{"tss/group", []string{"tss/hash"}, "arithmetic knows encodings and hash-to-scalar, no protocol"},
	{"tss/vss", []string{"tss/group", "tss/hash"}, "polynomials need arithmetic alone"},
	{"tss/zk", []string{"tss/vss", "tss/group", "tss/hash"}, "proofs speak of points and commitments, of no session"},
	{"tss/derive", []string{"tss/group", "tss/hash"}, "derivation is a pure function of public values; a wallet may use it alone"},
	{"tss", []string{"tss/group", "tss/hash", "tss/vss"}, "the engine does rounds, echo and blame for any protocol, so it knows none"},
	{"tss/dkg", protocolParts, "a protocol is built of parts; key generation doesn't know who signs"},
	{"tss/frost", protocolParts, "a protocol is built of parts; signing doesn't know how the key was made"},
	{"tss/tsstest", []string{"tss/..."}, "tests exercise everything"},

	{"internal/custody", nil, "the nouns and their formats are the ground of the product: they know nothing else of it"},
	{"internal/hybrid", nil, "one signature of two keys; knows no noun"},
	{"internal/policy", []string{"internal/custody"}, "a Decision is a pure function of policy, facts and evidence"},
	{"internal/policy/compile", []string{"internal/policy", "internal/custody"}, "what people write is made into what nodes parse, outside the nodes"},
	{"internal/authz", []string{"internal/custody", "internal/hybrid"}, "who signed is checked without knowing what it counts for"},
	{"internal/journal", []string{"internal/hybrid"}, "the log holds bytes; what they mean is decided above it"},
	{"internal/state", []string{"internal/custody", "internal/hybrid", "internal/policy", "internal/authz", "internal/journal", "tss/..."}, "Apply joins the pure parts, and nothing that does I/O"},

	{"internal/state/statetest", []string{"internal/..."}, "tests make journals of everything"},

	{"cmd/...", []string{"tss/...", "internal/..."}, "programs are thin and at the top"},
	{"examples/...", []string{"tss/...", "examples/tlschannel"}, "examples show what a user of the library can do, no more"},
}

var protocolParts = []string{"tss", "tss/group", "tss/hash", "tss/vss", "tss/zk", "tss/derive"}

// A ban keeps imports out of every package that from matches and except
// doesn't. A banned path is matched with the packages under it.
type ban struct {
	from   string
	except []string
	deny   []string
	why    string
}

var bans = []ban{
	{"tss/...", nil, []string{"log"}, "the library returns errors and faults; its caller logs"},
	{"tss/...", tsstest, []string{"time"}, "the library has no clock; deadlines come as a context"},
	{"tss/...", nil, []string{"os"}, "the library has no environment and no files"},
	{"tss/...", nil, []string{"net"}, "the library is given a channel"},
	{"tss/...", tsstest, []string{"math/rand"}, "randomness comes from the caller's io.Reader"},
	{"tss/...", nil, []string{"math/big"}, "math/big is not constant-time"},
	{"tss/...", nil, []string{module + "/internal"}, "the library is importable alone"},
	{"api/...", nil, []string{module + "/internal"}, "clients import api"},
	{"internal/custody", nil, pure, "formats are pure: time and bytes come in"},
	{"internal/policy", nil, append(pure, "cel.dev/cel-go", "github.com/goccy/go-yaml"), "nodes evaluate the compiled tree; they link neither the parser of conditions nor YAML"},
	{"internal/authz", nil, pure, "verification is pure"},
	{"internal/journal", nil, pure, "the log is pure; stores give it bytes"},
	{"internal/state", nil, append(pure, module+"/internal/policy/compile"), "Apply is a pure function of the journal"},
	{"...", nil, []string{module + "/tss/tsstest"}, "adversaries and fixed randomness stay in tests"},
	{"...", nil, []string{module + "/internal/state/statetest"}, "journals with known keys stay in tests"},
	{"...", append(tsstest, "internal/state/statetest"), []string{"testing"}, "package testing changes the flags and the speed of a program"},
}

var tsstest = []string{"tss/tsstest"}

// pure is what a package without I/O can't import.
var pure = []string{"os", "net", "log", "database/sql", "math/rand"}

// The only code that is not ours in the library. Each adds to what an auditor
// has to read.
var thirdParty = []string{
	"filippo.io/edwards25519/...",
	"gitlab.com/yawning/secp256k1-voi/...",
}

// TestImports holds the direct imports of all non-test files against the tables.
func TestImports(t *testing.T) {
	for _, p := range list(t, "./...") {
		name := relative(p.ImportPath)
		i := slices.IndexFunc(rows, func(r row) bool { return matches(r.pkg, name) })
		if i < 0 {
			t.Errorf("%s: no row in the table of imports: give it a row", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			switch {
			case imp == module || strings.HasPrefix(imp, module+"/"):
				if !matchesAny(rows[i].ours, relative(imp)) {
					t.Errorf("%s imports %s, its row allows %q: %s", p.ImportPath, imp, rows[i].ours, rows[i].why)
				}
			case matches("tss/...", name) && !standard(imp) && !matchesAny(thirdParty, imp):
				t.Errorf("%s imports %s: the library's only foreign code is %q", p.ImportPath, imp, thirdParty)
			}
			for _, b := range bans {
				if matches(b.from, name) && !matchesAny(b.except, name) &&
					slices.ContainsFunc(b.deny, func(d string) bool { return matches(d+"/...", imp) }) {
					t.Errorf("%s imports %s: %s", p.ImportPath, imp, b.why)
				}
			}
		}
	}
}

// TestNoPaillier shows that the library has no Paillier encryption anywhere
// below it, and does no arithmetic of its own on math/big. The standard library
// uses math/big in places; that is outside our control.
func TestNoPaillier(t *testing.T) {
	pkgs := list(t, "-deps", "./tss/...")
	if len(pkgs) == 0 {
		t.Fatal("go list found nothing")
	}
	for _, p := range pkgs {
		if strings.Contains(strings.ToLower(p.ImportPath), "paillier") {
			t.Errorf("%s is a dependency of ./tss/...", p.ImportPath)
		}
		if strings.HasPrefix(p.ImportPath, module+"/") && slices.Contains(p.Imports, "math/big") {
			t.Errorf("%s imports math/big", p.ImportPath)
		}
	}
}

type listed struct {
	ImportPath string
	Imports    []string // of non-test files
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	// The test cache looks at what a test reads, not at what `go list` reads.
	// Without this walk a new import would meet an old result.
	err := filepath.WalkDir(".", func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == ".git" {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports"}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var pkgs []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return pkgs
		case err != nil:
			t.Fatalf("go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}

func relative(importPath string) string {
	return strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
}

// standard reports whether an import path is the standard library's: its first
// element has no dot.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// matches reports whether a pattern covers a path. "a/..." covers a and all
// below it, "..." everything, anything else itself.
func matches(pattern, p string) bool {
	dir, below := path.Split(pattern)
	if below != "..." {
		return pattern == p
	}
	return dir == "" || strings.HasPrefix(p+"/", dir)
}

func matchesAny(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, p) })
}
