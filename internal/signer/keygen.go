package signer

import (
	"context"
	"slices"
	"time"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/wire"
	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/dkg"
)

// keygen takes part in the key generation that an authorized intent asks for, and
// attests its result. The share is on the disk before this node votes for the key;
// it becomes the key's when the KEY entry names it.
func (n *Node) keygen(ctx context.Context, body []byte) (any, error) {
	var m wire.Keygen
	if err := wire.Decode(body, &m); err != nil {
		return nil, err
	}
	if err := n.open(m.Expires); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Unix(m.Expires, 0).Sub(n.cfg.Now()))
	defer cancel()
	order, index, err := n.ordered(m.Intent)
	if err != nil {
		return nil, err
	}
	if _, err := n.covered(ctx, index); err != nil {
		return nil, err
	}
	n.mu.Lock()
	set, err := parties(n.state, order.Set)
	n.mu.Unlock()
	if err != nil {
		return nil, err
	}
	suite, err := suiteOf(order.Scheme)
	if err != nil {
		return nil, err
	}
	session, err := n.tss.Join(ctx, &tss.Proposal{
		Protocol: tss.ProtocolDKG, Suite: suite, Target: 1, Threshold: order.Set.Threshold, Parties: set,
		Attempt: 1, Expiry: m.Expires, Initiator: coordinator, Nonce: m.Nonce,
	}, nil)
	if err != nil {
		return wire.KeygenDone{Failed: n.failure(m.Intent, err)}, nil
	}
	defer session.Close()
	share, _, err := dkg.Run(ctx, session, func(s *tss.KeyShare) error { return n.cfg.Store.SaveShare(m.Intent, s) })
	if err != nil {
		return wire.KeygenDone{Failed: n.failure(m.Intent, err)}, nil
	}
	defer share.Clear()
	key := custody.Key{
		ID: order.Key, Scheme: order.Scheme, PublicKey: share.Public.Bytes(),
		ChainCode: chain.Commitment(share.ChainCode), Epoch: 1, Set: order.Set,
	}
	sum, err := custody.KeyHash(n.charter, m.Intent, key)
	if err != nil {
		return nil, err
	}
	attestation, err := n.cfg.Keys.Identity.Sign(sum[:])
	if err != nil {
		return nil, err
	}
	n.cfg.Log.Info("key made", "intent", m.Intent, "key", key.ID, "scheme", key.Scheme)
	return wire.KeygenDone{Key: &key, Attestation: attestation, ChainCode: custody.Hash(share.ChainCode)}, nil
}

// ordered returns the key generation that an intent asks for, and the index of the
// entry that authorized it.
func (n *Node) ordered(id custody.ID[custody.Intent]) (*custody.KeyCeremony, int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	v, ok := n.state.Intent(id)
	if !ok {
		return nil, 0, refuse("intent", "not on record")
	}
	order, ok := v.Intent.Body.(*custody.KeyCeremony)
	switch {
	case !ok || order.Ceremony != custody.Keygen:
		return nil, 0, refuse("intent", "asks for no key generation")
	case v.State != custody.AuthorizedState || v.Authorized == nil:
		return nil, 0, refuse("intent", "the intent is %s", v.State)
	case v.Intent.Expires <= custody.At(n.cfg.Now()):
		return nil, 0, refuse("expires", "the intent expired at %s", v.Intent.Expires)
	case !slices.ContainsFunc(order.Set.Members, func(m custody.Member) bool { return m.Node == n.name }):
		return nil, 0, refuse("signerSet", "this node is not in the key's set")
	}
	return order, v.Authorized.Index, nil
}
