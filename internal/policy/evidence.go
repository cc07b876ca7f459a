package policy

import (
	"slices"

	"github.com/cofferhq/coffer/internal/custody"
)

// Evidence is what people and attestors have said of an intent. Whoever gathers it
// has verified it: signatures, subjects, credentials that are in force, validity.
type Evidence struct {
	Now         custody.Time  `json:"now"`
	Submission  Approval      `json:"submission"` // by the initiator
	Approvals   []Approval    `json:"approvals,omitzero"`
	Rejections  []Approval    `json:"rejections,omitzero"`
	Screenings  []Screened    `json:"screenings,omitzero"`
	TravelRules []TravelRuled `json:"travelRules,omitzero"`
	Prices      []Priced      `json:"prices,omitzero"`
}

// Approval is a person's word on the intent, in the order of the journal. A person
// who gives it twice, by passkey and by the bank's identity provider, counts once
// with both.
type Approval struct {
	Person     custody.ID[custody.Person] `json:"person"`
	Groups     []custody.Name             `json:"groups,omitzero"`     // that hold the person now
	Identities []string                   `json:"identities,omitzero"` // acr of each OIDC token verified; "" for one without
	Index      int64                      `json:"index,omitzero"`      // of the journal entry
	Witnessed  custody.Time               `json:"witnessed,omitzero"`  // witnessed time of the entry; 0 if there is none yet
}

// Screened is an attestor's verdict.
type Screened struct {
	Attestor custody.Name             `json:"attestor"`
	Verdict  custody.ScreeningVerdict `json:"verdict"`
	Time     custody.Time             `json:"time"`
}

// TravelRuled is an attestor's word on the Travel Rule exchange.
type TravelRuled struct {
	Attestor custody.Name             `json:"attestor"`
	Status   custody.TravelRuleStatus `json:"status"`
	Time     custody.Time             `json:"time"`
}

// Priced is what an attestor says the amount is worth, in minor units of the
// policy's currency.
type Priced struct {
	Attestor custody.Name   `json:"attestor"`
	Value    custody.Amount `json:"value"`
	Time     custody.Time   `json:"time"`
}

// Lack is what attestations lack: how many more attestors must state what is
// needed, and which ones state something that stands against it. All of it is
// gone when Need is 0 and Against is empty.
type Lack struct {
	Need    int            `json:"need,omitzero"`
	Against []custody.Name `json:"against,omitzero"`
}

func lack(need int, against []custody.Name) *Lack {
	if need <= 0 && len(against) == 0 {
		return nil
	}
	slices.Sort(against)
	return &Lack{max(need, 0), against}
}

// latest keeps the newest word of each attestor that isn't from the future; of two
// at one time the later in the journal.
func latest[T any](list []T, now custody.Time, of func(T) (custody.Name, custody.Time)) map[custody.Name]T {
	out := make(map[custody.Name]T, len(list))
	for _, word := range list {
		name, time := of(word)
		if time > now {
			continue
		}
		if old, ok := out[name]; ok {
			if _, before := of(old); before > time {
				continue
			}
		}
		out[name] = word
	}
	return out
}

func fresh(time, now custody.Time, maxAge custody.Seconds) bool {
	return maxAge == 0 || now <= time.Add(maxAge)
}

// A verdict that isn't good enough stands against the intent until its attestor
// says otherwise, however old it is.
func (s *Screening) lack(e *Evidence) *Lack {
	if s == nil {
		return nil
	}
	need := max(s.From, 1)
	var against []custody.Name
	for name, word := range latest(e.Screenings, e.Now, func(s Screened) (custody.Name, custody.Time) { return s.Attestor, s.Time }) {
		switch {
		case word.Verdict != custody.ScreeningPass && (word.Verdict != custody.ScreeningReview || s.Verdict != custody.ScreeningReview):
			against = append(against, name)
		case fresh(word.Time, e.Now, s.MaxAge):
			need--
		}
	}
	return lack(need, against)
}

func (t *TravelRule) lack(facts Facts, e *Evidence) *Lack {
	if t == nil {
		return nil
	}
	if v, known := facts[AmountValue].asNumber(); known && v.Cmp(t.Above) <= 0 {
		return nil
	}
	need := 1
	var against []custody.Name
	for name, word := range latest(e.TravelRules, e.Now, func(t TravelRuled) (custody.Name, custody.Time) { return t.Attestor, t.Time }) {
		if word.Status != custody.TravelRuleAccepted {
			against = append(against, name)
		} else {
			need--
		}
	}
	return lack(need, against)
}

// Prices too old to count still show how far apart attestors are.
func (p *Price) lack(e *Evidence) *Lack {
	if p == nil {
		return nil
	}
	need := p.From
	var low, high Priced
	for _, word := range latest(e.Prices, e.Now, func(p Priced) (custody.Name, custody.Time) { return p.Attestor, p.Time }) {
		if fresh(word.Time, e.Now, p.MaxAge) {
			need--
		}
		if low.Attestor == "" || word.before(low) {
			low = word
		}
		if high.Attestor == "" || high.before(word) {
			high = word
		}
	}
	// The distance in hundredths of a percent is rounded up.
	distance, ok := high.Value.Sub(low.Value).MulDiv(custody.NewAmount(10_000), low.Value)
	if high.Value.Cmp(low.Value) != 0 && (!ok || distance.Cmp(custody.NewAmount(uint64(p.Within))) > 0) {
		return lack(need, []custody.Name{low.Attestor, high.Attestor})
	}
	return lack(need, nil)
}

// before orders prices by value and then by name, so that which one is lowest or
// highest does not depend on the order of a map.
func (p Priced) before(q Priced) bool {
	order := p.Value.Cmp(q.Value)
	return order < 0 || order == 0 && p.Attestor < q.Attestor
}
