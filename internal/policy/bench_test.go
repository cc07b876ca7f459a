package policy

import (
	"fmt"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
)

// hundred is a policy of 100 rules as a bank writes them: tiers by value for each
// of its desks, tolls on totals, blocks by country.
func hundred(b *testing.B) (*Policy, Facts, Evidence) {
	b.Helper()
	p := Policy{Version: 1, Currency: "USD", Lists: map[custody.Name][]string{"bad": {"IR", "KP"}}}
	amount := func(n int) []custody.Amount { return []custody.Amount{custody.NewAmount(uint64(n))} }
	in := func(f Fact, texts ...string) Condition { return Condition{Op: In, Fact: f, Texts: texts} }
	types := []custody.IntentType{custody.TransferIntent}
	for i := range 100 {
		r := Rule{Name: custody.Name(fmt.Sprintf("r%03d", i)), For: types}
		desk := Condition{Op: UnderRoot, Fact: Domain, Texts: []string{fmt.Sprintf("desk-%d", i/20)}}
		value := Condition{Op: More, Fact: AmountValue, Numbers: amount(i * 1000)}
		switch i % 10 {
		case 0:
			r.Block = "restricted"
			r.When = Condition{Op: Or, Terms: []Condition{
				{Op: In, Fact: "destination.country", List: "bad"},
				{Op: Contains, Fact: "destination.tags", Texts: []string{fmt.Sprintf("t%d", i)}},
			}}
		case 1, 2, 3, 4, 5:
			r.When = Condition{Op: And, Terms: []Condition{desk, value, in("destination.kind", "ALLOWLISTED", "INTERNAL"), in("source.purpose", "TREASURY")}}
			r.Allow = &Demands{Approvals: []People{{Group: "desk", Count: 1 + i%3}}}
		default:
			r.When = Condition{Op: And, Terms: []Condition{in("source.purpose", "TREASURY"), {Op: More, Fact: Spent("source.vault", "24h"), Numbers: amount(i * 1000)}}}
			r.Require = &Demands{Approvals: []People{{Group: "risk", Count: 1}}, Delay: custody.Seconds(i), Screening: &Screening{Verdict: "PASS"}}
		}
		p.Rules = append(p.Rules, r)
	}
	raw, err := custody.Encode(p)
	if err != nil {
		b.Fatal(err)
	}
	parsed, err := Parse(raw)
	if err != nil {
		b.Fatal(err)
	}
	f := Facts{
		IntentType: TextOf(custody.TransferIntent), Domain: TextOf("desk-2/asia"), "source.purpose": TextOf(custody.Treasury),
		"destination.kind": TextOf("ALLOWLISTED"), "destination.country": TextOf("DE"), "destination.tags": SetOf("a", "b"),
		AmountValue: NumberOf(custody.NewAmount(60_000)), Spent("source.vault", "24h"): NumberOf(custody.NewAmount(50_000)),
	}
	e := Evidence{Now: 1_000_000, Screenings: []Screened{{"s", "PASS", 900_000}}}
	for i := range 4 {
		e.Approvals = append(e.Approvals, Approval{Person: somePerson(i + 1), Groups: []custody.Name{"desk", "risk"}, Witnessed: 1000})
	}
	return parsed, f, e
}

// BenchmarkEvaluate decides by a policy of 100 rules. Its limit is 250 µs.
func BenchmarkEvaluate(b *testing.B) {
	p, f, e := hundred(b)
	d := p.Evaluate(f, e)
	b.Logf("%s, %d ways, %d rules count", d.Outcome, len(d.Ways), len(d.Trail))
	b.ReportAllocs()
	for b.Loop() {
		d = p.Evaluate(f, e)
	}
	if d.Outcome != Allowed {
		b.Fatal(d.Outcome)
	}
}

// BenchmarkEvaluateWorst decides by a policy near the limits, which only a hostile
// compiler makes.
func BenchmarkEvaluateWorst(b *testing.B) {
	p, f, e := worst(b)
	b.ReportAllocs()
	for b.Loop() {
		p.Evaluate(f, e)
	}
}

func BenchmarkParse(b *testing.B) {
	p, _, _ := hundred(b)
	raw, err := custody.Encode(p)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}
