package api_test

import (
	"testing"

	"github.com/cofferhq/coffer/api"
)

func TestProblem(t *testing.T) {
	t.Parallel()
	p := &api.Problem{
		Status: 409, Code: api.Conflict, Detail: "the intent is BLOCKED", RequestID: "7f",
		Violations: []api.Violation{{Field: "intent", Rule: "ended"}}, Rule: "sanctions", PolicyVersion: 3,
	}
	if got, want := p.Error(), "conflict (409): the intent is BLOCKED; intent: ended; rule sanctions of policy version 3; request 7f"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if p.GetStatus() != 409 || p.ContentType("application/json") != "application/problem+json" {
		t.Error("not a problem of RFC 9457")
	}
	if got := (&api.Problem{Status: 404, Code: api.NotFound}).Error(); got != "not_found (404): " {
		t.Errorf("%q", got)
	}
}
