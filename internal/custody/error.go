package custody

import (
	"errors"
	"strings"
)

// Code says what went wrong in terms that a caller can act on.
type Code uint8

// The codes. The zero code is [Internal]: an error that nobody classified is
// ours.
const (
	Internal        Code = iota // a defect or a broken machine of ours
	Invalid                     // the input breaks a rule of form
	Unauthenticated             // the signature or token doesn't verify
	Forbidden                   // known, and not allowed to ask for this
	Denied                      // policy refuses
	NotFound                    // names something that doesn't exist
	Conflict                    // contradicts what is on record
	Exhausted                   // a limit is reached; later may do
	Unavailable                 // something needed doesn't answer; again may do
)

// Handling is how the edges of a program treat a code.
type Handling struct {
	Name   string // in the API and in reports
	Status int    // HTTP status
	Exit   int    // exit status of the CLI
	Retry  bool   // the same call may succeed later
	Level  int    // of the log line where the error ends, as log/slog counts: Info, Warn or Error
}

// Levels as log/slog counts them, which this package doesn't import: it logs
// nothing.
const (
	levelInfo  = 0
	levelWarn  = 4
	levelError = 8
)

var handling = [...]Handling{
	Internal:        {"internal", 500, 70, false, levelError},
	Invalid:         {"invalid", 400, 2, false, levelInfo},
	Unauthenticated: {"unauthenticated", 401, 3, false, levelWarn},
	Forbidden:       {"forbidden", 403, 4, false, levelWarn},
	Denied:          {"denied", 422, 5, false, levelInfo},
	NotFound:        {"not_found", 404, 6, false, levelInfo},
	Conflict:        {"conflict", 409, 7, false, levelInfo},
	Exhausted:       {"exhausted", 429, 8, true, levelWarn},
	Unavailable:     {"unavailable", 503, 9, true, levelWarn},
}

// Handling returns how the edges of a program treat c; an unknown code is
// treated as [Internal].
func (c Code) Handling() Handling {
	if int(c) >= len(handling) {
		return handling[Internal]
	}
	return handling[c]
}

func (c Code) String() string { return c.Handling().Name }

// Error is an error with a code and, for input, the field at fault. It never
// holds a secret.
type Error struct {
	Code    Code
	Field   string // dotted path in the input, such as "body.destination.country"; empty if none
	Message string // the rule that is broken, without the value
	Err     error  // the cause, if any
}

func (e *Error) Error() string {
	var parts []string
	if e.Field != "" {
		parts = append(parts, e.Field)
	}
	if e.Message != "" {
		parts = append(parts, e.Message)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first [Error] in err's chain, and [Internal] if
// there is none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}

func invalid(field, message string) error {
	return &Error{Code: Invalid, Field: field, Message: message}
}

// within puts err's field below the field named parent.
func within(parent string, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	moved := *e
	if e.Field == "" {
		moved.Field = parent
	} else {
		moved.Field = parent + "." + e.Field
	}
	return &moved
}
