package tss

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind is what a party did.
type Kind uint8

// The kinds of faults.
const (
	Absent      Kind = iota + 1 // sent nothing in time: missing, not guilty
	Malformed                   // sent bytes of a wrong length, range or encoding
	Invalid                     // sent values that fail a check of the protocol
	Equivocated                 // signed two different messages for one place
)

// String returns the kind's word.
func (k Kind) String() string {
	switch k {
	case Absent:
		return "absent"
	case Malformed:
		return "malformed"
	case Invalid:
		return "invalid"
	case Equivocated:
		return "equivocated"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Fault names a party and what it did in which round.
type Fault struct {
	Party    Member
	Identity IdentityKey
	Round    int
	Kind     Kind
	Reason   string     // the check that failed; constant text, never a value
	Evidence []Envelope // signed messages that prove it, where a proof exists

	victim Member // to whom private messages in Evidence were sent
}

// Error names the party, the round, the kind and the reason.
func (f *Fault) Error() string {
	s := fmt.Sprintf("party %d in round %d: %s", f.Party, f.Round, f.Kind)
	if f.Reason != "" {
		s += ": " + f.Reason
	}
	return s
}

// Faults is the error of a session that parties broke: all culprits found, in
// party order, then the absent.
type Faults []*Fault

// Error lists the faults.
func (fs Faults) Error() string {
	parts := make([]string, len(fs))
	for i, f := range fs {
		parts[i] = f.Error()
	}
	return "tss: " + strings.Join(parts, "; ")
}

// Unwrap gives errors.As each Fault.
func (fs Faults) Unwrap() []error {
	errs := make([]error, len(fs))
	for i, f := range fs {
		errs[i] = f
	}
	return errs
}

// with adds a fault, the first one of its party only.
func (fs Faults) with(f *Fault) Faults {
	if slices.ContainsFunc(fs, func(o *Fault) bool { return o.Party == f.Party }) {
		return fs
	}
	return append(fs, f)
}

func (fs Faults) sort() Faults {
	slices.SortStableFunc(fs, func(a, b *Fault) int {
		if aa, ba := a.Kind == Absent, b.Kind == Absent; aa != ba {
			if ba {
				return -1
			}
			return 1
		}
		return int(a.Party) - int(b.Party)
	})
	return fs
}

// Culprits returns the parties that err proves guilty, ascending. Absent parties
// are not guilty.
func Culprits(err error) []Member {
	var fs Faults
	if !errors.As(err, &fs) {
		return nil
	}
	var out []Member
	for _, f := range fs {
		if f.Kind != Absent && !slices.Contains(out, f.Party) {
			out = append(out, f.Party)
		}
	}
	slices.Sort(out)
	return out
}

// ErrInconsistent says that members hold different values and that the signed
// messages shown convict nobody.
var ErrInconsistent = errors.New("tss: members hold different values and no culprit can be proved")

// ErrLocal says that this member's own state is inconsistent: stop using the key.
var ErrLocal = errors.New("tss: own state is inconsistent")

// Verdict is what a check of one party's messages says: nil, or a Kind with a
// constant reason. See Judge.
type Verdict struct {
	Kind   Kind
	Reason string
}

// Error returns the reason.
func (v *Verdict) Error() string { return v.Kind.String() + ": " + v.Reason }

// MalformedBecause is the verdict on bytes that don't decode.
func MalformedBecause(reason string) error { return &Verdict{Malformed, reason} }

// InvalidBecause is the verdict on values that fail a check.
func InvalidBecause(reason string) error { return &Verdict{Invalid, reason} }

// ErrUndecided is the verdict of a judge that lacks the values to decide yet.
var ErrUndecided = errors.New("not decidable yet")
