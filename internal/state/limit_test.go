package state_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
)

// capped lets anything through until the day's value is above 1,000.00, fees
// included.
const capped = `
version: 1
currency: USD
rules:
  - name: open
    for: [TRANSFER]
    when: "true"
    allow: {}
  - name: priced
    for: [TRANSFER]
    when: "true"
    require: {price: {from: 1, within: 100%}}
  - name: cap
    for: [TRANSFER]
    when: spent("source.vault", "24h") > usd(1000)
    block: daily limit
  - name: governance
    for: [POLICY_CHANGE, PERSON_CHANGE, GROUP_CHANGE, CREDENTIAL_CHANGE, KEY_CEREMONY, SIGNER_SET_CHANGE, WITNESS_CHANGE, VAULT_CREATE, WALLET_CREATE,
          DESTINATION_CHANGE, LIST_CHANGE, PROVIDER_CHANGE, ISSUER_CHANGE, HOLD_RELEASE, UPGRADE]
    when: "true"
    allow: {approvals: [{group: administrators, count: 2}]}
`

var runs = flag.Int("runs", 1000, "runs of concurrent intents at a limit")

// TestC39LimitUnderConcurrency: 100 intents that fit a limit one by one reach it
// together, in any order of anything that can happen to them. What was signed
// within a day never exceeds the limit.
func TestC39LimitUnderConcurrency(t *testing.T) {
	t.Parallel()
	b := newBank(t, capped, nil)
	const intents = 100
	var waiting []*custody.Intent
	for i := range intents {
		in := b.pay("ida", uint64(1+i%7)*100_000) // worth 1 to 7 units, and 0.01 of a unit of fee
		b.Must(b.Submit("ida", in))
		b.Price(in, 100_000, 2_000, coin) // 20.00 for 100,000
		waiting = append(waiting, in)
	}
	start, err := b.State.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	n := *runs
	if testing.Short() {
		n /= 10
	}
	worst := int64(0)
	for run := range n {
		signed := limitRun(t, b, start, waiting, uint64(run))
		if signed > 100_000 {
			t.Fatalf("run %d: %d minor units were signed within a day, the limit is 100000", run, signed)
		}
		worst = max(worst, signed)
	}
	if worst < 85_000 {
		t.Errorf("at most %d minor units were signed: the limit was never reached", worst)
	}
}

// limitRun lets the intents race from a snapshot on and returns the most that was
// signed within any 24 hours, in minor units.
func limitRun(t *testing.T, b *bank, start []byte, waiting []*custody.Intent, seed uint64) int64 {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 39))
	s, err := state.Restore(start)
	if err != nil {
		t.Fatal(err)
	}
	type payment struct {
		at    custody.Time
		value int64
	}
	var signed []payment
	now, index := b.Now, b.Tree.Size()
	apply := func(kind custody.EntryType, body custody.EntryBody) state.Code {
		e, err := custody.NewEntry(custody.Entry{Index: index, Time: now, Type: kind, Body: body})
		if err != nil {
			t.Fatal(err)
		}
		result, err := s.Apply(e.Raw)
		if err != nil {
			t.Fatal(err)
		}
		index++
		return result.Void
	}
	authorized := make(map[int]custody.Time)
	done := make(map[int]bool)
	// The inputs of an authorization are as someone saw them, perhaps a while ago.
	seen := make(map[int]state.Decision)
	for range 4 * len(waiting) {
		i := r.IntN(len(waiting))
		in := waiting[i]
		switch r.IntN(8) {
		case 0, 1:
			if d, err := s.Decide(in.ID, now); err == nil {
				seen[i] = d
			}
		case 2, 3, 4:
			d, ok := seen[i]
			if !ok || r.IntN(2) == 0 {
				if d, err = s.Decide(in.ID, now); err != nil {
					continue
				}
			}
			if apply(custody.AuthorizedEntry, &custody.Authorized{Intent: in.ID, Policy: d.Policy, Facts: d.FactsHash, Prev: s.ChainHead()}) == "" {
				authorized[i] = now
			}
		case 5, 6:
			if apply(custody.PreparedEntry, &custody.Prepared{
				Intent: in.ID, By: in.ID, Transaction: custody.Hash{1}, Claims: []custody.Claim{unspent(i)}, Fee: custody.NewAmount(1), Prev: s.ChainHead(),
			}) == "" && !done[i] {
				done[i] = true
				signed = append(signed, payment{authorized[i], int64(1+i%7)*2000 + 20})
			}
		case 7:
			switch r.IntN(20) {
			case 0: // the initiator takes one back
				apply(custody.EvidenceEntry, &custody.EvidenceRecord{Intent: in.ID, Approval: &custody.Approval{
					Verdict: custody.No, Evidence: b.Evidence("ida", b.Hash(in, custody.No)),
				}})
			case 1:
				now = now.Add(custody.Seconds(r.IntN(240)))
			}
		}
	}
	most := int64(0)
	for _, from := range signed {
		sum := int64(0)
		for _, p := range signed {
			if p.at >= from.at && p.at <= from.at.Add(24*custody.Hour) {
				sum += p.value
			}
		}
		most = max(most, sum)
	}
	return most
}

// TestC39Amounts: no amount, fee or price gets around a limit by its size.
func TestC39Amounts(t *testing.T) {
	b := newBank(t, capped, nil)
	largest := "1" + strings.Repeat("0", 77)
	for _, c := range []struct {
		name        string
		amount, fee string
		outcome     state.Code
	}{
		{"at the limit", "4998000", "2000", ""}, // 999.60 + 0.40
		{"above by one minor unit", "1", "50", state.NotAllowed},
		{"fee as payload", "1", "5000000000", state.NotAllowed},
		{"too large to value", largest, "1", state.NotAllowed},
		{"fee too large to value", "1", largest, state.NotAllowed},
	} {
		amount, err := custody.ParseAmount(c.amount)
		if err != nil {
			t.Fatal(err)
		}
		fee, err := custody.ParseAmount(c.fee)
		if err != nil {
			t.Fatal(err)
		}
		in := b.Intent("ida", custody.TransferIntent, &custody.Transfer{
			Network: regtest, Wallet: b.hot, Asset: coin, Amount: amount, FeeLimit: fee,
			Destination: custody.Recipient{Kind: custody.Allowlisted, Address: friend, Destination: b.destination},
		})
		b.Must(b.Submit("ida", in))
		b.Price(in, 100_000, 2_000, coin)
		if r := b.Authorize(in); r.Void != c.outcome {
			t.Errorf("%s: %q (%v), want %q", c.name, r.Void, r.Why, c.outcome)
		}
	}
	// Without a price nothing is known of the value: refused, not let through.
	in := b.pay("ida", 1)
	b.Must(b.Submit("ida", in))
	void(t, b.Authorize(in), state.NotAllowed)
	// With two prices the higher counts.
	for attestor, value := range map[custody.Name]uint64{"prices-a": 1, "prices-b": 4_000_000_000} {
		b.Must(b.Attest(attestor, in, custody.Attestation{Price: &custody.Price{
			Asset: coin, Currency: "USD", Units: custody.NewAmount(1), Value: custody.NewAmount(value),
		}}))
	}
	void(t, b.Authorize(in), state.NotAllowed)
}

// TestTotalsForget: what was authorized more than a window ago, rounded against the
// sender, counts no more.
func TestTotalsForget(t *testing.T) {
	b := newBank(t, capped, nil)
	pay := func() state.Result {
		in := b.pay("ida", 4_900_000)
		b.Must(b.Submit("ida", in))
		b.Price(in, 100_000, 2_000, coin)
		return b.Authorize(in)
	}
	b.Must(pay())
	void(t, pay(), state.NotAllowed)

	// What was fresh at AUTHORIZED needs to be so no more at PREPARED.
	late := b.pay("ida", 1)
	b.Must(b.Submit("ida", late))
	b.Price(late, 100_000, 2_000, coin)
	b.Must(b.Authorize(late))
	b.Wait(5 * custody.Hour)
	b.Must(b.Prepare(late, 1, statetest.Outpoint(1)))
	b.Wait(19 * custody.Hour)
	void(t, pay(), state.NotAllowed)
	b.Wait(custody.Minute)
	b.Must(pay())
}

// TestMemoryBounded: over a long journal the state doesn't grow.
func TestMemoryBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a long journal")
	}
	t.Parallel()
	b := newBank(t, small, nil)
	g := &growing{bank: b, index: b.Tree.Size()}
	warm := g.run(t, *entries/4)
	end := g.run(t, *entries)
	t.Logf("%d entries: snapshot of %d bytes after a quarter, %d at the end", g.index, warm, end)
	if float64(end) > 1.1*float64(warm) {
		t.Errorf("the snapshot grew from %d to %d bytes", warm, end)
	}
}

var entries = flag.Int64("entries", 1_000_000, "entries of the journal that the state must not grow over")

// growing makes entries of a journal without signatures, for a replica that trusts
// what is below a head.
type growing struct {
	*bank
	index int64
}

// run goes on up to a number of entries and returns the size of the snapshot.
func (g *growing) run(t *testing.T, to int64) int {
	t.Helper()
	put := func(kind custody.EntryType, body custody.EntryBody) state.Result {
		e, err := custody.NewEntry(custody.Entry{Index: g.index, Time: g.Now, Type: kind, Body: body})
		if err != nil {
			t.Fatal(err)
		}
		r, err := g.State.Replay(e.Raw, "")
		if err != nil {
			t.Fatal(err)
		}
		g.index++
		return r
	}
	signature := custody.Evidence{Kind: custody.EvidenceKind(custody.Device), Credential: g.People["ida"].Credential.ID, Signature: make([]byte, 64)}
	for g.index < to {
		g.Wait(4 * custody.Hour)
		in := g.Intent("ida", custody.TransferIntent, &custody.Transfer{
			Network: regtest, Wallet: g.hot, Asset: coin, Amount: custody.NewAmount(1), FeeLimit: custody.NewAmount(10),
			Destination: custody.Recipient{Kind: custody.OneTime, Address: custody.Address(fmt.Sprintf("bcrt1q%d", g.index)), Country: "SG"},
		})
		put(custody.IntentEntry, &custody.IntentRecord{Bytes: in.Raw, Evidence: signature})
		if g.index%3 == 0 {
			continue // nobody cares for it
		}
		for _, name := range []string{"tom", "una"} {
			e := signature
			e.Credential = g.People[name].Credential.ID
			put(custody.EvidenceEntry, &custody.EvidenceRecord{Intent: in.ID, Approval: &custody.Approval{Verdict: custody.Yes, Evidence: e}})
		}
		statement := statetest.Encode(t, custody.Attestation{
			Attestor: "screening", Source: "source", Time: g.Now, Until: g.Now.Add(custody.Hour),
			Screening: &custody.Screening{Digest: in.Digest(g.State.CharterHash()), Verdict: custody.ScreeningPass},
		})
		put(custody.EvidenceEntry, &custody.EvidenceRecord{Intent: in.ID, Attestation: &custody.AttestationProof{Bytes: statement, Signature: make([]byte, 64)}})
		put(custody.AuthorizedEntry, &custody.Authorized{Intent: in.ID, Policy: g.State.PolicyInForce().Hash(), Prev: g.State.ChainHead()})
		p := put(custody.PreparedEntry, &custody.Prepared{
			Intent: in.ID, By: in.ID, Transaction: custody.Hash{1}, Claims: []custody.Claim{unspent(int(g.index))}, Fee: custody.NewAmount(1), Prev: g.State.ChainHead(),
		})
		receipts := []custody.Receipt{{Node: "node-a", Signature: make([]byte, 64+2420)}, {Node: "node-b", Signature: make([]byte, 64+2420)}}
		put(custody.SignedEntry, &custody.SignedRecord{
			Intent: in.ID, Prepared: p.Leaf, Messages: []custody.Hash{{1}}, Signatures: []custody.Blob{make([]byte, 64)}, Receipts: receipts,
		})
		for _, kind := range []custody.ObservedKind{custody.Broadcast, custody.Confirming, custody.Finalized} {
			put(custody.ObservedEntry, &custody.Observed{Kind: kind, Intent: in.ID, Prepared: p.Leaf})
		}
	}
	raw, err := g.State.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return len(raw)
}
