package main

import (
	"context"
	"crypto/ed25519"
	"maps"
	"slices"
	"sync"

	"github.com/cofferhq/coffer/examples/tlschannel"
	"github.com/cofferhq/coffer/tss"
)

// counted is a channel that knows what was sent over it.
type counted struct {
	*tlschannel.Channel
	ids map[tss.IdentityKey]uint16

	mu    sync.Mutex
	bytes map[int]map[uint16]int // by round and receiver
}

// roundAt is the place of the round in a message (docs/spec/02-session.md §3).
const roundAt = 4

// restart begins to count anew.
func (c *counted) restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes = make(map[int]map[uint16]int)
}

// Send implements tss.Channel.
func (c *counted) Send(ctx context.Context, to []tss.IdentityKey, message []byte) error {
	if err := c.Channel.Send(ctx, to, message); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	round := int(message[roundAt])
	if c.bytes[round] == nil {
		c.bytes[round] = make(map[uint16]int)
	}
	for _, k := range to {
		c.bytes[round][c.ids[k]] += len(message) + ed25519.SignatureSize
	}
	return nil
}

// sent returns what was sent since restart, by rounds. All receivers of a round
// are sent equally much.
func (c *counted) sent() []sentBody {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []sentBody
	for _, round := range slices.Sorted(maps.Keys(c.bytes)) {
		to := slices.Sorted(maps.Keys(c.bytes[round]))
		out = append(out, sentBody{Round: round, To: to, Bytes: c.bytes[round][to[0]]})
	}
	return out
}
