package journal

import (
	"fmt"
	"time"
)

// TamperError says that an entry in From .. To-1 isn't the one that was recorded or
// cosigned.
type TamperError struct{ From, To int64 }

// Error names the entries.
func (e *TamperError) Error() string {
	if e.To-e.From == 1 {
		return fmt.Sprintf("journal: entry %d isn't the one that was recorded", e.From)
	}
	return fmt.Sprintf("journal: an entry in %d to %d isn't the one that was cosigned", e.From, e.To-1)
}

// TruncatedError says that the journal ends before its head.
type TruncatedError struct{ Have, Want int64 }

// Error says how many entries are missing.
func (e *TruncatedError) Error() string {
	return fmt.Sprintf("journal: truncated: %d of %d entries, the last %d are missing", e.Have, e.Want, e.Want-e.Have)
}

// MissingError says that the entries From .. To-1 were taken out.
type MissingError struct{ From, To int64 }

// Error names the entries.
func (e *MissingError) Error() string {
	return fmt.Sprintf("journal: entries %d to %d are missing", e.From, e.To-1)
}

// InsertedError says that Count entries too many stand before a position.
type InsertedError struct{ Position, Count int64 }

// Error names the position.
func (e *InsertedError) Error() string {
	return fmt.Sprintf("journal: inserted: entries too many up to position %[2]d: %[1]d", e.Count, e.Position)
}

// OrderError says that the first entry out of order stands at Position and is Index.
type OrderError struct{ Position, Index int64 }

// Error names both.
func (e *OrderError) Error() string {
	return fmt.Sprintf("journal: reordered: entry %d stands at position %d", e.Index, e.Position)
}

// BackdatedError says that an entry's time is before that of the entry before it.
type BackdatedError struct {
	Index          int64
	Time, Previous time.Time
}

// Error names the entry and by how much.
func (e *BackdatedError) Error() string {
	return fmt.Sprintf("journal: entry %d is dated %s before its predecessor", e.Index, e.Previous.Sub(e.Time))
}
