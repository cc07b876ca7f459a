package ceremony

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cofferhq/coffer/internal/bus"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/store"
	"github.com/cofferhq/coffer/internal/wire"
)

// Config is what a Coordinator is made of.
type Config struct {
	Store  *store.Store
	Bus    *bus.Endpoint
	LogKey hybrid.PrivateKey // signs checkpoints
	Now    func() time.Time
	Rand   io.Reader
	Log    *slog.Logger
}

// Coordinator hands the journal to the nodes and runs sessions with them.
type Coordinator struct {
	cfg Config

	mu      sync.Mutex
	nodes   map[custody.Name]*node
	asked   asked                // the newest checkpoint, which nodes are asked to cosign
	head    journal.Head         // the newest that a quorum cosigned
	note    []byte               // of head
	strikes map[custody.Name]int // sessions that failed with a node since its last good one
	changed chan struct{}        // closed and replaced whenever one of these changes
}

// asked is a checkpoint with the cosignatures so far.
type asked struct {
	size   int64
	note   []byte
	quorum *journal.Quorum
}

// node is what the control plane knows of a signer node.
type node struct {
	name     custody.Name
	size     int64 // entries that it has, as far as known
	cosigned int64 // size of the newest head that it cosigned for asked
	told     int64 // size of the newest quorum's head that it took
	seen     time.Time
	reason   string // why it refused last, or didn't answer
}

// NodeStatus is how a node stands, for people.
type NodeStatus struct {
	Name      custody.Name
	Reachable bool
	Size      int64 // entries that it has
	Seen      time.Time
}

// The paces of the follow loops.
const (
	callTimeout = 5 * time.Second
	pingEvery   = 5 * time.Second // how often a node with nothing to do is asked how it is
	retryAfter  = 500 * time.Millisecond
	tickAfter   = 10 * time.Second // age of an uncovered newest entry that calls for a tick
	renewAfter  = 30 * time.Second // age of a head under which nothing new is started
)

// New prepares a coordinator, with the newest head on record.
func New(ctx context.Context, cfg Config) (*Coordinator, error) {
	c := &Coordinator{cfg: cfg, nodes: make(map[custody.Name]*node), strikes: make(map[custody.Name]int), changed: make(chan struct{})}
	note, _, err := cfg.Store.Head(ctx)
	if err != nil {
		return nil, err
	}
	if note != nil {
		err = cfg.Store.View(func(s *state.State) error {
			c.head, err = s.CheckHead(note)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("the newest head on record: %w", err)
		}
		c.note = note
	}
	return c, nil
}

// Run hands out the journal until ctx ends.
func (c *Coordinator) Run(ctx context.Context) error {
	c.cfg.Bus.Handle(wire.EntriesTopic, c.entries)
	var work sync.WaitGroup
	defer work.Wait()
	for {
		grown := c.cfg.Store.Changed()
		for _, n := range c.newNodes() {
			work.Go(func() { c.feed(ctx, n) })
		}
		if err := c.checkpoint(); err != nil {
			return err
		}
		if err := c.tick(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Log.Error("tick", "error", err.Error())
		}
		select {
		case <-grown:
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// newNodes returns the nodes on record that nobody feeds yet.
func (c *Coordinator) newNodes() []*node {
	var names []custody.Name
	_ = c.cfg.Store.View(func(s *state.State) error {
		for _, n := range s.NodeList() {
			names = append(names, n.ID)
		}
		return nil
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	var fresh []*node
	for _, name := range names {
		if c.nodes[name] == nil {
			c.nodes[name] = &node{name: name}
			fresh = append(fresh, c.nodes[name])
		}
	}
	return fresh
}

// checkpoint signs the journal's newest size, for the nodes to cosign.
func (c *Coordinator) checkpoint() error {
	size := c.cfg.Store.Size()
	c.mu.Lock()
	have := c.asked.size
	c.mu.Unlock()
	if size <= have || size == 0 {
		return nil
	}
	note, err := c.signed(size)
	if err != nil {
		return err
	}
	var quorum *journal.Quorum
	err = c.cfg.Store.View(func(s *state.State) error {
		quorum, err = s.Quorum(size)
		return err
	})
	if err != nil {
		return err
	}
	c.update(func() { c.asked = asked{size, note, quorum} })
	return nil
}

// update changes what is guarded and wakes whoever waits for it.
func (c *Coordinator) update(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	c.wake()
}

// wake wakes whoever waits for a change. The caller holds mu.
func (c *Coordinator) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// tick lets the journal note that time passes, where no quorum can cosign its newest
// entry any more because that is too old.
func (c *Coordinator) tick(ctx context.Context) error {
	c.mu.Lock()
	covered := c.head.Size >= c.asked.size
	c.mu.Unlock()
	if covered {
		return nil
	}
	return c.tickAfter(ctx, tickAfter)
}

// tickAfter appends a tick if the newest entry is older than age.
func (c *Coordinator) tickAfter(ctx context.Context, age time.Duration) error {
	return c.cfg.Store.Advance(ctx, func(t *store.Tx) error {
		if t.State().NewestTime().Time().Add(age).After(c.cfg.Now()) {
			return nil
		}
		_, _, err := t.Append(custody.ObservedEntry, &custody.Observed{Kind: custody.Tick})
		return err
	})
}

// feed keeps one node at the journal's end and gathers its cosignatures.
func (c *Coordinator) feed(ctx context.Context, n *node) {
	for ctx.Err() == nil {
		c.mu.Lock()
		todo, head, note, changed := c.asked, c.head, c.note, c.changed
		cosigned, told, size := n.cosigned, n.told, n.size
		c.mu.Unlock()
		var err error
		switch {
		case todo.size > cosigned:
			err = c.follow(ctx, n, todo, size)
		case head.Size > told:
			err = c.tell(ctx, n, note, head.Size)
		default:
			select {
			case <-changed:
				continue
			case <-time.After(pingEvery):
				if note != nil {
					err = c.tell(ctx, n, note, head.Size)
				}
			case <-ctx.Done():
				return
			}
		}
		if err == nil {
			continue
		}
		c.mu.Lock()
		if n.reason != err.Error() && ctx.Err() == nil {
			c.cfg.Log.Warn("node", "node", n.name, "reason", err.Error())
		}
		n.reason = err.Error()
		c.mu.Unlock()
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
		}
	}
}

// follow hands a node the entries from size on and takes its cosignature.
func (c *Coordinator) follow(ctx context.Context, n *node, todo asked, size int64) error {
	entries, note, err := c.batch(ctx, size, todo.size)
	if err != nil {
		return err
	}
	end := size + int64(len(entries))
	if end >= todo.size {
		note = todo.note
	}
	var answer wire.Followed
	err = c.call(ctx, n, wire.FollowTopic, wire.Follow{From: size, Entries: entries, Note: custody.Note(note)}, &answer)
	if err != nil {
		return err
	}
	c.mu.Lock()
	n.size, n.seen = answer.Size, c.cfg.Now()
	c.mu.Unlock()
	switch {
	case answer.Size < todo.size && answer.Size > size:
		return nil // the rest comes with the next call
	case len(answer.Lines) > 0:
		return c.gather(ctx, n, todo, answer.Lines)
	case answer.Stale:
		return errors.Join(errors.New(answer.Refused), c.tickAfter(ctx, time.Second))
	default:
		return fmt.Errorf("didn't cosign: %s", answer.Refused)
	}
}

// batch reads entries from an index up to an end, as many as fit into a message, and
// signs the checkpoint after the last of them.
func (c *Coordinator) batch(ctx context.Context, from, to int64) ([]jsontext.Value, []byte, error) {
	out := []jsontext.Value{}
	if from >= to {
		return out, nil, nil
	}
	raw, err := c.cfg.Store.Entries(ctx, from, int(min(to-from, 1000)))
	if err != nil {
		return nil, nil, err
	}
	total := 0
	for _, e := range raw {
		if total += len(e); total > wire.MaxEntries && len(out) > 0 {
			break
		}
		out = append(out, e)
	}
	note, err := c.signed(from + int64(len(out)))
	return out, note, err
}

// signed is the log's checkpoint of the first size entries.
func (c *Coordinator) signed(size int64) ([]byte, error) {
	checkpoint, err := c.cfg.Store.Checkpoint(size)
	if err != nil {
		return nil, fmt.Errorf("root of %d entries: %w", size, err)
	}
	return journal.SignCheckpoint(checkpoint, c.cfg.LogKey)
}

// gather adds a node's cosignature. With the one that makes a quorum the head counts.
func (c *Coordinator) gather(ctx context.Context, n *node, todo asked, lines []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked.size != todo.size {
		return nil // a newer checkpoint is out; this node is asked again
	}
	note, err := todo.quorum.Add(c.asked.note, lines)
	if err != nil {
		return fmt.Errorf("its cosignature: %w", err)
	}
	c.asked.note, n.cosigned, n.reason = note, todo.size, ""
	head, err := todo.quorum.Check(note)
	if _, few := errors.AsType[*journal.QuorumError](err); few {
		return nil
	} else if err != nil {
		return err
	}
	if err := c.cfg.Store.SetHead(ctx, note, head.Size); err != nil {
		return err
	}
	c.head, c.note = head, note
	c.wake()
	return nil
}

// tell hands a node the newest head that a quorum cosigned.
func (c *Coordinator) tell(ctx context.Context, n *node, note []byte, size int64) error {
	var answer wire.Followed
	if err := c.call(ctx, n, wire.HeadTopic, wire.Head{Note: custody.Note(note)}, &answer); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n.size, n.told, n.seen, n.reason = max(n.size, answer.Size), max(n.told, size), c.cfg.Now(), ""
	return nil
}

func (c *Coordinator) call(ctx context.Context, n *node, topic string, question, answer any) error {
	body, err := wire.Encode(question)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	raw, err := c.cfg.Bus.Call(ctx, string(n.name), topic, body)
	if err != nil {
		return err
	}
	return wire.Decode(raw, answer)
}

// entries answers a node that pulls.
func (c *Coordinator) entries(ctx context.Context, _ string, body []byte) ([]byte, error) {
	var m wire.Pull
	if err := wire.Decode(body, &m); err != nil {
		return nil, err
	}
	if m.From < 0 {
		return nil, &custody.Error{Code: custody.Invalid, Field: "from", Message: "negative"}
	}
	entries, note, err := c.batch(ctx, m.From, c.cfg.Store.Size())
	if err != nil {
		return nil, err
	}
	return wire.Encode(wire.Entries{Entries: entries, Note: custody.Note(note)})
}

// Head returns the newest head that a quorum cosigned, and its note; nil if there is
// none yet.
func (c *Coordinator) Head() (journal.Head, []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head, c.note
}

// Covered waits until a quorum has cosigned a head that covers the entry at index
// and is not too old to start something under it.
func (c *Coordinator) Covered(ctx context.Context, index int64) error {
	for {
		c.mu.Lock()
		head, changed := c.head, c.changed
		c.mu.Unlock()
		if head.Size > index {
			if head.Fresh(c.cfg.Now(), renewAfter) == nil {
				return nil
			}
			if err := c.tickAfter(ctx, time.Second); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-time.After(time.Second):
		case <-ctx.Done():
			return &custody.Error{Code: custody.Unavailable, Field: "head", Message: fmt.Sprintf("no quorum of witnesses has cosigned entry %d yet", index), Err: ctx.Err()}
		}
	}
}

// Nodes says how all nodes stand, in ascending order of their names.
func (c *Coordinator) Nodes() []NodeStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []NodeStatus
	for _, n := range c.nodes {
		out = append(out, NodeStatus{n.name, c.reachable(n), n.size, n.seen})
	}
	slices.SortFunc(out, func(a, b NodeStatus) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (c *Coordinator) reachable(n *node) bool {
	return n.reason == "" && c.cfg.Now().Sub(n.seen) < 2*pingEvery
}
