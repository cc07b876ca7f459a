package state

import "github.com/cofferhq/coffer/internal/custody"

// Governance is the evidence of who and what is on record: the governance chain
// under a cosigned head. From it alone a reader knows the nodes, the attested keys
// and the wallets, and so recomputes any address. In a file it is canonical JSON.
type Governance struct {
	V     int            `json:"v"`
	Chain []rawJSON      `json:"chain"`          // the governance chain's entries
	Proof Inclusion      `json:"proof"`          // of the chain's last entry
	Heads []HeadProof    `json:"heads,omitzero"` // of the heads in COSIGNED entries
	Head  custody.Note   `json:"head"`           // that all of it is under
	Lists []custody.Blob `json:"lists,omitzero"` // that LIST_CHANGE pinned
}

// CollectGovernance gathers the governance chain under a cosigned head.
func CollectGovernance(j Journal, head []byte, charter custody.Hash, lists ...[]byte) (*Governance, error) {
	b, err := Collect(j, head, custody.ID[custody.Intent]{}, charter, lists...)
	if err != nil {
		return nil, err
	}
	return &Governance{V: b.V, Chain: b.Chain, Proof: b.Proofs[0], Heads: b.Heads, Head: b.Head, Lists: b.Lists}, nil
}

// VerifyGovernance checks the canonical bytes of a [Governance] by nothing but the
// trust given, and returns what is on record by it. It says nothing of how new it
// is. The error is a [CheckError] that names the first check that failed.
func VerifyGovernance(raw []byte, trust Trust) (*State, error) {
	var g Governance
	if err := custody.Decode(raw, &g, MaxBundle); err != nil {
		return nil, &CheckError{"form", err}
	}
	v := &verification{trust: trust, report: new(Report), bundle: Bundle{
		V: g.V, Chain: g.Chain, Proofs: []Inclusion{g.Proof}, Heads: g.Heads, Head: g.Head, Lists: g.Lists,
	}}
	if err := v.chain(); err != nil {
		return nil, err
	}
	return v.state, nil
}
