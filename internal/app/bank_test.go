package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cofferhq/coffer/internal/app"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/network/btcdtest"
	"github.com/cofferhq/coffer/internal/network/regtest"
)

// bin holds the programs, built once.
var bin string

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "coffer-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	out, err := exec.CommandContext(context.Background(), "go", "build", "-o", dir, "../../cmd/cofferd", "../../cmd/signerd", "../../cmd/coffer").CombinedOutput()
	if err != nil {
		fmt.Fprintln(os.Stderr, string(out), err)
		return 1
	}
	bin = dir
	return m.Run()
}

// bank is a deployment of real processes with a real Bitcoin node.
type bank struct {
	*testing.T
	deployment *app.Deployment
	bitcoin    *btcdtest.Node
	processes  map[string]*exec.Cmd // cofferd and the nodes

	wallet, supplier string
	address          custody.Address // the supplier's
}

// newBank makes a deployment, runs it, and carries a wallet with five deposits of 1
// BTC and an allow-listed supplier through.
func newBank(t *testing.T) *bank {
	t.Helper()
	b := &bank{
		T: t, bitcoin: btcdtest.Start(t, btcdtest.Options{}), processes: make(map[string]*exec.Cmd),
		deployment: &app.Deployment{Dir: filepath.Join(t.TempDir(), "bank"), Bin: bin, Out: t.Output(), HTTP: "127.0.0.1:0"},
	}
	if err := b.deployment.Make(t.Context()); err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(regtest.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(b.deployment.ControlFile(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, "\n[[bitcoin]]\nnetwork = %q\nurl = %q\nuser = %q\npassword_file = %q\nconfirmations = 1\nfinal = 3\npoll = \"50ms\"\nstart = 1\n",
		regtest.Network, b.bitcoin.URL, regtest.User, password)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for name := range b.processes {
			b.kill(name)
		}
	})
	for _, name := range b.all() {
		b.start(name)
	}
	b.set()
	return b
}

func (b *bank) all() []string { return append([]string{"cofferd"}, app.NodeNames()...) }

// start starts one of the deployment's processes.
func (b *bank) start(name string) {
	b.Helper()
	program, file := "signerd", b.deployment.NodeFile(name)
	if name == "cofferd" {
		program, file = name, b.deployment.ControlFile()
	}
	cmd := exec.CommandContext(b.Context(), filepath.Join(bin, program), "run", "--config", file)
	log, err := os.OpenFile(filepath.Join(filepath.Dir(file), "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.processes[name] = cmd
}

// kill ends a process without a word of warning.
func (b *bank) kill(name string) {
	cmd := b.processes[name]
	if cmd == nil {
		return
	}
	delete(b.processes, name)
	_ = cmd.Process.Kill() // it may have ended
	_ = cmd.Wait()
}

// coffer runs a command as one of the bank's people, again while the server is away.
func (b *bank) coffer(person string, args ...string) map[string]any {
	b.Helper()
	args = append(slices.Clone(args), "--json", "--profile", filepath.Join(b.deployment.Dir, "people", person, "profile.toml"))
	var out, said []byte
	b.until(strings.Join(args[:2], " "), func() bool {
		cmd := exec.CommandContext(b.Context(), filepath.Join(bin, "coffer"), args...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		var err error
		out, err = cmd.Output()
		said = errs.Bytes()
		if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() != custody.Unavailable.Handling().Exit {
			b.Fatalf("coffer %v: %v\n%s", args, err, said)
		}
		return err == nil
	})
	var answer any
	if err := json.Unmarshal(out, &answer); err != nil {
		b.Fatalf("coffer %v: %v: %s", args, err, out)
	}
	m, _ := answer.(map[string]any)
	return m
}

func (b *bank) until(what string, done func() bool) {
	b.Helper()
	for range 3000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond) // other processes work meanwhile
	}
	for _, name := range b.all() {
		b.Log(name, b.logged(name))
	}
	b.Fatalf("%s: not within 30 s", what)
}

// logged is the end of what a process logged.
func (b *bank) logged(name string) string {
	dir := filepath.Join(b.deployment.Dir, "nodes", name)
	if name == "cofferd" {
		dir = filepath.Join(b.deployment.Dir, "control")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		return err.Error()
	}
	lines := slices.DeleteFunc(strings.Split(string(raw), "\n"), func(l string) bool { return strings.Contains(l, `"msg":"call"`) })
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// govern has ida propose something and tom and una approve it.
func (b *bank) govern(args ...string) map[string]any {
	b.Helper()
	m := b.coffer("ida", append(args, "--yes")...)
	id := m["intent"].(string)
	b.coffer("tom", "intents", "approve", id, "--yes")
	b.coffer("una", "intents", "approve", id, "--yes")
	b.coffer("ida", "intents", "wait", id, "--until", "executed")
	return m
}

func (b *bank) set() {
	b.Helper()
	key := b.govern("keys", "create", "--scheme", "bip340")["key"].(string)
	vault := b.govern("vaults", "create", "--purpose", "treasury", "--domain", "treasury")["vault"].(string)
	b.wallet = b.govern("wallets", "create", "--vault", vault, "--network", string(regtest.Network), "--key", key)["wallet"].(string)
	address := b.coffer("otto", "wallets", "address", b.wallet, "--new", "--verify")["address"].(string)
	for range 5 {
		b.bitcoin.Pay(custody.Address(address), 100_000_000)
	}
	b.bitcoin.Mine(1)
	b.balance("500000000")
	b.address = b.bitcoin.Address()
	b.supplier = b.govern("destinations", "add", "--address", string(b.address), "--country", "CH", "--network", string(regtest.Network))["destination"].(string)
}

// balance waits until the wallet's confirmed balance is so many satoshi.
func (b *bank) balance(satoshi string) {
	b.Helper()
	b.until("balance of "+satoshi, func() bool {
		raw, err := json.Marshal(b.coffer("otto", "wallets", "show", b.wallet))
		return err == nil && strings.Contains(string(raw), strconv.Quote(satoshi))
	})
}

// pay submits a payment that needs nobody's approval.
func (b *bank) pay(amount string) string {
	b.Helper()
	return b.coffer("otto", "transfers", "create", "--from", b.wallet, "--to", "destination:"+b.supplier, "--amount", amount, "--yes")["intent"].(string)
}

// entries counts the entries that a node's journal holds of an intent.
func (b *bank) entries(node, intent string) int {
	raw, err := os.ReadFile(filepath.Join(b.deployment.Dir, "nodes", node, "data", "journal.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for line := range bytes.Lines(raw) {
		if bytes.Contains(line, []byte(intent)) && bytes.HasSuffix(line, []byte{'\n'}) {
			n++
		}
	}
	return n
}

// finish mines until an intent's transaction is final.
func (b *bank) finish(intent string) {
	b.Helper()
	b.until("final "+intent, func() bool {
		b.bitcoin.Mine(1)
		return b.coffer("otto", "intents", "show", intent)["state"] == "EXECUTED"
	})
}

// received is how many payments of exactly so many satoshi the supplier got in
// blocks.
func (b *bank) received(ctx context.Context, satoshi string) int {
	b.Helper()
	height, _, err := b.bitcoin.Client.Tip(ctx)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for h := int64(1); h <= height; h++ {
		block, err := b.bitcoin.Client.Block(ctx, h)
		if err != nil {
			b.Fatal(err)
		}
		for _, tx := range block.Transactions {
			for _, out := range tx.Outputs {
				if out.Amount.String() == satoshi {
					n++
				}
			}
		}
	}
	return n
}
