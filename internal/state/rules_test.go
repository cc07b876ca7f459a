package state_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/policy"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
)

// once makes an entry's bytes without applying it.
func (b *bank) raw(tb testing.TB, t custody.EntryType, body custody.EntryBody) []byte {
	tb.Helper()
	e, err := custody.NewEntry(custody.Entry{Index: b.Tree.Size(), Time: b.Now, Type: t, Body: body})
	if err != nil {
		tb.Fatal(err)
	}
	return e.Raw
}

// TestC38ApprovalReplay: an approval counts for one intent, one verdict, one
// person, while the credential is on record and the intent lives.
func TestC38ApprovalReplay(t *testing.T) {
	b := newBank(t, small, nil)
	first, second := b.pay("ida", 60_000_000), b.pay("ida", 70_000_000)
	b.Must(b.Submit("ida", first))
	b.Must(b.Submit("ida", second))
	approve := func(in *custody.Intent, v custody.Verdict, e custody.Evidence) state.Result {
		return b.Append(custody.EvidenceEntry, &custody.EvidenceRecord{Intent: in.ID, Approval: &custody.Approval{Verdict: v, Evidence: e}})
	}
	yes := b.Evidence("tom", b.Hash(first, custody.Yes))
	void(t, approve(second, custody.Yes, yes), state.Signature)                                             // another intent
	void(t, approve(first, custody.No, yes), state.Signature)                                               // another verdict
	void(t, approve(first, custody.Yes, b.Evidence("tom", b.Hash(first, custody.Submit))), state.Signature) // the initiator's
	other := yes
	other.Credential = b.People["vic"].Credential.ID
	void(t, approve(first, custody.Yes, other), state.Signature) // in another person's name
	b.Must(approve(first, custody.Yes, yes))
	void(t, approve(first, custody.Yes, yes), state.Duplicate) // twice

	// Another charter, with the same people and keys.
	c := newBank(t, small, func(s *statetest.Setup) {
		s.Edit = func(c *custody.Charter) { c.IntentLife = 6 * custody.Day }
	})
	hash, err := custody.ApprovalHash(first.Digest(c.State.CharterHash()), custody.Yes)
	if err != nil {
		t.Fatal(err)
	}
	void(t, approve(first, custody.Yes, b.Evidence("vic", hash)), state.Signature)

	// The one who asks doesn't approve.
	own := b.pay("tom", 60_000_000)
	b.Must(b.Submit("tom", own))
	b.Must(b.Say("tom", custody.Yes, own))
	b.Must(b.Say("una", custody.Yes, own))
	void(t, b.Authorize(own), state.NotAllowed)
	b.Must(b.Say("vic", custody.Yes, own))
	b.Must(b.Authorize(own))

	// A removed credential counts no more, even between AUTHORIZED and PREPARED.
	b.Must(b.Say("una", custody.Yes, first))
	b.Must(b.Authorize(first))
	b.govern(custody.CredentialChangeIntent, &custody.CredentialChange{Action: custody.Remove, Credential: &b.People["una"].Credential})
	void(t, b.Prepare(first, 1, statetest.Outpoint(1)), state.NotAllowed)
	void(t, b.Say("una", custody.Yes, second), state.Signature)
	b.Must(b.Say("vic", custody.Yes, first))
	b.Must(b.Prepare(first, 1, statetest.Outpoint(1)))

	// After its end an intent takes nothing.
	b.Wait(6 * custody.Day)
	void(t, b.Say("tom", custody.Yes, second), state.IntentTime)
	void(t, b.Prepare(own, 1, statetest.Outpoint(2)), state.IntentTime)
}

// TestC38Edit: whatever of an intent is changed after it was signed, the
// signature is none.
func TestC38Edit(t *testing.T) {
	b := newBank(t, small, nil)
	in := b.pay("ida", 60_000_000)
	evidence := b.Evidence("ida", b.Hash(in, custody.Submit))
	for _, edit := range []struct{ from, to string }{
		{"60000000", "60000001"},
		{`"feeLimit":"1000"`, `"feeLimit":"1001"`},
		{string(friend), string(friend) + "x"},
		{in.Expires.String(), in.Expires.Add(1).String()},
		{`"domain":"treasury"`, `"domain":"treasury/x"`},
		{b.hot.String(), b.cold.String()},
	} {
		raw := strings.Replace(string(in.Raw), edit.from, edit.to, 1)
		if raw == string(in.Raw) {
			t.Fatalf("%s isn't there", edit.from)
		}
		void(t, b.Append(custody.IntentEntry, &custody.IntentRecord{Bytes: []byte(raw), Evidence: evidence}), state.Signature)
	}
	b.Must(b.Append(custody.IntentEntry, &custody.IntentRecord{Bytes: in.Raw, Evidence: evidence}))
	void(t, b.Append(custody.IntentEntry, &custody.IntentRecord{Bytes: in.Raw, Evidence: evidence}), state.KnownIntent)
}

func TestRejections(t *testing.T) {
	b := newBank(t, small, nil)
	in := b.pay("ida", 60_000_000)
	b.Must(b.Submit("ida", in))
	b.Must(b.Say("tom", custody.Yes, in))
	b.Must(b.Say("ann", custody.No, in)) // in no group that the policy asks
	b.status(t, in, custody.PendingApproval)
	b.Must(b.Say("una", custody.No, in))
	b.status(t, in, custody.Rejected)
	void(t, b.Say("vic", custody.Yes, in), state.WrongState)
	void(t, b.Authorize(in), state.WrongState)

	withdrawn := b.pay("ida", 60_000_000)
	b.Must(b.Submit("ida", withdrawn))
	b.Must(b.Say("ida", custody.No, withdrawn))
	b.status(t, withdrawn, custody.Cancelled)

	// A no between AUTHORIZED and PREPARED stops it, and gives back what was counted.
	late := b.pay("ida", 60_000_000)
	b.Must(b.Submit("ida", late))
	b.Must(b.Say("tom", custody.Yes, late))
	b.Must(b.Say("una", custody.Yes, late))
	b.Must(b.Authorize(late))
	if n := b.count(t); n != 1 {
		t.Errorf("%d transfers counted, want 1", n)
	}
	b.Must(b.Say("vic", custody.No, late))
	b.status(t, late, custody.Rejected)
	if n := b.count(t); n != 0 {
		t.Errorf("%d transfers counted, want 0", n)
	}
	void(t, b.Prepare(late, 1, statetest.Outpoint(1)), state.WrongState)
}

// count is how many transfers the policy counts now, before another one.
func (b *bank) count(tb testing.TB) int {
	tb.Helper()
	in := b.pay("ida", 1)
	b.Must(b.Submit("ida", in))
	d, err := b.State.Decide(in.ID, b.Now)
	if err != nil {
		tb.Fatal(err)
	}
	n, err := custody.ParseAmount(d.Facts[policy.Count("source.vault", "24h")].String())
	if err != nil {
		tb.Fatal(err)
	}
	for i := range 10 {
		if n.Cmp(custody.NewAmount(uint64(i+1))) == 0 {
			return i
		}
	}
	return -1
}

func TestBlockedIsFinal(t *testing.T) {
	b := newBank(t, small, nil)
	in := b.Intent("ida", custody.TransferIntent, &custody.Transfer{
		Network: regtest, Wallet: b.hot, Asset: coin, Amount: custody.NewAmount(1), FeeLimit: custody.NewAmount(1000),
		Destination: custody.Recipient{Kind: custody.OneTime, Address: stranger, Country: "KP"},
	})
	b.Must(b.Submit("ida", in))
	state, why, err := b.State.Status(in.ID, b.Now)
	if state != custody.Blocked || why != "rule restricted" || err != nil {
		t.Errorf("%s %q %v", state, why, err)
	}
}

// TestClaims: one intent pays once, whatever the control plane prepares.
func TestClaims(t *testing.T) {
	b := newBank(t, small, nil)
	authorized := func() *custody.Intent {
		in := b.pay("ida", 1000)
		b.Must(b.Submit("ida", in))
		b.Must(b.Authorize(in))
		return in
	}
	one, two := authorized(), authorized()
	out := statetest.Outpoint
	void(t, b.Prepare(one, 1), state.WrongClaims)
	void(t, b.Prepare(one, 1, statetest.Nonce(0)), state.WrongClaims)
	void(t, b.Prepare(one, 1001, out(1)), state.OverLimit)
	first := b.Must(b.Prepare(one, 500, out(1), out(2)))
	void(t, b.Prepare(two, 500, out(2)), state.WrongClaims)         // another intent's
	void(t, b.Prepare(one, 600, out(3)), state.WrongClaims)         // could be paid beside the first
	second := b.Must(b.Prepare(one, 600, out(2), out(4)))           // conflicts with the first
	void(t, b.Prepare(one, 700, out(1), out(5)), state.WrongClaims) // with the first, not with the second
	b.Must(b.Prepare(one, 700, out(2)))
	void(t, b.Prepare(two, 500, out(4)), state.WrongClaims) // claims of replaced transactions stand
	void(t, b.SignedBy(one, first.Leaf, custody.Hash{1}, make([]byte, 64), "node-a", "node-b"), state.WrongState)
	void(t, b.SignedBy(one, second.Leaf, custody.Hash{1}, make([]byte, 64), "node-a", "node-b"), state.WrongState)
	b.Must(b.Prepare(two, 500, out(9)))

	// What the control plane says it saw frees nothing.
	b.Must(b.Observe(one, b.newest(one), custody.Broadcast))
	void(t, b.Prepare(authorized(), 1, out(1)), state.WrongClaims)
}

// newest is the leaf of an intent's newest PREPARED entry, once it is signed.
func (b *bank) newest(in *custody.Intent) custody.Hash {
	leaf := custody.Hash{}
	for i, raw := range b.Entries {
		e, err := custody.ParseEntry(raw)
		if err != nil || b.Results[i].Void != "" {
			continue
		}
		if p, ok := e.Body.(*custody.Prepared); ok && p.Intent == in.ID {
			leaf = statetest.Leaf(raw)
		}
	}
	b.Must(b.SignedBy(in, leaf, custody.Hash{1}, make([]byte, 64), "node-a", "node-b"))
	return leaf
}

func TestReceipts(t *testing.T) {
	b := newBank(t, small, nil)
	in := b.pay("ida", 1000)
	b.Must(b.Submit("ida", in))
	b.Must(b.Authorize(in))
	p := b.Must(b.Prepare(in, 1, statetest.Outpoint(1)))
	sig := make([]byte, 64)
	void(t, b.SignedBy(in, p.Leaf, custody.Hash{1}, sig, "node-a"), state.Signature)
	b.NewNode("node-x", "FR")
	void(t, b.SignedBy(in, p.Leaf, custody.Hash{1}, sig, "node-a", "node-x"), state.Signature)
	// Of other messages.
	receipts := b.Receipts(p.Leaf, []custody.Hash{{2}}, "node-a", "node-b")
	void(t, b.Append(custody.SignedEntry, &custody.SignedRecord{
		Intent: in.ID, Prepared: p.Leaf, Messages: []custody.Hash{{1}}, Signatures: []custody.Blob{sig}, Receipts: receipts,
	}), state.Signature)
	b.Must(b.SignedBy(in, p.Leaf, custody.Hash{1}, sig, "node-a", "node-b"))
}

// TestRepair: SPEED_UP and CANCEL replace the original's transaction and pay
// nothing beside it.
func TestRepair(t *testing.T) {
	b := newBank(t, small, nil)
	in := b.pay("ida", 1000)
	b.Must(b.Submit("ida", in))
	b.Must(b.Authorize(in))
	repair := func(kind custody.IntentType, fee uint64) *custody.Intent {
		r := b.Intent("ida", kind, &custody.Repair{Intent: in.ID, FeeLimit: custody.NewAmount(fee)})
		b.Must(b.Submit("ida", r))
		void(t, b.Authorize(r), state.NotAllowed)
		b.Must(b.Say("tom", custody.Yes, r))
		b.Must(b.Authorize(r))
		return r
	}
	prepare := func(by *custody.Intent, fee uint64, claims ...custody.Claim) state.Result {
		return b.Append(custody.PreparedEntry, &custody.Prepared{
			Intent: in.ID, By: by.ID, Transaction: custody.Hash{byte(fee)}, Claims: claims, Fee: custody.NewAmount(fee), Prev: b.State.ChainHead(),
		})
	}
	faster := repair(custody.SpeedUpIntent, 5000)
	void(t, prepare(faster, 4000, statetest.Outpoint(1)), state.WrongState) // nothing to repair yet
	b.Must(b.Prepare(in, 900, statetest.Outpoint(1)))
	void(t, prepare(in, 4000, statetest.Outpoint(1)), state.OverLimit)
	void(t, prepare(faster, 5001, statetest.Outpoint(1)), state.OverLimit)
	void(t, prepare(faster, 4000, statetest.Outpoint(2)), state.WrongClaims)
	b.Must(prepare(faster, 4000, statetest.Outpoint(1)))
	cancel := repair(custody.CancelIntent, 9000)
	b.Must(prepare(cancel, 9000, statetest.Outpoint(1), statetest.Outpoint(2)))
	leaf := b.newest(in)
	for _, kind := range []custody.ObservedKind{custody.Broadcast, custody.Confirming, custody.Finalized} {
		b.Must(b.Observe(in, leaf, kind))
	}
	b.status(t, in, custody.Cancelled)
	b.status(t, cancel, custody.Executed)
	void(t, prepare(in, 1, statetest.Outpoint(1)), state.WrongState)
	void(t, b.Submit("ida", b.Intent("ida", custody.CancelIntent, &custody.Repair{Intent: cancel.ID, FeeLimit: custody.NewAmount(1)})), state.Impossible)
}

// TestGovernanceChain: an entry of the chain that doesn't name the newest one is
// void, and so is an authorization that doesn't.
func TestGovernanceChain(t *testing.T) {
	b := newBank(t, small, nil)
	old := b.State.ChainHead()
	payment := b.pay("ida", 1000)
	b.Must(b.Submit("ida", payment))
	group := &custody.GroupChange{Group: custody.Group{ID: "auditors", Members: []custody.ID[custody.Person]{b.People["ida"].ID}}}
	in := b.Intent("ann", custody.GroupChangeIntent, group)
	b.Must(b.Submit("ann", in))
	e := b.Evidence("ben", b.Hash(in, custody.Yes))
	approval := &custody.Approval{Verdict: custody.Yes, Evidence: e}
	void(t, b.Append(custody.EvidenceEntry, &custody.EvidenceRecord{Intent: in.ID, Approval: approval, Prev: old}), state.WrongPrev)
	void(t, b.Append(custody.EvidenceEntry, &custody.EvidenceRecord{Intent: in.ID, Approval: approval}), state.WrongPrev)
	void(t, b.Append(custody.EvidenceEntry, &custody.EvidenceRecord{Intent: payment.ID, Approval: approval, Prev: b.State.ChainHead()}), state.WrongPrev)
	d, err := b.State.Decide(payment.ID, b.Now)
	if err != nil {
		t.Fatal(err)
	}
	void(t, b.Append(custody.AuthorizedEntry, &custody.Authorized{Intent: payment.ID, Policy: d.Policy, Facts: d.FactsHash, Prev: old}), state.WrongPrev)
	void(t, b.Append(custody.AuthorizedEntry, &custody.Authorized{Intent: payment.ID, Policy: custody.Hash{1}, Facts: d.FactsHash, Prev: b.State.ChainHead()}), state.OtherInputs)
	void(t, b.Append(custody.AuthorizedEntry, &custody.Authorized{Intent: payment.ID, Policy: d.Policy, Facts: custody.Hash{1}, Prev: b.State.ChainHead()}), state.OtherInputs)
	head := b.State.ChainHead()
	b.Must(b.Authorize(payment))
	if b.State.ChainHead() != head {
		t.Error("a payment's authorization is part of the governance chain")
	}
	b.Must(b.Say("ben", custody.Yes, in))
	b.Must(b.Say("cas", custody.Yes, in))
	b.Must(b.Authorize(in))
	void(t, b.Authorize(in), state.WrongState)
}

// TestC40PolicyChange: a policy changes by its own rules, and what is pending is
// decided by the new one.
func TestC40PolicyChange(t *testing.T) {
	delayed := strings.Replace(small, "[{group: administrators, count: 2}]}", "[{group: administrators, count: 2}], delay: 24h}", 1)
	b := newBank(t, small, nil)
	pending := b.pay("ida", 60_000_000)
	b.Must(b.Submit("ida", pending))
	b.Must(b.Say("tom", custody.Yes, pending))
	b.Must(b.Say("una", custody.Yes, pending))
	authorized := b.pay("ida", 60_000_000)
	b.Must(b.Submit("ida", authorized))
	b.Must(b.Say("tom", custody.Yes, authorized))
	b.Must(b.Say("una", custody.Yes, authorized))
	b.Must(b.Authorize(authorized))

	change := func(yaml string) *custody.PolicyChange { return &custody.PolicyChange{Policy: policyOf(t, yaml)} }
	next := strings.NewReplacer("version: 1", "version: 2", "group: treasury, count: 2", "group: treasury, count: 3").Replace(delayed)
	void(t, b.Govern("ann", custody.PolicyChangeIntent, change(next), 0, "ben"), state.NotAllowed)        // too few
	void(t, b.Govern("ann", custody.PolicyChangeIntent, change(next), 0, "tom", "una"), state.NotAllowed) // of another group
	weak := strings.NewReplacer("version: 1", "version: 2", "{group: administrators, count: 2}", "{group: administrators, count: 1}").Replace(small)
	b.Must(b.Govern("ann", custody.PolicyChangeIntent, change(weak), 0, "ben", "cas")) // two still change it
	alone := strings.NewReplacer("version: 1", "version: 3", "approvals: [{group: administrators, count: 2}]", "").Replace(small)
	void(t, b.Govern("ann", custody.PolicyChangeIntent, change(alone), 0, "ben"), state.Impossible)
	nobody := strings.NewReplacer("version: 1", "version: 3", "{group: administrators, count: 2}", "{group: administrators, count: 4}").Replace(small)
	void(t, b.Govern("ann", custody.PolicyChangeIntent, change(nobody), 0, "ben"), state.Impossible)
	void(t, b.Govern("ann", custody.PolicyChangeIntent, change(small), 0, "ben"), state.Impossible) // an old version

	strict := strings.Replace(next, "version: 2", "version: 3", 1)
	b.Must(b.Govern("ann", custody.PolicyChangeIntent, change(strict), 0, "ben", "cas"))
	void(t, b.Authorize(pending), state.NotAllowed)
	void(t, b.Prepare(authorized, 1, statetest.Outpoint(1)), state.NotAllowed)
	b.Must(b.Say("vic", custody.Yes, authorized))
	b.Must(b.Prepare(authorized, 1, statetest.Outpoint(1)))

	// From now on a change waits 24 h from the witnessed time of the last approval.
	group := &custody.GroupChange{Group: custody.Group{ID: "auditors", Members: []custody.ID[custody.Person]{}}}
	in := b.Intent("ann", custody.GroupChangeIntent, group)
	b.Must(b.Submit("ann", in))
	b.Must(b.Say("ben", custody.Yes, in))
	b.Must(b.Witness(in)) // before the last approval: nothing runs from it
	b.Must(b.Say("cas", custody.Yes, in))
	b.Wait(25 * custody.Hour)
	void(t, b.Authorize(in), state.NotAllowed)
	b.Must(b.Witness(in))
	b.Wait(24*custody.Hour - 1)
	void(t, b.Authorize(in), state.NotAllowed)
	b.status(t, in, custody.TimeLocked)
	b.Wait(1)
	b.Must(b.Authorize(in))
}

func TestCosignedHeads(t *testing.T) {
	b := newBank(t, small, nil)
	in := b.pay("ida", 60_000_000)
	b.Must(b.Submit("ida", in))
	cosigned := func(head []byte, proof []custody.Hash) state.Result {
		return b.Append(custody.CosignedEntry, &custody.Cosigned{Intent: in.ID, Head: custody.Note(head), Proof: proof})
	}
	void(t, cosigned(b.Head("node-a"), []custody.Hash{}), state.NoQuorum) // one of two
	older := b.Head("node-a", "node-b")
	size := b.Tree.Size()
	b.Must(b.Tick())
	void(t, cosigned(older, []custody.Hash{}), state.NoQuorum) // without a proof
	p, err := journal.ProveConsistency(size, b.Tree.Size(), &b.Tree)
	if err != nil {
		t.Fatal(err)
	}
	var proof []custody.Hash
	for _, h := range p {
		proof = append(proof, custody.Hash(h))
	}
	wrong := slices.Clone(proof)
	wrong[0][5] ^= 1
	void(t, cosigned(older, wrong), state.NoQuorum)
	p, err = journal.ProveConsistency(size, b.Tree.Size(), &b.Tree)
	if err != nil {
		t.Fatal(err)
	}
	proof = nil
	for _, h := range p {
		proof = append(proof, custody.Hash(h))
	}
	b.Must(cosigned(older, proof))
	void(t, cosigned(older, proof), state.NoQuorum) // the proof was to another size
	b.Must(b.Witness(in))
}

// TestWitnessChange: heads up to the change need the old quorum, later ones the
// new.
func TestWitnessChange(t *testing.T) {
	b := newBank(t, small, nil)
	auditor := b.NewNode("auditor", "LI")
	quorum := custody.WitnessQuorum{Others: []custody.Witness{{ID: "auditor", Institution: "bank", Key: auditor.WitnessKey}}, Quorum: 3, Liars: 1}
	bad := quorum
	bad.Quorum = 2
	void(t, b.Govern("ann", custody.WitnessChangeIntent, &custody.WitnessChange{Witnesses: bad}, 0, "ben", "cas"), state.Impossible)
	b.govern(custody.WitnessChangeIntent, &custody.WitnessChange{Witnesses: quorum})
	if _, err := b.State.CheckHead(b.Head("node-a", "node-b")); err != nil {
		return
	}
	b.Must(b.Tick())
	if _, err := b.State.CheckHead(b.Head("node-a", "node-b")); err == nil {
		t.Error("after the change two witnesses still do")
	}
	if _, err := b.State.CheckHead(b.Head("node-a", "node-b", "auditor")); err != nil {
		t.Error(err)
	}
}

func TestNodes(t *testing.T) {
	b := newBank(t, small, nil)
	fourth := b.NewNode("node-d", "AE")
	quorum := custody.WitnessQuorum{Quorum: 3}
	b.govern(custody.SignerSetChangeIntent, &custody.SignerSetChange{Add: []custody.SignerNode{fourth.SignerNode}, Quorum: quorum})
	remove := &custody.SignerSetChange{Remove: []custody.Name{"node-c"}, Quorum: custody.WitnessQuorum{Quorum: 2}}
	void(t, b.Govern("ann", custody.SignerSetChangeIntent, remove, 0, "ben", "cas"), state.Impossible) // holds a share

	// Reshare to the new node: the key stays, the epoch rises, all new nodes attest.
	set := custody.SignerSet{Members: []custody.Member{{Node: "node-a", IDs: 1}, {Node: "node-b", IDs: 1}, {Node: "node-d", IDs: 1}}, Threshold: 2}
	in := b.Intent("ann", custody.KeyCeremonyIntent, &custody.KeyCeremony{Ceremony: custody.Reshare, Key: b.key, Scheme: custody.BIP340Secp256k1, Set: set})
	b.Must(b.Submit("ann", in))
	b.Must(b.Say("ben", custody.Yes, in))
	b.Must(b.Say("cas", custody.Yes, in))
	key := b.State.Key(b.key)
	next := *key
	next.Set, next.Epoch = set, 2
	void(t, b.Append(custody.KeyEntry, b.KeyRecord(in.ID, next)), state.WrongState)
	b.Must(b.Authorize(in))
	for name, edit := range map[string]func(*custody.Key){
		"epoch":     func(k *custody.Key) { k.Epoch = 1 },
		"key":       func(k *custody.Key) { k.PublicKey = append([]byte{3}, k.PublicKey[1:]...) },
		"threshold": func(k *custody.Key) { k.Set.Threshold = 3 },
		"chaincode": func(k *custody.Key) { k.ChainCode[3] ^= 1 },
	} {
		wrong := next
		edit(&wrong)
		if r := b.Append(custody.KeyEntry, b.KeyRecord(in.ID, wrong)); r.Void != state.Impossible {
			t.Errorf("another %s: %q %v", name, r.Void, r.Why)
		}
	}
	record := b.KeyRecord(in.ID, next)
	record.Attestations = record.Attestations[:2]
	void(t, b.Append(custody.KeyEntry, record), state.Signature)
	b.Must(b.Append(custody.KeyEntry, b.KeyRecord(in.ID, next)))
	void(t, b.Append(custody.KeyEntry, b.KeyRecord(in.ID, next)), state.WrongState)
	b.Must(b.Govern("ann", custody.SignerSetChangeIntent, remove, 0, "ben", "cas"))
}

func TestFreeze(t *testing.T) {
	targets := map[string]func(b *bank, in *custody.Intent) custody.Target{
		"intent": func(_ *bank, in *custody.Intent) custody.Target { return custody.Target{Intent: in.ID} },
		"vault":  func(b *bank, _ *custody.Intent) custody.Target { return custody.Target{Vault: b.vault} },
		"key":    func(b *bank, _ *custody.Intent) custody.Target { return custody.Target{Key: b.key} },
		"person": func(b *bank, _ *custody.Intent) custody.Target { return custody.Target{Person: b.People["ida"].ID} },
		"all":    func(*bank, *custody.Intent) custody.Target { return custody.Target{All: true} },
	}
	for name, target := range targets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBank(t, small, nil)
			in := b.pay("ida", 1000)
			b.Must(b.Submit("ida", in))
			b.Must(b.Authorize(in))
			waiting := b.pay("ida", 1000)
			b.Must(b.Submit("ida", waiting))
			what := target(b, in)
			b.Must(b.Govern("rob", custody.FreezeIntent, &custody.Freeze{Target: what}, 0, "sue"))
			void(t, b.Prepare(in, 1, statetest.Outpoint(1)), state.FrozenTarget)
			if name != "intent" {
				void(t, b.Authorize(waiting), state.FrozenTarget)
				void(t, b.Submit("ida", b.pay("ida", 1)), state.FrozenTarget)
				b.status(t, waiting, custody.OnHold)
			}
			b.Must(b.Govern("ann", custody.HoldReleaseIntent, &custody.HoldRelease{Target: what}, 0, "ben", "cas"))
			b.Must(b.Prepare(in, 1, statetest.Outpoint(1)))
			b.Must(b.Authorize(waiting))
		})
	}
}

// TestRecovery: recovery keys give administrators new credentials after a delay
// that an administrator or a node can stop, and move nothing.
func TestRecovery(t *testing.T) {
	b := newBank(t, small, func(s *statetest.Setup) { s.Groups["treasury"] = append(s.Groups["treasury"], "ann") })
	fresh := b.NewPerson("ann's new key", false)
	fresh.Credential.Person = b.People["ann"].ID
	recovery := func(t2 custody.IntentType, body custody.Body) *custody.Intent {
		in, err := custody.NewIntent(custody.Intent{
			Type: t2, ID: statetest.ID[custody.Intent](b.World), Institution: "bank", Domain: "recovery",
			Created: b.Now, Expires: b.Now.Add(6 * custody.Day), Initiator: b.Recovery[0].ID, Body: body,
		})
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	sign := func(i int, in *custody.Intent, v custody.Verdict) custody.Evidence {
		e := b.Evidence([]string{"recovery 1", "recovery 2", "recovery 3"}[i], b.Hash(in, v))
		return custody.Evidence{Kind: custody.EvidenceKind(custody.RecoveryEvidence), Recovery: b.Recovery[i].ID, Signature: e.Signature}
	}
	submit := func(in *custody.Intent) state.Result {
		prev := custody.Hash{}
		if in.Type.Governs() {
			prev = b.State.ChainHead()
		}
		return b.Append(custody.IntentEntry, &custody.IntentRecord{Bytes: in.Raw, Evidence: sign(0, in, custody.Submit), Prev: prev})
	}
	say := func(in *custody.Intent, v custody.Verdict, e custody.Evidence) state.Result {
		return b.Append(custody.EvidenceEntry, &custody.EvidenceRecord{
			Intent: in.ID, Approval: &custody.Approval{Verdict: v, Evidence: e}, Prev: b.State.ChainHead(),
		})
	}
	give := &custody.CredentialChange{Action: custody.Put, Credential: &fresh.Credential}

	stranger := fresh.Credential
	stranger.Person = b.People["tom"].ID
	void(t, submit(recovery(custody.CredentialChangeIntent, &custody.CredentialChange{Action: custody.Put, Credential: &stranger})), state.NotAllowed)
	void(t, submit(recovery(custody.PolicyChangeIntent, &custody.PolicyChange{Policy: policyOf(t, small)})), state.NotAllowed)
	void(t, submit(recovery(custody.TransferIntent, b.pay("ida", 1).Body)), state.NotAllowed)
	person := custody.Person{ID: statetest.ID[custody.Person](b.World), Institution: "bank", Country: "CH", Kind: custody.Human, Roles: []custody.Name{"root"}}
	void(t, submit(recovery(custody.PersonChangeIntent, &custody.PersonChange{Action: custody.Put, Person: person})), state.NotAllowed)
	known := *b.State.Person(b.People["tom"].ID)
	void(t, submit(recovery(custody.PersonChangeIntent, &custody.PersonChange{Action: custody.Put, Person: known})), state.NotAllowed)

	stopped := recovery(custody.CredentialChangeIntent, give)
	b.Must(submit(stopped))
	b.Must(say(stopped, custody.Yes, sign(1, stopped, custody.Yes)))
	node := custody.Evidence{
		Kind: custody.EvidenceKind(custody.NodeEvidence), Node: "node-b",
		Signature: b.Sign(b.Nodes["node-b"].Identity, b.Hash(stopped, custody.No)),
	}
	b.Must(say(stopped, custody.No, node))
	b.status(t, stopped, custody.Rejected)

	in := recovery(custody.CredentialChangeIntent, give)
	b.Must(submit(in))
	b.Wait(custody.Hour)
	void(t, b.Authorize(in), state.NotAllowed) // one key of two
	b.Must(say(in, custody.Yes, sign(1, in, custody.Yes)))
	b.Must(b.Witness(in))
	b.Wait(72*custody.Hour - 1)
	void(t, b.Authorize(in), state.NotAllowed)
	b.Wait(1)
	b.Must(b.Authorize(in))

	// The new credential governs, and approves no transfer although ann is of the
	// treasury.
	b.People["ann"].Credential, b.People["ann"].Key = fresh.Credential, fresh.Key
	transfer := b.pay("ida", 60_000_000)
	b.Must(b.Submit("ida", transfer))
	void(t, b.Say("ann", custody.Yes, transfer), state.Signature)
	b.Must(b.Govern("ann", custody.GroupChangeIntent, &custody.GroupChange{Group: custody.Group{ID: "x", Members: []custody.ID[custody.Person]{}}}, 0, "ben", "cas"))
}

func TestListBlocksAndStops(t *testing.T) {
	b := newBank(t, small, nil)
	list := statetest.Encode(t, custody.List{Name: "ofac", Addresses: []custody.Address{friend}})
	hash := statetest.Sum(list)
	if err := b.State.Offer(list); err != nil {
		t.Fatal(err)
	}
	before := b.pay("ida", 1000)
	b.Must(b.Submit("ida", before))
	b.Must(b.Authorize(before))
	b.govern(custody.ListChangeIntent, &custody.ListChange{Action: custody.Put, List: "ofac", SHA256: hash})
	in := b.pay("ida", 1000)
	b.Must(b.Submit("ida", in))
	state1, why, err := b.State.Status(in.ID, b.Now)
	if state1 != custody.Blocked || why != "list ofac" || err != nil {
		t.Errorf("%s %q %v", state1, why, err)
	}
	void(t, b.Prepare(before, 1, statetest.Outpoint(1)), state.NotAllowed)

	// A replica without the list's bytes stops where they are needed.
	other := state.New(b.State.CharterHash())
	for i, raw := range b.Entries {
		_, err := other.Apply(raw)
		if stop, ok := errors.AsType[*state.StopError](err); ok {
			if stop.List != "ofac" || stop.Hash != hash || int64(i) != other.Size() {
				t.Errorf("stopped at %d by %v", i, stop)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("a replica without the list went on")
}

func TestUpgradeStops(t *testing.T) {
	b := newBank(t, small, nil)
	void(t, b.Govern("ann", custody.UpgradeIntent, &custody.Upgrade{Rules: state.MaxRules + 2}, 0, "ben", "cas"), state.Impossible)
	b.govern(custody.UpgradeIntent, &custody.Upgrade{Rules: state.MaxRules + 1})
	size := b.State.Size()
	_, err := b.State.Apply(b.raw(t, custody.ObservedEntry, &custody.Observed{Kind: custody.Tick}))
	if stop, ok := errors.AsType[*state.StopError](err); !ok || stop.Rules != state.MaxRules+1 || b.State.Size() != size {
		t.Errorf("after the upgrade: %v", err)
	}
}

// TestVoid: an entry that is refused changes nothing but the journal.
func TestVoid(t *testing.T) {
	b := newBank(t, small, nil)
	e := func(index int64, time custody.Time) []byte {
		return []byte(`{"body":{"kind":"TICK"},"index":` + custody.NewAmount(uint64(index)).String() + `,"time":"` + time.String() + `","type":"OBSERVED","v":1}`)
	}
	size := b.Tree.Size()
	for _, c := range []struct {
		raw  []byte
		want state.Code
	}{
		{[]byte("garbage"), state.Malformed},
		{nil, state.Malformed},
		{e(size, b.Now), state.WrongIndex},
		{e(size+3, b.Now-1), state.WrongTime},
		{b.Entries[0], state.WrongIndex},
	} {
		r := b.AppendRaw(c.raw)
		if r.Void != c.want {
			t.Errorf("%s: %q (%v), want %q", c.raw[:min(len(c.raw), 40)], r.Void, r.Why, c.want)
		}
	}
	charter, err := custody.ParseEntry(b.Entries[0])
	if err != nil {
		t.Fatal(err)
	}
	void(t, b.Append(custody.CharterEntry, charter.Body), state.SecondCharter)
	b.Must(b.Tick())
}
