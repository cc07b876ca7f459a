package keystore

import (
	"bytes"

	"go.etcd.io/bbolt"

	"github.com/cofferhq/coffer/internal/custody"
)

// SettleAlone is the first half of Settle: a crash may come before the second.
func (s *Store) SettleAlone(intent custody.ID[custody.Intent], publicKey []byte) (bool, error) {
	return s.settle(intent, publicKey)
}

// Record returns what is stored of a share.
func (s *Store) Record(publicKey []byte) (record []byte, err error) {
	err = s.read(func(tx *bbolt.Tx) error {
		record = bytes.Clone(tx.Bucket(shareBucket).Get(publicKey))
		return nil
	})
	return record, err
}

// PutRecord stores anything as a share.
func (s *Store) PutRecord(publicKey, record []byte) error {
	return s.write(func(tx *bbolt.Tx) error { return tx.Bucket(shareBucket).Put(publicKey, record) })
}

// Digests returns how many digests are remembered.
func (s *Store) Digests() (seen, over int, err error) {
	err = s.read(func(tx *bbolt.Tx) error {
		seen, over = tx.Bucket(seenBucket).Stats().KeyN, tx.Bucket(overBucket).Stats().KeyN
		return nil
	})
	return seen, over, err
}
