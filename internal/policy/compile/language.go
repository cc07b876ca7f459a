package compile

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// language is CEL as conditions of one policy use it: its facts as variables, its
// lists, and the functions of its currency.
type language struct {
	env      *cel.Env
	currency string // the function that makes amounts of it
	lists    map[custody.Name][]string
	used     map[custody.Name]bool // lists that some condition names
	timed    bool                  // some condition asks for the time
}

// money is an amount of the currency. It compares with nothing else, so that 25000
// can't be taken for dollars by one reader and for cents by another.
var money = cel.OpaqueType("money")

// Words that CEL keeps for itself; no field can have such a name.
var reserved = map[string]bool{
	"as": true, "break": true, "const": true, "continue": true, "else": true, "false": true, "for": true,
	"function": true, "if": true, "import": true, "in": true, "let": true, "loop": true, "namespace": true,
	"null": true, "package": true, "return": true, "true": true, "var": true, "void": true, "while": true,
}

func newLanguage(currency custody.Currency, lists map[custody.Name][]string) (*language, error) {
	l := &language{currency: strings.ToLower(string(currency)), lists: lists, used: make(map[custody.Name]bool)}
	options := []cel.EnvOption{
		cel.ClearMacros(),
		cel.ParserRecursionLimit(100),
		cel.ParserExpressionSizeLimit(maxCondition),
		cel.Variable("contract.args", cel.MapType(cel.StringType, cel.DynType)),
		cel.Function(l.currency,
			cel.Overload("money_int", []*cel.Type{cel.IntType}, money),
			cel.Overload("money_string", []*cel.Type{cel.StringType}, money)),
		cel.Function("units", cel.Overload("units_string", []*cel.Type{cel.StringType}, cel.IntType)),
		cel.Function("under", cel.Overload("under_string", []*cel.Type{cel.StringType}, cel.BoolType)),
		cel.Function("spent", cel.Overload("spent_strings", []*cel.Type{cel.StringType, cel.StringType}, money)),
		cel.Function("count", cel.Overload("count_strings", []*cel.Type{cel.StringType, cel.StringType}, cel.IntType)),
	}
	// Overloads only: an implementation of a standard operator can't be bound.
	for _, operator := range []string{operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals} {
		options = append(options, cel.Function(operator,
			cel.Overload("money"+operator, []*cel.Type{money, money}, cel.BoolType)))
	}
	for _, d := range policy.Definitions() {
		if _, _, _, total := d.Name.Total(); !total && d.Name != "contract.args.NAME" {
			options = append(options, cel.Variable(string(d.Name), typeOf(d)))
		}
	}
	for name := range lists {
		options = append(options, cel.Variable("lists."+string(name), cel.ListType(cel.StringType)))
	}
	var err error
	if l.env, err = cel.NewEnv(options...); err != nil {
		return nil, fmt.Errorf("CEL: %w", err)
	}
	return l, nil
}

func typeOf(d policy.Definition) *cel.Type {
	switch {
	case d.Name.Monetary():
		return money
	case d.Kind == policy.Number:
		return cel.IntType
	case d.Kind == policy.Bool:
		return cel.BoolType
	case d.Kind == policy.Set:
		return cel.ListType(cel.StringType)
	default:
		return cel.StringType
	}
}

// outside says why an operator or function of CEL is not in the language; "" if it
// is.
func (l *language) outside(function string) string {
	switch function {
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Equals, operators.NotEquals,
		operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals, operators.In,
		l.currency, "units", "under", "spent", "count":
		return ""
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo, operators.Negate:
		return "arithmetic is outside of what can be decided for every case: write the result"
	case operators.Conditional:
		return "c ? a : b is outside of what can be decided for every case: use &&, || and !"
	case operators.Index, operators.OptIndex, operators.OptSelect:
		return "indexing is outside of what can be decided for every case"
	case "matches":
		return "regular expressions are outside of what can be decided for every case: list the values"
	case "contains", "startsWith", "endsWith", "size", "lowerAscii", "upperAscii":
		return function + "() is outside of what can be decided for every case: list the values"
	case "all", "exists", "exists_one", "map", "filter", "has":
		return "the macro " + function + "() is outside of what can be decided for every case: list the values"
	}
	if strings.HasPrefix(function, "_") || strings.HasPrefix(function, "@") {
		return "this operator is outside of what can be decided for every case"
	}
	return function + "() is not a function of policies: there are " + l.currency + ", units, under, spent and count"
}
