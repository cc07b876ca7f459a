package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/internal/custody"
)

// Op is what a [Condition] does.
type Op string

// The operations. And, Or and Not have Terms; the rest are atoms over one Fact.
const (
	True  Op = "true"
	False Op = "false"
	And   Op = "and"
	Or    Op = "or"
	Not   Op = "not"

	In        Op = "in" // a text or number is one of Texts, Numbers or the list
	Less      Op = "<"  // a number compares with the one in Numbers
	AtMost    Op = "<="
	More      Op = ">"
	AtLeast   Op = ">="
	Is        Op = "is"       // a boolean is true
	Contains  Op = "contains" // a set holds the one text in Texts
	UnderRoot Op = "under"    // a domain is the one text in Texts or lies below it
)

// Condition is one node of the tree that a rule's condition is compiled to. The
// analyser reads the same tree as [Policy.Evaluate].
type Condition struct {
	Op      Op               `json:"op"`
	Terms   []Condition      `json:"terms,omitzero"`
	Fact    Fact             `json:"fact,omitzero"`
	Texts   []string         `json:"texts,omitzero"`   // in ascending order, folded
	Numbers []custody.Amount `json:"numbers,omitzero"` // in ascending order
	List    custody.Name     `json:"list,omitzero"`    // a list of the policy
}

// Truth is a value of three-valued logic (Kleene). The zero Truth is
// undetermined.
type Truth uint8

// The truth values.
const (
	Undetermined Truth = iota
	No
	Yes
)

func (t Truth) not() Truth {
	switch t {
	case Yes:
		return No
	case No:
		return Yes
	default:
		return Undetermined
	}
}

func truth(b bool) Truth {
	if b {
		return Yes
	}
	return No
}

// Eval returns the truth of c over facts; lists are the policy's. It is
// Undetermined where that depends on a fact that is unknown, and in any tree that
// [Parse] refuses for its form or depth.
func (c *Condition) Eval(facts Facts, lists map[custody.Name][]string) Truth {
	return c.eval(facts, lists, maxNesting)
}

func (c *Condition) eval(facts Facts, lists map[custody.Name][]string, depth int) Truth {
	if depth == 0 {
		return Undetermined
	}
	switch c.Op {
	case True:
		return Yes
	case False:
		return No
	case And:
		return c.fold(facts, lists, depth, No)
	case Or:
		return c.fold(facts, lists, depth, Yes)
	case Not:
		if len(c.Terms) == 1 {
			return c.Terms[0].eval(facts, lists, depth-1).not()
		}
		return Undetermined
	default:
		return c.atom(facts[c.Fact], lists)
	}
}

// fold joins the terms of And, for which No decides, or of Or, for which Yes does.
func (c *Condition) fold(facts Facts, lists map[custody.Name][]string, depth int, decides Truth) Truth {
	result := decides.not()
	for i := range c.Terms {
		t := c.Terms[i].eval(facts, lists, depth-1)
		if t == decides {
			return decides
		}
		if t == Undetermined {
			result = Undetermined
		}
	}
	return result
}

func (c *Condition) atom(v Value, lists map[custody.Name][]string) Truth {
	switch {
	case c.Op == Is && v.kind == Bool:
		return truth(v.is)
	case c.Op == Contains && v.kind == Set && len(c.Texts) == 1:
		return truth(slices.Contains(v.set, c.Texts[0]))
	case c.Op == UnderRoot && v.kind == Text && len(c.Texts) == 1:
		return truth(custody.Domain(v.text).Under(custody.Domain(c.Texts[0])))
	case len(c.Numbers) > 0:
		n, ok := v.asNumber()
		if !ok {
			return Undetermined
		}
		return c.compare(n)
	case c.Op == In && v.kind == Text:
		among := c.Texts
		if c.List != "" {
			var ok bool
			if among, ok = lists[c.List]; !ok {
				return Undetermined
			}
		}
		_, found := slices.BinarySearch(among, Fold(v.text))
		return truth(found)
	}
	return Undetermined
}

// asNumber returns v as a number. A text of digits is one: arguments of a call
// are texts until they are compared.
func (v Value) asNumber() (n custody.Amount, ok bool) {
	switch v.kind {
	case Number:
		return v.number, true
	case Text:
		n, err := custody.ParseAmount(v.text)
		return n, err == nil
	default:
		return n, false
	}
}

func (c *Condition) compare(n custody.Amount) Truth {
	order := n.Cmp(c.Numbers[0])
	switch c.Op {
	case In:
		_, found := slices.BinarySearchFunc(c.Numbers, n, custody.Amount.Cmp)
		return truth(found)
	case Less:
		return truth(order < 0)
	case AtMost:
		return truth(order <= 0)
	case More:
		return truth(order > 0)
	case AtLeast:
		return truth(order >= 0)
	default:
		return Undetermined
	}
}

// Walk calls visit for c and every condition below it.
func (c *Condition) Walk(visit func(*Condition)) {
	visit(c)
	for i := range c.Terms {
		c.Terms[i].Walk(visit)
	}
}

// Facts returns the facts that c asks about, in ascending order.
func (c *Condition) Facts() []Fact {
	var list []Fact
	c.Walk(func(c *Condition) {
		if c.Fact != "" {
			list = append(list, c.Fact)
		}
	})
	slices.Sort(list)
	return slices.Compact(list)
}

// check refuses a tree that a compiler wouldn't make: form, kinds, the facts that
// the types have, the limits.
func (c *Condition) check(in *reading, depth int) error {
	if depth > maxNesting {
		return invalid("", fmt.Sprintf("nested more than %d deep", maxNesting))
	}
	if in.nodes++; in.nodes > maxNodes {
		return invalid("", fmt.Sprintf("more than %d conditions in all", maxNodes))
	}
	terms, atom := 0, false
	switch c.Op {
	case True, False:
	case And, Or:
		terms = max(2, len(c.Terms))
	case Not:
		terms = 1
	case In, Less, AtMost, More, AtLeast, Is, Contains, UnderRoot:
		atom = true
	default:
		return invalid("op", "not an operation")
	}
	if len(c.Terms) != terms {
		return invalid("terms", "not as many as the operation takes")
	}
	if atom {
		return c.checkAtom(in)
	}
	if c.Fact != "" || c.Texts != nil || c.Numbers != nil || c.List != "" {
		return invalid("fact", "this operation is about no fact")
	}
	for i := range c.Terms {
		if err := c.Terms[i].check(in, depth+1); err != nil {
			return within(fmt.Sprintf("terms.%d", i), err)
		}
	}
	return nil
}

func (c *Condition) checkAtom(in *reading) error {
	d, ok := c.Fact.Definition()
	if !ok {
		return invalid("fact", "not a fact")
	}
	for _, t := range in.types {
		if !slices.Contains(d.Types, t) {
			return invalid("fact", fmt.Sprintf("%s has no %s", t, c.Fact))
		}
	}
	kind, constants := d.Kind, "one text"
	switch c.Op {
	case Less, AtMost, More, AtLeast:
		kind, constants = Number, "one number"
	case In:
		constants = "texts or a list"
		if c.Numbers != nil {
			kind, constants = Number, "numbers"
		}
	case Is:
		kind, constants = Bool, "nothing"
	case Contains:
		kind = Set
	case UnderRoot:
		kind = Text
	default:
	}
	switch {
	case kind != d.Kind && (kind != Number || !strings.HasPrefix(string(c.Fact), argument)),
		c.Op == UnderRoot && c.Fact != Domain,
		c.Op == In && d.Kind != Text && d.Kind != Number,
		c.Op == In && d.Kind == Number && c.Numbers == nil:
		return invalid("op", fmt.Sprintf("%q does not go with a %s such as %s", c.Op, d.Kind, c.Fact))
	case constants == "nothing" && (c.Texts != nil || c.Numbers != nil || c.List != ""),
		constants == "one text" && (len(c.Texts) != 1 || c.Numbers != nil || c.List != ""),
		constants == "one number" && (len(c.Numbers) != 1 || c.Texts != nil || c.List != ""),
		constants == "numbers" && (len(c.Numbers) == 0 || c.Texts != nil || c.List != ""),
		constants == "texts or a list" && (len(c.Texts) == 0) == (c.List == ""):
		return invalid("texts", fmt.Sprintf("%q stands with %s", c.Op, constants))
	}
	return c.checkConstants(in, d)
}

func (c *Condition) checkConstants(in *reading, d Definition) error {
	in.elements += len(c.Texts) + len(c.Numbers)
	if in.elements > maxElements {
		return invalid("texts", fmt.Sprintf("more than %d constants and list elements in all", maxElements))
	}
	if !ascending(c.Texts, strings.Compare) {
		return invalid("texts", "not in ascending order without repetition")
	}
	if err := d.checkTexts(c.Texts); err != nil {
		return within("texts", err)
	}
	if c.List != "" {
		if err := in.checkList(c.List, d); err != nil {
			return within("list", err)
		}
	}
	if !ascending(c.Numbers, custody.Amount.Cmp) {
		return invalid("numbers", "not in ascending order without repetition")
	}
	for _, n := range c.Numbers {
		if d.Kind == Number && d.check != nil {
			if err := d.check(n.String()); err != nil {
				return within("numbers", invalid("", fmt.Sprintf("%s can't be %s: %v", c.Fact, n, err)))
			}
		}
	}
	return nil
}

func (d Definition) checkTexts(texts []string) error {
	for _, s := range texts {
		if err := d.Check(s); err != nil {
			return invalid("", fmt.Sprintf("%s can't be %s: %v", d.Name, quote(s), err))
		}
		if Fold(s) != s {
			return invalid("", quote(s)+": write it in lower case")
		}
	}
	return nil
}

// checkList checks each list once beside each fact, however many rules use it.
func (r *reading) checkList(name custody.Name, d Definition) error {
	list, ok := r.policy.Lists[name]
	if !ok {
		return invalid("", "no list of this policy")
	}
	key := use{name, d.Name}
	if strings.HasPrefix(string(d.Name), argument) {
		key.fact = argument
	}
	err, done := r.lists[key]
	if !done {
		err = d.checkTexts(list)
		r.lists[key] = err
	}
	return err
}

// FixesAsset reports whether wherever c compares amount.units the asset is fixed
// beside it, and likewise fee.units and the network: `fact == constant` in a
// conjunction with the comparison. Base units of different assets can't be
// compared.
func (c *Condition) FixesAsset() bool { return c.fixes(false, false) }

func (c *Condition) fixes(asset, network bool) bool {
	if c.Op == And {
		for _, t := range c.Terms {
			one := t.Op == In && len(t.Texts) == 1
			asset = asset || one && t.Fact == AmountAsset
			network = network || one && t.Fact == Network
		}
	}
	if c.Fact == AmountUnits && !asset || c.Fact == FeeUnits && !asset && !network {
		return false
	}
	return !slices.ContainsFunc(c.Terms, func(t Condition) bool { return !t.fixes(asset, network) })
}

func ascending[T any](list []T, compare func(a, b T) int) bool {
	for i := 1; i < len(list); i++ {
		if compare(list[i-1], list[i]) >= 0 {
			return false
		}
	}
	return true
}

// sortedKeys returns the keys of m in ascending order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
