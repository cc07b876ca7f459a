package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"gitlab.com/yawning/secp256k1-voi/secec/bitcoin"
)

func TestMain(m *testing.M) {
	workFactor = 10 // key files in no time
	testscript.Main(m, map[string]func(){"coffer": main})
}

// TestScripts runs the program as its users do. Beside testscript's commands
// there are:
//
//	refused PATTERN ARGS...   coffer ARGS ends with status 2, nothing on stdout and
//	                          one line on stderr, which matches PATTERN
//	failed PATTERN ARGS...    the same with status 1
//	signed KEY=VALUE...       the last stdout is the JSON of a valid signature, of
//	                          scheme, t, n, signers, message and, or not at all, path
//	zeros FILE N              makes a file of N zero bytes
//	keys                      makes the setup of testdata/charter and its key files
//	shows LINE FILE IN        IN has the words of the line of FILE that begins with LINE
//	unverified CHECK BUNDLE [TRUST]   coffer verify says that CHECK fails, with status 1
//	replace FILE OLD NEW TO   copies FILE to TO, with NEW for the first OLD
//	substitute FILE OLD NEW TO   the same for every match of a pattern
//	flip FILE TEXT N TO       copies FILE to TO, but for a bit N bytes after TEXT
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0") // a second for each process otherwise
			return copySample(env.WorkDir)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"refused":    func(ts *testscript.TestScript, _ bool, args []string) { ends(ts, exitUsage, args) },
			"failed":     func(ts *testscript.TestScript, _ bool, args []string) { ends(ts, exitFailure, args) },
			"signed":     signed,
			"keys":       makeKeys,
			"shows":      shows,
			"unverified": unverified,
			"replace":    replaced,
			"substitute": substituted,
			"flip":       flipped,
			"zeros": func(ts *testscript.TestScript, _ bool, args []string) {
				n, err := strconv.Atoi(args[1])
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), make([]byte, n), 0o600))
			},
		},
	})
}

func ends(ts *testscript.TestScript, status int, args []string) {
	err := ts.Exec("coffer", args[1:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != status {
		ts.Fatalf("exit: %v, want status %d", err, status)
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("stdout: %q, want nothing", out)
	}
	line, ok := strings.CutSuffix(ts.ReadFile("stderr"), "\n")
	if !ok || strings.Contains(line, "\n") || !strings.HasPrefix(line, "coffer: ") {
		ts.Fatalf("stderr: %q, want one line", line)
	}
	if !regexp.MustCompile(args[0]).MatchString(line) {
		ts.Fatalf("stderr: %q, want a match of %s", line, args[0])
	}
}

// headerAndSignature is what every message carries beside its body.
const headerAndSignature = 126 + 64

func signed(ts *testscript.TestScript, _ bool, args []string) {
	want := make(map[string]string)
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		want[k] = v
	}
	message, err := hex.DecodeString(want["message"])
	if file, ok := strings.CutPrefix(want["message"], "@"); ok {
		message, err = []byte(ts.ReadFile(file)), nil
	}
	ts.Check(err)

	out := ts.ReadFile("stdout")
	if strings.Count(out, "\n") != 1 || ts.ReadFile("stderr") != "" {
		ts.Fatalf("stdout %q, stderr %q: want one line and nothing", out, ts.ReadFile("stderr"))
	}
	keys := []string{
		"scheme", "threshold", "parties", "signers", "publicKey", "signature", "rounds", "bytesPerParty", "cpuMicrosPerParty",
	}
	if _, ok := want["path"]; ok {
		keys = append(keys, "path")
	}
	got, err := keysOf(out)
	ts.Check(err)
	if !slices.Equal(got, keys) {
		ts.Fatalf("keys %v, want %v", got, keys)
	}
	var r report
	ts.Check(json.Unmarshal([]byte(out), &r))
	threshold, err := strconv.Atoi(want["t"])
	ts.Check(err)

	// Two commitments and one share with the 32 bytes that all must agree on.
	body := 2*33 + 32 + 32
	if r.Scheme == "ed25519" {
		body = 2*32 + 32 + 32
	}
	for _, c := range []struct {
		name, got, want string
	}{
		{"scheme", r.Scheme, want["scheme"]},
		{"threshold", strconv.Itoa(r.Threshold), want["t"]},
		{"parties", strconv.Itoa(r.Parties), want["n"]},
		{"signers", strings.ReplaceAll(list(r.Signers), ", ", ","), want["signers"]},
		{"path", r.Path, want["path"]},
		{"rounds", strconv.Itoa(r.Rounds), "2"},
		{"bytesPerParty", strconv.Itoa(r.BytesPerParty), strconv.Itoa((threshold - 1) * (2*headerAndSignature + body))},
		{"publicKey's length", strconv.Itoa(len(r.PublicKey)), "64"},
		{"signature's length", strconv.Itoa(len(r.Signature)), "128"},
	} {
		if c.got != c.want {
			ts.Fatalf("%s is %s, want %s", c.name, c.got, c.want)
		}
	}
	if r.CPUMicrosPerParty <= 0 {
		ts.Fatalf("cpuMicrosPerParty is %d", r.CPUMicrosPerParty)
	}
	public, err := hex.DecodeString(r.PublicKey)
	ts.Check(err)
	signature, err := hex.DecodeString(r.Signature)
	ts.Check(err)
	if !valid(r.Scheme, public, message, signature) {
		ts.Fatalf("the signature isn't of the message")
	}
}

func valid(scheme string, public, message, signature []byte) bool {
	if scheme == "ed25519" {
		return ed25519.Verify(public, message, signature)
	}
	k, err := bitcoin.NewSchnorrPublicKey(public)
	return err == nil && k.Verify(message, signature)
}

// keysOf returns the keys of a flat JSON object in their order.
func keysOf(object string) ([]string, error) {
	dec := json.NewDecoder(strings.NewReader(object))
	var keys []string
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return nil, err
		}
		keys = append(keys, k.(string))
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func TestMainWithoutProcess(t *testing.T) {
	t.Parallel()
	sign := []string{"tss", "sign", "--scheme", "ed25519", "-t", "2", "-n", "2", "--json"}

	t.Run("longest message in hexadecimal", func(t *testing.T) {
		t.Parallel()
		message := bytes.Repeat([]byte{0xa5}, 1<<20)
		var out, errs bytes.Buffer
		if status := Main(append(slices.Clone(sign), "--message-hex", hex.EncodeToString(message)), nil, &out, &errs); status != exitOK {
			t.Fatalf("status %d: %s", status, &errs)
		}
		var r report
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		public, _ := hex.DecodeString(r.PublicKey)
		signature, _ := hex.DecodeString(r.Signature)
		if !valid("ed25519", public, message, signature) {
			t.Error("the signature isn't of the message")
		}
		out.Reset()
		if status := Main(append(slices.Clone(sign), "--message-hex", hex.EncodeToString(append(message, 0))), nil, &out, &errs); status != exitUsage {
			t.Errorf("one byte more: status %d", status)
		}
		if line := errs.String(); out.Len() != 0 || strings.Count(line, "\n") != 1 || !strings.Contains(line, "--message-hex must be at most 1048576 bytes") {
			t.Errorf("one byte more: stdout %q, stderr %q", &out, line)
		}
	})

	t.Run("endless standard input", func(t *testing.T) {
		t.Parallel()
		var out, errs bytes.Buffer
		if status := Main(append(slices.Clone(sign), "--message-file", "-"), endless{}, &out, &errs); status != exitUsage {
			t.Errorf("status %d", status)
		}
	})

	t.Run("stdout that takes nothing", func(t *testing.T) {
		t.Parallel()
		for _, args := range [][]string{sign, sign[:len(sign)-1]} {
			var errs bytes.Buffer
			if status := Main(append(slices.Clone(args), "--message-hex", ""), nil, full{}, &errs); status != exitFailure {
				t.Errorf("%v: status %d", args, status)
			}
			if got := errs.String(); got != "coffer: write the result: no space\n" {
				t.Errorf("%v: stderr %q", args, got)
			}
		}
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }
