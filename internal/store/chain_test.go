package store_test

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/internal/store"
)

func (b *bank) write(fn func(*store.Tx) error) error { return b.Advance(b.tb.Context(), fn) }

func id(n int) custody.Hash { return statetest.Sum(fmt.Append(nil, n)) }

func block(height uint64, fork int) store.Block {
	return store.Block{Network: regtest, Height: height, Hash: id(int(height)*100 + fork)}
}

func output(tx, n int) custody.Outpoint { return custody.Outpoint(fmt.Sprintf("%s:%d", id(tx), n)) }

func amount(tb testing.TB, s string) custody.Amount {
	tb.Helper()
	a, err := custody.ParseAmount(s)
	check(tb, err)
	return a
}

func TestBlocks(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	if _, ok, err := b.Tip(t.Context(), regtest); ok || err != nil {
		t.Errorf("a tip without blocks: %v", err)
	}
	add := func(x store.Block) error { return b.write(func(tx *store.Tx) error { return tx.AddBlock(x) }) }
	remove := func(x store.Block) error { return b.write(func(tx *store.Tx) error { return tx.RemoveBlock(x) }) }
	check(t, add(block(100, 0)))
	check(t, add(block(101, 0)))
	hasCode(t, add(block(101, 1)), custody.Conflict)
	hasCode(t, add(block(103, 0)), custody.Conflict)
	hasCode(t, add(block(1<<63, 0)), custody.Invalid)
	hasCode(t, remove(block(100, 0)), custody.Conflict)
	hasCode(t, remove(block(101, 1)), custody.Conflict)
	check(t, remove(block(101, 0)))
	check(t, add(block(101, 1)))
	if tip, ok, err := b.Tip(t.Context(), regtest); tip != block(101, 1) || !ok || err != nil {
		t.Errorf("%+v %v", tip, err)
	}
	if _, ok, err := b.Tip(t.Context(), "eip155:1"); ok || err != nil {
		t.Errorf("another network's tip: %v", err)
	}
}

func TestCoins(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBank(t)
	big := amount(t, "1606938044258990275541962092341162602522202993782792835301376") // 2^200
	c := store.Coin{Network: regtest, Outpoint: output(1, 0), Wallet: b.wallet, Amount: big}
	mined := c
	mined.Height = 100
	change := store.Coin{Network: regtest, Outpoint: output(2, 1), Wallet: b.wallet, Branch: 1, Index: 3, Amount: custody.NewAmount(7), Height: 100}
	add := func(c store.Coin) error { return b.write(func(tx *store.Tx) error { return tx.AddCoin(c) }) }
	spend := func(o custody.Outpoint, by int, height uint64) error {
		return b.write(func(tx *store.Tx) error { return tx.SpendCoin(regtest, o, id(by), height) })
	}
	balance := func(confirmed, unconfirmed custody.Amount) {
		t.Helper()
		if got, err := b.Balance(ctx, b.wallet); err != nil || got != (store.Balance{Confirmed: confirmed, Unconfirmed: unconfirmed}) {
			t.Errorf("balance %s and %s, %v; want %s and %s", got.Confirmed, got.Unconfirmed, err, confirmed, unconfirmed)
		}
	}
	var zero custody.Amount
	hasCode(t, add(mined), custody.NotFound) // its block isn't there
	check(t, b.write(func(tx *store.Tx) error { return tx.AddBlock(block(100, 0)) }))
	check(t, add(c))
	balance(zero, big)
	check(t, add(c))
	check(t, add(mined))
	check(t, add(c)) // late news
	check(t, add(change))
	sum, _ := big.Add(custody.NewAmount(7))
	balance(sum, zero)
	if got, err := b.Coins(ctx, b.wallet); err != nil || len(got) != 2 || !slices.Contains(got, mined) || !slices.Contains(got, change) {
		t.Errorf("%+v %v", got, err)
	}
	other := mined
	other.Amount = zero
	hasCode(t, add(other), custody.Conflict)
	other.Outpoint = "nonsense"
	hasCode(t, add(other), custody.Invalid)

	check(t, spend(c.Outpoint, 5, 0))
	balance(custody.NewAmount(7), zero)
	check(t, spend(c.Outpoint, 6, 0))   // another one replaces it
	check(t, spend(c.Outpoint, 5, 100)) // and the first is mined
	check(t, spend(c.Outpoint, 5, 100))
	hasCode(t, spend(c.Outpoint, 6, 100), custody.Conflict)
	hasCode(t, spend(c.Outpoint, 6, 0), custody.Conflict)
	hasCode(t, spend(c.Outpoint, 5, 101), custody.NotFound)
	hasCode(t, spend(output(9, 9), 5, 0), custody.NotFound)
	balance(custody.NewAmount(7), zero)

	check(t, b.write(func(tx *store.Tx) error { return tx.RemoveBlock(block(100, 0)) }))
	balance(zero, zero) // 6 spends it again

	largest := amount(t, "115792089237316195423570985008687907853269984665640564039457584007913129639935")
	check(t, add(store.Coin{Network: regtest, Outpoint: output(3, 0), Wallet: b.wallet, Amount: largest}))
	balance(zero, largest)
	check(t, add(store.Coin{Network: regtest, Outpoint: output(4, 0), Wallet: b.wallet, Amount: custody.NewAmount(1)}))
	if _, err := b.Balance(ctx, b.wallet); err == nil {
		t.Error("a balance above 2^256")
	}
}

// model is what coins and blocks mean, in the simplest way: what is seen in no
// block, and what each block does.
type model struct {
	seen    map[int]bool // coins
	pending map[int]int  // coin to who would spend it
	blocks  []change
	next    int
}

type change struct {
	made     map[int]bool
	spent    map[int]int
	credited bool // the deposits that it made
}

func (m *model) made(coin int) bool {
	return slices.ContainsFunc(m.blocks, func(c change) bool { return c.made[coin] })
}

func (m *model) spent(coin int) bool {
	return slices.ContainsFunc(m.blocks, func(c change) bool { _, ok := c.spent[coin]; return ok })
}

func (m *model) balance() (confirmed, unconfirmed uint64) {
	for coin := range m.next {
		_, pending := m.pending[coin]
		switch {
		case pending || m.spent(coin):
		case m.made(coin):
			confirmed += worth(coin)
		case m.seen[coin]:
			unconfirmed += worth(coin)
		}
	}
	return confirmed, unconfirmed
}

// deposits are the states of the coins on branch 0, the even ones.
func (m *model) deposits() map[int]custody.DepositState {
	states := map[int]custody.DepositState{}
	for coin := range m.seen {
		states[coin] = custody.DepositDetected
	}
	for _, c := range m.blocks {
		for coin := range c.made {
			states[coin] = custody.DepositConfirming
			if c.credited {
				states[coin] = custody.DepositCredited
			}
		}
	}
	maps.DeleteFunc(states, func(coin int, _ custody.DepositState) bool { return coin%2 != 0 })
	return states
}

func worth(coin int) uint64 { return uint64(1) << (coin % 60) }

// Whatever happens to blocks, balances and deposits are what the model says, and
// those before a block are back when it is.
func TestReorganisations(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	const base = 100
	rounds := 0
	rapid.Check(t, func(rt *rapid.T) {
		wallet := statetest.NewID[custody.Wallet](statetest.Start, uint64(1000+rounds))
		network := custody.Network(fmt.Sprintf("bip122:%032d", rounds))
		rounds++
		name := func(coin int) custody.Outpoint { return output(1_000_000*rounds+coin, 0) }
		m := &model{seen: map[int]bool{}, pending: map[int]int{}}
		do := func(fn func(*store.Tx) error) {
			if err := b.write(fn); err != nil {
				rt.Fatal(err)
			}
		}
		at := func(i int) store.Block {
			return store.Block{Network: network, Height: uint64(base + i), Hash: id(rounds*1000 + i)}
		}
		pick := func(ok func(int) bool) int {
			var coins []int
			for coin := range m.next {
				if ok(coin) {
					coins = append(coins, coin)
				}
			}
			if len(coins) == 0 {
				return -1
			}
			return rapid.SampledFrom(coins).Draw(rt, "coin")
		}
		add := func(tx *store.Tx, coin int, height uint64) error {
			return tx.AddCoin(store.Coin{
				Network: network, Outpoint: name(coin), Wallet: wallet, Branch: uint32(coin % 2),
				Amount: custody.NewAmount(worth(coin)), Height: height,
			})
		}
		known := func(coin int) bool { return m.seen[coin] || m.made(coin) }
		rt.Repeat(map[string]func(*rapid.T){
			"seen": func(*rapid.T) {
				coin := m.next
				m.next++
				m.seen[coin] = true
				do(func(tx *store.Tx) error { return add(tx, coin, 0) })
			},
			"pending": func(rt *rapid.T) {
				coin := pick(func(c int) bool { return m.seen[c] && !m.spent(c) })
				if coin < 0 {
					rt.Skip()
				}
				by := rapid.IntRange(1, 3).Draw(rt, "by")
				m.pending[coin] = by
				do(func(tx *store.Tx) error { return tx.SpendCoin(network, name(coin), id(by), 0) })
			},
			"block": func(rt *rapid.T) {
				c := change{made: map[int]bool{}, spent: map[int]int{}}
				for range rapid.IntRange(0, 2).Draw(rt, "new") {
					c.made[m.next] = true
					m.next++
				}
				if coin := pick(func(c int) bool { return m.seen[c] && !m.made(c) }); coin >= 0 {
					c.made[coin] = true
				}
				if coin := pick(func(x int) bool { return (known(x) || c.made[x]) && !m.spent(x) }); coin >= 0 {
					c.spent[coin] = rapid.IntRange(1, 3).Draw(rt, "by")
				}
				top := at(len(m.blocks))
				m.blocks = append(m.blocks, c)
				do(func(tx *store.Tx) error {
					if err := tx.AddBlock(top); err != nil {
						return err
					}
					for _, coin := range slices.Sorted(maps.Keys(c.made)) {
						if err := add(tx, coin, top.Height); err != nil {
							return err
						}
					}
					for coin, by := range c.spent {
						if err := tx.SpendCoin(network, name(coin), id(by), top.Height); err != nil {
							return err
						}
					}
					return nil
				})
			},
			"credit": func(rt *rapid.T) {
				deep := rapid.IntRange(0, len(m.blocks)).Draw(rt, "deep") // blocks
				for i := range deep {
					m.blocks[i].credited = true
				}
				do(func(tx *store.Tx) error { return tx.CreditDeposits(network, uint64(base+deep-1)) })
			},
			"remove": func(rt *rapid.T) {
				if len(m.blocks) == 0 {
					rt.Skip()
				}
				top := len(m.blocks) - 1
				do(func(tx *store.Tx) error { return tx.RemoveBlock(at(top)) })
				m.blocks = m.blocks[:top]
			},
			"": func(rt *rapid.T) {
				confirmed, unconfirmed := m.balance()
				got, err := b.Balance(rt.Context(), wallet)
				if err != nil || got.Confirmed.String() != strconv.FormatUint(confirmed, 10) || got.Unconfirmed.String() != strconv.FormatUint(unconfirmed, 10) {
					rt.Fatalf("balance %s and %s, %v; the model has %d and %d", got.Confirmed, got.Unconfirmed, err, confirmed, unconfirmed)
				}
				want := map[custody.Outpoint]custody.DepositState{}
				for coin, state := range m.deposits() {
					want[name(coin)] = state
				}
				if diff := gocmp.Diff(want, b.deposits(rt.Context(), wallet)); diff != "" {
					rt.Fatal(diff)
				}
			},
		})
	})
}

func TestDeposits(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBank(t)
	pay := func(tx int, branch uint32, height uint64) store.Coin {
		c := store.Coin{Network: regtest, Outpoint: output(tx, 0), Wallet: b.wallet, Branch: branch, Amount: custody.NewAmount(5), Height: height}
		check(t, b.write(func(tx *store.Tx) error { return tx.AddCoin(c) }))
		return c
	}
	list := func(want ...store.Deposit) {
		t.Helper()
		got, err := b.Deposits(ctx, b.wallet, 10)
		check(t, err)
		if diff := gocmp.Diff(want, got, gocmp.Comparer(func(a, b custody.Amount) bool { return a == b })); diff != "" {
			t.Error(diff)
		}
	}
	for h := range uint64(3) {
		check(t, b.write(func(tx *store.Tx) error { return tx.AddBlock(block(100+h, 0)) }))
	}
	deep, fresh := pay(1, 0, 100), pay(3, 0, 0)
	pay(2, 1, 100)
	list(store.Deposit{Coin: fresh, State: custody.DepositDetected}, store.Deposit{Coin: deep, State: custody.DepositConfirming, Confirmations: 3})
	check(t, b.write(func(tx *store.Tx) error { return tx.CreditDeposits(regtest, 100) }))
	check(t, b.write(func(tx *store.Tx) error { return tx.SpendCoin(regtest, output(1, 0), id(9), 0) }))
	fresh.Height = 102
	pay(3, 0, 102)
	list(store.Deposit{Coin: fresh, State: custody.DepositConfirming, Confirmations: 1}, store.Deposit{Coin: deep, State: custody.DepositCredited, Confirmations: 3})
	check(t, b.write(func(tx *store.Tx) error { return tx.RemoveBlock(block(102, 0)) }))
	fresh.Height = 0
	list(store.Deposit{Coin: fresh, State: custody.DepositDetected}, store.Deposit{Coin: deep, State: custody.DepositCredited, Confirmations: 2})
	if got, err := b.Deposits(ctx, b.wallet, 1); err != nil || len(got) != 1 || got[0].Outpoint != fresh.Outpoint {
		t.Errorf("%+v %v", got, err)
	}
}

// deposits are the states of a wallet's deposits.
func (b *bank) deposits(ctx context.Context, wallet custody.ID[custody.Wallet]) map[custody.Outpoint]custody.DepositState {
	b.tb.Helper()
	list, err := b.Deposits(ctx, wallet, 1000)
	check(b.tb, err)
	states := map[custody.Outpoint]custody.DepositState{}
	for _, d := range list {
		states[d.Outpoint] = d.State
	}
	return states
}

// A deposit that is deep enough is credited, and forgets it with its block.
func TestCreditDeposits(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBank(t)
	db, err := sql.Open("sqlite", b.path)
	check(t, err)
	defer func() { check(t, db.Close()) }()
	other := custody.Network("bip122:000000000019d6689c085ae165831e93")
	for i, c := range []struct {
		name   string
		height uint64               // of its block; 0 if none
		state  custody.DepositState // to begin with, if not as AddCoin has it
		upTo   uint64
		want   custody.DepositState
	}{
		{"deep enough", 101, "", 101, custody.DepositCredited},
		{"deeper", 101, "", 105, custody.DepositCredited},
		{"as deep as can be", 101, "", math.MaxUint64, custody.DepositCredited},
		{"not deep enough", 101, "", 100, custody.DepositConfirming},
		{"nothing is", 101, "", 0, custody.DepositConfirming},
		{"in no block", 0, "", 101, custody.DepositDetected},
		{"quarantined", 101, custody.DepositQuarantined, 101, custody.DepositQuarantined},
		{"cleared", 101, custody.DepositCleared, 101, custody.DepositCleared},
		{"frozen", 101, custody.DepositFrozen, 101, custody.DepositFrozen},
		{"credited before", 101, custody.DepositCredited, 100, custody.DepositCredited},
	} {
		wallet := statetest.ID[custody.Wallet](b.World)
		coin := func(network custody.Network, n int, height uint64) store.Coin {
			return store.Coin{Network: network, Outpoint: output(100*i+n, 0), Wallet: wallet, Amount: custody.NewAmount(5), Height: height}
		}
		is := func(when string, want map[custody.Outpoint]custody.DepositState) {
			t.Helper()
			if diff := gocmp.Diff(want, b.deposits(ctx, wallet)); diff != "" {
				t.Errorf("%s, %s: %s", c.name, when, diff)
			}
		}
		seen, unseen, elsewhere := coin(regtest, 0, 0), coin(regtest, 1, c.height), coin(other, 2, 101)
		mined := seen
		mined.Height = c.height
		change := coin(regtest, 3, c.height)
		change.Branch = 1
		check(t, b.write(func(tx *store.Tx) error {
			err := tx.AddCoin(seen)
			for _, network := range []custody.Network{regtest, other} {
				err = errors.Join(err, tx.AddBlock(store.Block{Network: network, Height: 101, Hash: id(1)}))
			}
			for _, coin := range []store.Coin{mined, unseen, change, elsewhere} {
				err = errors.Join(err, tx.AddCoin(coin))
			}
			return err
		}))
		if c.state != "" {
			_, err := db.ExecContext(ctx, `UPDATE coins SET deposit = $1 WHERE network = $2 AND wallet = $3 AND deposit IS NOT NULL`, c.state, regtest, wallet.String())
			check(t, err)
		}
		for _, when := range []string{"once", "again"} {
			check(t, b.write(func(tx *store.Tx) error { return tx.CreditDeposits(regtest, c.upTo) }))
			is(when, map[custody.Outpoint]custody.DepositState{
				seen.Outpoint: c.want, unseen.Outpoint: c.want, elsewhere.Outpoint: custody.DepositConfirming,
			})
			check(t, b.write(func(tx *store.Tx) error { return tx.AddCoin(mined) })) // old news
		}
		after := map[custody.Outpoint]custody.DepositState{seen.Outpoint: custody.DepositDetected}
		if c.height == 0 {
			after[unseen.Outpoint] = custody.DepositDetected
		}
		check(t, b.write(func(tx *store.Tx) error {
			return errors.Join(
				tx.RemoveBlock(store.Block{Network: regtest, Height: 101, Hash: id(1)}),
				tx.RemoveBlock(store.Block{Network: other, Height: 101, Hash: id(1)}),
			)
		}))
		is("without its block", after)
	}
}

func TestTransactions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBank(t)
	in := b.pay(1000)
	b.Must(b.Submit("ida", in))
	b.Must(b.Authorize(in))
	b.follow()
	b.rest()
	unfinished := func(want ...custody.Hash) {
		t.Helper()
		list, err := b.Unfinished(ctx, regtest)
		var got []custody.Hash
		for _, x := range list {
			got = append(got, x.Prepared)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("unfinished %v, %v; want %v", got, err, want)
		}
	}
	prepare := func() custody.Hash {
		p := b.Must(b.Prepare(in, 900, statetest.Outpoint(1)))
		b.next(func(tx *store.Tx) error { return tx.PutTransaction(p.Leaf, regtest, []byte("psbt")) })
		return p.Leaf
	}
	sign := func(leaf custody.Hash, signed string, tx int) {
		t.Helper()
		b.Must(b.SignedBy(in, leaf, custody.Hash{7}, make([]byte, 64), "node-a", "node-c"))
		b.next(func(t *store.Tx) error { return t.SetSigned(leaf, []byte(signed), id(tx)) })
	}
	observe := func(leaf custody.Hash, kind custody.ObservedKind) {
		t.Helper()
		b.Wait(1)
		b.Must(b.Observe(in, leaf, kind))
		b.follow()
	}
	one := prepare()
	unfinished(one)
	sign(one, "first", 1)
	observe(one, custody.Broadcast)
	at := b.Now
	observe(one, custody.Broadcast)
	two := prepare()
	unfinished(one, two) // the first was signed: it may be mined yet
	three := prepare()
	unfinished(one, three) // the second can't
	sign(three, "third", 3)

	put := func(leaf custody.Hash, details string) error {
		return b.write(func(tx *store.Tx) error { return tx.PutTransaction(leaf, regtest, []byte(details)) })
	}
	hasCode(t, put(one, "psbt"), custody.Conflict)
	hasCode(t, put(one, ""), custody.Invalid)
	hasCode(t, put(custody.Hash{1}, "psbt"), custody.NotFound)
	hasCode(t, put(statetest.Leaf(b.Entries[0]), "psbt"), custody.NotFound)
	signed := func(leaf custody.Hash, bytes string) error {
		return b.write(func(tx *store.Tx) error { return tx.SetSigned(leaf, []byte(bytes), id(1)) })
	}
	check(t, signed(one, "first"))
	hasCode(t, signed(one, "otherwise"), custody.Conflict)
	hasCode(t, signed(one, ""), custody.Invalid)
	hasCode(t, signed(custody.Hash{1}, "first"), custody.NotFound)

	mined := func(leaf custody.Hash, height uint64) error {
		return b.write(func(tx *store.Tx) error { return tx.SetMined(leaf, height) })
	}
	hasCode(t, mined(one, 100), custody.NotFound)
	check(t, b.write(func(tx *store.Tx) error { return tx.AddBlock(block(100, 0)) }))
	check(t, mined(one, 100))
	observe(one, custody.Confirming)
	got, err := b.Transaction(ctx, one)
	if err != nil || got.Prepared != one || got.Intent != in.ID || string(got.Details) != "psbt" || got.Fee != custody.NewAmount(900) ||
		got.State != custody.TxConfirming || string(got.Signed) != "first" || got.ID != id(1) || got.Broadcast != at ||
		got.Height != 100 || got.Block != block(100, 0).Hash {
		t.Errorf("%+v %v", got, err)
	}
	if list, err := b.MinedAt(ctx, regtest, 100); err != nil || len(list) != 1 || list[0].Prepared != one {
		t.Errorf("%+v %v", list, err)
	}

	// A coin of ours is no deposit.
	check(t, b.write(func(tx *store.Tx) error {
		return tx.AddCoin(store.Coin{Network: regtest, Outpoint: output(1, 0), Wallet: b.wallet, Amount: custody.NewAmount(5), Height: 100})
	}))
	if list, err := b.Deposits(ctx, b.wallet, 10); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}

	// Taking its block back makes the intent due, whose transaction is in none then.
	b.rest()
	check(t, b.write(func(tx *store.Tx) error { return tx.RemoveBlock(block(100, 0)) }))
	if got, err := b.Transaction(ctx, one); err != nil || got.Height != 0 || got.Block != (custody.Hash{}) {
		t.Errorf("%+v %v", got, err)
	}
	if due := b.rest(); !slices.Contains(due, in.ID) {
		t.Error("the intent isn't due")
	}
	check(t, b.write(func(tx *store.Tx) error { return tx.AddBlock(block(100, 1)) }))
	check(t, mined(one, 100))
	if got, err := b.Transaction(ctx, one); err != nil || got.Height != 100 || got.Block != block(100, 1).Hash {
		t.Errorf("%+v %v", got, err)
	}
	observe(one, custody.Finalized)
	unfinished()
	states := map[custody.Hash]custody.TransactionState{one: custody.TxFinalized, two: custody.TxReplaced, three: custody.TxSigned}
	list, err := b.TransactionsOf(ctx, in.ID)
	if err != nil || len(list) != 3 || !slices.IsSortedFunc(list, func(a, b store.Transaction) int { return cmp.Compare(a.Index, b.Index) }) {
		t.Errorf("%+v %v", list, err)
	}
	for _, x := range list {
		if x.State != states[x.Prepared] {
			t.Errorf("transaction of entry %d is %s, want %s", x.Index, x.State, states[x.Prepared])
		}
	}
	_, err = b.Transaction(ctx, custody.Hash{1})
	hasCode(t, err, custody.NotFound)
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := newBank(t)
	next := func(branch, want uint32) {
		t.Helper()
		if got, err := b.NextIndex(ctx, b.wallet, branch); err != nil || got != want {
			t.Errorf("next index %d, %v; want %d", got, err, want)
		}
	}
	add := func(a store.Address) error { return b.write(func(tx *store.Tx) error { return tx.AddAddress(a) }) }
	made := func(branch, index uint32, script string) store.Address {
		return store.Address{
			Wallet: b.wallet, Branch: branch, Index: index, Network: regtest, Address: custody.Address("bcrt1q" + script),
			Script: []byte(script), Created: b.Now,
		}
	}
	next(0, 0)
	first, second, change := made(0, 0, "a"), made(0, 1, "b"), made(1, 0, "c")
	for _, a := range []store.Address{first, second, change} {
		check(t, add(a))
	}
	next(0, 2)
	next(1, 1)
	hasCode(t, add(made(0, 1, "d")), custody.Conflict)
	hasCode(t, add(made(0, 2, "a")), custody.Conflict)
	hasCode(t, add(made(0, 2, "")), custody.Invalid)
	other := made(0, 0, "a")
	other.Network, other.Wallet = "bip122:000000000019d6689c085ae165831e93", statetest.ID[custody.Wallet](b.World)
	check(t, add(other)) // the same script on another network
	same := func(got []store.Address, err error, want ...store.Address) {
		t.Helper()
		if diff := gocmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	}
	got, err := b.AddressesByScript(ctx, regtest, [][]byte{[]byte("c"), []byte("x"), []byte("a"), {}})
	same(got, err, change, first)
	got, err = b.Addresses(ctx, b.wallet, 0)
	same(got, err, first, second)
}

func TestChainCodes(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	key := statetest.ID[custody.Key](b.World)
	put := func(code byte) error {
		return b.write(func(tx *store.Tx) error { return tx.PutChainCode(key, custody.Hash{code}) })
	}
	_, err := b.ChainCode(t.Context(), key)
	hasCode(t, err, custody.NotFound)
	check(t, put(1))
	check(t, put(1))
	hasCode(t, put(2), custody.Conflict)
	if got, err := b.ChainCode(t.Context(), key); err != nil || !bytes.Equal(got[:1], []byte{1}) {
		t.Errorf("%s %v", got, err)
	}
}
