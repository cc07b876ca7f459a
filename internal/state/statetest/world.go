// Package statetest makes journals for tests: a deployment with people, nodes,
// attestors and a control plane whose keys it holds, and a method for everything
// that they do. Start from [New]. Keys and ids are the same in every run.
package statetest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"math/big"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/state"
)

// World is a deployment and its journal.
type World struct {
	State    *state.State
	Tree     journal.Tree
	Entries  [][]byte
	Results  []state.Result
	Now      custody.Time
	Charter  *custody.Charter
	People   map[string]*Person
	Nodes    map[custody.Name]*Node
	Log      hybrid.PrivateKey
	Attestor map[custody.Name]ed25519.PrivateKey
	Recovery []*Person

	tb   testing.TB
	next uint64
}

// Person is someone with a device key.
type Person struct {
	ID         custody.ID[custody.Person]
	Credential custody.Credential
	Key        crypto.Signer
}

// Node is a signer node with its two keys.
type Node struct {
	custody.SignerNode
	Identity, Witness hybrid.PrivateKey

	witness *journal.Witness
	head    headStore
	size    int64 // of its newest head
}

// headStore is a witness's memory of its newest head.
type headStore struct{ note []byte }

func (h *headStore) Load(context.Context) ([]byte, error) { return h.note, nil }

func (h *headStore) Save(_ context.Context, note []byte) error {
	h.note = note
	return nil
}

// Start is the time of the first entry.
var Start = custody.At(time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC))

// Seed returns 64 bytes that depend on a name alone.
func Seed(name string) []byte {
	a, b := sha256.Sum256([]byte("a "+name)), sha256.Sum256([]byte("b "+name))
	return append(a[:], b[:]...)
}

// HybridKey returns the hybrid key of a name.
func HybridKey(tb testing.TB, name string) hybrid.PrivateKey {
	tb.Helper()
	k, err := hybrid.NewPrivateKey(Seed(name))
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// NewID makes a UUIDv7 of a time and a number.
func NewID[T any](at custody.Time, n uint64) custody.ID[T] {
	var id custody.ID[T]
	binary.BigEndian.PutUint64(id[:], uint64(at)<<16)
	binary.BigEndian.PutUint64(id[8:], n)
	id[6] = 0x70 | id[6]&0x0f
	id[8] = 0x80 | id[8]&0x3f
	return id
}

// ID makes the next id of a world.
func ID[T any](w *World) custody.ID[T] {
	w.next++
	return NewID[T](w.Now, w.next)
}

// Setup says who is there. Groups name people; whoever is named exists.
type Setup struct {
	Groups    map[custody.Name][]string
	Others    []string // people in no group
	Countries map[string]custody.Country
	Services  []string // those of the people who are programs
	Nodes     int      // 3 unless given
	Quorum    custody.WitnessQuorum
	Policy    []byte   // canonical
	P256      []string // people with a P-256 key; the others have Ed25519
	Edit      func(*custody.Charter)
}

// New makes a deployment and applies its charter.
func New(tb testing.TB, setup Setup) *World {
	tb.Helper()
	w := &World{
		tb: tb, Now: Start, People: make(map[string]*Person), Nodes: make(map[custody.Name]*Node),
		Attestor: make(map[custody.Name]ed25519.PrivateKey), Log: HybridKey(tb, "log"),
	}
	c := w.draft(setup)
	raw := Encode(tb, c)
	charter, err := custody.ParseCharter(raw)
	if err != nil {
		tb.Fatal(err)
	}
	w.Charter = charter
	w.State = state.New(charter.Hash())
	hash := custody.CharterSignatureHash(charter.Hash())
	record := &custody.CharterRecord{Charter: raw, Administrators: []custody.Evidence{}, Nodes: []custody.NodeSignature{}}
	for _, name := range setup.Groups[custody.Administrators] {
		record.Administrators = append(record.Administrators, w.Evidence(name, hash))
	}
	for _, n := range charter.Nodes {
		record.Nodes = append(record.Nodes, custody.NodeSignature{Node: n.ID, Signature: w.Sign(w.Nodes[n.ID].Identity, hash)})
	}
	w.Append(custody.CharterEntry, record)
	return w
}

func (w *World) draft(setup Setup) *custody.Charter {
	c := &custody.Charter{
		Institutions: []custody.Institution{{ID: "bank", Country: "CH"}},
		Persons:      []custody.Person{}, Groups: []custody.Group{}, Credentials: []custody.Credential{},
		Nodes: []custody.SignerNode{}, Attestors: []custody.Attestor{}, Issuers: []custody.Issuer{},
		RelyingParty: custody.RelyingParty{ID: "bank.example", Origins: []custody.Origin{"https://bank.example"}},
		IntentLife:   7 * custody.Day, Policy: setup.Policy, Witnesses: setup.Quorum,
	}
	add := func(name string) {
		if w.People[name] != nil {
			return
		}
		p := w.NewPerson(name, contains(setup.P256, name))
		person := custody.Person{ID: p.ID, Institution: "bank", Country: "CH", Kind: custody.Human}
		if country, ok := setup.Countries[name]; ok {
			person.Country = country
		}
		if contains(setup.Services, name) {
			person.Kind = custody.Service
		}
		c.Persons = append(c.Persons, person)
		c.Credentials = append(c.Credentials, p.Credential)
	}
	for _, name := range sortedKeys(setup.Groups) {
		group := custody.Group{ID: name, Members: []custody.ID[custody.Person]{}}
		for _, member := range setup.Groups[name] {
			add(member)
			group.Members = append(group.Members, w.People[member].ID)
		}
		c.Groups = append(c.Groups, group)
	}
	for _, name := range setup.Others {
		add(name)
	}
	places := []custody.Country{"CH", "SG", "HK", "AE", "GB", "DE", "US"}
	if setup.Nodes == 0 {
		setup.Nodes = 3
	}
	for i := range setup.Nodes {
		n := w.NewNode(custody.Name("node-"+string(rune('a'+i))), places[i%len(places)])
		c.Nodes = append(c.Nodes, n.SignerNode)
	}
	if c.Witnesses.Quorum == 0 {
		c.Witnesses.Quorum = setup.Nodes/2 + 1
	}
	for _, name := range []custody.Name{"prices-a", "prices-b", "screening"} {
		key := ed25519.NewKeyFromSeed(Seed(string(name))[:32])
		w.Attestor[name] = key
		states := []custody.AttestationKind{custody.PriceAttestation}
		if name == "screening" {
			states = []custody.AttestationKind{custody.ScreeningAttestation, custody.TravelRuleAttestation}
		}
		c.Attestors = append(c.Attestors, custody.Attestor{ID: name, Key: custody.Blob(key.Public().(ed25519.PublicKey)), States: states})
	}
	c.Recovery = custody.Recovery{Keys: []custody.RecoveryKey{}, Threshold: 2, Delay: 72 * custody.Hour}
	for _, name := range []string{"recovery 1", "recovery 2", "recovery 3"} {
		p := w.NewPerson(name, false)
		w.Recovery = append(w.Recovery, p)
		c.Recovery.Keys = append(c.Recovery.Keys, custody.RecoveryKey{ID: p.ID, Key: custody.Blob(p.Key.Public().(ed25519.PublicKey))})
	}
	c.Control = custody.Control{LogKey: w.Log.Public().Bytes(), CoordinatorKey: HybridKey(w.tb, "coordinator").Public().Bytes()}
	if setup.Edit != nil {
		setup.Edit(c)
	}
	return c
}

// NewPerson makes a person who is on no record yet.
func (w *World) NewPerson(name string, p256 bool) *Person {
	p := &Person{ID: ID[custody.Person](w)}
	algorithm := custody.EdDSA
	p.Key = ed25519.NewKeyFromSeed(Seed(name)[:32])
	if p256 {
		algorithm = custody.ES256
		d := new(big.Int).SetBytes(Seed(name)[:31])
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d.FillBytes(make([]byte, 32)))
		if err != nil {
			w.tb.Fatal(err)
		}
		p.Key = key
	}
	pkix, err := x509.MarshalPKIXPublicKey(p.Key.Public())
	if err != nil {
		w.tb.Fatal(err)
	}
	p.Credential = custody.Credential{ID: ID[custody.Credential](w), Person: p.ID, Kind: custody.Device, Algorithm: algorithm, PublicKey: pkix}
	w.People[name] = p
	return p
}

// NewNode makes a node that is on no record yet.
func (w *World) NewNode(id custody.Name, jurisdiction custody.Country) *Node {
	n := &Node{Identity: HybridKey(w.tb, "identity "+string(id)), Witness: HybridKey(w.tb, "witness "+string(id))}
	n.SignerNode = custody.SignerNode{
		ID: id, Institution: "bank", Jurisdiction: jurisdiction,
		IdentityKey: n.Identity.Public().Bytes(), WitnessKey: n.Witness.Public().Bytes(), Sealing: custody.SealedByFile,
	}
	w.Nodes[id] = n
	return n
}

// Sign signs a hash with a hybrid key.
func (w *World) Sign(k hybrid.PrivateKey, hash custody.Hash) custody.Blob {
	sig, err := k.Sign(hash[:])
	if err != nil {
		w.tb.Fatal(err)
	}
	return sig
}

// Evidence is a person's device signature over a hash.
func (w *World) Evidence(name string, hash custody.Hash) custody.Evidence {
	p := w.People[name]
	var options crypto.SignerOpts = crypto.Hash(0)
	if _, ok := p.Key.(*ecdsa.PrivateKey); ok {
		options = crypto.SHA256
	}
	sig, err := p.Key.Sign(rand.Reader, hash[:], options)
	if err != nil {
		w.tb.Fatal(err)
	}
	return custody.Evidence{Kind: custody.EvidenceKind(custody.Device), Credential: p.Credential.ID, Signature: sig}
}

// Append writes an entry at the world's time and applies it.
func (w *World) Append(t custody.EntryType, body custody.EntryBody) state.Result {
	w.tb.Helper()
	e, err := custody.NewEntry(custody.Entry{Index: w.Tree.Size(), Time: w.Now, Type: t, Body: body})
	if err != nil {
		w.tb.Fatalf("entry %s: %v", t, err)
	}
	return w.AppendRaw(e.Raw)
}

// AppendRaw applies bytes as the next entry.
func (w *World) AppendRaw(raw []byte) state.Result {
	w.tb.Helper()
	r, err := w.State.Apply(raw)
	if err != nil {
		w.tb.Fatal(err)
	}
	if _, err := w.Tree.Append(raw); err != nil {
		w.tb.Fatal(err)
	}
	w.Entries = append(w.Entries, raw)
	w.Results = append(w.Results, r)
	return r
}

// Head returns the journal's head, signed by the log and cosigned by the nodes
// named, or by all.
func (w *World) Head(nodes ...custody.Name) []byte {
	w.tb.Helper()
	if len(nodes) == 0 {
		nodes = sortedKeys(w.Nodes)
	}
	origin := journal.NewOrigin(w.State.CharterHash())
	c, err := w.Tree.Checkpoint(origin, w.Tree.Size())
	if err != nil {
		w.tb.Fatal(err)
	}
	note, err := journal.SignCheckpoint(c, w.Log)
	if err != nil {
		w.tb.Fatal(err)
	}
	var cosigned []byte
	for _, id := range nodes {
		n := w.Nodes[id]
		if n.witness == nil {
			n.witness, err = journal.NewWitness(origin, w.Log.Public(), journal.WitnessID(id), n.Witness, &n.head)
			if err != nil {
				w.tb.Fatal(err)
			}
		}
		proof, err := journal.ProveConsistency(n.size, c.Size, &w.Tree)
		if err != nil {
			w.tb.Fatal(err)
		}
		lines, err := n.witness.Cosign(context.Background(), journal.Request{Note: note, OldSize: n.size, Proof: proof, Newest: w.Now.Time()}, w.Now.Time())
		if err != nil {
			w.tb.Fatal(err)
		}
		n.size = c.Size
		cosigned = append(cosigned, lines...)
	}
	return append(note, cosigned...)
}

// Wait lets time pass.
func (w *World) Wait(d custody.Seconds) { w.Now = w.Now.Add(d) }

// Encode is [custody.Encode] for what can be encoded.
func Encode(tb testing.TB, v any) []byte {
	tb.Helper()
	raw, err := custody.Encode(v)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}
