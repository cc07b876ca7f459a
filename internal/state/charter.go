package state

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/internal/authz"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/policy"
)

// begin takes the charter as the first entry.
func (s *State) begin(e *custody.Entry, leaf custody.Hash) error {
	record, ok := e.Body.(*custody.CharterRecord)
	if !ok {
		return fmt.Errorf("the first entry is of type %s", e.Type)
	}
	if e.Index != 0 {
		return fmt.Errorf("the first entry says index %d", e.Index)
	}
	charter, err := custody.ParseCharter(record.Charter)
	if err != nil {
		return err
	}
	hash := charter.Hash()
	if hash != s.charterHash {
		return fmt.Errorf("its hash is %s, not the pinned %s", hash, s.charterHash)
	}
	if err := CheckCharter(charter); err != nil {
		return err
	}
	if !s.trusting {
		if err := CheckSignatures(charter, record.Administrators, record.Nodes, e.Time); err != nil {
			return err
		}
	}
	compiled, err := policy.Parse(charter.Policy)
	if err != nil {
		return err
	}
	s.charter, s.policy = charter, compiled
	s.Rules, s.Time, s.Chain = 1, e.Time, leaf
	s.RelyingParty, s.Policy = charter.RelyingParty, charter.Policy
	put(s.Institutions, charter.Institutions, func(i *custody.Institution) custody.Name { return i.ID })
	put(s.Persons, charter.Persons, func(p *custody.Person) custody.ID[custody.Person] { return p.ID })
	put(s.Groups, charter.Groups, func(g *custody.Group) custody.Name { return g.ID })
	put(s.Nodes, charter.Nodes, func(n *custody.SignerNode) custody.Name { return n.ID })
	put(s.Attestors, charter.Attestors, func(a *custody.Attestor) custody.Name { return a.ID })
	put(s.Issuers, charter.Issuers, func(i *custody.Issuer) custody.Name { return i.ID })
	for _, c := range charter.Credentials {
		s.Credentials[c.ID] = &credential{Credential: c}
	}
	s.Quorums = []quorum{{0, charter.Witnesses, charter.Nodes, charter.Control}}
	return nil
}

func put[K comparable, V any](m map[K]*V, list []V, key func(*V) K) {
	for i := range list {
		v := list[i]
		m[key(&v)] = &v
	}
}

// CheckCharter refuses a charter whose keys can't be used, whose policy isn't one,
// under which one person alone could change people or policy, or under which
// nobody could. Form and references [custody.ParseCharter] has checked.
func CheckCharter(c *custody.Charter) error {
	for i := range c.Credentials {
		if err := authz.CheckCredential(&c.Credentials[i]); err != nil {
			return below(fmt.Sprintf("credentials.%d.", i), err)
		}
	}
	for i := range c.Issuers {
		if err := authz.CheckIssuer(&c.Issuers[i]); err != nil {
			return below(fmt.Sprintf("issuers.%d.", i), err)
		}
	}
	for i, n := range c.Nodes {
		if _, err := hybrid.ParsePublicKey(n.IdentityKey); err != nil {
			return fmt.Errorf("nodes.%d.identityKey: %w", i, err)
		}
	}
	for i, a := range c.Attestors {
		if err := authz.CheckEd25519(a.Key); err != nil {
			return below(fmt.Sprintf("attestors.%d.", i), err)
		}
	}
	for i, k := range c.Recovery.Keys {
		if err := authz.CheckEd25519(k.Key); err != nil {
			return below(fmt.Sprintf("recovery.keys.%d.", i), err)
		}
	}
	if _, err := hybrid.ParsePublicKey(c.Control.CoordinatorKey); err != nil {
		return fmt.Errorf("control.coordinatorKey: %w", err)
	}
	first := quorum{0, c.Witnesses, c.Nodes, c.Control}
	if _, err := first.compile(c.Hash()); err != nil {
		return err
	}
	compiled, err := policy.Parse(c.Policy)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	administrators := slices.IndexFunc(c.Groups, func(g custody.Group) bool { return g.ID == custody.Administrators })
	if administrators < 0 || len(c.Groups[administrators].Members) == 0 {
		return &custody.Error{Code: custody.Invalid, Field: "groups", Message: "no group administrators with members"}
	}
	for i, id := range c.Groups[administrators].Members {
		if !slices.ContainsFunc(c.Credentials, func(k custody.Credential) bool { return k.Person == id && k.Kind != custody.OIDC }) {
			return &custody.Error{
				Code: custody.Invalid, Field: fmt.Sprintf("groups.%d.members.%d", administrators, i),
				Message: "an administrator without a passkey or device key",
			}
		}
	}
	who := people{
		persons: make(map[custody.ID[custody.Person]]*custody.Person),
		groups:  make(map[custody.Name]*custody.Group),
	}
	put(who.persons, c.Persons, func(p *custody.Person) custody.ID[custody.Person] { return p.ID })
	put(who.groups, c.Groups, func(g *custody.Group) custody.Name { return g.ID })
	who.signs = make(map[custody.ID[custody.Person]]bool)
	who.identified = make(map[custody.ID[custody.Person]]bool)
	for _, k := range c.Credentials {
		if k.Kind == custody.OIDC {
			who.identified[k.Person] = true
		} else {
			who.signs[k.Person] = true
		}
	}
	return who.canGovern(compiled)
}

// CheckSignatures refuses the signatures of a charter unless every administrator
// and every node signed it, and nobody else.
func CheckSignatures(c *custody.Charter, administrators []custody.Evidence, nodes []custody.NodeSignature, now custody.Time) error {
	hash := custody.CharterSignatureHash(c.Hash())
	realm := authz.Realm{RelyingParty: &c.RelyingParty, Issuer: func(custody.Name) *custody.Issuer { return nil }}
	signed := make(map[custody.ID[custody.Person]]bool)
	for i := range administrators {
		e := &administrators[i]
		at := slices.IndexFunc(c.Credentials, func(k custody.Credential) bool { return k.ID == e.Credential })
		if at < 0 {
			return fmt.Errorf("administrators.%d: not by a credential of the charter", i)
		}
		if _, err := realm.Verify(&c.Credentials[at], e, hash, now); err != nil {
			return fmt.Errorf("administrators.%d: %w", i, err)
		}
		if signed[c.Credentials[at].Person] {
			return fmt.Errorf("administrators.%d: %s signed twice", i, c.Credentials[at].Person)
		}
		signed[c.Credentials[at].Person] = true
	}
	members := 0
	for _, g := range c.Groups {
		if g.ID != custody.Administrators {
			continue
		}
		members = len(g.Members)
		for _, id := range g.Members {
			if !signed[id] {
				return fmt.Errorf("administrators: %s has not signed", id)
			}
		}
	}
	if members != len(signed) {
		return errors.New("administrators: signed by somebody who is none")
	}
	return checkNodes(hash, nodes, c.Nodes, func(n *custody.SignerNode, hash custody.Hash, signature []byte) error {
		k, err := hybrid.ParsePublicKey(n.IdentityKey)
		if err != nil {
			return err
		}
		return authz.VerifyNode(k, hash, signature)
	})
}

// checkNodes refuses signatures over hash unless all nodes made one, and nobody
// else.
func checkNodes(hash custody.Hash, signatures []custody.NodeSignature, nodes []custody.SignerNode, verify func(*custody.SignerNode, custody.Hash, []byte) error) error {
	for i, sig := range signatures {
		at := slices.IndexFunc(nodes, func(n custody.SignerNode) bool { return n.ID == sig.Node })
		if at < 0 {
			return fmt.Errorf("nodes.%d: %s is not one of the nodes", i, sig.Node)
		}
		if err := verify(&nodes[at], hash, sig.Signature); err != nil {
			return fmt.Errorf("nodes.%d: %s: %w", i, sig.Node, err)
		}
	}
	for _, n := range nodes {
		if !slices.ContainsFunc(signatures, func(sig custody.NodeSignature) bool { return sig.Node == n.ID }) {
			return fmt.Errorf("nodes: %s has not signed", n.ID)
		}
	}
	return nil
}

// below puts the field that an error names below another one.
func below(parent string, err error) error {
	if e, ok := errors.AsType[*custody.Error](err); ok {
		moved := *e
		moved.Field = parent + e.Field
		return &moved
	}
	return fmt.Errorf("%s%w", parent, err)
}
