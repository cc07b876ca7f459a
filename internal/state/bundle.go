package state

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/policy"
)

// Bundle is the evidence of one intent that moves value: all that it takes to
// check offline, from the charter's hash alone, that its transaction was rightly
// signed. In a file it is canonical JSON. It shows all addresses of the key, so it
// is confidential to the vault.
type Bundle struct {
	V           int                                    `json:"v"`
	Intent      custody.ID[custody.Intent]             `json:"intent"`
	Snapshot    rawJSON                                `json:"snapshot,omitzero"` // where the chain begins, if not at the charter
	Chain       []rawJSON                              `json:"chain"`             // the governance chain's entries
	Entries     []rawJSON                              `json:"entries"`           // the intent's own, and those of its repairs
	Proofs      []Inclusion                            `json:"proofs"`            // of the chain's last entry, then of Entries
	Heads       []HeadProof                            `json:"heads,omitzero"`    // of the heads in COSIGNED entries
	Head        custody.Note                           `json:"head"`              // that all of it is under
	Facts       map[custody.ID[custody.Intent]]rawJSON `json:"facts"`             // of the Decisions, as AUTHORIZED names them
	Lists       []custody.Blob                         `json:"lists,omitzero"`    // that LIST_CHANGE pinned
	Transaction custody.Blob                           `json:"transaction"`       // unsigned, with what it spends; Bitcoin: a PSBT
	ChainCode   custody.Hash                           `json:"chainCode"`         // of the wallet's key
}

// Inclusion proves that an entry stands at its index under the bundle's head.
type Inclusion struct {
	Index int64          `json:"index"`
	Proof []custody.Hash `json:"proof"`
}

// HeadProof proves that a head is a prefix of the bundle's.
type HeadProof struct {
	Size  int64          `json:"size"`
	Root  custody.Hash   `json:"root"`
	Proof []custody.Hash `json:"proof"`
}

// MaxBundle is the longest bundle, in bytes.
const MaxBundle = 64 << 20

// proven is what a bundle shows instead of the whole journal.
type proven struct {
	heads map[journal.Checkpoint]bool // known to be prefixes of the bundle's journal
	facts map[custody.ID[custody.Intent]]policy.Facts
}

func (p *proven) contains(head journal.Checkpoint) error {
	if !p.heads[head] {
		return errors.New("the bundle has no proof for the head")
	}
	return nil
}

// distant reports whether a fact comes from entries of other intents, which a
// bundle doesn't hold.
func distant(f policy.Fact) bool {
	_, _, _, total := f.Total()
	return total || f == "destination.firstUse"
}

// restore takes the distant facts from the bundle. That they were the true ones is
// shown by their hash in AUTHORIZED, which every node compared with its own.
func (p *proven) restore(id custody.ID[custody.Intent], facts policy.Facts) {
	given := p.facts[id]
	for name := range facts {
		if distant(name) {
			delete(facts, name)
		}
	}
	for name, v := range given {
		if distant(name) {
			facts[name] = v
		}
	}
}

// Journal is where a bundle is collected from: the entries and what became of
// them, and the tree's hashes.
type Journal interface {
	tlog.HashReader
	Entry(index int64) (raw []byte, void Code, err error)
}

// Collect gathers the entries, proofs and facts of an intent under a cosigned
// head; lists are the bytes of all lists that LIST_CHANGE pinned. What else lies
// outside the journal (the transaction, the chain code) the caller adds.
func Collect(j Journal, head []byte, id custody.ID[custody.Intent], charter custody.Hash, lists ...[]byte) (*Bundle, error) {
	checkpoint, err := headOf(custody.Note(head))
	if err != nil {
		return nil, err
	}
	b := &Bundle{
		V: 1, Intent: id, Chain: []rawJSON{}, Entries: []rawJSON{}, Proofs: []Inclusion{}, Head: custody.Note(head),
		Facts: make(map[custody.ID[custody.Intent]]rawJSON),
	}
	own := map[custody.ID[custody.Intent]]bool{id: true}
	var indexes []int64
	last := int64(0)
	s := New(charter)
	for _, list := range lists {
		if err := s.Offer(list); err != nil {
			return nil, err
		}
		b.Lists = append(b.Lists, list)
	}
	for index := range checkpoint.Size {
		raw, void, err := j.Entry(index)
		if err != nil {
			return nil, err
		}
		if void != "" {
			if _, err := s.Replay(raw, void); err != nil {
				return nil, err
			}
			continue
		}
		before := s.Chain
		if _, err := s.Replay(raw, ""); err != nil {
			return nil, err
		}
		e, err := custody.ParseEntry(raw)
		if err != nil {
			return nil, err
		}
		if s.Chain != before {
			b.Chain, last = append(b.Chain, raw), index
			if c, ok := e.Body.(*custody.Cosigned); ok {
				if err := b.addHead(j, c, checkpoint.Size); err != nil {
					return nil, err
				}
			}
			continue
		}
		of, repairs := subject(e)
		if repairs != (custody.ID[custody.Intent]{}) && own[repairs] {
			own[of] = true
		}
		if !own[of] {
			continue
		}
		b.Entries, indexes = append(b.Entries, raw), append(indexes, index)
		switch body := e.Body.(type) {
		case *custody.Authorized:
			if b.Facts[of], err = custody.Encode(s.Intents[of].Authorized.Facts); err != nil {
				return nil, err
			}
		case *custody.Cosigned:
			if err := b.addHead(j, body, checkpoint.Size); err != nil {
				return nil, err
			}
		}
	}
	for _, index := range append([]int64{last}, indexes...) {
		p, err := journal.ProveInclusion(index, checkpoint.Size, j)
		if err != nil {
			return nil, err
		}
		b.Proofs = append(b.Proofs, Inclusion{index, hashes(p)})
	}
	return b, nil
}

func (b *Bundle) addHead(j Journal, c *custody.Cosigned, size int64) error {
	head, err := headOf(c.Head)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(b.Heads, func(h HeadProof) bool { return h.Size == head.Size }) {
		return nil
	}
	p, err := journal.ProveConsistency(head.Size, size, j)
	if err != nil {
		return err
	}
	b.Heads = append(b.Heads, HeadProof{head.Size, custody.Hash(head.Root), hashes(p)})
	return nil
}

// Claimed reads the checkpoint of a note. Nothing of it is verified.
func Claimed(note []byte) (journal.Checkpoint, error) { return headOf(custody.Note(note)) }

func headOf(note custody.Note) (journal.Checkpoint, error) {
	text, _, _ := strings.Cut(string(note), "\n\n")
	return journal.ParseCheckpoint(text + "\n")
}

func hashes(p journal.Proof) []custody.Hash {
	out := make([]custody.Hash, len(p))
	for i, h := range p {
		out[i] = custody.Hash(h)
	}
	return out
}

func proofOf(h []custody.Hash) journal.Proof {
	out := make(journal.Proof, len(h))
	for i := range h {
		out[i] = journal.Hash(h[i])
	}
	return out
}

// subject is the intent that an entry is of, and for an INTENT entry that repairs
// another one, which.
func subject(e *custody.Entry) (of, repairs custody.ID[custody.Intent]) {
	switch body := e.Body.(type) {
	case *custody.IntentRecord:
		if r, ok := body.Intent.Body.(*custody.Repair); ok {
			repairs = r.Intent
		}
		return body.Intent.ID, repairs
	case *custody.EvidenceRecord:
		return body.Intent, repairs
	case *custody.Authorized:
		return body.Intent, repairs
	case *custody.Prepared:
		return body.Intent, repairs
	case *custody.SignedRecord:
		return body.Intent, repairs
	case *custody.Cosigned:
		return body.Intent, repairs
	case *custody.Observed:
		return body.Intent, repairs
	}
	return of, repairs
}
