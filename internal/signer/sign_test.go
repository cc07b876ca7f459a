package signer_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/psbt/v2"

	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/internal/wire"
)

// TestC11Transaction prepares, for intents that are properly authorized, transactions
// that do something else. Nodes refuse each, and say why; afterwards they sign an honest
// one.
func TestC11Transaction(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		other := p.allow(thief(t))
		for _, c := range []struct {
			name  string
			build func(*bitcoin.Order)
			forge func(*psbt.Packet)
			lie   func(*custody.Prepared)
			field string
			says  string
		}{
			{name: "more than the amount", build: func(o *bitcoin.Order) { o.Amount = custody.NewAmount(30_000_001) }, field: "amount", says: "pays 0.30000001 tBTC"},
			{name: "less than the amount", build: func(o *bitcoin.Order) { o.Amount = custody.NewAmount(29_999_999) }, field: "amount"},
			{name: "to a stranger", forge: func(x *psbt.Packet) {
				x.UnsignedTx.TxOut[payment(x)].PkScript = script(t, "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry")
			}, field: "destination"},
			{name: "to another destination of the address book", build: func(o *bitcoin.Order) { o.To = other }, field: "destination", says: string(other)},
			{name: "to the wallet itself", build: func(o *bitcoin.Order) { o.To = p.own(p.account(p.hot), 9) }, field: "destination"},
			{name: "to another wallet of the bank", build: func(o *bitcoin.Order) { o.To = p.own(p.account(p.cold), 0) }, field: "destination"},
			{
				name: "a fee above the limit, and PREPARED says less", forge: func(x *psbt.Packet) { x.UnsignedTx.TxOut[change(x)].Value -= 2000 },
				lie: func(r *custody.Prepared) { r.Fee = custody.NewAmount(2000) }, field: "fee", says: "the limit is 0.00002 tBTC",
			},
			{
				name: "another fee than PREPARED says, within the limit", forge: func(x *psbt.Packet) { x.UnsignedTx.TxOut[change(x)].Value -= 100 },
				lie: func(r *custody.Prepared) { r.Fee = custody.NewAmount(1) }, field: "fee", says: "the entry says",
			},
			{name: "change to another wallet of the vault", forge: func(x *psbt.Packet) { outputOf(t, x, change(x), p.account(p.cold), 1, 0) }, field: "transaction", says: "isn't of the account m/0"},
			{name: "change to another wallet, as a payment", forge: func(x *psbt.Packet) {
				outputOf(t, x, change(x), p.account(p.cold), 1, 0)
				x.Outputs[change(x)] = psbt.POutput{}
			}, field: "payments"},
			{name: "change to a stranger with our derivation", forge: func(x *psbt.Packet) { x.UnsignedTx.TxOut[change(x)].PkScript = script(t, other) }, field: "transaction", says: "not the account's at m/0/1/0"},
			{name: "change to a stranger's key with our path", forge: func(x *psbt.Packet) {
				a := p.account(p.hot)
				a.ChainCode[0] ^= 1
				outputOf(t, x, change(x), a, 1, 0)
			}, field: "transaction", says: "internalKey"},
			{name: "change to the branch that receives", forge: func(x *psbt.Packet) { outputOf(t, x, change(x), p.account(p.hot), 0, 3) }, field: "transaction", says: "no path of change"},
			{name: "change without its derivation", forge: func(x *psbt.Packet) { x.Outputs[change(x)] = psbt.POutput{} }, field: "payments", says: "makes 2 payments"},
			{name: "a second payment", forge: func(x *psbt.Packet) {
				x.UnsignedTx.TxOut[change(x)].Value -= 1000
				p.addOutput(x, 1000, script(t, other))
			}, field: "payments", says: "makes 2 payments"},
			{name: "the amount in two payments", forge: func(x *psbt.Packet) {
				x.UnsignedTx.TxOut[payment(x)].Value -= 10_000_000
				p.addOutput(x, 10_000_000, x.UnsignedTx.TxOut[payment(x)].PkScript)
			}, field: "payments"},
			{name: "no payment", build: func(o *bitcoin.Order) { o.To, o.Amount = "", custody.Amount{} }, field: "payments", says: "makes 0 payments"},
			{name: "an input with another path", forge: func(x *psbt.Packet) {
				x.Inputs[0].TaprootBip32Derivation[0].Bip32Path[2]++
			}, field: "transaction", says: "internalKey"},
			{name: "an input of another wallet", build: func(o *bitcoin.Order) { o.Account = p.account(p.cold) }, field: "transaction", says: "isn't of the account m/0"},
			{name: "a lock time", forge: func(x *psbt.Packet) { x.UnsignedTx.LockTime = 1_000_000 }, field: "transaction", says: "lockTime"},
			{name: "final", forge: func(x *psbt.Packet) { x.UnsignedTx.TxIn[0].Sequence = 0xffffffff }, field: "transaction", says: "sequence"},
			{name: "a claim of another output", lie: func(r *custody.Prepared) { r.Claims = []custody.Claim{statetest.Outpoint(200)} }, field: "claims"},
			{name: "a claim too many", lie: func(r *custody.Prepared) { r.Claims = append(r.Claims, statetest.Outpoint(201)) }, field: "claims"},
			{
				name: "a claim left out", build: func(o *bitcoin.Order) { o.Coins = []bitcoin.Coin{half(p), half(p)} },
				lie: func(r *custody.Prepared) { r.Claims = r.Claims[:1] }, field: "claims",
			},
			{
				name: "claims in another order", build: func(o *bitcoin.Order) { o.Coins = []bitcoin.Coin{half(p), half(p)} },
				lie: func(r *custody.Prepared) { slices.Reverse(r.Claims) }, field: "claims",
			},
			{name: "another hash of the transaction", lie: func(r *custody.Prepared) { r.Transaction[0] ^= 1 }, field: "transaction", says: "the entry says"},
		} {
			in := p.pay(30_000_000)
			details := p.build(in, c.build)
			if c.forge != nil {
				details = forge(t, details, c.forge)
			}
			record := p.record(in, details)
			if c.lie != nil {
				c.lie(record)
			}
			r := p.Must(p.putRecord(record))
			p.sync()
			p.refused(c.name, p.invitation(in, r.Leaf, details), c.field, c.says)
		}
		p.paid(p.pay(30_000_000))
	})
}

// half is a coin that doesn't suffice alone.
func half(p *plane) bitcoin.Coin {
	c := p.coin()
	c.Amount = custody.NewAmount(20_000_000)
	return c
}

// allow puts an address into the address book.
func (p *plane) allow(a custody.Address) custody.Address {
	p.t.Helper()
	p.govern(custody.DestinationChangeIntent, &custody.DestinationChange{Action: custody.Put, Destination: custody.Destination{
		ID: statetest.ID[custody.Destination](p.World), Kind: custody.Allowlisted, Network: regtest, Address: a, Country: "CH",
	}})
	return a
}

// TestC11EveryByte changes one bit of every byte of the transaction that the nodes are
// asked to sign. PREPARED binds them all.
func TestC11EveryByte(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		in := p.pay(30_000_000)
		details := p.build(in, nil)
		r := p.Must(p.prepare(in, details))
		p.sync()
		p.quiet()
		talked := p.road.talked()
		step := 1
		if testing.Short() {
			step = 7
		}
		for i := 0; i < len(details); i += step {
			altered := slices.Clone(details)
			altered[i] ^= 1 << (i % 8)
			m := p.invitation(in, r.Leaf, altered)
			var done wire.SignDone
			err := p.call("node-a", wire.SignTopic, m, &done)
			if custody.CodeOf(err) != custody.Forbidden || len(done.Signatures) > 0 {
				t.Errorf("byte %d of %d: %v %+v", i, len(details), err, done)
			}
		}
		for _, altered := range [][]byte{nil, details[:len(details)-1], append(slices.Clone(details), 0), {0}} {
			m := p.invitation(in, r.Leaf, altered)
			if err := p.call("node-a", wire.SignTopic, m, new(wire.SignDone)); err == nil {
				t.Errorf("%d bytes: no error", len(altered))
			}
		}
		if got := p.road.talked(); got != talked {
			t.Errorf("nodes talked to each other %d times", got-talked)
		}
		p.assemble(details, p.sign(in, r.Leaf, details))
	})
}

// TestC11Invitation asks for a transaction that may be signed, in ways that it may not.
func TestC11Invitation(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		in := p.pay(30_000_000)
		details := p.build(in, nil)
		r := p.Must(p.prepare(in, details))
		second := p.pay(10_000_000)
		theirs := p.build(second, nil)
		r2 := p.Must(p.prepare(second, theirs))
		p.sync()
		for _, c := range []struct {
			name  string
			edit  func(*wire.Sign)
			field string
			says  string
		}{
			{"without this node", func(m *wire.Sign) { m.Signers = []custody.Name{"node-x", "node-y"} }, "signers", "this node is not among them"},
			{"with a stranger", func(m *wire.Sign) { m.Signers = append(slices.Clone(everybody), "node-x") }, "signers", "not in the key's set"},
			{"named twice", func(m *wire.Sign) { m.Signers = append(slices.Clone(everybody), "node-b") }, "signers", "named twice"},
			{"over", func(m *wire.Sign) { m.Expires = p.now().Unix() }, "expires", "over"},
			{"long over", func(m *wire.Sign) { m.Expires = p.now().Unix() - 86400*365 }, "expires", "over"},
			{"before 1970", func(m *wire.Sign) { m.Expires = -1 << 52 }, "expires", "over"},
			{"for a minute and more", func(m *wire.Sign) { m.Expires = p.now().Unix() + 601 }, "expires", ""},
			{"for a year", func(m *wire.Sign) { m.Expires = p.now().Unix() + 86400*365 }, "expires", ""},
			{"for ever", func(m *wire.Sign) { m.Expires = 1<<53 - 1 }, "expires", ""},
			{"unknown intent", func(m *wire.Sign) { m.Intent[15] ^= 0x80 }, "intent", "not on record"},
			{"another intent", func(m *wire.Sign) { m.Intent = second.ID }, "prepared", "not the intent's newest"},
			{"another intent's transaction", func(m *wire.Sign) { m.Prepared = r2.Leaf }, "prepared", "not the intent's newest"},
			{"another intent's transaction, which is signed for this one", func(m *wire.Sign) { m.Details = theirs }, "amount", ""},
			{"no entry", func(m *wire.Sign) { m.Prepared = custody.Hash{} }, "prepared", "not the intent's newest"},
			{"the hash of the transaction for the entry's", func(m *wire.Sign) { m.Prepared = statetest.Sum(details) }, "prepared", ""},
		} {
			m := p.invitation(in, r.Leaf, details)
			c.edit(&m)
			p.refused(c.name, m, c.field, c.says)
		}
		for _, few := range [][]custody.Name{{"node-a"}, {"node-a", "node-a"}, {"node-a", "node-x"}} {
			m := p.invitation(in, r.Leaf, details, few...)
			p.quiet()
			p.nothing("few", p.road.talked(), p.inviteToSign(map[custody.Name]wire.Sign{"node-a": m}), "signers", "")
		}
		p.assemble(details, p.sign(in, r.Leaf, details))
		p.assemble(theirs, p.sign(second, r2.Leaf, theirs))
	})
}

// TestC11Expired asks for the transaction of an intent whose time is over by a node's own
// clock, whatever the journal and the other nodes say.
func TestC11Expired(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		in := p.pay(30_000_000)
		details := p.build(in, nil)
		r := p.Must(p.prepare(in, details))
		p.wait(custody.Seconds((in.Expires-p.Now)/1000) - 11)
		p.Must(p.Tick())
		p.sync()
		p.setClock("node-a", 11*time.Second)
		m := p.invitation(in, r.Leaf, details)
		m.Expires += 11
		p.nothing("by its clock", p.road.talked(), p.inviteToSign(map[custody.Name]wire.Sign{"node-a": m}), "expires", "expired at")
		p.setClock("node-a", 0)
		p.assemble(details, p.sign(in, r.Leaf, details))
		p.wait(11)
		p.Must(p.Tick())
		p.sync()
		p.refused("by all clocks", p.invitation(in, r.Leaf, details), "expires", "expired at")
	})
}

// TestC11Intent asks for transactions of intents that nobody has authorized, or that
// don't get one.
func TestC11Intent(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		to := custody.Recipient{Kind: custody.Allowlisted, Address: statetest.Stranger, Destination: p.friend}
		void := func(r state.Result, want state.Code) {
			t.Helper()
			if r.Void != want {
				t.Fatalf("entry %d is %q (%v), want %q", r.Index, r.Void, r.Why, want)
			}
		}
		p.paid(p.pay(1_000_000))
		taken := statetest.Outpoint(p.coins).Outpoint
		for _, c := range []struct {
			name string
			make func() (*custody.Intent, state.Result, []byte)
			says string
		}{
			{"submitted alone", func() (*custody.Intent, state.Result, []byte) {
				in := p.transfer(to, 30_000_000)
				p.Must(p.Submit("otto", in))
				details := p.build(in, nil)
				r := p.prepare(in, details)
				void(r, state.WrongState)
				return in, r, details
			}, "the intent is SUBMITTED"},
			{"an approval too few", func() (*custody.Intent, state.Result, []byte) {
				in := p.transfer(to, 80_000_000)
				p.Must(p.Submit("otto", in))
				p.Must(p.Say("tom", custody.Yes, in))
				void(p.Authorize(in), state.NotAllowed)
				details := p.build(in, nil)
				r := p.prepare(in, details)
				void(r, state.WrongState)
				return in, r, details
			}, "the intent is SUBMITTED"},
			{"the initiator's approval", func() (*custody.Intent, state.Result, []byte) {
				in := p.Intent("tom", custody.TransferIntent, p.transfer(to, 80_000_000).Body)
				p.Must(p.Submit("tom", in))
				p.Must(p.Say("tom", custody.Yes, in))
				p.Must(p.Say("una", custody.Yes, in))
				void(p.Authorize(in), state.NotAllowed)
				details := p.build(in, nil)
				r := p.prepare(in, details)
				void(r, state.WrongState)
				return in, r, details
			}, "the intent is SUBMITTED"},
			{"rejected", func() (*custody.Intent, state.Result, []byte) {
				in := p.pay(30_000_000)
				p.Must(p.Say("otto", custody.No, in))
				details := p.build(in, nil)
				r := p.prepare(in, details)
				void(r, state.WrongState)
				return in, r, details
			}, "the intent is CANCELLED"},
			{"a fee above the limit", func() (*custody.Intent, state.Result, []byte) {
				in := p.pay(30_000_000)
				details := forge(t, p.build(in, nil), func(x *psbt.Packet) { x.UnsignedTx.TxOut[change(x)].Value -= 2000 })
				r := p.putRecord(p.record(in, details))
				void(r, state.OverLimit)
				return in, r, details
			}, "no transaction of it is on record"},
			{"another intent's coins", func() (*custody.Intent, state.Result, []byte) {
				in := p.pay(30_000_000)
				details := p.build(in, func(o *bitcoin.Order) { o.Coins[0].Outpoint = taken })
				r := p.prepare(in, details)
				void(r, state.WrongClaims)
				return in, r, details
			}, "no transaction of it is on record"},
			{"no claims", func() (*custody.Intent, state.Result, []byte) {
				in := p.pay(30_000_000)
				details := p.build(in, nil)
				record := p.record(in, details)
				record.Claims = []custody.Claim{}
				r := p.putRecord(record)
				void(r, state.WrongClaims)
				return in, r, details
			}, "no transaction of it is on record"},
			{"an older link", func() (*custody.Intent, state.Result, []byte) {
				in := p.pay(30_000_000)
				details := p.build(in, nil)
				record := p.record(in, details)
				record.Prev[0] ^= 1
				r := p.putRecord(record)
				void(r, state.WrongPrev)
				return in, r, details
			}, "no transaction of it is on record"},
		} {
			in, r, details := c.make()
			p.sync()
			p.refused(c.name, p.invitation(in, r.Leaf, details), "prepared", c.says)
		}

		// An asset that the transaction doesn't move.
		in := p.Intent("otto", custody.TransferIntent, &custody.Transfer{
			Network: regtest, Wallet: p.hot, Asset: custody.Asset(regtest) + "/slip44:0", Amount: custody.NewAmount(30_000_000),
			FeeLimit: custody.NewAmount(2000), Destination: to,
		})
		p.Must(p.Submit("otto", in))
		p.Must(p.Say("tom", custody.Yes, in))
		p.Must(p.Say("una", custody.Yes, in))
		p.Must(p.Authorize(in))
		details := p.build(in, nil)
		r := p.Must(p.prepare(in, details))
		p.sync()
		p.refused("another asset", p.invitation(in, r.Leaf, details), "asset", "the intent says")
		other := p.Intent("otto", custody.TransferIntent, &custody.Transfer{
			Network: bitcoin.Mainnet, Wallet: p.hot, Asset: custody.Asset(bitcoin.Mainnet) + "/slip44:0", Amount: custody.NewAmount(30_000_000),
			FeeLimit: custody.NewAmount(2000), Destination: to,
		})
		void(p.Submit("otto", other), state.Impossible)
		p.sync()
		p.refused("another network", p.invitation(other, r.Leaf, details), "intent", "not on record")
	})
}

// TestC11Twice: of an intent only the newest transaction is signed, once, and none that
// could be paid beside another.
func TestC11Twice(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		in := p.pay(30_000_000)
		coin := p.coin()
		first := p.build(in, func(o *bitcoin.Order) { o.Coins = []bitcoin.Coin{coin} })
		r1 := p.Must(p.prepare(in, first))
		beside := p.build(in, nil)
		void := p.prepare(in, beside)
		if void.Void != state.WrongClaims {
			t.Fatalf("%q: %v", void.Void, void.Why)
		}
		p.sync()
		p.refused("disjoint inputs", p.invitation(in, void.Leaf, beside), "prepared", "not the intent's newest")
		newer := p.build(in, func(o *bitcoin.Order) { o.Coins, o.FeeRate = []bitcoin.Coin{coin}, 3000 })
		r2 := p.Must(p.prepare(in, newer))
		p.sync()
		p.refused("replaced", p.invitation(in, r1.Leaf, first), "prepared", "not the intent's newest")
		p.refused("replaced, under the newer entry", p.invitation(in, r2.Leaf, first), "transaction", "the entry says")
		answers := p.sign(in, r2.Leaf, newer)
		p.assemble(newer, answers)
		p.signed(in, r2.Leaf, newer, answers)
		p.sync()
		p.refused("signed", p.invitation(in, r2.Leaf, newer), "prepared", "the transaction is SIGNED")
		p.refused("replaced and signed", p.invitation(in, r1.Leaf, first), "prepared", "")
		third := p.build(in, func(o *bitcoin.Order) { o.Coins, o.FeeRate = []bitcoin.Coin{coin}, 4000 })
		r3 := p.Must(p.prepare(in, third)) // a replacement of the same output: one of the two is paid
		p.sync()
		p.assemble(third, p.sign(in, r3.Leaf, third))
		for _, seen := range []custody.ObservedKind{custody.Confirming, custody.Confirmed, custody.Finalized} {
			p.Must(p.Observe(in, r2.Leaf, seen))
		}
		p.sync()
		p.refused("paid by another", p.invitation(in, r3.Leaf, third), "intent", "the intent is EXECUTED")
	})
}

// signed puts a transaction's signatures on record, as the nodes gave them.
func (p *plane) signed(in *custody.Intent, leaf custody.Hash, details []byte, answers map[custody.Name]signed) {
	p.t.Helper()
	record := &custody.SignedRecord{Intent: in.ID, Prepared: leaf, Messages: []custody.Hash{}, Receipts: []custody.Receipt{}}
	for _, m := range p.decode(details).Messages {
		record.Messages = append(record.Messages, statetest.Sum(m.Bytes))
	}
	for _, name := range sorted(answers) {
		record.Signatures = answers[name].done.Signatures
		record.Receipts = append(record.Receipts, custody.Receipt{Node: name, Signature: answers[name].done.Receipt})
	}
	p.Must(p.Append(custody.SignedEntry, record))
}

// TestC11Repair: nodes sign no SPEED_UP and no CANCEL yet, and say so.
func TestC11Repair(t *testing.T) {
	for _, kind := range []custody.IntentType{custody.SpeedUpIntent, custody.CancelIntent} {
		t.Run(string(kind), func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plane) {
				in := p.pay(30_000_000)
				coin := p.coin()
				first := p.build(in, func(o *bitcoin.Order) { o.Coins = []bitcoin.Coin{coin} })
				r1 := p.Must(p.prepare(in, first))
				repair := p.Intent("otto", kind, &custody.Repair{Intent: in.ID, FeeLimit: custody.NewAmount(9000)})
				p.Must(p.Submit("otto", repair))
				p.Must(p.Say("tom", custody.Yes, repair))
				p.Must(p.Say("una", custody.Yes, repair))
				p.Must(p.Authorize(repair))
				details := p.build(in, func(o *bitcoin.Order) {
					o.Coins, o.FeeRate, o.FeeLimit = []bitcoin.Coin{coin}, 9000, custody.NewAmount(9000)
					if kind == custody.CancelIntent {
						o.To, o.Amount = "", custody.Amount{}
					}
				})
				record := p.record(in, details)
				record.By = repair.ID
				r2 := p.Must(p.putRecord(record))
				p.sync()
				p.refused("in its name", p.invitation(in, r2.Leaf, details), "intent", "no repairs")
				p.refused("as its own", p.invitation(repair, r2.Leaf, details), "prepared", "no transaction of it")
				p.refused("the original", p.invitation(in, r1.Leaf, first), "prepared", "not the intent's newest")
			})
		})
	}
}

// TestC11Since takes back what a transaction stood on after it was prepared.
func TestC11Since(t *testing.T) {
	target := func(f func(p *plane, in *custody.Intent) custody.Target) func(*plane, *custody.Intent) {
		return func(p *plane, in *custody.Intent) { p.govern(custody.FreezeIntent, &custody.Freeze{Target: f(p, in)}) }
	}
	for _, c := range []struct {
		name   string
		change func(p *plane, in *custody.Intent)
		field  string
	}{
		{"intent frozen", target(func(_ *plane, in *custody.Intent) custody.Target { return custody.Target{Intent: in.ID} }), "policy"},
		{"key frozen", target(func(p *plane, _ *custody.Intent) custody.Target { return custody.Target{Key: p.key.ID} }), "policy"},
		{"vault frozen", target(func(p *plane, _ *custody.Intent) custody.Target { return custody.Target{Vault: p.vault} }), "policy"},
		{"initiator frozen", target(func(p *plane, _ *custody.Intent) custody.Target {
			return custody.Target{Person: p.People["otto"].ID}
		}), "policy"},
		{"all frozen", target(func(*plane, *custody.Intent) custody.Target { return custody.Target{All: true} }), "policy"},
		{"initiator's credential removed", func(p *plane, _ *custody.Intent) {
			p.govern(custody.CredentialChangeIntent, &custody.CredentialChange{Action: custody.Remove, Credential: &p.People["otto"].Credential})
		}, "policy"},
		{"initiator removed", func(p *plane, _ *custody.Intent) {
			p.govern(custody.PersonChangeIntent, &custody.PersonChange{Action: custody.Remove, Person: *p.State.Person(p.People["otto"].ID)})
		}, "policy"},
		{"approver's credential removed", func(p *plane, _ *custody.Intent) {
			p.govern(custody.CredentialChangeIntent, &custody.CredentialChange{Action: custody.Remove, Credential: &p.People["vic"].Credential})
		}, "policy"},
		{"approver out of the group", func(p *plane, _ *custody.Intent) {
			p.govern(custody.GroupChangeIntent, &custody.GroupChange{Group: custody.Group{ID: "treasury", Members: []custody.ID[custody.Person]{p.People["ida"].ID, p.People["tom"].ID}}})
		}, "policy"},
		{"approver frozen", target(func(p *plane, _ *custody.Intent) custody.Target {
			return custody.Target{Person: p.People["vic"].ID}
		}), "policy"},
		{"destination removed", func(p *plane, _ *custody.Intent) {
			p.govern(custody.DestinationChangeIntent, &custody.DestinationChange{Action: custody.Remove, Destination: *p.State.Destination(p.friend)})
		}, "policy"},
		{"policy changed", func(p *plane, _ *custody.Intent) {
			p.govern(custody.PolicyChangeIntent, &custody.PolicyChange{Policy: compiled(p.t, strings.Replace(policyText, "group: treasury, count: 2", "group: treasury, count: 3", 1), 2)})
		}, "policy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plane) {
				in := p.transfer(custody.Recipient{Kind: custody.Allowlisted, Address: statetest.Stranger, Destination: p.friend}, 80_000_000)
				p.Must(p.Submit("otto", in))
				p.Must(p.Say("tom", custody.Yes, in))
				p.Must(p.Say("vic", custody.Yes, in))
				p.Must(p.Authorize(in))
				details := p.build(in, nil)
				r := p.Must(p.prepare(in, details))
				p.sync()
				c.change(p, in)
				p.sync()
				p.refused(c.name, p.invitation(in, r.Leaf, details), c.field, "")
			})
		})
	}
}
