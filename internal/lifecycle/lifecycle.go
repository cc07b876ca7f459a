package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cofferhq/coffer/internal/ceremony"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/network"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/store"
)

// Config is what a Lifecycle is made of.
type Config struct {
	Store    *store.Store
	Nodes    *ceremony.Coordinator
	Networks map[custody.Network]*Network
	Now      func() time.Time
	Log      *slog.Logger
}

// Network is a network to carry transfers out on.
type Network struct {
	Node          *network.Bitcoin
	Confirmations int64         // blocks, the transaction's own included, until it is CONFIRMED
	Final         int64         // and until it is FINALIZED
	FeeRate       uint64        // satoshi per 1,000 virtual bytes where the node estimates none
	Poll          time.Duration // how often to look for a new block
	Start         int64         // height of the first block to read: none before it pays us
}

// Lifecycle moves intents on.
type Lifecycle struct {
	cfg Config
}

// New returns a Lifecycle. Run starts it.
func New(cfg Config) *Lifecycle { return &Lifecycle{cfg} }

const (
	workers   = 4
	lease     = 2 * custody.Minute // longer than any step takes
	idle      = time.Second        // how often a worker looks for what others have made due
	backOff   = time.Second
	backOffTo = time.Minute
)

// Run works until ctx ends.
func (l *Lifecycle) Run(ctx context.Context) error {
	var work sync.WaitGroup
	for range workers {
		work.Go(func() { l.work(ctx) })
	}
	for id, n := range l.cfg.Networks {
		work.Go(func() { l.watch(ctx, id, n) })
	}
	work.Wait()
	return ctx.Err()
}

// work takes what is due, one intent at a time.
func (l *Lifecycle) work(ctx context.Context) {
	for ctx.Err() == nil {
		changed := l.cfg.Store.Changed()
		w, ok, err := l.cfg.Store.Claim(ctx, l.now(), lease)
		if err != nil && ctx.Err() == nil {
			l.cfg.Log.Error("claim", "error", err.Error())
		}
		if ok {
			l.step(ctx, w)
			continue
		}
		select {
		case <-changed:
		case <-time.After(idle):
		case <-ctx.Done():
		}
	}
}

func (l *Lifecycle) now() custody.Time { return custody.At(l.cfg.Now()) }

// later is when to look at an intent again, and what it waits for meanwhile.
type later struct {
	at   custody.Time
	note string
}

// never is what nothing more can happen to by itself.
var never = later{at: store.Never}

// step does all that can be done for an intent now.
func (l *Lifecycle) step(ctx context.Context, w store.Work) {
	next, err := l.move(ctx, w.Intent)
	if ctx.Err() != nil {
		return // the lease ends, and another process goes on
	}
	if err != nil {
		wait := min(backOff<<min(w.Attempts-1, 10), backOffTo)
		next = later{l.now().Add(custody.Seconds(wait / time.Second)), err.Error()}
		l.cfg.Log.Warn("waits", "intent", w.Intent, "reason", err.Error())
	}
	err = l.cfg.Store.Advance(ctx, func(t *store.Tx) error { return t.Finish(w, next.at, next.note) })
	if err != nil && ctx.Err() == nil && custody.CodeOf(err) != custody.Conflict {
		l.cfg.Log.Error("finish", "intent", w.Intent, "error", err.Error())
	}
}

// move takes an intent through one step after the other until it has to wait.
func (l *Lifecycle) move(ctx context.Context, id custody.ID[custody.Intent]) (later, error) {
	for {
		v, err := l.view(id)
		if err != nil {
			return later{}, err
		}
		next := never
		var done bool // there is nothing more to do now
		switch {
		case v.State == custody.Submitted:
			next, done, err = l.decide(ctx, id)
		case v.State == custody.AuthorizedState && v.Intent.Expires <= l.now():
			done = true
		case v.State == custody.AuthorizedState && v.Intent.Type == custody.KeyCeremonyIntent:
			err = l.keygen(ctx, v)
		case v.State == custody.AuthorizedState && v.Intent.Type == custody.TransferIntent:
			err = l.prepare(ctx, v)
		case v.State == custody.Executing:
			next, done, err = l.execute(ctx, v)
		default:
			done = true
		}
		if err != nil || done {
			return next, err
		}
	}
}

// view reads an intent from the state. One that was forgotten there is over.
func (l *Lifecycle) view(id custody.ID[custody.Intent]) (v state.IntentView, err error) {
	err = l.cfg.Store.View(func(s *state.State) error {
		v, _ = s.Intent(id)
		return nil
	})
	return v, err
}

// isVoid reports whether an entry was refused because another one came first. What
// is on record then says what to do next.
func isVoid(err error) bool {
	_, ok := errors.AsType[*store.VoidError](err)
	return ok
}
