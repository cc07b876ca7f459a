package state

import (
	"crypto/sha256"
	"slices"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// decision is a Decision with what it was taken from.
type decision struct {
	policy.Decision
	movement *movement // nil for an intent that governs
	value    value
	list     custody.Name // a pinned list that the intent pays to, if any
}

// decide takes the Decision on an intent as things stand.
func (s *State) decide(r *record, now custody.Time) (*decision, error) {
	d := new(decision)
	var v *value
	if r.Authorized != nil {
		now = r.Authorized.Time // what had to be fresh was so then
	}
	if !r.Intent.Type.Governs() {
		m, err := s.movement(r)
		if err != nil {
			return nil, err
		}
		d.movement, d.value = m, s.worth(r, m, now)
		v = &d.value
	}
	facts := s.facts(r, d.movement, v, now)
	if r.Authorized != nil {
		r.Authorized.restore(facts)
	}
	if s.partial != nil {
		s.partial.restore(r.Intent.ID, facts)
	}
	if s.recoveryKey(r.Intent.Initiator) != nil {
		d.Decision = s.decideRecovery(r, now)
	} else {
		d.Decision = s.policy.Evaluate(facts, s.evidence(r, v, now))
	}
	if d.list = s.listed(d.movement); d.list != "" {
		d.Outcome = policy.Blocked
	}
	return d, nil
}

// hashFacts is the SHA-256 of the canonical facts that the rules ask about.
func (d *decision) hashFacts() (custody.Hash, error) {
	raw, err := d.Facts.Canonical()
	return sha256.Sum256(raw), err
}

// evidence gathers what stands on record for an intent and counts now: of people
// with the credential that they used, by attestors on record, within its validity.
func (s *State) evidence(r *record, v *value, now custody.Time) policy.Evidence {
	e := policy.Evidence{Now: now}
	if v != nil {
		e.Prices = v.prices
	}
	e.Submission = s.word(r, r.Submitted)
	// A person who signs and is seen by the identity provider gives one approval
	// with both, which is complete where the later of the two stands.
	identities := make(map[custody.ID[custody.Person]][]string)
	seen := make(map[custody.ID[custody.Person]]int64)
	for _, a := range r.Approvals {
		if a.Kind == custody.OIDC && s.counts(a) {
			identities[a.Person] = append(identities[a.Person], a.ACR)
			seen[a.Person] = max(seen[a.Person], a.Index)
		}
	}
	e.Submission.Identities = identities[r.Intent.Initiator]
	for _, a := range r.Approvals {
		if a.Kind == custody.OIDC || a.Person == (custody.ID[custody.Person]{}) || !s.counts(a) || s.frozenPerson(a.Person) {
			continue
		}
		if a.Verdict == custody.No {
			e.Rejections = append(e.Rejections, s.word(r, a))
			continue
		}
		a.Index = max(a.Index, seen[a.Person]) // complete where the later of the two stands
		word := s.word(r, a)
		word.Identities = identities[a.Person]
		e.Approvals = append(e.Approvals, word)
	}
	slices.SortStableFunc(e.Approvals, func(a, b policy.Approval) int { return int(a.Index - b.Index) })
	for _, st := range r.Statements {
		// An attestor's clock may be ahead; and what it says after the intent was
		// authorized counts as if said then.
		st.Time = min(st.Time, now)
		switch {
		case st.Until <= now:
		case st.Screening != nil && s.mayState(st.Attestor, custody.ScreeningAttestation):
			e.Screenings = append(e.Screenings, policy.Screened{Attestor: st.Attestor, Verdict: st.Screening.Verdict, Time: st.Time})
		case st.TravelRule != nil && s.mayState(st.Attestor, custody.TravelRuleAttestation):
			e.TravelRules = append(e.TravelRules, policy.TravelRuled{Attestor: st.Attestor, Status: st.TravelRule.Status, Time: st.Time})
		}
	}
	return e
}

// word is an approval as policy sees it.
func (s *State) word(r *record, a approval) policy.Approval {
	return policy.Approval{Person: a.Person, Groups: s.groupsOf(a.Person), Index: a.Index, Witnessed: r.witnessed(a.Index)}
}

// witnessed is the earliest witnessed time on record of an entry, or 0.
func (r *record) witnessed(index int64) custody.Time {
	for _, w := range r.Witnessed {
		if w.Size > index {
			return w.Time
		}
	}
	return 0
}

// decideRecovery decides on an intent of the recovery group: enough keys, no
// administrator and no node against it, and the delay over.
func (s *State) decideRecovery(r *record, now custody.Time) policy.Decision {
	rec := &s.charter.Recovery
	d := policy.Decision{Outcome: policy.Pending, Policy: s.policy.Hash(), Version: s.policy.Version, Facts: policy.Facts{}}
	yes := []approval{r.Submitted}
	for _, a := range r.Approvals {
		switch {
		case !s.counts(a) || a.Kind == custody.OIDC:
		case a.Verdict == custody.Yes && a.Kind == custody.RecoveryEvidence && a.Person != r.Intent.Initiator:
			yes = append(yes, a)
		case a.Verdict == custody.No && (a.Kind == custody.RecoveryEvidence || a.Kind == custody.NodeEvidence ||
			slices.Contains(s.groupsOf(a.Person), custody.Administrators)):
			d.Outcome = policy.Rejected
			return d
		}
	}
	if len(yes) < rec.Threshold {
		return d
	}
	since := r.witnessed(yes[rec.Threshold-1].Index)
	if since > 0 && now >= since.Add(rec.Delay) {
		d.Outcome = policy.Allowed
	}
	return d
}

// settle lets an intent end that the policy refuses when it is submitted, or that
// a person has rejected. It holds for good: whoever still wants it submits it
// again.
func (s *State) settle(r *record, at position) {
	if n := len(r.Approvals); n > 0 {
		if last := r.Approvals[n-1]; last.Verdict == custody.No && last.Person == r.Intent.Initiator {
			s.end(r, custody.Withdraw, "withdrawn")
			return
		}
	}
	d, err := s.decide(r, at.time)
	if err != nil {
		return // what it needs is gone; it may come back before the intent expires
	}
	switch {
	case d.Outcome == policy.Rejected:
		s.end(r, custody.Reject, "rejected")
	case r.State != custody.Submitted || s.partial != nil: // counts at PREPARED; or a bundle, which lacks the facts
	case d.list != "":
		s.end(r, custody.Refuse, Reason("list "+string(d.list)))
	case d.Outcome == policy.Blocked:
		s.end(r, custody.Refuse, blockedBy(&d.Decision))
	case d.Outcome == policy.Refused:
		s.end(r, custody.Refuse, "no rule allows it")
	}
}

func blockedBy(d *policy.Decision) Reason {
	for _, m := range d.Trail {
		if m.Effect == policy.Blocks && m.Certain {
			return Reason("rule " + string(m.Rule))
		}
	}
	return ""
}

// end lets an event happen to an intent, if it can, and gives back what was
// counted for one that ends with nothing prepared. A forgotten intent is nil.
func (s *State) end(r *record, event custody.IntentEvent, reason Reason) {
	if r != nil && r.move(event, reason) == nil && custody.IntentLife.Ended(r.State) {
		s.giveBack(r)
	}
}
