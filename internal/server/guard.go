package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/store"
)

// Bounds of a call.
const (
	maxBody = 512 << 10        // bytes
	maxTime = 30 * time.Second // until it is answered
	maxKey  = 128              // characters of an Idempotency-Key
)

const onceHeader = "Idempotency-Key"

type requestKey struct{}

// requestID is what a call is named in answers and in the log; empty outside one.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

func requestAttr(ctx context.Context) slog.Attr { return slog.String("request", requestID(ctx)) }

func errorAttr(err error) slog.Attr { return slog.String("error", err.Error()) }

func level(c custody.Code) slog.Level { return slog.Level(c.Handling().Level) }

// guard stands before every handler: it names the call, bounds it, asks for the
// token, and writes the log.
func (s *server) guard(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var id [16]byte
		if _, err := io.ReadFull(s.rand, id[:]); err != nil {
			s.log.LogAttrs(r.Context(), slog.LevelError, "no random bytes", errorAttr(err))
		}
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), requestKey{}, hex.EncodeToString(id[:])), maxTime)
		defer cancel()
		r = r.WithContext(ctx)
		for name, value := range map[string]string{
			"X-Request-Id":                 requestID(ctx),
			"Cache-Control":                "no-store",
			"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Referrer-Policy":              "no-referrer",
			"X-Content-Type-Options":       "nosniff",
			"X-Frame-Options":              "DENY",
		} {
			w.Header().Set(name, value)
		}
		if r.TLS != nil {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		}
		began := s.now()
		out := &recorder{ResponseWriter: w}
		_, pattern := mux.Handler(r)
		defer func() {
			if fault := recover(); fault != nil {
				s.log.LogAttrs(ctx, slog.LevelError, "call ended by a defect", requestAttr(ctx), slog.String("error", fmt.Sprint(fault)))
				if out.status == 0 {
					s.refuse(ctx, out, newProblem(requestID(ctx), custody.Internal, ""))
				}
			}
			s.log.LogAttrs(ctx, slog.LevelInfo, "call", requestAttr(ctx), slog.String("route", pattern),
				slog.Int("status", out.status), slog.Duration("took", s.now().Sub(began)))
		}()
		if err := s.serve(ctx, mux, pattern, out, r); err != nil {
			s.refuse(ctx, out, s.problem(ctx, err))
		}
	})
}

// serve answers a call, or returns why it is refused before any handler sees it.
func (s *server) serve(ctx context.Context, mux *http.ServeMux, pattern string, w *recorder, r *http.Request) error {
	if open := r.URL.Path == healthPath || r.URL.Path == openAPIPath; !open && !s.authentic(r) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		return &custody.Error{Code: custody.Unauthenticated, Message: "no valid token: Authorization: Bearer TOKEN"}
	}
	if path.Clean(r.URL.Path) != r.URL.Path {
		return statusProblem("", http.StatusNotFound, "no such path")
	}
	if pattern == "" {
		return unrouted(mux, w, r)
	}
	body, err := s.body(ctx, w, r)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if key := r.Header.Values(onceHeader); s.once[pattern] && len(key) > 0 {
		return s.atMostOnce(ctx, mux, w, r, key, body)
	}
	mux.ServeHTTP(w, r)
	return nil
}

// authentic compares the token in constant time, by hashes, which have one length.
func (s *server) authentic(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

// unrouted says why no handler takes a call: the path, or the method.
func unrouted(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) error {
	asked := &buffer{header: make(http.Header)}
	mux.ServeHTTP(asked, r)
	if asked.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", asked.header.Get("Allow"))
		return statusProblem("", http.StatusMethodNotAllowed, "this path doesn't take this method")
	}
	return statusProblem("", http.StatusNotFound, "no such path")
}

// body reads a call's body: JSON, in which no name stands twice.
func (s *server) body(ctx context.Context, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, tooLarge()
	}
	// A body that trickles in is cut off when the call's time is over.
	stop := context.AfterFunc(ctx, func() {
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // not every connection has one
	})
	defer stop()
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge()
	}
	if err != nil {
		return nil, statusProblem("", http.StatusRequestTimeout, "the body didn't arrive")
	}
	if len(raw) == 0 {
		return nil, nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, statusProblem("", http.StatusUnsupportedMediaType, "the body is not application/json")
	}
	if _, err := custody.Canonicalize(raw); err != nil {
		return nil, err
	}
	return raw, nil
}

func tooLarge() error {
	return statusProblem("", http.StatusRequestEntityTooLarge, fmt.Sprintf("a body of more than %d bytes", maxBody))
}

func (s *server) refuse(ctx context.Context, w http.ResponseWriter, p *api.Problem) {
	raw, err := json.Marshal(p)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "a problem can't be written", requestAttr(ctx), errorAttr(err))
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_, _ = w.Write(raw) // a caller who is gone needs nothing
}

// principal is who uses Idempotency-Keys: whoever has the token.
const principal = "token"

// atMostOnce answers a call under its Idempotency-Key: the first time by its
// handler, after that by what the handler answered. A call that was refused has
// used nothing.
func (s *server) atMostOnce(ctx context.Context, mux *http.ServeMux, w http.ResponseWriter, r *http.Request, key []string, body []byte) error {
	if len(key) != 1 || key[0] == "" || len(key[0]) > maxKey {
		return &custody.Error{Code: custody.Invalid, Field: onceHeader, Message: fmt.Sprintf("not one of 1 to %d characters", maxKey)}
	}
	hash := sha256.Sum256([]byte(r.Method + " " + r.URL.Path + "\n" + string(body)))
	stored, err := s.store.Begin(ctx, principal, key[0], hash, custody.At(s.now()))
	switch {
	case errors.Is(err, store.ErrOtherRequest):
		return statusProblem("", http.StatusUnprocessableEntity, "this Idempotency-Key was used for another call")
	case err != nil:
		return err
	case stored != nil:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(stored.Status)
		_, _ = w.Write(stored.Body) // a caller who is gone needs nothing
		return nil
	}
	ctx = context.WithoutCancel(ctx) // the key is settled even if the caller is gone
	out := &buffer{header: w.Header()}
	accepted := false
	defer func() { // also when the handler panics
		if accepted {
			err = s.store.Complete(ctx, principal, key[0], store.Answer{Status: out.status, Body: out.body.Bytes()})
		} else {
			err = s.store.Abandon(ctx, principal, key[0])
		}
		if err != nil {
			s.log.LogAttrs(ctx, slog.LevelError, "an Idempotency-Key can't be settled", requestAttr(ctx), errorAttr(err))
		}
		out.sendTo(w) // only now, so that who repeats the call on the answer finds it settled
	}()
	mux.ServeHTTP(out, r)
	accepted = out.status >= 200 && out.status < 300
	return nil
}

// recorder notes with what status a call is answered.
type recorder struct {
	http.ResponseWriter

	status int
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// buffer is an answer that isn't sent yet.
type buffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *buffer) Header() http.Header { return b.header }

func (b *buffer) WriteHeader(status int) {
	if b.status == 0 {
		b.status = status
	}
}

func (b *buffer) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	return b.body.Write(p)
}

// sendTo sends the answer, if there is one.
func (b *buffer) sendTo(w http.ResponseWriter) {
	if b.status == 0 {
		return
	}
	maps.Copy(w.Header(), b.header)
	w.WriteHeader(b.status)
	_, _ = w.Write(b.body.Bytes()) // a caller who is gone needs nothing
}
