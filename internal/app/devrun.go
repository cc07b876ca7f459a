package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cofferhq/coffer/internal/config"
)

// Ready says where a running deployment is. It is written as JSON to the file that
// `cofferd dev --ready` names.
type Ready struct {
	URL   string         `json:"url"`   // of the API
	Nodes map[string]int `json:"nodes"` // process ids
}

// DevOptions say how to run a deployment for development.
type DevOptions struct {
	Bitcoin *Bitcoin    // a node to use instead of those of the configuration
	Ready   func(Ready) // called once, when all of it runs
	Now     func() time.Time
}

// Run runs the deployment, with the control plane in this process and each node in
// one of its own, until ctx ends. A node that ends isn't started again.
func (d *Deployment) Run(ctx context.Context, o DevOptions) (err error) {
	f := new(File)
	if err := config.Read(d.ControlFile(), f); err != nil {
		return err
	}
	if o.Bitcoin != nil {
		f.Bitcoin = []Bitcoin{*o.Bitcoin}
	}
	if err := f.Validate(); err != nil {
		return err
	}
	file, err := openLog(filepath.Join(d.Dir, "control", "log"))
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only a log
	log := slog.New(slog.NewJSONHandler(file, nil))
	control, err := Open(ctx, f, o.Now, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, control.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := Ready{control.URL(), make(map[string]int)}
	for _, name := range NodeNames() {
		n, err := d.StartNode(ctx, name)
		if err != nil {
			return err
		}
		ready.Nodes[name] = n.PID
		defer func() { <-n.Exited }()
		go func() {
			<-n.Exited
			if ctx.Err() == nil {
				fmt.Fprintf(d.Out, "%s has ended: see %s\n", n.Name, filepath.Join(d.Dir, "nodes", n.Name, "log"))
			}
		}()
	}
	defer cancel() // before the nodes are waited for
	go control.announce(ctx, ready, o.Ready)
	return control.Run(ctx)
}

// announce waits until a quorum has cosigned the journal, and says that all runs.
func (c *Control) announce(ctx context.Context, ready Ready, tell func(Ready)) {
	if c.nodes.Covered(ctx, 0) == nil && tell != nil {
		tell(ready)
	}
}

// WriteReady writes what a Ready says into a file, at once.
func WriteReady(file string, r Ready) error {
	raw, err := json.Marshal(r, json.Deterministic(true))
	if err != nil {
		return err
	}
	temporary := file + "." + strconv.Itoa(os.Getpid())
	if err := os.WriteFile(temporary, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, file)
}

func openLog(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // within the deployment
}
