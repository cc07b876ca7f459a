package state

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
)

// quorum is who cosigns heads larger than From entries, until the next quorum.
type quorum struct {
	From      int64                 `json:"from"`
	Witnesses custody.WitnessQuorum `json:"witnesses"`
	Nodes     []custody.SignerNode  `json:"nodes"`
	Control   custody.Control       `json:"control"`
}

// compile makes the form that verifies heads.
func (q *quorum) compile(charter custody.Hash) (*journal.Quorum, error) {
	log, err := hybrid.ParsePublicKey(q.Control.LogKey)
	if err != nil {
		return nil, fmt.Errorf("control.logKey: %w", err)
	}
	w := journal.Witnesses{
		Keys:   make(map[journal.WitnessID]hybrid.PublicKey),
		Quorum: q.Witnesses.Quorum, Liars: q.Witnesses.Liars,
	}
	add := func(id custody.Name, key custody.HybridKey) error {
		if _, ok := w.Keys[journal.WitnessID(id)]; ok {
			return &custody.Error{Code: custody.Invalid, Field: "witnesses", Message: "two witnesses of one id"}
		}
		w.Keys[journal.WitnessID(id)], err = hybrid.ParsePublicKey(key)
		return err
	}
	for i, n := range q.Nodes {
		if err := add(n.ID, n.WitnessKey); err != nil {
			return nil, fmt.Errorf("nodes.%d.witnessKey: %w", i, err)
		}
	}
	for i, o := range q.Witnesses.Others {
		if err := add(o.ID, o.Key); err != nil {
			return nil, fmt.Errorf("witnesses.others.%d.key: %w", i, err)
		}
	}
	return journal.NewQuorum(journal.NewOrigin(charter), log, w)
}

// distinctKeys reports whether no key of nodes, witnesses and control plane serves
// twice.
func (q *quorum) distinctKeys() bool {
	keys := []string{string(q.Control.LogKey), string(q.Control.CoordinatorKey)}
	for _, n := range q.Nodes {
		keys = append(keys, string(n.IdentityKey), string(n.WitnessKey))
	}
	for _, o := range q.Witnesses.Others {
		keys = append(keys, string(o.Key))
	}
	slices.Sort(keys)
	return len(slices.Compact(slices.Clone(keys))) == len(keys)
}

// current is the quorum for heads beyond the newest change.
func (s *State) current() *quorum { return &s.Quorums[len(s.Quorums)-1] }

// quorumFor is the quorum in force for heads of the given size: those up to the
// AUTHORIZED entry of a change need the old one.
func (s *State) quorumFor(size int64) *quorum {
	for i := len(s.Quorums) - 1; i > 0; i-- {
		if s.Quorums[i].From < size {
			return &s.Quorums[i]
		}
	}
	return &s.Quorums[0]
}

// Quorum reads the notes of heads of the given size, by the witnesses in force for
// it.
func (s *State) Quorum(size int64) (*journal.Quorum, error) {
	if s.charter == nil {
		return nil, ErrCharter
	}
	return s.quorumFor(size).compile(s.charterHash)
}

// CheckHead verifies that a quorum cosigned a head of this journal, by the
// witnesses in force for its size. It doesn't compare the head with the entries.
func (s *State) CheckHead(note []byte) (journal.Head, error) {
	claimed, err := headOf(custody.Note(note))
	if err != nil {
		return journal.Head{}, err
	}
	q, err := s.Quorum(claimed.Size)
	if err != nil {
		return journal.Head{}, err
	}
	return q.Check(note)
}

// applyCosigned puts a witnessed time of an intent on record.
func (s *State) applyCosigned(c *custody.Cosigned, at position) (bool, error) {
	r, err := s.pending(c.Intent, at)
	if err != nil {
		return false, err
	}
	if err := s.follows(c.Prev, r.Intent.Type.Governs()); err != nil {
		return false, err
	}
	head, err := s.CheckHead([]byte(c.Head))
	if err != nil {
		return false, because(NoQuorum, err)
	}
	if err := s.contains(head.Checkpoint, c.Proof); err != nil {
		return false, because(NoQuorum, err)
	}
	if n := len(r.Witnessed); n > 0 && r.Witnessed[n-1].Size >= head.Size {
		return false, refuse(Duplicate, "a head of %d entries is on record", r.Witnessed[n-1].Size)
	}
	if len(r.Witnessed) == maxWitnessed {
		return false, refuse(OverLimit, "more than %d witnessed times", maxWitnessed)
	}
	r.Witnessed = append(r.Witnessed, witnessed{head.Size, custody.At(head.WitnessedTime)})
	return r.Intent.Type.Governs(), nil
}

// contains refuses a head that isn't a prefix of the journal before this entry.
func (s *State) contains(head journal.Checkpoint, proof []custody.Hash) error {
	if s.partial != nil {
		return s.partial.contains(head)
	}
	size := s.Edge.Size()
	if head.Size == 0 || head.Size > size {
		return errors.New("the head is not of entries before this one")
	}
	return journal.CheckConsistency(proofOf(proof), head.Size, head.Root, size, s.Edge.Root())
}
