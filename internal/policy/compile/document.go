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

// compiler builds a policy from a document.
type compiler struct {
	*reader
	options  Options
	policy   *policy.Policy
	timezone ast.Node
	decimals map[custody.Asset]int
	language *language
	at       map[string]Position // of fields of the policy, rules by name
}

func (c *compiler) document(root ast.Node) {
	f := c.fields(root, "a policy", "version", "currency", "timezone", "decimals", "lists", "rules")
	for _, name := range []string{"version", "currency", "rules"} {
		if f[name] == nil {
			c.fail(start(root), "%s: missing", name)
		}
	}
	for name, n := range f {
		c.at[name] = start(n)
	}
	c.timezone = f["timezone"]
	c.header(f)
	c.lists(f["lists"])
	if len(c.problems) > 0 || f["rules"] == nil {
		return
	}
	var err error
	if c.language, err = newLanguage(c.policy.Currency, c.policy.Lists); err != nil {
		c.fail(start(root), "%v", err)
		return
	}
	for _, n := range c.list(f["rules"], "rules") {
		c.rule(n)
	}
	for name := range c.policy.Lists {
		if !c.language.used[name] {
			delete(c.policy.Lists, name)
		}
	}
	if len(c.policy.Lists) == 0 {
		c.policy.Lists = nil
	}
	if c.language.timed {
		c.zone()
	}
}

func (c *compiler) header(f map[string]ast.Node) {
	if n := f["version"]; n != nil {
		if v, ok := c.integer(n, "version"); ok {
			c.policy.Version = int64(v)
			if v == 0 {
				c.fail(start(n), "version: not above 0")
			}
		}
	}
	if n := f["currency"]; n != nil {
		if s, ok := c.text(n, "currency"); ok {
			c.policy.Currency = custody.Currency(s)
			if _, known := policy.Decimals(c.policy.Currency); !known {
				c.fail(start(n), "currency: %s is not a currency of ISO 4217", s)
			}
		}
	}
	c.decimals = make(map[custody.Asset]int)
	if n := f["decimals"]; n != nil {
		for _, v := range c.entries(n, "decimals") {
			var asset custody.Asset
			key := v.Key.(*ast.StringNode).Value
			d, ok := c.integer(v.Value, "decimals of "+key)
			switch {
			case asset.UnmarshalText([]byte(key)) != nil:
				c.fail(start(v.Key), "decimals: %s is not an asset (CAIP-19)", key)
			case ok && d > 36:
				c.fail(start(v.Value), "decimals: more than 36")
			default:
				c.decimals[custody.Asset(policy.Fold(key))] = d
			}
		}
	}
}

var listName = regexp.MustCompile(`^[a-z][a-z0-9]{0,62}$`)

func (c *compiler) lists(n ast.Node) {
	if n == nil {
		return
	}
	c.policy.Lists = make(map[custody.Name][]string)
	for _, v := range c.entries(n, "lists") {
		name := v.Key.(*ast.StringNode).Value
		if !listName.MatchString(name) || reserved[name] {
			c.fail(start(v.Key), "lists.%s: a list's name is lower-case letters and digits, and no word of CEL", name)
			continue
		}
		c.at["lists."+name] = start(v.Value)
		elements := []string{}
		for _, e := range c.list(v.Value, "lists."+name) {
			if s, ok := c.text(e, "lists."+name); ok {
				elements = append(elements, c.constant(s, start(e)))
			}
		}
		slices.Sort(elements)
		c.policy.Lists[custody.Name(name)] = slices.Compact(elements)
	}
}

func (c *compiler) rule(n ast.Node) {
	f := c.fields(n, "a rule", "name", "for", "when", "block", "allow", "require")
	for _, name := range []string{"name", "for", "when"} {
		if f[name] == nil {
			c.fail(start(n), "a rule needs %s", name)
		}
	}
	if f["name"] == nil || f["for"] == nil || f["when"] == nil {
		return
	}
	var rule policy.Rule
	name, ok := c.text(f["name"], "name")
	if err := rule.Name.UnmarshalText([]byte(name)); ok && err != nil {
		c.fail(start(f["name"]), "name: %v", err)
		return
	}
	prefix := "rules." + name
	if _, twice := c.at[prefix]; twice {
		c.fail(start(f["name"]), "name: another rule is called %s", name)
	}
	c.at[prefix] = start(n)
	for key, v := range f {
		c.at[prefix+"."+key] = start(v)
	}
	rule.For = c.types(f["for"])
	rule.When = c.when(f["when"], rule.For)
	c.effect(n, f, &rule)
	c.policy.Rules = append(c.policy.Rules, rule)
}

func (c *compiler) types(n ast.Node) []custody.IntentType {
	all := custody.IntentTypes()
	var out []custody.IntentType
	elements := c.list(n, "for")
	if s, ok := n.(*ast.SequenceNode); ok && len(s.Values) == 0 {
		c.fail(start(n), "for: empty: the rule would never apply")
	}
	for _, e := range elements {
		s, ok := c.text(e, "for")
		switch t := custody.IntentType(s); {
		case !ok:
		case !slices.Contains(all, t):
			c.fail(start(e), "for: %s is not a type of intent", s)
		case slices.Contains(out, t):
			c.fail(start(e), "for: %s is there twice", s)
		default:
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b custody.IntentType) int { return slices.Index(all, a) - slices.Index(all, b) })
	return out
}

func (c *compiler) effect(n ast.Node, f map[string]ast.Node, rule *policy.Rule) {
	effects := 0
	for _, name := range []string{"block", "allow", "require"} {
		if f[name] != nil {
			effects++
		}
	}
	if effects != 1 {
		c.fail(start(n), "rule %s: a rule has exactly one of block, allow and require", rule.Name)
		return
	}
	switch {
	case f["block"] != nil:
		rule.Block, _ = c.text(f["block"], "block")
		if rule.Block == "" {
			c.fail(start(f["block"]), "block: give the reason")
		}
	case f["allow"] != nil:
		rule.Allow = c.demands(f["allow"], "allow", rule)
	default:
		rule.Require = c.demands(f["require"], "require", rule)
	}
}

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
