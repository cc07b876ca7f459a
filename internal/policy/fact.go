package policy

import (
	"slices"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/internal/custody"
)

// Fact names something that a condition can ask about, such as "source.purpose",
// "contract.args.spender" or "spent(source.vault,24h)".
type Fact string

// Facts that the code here, or whoever gathers facts, treats by name.
const (
	IntentType  Fact = "intent.type"
	AmountAsset Fact = "amount.asset"
	AmountUnits Fact = "amount.units"
	AmountValue Fact = "amount.value"
	FeeUnits    Fact = "fee.units"
	FeeValue    Fact = "fee.value"
	Network     Fact = "source.network"
	Domain      Fact = "source.domain"
	Weekday     Fact = "time.weekday"
	Minute      Fact = "time.minute"

	argument = "contract.args."
)

// Kind is the kind of a value. The zero Kind is unknown.
type Kind uint8

// The kinds.
const (
	Unknown Kind = iota
	Text
	Number
	Bool
	Set // of texts
)

func (k Kind) String() string {
	switch k {
	case Text:
		return "text"
	case Number:
		return "number"
	case Bool:
		return "boolean"
	case Set:
		return "set"
	default:
		return "unknown"
	}
}

// Definition says what a fact is.
type Definition struct {
	Name  Fact
	Kind  Kind
	Types []custody.IntentType // the types of intent that have it
	Note  string
	check func(string) error // of a text, an element of a set, or a number's digits
}

// Scopes and windows of the running totals.
var (
	scopes  = []string{"source.vault", "initiator", "destination", "institution"}
	windows = []string{"1h", "24h", "7d", "30d"}
)

// Spent is the fact of the value that scope moved within window, this intent
// included, in minor units; Count is the number of its intents. Scopes are
// source.vault, initiator, destination and institution, windows 1h, 24h, 7d and
// 30d; other words give names of no fact.
func Spent(scope, window string) Fact { return Fact("spent(" + scope + "," + window + ")") }

// Count is described at [Spent].
func Count(scope, window string) Fact { return Fact("count(" + scope + "," + window + ")") }

// Total splits the name of a running total into "spent" or "count", scope and
// window; ok is false for any other fact.
func (f Fact) Total() (function, scope, window string, ok bool) {
	function, rest, open := strings.Cut(string(f), "(")
	scope, window, comma := strings.Cut(strings.TrimSuffix(rest, ")"), ",")
	return function, scope, window, open && comma && definitions[f].Name != ""
}

// String returns the fact as conditions write it.
func (f Fact) String() string {
	if function, scope, window, ok := f.Total(); ok {
		return function + `("` + scope + `", "` + window + `")`
	}
	return string(f)
}

// UnmarshalText checks that there is such a fact.
func (f *Fact) UnmarshalText(b []byte) error {
	if _, ok := Fact(b).Definition(); !ok {
		return invalid("", "not a fact")
	}
	*f = Fact(b)
	return nil
}

// Definition returns what f is; ok is false if there is no such fact. Every
// contract.args.NAME is one.
func (f Fact) Definition() (d Definition, ok bool) {
	if d, ok = definitions[f]; ok {
		return d, true
	}
	name, ok := strings.CutPrefix(string(f), argument)
	if !ok || text[custody.Label](name) != nil {
		return Definition{}, false
	}
	return Definition{f, Text, calls, "an argument of the call; compared with a number if that is what it stands beside", text[custody.Literal]}, true
}

// Of reports whether intents of type t have f.
func (f Fact) Of(t custody.IntentType) bool {
	d, ok := f.Definition()
	return ok && slices.Contains(d.Types, t)
}

// Definitions returns all facts in the order of the specification; the arguments
// of a call, of which any name is one, stand as contract.args.NAME.
func Definitions() []Definition { return slices.Clone(catalogue) }

var (
	transfers = []custody.IntentType{
		custody.TransferIntent, custody.ContractCallIntent, custody.SpeedUpIntent, custody.CancelIntent,
	}
	calls    = []custody.IntentType{custody.ContractCallIntent}
	messages = []custody.IntentType{custody.TypedMessageIntent}
	valued   = append(slices.Clone(transfers), messages...)

	catalogue   = makeCatalogue()
	definitions = index(catalogue)
)

func makeCatalogue() []Definition {
	all := custody.IntentTypes()
	list := []Definition{
		{IntentType, Text, all, "the type of the intent", text[custody.IntentType]},
		{"initiator.id", Text, all, "the person who submitted it", text[custody.ID[custody.Person]]},
		{"initiator.kind", Text, all, "HUMAN or SERVICE", text[custody.PersonKind]},
		{"initiator.groups", Set, all, "groups of the initiator", text[custody.Name]},
		{"initiator.roles", Set, all, "roles of the initiator", text[custody.Name]},
		{"initiator.country", Text, all, "country of the initiator (ISO 3166-1)", text[custody.Country]},
		{Weekday, Number, all, "1 (Monday) to 7 (Sunday), in the time zone of the policy", upTo(1, 7)},
		{Minute, Number, all, "minute of the day, 0 to 1439, in the time zone of the policy", upTo(0, 1439)},
		{"source.vault", Text, valued, "the vault that pays", text[custody.ID[custody.Vault]]},
		{"source.purpose", Text, valued, "purpose of that vault: TREASURY, CLIENT_SEGREGATED, CLIENT_OMNIBUS, RETAIL, ISSUANCE", text[custody.Purpose]},
		{Domain, Text, valued, "domain of that vault; under(\"a/b\") asks for it and all below", text[custody.Domain]},
		{"source.wallet", Text, valued, "the wallet that pays", text[custody.ID[custody.Wallet]]},
		{Network, Text, valued, "the network (CAIP-2)", text[custody.Network]},
		{"destination.kind", Text, transfers, "INTERNAL, ALLOWLISTED, COUNTERPARTY or ONE_TIME", text[custody.DestinationKind]},
		{"destination.address", Text, transfers, "the address that receives", text[custody.Address]},
		{"destination.country", Text, transfers, "country of its owner (ISO 3166-1)", text[custody.Country]},
		{"destination.counterparty", Text, transfers, "LEI of the counterparty; empty if there is none", orEmpty(text[custody.LEI])},
		{"destination.tags", Set, transfers, "tags of the address book entry", text[custody.Name]},
		{"destination.firstUse", Bool, transfers, "nothing was sent there before", nil},
		{AmountAsset, Text, valued, "the asset (CAIP-19)", text[custody.Asset]},
		{AmountUnits, Number, valued, "amount in base units of the asset; the rule must fix amount.asset", nil},
		{AmountValue, Number, valued, "amount in the currency of the policy", nil},
		{FeeUnits, Number, transfers, "highest fee in base units of the network's own asset; the rule must fix source.network or amount.asset", nil},
		{FeeValue, Number, transfers, "highest fee in the currency of the policy", nil},
		{"contract.address", Text, calls, "the contract that is called", text[custody.Address]},
		{"contract.method", Text, calls, "the first 4 bytes of the call", text[custody.Selector]},
		{"contract.args.NAME", Text, calls, "an argument of the call: a text or a number, as it is compared", text[custody.Literal]},
		{"typed.chainId", Number, messages, "chain id of the message's domain", nil},
		{"typed.contract", Text, messages, "contract of the message's domain", text[custody.Address]},
		{"typed.primaryType", Text, messages, "primary type of the message", text[custody.Label]},
	}
	for _, scope := range scopes {
		for _, window := range windows {
			list = append(list,
				Definition{Spent(scope, window), Number, transfers, "value and fees of the last " + window + ", this intent included", nil},
				Definition{Count(scope, window), Number, transfers, "intents of the last " + window + ", this one included", nil})
		}
	}
	return list
}

func index(list []Definition) map[Fact]Definition {
	m := make(map[Fact]Definition, len(list))
	for _, d := range list {
		m[d.Name] = d
	}
	return m
}

// Check refuses a text that the fact can't be: a constant of another form
// would make a comparison that is never true.
func (d Definition) Check(s string) error {
	switch {
	case len(s) > 1024:
		return invalid("", "longer than 1,024 characters")
	case strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e }):
		return invalid("", "only printable ASCII: no value of a fact holds anything else")
	case d.check != nil:
		return d.check(s)
	}
	return nil
}

func text[T any, P interface {
	*T
	UnmarshalText(b []byte) error
}](s string) error {
	return P(new(T)).UnmarshalText([]byte(s))
}

func orEmpty(check func(string) error) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		return check(s)
	}
}

func upTo(from, to uint64) func(string) error {
	return func(digits string) error {
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || n < from || n > to {
			return invalid("", "not between "+strconv.FormatUint(from, 10)+" and "+strconv.FormatUint(to, 10))
		}
		return nil
	}
}

// Fold returns a text as it is compared. Hexadecimal (0x…) and assets of EVM
// networks mean the same in either case and are compared in lower case.
func Fold(s string) string {
	if strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "eip155:") {
		return strings.ToLower(s)
	}
	return s
}

func invalid(field, message string) error {
	return &custody.Error{Code: custody.Invalid, Field: field, Message: message}
}
