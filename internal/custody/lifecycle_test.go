package custody

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// words are the states of a life cycle as the vocabulary has them: the usual
// course, the ends, and the states beside it.
var words = map[string]string{
	"intent": "SUBMITTED SCREENING PENDING_TRAVEL_RULE PENDING_APPROVAL TIME_LOCKED AUTHORIZED EXECUTING EXECUTED " +
		"REJECTED BLOCKED EXPIRED CANCELLED FAILED ON_HOLD",
	"transaction": "PREPARED SIGNING SIGNED BROADCASTING CONFIRMING CONFIRMED FINALIZED REPLACED DROPPED REORGED FAILED",
	"deposit":     "DETECTED CONFIRMING QUARANTINED CLEARED CREDITED FROZEN",
}

// ends are the states that nothing follows.
var ends = map[string]string{
	"intent":      "REJECTED BLOCKED EXPIRED CANCELLED FAILED",
	"transaction": "", // what is on a chain can be undone by it, at any depth
	"deposit":     "",
}

func TestLifeCycles(t *testing.T) {
	t.Parallel()
	checkLife(t, &IntentLife)
	checkLife(t, &TransactionLife)
	checkLife(t, &DepositLife)
}

func checkLife[S, E ~string](t *testing.T, l *LifeCycle[S, E]) {
	t.Helper()
	golden(t, "testdata/"+l.Name+".golden", []byte(l.Matrix()))
	var states, over []string
	for _, s := range l.States {
		if s.Note == "" || slices.Contains(states, string(s.State)) {
			t.Errorf("%s %s: no sentence, or there twice", l.Name, s.State)
		}
		states = append(states, string(s.State))
		if l.Ended(s.State) {
			over = append(over, string(s.State))
		}
	}
	same := func(what string, got []string, want string) {
		got = slices.Sorted(slices.Values(got))
		if list := slices.Sorted(slices.Values(strings.Fields(want))); !slices.Equal(got, list) {
			t.Errorf("%s: %s are %s, want %s", l.Name, what, got, list)
		}
	}
	same("states", states, words[l.Name])
	same("ends", over, ends[l.Name])

	// Reachable from the start; every event used; nothing leads out of the lists.
	reached := []S{l.Start}
	for i := 0; i < len(reached); i++ {
		for _, e := range slices.Sorted(maps.Keys(l.Table[reached[i]])) {
			to, err := l.Next(reached[i], e)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(reached, to) {
				reached = append(reached, to)
			}
		}
	}
	var names []string
	for _, s := range reached {
		names = append(names, string(s))
	}
	same("states reachable from the start", names, words[l.Name])
	used := make(map[E]bool)
	for from, row := range l.Table {
		for e, to := range row {
			used[e] = true
			if !slices.Contains(states, string(from)) || !slices.Contains(states, string(to)) || !slices.Contains(l.Events, e) {
				t.Errorf("%s: %s -%s-> %s isn't listed", l.Name, from, e, to)
			}
		}
	}
	for _, e := range l.Events {
		if !used[e] {
			t.Errorf("%s: %s never happens", l.Name, e)
		}
	}

	// What can't happen changes nothing and says so.
	for _, s := range append(l.States, StateNote[S]{State: "NEVER"}) {
		for _, e := range append(slices.Clone(l.Events), "never") {
			to, err := l.Next(s.State, e)
			want, ok := l.Table[s.State][e]
			switch {
			case ok && (err != nil || to != want):
				t.Errorf("%s %s %s: %s, %v", l.Name, s.State, e, to, err)
			case !ok && (CodeOf(err) != Conflict || to != s.State):
				t.Errorf("%s %s %s: %s, %v", l.Name, s.State, e, to, err)
			}
		}
	}
}

// An intent that was authorized can't come back to where evidence is gathered,
// and value is counted exactly from AUTHORIZED on.
func TestAuthorizedIsNotUndone(t *testing.T) {
	t.Parallel()
	before := []IntentState{Submitted, AtScreening, PendingTravelRule, PendingApproval, TimeLocked, OnHold}
	for from, row := range IntentLife.Table {
		for e, to := range row {
			if !slices.Contains(before, from) && slices.Contains(before, to) {
				t.Errorf("%s -%s-> %s", from, e, to)
			}
			if slices.Contains(before, from) && !slices.Contains(before, to) && to != AuthorizedState && !IntentLife.Ended(to) {
				t.Errorf("%s -%s-> %s passes by AUTHORIZED", from, e, to)
			}
		}
	}
}

// docs/life-cycles.md is written from the tables.
func TestLifeCyclesDocument(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`# Life cycles

Written by the tests of internal/custody from the tables that the code runs on. Don't
edit: change the tables and run ` + "`go test ./internal/custody -update`" + `.

Steps that the policy doesn't ask for are passed at once. An event that a state doesn't
know is refused and changes nothing.
`)
	describe(&b, "Intent", "What somebody wants done, from submission to its end.", &IntentLife)
	describe(&b, "Transaction", "What goes on a chain for an intent.", &TransactionLife)
	describe(&b, "Deposit", "Money that came in.", &DepositLife)
	golden(t, "../../docs/life-cycles.md", []byte(b.String()))
}

func describe[S, E ~string](b *strings.Builder, title, about string, l *LifeCycle[S, E]) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n```mermaid\n%s```\n\n| state | meaning | what may happen |\n|---|---|---|\n", title, about, l.Diagram())
	for _, s := range l.States {
		var may []string
		for _, e := range l.Events {
			if _, ok := l.Table[s.State][e]; ok {
				may = append(may, string(e))
			}
		}
		what := strings.Join(may, ", ")
		if what == "" {
			what = "nothing: it has ended"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", s.State, s.Note, what)
	}
}

func TestDiagram(t *testing.T) {
	t.Parallel()
	l := LifeCycle[string, string]{
		Name: "lamp", Start: "OFF",
		States: []StateNote[string]{{"OFF", "dark"}, {"ON", "light"}, {"BROKEN", "for ever"}},
		Events: []string{"press", "push", "hit"},
		Table:  map[string]map[string]string{"OFF": {"press": "ON", "push": "ON", "hit": "BROKEN"}, "ON": {"press": "OFF", "push": "ON"}},
	}
	if got, want := l.Diagram(), `stateDiagram-v2
    [*] --> OFF
    OFF --> ON: press, push
    OFF --> BROKEN: hit
    ON --> OFF: press
    BROKEN --> [*]
`; got != want {
		t.Errorf("%s", got)
	}
	if got, want := l.Matrix(), `# lamp, from OFF

OFF: dark
    press   ON
    push    ON
    hit     BROKEN

ON: light
    press   OFF
    push    ON
    hit     -

BROKEN: for ever
    press   -
    push    -
    hit     -
`; got != want {
		t.Errorf("%s", got)
	}
}
