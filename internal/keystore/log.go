package keystore

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"go.etcd.io/bbolt"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/hash"
)

// Log returns the store as the log of the node's sessions.
//
// Remember forgets a digest only when Now is past its time. A digest whose time is no
// later than that of one forgotten is refused with the code Unavailable, as it may have
// been forgotten too: this happens only where the clock has been set back.
func (s *Store) Log() tss.Log { return log{s} }

type log struct{ store *Store }

// NextCounter counts from 1.
func (l log) NextCounter() (counter uint64, err error) {
	err = l.store.write(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		if counter, err = number(meta.Get(counterKey)); err != nil {
			return err
		}
		if counter == math.MaxUint64 {
			return damaged("the counter is at its end")
		}
		counter++
		return meta.Put(counterKey, binary.BigEndian.AppendUint64(nil, counter))
	})
	if err != nil {
		return 0, err
	}
	return counter, nil
}

// pruned is how many digests that are over one Remember removes: more than it adds.
const pruned = 16

func (l log) Remember(d hash.Digest, until int64) (fresh bool, err error) {
	if until < 0 {
		return false, invalid("until", "before 1970")
	}
	key := binary.BigEndian.AppendUint64(nil, uint64(until))
	now := uint64(max(l.store.cfg.Now().Unix(), 0))
	err = l.store.write(func(tx *bbolt.Tx) error {
		meta, seen, over := tx.Bucket(metaBucket), tx.Bucket(seenBucket), tx.Bucket(overBucket)
		if seen.Get(d[:]) != nil {
			return nil
		}
		forgotten, err := number(meta.Get(forgottenKey))
		if err != nil {
			return err
		}
		if forgotten > 0 && uint64(until) <= forgotten {
			return &custody.Error{Code: custody.Unavailable, Message: fmt.Sprintf(
				"keystore: digests up to the second %d are forgotten, this one is for %d: the clock was set back", forgotten, until)}
		}
		for range pruned {
			k, _ := over.Cursor().First()
			if len(k) != len(key)+hash.Size || binary.BigEndian.Uint64(k) >= now {
				break
			}
			k = bytes.Clone(k)
			if err := over.Delete(k); err != nil {
				return err
			}
			if err := seen.Delete(k[len(key):]); err != nil {
				return err
			}
			if err := meta.Put(forgottenKey, k[:len(key)]); err != nil {
				return err
			}
		}
		fresh = true
		if err := seen.Put(d[:], key); err != nil {
			return err
		}
		return over.Put(append(key, d[:]...), nil)
	})
	return fresh && err == nil, err
}

// number reads eight bytes, or zero from none.
func number(b []byte) (uint64, error) {
	switch len(b) {
	case 0:
		return 0, nil
	case 8:
		return binary.BigEndian.Uint64(b), nil
	}
	return 0, damaged("a number is damaged")
}

// Heads returns the store as the memory of the node's witness.
func (s *Store) Heads() journal.HeadStore { return heads{s} }

type heads struct{ store *Store }

func (h heads) Load(context.Context) (note []byte, err error) {
	err = h.store.read(func(tx *bbolt.Tx) error {
		note = bytes.Clone(tx.Bucket(headBucket).Get(witnessHead))
		return nil
	})
	return note, err
}

func (h heads) Save(_ context.Context, note []byte) error {
	if len(note) == 0 || len(note) > journal.MaxNote {
		return invalid("note", fmt.Sprintf("%d bytes, 1 to %d are a note", len(note), journal.MaxNote))
	}
	return h.store.write(func(tx *bbolt.Tx) error { return tx.Bucket(headBucket).Put(witnessHead, note) })
}

// SetQuorumHead keeps the newest head that the node has checked with the cosignatures
// of a quorum: the note, and the size that it is of. A note of the same size replaces
// the one that is there. The error is Conflict for a smaller size.
func (s *Store) SetQuorumHead(note []byte, size int64) error {
	if len(note) == 0 || len(note) > journal.MaxNote {
		return invalid("note", fmt.Sprintf("%d bytes, 1 to %d are a note", len(note), journal.MaxNote))
	}
	if size < 1 {
		return invalid("size", "a head that a quorum has cosigned has an entry")
	}
	return s.write(func(tx *bbolt.Tx) error {
		there, _, err := splitHead(tx.Bucket(headBucket).Get(quorumHead))
		if err != nil {
			return err
		}
		if size < there {
			return conflict("the quorum's head is of size %d, it doesn't go back to %d", there, size)
		}
		return tx.Bucket(headBucket).Put(quorumHead, append(binary.BigEndian.AppendUint64(nil, uint64(size)), note...))
	})
}

// QuorumHead returns the note of the last SetQuorumHead, nil if there was none.
func (s *Store) QuorumHead() (note []byte, err error) {
	err = s.read(func(tx *bbolt.Tx) error {
		_, there, err := splitHead(tx.Bucket(headBucket).Get(quorumHead))
		note = bytes.Clone(there)
		return err
	})
	return note, err
}

func splitHead(b []byte) (size int64, note []byte, err error) {
	if b == nil {
		return 0, nil, nil
	}
	if len(b) <= 8 {
		return 0, nil, damaged("the quorum's head is damaged")
	}
	return int64(binary.BigEndian.Uint64(b)), b[8:], nil
}
