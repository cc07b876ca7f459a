package state

import (
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// authorization is what an AUTHORIZED entry fixed.
type authorization struct {
	Index  int64                 `json:"index"`
	Time   custody.Time          `json:"time"`
	Policy custody.Hash          `json:"policy"`
	Facts  policy.Facts          `json:"facts"`         // that the Decision used
	Rule   custody.Name          `json:"rule,omitzero"` // the way in that was open; none for a recovery
	Value  custody.Amount        `json:"value"`         // what the running totals count
	Known  bool                  `json:"known"`         // whether Value is
	Keys   [len(scopes)]scopeKey `json:"keys"`          // of the totals; empty for an intent that governs
}

// fixed are the facts that stay as they were when an intent was authorized: what
// it is worth and what had been spent. Who people are and where they belong is
// looked up anew.
func fixed(f policy.Fact) bool {
	_, _, _, total := f.Total()
	return total || f == "destination.firstUse" || f == policy.AmountValue || f == policy.FeeValue || f == policy.Weekday || f == policy.Minute
}

// restore puts the fixed facts into facts, and makes those unknown that the
// Decision did not use.
func (a *authorization) restore(facts policy.Facts) {
	for name := range facts {
		if fixed(name) {
			delete(facts, name)
		}
	}
	for name, v := range a.Facts {
		if fixed(name) {
			facts[name] = v
		}
	}
}

// applyAuthorized decides on an intent at this very position, totals included, and
// lets one that governs take effect.
func (s *State) applyAuthorized(body *custody.Authorized, at position) (bool, error) {
	r, err := s.pending(body.Intent, at)
	if err != nil {
		return false, err
	}
	if r.State != custody.Submitted {
		return false, refuse(WrongState, "the intent is %s", r.State)
	}
	if err := s.follows(body.Prev, true); err != nil {
		return false, err
	}
	if err := s.notFrozen(r); err != nil {
		return false, err
	}
	if s.frozenPerson(r.Intent.Initiator) {
		return false, refuse(FrozenTarget, "the initiator is frozen")
	}
	if !s.counts(r.Submitted) {
		return false, refuse(Signature, "the initiator's credential was removed")
	}
	if err := s.initiates(r.Intent); err != nil {
		return false, err
	}
	if err := s.possible(r); err != nil {
		return false, err
	}
	d, err := s.decide(r, at.time)
	if err != nil {
		return false, err
	}
	if d.Outcome != policy.Allowed {
		return false, refuse(NotAllowed, "the Decision is %s", d.Outcome)
	}
	if body.Policy != s.policy.Hash() {
		return false, refuse(OtherInputs, "the policy in force is %s", s.policy.Hash())
	}
	if !s.trusting {
		hash, err := d.hashFacts()
		if err != nil {
			return false, err
		}
		if body.Facts != hash {
			return false, refuse(OtherInputs, "the facts have hash %s", hash)
		}
	}
	auth := &authorization{Index: at.index, Time: at.time, Policy: body.Policy, Facts: d.Facts}
	if len(d.Ways) > 0 {
		auth.Rule = d.Ways[0].Rule
	}
	if !r.Intent.Type.Governs() {
		if err := s.count(auth, d, at); err != nil {
			return false, err
		}
		s.markUsed(d.movement)
		if d.movement.repairs != nil {
			s.addRepair(d.movement.repairs, r)
		}
		r.Authorized = auth
		return false, r.move(custody.Authorize, "")
	}
	do, err := s.effect(r, true)
	if err != nil {
		return false, err
	}
	do(at)
	r.Authorized = auth
	if err := r.move(custody.Authorize, ""); err != nil {
		return false, err
	}
	if c, ok := r.Intent.Body.(*custody.KeyCeremony); ok && c.Ceremony != custody.Export {
		return true, nil // until its KEY entry
	}
	return true, r.move(custody.Finish, "")
}

// count adds an intent to the running totals. A total that can't be held refuses.
func (s *State) count(auth *authorization, d *decision, at position) error {
	auth.Value, auth.Known, auth.Keys = d.value.total, d.value.totalOK, d.value.keys
	minute := minuteOf(at.time)
	for _, key := range auth.Keys {
		if t := s.Totals[key]; t != nil {
			if _, ok := t.at(longest, minute).value.Add(auth.Value); !ok {
				return refuse(OverLimit, "the running total of %s can't be held", key)
			}
		}
	}
	for _, key := range auth.Keys {
		if key == "" {
			continue
		}
		if s.Totals[key] == nil {
			s.Totals[key] = new(total)
		}
		s.Totals[key].add(minute, auth.Value, auth.Known)
	}
	return nil
}

// giveBack takes an intent out of the running totals that ended without any
// PREPARED entry.
func (s *State) giveBack(r *record) {
	if r.Authorized == nil || len(r.Prepared) > 0 || r.Used {
		return
	}
	for _, key := range r.Authorized.Keys {
		if t := s.Totals[key]; t != nil {
			t.giveBack(minuteOf(r.Authorized.Time), r.Authorized.Value, r.Authorized.Known)
		}
	}
	r.Authorized.Keys = [len(scopes)]scopeKey{}
}

// markUsed notes that somebody may now pay to a destination.
func (s *State) markUsed(m *movement) {
	if m.recipient == nil {
		return
	}
	if w := s.Wallets[m.recipient.Wallet]; w != nil {
		w.Used = true
	}
	if d := s.Destinations[m.recipient.Destination]; d != nil {
		d.Used = true
	}
}

func (s *State) addRepair(original, r *record) {
	body, ok := r.Intent.Body.(*custody.Repair)
	if ok {
		original.Repairs = append(original.Repairs, repair{
			Intent: r.Intent.ID, Cancel: r.Intent.Type == custody.CancelIntent, FeeLimit: body.FeeLimit,
		})
	}
}
