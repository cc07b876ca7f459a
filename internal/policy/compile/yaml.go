package compile

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// reader reads values from YAML strictly and keeps what is wrong with them.
type reader struct {
	lines    []string
	problems Problems
}

// open parses one document; it returns no node if there is none to read.
func open(source []byte) (ast.Node, *reader) {
	r := &reader{lines: strings.Split(string(source), "\n")}
	if problem := acceptable(source); problem != "" {
		r.fail(Position{1, 1}, "%s", problem)
		return nil, r
	}
	file, err := parse(source)
	var syntax yaml.Error
	switch {
	case errors.As(err, &syntax) && syntax.GetToken() != nil:
		r.fail(position(syntax.GetToken()), "%s", syntax.GetMessage())
		return nil, r
	case err != nil:
		r.fail(Position{1, 1}, "not valid YAML: %v", err)
		return nil, r
	case len(file.Docs) != 1 || file.Docs[0].Body == nil:
		r.fail(Position{1, 1}, "not one YAML document")
		return nil, r
	}
	root := file.Docs[0].Body
	r.plain(root)
	if len(r.problems) > 0 {
		return nil, r
	}
	return root, r
}

// parse turns a panic of the YAML parser into an error.
func parse(source []byte) (file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the parser can't read it")
		}
	}()
	return parser.ParseBytes(source, 0)
}

// acceptable bounds what the YAML parser is given: it nests as deep as its input.
func acceptable(source []byte) string {
	if len(source) > maxSource {
		return fmt.Sprintf("%d bytes, at most %d allowed", len(source), maxSource)
	}
	if !utf8.Valid(source) {
		return "not UTF-8"
	}
	brackets := 0
	for line := range strings.SplitSeq(string(source), "\n") {
		nested := 0
		for _, c := range line {
			switch c {
			case '[', '{':
				brackets++
			case ']', '}':
				brackets = max(0, brackets-1)
			case '-', '?', ':', '!', '&', '*':
				nested++
			case ' ':
			default:
				nested = 0
			}
			if brackets > 64 || nested > 64 {
				return "nested more than 64 deep"
			}
			if c == '\t' && strings.TrimLeft(line, " \t") != "" && strings.HasPrefix(strings.TrimLeft(line, " "), "\t") {
				return "a tab in the indentation"
			}
		}
	}
	return ""
}

func position(t *token.Token) Position {
	if t == nil || t.Position == nil {
		return Position{1, 1}
	}
	return Position{max(1, t.Position.Line), max(1, t.Position.Column)}
}

// start returns where n begins; a mapping begins with its first key.
func start(n ast.Node) Position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return position(n.Values[0].Key.GetToken())
		}
	case *ast.MappingValueNode:
		return position(n.Key.GetToken())
	}
	return position(n.GetToken())
}

func (r *reader) fail(at Position, format string, args ...any) {
	r.problems = append(r.problems, Problem{at, fmt.Sprintf(format, args...)})
}

func (r *reader) sorted() Problems {
	slices.SortFunc(r.problems, Problem.compare)
	return slices.Compact(r.problems)
}

// plain refuses everything of YAML by which a value can be somewhere else, or
// something else, than where and what it seems.
func (r *reader) plain(n ast.Node) {
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			r.plain(v)
		}
	case *ast.MappingValueNode:
		if _, ok := n.Key.(*ast.StringNode); !ok {
			r.fail(start(n.Key), "not a plain key")
			return
		}
		r.plain(n.Value)
	case *ast.SequenceNode:
		for _, v := range n.Values {
			r.plain(v)
		}
	case *ast.AnchorNode, *ast.AliasNode:
		r.fail(start(n), "anchors and aliases are not allowed: write the value out")
	case *ast.TagNode:
		r.fail(start(n), "a value that begins with ! must stand in quotes (and tags are not allowed)")
	}
}

// fields returns the values of a mapping by key. Unknown keys are problems.
func (r *reader) fields(n ast.Node, what string, known ...string) map[string]ast.Node {
	out := make(map[string]ast.Node)
	for _, v := range r.entries(n, what) {
		key := v.Key.(*ast.StringNode).Value
		switch _, twice := out[key]; {
		case twice:
			r.fail(start(v.Key), "%s: given twice", key)
		case known != nil && !slices.Contains(known, key):
			r.fail(start(v.Key), "%s: no such key in %s, which has %s", key, what, strings.Join(known, ", "))
		default:
			out[key] = v.Value
		}
	}
	return out
}

func (r *reader) entries(n ast.Node, what string) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	r.fail(start(n), "%s is a mapping (key: value), not %s", what, describe(n))
	return nil
}

func (r *reader) list(n ast.Node, what string) []ast.Node {
	if s, ok := n.(*ast.SequenceNode); ok {
		return s.Values
	}
	r.fail(start(n), "%s is a list, not %s", what, describe(n))
	return nil
}

// Plain scalars that one YAML reader takes as text and another as something else.
var (
	booleans = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false|null|~)$`)
	numbers  = regexp.MustCompile(`^[-+]?(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?$|^[-+]?0[xob][0-9a-fA-F_]+$|^[-+]?\.(?i:inf|nan)$`)
	dates    = regexp.MustCompile(`^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|^[0-9]+(:[0-9]+)+$`)
)

// text returns a string. Unquoted it must not look like a boolean, a number or a
// date: an unquoted 0xa9059cbb is the number 2835717307.
func (r *reader) text(n ast.Node, what string) (string, bool) {
	switch n := n.(type) {
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.StringNode:
		if quoted(n.Token) {
			return n.Value, true
		}
		for looks, pattern := range map[string]*regexp.Regexp{"boolean": booleans, "number": numbers, "date or time": dates} {
			if pattern.MatchString(n.Value) {
				r.fail(start(n), "%s: %s must stand in quotes, or YAML readers take it as a %s", what, n.Value, looks)
				return "", false
			}
		}
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		r.fail(start(n), `%s: %s is %s without quotes: write "%s"`, what, n.GetToken().Value, describe(n), n.GetToken().Value)
		return "", false
	}
	r.fail(start(n), "%s is text, not %s", what, describe(n))
	return "", false
}

// integer returns a number written as plain decimal digits, from 0 to 10^9.
func (r *reader) integer(n ast.Node, what string) (int, bool) {
	t := n.GetToken()
	if i, ok := n.(*ast.IntegerNode); ok {
		if t.Type == token.IntegerType && regexp.MustCompile(`^(0|[1-9][0-9]{0,8})$`).MatchString(t.Value) {
			v, _ := i.Value.(uint64)
			return int(v), true
		}
		r.fail(start(n), "%s: %s is not a whole number from 0 to 999999999 in plain decimal digits", what, t.Value)
		return 0, false
	}
	if s, ok := n.(*ast.StringNode); ok && quoted(s.Token) {
		r.fail(start(n), "%s is a number: write it without quotes", what)
		return 0, false
	}
	r.fail(start(n), "%s is a whole number, not %s", what, describe(n))
	return 0, false
}

func quoted(t *token.Token) bool {
	return t.Type == token.DoubleQuoteType || t.Type == token.SingleQuoteType
}

func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "a boolean"
	case *ast.NullNode:
		return "nothing"
	default:
		return "this"
	}
}
