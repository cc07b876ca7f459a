package statetest

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/state"
)

// prev is the governance link of an entry for an intent of a type.
func (w *World) prev(t custody.IntentType) custody.Hash {
	if t.Governs() {
		return w.State.ChainHead()
	}
	return custody.Hash{}
}

// Intent makes an intent that lives a day, in the bank's domain "treasury".
func (w *World) Intent(initiator string, t custody.IntentType, body custody.Body) *custody.Intent {
	w.tb.Helper()
	in, err := custody.NewIntent(custody.Intent{
		Type: t, ID: ID[custody.Intent](w), Institution: "bank", Domain: "treasury",
		Created: w.Now, Expires: w.Now.Add(5 * custody.Day), Initiator: w.People[initiator].ID, Body: body,
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	return in
}

// Hash is what is signed for a verdict on an intent.
func (w *World) Hash(in *custody.Intent, v custody.Verdict) custody.Hash {
	h, err := custody.ApprovalHash(in.Digest(w.State.CharterHash()), v)
	if err != nil {
		w.tb.Fatal(err)
	}
	return h
}

// Submit puts an intent on record.
func (w *World) Submit(initiator string, in *custody.Intent) state.Result {
	w.tb.Helper()
	return w.Append(custody.IntentEntry, &custody.IntentRecord{
		Bytes: in.Raw, Evidence: w.Evidence(initiator, w.Hash(in, custody.Submit)), Prev: w.prev(in.Type),
	})
}

// Say puts a person's yes or no on record.
func (w *World) Say(name string, v custody.Verdict, in *custody.Intent) state.Result {
	w.tb.Helper()
	return w.Append(custody.EvidenceEntry, &custody.EvidenceRecord{
		Intent: in.ID, Prev: w.prev(in.Type),
		Approval: &custody.Approval{Verdict: v, Evidence: w.Evidence(name, w.Hash(in, v))},
	})
}

// Attest puts an attestor's statement on record, true from now on for an hour.
func (w *World) Attest(attestor custody.Name, in *custody.Intent, a custody.Attestation) state.Result {
	w.tb.Helper()
	a.Attestor, a.Source, a.Time, a.Until = attestor, "source", w.Now, w.Now.Add(custody.Hour)
	raw := Encode(w.tb, a)
	hash := custody.AttestationHash(w.State.CharterHash(), raw)
	return w.Append(custody.EvidenceEntry, &custody.EvidenceRecord{
		Intent: in.ID, Prev: w.prev(in.Type),
		Attestation: &custody.AttestationProof{Bytes: raw, Signature: ed25519.Sign(w.Attestor[attestor], hash[:])},
	})
}

// Screen puts a screening verdict on record.
func (w *World) Screen(in *custody.Intent, v custody.ScreeningVerdict) state.Result {
	w.tb.Helper()
	return w.Attest("screening", in, custody.Attestation{Screening: &custody.Screening{Digest: in.Digest(w.State.CharterHash()), Verdict: v}})
}

// Price puts prices by both price attestors on record: so many minor units for so
// many base units of each asset.
func (w *World) Price(in *custody.Intent, units, value uint64, assets ...custody.Asset) {
	w.tb.Helper()
	for _, attestor := range []custody.Name{"prices-a", "prices-b"} {
		for _, asset := range assets {
			w.Attest(attestor, in, custody.Attestation{Price: &custody.Price{
				Asset: asset, Currency: "USD", Units: custody.NewAmount(units), Value: custody.NewAmount(value),
			}})
		}
	}
}

// Witness puts a cosigned head of all entries so far on record for an intent.
func (w *World) Witness(in *custody.Intent) state.Result {
	w.tb.Helper()
	return w.Append(custody.CosignedEntry, &custody.Cosigned{
		Intent: in.ID, Head: custody.Note(w.Head()), Proof: []custody.Hash{}, Prev: w.prev(in.Type),
	})
}

// Authorize puts on record that policy allows an intent, with the inputs that the
// state itself has.
func (w *World) Authorize(in *custody.Intent) state.Result {
	w.tb.Helper()
	facts, policy := custody.Hash{}, custody.Hash{}
	if d, err := w.State.Decide(in.ID, w.Now); err == nil {
		facts, policy = d.FactsHash, d.Policy
	}
	return w.Append(custody.AuthorizedEntry, &custody.Authorized{Intent: in.ID, Policy: policy, Facts: facts, Prev: w.State.ChainHead()})
}

// Prepare puts a transaction of an intent on record.
func (w *World) Prepare(in *custody.Intent, fee uint64, claims ...custody.Claim) state.Result {
	w.tb.Helper()
	return w.Append(custody.PreparedEntry, &custody.Prepared{
		Intent: in.ID, By: in.ID, Transaction: sha256.Sum256(in.ID[:]), Claims: claims, Fee: custody.NewAmount(fee), Prev: w.State.ChainHead(),
	})
}

// Receipts are those of the nodes named, for a PREPARED entry.
func (w *World) Receipts(leaf custody.Hash, messages []custody.Hash, nodes ...custody.Name) []custody.Receipt {
	out := []custody.Receipt{}
	for _, id := range nodes {
		out = append(out, custody.Receipt{Node: id, Signature: w.Sign(w.Nodes[id].Identity, custody.ReceiptHash(w.State.CharterHash(), leaf, messages))})
	}
	return out
}

// SignedBy puts a signature of a transaction on record, with receipts of the nodes.
func (w *World) SignedBy(in *custody.Intent, leaf, message custody.Hash, signature []byte, nodes ...custody.Name) state.Result {
	w.tb.Helper()
	return w.Append(custody.SignedEntry, &custody.SignedRecord{
		Intent: in.ID, Prepared: leaf, Messages: []custody.Hash{message}, Signatures: []custody.Blob{signature},
		Receipts: w.Receipts(leaf, []custody.Hash{message}, nodes...),
	})
}

// Observe puts what the control plane saw on record.
func (w *World) Observe(in *custody.Intent, leaf custody.Hash, kind custody.ObservedKind) state.Result {
	w.tb.Helper()
	return w.Append(custody.ObservedEntry, &custody.Observed{Kind: kind, Intent: in.ID, Prepared: leaf})
}

// Tick lets the journal note that time passes.
func (w *World) Tick() state.Result {
	w.tb.Helper()
	return w.Append(custody.ObservedEntry, &custody.Observed{Kind: custody.Tick})
}

// Govern carries an intent through that the people named approve, waiting as long
// as is given after the last approval is witnessed.
func (w *World) Govern(initiator string, t custody.IntentType, body custody.Body, delay custody.Seconds, approvers ...string) state.Result {
	w.tb.Helper()
	in := w.Intent(initiator, t, body)
	if r := w.Submit(initiator, in); r.Void != "" {
		return r
	}
	for _, name := range approvers {
		if r := w.Say(name, custody.Yes, in); r.Void != "" {
			return r
		}
	}
	if delay > 0 {
		if r := w.Witness(in); r.Void != "" {
			return r
		}
		w.Wait(delay)
	}
	return w.Authorize(in)
}

// Must fails the test if an entry is void.
func (w *World) Must(r state.Result) state.Result {
	w.tb.Helper()
	if r.Void != "" {
		w.tb.Fatalf("entry %d is void: %v", r.Index, r.Why)
	}
	return r
}

// KeyFor carries a key ceremony through for a key whose public part is given.
func (w *World) KeyFor(initiator string, scheme custody.Scheme, public []byte, chainCode custody.Hash, delay custody.Seconds, approvers ...string) custody.ID[custody.Key] {
	w.tb.Helper()
	id := ID[custody.Key](w)
	set := custody.SignerSet{Members: []custody.Member{}, Threshold: 2}
	for _, n := range w.Charter.Nodes {
		set.Members = append(set.Members, custody.Member{Node: n.ID, IDs: 1})
	}
	w.Must(w.Govern(initiator, custody.KeyCeremonyIntent, &custody.KeyCeremony{Ceremony: custody.Keygen, Key: id, Scheme: scheme, Set: set}, delay, approvers...))
	entry, err := custody.ParseEntry(w.Entries[len(w.Entries)-1])
	if err != nil {
		w.tb.Fatal(err)
	}
	intent := entry.Body.(*custody.Authorized).Intent
	key := custody.Key{ID: id, Scheme: scheme, PublicKey: public, ChainCode: chainCode, Epoch: 1, Set: set}
	w.Must(w.Append(custody.KeyEntry, w.KeyRecord(intent, key)))
	return id
}

// KeyRecord is the attested result of a ceremony.
func (w *World) KeyRecord(intent custody.ID[custody.Intent], key custody.Key) *custody.KeyRecord {
	hash, err := custody.KeyHash(w.State.CharterHash(), intent, key)
	if err != nil {
		w.tb.Fatal(err)
	}
	record := &custody.KeyRecord{Intent: intent, Key: key, Attestations: []custody.NodeSignature{}, Prev: w.State.ChainHead()}
	for _, m := range key.Set.Members {
		record.Attestations = append(record.Attestations, custody.NodeSignature{Node: m.Node, Signature: w.Sign(w.Nodes[m.Node].Identity, hash)})
	}
	return record
}

// Outpoint is the n-th output that could be spent.
func Outpoint(n byte) custody.Claim {
	h := sha256.Sum256([]byte{n})
	return custody.Claim{Outpoint: custody.Outpoint(custody.Hash(h).String() + ":0")}
}

// Nonce claims a nonce.
func Nonce(n uint64) custody.Claim { return custody.Claim{Nonce: &n} }

// Leaf is the leaf hash of an entry.
func Leaf(raw []byte) custody.Hash { return custody.Hash(journal.LeafHash(raw)) }

func contains(list []string, s string) bool { return slices.Contains(list, s) }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// Sum is SHA-256.
func Sum(b []byte) custody.Hash { return sha256.Sum256(b) }
