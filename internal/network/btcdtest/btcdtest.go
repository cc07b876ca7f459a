// Package btcdtest gives a test a Bitcoin network of its own: the pinned btcd on
// regtest (package regtest), whose methods fail the test instead of returning
// errors. Start from [Start].
package btcdtest

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/network"
	"github.com/cofferhq/coffer/internal/network/regtest"
)

// Node is a btcd that ends with its test.
type Node struct {
	URL      string
	User     string
	Password network.Password
	Client   *network.Bitcoin

	t    testing.TB
	node *regtest.Node
}

// Options says how a node starts.
type Options struct {
	Blocks int // how many are mined beyond the 101 that give the faucet its first 100 coins
}

// binary builds btcd once for all tests of a process.
var binary = sync.OnceValues(func() (string, error) {
	mod, err := exec.CommandContext(context.Background(), "go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	return regtest.Binary(context.Background(), filepath.Dir(strings.TrimSpace(string(mod))))
})

// Start runs a node. The first start on a machine builds btcd, which takes most of
// a minute.
func Start(t testing.TB, o Options) *Node {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	node, err := regtest.Start(t.Context(), t.TempDir(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() })
	n := &Node{URL: node.URL, User: regtest.User, Password: regtest.Password, Client: node.Client, t: t, node: node}
	if o.Blocks > 0 {
		n.Mine(o.Blocks)
	}
	return n
}

// Mine mines blocks with what is in the mempool and returns their hashes.
func (n *Node) Mine(blocks int) []custody.Hash {
	n.t.Helper()
	hashes, err := n.node.Mine(n.t.Context(), blocks)
	if err != nil {
		n.t.Fatal(err)
	}
	return hashes
}

// Pay sends satoshi from the faucet and returns the transaction's id. It isn't
// mined yet.
func (n *Node) Pay(to custody.Address, satoshi int64) custody.Hash {
	n.t.Helper()
	id, err := n.node.Pay(n.t.Context(), to, satoshi)
	if err != nil {
		n.t.Fatal(err)
	}
	return id
}

// Invalidate has the node forget a block and all above it.
func (n *Node) Invalidate(block custody.Hash) {
	n.t.Helper()
	if err := n.node.Invalidate(n.t.Context(), block); err != nil {
		n.t.Fatal(err)
	}
}

// Reconsider takes back an Invalidate.
func (n *Node) Reconsider(block custody.Hash) {
	n.t.Helper()
	if err := n.node.Reconsider(n.t.Context(), block); err != nil {
		n.t.Fatal(err)
	}
}

// Mempool returns the ids of the transactions that wait to be mined.
func (n *Node) Mempool() []custody.Hash {
	n.t.Helper()
	ids, err := n.node.Mempool(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return ids
}

// Transaction returns a transaction of the mempool or a block, as it was sent.
func (n *Node) Transaction(id custody.Hash) []byte {
	n.t.Helper()
	raw, err := n.node.Transaction(n.t.Context(), id)
	if err != nil {
		n.t.Fatal(err)
	}
	return raw
}

// Address is the faucet's own.
func (n *Node) Address() custody.Address {
	n.t.Helper()
	a, err := n.node.Address()
	if err != nil {
		n.t.Fatal(err)
	}
	return a
}
