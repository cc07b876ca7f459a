package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"strconv"
	"sync"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/state"
)

type entriesQuery struct {
	Paging

	From int64 `query:"from" minimum:"0" doc:"index of the first entry; without a cursor"`
}

func (s *server) journal() {
	on(s, get("/v1/journal/head", "getHead", "Show the newest head that a quorum of witnesses cosigned"), s.getHead)
	on(s, get("/v1/journal/entries", "listEntries", "List entries of the journal, oldest first"), s.listEntries)
	on(s, returnsJSON(get("/v1/journal/governance", "getGovernance", "Get the evidence of who and what is on record"),
		"The governance chain under a cosigned head, canonical JSON: it proves offline who may decide and which keys and wallets there are"), s.getGovernance)
}

func (s *server) getHead(ctx context.Context, _ *nothing) (*answer[api.Head], error) {
	note, size, err := s.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	return &answer[api.Head]{api.Head{Note: string(note), Size: size, JournalSize: s.store.Size()}}, nil
}

func (s *server) listEntries(ctx context.Context, in *entriesQuery) (*answer[api.Page[api.Entry]], error) {
	from := in.From
	if in.Cursor != "" {
		text, err := base64.RawURLEncoding.Strict().DecodeString(in.Cursor)
		if err == nil {
			from, err = strconv.ParseInt(string(text), 10, 64)
		}
		if err != nil || from < 0 || in.From != 0 {
			return nil, &custody.Error{Code: custody.Invalid, Field: "cursor", Message: "not the cursor of a page here"}
		}
	}
	_, size, err := s.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	list, err := s.store.Entries(ctx, from, in.Limit+1)
	if err != nil {
		return nil, err
	}
	out := &answer[api.Page[api.Entry]]{Body: api.Page[api.Entry]{Data: []api.Entry{}}}
	for i, raw := range list {
		index := from + int64(i)
		if i == in.Limit {
			out.Body.NextCursor = base64.RawURLEncoding.EncodeToString(strconv.AppendInt(nil, index, 10))
			break
		}
		out.Body.Data = append(out.Body.Data, api.Entry{Index: index, Witnessed: index < size, Entry: string(raw)})
	}
	return out, nil
}

func (s *server) getGovernance(ctx context.Context, _ *nothing) (*verbatim, error) {
	note, _, err := s.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	if note == nil {
		return nil, &custody.Error{Code: custody.Unavailable, Message: "no head is cosigned yet"}
	}
	raw, err := s.shown.under(ctx, s, note)
	if err != nil {
		return nil, err
	}
	return jsonBytes(raw), nil
}

// governance keeps the evidence that was collected last: to collect it, the whole
// journal is read.
type governance struct {
	mu    sync.Mutex
	note  []byte       // the head that it is under
	chain custody.Hash // leaf hash of its newest entry
	raw   []byte
}

// under returns evidence of all that the governance chain has under a head. An
// older head does as long as the chain is the same.
func (g *governance) under(ctx context.Context, s *server, note []byte) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var charter, chain custody.Hash
	if err := s.view(func(st *state.State) error {
		charter, chain = st.CharterHash(), st.ChainHead()
		return nil
	}); err != nil {
		return nil, err
	}
	if g.raw != nil && (g.chain == chain || bytes.Equal(g.note, note)) {
		return g.raw, nil
	}
	lists, err := s.store.Lists(ctx)
	if err != nil {
		return nil, err
	}
	collected, err := state.CollectGovernance(s.store, note, charter, lists...)
	if err != nil {
		return nil, err
	}
	raw, err := custody.Encode(collected)
	if err != nil {
		return nil, err
	}
	g.note, g.raw = note, raw
	g.chain = custody.Hash(journal.LeafHash(collected.Chain[len(collected.Chain)-1]))
	return raw, nil
}
