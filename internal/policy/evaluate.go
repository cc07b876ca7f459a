package policy

import (
	"cmp"
	"slices"

	"github.com/cofferhq/coffer/internal/custody"
)

// Evaluate decides on an intent. It has no error: a policy that Parse didn't make,
// facts without a type, a fact that is unknown or of the wrong kind all lead to
// refusal or to a stricter Decision. An unknown fact counts as false in an allow
// and as true in a block or require, so learning a fact never makes a Decision
// stricter.
func (p *Policy) Evaluate(facts Facts, evidence Evidence) Decision {
	var d Decision
	d.Facts = Facts{}
	if p == nil || p.byType == nil {
		return d
	}
	d.Policy, d.Version = p.hash, p.Version
	v := p.byType[facts.Type()]
	if v == nil {
		return d
	}
	d.Facts[IntentType] = facts[IntentType]
	for _, f := range v.facts {
		if known := facts.valid(f); known.kind != Unknown {
			d.Facts[f] = known
		} else {
			d.Unknown = append(d.Unknown, f)
		}
	}
	matching := p.match(v, d.Facts)
	d.Trail = matching.trail
	switch {
	case matching.blocks:
		d.Outcome = Blocked
	case len(matching.allows) == 0 && !matching.mayAllow:
		d.Outcome = Refused
	case matching.mayBlock || len(matching.allows) == 0:
		d.Outcome = Held
	default:
		d.decide(v, matching, &evidence)
	}
	return d
}

// valid returns the value of a fact, unknown if it isn't one that the fact can have.
func (f Facts) valid(name Fact) Value {
	v, ok := f[name]
	if !ok {
		return Value{}
	}
	if d, _ := name.Definition(); v.kind != d.Kind || d.checkValue(v) != nil {
		return Value{}
	}
	return v
}

// matching is what the conditions of the rules come to.
type matching struct {
	trail            []Match
	allows           []*Rule
	required         Demands
	blocks, mayBlock bool
	mayAllow         bool
}

func (p *Policy) match(v *view, facts Facts) matching {
	var m matching
	for _, r := range v.rules {
		t := r.When.Eval(facts, p.Lists)
		if t == No {
			continue
		}
		certain := t == Yes
		switch r.Effect() {
		case Blocks:
			m.blocks = m.blocks || certain
			m.mayBlock = m.mayBlock || !certain
		case Requires:
			m.required = stack(m.required, *r.Require)
		case Allows:
			if certain {
				m.allows = append(m.allows, r)
			} else {
				m.mayAllow = true
			}
		}
		m.trail = append(m.trail, Match{
			Rule: r.Name, Effect: r.Effect(), Certain: certain, Reason: r.Block, Demands: r.Demands(),
			Facts: r.facts, Unknown: facts.unknown(r.facts),
		})
	}
	slices.SortFunc(m.trail, func(a, b Match) int { return cmp.Compare(a.Rule, b.Rule) })
	return m
}

func (f Facts) unknown(names []Fact) []Fact {
	var out []Fact
	for _, name := range names {
		if _, known := f[name]; !known {
			out = append(out, name)
		}
	}
	return out
}

// decide sees how far each open way is.
func (d *Decision) decide(v *view, m matching, e *Evidence) {
	withdrawn := e.rejected(e.Submission.Person)
	for _, r := range e.Rejections {
		mayReject := r.Person == e.Submission.Person ||
			slices.ContainsFunc(r.Groups, func(g custody.Name) bool { return v.groups[g] })
		if mayReject && !slices.Contains(d.Rejected, r.Person) {
			d.Rejected = append(d.Rejected, r.Person)
		}
	}
	slices.SortFunc(d.Rejected, custody.ID[custody.Person].Compare)
	d.Outcome = Rejected
	for _, r := range m.allows {
		demands := stack(m.required, *r.Allow)
		if len(r.Allow.Approvals) == 0 {
			demands.Rejections = 0 // a toll doesn't make a way harder to reject
		}
		if withdrawn || len(d.Rejected) >= max(1, demands.Rejections) {
			continue
		}
		way := Way{Rule: r.Name, Demands: demands, Missing: demands.missing(d.Facts, e)}
		d.Ways = append(d.Ways, way)
		if way.Met() {
			d.Outcome = Allowed
		} else if d.Outcome != Allowed {
			d.Outcome = Pending
		}
	}
	slices.SortFunc(d.Ways, func(a, b Way) int { return a.compare(&b) })
}

// missing says what of the demands the evidence doesn't meet. The delay runs from
// the witnessed time of the last approval needed.
func (d *Demands) missing(facts Facts, e *Evidence) Missing {
	m := Missing{Screening: d.Screening.lack(e), Price: d.Price.lack(e), TravelRule: d.TravelRule.lack(facts, e)}
	var last Approval
	m.Approvals, last = d.assign(e)
	switch {
	case d.Delay == 0:
	case len(m.Approvals) > 0 || last.Witnessed == 0:
		m.Delay = d.Delay
	default:
		end := last.Witnessed.Add(d.Delay)
		if e.Now < end {
			m.Delay, m.Until = custody.Seconds((end-e.Now+999)/1000), end
		}
	}
	return m
}
