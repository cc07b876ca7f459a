package server

import (
	"context"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
)

type keyPath struct {
	ID string `path:"key" doc:"id of the key"`
}

func (s *server) keys() {
	on(s, get("/v1/keys", "listKeys", "List the keys"), s.listKeys)
	on(s, get("/v1/keys/{key}", "getKey", "Show a key with its chain code: whoever has that knows all addresses of the key"), s.getKey)
	on(s, get("/v1/nodes", "listNodes", "List the signer nodes"), s.listNodes)
}

func (s *server) listKeys(_ context.Context, in *Paging) (out *answer[api.Page[api.Key]], err error) {
	err = s.view(func(st *state.State) error {
		out, err = page(st.KeyList(), *in, func(k *custody.Key) string { return k.ID.String() }, showKey)
		return err
	})
	return out, err
}

func showKey(k *custody.Key) api.Key {
	return api.Key{
		ID: k.ID.String(), Scheme: string(k.Scheme), PublicKey: blobText(k.PublicKey), Commitment: k.ChainCode.String(), Epoch: k.Epoch,
		SignerSet: api.SignerSet{
			Members:   mapped(k.Set.Members, func(m custody.Member) api.Member { return api.Member{Node: string(m.Node), IDs: m.IDs} }),
			Threshold: k.Set.Threshold,
		},
	}
}

func (s *server) getKey(ctx context.Context, in *keyPath) (*answer[api.Key], error) {
	id, err := parseID[custody.Key]("key", in.ID)
	if err != nil {
		return nil, err
	}
	out := new(answer[api.Key])
	if err := s.view(func(st *state.State) error {
		k := st.Key(id)
		if k == nil {
			return missing("key")
		}
		out.Body = showKey(k)
		return nil
	}); err != nil {
		return nil, err
	}
	code, err := s.store.ChainCode(ctx, id)
	if err != nil && custody.CodeOf(err) != custody.NotFound {
		return nil, err
	}
	out.Body.ChainCode = hashText(code)
	return out, nil
}

func (s *server) listNodes(_ context.Context, in *Paging) (out *answer[api.Page[api.Node]], err error) {
	known := make(map[custody.Name]NodeStatus)
	for _, n := range s.nodes() {
		known[n.Node] = n
	}
	err = s.view(func(st *state.State) error {
		out, err = page(st.NodeList(), *in, func(n *custody.SignerNode) string { return string(n.ID) }, func(n *custody.SignerNode) api.Node {
			now := known[n.ID]
			return api.Node{
				ID: string(n.ID), Institution: string(n.Institution), Jurisdiction: string(n.Jurisdiction),
				IdentityKey: blobText(n.IdentityKey), Sealing: string(n.Sealing),
				Reachable: now.Reachable, Size: now.Size, LastSeen: instant(now.LastSeen),
			}
		})
		return err
	})
	return out, err
}
