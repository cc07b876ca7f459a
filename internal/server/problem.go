package server

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
)

// newProblem is a problem of a code, with its usual status.
func newProblem(id string, code custody.Code, detail string) *api.Problem {
	h := code.Handling()
	return &api.Problem{
		Type: "about:blank", Title: http.StatusText(h.Status), Status: h.Status, Detail: detail, Code: api.Code(h.Name), RequestID: id,
	}
}

// statusProblem is a problem of a call that no handler took.
func statusProblem(id string, status int, detail string) *api.Problem {
	code := custody.Invalid
	switch {
	case status == http.StatusNotFound:
		code = custody.NotFound
	case status == http.StatusUnprocessableEntity:
		code = custody.Denied
	case status >= http.StatusInternalServerError:
		code = custody.Internal
	}
	p := newProblem(id, code, detail)
	p.Status, p.Title = status, http.StatusText(status)
	return p
}

// formProblem is the problem of a call that breaks a rule of the API's description.
// huma would repeat the values; only what rules they break is told.
func formProblem(id string, status int, message string, errs []error) *api.Problem {
	if status >= http.StatusInternalServerError {
		return newProblem(id, custody.Internal, "")
	}
	if status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest
	}
	p := statusProblem(id, status, message)
	for _, err := range errs {
		var d huma.ErrorDetailer
		if errors.As(err, &d) {
			detail := d.ErrorDetail()
			p.Violations = append(p.Violations, api.Violation{Field: field(detail.Location), Rule: detail.Message})
		}
	}
	return p
}

// field is where a member is, without the part of the call that it is in: the
// members of an intent's own body are below body.
func field(location string) string {
	for _, part := range []string{"body", "query", "path", "header"} {
		if location == part {
			return ""
		}
		if rest, ok := strings.CutPrefix(location, part+"."); ok {
			return rest
		}
	}
	return location
}

// problem makes an error the answer of a call. What is ours to mend is logged and
// not told.
func (s *server) problem(ctx context.Context, err error) *api.Problem {
	if p, ok := errors.AsType[*api.Problem](err); ok {
		p.RequestID = requestID(ctx)
		return p
	}
	code := custody.CodeOf(err)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		code = custody.Unavailable
	}
	p := newProblem(requestID(ctx), code, "")
	e, ok := errors.AsType[*custody.Error](err)
	switch {
	case code == custody.Internal || code == custody.Unavailable:
		s.log.LogAttrs(ctx, level(code), "call failed", requestAttr(ctx), errorAttr(err))
		if code == custody.Unavailable && ok {
			p.Detail = e.Message
		}
	case ok:
		p.Detail = detail(e)
		if e.Field != "" {
			p.Violations = []api.Violation{{Field: e.Field, Rule: e.Message}}
		}
	}
	return p
}

// detail is the text of an error, with the causes that are errors of form too.
func detail(e *custody.Error) string {
	if inner, ok := errors.AsType[*custody.Error](e.Err); ok {
		return strings.TrimPrefix(e.Message+": "+detail(inner), ": ")
	}
	return e.Message
}
