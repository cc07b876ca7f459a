package store_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/internal/store"
)

func (b *bank) is(in *custody.Intent, want custody.IntentState) {
	b.tb.Helper()
	got, err := b.Store.Intent(b.tb.Context(), in.ID)
	if err != nil || got.State != want {
		b.tb.Errorf("the intent is %s (%s), %v; want %s", got.State, got.Reason, err, want)
	}
}

// Each entry leaves its intent's row as the state has it.
func TestIntentFollowsJournal(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBank(t)
	in := b.carry()
	want := []custody.IntentState{
		custody.Submitted, custody.AuthorizedState, custody.Executing, custody.Executing, custody.Executing, custody.Executing, custody.Executed,
	}
	var history []store.HistoryLine
	for b.Size() < int64(len(b.Entries)) {
		b.next(nil)
		e := mustParse(t, b.Entries[b.Size()-1])
		if b.Size() > int64(len(b.Entries)-len(want)) {
			b.is(in, want[0])
			want = want[1:]
			history = append(history, store.HistoryLine{Index: e.Index, Time: e.Time, Type: e.Type})
		}
	}
	got, err := b.Store.Intent(ctx, in.ID)
	if err != nil || got.Type != in.Type || got.Institution != in.Institution || got.Domain != in.Domain || got.Initiator != in.Initiator ||
		got.Wallet != b.wallet || got.Created != in.Created || got.Expires != in.Expires || !bytes.Equal(got.Bytes, in.Raw) || got.Updated != b.Now {
		t.Errorf("%+v %v", got, err)
	}
	if lines, err := b.History(ctx, in.ID); err != nil || !slices.Equal(lines, history) {
		t.Errorf("%v %v", lines, err)
	}
	_, err = b.Store.Intent(ctx, statetest.ID[custody.Intent](b.World))
	hasCode(t, err, custody.NotFound)
}

// A repair and what it repairs are kept in step together.
func TestRepairTouchesBoth(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	in := b.pay(1000)
	b.Must(b.Submit("ida", in))
	b.Must(b.Authorize(in))
	b.Must(b.Prepare(in, 900, statetest.Outpoint(1)))
	cancel := b.Intent("ida", custody.CancelIntent, &custody.Repair{Intent: in.ID, FeeLimit: custody.NewAmount(5000)})
	b.Must(b.Submit("ida", cancel))
	b.Must(b.Say("tom", custody.Yes, cancel))
	b.follow()
	b.rest()
	b.Must(b.Authorize(cancel))
	b.follow()
	if due := b.rest(); !slices.Contains(due, in.ID) || !slices.Contains(due, cancel.ID) {
		t.Errorf("%v are due, not both", due)
	}
	b.is(in, custody.Executing)
	b.is(cancel, custody.AuthorizedState)
	p := b.Must(b.Append(custody.PreparedEntry, &custody.Prepared{
		Intent: in.ID, By: cancel.ID, Transaction: custody.Hash{3}, Claims: []custody.Claim{statetest.Outpoint(1)},
		Fee: custody.NewAmount(4000), Prev: b.State.ChainHead(),
	}))
	b.Must(b.SignedBy(in, p.Leaf, custody.Hash{7}, make([]byte, 64), "node-a", "node-c"))
	for _, kind := range []custody.ObservedKind{custody.Broadcast, custody.Confirming, custody.Finalized} {
		b.Must(b.Observe(in, p.Leaf, kind))
	}
	b.follow()
	b.is(in, custody.Cancelled)
	b.is(cancel, custody.Executed)
	if lines, err := b.History(t.Context(), cancel.ID); err != nil || len(lines) != 4 || lines[3].Type != custody.PreparedEntry {
		t.Errorf("%v %v", lines, err)
	}
}

// What governs changes what others wait for, and makes them due.
func TestFreezeTouchesAll(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	waits := b.pay(1_000_000_000)
	b.Must(b.Submit("ida", waits))
	b.follow()
	b.is(waits, custody.PendingApproval)
	for _, c := range []struct {
		do   func()
		want custody.IntentState
	}{
		{func() {
			b.Must(b.Govern("rob", custody.FreezeIntent, &custody.Freeze{Target: custody.Target{All: true}}, 0, "sue"))
		}, custody.OnHold},
		{func() {
			b.Must(b.Govern("ann", custody.HoldReleaseIntent, &custody.HoldRelease{Target: custody.Target{All: true}}, 0, "ben", "cas"))
		}, custody.PendingApproval},
	} {
		b.rest()
		b.Wait(60)
		c.do()
		b.follow()
		b.is(waits, c.want)
		if due := b.rest(); !slices.Contains(due, waits.ID) {
			t.Error("what was frozen or released isn't due")
		}
	}
}

// rest looks at everything that is due, and returns what that was.
func (b *bank) rest() (ids []custody.ID[custody.Intent]) {
	b.tb.Helper()
	for {
		w, ok, err := b.Claim(b.tb.Context(), b.Now, 1)
		check(b.tb, err)
		if !ok {
			return ids
		}
		ids = append(ids, w.Intent)
		check(b.tb, b.finish(w, store.Never, ""))
	}
}

// Time alone changes an intent too: that is written when it is looked at, even if
// the state has forgotten it meanwhile.
func TestExpiry(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	first, second := b.pay(1_000_000_000), b.pay(1_000_000_000)
	b.Must(b.Submit("ida", first))
	b.Must(b.Submit("ida", second))
	b.follow()
	b.rest()
	b.Wait(6 * custody.Day)
	b.wake(first.ID)
	b.rest()
	b.is(first, custody.Expired)
	b.is(second, custody.PendingApproval)
	b.Wait(100 * custody.Day)
	check(t, b.Advance(t.Context(), func(tx *store.Tx) error {
		for range 512 {
			if err := tick(tx); err != nil {
				return err
			}
		}
		return nil
	}))
	b.wake(second.ID)
	b.rest()
	b.is(second, custody.Expired)
}

func TestExternalID(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	one, two := b.pay(1000), b.pay(1000)
	b.Must(b.Submit("ida", one))
	b.Must(b.Submit("ida", two))
	b.follow()
	set := func(in custody.ID[custody.Intent], id string) error {
		return b.Advance(t.Context(), func(tx *store.Tx) error { return tx.SetExternalID(in, id) })
	}
	check(t, set(one.ID, "invoice 7"))
	check(t, set(one.ID, "invoice 7"))
	hasCode(t, set(one.ID, "invoice 8"), custody.Conflict)
	hasCode(t, set(two.ID, "invoice 7"), custody.Conflict)
	hasCode(t, set(two.ID, ""), custody.Invalid)
	hasCode(t, set(statetest.ID[custody.Intent](b.World), "invoice 9"), custody.NotFound)
	for in, want := range map[custody.ID[custody.Intent]]string{one.ID: "invoice 7", two.ID: ""} {
		if got, err := b.Store.Intent(t.Context(), in); err != nil || got.ExternalID != want {
			t.Errorf("%+v %v", got, err)
		}
	}
}

// Pages show every intent once, whatever is submitted between two of them.
func TestPages(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBank(t)
	var want []custody.ID[custody.Intent] // newest first
	submit := func(units uint64) custody.ID[custody.Intent] {
		in := b.pay(units)
		b.Must(b.Submit("ida", in))
		b.follow()
		return in.ID
	}
	for range 7 {
		want = slices.Insert(want, 0, submit(1000))
	}
	filter := store.IntentFilter{Type: custody.TransferIntent, State: custody.Submitted, Initiator: b.People["ida"].ID, Wallet: b.wallet}
	var got []custody.ID[custody.Intent]
	var sizes []int
	for cursor := ""; ; {
		page, next, err := b.Intents(ctx, filter, cursor, 3)
		check(t, err)
		for _, in := range page {
			got = append(got, in.ID)
		}
		sizes = append(sizes, len(page))
		submit(1000)
		if cursor = next; cursor == "" {
			break
		}
	}
	if !slices.Equal(got, want) || !slices.Equal(sizes, []int{3, 3, 1}) {
		t.Errorf("pages of %v: %v, want %v", sizes, got, want)
	}
	large := submit(1_000_000_000)
	for name, c := range map[string]struct {
		filter store.IntentFilter
		want   int
	}{
		"all":                     {store.IntentFilter{}, 15},
		"of a type":               {store.IntentFilter{Type: custody.WalletCreateIntent}, 1},
		"in a state":              {store.IntentFilter{State: custody.PendingApproval}, 1},
		"of somebody":             {store.IntentFilter{Initiator: b.People["ann"].ID}, 4},
		"of a wallet":             {store.IntentFilter{Wallet: b.wallet}, 11},
		"of a wallet, in a state": {store.IntentFilter{Wallet: b.wallet, State: custody.PendingApproval}, 1},
		"none":                    {store.IntentFilter{Wallet: b.wallet, Initiator: b.People["ann"].ID}, 0},
	} {
		page, next, err := b.Intents(ctx, c.filter, "", 100)
		if err != nil || len(page) != c.want || next != "" {
			t.Errorf("%s: %d, want %d, %q %v", name, len(page), c.want, next, err)
		}
		if len(page) == 1 && c.filter.State != "" && page[0].ID != large {
			t.Errorf("%s: another intent", name)
		}
	}
	for _, limit := range []int{-1, 0, store.MaxPage + 1} {
		_, _, err := b.Intents(ctx, filter, "", limit)
		hasCode(t, err, custody.Invalid)
	}
}

func FuzzCursor(f *testing.F) {
	b := newBank(f)
	b.follow()
	for _, seed := range []string{"", "MTI", "x", "LTE", "MDE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "MTI=", "MT\nI"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		page, _, err := b.Intents(t.Context(), store.IntentFilter{}, cursor, 100)
		if err != nil && (custody.CodeOf(err) != custody.Invalid || page != nil) {
			t.Errorf("%q: %v", cursor, err)
		}
		if err == nil && cursor != "" {
			if _, again, _ := b.Intents(t.Context(), store.IntentFilter{}, cursor+"=", 100); again != "" {
				t.Errorf("%q has two spellings", cursor)
			}
		}
	})
}
