package custody

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
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
	if bytes.Contains(v, []byte("1.7976931348623157e+308")) { // where Canonicalize puts what is beyond
		return v, inRange(data)
	}
	return v, nil
}

// inRange refuses numbers that no IEEE 754 double comes near (RFC 7493 §2.2).
func inRange(data []byte) error {
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return syntaxError(err)
		}
		if token.Kind() != '0' {
			continue
		}
		if _, err := strconv.ParseFloat(token.String(), 64); err != nil {
			return invalid(dotted(dec.StackPointer()), "a number out of range")
		}
	}
}

// Encode returns v as canonical JSON (RFC 8785). It never rounds: an integer beyond
// ±(2^53−1) is written with all its digits, and [Decode] refuses it.
func Encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("custody: encode %T: %w", v, err)
	}
	c := jsontext.Value(b)
	if err := c.Canonicalize(jsontext.CanonicalizeRawInts(false)); err != nil {
		return nil, fmt.Errorf("custody: encode %T: %w", v, err)
	}
	return c, nil
}

// Decode parses data, canonical JSON of at most limit bytes, into v. It refuses,
// naming the field, whatever [Encode] would not write again byte for byte: an
// unknown, duplicate, missing, empty optional or ill-typed field, a null, a number
// that is not an integer within ±(2^53−1), nesting beyond [MaxDepth], and any
// other spelling than the canonical one. v's contents are undefined after an
// error.
func Decode(data []byte, v any, limit int) error {
	if len(data) > limit {
		return invalid("", fmt.Sprintf("%d bytes, at most %d allowed", len(data), limit))
	}
	return decodePart(data, v)
}

// decodePart is [Decode] without a limit of its own, for a value inside a document.
func decodePart(data []byte, v any) error {
	if err := scan(data, shapeOf(reflect.TypeOf(v))); err != nil {
		// What scan says holds of canonical text alone: in any other, a field that
		// it misses can stand further down.
		if spelling := misspelled(data); spelling != nil {
			return spelling
		}
		return err
	}
	// What scan has passed is not looked for again.
	if err := json.Unmarshal(data, v, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return semanticError(err)
	}
	return nil
}

// misspelled says why data isn't canonical, if it isn't.
func misspelled(data []byte) error {
	canonical, err := Canonicalize(data)
	if err != nil {
		return err
	}
	if bytes.Equal(canonical, data) {
		return nil
	}
	return invalid(spelling(data, canonical), "not in canonical form (RFC 8785)")
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
	if inner, ok := errors.AsType[*Error](err); ok {
		if field == "" {
			return inner
		}
		return within(field, inner)
	}
	return invalid(field, "has the wrong type")
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
