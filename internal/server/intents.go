package server

import (
	"context"
	"net/http"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/store"
)

type prepareInput struct{ Body api.PrepareRequest }

type submitInput struct{ Body api.SubmitRequest }

// IntentPath names the intent of a call.
type IntentPath struct {
	ID string `path:"intent" doc:"id of the intent"`
}

type approveInput struct {
	IntentPath

	Body api.ApproveRequest
}

type intentQuery struct {
	Paging

	Type      string `query:"type" doc:"only of this type"`
	State     string `query:"state" doc:"only in this state"`
	Initiator string `query:"initiator" doc:"only by this person"`
}

func (s *server) intents() {
	on(s, post("/v1/intents:prepare", "prepareIntent", "Write an intent for its initiator to sign; nothing is on record afterwards"), s.prepareIntent)
	on(s, post("/v1/intents:simulate", "simulateIntent", "Ask what policy would say of an intent; nothing is on record afterwards"), s.simulateIntent)
	on(s, s.change("/v1/intents", "submitIntent", "Put an intent on record, signed by its initiator", http.StatusAccepted), s.submitIntent)
	on(s, s.change("/v1/intents/{intent}/approvals", "approveIntent", "Put a signed yes or no on record", http.StatusAccepted), s.approveIntent)
	on(s, get("/v1/intents", "listIntents", "List intents, newest first"), s.listIntents)
	on(s, get("/v1/intents/{intent}", "getIntent", "Show an intent"), s.getIntent)
	on(s, returnsJSON(get("/v1/intents/{intent}/evidence", "getEvidence", "Get the evidence bundle of an intent"),
		"The bundle, canonical JSON: it proves offline that the intent's transaction was rightly signed"), s.getEvidence)
}

func (s *server) prepareIntent(ctx context.Context, in *prepareInput) (*answer[api.PreparedIntent], error) {
	out := new(answer[api.PreparedIntent])
	return out, s.view(func(st *state.State) error {
		intent, err := s.prepare(ctx, st, &in.Body)
		if err != nil {
			return err
		}
		out.Body = api.PreparedIntent{
			Bytes: string(intent.Raw), Digest: intent.Digest(st.CharterHash()).String(), Charter: st.CharterHash().String(),
		}
		return nil
	})
}

func (s *server) simulateIntent(ctx context.Context, in *prepareInput) (*answer[api.Decision], error) {
	out := new(answer[api.Decision])
	return out, s.view(func(st *state.State) error {
		intent, err := s.prepare(ctx, st, &in.Body)
		if err != nil {
			return err
		}
		d, err := st.Consider(intent, intent.Created)
		if err != nil {
			return err
		}
		out.Body = *showDecision(st.PolicyInForce(), &d)
		return nil
	})
}

func (s *server) submitIntent(ctx context.Context, in *submitInput) (*answer[api.Intent], error) {
	e, err := readEvidence(in.Body.Evidence)
	if err != nil {
		return nil, err
	}
	if _, err := custody.ParseIntent([]byte(in.Body.Bytes)); err != nil {
		return nil, inside("bytes", err)
	}
	id, err := s.desk.Submit(ctx, []byte(in.Body.Bytes), e, in.Body.ExternalID)
	if err != nil {
		return nil, err
	}
	return s.intent(ctx, id)
}

func (s *server) approveIntent(ctx context.Context, in *approveInput) (*answer[api.Intent], error) {
	id, err := parseID[custody.Intent]("intent", in.ID)
	if err != nil {
		return nil, err
	}
	e, err := readEvidence(in.Body.Evidence)
	if err != nil {
		return nil, err
	}
	if err := s.desk.Approve(ctx, id, custody.Approval{Verdict: custody.Verdict(in.Body.Verdict), Evidence: e}); err != nil {
		return nil, s.ended(ctx, id, err)
	}
	return s.intent(ctx, id)
}

// ended says of an intent that policy ended by which rule, where that is why it
// takes no approval.
func (s *server) ended(ctx context.Context, id custody.ID[custody.Intent], err error) error {
	if custody.CodeOf(err) != custody.Conflict {
		return err
	}
	in, lookup := s.intent(ctx, id)
	if lookup != nil || in.Body.Rule == "" {
		return err
	}
	p := s.problem(ctx, err)
	p.Rule = in.Body.Rule
	if s.view(func(st *state.State) error {
		p.PolicyVersion = st.PolicyInForce().Version
		return nil
	}) != nil {
		return err
	}
	return p
}

func (s *server) getIntent(ctx context.Context, in *IntentPath) (*answer[api.Intent], error) {
	id, err := parseID[custody.Intent]("intent", in.ID)
	if err != nil {
		return nil, err
	}
	return s.intent(ctx, id)
}

func (s *server) getEvidence(ctx context.Context, in *IntentPath) (*verbatim, error) {
	id, err := parseID[custody.Intent]("intent", in.ID)
	if err != nil {
		return nil, err
	}
	if _, err := s.store.Intent(ctx, id); err != nil {
		return nil, err
	}
	raw, err := s.evidence(ctx, id)
	if err != nil {
		return nil, err
	}
	return jsonBytes(raw), nil
}

func (s *server) listIntents(ctx context.Context, in *intentQuery) (*answer[api.Page[api.Intent]], error) {
	list, next, err := s.find(ctx, in)
	if err != nil {
		return nil, err
	}
	out := &answer[api.Page[api.Intent]]{Body: api.Page[api.Intent]{Data: []api.Intent{}, NextCursor: next}}
	for i := range list {
		shown, err := s.showIntent(ctx, &list[i])
		if err != nil {
			return nil, err
		}
		out.Body.Data = append(out.Body.Data, *shown)
	}
	return out, nil
}

// find looks intents up by what a call asks for.
func (s *server) find(ctx context.Context, in *intentQuery) ([]store.Intent, string, error) {
	var f store.IntentFilter
	if in.Type != "" {
		if err := f.Type.UnmarshalText([]byte(in.Type)); err != nil {
			return nil, "", inside("type", err)
		}
	}
	if in.Initiator != "" {
		var err error
		if f.Initiator, err = parseID[custody.Person]("initiator", in.Initiator); err != nil {
			return nil, "", err
		}
	}
	f.State = custody.IntentState(in.State)
	if f.State != "" && !isState(f.State) {
		return nil, "", &custody.Error{Code: custody.Invalid, Field: "state", Message: "not a state of intents"}
	}
	return s.store.Intents(ctx, f, in.Cursor, in.Limit)
}

func isState(at custody.IntentState) bool {
	for _, note := range custody.IntentLife.States {
		if note.State == at {
			return true
		}
	}
	return false
}

// intent shows one intent with its entries.
func (s *server) intent(ctx context.Context, id custody.ID[custody.Intent]) (*answer[api.Intent], error) {
	row, err := s.store.Intent(ctx, id)
	if err != nil {
		return nil, err
	}
	shown, err := s.showIntent(ctx, &row)
	if err != nil {
		return nil, err
	}
	return &answer[api.Intent]{*shown}, nil
}

func (s *server) showIntent(ctx context.Context, row *store.Intent) (*api.Intent, error) {
	live, err := s.live(ctx, row)
	if err != nil {
		return nil, err
	}
	digest, err := live.digest(row)
	if err != nil {
		return nil, err
	}
	return &api.Intent{
		ID: row.ID.String(), Type: string(row.Type), State: string(live.state), Reason: string(live.reason),
		Rule: blockedBy(live.state, live.reason), WaitingFor: row.Note,
		Institution: string(row.Institution), Domain: string(row.Domain), Initiator: row.Initiator.String(),
		Created: row.Created.Time(), Expires: row.Expires.Time(), Updated: row.Updated.Time(), ExternalID: row.ExternalID,
		Bytes: string(row.Bytes), Digest: digest.String(), Witnessed: live.witnessed,
		Decision: live.decision, Approvals: live.approvals, Opened: live.opened, Entries: live.entries,
	}, nil
}

// live is what the state knows of an intent now, beyond its row.
type live struct {
	charter   custody.Hash
	state     custody.IntentState
	reason    state.Reason
	decision  *api.Decision
	approvals []api.Given
	opened    *api.Opened
	entries   []api.Record
	witnessed bool
}

// live looks at an intent as it is now. The state forgets an intent that is long
// over; then its row is all there is.
func (s *server) live(ctx context.Context, row *store.Intent) (*live, error) {
	l := &live{state: row.State, reason: row.Reason, approvals: []api.Given{}}
	err := s.view(func(st *state.State) error {
		l.charter = st.CharterHash()
		v, ok := st.Intent(row.ID)
		if !ok {
			return nil
		}
		now := max(custody.At(s.now()), st.NewestTime())
		var err error
		if l.state, l.reason, err = st.Status(row.ID, now); err != nil {
			return err
		}
		for _, a := range v.Approvals {
			l.approvals = append(l.approvals, api.Given{Person: idText(a.Person), Kind: string(a.Kind), Verdict: string(a.Verdict), Index: a.Index})
		}
		if a := v.Authorized; a != nil {
			l.opened = &api.Opened{Rule: string(a.Rule), Index: a.Index, Time: a.Time.Time()}
		}
		if v.State != custody.Submitted {
			return nil
		}
		d, err := st.Decide(row.ID, now)
		if err != nil {
			return nil //nolint:nilerr // what the Decision needs is gone, such as the wallet; the state says so
		}
		l.decision = showDecision(st.PolicyInForce(), &d)
		if l.state == custody.Blocked && l.reason == "" && d.Outcome == policy.Blocked {
			l.reason = state.Reason("rule " + decides(&d))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	history, err := s.store.History(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	_, size, err := s.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range history {
		l.entries = append(l.entries, api.Record{Index: h.Index, Time: h.Time.Time(), Type: string(h.Type)})
		l.witnessed = h.Index < size
	}
	return l, nil
}

func (l *live) digest(row *store.Intent) (custody.Hash, error) {
	in, err := custody.ParseIntent(row.Bytes)
	if err != nil {
		return custody.Hash{}, &custody.Error{Code: custody.Internal, Message: "an intent on record doesn't parse", Err: err}
	}
	return in.Digest(l.charter), nil
}
