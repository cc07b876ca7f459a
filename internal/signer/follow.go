package signer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cofferhq/coffer/internal/bus"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/wire"
)

// restore reads the journal's file, applies every entry as if it had just come, and
// holds the result against the heads that this node has cosigned and seen cosigned.
func (n *Node) restore(ctx context.Context) error {
	var err error
	if n.log, err = openLog(n.cfg.Dir); err != nil {
		return err
	}
	fail := func(err error) error { return errors.Join(err, n.log.close()) }
	own, err := n.cfg.Store.Heads().Load(ctx)
	if err != nil {
		return fail(err)
	}
	quorum, err := n.cfg.Store.QuorumHead()
	if err != nil {
		return fail(err)
	}
	var heads []journal.Checkpoint
	for _, note := range [][]byte{own, quorum} {
		if note == nil {
			continue
		}
		c, err := state.Claimed(note)
		if err != nil {
			return fail(err)
		}
		heads = append(heads, c)
		n.seen = max(n.seen, c.Size)
	}
	// What no head vouches for, or can't any more, is pulled again.
	if dropped, err := n.log.keep(n.seen); err != nil {
		return fail(err)
	} else if dropped > 0 {
		n.cfg.Log.Warn("entries of the journal's file are pulled again", "entries", dropped, "head", n.seen)
	}
	if err := n.log.each(n.apply); err != nil {
		return fail(fmt.Errorf("replay the journal: %w", err))
	}
	for _, c := range heads {
		if c.Size > n.tree.Size() {
			continue // it is pulled again, and compared before anything is cosigned
		}
		if root, err := n.tree.Root(c.Size); err != nil || root != c.Root {
			return fail(fmt.Errorf("the journal's file isn't what stood under the head of %d entries that this node has accepted: it was altered", c.Size))
		}
	}
	if quorum != nil {
		if head, err := n.checkHead(quorum); err == nil {
			n.head = head
		}
	}
	return nil
}

// apply adds one entry to state and tree.
func (n *Node) apply(raw []byte) error {
	r, err := n.state.Apply(raw)
	if err != nil {
		return err
	}
	if _, err := n.tree.Append(raw); err != nil {
		return err
	}
	if r.Void != "" {
		n.cfg.Log.Warn("void entry", "index", r.Index, "code", r.Void, "reason", r.Why)
		return nil
	}
	return n.settle(raw)
}

// settle erases what a ceremony left behind once its KEY entry says which attempt
// it ended with.
func (n *Node) settle(raw []byte) error {
	e, err := custody.ParseEntry(raw)
	if err != nil {
		return err
	}
	k, ok := e.Body.(*custody.KeyRecord)
	if !ok {
		return nil
	}
	err = n.cfg.Store.Settle(k.Intent, k.Key.PublicKey)
	if custody.CodeOf(err) == custody.NotFound {
		n.cfg.Log.Error("this node holds no share of a key on record", "key", k.Key.ID)
		return nil // another set's key, or one that this node has lost its share of
	}
	return err
}

// extend appends entries that begin at index from and end where the log's checkpoint
// says. Those that are there already are skipped. What the log hasn't signed isn't
// appended: a server that has gone astray, or back to an old database, leaves no
// trace here. What can't be applied stops the node: rules or a list that it lacks.
func (n *Node) extend(from int64, entries []rawJSON, note []byte) error {
	have := n.tree.Size()
	if from > have {
		return fmt.Errorf("entries from %d, this node has %d", from, have)
	}
	if skip := have - from; skip > 0 {
		entries = entries[min(skip, int64(len(entries))):]
	}
	if len(entries) == 0 {
		return nil
	}
	raw := make([][]byte, len(entries))
	for i, e := range entries {
		if len(e) > custody.MaxEntry {
			return refuse("entries", "entry %d has more than %d bytes", have+int64(i), custody.MaxEntry)
		}
		raw[i] = e
	}
	if err := n.signedByLog(raw, note); err != nil {
		return err
	}
	if have == 0 { // on the disk it would keep the node from ever starting again
		if _, err := state.New(n.charter).Apply(raw[0]); err != nil {
			return refuse("entries", "%v", err)
		}
	}
	if err := n.log.append(raw); err != nil {
		n.broken = err
		return err
	}
	chain := n.state.ChainHead()
	for _, e := range raw {
		if err := n.apply(e); err != nil {
			n.broken = err
			return err
		}
	}
	if n.state.ChainHead() != chain {
		n.meet()
	}
	n.reconsider()
	return nil
}

// signedByLog refuses entries that don't lead to a head that the log signed.
func (n *Node) signedByLog(entries [][]byte, note []byte) error {
	control := n.cfg.Charter.Control
	if n.state.CharterBody() != nil {
		control = n.state.ControlKeys()
	}
	log, err := hybrid.ParsePublicKey(control.LogKey)
	if err != nil {
		return err
	}
	c, err := journal.OpenCheckpoint(note, n.origin, log)
	if err != nil {
		return refuse("head", "%v", err)
	}
	edge := n.tree.Frontier()
	for _, e := range entries {
		if _, err := edge.Append(journal.LeafHash(e)); err != nil {
			return err
		}
	}
	if edge.Size() != c.Size || edge.Root() != c.Root {
		return refuse("head", "the log signed a head of %d entries, and these lead to another one of %d", c.Size, edge.Size())
	}
	return nil
}

// follow takes in the journal's newest entries and cosigns the head that they lead
// to. Entries that lack in between are pulled.
func (n *Node) follow(ctx context.Context, body []byte) (any, error) {
	var m wire.Follow
	if err := wire.Decode(body, &m); err != nil {
		return nil, err
	}
	if have := n.size(); m.From > have {
		if err := n.pull(ctx); err != nil {
			return wire.Followed{Size: n.size(), Refused: err.Error()}, nil
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.extend(m.From, m.Entries, []byte(m.Note)); err != nil {
		return wire.Followed{Size: n.tree.Size(), Refused: err.Error()}, nil
	}
	answer := wire.Followed{Size: n.tree.Size()}
	lines, err := n.cosign(ctx, []byte(m.Note))
	if err != nil {
		_, answer.Stale = errors.AsType[*journal.ClockError](err)
		answer.Refused = err.Error()
		n.cfg.Log.Warn("not cosigned", "size", answer.Size, "reason", err.Error())
		return answer, nil
	}
	answer.Lines = lines
	return answer, nil
}

func (n *Node) size() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.tree.Size()
}

// cosign cosigns a head that is exactly what this node has applied. The time that it
// compares with its clock is the state's, not what a void entry claims.
func (n *Node) cosign(ctx context.Context, note []byte) ([]byte, error) {
	c, err := state.Claimed(note)
	if err != nil {
		return nil, err
	}
	size := n.tree.Size()
	if c.Size != size {
		return nil, fmt.Errorf("the head is of %d entries, this node has %d", c.Size, size)
	}
	root, err := n.tree.Root(size)
	if err != nil {
		return nil, err
	}
	if c.Root != root {
		// The witness decides: with a head of the same size that it cosigned before,
		// this is a fork that convicts the log key.
		n.cfg.Log.Error("the head is of another journal than this node was given", "size", c.Size)
		if c.Size > n.seen {
			return nil, fmt.Errorf("the head of %d entries is of another journal than the entries", c.Size)
		}
	}
	if err := n.makeWitness(); err != nil {
		return nil, err
	}
	proof, err := journal.ProveConsistency(min(n.seen, size), size, &n.tree)
	if err != nil {
		return nil, err
	}
	lines, err := n.witness.Cosign(ctx, journal.Request{
		Note: note, OldSize: n.seen, Proof: proof, Newest: n.state.NewestTime().Time(),
	}, n.cfg.Now())
	if fork, ok := errors.AsType[*journal.ForkError](err); ok {
		if proof, err := custody.Encode(fork.Proof); err == nil {
			n.cfg.Log.Error("the control plane's log has forked", "size", c.Size, "proof", string(proof))
		}
	}
	if err == nil && c.Root != root { // the witness cosigned it before; the entries are not those of then
		return nil, fmt.Errorf("the head of %d entries is of another journal than the entries", c.Size)
	}
	if err == nil {
		n.seen = size
	}
	return lines, err
}

// makeWitness makes the witness for the log key now in force.
func (n *Node) makeWitness() error {
	log, err := hybrid.ParsePublicKey(n.state.ControlKeys().LogKey)
	if err != nil {
		return err
	}
	if n.witness != nil && n.logKey.Equal(log) {
		return nil
	}
	n.witness, err = journal.NewWitness(n.origin, log, journal.WitnessID(n.name), n.cfg.Keys.Witness, n.cfg.Store.Heads())
	n.logKey = log
	return err
}

// takeHead takes a head that a quorum cosigned, if it is of this node's journal.
func (n *Node) takeHead(ctx context.Context, body []byte) (any, error) {
	var m wire.Head
	if err := wire.Decode(body, &m); err != nil {
		return nil, err
	}
	c, err := state.Claimed([]byte(m.Note))
	if err != nil {
		return nil, refuse("head", "%v", err)
	}
	if c.Size > n.size() {
		if err := n.pull(ctx); err != nil {
			return nil, err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	head, err := n.checkHead([]byte(m.Note))
	if err != nil {
		return nil, err
	}
	if head.Size >= n.head.Size {
		if err := n.cfg.Store.SetQuorumHead([]byte(m.Note), head.Size); err != nil {
			return nil, err
		}
		n.head = head
		close(n.changed)
		n.changed = make(chan struct{})
	}
	return wire.Followed{Size: n.tree.Size()}, nil
}

// checkHead verifies a head's quorum and holds it against the entries.
func (n *Node) checkHead(note []byte) (journal.Head, error) {
	head, err := n.state.CheckHead(note)
	if err != nil {
		return head, refuse("head", "%v", err)
	}
	root, err := n.tree.Root(head.Size)
	if err != nil {
		return head, refuse("head", "of %d entries, this node has %d", head.Size, n.tree.Size())
	}
	if root != head.Root {
		n.cfg.Log.Error("a quorum cosigned another journal than this node has", "size", head.Size)
		return head, refuse("head", "a quorum cosigned another journal of %d entries than this node has", head.Size)
	}
	return head, nil
}

// maxHeadAge is how old the newest cosigned head may be, by this node's clock, when
// something is released under it.
const maxHeadAge = 60 * time.Second

// headWait is how long an invitation waits for the head that covers its entry.
const headWait = 5 * time.Second

// covered waits until a fresh head that a quorum cosigned covers the entry at index,
// and returns it.
func (n *Node) covered(ctx context.Context, index int64) (journal.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, headWait)
	defer cancel()
	for {
		n.mu.Lock()
		head, changed := n.head, n.changed
		n.mu.Unlock()
		err := refuse("head", "the newest head that a quorum cosigned has %d entries and doesn't cover entry %d", head.Size, index)
		if head.Size > index {
			stale := head.Fresh(n.cfg.Now(), maxHeadAge)
			if stale == nil {
				return head, nil
			}
			err = refuse("head", "%v", stale)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return head, err
		}
	}
}

// catchUp pulls what was appended while the node was away, until it has all.
func (n *Node) catchUp(ctx context.Context) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := n.pull(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		n.cfg.Log.Info("waiting for the control plane", "reason", err.Error())
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// pull asks for entries by index until there are no more.
func (n *Node) pull(ctx context.Context) error {
	for {
		from := n.size()
		body, err := wire.Encode(wire.Pull{From: from})
		if err != nil {
			return err
		}
		call, cancel := context.WithTimeout(ctx, 5*time.Second)
		raw, err := n.bus.Call(call, bus.Coordinator, wire.EntriesTopic, body)
		cancel()
		if err != nil {
			return fmt.Errorf("pull entries from %d: %w", from, err)
		}
		var m wire.Entries
		if err := wire.Decode(raw, &m); err != nil {
			return fmt.Errorf("pull entries from %d: %w", from, err)
		}
		if len(m.Entries) == 0 {
			return nil
		}
		n.mu.Lock()
		err = n.extend(from, m.Entries, []byte(m.Note))
		n.mu.Unlock()
		if err != nil {
			return err
		}
	}
}
