package custody

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestCharterRules(t *testing.T) {
	t.Parallel()
	for _, r := range []struct {
		field string
		edit  func(c *Charter)
	}{
		{"ok", func(*Charter) {}},
		{"ok", func(c *Charter) { c.IntentLife = Minute }},
		{"ok", func(c *Charter) { c.IntentLife = MaxIntentLife }},
		{"ok", func(c *Charter) { c.Groups = append(c.Groups, Group{"nobody", []ID[Person]{}}) }},
		{"intentLife", func(c *Charter) { c.IntentLife = Minute - 1 }},
		{"intentLife", func(c *Charter) { c.IntentLife = MaxIntentLife + 1 }},
		{"intentLife", func(c *Charter) { c.IntentLife = -1 }},

		{"institutions.2", func(c *Charter) { c.Institutions = append(c.Institutions, c.Institutions[0]) }},
		{"institutions.0.lei", func(c *Charter) { c.Institutions[0].LEI = "5493001KJTIIGC8Y1R21" }},
		{"persons.2", func(c *Charter) { c.Persons = append(c.Persons, c.Persons[0]) }},
		{"persons.1.institution", func(c *Charter) { c.Persons[1].Institution = "stranger" }},
		{"persons.0.roles.1", func(c *Charter) { c.Persons[0].Roles = []Name{"a", "a"} }},
		{"groups.1", func(c *Charter) { c.Groups = append(c.Groups, Group{Administrators, []ID[Person]{}}) }},
		{"groups.0.members.1", func(c *Charter) { c.Groups[0].Members[1] = c.Groups[0].Members[0] }},
		{"groups.0.members.1", func(c *Charter) { c.Groups[0].Members[1] = id[Person](99) }},

		{"credentials.3", func(c *Charter) { c.Credentials = append(c.Credentials, c.Credentials[0]) }},
		{"credentials.1.person", func(c *Charter) { c.Credentials[1].Person = id[Person](99) }},
		{"credentials.1.publicKey", func(c *Charter) { c.Credentials[1].PublicKey = c.Credentials[0].PublicKey }},
		{"credentials.1.algorithm", func(c *Charter) { c.Credentials[1].Algorithm = RS256 }},
		{"credentials.2.issuer", func(c *Charter) { c.Credentials[2].Issuer = "stranger" }},
		{"credentials.3.subject", func(c *Charter) {
			k := c.Credentials[2]
			k.ID, k.Person = id[Credential](23), c.Persons[1].ID
			c.Credentials = append(c.Credentials, k)
		}},

		{"nodes.3", func(c *Charter) { c.Nodes = append(c.Nodes, c.Nodes[0]) }},
		{"nodes.1.institution", func(c *Charter) { c.Nodes[1].Institution = "stranger" }},
		{"nodes.1.identityKey", func(c *Charter) { c.Nodes[1].IdentityKey = c.Nodes[0].IdentityKey }},
		{"nodes.1.identityKey", func(c *Charter) { c.Nodes[1].IdentityKey = c.Nodes[0].WitnessKey }},
		{"nodes.1.witnessKey", func(c *Charter) { c.Nodes[1].WitnessKey = c.Nodes[0].WitnessKey }},
		{"nodes.1.witnessKey", func(c *Charter) { c.Nodes[1].WitnessKey = c.Nodes[1].IdentityKey }},
		{"nodes.1.witnessKey", func(c *Charter) { c.Nodes[1].WitnessKey = filler(1343, 1) }},
		{"witnesses.others.0.institution", func(c *Charter) { c.Witnesses.Others[0].Institution = "stranger" }},
		{"witnesses.others.0.id", func(c *Charter) { c.Witnesses.Others[0].ID = "node-a" }},
		{"witnesses.others.1.id", func(c *Charter) {
			c.Witnesses.Others = append(c.Witnesses.Others, Witness{"auditor", "audit", hybridKey(6)})
			c.Witnesses.Quorum = 4
		}},
		{"witnesses.others.0.key", func(c *Charter) { c.Witnesses.Others[0].Key = c.Nodes[0].WitnessKey }},
		{"witnesses.others.0.key", func(c *Charter) { c.Witnesses.Others[0].Key = filler(1, 1) }},
		{"witnesses.quorum", func(c *Charter) { c.Witnesses.Quorum = 2 }},
		{"control.logKey", func(c *Charter) { c.Control.LogKey = c.Nodes[0].WitnessKey }},
		{"control.logKey", func(c *Charter) { c.Control.LogKey = Blob{} }},
		{"control.coordinatorKey", func(c *Charter) { c.Control.CoordinatorKey = c.Control.LogKey }},
		{"control.coordinatorKey", func(c *Charter) { c.Control.CoordinatorKey = filler(1345, 1) }},

		{"attestors.2", func(c *Charter) { c.Attestors = append(c.Attestors, c.Attestors[0]) }},
		{"attestors.1.key", func(c *Charter) { c.Attestors[1].Key = c.Attestors[0].Key }},
		{"attestors.1.key", func(c *Charter) { c.Attestors[1].Key = filler(31, 1) }},
		{"attestors.1.states", func(c *Charter) { c.Attestors[1].States = []AttestationKind{} }},
		{"recovery.threshold", func(c *Charter) { c.Recovery.Threshold = 1 }},
		{"recovery.threshold", func(c *Charter) { c.Recovery.Threshold = 3 }},
		{"recovery.delay", func(c *Charter) { c.Recovery.Delay = Hour - 1 }},
		{"recovery.delay", func(c *Charter) { c.Recovery.Delay = 14*Day + 1 }},
		{"recovery.keys.1", func(c *Charter) { c.Recovery.Keys[1].Key = c.Recovery.Keys[0].Key }},
		{"recovery.keys.1", func(c *Charter) { c.Recovery.Keys[1].ID = c.Recovery.Keys[0].ID }},
		{"recovery.keys.1.id", func(c *Charter) { c.Recovery.Keys[1].ID = c.Persons[0].ID }},
		{"recovery.keys.1.key", func(c *Charter) { c.Recovery.Keys[1].Key = c.Attestors[0].Key }},
		{"recovery.keys.0.key", func(c *Charter) { c.Recovery.Keys[0].Key = filler(33, 1) }},
		{"recovery.keys.0.key", func(c *Charter) { // a person's device key, in PKIX form there
			c.Credentials[1].PublicKey = append(Blob(ed25519Prefix), c.Recovery.Keys[0].Key...)
		}},
		{"relyingParty.origins", func(c *Charter) { c.RelyingParty.Origins = []Origin{} }},
		{"relyingParty.origins.2", func(c *Charter) { c.RelyingParty.Origins = append(c.RelyingParty.Origins, c.RelyingParty.Origins[0]) }},
		{"issuers.1", func(c *Charter) { c.Issuers = append(c.Issuers, c.Issuers[0]) }},
		{"issuers.0.keys", func(c *Charter) { c.Issuers[0].Keys = []IssuerKey{} }},
		{"issuers.0.keys.1", func(c *Charter) { c.Issuers[0].Keys = append(c.Issuers[0].Keys, c.Issuers[0].Keys[0]) }},
		{"policy", func(c *Charter) { c.Policy = jsontext.Value("[]") }},
		{"policy", func(c *Charter) { c.Policy = jsontext.Value("true") }},
	} {
		c := exampleCharter()
		r.edit(c)
		raw, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ParseCharter(raw)
		got := "ok"
		if err != nil {
			got = fieldOf(err)
		}
		if got != r.field {
			t.Errorf("names %q, want %q (%v)", got, r.field, err)
		}
	}
}

// 2q > n + f and q ≤ n, counted out: with every split of the witnesses into two
// quorums that share only liars, the rule refuses.
func TestQuorumInequality(t *testing.T) {
	t.Parallel()
	for n := range 10 {
		for q := -1; q <= n+2; q++ {
			for f := -1; f <= n+1; f++ {
				// Two quorums of q overlap least in 2q - n; that must be more than f.
				safe := f >= 0 && q >= 1 && q <= n && 2*q-n > f
				err := WitnessQuorum{Quorum: q, Liars: f}.CheckInequality(n)
				if safe != (err == nil) {
					t.Errorf("n = %d, q = %d, f = %d: %v", n, q, f, err)
				}
				if want := map[bool]string{true: "liars", false: "quorum"}[f < 0]; err != nil && fieldOf(err) != want {
					t.Errorf("n = %d, q = %d, f = %d names %q", n, q, f, fieldOf(err))
				}
			}
		}
	}
	for _, c := range []struct{ n, q, f int }{{3, 2, 0}, {4, 3, 1}, {7, 5, 2}} { // the recommended ones
		if err := (WitnessQuorum{Quorum: c.q, Liars: c.f}).CheckInequality(c.n); err != nil {
			t.Error(err)
		}
	}
	for _, w := range []WitnessQuorum{{Quorum: int(maxSafe)}, {Quorum: 2, Liars: int(maxSafe)}, {Quorum: -int(maxSafe), Liars: int(maxSafe)}} {
		if w.CheckInequality(3) == nil {
			t.Errorf("%+v", w)
		}
	}
}
