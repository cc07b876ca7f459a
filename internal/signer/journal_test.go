package signer_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cofferhq/coffer/internal/bus"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/internal/wire"
)

// TestC34File alters the journal's file of a node that is down. It doesn't start again, or
// it pulls what it lacks and goes on; it never cosigns or signs by what it didn't get.
func TestC34File(t *testing.T) {
	lines := func(data []byte) [][]byte { return bytes.SplitAfter(data, []byte("\n")) }
	for _, c := range []struct {
		name string
		edit func(p *plane, data []byte) []byte
		says string // why the node doesn't start; empty where it goes on as before
	}{
		{"as it was", func(_ *plane, data []byte) []byte { return data }, ""},
		{"empty", func(*plane, []byte) []byte { return nil }, ""},
		{"the last entry gone", func(_ *plane, data []byte) []byte {
			l := lines(data)
			return bytes.Join(l[:len(l)-2], nil)
		}, ""},
		{"all but ten entries gone", func(_ *plane, data []byte) []byte { return bytes.Join(lines(data)[:10], nil) }, ""},
		{"cut within an entry", func(_ *plane, data []byte) []byte { return data[:len(data)-100] }, ""},
		{"the last line break gone", func(_ *plane, data []byte) []byte { return data[:len(data)-1] }, ""},
		{"a write that was interrupted", func(_ *plane, data []byte) []byte { return append(data, lines(data)[0][:20_000]...) }, ""},
		{"another valid journal", func(p *plane, data []byte) []byte {
			fork := p.branch(len(p.Entries) - 1)
			fork.Must(fork.Tick())
			return append(bytes.Join(fork.Entries, []byte("\n")), '\n')
		}, "it was altered"},
		{"a longer valid journal that forks", func(p *plane, data []byte) []byte {
			fork := p.branch(len(p.Entries) - 1)
			for range 5 {
				fork.Must(fork.Tick())
			}
			return append(bytes.Join(fork.Entries, []byte("\n")), '\n')
		}, "it was altered"},
		{"entries in another order", func(_ *plane, data []byte) []byte {
			l := lines(data)
			l[5], l[6] = l[6], l[5]
			return bytes.Join(l, nil)
		}, "it was altered"},
		{"an entry twice", func(_ *plane, data []byte) []byte {
			l := lines(data)
			return bytes.Join(slices.Insert(l, 5, l[5]), nil)
		}, "it was altered"},
		{"without the charter", func(_ *plane, data []byte) []byte { return bytes.Join(lines(data)[1:], nil) }, ""},
		{"an entry gone in the middle", func(_ *plane, data []byte) []byte { return bytes.Join(slices.Delete(lines(data), 5, 6), nil) }, ""},
		{"an entry that no head vouches for", func(_ *plane, data []byte) []byte { return append(data, "{}\n"...) }, ""},
		{"a line without end", func(*plane, []byte) []byte { return bytes.Repeat([]byte("x"), custody.MaxEntry+2) }, "a line of more than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plane) {
				in := p.pay(30_000_000)
				details := p.build(in, nil)
				r := p.Must(p.prepare(in, details))
				p.sync()
				node := p.nodes["node-a"]
				node.stop()
				data, err := os.ReadFile(file(node))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file(node), c.edit(p, data), 0o600); err != nil {
					t.Fatal(err)
				}
				err = p.tryStart("node-a")
				if c.says != "" {
					if err == nil || !strings.Contains(err.Error(), c.says) {
						t.Errorf("started, or for another reason not: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				p.quiet()
				p.Must(p.Tick())
				p.sync()
				p.assemble(details, p.sign(in, r.Leaf, details))
				data, err = os.ReadFile(file(node))
				if want := append(bytes.Join(p.Entries, []byte("\n")), '\n'); err != nil || !bytes.Equal(data, want) {
					t.Errorf("the file has %d bytes, the journal %d: %v", len(data), len(want), err)
				}
			})
		})
	}
}

// TestC34Byte alters single bytes of a journal's file. Whatever the node makes of it, it
// cosigns and signs nothing.
func TestC34Byte(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		in := p.pay(30_000_000)
		details := p.build(in, nil)
		r := p.Must(p.prepare(in, details))
		p.sync()
		node := p.nodes["node-a"]
		node.stop()
		data, err := os.ReadFile(file(node))
		if err != nil {
			t.Fatal(err)
		}
		places := []int{0, len(data) - 2, len(data) - 1, bytes.IndexByte(data, '\n'), bytes.LastIndexByte(data[:len(data)-1], '\n')}
		for i := 1; i < 8; i++ {
			places = append(places, i*len(data)/8)
		}
		for _, i := range places {
			altered := slices.Clone(data)
			altered[i] ^= 1
			if err := os.WriteFile(file(node), altered, 0o600); err != nil {
				t.Fatal(err)
			}
			if p.tryStart("node-a") != nil {
				continue
			}
			p.quiet()
			if data[i] == '\n' { // fewer entries than the node has cosigned: all are pulled again
				if now, err := os.ReadFile(file(node)); err != nil || !bytes.Equal(now, data) {
					t.Errorf("byte %d of %d: the file isn't the journal: %v", i, len(data), err)
				}
				node.stop()
				continue
			}
			p.size(t, "node-a")
			answer := p.follow("node-a", p.Tree.Size(), p.entries(p.Tree.Size()), p.checkpoint())
			if len(answer.Lines) > 0 {
				t.Errorf("byte %d of %d: cosigned", i, len(data))
			}
			if err := p.tell("node-a", p.note); fieldOf(err) != "head" {
				t.Errorf("byte %d of %d: the head: %v", i, len(data), err)
			}
			m := p.invitation(in, r.Leaf, details)
			var done wire.SignDone
			if err := p.call("node-a", wire.SignTopic, m, &done); custody.CodeOf(err) != custody.Forbidden {
				t.Errorf("byte %d of %d: %v %+v", i, len(data), err, done)
			}
			node.stop()
		}
		if err := os.WriteFile(file(node), data, 0o600); err != nil {
			t.Fatal(err)
		}
		p.start("node-a")
		p.quiet()
		p.sync()
		p.assemble(details, p.sign(in, r.Leaf, details))
	})
}

// size asks a node for the number of its entries.
func (p *plane) size(t *testing.T, name custody.Name) int64 {
	t.Helper()
	return p.follow(name, 0, []jsontext.Value{}, p.checkpoint()).Size
}

// TestC41Split shows different journals to different nodes.
func TestC41Split(t *testing.T) {
	for name, change := range map[string]func(p *plane, w *statetest.World){
		"another last entry": func(_ *plane, w *statetest.World) { w.Must(w.Tick()) },
		"an entry of an earlier time": func(_ *plane, w *statetest.World) {
			now := w.Now
			w.Now = w.Now.Add(-custody.Day)
			w.Tick()
			w.Now = now
		},
		"a void entry": func(_ *plane, w *statetest.World) { w.AppendRaw([]byte(`{}`)) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plane) {
				in := p.pay(30_000_000)
				p.sync()
				base := len(p.Entries)
				details := p.build(in, nil)
				main, fork := p.World, p.branch(base)
				r := p.Must(p.prepare(in, details))
				change(p, fork)

				// node-a gets one, node-b the other, and node-c first the one and then the other.
				p.gather("node-a")
				p.World = fork
				p.gather("node-b")
				p.World = main
				first := p.gather("node-a", "node-c")
				forked := p.checkpointOf(&fork.Tree)
				answer := p.follow("node-c", fork.Tree.Size(), []jsontext.Value{}, forked)
				if len(answer.Lines) > 0 || !strings.Contains(answer.Refused, "fork") {
					t.Errorf("node-c on the fork: %+v", answer)
				}
				p.convicts(t, "node-c")
				answer = p.follow("node-c", int64(base), []jsontext.Value{fork.Entries[base]}, forked)
				if len(answer.Lines) > 0 {
					t.Error("node-c cosigned the fork with its entry")
				}
				for _, name := range []custody.Name{"node-a", "node-c"} {
					if err := p.tell(name, first); err != nil {
						t.Error(name, err)
					}
				}
				p.refusedHead(t, "node-b", first, "another journal")
				m := p.invitation(in, r.Leaf, details, "node-b", "node-c")
				talked := p.road.talked()
				p.nothing(name, talked, p.inviteToSign(map[custody.Name]wire.Sign{"node-b": m}), "prepared", "")

				// node-b doesn't come back to the first one either.
				if answer := p.follow("node-b", int64(base), p.entries(int64(base)), p.checkpoint()); len(answer.Lines) > 0 {
					t.Error("node-b cosigned both")
				}
				p.Must(p.Tick())
				if answer := p.follow("node-b", p.Tree.Size()-1, p.entries(p.Tree.Size()-1), p.checkpoint()); len(answer.Lines) > 0 {
					t.Error("node-b cosigned the first one further on")
				}
				p.assemble(details, p.sign(in, r.Leaf, details, "node-a", "node-c"))
			})
		})
	}
}

// convicts checks that a node's log has the proof that the log key signed two journals.
func (p *plane) convicts(t *testing.T, name custody.Name) {
	t.Helper()
	found := regexp.MustCompile(`proof="(?:[^"\\]|\\.)*"`).FindString(p.nodes[name].log.String())
	raw, err := strconv.Unquote(strings.TrimPrefix(found, "proof="))
	if err != nil {
		t.Fatalf("%s logs no proof of the fork", name)
	}
	var proof journal.ForkProof
	if err := custody.Decode([]byte(raw), &proof, len(raw)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := proof.Verify(journal.NewOrigin(p.Charter.Hash()), p.Log.Public()); err != nil {
		t.Error(err)
	}
}

// TestC41Back takes the journal back, or changes what lies behind its head.
func TestC41Back(t *testing.T) {
	for name, rewrite := range map[string]func(p *plane) *statetest.World{
		"the last entry gone": func(p *plane) *statetest.World { return p.branch(len(p.Entries) - 1) },
		"ten entries gone":    func(p *plane) *statetest.World { return p.branch(len(p.Entries) - 10) },
		"ten entries gone, twenty others": func(p *plane) *statetest.World {
			w := p.branch(len(p.Entries) - 10)
			for range 20 {
				w.Must(w.Tick())
			}
			return w
		},
		"an entry put in between": func(p *plane) *statetest.World {
			w := p.branch(len(p.Entries) - 3)
			w.Must(w.Tick())
			for _, raw := range p.Entries[len(p.Entries)-3:] {
				w.AppendRaw(raw)
			}
			return w
		},
		"two entries in another order": func(p *plane) *statetest.World {
			w := p.branch(len(p.Entries) - 2)
			w.AppendRaw(p.Entries[len(p.Entries)-1])
			w.AppendRaw(p.Entries[len(p.Entries)-2])
			return w
		},
		"an entry left out": func(p *plane) *statetest.World {
			w := p.branch(len(p.Entries) - 4)
			for _, raw := range p.Entries[len(p.Entries)-3:] {
				w.AppendRaw(raw)
			}
			return w
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plane) {
				p.pay(30_000_000)
				p.Must(p.Tick())
				p.sync()
				p.World = rewrite(p)
				for _, again := range []bool{false, true} {
					for _, node := range everybody {
						for _, from := range []int64{0, p.Tree.Size(), max(p.Tree.Size()-4, 0)} {
							answer := p.follow(node, from, p.entries(from), p.checkpoint())
							shorter := p.Tree.Size() < answer.Size
							if len(answer.Lines) > 0 || shorter != strings.Contains(answer.Refused, "entries, this node has") {
								t.Errorf("%s from %d: %+v", node, from, answer)
							}
						}
					}
					if !again {
						p.restart(everybody...)
						p.quiet()
					}
				}
			})
		})
	}
}

// TestC41Entries hands nodes entries that are none, or not at their place.
func TestC41Entries(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		huge := jsontext.Value(`"` + strings.Repeat("x", custody.MaxEntry) + `"`)
		size := p.Tree.Size()
		answer := p.follow("node-a", size, []jsontext.Value{huge}, p.checkpoint())
		if answer.Size != size || len(answer.Lines) > 0 || !strings.Contains(answer.Refused, "more than") {
			t.Errorf("an entry that is too long: %+v", answer)
		}
		if answer := p.follow("node-a", 1<<40, []jsontext.Value{jsontext.Value("{}")}, p.checkpoint()); answer.Size != size || answer.Refused == "" {
			t.Errorf("entries from far ahead: %+v", answer)
		}
		for name, raw := range map[string]string{
			"no JSON": "entries", "not canonical": `{"note":"","from":0,"entries":[]}`, "unknown field": `{"entries":[],"from":0,"more":1,"note":""}`,
			"no note": `{"entries":[],"from":0,"note":"x"}`, "a line break in an entry": "{\"entries\":[{\n}],\"from\":0,\"note\":\"x\"}", "nothing": "",
		} {
			for _, topic := range []string{wire.FollowTopic, wire.HeadTopic, wire.KeygenTopic, wire.SignTopic} {
				if _, err := p.end.Call(t.Context(), "node-a", topic, []byte(raw)); custody.CodeOf(err) != custody.Invalid {
					t.Errorf("%s to %s: %v", name, topic, err)
				}
			}
		}

		// What stands in the journal and is no entry is void, and the journal goes on.
		for _, raw := range []string{`{}`, `1`, `"x"`, `[]`, `true`, `{"body":{},"index":0,"time":"2026-11-02T09:00:00.000Z","type":"OBSERVED","v":1}`} {
			p.AppendRaw([]byte(raw))
		}
		p.AppendRaw(p.Entries[3])
		p.sync()

		// A gap is pulled, what is known is skipped.
		p.Must(p.Tick())
		p.Must(p.Tick())
		p.Must(p.Tick())
		last := p.Tree.Size() - 1
		for node, from := range map[custody.Name]int64{"node-a": last, "node-b": last - 4, "node-c": -5} {
			answer := p.follow(node, from, p.entries(max(from, 0)), p.checkpoint())
			if (len(answer.Lines) > 0) != (from >= 0) {
				t.Errorf("%s from %d: %+v", node, from, answer)
			}
		}
		p.sync()
		p.paid(p.pay(30_000_000))
	})
}

// TestC41FirstEntry begins a node's journal with something else than its charter. It takes
// none of it, and follows the right journal when that comes.
func TestC41FirstEntry(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		node := p.nodes["node-a"]
		node.stop()
		if err := os.RemoveAll(node.dir); err != nil {
			t.Fatal(err)
		}
		silent := p.World
		p.World = p.branch(0) // the control plane gives nothing to who pulls
		p.start("node-a")
		p.quiet()
		other := statetest.New(t, statetest.Setup{
			Groups: map[custody.Name][]string{"administrators": {"ida", "tom", "una"}, "treasury": {"ida", "tom", "una"}}, Policy: compiled(t, policyText, 1),
		})
		for name, raw := range map[string][]byte{"another charter": other.Entries[0], "no charter": silent.Entries[1], "no entry": []byte("{}")} {
			var tree journal.Tree
			if _, err := tree.Append(raw); err != nil {
				t.Fatal(err)
			}
			var answer wire.Followed
			err := p.call("node-a", wire.FollowTopic, wire.Follow{Entries: []jsontext.Value{raw}, Note: custody.Note(p.checkpointOf(&tree))}, &answer)
			if err != nil || answer.Size != 0 || answer.Refused == "" {
				t.Errorf("%s: %v %+v", name, err, answer)
			}
		}
		p.restart("node-a")
		p.World = silent
		p.quiet()

		// Entries that aren't those of the head that the log signed leave no trace.
		fork := p.branch(len(p.Entries) - 1)
		fork.Wait(1)
		fork.Must(fork.Tick())
		if answer := p.follow("node-a", 0, p.entries(0), p.checkpointOf(&fork.Tree)); answer.Size != 0 || len(answer.Lines) > 0 {
			t.Errorf("the head of another journal: %+v", answer)
		}

		// Nor does it cosign another head than that of the entries that it has pulled.
		p.restart("node-a")
		p.quiet()
		if answer := p.follow("node-a", p.Tree.Size(), []jsontext.Value{}, p.checkpointOf(&fork.Tree)); answer.Size != p.Tree.Size() || len(answer.Lines) > 0 {
			t.Errorf("the head of another journal: %+v", answer)
		}
		p.sync()
	})
}

// TestC41Clock: a node cosigns nothing whose newest entry is far from its own clock, and
// void entries don't move that time.
func TestC41Clock(t *testing.T) {
	void := func(p *plane, ahead custody.Seconds) {
		now := p.Now
		p.Now = p.Now.Add(ahead)
		first, err := custody.ParseEntry(p.Entries[0])
		if err != nil {
			p.t.Fatal(err)
		}
		if r := p.Append(custody.CharterEntry, first.Body); r.Void == "" {
			p.t.Fatal("a second charter")
		}
		p.Now = now
	}
	for _, c := range []struct {
		name  string
		do    func(p *plane)
		stale bool
	}{
		{"30 s behind", func(p *plane) { p.setClock("node-a", -30*time.Second) }, false},
		{"31 s behind", func(p *plane) { p.setClock("node-a", -31*time.Second) }, true},
		{"30 s ahead", func(p *plane) { p.setClock("node-a", 30*time.Second) }, false},
		{"31 s ahead", func(p *plane) { p.setClock("node-a", 31*time.Second) }, true},
		{"a void entry of tomorrow", func(p *plane) { void(p, custody.Day) }, false},
		{"a void entry of now, in an old journal", func(p *plane) {
			p.wait(31)
			void(p, 0)
		}, true},
		{"a void entry of yesterday, in a new journal", func(p *plane) { void(p, -custody.Day) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plane) {
				p.Must(p.Tick())
				c.do(p)
				answer := p.follow("node-a", p.nodes["node-a"].size, p.entries(p.nodes["node-a"].size), p.checkpoint())
				if answer.Stale != c.stale || (len(answer.Lines) == 0) != c.stale {
					t.Errorf("%+v", answer)
				}
				p.setClock("node-a", 0)
				p.Must(p.Tick())
				p.sync()
			})
		})
	}
}

// TestUpgrade has a node stop behind an UPGRADE to rules that it doesn't know, for as long
// as it doesn't.
func TestUpgrade(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		p.govern(custody.UpgradeIntent, &custody.Upgrade{Rules: 2})
		p.sync()
		next, err := custody.NewEntry(custody.Entry{Index: p.Tree.Size(), Time: p.Now, Type: custody.ObservedEntry, Body: &custody.Observed{Kind: custody.Tick}})
		if err != nil {
			t.Fatal(err)
		}
		tree := p.Tree // this program can't apply the entry either
		if _, err := tree.Append(next.Raw); err != nil {
			t.Fatal(err)
		}
		err = p.call("node-a", wire.FollowTopic, wire.Follow{From: next.Index, Entries: []jsontext.Value{next.Raw}, Note: custody.Note(p.checkpointOf(&tree))}, new(wire.Followed))
		if custody.CodeOf(err) != custody.Unavailable {
			t.Errorf("the answer: %v", err)
		}
		if err := <-p.nodes["node-a"].ended; !errors.As(err, new(*state.StopError)) {
			t.Errorf("it ended with %v", err)
		}
		p.nodes["node-a"].ended <- nil
		p.nodes["node-a"].stop()
		// No head vouches for the entry, so it is pulled again and stops the node again.
		if err := p.tryStart("node-a"); err != nil {
			t.Fatal(err)
		}
		p.quiet()
		_ = p.call("node-a", wire.FollowTopic, wire.Follow{From: next.Index, Entries: []jsontext.Value{next.Raw}, Note: custody.Note(p.checkpointOf(&tree))}, new(wire.Followed))
		if err := <-p.nodes["node-a"].ended; !errors.As(err, new(*state.StopError)) {
			t.Errorf("it ended with %v", err)
		}
		p.nodes["node-a"].ended <- nil
	})
}

// TestControlKeys exchanges the control plane's keys, as people approve it: nodes cosign
// for the new log key alone, and answer the new coordinator alone.
func TestControlKeys(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		log, coordinator := statetest.HybridKey(t, "the next log"), statetest.HybridKey(t, "the next coordinator")
		p.govern(custody.WitnessChangeIntent, &custody.WitnessChange{
			Witnesses: custody.WitnessQuorum{Quorum: 2}, Control: &custody.Control{LogKey: log.Public().Bytes(), CoordinatorKey: coordinator.Public().Bytes()},
		})
		for _, name := range everybody {
			p.follow(name, p.nodes[name].size, p.entries(p.nodes[name].size), p.checkpoint())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := p.end.Call(ctx, "node-a", wire.HeadTopic, []byte(`{}`)); custody.CodeOf(err) != custody.Unavailable {
			t.Errorf("the old coordinator is answered: %v", err)
		}
		p.end.Close()
		p.listen(coordinator)
		p.Must(p.Tick())
		answer := p.follow("node-a", p.nodes["node-a"].size, p.entries(p.nodes["node-a"].size), p.checkpoint())
		if len(answer.Lines) > 0 || answer.Refused == "" {
			t.Errorf("cosigned for the old log key: %+v", answer)
		}
		p.Log = log
		p.sync()
		p.paid(p.pay(30_000_000))
	})
}

// TestStrangers: nobody but the coordinator has anything to ask a node.
func TestStrangers(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		in := p.pay(30_000_000)
		details := p.build(in, nil)
		r := p.Must(p.prepare(in, details))
		p.sync()
		p.nodes["node-b"].stop()
		end, err := bus.New(bus.Config{
			Charter: p.Charter.Hash(), Name: "node-b", Key: p.Nodes["node-b"].Identity,
			Peers: func() map[string]hybrid.PublicKey {
				return map[string]hybrid.PublicKey{"node-a": p.Nodes["node-a"].Identity.Public()}
			},
			Transport: p.mem, Now: p.now,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(end.Close)
		m := p.invitation(in, r.Leaf, details)
		for topic, question := range map[string]any{
			wire.SignTopic: m, wire.KeygenTopic: p.keygenOf(in.ID), wire.HeadTopic: wire.Head{Note: custody.Note(p.note)},
			wire.FollowTopic: wire.Follow{Entries: []jsontext.Value{}, Note: custody.Note(p.checkpoint())}, wire.EntriesTopic: wire.Pull{},
		} {
			body, err := wire.Encode(question)
			if err != nil {
				t.Fatal(err)
			}
			_, err = end.Call(t.Context(), "node-a", topic, body)
			want := custody.Forbidden
			if topic == wire.EntriesTopic {
				want = custody.NotFound // nodes don't answer it
			}
			if custody.CodeOf(err) != want {
				t.Errorf("%s: %v", topic, err)
			}
		}
	})
}
