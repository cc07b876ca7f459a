package app_test

import (
	"fmt"
	"strconv"
	"testing"
)

// TestC25KillAtEveryStep kills processes, one kind after the other, as soon as a
// transfer's next entry is in the journal, starts them again, and finds every
// transfer paid exactly once.
func TestC25KillAtEveryStep(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills many processes")
	}
	t.Parallel()
	b := newBank(t)
	// Entries of a transfer: INTENT, AUTHORIZED, PREPARED, SIGNED, and four OBSERVED.
	const steps = 8
	paid := 0
	for _, victims := range [][]string{{"cofferd"}, {"node-a"}, {"cofferd", "node-a", "node-b", "node-c"}} {
		for step := 1; step <= steps; step++ {
			// Each amount is paid once in all.
			satoshi := 1_000_000 + len(victims)*10_000 + paid
			paid++
			intent := b.pay(fmt.Sprintf("0.%08d", satoshi))
			b.until(fmt.Sprintf("entry %d of %s", step, intent), func() bool {
				if step > 5 { // what is observed of blocks
					b.bitcoin.Mine(1)
				}
				return b.entries("node-c", intent) >= step
			})
			for _, name := range victims {
				b.kill(name)
			}
			for _, name := range victims {
				b.start(name)
			}
			b.finish(intent)
			if n := b.received(t.Context(), strconv.Itoa(satoshi)); n != 1 {
				t.Errorf("killing %v at entry %d: the supplier got %d payments", victims, step, n)
			}
		}
	}
}

// TestReorganisation takes a block back that holds a payment and a deposit.
func TestReorganisation(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	t.Parallel()
	b := newBank(t)
	intent := b.pay("0.25")
	b.until("in the mempool", func() bool { return len(b.bitcoin.Mempool()) > 0 })
	block := b.bitcoin.Mine(1)[0]
	b.until("confirmed", func() bool { return b.entries("node-a", intent) >= 7 }) // CONFIRMED
	// A node that is merely behind shows no reorganisation.
	b.bitcoin.Invalidate(block)
	for range 3 { // many polls long
		b.coffer("otto", "wallets", "show", b.wallet)
	}
	if n := b.entries("node-a", "REORGED"); n != 0 {
		t.Errorf("%d entries say that a node that is behind shows another chain", n)
	}
	b.bitcoin.Mine(2) // another branch, longer; the payment is in it again
	b.finish(intent)
	if n := b.entries("node-a", "REORGED"); n != 1 {
		t.Errorf("%d entries say that the payment's block was taken back", n)
	}
	if n := b.received(t.Context(), "25000000"); n != 1 {
		t.Errorf("the supplier got %d payments", n)
	}
}

// TestNodeAway has a node that missed everything catch up and sign.
func TestNodeAway(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	t.Parallel()
	b := newBank(t)
	b.kill("node-c")
	b.finish(b.pay("0.1"))
	b.start("node-c")
	b.until("node-c is back", func() bool { return b.entries("node-c", "FINALIZED") > 0 })
	b.kill("node-a")
	b.finish(b.pay("0.2"))
	b.kill("node-b")
	alone := b.pay("0.3")
	b.until("waiting", func() bool { return b.entries("node-c", alone) >= 1 })
	if state := b.coffer("otto", "intents", "show", alone)["state"]; state == "EXECUTED" {
		t.Errorf("one node of three signed: %v", state)
	}
	b.start("node-b")
	b.finish(alone)
}
