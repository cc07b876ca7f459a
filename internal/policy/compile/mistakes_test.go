package compile

import (
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
)

// TestMistakes compiles every mistake in testdata/mistakes.txt. A mistake is a
// policy, and under it what must be said of it, after "==>".
func TestMistakes(t *testing.T) {
	var b strings.Builder
	for part := range strings.SplitSeq(read(t, "testdata/mistakes.txt"), "\n\n") {
		source, _, _ := strings.Cut(part, "\n==> ")
		source = strings.TrimRight(source, "\n")
		if b.Len() > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString(source)
		full := source
		if strings.HasPrefix(strings.TrimLeft(source, " "), "-") {
			full = "version: 1\ncurrency: USD\nlists: {bad: [KP]}\nrules:\n" + source
		}
		_, err := Compile([]byte(full+"\n"), Options{Now: now, Groups: map[custody.Name]int{"a": 2, "b": 3}})
		if err == nil {
			t.Errorf("no mistake found in\n%s", source)
			continue
		}
		for l := range strings.SplitSeq(err.Error(), "\n") {
			b.WriteString("\n==> " + l)
		}
	}
	golden(t, "testdata/mistakes.txt", b.String()+"\n")
}

func TestC39DeepAndLong(t *testing.T) {
	rule := "version: 1\ncurrency: USD\nrules:\n  - {name: r, for: [TRANSFER], allow: {}, when: '"
	alternating := "destination.firstUse"
	for i := range 35 {
		alternating = "(" + alternating + []string{" && ", " || "}[i%2] + "destination.firstUse)"
	}
	nots := strings.Repeat("!(", 34) + "destination.firstUse" + strings.Repeat(")", 34)
	mustCompile(t, rule+nots+"'}\n") // 35 deep in the text and flat in the tree
	for name, source := range map[string]string{
		"and in or 35 deep": rule + alternating + "'}\n",
		"brackets":          rule + strings.Repeat("(", 5000) + "true" + strings.Repeat(")", 5000) + "'}\n",
		"nots":              rule + strings.Repeat("!", 5000) + "true'}\n",
		"long":              rule + strings.Repeat("destination.firstUse || ", 1000) + "true'}\n",
		"YAML lists":        "a: " + strings.Repeat("[", 100_000),
		"YAML mappings":     "a: " + strings.Repeat("{a: ", 50_000),
		"YAML dashes":       strings.Repeat("- ", 100_000),
		"YAML keys":         strings.Repeat("? ", 100_000),
		"regex bomb":        rule + `source.domain.matches("(a+)+$")` + "'}\n",
		"look-alike":        rule + `source.purpose == "TREАSURY"` + "'}\n",
		"overflow":          rule + `count("initiator", "1h") < 9223372036854775808` + "'}\n",
		"overflow of money": rule + `amount.value < usd("` + strings.Repeat("9", 77) + `")` + "'}\n",
		"negative":          rule + `count("initiator", "1h") < -1` + "'}\n",
	} {
		start := time.Now()
		if _, err := Compile([]byte(source), Options{Now: now}); err == nil {
			t.Errorf("%s: compiled", name)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, name := range []string{"treasury", "custodian", "retail", "issuer", "two-banks"} {
		f.Add(read(f, examples+name+".yaml"))
	}
	f.Add(read(f, "testdata/mistakes.txt"))
	f.Fuzz(func(t *testing.T, source string) {
		c, err := Compile([]byte(source), Options{Now: now})
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error that says nothing")
			}
			return
		}
		_ = c.Policy.String()
	})
}

func FuzzCondition(f *testing.F) {
	f.Add(`source.purpose == "TREASURY" && amount.value <= usd(25000) || !(destination.country in lists.bad)`)
	f.Add(`spent("source.vault", "24h") > usd("0.5") && "x" in destination.tags && under("a/b")`)
	f.Add(`amount.asset == "bip122:0/slip44:0" && units("1") < amount.units`)
	l, err := newLanguage("USD", testLists)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tree, problems := compileText(l, text)
		if len(problems) == 0 && tree.Op == "" {
			t.Fatal("neither a condition nor a problem")
		}
	})
}

func FuzzCases(f *testing.F) {
	c := mustCompile(f, read(f, examples+"treasury.yaml"))
	f.Add(read(f, examples+"treasury.test.yaml"))
	f.Fuzz(func(_ *testing.T, source string) {
		cases, _ := ParseCases([]byte(source), c.Policy)
		for _, test := range cases {
			test.Run(c.Policy)
		}
	})
}
