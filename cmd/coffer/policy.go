package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
	"github.com/cofferhq/coffer/internal/policy/compile"
)

const policyExample = `coffer policy check treasury.yaml`

const policyLong = `A policy says which intents may go ahead and what each asks for: people's
approvals, delays, screening, prices, Travel Rule data, jurisdictions. People write
it as YAML with conditions in CEL; nodes decide by what it is compiled to.

What is wrong in a file is told as FILE:LINE:COLUMN: MESSAGE, a line each.

Exit status: 0 done; 1 something went wrong, or a test failed; 2 the command line
or a file that it names is wrong.`

func newPolicy() *cobra.Command {
	cmd := group("policy", "Check, compile, try and test policies", policyLong)
	cmd.Example = "  " + policyExample + `
  coffer policy eval treasury.yaml --facts facts.json
  coffer policy test treasury.yaml`
	cmd.AddCommand(newPolicyCheck(), newPolicyCompile(), newPolicyEval(), newPolicyTest(), newPolicyFacts())
	return cmd
}

func newPolicyCheck() *cobra.Command {
	var charter string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Say what is wrong with a policy",
		Long: `Compile a policy and say what is wrong with it. Errors end with status 2; warnings
are told and end with status 0. A way in that asks nobody is warned of, unless
whatever it lets in has to be screened.

--charter reads the groups of a charter, so that asking for more people than a
group has, or for a group that doesn't exist, is an error.

--json prints one object: file, errors and warnings (each of line, column and
message) and, if there is no error, version, hash and rules (their number).`,
		Example:               "  " + policyExample,
		Args:                  oneFile,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			groups, err := groupsOf(charter)
			if err != nil {
				return err
			}
			return checkPolicy(cmd, args[0], groups, asJSON)
		},
	}
	cmd.Flags().StringVar(&charter, "charter", "", "charter whose groups must be able to meet the policy, as JSON")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newPolicyCompile() *cobra.Command {
	return &cobra.Command{
		Use:   "compile FILE",
		Short: "Print the canonical JSON that a policy is compiled to",
		Long: `Print the canonical JSON (RFC 8785) that a policy is compiled to, without a line's
end: the bytes that a POLICY_CHANGE intent carries and nodes decide by.`,
		Example:               "  coffer policy compile treasury.yaml > treasury.json",
		Args:                  oneFile,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := compilePolicy(cmd, args[0], nil)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(c.Raw)
			return written(err)
		},
	}
}

func newPolicyEval() *cobra.Command {
	var facts, now string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "eval FILE --facts FACTS.json",
		Short: "Say what a policy decides on given facts",
		Long: `Say what a policy decides on an intent with the given facts, before anybody has
approved or attested anything: which ways in are open, what each asks for, which
rules count and why.

FACTS.json holds facts by the names that coffer policy facts lists, such as
{"intent":{"type":"TRANSFER"},"amount":{"value":2500000}}, amounts in the smallest
units. A fact that isn't there is unknown. With --now, the facts of time are those
of that instant.

--json prints the whole Decision as canonical JSON.`,
		Example:               "  coffer policy eval treasury.yaml --facts facts.json --json",
		Args:                  oneFile,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if facts == "" {
				return usagef("--facts is required")
			}
			return evalPolicy(cmd, args[0], facts, now, asJSON)
		},
	}
	cmd.Flags().StringVar(&facts, "facts", "", "file of facts, as JSON")
	cmd.Flags().StringVar(&now, "now", "", "instant that the facts of time are of, as 2026-01-02T15:04:05.000Z")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newPolicyTest() *cobra.Command {
	return &cobra.Command{
		Use:   "test FILE",
		Short: "Run the cases beside a policy",
		Long: `Run the cases that stand beside a policy: those of treasury.yaml are in
treasury.test.yaml. Each gives facts and evidence, and what it expects of the
Decision. A line is printed for each; a case that differs ends with status 1.`,
		Example:               "  coffer policy test treasury.yaml",
		Args:                  oneFile,
		DisableFlagsInUseLine: true,
		RunE:                  func(cmd *cobra.Command, args []string) error { return testPolicy(cmd, args[0]) },
	}
}

func newPolicyFacts() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "facts [TYPE]",
		Short: "List the facts that conditions can ask about",
		Long: `List the facts that conditions can ask about, by the types of intent that have
them, or those of one type. A rule may only use facts that all its types have.

--json prints a list of objects: name, kind, types, note.`,
		Example: `  coffer policy facts
  coffer policy facts TYPED_MESSAGE`,
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("at most one type, not %d", len(args))
			}
			if len(args) == 1 && !slices.Contains(custody.IntentTypes(), custody.IntentType(args[0])) {
				return usagef("%q is not a type of intent", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var only custody.IntentType
			if len(args) == 1 {
				only = custody.IntentType(args[0])
			}
			return written(printFacts(cmd.OutOrStdout(), only, asJSON))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("%s takes one file, not %d", cmd.CommandPath(), len(args))
	}
	return nil
}

// maxPolicyFile is the most of a file that is read; its own limits are lower.
const maxPolicyFile = 1 << 20

func written(err error) error {
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

func compileFile(name string, groups map[custody.Name]int) (*compile.Compiled, error) {
	source, err := readFile(name, maxPolicyFile)
	if err != nil {
		return nil, err
	}
	return compile.Compile(source, compile.Options{Now: time.Now(), Groups: groups}) //nolint:forbidigo // the edge of the program
}

// compilePolicy compiles a file and tells what is wrong with it.
func compilePolicy(cmd *cobra.Command, name string, groups map[custody.Name]int) (*compile.Compiled, error) {
	c, err := compileFile(name, groups)
	return c, tell(cmd, name, err)
}

// tell prints problems on stderr, each with its place, and returns an error that
// counts them; other errors it returns as they are.
func tell(cmd *cobra.Command, name string, err error) error {
	problems, ok := errors.AsType[compile.Problems](err)
	if !ok {
		return err
	}
	for _, p := range problems {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s:%s\n", name, p)
	}
	return mistakes(name, len(problems))
}

func mistakes(name string, n int) error {
	if n == 1 {
		return usagef("%s: 1 mistake", name)
	}
	return usagef("%s: %d mistakes", name, n)
}

// checked is what `policy check --json` prints.
type checked struct {
	File     string            `json:"file"`
	Errors   []compile.Problem `json:"errors"`
	Warnings []compile.Problem `json:"warnings"`
	Version  int64             `json:"version,omitempty"`
	Hash     string            `json:"hash,omitempty"`
	Rules    int               `json:"rules,omitempty"`
}

func checkPolicy(cmd *cobra.Command, name string, groups map[custody.Name]int, asJSON bool) error {
	if asJSON {
		return checkJSON(cmd.OutOrStdout(), name, groups)
	}
	c, err := compilePolicy(cmd, name, groups)
	if err != nil {
		return err
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s:%d:%d: warning: %s\n", name, w.Line, w.Column, w.Message)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: version %d, %d rules, hash %s\n",
		name, c.Policy.Version, len(c.Policy.Rules), c.Policy.Hash())
	return written(err)
}

func checkJSON(out io.Writer, name string, groups map[custody.Name]int) error {
	c, err := compileFile(name, groups)
	result := checked{File: name, Errors: []compile.Problem{}, Warnings: []compile.Problem{}}
	problems, wrong := errors.AsType[compile.Problems](err)
	switch {
	case wrong:
		result.Errors = problems
	case err != nil:
		return err
	default:
		result.Warnings = append(result.Warnings, c.Warnings...)
		result.Version, result.Hash, result.Rules = c.Policy.Version, c.Policy.Hash().String(), len(c.Policy.Rules)
	}
	if err := json.NewEncoder(out).Encode(result); err != nil {
		return written(err)
	}
	if wrong {
		return mistakes(name, len(problems))
	}
	return nil
}

// groupsOf reads the sizes of the groups of a charter, and nothing else of it.
func groupsOf(name string) (map[custody.Name]int, error) {
	if name == "" {
		return nil, nil
	}
	data, err := readFile(name, maxPolicyFile)
	if err != nil {
		return nil, err
	}
	type body struct {
		Groups []struct {
			ID      custody.Name `json:"id"`
			Members []string     `json:"members"`
		} `json:"groups"`
	}
	var file struct { // a charter, or its first entry's body with the signatures
		body
		Charter body `json:"charter"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, usagef("--charter %s: %v", name, err)
	}
	charter := file.body
	if charter.Groups == nil {
		charter = file.Charter
	}
	if charter.Groups == nil {
		return nil, usagef("--charter %s: no groups in it", name)
	}
	groups := make(map[custody.Name]int)
	for _, g := range charter.Groups {
		groups[g.ID] = len(g.Members)
	}
	return groups, nil
}

func evalPolicy(cmd *cobra.Command, name, factsName, now string, asJSON bool) error {
	c, err := compilePolicy(cmd, name, nil)
	if err != nil {
		return err
	}
	data, err := readFile(factsName, maxPolicyFile)
	if err != nil {
		return err
	}
	facts, err := policy.ParseFacts(data)
	if err != nil {
		return usagef("%s: %v", factsName, err)
	}
	var evidence policy.Evidence
	if now != "" {
		if err := evidence.Now.UnmarshalText([]byte(now)); err != nil {
			return usagef("--now: %v", err)
		}
		facts[policy.Weekday], facts[policy.Minute] = c.Policy.Time(evidence.Now)
	}
	decision := c.Policy.Evaluate(facts, evidence)
	if !asJSON {
		_, err = io.WriteString(cmd.OutOrStdout(), c.Policy.Explain(&decision))
		return written(err)
	}
	out, err := custody.Encode(decision)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", out)
	return written(err)
}

func testPolicy(cmd *cobra.Command, name string) error {
	c, err := compilePolicy(cmd, name, nil)
	if err != nil {
		return err
	}
	beside := strings.TrimSuffix(name, filepath.Ext(name)) + ".test" + filepath.Ext(name)
	source, err := readFile(beside, maxPolicyFile)
	if err != nil {
		return err
	}
	cases, err := compile.ParseCases(source, c.Policy)
	if err != nil {
		return tell(cmd, beside, err)
	}
	failed := 0
	out := cmd.OutOrStdout()
	for _, t := range cases {
		differences := t.Run(c.Policy)
		if len(differences) == 0 {
			fmt.Fprintf(out, "ok    %s\n", t.Name)
			continue
		}
		failed++
		fmt.Fprintf(out, "FAIL  %s (%s:%d)\n", t.Name, beside, t.Position.Line)
		for _, d := range differences {
			fmt.Fprintf(out, "      %s\n", d)
		}
	}
	_, err = fmt.Fprintf(out, "%d of %d cases as expected\n", len(cases)-failed, len(cases))
	if err == nil && failed > 0 {
		return fmt.Errorf("%s: %d of %d cases failed", beside, failed, len(cases))
	}
	return written(err)
}

// listedFact is what `policy facts --json` prints of a fact.
type listedFact struct {
	Name  string               `json:"name"`
	Kind  string               `json:"kind"`
	Types []custody.IntentType `json:"types"`
	Note  string               `json:"note"`
}

// totals explains all running totals of a kind in one line.
var totals = map[string]string{
	"spent": `value and fees within "1h", "24h", "7d" or "30d", this intent included; by "source.vault", "initiator", "destination" or "institution"`,
	"count": "number of intents, likewise",
}

func printFacts(out io.Writer, only custody.IntentType, asJSON bool) error {
	var facts []listedFact
	for _, d := range policy.Definitions() {
		if only == "" || slices.Contains(d.Types, only) {
			f := listedFact{d.Name.String(), d.Kind.String(), d.Types, d.Note}
			if function, scope, window, ok := d.Name.Total(); ok && !asJSON {
				if scope != "initiator" || window != "1h" {
					continue
				}
				f.Name, f.Note = function+"(SCOPE, WINDOW)", totals[function]
			}
			facts = append(facts, f)
		}
	}
	if asJSON {
		return json.NewEncoder(out).Encode(facts)
	}
	var order []string
	byTypes := make(map[string][]listedFact)
	for _, f := range facts {
		types := "facts of " + typesOf(f.Types)
		if only != "" {
			types = "facts of " + string(only)
		}
		if byTypes[types] == nil {
			order = append(order, types)
		}
		byTypes[types] = append(byTypes[types], f)
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, types := range order {
		if i > 0 {
			fmt.Fprintln(t)
		}
		fmt.Fprintf(t, "%s:\n", types)
		for _, f := range byTypes[types] {
			fmt.Fprintf(t, "  %s\t%s\t%s\n", f.Name, f.Kind, f.Note)
		}
	}
	return t.Flush()
}

func typesOf(types []custody.IntentType) string {
	if len(types) == len(custody.IntentTypes()) {
		return "every type"
	}
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = string(t)
	}
	return strings.Join(words, ", ")
}
