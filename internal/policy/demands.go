package policy

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/internal/custody"
)

// Demands is what a way in, or a toll on every way, asks for. The zero Demands
// asks for nothing.
type Demands struct {
	Approvals       []People        `json:"approvals,omitzero"` // in ascending order by group, identity and acr
	InitiatorCounts bool            `json:"initiatorCounts,omitzero"`
	Rejections      int             `json:"rejections,omitzero"` // how many reject; 0 is one
	Delay           custody.Seconds `json:"delay,omitzero"`
	Jurisdictions   int             `json:"jurisdictions,omitzero"` // how many different ones among the signers
	Screening       *Screening      `json:"screening,omitzero"`
	Price           *Price          `json:"price,omitzero"`
	TravelRule      *TravelRule     `json:"travelRule,omitzero"`
}

// People is how many people of a group have to approve. With an Identity of OIDC
// each must also have been seen by the bank's identity provider, and with an ACR
// (authentication context class) seen in exactly that way.
type People struct {
	Group    custody.Name           `json:"group"`
	Count    int                    `json:"count"`
	Identity custody.CredentialKind `json:"identity,omitzero"` // OIDC, or none
	ACR      string                 `json:"acr,omitzero"`
}

// Screening asks that From attestors (0 is one) give Verdict or a better one, and
// that none gives a worse one.
type Screening struct {
	Verdict custody.ScreeningVerdict `json:"verdict"` // PASS or REVIEW
	MaxAge  custody.Seconds          `json:"maxAge,omitzero"`
	From    int                      `json:"from,omitzero"`
}

// Price asks that From attestors price the amount, and that no two of their prices
// are further apart than Within hundredths of a percent of the lower one.
type Price struct {
	From   int             `json:"from"`
	Within int             `json:"within"`
	MaxAge custody.Seconds `json:"maxAge,omitzero"`
}

// TravelRule asks, where amount.value is above Above or unknown, that the other
// side has accepted the Travel Rule data.
type TravelRule struct {
	Above custody.Amount `json:"above"`
}

// compare orders by what is asked for, whatever the count.
func (p People) compare(q People) int {
	return cmp.Or(cmp.Compare(p.Group, q.Group), cmp.Compare(p.Identity, q.Identity), cmp.Compare(p.ACR, q.ACR))
}

// stack returns the demands of a and b together: the strictest of each kind. It is
// commutative, associative and idempotent, so the order of rules can't matter, and
// never weaker than either.
func stack(a, b Demands) Demands {
	out := Demands{
		Approvals:     stackPeople(a.Approvals, b.Approvals),
		Delay:         max(a.Delay, b.Delay),
		Jurisdictions: max(a.Jurisdictions, b.Jurisdictions),
		Screening:     a.Screening.stack(b.Screening),
		Price:         a.Price.stack(b.Price),
		TravelRule:    a.TravelRule.stack(b.TravelRule),
	}
	switch {
	case len(a.Approvals) == 0:
		out.InitiatorCounts, out.Rejections = b.InitiatorCounts, b.Rejections
	case len(b.Approvals) == 0:
		out.InitiatorCounts, out.Rejections = a.InitiatorCounts, a.Rejections
	default:
		out.InitiatorCounts = a.InitiatorCounts && b.InitiatorCounts
		out.Rejections = min(a.Rejections, b.Rejections)
	}
	return out
}

func stackPeople(a, b []People) []People {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	out := make([]People, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch order := a[0].compare(b[0]); {
		case order < 0:
			out, a = append(out, a[0]), a[1:]
		case order > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			p := a[0]
			p.Count = max(p.Count, b[0].Count)
			out, a, b = append(out, p), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

func (s *Screening) stack(t *Screening) *Screening {
	if s == nil || t == nil {
		return cmp.Or(s, t)
	}
	out := Screening{Verdict: s.Verdict, MaxAge: shorter(s.MaxAge, t.MaxAge), From: max(s.From, t.From)}
	if t.Verdict == custody.ScreeningPass {
		out.Verdict = t.Verdict
	}
	return &out
}

func (p *Price) stack(q *Price) *Price {
	if p == nil || q == nil {
		return cmp.Or(p, q)
	}
	return &Price{From: max(p.From, q.From), Within: min(p.Within, q.Within), MaxAge: shorter(p.MaxAge, q.MaxAge)}
}

func (t *TravelRule) stack(u *TravelRule) *TravelRule {
	if t == nil || u == nil {
		return cmp.Or(t, u)
	}
	if u.Above.Cmp(t.Above) < 0 {
		return u
	}
	return t
}

// shorter is the shorter of two longest ages; 0 is no limit.
func shorter(a, b custody.Seconds) custody.Seconds {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// slots returns one entry for each person that the demands ask for, with a Count
// of 1. Within a group, people asked for by acr also count among those asked for
// by identity, and those among all.
func slots(people []People) []People {
	var out []People
	for i := 0; i < len(people); {
		group := people[i].Group
		exact, identified, anyone := 0, 0, 0
		for ; i < len(people) && people[i].Group == group; i++ {
			switch p := people[i]; {
			case p.ACR != "":
				exact += p.Count
				out = appendSlots(out, p, p.Count)
			case p.Identity != "":
				identified = p.Count
			default:
				anyone = p.Count
			}
		}
		out = appendSlots(out, People{Group: group, Identity: custody.OIDC}, identified-exact)
		out = appendSlots(out, People{Group: group}, anyone-max(exact, identified))
	}
	return out
}

func appendSlots(out []People, p People, n int) []People {
	p.Count = 1
	for range n {
		out = append(out, p)
	}
	return out
}

// Nothing reports whether d asks for nothing.
func (d *Demands) Nothing() bool {
	return len(d.Approvals) == 0 && d.Delay == 0 && d.Jurisdictions == 0 && d.Screening == nil && d.Price == nil && d.TravelRule == nil
}

// Check refuses demands that nobody could meet, or that mean nothing on intents of
// these types. Errors name the field.
func (d *Demands) Check(types []custody.IntentType) error {
	if len(d.Approvals) > maxPeople {
		return invalid("approvals", fmt.Sprintf("more than %d people", maxPeople))
	}
	for i, p := range d.Approvals {
		if err := p.check(); err != nil {
			return within(fmt.Sprintf("approvals.%d", i), err)
		}
	}
	moves := !slices.ContainsFunc(types, custody.IntentType.Governs)
	travels := !slices.ContainsFunc(types, func(t custody.IntentType) bool { return !Fact.Of("destination.country", t) })
	switch {
	case !ascending(d.Approvals, People.compare):
		return invalid("approvals", "a group twice with the same identity, or not in ascending order")
	case len(slots(d.Approvals)) > maxPeople:
		return invalid("approvals", fmt.Sprintf("more than %d people", maxPeople))
	case len(d.Approvals) == 0 && d.InitiatorCounts:
		return invalid("initiatorCounts", "means nothing without approvals")
	case len(d.Approvals) == 0 && d.Rejections != 0:
		return invalid("rejections", "means nothing without approvals")
	case d.Rejections != 0 && (d.Rejections < 2 || d.Rejections > maxPeople):
		return invalid("rejections", fmt.Sprintf("not between 2 and %d; one rejects if nothing is said", maxPeople))
	case d.Delay < 0 || d.Delay >= maxDelay:
		return invalid("delay", "not below 30 days, the longest that an intent lives")
	case d.Jurisdictions < 0 || d.Jurisdictions > 16:
		return invalid("jurisdictions", "not between 1 and 16")
	case d.Jurisdictions != 0 && !moves:
		return invalid("jurisdictions", "only for intents that move value: others have no signers")
	case d.Screening != nil && !moves:
		return invalid("screening", "only for intents that move value")
	case d.Price != nil && !moves:
		return invalid("price", "only for intents that move value")
	case d.TravelRule != nil && (!moves || !travels):
		return invalid("travelRule", "only for intents that have a destination")
	}
	if s := d.Screening; s != nil {
		switch {
		case s.Verdict != custody.ScreeningPass && s.Verdict != custody.ScreeningReview:
			return invalid("screening.verdict", "not PASS or REVIEW")
		case s.MaxAge < 0 || s.MaxAge > maxDelay:
			return invalid("screening.maxAge", "not between 1 second and 30 days")
		case s.From < 0 || s.From > maxAttestors:
			return invalid("screening.from", fmt.Sprintf("not between 1 and %d attestors", maxAttestors))
		}
	}
	if p := d.Price; p != nil {
		switch {
		case p.From < 1 || p.From > maxAttestors:
			return invalid("price.from", fmt.Sprintf("not between 1 and %d attestors", maxAttestors))
		case p.Within < 1 || p.Within > 10_000:
			return invalid("price.within", "not above 0% and at most 100%")
		case p.MaxAge < 0 || p.MaxAge > maxDelay:
			return invalid("price.maxAge", "not between 1 second and 30 days")
		}
	}
	return nil
}

func (p People) check() error {
	switch {
	case p.Count < 1 || p.Count > maxPeople:
		return invalid("count", fmt.Sprintf("not between 1 and %d people", maxPeople))
	case p.Identity != "" && p.Identity != custody.OIDC:
		return invalid("identity", "not OIDC")
	case p.ACR != "" && p.Identity == "":
		return invalid("acr", "only with an identity of OIDC")
	case len(p.ACR) > 256 || !printable(p.ACR):
		return invalid("acr", "not at most 256 characters of printable ASCII")
	}
	return nil
}
