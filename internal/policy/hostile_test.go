package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/internal/custody"
)

// policyWith returns the JSON of a policy with one rule that has these fields
// beside its name.
func policyWith(fields string) string {
	return `{"currency":"USD","rules":[{` + fields + `}],"version":1}`
}

const lets = `"allow":{"approvals":[{"count":1,"group":"a"}]},"for":["TRANSFER"],"name":"r","when":`

func TestC39PolicyFromAHostileCompiler(t *testing.T) {
	deep := strings.Repeat(`{"op":"not","terms":[`, 13) + `{"op":"true"}` + strings.Repeat(`]}`, 13)
	wide := `{"op":"or","terms":[` + strings.Repeat(`{"op":"true"},`, maxNodes) + `{"op":"true"}]}`
	for name, test := range map[string]struct{ raw, want string }{
		"nested 13 deep":         {policyWith(lets + deep), "nested more than 12 deep"},
		"nested 35 deep":         {policyWith(lets + strings.ReplaceAll(deep, `{"op":"true"}`, deep+"")), "nested more than 32 deep"},
		"too many conditions":    {policyWith(lets + wide), "more than 10000 conditions"},
		"too large":              {policyWith(`"block":"` + strings.Repeat("x", MaxSize) + `","for":["TRANSFER"],"name":"r","when":{"op":"true"}`), "bytes, at most"},
		"unknown field":          {policyWith(`"allow":{"always":true},"for":["TRANSFER"],"name":"r","when":{"op":"true"}`), "rules.0.allow.always: unknown field"},
		"unknown field of rule":  {policyWith(`"allow":{},"if":1,"for":["TRANSFER"],"name":"r","when":{"op":"true"}`), "unknown field"},
		"duplicate field":        {policyWith(`"allow":{},"allow":{},"for":["TRANSFER"],"name":"r","when":{"op":"true"}`), "given twice"},
		"no effect":              {policyWith(`"for":["TRANSFER"],"name":"r","when":{"op":"true"}`), "exactly one of"},
		"two effects":            {policyWith(`"allow":{},"block":"no","for":["TRANSFER"],"name":"r","when":{"op":"true"}`), "exactly one of"},
		"no condition":           {policyWith(`"allow":{},"for":["TRANSFER"],"name":"r"`), "missing"},
		"unknown operation":      {policyWith(lets + `{"op":"matches"}`), "not an operation"},
		"or of nothing":          {policyWith(lets + `{"op":"or"}`), "not as many"},
		"unknown fact":           {policyWith(lets + `{"fact":"source.colour","op":"is"}`), "not a fact"},
		"fact of another type":   {policyWith(lets + `{"fact":"contract.method","op":"in","texts":["0x00000000"]}`), "TRANSFER has no contract.method"},
		"number for a text":      {policyWith(lets + `{"fact":"source.purpose","numbers":["1"],"op":"<"}`), "does not go with a text"},
		"text for a number":      {policyWith(lets + `{"fact":"amount.value","op":"in","texts":["1"]}`), "does not go with a number"},
		"set compared":           {policyWith(lets + `{"fact":"destination.tags","op":"in","texts":["x"]}`), "does not go with a set"},
		"overflow":               {policyWith(lets + `{"fact":"amount.value","numbers":["` + strings.Repeat("9", 78) + `"],"op":"<"}`), "2^256"},
		"negative":               {policyWith(lets + `{"fact":"amount.value","numbers":["-1"],"op":"<"}`), "whole number"},
		"NaN":                    {policyWith(lets + `{"fact":"amount.value","numbers":["NaN"],"op":"<"}`), "whole number"},
		"fraction":               {policyWith(lets + `{"fact":"amount.value","numbers":["1.5"],"op":"<"}`), "whole number"},
		"number not as a string": {policyWith(lets + `{"fact":"amount.value","numbers":[1],"op":"<"}`), "wrong type"},
		"look-alike":             {policyWith(lets + `{"fact":"source.domain","op":"in","texts":["tre` + "\u0430" + `sury"]}`), "printable ASCII"},
		"look-alike group":       {policyWith(`"allow":{"approvals":[{"count":1,"group":"tre` + "\u0430" + `sury"}]},"for":["TRANSFER"],"name":"r","when":{"op":"true"}`), "not a name"},
		"no such word":           {policyWith(lets + `{"fact":"source.purpose","op":"in","texts":["TREASURYX"]}`), "not one of TREASURY"},
		"upper-case address":     {policyWith(lets + `{"fact":"destination.address","op":"in","texts":["0xAB"]}`), "lower case"},
		"unsorted constants":     {policyWith(lets + `{"fact":"destination.country","op":"in","texts":["KP","IR"]}`), "ascending order"},
		"no such list":           {policyWith(lets + `{"fact":"destination.country","list":"bad","op":"in"}`), "no list of this policy"},
		"units of any asset":     {policyWith(lets + `{"fact":"amount.units","numbers":["1"],"op":"<"}`), "amount.asset == CONSTANT"},
		"units beside an or": {policyWith(lets + `{"op":"or","terms":[{"fact":"amount.asset","op":"in","texts":["eip155:1/slip44:60"]},` +
			`{"fact":"amount.units","numbers":["1"],"op":"<"}]}`), "amount.asset == CONSTANT"},
		"time without a zone": {policyWith(lets + `{"fact":"time.minute","numbers":["1"],"op":"<"}`), "no zone"},
		"weekday 0":           {policyWith(lets + `{"fact":"time.weekday","numbers":["0"],"op":"in"}`), "not between 1 and 7"},
		"nobody":              {policyWith(`"allow":{"approvals":[{"count":0,"group":"a"}]},"for":["TRANSFER"],"name":"r","when":{"op":"true"}`), "approvals.0.count"},
		"fewer than nobody":   {policyWith(`"allow":{"approvals":[{"count":-1,"group":"a"}]},"for":["TRANSFER"],"name":"r","when":{"op":"true"}`), "approvals.0.count"},
		"a delay too long":    {policyWith(`"allow":{"delay":2592000},"for":["TRANSFER"],"name":"r","when":{"op":"true"}`), "allow.delay"},
		"a negative delay":    {policyWith(`"allow":{"delay":-1},"for":["TRANSFER"],"name":"r","when":{"op":"true"}`), "allow.delay"},
		"verdict BLOCK":       {policyWith(`"for":["TRANSFER"],"name":"r","require":{"screening":{"verdict":"BLOCK"}},"when":{"op":"true"}`), "screening.verdict"},
		"empty require":       {policyWith(`"for":["TRANSFER"],"name":"r","require":{},"when":{"op":"true"}`), "asks for nothing"},
		"screened governance": {policyWith(`"for":["FREEZE"],"name":"r","require":{"screening":{"verdict":"PASS"}},"when":{"op":"true"}`), "only for intents that move value"},
		"no rules":            {`{"currency":"USD","rules":[],"version":1}`, "rules: empty"},
		"no currency":         {`{"currency":"XXX","rules":[{` + lets + `{"op":"true"}}],"version":1}`, "ISO 4217"},
		"same name twice":     {`{"currency":"USD","rules":[{` + lets + `{"op":"true"}},{` + lets + `{"op":"true"}}],"version":1}`, "a name twice"},
		"not canonical":       {`{"version":1,"currency":"USD","rules":[{` + lets + `{"op":"true"}}]}`, "canonical form"},
	} {
		raw := []byte(test.raw)
		if name != "not canonical" && name != "duplicate field" {
			if c, err := custody.Canonicalize(raw); err == nil {
				raw = c
			}
		}
		p, err := Parse(raw)
		if err == nil || p != nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if custody.CodeOf(err) != custody.Invalid {
			t.Errorf("%s: code %v", name, custody.CodeOf(err))
		}
	}
}

func mustParse(t testing.TB, raw string) *Policy {
	t.Helper()
	c, err := custody.Canonicalize([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestC39ErrorIsRefusal: nothing that is missing or malformed lets an intent in.
func TestC39ErrorIsRefusal(t *testing.T) {
	open := mustParse(t, policyWith(`"allow":{},"for":["TRANSFER"],"name":"r","when":{"op":"true"}`))
	if d := open.Evaluate(Facts{IntentType: TextOf(custody.TransferIntent)}, Evidence{}); d.Outcome != Allowed {
		t.Fatalf("%s: the policy of this test lets everything in", d.Outcome)
	}
	for name, d := range map[string]Decision{
		"the zero decision":         {},
		"no policy":                 (*Policy)(nil).Evaluate(Facts{IntentType: TextOf(custody.TransferIntent)}, Evidence{}),
		"a policy not parsed":       (&Policy{Version: 1, Currency: "USD", Rules: open.Rules}).Evaluate(Facts{IntentType: TextOf(custody.TransferIntent)}, Evidence{}),
		"no facts":                  open.Evaluate(nil, Evidence{}),
		"no type":                   open.Evaluate(Facts{AmountValue: NumberOf(custody.NewAmount(1))}, Evidence{}),
		"a type that isn't a text":  open.Evaluate(Facts{IntentType: BoolOf(true)}, Evidence{}),
		"a type without rules":      open.Evaluate(Facts{IntentType: TextOf(custody.FreezeIntent)}, Evidence{}),
		"a look-alike of the type":  open.Evaluate(Facts{IntentType: TextOf("TRАNSFER")}, Evidence{}),
		"an outcome of no meaning":  {Outcome: Refused},
		"the type in another case ": open.Evaluate(Facts{IntentType: TextOf("transfer")}, Evidence{}),
	} {
		if d.Outcome != Refused || len(d.Ways) > 0 {
			t.Errorf("%s: %s", name, d.Outcome)
		}
	}
	if Outcome(99).String() != "REFUSED" {
		t.Error("an outcome out of range reads as something else than a refusal")
	}
}

// TestC39MalformedFactIsUnknown: a value that the fact can't have counts as none,
// which makes a block hold.
func TestC39MalformedFactIsUnknown(t *testing.T) {
	p := mustParse(t, `{"currency":"USD","rules":[
		{"allow":{},"for":["TRANSFER"],"name":"a","when":{"op":"true"}},
		{"block":"no","for":["TRANSFER"],"name":"b","when":{"fact":"destination.country","op":"in","texts":["KP"]}}],"version":1}`)
	for _, v := range []Value{
		{}, TextOf("kp"), TextOf("К" + "P"), TextOf("KP "), TextOf(""), NumberOf(custody.NewAmount(1)), BoolOf(true), SetOf("KP"),
	} {
		d := p.Evaluate(Facts{IntentType: TextOf(custody.TransferIntent), "destination.country": v}, Evidence{})
		if d.Outcome != Held {
			t.Errorf("%s: %s, want HELD", v, d.Outcome)
		}
	}
}

// TestC39CaseOfAddresses: an address can't be smuggled past a list by its case.
func TestC39CaseOfAddresses(t *testing.T) {
	const address = "0x6b175474e89094c44da98b954eedeac495271d0f"
	p := mustParse(t, `{"currency":"USD","lists":{"bad":["`+address+`"]},"rules":[
		{"allow":{},"for":["TRANSFER"],"name":"a","when":{"op":"true"}},
		{"block":"no","for":["TRANSFER"],"name":"b","when":{"fact":"destination.address","list":"bad","op":"in"}}],"version":1}`)
	for _, s := range []string{address, "0x" + strings.ToUpper(address[2:]), "0x6B175474E89094C44Da98b954EedeAC495271d0F"} {
		d := p.Evaluate(Facts{IntentType: TextOf(custody.TransferIntent), "destination.address": TextOf(s)}, Evidence{})
		if d.Outcome != Blocked {
			t.Errorf("%s: %s, want BLOCKED", s, d.Outcome)
		}
	}
}

func TestC39FactsFromOutside(t *testing.T) {
	for name, test := range map[string]struct{ raw, want string }{
		"no type":          {`{}`, "intent.type"},
		"unknown fact":     {`{"intent":{"type":"TRANSFER"},"source":{"color":"red"}}`, "source.color: not a fact"},
		"unknown window":   {`{"intent":{"type":"TRANSFER"},"spent":{"initiator":{"2h":1}}}`, "not a fact"},
		"fact of no type":  {`{"intent":{"type":"TRANSFER"},"contract":{"method":"0x00000000"}}`, "TRANSFER has no such fact"},
		"duplicate":        {`{"intent":{"type":"TRANSFER"},"amount":{"value":1,"value":2}}`, "given twice"},
		"duplicate object": {`{"intent":{"type":"TRANSFER"},"amount":{"value":1},"amount":{"units":2}}`, "given twice"},
		"negative":         {`{"intent":{"type":"TRANSFER"},"amount":{"value":-1}}`, "amount.value"},
		"fraction":         {`{"intent":{"type":"TRANSFER"},"amount":{"value":1.5}}`, "amount.value"},
		"exponent":         {`{"intent":{"type":"TRANSFER"},"amount":{"value":1e3}}`, "amount.value"},
		"overflow":         {`{"intent":{"type":"TRANSFER"},"amount":{"value":` + strings.Repeat("9", 78) + `}}`, "amount.value"},
		"null":             {`{"intent":{"type":"TRANSFER"},"amount":{"value":null}}`, "amount.value: not a number"},
		"text for bool":    {`{"intent":{"type":"TRANSFER"},"destination":{"firstUse":"true"}}`, "not a boolean"},
		"null in a set":    {`{"intent":{"type":"TRANSFER"},"destination":{"tags":[null]}}`, "destination.tags"},
		"look-alike":       {`{"intent":{"type":"TRANSFER"},"source":{"purpose":"TRE` + "\u0410" + `SURY"}}`, "source.purpose"},
		"array":            {`[]`, "not a fact"},
		"more":             {`{"intent":{"type":"TRANSFER"}} {}`, "more after"},
		"cut short":        {`{"intent":{"type":"TRANSFER"`, "not valid JSON"},
		"deep":             {`{"intent":` + strings.Repeat(`{"a":`, 1000), "not a fact"},
		"empty":            {``, "not valid JSON"},
		"facts of a total": {`{"intent":{"type":"TRANSFER"},"spent(initiator,1h)":1}`, "not a fact"},
		"two spellings":    {`{"intent":{"type":"TRANSFER"},"source.purpose":"RETAIL","source":{"purpose":"TREASURY"}}`, "not a fact"},
	} {
		_, err := ParseFacts([]byte(test.raw))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// worst is the most work that a policy within the limits can make, or near it.
func worst(t testing.TB) (*Policy, Facts, Evidence) {
	t.Helper()
	p := Policy{Version: 1, Currency: "USD"}
	var atom []Condition
	for i := range 8 {
		atom = append(atom, Condition{Op: More, Fact: AmountValue, Numbers: []custody.Amount{custody.NewAmount(uint64(i + 1000))}})
	}
	for i := range 400 {
		d := &Demands{Approvals: []People{{Group: "a", Count: 32}, {Group: "b", Count: 32}}}
		p.Rules = append(p.Rules, Rule{
			Name: custody.Name(fmt.Sprintf("r%03d", i)), For: []custody.IntentType{custody.TransferIntent},
			When: Condition{Op: Not, Terms: []Condition{{Op: And, Terms: atom[:2]}}}, Allow: d,
		})
	}
	raw, err := custody.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	var e Evidence
	for i := range 1000 {
		id := somePerson(i % 256)
		id[14] = byte(i / 256)
		e.Approvals = append(e.Approvals, Approval{Person: id, Groups: []custody.Name{"a"}})
	}
	return parsed, Facts{IntentType: TextOf(custody.TransferIntent), AmountValue: NumberOf(custody.NewAmount(1))}, e
}

func TestC39EvaluationIsBounded(t *testing.T) {
	p, f, e := worst(t)
	start := time.Now()
	if d := p.Evaluate(f, e); d.Outcome != Pending || len(d.Ways) != 400 {
		t.Fatalf("%s, %d ways", d.Outcome, len(d.Ways))
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	// A tree that Parse would not let in is undetermined below the limit, however
	// deep it is.
	c := Condition{Op: True}
	for range 100_000 {
		c = Condition{Op: Not, Terms: []Condition{c}}
	}
	if got := c.Eval(f, nil); got != Undetermined {
		t.Errorf("100,000 deep is %d", got)
	}
}

// TestC40StricterPolicyCounts: evidence that was enough under one policy is judged
// anew by the next.
func TestC40StricterPolicyCounts(t *testing.T) {
	one := mustParse(t, policyWith(lets+`{"op":"true"}`))
	two := mustParse(t, policyWith(strings.ReplaceAll(lets, `"count":1`, `"count":2`)+`{"op":"true"}`))
	f := Facts{IntentType: TextOf(custody.TransferIntent)}
	e := Evidence{Approvals: []Approval{{Person: somePerson(1), Groups: []custody.Name{"a"}}}}
	if d := one.Evaluate(f, e); d.Outcome != Allowed || d.Policy != one.Hash() {
		t.Errorf("under the old policy: %s", d.Outcome)
	}
	d := two.Evaluate(f, e)
	if d.Outcome != Pending || d.Policy != two.Hash() {
		t.Errorf("under the new policy: %s", d.Outcome)
	}
	if diff := cmp.Diff([]People{{Group: "a", Count: 1}}, d.Ways[0].Missing.Approvals); diff != "" {
		t.Error(diff)
	}
	// Out of the group, an approval doesn't count any more.
	e.Approvals[0].Groups = nil
	if d := one.Evaluate(f, e); d.Outcome != Pending {
		t.Errorf("after the approver left the group: %s", d.Outcome)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(policyWith(lets + `{"op":"true"}`)))
	f.Add([]byte(policyWith(lets + `{"op":"or","terms":[{"fact":"amount.value","numbers":["1"],"op":"<"},{"op":"not","terms":[{"fact":"source.purpose","op":"in","texts":["RETAIL"]}]}]}`)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := Parse(raw)
		if err != nil {
			return
		}
		if again := encode(t, p); string(again) != string(raw) {
			t.Fatalf("written again it is\n%s", again)
		}
		_ = p.String()
		for _, typ := range custody.IntentTypes() {
			d := p.Evaluate(Facts{IntentType: TextOf(typ)}, Evidence{})
			_ = p.Explain(&d)
		}
	})
}

func FuzzFacts(f *testing.F) {
	f.Add([]byte(`{"intent":{"type":"TRANSFER"},"amount":{"value":"1"},"destination":{"tags":["x"],"firstUse":true},"spent":{"source.vault":{"24h":5}}}`))
	f.Add([]byte(`{"intent":{"type":"CONTRACT_CALL"},"contract":{"args":{"to":"0x00"}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		facts, err := ParseFacts(raw)
		if err != nil {
			return
		}
		again, err := ParseFacts(encode(t, facts))
		if err != nil || !cmp.Equal(encode(t, again), encode(t, facts)) {
			t.Fatalf("%v: %s", err, encode(t, facts))
		}
	})
}
