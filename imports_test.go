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
	{"internal/chain", []string{"internal/custody", "tss/derive", "tss/hash"}, "what all networks share: how a transaction is read and checked"},
	{"internal/chain/bitcoin", []string{"internal/chain", "internal/custody", "tss", "tss/derive", "tss/frost", "tss/group", "tss/hash"}, "one family of networks: addresses by derivation, transactions by bytes"},
	{"internal/chain/chains", []string{"internal/chain", "internal/chain/...", "internal/custody"}, "the one place that knows all families"},
	{"internal/state", []string{"internal/custody", "internal/hybrid", "internal/policy", "internal/authz", "internal/journal", "internal/chain", "internal/chain/chains", "tss/..."}, "Apply joins the pure parts, and nothing that does I/O"},

	{"internal/state/statetest", []string{"internal/...", "tss", "tss/frost"}, "tests make journals of everything"},

	{"internal/wire", []string{"internal/custody"}, "what control plane and nodes say to each other is a form, no decision"},
	{"internal/bus", []string{"internal/custody", "internal/hybrid", "tss"}, "envelopes know who speaks, not of what"},
	{"internal/bus/broker", nil, "the embedded broker; nodes don't link it"},
	{"internal/keyfile", []string{"internal/custody", "internal/hybrid", "tss"}, "keys at rest, for every program"},
	{"internal/keystore", []string{"internal/custody", "internal/journal", "internal/keyfile", "tss/..."}, "what a node alone remembers"},
	{"internal/config", []string{"internal/custody", "internal/state"}, "configuration files, and the pinned charter that they name"},
	{"internal/store", []string{"internal/custody", "internal/journal", "internal/state"}, "all SQL; the journal with what is projected from it"},
	{"internal/network", []string{"internal/chain/bitcoin", "internal/custody"}, "the I/O half of a chain; nodes don't link it"},
	{"internal/network/regtest", []string{"internal/chain/bitcoin", "internal/custody", "internal/network"}, "a network of one's own, for demonstrations and tests"},
	{"internal/network/btcdtest", []string{"internal/custody", "internal/network", "internal/network/regtest"}, "the same for tests"},

	{"internal/signer", []string{"internal/wire", "internal/bus", "internal/keyfile", "internal/keystore", "internal/config", "internal/chain", "internal/chain/chains", "internal/custody", "internal/hybrid", "internal/journal", "internal/state", "tss/..."}, "the node decides by pure code and its own disk; of the control plane it knows messages alone"},
	{"internal/ceremony", []string{"internal/wire", "internal/bus", "internal/store", "internal/custody", "internal/hybrid", "internal/journal", "internal/state", "internal/chain"}, "the control plane's side of what it does with nodes"},
	{"internal/lifecycle", []string{"internal/ceremony", "internal/store", "internal/network", "internal/chain", "internal/chain/...", "internal/custody", "internal/journal", "internal/policy", "internal/state"}, "moves intents on, and asks others to act"},
	{"internal/server", []string{"api", "internal/store", "internal/custody", "internal/journal", "internal/policy", "internal/state", "tss/derive"}, "shows what is on record and takes what people send"},
	{"internal/app", []string{"internal/..."}, "the one page that joins everything"},

	{"api", nil, "the API's types, for any client"},
	{"api/client", []string{"api", "internal/custody", "internal/state", "internal/chain", "internal/chain/chains", "tss/derive"}, "a client that verifies runs the nodes' own code"},

	{"cmd/...", []string{"tss/...", "internal/...", "api/..."}, "programs are thin and at the top"},
	{"demo", []string{"internal/..."}, "the demonstration plays operators, customers and an intruder"},
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
	{"api", nil, []string{module + "/internal"}, "clients import api"},
	{"internal/chain/...", nil, pure, "every node runs it again on the exact bytes"},
	{"internal/custody", nil, pure, "formats are pure: time and bytes come in"},
	{"internal/policy", nil, append(pure, "cel.dev/cel-go", "github.com/goccy/go-yaml"), "nodes evaluate the compiled tree; they link neither the parser of conditions nor YAML"},
	{"internal/authz", nil, pure, "verification is pure"},
	{"internal/journal", nil, pure, "the log is pure; stores give it bytes"},
	{"internal/state", nil, append(pure, module+"/internal/policy/compile"), "Apply is a pure function of the journal"},
	{"...", nil, []string{module + "/tss/tsstest"}, "adversaries and fixed randomness stay in tests"},
	{"...", nil, []string{module + "/internal/state/statetest"}, "journals with known keys stay in tests"},
	{"...", append(tsstest, "internal/state/statetest", "internal/network/btcdtest"), []string{"testing"}, "package testing changes the flags and the speed of a program"},
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

// TestSignerLinks holds what the programs of a signer node are made of against what
// they can do without: whatever is in there an auditor reads, and an attacker uses.
func TestSignerLinks(t *testing.T) {
	deny := []struct{ path, why string }{
		{module + "/internal/store", "a node keeps files, no database"},
		{module + "/internal/server", "a node serves nobody"},
		{module + "/internal/ceremony", "a node doesn't coordinate"},
		{module + "/internal/lifecycle", "a node moves no intent on"},
		{module + "/internal/network", "a node reaches no chain"},
		{module + "/internal/policy/compile", "a node evaluates the compiled tree"},
		{module + "/internal/bus/broker", "a node is the broker's client"},
		{"modernc.org", "no SQL"},
		{"github.com/nats-io/nats-server", "no broker"},
		{"github.com/danielgtaylor/huma", "no HTTP server"},
		{"github.com/btcsuite/btcd/rpcclient", "no chain RPC"},
		{"cel.dev", "no parser of conditions"},
		{"github.com/goccy/go-yaml", "no YAML"},
	}
	pkgs := list(t, "-deps", "./cmd/signerd")
	if len(pkgs) < 50 {
		t.Fatalf("go list found %d packages", len(pkgs))
	}
	for _, p := range pkgs {
		for _, d := range deny {
			if matches(d.path+"/...", p.ImportPath) {
				t.Errorf("signerd links %s: %s", p.ImportPath, d.why)
			}
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
