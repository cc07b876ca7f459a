package policy

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/cofferhq/coffer/internal/custody"
)

// Explain returns a Decision of p for people to read: the outcome and why, every
// open way with what it asks for and what is missing, nearest first, and the rules
// that count.
func (p *Policy) Explain(d *Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", d.Outcome, p.why(d))
	for i, w := range d.Ways {
		which := "another way in"
		if i == 0 {
			which = "nearest way in"
		}
		fmt.Fprintf(&b, "\n%s: %s\n  asks for  %s\n", which, w.Rule, p.PrintDemands(&w.Demands))
		if !w.Met() {
			fmt.Fprintf(&b, "  missing   %s\n", strings.Join(w.Missing.List(), ", "))
		}
	}
	if len(d.Trail) > 0 {
		b.WriteString("\nrules that count:\n")
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, m := range d.Trail {
			fmt.Fprintf(t, "  %s\t%s\t%s\n", m.Rule, m.Effect, p.asks(&m))
		}
		t.Flush() //nolint:errcheck,gosec // a strings.Builder takes everything
	}
	if len(d.Unknown) > 0 {
		fmt.Fprintf(&b, "\nunknown: %s\n", strings.Join(mapped(d.Unknown, Fact.String), ", "))
	}
	return b.String()
}

func (p *Policy) why(d *Decision) string {
	switch d.Outcome {
	case Blocked:
		var reasons strings.Builder
		for _, m := range d.Trail {
			if m.Effect == Blocks && m.Certain {
				reasons.WriteString(", " + m.Reason + " (rule " + string(m.Rule) + ")")
			}
		}
		return strings.TrimPrefix(reasons.String(), ", ")
	case Held:
		return "refused as long as facts are unknown"
	case Rejected:
		return "rejected by " + plural(len(d.Rejected), "person")
	case Pending:
		return "something is missing"
	case Allowed:
		return "nothing is missing"
	default:
		return "no rule lets it in"
	}
}

func (p *Policy) asks(m *Match) string {
	s := m.Reason
	if m.Demands != nil {
		s = p.PrintDemands(m.Demands)
	}
	if m.Certain {
		return s
	}
	unknown := strings.Join(mapped(m.Unknown, Fact.String), ", ")
	if m.Effect == Allows {
		return s + " (closed while unknown: " + unknown + ")"
	}
	return s + " (counts while unknown: " + unknown + ")"
}

// List returns what is missing in words, such as "1 of risk" or "screening".
func (m *Missing) List() []string {
	out := mapped(m.Approvals, People.String)
	switch {
	case m.Until != 0:
		out = append(out, "delay until "+m.Until.String())
	case m.Delay != 0:
		out = append(out, "delay "+Period(m.Delay))
	}
	for _, l := range []struct {
		name string
		lack *Lack
	}{{"screening", m.Screening}, {"price", m.Price}, {"travel rule", m.TravelRule}} {
		if l.lack == nil {
			continue
		}
		s := l.name
		if l.lack.Need > 1 {
			s += fmt.Sprintf(" by %d attestors", l.lack.Need)
		}
		if len(l.lack.Against) > 0 {
			s += " (against: " + strings.Join(mapped(l.lack.Against, func(n custody.Name) string { return string(n) }), ", ") + ")"
		}
		out = append(out, s)
	}
	return out
}
