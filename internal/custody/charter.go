package custody

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Charter is the body of a deployment's first entry: who is there, and the policy
// that governs from the first moment. Its hash names the deployment.
type Charter struct {
	Institutions []Institution  `json:"institutions"`
	Persons      []Person       `json:"persons"`
	Groups       []Group        `json:"groups"`
	Credentials  []Credential   `json:"credentials"`
	Nodes        []SignerNode   `json:"nodes"`
	Witnesses    WitnessQuorum  `json:"witnesses"`
	Attestors    []Attestor     `json:"attestors"`
	Recovery     Recovery       `json:"recovery"`
	RelyingParty RelyingParty   `json:"relyingParty"`
	Issuers      []Issuer       `json:"issuers"`
	IntentLife   Seconds        `json:"intentLife"` // the longest that an intent may live
	Policy       jsontext.Value `json:"policy"`     // compiled; package policy reads it
	Control      Control        `json:"control"`
	Raw          []byte         `json:"-"`
}

// ParseCharter reads the canonical bytes of a charter and keeps them. It checks
// form and references; what the people named can do with the policy is checked by
// package state. Errors are of code [Invalid] and name the field.
func ParseCharter(raw []byte) (*Charter, error) {
	var c Charter
	if err := Decode(raw, &c, MaxEntry); err != nil {
		return nil, err
	}
	c.Raw = bytes.Clone(raw)
	if err := c.valid(); err != nil {
		return nil, err
	}
	return &c, nil
}

// Hash is the SHA-256 of "coffer/charter/v1", a zero byte and the canonical
// bytes. It names the deployment and is bound into every signature.
func (c *Charter) Hash() Hash { return tagged("coffer/charter/v1", c.Raw) }

// CharterSignatureHash is what administrators and nodes sign of the charter with
// the given hash.
func CharterSignatureHash(charter Hash) Hash {
	return tagged("coffer/charter-signature/v1", charter[:])
}

func (c *Charter) valid() error {
	checks := []error{
		unique("institutions", c.Institutions, func(i Institution) Name { return i.ID }),
		each("persons", c.Persons),
		unique("persons", c.Persons, func(p Person) ID[Person] { return p.ID }),
		each("groups", c.Groups),
		unique("groups", c.Groups, func(g Group) Name { return g.ID }),
		each("credentials", c.Credentials),
		unique("credentials", c.Credentials, func(k Credential) ID[Credential] { return k.ID }),
		each("nodes", c.Nodes),
		unique("nodes", c.Nodes, func(n SignerNode) Name { return n.ID }),
		within("witnesses", each("others", c.Witnesses.Others)),
		within("witnesses", c.Witnesses.CheckInequality(len(c.Nodes)+len(c.Witnesses.Others))),
		each("attestors", c.Attestors),
		unique("attestors", c.Attestors, func(a Attestor) Name { return a.ID }),
		within("recovery", c.Recovery.valid()),
		within("relyingParty", c.RelyingParty.valid()),
		each("issuers", c.Issuers),
		unique("issuers", c.Issuers, func(i Issuer) Name { return i.ID }),
		object("policy", c.Policy),
		within("control", c.Control.valid()),
		c.references(),
	}
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	if c.IntentLife < Minute || c.IntentLife > MaxIntentLife {
		return invalid("intentLife", "between one minute and 30 days")
	}
	return nil
}

// ed25519Prefix is what PKIX puts before the 32 bytes of an Ed25519 key (RFC 8410).
const ed25519Prefix = "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"

// references checks that every name used is defined, and that no key or account
// stands for two.
func (c *Charter) references() error {
	institutions := make(map[Name]bool)
	for _, i := range c.Institutions {
		institutions[i.ID] = true
	}
	persons := make(map[ID[Person]]bool)
	for i, p := range c.Persons {
		persons[p.ID] = true
		if !institutions[p.Institution] {
			return invalid(fmt.Sprintf("persons.%d.institution", i), "not an institution of the charter")
		}
	}
	for i, g := range c.Groups {
		for j, m := range g.Members {
			if !persons[m] {
				return invalid(fmt.Sprintf("groups.%d.members.%d", i, j), "not a person of the charter")
			}
		}
	}
	issuers := make(map[Name]bool)
	for _, i := range c.Issuers {
		issuers[i.ID] = true
	}
	type account struct {
		issuer  Name
		subject Hash
	}
	accounts := make(map[account]bool) // none identifies two people
	keys := make(map[string]bool)      // of people, nodes, witnesses, attestors, recovery and control: none serves twice
	used := func(field string, key Blob) error {
		bare := strings.TrimPrefix(string(key), ed25519Prefix)
		if keys[bare] {
			return invalid(field, "this key is used elsewhere in the charter")
		}
		keys[bare] = true
		return nil
	}
	for i, k := range c.Credentials {
		at := fmt.Sprintf("credentials.%d", i)
		if !persons[k.Person] {
			return invalid(at+".person", "not a person of the charter")
		}
		if k.Kind != OIDC {
			if err := used(at+".publicKey", k.PublicKey); err != nil {
				return err
			}
			continue
		}
		if !issuers[k.Issuer] {
			return invalid(at+".issuer", "not an issuer of the charter")
		}
		if accounts[account{k.Issuer, k.Subject}] {
			return invalid(at+".subject", "this account is used elsewhere in the charter")
		}
		accounts[account{k.Issuer, k.Subject}] = true
	}
	witnesses := make(map[Name]bool)
	for i, n := range c.Nodes {
		at := fmt.Sprintf("nodes.%d", i)
		if !institutions[n.Institution] {
			return invalid(at+".institution", "not an institution of the charter")
		}
		witnesses[n.ID] = true
		if err := used(at+".identityKey", n.IdentityKey); err != nil {
			return err
		}
		if err := used(at+".witnessKey", n.WitnessKey); err != nil {
			return err
		}
	}
	for i, w := range c.Witnesses.Others {
		at := fmt.Sprintf("witnesses.others.%d", i)
		if !institutions[w.Institution] {
			return invalid(at+".institution", "not an institution of the charter")
		}
		if witnesses[w.ID] {
			return invalid(at+".id", "given twice")
		}
		witnesses[w.ID] = true
		if err := used(at+".key", w.Key); err != nil {
			return err
		}
	}
	if err := used("control.logKey", c.Control.LogKey); err != nil {
		return err
	}
	if err := used("control.coordinatorKey", c.Control.CoordinatorKey); err != nil {
		return err
	}
	for i, a := range c.Attestors {
		if err := used(fmt.Sprintf("attestors.%d.key", i), a.Key); err != nil {
			return err
		}
	}
	for i, k := range c.Recovery.Keys {
		at := fmt.Sprintf("recovery.keys.%d", i)
		if persons[k.ID] {
			return invalid(at+".id", "also the id of a person")
		}
		if err := used(at+".key", k.Key); err != nil {
			return err
		}
	}
	return nil
}
