package compile

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// places maps the characters of a text to where they stand in the source.
type places struct {
	at    []Position // one per character of the text, and one for its end
	first Position
}

func (p places) of(character int) Position {
	if character < 0 || character >= len(p.at) {
		return p.first
	}
	return p.at[character]
}

// places follows the source of a scalar beside its value: quotes, escapes and
// folded lines make the two differ. If they can't be brought together, every
// character stands where the scalar begins.
func (r *reader) places(n ast.Node, value string) places {
	first := start(n)
	at, style := first, n.GetToken().Type
	switch {
	case n.Type() == ast.LiteralType:
		at = Position{first.Line + 1, 1}
	case quoted(n.GetToken()):
		at.Column++
	}
	scan := scanner{lines: r.lines, at: at, line: -1}
	out := places{first: first}
	for _, c := range value {
		if !unicode.IsSpace(c) {
			scan.skipSpace(style == token.DoubleQuoteType)
		}
		out.at = append(out.at, scan.at)
		if !scan.take(c, style) {
			return places{first: first}
		}
	}
	out.at = append(out.at, scan.at)
	return out
}

type scanner struct {
	lines []string
	at    Position
	line  int // whose characters are in text
	text  []rune
}

// rest returns what is left of the line.
func (s *scanner) rest() []rune {
	if s.at.Line > len(s.lines) {
		return nil
	}
	if s.line != s.at.Line {
		s.line, s.text = s.at.Line, []rune(strings.TrimSuffix(s.lines[s.at.Line-1], "\r"))
	}
	return s.text[min(s.at.Column-1, len(s.text)):]
}

func (s *scanner) skipSpace(escapes bool) {
	for s.at.Line <= len(s.lines) {
		rest := s.rest()
		switch {
		case len(rest) == 0, escapes && len(rest) == 1 && rest[0] == '\\':
			s.at = Position{s.at.Line + 1, 1}
		case unicode.IsSpace(rest[0]):
			s.at.Column++
		default:
			return
		}
	}
}

// take passes the source of one character.
func (s *scanner) take(c rune, style token.Type) bool {
	rest := s.rest()
	switch {
	case unicode.IsSpace(c) && len(rest) == 0: // a line's end
		s.at = Position{s.at.Line + 1, 1}
	case len(rest) == 0:
		return false
	case style == token.DoubleQuoteType && rest[0] == '\\' && len(rest) > 1:
		length := map[rune]int{'x': 4, 'u': 6, 'U': 10}[rest[1]]
		s.at.Column += max(2, length)
	case style == token.SingleQuoteType && c == '\'' && len(rest) > 1 && rest[1] == '\'':
		s.at.Column += 2
	case rest[0] == c:
		s.at.Column++
	case unicode.IsSpace(c): // folded: what follows finds its own place
	default:
		return false
	}
	return true
}

// character returns which character of s stands at a byte offset.
func character(s string, line, column int) int {
	n := 0
	for l := range strings.SplitAfterSeq(s, "\n") {
		if line == 1 {
			return n + column
		}
		line--
		n += utf8.RuneCountInString(l)
	}
	return n
}
