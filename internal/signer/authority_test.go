package signer_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/internal/wire"
	"github.com/cofferhq/coffer/tss/group"
)

// TestC14 has a control plane with all its keys write what would give it a signature, or
// the power over one. Its entries are void at every node, which cosign the journal all
// the same; what stood on them is refused; and an honest transfer goes on as before.
func TestC14(t *testing.T) {
	lax := strings.Replace(policyText, "approvals: [{group: treasury, count: 2}]", "", 1)
	for _, c := range []struct {
		name string
		// attack writes entries, of which the last must be void with the code.
		attack func(p *plane, in *custody.Intent) state.Result
		void   state.Code
		// field is what the nodes find wrong when they are asked to sign for the intent.
		field, says string
	}{
		{"authorized by a policy that was never in force", func(p *plane, in *custody.Intent) state.Result {
			p.Must(p.Submit("otto", in))
			return p.Append(custody.AuthorizedEntry, &custody.Authorized{Intent: in.ID, Policy: statetest.Sum(compiled(p.t, lax, 2)), Facts: custody.Hash{1}, Prev: p.State.ChainHead()})
		}, state.NotAllowed, "prepared", "the intent is SUBMITTED"},
		{"authorized by a policy change that nobody approved", func(p *plane, in *custody.Intent) state.Result {
			void(p, p.Govern("ida", custody.PolicyChangeIntent, &custody.PolicyChange{Policy: compiled(p.t, lax, 2)}, 0), state.NotAllowed)
			p.Must(p.Submit("otto", in))
			return p.Authorize(in)
		}, state.NotAllowed, "prepared", "the intent is SUBMITTED"},
		{"authorized by a policy change of one administrator", func(p *plane, in *custody.Intent) state.Result {
			void(p, p.Govern("ida", custody.PolicyChangeIntent, &custody.PolicyChange{Policy: compiled(p.t, lax, 2)}, 0, "tom"), state.NotAllowed)
			p.Must(p.Submit("otto", in))
			return p.Authorize(in)
		}, state.NotAllowed, "prepared", "the intent is SUBMITTED"},
		{"signed by nobody", func(p *plane, in *custody.Intent) state.Result {
			evidence := p.Evidence("otto", p.Hash(in, custody.Submit))
			evidence.Signature = slices.Clone(evidence.Signature)
			evidence.Signature[0] ^= 1
			return p.Append(custody.IntentEntry, &custody.IntentRecord{Bytes: in.Raw, Evidence: evidence})
		}, state.Signature, "intent", "not on record"},
		{"signed by somebody in another's name", func(p *plane, in *custody.Intent) state.Result {
			evidence := p.Evidence("tom", p.Hash(in, custody.Submit))
			evidence.Credential = p.People["otto"].Credential.ID
			return p.Append(custody.IntentEntry, &custody.IntentRecord{Bytes: in.Raw, Evidence: evidence})
		}, state.Signature, "intent", "not on record"},
		{"signed with a credential of its own making", func(p *plane, in *custody.Intent) state.Result {
			p.NewPerson("mallory", false)
			return p.Append(custody.IntentEntry, &custody.IntentRecord{Bytes: in.Raw, Evidence: p.Evidence("mallory", p.Hash(in, custody.Submit))})
		}, state.Signature, "intent", "not on record"},
		{"signed with a credential that nobody approved", func(p *plane, in *custody.Intent) state.Result {
			mallory := p.NewPerson("mallory", false)
			swap := mallory.Credential
			swap.Person = p.People["otto"].ID
			void(p, p.Govern("ida", custody.CredentialChangeIntent, &custody.CredentialChange{Action: custody.Put, Credential: &swap}, 0), state.NotAllowed)
			return p.Append(custody.IntentEntry, &custody.IntentRecord{Bytes: in.Raw, Evidence: p.Evidence("mallory", p.Hash(in, custody.Submit))})
		}, state.Signature, "intent", "not on record"},
		{"an edited intent under the old signature", func(p *plane, in *custody.Intent) state.Result {
			evidence := p.Evidence("otto", p.Hash(in, custody.Submit))
			edited, err := custody.NewIntent(custody.Intent{
				Type: in.Type, ID: in.ID, Institution: in.Institution, Domain: in.Domain, Created: in.Created, Expires: in.Expires, Initiator: in.Initiator,
				Body: p.transfer(custody.Recipient{Kind: custody.OneTime, Address: thief(p.t), Country: "CH"}, 80_000_000).Body,
			})
			if err != nil {
				p.t.Fatal(err)
			}
			return p.Append(custody.IntentEntry, &custody.IntentRecord{Bytes: edited.Raw, Evidence: evidence})
		}, state.Signature, "intent", "not on record"},
		{"approvals of another intent", func(p *plane, in *custody.Intent) state.Result {
			other := p.transfer(in.Body.(*custody.Transfer).Destination, 80_000_000)
			p.Must(p.Submit("otto", other))
			p.Must(p.Submit("otto", in))
			for _, name := range []string{"tom", "una"} {
				p.Must(p.Say(name, custody.Yes, other))
				void(p, p.Append(custody.EvidenceEntry, &custody.EvidenceRecord{
					Intent: in.ID, Approval: &custody.Approval{Verdict: custody.Yes, Evidence: p.Evidence(name, p.Hash(other, custody.Yes))},
				}), state.Signature)
			}
			return p.Authorize(in)
		}, state.NotAllowed, "prepared", "the intent is SUBMITTED"},
		{"a no for a yes", func(p *plane, in *custody.Intent) state.Result {
			p.Must(p.Submit("otto", in))
			p.Must(p.Say("tom", custody.Yes, in))
			void(p, p.Append(custody.EvidenceEntry, &custody.EvidenceRecord{
				Intent: in.ID, Approval: &custody.Approval{Verdict: custody.Yes, Evidence: p.Evidence("una", p.Hash(in, custody.No))},
			}), state.Signature)
			return p.Authorize(in)
		}, state.NotAllowed, "prepared", "the intent is SUBMITTED"},
		{"a second charter", func(p *plane, _ *custody.Intent) state.Result {
			first, err := custody.ParseEntry(p.Entries[0])
			if err != nil {
				p.t.Fatal(err)
			}
			return p.Append(custody.CharterEntry, first.Body)
		}, state.SecondCharter, "intent", "not on record"},
		{"a person into the group, by nobody", func(p *plane, in *custody.Intent) state.Result {
			group := custody.Group{ID: "treasury", Members: []custody.ID[custody.Person]{p.People["otto"].ID, p.People["ida"].ID}}
			void(p, p.Govern("ida", custody.GroupChangeIntent, &custody.GroupChange{Group: group}, 0), state.NotAllowed)
			p.Must(p.Submit("otto", in))
			p.Must(p.Say("tom", custody.Yes, in))
			return p.Authorize(in)
		}, state.NotAllowed, "prepared", "the intent is SUBMITTED"},
		{"another threshold, by nobody", func(p *plane, _ *custody.Intent) state.Result {
			set := p.key.Set
			set.Threshold = 3
			return p.Govern("ida", custody.KeyCeremonyIntent, &custody.KeyCeremony{Ceremony: custody.Refresh, Key: p.key.ID, Scheme: p.key.Scheme, Set: set}, 0)
		}, "", "intent", "not on record"},
		{"another node, by nobody", func(p *plane, _ *custody.Intent) state.Result {
			return p.Govern("ida", custody.SignerSetChangeIntent, &custody.SignerSetChange{
				Add: []custody.SignerNode{p.NewNode("node-d", "GB").SignerNode}, Quorum: custody.WitnessQuorum{Quorum: 3},
			}, 0)
		}, state.NotAllowed, "intent", "not on record"},
		{"another quorum, by nobody", func(p *plane, _ *custody.Intent) state.Result {
			return p.Govern("ida", custody.WitnessChangeIntent, &custody.WitnessChange{Witnesses: custody.WitnessQuorum{Quorum: 3}}, 0)
		}, state.NotAllowed, "intent", "not on record"},
		{"a transaction without an authorization", func(p *plane, in *custody.Intent) state.Result {
			p.Must(p.Submit("otto", in))
			return p.prepare(in, p.build(in, nil))
		}, state.WrongState, "prepared", "the intent is SUBMITTED"},
		{"a transaction of nobody's intent", func(p *plane, in *custody.Intent) state.Result {
			return p.prepare(in, p.build(in, nil))
		}, state.UnknownIntent, "intent", "not on record"},
		{"an entry of the future", func(p *plane, in *custody.Intent) state.Result {
			p.Must(p.Submit("otto", in))
			p.Must(p.Say("tom", custody.Yes, in))
			now := p.Now
			p.Now = p.Now.Add(custody.Hour)
			r := p.Authorize(in)
			p.Now = now
			return r
		}, state.NotAllowed, "prepared", "the intent is SUBMITTED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plane) {
				in := p.transfer(custody.Recipient{Kind: custody.Allowlisted, Address: statetest.Stranger, Destination: p.friend}, 80_000_000)
				r := c.attack(p, in)
				if r.Void == "" || c.void != "" && r.Void != c.void {
					t.Errorf("entry %d is %q (%v), want %q", r.Index, r.Void, r.Why, c.void)
				}
				details := p.build(in, nil)
				r = p.prepare(in, details)
				if r.Void == "" {
					t.Error("a transaction could be prepared")
				}
				p.sync()
				p.refused(c.name, p.invitation(in, r.Leaf, details), c.field, c.says)
				p.paid(p.pay(30_000_000))
			})
		})
	}
}

func void(p *plane, r state.Result, want state.Code) {
	p.t.Helper()
	if r.Void != want {
		p.t.Fatalf("entry %d is %q (%v), want %q", r.Index, r.Void, r.Why, want)
	}
}

// TestC14LeftOut has a control plane leave a freeze out that the nodes know of.
func TestC14LeftOut(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		in := p.pay(30_000_000)
		details := p.build(in, nil)
		honest := len(p.Entries)
		p.govern(custody.FreezeIntent, &custody.Freeze{Target: custody.Target{All: true}})
		p.sync()
		// The freeze is taken back by going on without it, as if it had never been.
		main := p.World
		p.World = p.branch(honest)
		r := p.Must(p.prepare(in, details))
		for _, name := range everybody {
			answer := p.follow(name, int64(honest), p.entries(int64(honest)), p.checkpoint())
			if len(answer.Lines) > 0 {
				t.Errorf("%s cosigned", name)
			}
		}
		p.refused("left out", p.invitation(in, r.Leaf, details), "prepared", "no transaction of it is on record")
		p.World = main
	})
}

// TestC15 puts keys on record that the nodes didn't make, or not like this.
func TestC15(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		intent := p.order(custody.BIP340Secp256k1)
		p.sync()
		done := p.invite(intent)
		right := p.keyRecord(intent, done)
		other := p.order(custody.BIP340Secp256k1)
		g := group.Secp256k1.Generator()
		for _, c := range []struct {
			name string
			edit func(r *custody.KeyRecord)
			void state.Code
		}{
			{"another key under the nodes' attestations", func(r *custody.KeyRecord) { r.Key.PublicKey = g.Add(g).Bytes() }, state.Signature},
			{"another chain code", func(r *custody.KeyRecord) { r.Key.ChainCode[0] ^= 1 }, state.Signature},
			{"the chain code itself", func(r *custody.KeyRecord) { r.Key.ChainCode = done["node-a"].ChainCode }, state.Signature},
			{"a later epoch", func(r *custody.KeyRecord) { r.Key.Epoch = 2 }, state.Impossible},
			{"another threshold", func(r *custody.KeyRecord) { r.Key.Set.Threshold = 3 }, state.Impossible},
			{"another scheme", func(r *custody.KeyRecord) { r.Key.Scheme = custody.ECDSASecp256k1 }, state.Impossible},
			{"two attestations of three", func(r *custody.KeyRecord) { r.Attestations = r.Attestations[:2] }, state.Signature},
			{"one node's attestation for another's", func(r *custody.KeyRecord) { r.Attestations[2].Signature = r.Attestations[0].Signature }, state.Signature},
			{"an attestation of the coordinator", func(r *custody.KeyRecord) {
				sum, err := custody.KeyHash(p.Charter.Hash(), intent, r.Key)
				if err != nil {
					t.Fatal(err)
				}
				r.Attestations[2].Signature = p.Sign(statetest.HybridKey(t, "coordinator"), sum)
			}, state.Signature},
			{"attestations of another ceremony", func(r *custody.KeyRecord) { r.Intent = other }, state.Impossible},
			{"the key in use", func(r *custody.KeyRecord) { r.Key.PublicKey = p.key.PublicKey }, state.Impossible},
		} {
			record := *right
			record.Attestations = slices.Clone(right.Attestations)
			record.Prev = p.State.ChainHead()
			c.edit(&record)
			if r := p.Append(custody.KeyEntry, &record); r.Void != c.void {
				t.Errorf("%s: %q (%v), want %q", c.name, r.Void, r.Why, c.void)
			}
		}
		p.sync()
		if p.State.Key(right.Key.ID) != nil {
			t.Error("a false key is on record")
		}
		right.Prev = p.State.ChainHead()
		p.Must(p.Append(custody.KeyEntry, right))
		p.sync()
		if p.State.Key(right.Key.ID) == nil {
			t.Error("the right key isn't on record")
		}
		p.refusedKeygen("done", p.keygenOf(intent), "intent", "the intent is EXECUTED")
		p.paid(p.pay(30_000_000))
	})
}

// keygenOf is an invitation to a key generation.
func (p *plane) keygenOf(intent custody.ID[custody.Intent]) wire.Keygen {
	return wire.Keygen{Intent: intent, Nonce: p.nonce(), Expires: p.now().Unix() + 30}
}

// refusedKeygen invites all nodes, and checks that none takes part.
func (p *plane) refusedKeygen(name string, m wire.Keygen, field, says string) {
	p.t.Helper()
	p.quiet()
	talked := p.road.talked()
	for _, node := range everybody {
		var done wire.KeygenDone
		err := p.call(node, wire.KeygenTopic, m, &done)
		if custody.CodeOf(err) != custody.Forbidden || fieldOf(err) != field || !strings.Contains(err.Error(), says) {
			p.t.Errorf("%s: %s answered %v %+v, want field %q and %q", name, node, err, done, field, says)
		}
	}
	if p.road.talked() != talked {
		p.t.Errorf("%s: nodes talked to each other", name)
	}
}

// TestC14Keygen invites nodes to ceremonies that nobody has authorized.
func TestC14Keygen(t *testing.T) {
	bubble(t, func(t *testing.T, p *plane) {
		set := p.key.Set
		ceremony := func(kind custody.Ceremony, key custody.ID[custody.Key], set custody.SignerSet, approvers ...string) *custody.Intent {
			in := p.Intent("ida", custody.KeyCeremonyIntent, &custody.KeyCeremony{Ceremony: kind, Key: key, Scheme: custody.BIP340Secp256k1, Set: set})
			p.Must(p.Submit("ida", in))
			for _, name := range approvers {
				p.Must(p.Say(name, custody.Yes, in))
			}
			return in
		}
		few := ceremony(custody.Keygen, statetest.ID[custody.Key](p.World), set, "tom")
		void(p, p.Authorize(few), state.NotAllowed)
		refresh := ceremony(custody.Refresh, p.key.ID, set, "tom", "una")
		p.Must(p.Authorize(refresh))
		without := ceremony(custody.Keygen, statetest.ID[custody.Key](p.World), custody.SignerSet{
			Members: []custody.Member{{Node: "node-a", IDs: 2}, {Node: "node-b", IDs: 1}}, Threshold: 2,
		}, "tom", "una")
		p.Must(p.Authorize(without))
		rejected := ceremony(custody.Keygen, statetest.ID[custody.Key](p.World), set, "tom", "una")
		p.Must(p.Authorize(rejected))
		p.Must(p.Say("ida", custody.No, rejected))
		paid := p.pay(1_000_000)
		uncovered := p.order(custody.BIP340Secp256k1)
		p.sync()
		p.refusedKeygen("not on record", p.keygenOf(statetest.ID[custody.Intent](p.World)), "intent", "not on record")
		p.refusedKeygen("an approval too few", p.keygenOf(few.ID), "intent", "the intent is SUBMITTED")
		p.refusedKeygen("another ceremony", p.keygenOf(refresh.ID), "intent", "asks for no key generation")
		p.refusedKeygen("a transfer", p.keygenOf(paid.ID), "intent", "asks for no key generation")
		p.refusedKeygen("withdrawn", p.keygenOf(rejected.ID), "intent", "the intent is CANCELLED")
		if err := p.call("node-c", wire.KeygenTopic, p.keygenOf(without.ID), new(wire.KeygenDone)); custody.CodeOf(err) != custody.Forbidden || fieldOf(err) != "signerSet" {
			t.Errorf("a node that isn't in the set: %v", err)
		}
		var done wire.KeygenDone
		if err := p.call("node-a", wire.KeygenTopic, p.keygenOf(without.ID), &done); err != nil || done.Failed == nil {
			t.Errorf("a set in which one node alone is enough: %v %+v", err, done)
		}
		late := p.keygenOf(uncovered)
		late.Expires = p.now().Unix()
		p.refusedKeygen("over", late, "expires", "over")
		late.Expires = p.now().Unix() + 601
		p.refusedKeygen("too far ahead", late, "expires", "")

		next := p.order(custody.BIP340Secp256k1)
		p.gather(everybody...)
		p.refusedKeygen("no head", p.keygenOf(next), "head", "doesn't cover entry")
		p.sync()
		p.wait(61)
		p.refusedKeygen("an old head", p.keygenOf(next), "head", "was last witnessed")
		p.wait(5 * custody.Day)
		p.refusedKeygen("expired", p.keygenOf(next), "expires", "the intent expired")
	})
}
