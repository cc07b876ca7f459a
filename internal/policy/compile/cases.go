package compile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml/ast"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// Case is one test of a policy: facts and evidence, and what is expected of the
// Decision.
type Case struct {
	Name     string
	Position Position
	Facts    policy.Facts
	Evidence policy.Evidence
	Expect   Expectation
}

// Expectation is what a case expects; only what is there is compared. Ways,
// approvals, missing, delay and jurisdictions are of the nearest way in.
type Expectation struct {
	Outcome       policy.Outcome
	Way           *string
	Approvals     *[]string // as "2 of treasury", in any order
	Missing       *[]string // as "1 of risk", "delay", "screening", "price", "travel rule", in any order
	Blocked       *[]string // rules that block, in any order
	Delay         *custody.Seconds
	Jurisdictions *int
}

// ParseCases reads the cases of a policy. An error is always [Problems].
func ParseCases(source []byte, p *policy.Policy) ([]Case, error) {
	root, r := open(source)
	if root == nil {
		return nil, r.sorted()
	}
	c := &compiler{reader: r, policy: p}
	f := c.fields(root, "the file of cases", "cases")
	var out []Case
	if f["cases"] == nil {
		c.fail(start(root), "cases: missing")
	} else {
		for _, n := range c.list(f["cases"], "cases") {
			out = append(out, c.testCase(n))
		}
		if len(out) == 0 {
			c.fail(start(f["cases"]), "cases: empty")
		}
	}
	if len(c.problems) > 0 {
		return nil, c.sorted()
	}
	return out, nil
}

// noon is when cases that don't say otherwise take place.
const noon = "2026-01-15T12:00:00.000Z"

func (c *compiler) testCase(n ast.Node) Case {
	f := c.fields(n, "a case", "name", "facts", "now", "initiator", "approvals", "rejections",
		"screening", "prices", "travel_rule", "attested", "expect")
	out := Case{Position: start(n)}
	for _, name := range []string{"name", "facts", "expect"} {
		if f[name] == nil {
			c.fail(start(n), "%s: missing", name)
			return out
		}
	}
	out.Name, _ = c.text(f["name"], "name")
	now, ok := noon, true
	if f["now"] != nil {
		now, ok = c.text(f["now"], "now")
	}
	e := &out.Evidence
	if err := e.Now.UnmarshalText([]byte(now)); ok && err != nil {
		c.fail(start(f["now"]), "now: %v", err)
	}
	e.Submission = policy.Approval{Person: person("initiator"), Witnessed: e.Now}
	if f["initiator"] != nil {
		e.Submission = c.approval(f["initiator"], e.Now)
	}
	e.Approvals = c.people(f["approvals"], "approvals", e.Now)
	e.Rejections = c.people(f["rejections"], "rejections", e.Now)
	c.attested(f, e)
	out.Facts = c.facts(f["facts"])
	if weekday, minute := c.policy.Time(e.Now); f["now"] != nil && weekday.Kind() != policy.Unknown {
		out.Facts[policy.Weekday], out.Facts[policy.Minute] = weekday, minute
	}
	out.Expect = c.expectation(f["expect"])
	return out
}

// person makes a person's id of any name.
func person(name string) custody.ID[custody.Person] {
	sum := sha256.Sum256([]byte(name))
	id := custody.ID[custody.Person](sum[:16])
	id[6] = id[6]&0x0f | 0x70 // version 7
	id[8] = id[8]&0x3f | 0x80 // RFC 9562
	return id
}

func (c *compiler) people(n ast.Node, what string, now custody.Time) []policy.Approval {
	if n == nil {
		return nil
	}
	var out []policy.Approval
	for _, e := range c.list(n, what) {
		out = append(out, c.approval(e, now))
	}
	return out
}

func (c *compiler) approval(n ast.Node, now custody.Time) policy.Approval {
	f := c.fields(n, "a person's word", "person", "groups", "identities", "ago")
	a := policy.Approval{Witnessed: now}
	if f["person"] == nil {
		c.fail(start(n), "person: missing")
		return a
	}
	name, _ := c.text(f["person"], "person")
	a.Person = person(name)
	if f["groups"] != nil {
		for _, g := range c.list(f["groups"], "groups") {
			s, _ := c.text(g, "groups")
			a.Groups = append(a.Groups, custody.Name(s))
		}
	}
	if f["identities"] != nil {
		for _, i := range c.list(f["identities"], "identities") {
			s, _ := c.text(i, "identities")
			a.Identities = append(a.Identities, s)
		}
	}
	a.Witnessed = now.Add(-c.period(f["ago"], "ago"))
	return a
}

func (c *compiler) attested(f map[string]ast.Node, e *policy.Evidence) {
	at := e.Now.Add(-c.period(f["attested"], "attested"))
	each := func(key string, add func(attestor custody.Name, n ast.Node, s string)) {
		if f[key] == nil {
			return
		}
		for i, n := range c.list(f[key], key) {
			if s, ok := c.text(n, key); ok {
				add(custody.Name(fmt.Sprintf("attestor-%d", i+1)), n, s)
			}
		}
	}
	each("screening", func(attestor custody.Name, n ast.Node, s string) {
		w := policy.Screened{Attestor: attestor, Time: at}
		if err := w.Verdict.UnmarshalText([]byte(s)); err != nil {
			c.fail(start(n), "screening: %v", err)
		}
		e.Screenings = append(e.Screenings, w)
	})
	each("travel_rule", func(attestor custody.Name, n ast.Node, s string) {
		w := policy.TravelRuled{Attestor: attestor, Time: at}
		if err := w.Status.UnmarshalText([]byte(s)); err != nil {
			c.fail(start(n), "travel_rule: %v", err)
		}
		e.TravelRules = append(e.TravelRules, w)
	})
	each("prices", func(attestor custody.Name, n ast.Node, _ string) {
		e.Prices = append(e.Prices, policy.Priced{Attestor: attestor, Time: at, Value: c.money(n, n, "prices")})
	})
}

// facts reads facts as [policy.ParseFacts] does; amounts may be written as
// conditions write them.
func (c *compiler) facts(n ast.Node) policy.Facts {
	places := map[string]Position{}
	before := len(c.problems)
	value := c.factsJSON(n, nil, places)
	if len(c.problems) > before {
		return policy.Facts{}
	}
	raw, err := json.Marshal(value)
	if err != nil {
		c.fail(start(n), "facts: %v", err)
		return policy.Facts{}
	}
	facts, err := policy.ParseFacts(raw)
	if e, ok := errors.AsType[*custody.Error](err); ok {
		at, known := places[e.Field]
		if !known {
			at = start(n)
		}
		c.fail(at, "facts: %v", err)
		return policy.Facts{}
	}
	return facts
}

func (c *compiler) factsJSON(n ast.Node, path []string, places map[string]Position) any {
	at := start(n)
	places[strings.Join(path, ".")] = at
	if len(path) == 3 {
		places[path[0]+"("+path[1]+","+path[2]+")"] = at
	}
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		out := map[string]any{}
		for _, v := range c.entries(n, "facts") {
			key := v.Key.(*ast.StringNode).Value
			if len(path) == 3 {
				c.fail(start(v.Key), "facts: nested too deep")
				return nil
			}
			out[key] = c.factsJSON(v.Value, append(slices.Clip(path), key), places)
		}
		return out
	case *ast.SequenceNode:
		out := []string{}
		for _, e := range n.Values {
			s, _ := c.text(e, "facts")
			out = append(out, s)
		}
		return out
	case *ast.BoolNode:
		return n.Value
	case *ast.IntegerNode:
		return jsontext.Value(n.GetToken().Value)
	default:
		s, _ := c.text(n, "facts")
		if strings.HasPrefix(s, strings.ToLower(string(c.policy.Currency))+"(") {
			return c.money(n, n, "facts").String()
		}
		return s
	}
}

func (c *compiler) expectation(n ast.Node) Expectation {
	f := c.fields(n, "expect", "outcome", "way", "approvals", "missing", "blocked", "delay", "jurisdictions")
	var out Expectation
	if f["outcome"] == nil {
		c.fail(start(n), "expect: outcome: missing")
	} else if s, ok := c.text(f["outcome"], "outcome"); ok {
		if err := out.Outcome.UnmarshalText([]byte(s)); err != nil {
			c.fail(start(f["outcome"]), "outcome: %v", err)
		}
	}
	if f["way"] != nil {
		s, _ := c.text(f["way"], "way")
		out.Way = &s
	}
	out.Approvals = c.words(f["approvals"], "approvals")
	out.Missing = c.words(f["missing"], "missing")
	out.Blocked = c.words(f["blocked"], "blocked")
	if f["delay"] != nil {
		d := c.period(f["delay"], "delay")
		out.Delay = &d
	}
	if f["jurisdictions"] != nil {
		j, _ := c.integer(f["jurisdictions"], "jurisdictions")
		out.Jurisdictions = &j
	}
	return out
}

func (c *compiler) words(n ast.Node, what string) *[]string {
	if n == nil {
		return nil
	}
	out := []string{}
	for _, e := range c.list(n, what) {
		s, _ := c.text(e, what)
		out = append(out, s)
	}
	slices.Sort(out)
	return &out
}

// Run evaluates the case and returns what differs from its expectation.
func (t *Case) Run(p *policy.Policy) (differences []string) {
	d := p.Evaluate(t.Facts, t.Evidence)
	differ := func(what string, got, want any) {
		if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
			differences = append(differences, fmt.Sprintf("%s is %s, want %s", what, g, w))
		}
	}
	differ("outcome", d.Outcome, t.Expect.Outcome)
	var way policy.Way
	if len(d.Ways) > 0 {
		way = d.Ways[0]
	}
	if t.Expect.Way != nil {
		differ("way", way.Rule, *t.Expect.Way)
	}
	if t.Expect.Delay != nil {
		differ("delay", way.Demands.Delay, *t.Expect.Delay)
	}
	if t.Expect.Jurisdictions != nil {
		differ("jurisdictions", way.Demands.Jurisdictions, *t.Expect.Jurisdictions)
	}
	if t.Expect.Approvals != nil {
		differ("approvals", asked(way.Demands.Approvals), *t.Expect.Approvals)
	}
	if t.Expect.Missing != nil {
		differ("missing", missing(&way.Missing), *t.Expect.Missing)
	}
	if t.Expect.Blocked != nil {
		differ("blocked", blocking(&d), *t.Expect.Blocked)
	}
	return differences
}

func asked(people []policy.People) []string {
	out := []string{}
	for _, p := range people {
		out = append(out, p.String())
	}
	slices.Sort(out)
	return out
}

func missing(m *policy.Missing) []string {
	out := asked(m.Approvals)
	for name, is := range map[string]bool{
		"delay": m.Delay != 0, "screening": m.Screening != nil, "price": m.Price != nil, "travel rule": m.TravelRule != nil,
	} {
		if is {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func blocking(d *policy.Decision) []string {
	out := []string{}
	for _, m := range d.Trail {
		if m.Effect == policy.Blocks && m.Certain {
			out = append(out, string(m.Rule))
		}
	}
	return out
}
