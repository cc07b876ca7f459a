package signer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cofferhq/coffer/internal/bus"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/wire"
	"github.com/cofferhq/coffer/tss"
)

type rawJSON = jsontext.Value

// coordinator is the control plane's number in proposals: no id of any key.
const coordinator = 1<<16 - 1

// parties gives the members of a set their ids, in the set's order from 1. It is the
// same on every node, by the identity keys on record.
func parties(st *state.State, set custody.SignerSet) (tss.Parties, error) {
	var out tss.Parties
	for _, m := range set.Members {
		key, err := identity(st, m.Node)
		if err != nil {
			return nil, err
		}
		for range m.IDs {
			out = append(out, tss.Party{ID: uint16(len(out) + 1), Owner: key})
		}
	}
	return out, nil
}

// identity is a node's identity as the protocols know it: the Ed25519 half.
func identity(st *state.State, name custody.Name) (tss.IdentityKey, error) {
	n := st.Node(name)
	if n == nil {
		return tss.IdentityKey{}, refuse("signers", "node %s is not on record", name)
	}
	k, err := hybrid.ParsePublicKey(n.IdentityKey)
	if err != nil {
		return tss.IdentityKey{}, err
	}
	return tss.IdentityKey(k.Ed25519()), nil
}

// suiteOf is the library's name of a scheme.
func suiteOf(s custody.Scheme) (tss.Suite, error) {
	switch s {
	case custody.BIP340Secp256k1:
		return tss.SuiteBIP340, nil
	case custody.Ed25519:
		return tss.SuiteEd25519, nil
	default:
		return 0, refuse("scheme", "this node makes no keys of scheme %s", s)
	}
}

// nonceOf is the random part of the i-th proposal of one invitation.
func nonceOf(invitation custody.Hash, i int) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint32(invitation[:], uint32(i)))
}

// open refuses an invitation that is over, by this node's clock.
func (n *Node) open(expires int64) error {
	if now := n.cfg.Now().Unix(); expires <= now || expires > now+tss.MaxExpiry {
		return refuse("expires", "the invitation is over, or for more than %d s ahead", tss.MaxExpiry)
	}
	return nil
}

// failure tells the control plane why a session failed and whom it convicts.
func (n *Node) failure(intent custody.ID[custody.Intent], err error) *wire.Failure {
	n.cfg.Log.Warn("session failed", "intent", intent, "reason", err.Error())
	f := &wire.Failure{Reason: err.Error()}
	var faults tss.Faults
	if !errors.As(err, &faults) {
		return f
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, fault := range faults {
		name := n.nameOf(fault.Identity)
		if name == "" {
			continue
		}
		if fault.Kind == tss.Absent {
			f.Absent = append(f.Absent, name)
		} else {
			f.Culprits = append(f.Culprits, name)
		}
	}
	return f
}

func (n *Node) nameOf(key tss.IdentityKey) custody.Name {
	for _, other := range n.state.NodeList() {
		if k, err := identity(n.state, other.ID); err == nil && k == key {
			return other.ID
		}
	}
	return custody.Name(bus.Coordinator)
}
