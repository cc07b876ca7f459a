package signer_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferhq/coffer/internal/bus"
	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/internal/wire"
)

// TestC12 gives two nodes different transactions in one session. None comes out signed,
// and what each was asked for stands in its log.
func TestC12(t *testing.T) {
	t.Run("other bytes", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *plane) {
			in := p.pay(30_000_000)
			details := p.build(in, nil)
			r := p.Must(p.prepare(in, details))
			p.sync()
			a := p.invitation(in, r.Leaf, details)
			b := a
			b.Details = p.build(in, nil)
			answers := p.inviteToSign(map[custody.Name]wire.Sign{"node-a": a, "node-b": b})
			if e := answers["node-b"].err; custody.CodeOf(e) != custody.Forbidden || fieldOf(e) != "transaction" {
				t.Errorf("node-b: %v", e)
			}
			p.unsigned(t, answers)
			p.asked(t, "node-a", a)
			p.asked(t, "node-b", b)
			p.assemble(details, p.sign(in, r.Leaf, details))
		})
	})
	t.Run("two entries", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *plane) {
			in := p.pay(30_000_000)
			coin := p.coin()
			first := p.build(in, func(o *bitcoin.Order) { o.Coins = []bitcoin.Coin{coin} })
			r1 := p.Must(p.prepare(in, first))
			p.sync()
			second := p.build(in, func(o *bitcoin.Order) { o.Coins, o.FeeRate = []bitcoin.Coin{coin}, 3000 })
			r2 := p.Must(p.prepare(in, second))
			p.sync("node-b", "node-c") // node-a doesn't hear of it
			a := p.invitation(in, r1.Leaf, first)
			b := a
			b.Prepared, b.Details = r2.Leaf, second
			answers := p.inviteToSign(map[custody.Name]wire.Sign{"node-a": a, "node-b": b})
			p.unsigned(t, answers)
			for _, name := range a.Signers {
				if answers[name].done.Failed == nil {
					t.Errorf("%s: %v", name, answers[name].err)
				}
			}
			p.asked(t, "node-a", a)
			p.asked(t, "node-b", b)
			p.sync()
			p.assemble(second, p.sign(in, r2.Leaf, second))
		})
	})
}

// unsigned checks that no node released a signature.
func (p *plane) unsigned(t *testing.T, answers map[custody.Name]signed) {
	t.Helper()
	for name, a := range answers {
		if len(a.done.Signatures) > 0 || len(a.done.Receipt) > 0 {
			t.Errorf("%s signed", name)
		}
	}
}

// asked checks that a node's log has what it was asked to sign.
func (p *plane) asked(t *testing.T, name custody.Name, m wire.Sign) {
	t.Helper()
	for _, part := range []string{m.Intent.String(), m.Prepared.String(), statetest.Sum(m.Details).String()} {
		if !p.nodes[name].log.has(part) {
			t.Errorf("%s doesn't log %s", name, part)
		}
	}
}

// TestC31Paused cuts a node off in the middle of a session, after each number of frames,
// for a minute. What it says and hears then is too late for that session, and the next
// one works.
func TestC31Paused(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		for n := int64(0); ; n++ {
			in := p.pay(1_000_000)
			details := p.build(in, nil)
			r := p.Must(p.prepare(in, details))
			p.sync()
			p.quiet()
			var seen atomic.Int64
			p.road.let(func(from, to string, _ []byte) bool {
				return from != "node-b" && to != "node-b" || seen.Add(1) <= n
			})
			m := p.invitation(in, r.Leaf, details)
			answers := make(chan map[custody.Name]signed, 1)
			go func() { answers <- p.inviteToSign(each(m)) }()
			p.wait(60)
			before := p.receipts()
			p.road.let(nil)
			p.deliver(p.road.kept())
			p.quiet()
			if after := p.receipts(); after != before {
				t.Errorf("after %d frames: %d signed when it was late", n, after-before)
			}
			got := <-answers
			if seen.Load() <= n { // it wasn't cut off at all
				p.assemble(details, got)
				return
			}
			p.Must(p.Tick())
			p.sync()
			p.assemble(details, p.sign(in, r.Leaf, details))
		}
	})
}

// receipts is how many times a node has logged that it signed.
func (p *plane) receipts() int {
	n := 0
	for _, name := range everybody {
		n += strings.Count(p.nodes[name].log.String(), "msg=signed")
	}
	return n
}

// TestC31Alone invites one node to a session to which nobody else comes. It is left with
// the invitation, and says who was absent.
func TestC31Alone(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		in := p.pay(30_000_000)
		details := p.build(in, nil)
		r := p.Must(p.prepare(in, details))
		p.sync()
		m := p.invitation(in, r.Leaf, details)
		answers := make(chan map[custody.Name]signed, 1)
		go func() { answers <- p.inviteToSign(map[custody.Name]wire.Sign{"node-a": m}) }()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		select {
		case got := <-answers:
			if f := got["node-a"].done.Failed; f == nil || !slices.Equal(f.Absent, []custody.Name{"node-b"}) || len(f.Culprits) > 0 {
				t.Errorf("%v %+v", got["node-a"].err, f)
			}
		default:
			t.Error("a second after the invitation was over, the session runs")
			<-answers
		}
	})
}

// TestC31Stale has the broker hold back what two nodes say to each other, after both have
// accepted an invitation that is good for long. What they know by the time that it comes
// through counts.
func TestC31Stale(t *testing.T) {
	for _, c := range []struct {
		name string
		// frames are let through before the rest is held back.
		frames    int64
		meanwhile func(p *plane)
	}{
		{"frozen before the joins", 0, func(p *plane) {
			p.govern(custody.FreezeIntent, &custody.Freeze{Target: custody.Target{All: true}})
			p.sync()
		}},
		{"frozen after the joins", 4, func(p *plane) {
			p.govern(custody.FreezeIntent, &custody.Freeze{Target: custody.Target{All: true}})
			p.sync()
		}},
		{"the head is a minute old", 0, func(p *plane) { p.wait(61) }},
		{"the head is a minute old, after the joins", 4, func(p *plane) { p.wait(61) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plane) {
				p.paid(p.pay(1_000_000)) // so that the nodes have a session of the bus
				in := p.pay(30_000_000)
				details := p.build(in, nil)
				r := p.Must(p.prepare(in, details))
				p.sync()
				p.quiet()
				var seen atomic.Int64
				p.road.let(func(from, to string, _ []byte) bool {
					return from == bus.Coordinator || to == bus.Coordinator || seen.Add(1) <= c.frames
				})
				m := p.invitation(in, r.Leaf, details)
				m.Expires = p.now().Unix() + 600
				answers := make(chan map[custody.Name]signed, 1)
				go func() { answers <- p.inviteToSign(each(m)) }()
				time.Sleep(time.Second)
				c.meanwhile(p)
				p.road.let(nil)
				p.deliver(p.road.kept())
				p.unsigned(t, <-answers)
			})
		})
	}
}

// TestC17Replays asks again for everything that the control plane ever asked, with all
// nodes started anew: at once, half an hour and a year later. What may still be signed is
// signed as it was before; after SIGNED nothing is.
func TestC17Replays(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		in := p.pay(30_000_000)
		details := p.build(in, nil)
		r := p.Must(p.prepare(in, details))
		p.sync()
		frames := p.road.record(true)
		m := p.invitation(in, r.Leaf, details)
		first := p.inviteToSign(each(m))
		p.assemble(details, first)
		frames = append(frames, p.road.record(false)...)

		// The same call, and the same frames, start nothing.
		again := func(when string) {
			t.Helper()
			p.restart(everybody...)
			p.quiet()
			talked, before := p.road.talked(), p.receipts()
			p.deliver(frames)
			p.quiet()
			answers := p.inviteToSign(each(m))
			p.unsigned(t, answers)
			for name, a := range answers {
				if a.done.Failed == nil && custody.CodeOf(a.err) != custody.Forbidden {
					t.Errorf("%s: %s: %v", when, name, a.err)
				}
			}
			if p.road.talked() != talked || p.receipts() != before {
				t.Errorf("%s: nodes took part again", when)
			}
		}
		again("at once")

		// A new invitation before SIGNED: the same messages.
		p.sync()
		next := p.sign(in, r.Leaf, details)
		p.assemble(details, next)
		for name, a := range next {
			if slices.EqualFunc(a.done.Signatures, first[name].done.Signatures, slices.Equal) {
				t.Errorf("%s: two sessions gave one signature: the nonces were the same", name)
			}
			// A receipt is over the PREPARED entry and the messages.
			var messages []custody.Hash
			for _, x := range p.decode(details).Messages {
				messages = append(messages, statetest.Sum(x.Bytes))
			}
			sum := custody.ReceiptHash(p.Charter.Hash(), r.Leaf, messages)
			for _, receipt := range []custody.Blob{a.done.Receipt, first[name].done.Receipt} {
				if err := p.Nodes[name].Identity.Public().Verify(sum[:], receipt); err != nil {
					t.Errorf("%s: the receipt: %v", name, err)
				}
			}
		}

		p.signed(in, r.Leaf, details, next)
		p.sync()
		p.refused("signed", p.invitation(in, r.Leaf, details), "prepared", "SIGNED")
		for _, later := range []custody.Seconds{0, 31 * custody.Minute, 365 * custody.Day} {
			p.wait(later)
			again(fmt.Sprint(later))
			p.Must(p.Tick())
			p.sync()
			m2 := p.invitation(in, r.Leaf, details)
			p.unsigned(t, p.inviteToSign(each(m2)))
		}
	})
}
