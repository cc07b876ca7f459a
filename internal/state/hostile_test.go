package state_test

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/tss/group"
)

// TestLookingAheadChangesNothing: neither a void entry of a later time nor a
// question about one moves the windows of the running totals.
func TestLookingAheadChangesNothing(t *testing.T) {
	b := newBank(t, capped, nil)
	pay := func(units uint64) *custody.Intent {
		in := b.pay("ida", units)
		b.Must(b.Submit("ida", in))
		b.Price(in, 100_000, 2_000, coin)
		return in
	}
	b.Must(b.Authorize(pay(4_000_000)))
	waiting := pay(4_000_000)
	outcome := func(ahead custody.Seconds) policy.Outcome {
		d, err := b.State.Decide(waiting.ID, b.Now.Add(ahead))
		if err != nil {
			t.Fatal(err)
		}
		return d.Outcome
	}
	if got := outcome(0); got != policy.Blocked {
		t.Fatal(got)
	}
	outcome(40 * custody.Day)
	now := b.Now
	b.Now = b.Now.Add(2 * custody.Day)
	void(t, b.Append(custody.AuthorizedEntry, &custody.Authorized{
		Intent: waiting.ID, Policy: b.State.PolicyInForce().Hash(), Facts: custody.Hash{1}, Prev: b.State.ChainHead(),
	}), state.NotAllowed)
	b.Now = now
	if got := outcome(0); got != policy.Blocked {
		t.Errorf("%s after somebody looked ahead", got)
	}
	void(t, b.Authorize(pay(4_000_000)), state.NotAllowed)
	replay(t, b, func(s *state.State, i int) (state.Result, error) { return s.Replay(b.Entries[i], b.Results[i].Void) })
}

// TestIDsOnce: an id stands for one intent, and while any intent made at its time
// could live, for no other.
func TestIDsOnce(t *testing.T) {
	b := newBank(t, small, nil)
	in := b.pay("ida", 1)
	late, err := custody.NewIntent(custody.Intent{
		Type: in.Type, ID: in.ID, Institution: in.Institution, Domain: in.Domain, Created: in.Created + 1, Expires: in.Expires,
		Initiator: in.Initiator, Body: in.Body,
	})
	if err != nil {
		t.Fatal(err)
	}
	void(t, b.Submit("ida", late), state.IntentTime)
	short, err := custody.NewIntent(custody.Intent{
		Type: in.Type, ID: in.ID, Institution: in.Institution, Domain: in.Domain, Created: in.Created, Expires: in.Created.Add(custody.Minute),
		Initiator: in.Initiator, Body: in.Body,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Must(b.Submit("ida", short))
	b.Wait(custody.Hour)
	for range 600 { // past two sweeps
		b.Tick()
	}
	void(t, b.Submit("ida", in), state.KnownIntent)
	b.Wait(8 * custody.Day)
	for range 300 {
		b.Tick()
	}
	void(t, b.Submit("ida", in), state.IntentTime)
}

// TestNobodyAlone: no order of changes gives one person what takes several.
func TestNobodyAlone(t *testing.T) {
	open := func(when string) string {
		return small + "  - name: backdoor\n    for: [POLICY_CHANGE]\n    when: " + when + "\n    allow: {}\n"
	}
	person := func(b *bank, country custody.Country, roles ...custody.Name) custody.Person {
		return custody.Person{ID: statetest.ID[custody.Person](b.World), Institution: "bank", Country: country, Kind: custody.Service, Roles: roles}
	}
	t.Run("a person without a key yet", func(t *testing.T) {
		b := newBank(t, open(`initiator.country == "SG"`), nil)
		p := person(b, "SG")
		void(t, b.Govern("ann", custody.PersonChangeIntent, &custody.PersonChange{Action: custody.Put, Person: p}, 0, "ben", "cas"), state.Impossible)
	})
	t.Run("a role", func(t *testing.T) {
		b := newBank(t, open(`("root" in initiator.roles)`), nil)
		p := person(b, "CH", "root")
		void(t, b.Govern("ann", custody.PersonChangeIntent, &custody.PersonChange{Action: custody.Put, Person: p}, 0, "ben", "cas"), state.Impossible)
	})
	t.Run("a group", func(t *testing.T) {
		b := newBank(t, open(`("root" in initiator.groups)`), nil)
		root := &custody.GroupChange{Group: custody.Group{ID: "root", Members: []custody.ID[custody.Person]{b.People["ida"].ID}}}
		void(t, b.Govern("ann", custody.GroupChangeIntent, root, 0, "ben", "cas"), state.Impossible)
	})
	t.Run("certain hours", func(t *testing.T) {
		b := newBank(t, small, nil)
		yaml := strings.Replace(small, "version: 1", "version: 2", 1) +
			"  - name: odd-way\n    for: [POLICY_CHANGE]\n    when: \"true\"\n    allow: {}\n" +
			"  - name: odd-toll\n    for: [POLICY_CHANGE]\n    when: time.minute < 5\n    require: {approvals: [{group: administrators, count: 2}]}\n"
		void(t, b.Govern("ann", custody.PolicyChangeIntent, &custody.PolicyChange{Policy: policyOf(t, yaml)}, 0, "ben", "cas"), state.Impossible)
	})
	t.Run("nobody is left", func(t *testing.T) {
		b := newBank(t, small, nil)
		empty := &custody.GroupChange{Group: custody.Group{ID: "administrators", Members: []custody.ID[custody.Person]{b.People["ann"].ID}}}
		void(t, b.Govern("ann", custody.GroupChangeIntent, empty, 0, "ben", "cas"), state.Impossible)
	})
}

// TestFirstUseStays: what was asked because nobody had paid there before is asked
// until the transaction is prepared.
func TestFirstUseStays(t *testing.T) {
	b := newBank(t, strings.Replace(small, "  - name: screened", `  - name: first
    for: [TRANSFER]
    when: destination.firstUse
    require: {approvals: [{group: risk, count: 1}]}
  - name: screened`, 1), nil)
	in := b.pay("ida", 1000)
	b.Must(b.Submit("ida", in))
	void(t, b.Authorize(in), state.NotAllowed)
	b.Must(b.Say("rob", custody.Yes, in))
	b.Must(b.Authorize(in))
	b.govern(custody.CredentialChangeIntent, &custody.CredentialChange{Action: custody.Remove, Credential: &b.People["rob"].Credential})
	void(t, b.Prepare(in, 1, statetest.Outpoint(1)), state.NotAllowed)
	b.Must(b.Say("sue", custody.Yes, in))
	b.Must(b.Prepare(in, 1, statetest.Outpoint(1)))
	second := b.pay("ida", 1000)
	b.Must(b.Submit("ida", second))
	b.Must(b.Authorize(second))
}

// TestScreeningAfterwards: what screening says after AUTHORIZED counts at
// PREPARED.
func TestScreeningAfterwards(t *testing.T) {
	b := newBank(t, small, nil)
	b.Attestor["screening-b"] = ed25519.NewKeyFromSeed(statetest.Seed("screening-b")[:32])
	b.govern(custody.ProviderChangeIntent, &custody.ProviderChange{Action: custody.Put, Attestor: custody.Attestor{
		ID: "screening-b", Key: custody.Blob(b.Attestor["screening-b"].Public().(ed25519.PublicKey)),
		States: []custody.AttestationKind{custody.ScreeningAttestation},
	}})
	authorized := func() *custody.Intent {
		in := b.Intent("ida", custody.TransferIntent, &custody.Transfer{
			Network: regtest, Wallet: b.hot, Asset: coin, Amount: custody.NewAmount(60_000_000), FeeLimit: custody.NewAmount(1000),
			Destination: custody.Recipient{Kind: custody.OneTime, Address: stranger, Country: "SG"},
		})
		b.Must(b.Submit("ida", in))
		b.Must(b.Say("una", custody.Yes, in))
		b.Must(b.Say("tom", custody.Yes, in))
		b.Must(b.Screen(in, custody.ScreeningPass))
		b.Must(b.Authorize(in))
		b.Wait(custody.Minute)
		return in
	}
	again := authorized()
	b.Must(b.Screen(again, custody.ScreeningPass))
	b.Must(b.Prepare(again, 1, statetest.Outpoint(1)))
	in := authorized()
	b.Must(b.Attest("screening-b", in, custody.Attestation{Screening: &custody.Screening{Digest: in.Digest(b.State.CharterHash()), Verdict: custody.ScreeningBlock}}))
	void(t, b.Prepare(in, 1, statetest.Outpoint(2)), state.NotAllowed)

	// An attestor that is taken off the record counts no more.
	third := authorized()
	screening := b.Charter.Attestors[2]
	b.govern(custody.ProviderChangeIntent, &custody.ProviderChange{Action: custody.Remove, Attestor: screening})
	void(t, b.Prepare(third, 1, statetest.Outpoint(3)), state.NotAllowed)
}

// TestAttestations: a statement counts for its intent, its kind and its time.
func TestAttestations(t *testing.T) {
	b := newBank(t, capped, nil)
	in, other := b.pay("ida", 1000), b.pay("ida", 1000)
	b.Must(b.Submit("ida", in))
	b.Must(b.Submit("ida", other))
	digest := in.Digest(b.State.CharterHash())
	screening := func(d custody.Hash) custody.Attestation {
		return custody.Attestation{Screening: &custody.Screening{Digest: d, Verdict: custody.ScreeningPass}}
	}
	void(t, b.Attest("screening", other, screening(digest)), state.Signature)
	void(t, b.Attest("prices-a", in, screening(digest)), state.Signature) // may not state it
	price := custody.Price{Asset: coin, Currency: "EUR", Units: custody.NewAmount(1), Value: custody.NewAmount(1)}
	void(t, b.Attest("prices-a", in, custody.Attestation{Price: &price}), state.Impossible)
	price.Currency, price.Asset = "USD", "bip122:000000000019d6689c085ae165831e93/slip44:0"
	b.Must(b.Attest("prices-a", in, custody.Attestation{Price: &price})) // of another asset: no price of this one
	void(t, b.Authorize(in), state.NotAllowed)
	b.Price(in, 100_000, 2_000, coin)
	b.Wait(2 * custody.Hour) // the prices are over
	void(t, b.Authorize(in), state.NotAllowed)
	b.Price(in, 100_000, 2_000, coin)
	b.Must(b.Authorize(in))
	void(t, b.Attest("prices-a", b.Intent("ida", custody.UpgradeIntent, &custody.Upgrade{Rules: 2}), custody.Attestation{Price: &price}), state.UnknownIntent)
}

// TestKeysOnce: nobody is two by one key.
func TestKeysOnce(t *testing.T) {
	b := newBank(t, small, nil)
	twin := b.NewNode("node-d", "AE")
	twin.IdentityKey = b.Nodes["node-a"].IdentityKey
	void(t, b.Govern("ann", custody.SignerSetChangeIntent, &custody.SignerSetChange{
		Add: []custody.SignerNode{twin.SignerNode}, Quorum: custody.WitnessQuorum{Quorum: 3},
	}, 0, "ben", "cas"), state.Impossible)
	attestor := b.Charter.Attestors[0]
	attestor.ID = "prices-c"
	void(t, b.Govern("ann", custody.ProviderChangeIntent, &custody.ProviderChange{Action: custody.Put, Attestor: attestor}, 0, "ben", "cas"), state.Impossible)
	attestor = b.Charter.Attestors[0]
	attestor.Key = custody.Blob(b.People["ida"].Key.Public().(ed25519.PublicKey))
	void(t, b.Govern("ann", custody.ProviderChangeIntent, &custody.ProviderChange{Action: custody.Put, Attestor: attestor}, 0, "ben", "cas"), state.Impossible)
	credential := b.People["tom"].Credential
	credential.ID, credential.Person = statetest.ID[custody.Credential](b.World), b.People["una"].ID
	void(t, b.Govern("ann", custody.CredentialChangeIntent, &custody.CredentialChange{Action: custody.Put, Credential: &credential}, 0, "ben", "cas"), state.Impossible)
}

// TestInitiators: a person submits for their own institution, vault and domain,
// with their own credential.
func TestInitiators(t *testing.T) {
	b := newBank(t, small, nil)
	in := b.pay("ida", 1000)
	submit := func(in *custody.Intent, e custody.Evidence) state.Result {
		return b.Append(custody.IntentEntry, &custody.IntentRecord{Bytes: in.Raw, Evidence: e})
	}
	void(t, submit(in, b.Evidence("tom", b.Hash(in, custody.Submit))), state.Signature)
	void(t, submit(in, b.Evidence("ida", b.Hash(in, custody.Yes))), state.Signature)
	edit := func(f func(*custody.Intent)) *custody.Intent {
		changed := *in
		f(&changed)
		out, err := custody.NewIntent(changed)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, c := range map[string]struct {
		f    func(*custody.Intent)
		want state.Code
	}{
		"institution": {func(x *custody.Intent) { x.Institution = "other" }, state.Impossible},
		"domain":      {func(x *custody.Intent) { x.Domain = "elsewhere" }, state.Impossible},
		"life":        {func(x *custody.Intent) { x.Expires = x.Created.Add(8 * custody.Day) }, state.IntentTime},
		"over":        {func(x *custody.Intent) { x.Created, x.Expires = x.Created-10, x.Created-5 }, state.IntentTime},
	} {
		changed := edit(c.f)
		if r := submit(changed, b.Evidence("ida", b.Hash(changed, custody.Submit))); r.Void != c.want {
			t.Errorf("%s: %q (%v), want %q", name, r.Void, r.Why, c.want)
		}
	}
	future := b.Now
	b.Now = b.Now.Add(custody.Hour)
	early := b.pay("ida", 1000)
	b.Now = future
	void(t, b.Submit("ida", early), state.IntentTime)

	// A removed submitter's intent isn't authorized.
	b.Must(b.Submit("ida", in))
	b.govern(custody.CredentialChangeIntent, &custody.CredentialChange{Action: custody.Remove, Credential: &b.People["ida"].Credential})
	void(t, b.Authorize(in), state.Signature)
}

// TestSpelling: one address is one text.
func TestSpelling(t *testing.T) {
	b := newBank(t, small, nil)
	to := custody.Recipient{Kind: custody.OneTime, Address: custody.Address(strings.ToUpper(string(stranger))), Country: "SG"}
	in := b.Intent("ida", custody.TransferIntent, &custody.Transfer{
		Network: regtest, Wallet: b.hot, Asset: coin, Amount: custody.NewAmount(1), FeeLimit: custody.NewAmount(1), Destination: to,
	})
	void(t, b.Submit("ida", in), state.Impossible)
}

// TestCancelStands: once a CANCEL is authorized, nothing else is prepared, and what
// was spent on repairs stays counted.
func TestCancelStands(t *testing.T) {
	b := newBank(t, small, nil)
	in := b.pay("ida", 1000)
	b.Must(b.Submit("ida", in))
	b.Must(b.Authorize(in))
	b.Must(b.Prepare(in, 900, statetest.Outpoint(1)))
	cancel := b.Intent("ida", custody.CancelIntent, &custody.Repair{Intent: in.ID, FeeLimit: custody.NewAmount(2000)})
	b.Must(b.Submit("ida", cancel))
	b.Must(b.Say("tom", custody.Yes, cancel))
	b.Must(b.Authorize(cancel))
	void(t, b.Prepare(in, 950, statetest.Outpoint(1)), state.WrongState)
	p := b.Must(b.Append(custody.PreparedEntry, &custody.Prepared{
		Intent: in.ID, By: cancel.ID, Transaction: custody.Hash{1}, Claims: []custody.Claim{statetest.Outpoint(1)},
		Fee: custody.NewAmount(2000), Prev: b.State.ChainHead(),
	}))
	counted := b.count(t)
	b.Must(b.SignedBy(in, p.Leaf, custody.Hash{1}, make([]byte, 64), "node-a", "node-b"))
	b.Must(b.Observe(in, p.Leaf, custody.Broadcast))
	b.Must(b.Observe(in, p.Leaf, custody.Reverted))
	if n := b.count(t); n != counted {
		t.Errorf("%d counted before the network's word, %d after", counted, n)
	}
}

// TestPreparedKnowsGovernance: a transaction is prepared over the newest governance
// entry, so that its bundle can leave none out.
func TestPreparedKnowsGovernance(t *testing.T) {
	b := newBank(t, small, nil)
	in := b.pay("ida", 1000)
	b.Must(b.Submit("ida", in))
	b.Must(b.Authorize(in))
	old := b.State.ChainHead()
	b.govern(custody.GroupChangeIntent, &custody.GroupChange{Group: custody.Group{ID: "x", Members: []custody.ID[custody.Person]{}}})
	void(t, b.Append(custody.PreparedEntry, &custody.Prepared{
		Intent: in.ID, By: in.ID, Transaction: custody.Hash{1}, Claims: []custody.Claim{statetest.Outpoint(1)}, Fee: custody.NewAmount(1), Prev: old,
	}), state.WrongPrev)
	b.Must(b.Prepare(in, 1, statetest.Outpoint(1)))
}

// TestNonceLane: an account's transactions take its nonces one after the other,
// and a retry takes the same.
func TestNonceLane(t *testing.T) {
	const (
		network custody.Network = "eip155:1"
		ether   custody.Asset   = "eip155:1/slip44:60"
	)
	b := newBank(t, small, nil)
	g := group.Secp256k1.Generator()
	b.key = b.KeyFor("ann", custody.ECDSASecp256k1, g.Add(g).Bytes(), custody.Hash{2}, 0, "ben", "cas")
	b.Now++
	id := statetest.ID[custody.Wallet](b.World)
	b.govern(custody.WalletCreateIntent, &custody.WalletCreate{Wallet: custody.Wallet{ID: id, Vault: b.vault, Network: network, Key: b.key, Path: 7, Nonce: 5}})
	authorized := func() *custody.Intent {
		in := b.Intent("ida", custody.TransferIntent, &custody.Transfer{
			Network: network, Wallet: id, Asset: ether, Amount: custody.NewAmount(1), FeeLimit: custody.NewAmount(10),
			Destination: custody.Recipient{Kind: custody.OneTime, Address: "0x00000000000000000000000000000000000000aa", Country: "SG"},
		})
		b.Must(b.Submit("ida", in))
		b.Must(b.Say("tom", custody.Yes, in))
		b.Must(b.Say("una", custody.Yes, in))
		b.Must(b.Screen(in, custody.ScreeningPass))
		b.Must(b.Authorize(in))
		return in
	}
	one, two := authorized(), authorized()
	for _, n := range []uint64{0, 4, 6} {
		void(t, b.Prepare(one, 1, statetest.Nonce(n)), state.WrongClaims)
	}
	void(t, b.Prepare(one, 1, statetest.Outpoint(1)), state.WrongClaims)
	b.Must(b.Prepare(one, 1, statetest.Nonce(5)))
	void(t, b.Prepare(two, 1, statetest.Nonce(5)), state.WrongClaims)
	void(t, b.Prepare(one, 2, statetest.Nonce(6)), state.WrongClaims)
	b.Must(b.Prepare(one, 2, statetest.Nonce(5)))
	b.Must(b.Prepare(two, 1, statetest.Nonce(6)))
	odd := b.Intent("ida", custody.TransferIntent, &custody.Transfer{
		Network: network, Wallet: id, Asset: ether, Amount: custody.NewAmount(1), FeeLimit: custody.NewAmount(10),
		Destination: custody.Recipient{Kind: custody.OneTime, Address: "0X00000000000000000000000000000000000000aa", Country: "SG"},
	})
	void(t, b.Submit("ida", odd), state.Impossible)
	void(t, b.Submit("ida", b.Intent("ida", custody.TransferIntent, &custody.Transfer{
		Network: network, Wallet: b.hot, Asset: ether, Amount: custody.NewAmount(1), FeeLimit: custody.NewAmount(10),
		Destination: custody.Recipient{Kind: custody.OneTime, Address: "0x00000000000000000000000000000000000000aa", Country: "SG"},
	})), state.Impossible) // another wallet's network
	void(t, b.Govern("ann", custody.WalletCreateIntent, &custody.WalletCreate{Wallet: custody.Wallet{
		ID: statetest.ID[custody.Wallet](b.World), Vault: b.vault, Network: "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", Key: b.key, Path: 8,
	}}, 0, "ben", "cas"), state.Impossible)
}

// TestKeyEntry: a ceremony's result is recorded once, in its time, in the chain.
func TestKeyEntry(t *testing.T) {
	b := newBank(t, small, nil)
	g := group.Secp256k1.Generator()
	id := statetest.ID[custody.Key](b.World)
	set := b.State.Key(b.key).Set
	ceremony := func() *custody.Intent {
		in := b.Intent("ann", custody.KeyCeremonyIntent, &custody.KeyCeremony{Ceremony: custody.Keygen, Key: id, Scheme: custody.ECDSASecp256k1, Set: set})
		b.Must(b.Submit("ann", in))
		b.Must(b.Say("ben", custody.Yes, in))
		b.Must(b.Say("cas", custody.Yes, in))
		b.Must(b.Authorize(in))
		return in
	}
	key := custody.Key{ID: id, Scheme: custody.ECDSASecp256k1, PublicKey: g.Add(g).Bytes(), Epoch: 1, Set: set}
	in := ceremony()
	record := b.KeyRecord(in.ID, key)
	record.Prev = custody.Hash{1}
	void(t, b.Append(custody.KeyEntry, record), state.WrongPrev)
	late := key
	late.Epoch = 2
	void(t, b.Append(custody.KeyEntry, b.KeyRecord(in.ID, late)), state.Impossible)
	taken := key
	taken.PublicKey = b.State.Key(b.key).PublicKey
	void(t, b.Append(custody.KeyEntry, b.KeyRecord(in.ID, taken)), state.Impossible)
	off := key
	off.PublicKey = append([]byte{2}, make([]byte, 32)...)
	void(t, b.Append(custody.KeyEntry, b.KeyRecord(in.ID, off)), state.Impossible)
	b.Must(b.Govern("rob", custody.FreezeIntent, &custody.Freeze{Target: custody.Target{Key: id}}, 0, "sue"))
	void(t, b.Append(custody.KeyEntry, b.KeyRecord(in.ID, key)), state.FrozenTarget)
	b.Must(b.Govern("ann", custody.HoldReleaseIntent, &custody.HoldRelease{Target: custody.Target{Key: id}}, 0, "ben", "cas"))
	b.Wait(5 * custody.Day)
	void(t, b.Append(custody.KeyEntry, b.KeyRecord(in.ID, key)), state.IntentTime)
	in = ceremony()
	b.Must(b.Append(custody.KeyEntry, b.KeyRecord(in.ID, key)))
	void(t, b.Govern("ann", custody.KeyCeremonyIntent, &custody.KeyCeremony{Ceremony: custody.Keygen, Key: id, Scheme: custody.ECDSASecp256k1, Set: set}, 0, "ben", "cas"), state.Impossible)
}
