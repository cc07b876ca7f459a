package app

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"github.com/go-json-experiment/json"
)

//go:embed dev
var devFiles embed.FS

// Deployment is a whole deployment in one directory, for development: who is there,
// their keys with the passphrases beside them, three nodes and a control plane. All
// of it is made by the commands that operators use.
type Deployment struct {
	Dir  string
	Bin  string    // directory of the programs coffer and signerd
	Out  io.Writer // hears which commands are run and what they print
	HTTP string    // host:port of the API
}

// The people and nodes of a deployment for development.
var (
	devAdministrators = []string{"ida", "tom", "una"}
	devPeople         = append(devAdministrators, "otto") // otto initiates, and is in no group
	devNodes          = []devNode{{"node-a", "CH"}, {"node-b", "SG"}, {"node-c", "DE"}}
)

type devNode struct{ Name, Jurisdiction string }

// NodeNames are the names of the signer nodes.
func NodeNames() []string {
	names := make([]string, len(devNodes))
	for i, n := range devNodes {
		names[i] = n.Name
	}
	return names
}

// ControlFile is the control plane's configuration.
func (d *Deployment) ControlFile() string { return filepath.Join(d.Dir, "control", "cofferd.toml") }

// NodeFile is a node's configuration.
func (d *Deployment) NodeFile(name string) string {
	return filepath.Join(d.Dir, "nodes", name, "signerd.toml")
}

// Made reports whether the deployment was made before.
func (d *Deployment) Made() bool {
	_, err := os.Stat(filepath.Join(d.Dir, "trust"))
	return err == nil
}

// Make makes the deployment, in one go or not at all: the directory gets its name
// when all of it is there.
func (d *Deployment) Make(ctx context.Context) (err error) {
	if entries, err := os.ReadDir(d.Dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s holds something else than a deployment", d.Dir)
	}
	parent := filepath.Dir(filepath.Clean(d.Dir))
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(parent, ".coffer-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temporary))
		}
	}()
	m := making{Deployment: d, root: temporary}
	if err := m.all(ctx); err != nil {
		return err
	}
	if err := os.Remove(d.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(temporary, d.Dir)
}

// making is a deployment on its way, in a directory of another name.
type making struct {
	*Deployment
	root string
}

func (m *making) all(ctx context.Context) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	if host, at, err := net.SplitHostPort(m.HTTP); err != nil {
		return fmt.Errorf("the API's address: %w", err)
	} else if at == "0" { // profiles name it, so it stays the same from here on
		free, err := freePort(ctx)
		if err != nil {
			return err
		}
		m.HTTP = net.JoinHostPort(host, strconv.Itoa(free))
	}
	if err := m.write("README.txt", "readme.txt", nil); err != nil {
		return err
	}
	if err := m.write("policy.yaml", "policy.yaml", nil); err != nil {
		return err
	}
	if err := m.write("setup.yaml", "setup.yaml", map[string]any{"Nodes": devNodes}); err != nil {
		return err
	}
	for _, name := range devPeople {
		if err := m.key(ctx, "people/"+name, "device", "new"); err != nil {
			return err
		}
	}
	for i := range 3 {
		if err := m.key(ctx, fmt.Sprintf("recovery/safe-%d", i+1), "device", "new"); err != nil {
			return err
		}
	}
	for _, n := range devNodes {
		if err := m.key(ctx, "nodes/"+n.Name, "node", "new", "--id", n.Name, "--institution", "bank", "--jurisdiction", n.Jurisdiction); err != nil {
			return err
		}
	}
	if err := m.key(ctx, "control", "control", "new"); err != nil {
		return err
	}
	for _, token := range []string{"control/api.token", "bus.token"} {
		if err := m.secret(token); err != nil {
			return err
		}
	}
	return m.charter(ctx, port)
}

// charter makes the charter, has everybody sign it, pins it, and writes the
// configuration of all programs.
func (m *making) charter(ctx context.Context, port int) error {
	out, err := m.coffer(ctx, "charter", "new", "setup.yaml", "--out", "charter.json", "--json")
	if err != nil {
		return err
	}
	var made struct {
		Persons []struct {
			Label string `json:"label"`
			ID    string `json:"id"`
		} `json:"persons"`
	}
	if err := json.Unmarshal(out, &made); err != nil {
		return fmt.Errorf("coffer charter new: %w", err)
	}
	signers := make([]string, 0, len(devAdministrators)+len(devNodes))
	for _, name := range devAdministrators {
		signers = append(signers, "people/"+name)
	}
	for _, n := range devNodes {
		signers = append(signers, "nodes/"+n.Name)
	}
	for _, dir := range signers {
		if _, err := m.coffer(ctx, "charter", "sign", "charter.json", "--key", dir+"/key", "--passphrase-file", dir+"/passphrase", "--yes"); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"charter", "check", "charter.json", "--signed"},
		{"charter", "pin", "charter.json", "--out", "trust"},
	} {
		if _, err := m.coffer(ctx, args...); err != nil {
			return err
		}
	}
	values := map[string]any{"HTTP": m.HTTP, "Port": port}
	if err := m.write("control/cofferd.toml", "cofferd.toml", values); err != nil {
		return err
	}
	for _, n := range devNodes {
		if err := m.write("nodes/"+n.Name+"/signerd.toml", "signerd.toml", values); err != nil {
			return err
		}
	}
	for _, p := range made.Persons {
		values["Person"] = p.ID
		if err := m.write("people/"+p.Label+"/profile.toml", "profile.toml", values); err != nil {
			return err
		}
	}
	return nil
}

// write fills in one of the templates.
func (m *making) write(name, from string, values any) error {
	t, err := template.ParseFS(devFiles, "dev/"+from)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := t.Execute(&b, values); err != nil {
		return err
	}
	file := filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(b.String()), 0o600)
}

// key makes a key file in a directory of its own, with the passphrase beside it.
func (m *making) key(ctx context.Context, dir string, args ...string) error {
	if err := m.secret(dir + "/passphrase"); err != nil {
		return err
	}
	args = append(args[:2:2], append([]string{dir + "/key", "--passphrase-file", dir + "/passphrase", "--work-factor", "10"}, args[2:]...)...)
	_, err := m.coffer(ctx, args...)
	return err
}

// secret writes a random passphrase or token of 160 bits, so that it needs no costly
// scrypt.
func (m *making) secret(name string) error {
	var b [20]byte
	if _, err := rand.Read(b[:]); err != nil {
		return err
	}
	file := filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	text := strings.ToLower(base32.StdEncoding.EncodeToString(b[:])) + "\n\nFor development only: in production nobody writes this beside what it opens.\n"
	return os.WriteFile(file, []byte(text), 0o600)
}

// coffer runs one of the commands that operators use.
func (m *making) coffer(ctx context.Context, args ...string) ([]byte, error) {
	fmt.Fprintf(m.Out, "$ coffer %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, filepath.Join(m.Bin, "coffer"), args...) //nolint:gosec // the program beside this one
	cmd.Dir = m.root
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("coffer %s: %w: %s", strings.Join(args[:2], " "), err, strings.TrimSpace(said.String()))
	}
	return out, nil
}

func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of a TCP listener
	return port, l.Close()
}
