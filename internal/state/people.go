package state

import (
	"maps"
	"slices"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// people is who could sign, for asking what a policy would let them do.
type people struct {
	persons    map[custody.ID[custody.Person]]*custody.Person
	groups     map[custody.Name]*custody.Group
	signs      map[custody.ID[custody.Person]]bool // has a passkey or device key
	identified map[custody.ID[custody.Person]]bool // is known to an identity provider
}

func (s *State) people() *people {
	p := &people{persons: maps.Clone(s.Persons), groups: maps.Clone(s.Groups)}
	p.without(s.Credentials, custody.ID[custody.Credential]{})
	return p
}

// without sets who signs by all credentials but one.
func (p *people) without(all map[custody.ID[custody.Credential]]*credential, except custody.ID[custody.Credential]) {
	p.signs = make(map[custody.ID[custody.Person]]bool)
	p.identified = make(map[custody.ID[custody.Person]]bool)
	for _, c := range all {
		switch {
		case c.Removed || c.ID == except:
		case c.Kind == custody.OIDC:
			p.identified[c.Person] = true
		default:
			p.signs[c.Person] = true
		}
	}
}

func (p *people) remove(id custody.ID[custody.Person]) {
	delete(p.persons, id)
	delete(p.signs, id)
	for name, g := range p.groups {
		if at := slices.Index(g.Members, id); at >= 0 {
			p.groups[name] = &custody.Group{ID: name, Members: slices.Delete(slices.Clone(g.Members), at, at+1)}
		}
	}
}

// guarded are the types of intent that change who may do what. If nobody can
// carry one out, the deployment is stuck; if one person alone can, that person
// can make themselves everybody.
var guarded = []custody.IntentType{
	custody.PolicyChangeIntent, custody.PersonChangeIntent, custody.GroupChangeIntent, custody.CredentialChangeIntent,
	custody.SignerSetChangeIntent, custody.WitnessChangeIntent, custody.ProviderChangeIntent, custody.IssuerChangeIntent,
	custody.ListChangeIntent, custody.KeyCeremonyIntent, custody.HoldReleaseIntent, custody.UpgradeIntent,
}

// canGovern refuses a policy under which an intent of some guarded type could be
// carried out by one person alone, or by nobody. Delays don't help: they only
// take time.
func (p *people) canGovern(compiled *policy.Policy) error {
	for _, t := range guarded {
		possible := false
		for _, initiator := range slices.SortedFunc(maps.Keys(p.persons), custody.ID[custody.Person].Compare) {
			// Who has no key now may have one later.
			if p.could(compiled, t, initiator, []custody.ID[custody.Person]{initiator}) {
				return &custody.Error{Code: custody.Invalid, Field: "policy", Message: "person " + initiator.String() + " alone could carry out " + string(t)}
			}
			possible = possible || p.signs[initiator] && p.could(compiled, t, initiator, slices.SortedFunc(maps.Keys(p.signs), custody.ID[custody.Person].Compare))
		}
		if !possible {
			return &custody.Error{Code: custody.Invalid, Field: "policy", Message: "nobody could carry out " + string(t) + ": its rules ask for people who aren't there"}
		}
	}
	return nil
}

// could reports whether an intent that governs would be allowed at some time of
// the week, after every delay, if the approvers all said yes.
func (p *people) could(compiled *policy.Policy, t custody.IntentType, initiator custody.ID[custody.Person], approvers []custody.ID[custody.Person]) bool {
	const start = custody.Time(4 * 24 * 3600 * 1000) // Monday, 5 January 1970
	e := policy.Evidence{Now: start.Add(custody.MaxIntentLife), Submission: p.word(compiled, initiator, start)}
	for _, id := range approvers {
		e.Approvals = append(e.Approvals, p.word(compiled, id, start))
	}
	facts := policy.Facts{policy.IntentType: policy.TextOf(t)}
	if who := p.persons[initiator]; who != nil {
		facts["initiator.id"] = policy.TextOf(who.ID.String())
		facts["initiator.kind"] = policy.TextOf(who.Kind)
		facts["initiator.groups"] = policy.SetOf(p.groupsOf(who.ID)...)
		facts["initiator.roles"] = policy.SetOf(who.Roles...)
		facts["initiator.country"] = policy.TextOf(who.Country)
	}
	switch d := compiled.Evaluate(facts, e); d.Outcome {
	case policy.Allowed:
		return true
	case policy.Refused, policy.Blocked:
		return false
	default:
		asked := compiled.Facts(t)
		if !slices.Contains(asked, policy.Weekday) && !slices.Contains(asked, policy.Minute) {
			return false
		}
	}
	// It may depend on the time: any time of the week will do.
	for weekday := range uint64(7) {
		for _, minute := range moments(compiled) {
			facts[policy.Weekday] = policy.NumberOf(custody.NewAmount(weekday + 1))
			facts[policy.Minute] = policy.NumberOf(minute)
			if compiled.Evaluate(facts, e).Outcome == policy.Allowed {
				return true
			}
		}
	}
	return false
}

// moments are minutes of the day of which one lies between any two that the
// policy's conditions tell apart.
func moments(compiled *policy.Policy) []custody.Amount {
	out := []custody.Amount{{}}
	var walk func(c *policy.Condition)
	walk = func(c *policy.Condition) {
		for i := range c.Terms {
			walk(&c.Terms[i])
		}
		if c.Fact == policy.Minute {
			for _, n := range c.Numbers {
				next, _ := n.Add(custody.NewAmount(1))
				out = append(out, n, next)
			}
		}
	}
	for i := range compiled.Rules {
		walk(&compiled.Rules[i].When)
	}
	slices.SortFunc(out, custody.Amount.Cmp)
	return slices.Compact(out)
}

func (p *people) word(compiled *policy.Policy, id custody.ID[custody.Person], at custody.Time) policy.Approval {
	a := policy.Approval{Person: id, Groups: p.groupsOf(id), Witnessed: at}
	if p.identified[id] {
		a.Identities = acrs(compiled)
	}
	return a
}

// acrs are the authentication context classes that the policy asks for: what an
// identity provider could show of a person.
func acrs(compiled *policy.Policy) []string {
	out := []string{""}
	for i := range compiled.Rules {
		if d := compiled.Rules[i].Demands(); d != nil {
			for _, people := range d.Approvals {
				out = append(out, people.ACR)
			}
		}
	}
	return out
}

func (p *people) groupsOf(id custody.ID[custody.Person]) []custody.Name {
	var names []custody.Name
	for name, g := range p.groups {
		if slices.Contains(g.Members, id) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
