package store_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/store"
)

// queue is a bank where n intents are due, and nothing else.
func queue(t *testing.T, n int) (*bank, []custody.ID[custody.Intent]) {
	t.Helper()
	b := newBank(t)
	b.follow()
	b.rest()
	ids := make([]custody.ID[custody.Intent], n)
	for i := range ids {
		b.Wait(1)
		in := b.pay(1000)
		b.Must(b.Submit("ida", in))
		b.follow()
		ids[i] = in.ID
	}
	return b, ids
}

func (b *bank) claim(want custody.ID[custody.Intent]) store.Work {
	b.tb.Helper()
	w, ok, err := b.Claim(b.tb.Context(), b.Now, 30)
	if err != nil || ok != (want != custody.ID[custody.Intent]{}) || w.Intent != want {
		b.tb.Fatalf("claimed %+v %v %v, want %s", w, ok, err, want)
	}
	return w
}

func (b *bank) finish(w store.Work, again custody.Time, note string) error {
	return b.Advance(b.tb.Context(), func(tx *store.Tx) error { return tx.Finish(w, again, note) })
}

func (b *bank) wake(id custody.ID[custody.Intent]) {
	b.tb.Helper()
	check(b.tb, b.Advance(b.tb.Context(), func(tx *store.Tx) error { return tx.Wake(id) }))
}

func TestWork(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	none := custody.ID[custody.Intent]{}
	b, ids := queue(t, 2)
	first, second := b.claim(ids[0]), b.claim(ids[1]) // the one that is due longest
	b.claim(none)

	check(t, b.finish(first, b.Now.Add(60), "waits for funds"))
	hasCode(t, b.finish(first, b.Now.Add(60), ""), custody.Conflict) // given back before
	if in, err := b.Store.Intent(ctx, ids[0]); err != nil || in.Note != "waits for funds" {
		t.Errorf("note %q, %v", in.Note, err)
	}

	b.Wait(29)
	b.claim(none)
	b.Wait(1) // the second's lease ends
	again := b.claim(ids[1])
	if again.Fence <= second.Fence || again.Attempts != 2 {
		t.Errorf("%+v after %+v", again, second)
	}
	hasCode(t, b.finish(second, b.Now, "stale"), custody.Conflict)
	check(t, b.finish(again, store.Never, "done"))
	b.claim(none)

	// What is woken while it is taken is due as soon as it is given back.
	b.wake(ids[1])
	again = b.claim(ids[1])
	b.claim(none)
	b.wake(ids[1])
	b.claim(none)
	check(t, b.finish(again, store.Never, ""))
	again = b.claim(ids[1])

	// So is what an entry touched, as often as it may have been tried in vain.
	b.Must(b.Authorize(mustIntent(t, b, ids[1])))
	b.next(func(tx *store.Tx) error { return tx.Finish(again, store.Never, "") })
	if again = b.claim(ids[1]); again.Attempts != 1 {
		t.Errorf("%d attempts since the entry", again.Attempts)
	}

	// Work of a process that died is free at once.
	b.reopen()
	hasCode(t, b.finish(again, store.Never, ""), custody.Conflict)
	b.claim(ids[1])
	b.Wait(29)
	b.claim(none)
	b.Wait(1)
	b.claim(ids[0])
}

func mustIntent(t *testing.T, b *bank, id custody.ID[custody.Intent]) *custody.Intent {
	t.Helper()
	line, err := b.Store.Intent(t.Context(), id)
	check(t, err)
	in, err := custody.ParseIntent(line.Bytes)
	check(t, err)
	return in
}

// A Finish in an Advance that fails gives nothing back.
func TestFinishUndone(t *testing.T) {
	t.Parallel()
	b, ids := queue(t, 1)
	w := b.claim(ids[0])
	no := errors.New("no")
	if err := b.Advance(t.Context(), func(tx *store.Tx) error { return errors.Join(tx.Finish(w, b.Now, ""), no) }); !errors.Is(err, no) {
		t.Error(err)
	}
	b.claim(custody.ID[custody.Intent]{})
	check(t, b.finish(w, store.Never, ""))
}

// However many claim at once, each intent goes to one.
func TestClaimOnce(t *testing.T) {
	t.Parallel()
	b, ids := queue(t, 20)
	var mu sync.Mutex
	taken := map[custody.ID[custody.Intent]]int{}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				w, ok, err := b.Claim(t.Context(), b.Now, 30)
				if err != nil {
					t.Error(err)
				}
				if err != nil || !ok {
					return
				}
				mu.Lock()
				taken[w.Intent]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for _, id := range ids {
		if taken[id] != 1 {
			t.Errorf("intent %s was taken %d times", id, taken[id])
		}
	}
	if len(taken) != len(ids) {
		t.Errorf("%d were taken, %d were due", len(taken), len(ids))
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBank(t)
	b.follow()
	begin := func(principal, key string, request byte) (*store.Answer, error) {
		return b.Begin(ctx, principal, key, custody.Hash{request}, b.Now)
	}
	fresh := func(principal, key string, request byte) {
		t.Helper()
		if a, err := begin(principal, key, request); a != nil || err != nil {
			t.Errorf("%s %s: %+v %v", principal, key, a, err)
		}
	}
	other := func(_ *store.Answer, err error) {
		t.Helper()
		hasCode(t, err, custody.Invalid)
		if !errors.Is(err, store.ErrOtherRequest) {
			t.Error(err)
		}
	}
	fresh("ida", "k", 1)
	fresh("tom", "k", 2)
	_, err := begin("ida", "k", 1)
	hasCode(t, err, custody.Conflict)
	other(begin("ida", "k", 2))
	check(t, b.Complete(ctx, "ida", "k", store.Answer{Status: 201, Body: []byte("made")}))
	hasCode(t, b.Complete(ctx, "ida", "k", store.Answer{Status: 500}), custody.NotFound)
	check(t, b.Abandon(ctx, "ida", "k")) // an answer stays
	if a, err := begin("ida", "k", 1); err != nil || a == nil || a.Status != 201 || string(a.Body) != "made" {
		t.Errorf("%+v %v", a, err)
	}
	other(begin("ida", "k", 2))
	for _, key := range []string{"", string(make([]byte, 256))} {
		_, err = begin("ida", key, 1)
		hasCode(t, err, custody.Invalid)
	}

	// A call that was never accepted consumes nothing.
	fresh("ida", "l", 1)
	check(t, b.Abandon(ctx, "ida", "l"))
	fresh("ida", "l", 2)

	// What ran when the process died can be called again; what was answered stays.
	b.reopen()
	fresh("tom", "k", 2)
	fresh("ida", "l", 3)
	if a, err := begin("ida", "k", 1); err != nil || a == nil || a.Status != 201 {
		t.Errorf("%+v %v", a, err)
	}
	b.Wait(custody.Day - 1)
	other(begin("ida", "k", 9))
	b.Wait(1)
	fresh("ida", "k", 9)
}
