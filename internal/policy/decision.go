package policy

import (
	"cmp"

	"github.com/cofferhq/coffer/internal/custody"
)

// Outcome is what a policy says of an intent as things stand. The zero Outcome is
// [Refused].
type Outcome uint8

// The outcomes. Only [Allowed] lets an intent go on.
const (
	Refused  Outcome = iota // no rule lets it in, whatever the unknown facts are
	Blocked                 // a rule blocks it, whatever the unknown facts are
	Held                    // it is refused only because facts are unknown
	Rejected                // people said no
	Pending                 // a way is open, and something on it is missing
	Allowed                 // a way is open, and nothing on it is missing
)

var outcomes = [...]string{"REFUSED", "BLOCKED", "HELD", "REJECTED", "PENDING", "ALLOWED"}

func (o Outcome) String() string {
	if int(o) < len(outcomes) {
		return outcomes[o]
	}
	return outcomes[Refused]
}

// MarshalText writes the outcome in capitals.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads an outcome in capitals.
func (o *Outcome) UnmarshalText(b []byte) error {
	for i, name := range outcomes {
		if name == string(b) {
			*o = Outcome(i)
			return nil
		}
	}
	return invalid("", "not an outcome")
}

// Decision is what a policy says of an intent and why. The zero Decision refuses.
// The same policy, facts and evidence give the same Decision everywhere, whatever
// the order of the rules.
type Decision struct {
	Outcome  Outcome                      `json:"outcome"`
	Policy   custody.Hash                 `json:"policy"`
	Version  int64                        `json:"version"`
	Ways     []Way                        `json:"ways,omitzero"`     // that are open, nearest first
	Rejected []custody.ID[custody.Person] `json:"rejected,omitzero"` // whose no counts, in ascending order
	Trail    []Match                      `json:"trail,omitzero"`    // in ascending order by rule
	Facts    Facts                        `json:"facts"`             // that the rules for this type ask about, where known
	Unknown  []Fact                       `json:"unknown,omitzero"`  // the others of them
}

// Way is a way in: an allow rule that matches, with everything that its own and
// the matching require rules ask for together.
type Way struct {
	Rule    custody.Name `json:"rule"`
	Demands Demands      `json:"demands"`
	Missing Missing      `json:"missing,omitzero"`
}

// Met reports whether nothing is missing.
func (w *Way) Met() bool { return w.Missing.nothing() }

// Missing is what a way in still lacks. Jurisdictions are not part of it: they are
// a demand on the choice of signers.
type Missing struct {
	Approvals  []People        `json:"approvals,omitzero"`
	Delay      custody.Seconds `json:"delay,omitzero"` // that still has to pass, rounded up
	Until      custody.Time    `json:"until,omitzero"` // its end; 0 if it hasn't begun
	Screening  *Lack           `json:"screening,omitzero"`
	Price      *Lack           `json:"price,omitzero"`
	TravelRule *Lack           `json:"travelRule,omitzero"`
}

func (m *Missing) nothing() bool {
	return len(m.Approvals) == 0 && m.Delay == 0 && m.Screening == nil && m.Price == nil && m.TravelRule == nil
}

// Match is a rule that counts: its condition is true, or it might be and the rule
// is a block or a require. Rules that would allow if an unknown fact were known are
// listed too, with Certain false; they open nothing.
type Match struct {
	Rule    custody.Name `json:"rule"`
	Effect  Effect       `json:"effect"`
	Certain bool         `json:"certain,omitzero"` // the condition is true whatever the unknown facts are
	Reason  string       `json:"reason,omitzero"`  // of a block
	Demands *Demands     `json:"demands,omitzero"`
	Facts   []Fact       `json:"facts,omitzero"`   // that the condition asks about
	Unknown []Fact       `json:"unknown,omitzero"` // those of them that are unknown
}

// people counts.
func people(list []People) int {
	n := 0
	for _, p := range list {
		n += p.Count
	}
	return n
}

// compare orders by how near a way is to being met: people missing, then time,
// then attestations; then by what it asks for at all; then by name.
func (w *Way) compare(v *Way) int {
	return cmp.Or(
		cmp.Compare(people(w.Missing.Approvals), people(v.Missing.Approvals)),
		cmp.Compare(w.Missing.Delay, v.Missing.Delay),
		cmp.Compare(w.Missing.attestations(), v.Missing.attestations()),
		cmp.Compare(len(slots(w.Demands.Approvals)), len(slots(v.Demands.Approvals))),
		cmp.Compare(w.Demands.Delay, v.Demands.Delay),
		cmp.Compare(w.Rule, v.Rule),
	)
}

func (m *Missing) attestations() int {
	n := 0
	for _, l := range []*Lack{m.Screening, m.Price, m.TravelRule} {
		if l != nil {
			n += l.Need + len(l.Against)
		}
	}
	return n
}
