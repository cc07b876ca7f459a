package custody

import (
	"bytes"
	"encoding"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// shape is what the canonical JSON of a Go type looks like: which members its
// objects may and must have. A nil shape is any JSON.
type shape struct {
	fields   []field // of an object, in canonical order
	isObject bool
	elements *shape // of an array, or of an object used as a map
}

type field struct {
	name     string
	optional bool
	zero     string // how an optional member would be spelled if it were there and empty
	shape    *shape
}

var (
	shapes            sync.Map // of reflect.Type to *shape
	textMarshaler     = reflect.TypeFor[encoding.TextMarshaler]()
	jsonUnmarshaler   = reflect.TypeFor[json.Unmarshaler]()
	jsonUnmarshalerV2 = reflect.TypeFor[json.UnmarshalerFrom]()
)

// shapeOf returns the shape of a type.
func shapeOf(t reflect.Type) *shape {
	if known, ok := shapes.Load(t); ok {
		return known.(*shape)
	}
	s := makeShape(t, make(map[reflect.Type]*shape))
	shapes.Store(t, s)
	return s
}

// makeShape makes the shape of a type; making holds those being made, as a type
// can be part of itself.
func makeShape(t reflect.Type, making map[reflect.Type]*shape) *shape {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s, ok := making[t]; ok {
		return s
	}
	own := reflect.PointerTo(t)
	if own.Implements(textMarshaler) || own.Implements(jsonUnmarshaler) || own.Implements(jsonUnmarshalerV2) {
		return nil
	}
	s := new(shape)
	switch t.Kind() {
	case reflect.Struct:
		making[t] = s
		s.isObject = true
		s.fields = fieldsOf(t, making)
		slices.SortFunc(s.fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	case reflect.Map, reflect.Slice, reflect.Array:
		making[t] = s
		s.elements = makeShape(t.Elem(), making)
	default:
		return nil
	}
	return s
}

func fieldsOf(t reflect.Type, making map[reflect.Type]*shape) []field {
	var out []field
	for f := range t.Fields() {
		tag, ok := f.Tag.Lookup("json")
		if tag == "-" || !f.IsExported() {
			continue
		}
		if f.Anonymous && !ok {
			out = append(out, fieldsOf(f.Type, making)...)
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		entry := field{name: name, optional: options == "omitzero", shape: makeShape(f.Type, making)}
		if entry.optional {
			zero, err := json.Marshal(reflect.Zero(f.Type).Interface())
			if err == nil {
				entry.zero = string(zero)
			}
		}
		out = append(out, entry)
	}
	return out
}

// scanner walks canonical JSON once and refuses, before any of it is given a type,
// whatever RFC 8785 would have written otherwise, numbers other than integers,
// nulls, and members that its shape doesn't have.
type scanner struct {
	data []byte
	at   int
	path []string
}

// errSpelling says that the text isn't canonical; [misspelled] finds out how.
var errSpelling = invalid("", "not in canonical form (RFC 8785)")

func scan(data []byte, s *shape) error {
	sc := scanner{data: data}
	if err := sc.value(s, 1); err != nil {
		return err
	}
	if sc.at != len(data) {
		return errSpelling
	}
	return nil
}

func (s *scanner) refuse(message string) error {
	return invalid(strings.Join(s.path, "."), message)
}

func (s *scanner) peek() byte {
	if s.at < len(s.data) {
		return s.data[s.at]
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) value(want *shape, depth int) error {
	switch c := s.peek(); {
	case c == '{' || c == '[':
		if depth > MaxDepth {
			return s.refuse("nested more than " + strconv.Itoa(MaxDepth) + " deep")
		}
		if c == '{' {
			return s.object(want, depth)
		}
		return s.array(want, depth)
	case c == '"':
		_, err := s.text()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 'n':
		return s.refuse("null is not a value here")
	}
	for _, word := range []string{"true", "false"} {
		if bytes.HasPrefix(s.data[s.at:], []byte(word)) {
			s.at += len(word)
			return nil
		}
	}
	return errSpelling
}

func (s *scanner) object(want *shape, depth int) error {
	s.at++
	var fields []field
	known := want != nil && want.isObject
	if known {
		fields = want.fields
	}
	last, next := "", 0
	for first := true; !s.take('}'); first = false {
		if !first && !s.take(',') {
			return errSpelling
		}
		raw, err := s.text()
		if err != nil {
			return err
		}
		name := string(raw)
		if !s.take(':') || !first && !before(last, name) {
			return errSpelling
		}
		last = name
		s.path = append(s.path, name)
		var inner *shape
		switch {
		case known:
			for ; next < len(fields) && fields[next].name < name; next++ {
				if !fields[next].optional {
					s.path[len(s.path)-1] = fields[next].name
					return s.refuse("missing")
				}
			}
			if next == len(fields) || fields[next].name != name {
				return s.refuse("unknown field")
			}
			inner = fields[next].shape
		case want != nil:
			inner = want.elements
		}
		from := s.at
		if err := s.value(inner, depth+1); err != nil {
			return err
		}
		if known {
			if fields[next].optional && string(s.data[from:s.at]) == fields[next].zero {
				return s.refuse("empty: leave it out")
			}
			next++
		}
		s.path = s.path[:len(s.path)-1]
	}
	for ; next < len(fields); next++ {
		if !fields[next].optional {
			s.path = append(s.path, fields[next].name)
			return s.refuse("missing")
		}
	}
	return nil
}

func (s *scanner) array(want *shape, depth int) error {
	s.at++
	var inner *shape
	if want != nil {
		inner = want.elements
	}
	for i := 0; !s.take(']'); i++ {
		if i > 0 && !s.take(',') {
			return errSpelling
		}
		s.path = append(s.path, strconv.Itoa(i))
		if err := s.value(inner, depth+1); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
	}
	return nil
}

// number takes an integer that every JSON reader holds exactly.
func (s *scanner) number() error {
	from := s.at
	for s.at < len(s.data) && bytes.IndexByte([]byte("+-.0123456789Ee"), s.data[s.at]) >= 0 {
		s.at++
	}
	text := string(s.data[from:s.at])
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > maxSafe || n < -maxSafe || text != strconv.FormatInt(n, 10) {
		return s.refuse("not an integer within ±(2^53−1) in plain decimal digits")
	}
	return nil
}

// text takes a string and returns what stands between its quotes, as it stands.
// Control characters, quotes and backslashes have one spelling each (RFC 8785
// §3.2.2.2); everything else stands for itself.
func (s *scanner) text() ([]byte, error) {
	if !s.take('"') {
		return nil, errSpelling
	}
	from := s.at
	plain := true
	for s.at < len(s.data) {
		switch c := s.data[s.at]; {
		case c == '"':
			raw := s.data[from:s.at]
			s.at++
			if !plain && !utf8.Valid(raw) {
				return nil, errSpelling
			}
			return raw, nil
		case c < 0x20:
			return nil, errSpelling
		case c == '\\':
			if !s.escape() {
				return nil, errSpelling
			}
		default:
			plain = plain && c < utf8.RuneSelf
			s.at++
		}
	}
	return nil, errSpelling
}

func (s *scanner) escape() bool {
	rest := s.data[s.at:]
	if len(rest) >= 2 && bytes.IndexByte([]byte(`"\bfnrt`), rest[1]) >= 0 {
		s.at += 2
		return true
	}
	if len(rest) < 6 || !bytes.HasPrefix(rest, []byte(`\u00`)) {
		return false
	}
	n, err := strconv.ParseUint(string(rest[4:6]), 16, 8)
	if err != nil || n >= 0x20 || bytes.IndexByte([]byte("\b\f\n\r\t"), byte(n)) >= 0 || bytes.ContainsAny(rest[4:6], "ABCDEF") {
		return false
	}
	s.at += 6
	return true
}

// before orders names as RFC 8785 §3.2.3 does, by UTF-16 code units. Names with
// escapes or beyond the basic plane are rare enough to be compared by the slow
// way.
func before(a, b string) bool {
	simple := func(s string) bool {
		for i := range len(s) {
			if s[i] == '\\' || s[i] >= 0xee { // from U+E000 on, order by bytes and by code units can differ
				return false
			}
		}
		return true
	}
	if simple(a) && simple(b) {
		return a < b
	}
	pair, err := Canonicalize([]byte(`{"` + a + `":0,"` + b + `":0}`))
	return err == nil && bytes.HasPrefix(pair, []byte(`{"`+a+`":`))
}
