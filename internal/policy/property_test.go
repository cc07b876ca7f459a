package policy

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/custody"
)

// rank orders outcomes by what they let happen.
func rank(o Outcome) int { return map[Outcome]int{Pending: 1, Allowed: 2}[o] }

// atLeast reports that whatever meets d meets e too: the definition of "at least
// as strict", demand by demand.
func atLeast(d, e Demands) bool {
	for _, want := range slots(e.Approvals) {
		// Each class of people that e asks for, d asks for as many of.
		if count(d.Approvals, want) < count(e.Approvals, want) {
			return false
		}
	}
	people := len(d.Approvals) > 0 && len(e.Approvals) > 0
	switch {
	case people && d.InitiatorCounts && !e.InitiatorCounts,
		people && max(1, d.Rejections) > max(1, e.Rejections),
		d.Delay < e.Delay, d.Jurisdictions < e.Jurisdictions:
		return false
	}
	older := func(a, b custody.Seconds) bool { return b != 0 && (a == 0 || a > b) }
	if e.Screening != nil && (d.Screening == nil || older(d.Screening.MaxAge, e.Screening.MaxAge) ||
		max(1, d.Screening.From) < max(1, e.Screening.From) ||
		e.Screening.Verdict == custody.ScreeningPass && d.Screening.Verdict != custody.ScreeningPass) {
		return false
	}
	if e.Price != nil && (d.Price == nil || older(d.Price.MaxAge, e.Price.MaxAge) || d.Price.From < e.Price.From || d.Price.Within > e.Price.Within) {
		return false
	}
	return e.TravelRule == nil || d.TravelRule != nil && d.TravelRule.Above.Cmp(e.TravelRule.Above) <= 0
}

// count is how many slots are as specific as class, or more.
func count(people []People, class People) int {
	n := 0
	for _, s := range slots(people) {
		if s.Group == class.Group && (class.Identity == "" || s.Identity != "") && (class.ACR == "" || s.ACR == class.ACR) {
			n++
		}
	}
	return n
}

// TestUnknownFactsNeverWeaken: with facts unknown, the outcome is no better than
// with any values filled in, every way that is open is open then too, and asks for
// at least as much.
func TestUnknownFactsNeverWeaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, known, e := drawPolicy(t), drawFacts(t), drawEvidence(t)
		part := forget(t, known)
		some, all := p.Evaluate(part, e), p.Evaluate(known, e)
		if rank(some.Outcome) > rank(all.Outcome) {
			t.Fatalf("%s with unknown facts, %s when they are known", some.Outcome, all.Outcome)
		}
		if some.Outcome == Blocked && all.Outcome != Blocked || some.Outcome == Refused && all.Outcome != Refused && all.Outcome != Blocked {
			t.Fatalf("%s is final, but knowing more gives %s", some.Outcome, all.Outcome)
		}
		for _, w := range some.Ways {
			i := slices.IndexFunc(all.Ways, func(v Way) bool { return v.Rule == w.Rule })
			if i < 0 {
				t.Fatalf("%s is open with unknown facts only", w.Rule)
			}
			if !atLeast(w.Demands, all.Ways[i].Demands) {
				t.Fatalf("%s asks for less with unknown facts:\n%s", w.Rule, cmp.Diff(w.Demands, all.Ways[i].Demands))
			}
			if w.Met() && !all.Ways[i].Met() {
				t.Fatalf("%s is met with unknown facts only", w.Rule)
			}
		}
	})
}

// TestRuleOrderNeverMatters permutes rules beneath Parse, which wants them sorted.
func TestRuleOrderNeverMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, f, e := drawPolicy(t), drawFacts(t), drawEvidence(t)
		f = forget(t, f)
		want := encode(t, p.Evaluate(f, e))
		q := *p
		q.byType = make(map[custody.IntentType]*view)
		for _, i := range rapid.Permutation(indices(len(p.Rules))).Draw(t, "order") {
			for _, typ := range p.Rules[i].For {
				q.view(typ).add(&p.Rules[i])
			}
		}
		for _, v := range q.byType {
			slices.Sort(v.facts)
			v.facts = slices.Compact(v.facts)
		}
		if got := encode(t, q.Evaluate(f, e)); !bytes.Equal(got, want) {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func encode(t interface{ Fatal(...any) }, v any) []byte {
	b, err := custody.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStackIsASemilattice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := *drawDemands(t), *drawDemands(t), *drawDemands(t)
		same := func(what string, x, y Demands) {
			if !bytes.Equal(encode(t, x), encode(t, y)) {
				t.Fatalf("%s:\n%s", what, cmp.Diff(x, y))
			}
		}
		same("commutative", stack(a, b), stack(b, a))
		same("associative", stack(stack(a, b), c), stack(a, stack(b, c)))
		same("idempotent", stack(a, a), a)
		same("neutral", stack(a, Demands{}), a)
		if s := stack(a, b); !atLeast(s, a) || !atLeast(s, b) {
			t.Fatal("the stack is weaker than a part of it")
		}
	})
}

// TestAssignmentAgreesWithBruteForce: approvals suffice exactly if some way of
// giving each slot to another person exists, and the last one needed is the end of
// the shortest prefix that suffices.
func TestAssignmentAgreesWithBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, e := drawDemands(t), drawEvidence(t)
		want := slots(d.Approvals)
		prefix := -1
		for n := 0; n <= len(e.Approvals) && prefix < 0; n++ {
			if possible(want, voters(d, &e, n)) {
				prefix = n
			}
		}
		missing, last := d.assign(&e)
		if (len(missing) == 0) != (prefix >= 0) {
			t.Fatalf("missing %v, brute force finds prefix %d", missing, prefix)
		}
		switch {
		case prefix == 0 && last.Witnessed != e.Submission.Witnessed:
			t.Fatalf("last is %v, want the submission", last)
		case prefix > 0 && !cmp.Equal(last, e.Approvals[prefix-1]):
			t.Fatalf("last is %v, want approval %d", last, prefix-1)
		case prefix < 0 && people(missing) != len(want)-most(want, voters(d, &e, len(e.Approvals))):
			t.Fatalf("missing %v are not the fewest", missing)
		}
	})
}

func voters(d *Demands, e *Evidence, n int) []Approval {
	var out []Approval
	for i, a := range append([]Approval{e.Submission}, e.Approvals[:n]...) {
		initiator := a.Person == e.Submission.Person
		if initiator && !d.InitiatorCounts || i == 0 && !d.InitiatorCounts || e.rejected(a.Person) {
			continue
		}
		if j := slices.IndexFunc(out, func(b Approval) bool { return a.Person == b.Person }); j >= 0 {
			out[j].Groups = slices.Concat(out[j].Groups, a.Groups)
			out[j].Identities = slices.Concat(out[j].Identities, a.Identities)
		} else {
			out = append(out, a)
		}
	}
	return out
}

func possible(want []People, from []Approval) bool { return most(want, from) == len(want) }

// most tries every assignment.
func most(want []People, from []Approval) int {
	if len(want) == 0 {
		return 0
	}
	best := most(want[1:], from)
	for i := range from {
		if want[0].fits(&from[i]) {
			best = max(best, 1+most(want[1:], slices.Delete(slices.Clone(from), i, i+1)))
		}
	}
	return best
}

func TestParseIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t)
		raw := encode(t, p)
		q, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(encode(t, q), raw) || q.Hash() != p.Hash() || q.String() != p.String() {
			t.Fatalf("parsed again it is another policy:\n%s", raw)
		}
	})
}

func TestFactsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := forget(t, drawFacts(t))
		raw := encode(t, f)
		var g Facts
		if err := custody.Decode(raw, &g, maxFacts); err != nil {
			t.Fatalf("%v\n%s", err, raw)
		}
		if !bytes.Equal(encode(t, g), raw) {
			t.Fatalf("facts changed: %s", raw)
		}
	})
}
