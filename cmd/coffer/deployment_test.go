package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cofferhq/coffer/internal/app"
	"github.com/cofferhq/coffer/internal/config"
	"github.com/cofferhq/coffer/internal/network/btcdtest"
	"github.com/cofferhq/coffer/internal/network/regtest"
)

// TestDeployment runs the commands that ask a server against a whole deployment: its
// control plane in this process, three signer nodes and a network in their own. ida, tom
// and una administer, otto initiates. Beside testscript's commands there are:
//
//	made VAR ARGS...          coffer ARGS as otto, approved by ida and tom and executed;
//	                          VAR is the id of what it made, VAR_INTENT the intent's
//	asked VAR ARGS...         coffer ARGS as otto; VAR is the intent's id
//	ends STATUS PATTERN ARGS...   coffer ARGS ends with the status, nothing on stdout, and
//	                          PATTERN matches the last line on stderr
//	field VAR NAME FILE       VAR is a member of the JSON object in FILE
//	edit FILE OLD NEW TO      copies FILE to TO, with NEW for each OLD
//
// IDA, TOM, UNA and OTTO name their profiles, and DEPLOYMENT its directory.
func TestDeployment(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a control plane, three nodes and a network")
	}
	t.Parallel()
	n := btcdtest.Start(t, btcdtest.Options{})
	d := startDeployment(t, n)
	t.Run("scripts", func(t *testing.T) {
		t.Parallel()
		testscript.Run(t, testscript.Params{
			Dir:                 "testdata/deployment",
			RequireExplicitExec: true,
			Setup: func(env *testscript.Env) error {
				env.Setenv("GORACE", "atexit_sleep_ms=0")
				env.Setenv("DEPLOYMENT", d.Dir)
				for _, name := range []string{"ida", "tom", "una", "otto"} {
					env.Setenv(strings.ToUpper(name), d.profile(name))
				}
				return nil
			},
			Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
				"made": func(ts *testscript.TestScript, _ bool, args []string) {
					ids := ask(ts, args[1:])
					for _, who := range []string{"IDA", "TOM"} {
						ts.Check(ts.Exec("coffer", "intents", "approve", ids["intent"], "--yes", "--profile", ts.Getenv(who)))
					}
					ts.Check(ts.Exec("coffer", "intents", "wait", ids["intent"], "--profile", ts.Getenv("OTTO")))
					for _, noun := range []string{"vault", "wallet", "key", "destination"} {
						if ids[noun] != "" {
							ts.Setenv(args[0], ids[noun])
						}
					}
					ts.Setenv(args[0]+"_INTENT", ids["intent"])
				},
				"asked": func(ts *testscript.TestScript, _ bool, args []string) {
					ts.Setenv(args[0], ask(ts, args[1:])["intent"])
				},
				"ends": endsWith,
				"field": func(ts *testscript.TestScript, _ bool, args []string) {
					ts.Setenv(args[0], object(ts, args[2])[args[1]])
				},
				"edit": func(ts *testscript.TestScript, _ bool, args []string) {
					before := ts.ReadFile(args[0])
					if !strings.Contains(before, args[1]) {
						ts.Fatalf("%s has no %q", args[0], args[1])
					}
					ts.Check(os.WriteFile(ts.MkAbs(args[3]), []byte(strings.ReplaceAll(before, args[1], args[2])), 0o600))
				},
			},
		})
	})
	t.Run("lying server", func(t *testing.T) {
		t.Parallel()
		testLyingServer(t, d)
	})
	t.Run("payment", func(t *testing.T) {
		t.Parallel()
		testPayment(t, d, n)
	})
}

// ask runs a command as otto and returns the members of what it prints.
func ask(ts *testscript.TestScript, args []string) map[string]string {
	ts.Check(ts.Exec("coffer", append(args, "--yes", "--json", "--profile", ts.Getenv("OTTO"))...))
	return object(ts, "stdout")
}

func object(ts *testscript.TestScript, file string) map[string]string {
	var members map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(file)), &members))
	out := make(map[string]string)
	for name, v := range members {
		out[name], _ = v.(string)
	}
	return out
}

func endsWith(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("coffer", args[2:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != status {
		ts.Fatalf("exit: %v, want status %d", err, status)
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("stdout: %q, want nothing", out)
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stderr"), "\n"), "\n")
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, "coffer: ") || !regexp.MustCompile(args[1]).MatchString(last) {
		ts.Fatalf("stderr ends with %q, want a match of %s", last, args[1])
	}
}

// deployment is one that runs.
type deployment struct {
	app.Deployment
	url string
}

func (d *deployment) profile(name string) string {
	return filepath.Join(d.Dir, "people", name, "profile.toml")
}

// startDeployment makes a deployment and runs it until the test is over.
func startDeployment(t *testing.T, n *btcdtest.Node) *deployment {
	t.Helper()
	bin, password := t.TempDir(), filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(string(n.Password)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	signer := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "signerd"), "../signerd")
	if out, err := signer.CombinedOutput(); err != nil {
		t.Fatalf("build signerd: %v: %s", err, out)
	}
	self, err := exec.LookPath("coffer") // this binary, by that name
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "coffer")); err != nil {
		t.Fatal(err)
	}
	d := &deployment{Deployment: app.Deployment{Dir: filepath.Join(t.TempDir(), "dev"), Bin: bin, Out: io.Discard, HTTP: "127.0.0.1:0"}}
	if err := d.Make(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	options := app.DevOptions{Now: time.Now, Bitcoin: &app.Bitcoin{
		Network: string(regtest.Network), URL: n.URL, User: n.User, Password: config.Path(password), Confirmations: 1, Final: 2, Poll: "20ms", Start: 1,
	}}
	ready, done := make(chan app.Ready, 1), make(chan error, 1)
	options.Ready = func(r app.Ready) { ready <- r }
	go func() { done <- d.Run(ctx, options) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	select {
	case r := <-ready:
		d.url = r.URL
	case err := <-done:
		done <- err
		t.Fatalf("the deployment ended: %v", err)
	case <-t.Context().Done():
		t.Fatal("the deployment doesn't start")
	}
	return d
}

// run runs a command line in this process.
func run(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = Main(args, strings.NewReader(""), &out, &errs)
	return status, out.String(), errs.String()
}
