package compile

import (
	"regexp"
	"slices"

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
