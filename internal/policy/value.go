package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/cofferhq/coffer/internal/custody"
)

// Value is what is known of one fact. The zero Value is unknown.
type Value struct {
	kind   Kind
	text   string
	number custody.Amount
	is     bool
	set    []string
}

// TextOf returns a known text.
func TextOf[T ~string](s T) Value { return Value{kind: Text, text: string(s)} }

// NumberOf returns a known number.
func NumberOf(n custody.Amount) Value { return Value{kind: Number, number: n} }

// BoolOf returns a known boolean.
func BoolOf(b bool) Value { return Value{kind: Bool, is: b} }

// SetOf returns a known set of texts; given none it is the empty set, which is
// known too.
func SetOf[T ~string](elements ...T) Value {
	set := make([]string, len(elements))
	for i, e := range elements {
		set[i] = string(e)
	}
	slices.Sort(set)
	return Value{kind: Set, set: slices.Compact(set)}
}

// Kind returns the kind of v: [Unknown] if nothing is known.
func (v Value) Kind() Kind { return v.kind }

// String returns v as conditions write it, numbers in digits.
func (v Value) String() string {
	switch v.kind {
	case Text:
		return quote(v.text)
	case Number:
		return v.number.String()
	case Bool:
		return strconv.FormatBool(v.is)
	case Set:
		return "[" + strings.Join(mapped(v.set, quote), ", ") + "]"
	default:
		return "unknown"
	}
}

// Facts is what is known of one intent. A fact that isn't there is unknown, and so
// is one whose value has another kind than its [Definition] says. intent.type must
// be there.
//
// In JSON it is an object of objects by the names of the facts, such as
// {"amount":{"value":"100"},"spent":{"source.vault":{"24h":"7"}}}, with numbers as
// strings of digits.
type Facts map[Fact]Value

// Type returns the type of the intent, or "".
func (f Facts) Type() custody.IntentType {
	return custody.IntentType(f[IntentType].text)
}

// Check refuses facts that intents of this type don't have, and values that the
// facts can't have, naming the fact.
func (f Facts) Check() error {
	if err := text[custody.IntentType](string(f.Type())); err != nil {
		return invalid(string(IntentType), "missing or not a type of intent")
	}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		d, ok := name.Definition()
		switch {
		case !ok:
			return invalid(string(name), "not a fact")
		case !slices.Contains(d.Types, f.Type()):
			return invalid(string(name), string(f.Type())+" has no such fact")
		case f[name].kind != d.Kind:
			return invalid(string(name), "not a "+d.Kind.String())
		}
		if err := d.checkValue(f[name]); err != nil {
			return within(string(name), err)
		}
	}
	return nil
}

func (d Definition) checkValue(v Value) error {
	switch v.kind {
	case Text:
		return d.Check(v.text)
	case Number:
		if d.check != nil {
			return d.check(v.number.String())
		}
	case Set:
		if len(v.set) > maxElements {
			return invalid("", "too many elements")
		}
		for _, e := range v.set {
			if err := d.Check(e); err != nil {
				return err
			}
		}
	case Unknown, Bool:
	}
	return nil
}

// path returns the names under which f stands in JSON.
func (f Fact) path() []string {
	if function, scope, window, ok := f.Total(); ok {
		return []string{function, scope, window}
	}
	return strings.SplitN(string(f), ".", 3)
}

func factAt(path []string) (f Fact, ok bool) {
	if len(path) == 3 && (path[0] == "spent" || path[0] == "count") {
		f = Fact(path[0] + "(" + path[1] + "," + path[2] + ")")
	} else {
		f = Fact(strings.Join(path, "."))
	}
	_, ok = f.Definition()
	return f, ok && slices.Equal(f.path(), path)
}

// MarshalJSON writes the known facts in canonical form.
func (f Facts) MarshalJSON() ([]byte, error) { return f.Canonical() }

// Canonical returns the known facts as canonical JSON (RFC 8785). The error is of a
// text that isn't UTF-8.
func (f Facts) Canonical() ([]byte, error) {
	type member struct {
		path  []string
		value Value
	}
	members := make([]member, 0, len(f))
	for name, v := range f {
		if v.kind != Unknown {
			members = append(members, member{name.path(), v})
		}
	}
	slices.SortFunc(members, func(a, b member) int { return slices.Compare(a.path, b.path) })
	out := append(make([]byte, 0, 32*len(members)), '{')
	var err error
	var open []string // the objects that are open
	for i, m := range members {
		inner := m.path[:len(m.path)-1]
		shared := 0
		for shared < len(open) && shared < len(inner) && open[shared] == inner[shared] {
			shared++
		}
		for range open[shared:] {
			out = append(out, '}')
		}
		if i > 0 {
			out = append(out, ',')
		}
		for _, name := range inner[shared:] {
			if out, err = jsontext.AppendQuote(out, name); err != nil {
				return nil, err
			}
			out = append(out, ':', '{')
		}
		open = inner
		if out, err = jsontext.AppendQuote(out, m.path[len(m.path)-1]); err != nil {
			return nil, err
		}
		if out, err = m.value.append(append(out, ':')); err != nil {
			return nil, err
		}
	}
	for range open {
		out = append(out, '}')
	}
	return append(out, '}'), nil
}

func (v Value) append(out []byte) ([]byte, error) {
	switch v.kind {
	case Number:
		return jsontext.AppendQuote(out, v.number.String())
	case Bool:
		return strconv.AppendBool(out, v.is), nil
	case Set:
		out = append(out, '[')
		for i, e := range v.set {
			if i > 0 {
				out = append(out, ',')
			}
			var err error
			if out, err = jsontext.AppendQuote(out, e); err != nil {
				return nil, err
			}
		}
		return append(out, ']'), nil
	default:
		return jsontext.AppendQuote(out, v.text)
	}
}

// UnmarshalJSON reads what [ParseFacts] reads.
func (f *Facts) UnmarshalJSON(data []byte) error {
	parsed, err := ParseFacts(data)
	*f = parsed
	return err
}

// maxFacts is the most bytes of facts in JSON.
const maxFacts = 64 << 10

// ParseFacts reads facts from JSON in any spelling; numbers may be JSON numbers.
// Unknown and duplicate names, null, and values of another kind than the fact's
// are refused, with the fact named.
func ParseFacts(data []byte) (Facts, error) {
	if len(data) > maxFacts {
		return nil, invalid("", fmt.Sprintf("%d bytes of facts, at most %d allowed", len(data), maxFacts))
	}
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	f := Facts{}
	if err := readFacts(dec, nil, f); err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, invalid("", "more after the object of facts")
	}
	if err := f.Check(); err != nil {
		return nil, err
	}
	return f, nil
}

func readFacts(dec *jsontext.Decoder, path []string, f Facts) error {
	field := strings.Join(path, ".")
	if fact, ok := factAt(path); ok {
		v, err := readValue(dec, fact)
		f[fact] = v
		return err
	}
	kind := dec.PeekKind()
	if len(path) == 3 || (kind != '{' && kind != 0) {
		return invalid(field, "not a fact")
	}
	if _, err := dec.ReadToken(); err != nil {
		return notJSON(field, err)
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return notJSON(field, err)
		}
		if err := readFacts(dec, append(slices.Clip(path), name.String()), f); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

func readValue(dec *jsontext.Decoder, f Fact) (Value, error) {
	d, _ := f.Definition()
	raw, err := dec.ReadValue()
	if err != nil {
		return Value{}, notJSON(string(f), err)
	}
	wrong := invalid(string(f), "not a "+d.Kind.String())
	switch kind := raw.Kind(); {
	case d.Kind == Bool && (kind == 't' || kind == 'f'):
		return BoolOf(kind == 't'), nil
	case d.Kind == Text && kind == '"':
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return Value{}, wrong
		}
		return TextOf(s), nil
	case d.Kind == Text && kind == '0' && strings.HasPrefix(string(f), argument):
		return TextOf(string(raw)), nil
	case d.Kind == Number && (kind == '"' || kind == '0'):
		n, err := custody.ParseAmount(strings.Trim(string(raw), `"`))
		if err != nil {
			return Value{}, within(string(f), err)
		}
		return NumberOf(n), nil
	case d.Kind == Set && kind == '[':
		var set []string
		if json.Unmarshal(raw, &set) != nil {
			return Value{}, wrong
		}
		return SetOf(set...), nil
	}
	return Value{}, wrong
}

func notJSON(field string, err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return invalid(field, "a name given twice")
	}
	return invalid(field, "not valid JSON")
}

// within puts err's field below the field named parent.
func within(parent string, err error) error {
	e, ok := errors.AsType[*custody.Error](err)
	if !ok {
		return err
	}
	moved := *e
	moved.Field = strings.TrimSuffix(parent+"."+e.Field, ".")
	return &moved
}

func mapped[T, U any](list []T, f func(T) U) []U {
	out := make([]U, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}
