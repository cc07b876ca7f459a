package policy

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/custody"
)

// The world of random policies is small, so that rules meet.
var (
	someGroups   = []custody.Name{"a", "b", "c"}
	someTypes    = []custody.IntentType{custody.TransferIntent, custody.ContractCallIntent}
	someTexts    = map[Fact][]string{"source.purpose": {"RETAIL", "TREASURY"}, "destination.country": {"DE", "IR", "KP"}}
	someNumbers  = []Fact{AmountValue, Spent("source.vault", "24h"), Count("initiator", "1h")}
	someElements = []string{"x", "y"}
)

const (
	someFlag = Fact("destination.firstUse")
	someSet  = Fact("destination.tags")
)

func somePerson(i int) custody.ID[custody.Person] {
	return custody.ID[custody.Person]{6: 0x70, 8: 0x80, 15: byte(i)}
}

func drawCondition(t *rapid.T, depth int) Condition {
	ops := []Op{True, False, In, Less, AtMost, More, AtLeast, Is, Contains, UnderRoot}
	if depth > 0 {
		ops = append(ops, And, Or, Not, And, Or, Not)
	}
	c := Condition{Op: rapid.SampledFrom(ops).Draw(t, "op")}
	switch c.Op {
	case And, Or:
		for range rapid.IntRange(2, 3).Draw(t, "terms") {
			c.Terms = append(c.Terms, drawCondition(t, depth-1))
		}
	case Not:
		c.Terms = []Condition{drawCondition(t, depth-1)}
	case In:
		if rapid.Bool().Draw(t, "listed") {
			c.Fact, c.List = "destination.country", "bad"
			break
		}
		c.Fact = rapid.SampledFrom(sortedKeys(someTexts)).Draw(t, "fact")
		c.Texts = subset(t, someTexts[c.Fact], 1)
	case Less, AtMost, More, AtLeast:
		c.Fact = rapid.SampledFrom(someNumbers).Draw(t, "fact")
		c.Numbers = []custody.Amount{drawAmount(t)}
	case Is:
		c.Fact = someFlag
	case Contains:
		c.Fact, c.Texts = someSet, []string{rapid.SampledFrom(someElements).Draw(t, "element")}
	case UnderRoot:
		c.Fact, c.Texts = Domain, []string{rapid.SampledFrom([]string{"t", "t/asia"}).Draw(t, "root")}
	default:
	}
	return c
}

func drawAmount(t *rapid.T) custody.Amount {
	return custody.NewAmount(uint64(rapid.IntRange(0, 4).Draw(t, "amount")))
}

func subset[T any](t *rapid.T, from []T, least int) []T {
	var out []T
	for i, e := range from {
		if rapid.Bool().Draw(t, "in") || len(out)+len(from)-i <= least {
			out = append(out, e)
		}
	}
	return out
}

func drawDemands(t *rapid.T) *Demands {
	var d Demands
	for _, g := range subset(t, someGroups, 0) {
		p := People{Group: g, Count: rapid.IntRange(1, 2).Draw(t, "count")}
		d.Approvals = append(d.Approvals, p)
		if rapid.IntRange(0, 3).Draw(t, "identity") == 0 {
			d.Approvals = append(d.Approvals, People{g, 1, custody.OIDC, rapid.SampledFrom([]string{"", "gold"}).Draw(t, "acr")})
		}
	}
	if len(d.Approvals) > 0 {
		d.InitiatorCounts = rapid.Bool().Draw(t, "counts")
		d.Rejections = rapid.SampledFrom([]int{0, 2, 3}).Draw(t, "rejections")
	}
	if rapid.Bool().Draw(t, "delayed") {
		d.Delay = custody.Seconds(rapid.IntRange(1, 100).Draw(t, "delay"))
	}
	d.Jurisdictions = rapid.IntRange(0, 2).Draw(t, "jurisdictions")
	switch rapid.IntRange(0, 5).Draw(t, "attested") {
	case 0:
		d.Screening = &Screening{
			rapid.SampledFrom([]custody.ScreeningVerdict{"PASS", "REVIEW"}).Draw(t, "verdict"),
			custody.Seconds(rapid.IntRange(0, 50).Draw(t, "age")), rapid.IntRange(0, 2).Draw(t, "from"),
		}
	case 1:
		d.Price = &Price{
			rapid.IntRange(1, 3).Draw(t, "from"), rapid.SampledFrom([]int{1, 5000, 10000}).Draw(t, "within"),
			custody.Seconds(rapid.IntRange(0, 50).Draw(t, "age")),
		}
	case 2:
		d.TravelRule = &TravelRule{drawAmount(t)}
	}
	return &d
}

func drawPolicy(t *rapid.T) *Policy {
	p := &Policy{Version: 1, Currency: "USD", Lists: map[custody.Name][]string{"bad": {"IR", "KP"}}}
	for i := range rapid.IntRange(1, 8).Draw(t, "rules") {
		r := Rule{
			Name: custody.Name(fmt.Sprintf("r%d", i)), For: subset(t, someTypes, 1),
			When: drawCondition(t, 3),
		}
		switch rapid.IntRange(0, 5).Draw(t, "effect") {
		case 0:
			r.Block = "no"
		case 1, 2:
			if r.Require = drawDemands(t); r.Require.Nothing() {
				r.Require.Delay = 1
			}
		default:
			r.Allow = drawDemands(t)
		}
		p.Rules = append(p.Rules, r)
	}
	raw, err := custody.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = Parse(raw); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	return p
}

// drawFacts knows everything.
func drawFacts(t *rapid.T) Facts {
	f := Facts{IntentType: TextOf(rapid.SampledFrom(someTypes).Draw(t, "type"))}
	for _, name := range sortedKeys(someTexts) {
		f[name] = TextOf(rapid.SampledFrom(append(slices.Clone(someTexts[name]), map[Fact]string{"source.purpose": "ISSUANCE", "destination.country": "FR"}[name])).Draw(t, "text"))
	}
	for _, name := range someNumbers {
		f[name] = NumberOf(drawAmount(t))
	}
	f[someFlag] = BoolOf(rapid.Bool().Draw(t, "flag"))
	f[someSet] = SetOf(subset(t, someElements, 0)...)
	f[Domain] = TextOf(rapid.SampledFrom([]string{"t", "t/asia", "tx", "u"}).Draw(t, "domain"))
	return f
}

// forget leaves some facts unknown.
func forget(t *rapid.T, f Facts) Facts {
	out := Facts{}
	for _, name := range sortedKeys(f) {
		if name == IntentType || rapid.Bool().Draw(t, "known") {
			out[name] = f[name]
		}
	}
	return out
}

func drawEvidence(t *rapid.T) Evidence {
	const now = custody.Time(1_000_000_000)
	e := Evidence{Now: now}
	witnessed := now - 120_000
	groups := make([][]custody.Name, 10)
	for i := range groups {
		groups[i] = subset(t, someGroups, 0)
	}
	word := func(person int) Approval {
		witnessed += custody.Time(rapid.IntRange(0, 30).Draw(t, "later")) * 1000
		a := Approval{Person: somePerson(person), Groups: groups[person], Witnessed: witnessed}
		a.Identities = subset(t, []string{"", "gold"}, 0)
		return a
	}
	e.Submission = word(0)
	for range rapid.IntRange(0, 7).Draw(t, "approvals") {
		e.Approvals = append(e.Approvals, word(rapid.IntRange(0, 6).Draw(t, "person")))
	}
	for range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "rejections") {
		e.Rejections = append(e.Rejections, word(rapid.IntRange(0, 9).Draw(t, "person")))
	}
	at := func() custody.Time { return now + custody.Time(rapid.IntRange(-60, 1).Draw(t, "at"))*1000 }
	for _, attestor := range subset(t, someGroups, 0) {
		e.Screenings = append(e.Screenings, Screened{attestor, rapid.SampledFrom([]custody.ScreeningVerdict{"PASS", "PASS", "REVIEW", "BLOCK"}).Draw(t, "verdict"), at()})
		e.Prices = append(e.Prices, Priced{attestor, custody.NewAmount(uint64(rapid.IntRange(99, 101).Draw(t, "price"))), at()})
		e.TravelRules = append(e.TravelRules, TravelRuled{attestor, rapid.SampledFrom([]custody.TravelRuleStatus{"ACCEPTED", "REJECTED"}).Draw(t, "status"), at()})
	}
	return e
}
