package app

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Node is a signer node that runs as a process of its own.
type Node struct {
	Name   string
	PID    int
	Exited <-chan struct{} // closed when it has ended
}

// StartNode starts a deployment's node. It ends with ctx, or with this process. What
// it logs is appended to the file log in its directory.
func (d *Deployment) StartNode(ctx context.Context, name string) (*Node, error) {
	dir := filepath.Join(d.Dir, "nodes", name)
	log, err := openLog(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(d.Bin, "signerd"), "run", "--config", d.NodeFile(name)) //nolint:gosec // the program beside this one
	cmd.Stdout, cmd.Stderr = log, log
	diesWithParent(cmd)
	started, exited := make(chan error), make(chan struct{})
	go func() {
		defer close(exited)
		defer log.Close()      //nolint:errcheck // the node's own log
		runtime.LockOSThread() // the system kills the node when the thread that started it ends
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // its log says why
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return &Node{name, cmd.Process.Pid, exited}, nil
}
