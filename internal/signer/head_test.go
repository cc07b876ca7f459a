package signer_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/internal/wire"
)

// TestC41NoHead asks for transactions that stand in a journal whose newest head nobody
// vouches for as the rules have it.
func TestC41NoHead(t *testing.T) {
	both := []custody.Name{"node-a", "node-b"}
	for _, c := range []struct {
		name string
		// attack says how the nodes come to know of the PREPARED entry.
		attack func(t *testing.T, p *plane)
		field  string // empty: signed
		says   string
	}{
		{"covered", func(_ *testing.T, p *plane) { p.sync() }, "", ""},
		{"covered, and told of an older one", func(t *testing.T, p *plane) {
			note := p.note
			p.sync()
			for _, name := range both {
				if err := p.tell(name, note); err != nil {
					t.Error(err)
				}
			}
		}, "", ""},
		{"unknown", func(*testing.T, *plane) {}, "prepared", "no transaction of it is on record"},
		{"no head", func(_ *testing.T, p *plane) { p.gather(everybody...) }, "head", "doesn't cover entry"},
		{"one cosignature", func(t *testing.T, p *plane) {
			p.gather(everybody...)
			for _, name := range both {
				p.refusedHead(t, name, p.gather("node-c"), "1 of 3 witnesses cosigned")
			}
		}, "head", "doesn't cover entry"},
		{"one cosignature twice", func(t *testing.T, p *plane) {
			p.gather(everybody...)
			note := p.gather("node-c")
			lines := note[len(p.checkpoint()):]
			for _, name := range both {
				p.refusedHead(t, name, append(slices.Clone(note), lines...), "1 of 3 witnesses cosigned")
			}
		}, "head", "doesn't cover entry"},
		{"cosignatures of another head", func(t *testing.T, p *plane) {
			p.gather(everybody...)
			old := p.note[len(p.checkpoint()):]
			p.Must(p.Tick())
			for _, name := range everybody {
				p.follow(name, p.nodes[name].size, p.entries(p.nodes[name].size), p.checkpoint())
			}
			for _, name := range both {
				p.refusedHead(t, name, append(p.checkpoint(), old...), "")
			}
		}, "head", "doesn't cover entry"},
		{"a head before it", func(t *testing.T, p *plane) {
			note := p.note
			p.gather(everybody...)
			for _, name := range both {
				if err := p.tell(name, note); err != nil {
					t.Error(err)
				}
			}
		}, "head", "doesn't cover entry"},
		{"59 s old", func(_ *testing.T, p *plane) {
			p.sync()
			p.wait(59)
		}, "", ""},
		{"61 s old", func(_ *testing.T, p *plane) {
			p.sync()
			p.wait(61)
		}, "head", "was last witnessed 1m1s ago"},
		{"61 s old, and told again", func(t *testing.T, p *plane) {
			p.sync()
			p.wait(61)
			for _, name := range both {
				if err := p.tell(name, p.note); err != nil {
					t.Error(err)
				}
			}
		}, "head", "was last witnessed 1m1s ago"},
		{"30 s from the future", func(_ *testing.T, p *plane) {
			p.sync()
			for _, name := range both {
				p.setClock(name, -30*time.Second)
			}
		}, "", ""},
		{"31 s from the future", func(_ *testing.T, p *plane) {
			p.sync()
			for _, name := range both {
				p.setClock(name, -31*time.Second)
			}
		}, "head", "ahead of this clock"},
		{"of another journal, by a quorum of liars", func(t *testing.T, p *plane) {
			p.gather(everybody...)
			fork := p.branch(len(p.Entries) - 1)
			fork.Wait(1)
			fork.Must(fork.Tick())
			for _, name := range both {
				p.refusedHead(t, name, fork.Head(), "a quorum cosigned another journal")
				if !p.nodes[name].log.has("a quorum cosigned another journal") {
					t.Error("it isn't logged")
				}
			}
		}, "head", "doesn't cover entry"},
		{"beyond the journal, by a quorum of liars", func(t *testing.T, p *plane) {
			p.gather(everybody...)
			fork := p.branch(len(p.Entries))
			fork.Must(fork.Tick())
			for _, name := range both {
				p.refusedHead(t, name, fork.Head(), "this node has")
			}
		}, "head", "doesn't cover entry"},
		{"of another deployment", func(t *testing.T, p *plane) {
			p.gather(everybody...)
			other := statetest.New(t, statetest.Setup{
				Groups: map[custody.Name][]string{"administrators": {"ida", "tom", "una"}, "treasury": {"ida", "tom", "una"}},
				Policy: compiled(t, policyText, 1),
			})
			for _, name := range both {
				p.refusedHead(t, name, other.Head(), "")
			}
		}, "head", "doesn't cover entry"},
		{"by a log key of nobody", func(t *testing.T, p *plane) {
			p.gather(everybody...)
			fork := p.branch(len(p.Entries))
			fork.Log = statetest.HybridKey(t, "another log")
			c, err := fork.Tree.Checkpoint(journal.NewOrigin(p.Charter.Hash()), fork.Tree.Size())
			if err != nil {
				t.Fatal(err)
			}
			note, err := journal.SignCheckpoint(c, fork.Log)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range both {
				p.refusedHead(t, name, append(note, p.note[len(p.checkpoint()):]...), "")
			}
		}, "head", "doesn't cover entry"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plane) {
				in := p.pay(30_000_000)
				p.sync() // the head before PREPARED is properly cosigned
				details := p.build(in, nil)
				r := p.Must(p.prepare(in, details))
				c.attack(t, p)
				m := p.invitation(in, r.Leaf, details)
				m.Expires -= 5 // by no clock of these tests beyond the bounds
				if c.field == "" {
					p.assemble(details, p.inviteToSign(each(m)))
					return
				}
				p.refused(c.name, m, c.field, c.says)
			})
		})
	}
}

// refusedHead tells a node a head that it must refuse.
func (p *plane) refusedHead(t *testing.T, name custody.Name, note []byte, says string) {
	t.Helper()
	err := p.tell(name, note)
	if code, field := custody.CodeOf(err), fieldOf(err); code != custody.Forbidden || field != "head" || !strings.Contains(err.Error(), says) {
		t.Errorf("%s took the head, or refused it for another reason: %v", name, err)
	}
}

// branch is the journal's first n entries in a world of their own, that goes on as the
// control plane likes.
func (p *plane) branch(n int) *statetest.World {
	p.t.Helper()
	w := *p.World
	w.State, w.Tree, w.Entries, w.Results = state.New(p.Charter.Hash()), journal.Tree{}, nil, nil
	for _, raw := range p.Entries[:n] {
		w.AppendRaw(raw)
	}
	return &w
}

// TestC41Waits: an invitation waits for the head that covers its entry, and an earlier
// freeze that came meanwhile counts.
func TestC41Waits(t *testing.T) {
	for name, freeze := range map[string]bool{"signed": false, "frozen meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plane) {
				in := p.pay(30_000_000)
				details := p.build(in, nil)
				r := p.Must(p.prepare(in, details))
				p.gather(everybody...)
				m := p.invitation(in, r.Leaf, details)
				p.quiet()
				talked := p.road.talked()
				answers := make(chan map[custody.Name]signed, 1)
				go func() { answers <- p.inviteToSign(each(m)) }()
				time.Sleep(time.Second)
				if freeze {
					p.govern(custody.FreezeIntent, &custody.Freeze{Target: custody.Target{All: true}})
				}
				p.sync()
				got := <-answers
				if freeze {
					p.nothing(name, talked, got, "policy", "frozen")
					return
				}
				p.assemble(details, got)
			})
		})
	}
}

// each asks every signer of an invitation.
func each(m wire.Sign) map[custody.Name]wire.Sign {
	out := make(map[custody.Name]wire.Sign)
	for _, name := range m.Signers {
		out[name] = m
	}
	return out
}
