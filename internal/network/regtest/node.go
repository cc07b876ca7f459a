// Package regtest runs a Bitcoin network of one's own: a real btcd on loopback that
// mines when it is told to, and a faucet that holds what is mined. Demonstrations
// and tests use it; nothing in it is for money. Start from [Binary] and [Start].
package regtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"

	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/network"
)

// The name and password of every node: it listens on loopback, and what it guards
// is worth nothing.
const (
	User                      = "coffer"
	Password network.Password = "regtest"
)

// Network is the network that nodes run.
const Network = bitcoin.Regtest

// Node is a running btcd. Its methods may be called by several goroutines.
type Node struct {
	URL    string
	Client *network.Bitcoin

	cmd    *exec.Cmd
	output bytes.Buffer  // of the process; read it only after ended
	ended  chan struct{} // closed when the process has ended

	mu    sync.Mutex
	key   *btcec.PrivateKey // the faucet's
	coins []coin            // the faucet's, oldest first
}

// Binary builds the btcd that tools/go.mod of the repository at root pins, or
// finds it built, and returns its path.
func Binary(ctx context.Context, root string) (string, error) {
	tools := "-modfile=" + filepath.Join(root, "tools", "go.mod")
	cmd := exec.CommandContext(ctx, "go", "tool", tools, "-n", "btcd") //nolint:gosec // the operator's own repository
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return "", fmt.Errorf("build btcd: %w: %s", err, bytes.TrimSpace(exit.Stderr))
		}
		return "", fmt.Errorf("build btcd: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Start runs the btcd at path binary with its data in dir, on free ports of
// loopback, and mines 101 blocks, so that the faucet has 100 coins to spend. The node
// ends with ctx or with [Node.Close].
func Start(ctx context.Context, dir, binary string) (*Node, error) {
	// Another process may take a port between our look and btcd's, so try again.
	var last error
	for range 3 {
		n, err := launch(ctx, dir, binary)
		if err != nil {
			return nil, err
		}
		if last = n.ready(ctx); last == nil {
			if _, err := n.Mine(ctx, 101); err != nil {
				return nil, errors.Join(err, n.Close())
			}
			return n, nil
		}
		_ = n.Close()
		last = fmt.Errorf("%w; btcd printed: %s", last, bytes.TrimSpace(n.output.Bytes()))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

func launch(ctx context.Context, dir, binary string) (*Node, error) {
	n := &Node{key: faucetKey(), ended: make(chan struct{})}
	address, err := n.Address()
	if err != nil {
		return nil, err
	}
	rpc, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	n.URL = "http://" + rpc
	n.Client, err = network.NewBitcoin(network.BitcoinConfig{Network: Network, URL: n.URL, User: User, Password: Password})
	if err != nil {
		return nil, err
	}
	// An empty file keeps btcd from reading the one of the user's home.
	config := filepath.Join(dir, "btcd.conf")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		return nil, err
	}
	//nolint:gosec // the caller names the program
	n.cmd = exec.CommandContext(ctx, binary, "--regtest", "--configfile="+config,
		"--datadir="+filepath.Join(dir, "data"), "--logdir="+filepath.Join(dir, "logs"), "--debuglevel=warn",
		"--rpclisten="+rpc, "--rpcuser="+User, "--rpcpass="+string(Password), "--notls",
		"--nolisten", "--nodnsseed",
		"--txindex", "--rejectnonstd", "--limitfreerelay=0", "--norelaypriority",
		"--miningaddr="+string(address))
	n.cmd.Stdout, n.cmd.Stderr = &n.output, &n.output
	diesWithParent(n.cmd)
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start btcd: %w", err)
	}
	go func() {
		_ = n.cmd.Wait()
		close(n.ended)
	}()
	return n, nil
}

func freePort(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// ready waits until the node answers.
func (n *Node) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := n.Client.Check(ctx)
		if err == nil || custody.CodeOf(err) != custody.Unavailable {
			return err
		}
		select {
		case <-n.ended:
			return errors.New("btcd ended at once")
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// Close kills the node and waits until it is gone.
func (n *Node) Close() error {
	err := n.cmd.Process.Kill()
	<-n.ended
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Mine mines n blocks on top of the best one, with what is in the mempool, and
// returns their hashes. The faucet gets the rewards.
func (n *Node) Mine(ctx context.Context, blocks int) ([]custody.Hash, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var hashes []custody.Hash
	if err := n.Client.Call(ctx, &hashes, "generate", blocks); err != nil {
		return nil, err
	}
	return hashes, n.collect(ctx, len(hashes))
}

// Invalidate has the node forget a block and all above it, as a reorganisation
// would; mine other ones then. What was in them goes back to the mempool.
func (n *Node) Invalidate(ctx context.Context, block custody.Hash) error {
	var nothing any
	return n.Client.Call(ctx, &nothing, "invalidateblock", block)
}

// Reconsider takes back an Invalidate. The longest chain is the best one again.
func (n *Node) Reconsider(ctx context.Context, block custody.Hash) error {
	var nothing any
	return n.Client.Call(ctx, &nothing, "reconsiderblock", block)
}

// Mempool returns the ids of the transactions that wait to be mined.
func (n *Node) Mempool(ctx context.Context) ([]custody.Hash, error) {
	var ids []custody.Hash
	err := n.Client.Call(ctx, &ids, "getrawmempool")
	return ids, err
}
