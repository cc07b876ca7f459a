package policy

import (
	"slices"

	"github.com/cofferhq/coffer/internal/custody"
)

// maxApprovers is how many people are looked at for one way in; later ones don't
// count.
const maxApprovers = 256

// assignment gives each slot to at most one person and each person at most one
// slot: a matching in the bipartite graph of people and the slots they fit,
// enlarged by augmenting paths as people come.
type assignment struct {
	slots  []People // each with a Count of 1
	holder []int    // of each slot, an index into people; -1 if it is free
	people []Approval
	placed []bool // by person
	filled int
	seen   []bool // slots from which no free one can be reached, as things stand
}

func newAssignment(slots []People) *assignment {
	return &assignment{slots: slots, holder: slices.Repeat([]int{-1}, len(slots)), seen: make([]bool, len(slots))}
}

// fits reports whether a fills a slot of p.
func (p People) fits(a *Approval) bool {
	return slices.Contains(a.Groups, p.Group) &&
		(p.Identity == "" || len(a.Identities) > 0) &&
		(p.ACR == "" || slices.Contains(a.Identities, p.ACR))
}

// add takes one more approval into account.
func (m *assignment) add(a Approval) {
	i := slices.IndexFunc(m.people, func(b Approval) bool { return b.Person == a.Person })
	if i < 0 {
		fits := func(slot People) bool { return slices.Contains(a.Groups, slot.Group) }
		if len(m.people) == maxApprovers || !slices.ContainsFunc(m.slots, fits) {
			return
		}
		m.people = append(m.people, a)
		m.placed = append(m.placed, false)
		m.seat(len(m.people) - 1)
		return
	}
	p := &m.people[i]
	groups, identities := union(p.Groups, a.Groups), union(p.Identities, a.Identities)
	if len(groups) == len(p.Groups) && len(identities) == len(p.Identities) {
		return
	}
	p.Groups, p.Identities = groups, identities
	// What this person newly fits can make room for others too.
	clear(m.seen)
	for i := range m.people {
		m.seat(i)
	}
}

func (m *assignment) seat(person int) {
	if m.filled < len(m.slots) && !m.placed[person] && m.place(person) {
		m.placed[person] = true
		m.filled++
		clear(m.seen)
	}
}

// union returns a and what b adds to it.
func union[T comparable](a, b []T) []T {
	out := slices.Clip(a)
	for _, e := range b {
		if !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out
}

// place finds a slot for a person, moving others to slots that they fit as well.
// It goes no deeper than there are slots.
func (m *assignment) place(person int) bool {
	for s, slot := range m.slots {
		if m.seen[s] || !slot.fits(&m.people[person]) {
			continue
		}
		m.seen[s] = true
		if m.holder[s] < 0 || m.place(m.holder[s]) {
			m.holder[s] = person
			return true
		}
	}
	return false
}

// free returns the slots that nobody fills, with equal ones counted together.
func (m *assignment) free() []People {
	var out []People
	for s, slot := range m.slots {
		switch n := len(out); {
		case m.holder[s] >= 0:
		case n > 0 && out[n-1].compare(slot) == 0:
			out[n-1].Count++
		default:
			out = append(out, slot)
		}
	}
	slices.SortFunc(out, People.compare)
	return out
}

// assign returns which people are missing and, if none is, the approval that made
// the assignment complete; where nobody is asked for that is the submission.
func (d *Demands) assign(e *Evidence) (missing []People, last Approval) {
	m := newAssignment(slots(d.Approvals))
	if len(m.slots) == 0 {
		return nil, e.Submission
	}
	if d.InitiatorCounts && !e.rejected(e.Submission.Person) {
		m.add(e.Submission)
		if m.filled == len(m.slots) {
			return nil, e.Submission
		}
	}
	for _, a := range e.Approvals {
		if a.Person == e.Submission.Person && !d.InitiatorCounts || e.rejected(a.Person) {
			continue
		}
		m.add(a)
		if m.filled == len(m.slots) {
			return nil, a
		}
	}
	return m.free(), Approval{}
}

func (e *Evidence) rejected(p custody.ID[custody.Person]) bool {
	return slices.ContainsFunc(e.Rejections, func(r Approval) bool { return r.Person == p })
}
