package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cofferhq/coffer/internal/app"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/network/regtest"
)

// story is what has been told so far.
type story struct {
	options
	out     io.Writer
	began   time.Time
	chapter int

	bitcoin *regtest.Node
	cofferd *exec.Cmd
	ready   app.Ready

	keyID, vault, wallet, supplier string
	supplierAddress                custody.Address
	paid                           []string // intents whose transactions were confirmed
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *story) heading(title string) {
	s.chapter++
	s.say("\n%d. %s\n%s", s.chapter, title, strings.Repeat("─", len(title)+3))
}

func (s *story) deployment() string { return filepath.Join(s.dir, "bank") }

// made is what the commands that propose something print as JSON.
type made struct {
	Intent      string `json:"intent"`
	State       string `json:"state"`
	Reason      string `json:"reason"`
	Rule        string `json:"rule"`
	WaitingFor  string `json:"waitingFor"`
	Vault       string `json:"vault"`
	Wallet      string `json:"wallet"`
	Key         string `json:"key"`
	Destination string `json:"destination"`
	Transaction string `json:"transaction"`
}

// coffer runs a command as one of the bank's people and returns what it prints.
func (s *story) coffer(ctx context.Context, person string, args ...string) ([]byte, error) {
	s.say("%s$ coffer %s", person, strings.Join(short(args), " "))
	out, said, err := s.quiet(ctx, person, args...)
	if err != nil {
		return out, fmt.Errorf("coffer %s: %w: %s", strings.Join(args[:2], " "), err, said)
	}
	return out, nil
}

func (s *story) quiet(ctx context.Context, person string, args ...string) ([]byte, string, error) {
	args = append(slices.Clone(args), "--profile", filepath.Join(s.deployment(), "people", person, "profile.toml"))
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "coffer"), args...) //nolint:gosec // our own program
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	return out, strings.TrimSpace(said.String()), err
}

// short leaves out what only this program needs.
func short(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "--json" || a == "--yes" })
}

// ask runs a command for its JSON.
func (s *story) ask(ctx context.Context, person string, args ...string) (m made, err error) {
	out, err := s.coffer(ctx, person, append(args, "--json")...)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(out, &m)
}

// show runs a command and prints what it prints, indented.
func (s *story) show(ctx context.Context, person string, args ...string) error {
	out, err := s.coffer(ctx, person, args...)
	if err != nil {
		return err
	}
	s.print(out)
	return nil
}

func (s *story) print(out []byte) {
	for line := range strings.Lines(strings.TrimRight(string(out), "\n")) {
		s.say("    %s", strings.TrimRight(line, "\n"))
	}
}

// govern has ida propose something, tom and una approve it, and waits until it has
// taken effect.
func (s *story) govern(ctx context.Context, args ...string) (made, error) {
	m, err := s.ask(ctx, "ida", append(args, "--yes")...)
	if err != nil {
		return m, err
	}
	if err := s.approve(ctx, m.Intent, "tom", "una"); err != nil {
		return m, err
	}
	_, said, err := s.quiet(ctx, "ida", "intents", "wait", m.Intent, "--until", "executed")
	if err != nil {
		return m, fmt.Errorf("intents wait: %w: %s", err, said)
	}
	return m, nil
}

func (s *story) approve(ctx context.Context, intent string, people ...string) error {
	for _, name := range people {
		if _, err := s.coffer(ctx, name, "intents", "approve", intent, "--yes"); err != nil {
			return err
		}
	}
	return nil
}

// start starts the deployment and waits until it runs.
func (s *story) start(ctx context.Context) error {
	file := filepath.Join(s.dir, "ready")
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	password := filepath.Join(s.dir, "bitcoin.password")
	if err := os.WriteFile(password, []byte(regtest.Password), 0o600); err != nil {
		return err
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "cofferd"), "dev", "--dir", s.deployment(), //nolint:gosec // our own program
		"--http", "127.0.0.1:0", "--ready", file, "--bitcoin", s.bitcoin.URL, "--bitcoin-user", regtest.User, "--bitcoin-password-file", password)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cofferd = cmd
	for deadline := clock().Add(60 * time.Second); ; {
		raw, err := os.ReadFile(file) //nolint:gosec // in our own directory
		if err == nil {
			return json.Unmarshal(raw, &s.ready)
		}
		if clock().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("cofferd dev doesn't start: %s", said.String())
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// stop ends the deployment as an operator would.
func (s *story) stop() error {
	if s.cofferd == nil {
		return nil
	}
	cmd := s.cofferd
	s.cofferd = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return cmd.Wait()
}

func (s *story) end() error {
	err := s.stop()
	if s.bitcoin != nil {
		err = errors.Join(err, s.bitcoin.Close())
	}
	return err
}

// stay leaves everything running for whoever wants to go on.
func (s *story) stay(ctx context.Context) error {
	if err := s.startBitcoin(ctx); err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	profile := filepath.Join(s.deployment(), "people", "otto", "profile.toml")
	s.say("\nAll of it runs again. In another terminal:\n")
	s.say("    %s wallets list --profile %s", filepath.Join(s.bin, "coffer"), profile)
	s.say("    %s transfers list --profile %s", filepath.Join(s.bin, "coffer"), profile)
	s.say("\nCtrl-C ends it, and removes what it made.")
	<-ctx.Done()
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
