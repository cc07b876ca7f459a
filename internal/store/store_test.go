package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/policy/compile"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/internal/store"
)

const (
	regtest custody.Network = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328"
	coin    custody.Asset   = custody.Asset(regtest) + "/slip44:1"
	friend  custody.Address = "bcrt1qfriend"
)

// rules let small amounts go at once, and large ones with one of the treasury.
const rules = `
version: 1
currency: USD
timezone: UTC
rules:
  - name: small
    for: [TRANSFER]
    when: amount.asset == "bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:1" && amount.units <= units("0.5")
    allow: {}
  - name: large
    for: [TRANSFER]
    when: "true"
    allow: {approvals: [{group: treasury, count: 1}]}
  - name: repair
    for: [SPEED_UP, CANCEL]
    when: "true"
    allow: {approvals: [{group: treasury, count: 1}]}
  - name: governance
    for: [POLICY_CHANGE, PERSON_CHANGE, GROUP_CHANGE, CREDENTIAL_CHANGE, KEY_CEREMONY, SIGNER_SET_CHANGE, WITNESS_CHANGE, VAULT_CREATE, WALLET_CREATE,
          DESTINATION_CHANGE, LIST_CHANGE, PROVIDER_CHANGE, ISSUER_CHANGE, HOLD_RELEASE, UPGRADE]
    when: "true"
    allow: {approvals: [{group: administrators, count: 2}]}
  - name: freeze
    for: [FREEZE]
    when: "true"
    allow: {approvals: [{group: risk, count: 1}]}
`

// bank is a world with a wallet and a destination, and a store that follows it.
type bank struct {
	*statetest.World
	*store.Store

	tb          testing.TB
	path        string
	wallet      custody.ID[custody.Wallet]
	destination custody.ID[custody.Destination]
}

func newBank(tb testing.TB) *bank {
	tb.Helper()
	c, err := compile.Compile([]byte(rules), compile.Options{Now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		tb.Fatal(err)
	}
	b := &bank{tb: tb, path: filepath.Join(tb.TempDir(), "coffer.db")}
	b.World = statetest.New(tb, statetest.Setup{
		Groups: map[custody.Name][]string{"administrators": {"ann", "ben", "cas"}, "treasury": {"tom", "una"}, "risk": {"rob", "sue"}},
		Others: []string{"ida"},
		Policy: c.Raw,
	})
	key := b.KeyFor("ann", custody.BIP340Secp256k1, public, custody.Hash{1}, 0, "ben", "cas")
	vault := statetest.ID[custody.Vault](b.World)
	b.govern(custody.VaultCreateIntent, &custody.VaultCreate{Vault: custody.Vault{ID: vault, Institution: "bank", Domain: "treasury", Purpose: custody.Treasury}})
	b.wallet = statetest.ID[custody.Wallet](b.World)
	b.govern(custody.WalletCreateIntent, &custody.WalletCreate{Wallet: custody.Wallet{ID: b.wallet, Vault: vault, Network: regtest, Key: key}})
	b.destination = statetest.ID[custody.Destination](b.World)
	b.govern(custody.DestinationChangeIntent, &custody.DestinationChange{Action: custody.Put, Destination: custody.Destination{
		ID: b.destination, Kind: custody.Allowlisted, Network: regtest, Address: friend, Country: "CH",
	}})
	b.open()
	return b
}

// public is the generator of secp256k1: a key that nobody signs with.
var public = custody.Blob{
	0x02, 0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07,
	0x02, 0x9b, 0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98,
}

func (b *bank) govern(t custody.IntentType, body custody.Body) {
	b.tb.Helper()
	b.Must(b.Govern("ann", t, body, 0, "ben", "cas"))
}

func (b *bank) clock() time.Time { return b.Now.Time() }

func (b *bank) open() {
	b.tb.Helper()
	s, err := store.Open(context.Background(), b.path, b.State.CharterHash(), b.clock)
	if err != nil {
		b.tb.Fatal(err)
	}
	b.Store = s
	b.tb.Cleanup(func() { _ = s.Close() })
}

func (b *bank) reopen() {
	b.tb.Helper()
	check(b.tb, b.Close())
	b.open()
}

// pay makes a transfer to the friend.
func (b *bank) pay(units uint64) *custody.Intent {
	b.tb.Helper()
	return b.Intent("ida", custody.TransferIntent, &custody.Transfer{
		Network: regtest, Wallet: b.wallet, Asset: coin, Amount: custody.NewAmount(units), FeeLimit: custody.NewAmount(1000),
		Destination: custody.Recipient{Kind: custody.Allowlisted, Address: friend, Destination: b.destination},
	})
}

// carry takes a transfer from submission to a transaction that is final.
func (b *bank) carry() *custody.Intent {
	b.tb.Helper()
	b.Wait(1)
	in := b.pay(1000)
	b.Must(b.Submit("ida", in))
	b.Must(b.Authorize(in))
	p := b.Must(b.Prepare(in, 900, statetest.Outpoint(1)))
	b.Must(b.SignedBy(in, p.Leaf, custody.Hash{7}, make([]byte, 64), "node-a", "node-c"))
	for _, kind := range []custody.ObservedKind{custody.Broadcast, custody.Confirming, custody.Finalized} {
		b.Must(b.Observe(in, p.Leaf, kind))
	}
	return in
}

// follow appends what the world's journal has and the store's hasn't, each entry in
// an Advance of its own.
func (b *bank) follow() {
	b.tb.Helper()
	for b.Size() < int64(len(b.Entries)) {
		b.next(nil)
	}
}

// next appends the next entry of the world's journal, and does what fn says with it.
func (b *bank) next(fn func(*store.Tx) error) {
	b.tb.Helper()
	end := b.Now
	b.advance(func(t *store.Tx) error {
		if err := b.appendNext(t); err != nil || fn == nil {
			return err
		}
		return fn(t)
	})
	b.Now = end
}

func (b *bank) appendNext(t *store.Tx) error {
	raw := b.Entries[t.State().Size()]
	e, err := custody.ParseEntry(raw)
	if err != nil {
		return err
	}
	leaf, index, err := t.Append(e.Type, e.Body)
	if err == nil && (index != e.Index || leaf != statetest.Leaf(raw)) {
		b.tb.Errorf("entry %d became another one, %d", e.Index, index)
	}
	return err
}

func (b *bank) advance(fn func(*store.Tx) error) {
	b.tb.Helper()
	if i := b.Size(); i < int64(len(b.Entries)) {
		e, err := custody.ParseEntry(b.Entries[i])
		check(b.tb, err)
		b.Now = e.Time
	}
	check(b.tb, b.Advance(context.Background(), fn))
}

func (b *bank) snapshot() []byte { return snapshot(b.tb, b.Store) }

func snapshot(tb testing.TB, s *store.Store) []byte {
	tb.Helper()
	var raw []byte
	check(tb, s.View(func(st *state.State) (err error) {
		raw, err = st.Snapshot()
		return err
	}))
	return raw
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func hasCode(tb testing.TB, err error, want custody.Code) {
	tb.Helper()
	if err == nil || custody.CodeOf(err) != want {
		tb.Errorf("error %v; want one of code %s", err, want)
	}
}

// The store's journal, state and tree are those that everybody else has, before and
// after it was closed.
func TestSameJournal(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBank(t)
	in := b.carry()
	b.follow()
	want, err := b.State.Snapshot()
	check(t, err)
	for _, when := range []string{"written", "reopened"} {
		if !bytes.Equal(b.snapshot(), want) {
			t.Errorf("%s: another state", when)
		}
		entries, err := b.Store.Entries(ctx, 0, 1000)
		if err != nil || len(entries) != len(b.Entries) || b.Size() != int64(len(entries)) {
			t.Fatalf("%s: %d entries, %v", when, len(entries), err)
		}
		for i, raw := range entries {
			one, code, err := b.Entry(int64(i))
			if err != nil || code != "" || !bytes.Equal(raw, b.Entries[i]) || !bytes.Equal(one, raw) {
				t.Errorf("%s: entry %d differs: %v", when, i, err)
			}
		}
		for size := int64(0); size <= b.Size(); size++ {
			checkpoint, err := b.Checkpoint(size)
			want, _ := b.Tree.Root(size)
			if err != nil || checkpoint.Root != want {
				t.Errorf("%s: root of %d: %v", when, size, err)
			}
		}
		bundle, err := state.Collect(b.Store, b.Head(), in.ID, b.State.CharterHash())
		if err != nil || len(bundle.Entries) != 7 {
			t.Errorf("%s: bundle: %v", when, err)
		}
		check(t, os.Chmod(b.path, 0o640)) //nolint:gosec // so that there is something to mend
		b.reopen()
	}
	if some, err := b.Store.Entries(ctx, 3, 2); err != nil || len(some) != 2 || !bytes.Equal(some[0], b.Entries[3]) {
		t.Errorf("two from 3: %d %v", len(some), err)
	}
	_, _, err = b.Entry(b.Size())
	hasCode(t, err, custody.NotFound)
	if _, err := b.Checkpoint(b.Size() + 1); !errors.Is(err, journal.ErrSize) {
		t.Errorf("a root beyond the end: %v", err)
	}
	if info, err := os.Stat(b.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode: %v %v", info.Mode(), err)
	}
}

// Whatever ends an Advance, nothing of it is left, in the database and in memory.
func TestAdvanceUndone(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBank(t)
	b.carry()
	b.follow()
	in := b.pay(1000)
	b.Must(b.Submit("ida", in))
	broken := errors.New("broken")
	checkpoint := func() journal.Checkpoint { c, err := b.Checkpoint(b.Size()); check(t, err); return c }
	before, size, top := b.snapshot(), b.Size(), checkpoint()
	again := &custody.IntentRecord{}
	*again = *mustParse(t, b.Entries[size]).Body.(*custody.IntentRecord)
	cancelled, cancel := context.WithCancel(ctx)
	for name, c := range map[string]struct {
		ctx  context.Context
		fn   func(*store.Tx) error
		want func(error) bool
	}{
		"an error": {ctx, func(tx *store.Tx) error {
			return errors.Join(b.appendNext(tx), broken)
		}, func(err error) bool { return errors.Is(err, broken) }},
		"an error before anything": {ctx, func(*store.Tx) error { return broken }, func(err error) bool { return errors.Is(err, broken) }},
		"void": {ctx, func(tx *store.Tx) error {
			_, _, err := tx.Append(custody.CharterEntry, mustParse(t, b.Entries[0]).Body)
			return err
		}, isVoid(state.SecondCharter)},
		"void behind another": {ctx, func(tx *store.Tx) error {
			check(t, b.appendNext(tx))
			_, _, err := tx.Append(custody.IntentEntry, again)
			return err
		}, isVoid(state.KnownIntent)},
		"void and ignored": {ctx, func(tx *store.Tx) error {
			_, _, _ = tx.Append(custody.CharterEntry, mustParse(t, b.Entries[0]).Body)
			_ = b.appendNext(tx)
			return nil
		}, isVoid(state.SecondCharter)},
		"without form": {ctx, func(tx *store.Tx) error {
			_, _, err := tx.Append("NONSENSE", again)
			return err
		}, func(err error) bool { return custody.CodeOf(err) == custody.Invalid }},
		"the database refuses": {ctx, func(tx *store.Tx) error {
			check(t, b.appendNext(tx))
			return tx.AddCoin(store.Coin{Network: regtest, Outpoint: statetest.Outpoint(1).Outpoint, Height: 7})
		}, func(err error) bool { return custody.CodeOf(err) == custody.NotFound }},
		"cancelled": {cancelled, func(tx *store.Tx) error {
			check(t, b.appendNext(tx))
			cancel()
			return nil
		}, func(err error) bool { return errors.Is(err, context.Canceled) }},
	} {
		if err := b.Advance(c.ctx, c.fn); !c.want(err) {
			t.Errorf("%s: error %v", name, err)
		}
		if !bytes.Equal(b.snapshot(), before) || checkpoint() != top {
			t.Errorf("%s: something is left", name)
		}
		if _, err := b.Store.Intent(ctx, in.ID); custody.CodeOf(err) != custody.NotFound {
			t.Errorf("%s: the intent is left: %v", name, err)
		}
	}
	func() {
		defer func() { _ = recover() }()
		_ = b.Advance(ctx, func(tx *store.Tx) error {
			check(t, b.appendNext(tx))
			_ = b.Entries[1000*size]
			return nil
		})
	}()
	var late *store.Tx
	check(t, b.Advance(ctx, func(tx *store.Tx) error {
		late = tx
		return nil
	}))
	if _, _, err := late.Append(custody.ObservedEntry, &custody.Observed{Kind: custody.Tick}); err == nil {
		t.Error("an entry is appended when all is over")
	}
	if !bytes.Equal(b.snapshot(), before) {
		t.Error("something is left after a panic")
	}
	b.follow()
	b.reopen()
	if got, err := b.Store.Intent(ctx, in.ID); err != nil || got.Index != size {
		t.Errorf("%+v %v", got, err)
	}
}

func isVoid(code state.Code) func(error) bool {
	return func(err error) bool {
		v, ok := errors.AsType[*store.VoidError](err)
		return ok && v.Code == code && errors.Is(err, v.Why) && strings.Contains(err.Error(), v.Why.Error())
	}
}

func mustParse(tb testing.TB, raw []byte) *custody.Entry {
	tb.Helper()
	e, err := custody.ParseEntry(raw)
	check(tb, err)
	return e
}

// A void entry that would stand where the state forgets what is over forgets
// nothing.
func TestVoidWhereTheStateForgets(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBank(t)
	b.carry()
	b.follow()
	check(t, b.Advance(ctx, func(tx *store.Tx) error {
		for tx.State().Size()%256 != 255 {
			if _, _, err := tx.Append(custody.ObservedEntry, &custody.Observed{Kind: custody.Tick}); err != nil {
				return err
			}
		}
		return nil
	}))
	b.Wait(100 * custody.Day)
	check(t, b.Advance(ctx, tick))
	before := b.snapshot()
	err := b.Advance(ctx, func(tx *store.Tx) error {
		_, _, err := tx.Append(custody.CharterEntry, mustParse(t, b.Entries[0]).Body)
		return err
	})
	if !isVoid(state.SecondCharter)(err) || !bytes.Equal(b.snapshot(), before) {
		t.Errorf("%v, or something was forgotten", err)
	}
	check(t, b.Advance(ctx, tick))
	if len(b.snapshot()) >= len(before) {
		t.Error("nothing was forgotten")
	}
}

func tick(tx *store.Tx) error {
	_, _, err := tx.Append(custody.ObservedEntry, &custody.Observed{Kind: custody.Tick})
	return err
}

// Far into a journal, too, what is undone leaves the state as it was; and where it
// can't be made again, nobody sees another one.
func TestRebuild(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBank(t)
	b.follow()
	check(t, b.Advance(ctx, func(tx *store.Tx) error {
		for range 4100 {
			if err := tick(tx); err != nil {
				return err
			}
		}
		return nil
	}))
	check(t, b.Advance(ctx, tick))
	before, broken := b.snapshot(), errors.New("broken")
	fail := func() error {
		return b.Advance(ctx, func(tx *store.Tx) error { return errors.Join(tick(tx), broken) })
	}
	if err := fail(); !errors.Is(err, broken) || !bytes.Equal(b.snapshot(), before) {
		t.Errorf("%v, or something is left", err)
	}
	db, err := sql.Open("sqlite", b.path)
	check(t, err)
	defer func() { check(t, db.Close()) }()
	set := func(raw []byte) {
		_, err := db.ExecContext(ctx, `UPDATE entries SET raw = $1 WHERE idx = $2`, raw, b.Size()-1)
		check(t, err)
	}
	raw, _, err := b.Entry(b.Size() - 1)
	check(t, err)
	set([]byte("garbage"))
	if err := fail(); !errors.Is(err, broken) {
		t.Error(err)
	}
	look := func() error { return b.View(func(*state.State) error { return nil }) }
	for _, err := range []error{fail(), look()} {
		hasCode(t, err, custody.Unavailable)
		if !errors.Is(err, store.ErrDamaged) {
			t.Error(err)
		}
	}
	set(raw)
	if check(t, look()); !bytes.Equal(b.snapshot(), before) {
		t.Error("another state")
	}
}

// A machine that dies at any moment leaves what was committed, and nothing else.
func TestCrash(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	b.carry()
	states := map[int64][]byte{}
	var copies []string
	for b.Size() < int64(len(b.Entries)) {
		if b.Size() > 0 {
			states[b.Size()] = b.snapshot()
		}
		inside := ""
		b.next(func(*store.Tx) error {
			inside = copyDatabase(t, b.path, -1)
			return nil
		})
		if b.Size()%3 != 0 {
			continue
		}
		if got := sizeOf(t, b, inside, nil); got != b.Size()-1 {
			t.Errorf("a crash before commit %d: %d entries", b.Size(), got)
		}
		copies = append(copies, copyDatabase(t, b.path, -1))
	}
	states[b.Size()] = b.snapshot()
	for i, path := range copies {
		if got := sizeOf(t, b, path, states); got != int64(3*(i+1)) {
			t.Errorf("a crash after commit %d: %d entries", 3*(i+1), got)
		}
	}
	// A log that ends anywhere, as after a loss of power in a write.
	info, err := os.Stat(b.path + "-wal")
	check(t, err)
	last := int64(0)
	for i := range int64(16) {
		got := sizeOf(t, b, copyDatabase(t, b.path, info.Size()*i/15), states)
		if got < last {
			t.Errorf("%d entries from a longer log, %d from a shorter", got, last)
		}
		last = got
	}
	if last != b.Size() {
		t.Errorf("%d entries of the whole log", last)
	}
}

// copyDatabase copies the files that a crash would leave, and so much of the log.
func copyDatabase(tb testing.TB, path string, log int64) string {
	tb.Helper()
	to := filepath.Join(tb.TempDir(), "copy.db")
	for _, suffix := range []string{"", "-wal"} {
		raw, err := os.ReadFile(path + suffix)
		check(tb, err)
		if suffix != "" && log >= 0 {
			raw = raw[:log]
		}
		check(tb, os.WriteFile(to+suffix, raw, 0o600))
	}
	return to
}

// sizeOf opens a copy, compares its state with that recorded for its size, and
// returns that.
func sizeOf(tb testing.TB, b *bank, path string, states map[int64][]byte) int64 {
	tb.Helper()
	s, err := store.Open(context.Background(), path, b.State.CharterHash(), b.clock)
	check(tb, err)
	defer func() { check(tb, s.Close()) }()
	if want, ok := states[s.Size()]; ok && !bytes.Equal(snapshot(tb, s), want) {
		tb.Errorf("%d entries make another state", s.Size())
	}
	return s.Size()
}

// Advance calls never interleave, and entries of one stand together.
func TestAdvanceAlone(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	b.follow()
	start := b.Size()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10 {
				err := b.Advance(t.Context(), func(tx *store.Tx) error {
					first := tx.State().Size()
					for i := range int64(3) {
						_, index, err := tx.Append(custody.ObservedEntry, &custody.Observed{Kind: custody.Tick})
						if err != nil || index != first+i {
							t.Errorf("entry %d at %d: %v", first+i, index, err)
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				if err := b.View(func(st *state.State) error {
					if (st.Size()-start)%3 != 0 {
						t.Error("half an Advance is seen")
					}
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if b.Size() != start+120 {
		t.Errorf("%d entries, want %d", b.Size(), start+120)
	}
	b.reopen()
}

// Entries get the time of the clock, but never one before the newest entry's.
func TestTime(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	b.follow()
	newest := b.Now
	for _, c := range []struct{ back, want custody.Seconds }{{3600, 0}, {0, 0}, {-5, 5}} {
		b.Now = newest.Add(-c.back)
		check(t, b.Advance(t.Context(), func(tx *store.Tx) error {
			if tx.Now() != newest.Add(c.want) {
				t.Errorf("Now is %s, want %s", tx.Now(), newest.Add(c.want))
			}
			return tick(tx)
		}))
	}
	raw, _, err := b.Entry(b.Size() - 1)
	if e := mustParse(t, raw); err != nil || e.Time != newest.Add(5) {
		t.Errorf("the entry is of %s: %v", e.Time, err)
	}
}

// Whoever waits is woken by a commit, not by an Advance that failed.
func TestChanged(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	b.follow()
	changed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	c := b.Changed()
	_ = b.Advance(t.Context(), func(*store.Tx) error { return errors.New("no") })
	if changed(c) {
		t.Error("woken by nothing")
	}
	check(t, b.Advance(t.Context(), tick))
	if !changed(c) || changed(b.Changed()) {
		t.Error("not woken once by an entry")
	}
}

func BenchmarkAppend(b *testing.B) {
	bank := newBank(b)
	bank.follow()
	for _, n := range []int{1, 100} {
		b.Run(map[int]string{1: "alone", 100: "hundreds"}[n], func(b *testing.B) {
			for range b.N {
				check(b, bank.Advance(b.Context(), func(tx *store.Tx) error {
					for range n {
						if err := tick(tx); err != nil {
							return err
						}
					}
					return nil
				}))
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
