package ceremony_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/bus"
	"github.com/cofferhq/coffer/internal/ceremony"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/policy/compile"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/internal/store"
	"github.com/cofferhq/coffer/internal/wire"
)

const policyText = `
version: 1
currency: CHF
rules:
  - name: governance
    for: [POLICY_CHANGE, PERSON_CHANGE, GROUP_CHANGE, CREDENTIAL_CHANGE, KEY_CEREMONY, SIGNER_SET_CHANGE, WITNESS_CHANGE, VAULT_CREATE, WALLET_CREATE,
          DESTINATION_CHANGE, LIST_CHANGE, PROVIDER_CHANGE, ISSUER_CHANGE, HOLD_RELEASE, UPGRADE, FREEZE]
    when: "true"
    allow: {approvals: [{group: administrators, count: 2}]}
`

// TestOneBadSigner has one of three nodes spoil what it can. The two others sign all
// the same, whatever the bad one says of them.
func TestOneBadSigner(t *testing.T) {
	t.Parallel()
	good := custody.Blob("the signature")
	messages := []custody.Hash{{1}}
	for name, evil := range map[string]func(receipt custody.Blob) (wire.SignDone, bool){
		"a wrong receipt": func(custody.Blob) (wire.SignDone, bool) {
			return wire.SignDone{Signatures: []custody.Blob{good}, Receipt: make(custody.Blob, hybrid.SignatureSize)}, true
		},
		"a wrong signature": func(r custody.Blob) (wire.SignDone, bool) {
			return wire.SignDone{Signatures: []custody.Blob{custody.Blob("another")}, Receipt: r}, true
		},
		"no signature": func(r custody.Blob) (wire.SignDone, bool) { return wire.SignDone{Receipt: r}, false },
		"blames the other": func(custody.Blob) (wire.SignDone, bool) {
			return wire.SignDone{Failed: &wire.Failure{Reason: "it was the other", Culprits: []custody.Name{"node-b"}}}, false
		},
		"blames all of them": func(custody.Blob) (wire.SignDone, bool) {
			return wire.SignDone{Failed: &wire.Failure{Reason: "they are all bad", Culprits: []custody.Name{"node-b", "node-c"}}}, false
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, s, mem := newWorld(t)
			prepared := custody.Hash{7}
			receipts := make(map[custody.Name]custody.Blob)
			for _, r := range w.Receipts(prepared, messages, "node-a", "node-b", "node-c") {
				receipts[r.Node] = r.Signature
			}
			_, finishes := evil(nil) // whether the others of its sessions get to an end
			for _, n := range w.Charter.Nodes {
				end := endpoint(t, w, mem, string(n.ID), w.Nodes[n.ID].Identity)
				end.Handle(wire.SignTopic, func(_ context.Context, _ string, body []byte) ([]byte, error) {
					var m wire.Sign
					if err := wire.Decode(body, &m); err != nil {
						return nil, err
					}
					done := wire.SignDone{Signatures: []custody.Blob{good}, Receipt: receipts[n.ID]}
					switch {
					case n.ID == "node-a":
						done, _ = evil(receipts[n.ID])
					case slices.Contains(m.Signers, "node-a") && !finishes:
						done = wire.SignDone{Failed: &wire.Failure{Reason: "node-a: absent", Absent: []custody.Name{"node-a"}}}
					}
					return wire.Encode(done)
				})
			}
			c, err := ceremony.New(t.Context(), ceremony.Config{
				Store: s, Bus: endpoint(t, w, mem, bus.Coordinator, statetest.HybridKey(t, "coordinator")), LogKey: w.Log, Now: w.Now.Time, Rand: rand.Reader, Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			set := custody.SignerSet{Threshold: 2}
			for _, n := range w.Charter.Nodes {
				set.Members = append(set.Members, custody.Member{Node: n.ID, IDs: 1})
			}
			done, err := c.Sign(t.Context(), ceremony.Order{
				Intent: statetest.ID[custody.Intent](w), Prepared: prepared, Set: set, Details: []byte("a transaction"), Messages: messages,
				Verify: func(signatures []custody.Blob) error {
					if len(signatures) != 1 || string(signatures[0]) != string(good) {
						return errors.New("doesn't verify")
					}
					return nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			var names []custody.Name
			for _, r := range done.Receipts {
				names = append(names, r.Node)
			}
			if !slices.Equal(names, []custody.Name{"node-b", "node-c"}) {
				t.Errorf("receipts of %v", names)
			}
		})
	}
}

// newWorld makes a charter, and a store with it under a cosigned head.
func newWorld(t *testing.T) (*statetest.World, *store.Store, *bus.Memory) {
	t.Helper()
	compiled, err := compile.Compile([]byte(policyText), compile.Options{Now: statetest.Start.Time()})
	if err != nil {
		t.Fatal(err)
	}
	w := statetest.New(t, statetest.Setup{Groups: map[custody.Name][]string{custody.Administrators: {"ann", "ben", "cas"}}, Policy: compiled.Raw})
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "coffer.db"), w.Charter.Hash(), w.Now.Time)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	e, err := custody.ParseEntry(w.Entries[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Advance(t.Context(), func(tx *store.Tx) error {
		_, _, err := tx.Append(custody.CharterEntry, e.Body)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetHead(t.Context(), w.Head(), 1); err != nil {
		t.Fatal(err)
	}
	return w, s, bus.NewMemory()
}

func endpoint(t *testing.T, w *statetest.World, mem *bus.Memory, name string, key hybrid.PrivateKey) *bus.Endpoint {
	t.Helper()
	peers := map[string]hybrid.PublicKey{bus.Coordinator: statetest.HybridKey(t, "coordinator").Public()}
	for id, n := range w.Nodes {
		peers[string(id)] = n.Identity.Public()
	}
	end, err := bus.New(bus.Config{
		Charter: w.Charter.Hash(), Name: name, Key: key, Peers: func() map[string]hybrid.PublicKey { return peers }, Transport: mem,
		Now: func() time.Time { return w.Now.Time() },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end.Close)
	return end
}
