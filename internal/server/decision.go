package server

import (
	"strings"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
	"github.com/cofferhq/coffer/internal/state"
)

// showDecision is a Decision of the policy in force, for people and programs.
func showDecision(p *policy.Policy, d *state.Decision) *api.Decision {
	out := &api.Decision{
		Outcome: d.Outcome.String(), Policy: d.Policy.String(), PolicyVersion: d.Version,
		Ways: []api.Way{}, Trail: []api.Match{}, Unknown: facts(d.Unknown),
	}
	for i := range d.Ways {
		w := &d.Ways[i]
		out.Ways = append(out.Ways, api.Way{
			Rule: string(w.Rule), Asks: p.PrintDemands(&w.Demands), Missing: w.Missing.List(), Until: instant(w.Missing.Until),
			People: mapped(w.Missing.Approvals, func(q policy.People) api.People {
				return api.People{Group: string(q.Group), Count: q.Count, Identity: string(q.Identity)}
			}),
		})
	}
	for i := range d.Trail {
		m := &d.Trail[i]
		shown := api.Match{Rule: string(m.Rule), Effect: string(m.Effect), Certain: m.Certain, Reason: m.Reason, Unknown: facts(m.Unknown)}
		if m.Demands != nil {
			shown.Asks = p.PrintDemands(m.Demands)
		}
		out.Trail = append(out.Trail, shown)
	}
	out.Rule = decides(d)
	return out
}

// decides names the rule that a Decision turns on: the one that blocks, else the
// nearest that would open.
func decides(d *state.Decision) string {
	if d.List != "" {
		return "list " + string(d.List)
	}
	for _, m := range d.Trail {
		if d.Outcome == policy.Blocked && m.Effect == policy.Blocks && m.Certain {
			return string(m.Rule)
		}
	}
	if len(d.Ways) > 0 {
		return string(d.Ways[0].Rule)
	}
	return ""
}

func facts(list []policy.Fact) []string { return mapped(list, policy.Fact.String) }

// blockedBy is the rule that a reason names, if policy ended the intent.
func blockedBy(at custody.IntentState, r state.Reason) string {
	if at != custody.Blocked {
		return ""
	}
	return strings.TrimPrefix(string(r), "rule ")
}
