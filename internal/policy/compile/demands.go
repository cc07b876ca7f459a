package compile

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// demands reads what a rule asks for.
func (c *compiler) demands(n ast.Node, effect string, rule *policy.Rule) *policy.Demands {
	before := len(c.problems)
	var d policy.Demands
	places := map[string]Position{}
	f := c.fields(n, effect, "approvals", "initiator", "rejections", "delay", "signers", "screening", "price", "travel_rule")
	place := func(field string, n ast.Node) ast.Node {
		if n != nil {
			places[field] = start(n)
		}
		return n
	}
	if v := place("approvals", f["approvals"]); v != nil {
		d.Approvals = c.approvals(v, places)
	}
	if v := place("initiatorCounts", f["initiator"]); v != nil {
		if s, ok := c.text(v, "initiator"); ok && s != "counts" {
			c.fail(start(v), "initiator: the only word is counts")
		}
		d.InitiatorCounts = true
	}
	if v := place("rejections", f["rejections"]); v != nil {
		if d.Rejections, _ = c.integer(v, "rejections"); d.Rejections == 0 {
			c.fail(start(v), "rejections: not above 0")
		}
		if d.Rejections == 1 {
			d.Rejections = 0
		}
	}
	d.Delay = c.period(place("delay", f["delay"]), "delay")
	if v := f["signers"]; v != nil {
		s := c.fields(v, "signers", "jurisdictions")
		d.Jurisdictions = c.positive(place("jurisdictions", s["jurisdictions"]), v, "jurisdictions")
	}
	if v := place("screening", f["screening"]); v != nil {
		s := c.fields(v, "screening", "verdict", "max_age", "from")
		d.Screening = &policy.Screening{MaxAge: c.period(place("screening.maxAge", s["max_age"]), "max_age")}
		if s["verdict"] == nil {
			c.fail(start(v), "screening: verdict: missing")
		} else if w, ok := c.text(place("screening.verdict", s["verdict"]), "verdict"); ok {
			d.Screening.Verdict = custody.ScreeningVerdict(w)
		}
		if s["from"] != nil {
			d.Screening.From = c.positive(place("screening.from", s["from"]), v, "from")
		}
	}
	if v := place("price", f["price"]); v != nil {
		s := c.fields(v, "price", "from", "within", "max_age")
		d.Price = &policy.Price{
			From:   c.positive(place("price.from", s["from"]), v, "from"),
			Within: c.percent(place("price.within", s["within"]), v),
			MaxAge: c.period(place("price.maxAge", s["max_age"]), "max_age"),
		}
	}
	if v := place("travelRule", f["travel_rule"]); v != nil {
		d.TravelRule = &policy.TravelRule{Above: c.money(c.fields(v, "travel_rule", "above")["above"], v, "above")}
	}
	if len(c.problems) > before {
		return &d
	}
	c.checkDemands(n, effect, rule, &d, places)
	return &d
}

func (c *compiler) checkDemands(n ast.Node, effect string, rule *policy.Rule, d *policy.Demands, places map[string]Position) {
	err := d.Check(rule.For)
	e, ok := err.(*custody.Error) //nolint:errorlint // Check returns it as it is
	if ok {
		at := start(n)
		path := strings.Split(e.Field, ".")
		for i := range path {
			if place, found := places[strings.Join(path[:i+1], ".")]; found {
				at = place
			}
		}
		c.fail(at, "%s: %s", e.Field, e.Message)
	}
	if effect == "require" && d.Nothing() {
		c.fail(start(n), "require: asks for nothing")
	}
}

func (c *compiler) approvals(n ast.Node, places map[string]Position) []policy.People {
	var out []policy.People
	starts := map[policy.People]Position{}
	for _, e := range c.list(n, "approvals") {
		f := c.fields(e, "approvals", "group", "count", "identity", "acr")
		if f["group"] == nil || f["count"] == nil {
			c.fail(start(e), "approvals: group and count are needed")
			continue
		}
		var p policy.People
		if s, ok := c.text(f["group"], "group"); ok {
			if err := p.Group.UnmarshalText([]byte(s)); err != nil {
				c.fail(start(f["group"]), "group: %v", err)
			}
		}
		if f["identity"] != nil {
			s, _ := c.text(f["identity"], "identity")
			p.Identity = custody.CredentialKind(s)
		}
		if f["acr"] != nil {
			p.ACR, _ = c.text(f["acr"], "acr")
		}
		p.Count = c.positive(f["count"], e, "count")
		c.checkSize(p, f)
		out = append(out, p)
		starts[p] = start(e)
	}
	if len(out) == 0 {
		c.fail(start(n), "approvals: empty: leave it out")
	}
	slices.SortFunc(out, func(a, b policy.People) int {
		return strings.Compare(string(a.Group)+"\x00"+string(a.Identity)+"\x00"+a.ACR, string(b.Group)+"\x00"+string(b.Identity)+"\x00"+b.ACR)
	})
	for i, p := range out {
		places["approvals."+strconv.Itoa(i)] = starts[p]
	}
	return out
}

func (c *compiler) checkSize(p policy.People, f map[string]ast.Node) {
	if c.options.Groups == nil || p.Group == "" {
		return
	}
	size, ok := c.options.Groups[p.Group]
	switch {
	case !ok:
		c.fail(start(f["group"]), "group: the charter has no group %s", p.Group)
	case p.Count > size:
		c.fail(start(f["count"]), "count: %d of %s, which has only %d", p.Count, p.Group, size)
	}
}

func (c *compiler) positive(n, parent ast.Node, what string) int {
	if n == nil {
		c.fail(start(parent), "%s: missing", what)
		return 0
	}
	v, ok := c.integer(n, what)
	if ok && v == 0 {
		c.fail(start(n), "%s: not above 0", what)
	}
	return v
}

var period = regexp.MustCompile(`^([1-9][0-9]{0,7})([smhd])$`)

func (c *compiler) period(n ast.Node, what string) custody.Seconds {
	if n == nil {
		return 0
	}
	s, ok := c.text(n, what)
	if !ok {
		return 0
	}
	m := period.FindStringSubmatch(s)
	if m == nil {
		c.fail(start(n), "%s: a length of time above 0, as 30s, 10m, 24h or 7d, not %q", what, s)
		return 0
	}
	v, _ := strconv.ParseInt(m[1], 10, 64)
	unit := map[string]custody.Seconds{"s": 1, "m": custody.Minute, "h": custody.Hour, "d": custody.Day}[m[2]]
	return custody.Seconds(v) * unit
}

var percentage = regexp.MustCompile(`^([0-9]{1,3})(?:\.([0-9]{1,2}))?%$`)

// percent returns hundredths of a percent.
func (c *compiler) percent(n, parent ast.Node) int {
	if n == nil {
		c.fail(start(parent), "within: missing")
		return 0
	}
	s, ok := c.text(n, "within")
	if !ok {
		return 0
	}
	m := percentage.FindStringSubmatch(s)
	if m == nil {
		c.fail(start(n), "within: a percentage with at most two decimals, as 1%% or 0.25%%, not %q", s)
		return 0
	}
	whole, _ := strconv.Atoi(m[1])
	part, _ := strconv.Atoi((m[2] + "00")[:2])
	return whole*100 + part
}

var call = regexp.MustCompile(`^([a-z]{3})\((?:([0-9.]+)|"([0-9.]+)")\)$`)

// money returns an amount written as in conditions.
func (c *compiler) money(n, parent ast.Node, what string) custody.Amount {
	if n == nil {
		c.fail(start(parent), "%s: missing", what)
		return custody.Amount{}
	}
	s := n.GetToken().Value
	m := call.FindStringSubmatch(s)
	if function := strings.ToLower(string(c.policy.Currency)); m == nil || m[1] != function {
		c.fail(start(n), `%s: an amount is written as %s(1000), not %s`, what, function, s)
		return custody.Amount{}
	}
	a, err := minor(m[2]+m[3], c.policy.Currency)
	if err != nil {
		c.fail(start(n), "%s: %v", what, err)
	}
	return a
}

func minor(s string, currency custody.Currency) (custody.Amount, error) {
	decimals, _ := policy.Decimals(currency)
	a, err := scaled(s, decimals)
	if err != nil {
		return a, fmt.Errorf("%s %s: %w", s, currency, err)
	}
	return a, nil
}
