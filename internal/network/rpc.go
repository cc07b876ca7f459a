package network

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/cofferhq/coffer/internal/custody"
)

// Password is a secret. Printing, logging or marshalling it gives "redacted".
type Password string

// Format prints "redacted" for every verb.
func (p Password) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "redacted") }

// MarshalText returns "redacted", and so do JSON and slog.
func (p Password) MarshalText() ([]byte, error) { return []byte("redacted"), nil }

// rpc is a client of JSON-RPC 1.0 over HTTP, as Bitcoin Core and btcd serve it.
type rpc struct {
	url, user string
	password  Password
	client    *http.Client
}

// Longest answers that are read, in bytes. A block has at most 4,000,000 bytes
// (BIP-141), which are written in hex.
const (
	maxAnswer = 1 << 20
	maxBlock  = 2*4_000_000 + 4096
)

// refusal is the error of a node that answers.
type refusal struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the node says %q (%d)", r.Message[:min(len(r.Message), 500)], r.Code)
}

// call asks the node for one thing and reads the result, of at most limit bytes
// with its frame. The error is a [refusal] where the node gives one, else of code
// [custody.Unavailable].
func (c *rpc) call(ctx context.Context, result any, limit int64, method string, params ...any) error {
	if params == nil {
		params = []any{}
	}
	request, err := json.Marshal(map[string]any{"jsonrpc": "1.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(request))
	if err != nil {
		return &custody.Error{Code: custody.Invalid, Field: "url", Err: err}
	}
	r.SetBasicAuth(c.user, string(c.password))
	r.Header.Set("Content-Type", "application/json")
	response, err := c.client.Do(r)
	if err != nil {
		return unavailable(method, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		return unavailable(method, err)
	case int64(len(body)) > limit:
		return unavailable(method, fmt.Errorf("an answer of more than %d bytes", limit))
	}
	return answer(method, response.StatusCode, body, result)
}

// answer reads what the node said. Bitcoin Core says errors with a status other
// than 200.
func answer(method string, status int, body []byte, result any) error {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return unavailable(method, fmt.Errorf("the node doesn't take the user name and password (HTTP status %d)", status))
	}
	var reply struct {
		Result jsontext.Value `json:"result"`
		Error  *refusal       `json:"error"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return unavailable(method, fmt.Errorf("no answer of JSON-RPC (HTTP status %d)", status))
	}
	if reply.Error != nil {
		return reply.Error
	}
	if err := json.Unmarshal(reply.Result, result); err != nil {
		return unavailable(method, fmt.Errorf("an answer of the wrong type: %w", err))
	}
	return nil
}

func unavailable(method string, err error) error {
	return &custody.Error{Code: custody.Unavailable, Message: method, Err: err}
}
