package compile

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// amount is money as cel-go computes with it in this test.
type amount struct{ custody.Amount }

func (a amount) ConvertToNative(reflect.Type) (any, error) { return a.Amount, nil }
func (a amount) ConvertToType(ref.Type) ref.Val            { return types.NewErr("no conversion") }
func (a amount) Type() ref.Type                            { return types.NewObjectType("money", traits.ComparerType) }
func (a amount) Value() any                                { return a.Amount }

func (a amount) Equal(other ref.Val) ref.Val {
	b, ok := other.(amount)
	return types.Bool(ok && a.Cmp(b.Amount) == 0)
}

func (a amount) Compare(other ref.Val) ref.Val {
	b, ok := other.(amount)
	if !ok {
		return types.NewErr("not money")
	}
	return types.Int(a.Cmp(b.Amount))
}

const testCoin = "bip122:000000000019d6689c085ae165831e93/slip44:0"

var testLists = map[custody.Name][]string{"bad": {"IR", "KP"}}

// interpreter returns the conditions' language with functions that compute, over
// given facts.
func interpreter(l *language, facts policy.Facts) (*cel.Env, error) {
	total := func(name func(string, string) policy.Fact, known func(custody.Amount) ref.Val) func(...ref.Val) ref.Val {
		return func(args ...ref.Val) ref.Val {
			v := facts[name(args[0].Value().(string), args[1].Value().(string))]
			if v.Kind() == policy.Unknown {
				return types.NewUnknown(1, nil)
			}
			n, err := custody.ParseAmount(v.String())
			if err != nil {
				return types.WrapErr(err)
			}
			return known(n)
		}
	}
	toMoney := func(n custody.Amount) ref.Val { return amount{n} }
	toInt := func(n custody.Amount) ref.Val { return types.String(n.String()).ConvertToType(types.IntType) }
	fixed := func(decimals int, known func(custody.Amount) ref.Val) func(ref.Val) ref.Val {
		return func(v ref.Val) ref.Val {
			n, err := scaled(fmt.Sprint(v.Value()), decimals)
			if err != nil {
				return types.WrapErr(err)
			}
			return known(n)
		}
	}
	under := func(v ref.Val) ref.Val {
		domain := facts[policy.Domain]
		if domain.Kind() == policy.Unknown {
			return types.NewUnknown(1, nil)
		}
		return types.Bool(custody.Domain(strings.Trim(domain.String(), `"`)).Under(custody.Domain(v.Value().(string))))
	}
	return l.env.Extend(
		cel.Function("usd",
			cel.Overload("money_int", []*cel.Type{cel.IntType}, money, cel.UnaryBinding(fixed(2, toMoney))),
			cel.Overload("money_string", []*cel.Type{cel.StringType}, money, cel.UnaryBinding(fixed(2, toMoney)))),
		cel.Function("units", cel.Overload("units_string", []*cel.Type{cel.StringType}, cel.IntType, cel.UnaryBinding(fixed(8, toInt)))),
		cel.Function("under", cel.Overload("under_string", []*cel.Type{cel.StringType}, cel.BoolType, cel.UnaryBinding(under))),
		cel.Function("spent", cel.Overload("spent_strings", []*cel.Type{cel.StringType, cel.StringType}, money, cel.FunctionBinding(total(policy.Spent, toMoney)))),
		cel.Function("count", cel.Overload("count_strings", []*cel.Type{cel.StringType, cel.StringType}, cel.IntType, cel.FunctionBinding(total(policy.Count, toInt)))),
	)
}

func drawText(t *rapid.T, depth int) string {
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	if depth > 0 {
		switch pick("shape", "and", "or", "not", "brackets", "atom") {
		case "and":
			return "(" + drawText(t, depth-1) + " && " + drawText(t, depth-1) + " && " + drawText(t, depth-1) + ")"
		case "or":
			return "(" + drawText(t, depth-1) + " || " + drawText(t, depth-1) + ")"
		case "not":
			return "!(" + drawText(t, depth-1) + ")"
		case "brackets":
			return "(((" + drawText(t, depth-1) + ")))"
		}
	}
	relation := pick("relation", "<", "<=", ">", ">=", "==", "!=")
	order := pick("order", "<", "<=", ">", ">=")
	n := pick("n", "0", "1", "2", "3")
	switch pick("atom", "text", "texts", "list", "money", "spent", "count", "set", "flag", "under", "units", "argText", "argNumber", "constant", "flip", "time") {
	case "text":
		return `source.purpose ` + pick("eq", "==", "!=") + ` "` + pick("purpose", "TREASURY", "RETAIL") + `"`
	case "texts":
		return `destination.country in ["KP", "` + pick("country", "DE", "IR", "KP") + `"]`
	case "list":
		return pick("fact", "destination.country", "initiator.country") + ` in lists.bad`
	case "money":
		return `amount.value ` + relation + ` usd(` + pick("form", n, `"`+n+`"`, `"0.0`+n+`"`) + `)`
	case "spent":
		return `spent("source.vault", "24h") ` + order + ` usd(` + n + `)`
	case "count":
		return `count("initiator", "1h") ` + relation + ` ` + n
	case "set":
		return `"` + pick("element", "x", "y") + `" in destination.tags`
	case "flag":
		return pick("flag", "destination.firstUse", "destination.firstUse == true", "destination.firstUse != true", "false == destination.firstUse")
	case "under":
		return `under("` + pick("root", "t", "t/asia") + `")`
	case "units":
		return `(amount.asset == "` + testCoin + `" && amount.units ` + relation + ` ` + pick("units", n, `units("0.0000000`+n+`")`) + `)`
	case "argText":
		return `contract.args.s == "0x0` + n + `"`
	case "argNumber":
		return pick("number", `contract.args.n `+relation+` `+n, `contract.args.n in [1, `+n+`]`)
	case "constant":
		return pick("constant", "true", "false")
	case "time":
		return `time.weekday in [6, 7, 7]`
	default:
		return n + ` ` + relation + ` count("initiator", "1h")`
	}
}

// TestAgreesWithCEL: what cel-go makes of a condition's text, and what our tree
// makes of it, is the same truth for the same facts, known and unknown.
func TestAgreesWithCEL(t *testing.T) {
	l, err := newLanguage("USD", testLists)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[policy.Truth]int{}
	rapid.Check(t, func(t *rapid.T) {
		text := drawText(t, 4)
		facts, vars, unknown := drawValues(t)
		tree, problems := compileText(l, text)
		if len(problems) > 0 {
			t.Fatalf("%s: %v", text, problems)
		}
		env, err := interpreter(l, facts)
		if err != nil {
			t.Fatal(err)
		}
		checked, issues := env.Compile(text)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		program, err := env.Program(checked, cel.EvalOptions(cel.OptPartialEval))
		if err != nil {
			t.Fatal(err)
		}
		input, err := cel.PartialVars(vars, unknown...)
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := program.Eval(input)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		want := policy.Undetermined
		if !types.IsUnknown(out) {
			want = map[any]policy.Truth{true: policy.Yes, false: policy.No}[out.Value()]
		}
		if got := tree.Eval(facts, testLists); got != want {
			t.Fatalf("%s\n over %v is %d, in CEL %v", text, facts, got, out)
		}
		seen[want]++
		// What people are shown means the same: compiled again it is the same tree.
		p := &policy.Policy{Currency: "USD"}
		again, problems := compileText(l, p.Print(&tree))
		if len(problems) > 0 || fmt.Sprint(again) != fmt.Sprint(tree) {
			t.Fatalf("%s\nprinted %s: %v", text, p.Print(&tree), problems)
		}
	})
	if len(seen) < 3 {
		t.Errorf("conditions were true, false or unknown: %v; want all", seen)
	}
}

func compileText(l *language, text string) (policy.Condition, Problems) {
	_, r := open([]byte("a: 1"))
	r.lines = []string{text}
	c := &compiler{reader: r, policy: &policy.Policy{Currency: "USD", Lists: testLists}, language: l}
	x := &condition{compiler: c, source: text, types: []custody.IntentType{custody.ContractCallIntent}}
	return x.compile(), r.problems
}

func drawValues(t *rapid.T) (policy.Facts, map[string]any, []*cel.AttributePatternType) {
	facts := policy.Facts{policy.IntentType: policy.TextOf(custody.ContractCallIntent)}
	vars := map[string]any{"lists.bad": testLists["bad"]}
	var unknown []*cel.AttributePatternType
	put := func(f policy.Fact, v policy.Value, inCEL any) {
		if rapid.IntRange(0, 3).Draw(t, "unknown") == 0 {
			unknown = append(unknown, cel.AttributePattern(string(f)))
			return
		}
		facts[f], vars[string(f)] = v, inCEL
	}
	text := func(f policy.Fact, from ...string) {
		s := rapid.SampledFrom(from).Draw(t, string(f))
		put(f, policy.TextOf(s), s)
	}
	number := func(f policy.Fact, inCEL func(n int) any) {
		n := rapid.IntRange(0, 4).Draw(t, string(f))
		if f.Monetary() {
			n *= 100
		}
		put(f, policy.NumberOf(custody.NewAmount(uint64(n))), inCEL(n))
	}
	integer := func(n int) any { return n }
	dollars := func(n int) any { return amount{custody.NewAmount(uint64(n))} }
	text("source.purpose", "TREASURY", "RETAIL", "ISSUANCE")
	text("destination.country", "DE", "IR", "KP", "FR")
	text("initiator.country", "DE", "IR")
	text(policy.AmountAsset, testCoin, "eip155:1/slip44:60")
	text(policy.Domain, "t", "t/asia", "tt", "u")
	number(policy.AmountValue, dollars)
	number(policy.AmountUnits, integer)
	number(policy.Spent("source.vault", "24h"), dollars)
	number(policy.Count("initiator", "1h"), integer)
	number(policy.Weekday, integer)
	if v := facts[policy.Weekday]; v.String() == "0" {
		facts[policy.Weekday], vars[string(policy.Weekday)] = policy.NumberOf(custody.NewAmount(7)), 7
	}
	flag := rapid.Bool().Draw(t, "flag")
	put("destination.firstUse", policy.BoolOf(flag), flag)
	var tags []string
	for _, tag := range []string{"x", "y"} {
		if rapid.Bool().Draw(t, tag) {
			tags = append(tags, tag)
		}
	}
	put("destination.tags", policy.SetOf(tags...), slices.Clone(tags))
	args := map[string]any{}
	n := rapid.IntRange(0, 4).Draw(t, "n")
	if rapid.Bool().Draw(t, "args known") {
		facts["contract.args.s"], args["s"] = policy.TextOf(fmt.Sprintf("0x0%d", n)), fmt.Sprintf("0x0%d", n)
		facts["contract.args.n"], args["n"] = policy.TextOf(strconv.Itoa(n)), n
	} else {
		unknown = append(unknown, cel.AttributePattern("contract.args").QualString("s"), cel.AttributePattern("contract.args").QualString("n"))
	}
	vars["contract.args"] = args
	return facts, vars, unknown
}
