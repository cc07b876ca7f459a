package custody

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits of canonical JSON here.
const (
	MaxEntry  = 256 << 10        // bytes of an entry
	MaxIntent = 192 << 10        // bytes of an intent
	MaxDepth  = 32               // nesting of objects and arrays
	maxSafe   = int64(1)<<53 - 1 // largest integer that every JSON reader holds exactly
)

// Canonicalize returns data in the canonical form of RFC 8785. Duplicate names,
// invalid UTF-8 and anything else that RFC 7493 (I-JSON) forbids is an error.
func Canonicalize(data []byte) ([]byte, error) {
	v := jsontext.Value(bytes.Clone(data))
	if err := v.Canonicalize(); err != nil {
		return nil, syntaxError(err)
	}
	return v, nil
}

// Encode returns v as canonical JSON (RFC 8785).
func Encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("custody: encode %T: %w", v, err)
	}
	c := jsontext.Value(b)
	if err := c.Canonicalize(); err != nil {
		return nil, fmt.Errorf("custody: encode %T: %w", v, err)
	}
	return c, nil
}

// Decode parses data, canonical JSON of at most limit bytes, into v. It refuses,
// naming the field, whatever [Encode] would not write again byte for byte: an
// unknown, duplicate, missing or ill-typed field, a null, a number that is not an
// integer within ±(2^53−1), nesting beyond [MaxDepth], and any other spelling
// than the canonical one. v's contents are undefined after an error.
func Decode(data []byte, v any, limit int) error {
	if len(data) > limit {
		return invalid("", fmt.Sprintf("%d bytes, at most %d allowed", len(data), limit))
	}
	if err := scan(data); err != nil {
		return err
	}
	return decodePart(data, v)
}

// decodePart is [Decode] for a value inside a document that scan has passed.
func decodePart(data []byte, v any) error {
	if err := json.Unmarshal(data, v, json.RejectUnknownMembers(true)); err != nil {
		return semanticError(err)
	}
	again, err := Encode(v)
	if err != nil {
		return semanticError(err)
	}
	if !bytes.Equal(again, data) {
		return difference(data, again)
	}
	return nil
}

// scan refuses what no canonical document of ours holds, before any of it is
// given a type.
func scan(data []byte) error {
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		kind := dec.PeekKind()
		if kind == '0' || kind == 'n' {
			v, err := dec.ReadValue()
			if err != nil {
				return syntaxError(err)
			}
			n, err := strconv.ParseInt(string(v), 10, 64)
			if kind == 'n' {
				return invalid(dotted(dec.StackPointer()), "null is not a value here")
			}
			if err != nil || n > maxSafe || n < -maxSafe || string(v) != strconv.FormatInt(n, 10) {
				return invalid(dotted(dec.StackPointer()), "not an integer within ±(2^53−1) in plain decimal digits")
			}
			continue
		}
		if _, err := dec.ReadToken(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return syntaxError(err)
		}
		if dec.StackDepth() > MaxDepth {
			return invalid(dotted(dec.StackPointer()), fmt.Sprintf("nested more than %d deep", MaxDepth))
		}
	}
}

func syntaxError(err error) error {
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return invalid(dotted(e.JSONPointer), "given twice")
		}
		message := "not valid JSON"
		if e.Err != nil {
			message += ": " + e.Err.Error()
		}
		return invalid(dotted(e.JSONPointer), message)
	}
	return &Error{Code: Invalid, Message: "not valid JSON", Err: err}
}

func semanticError(err error) error {
	e, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return syntaxError(err)
	}
	field := dotted(e.JSONPointer)
	if errors.Is(err, json.ErrUnknownName) {
		return invalid(field, "unknown field")
	}
	if inner, ok := errors.AsType[*Error](err); ok {
		if field == "" {
			return inner
		}
		return within(field, inner)
	}
	return invalid(field, "has the wrong type")
}

// difference names the first field in which data and its canonical form again
// differ. Both are known to be valid JSON.
func difference(data, again []byte) error {
	canonical, err := Canonicalize(data)
	if err != nil {
		return err
	}
	if bytes.Equal(canonical, again) {
		return invalid(spelling(data, canonical), "not in canonical form (RFC 8785)")
	}
	var got, want any
	if err := errors.Join(json.Unmarshal(canonical, &got), json.Unmarshal(again, &want)); err != nil {
		return syntaxError(err)
	}
	field, message := differ(nil, got, want)
	return invalid(strings.Join(field, "."), message)
}

func differ(path []string, got, want any) ([]string, string) {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			break
		}
		for _, name := range sortedKeys(want) {
			if _, ok := object[name]; !ok {
				return append(path, name), "missing"
			}
		}
		for _, name := range sortedKeys(object) {
			if _, ok := want[name]; !ok {
				return append(path, name), "empty: leave it out"
			}
			if field, message := differ(append(path, name), object[name], want[name]); message != "" {
				return field, message
			}
		}
		return nil, ""
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			break
		}
		for i := range want {
			if field, message := differ(append(path, strconv.Itoa(i)), list[i], want[i]); message != "" {
				return field, message
			}
		}
		return nil, ""
	default:
		if got == want {
			return nil, ""
		}
	}
	return path, "not in canonical form"
}

// spelling returns the field at which data first departs from its canonical
// form, or the innermost field known before it.
func spelling(data, canonical []byte) string {
	at := 0
	for at < len(data) && at < len(canonical) && data[at] == canonical[at] {
		at++
	}
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	field := ""
	for dec.InputOffset() <= int64(at) {
		if _, err := dec.ReadToken(); err != nil {
			break
		}
		field = dotted(dec.StackPointer())
	}
	return field
}

func dotted(p jsontext.Pointer) string {
	var names []string
	for name := range p.Tokens() {
		names = append(names, name)
	}
	return strings.Join(names, ".")
}
