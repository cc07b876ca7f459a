package compile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

var now = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)

const examples = "../../../examples/policies/"

func mustCompile(t testing.TB, source string) *Compiled {
	t.Helper()
	c, err := Compile([]byte(source), Options{Now: now})
	if err != nil {
		t.Fatalf("\n%v", err)
	}
	return c
}

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, name), got); diff != "" {
		t.Errorf("%s differs (-update writes it):\n%s", name, diff)
	}
}

// TestExamples compiles every example without a warning and runs the cases beside
// it, of which there are at least 10.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(examples + "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	policies := 0
	for _, name := range files {
		if strings.HasSuffix(name, ".test.yaml") {
			continue
		}
		policies++
		c := mustCompile(t, read(t, name))
		if len(c.Warnings) > 0 {
			t.Errorf("%s: %v", name, c.Warnings)
		}
		beside := strings.TrimSuffix(name, ".yaml") + ".test.yaml"
		cases, err := ParseCases([]byte(read(t, beside)), c.Policy)
		if err != nil {
			t.Errorf("%s:\n%v", beside, err)
		}
		if len(cases) < 10 {
			t.Errorf("%s: %d cases", beside, len(cases))
		}
		for _, test := range cases {
			if d := test.Run(c.Policy); len(d) > 0 {
				t.Errorf("%s:%d: %s: %s", beside, test.Position.Line, test.Name, strings.Join(d, "; "))
			}
		}
	}
	if policies != 5 {
		t.Errorf("%d examples", policies)
	}
}

// TestTreasuryTable holds what the treasury's policy says of a grid of facts,
// before anybody has approved or attested anything.
func TestTreasuryTable(t *testing.T) {
	p := mustCompile(t, read(t, examples+"treasury.yaml")).Policy
	var b strings.Builder
	dollars := func(n uint64) policy.Value { return policy.NumberOf(custody.NewAmount(n * 100)) }
	for _, purpose := range []string{"TREASURY", "CLIENT_SEGREGATED", "RETAIL", "?"} {
		for _, kind := range []string{"INTERNAL", "ALLOWLISTED", "ONE_TIME", "?"} {
			for _, value := range []uint64{10_000, 30_000, 900_000, 1_000_001, 0} {
				for _, total := range []uint64{250_000, 1_000_001, 0} {
					f := policy.Facts{
						policy.IntentType: policy.TextOf(custody.TransferIntent), "initiator.country": policy.TextOf("HK"),
						"destination.country": policy.TextOf("DE"),
					}
					put := func(name policy.Fact, known bool, v policy.Value) {
						if known {
							f[name] = v
						}
					}
					put("source.purpose", purpose != "?", policy.TextOf(purpose))
					put("destination.kind", kind != "?", policy.TextOf(kind))
					put(policy.AmountValue, value > 0, dollars(value))
					put(policy.Spent("source.vault", "24h"), total > 0, dollars(max(total, value)))
					d := p.Evaluate(f, policy.Evidence{})
					fmt.Fprintf(&b, "%-17s %-11s %7s of %7s: %s\n", purpose, kind, number(value), number(total), line(p, &d))
				}
			}
		}
	}
	golden(t, "testdata/treasury.golden", b.String())
}

func number(n uint64) string {
	if n == 0 {
		return "?"
	}
	return strconv.FormatUint(n, 10)
}

func line(p *policy.Policy, d *policy.Decision) string {
	s := d.Outcome.String()
	if len(d.Ways) > 0 {
		s += " " + string(d.Ways[0].Rule) + ": " + p.PrintDemands(&d.Ways[0].Demands)
	}
	if len(d.Ways) > 1 {
		s += fmt.Sprintf(" (and %d more)", len(d.Ways)-1)
	}
	return s
}

func TestPrintedPolicies(t *testing.T) {
	for _, name := range []string{"treasury", "custodian", "retail", "issuer", "two-banks"} {
		golden(t, "testdata/"+name+".golden.txt", mustCompile(t, read(t, examples+name+".yaml")).Policy.String())
	}
}

// TestRuleOrderIsNotCompiled: the bytes, and so the hash, are the same whatever
// the order of rules, types and constants.
func TestRuleOrderIsNotCompiled(t *testing.T) {
	head := "version: 1\ncurrency: USD\nlists: {bad: [%s]}\nrules:\n"
	a := "  - {name: a, for: [TRANSFER, CONTRACT_CALL], when: 'destination.country in lists.bad', block: no entry}\n"
	b := "  - {name: b, for: [CONTRACT_CALL], when: 'source.purpose in [\"RETAIL\", \"TREASURY\"]', allow: {approvals: [{group: a, count: 1}, {group: b, count: 2}]}}\n"
	one := mustCompile(t, fmt.Sprintf(head, "KP, IR")+a+b)
	a = strings.ReplaceAll(a, "TRANSFER, CONTRACT_CALL", "CONTRACT_CALL, TRANSFER")
	b = strings.ReplaceAll(b, `"RETAIL", "TREASURY"`, `"TREASURY", "RETAIL", "TREASURY"`)
	b = strings.ReplaceAll(b, `{group: a, count: 1}, {group: b, count: 2}`, `{group: b, count: 2}, {group: a, count: 1}`)
	two := mustCompile(t, fmt.Sprintf(head, "IR, KP")+b+a)
	if !bytes.Equal(one.Raw, two.Raw) {
		t.Errorf("\n%s\n%s", one.Raw, two.Raw)
	}
}

func TestFirstPolicy(t *testing.T) {
	c := mustCompile(t, `version: 1
currency: USD
lists: {restricted: [IR, KP]}
rules:
  - name: small
    for: [TRANSFER]
    when: amount.asset == "bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:1" && amount.units <= units("0.5") && destination.kind in ["INTERNAL", "ALLOWLISTED"]
    allow: {}
  - name: large
    for: [TRANSFER]
    when: "true"
    allow: {approvals: [{group: treasury, count: 2}]}
  - name: restricted
    for: [TRANSFER]
    when: destination.country in lists.restricted
    block: restricted country
  - name: governance
    for: [POLICY_CHANGE]
    when: "true"
    allow: {approvals: [{group: administrators, count: 2}]}
`)
	if len(c.Warnings) != 1 || c.Warnings[0].Position != (Position{8, 12}) {
		t.Errorf("warnings %v, want one at 8:12", c.Warnings)
	}
	const coin = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:1"
	for units, want := range map[uint64]string{50_000_000: "ALLOWED", 50_000_001: "PENDING"} {
		d := c.Policy.Evaluate(policy.Facts{
			policy.IntentType: policy.TextOf(custody.TransferIntent), policy.AmountAsset: policy.TextOf(coin),
			policy.AmountUnits: policy.NumberOf(custody.NewAmount(units)), "destination.kind": policy.TextOf("INTERNAL"),
			"destination.country": policy.TextOf("DE"),
		}, policy.Evidence{})
		if d.Outcome.String() != want {
			t.Errorf("%d units: %s, want %s", units, d.Outcome, want)
		}
	}
}

func TestZone(t *testing.T) {
	location, err := time.LoadLocation("Europe/Zurich")
	if err != nil {
		t.Fatal(err)
	}
	p := mustCompile(t, read(t, examples+"custodian.yaml")).Policy
	for at := time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2041; at = at.Add(97 * time.Minute) {
		local := at.In(location)
		weekday, minute := p.Time(custody.At(at))
		want := fmt.Sprint((int(local.Weekday())+6)%7+1, " ", local.Hour()*60+local.Minute())
		if got := weekday.String() + " " + minute.String(); got != want {
			t.Fatalf("%s: %s, want %s", at, got, want)
		}
	}
	for _, at := range []time.Time{time.Date(2015, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(2041, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if weekday, minute := p.Time(custody.At(at)); weekday.Kind() != policy.Unknown || minute.Kind() != policy.Unknown {
			t.Errorf("%s: %s %s, want unknown", at, weekday, minute)
		}
	}
	again, err := Compile([]byte(read(t, examples+"custodian.yaml")), Options{Now: now.AddDate(0, 7, 0)})
	if err != nil || again.Policy.Hash() != p.Hash() {
		t.Errorf("compiled in another month it is another policy: %v", err)
	}
}
