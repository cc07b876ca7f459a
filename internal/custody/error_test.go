package custody

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
)

// fieldOf returns the field that an error names, and "(none)" of another error.
func fieldOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Code == Invalid {
		return e.Field
	}
	return fmt.Sprintf("(%v)", err)
}

func TestCodes(t *testing.T) {
	t.Parallel()
	want := map[Code]Handling{
		Internal:        {"internal", 500, 70, false, int(slog.LevelError)},
		Invalid:         {"invalid", 400, 2, false, int(slog.LevelInfo)},
		Unauthenticated: {"unauthenticated", 401, 3, false, int(slog.LevelWarn)},
		Forbidden:       {"forbidden", 403, 4, false, int(slog.LevelWarn)},
		Denied:          {"denied", 422, 5, false, int(slog.LevelInfo)},
		NotFound:        {"not_found", 404, 6, false, int(slog.LevelInfo)},
		Conflict:        {"conflict", 409, 7, false, int(slog.LevelInfo)},
		Exhausted:       {"exhausted", 429, 8, true, int(slog.LevelWarn)},
		Unavailable:     {"unavailable", 503, 9, true, int(slog.LevelWarn)},
	}
	if len(want) != len(handling) {
		t.Fatalf("%d codes, %d expected", len(handling), len(want))
	}
	names, exits := make(map[string]bool), make(map[int]bool)
	for c := range Code(len(handling)) {
		h := c.Handling()
		if h != want[c] || c.String() != h.Name {
			t.Errorf("%d: %+v", c, h)
		}
		if h.Name == "" || h.Exit == 0 || names[h.Name] || exits[h.Exit] {
			t.Errorf("%d: name or exit status is empty or given twice: %+v", c, h)
		}
		names[h.Name], exits[h.Exit] = true, true
	}
	for _, c := range []Code{Code(len(handling)), 255} {
		if c.Handling() != want[Internal] {
			t.Errorf("unknown code %d isn't treated as internal", c)
		}
	}
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	denied := &Error{Code: Denied, Field: "body", Message: "no", Err: cause}
	for _, c := range []struct {
		err  error
		want Code
	}{
		{nil, Internal},
		{cause, Internal},
		{denied, Denied},
		{fmt.Errorf("outer: %w", denied), Denied},
		{errors.Join(cause, denied), Denied},
		{&Error{Code: Unavailable, Err: denied}, Unavailable},
		{fmt.Errorf("a: %w", fmt.Errorf("b: %w", &Error{Code: NotFound})), NotFound},
	} {
		if got := CodeOf(c.err); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
	if !errors.Is(denied, cause) {
		t.Error("the cause is lost")
	}
	if got := denied.Error(); got != "body: no: cause" {
		t.Errorf("text %q", got)
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	if err := within("body", nil); err != nil {
		t.Errorf("no error becomes %v", err)
	}
	plain := errors.New("plain")
	if err := within("body", plain); !errors.Is(err, plain) {
		t.Errorf("another error becomes %v", err)
	}
	inner := &Error{Code: Conflict, Field: "fee", Message: "m"}
	if err := within("body", within("inner", inner)); err.Error() != "body.inner.fee: m" || CodeOf(err) != Conflict {
		t.Errorf("%v", err)
	}
	if inner.Field != "fee" {
		t.Error("the error given was changed")
	}
	if err := within("body", invalid("", "m")); fieldOf(err) != "body" {
		t.Errorf("%v", err)
	}
}
