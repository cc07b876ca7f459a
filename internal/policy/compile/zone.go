package compile

import (
	"sort"
	"time"
	_ "time/tzdata" // so that every machine compiles the same table

	"github.com/cofferhq/coffer/internal/policy"
)

// Years of the table before and after the year of compilation.
const (
	yearsBefore = 10
	yearsAfter  = 15
)

// zone writes the time zone out as a table.
func (c *compiler) zone() {
	if c.timezone == nil {
		c.fail(c.at["rules"], "timezone: missing, and rules ask for the time")
		return
	}
	name, ok := c.text(c.timezone, "timezone")
	if !ok {
		return
	}
	location, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		c.fail(start(c.timezone), "timezone: %q is not in the IANA database", name)
		return
	}
	year := c.options.Now.UTC().Year()
	from := time.Date(max(1970, year-yearsBefore), 1, 1, 0, 0, 0, 0, time.UTC)
	until := time.Date(year+yearsAfter, 1, 1, 0, 0, 0, 0, time.UTC)
	c.policy.Zone = tabulate(location, from, until)
}

// tabulate looks at every sixth hour and between two that differ for the second of
// the change. (Time.ZoneBounds stands still at the end of some leap years.)
func tabulate(location *time.Location, from, until time.Time) *policy.Zone {
	const step = 6 * 3600
	offset := func(at int64) int64 {
		_, offset := time.Unix(at, 0).In(location).Zone()
		return int64(offset)
	}
	before := from.Unix()
	z := &policy.Zone{
		Name: location.String(), Until: until.Unix(),
		Shifts: []policy.Shift{{From: before, Offset: offset(before)}},
	}
	for at := before + step; at < until.Unix(); at += step {
		if old := offset(at - step); offset(at) != old {
			i := sort.Search(step, func(i int) bool { return offset(at-step+int64(i)) != old })
			z.Shifts = append(z.Shifts, policy.Shift{From: at - step + int64(i), Offset: offset(at)})
		}
	}
	return z
}
