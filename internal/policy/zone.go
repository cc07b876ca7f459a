package policy

import (
	"cmp"
	"slices"

	"github.com/cofferhq/coffer/internal/custody"
)

// Zone is a time zone as a table, so that all nodes know the same local time
// whatever time zone data their machines have. Before its first shift and from
// Until on the local time is unknown.
type Zone struct {
	Name   string  `json:"name"`   // in the IANA database, for people
	Shifts []Shift `json:"shifts"` // in ascending order
	Until  int64   `json:"until"`  // in seconds since 1970 UTC
}

// Shift is a change of a zone's offset.
type Shift struct {
	From   int64 `json:"from"`   // in seconds since 1970 UTC
	Offset int64 `json:"offset"` // east of UTC, in seconds
}

const maxShifts = 500

func (z *Zone) check() error {
	switch {
	case z == nil:
		return nil
	case z.Name == "" || len(z.Name) > 64 || !printable(z.Name):
		return invalid("name", "not 1 to 64 characters of printable ASCII")
	case len(z.Shifts) == 0 || len(z.Shifts) > maxShifts:
		return invalid("shifts", "none, or more than 500")
	case !ascending(z.Shifts, func(a, b Shift) int { return cmp.Compare(a.From, b.From) }):
		return invalid("shifts", "not in ascending order of from")
	case z.Shifts[0].From < 0:
		return invalid("shifts", "before 1970")
	case slices.ContainsFunc(z.Shifts, func(s Shift) bool { return s.Offset < -86_400 || s.Offset > 86_400 }):
		return invalid("shifts", "an offset of more than a day")
	case z.Until <= z.Shifts[len(z.Shifts)-1].From:
		return invalid("until", "not after the last shift")
	}
	return nil
}

// Time returns the facts time.weekday and time.minute of the instant now; both are
// unknown if the policy has no zone, or its table doesn't reach that far.
func (p *Policy) Time(now custody.Time) (weekday, minute Value) {
	seconds := int64(now) / 1000
	if p == nil || p.Zone == nil || now < 0 || seconds >= p.Zone.Until {
		return Value{}, Value{}
	}
	i, found := slices.BinarySearchFunc(p.Zone.Shifts, seconds, func(s Shift, t int64) int { return cmp.Compare(s.From, t) })
	if !found {
		i--
	}
	if i < 0 {
		return Value{}, Value{}
	}
	const day = 86_400
	local := seconds + p.Zone.Shifts[i].Offset + day // never negative
	// 1 January 1970 was a Thursday, and local is a day ahead.
	weekday = NumberOf(custody.NewAmount(uint64((local/day+2)%7) + 1))
	minute = NumberOf(custody.NewAmount(uint64(local % day / 60)))
	return weekday, minute
}
