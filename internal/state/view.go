package state

import (
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// Decision is what policy says of an intent at a time, with what an AUTHORIZED
// entry would have to name.
type Decision struct {
	policy.Decision
	FactsHash custody.Hash
	List      custody.Name // a pinned list that the intent pays to; it blocks
}

// Decide takes the Decision on an intent on record, as Apply would at time now.
func (s *State) Decide(id custody.ID[custody.Intent], now custody.Time) (Decision, error) {
	r := s.Intents[id]
	if r == nil {
		return Decision{}, &custody.Error{Code: custody.NotFound, Field: "intent", Message: "not on record"}
	}
	d, err := s.decide(r, now)
	if err != nil {
		return Decision{}, err
	}
	hash, err := d.hashFacts()
	return Decision{d.Decision, hash, d.list}, err
}

// Status is where an intent is at a time, and why if it ended. While it gathers
// evidence, that is what its Decision lacks first.
func (s *State) Status(id custody.ID[custody.Intent], now custody.Time) (custody.IntentState, Reason, error) {
	r := s.Intents[id]
	if r == nil {
		return "", "", &custody.Error{Code: custody.NotFound, Field: "intent", Message: "not on record"}
	}
	at := r.State
	if at != custody.Submitted && at != custody.AuthorizedState {
		return at, r.Reason, nil
	}
	event := s.next(r, now)
	if event == "" {
		return at, r.Reason, nil
	}
	next, err := custody.IntentLife.Next(at, event)
	if err != nil {
		return at, r.Reason, nil //nolint:nilerr // an event that can't happen here changes nothing
	}
	return next, "", nil
}

// next is what would happen to an intent that isn't carried out yet if somebody
// looked now; "" if nothing.
func (s *State) next(r *record, now custody.Time) custody.IntentEvent {
	if r.Intent.Expires <= now {
		return custody.Expire
	}
	if s.notFrozen(r) != nil {
		return custody.Hold
	}
	if r.State == custody.AuthorizedState {
		return ""
	}
	d, err := s.decide(r, now)
	if err != nil {
		return ""
	}
	switch d.Outcome {
	case policy.Blocked, policy.Refused:
		return custody.Refuse
	case policy.Held:
		return custody.NeedsFacts
	case policy.Pending:
	default:
		return ""
	}
	if len(d.Ways) == 0 {
		return custody.NeedsApproval
	}
	switch m := d.Ways[0].Missing; {
	case m.Screening != nil || m.Price != nil:
		return custody.NeedsFacts
	case m.TravelRule != nil:
		return custody.NeedsTravelRule
	case len(m.Approvals) > 0:
		return custody.NeedsApproval
	default:
		return custody.NeedsTime
	}
}

// ChainHead is the leaf hash of the governance chain's newest entry: what the next
// entry of the chain, and every AUTHORIZED entry, carries in prev.
func (s *State) ChainHead() custody.Hash { return s.Chain }

// Key returns a key on record, or nil. Don't change it.
func (s *State) Key(id custody.ID[custody.Key]) *custody.Key { return s.Keys[id] }

// PolicyHash names the policy in force.
func (s *State) PolicyHash() custody.Hash { return s.policy.Hash() }

// Person returns a person on record, or nil. Don't change it.
func (s *State) Person(id custody.ID[custody.Person]) *custody.Person { return s.Persons[id] }
