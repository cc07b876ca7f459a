package state

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// snapshot is the form of a snapshot.
type snapshot struct {
	V           int          `json:"v"`
	CharterHash custody.Hash `json:"charterHash"`
	Charter     rawJSON      `json:"charter"`
	Data        data         `json:"state"`
}

const maxSnapshot = 4 << 30

// Snapshot returns the whole state as canonical JSON. The state that [Restore]
// makes of it goes on exactly as this one.
func (s *State) Snapshot() ([]byte, error) {
	if s.charter == nil {
		return nil, ErrCharter
	}
	for _, t := range s.Totals {
		t.advance(minuteOf(s.Time))
		t.drop()
	}
	return custody.Encode(snapshot{1, s.charterHash, s.charter.Raw, s.data})
}

// SnapshotHash is what a trust file pins of a snapshot: the SHA-256 of
// "coffer/snapshot/v1", a zero byte and its bytes.
func SnapshotHash(raw []byte) custody.Hash {
	return sha256.Sum256(append([]byte("coffer/snapshot/v1\x00"), raw...))
}

// Restore returns the state that a snapshot holds. It checks the form; that the
// state is true, the caller knows by the snapshot's hash.
func Restore(raw []byte) (*State, error) {
	in := snapshot{Data: emptyData()}
	if err := custody.Decode(raw, &in, maxSnapshot); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	charter, err := custody.ParseCharter(in.Charter)
	if err != nil {
		return nil, fmt.Errorf("snapshot: charter: %w", err)
	}
	if charter.Hash() != in.CharterHash || in.V != 1 {
		return nil, errors.New("snapshot: not of version 1, or of another charter")
	}
	if len(in.Data.Quorums) == 0 {
		return nil, errors.New("snapshot: no witnesses")
	}
	s := &State{charterHash: in.CharterHash, charter: charter, data: in.Data}
	if s.policy, err = policy.Parse(in.Data.Policy); err != nil {
		return nil, fmt.Errorf("snapshot: policy: %w", err)
	}
	for id, r := range s.Intents {
		if r.Intent, err = custody.ParseIntent(r.Bytes); err != nil {
			return nil, fmt.Errorf("snapshot: intent %s: %w", id, err)
		}
		if r.Intent.ID != id {
			return nil, fmt.Errorf("snapshot: intent %s is filed under another id", r.Intent.ID)
		}
	}
	for _, t := range s.Totals {
		t.recount()
	}
	return s, nil
}

// Offer gives the state the bytes of a list that a LIST_CHANGE may pin.
func (s *State) Offer(list []byte) error {
	parsed, err := custody.ParseList(list)
	if err != nil {
		return err
	}
	if s.offered == nil {
		s.offered = make(map[custody.Hash]*custody.List)
	}
	s.offered[sha256.Sum256(list)] = parsed
	return nil
}
