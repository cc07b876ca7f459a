package state

import (
	"bytes"

	"github.com/cofferhq/coffer/internal/custody"
)

// ceremonyPossible refuses a ceremony of a key or with nodes that aren't there.
func (s *State) ceremonyPossible(c *custody.KeyCeremony) error {
	key := s.Keys[c.Key]
	fresh := c.Ceremony == custody.Keygen || c.Ceremony == custody.Import
	switch {
	case fresh && key != nil:
		return refuse(Impossible, "key %s is on record", c.Key)
	case !fresh && key == nil:
		return refuse(Impossible, "key %s is not on record", c.Key)
	case !fresh && key.Scheme != c.Scheme:
		return refuse(Impossible, "the key is of scheme %s", key.Scheme)
	}
	for _, m := range c.Set.Members {
		if s.Nodes[m.Node] == nil {
			return refuse(Impossible, "node %s is not on record", m.Node)
		}
	}
	if (c.Ceremony == custody.Refresh || c.Ceremony == custody.Export) && !sameSet(key.Set, c.Set) {
		return refuse(Impossible, "%s keeps the signer set", c.Ceremony)
	}
	return nil
}

func sameSet(a, b custody.SignerSet) bool {
	x, err := custody.Encode(a)
	y, err2 := custody.Encode(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// applyKey records the result of an authorized ceremony, once, attested by all
// nodes of the set.
func (s *State) applyKey(body *custody.KeyRecord, at position) error {
	r := s.Intents[body.Intent]
	if r == nil {
		return refuse(UnknownIntent, "intent %s is not on record", body.Intent)
	}
	c, ok := r.Intent.Body.(*custody.KeyCeremony)
	if !ok {
		return refuse(Impossible, "the intent is no ceremony")
	}
	if r.State != custody.AuthorizedState {
		return refuse(WrongState, "the intent is %s", r.State)
	}
	if err := s.follows(body.Prev, true); err != nil {
		return err
	}
	if r.Intent.Expires <= at.time {
		return refuse(IntentTime, "expired")
	}
	if err := s.notFrozen(r); err != nil {
		return err
	}
	if err := s.ceremonyPossible(c); err != nil {
		return err
	}
	k := body.Key
	old := s.Keys[c.Key]
	switch {
	case k.ID != c.Key || k.Scheme != c.Scheme || !sameSet(k.Set, c.Set):
		return refuse(Impossible, "not the key, scheme or signer set of the intent")
	case old == nil && k.Epoch != 1:
		return refuse(Impossible, "a new key begins at epoch 1")
	case old != nil && k.Epoch <= old.Epoch:
		return refuse(Impossible, "the key is at epoch %d", old.Epoch)
	case old != nil && (!bytes.Equal(k.PublicKey, old.PublicKey) || k.ChainCode != old.ChainCode):
		return refuse(Impossible, "the public key and chain code stay the same")
	}
	for id, other := range s.Keys {
		if id != k.ID && bytes.Equal(other.PublicKey, k.PublicKey) {
			return refuse(Impossible, "key %s is this one", id)
		}
	}
	if err := onCurve(&k); err != nil {
		return because(Impossible, err)
	}
	if !s.trusting {
		hash, err := custody.KeyHash(s.charterHash, body.Intent, k)
		if err != nil {
			return err
		}
		var nodes []custody.SignerNode
		for _, m := range k.Set.Members {
			nodes = append(nodes, *s.Nodes[m.Node])
		}
		if err := checkNodes(hash, body.Attestations, nodes, s.verifyNode); err != nil {
			return because(Signature, err)
		}
	}
	s.Keys[k.ID] = &k
	return r.move(custody.Finish, "")
}
