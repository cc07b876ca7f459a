package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cofferhq/coffer/internal/app"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/network/regtest"
)

func (s *story) startBitcoin(ctx context.Context) error {
	binary, err := regtest.Binary(ctx, s.root)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, "bitcoin")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	s.bitcoin, err = regtest.Start(ctx, dir, binary)
	return err
}

func (s *story) bank(ctx context.Context) error {
	if err := s.startBitcoin(ctx); err != nil {
		return err
	}
	s.say("A Bitcoin node (btcd) runs on a network of its own. Coffer starts from an empty directory:")
	s.say("")
	s.say("$ cofferd dev --dir bank")
	if err := s.start(ctx); err != nil {
		return err
	}
	s.say("")
	s.say("It made a key for each of four people, for three signer nodes and for the control plane,")
	s.say("wrote the charter, had every administrator and every node sign it, and pinned its hash on")
	s.say("each node. These are the commands that a bank's own people would run.")
	s.say("")
	s.say("  ida, tom, una    administrators, and the treasury; their device keys are encrypted files")
	s.say("  otto             may ask for payments, and approves none")
	for _, name := range app.NodeNames() {
		s.say("  %s           a process of its own (%d); it will hold one share of each key", name, s.ready.Nodes[name])
	}
	s.say("")
	s.say("The first policy, which every node evaluates for itself:")
	policy, err := os.ReadFile(filepath.Join(s.deployment(), "policy.yaml"))
	if err != nil {
		return err
	}
	_, rules, _ := strings.Cut(string(policy), "rules:\n")
	s.print([]byte(rules))
	s.say("")
	return s.show(ctx, "ida", "nodes", "list")
}

func (s *story) key(ctx context.Context) error {
	s.say("ida asks for a key, and two other administrators approve it. The three nodes generate it")
	s.say("together, any two of them will sign, and each of them attests the result.")
	s.say("")
	m, err := s.govern(ctx, "keys", "create", "--scheme", "bip340")
	if err != nil {
		return err
	}
	if s.keyID = m.Key; s.keyID == "" {
		return fmt.Errorf("no key came of intent %s", m.Intent)
	}
	s.say("")
	if err := s.show(ctx, "ida", "keys", "show", s.keyID); err != nil {
		return err
	}
	s.say("")
	s.say("Who holds what: each node has one share, sealed on its own disk. The control plane has the")
	s.say("public key. The private key is nowhere, and never was.")
	s.say("")
	if m, err = s.govern(ctx, "vaults", "create", "--purpose", "treasury", "--domain", "treasury"); err != nil {
		return err
	}
	s.vault = m.Vault
	m, err = s.govern(ctx, "wallets", "create", "--vault", s.vault, "--network", string(regtest.Network), "--key", s.keyID)
	s.wallet = m.Wallet
	return err
}

func (s *story) deposit(ctx context.Context) error {
	out, err := s.coffer(ctx, "otto", "wallets", "address", s.wallet, "--new", "--verify")
	if err != nil {
		return err
	}
	s.print(out)
	address := firstAddress(string(out))
	s.say("")
	s.say("The client recomputed it from the key that all nodes attested, under the charter that it")
	s.say("pins: a server that lies about an address is caught here.")
	s.say("")
	for range 5 {
		id, err := s.bitcoin.Pay(ctx, address, 100_000_000)
		if err != nil {
			return err
		}
		s.say("A customer pays in 1 BTC: transaction %s", id)
	}
	if _, err := s.bitcoin.Mine(ctx, 1); err != nil {
		return err
	}
	if err := s.until(ctx, func() (bool, error) {
		out, _, err := s.quiet(ctx, "otto", "wallets", "show", s.wallet, "--json")
		return strings.Contains(string(out), `"500000000"`), err
	}); err != nil {
		return err
	}
	if err := s.show(ctx, "otto", "wallets", "deposits", s.wallet); err != nil {
		return err
	}
	return s.show(ctx, "otto", "wallets", "show", s.wallet)
}

// firstAddress finds the address in what a command printed.
func firstAddress(out string) custody.Address {
	for word := range strings.FieldsSeq(out) {
		if strings.HasPrefix(word, "bcrt1") {
			return custody.Address(word)
		}
	}
	return ""
}

func (s *story) small(ctx context.Context) error {
	supplier, err := s.bitcoin.Address()
	if err != nil {
		return err
	}
	s.supplierAddress = supplier
	s.say("A supplier in Switzerland comes into the address book, by the administrators:")
	s.say("")
	m, err := s.govern(ctx, "destinations", "add", "--address", string(supplier), "--country", "CH", "--network", string(regtest.Network))
	if err != nil {
		return err
	}
	s.supplier = m.Destination
	s.say("")
	s.say("otto pays the supplier 0.3 BTC. Rule small asks for nobody's approval:")
	s.say("")
	return s.pay(ctx, "0.3")
}

// pay pays the supplier an amount that needs no approval, and confirms it.
func (s *story) pay(ctx context.Context, amount string) error {
	m, err := s.ask(ctx, "otto", "transfers", "create", "--from", s.wallet, "--to", "destination:"+s.supplier, "--amount", amount, "--yes")
	if err != nil {
		return err
	}
	return s.confirm(ctx, m.Intent)
}

// confirm waits until a transfer's transaction is on the network, mines it, and shows
// what became of it.
func (s *story) confirm(ctx context.Context, intent string) error {
	if err := s.until(ctx, func() (bool, error) {
		pool, err := s.bitcoin.Mempool(ctx)
		return len(pool) > 0, err
	}); err != nil {
		out, _, _ := s.quiet(ctx, "otto", "transfers", "show", intent)
		return fmt.Errorf("%w\n%s", err, out)
	}
	if _, err := s.bitcoin.Mine(ctx, 6); err != nil {
		return err
	}
	if _, said, err := s.quiet(ctx, "otto", "intents", "wait", intent, "--until", "final"); err != nil {
		return fmt.Errorf("intents wait: %w: %s", err, said)
	}
	s.paid = append(s.paid, intent)
	s.say("")
	if err := s.show(ctx, "otto", "transfers", "show", intent); err != nil {
		return err
	}
	return s.checked(intent)
}

// checked tells what each node did for a transfer, from its own log.
func (s *story) checked(intent string) error {
	s.say("")
	s.say("What each node checked before it used its share (from its own log):")
	for _, name := range app.NodeNames() {
		lines, err := s.logged(name, intent)
		if err != nil {
			return err
		}
		for _, line := range lines {
			s.say("    %s: %s", name, line)
		}
	}
	return nil
}

func (s *story) large(ctx context.Context) error {
	s.say("otto asks for 0.8 BTC. Rule large wants two people of the treasury, and otto is none of")
	s.say("them:")
	s.say("")
	m, err := s.ask(ctx, "otto", "transfers", "create", "--from", s.wallet, "--to", "destination:"+s.supplier, "--amount", "0.8", "--yes")
	if err != nil {
		return err
	}
	s.say("    %s: %s", m.State, m.WaitingFor)
	if err := s.approve(ctx, m.Intent, "ida"); err != nil {
		return err
	}
	if err := s.show(ctx, "tom", "intents", "show", m.Intent); err != nil {
		return err
	}
	if err := s.approve(ctx, m.Intent, "tom"); err != nil {
		return err
	}
	return s.confirm(ctx, m.Intent)
}

func (s *story) restricted(ctx context.Context) error {
	s.say("An address in a country on the policy's list, whoever may approve:")
	s.say("")
	args := []string{"transfers", "create", "--from", s.wallet, "--to", string(s.supplierAddress), "--country", "KP", "--amount", "0.1", "--yes"}
	s.say("otto$ coffer %s", strings.Join(short(args), " "))
	out, said, err := s.quiet(ctx, "otto", args...)
	s.print([]byte(strings.TrimSpace(string(out) + "\n" + said)))
	if err == nil && !strings.Contains(string(out)+said, "restricted") {
		return errors.New("the transfer wasn't blocked")
	}
	return nil
}

func (s *story) killed(ctx context.Context) error {
	pid := s.ready.Nodes["node-b"]
	s.say("$ kill -9 %d    # node-b", pid)
	s.say("")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	return s.pay(ctx, "0.2")
}

func (s *story) proof(ctx context.Context) error {
	s.say("The control plane comes back as it was, for what an auditor asks for: the evidence of the")
	s.say("large payment, and the pin that the bank published when it began.")
	s.say("")
	if err := s.start(ctx); err != nil {
		return err
	}
	bundle := filepath.Join(s.dir, "payment.bundle.json")
	if _, err := s.coffer(ctx, "otto", "transfers", "evidence", s.paid[1], "--out", bundle); err != nil {
		return err
	}
	if err := s.end(); err != nil {
		return err
	}
	s.say("")
	s.say("Every program of Coffer has ended now, and the Bitcoin node too. With the two files alone:")
	s.say("")
	s.say("$ coffer verify payment.bundle.json --trust trust")
	out, err := exec.CommandContext(ctx, filepath.Join(s.bin, "coffer"), "verify", bundle, "--trust", filepath.Join(s.deployment(), "trust")).CombinedOutput() //nolint:gosec // our own program
	s.print(out)
	return err
}

// logged returns what a node logged of signing a transfer, in words.
func (s *story) logged(node, intent string) ([]string, error) {
	raw, err := os.ReadFile(filepath.Join(s.deployment(), "nodes", node, "log")) //nolint:gosec // in our own directory
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range bytes.Lines(raw) {
		var l struct {
			Message string `json:"msg"`
			Intent  string `json:"intent"`
			Entry   int64  `json:"entry"`
			Head    int64  `json:"head"`
			Rule    string `json:"rule"`
			Does    string `json:"does"`
		}
		if err := json.Unmarshal(line, &l); err != nil || l.Message != "signed" || l.Intent != intent {
			continue
		}
		out = append(out,
			fmt.Sprintf("entry %d is its newest transaction, under a head of %d entries that a quorum cosigned", l.Entry, l.Head),
			fmt.Sprintf("authorized by rule %s, by this node's own evaluation", l.Rule),
			"decoded from the bytes: "+l.Does,
			"signed")
	}
	return out, nil
}

// until waits for something to become true, for half a minute at most.
func (s *story) until(ctx context.Context, done func() (bool, error)) error {
	for deadline := clock().Add(30 * time.Second); ; {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if clock().After(deadline) || ctx.Err() != nil {
			return errors.New("it doesn't happen")
		}
		pause(ctx, 50*time.Millisecond)
	}
}
