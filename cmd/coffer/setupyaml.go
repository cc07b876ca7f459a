package main

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/cofferhq/coffer/internal/custody"
)

// maxSetup is the longest setup file, in bytes.
const maxSetup = 256 << 10

// setupFile is a YAML file that was read strictly: as JSON, with the place of every
// value.
type setupFile struct {
	name string
	json jsontext.Value
	at   map[jsontext.Pointer]*token.Token
}

// readSetup reads a YAML file of mappings, lists, texts and whole numbers. What YAML
// has beyond that, by which a value can be something else than it seems, is refused.
func readSetup(name string) (*setupFile, error) {
	source, err := readFile(name, maxSetup)
	if err != nil {
		return nil, err
	}
	f := &setupFile{name: name, at: make(map[jsontext.Pointer]*token.Token)}
	if !utf8.Valid(source) {
		return nil, usagef("%s: not UTF-8", name)
	}
	file, err := parseYAML(source)
	var syntax yaml.Error
	switch {
	case errors.As(err, &syntax) && syntax.GetToken() != nil:
		return nil, f.fail(syntax.GetToken(), "%s", syntax.GetMessage())
	case err != nil:
		return nil, usagef("%s: not valid YAML: %v", name, err)
	case len(file.Docs) != 1 || file.Docs[0].Body == nil:
		return nil, usagef("%s: not one YAML document", name)
	}
	var out bytes.Buffer
	enc := jsontext.NewEncoder(&out)
	if err := f.write(enc, "", file.Docs[0].Body); err != nil {
		return nil, err
	}
	f.json = out.Bytes()
	return f, nil
}

// parseYAML turns a panic of the YAML parser into an error.
func parseYAML(source []byte) (file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the parser can't read it")
		}
	}()
	return parser.ParseBytes(source, 0)
}

func (f *setupFile) fail(t *token.Token, format string, args ...any) error {
	line, column := 1, 1
	if t != nil && t.Position != nil {
		line, column = max(1, t.Position.Line), max(1, t.Position.Column)
	}
	return usagef("%s:%d:%d: %s", f.name, line, column, fmt.Sprintf(format, args...))
}

// failAt is fail at the innermost value that is known around the one pointed at.
func (f *setupFile) failAt(p jsontext.Pointer, format string, args ...any) error {
	for f.at[p] == nil && p != "" {
		p = p.Parent()
	}
	return f.fail(f.at[p], format, args...)
}

var wholeNumber = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})$`)

// write gives a node to enc and keeps its place.
func (f *setupFile) write(enc *jsontext.Encoder, p jsontext.Pointer, n ast.Node) error {
	t := n.GetToken()
	if f.at[p] == nil { // a key's place says more than its value's
		f.at[p] = t
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return f.writeObject(enc, p, n.Values)
	case *ast.MappingValueNode:
		return f.writeObject(enc, p, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		if err := enc.WriteToken(jsontext.BeginArray); err != nil {
			return err
		}
		for i, v := range n.Values {
			if err := f.write(enc, p.AppendToken(strconv.Itoa(i)), v); err != nil {
				return err
			}
		}
		return enc.WriteToken(jsontext.EndArray)
	case *ast.StringNode:
		return enc.WriteToken(jsontext.String(n.Value))
	case *ast.LiteralNode:
		return enc.WriteToken(jsontext.String(n.Value.Value))
	case *ast.IntegerNode:
		if !wholeNumber.MatchString(t.Value) {
			return f.fail(t, "%s is taken as a number: put it in quotes if it is text", t.Value)
		}
		return enc.WriteValue(jsontext.Value(t.Value))
	case *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return f.fail(t, "%s is no text without quotes", t.Value)
	case *ast.NullNode:
		return f.fail(t, "nothing stands here")
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return f.fail(t, "anchors and aliases are not allowed: write the value out")
	}
	return f.fail(t, "not a mapping, a list, a text or a whole number")
}

func (f *setupFile) writeObject(enc *jsontext.Encoder, p jsontext.Pointer, values []*ast.MappingValueNode) error {
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, v := range values {
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			return f.fail(v.Key.GetToken(), "not a plain key")
		}
		below := p.AppendToken(key.Value)
		if f.at[below] != nil {
			return f.fail(key.GetToken(), "%s: given twice", key.Value)
		}
		if f.at[p] == nil || v == values[0] {
			f.at[p] = key.GetToken()
		}
		f.at[below] = key.GetToken()
		if err := enc.WriteToken(jsontext.String(key.Value)); err != nil {
			return err
		}
		if err := f.write(enc, below, v.Value); err != nil {
			return err
		}
	}
	return enc.WriteToken(jsontext.EndObject)
}

// decode reads the part of the file at p strictly into v, a pointer to a struct.
func (f *setupFile) decode(p jsontext.Pointer, part jsontext.Value, v any) error {
	err := json.Unmarshal(part, v, json.RejectUnknownMembers(true))
	e, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		if err != nil {
			return f.failAt(p, "%v", err)
		}
		return nil
	}
	at := p + e.JSONPointer
	name := strings.ReplaceAll(strings.TrimPrefix(string(at), "/"), "/", ".")
	if errors.Is(err, json.ErrUnknownName) {
		return f.failAt(at, "%s: no such key here", name)
	}
	if rule, ok := errors.AsType[*custody.Error](err); ok {
		return f.failAt(at, "%s: %s", name, rule.Message)
	}
	if rule, ok := errors.AsType[*ruleError](err); ok {
		return f.failAt(at, "%s: %s", name, rule.text)
	}
	what, known := map[jsontext.Kind]string{'"': "a text", '0': "a number", '{': "a mapping", '[': "a list"}[e.JSONKind]
	if !known {
		what = "this"
	}
	return f.failAt(at, "%s: %s doesn't belong here", name, what)
}

// ruleError is the rule that a value of a setup file breaks.
type ruleError struct{ text string }

func (e *ruleError) Error() string { return e.text }

// period is a length of time such as 90m, 72h or 30d.
type period custody.Seconds

var periods = regexp.MustCompile(`^([1-9][0-9]{0,5})([smhd])$`)

// UnmarshalText reads a whole number and its unit.
func (p *period) UnmarshalText(text []byte) error {
	m := periods.FindStringSubmatch(string(text))
	if m == nil {
		return &ruleError{"not a length of time such as 90m, 72h or 30d"}
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return err
	}
	unit := map[string]custody.Seconds{"s": 1, "m": custody.Minute, "h": custody.Hour, "d": custody.Day}[m[2]]
	*p = period(custody.Seconds(n) * unit)
	return nil
}
