// Package client is the client of Coffer's HTTP API, and the part of it that keeps
// a lying server from doing harm: what people sign is compared with what they
// asked for ([Client.Prepare]), what they approve is read from the bytes that
// their signature binds ([Client.ForApproval]), addresses are computed again from
// the nodes' evidence ([Client.VerifiedAddress]), and that something was done is
// shown by its evidence bundle ([Client.VerifiedEvidence]). All of it starts from
// the charter's hash alone. Start from [New].
//
// What else a method returns is what the server says: the state of an intent, a
// balance, a list. Errors that the server answers are [*api.Problem].
package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
)

// Config says where the server is and what the client trusts.
type Config struct {
	URL     string           // of the server, such as https://coffer.bank.example; http on the own machine alone
	Token   string           // that the server asks for; secret
	Charter custody.Hash     // names the deployment; everything is checked from it
	HTTP    *http.Client     // nil is one with a timeout of a minute
	Now     func() time.Time // the own clock
}

// Client speaks to one server. It may be used by many goroutines.
type Client struct {
	url, token string
	charter    custody.Hash
	http       http.Client
	now        func() time.Time
}

const timeout = time.Minute

// New returns a client. A wrong URL shows at the first call.
func New(cfg Config) *Client {
	c := &Client{url: strings.TrimSuffix(cfg.URL, "/"), token: cfg.Token, charter: cfg.Charter, now: cfg.Now}
	if cfg.HTTP != nil {
		c.http = *cfg.HTTP
	} else {
		c.http.Timeout = timeout
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// Code tells what to make of an error of a client: the code that the server
// answered, [custody.Unauthenticated] where it was caught lying or its evidence
// doesn't hold, and [custody.CodeOf] of any other.
func Code(err error) custody.Code {
	var lie interface{ lie() }
	if _, forged := errors.AsType[*state.CheckError](err); forged || errors.As(err, &lie) {
		return custody.Unauthenticated
	}
	p, ok := errors.AsType[*api.Problem](err)
	if !ok {
		return custody.CodeOf(err)
	}
	for c := custody.Internal; c <= custody.Unavailable; c++ {
		if c.String() == string(p.Code) {
			return c
		}
	}
	return custody.Internal
}

// maxAnswer is the longest answer that is read, in bytes: an evidence bundle.
const maxAnswer = state.MaxBundle

func (c *Client) get(ctx context.Context, path string, query url.Values, answer any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.do(ctx, http.MethodGet, path, nil, "", answer)
}

// post sends a call that a server carries out once for the same body, however
// often it comes.
func (c *Client) post(ctx context.Context, path string, body, answer any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	sum := sha256.Sum256([]byte(path + "\x00" + string(raw)))
	return c.do(ctx, http.MethodPost, path, raw, hex.EncodeToString(sum[:]), answer)
}

// ask sends a call that changes nothing, or that isn't to be the same twice.
func (c *Client) ask(ctx context.Context, path string, body, answer any) error {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return fmt.Errorf("client: %w", err)
		}
	}
	return c.do(ctx, http.MethodPost, path, raw, "", answer)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, once string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return &custody.Error{Code: custody.Invalid, Field: "url", Message: "not a URL"}
	}
	if err := private(request.URL); err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if once != "" {
		request.Header.Set("Idempotency-Key", once)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return unreachable(err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read as far as we want
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return unreachable(err)
	case len(raw) > maxAnswer:
		return unreadable(response.StatusCode)
	case response.StatusCode < 200 || response.StatusCode > 299:
		return problem(response.StatusCode, raw)
	}
	if verbatim, ok := answer.(*[]byte); ok {
		*verbatim = raw
		return nil
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return unreadable(response.StatusCode)
	}
	return nil
}

// private refuses to send the token over a line that others can read.
func private(u *url.URL) error {
	if u.Scheme == "https" {
		return nil
	}
	host := u.Hostname()
	if u.Scheme == "http" && (host == "localhost" || net.ParseIP(host).IsLoopback()) {
		return nil
	}
	return &custody.Error{Code: custody.Invalid, Field: "url", Message: "neither https nor http on this machine"}
}

func unreachable(err error) error {
	return &custody.Error{Code: custody.Unavailable, Message: "the server doesn't answer", Err: err}
}

func unreadable(status int) error {
	return &api.Problem{Status: status, Code: api.Internal, Title: http.StatusText(status), Detail: "the server's answer is not one of this API"}
}

// problem reads the answer to a call that failed, from a server or from something
// before it.
func problem(status int, raw []byte) error {
	var p api.Problem
	if json.Unmarshal(raw, &p) != nil || p.Code == "" || p.Status != status {
		return unreadable(status)
	}
	return &p
}

func escape(id fmt.Stringer) string { return url.PathEscape(id.String()) }
