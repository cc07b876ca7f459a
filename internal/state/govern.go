package state

import (
	"slices"

	"github.com/cofferhq/coffer/internal/authz"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// possible refuses an intent that could have no effect as things stand: it names
// what isn't there, or would leave what can't be.
func (s *State) possible(r *record) error {
	if !r.Intent.Type.Governs() {
		return s.transferable(r)
	}
	_, err := s.effect(r, false)
	return err
}

// effect returns what an intent that governs changes, without changing it: at the
// AUTHORIZED entry, but for a ceremony, which takes effect by its KEY entry. Whether
// people could still govern afterwards takes long to find out, so it is asked only
// once the intent is otherwise authorized.
func (s *State) effect(r *record, authorized bool) (func(at position), error) {
	canGovern := func(who *people, p *policy.Policy) error {
		if !authorized {
			return nil
		}
		if err := who.canGovern(p); err != nil {
			return because(Impossible, err)
		}
		return nil
	}
	switch body := r.Intent.Body.(type) {
	case *custody.KeyCeremony:
		return func(position) {}, s.ceremonyPossible(body)
	case *custody.SignerSetChange:
		return s.changeSigners(body)
	case *custody.WitnessChange:
		return s.changeWitnesses(body)
	case *custody.VaultCreate:
		return s.createVault(&body.Vault)
	case *custody.WalletCreate:
		return s.createWallet(&body.Wallet)
	case *custody.DestinationChange:
		return s.changeDestination(body)
	case *custody.PersonChange:
		return s.changePerson(body, s.recoveryKey(r.Intent.Initiator) != nil, canGovern)
	case *custody.GroupChange:
		return s.changeGroup(&body.Group, canGovern)
	case *custody.CredentialChange:
		return s.changeCredential(body, s.recoveryKey(r.Intent.Initiator) != nil, canGovern)
	case *custody.PolicyChange:
		return s.changePolicy(body, canGovern)
	case *custody.ListChange:
		if body.Action == custody.Remove && s.Lists[body.List] == (custody.Hash{}) {
			return nil, refuse(Impossible, "list %s is not on record", body.List)
		}
		return func(position) {
			delete(s.Lists, body.List)
			delete(s.lists, body.List)
			if body.Action == custody.Put {
				s.Lists[body.List] = body.SHA256
			}
		}, nil
	case *custody.ProviderChange:
		if err := authz.CheckEd25519(body.Attestor.Key); err != nil {
			return nil, because(Impossible, err)
		}
		for id, other := range s.Attestors {
			if same := string(other.Key) == string(body.Attestor.Key); body.Action == custody.Put && same != (id == body.Attestor.ID) {
				return nil, refuse(Impossible, "attestor %s: an attestor keeps its key, and shares it with none", id)
			}
		}
		return change(s.Attestors, body.Action, body.Attestor.ID, &body.Attestor)
	case *custody.IssuerChange:
		return s.changeIssuer(body, canGovern)
	case *custody.Freeze:
		if slices.Contains(s.Frozen, body.Target) {
			return nil, refuse(Impossible, "frozen already")
		}
		if len(s.Frozen) == maxFrozen {
			return nil, refuse(OverLimit, "more than %d freezes: freeze ALL", maxFrozen)
		}
		return func(position) { s.Frozen = append(s.Frozen, body.Target) }, nil
	case *custody.HoldRelease:
		at := slices.Index(s.Frozen, body.Target)
		if at < 0 {
			return nil, refuse(Impossible, "not frozen")
		}
		return func(position) { s.Frozen = slices.Delete(s.Frozen, at, at+1) }, nil
	case *custody.Upgrade:
		if body.Rules != s.Rules+1 {
			return nil, refuse(Impossible, "rules are %d: only %d can follow", s.Rules, s.Rules+1)
		}
		return func(position) { s.Rules = body.Rules }, nil
	default:
		return nil, refuse(Impossible, "no such change")
	}
}

const maxFrozen = 10_000

// change puts a value into one of the state's tables, or takes it out.
func change[K comparable, V any](m map[K]*V, action custody.Action, key K, value *V) (func(position), error) {
	if action == custody.Put {
		return func(position) { m[key] = value }, nil
	}
	if m[key] == nil {
		return nil, refuse(Impossible, "%v is not on record", key)
	}
	return func(position) { delete(m, key) }, nil
}

func (s *State) changeIssuer(i *custody.IssuerChange, canGovern asks) (func(position), error) {
	if err := authz.CheckIssuer(&i.Issuer); err != nil {
		return nil, because(Impossible, err)
	}
	if i.Action == custody.Remove {
		who := s.people()
		for _, c := range s.Credentials {
			if c.Kind == custody.OIDC && c.Issuer == i.Issuer.ID {
				delete(who.identified, c.Person)
			}
		}
		if err := canGovern(who, s.policy); err != nil {
			return nil, err
		}
	}
	return change(s.Issuers, i.Action, i.Issuer.ID, &i.Issuer)
}

func (s *State) createVault(v *custody.Vault) (func(position), error) {
	if s.Vaults[v.ID] != nil {
		return nil, refuse(Impossible, "vault %s is on record", v.ID)
	}
	if s.Institutions[v.Institution] == nil {
		return nil, refuse(Impossible, "institution %s is not on record", v.Institution)
	}
	return func(position) { s.Vaults[v.ID] = v }, nil
}

func (s *State) createWallet(w *custody.Wallet) (func(position), error) {
	switch {
	case s.Wallets[w.ID] != nil:
		return nil, refuse(Impossible, "wallet %s is on record", w.ID)
	case s.Vaults[w.Vault] == nil:
		return nil, refuse(Impossible, "vault %s is not on record", w.Vault)
	case s.Keys[w.Key] == nil:
		return nil, refuse(Impossible, "key %s is not on record", w.Key)
	}
	if scheme := s.Keys[w.Key].Scheme; !signsFor(scheme, w.Network) {
		return nil, refuse(Impossible, "a key of scheme %s can't sign for %s", scheme, w.Network)
	}
	for _, other := range s.Wallets {
		if other.Key == w.Key && other.Network == w.Network && other.Path == w.Path {
			return nil, refuse(Impossible, "wallet %s has this key, network and path", other.ID)
		}
	}
	return func(position) { s.Wallets[w.ID] = &wallet{Wallet: *w, Next: w.Nonce} }, nil
}

func (s *State) changeDestination(d *custody.DestinationChange) (func(position), error) {
	id := d.Destination.ID
	if d.Action == custody.Remove {
		return change(s.Destinations, d.Action, id, nil)
	}
	if err := spelled(d.Destination.Network, d.Destination.Address); err != nil {
		return nil, err
	}
	used := false
	if old := s.Destinations[id]; old != nil && old.Network == d.Destination.Network && old.Address == d.Destination.Address {
		used = old.Used
	}
	return change(s.Destinations, d.Action, id, &destination{Destination: d.Destination, Used: used})
}

// asks is canGovern, or nothing where it is too early to ask.
type asks func(*people, *policy.Policy) error

func (s *State) changePerson(p *custody.PersonChange, recovery bool, canGovern asks) (func(position), error) {
	who := s.people()
	id := p.Person.ID
	if p.Action == custody.Put {
		if s.Institutions[p.Person.Institution] == nil {
			return nil, refuse(Impossible, "institution %s is not on record", p.Person.Institution)
		}
		if s.recoveryKey(id) != nil {
			return nil, refuse(Impossible, "the id of a recovery key")
		}
		who.persons[id] = &p.Person // its roles and country may be what a rule asks for
		if err := canGovern(who, s.policy); err != nil {
			return nil, err
		}
		return func(position) {
			s.Persons[id] = &p.Person
			if g := s.Groups[custody.Administrators]; recovery && !slices.Contains(g.Members, id) {
				s.setMembers(custody.Administrators, append(slices.Clone(g.Members), id))
			}
		}, nil
	}
	if s.Persons[id] == nil {
		return nil, refuse(Impossible, "person %s is not on record", id)
	}
	who.remove(id)
	if err := canGovern(who, s.policy); err != nil {
		return nil, err
	}
	return func(position) {
		delete(s.Persons, id)
		for _, c := range s.Credentials {
			if c.Person == id {
				c.Removed = true
			}
		}
		for name, g := range s.Groups {
			if at := slices.Index(g.Members, id); at >= 0 {
				s.setMembers(name, slices.Delete(slices.Clone(g.Members), at, at+1))
			}
		}
	}, nil
}

func (s *State) setMembers(group custody.Name, members []custody.ID[custody.Person]) {
	s.Groups[group] = &custody.Group{ID: group, Members: members}
}

func (s *State) changeGroup(g *custody.Group, canGovern asks) (func(position), error) {
	for _, m := range g.Members {
		if s.Persons[m] == nil {
			return nil, refuse(Impossible, "person %s is not on record", m)
		}
	}
	who := s.people()
	who.groups[g.ID] = g
	if err := canGovern(who, s.policy); err != nil {
		return nil, err
	}
	return func(position) { s.Groups[g.ID] = g }, nil
}

func (s *State) changeCredential(c *custody.CredentialChange, recovery bool, canGovern asks) (func(position), error) {
	if c.RelyingParty != nil {
		return func(position) { s.RelyingParty = *c.RelyingParty }, nil
	}
	k := c.Credential
	old := s.Credentials[k.ID]
	if c.Action == custody.Put {
		switch {
		case old != nil:
			return nil, refuse(Impossible, "credential %s is or was on record", k.ID)
		case s.Persons[k.Person] == nil:
			return nil, refuse(Impossible, "person %s is not on record", k.Person)
		case k.Kind == custody.OIDC && s.Issuers[k.Issuer] == nil:
			return nil, refuse(Impossible, "issuer %s is not on record", k.Issuer)
		}
		if err := authz.CheckCredential(k); err != nil {
			return nil, because(Impossible, err)
		}
		for _, other := range s.Credentials {
			if !k.PublicKey.IsZero() && string(other.PublicKey) == string(k.PublicKey) {
				return nil, refuse(Impossible, "credential %s has or had this key", other.ID)
			}
			if k.Kind == custody.OIDC && !other.Removed && other.Issuer == k.Issuer && other.Subject == k.Subject {
				return nil, refuse(Impossible, "credential %s is this account", other.ID)
			}
		}
		who := s.people()
		if k.Kind == custody.OIDC {
			who.identified[k.Person] = true
		} else {
			who.signs[k.Person] = true
		}
		if err := canGovern(who, s.policy); err != nil {
			return nil, err
		}
		return func(position) { s.Credentials[k.ID] = &credential{Credential: *k, Recovered: recovery} }, nil
	}
	if old == nil || old.Removed || old.Person != k.Person {
		return nil, refuse(Impossible, "credential %s of that person is not on record", k.ID)
	}
	who := s.people()
	who.without(s.Credentials, k.ID)
	if err := canGovern(who, s.policy); err != nil {
		return nil, err
	}
	return func(position) { old.Removed = true }, nil
}

func (s *State) changePolicy(p *custody.PolicyChange, canGovern asks) (func(position), error) {
	next, err := policy.Parse(p.Policy)
	if err != nil {
		return nil, because(Impossible, err)
	}
	if next.Currency != s.policy.Currency {
		return nil, refuse(Impossible, "what was spent is counted in %s", s.policy.Currency)
	}
	if next.Version <= s.policy.Version {
		return nil, refuse(Impossible, "version %d is in force: the next one is higher", s.policy.Version)
	}
	if err := canGovern(s.people(), next); err != nil {
		return nil, err
	}
	return func(position) { s.policy, s.Policy = next, p.Policy }, nil
}

func (s *State) changeSigners(c *custody.SignerSetChange) (func(position), error) {
	nodes := slices.Clone(s.current().Nodes)
	for _, name := range c.Remove {
		at := slices.IndexFunc(nodes, func(n custody.SignerNode) bool { return n.ID == name })
		if at < 0 {
			return nil, refuse(Impossible, "node %s is not on record", name)
		}
		for _, k := range s.Keys {
			if slices.ContainsFunc(k.Set.Members, func(m custody.Member) bool { return m.Node == name }) {
				return nil, refuse(Impossible, "node %s holds a share of key %s: reshare it first", name, k.ID)
			}
		}
		nodes = slices.Delete(nodes, at, at+1)
	}
	for i, n := range c.Add {
		if s.Institutions[n.Institution] == nil {
			return nil, refuse(Impossible, "institution %s is not on record", n.Institution)
		}
		if slices.ContainsFunc(nodes, func(o custody.SignerNode) bool { return o.ID == n.ID }) {
			return nil, refuse(Impossible, "node %s is on record", n.ID)
		}
		if err := authz.CheckNode(&c.Add[i]); err != nil {
			return nil, because(Impossible, err)
		}
		nodes = append(nodes, n)
	}
	return s.witnessBy(quorum{Witnesses: c.Quorum, Nodes: nodes, Control: s.current().Control})
}

func (s *State) changeWitnesses(w *custody.WitnessChange) (func(position), error) {
	next := quorum{Witnesses: w.Witnesses, Nodes: s.current().Nodes, Control: s.current().Control}
	if w.Control != nil {
		next.Control = *w.Control
	}
	return s.witnessBy(next)
}

// witnessBy makes a quorum the one for heads beyond the entry that does it.
func (s *State) witnessBy(next quorum) (func(position), error) {
	for _, o := range next.Witnesses.Others {
		if s.Institutions[o.Institution] == nil {
			return nil, refuse(Impossible, "institution %s is not on record", o.Institution)
		}
	}
	if err := next.Witnesses.CheckInequality(len(next.Nodes) + len(next.Witnesses.Others)); err != nil {
		return nil, because(Impossible, err)
	}
	if _, err := next.compile(s.charterHash); err != nil {
		return nil, because(Impossible, err)
	}
	if !next.distinctKeys() {
		return nil, refuse(Impossible, "a key serves twice among nodes, witnesses and the control plane")
	}
	return func(at position) {
		next.From = at.index + 1
		s.Quorums = append(s.Quorums, next)
		clear(s.Nodes)
		clear(s.ids)
		put(s.Nodes, next.Nodes, func(n *custody.SignerNode) custody.Name { return n.ID })
	}, nil
}

// recoveryKey returns the recovery key with an id, or nil.
func (s *State) recoveryKey(id custody.ID[custody.Person]) *custody.RecoveryKey {
	keys := s.charter.Recovery.Keys
	for i := range keys {
		if keys[i].ID == id {
			return &keys[i]
		}
	}
	return nil
}

// recovers refuses an intent by a recovery key that is more than giving
// administrators what they sign with.
func (s *State) recovers(in *custody.Intent) error {
	administrator := func(id custody.ID[custody.Person]) bool {
		g := s.Groups[custody.Administrators]
		return g != nil && slices.Contains(g.Members, id)
	}
	switch body := in.Body.(type) {
	case *custody.PersonChange:
		if body.Action == custody.Remove && !administrator(body.Person.ID) {
			return refuse(NotAllowed, "a recovery key changes administrators alone")
		}
		if body.Action == custody.Put && s.Persons[body.Person.ID] != nil {
			return refuse(NotAllowed, "a recovery key changes nobody who is on record")
		}
		if len(body.Person.Roles) > 0 {
			return refuse(NotAllowed, "a recovery key gives nobody a role")
		}
	case *custody.CredentialChange:
		if body.Credential != nil && !administrator(body.Credential.Person) {
			return refuse(NotAllowed, "a recovery key changes credentials of administrators alone")
		}
	default:
		return refuse(NotAllowed, "a recovery key changes administrators and their credentials alone")
	}
	return nil
}

// lacksList returns the error of a pinned list whose bytes this program wasn't
// given.
func (s *State) lacksList() error {
	if len(s.lists) == len(s.Lists) {
		return nil
	}
	for _, name := range sortedKeys(s.Lists) {
		if s.lists[name] != nil {
			continue
		}
		list := s.offered[s.Lists[name]]
		if list == nil || list.Name != name {
			return &StopError{List: name, Hash: s.Lists[name]}
		}
		addresses := make(map[custody.Address]bool, len(list.Addresses))
		for _, a := range list.Addresses {
			addresses[a] = true
		}
		if s.lists == nil {
			s.lists = make(map[custody.Name]map[custody.Address]bool)
		}
		s.lists[name] = addresses
	}
	return nil
}
