package client

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
)

// Prepared is an intent whose bytes say what was asked. Submit is what its
// initiator signs.
type Prepared struct {
	Bytes  []byte
	Digest custody.Hash
	Intent *custody.Intent
	Submit custody.Hash // [custody.ApprovalHash] of Digest, verdict SUBMIT
}

// Prepare asks for the bytes of an intent and refuses them with a [*Difference]
// unless they say exactly what the request does. What the server filled in is
// checked where it matters: the asset, an address of a wallet of the deployment,
// and the nodes of a key. Nothing is on record before Submit.
func (c *Client) Prepare(ctx context.Context, r api.PrepareRequest) (*Prepared, error) {
	var answer api.PreparedIntent
	if err := c.ask(ctx, "/v1/intents:prepare", r, &answer); err != nil {
		return nil, err
	}
	p, filled, err := c.compare(&r, &answer)
	if err != nil {
		return nil, err
	}
	if err := c.checkFilled(ctx, p.Intent, filled); err != nil {
		return nil, err
	}
	return p, nil
}

// Simulate asks what policy would say. Nothing is on record afterwards.
func (c *Client) Simulate(ctx context.Context, r api.PrepareRequest) (*api.Decision, error) {
	var answer api.Decision
	return &answer, c.ask(ctx, "/v1/intents:simulate", r, &answer)
}

// Submit puts a prepared intent on record with its initiator's signature.
// externalID is the caller's own name for it, or empty. To send the same again is
// harmless.
func (c *Client) Submit(ctx context.Context, p *Prepared, e custody.Evidence, externalID string) (*api.Intent, error) {
	var answer api.Intent
	if err := c.post(ctx, "/v1/intents", api.SubmitRequest{Bytes: string(p.Bytes), Evidence: evidence(e), ExternalID: externalID}, &answer); err != nil {
		return nil, err
	}
	if answer.Bytes != string(p.Bytes) {
		return nil, &Difference{"bytes", string(p.Bytes), answer.Bytes}
	}
	return &answer, c.same(p.Intent.ID, p.Digest, &answer)
}

// Approve sends a signed yes or no, for the hash that [Client.ForApproval] gave.
// To send the same again is harmless.
func (c *Client) Approve(ctx context.Context, id custody.ID[custody.Intent], v custody.Verdict, e custody.Evidence) (*api.Intent, error) {
	var answer api.Intent
	if err := c.post(ctx, "/v1/intents/"+escape(id)+"/approvals", api.ApproveRequest{Verdict: string(v), Evidence: evidence(e)}, &answer); err != nil {
		return nil, err
	}
	_, _, err := c.read(id, &answer)
	return &answer, err
}

// ForApproval is an intent read from the bytes that a signature binds.
type ForApproval struct {
	Intent  *custody.Intent // show this
	Digest  custody.Hash
	Yes, No custody.Hash // [custody.ApprovalHash]: sign one of these
	Status  *api.Intent  // what the server says beside the bytes
}

// ForApproval fetches an intent to be approved or rejected. What is to be signed is
// computed from the bytes and the pinned charter, so that the signer signs what it
// was shown.
func (c *Client) ForApproval(ctx context.Context, id custody.ID[custody.Intent]) (*ForApproval, error) {
	status, err := c.Intent(ctx, id)
	if err != nil {
		return nil, err
	}
	in, digest, err := c.read(id, status)
	if err != nil {
		return nil, err
	}
	out := &ForApproval{Intent: in, Digest: digest, Status: status}
	if out.Yes, err = custody.ApprovalHash(digest, custody.Yes); err != nil {
		return nil, err
	}
	out.No, err = custody.ApprovalHash(digest, custody.No)
	return out, err
}

// Intent returns an intent as the server has it. Its bytes and digest are checked
// to belong to the id.
func (c *Client) Intent(ctx context.Context, id custody.ID[custody.Intent]) (*api.Intent, error) {
	var answer api.Intent
	if err := c.get(ctx, "/v1/intents/"+escape(id), nil, &answer); err != nil {
		return nil, err
	}
	_, _, err := c.read(id, &answer)
	return &answer, err
}

// Query says which intents a list has; empty members don't count.
type Query struct {
	Type      custody.IntentType
	State     custody.IntentState
	Initiator string // id of a person
	Limit     int
	Cursor    string
}

func (q Query) values() url.Values {
	v := pageQuery(q.Limit, q.Cursor)
	set(v, "type", string(q.Type))
	set(v, "state", string(q.State))
	set(v, "initiator", q.Initiator)
	return v
}

// Intents lists intents, newest first, without their entries.
func (c *Client) Intents(ctx context.Context, q Query) (*api.Page[api.Intent], error) {
	return list[api.Intent](ctx, c, "/v1/intents", q.values())
}

// Transfers lists transfers, newest first. Type of the query doesn't count.
func (c *Client) Transfers(ctx context.Context, q Query) (*api.Page[api.Transfer], error) {
	q.Type = ""
	return list[api.Transfer](ctx, c, "/v1/transfers", q.values())
}

// Transfer returns the user's view of an intent of type TRANSFER.
func (c *Client) Transfer(ctx context.Context, id custody.ID[custody.Intent]) (*api.Transfer, error) {
	return one[api.Transfer](ctx, c, "/v1/transfers/"+escape(id))
}

// VerifiedEvidence returns the evidence bundle of an intent and what it proves,
// checked from the charter's hash alone: without an error, the intent's
// transaction was rightly signed. The error of a bundle that doesn't hold is a
// [*state.CheckError].
func (c *Client) VerifiedEvidence(ctx context.Context, id custody.ID[custody.Intent]) ([]byte, *state.Report, error) {
	var raw []byte
	if err := c.get(ctx, "/v1/intents/"+escape(id)+"/evidence", nil, &raw); err != nil {
		return nil, nil, err
	}
	report, err := state.Verify(raw, state.Trust{Charter: c.charter})
	if err != nil {
		return nil, nil, fmt.Errorf("client: evidence of %s: %w", id, err)
	}
	if report.Intent != id {
		return nil, nil, &Difference{"intent", id.String(), report.Intent.String()}
	}
	return raw, report, nil
}

// How long Wait pauses between two questions: half as long again each time.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
)

// Wait asks for an intent again and again until it is as wanted, and returns it.
// Problems that may pass are waited out; the context ends everything else.
func (c *Client) Wait(ctx context.Context, id custody.ID[custody.Intent], until func(*api.Intent) bool) (*api.Intent, error) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for next := firstPause; ; next = min(next+next/2, maxPause) {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("client: intent %s: %w", id, ctx.Err())
		case <-pause.C:
		}
		in, err := c.Intent(ctx, id)
		switch {
		case err == nil && until(in):
			return in, nil
		case err != nil && !Code(err).Handling().Retry:
			return nil, err
		}
		pause.Reset(next)
	}
}

// read parses the bytes of an intent that the server says has an id.
func (c *Client) read(id custody.ID[custody.Intent], answer *api.Intent) (*custody.Intent, custody.Hash, error) {
	in, err := custody.ParseIntent([]byte(answer.Bytes))
	if err != nil {
		return nil, custody.Hash{}, unparsed("the intent", err)
	}
	digest := in.Digest(c.charter)
	if in.ID != id {
		return nil, digest, &Difference{"id", id.String(), in.ID.String()}
	}
	return in, digest, c.same(id, digest, answer)
}

// same refuses an answer about another intent or another deployment.
func (c *Client) same(id custody.ID[custody.Intent], digest custody.Hash, answer *api.Intent) error {
	if answer.ID != id.String() {
		return &Difference{"id", id.String(), answer.ID}
	}
	if answer.Digest != digest.String() {
		return &Difference{"digest", digest.String(), answer.Digest}
	}
	return nil
}

// evidence writes evidence as the API takes it.
func evidence(e custody.Evidence) api.Evidence {
	out := api.Evidence{Kind: string(e.Kind), Node: string(e.Node), Signature: base64.StdEncoding.EncodeToString(e.Signature)}
	if e.Credential != (custody.ID[custody.Credential]{}) {
		out.Credential = e.Credential.String()
	}
	if e.Recovery != (custody.ID[custody.Person]{}) {
		out.Recovery = e.Recovery.String()
	}
	if s := e.Signed; s != nil {
		out.Signed = &api.Signed{ClientData: base64.StdEncoding.EncodeToString(s.ClientData), AuthenticatorData: base64.StdEncoding.EncodeToString(s.AuthenticatorData), Token: string(s.Token)}
	}
	return out
}

func pageQuery(limit int, cursor string) url.Values {
	v := make(url.Values)
	if limit > 0 {
		v.Set("limit", strconv.Itoa(limit))
	}
	set(v, "cursor", cursor)
	return v
}

func set(v url.Values, name, value string) {
	if value != "" {
		v.Set(name, value)
	}
}
