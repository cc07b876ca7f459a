package keystore

import (
	"bytes"
	"fmt"
	"io"

	"go.etcd.io/bbolt"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/tss"
)

// SaveShare keeps a candidate of a ceremony: the share of a key that the members may
// still agree on. A ceremony may have several, of one attempt each, and none replaces
// another; the same share may be saved again. What makes a candidate live isn't the
// store's business.
//
// The error is Invalid for a share that couldn't be read again, as one that was cleared;
// Conflict where another share of the public key is there, or where the ceremony was
// settled on another key.
func (s *Store) SaveShare(intent custody.ID[custody.Intent], share *tss.KeyShare) error {
	public := share.Public.Bytes()
	plain := share.Bytes()
	defer clear(plain)
	again, err := tss.DecodeKeyShare(plain)
	if err != nil {
		return &custody.Error{Code: custody.Invalid, Field: "share", Err: err}
	}
	again.Clear()
	return s.write(func(tx *bbolt.Tx) error {
		if key := tx.Bucket(settledBucket).Get(intent[:]); key != nil && !bytes.Equal(key, public) {
			return conflict("the ceremony of %s was settled on the key %x", intent, key)
		}
		shares := tx.Bucket(shareBucket)
		if record := shares.Get(public); record != nil {
			there, err := s.unseal(public, record)
			if err != nil {
				return err
			}
			defer clear(there)
			if intentOf(record) != intent || !bytes.Equal(there, plain) {
				return conflict("another share of the key %x is there", public)
			}
			return nil
		}
		record, err := s.seal(intent, public, plain)
		if err != nil {
			return err
		}
		return shares.Put(public, record)
	})
}

// Share returns the share of a public key, given in the encoding of its group
// (group.Point.Bytes), whether its ceremony is settled or not. It is the caller's own,
// to be cleared. The error is NotFound where there is none, and Internal where it is
// damaged or was moved.
func (s *Store) Share(publicKey []byte) (*tss.KeyShare, error) {
	var plain []byte
	err := s.read(func(tx *bbolt.Tx) (err error) {
		record := tx.Bucket(shareBucket).Get(publicKey)
		if record == nil {
			return notFound(publicKey)
		}
		plain, err = s.unseal(publicKey, record)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	share, err := tss.DecodeKeyShare(plain)
	if err != nil {
		return nil, fmt.Errorf("keystore: the share of the key %x: %w", publicKey, err)
	}
	return share, nil
}

// Settle records that a ceremony ended with a key, and erases its other candidates. It
// may be called again. The error is NotFound, and nothing is erased, where there is no
// share of the key; Conflict where it is of another ceremony.
//
// Erasing overwrites all of the file that isn't in use any more, and a crash on the way
// is made good by the next Open. Afterwards the file has nothing of the candidates, not
// even for somebody who knows the passphrase. That holds for this file alone: backups,
// snapshots, a file system that writes elsewhere and a disk that moves blocks may keep
// older bytes, which are still sealed under the data key.
func (s *Store) Settle(intent custody.ID[custody.Intent], publicKey []byte) error {
	erasing, err := s.settle(intent, publicKey)
	if err != nil || !erasing {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aead == nil {
		return errClosed
	}
	return s.erase()
}

// settle removes the other candidates and reports whether there were any, so that free
// pages have to be overwritten.
func (s *Store) settle(intent custody.ID[custody.Intent], publicKey []byte) (erasing bool, err error) {
	err = s.write(func(tx *bbolt.Tx) error {
		shares := tx.Bucket(shareBucket)
		switch record := shares.Get(publicKey); {
		case record == nil:
			return notFound(publicKey)
		case intentOf(record) != intent:
			return conflict("the key %x is of another ceremony than %s", publicKey, intent)
		}
		var others [][]byte
		err := shares.ForEach(func(key, record []byte) error {
			if intentOf(record) == intent && !bytes.Equal(key, publicKey) {
				others = append(others, bytes.Clone(key))
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, key := range others {
			if err := shares.Delete(key); err != nil {
				return err
			}
		}
		meta := tx.Bucket(metaBucket)
		// An earlier call may have come no further than this.
		if erasing = len(others) > 0 || meta.Get(erasingKey) != nil; erasing {
			if err := meta.Put(erasingKey, []byte{1}); err != nil {
				return err
			}
		}
		return tx.Bucket(settledBucket).Put(intent[:], publicKey)
	})
	return erasing, err
}

// erase overwrites every page of the file that holds nothing. The caller holds mu for
// writing, or is Open: a reader could still look at such a page.
func (s *Store) erase() error {
	err := s.guard(func() error {
		tx, err := s.db.Begin(true) // so that nobody takes a page
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // it changed nothing
		info, err := s.file.Stat()
		if err != nil {
			return err
		}
		size := s.db.Info().PageSize
		zero := make([]byte, size)
		for id := 2; int64(id+1)*int64(size) <= info.Size(); id++ { // behind the two meta pages
			// A page beyond the last in use is nil: a crash may have left something there.
			if page, err := tx.Page(id); err != nil {
				return err
			} else if page != nil && page.Type != "free" {
				id += page.OverflowCount
				continue
			}
			if _, err := s.file.WriteAt(zero, int64(id)*int64(size)); err != nil {
				return err
			}
		}
		return s.file.Sync()
	})
	if err != nil {
		return fmt.Errorf("keystore: erase: %w", err)
	}
	return s.update(func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Delete(erasingKey) })
}

// A record is the intent, the nonce and the sealed encoding of a share.
const recordHeader = len(custody.ID[custody.Intent]{}) + chacha20poly1305.NonceSizeX

func intentOf(record []byte) (intent custody.ID[custody.Intent]) {
	copy(intent[:], record)
	return intent
}

// shareTag begins the additional data of every sealed share.
const shareTag = "coffer/keystore/share/v1\x00"

// bound is what a sealed share belongs to: the charter, its bucket, its ceremony and
// its key. All but the last have one length.
func (s *Store) bound(intent custody.ID[custody.Intent], publicKey []byte) []byte {
	b := append([]byte(shareTag), s.cfg.Charter[:]...)
	b = append(b, shareBucket...)
	b = append(b, intent[:]...)
	return append(b, publicKey...)
}

func (s *Store) seal(intent custody.ID[custody.Intent], publicKey, plain []byte) ([]byte, error) {
	record := append(make([]byte, 0, recordHeader+len(plain)+chacha20poly1305.Overhead), intent[:]...)
	record = record[:recordHeader]
	nonce := record[len(intent):]
	if _, err := io.ReadFull(s.cfg.Random, nonce); err != nil {
		return nil, fmt.Errorf("keystore: make a nonce: %w", err)
	}
	return s.aead.Seal(record, nonce, plain, s.bound(intent, publicKey)), nil
}

func (s *Store) unseal(publicKey, record []byte) ([]byte, error) {
	if len(record) >= recordHeader {
		intent := intentOf(record)
		plain, err := s.aead.Open(nil, record[len(intent):recordHeader], record[recordHeader:], s.bound(intent, publicKey))
		if err == nil {
			return plain, nil
		}
	}
	return nil, damaged(fmt.Sprintf("the share of the key %x is damaged, or not of this store", publicKey))
}

func notFound(publicKey []byte) error {
	return &custody.Error{Code: custody.NotFound, Message: fmt.Sprintf("keystore: no share of the key %x", publicKey)}
}
