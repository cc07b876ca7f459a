package signer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferhq/coffer/internal/bus"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/keyfile"
	"github.com/cofferhq/coffer/internal/keystore"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/wire"
	"github.com/cofferhq/coffer/tss"
)

// Config is what a node is made of.
type Config struct {
	Keys      *keyfile.Node    // its two keys; the public part names it
	Charter   *custody.Charter // pinned by the operator: its hash names the deployment
	Store     *keystore.Store
	Dir       string // where the journal's file is
	Transport bus.Transport
	Now       func() time.Time
	Log       *slog.Logger
}

// Node is a signer node.
type Node struct {
	cfg     Config
	name    custody.Name
	charter custody.Hash
	origin  journal.Origin
	bus     *bus.Endpoint
	tss     *tss.Node

	mu      sync.Mutex // guards all below
	state   *state.State
	tree    journal.Tree
	log     *entryLog
	witness *journal.Witness
	logKey  hybrid.PublicKey                       // that witness was made for
	seen    int64                                  // size of the head that the witness cosigned last
	head    journal.Head                           // newest that a quorum cosigned and that agrees with tree
	changed chan struct{}                          // closed and replaced when head moves on
	broken  error                                  // why the node can't go on
	signing map[*wire.Sign]context.CancelCauseFunc // sessions that run; see reconsider

	known atomic.Pointer[map[string]hybrid.PublicKey] // whom the node talks to; see meet
}

// New opens what the node has on disk and verifies all of it again. Run starts it.
func New(ctx context.Context, cfg Config) (*Node, error) {
	n := &Node{
		cfg: cfg, name: cfg.Keys.Public.ID, charter: cfg.Charter.Hash(), changed: make(chan struct{}),
		signing: make(map[*wire.Sign]context.CancelCauseFunc),
	}
	n.origin = journal.NewOrigin(n.charter)
	n.state = state.New(n.charter)
	if err := n.inCharter(); err != nil {
		return nil, err
	}
	if err := n.restore(ctx); err != nil {
		return nil, err
	}
	n.meet()
	var err error
	n.bus, err = bus.New(bus.Config{
		Charter: n.charter, Name: string(n.name), Key: cfg.Keys.Identity, Identity: cfg.Keys.TSS,
		Peers: func() map[string]hybrid.PublicKey { return *n.known.Load() }, Transport: cfg.Transport, Now: cfg.Now,
		Report: func(peer string, err error) { cfg.Log.Debug("frame dropped", "peer", peer, "error", err) },
	})
	if err != nil {
		return nil, errors.Join(err, n.log.close())
	}
	n.tss, err = tss.NewNode(tss.Config{
		Identity: cfg.Keys.TSS, Channel: n.bus.Channel(), Log: cfg.Store.Log(),
		Now: func() int64 { return cfg.Now().Unix() }, Rand: rand.Reader,
	})
	if err != nil {
		n.bus.Close()
		return nil, errors.Join(err, n.log.close())
	}
	return n, nil
}

// inCharter refuses keys that the charter gives to nobody of this name. A node that
// came later stands in the journal, which is followed from the same charter.
func (n *Node) inCharter() error {
	for _, other := range n.cfg.Charter.Nodes {
		if other.ID == n.name && string(other.IdentityKey) != string(n.cfg.Keys.Public.IdentityKey) {
			return &custody.Error{Code: custody.Invalid, Field: "key", Message: fmt.Sprintf("the charter has another identity key for node %s", n.name)}
		}
	}
	return nil
}

// Close ends all sessions and closes the journal's file. The keystore stays the
// caller's.
func (n *Node) Close() error {
	n.tss.Close()
	n.bus.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.close()
}

// meet finds out whom the node talks to: the control plane and the nodes on record;
// before there are any, those of the charter.
func (n *Node) meet() {
	control, nodes := n.cfg.Charter.Control, n.cfg.Charter.Nodes
	if n.state.CharterBody() != nil {
		control, nodes = n.state.ControlKeys(), nil
		for _, other := range n.state.NodeList() {
			nodes = append(nodes, *other)
		}
	}
	out := make(map[string]hybrid.PublicKey)
	if k, err := hybrid.ParsePublicKey(control.CoordinatorKey); err == nil {
		out[bus.Coordinator] = k
	}
	for _, other := range nodes {
		if k, err := hybrid.ParsePublicKey(other.IdentityKey); err == nil {
			out[string(other.ID)] = k
		}
	}
	n.known.Store(&out)
}

// Run answers the control plane until ctx ends. It returns ctx's error, or why the
// node can't go on.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	n.handle(wire.FollowTopic, cancel, n.follow)
	n.handle(wire.HeadTopic, cancel, n.takeHead)
	n.handle(wire.KeygenTopic, cancel, n.keygen)
	n.handle(wire.SignTopic, cancel, n.sign)
	go n.catchUp(ctx)
	<-ctx.Done()
	return context.Cause(ctx)
}

// handle answers calls of the control plane; nobody else has anything to ask.
func (n *Node) handle(topic string, stop context.CancelCauseFunc, do func(ctx context.Context, body []byte) (any, error)) {
	n.bus.Handle(topic, func(ctx context.Context, from string, body []byte) ([]byte, error) {
		if from != bus.Coordinator {
			return nil, &custody.Error{Code: custody.Forbidden, Message: "only the control plane asks this"}
		}
		answer, err := do(ctx, body)
		if broken := n.isBroken(); broken != nil {
			stop(broken)
			return nil, &custody.Error{Code: custody.Unavailable, Message: "the node has stopped: " + broken.Error()}
		}
		if err != nil {
			n.cfg.Log.Warn("refused", "topic", topic, "reason", err.Error())
			return nil, err
		}
		return wire.Encode(answer)
	})
}

func (n *Node) isBroken() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.broken
}

func refuse(field, format string, args ...any) error {
	return &custody.Error{Code: custody.Forbidden, Field: field, Message: fmt.Sprintf(format, args...)}
}
