package api

import (
	"fmt"
	"strings"
)

// Problem is the answer to a call that failed (RFC 9457, application/problem+json).
// It never repeats a value that was refused.
type Problem struct { //nolint:errname // the name that RFC 9457 gives it
	Type          string      `json:"type,omitzero" doc:"always about:blank: title and code say what it is"`
	Title         string      `json:"title" doc:"the meaning of the status"`
	Status        int         `json:"status" doc:"the HTTP status"`
	Detail        string      `json:"detail,omitzero" doc:"what happened, for people"`
	Code          Code        `json:"code" doc:"what happened, for programs" enum:"internal,invalid,unauthenticated,forbidden,denied,not_found,conflict,exhausted,unavailable"`
	RequestID     string      `json:"requestId,omitzero" doc:"names this call in the server's log"`
	Violations    []Violation `json:"violations,omitzero" doc:"the fields at fault"`
	Rule          string      `json:"rule,omitzero" doc:"the rule of policy that refuses"`
	PolicyVersion int64       `json:"policyVersion,omitzero" doc:"the version of the policy that refuses"`
}

// Code says what went wrong in terms that a program can act on.
type Code string

// The codes, with the HTTP status that each usually comes with.
const (
	Internal        Code = "internal"        // 500: a defect or a broken machine of the server's
	Invalid         Code = "invalid"         // 400, 405, 406, 413, 415: the call breaks a rule of form
	Unauthenticated Code = "unauthenticated" // 401: no valid token, or a signature that doesn't verify
	Forbidden       Code = "forbidden"       // 403: known, and not allowed to ask for this
	Denied          Code = "denied"          // 422: policy refuses, or the Idempotency-Key was used for another call
	NotFound        Code = "not_found"       // 404: names something that doesn't exist
	Conflict        Code = "conflict"        // 409: contradicts what is on record
	Exhausted       Code = "exhausted"       // 429: a limit is reached; later may do
	Unavailable     Code = "unavailable"     // 503: something needed doesn't answer; again may do
)

// Violation is a field of the call and the rule that it breaks.
type Violation struct {
	Field string `json:"field" doc:"dotted path, such as body.amount; empty for the whole"`
	Rule  string `json:"rule"`
}

func (p *Problem) Error() string {
	parts := []string{fmt.Sprintf("%s (%d)", p.Code, p.Status)}
	told := false // a violation says what the detail does
	for _, v := range p.Violations {
		told = told || strings.HasSuffix(p.Detail, v.Rule)
		parts = append(parts, v.Field+": "+v.Rule)
	}
	if !told {
		parts[0] += ": " + p.Detail
	}
	if p.Rule != "" {
		parts = append(parts, fmt.Sprintf("rule %s of policy version %d", p.Rule, p.PolicyVersion))
	}
	if p.RequestID != "" {
		parts = append(parts, "request "+p.RequestID)
	}
	return strings.Join(parts, "; ")
}

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is the media type of a Problem (RFC 9457 §3).
func (p *Problem) ContentType(string) string { return "application/problem+json" }
