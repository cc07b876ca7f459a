package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/api/client"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
)

func TestClassified(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
	}{
		{errors.New("disk full"), 1},
		{&api.Problem{Code: api.Internal}, 70},
		{&api.Problem{Code: api.Invalid}, 2},
		{&api.Problem{Code: api.Unauthenticated}, 3},
		{&api.Problem{Code: api.Forbidden}, 4},
		{&api.Problem{Code: api.Denied}, 5},
		{&api.Problem{Code: api.NotFound}, 6},
		{&api.Problem{Code: api.Conflict}, 7},
		{&api.Problem{Code: api.Exhausted}, 8},
		{&api.Problem{Code: api.Unavailable}, 9},
		{&api.Problem{Code: "new in a later version"}, 70},
		{&client.Difference{Field: "body.amount"}, 3},
		{&client.FalseAddress{}, 3},
		{&state.CheckError{Check: "form", Err: &custody.Error{Code: custody.Invalid}}, 3},
		{&custody.Error{Code: custody.NotFound}, 6},
		{&custody.Error{Code: custody.Internal}, 70},
	} {
		err, ok := errors.AsType[*statusError](classified(fmt.Errorf("about: %w", c.err)))
		if !ok || err.status != c.status {
			t.Errorf("%#v: %v, want %d", c.err, err, c.status)
		}
	}
	if err := classified(nil); err != nil {
		t.Error(err)
	}
	if _, ok := errors.AsType[*usageError](classified(usagef("--to"))); !ok {
		t.Error("a usage error is no longer one")
	}
	if err := classified(&api.Problem{Detail: "\x1b[2Jpaid\r\n"}); strings.ContainsAny(err.Error(), "\x1b\r\n") {
		t.Errorf("%q", err)
	}
}

func TestCollect(t *testing.T) {
	t.Parallel()
	all := make([]int, 450)
	for i := range all {
		all[i] = i
	}
	pages := func(limit int, cursor string) (*api.Page[int], error) {
		from := len(cursor)
		to := min(from+limit, len(all))
		p := &api.Page[int]{Data: all[from:to]}
		if to < len(all) {
			p.NextCursor = strings.Repeat("x", to)
		}
		return p, nil
	}
	for _, limit := range []int{0, 1, 50, 200, 201, 450, 1000} {
		got, err := collect(limit, pages)
		want := all
		if limit > 0 {
			want = all[:min(limit, len(all))]
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d: %d elements, %v", limit, len(got), err)
		}
	}
	if got, err := collect(0, func(int, string) (*api.Page[int], error) { return new(api.Page[int]), nil }); got == nil || err != nil {
		t.Errorf("an empty list is %v, %v", got, err)
	}
	for name, page := range map[string]func(string) *api.Page[int]{
		"the same cursor": func(string) *api.Page[int] { return &api.Page[int]{Data: []int{1}, NextCursor: "a"} },
		"nothing in it":   func(cursor string) *api.Page[int] { return &api.Page[int]{NextCursor: cursor + "a"} },
		"always another": func(cursor string) *api.Page[int] {
			return &api.Page[int]{Data: make([]int, 1000), NextCursor: cursor + "a"}
		},
	} {
		if got, err := collect(0, func(_ int, cursor string) (*api.Page[int], error) { return page(cursor), nil }); err == nil {
			t.Errorf("%s: %d elements", name, len(got))
		}
	}
	if got, err := collect(3, func(int, string) (*api.Page[int], error) { return &api.Page[int]{Data: all, NextCursor: "a"}, nil }); len(got) != 3 || err != nil {
		t.Errorf("more than asked for: %d elements, %v", len(got), err)
	}
}

func TestPrinted(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := printTable(&b, "a b", [][]string{{"\x1b[31m1\t2\n3", ""}, {"x", "y"}}); err != nil {
		t.Fatal(err)
	}
	if err := printFields(&b, []field{{"name", "\u009b2J\u202e"}, {"none", ""}}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\u009b\t\u202e") || strings.Count(b.String(), "\n") != 4 || strings.Contains(b.String(), "none") {
		t.Errorf("%q", &b)
	}
	for _, c := range []struct {
		amount api.Amount
		want   string
	}{
		{api.Amount{Units: "30000000", Decimal: "9000", Asset: "bip122:000000000019d6689c085ae165831e93/slip44:0"}, "0.3 BTC"}, // units alone count
		{api.Amount{Units: "3e7", Asset: "bip122:000000000019d6689c085ae165831e93/slip44:0"}, "3e7 base units of bip122:000000000019d6689c085ae165831e93/slip44:0"},
		{api.Amount{Units: "3", Asset: "gold"}, "3 base units of gold"},
	} {
		if got := shownAmount(c.amount); got != c.want {
			t.Errorf("%+v: %q, want %q", c.amount, got, c.want)
		}
	}
}

func TestReadNote(t *testing.T) {
	t.Parallel()
	root, signers := readNote("coffer/ab\n5\ncm9vdA==\n\n— coffer/ab c2ln\n— coffer/ab/node-a c2ln\n— coffer/ab/node-a c2ln\n— coffer/ab/node-b c2ln\n")
	if root != "cm9vdA==" || !slices.Equal(signers, []string{"the log", "node-a", "node-b"}) {
		t.Errorf("%q, %q", root, signers)
	}
}

func FuzzReadNote(f *testing.F) {
	f.Add("coffer/ab\n5\ncm9vdA==\n\n— coffer/ab c2ln\n— coffer/ab/node-a c2ln\n")
	f.Add("\n\n\n")
	f.Fuzz(func(t *testing.T, note string) {
		root, signers := readNote(note)
		for _, s := range append(signers, root) {
			if s != "the log" && !strings.Contains(note, s) {
				t.Fatalf("%q has no %q", note, s)
			}
		}
	})
}

func TestProfileRefused(t *testing.T) {
	t.Parallel()
	const good = "server = \"http://127.0.0.1:8080\"\ntoken_file = \"token\"\ntrust = \"/trust\"\n"
	for _, c := range []struct{ text, want string }{
		{good + "tokens = \"x\"\n", "line 4: no key is called tokens"},
		{good + "[server2]\nurl = \"x\"\n", "line 4: no key is called server2"},
		{good + "server = \"http://again\"\n", "key server is already defined"},
		{good + "key = 5\n", "line 4"},
		{"server = \"http", "line 1"},
		{"", "server is missing"},
		{strings.Replace(good, "token_file", "#", 1), "token_file is missing"},
		{strings.Replace(good, "trust = ", "#", 1), "trust is missing"},
		{strings.Replace(good, "http://", "ftp://", 1), "server is not http://HOST:PORT or https://HOST"},
		{strings.Replace(good, "http://", "http://ida:pass@", 1), "server is not"},
		{strings.Replace(good, ":8080", ":8080/v1", 1), "server is not"},
		{strings.Replace(good, ":8080", ":8080?a=b", 1), "server is not"},
		{strings.Replace(good, "127.0.0.1", "%zz", 1), "server is not"},
		{good + "person = \"ida\"\n", "person: not a UUIDv7"},
	} {
		if p, err := parseProfile("dir/profile.toml", []byte(c.text)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: %+v, %v, want %s", c.text, p, err, c.want)
		}
	}
	p, err := parseProfile("dir/profile.toml", []byte(good+"key = \"keys/ida\"\nperson = \"019f0000-0000-7000-8000-000000000001\"\n"))
	if err != nil || p.TokenFile != "dir/token" || p.Trust != "/trust" || p.Key != "dir/keys/ida" || p.PassphraseFile != "" {
		t.Errorf("%+v, %v", p, err)
	}
}

func FuzzParseProfile(f *testing.F) {
	f.Add([]byte("server = \"http://127.0.0.1:8080\"\ntoken_file = \"token\"\ntrust = \"/trust\"\n"))
	f.Add([]byte("a = {b = [1, {c = 2}]}\n[x.y]\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := parseProfile("profile.toml", raw)
		if err == nil && (p.TokenFile == "" || p.Trust == "" || !strings.HasPrefix(strings.ToLower(p.Server), "http")) {
			t.Fatalf("%+v", p)
		}
	})
}

// TestProgress shows where following an intent stops, and how it says what it waits for.
func TestProgress(t *testing.T) {
	t.Parallel()
	transfer := func(states ...custody.TransactionState) *api.Transfer {
		out := new(api.Transfer)
		for _, s := range states {
			out.Transactions = append(out.Transactions, api.Transaction{Transaction: "ab", State: string(s), Depth: 2})
		}
		return out
	}
	pending := &api.Decision{Ways: []api.Way{{Missing: []string{"2 of treasury", "delay 1h"}}}}
	for _, c := range []struct {
		in       api.Intent
		transfer *api.Transfer
		text     string
		goals    string // that are reached
		failure  string
		status   int
	}{
		{in: api.Intent{State: "PENDING_APPROVAL", Decision: pending}, text: "PENDING_APPROVAL; waits for 2 of treasury, delay 1h"},
		{in: api.Intent{State: "TIME_LOCKED", WaitingFor: "waits for the delay", Decision: pending}, text: "TIME_LOCKED; waits for the delay"},
		{in: api.Intent{State: "ON_HOLD", Decision: &api.Decision{Ways: []api.Way{{}}}}, text: "ON_HOLD"},
		{in: api.Intent{State: "AUTHORIZED"}, text: "AUTHORIZED", goals: "authorized"},
		{in: api.Intent{State: "EXECUTED"}, text: "EXECUTED; waits for witnesses", goals: "authorized"},
		{in: api.Intent{State: "EXECUTED", Witnessed: true}, text: "EXECUTED", goals: "authorized executed"},
		{in: api.Intent{State: "EXECUTING"}, transfer: transfer(custody.TxReplaced, custody.TxConfirming), text: "EXECUTING, transaction ab CONFIRMING, 2 confirmations", goals: "authorized"},
		{in: api.Intent{State: "EXECUTING"}, transfer: transfer(custody.TxConfirmed, custody.TxReplaced), text: "EXECUTING, transaction ab CONFIRMED, 2 confirmations", goals: "authorized confirmed"},
		{in: api.Intent{State: "EXECUTED", Witnessed: true}, transfer: transfer(custody.TxFinalized), text: "EXECUTED, transaction ab FINALIZED, 2 confirmations", goals: "authorized executed confirmed final"},
		{in: api.Intent{ID: "7", State: "BLOCKED", Reason: "rule night", Rule: "night"}, text: "BLOCKED: rule night", failure: "intent 7 is BLOCKED: rule night", status: 5},
		{in: api.Intent{ID: "7", State: "BLOCKED", Rule: "night"}, text: "BLOCKED", failure: "intent 7 is BLOCKED, by rule night", status: 5},
		{in: api.Intent{ID: "7", State: "REJECTED", Reason: "one of treasury said no"}, text: "REJECTED: one of treasury said no", failure: "intent 7 is REJECTED: one of treasury said no", status: 1},
		{in: api.Intent{ID: "7", State: "EXPIRED"}, text: "EXPIRED", failure: "intent 7 is EXPIRED", status: 1},
		{in: api.Intent{ID: "7", State: "GONE"}, text: "GONE", failure: "intent 7 is GONE", status: 1}, // of a later version
	} {
		p := progress{&c.in, c.transfer}
		if p.String() != c.text {
			t.Errorf("%q, want %q", p, c.text)
		}
		var goals []string
		for _, g := range []string{goalAuthorized, goalExecuted, goalConfirmed, goalFinal} {
			if p.reached(g) {
				goals = append(goals, g)
			}
		}
		if got := strings.Join(goals, " "); got != c.goals {
			t.Errorf("%s reaches %q, want %q", p, got, c.goals)
		}
		err := p.failure()
		switch status, _ := errors.AsType[*statusError](classified(err)); {
		case err == nil && c.failure == "":
		case err == nil || err.Error() != c.failure || status.status != c.status:
			t.Errorf("%s fails with %v, want %q", p, err, c.failure)
		}
	}
}

// TestHelp shows that every command explains itself, and that its examples parse.
func TestHelp(t *testing.T) {
	t.Parallel()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if sub.Hidden {
				continue
			}
			if sub.Short == "" || sub.Long == "" || sub.Example == "" {
				t.Errorf("%s: it has no short or long help, or no example", sub.CommandPath())
			}
			for line := range strings.Lines(sub.Example) {
				if err := parses(line); err != nil {
					t.Errorf("%s: its example %q: %v", sub.CommandPath(), strings.TrimSpace(line), err)
				}
			}
			walk(sub)
		}
	}
	walk(newRoot())
}

// parses refuses a command line of coffer that names no command or flag, or lacks an
// argument. Other lines it lets pass.
func parses(line string) error {
	line, _, _ = strings.Cut(line, " > ")
	args := strings.Fields(line)
	if len(args) == 0 || args[0] != "coffer" {
		return nil
	}
	cmd, rest, err := newRoot().Find(args[1:])
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if cmd.HasSubCommands() {
		return errors.New("it is a group of commands")
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// TestUsingPage shows that docs/operations/using.md has every command that asks a server,
// as it is, and a profile that is one.
func TestUsingPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operations/using.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for line := range strings.Lines(text) {
		if err := parses(strings.TrimPrefix(line, "$ ")); err != nil && strings.HasPrefix(line, "$ ") {
			t.Errorf("%q: %v", line, err)
		}
	}
	root := newRoot()
	for _, group := range []string{"profile", "keys", "vaults", "wallets", "destinations", "transfers", "intents", "nodes", "journal"} {
		cmd, _, err := root.Find([]string{group})
		if err != nil {
			t.Fatal(err)
		}
		for _, sub := range cmd.Commands() {
			if name := sub.Name(); name != "list" && name != "show" && !strings.Contains(text, "\n$ "+sub.CommandPath()) {
				t.Errorf("%s is not on the page", sub.CommandPath())
			}
		}
	}
	_, block, _ := strings.Cut(text, "```toml\n")
	block, _, _ = strings.Cut(block, "```")
	if p, err := parseProfile("profile.toml", []byte(block)); err != nil || p.Key == "" || p.PassphraseFile == "" || p.Person == "" {
		t.Errorf("%+v, %v", p, err)
	}
	for code := custody.Internal; code <= custody.Unavailable; code++ {
		if status := fmt.Sprintf("\n| %d | ", code.Handling().Exit); !strings.Contains(text, status) {
			t.Errorf("the page doesn't tell the status of %s", code)
		}
	}
}
