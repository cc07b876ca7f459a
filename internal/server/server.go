// Package server answers Coffer's HTTP API (package api): it checks form, prepares
// intents, hands what is to be put on record to its [Desk], and shows what the
// store has. Start from [New].
//
// Nobody's safety rests on it: nodes and clients check for themselves (package
// api/client). What it keeps is the token, the bounds of every call, and that a
// call repeated under one Idempotency-Key happens once.
package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/go-json-experiment/json"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/store"
)

// Desk takes what people send for the journal. Its errors are of package custody
// and go to the caller.
type Desk interface {
	// Submit puts an intent on record. raw are its canonical bytes, e is its
	// initiator's signature, externalID the caller's name for it or empty.
	Submit(ctx context.Context, raw []byte, e custody.Evidence, externalID string) (custody.ID[custody.Intent], error)
	// Approve puts a yes or no on record.
	Approve(ctx context.Context, id custody.ID[custody.Intent], a custody.Approval) error
	// NewAddress hands out the next address of a wallet to receive at, m/w/0/index.
	NewAddress(ctx context.Context, wallet custody.ID[custody.Wallet]) (index uint32, address custody.Address, err error)
}

// NodeStatus is what the control plane knows of a signer node now.
type NodeStatus struct {
	Node      custody.Name
	Reachable bool
	Size      int64        // entries of the journal that it has said to have
	LastSeen  custody.Time // 0 is never
}

// Config is all that a server needs. Every member is required.
type Config struct {
	Store    *store.Store
	Desk     Desk
	Nodes    func() []NodeStatus
	Evidence func(context.Context, custody.ID[custody.Intent]) ([]byte, error) // the evidence bundle of an intent
	Token    string                                                            // that every call brings, at least 16 characters; secret
	Now      func() time.Time
	Rand     io.Reader
	Log      *slog.Logger
}

const minToken = 16

type server struct {
	store    *store.Store
	desk     Desk
	nodes    func() []NodeStatus
	evidence func(context.Context, custody.ID[custody.Intent]) ([]byte, error)
	token    custody.Hash // SHA-256 of it
	now      func() time.Time
	rand     io.Reader
	log      *slog.Logger

	mux     *http.ServeMux
	api     huma.API
	openAPI []byte
	once    map[string]bool // patterns of the calls that happen once under an Idempotency-Key
	shown   governance
}

// New returns the handler of all paths under /v1. It refuses what is missing in cfg.
// The http.Server that it is given to bounds how long headers may take.
func New(cfg Config) (http.Handler, error) {
	switch {
	case cfg.Store == nil, cfg.Desk == nil, cfg.Nodes == nil, cfg.Evidence == nil, cfg.Now == nil, cfg.Rand == nil, cfg.Log == nil:
		return nil, &custody.Error{Code: custody.Invalid, Message: "server: something is missing in the configuration"}
	case len(cfg.Token) < minToken:
		return nil, &custody.Error{Code: custody.Invalid, Field: "token", Message: fmt.Sprintf("shorter than %d characters", minToken)}
	}
	s := &server{
		store: cfg.Store, desk: cfg.Desk, nodes: cfg.Nodes, evidence: cfg.Evidence, token: sha256.Sum256([]byte(cfg.Token)),
		now: cfg.Now, rand: cfg.Rand, log: cfg.Log,
		mux: http.NewServeMux(), once: make(map[string]bool),
	}
	setProblems()
	s.api = humago.New(s.mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Coffer", Version: "1",
				Description: "Self-hosted custody. Nothing here moves value by itself: people sign intents, and signer nodes decide. Use a client that compares what this API answers with what was asked.",
			},
			Components: &huma.Components{
				Schemas:         huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	})
	s.intents()
	s.transfers()
	s.wallets()
	s.keys()
	s.records()
	s.journal()
	s.health()
	var err error
	if s.openAPI, err = openAPI(s.api.OpenAPI()); err != nil {
		return nil, err
	}
	s.mux.HandleFunc("GET "+openAPIPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
		_, _ = w.Write(s.openAPI) // a caller who is gone needs nothing
	})
	return s.guard(s.mux), nil
}

const (
	openAPIPath = "/v1/openapi.json"
	healthPath  = "/v1/health"
)

// jsonFormat is JSON as it is checked and written everywhere here: no name twice.
var jsonFormat = huma.Format{
	Marshal:   func(w io.Writer, v any) error { return json.MarshalWrite(w, v, json.Deterministic(true)) },
	Unmarshal: func(data []byte, v any) error { return json.Unmarshal(data, v) },
}

// setProblems makes huma, whose errors are of the whole process, answer problems
// of ours.
var setProblems = sync.OnceFunc(func() {
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
		return formProblem(requestID(ctx.Context()), status, message, errs)
	}
	huma.DefaultArrayNullable = false // no list of ours is null
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return formProblem("", status, message, errs)
	}
})

// view lets fn look at the state; see [store.Store.View].
//
//nolint:contextcheck,nolintlint // looking takes no time that a caller would cut short
func (s *server) view(fn func(*state.State) error) error { return s.store.View(fn) }

// answer is what a handler answers.
type answer[T any] struct{ Body T }

// verbatim is an answer of bytes that were JSON before.
type verbatim struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func jsonBytes(raw []byte) *verbatim { return &verbatim{"application/json", raw} }

// on has a method and path answered by fn. What fn returns as an error becomes a
// problem.
func on[I, O any](s *server, op huma.Operation, fn func(context.Context, *I) (*O, error)) {
	op.MaxBodyBytes = maxBody + 1
	op.BodyReadTimeout = -1 // the body is read before; a deadline on its connection would end a slow call
	if op.Path != healthPath {
		op.Security = []map[string][]string{{"token": {}}}
	}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := fn(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
}

// get describes a call that reads.
func get(path, id, summary string) huma.Operation {
	return huma.Operation{Method: http.MethodGet, Path: path, OperationID: id, Summary: summary}
}

// post describes a call that changes nothing although it has a body.
func post(path, id, summary string) huma.Operation {
	return huma.Operation{Method: http.MethodPost, Path: path, OperationID: id, Summary: summary}
}

// change describes a call that happens once under an Idempotency-Key.
func (s *server) change(path, id, summary string, status int) huma.Operation {
	s.once[http.MethodPost+" "+path] = true
	op := post(path, id, summary)
	op.DefaultStatus = status
	op.Parameters = []*huma.Param{{
		Name: onceHeader, In: "header",
		Description: "names the call: sent again with the same body it has the same answer and no further effect, for a day",
		Schema:      &huma.Schema{Type: huma.TypeString, MaxLength: new(maxKey)},
	}}
	return op
}

// returnsJSON says in the description that an operation answers bytes that package
// custody defines.
func returnsJSON(op huma.Operation, description string) huma.Operation {
	op.Responses = map[string]*huma.Response{"200": {
		Description: description,
		Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeObject}}},
	}}
	return op
}

func openAPI(doc *huma.OpenAPI) ([]byte, error) {
	raw, err := json.Marshal(doc, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return custody.Canonicalize(raw)
}
