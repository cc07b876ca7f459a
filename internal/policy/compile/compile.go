// Package compile turns the policies that people write, YAML with conditions in
// CEL, into the canonical JSON that nodes read. Start from [Compile].
//
// It runs where people are: nodes link neither YAML nor CEL, and trust nothing
// that is checked here. Whatever could mean something else than it seems to is
// refused with its line and column.
package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// Limits of a source.
const (
	maxSource    = 256 << 10 // bytes
	maxCondition = 16 << 10  // bytes of one condition
)

// Options is what a compilation depends on beside the source.
type Options struct {
	// Now decides which years the table of the time zone covers, to the year.
	Now time.Time
	// Groups are the sizes of the groups that exist; nil if they aren't known.
	Groups map[custody.Name]int
}

// Compiled is a compiled policy.
type Compiled struct {
	Policy   *policy.Policy
	Raw      []byte    // canonical JSON
	Warnings []Problem // in order of position
}

// Position is a place in a source. Lines and columns count from 1, columns in
// characters.
type Position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// Problem is something wrong at one place.
type Problem struct {
	Position
	Message string `json:"message"`
}

func (p Problem) String() string { return fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Message) }

// Problems is all that is wrong with a source, in order of position.
type Problems []Problem //nolint:errname // what is wrong is a list, and the list is the error

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Compile compiles a policy. An error is always [Problems]: everything that is
// wrong, each with its place.
func Compile(source []byte, o Options) (*Compiled, error) {
	root, r := open(source)
	if root == nil {
		return nil, r.sorted()
	}
	c := &compiler{reader: r, options: o, at: make(map[string]Position), policy: &policy.Policy{}}
	c.document(root)
	if len(r.problems) > 0 {
		return nil, r.sorted()
	}
	return c.finish()
}

// finish lets package policy check what was compiled, as every node will.
func (c *compiler) finish() (*Compiled, error) {
	slices.SortFunc(c.policy.Rules, func(a, b policy.Rule) int { return cmp.Compare(a.Name, b.Name) })
	raw, err := custody.Encode(c.policy)
	if err != nil {
		return nil, Problems{{Position{1, 1}, err.Error()}}
	}
	p, err := policy.Parse(raw)
	if err != nil {
		return nil, Problems{c.place(err)}
	}
	out := &Compiled{Policy: p, Raw: raw, Warnings: c.warnings(p)}
	slices.SortStableFunc(out.Warnings, Problem.compare)
	return out, nil
}

// place finds where in the source the field is that a check of the compiled
// policy names.
func (c *compiler) place(err error) Problem {
	e, ok := err.(*custody.Error) //nolint:errorlint // Parse returns it as it is
	if !ok {
		return Problem{Position{1, 1}, err.Error()}
	}
	path := strings.Split(e.Field, ".")
	if len(path) > 1 && path[0] == "rules" {
		var i int
		if _, err := fmt.Sscan(path[1], &i); err == nil && i < len(c.policy.Rules) {
			path[1] = string(c.policy.Rules[i].Name)
		}
	}
	for n := len(path); n > 0; n-- {
		if at, ok := c.at[strings.Join(path[:n], ".")]; ok {
			return Problem{at, strings.Join(path, ".") + ": " + e.Message}
		}
	}
	return Problem{Position{1, 1}, e.Error()}
}

func (p Problem) compare(q Problem) int {
	return cmp.Or(cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column), strings.Compare(p.Message, q.Message))
}

// warnings finds ways in that ask nobody, unless whatever they let in is screened.
func (c *compiler) warnings(p *policy.Policy) []Problem {
	screened := map[custody.IntentType]bool{}
	for _, r := range p.Rules {
		if r.Require != nil && r.Require.Screening != nil && r.When.Op == policy.True {
			for _, t := range r.For {
				screened[t] = true
			}
		}
	}
	var out []Problem
	for _, r := range p.Rules {
		if r.Allow == nil || len(r.Allow.Approvals) > 0 {
			continue
		}
		for _, t := range r.For {
			if !screened[t] {
				out = append(out, Problem{c.at["rules."+string(r.Name)+".allow"], fmt.Sprintf(
					`rule %s lets a %s in without any approval, and no require with when: "true" asks for its screening`, r.Name, t)})
				break
			}
		}
	}
	return out
}
