package compile

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// scope is what the conjunctions around a term fix.
type scope struct {
	asset   custody.Asset
	network custody.Network
}

func (x *condition) tree(e celast.Expr, s scope) policy.Condition {
	if b, ok := literal[bool](e); ok {
		return constantly(b)
	}
	if f, ok := factOf(e); ok {
		return policy.Condition{Op: policy.Is, Fact: f}
	}
	if e.Kind() != celast.CallKind {
		x.problem(e, "a condition is true or false")
		return policy.Condition{}
	}
	args := e.AsCall().Args()
	switch function := e.AsCall().FunctionName(); function {
	case operators.LogicalAnd, operators.LogicalOr:
		terms := flat(e, function, nil)
		if function == operators.LogicalAnd {
			s = x.fixed(terms, s)
			return join(policy.And, x.trees(terms, s))
		}
		return join(policy.Or, x.trees(terms, s))
	case operators.LogicalNot:
		return negated(x.tree(args[0], s))
	case operators.In:
		return x.in(e, args[0], args[1], s)
	case operators.Equals:
		return x.compare(e, operators.In, args[0], args[1], s)
	case operators.NotEquals:
		return negated(x.compare(e, operators.In, args[0], args[1], s))
	case "under":
		root, ok := literal[string](args[0])
		if d, _ := policy.Domain.Definition(); !ok || d.Check(root) != nil {
			x.problem(args[0], "under takes a domain, as under(\"treasury/asia\")")
		}
		return policy.Condition{Op: policy.UnderRoot, Fact: policy.Domain, Texts: []string{root}}
	default:
		return x.compare(e, function, args[0], args[1], s)
	}
}

func (x *condition) trees(terms []celast.Expr, s scope) []policy.Condition {
	out := make([]policy.Condition, len(terms))
	for i, t := range terms {
		out[i] = x.tree(t, s)
	}
	return out
}

// flat lists the terms of nested && or ||.
func flat(e celast.Expr, function string, out []celast.Expr) []celast.Expr {
	if e.Kind() != celast.CallKind || e.AsCall().FunctionName() != function {
		return append(out, e)
	}
	for _, arg := range e.AsCall().Args() {
		out = flat(arg, function, out)
	}
	return out
}

// fixed returns s with what the terms of a conjunction fix.
func (x *condition) fixed(terms []celast.Expr, s scope) scope {
	for _, t := range terms {
		if t.Kind() != celast.CallKind {
			continue
		}
		call := t.AsCall()
		if call.FunctionName() != operators.Equals {
			continue
		}
		for i, arg := range call.Args() {
			constant, ok := literal[string](call.Args()[1-i])
			switch f := policy.Fact(dotted(arg)); {
			case ok && f == policy.AmountAsset:
				s.asset = custody.Asset(policy.Fold(constant))
			case ok && f == policy.Network:
				s.network = custody.Network(constant)
			}
		}
	}
	return s
}

func constantly(b bool) policy.Condition {
	if b {
		return policy.Condition{Op: policy.True}
	}
	return policy.Condition{Op: policy.False}
}

// join makes a conjunction or disjunction without nested ones of its own kind and
// without constants.
func join(op policy.Op, terms []policy.Condition) policy.Condition {
	decides := policy.False
	if op == policy.Or {
		decides = policy.True
	}
	var out []policy.Condition
	for _, t := range terms {
		switch t.Op {
		case decides:
			return t
		case policy.True, policy.False:
		case op:
			out = append(out, t.Terms...)
		default:
			out = append(out, t)
		}
	}
	switch len(out) {
	case 0:
		return constantly(op == policy.And)
	case 1:
		return out[0]
	}
	return policy.Condition{Op: op, Terms: out}
}

func negated(t policy.Condition) policy.Condition {
	switch t.Op {
	case policy.True, policy.False:
		return constantly(t.Op == policy.False)
	case policy.Not:
		return t.Terms[0]
	default:
		return policy.Condition{Op: policy.Not, Terms: []policy.Condition{t}}
	}
}

// flipped is what a comparison is when its sides change places.
var flipped = map[policy.Op]policy.Op{
	policy.In: policy.In, policy.Less: policy.More, policy.More: policy.Less,
	policy.AtMost: policy.AtLeast, policy.AtLeast: policy.AtMost,
}

var comparisons = map[string]policy.Op{
	operators.In: policy.In, operators.Less: policy.Less, operators.LessEquals: policy.AtMost,
	operators.Greater: policy.More, operators.GreaterEquals: policy.AtLeast,
}

// compare translates fact OP constant, or constant OP fact. Equality is
// membership of one.
func (x *condition) compare(e celast.Expr, function string, left, right celast.Expr, s scope) policy.Condition {
	op := comparisons[function]
	f, ok := factOf(left)
	g, both := factOf(right)
	switch {
	case ok && both:
		x.problem(e, "compares two facts, %s and %s: that is outside of what can be decided for every case", f, g)
		return policy.Condition{}
	case both:
		f, op, right = g, flipped[op], left
	case !ok:
		x.problem(e, "compares no fact with a constant")
		return policy.Condition{}
	}
	d, _ := f.Definition()
	if b, isBool := literal[bool](right); isBool && d.Kind == policy.Bool && op == policy.In {
		is := policy.Condition{Op: policy.Is, Fact: f}
		if b {
			return is
		}
		return negated(is)
	}
	if d.Kind == policy.Set || d.Kind == policy.Bool {
		x.problem(e, "%s is a %s: it does not compare", f, d.Kind)
		return policy.Condition{}
	}
	atom := policy.Condition{Op: op, Fact: f}
	x.constants(&atom, d, []celast.Expr{right}, s)
	if op != policy.In && len(atom.Texts) > 0 {
		x.problem(right, "%s compares with a number only", f)
	}
	return atom
}

func (x *condition) in(e, left, right celast.Expr, s scope) policy.Condition {
	if f, ok := factOf(right); ok {
		element, isText := literal[string](left)
		d, _ := f.Definition()
		if !isText || d.Kind != policy.Set {
			x.problem(e, `a set is asked as "x" in %s`, f)
		} else if err := d.Check(element); err != nil {
			x.problem(left, "%s can't hold %q: %v", f, element, err)
		}
		return policy.Condition{Op: policy.Contains, Fact: f, Texts: []string{element}}
	}
	f, ok := factOf(left)
	d, _ := f.Definition()
	list, isList := strings.CutPrefix(dotted(right), "lists.")
	atom := policy.Condition{Op: policy.In, Fact: f}
	switch {
	case !ok || d.Kind == policy.Set || d.Kind == policy.Bool:
		x.problem(e, "in takes a fact of one value and a list of constants, or a constant and a set")
	case isList:
		atom.List = custody.Name(list)
		for _, element := range x.language.lists[atom.List] {
			if err := x.fits(d, element); err != nil {
				x.problem(right, "%s holds %q: %v", dotted(right), element, err)
				break
			}
		}
	case right.Kind() != celast.ListKind || len(right.AsList().Elements()) == 0:
		x.problem(right, "in takes a list of constants that is not empty")
	default:
		x.constants(&atom, d, right.AsList().Elements(), s)
	}
	return atom
}

// constants fills in what an atom compares its fact with.
func (x *condition) constants(atom *policy.Condition, d policy.Definition, list []celast.Expr, s scope) {
	for _, e := range list {
		if text, ok := literal[string](e); ok {
			folded := x.constant(text, x.place(e))
			if err := x.fits(d, folded); err != nil {
				x.problem(e, "%s can't be %q: %v", atom.Fact, text, err)
			}
			atom.Texts = append(atom.Texts, folded)
		} else if n, ok := x.number(e, atom.Fact, s); ok {
			atom.Numbers = append(atom.Numbers, n)
		}
	}
	switch {
	case len(atom.Texts) > 0 && len(atom.Numbers) > 0:
		x.problem(list[0], "a list holds either texts or numbers")
	case atom.Fact == policy.AmountUnits && s.asset == "":
		x.problem(list[0], `amount.units needs amount.asset == "…" beside it, joined by &&`)
	case atom.Fact == policy.FeeUnits && s.asset == "" && s.network == "":
		x.problem(list[0], `fee.units needs source.network == "…" or amount.asset == "…" beside it, joined by &&`)
	}
	slices.Sort(atom.Texts)
	atom.Texts = slices.Compact(atom.Texts)
	slices.SortFunc(atom.Numbers, custody.Amount.Cmp)
	atom.Numbers = slices.Compact(atom.Numbers)
}

var evmLength = regexp.MustCompile(`^0x([0-9a-f]{40}|[0-9a-f]{64})$`)

// fits refuses a text that the fact can't be.
func (x *condition) fits(d policy.Definition, folded string) error {
	address := d.Name == "destination.address" || d.Name == "contract.address" || d.Name == "typed.contract"
	if address && strings.HasPrefix(folded, "0x") && !evmLength.MatchString(folded) {
		return fmt.Errorf("an address that begins with 0x has 40 or 64 hex digits after it, not %d characters", len(folded)-2)
	}
	return d.Check(folded)
}

func (x *condition) place(e celast.Expr) Position {
	at := x.info.GetStartLocation(e.ID())
	return x.places.of(character(x.source, at.Line(), at.Column()))
}

// number returns the number that a constant is, in the smallest units.
func (x *condition) number(e celast.Expr, f policy.Fact, s scope) (custody.Amount, bool) {
	if n, ok := literal[int64](e); ok {
		if n < 0 {
			x.problem(e, "no fact is negative")
			return custody.Amount{}, false
		}
		return x.inRange(e, f, custody.NewAmount(uint64(n)))
	}
	if e.Kind() != celast.CallKind || len(e.AsCall().Args()) != 1 {
		x.problem(e, "not a constant that %s compares with", f)
		return custody.Amount{}, false
	}
	arg := e.AsCall().Args()[0]
	text, isText := literal[string](arg)
	if n, ok := literal[int64](arg); ok {
		text, isText = strconv.FormatInt(n, 10), true
	}
	var a custody.Amount
	var err error
	switch function := e.AsCall().FunctionName(); {
	case !isText:
		err = fmt.Errorf("%s takes a constant", function)
	case function == x.language.currency:
		a, err = minor(text, x.policy.Currency)
	case function != "units":
		err = fmt.Errorf("%s() is not a constant", function)
	case f == policy.FeeUnits:
		err = errors.New("fee.units compares with a plain number of the network's smallest unit")
	case s.asset == "":
		err = errors.New(`units needs amount.asset == "…" beside it, joined by &&`)
	default:
		decimals, known := x.decimalsOf(s.asset)
		if !known {
			err = fmt.Errorf("how many decimals %s has is not known: add it to decimals", s.asset)
			break
		}
		a, err = scaled(text, decimals)
	}
	if err != nil {
		x.problem(e, "%v", err)
		return a, false
	}
	return x.inRange(e, f, a)
}

func (x *condition) inRange(e celast.Expr, f policy.Fact, n custody.Amount) (custody.Amount, bool) {
	if d, _ := f.Definition(); d.Kind == policy.Number {
		if err := d.Check(n.String()); err != nil {
			x.problem(e, "%s can't be %s: %v", f, n, err)
			return n, false
		}
	}
	return n, true
}
