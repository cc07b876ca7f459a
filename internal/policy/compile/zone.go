package compile

import (
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

func tabulate(location *time.Location, from, until time.Time) *policy.Zone {
	z := &policy.Zone{Name: location.String(), Until: until.Unix()}
	for t := from; t.Before(until); {
		local := t.In(location)
		_, offset := local.Zone()
		if n := len(z.Shifts); n == 0 || z.Shifts[n-1].Offset != int64(offset) {
			z.Shifts = append(z.Shifts, policy.Shift{From: t.Unix(), Offset: int64(offset)})
		}
		_, end := local.ZoneBounds()
		if end.IsZero() {
			break
		}
		t = end
	}
	return z
}
