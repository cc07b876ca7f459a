package state

import "github.com/cofferhq/coffer/internal/custody"

// What is over is forgotten, so that the state stays bounded by what happens
// within a few weeks, however long the journal. All of it goes by the journal's
// own time and position, so that every replica forgets the same.
const (
	sweepEvery = 256              // entries
	repairable = 30 * custody.Day // after its end of life a transaction can still be repaired
)

// forget looks for what is over, now and then.
func (s *State) forget(index int64) {
	if index%sweepEvery != 0 {
		return
	}
	for id, r := range s.Intents {
		if r.Intent.Created.Add(s.charter.IntentLife) > s.Time {
			continue // until no intent made at that time can live any more, its id stays taken
		}
		switch r.State {
		case custody.Executing, custody.Executed, custody.Failed, custody.Cancelled:
			if len(r.Prepared) > 0 && r.Intent.Expires.Add(repairable) > s.Time {
				continue
			}
		case custody.Submitted, custody.AuthorizedState:
			s.end(r, custody.Expire, "expired")
		default:
		}
		for _, p := range r.Prepared {
			for _, c := range p.Claims {
				delete(s.Outpoints, c.Outpoint)
			}
		}
		delete(s.Intents, id)
	}
	for key, t := range s.Totals {
		t.advance(minuteOf(s.Time))
		if t.sums[longest].count == 0 && t.sums[longest].first == len(t.Buckets) {
			delete(s.Totals, key)
		}
	}
}
