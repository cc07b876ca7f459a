package compile

import (
	"fmt"
	"regexp"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"github.com/goccy/go-yaml/ast"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// condition is one condition on its way from CEL to the tree.
type condition struct {
	*compiler
	source string
	places places
	types  []custody.IntentType
	info   *celast.SourceInfo
}

// when compiles the condition of a rule in three steps: CEL parses it, what
// policies don't have is refused by its name, CEL checks the types.
func (c *compiler) when(n ast.Node, types []custody.IntentType) (tree policy.Condition) {
	if b, ok := n.(*ast.BoolNode); ok {
		c.fail(start(n), `when is CEL in a text: write "%s" in quotes`, b.GetToken().Value)
		return tree
	}
	source, ok := c.text(n, "when")
	if !ok {
		return tree
	}
	x := &condition{compiler: c, source: source, places: c.places(n, source), types: types}
	if strings.TrimSpace(source) == "" {
		c.fail(start(n), `when: empty: a rule that always applies says "true"`)
		return tree
	}
	return x.compile()
}

// compile returns the tree; it has a meaning only if nothing was wrong.
func (x *condition) compile() (tree policy.Condition) {
	parsed, issues := x.language.env.Parse(x.source)
	if x.report(issues) {
		return tree
	}
	before := len(x.problems)
	x.info = parsed.NativeRep().SourceInfo()
	if x.subset(parsed.NativeRep().Expr()); len(x.problems) > before {
		return tree
	}
	checked, issues := x.language.env.Check(parsed)
	if x.report(issues) {
		return tree
	}
	root := checked.NativeRep().Expr()
	if t := checked.OutputType(); !t.IsExactType(cel.BoolType) {
		x.problem(root, "a condition is true or false, and this is %s", t)
		return tree
	}
	return x.tree(root, scope{})
}

var overload = regexp.MustCompile(`^found no matching overload for '_?([^_']*)_?' applied to '\((.*)\)'$`)

// report takes over what CEL found wrong.
func (x *condition) report(issues *cel.Issues) bool {
	if issues == nil || issues.Err() == nil {
		return false
	}
	for _, e := range issues.Errors() {
		message := strings.Join(strings.Fields(e.Message), " ")
		if m := overload.FindStringSubmatch(message); m != nil {
			message = fmt.Sprintf("%s does not go with %s", m[1], strings.ReplaceAll(m[2], ", ", " and "))
			switch {
			case strings.Contains(m[2], "money"):
				message += fmt.Sprintf("; an amount of the currency is written %s(25000)", x.language.currency)
			case strings.Contains(m[2], "string"):
				message += "; a text stands in quotes, a number doesn't"
			}
		}
		at := x.places.of(character(x.source, e.Location.Line(), e.Location.Column()))
		x.fail(at, "when: %s", message)
	}
	return true
}

func (x *condition) problem(e celast.Expr, format string, args ...any) {
	for e.Kind() == celast.SelectKind { // a name begins with its first part
		e = e.AsSelect().Operand()
	}
	at := x.info.GetStartLocation(e.ID())
	x.fail(x.places.of(character(x.source, at.Line(), at.Column())), "when: "+format, args...)
}

// subset refuses what is outside of the language of policies.
func (x *condition) subset(e celast.Expr) {
	switch e.Kind() {
	case celast.CallKind:
		x.call(e)
	case celast.IdentKind, celast.SelectKind:
		x.name(e)
	case celast.ListKind:
		for _, element := range e.AsList().Elements() {
			x.subset(element)
		}
	case celast.LiteralKind:
		switch v := e.AsLiteral().Value().(type) {
		case bool, string, int64:
		case float64:
			x.problem(e, `a number with decimals stands in quotes, as %s("0.50") or units("0.5")`, x.language.currency)
		default:
			x.problem(e, "a constant of type %T is not part of policies", v)
		}
	default:
		x.problem(e, "objects and maps are not part of policies")
	}
}

func (x *condition) call(e celast.Expr) {
	call := e.AsCall()
	function := call.FunctionName()
	if why := x.language.outside(function); why != "" {
		x.problem(e, "%s", why)
		return
	}
	if call.IsMemberFunction() {
		x.problem(e, "%s() stands alone, behind no dot", function)
		return
	}
	for _, arg := range call.Args() {
		x.subset(arg)
	}
	switch function {
	case "spent", "count":
		if fact, ok := factOf(e); !ok {
			x.problem(e, `%s takes a scope ("source.vault", "initiator", "destination", "institution") and a window ("1h", "24h", "7d", "30d")`, function)
		} else {
			x.has(e, fact)
		}
	case "under":
		x.has(e, policy.Domain)
	}
}

// name checks a fact or the name of a list.
func (x *condition) name(e celast.Expr) {
	name := dotted(e)
	if list, ok := strings.CutPrefix(name, "lists."); ok {
		if _, known := x.language.lists[custody.Name(list)]; !known {
			x.problem(e, "%s: no such list", name)
		}
		x.language.used[custody.Name(list)] = true
		return
	}
	if _, ok := policy.Fact(name).Definition(); !ok {
		x.problem(e, "%q is not a fact", name)
		return
	}
	x.has(e, policy.Fact(name))
}

func (x *condition) has(e celast.Expr, f policy.Fact) {
	for _, t := range x.types {
		if !f.Of(t) {
			x.problem(e, "%s has no %s", t, f)
			return
		}
	}
	x.language.timed = x.language.timed || f == policy.Weekday || f == policy.Minute
}

// dotted returns the name a.b.c that e is; "" if it is none.
func dotted(e celast.Expr) string {
	switch e.Kind() {
	case celast.IdentKind:
		return e.AsIdent()
	case celast.SelectKind:
		if operand := dotted(e.AsSelect().Operand()); operand != "" {
			return operand + "." + e.AsSelect().FieldName()
		}
	default:
	}
	return ""
}

// factOf returns the fact that e asks for.
func factOf(e celast.Expr) (policy.Fact, bool) {
	f := policy.Fact(dotted(e))
	if e.Kind() == celast.CallKind && len(e.AsCall().Args()) == 2 {
		name := map[string]func(scope, window string) policy.Fact{"spent": policy.Spent, "count": policy.Count}[e.AsCall().FunctionName()]
		scope, ok1 := literal[string](e.AsCall().Args()[0])
		window, ok2 := literal[string](e.AsCall().Args()[1])
		if name != nil && ok1 && ok2 {
			f = name(scope, window)
		}
	}
	_, ok := f.Definition()
	return f, ok
}

func literal[T any](e celast.Expr) (v T, ok bool) {
	if e.Kind() != celast.LiteralKind {
		return v, false
	}
	v, ok = e.AsLiteral().Value().(T)
	return v, ok
}
