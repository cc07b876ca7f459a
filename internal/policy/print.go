package policy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/internal/custody"
)

// String returns the whole policy for people to read. It is made from what nodes
// will decide by, never from what an author wrote.
func (p *Policy) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "policy version %d\nhash     %s\ncurrency %s\n", p.Version, p.hash, p.Currency)
	if p.Zone != nil {
		fmt.Fprintf(&b, "timezone %s, known until %s\n", p.Zone.Name, custody.Time(p.Zone.Until*1000))
	}
	for _, name := range sortedKeys(p.Lists) {
		fmt.Fprintf(&b, "\nlist %s, %s\n", name, plural(len(p.Lists[name]), "element"))
		for _, e := range p.Lists[name] {
			fmt.Fprintf(&b, "  %s\n", e)
		}
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		types := mapped(r.For, func(t custody.IntentType) string { return string(t) })
		fmt.Fprintf(&b, "\nrule %s\n  for     %s\n  when    %s\n", r.Name, strings.Join(types, ", "), p.Print(&r.When))
		if d := r.Demands(); d != nil {
			fmt.Fprintf(&b, "  %-7s %s\n", r.Effect(), p.PrintDemands(d))
		} else {
			fmt.Fprintf(&b, "  block   %s\n", r.Block)
		}
	}
	return b.String()
}

// PrintDemands returns what d asks for, in a line; amounts are in the policy's
// currency.
func (p *Policy) PrintDemands(d *Demands) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	for _, a := range d.Approvals {
		add("%s", a)
	}
	if d.InitiatorCounts {
		add("the initiator counts")
	}
	if d.Rejections > 1 {
		add("%d rejections reject", d.Rejections)
	}
	if d.Delay > 0 {
		add("delay %s", Period(d.Delay))
	}
	if s := d.Screening; s != nil {
		add("screening %s%s", s.Verdict, by(s.From, s.MaxAge))
	}
	if q := d.Price; q != nil {
		add("price within %s%s", percent(q.Within), by(q.From, q.MaxAge))
	}
	if t := d.TravelRule; t != nil {
		add("Travel Rule above %s %s", p.major(t.Above), p.Currency)
	}
	if d.Jurisdictions > 0 {
		add("signers in %s", plural(d.Jurisdictions, "jurisdiction"))
	}
	if len(parts) == 0 {
		return "nothing more"
	}
	return strings.Join(parts, ", ")
}

// String returns p as "2 of treasury", with the identity asked for.
func (p People) String() string {
	s := fmt.Sprintf("%d of %s", p.Count, p.Group)
	if p.Identity != "" {
		s += " by " + string(p.Identity)
	}
	if p.ACR != "" {
		s += " " + quote(p.ACR)
	}
	return s
}

func by(from int, maxAge custody.Seconds) string {
	s := ""
	if from > 0 {
		s += " by " + plural(from, "attestor")
	}
	if maxAge > 0 {
		s += " at most " + Period(maxAge) + " old"
	}
	return s
}

// Period returns s in the largest unit that divides it, such as 90m or 2d.
func Period(s custody.Seconds) string {
	for _, unit := range []struct {
		length custody.Seconds
		name   string
	}{{custody.Day, "d"}, {custody.Hour, "h"}, {custody.Minute, "m"}} {
		if s >= unit.length && s%unit.length == 0 {
			return strconv.FormatInt(int64(s/unit.length), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "s"
}

func percent(hundredths int) string {
	s := fmt.Sprintf("%d.%02d", hundredths/100, hundredths%100)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + "%"
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// major returns an amount of minor units as a decimal number of the currency.
func (p *Policy) major(a custody.Amount) string {
	n, _ := Decimals(p.Currency)
	s := a.String()
	if n == 0 {
		return s
	}
	s = strings.Repeat("0", max(0, n+1-len(s))) + s
	whole, part := s[:len(s)-n], s[len(s)-n:]
	if strings.Trim(part, "0") == "" {
		return whole
	}
	return whole + "." + part
}

// Print returns a condition in CEL as authors write it.
func (p *Policy) Print(c *Condition) string { return p.print(c, 0) }

// print puts c in brackets where it stands inside an operation that binds more:
// 0 nothing, 1 ||, 2 &&, 3 !.
func (p *Policy) print(c *Condition, outer int) string {
	var s string
	inner := 3
	switch c.Op {
	case And:
		inner, s = 2, p.join(c.Terms, " && ", 2)
	case Or:
		inner, s = 1, p.join(c.Terms, " || ", 1)
	case Not:
		if eq := &c.Terms[0]; eq.Op == In && len(eq.Texts)+len(eq.Numbers) == 1 {
			return p.atom(eq, "!=")
		}
		return "!" + p.print(&c.Terms[0], 4)
	case True, False:
		return string(c.Op)
	case Is:
		return c.Fact.String()
	case Contains:
		s = quote(c.Texts[0]) + " in " + c.Fact.String()
	case UnderRoot:
		return "under(" + quote(c.Texts[0]) + ")"
	default:
		s = p.atom(c, "==")
	}
	if inner < outer {
		return "(" + s + ")"
	}
	return s
}

func (p *Policy) join(terms []Condition, operator string, level int) string {
	return strings.Join(mapped(terms, func(c Condition) string { return p.print(&c, level+1) }), operator)
}

func (p *Policy) atom(c *Condition, equals string) string {
	constants := append(mapped(c.Texts, quote), mapped(c.Numbers, func(n custody.Amount) string { return p.number(c.Fact, n) })...)
	operator := string(c.Op)
	var right string
	switch {
	case c.List != "":
		right = "lists." + string(c.List)
	case c.Op == In && len(constants) == 1:
		operator, right = equals, constants[0]
	case c.Op == In:
		right = "[" + strings.Join(constants, ", ") + "]"
	default:
		right = constants[0]
	}
	return c.Fact.String() + " " + operator + " " + right
}

// Monetary reports whether f is a number of minor units of the policy's currency.
func (f Fact) Monetary() bool {
	return f == AmountValue || f == FeeValue || strings.HasPrefix(string(f), "spent(")
}

func (p *Policy) number(f Fact, n custody.Amount) string {
	if !f.Monetary() {
		return n.String()
	}
	function, s := strings.ToLower(string(p.Currency)), p.major(n)
	if strings.Contains(s, ".") || len(s) > 18 {
		s = quote(s)
	}
	return function + "(" + s + ")"
}

// quote writes printable ASCII as a string of CEL.
func quote(s string) string { return strconv.QuoteToASCII(s) }
