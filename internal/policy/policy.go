package policy

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/internal/custody"
)

// Limits of a policy. They bound the work of an evaluation.
const (
	MaxSize      = 160 << 10 // bytes of canonical JSON
	maxRules     = 1_000
	maxNesting   = 12 // of conditions
	maxNodes     = 10_000
	maxElements  = 10_000 // constants and list elements
	maxPeople    = 64     // that can be asked for on one intent
	maxAttestors = 16
	maxReason    = 200
	maxDelay     = 30 * custody.Day
)

// Policy is a compiled policy. Only [Parse] makes one that decides; it is not
// changed afterwards and may be used by many goroutines.
type Policy struct {
	Version  int64                     `json:"version"` // the author's
	Currency custody.Currency          `json:"currency"`
	Zone     *Zone                     `json:"zone,omitzero"` // there if a rule asks for time
	Lists    map[custody.Name][]string `json:"lists,omitzero"`
	Rules    []Rule                    `json:"rules"` // in ascending order by name

	hash   custody.Hash
	byType map[custody.IntentType]*view
}

// Effect is what a rule does.
type Effect string

// The effects.
const (
	Blocks   Effect = "block"
	Allows   Effect = "allow"
	Requires Effect = "require"
)

// Rule is one rule. It has exactly one of Block, Allow and Require.
type Rule struct {
	Name    custody.Name         `json:"name"`
	For     []custody.IntentType `json:"for"` // in the order of custody.IntentTypes
	When    Condition            `json:"when"`
	Block   string               `json:"block,omitzero"` // the reason, for people
	Allow   *Demands             `json:"allow,omitzero"`
	Require *Demands             `json:"require,omitzero"`

	facts []Fact
}

// Effect returns which effect the rule has.
func (r *Rule) Effect() Effect {
	switch {
	case r.Allow != nil:
		return Allows
	case r.Require != nil:
		return Requires
	default:
		return Blocks
	}
}

// Demands returns what the rule asks for; nil if it blocks.
func (r *Rule) Demands() *Demands {
	if r.Allow != nil {
		return r.Allow
	}
	return r.Require
}

// view is what a policy holds about one type of intent.
type view struct {
	rules  []*Rule
	facts  []Fact                // that its rules ask about
	groups map[custody.Name]bool // whose members may reject
}

// reading is the state of a check.
type reading struct {
	policy   *Policy
	types    []custody.IntentType // of the rule at hand
	nodes    int
	elements int
	lists    map[use]error
}

// use is a list beside a fact; all arguments of calls are one fact here.
type use struct {
	list custody.Name
	fact Fact
}

// Parse reads the canonical JSON of a policy. It trusts nothing that a compiler
// was meant to see to: it refuses unknown fields, facts that a rule's types lack,
// atoms that don't fit their fact, demands that nobody can meet, and whatever is
// beyond the limits. Errors are of code [custody.Invalid] and name the field.
func Parse(raw []byte) (*Policy, error) {
	p := new(Policy)
	if err := custody.Decode(raw, p, MaxSize); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	p.hash = sha256.Sum256(slices.Concat([]byte("coffer/policy/v1\x00"), raw))
	p.byType = make(map[custody.IntentType]*view)
	for i := range p.Rules {
		r := &p.Rules[i]
		r.facts = r.When.Facts()
		for _, t := range r.For {
			p.view(t).add(r)
		}
	}
	for _, v := range p.byType {
		slices.Sort(v.facts)
		v.facts = slices.Compact(v.facts)
	}
	return p, nil
}

func (p *Policy) view(t custody.IntentType) *view {
	if p.byType[t] == nil {
		p.byType[t] = &view{groups: make(map[custody.Name]bool)}
	}
	return p.byType[t]
}

func (v *view) add(r *Rule) {
	v.rules = append(v.rules, r)
	v.facts = append(v.facts, r.facts...)
	if d := r.Demands(); d != nil {
		if d.TravelRule != nil {
			v.facts = append(v.facts, AmountValue)
		}
		for _, people := range d.Approvals {
			v.groups[people.Group] = true
		}
	}
}

// Hash names the policy: the SHA-256 of "coffer/policy/v1", a zero byte and the
// canonical JSON.
func (p *Policy) Hash() custody.Hash { return p.hash }

// Facts returns the facts that the rules for a type of intent ask about. Evaluate
// looks at no others. Don't change the slice.
func (p *Policy) Facts(t custody.IntentType) []Fact {
	if v := p.byType[t]; v != nil {
		return v.facts
	}
	return nil
}

func (p *Policy) check() error {
	in := &reading{policy: p, lists: make(map[use]error)}
	switch {
	case p.Version < 1:
		return invalid("version", "not above 0")
	case len(p.Rules) == 0:
		return invalid("rules", "empty: everything would be refused for ever, a new policy too")
	case len(p.Rules) > maxRules:
		return invalid("rules", fmt.Sprintf("more than %d", maxRules))
	case !ascending(p.Rules, func(a, b Rule) int { return strings.Compare(string(a.Name), string(b.Name)) }):
		return invalid("rules", "a name twice, or not in ascending order by name")
	case p.Lists != nil && len(p.Lists) == 0:
		return invalid("lists", "empty: leave it out")
	}
	if _, ok := Decimals(p.Currency); !ok {
		return invalid("currency", "not a currency of ISO 4217")
	}
	if err := p.Zone.check(); err != nil {
		return within("zone", err)
	}
	for _, name := range sortedKeys(p.Lists) {
		list := p.Lists[name]
		if in.elements += len(list); in.elements > maxElements {
			return invalid("lists", fmt.Sprintf("more than %d constants and list elements in all", maxElements))
		}
		if !ascending(list, strings.Compare) {
			return invalid("lists."+string(name), "not in ascending order without repetition")
		}
		if slices.ContainsFunc(list, func(s string) bool { return Fold(s) != s || len(s) > 1024 || !printable(s) }) {
			return invalid("lists."+string(name), "an element is not printable ASCII of at most 1,024 characters, or hexadecimal in upper case")
		}
	}
	for i := range p.Rules {
		in.types = p.Rules[i].For
		if err := p.Rules[i].check(in); err != nil {
			return within(fmt.Sprintf("rules.%d", i), err)
		}
	}
	return p.checkPeople()
}

func (r *Rule) check(in *reading) error {
	effects := 0
	for _, set := range []bool{r.Block != "", r.Allow != nil, r.Require != nil} {
		if set {
			effects++
		}
	}
	all := custody.IntentTypes()
	switch {
	case len(r.For) == 0:
		return invalid("for", "empty: the rule would never apply")
	case !ascending(r.For, func(a, b custody.IntentType) int { return slices.Index(all, a) - slices.Index(all, b) }):
		return invalid("for", "a type twice, or not in their order")
	case effects != 1:
		return invalid("", "a rule has exactly one of block, allow and require")
	case len(r.Block) > maxReason || !printable(r.Block):
		return invalid("block", fmt.Sprintf("not a reason of at most %d characters of printable ASCII", maxReason))
	}
	if err := r.When.check(in, 1); err != nil {
		return within("when", err)
	}
	if !r.When.FixesAsset() {
		return invalid("when", "amount.units needs amount.asset == CONSTANT beside it, and fee.units that or source.network == CONSTANT")
	}
	if in.policy.Zone == nil && slices.ContainsFunc(r.When.Facts(), func(f Fact) bool { return f == Weekday || f == Minute }) {
		return invalid("when", "asks for the time, and the policy has no zone")
	}
	if d := r.Demands(); d != nil {
		if err := d.Check(r.For); err != nil {
			return within(string(r.Effect()), err)
		}
		if r.Require != nil && r.Require.Nothing() {
			return invalid("require", "asks for nothing")
		}
	}
	return nil
}

// checkPeople bounds the people that all rules of one type together can ask for.
// All other demands have a strictest one, so stacked demands never contradict.
func (p *Policy) checkPeople() error {
	for _, t := range custody.IntentTypes() {
		var all Demands
		for _, r := range p.Rules {
			if d := r.Demands(); d != nil && slices.Contains(r.For, t) {
				all = stack(all, *d)
			}
			if len(slots(all.Approvals)) > maxPeople {
				return invalid("rules", fmt.Sprintf("ask together for more than %d people on a %s", maxPeople, t))
			}
		}
	}
	return nil
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e })
}
