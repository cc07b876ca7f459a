// Package keystore is a signer node's own durable memory, in one file of one process:
// its sealed key shares, what it has signed for once and never again, and the last
// heads that it relied on. Start from [Open].
//
// Every method that changes something returns when the change is on the disk, whole or
// not at all. After a write that failed the store takes no more of them until it is
// opened again: nobody can tell what the disk has.
//
// Shares are sealed with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) under a random
// data key, which lies in the file sealed under the passphrase. What isn't secret, the
// counter, digests and heads, lies there open.
//
// The store can't tell that its file was replaced by an older copy. Whoever restores a
// node from a backup or a snapshot has to treat it as a node that has forgotten: its
// counter repeats, and its witness no longer knows what it cosigned. Nor does it guard
// against who can write to the file while knowing neither passphrase nor data key,
// except that such a person can't make or move a share.
package keystore

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
)

// FileName is the name of the store's file in its directory.
const FileName = "keystore.db"

// Config is whose store it is, and what it needs.
type Config struct {
	Charter custody.Hash // of the deployment
	Node    custody.Name // whose store it is

	// WorkFactor is that of the passphrase where the store is made, as keyfile.Seal has
	// it; 0 means keyfile.DefaultWorkFactor.
	WorkFactor int

	// Now is the clock by which remembered digests are over.
	Now func() time.Time

	// Random is the source of the data key and of nonces; nil means crypto/rand.
	Random io.Reader
}

// Store is an open store. It is safe for concurrent use.
type Store struct {
	cfg     Config
	db      *bbolt.DB
	file    *os.File    // that db has open and locked
	failed  atomic.Bool // a write failed: none is tried any more
	damaged atomic.Bool // bbolt broke off: nothing is tried any more

	mu   sync.RWMutex // held for writing while nothing may read pages or seal
	aead cipher.AEAD  // nil once closed
}

// The buckets of the file, and the keys of metaBucket.
var (
	metaBucket    = []byte("meta")
	shareBucket   = []byte("shares")  // public key → intent, nonce and sealed share
	settledBucket = []byte("settled") // intent → public key
	seenBucket    = []byte("seen")    // digest → until
	overBucket    = []byte("over")    // until and digest → nothing: seenBucket by time
	headBucket    = []byte("heads")   // of the names below
	buckets       = [][]byte{metaBucket, shareBucket, settledBucket, seenBucket, overBucket, headBucket}

	sealedKey    = []byte("key")       // in meta: the data key, sealed
	counterKey   = []byte("counter")   // in meta: the last number given out
	forgottenKey = []byte("forgotten") // in meta: the latest until of a digest that was pruned
	erasingKey   = []byte("erasing")   // in meta while free pages wait to be overwritten
	witnessHead  = []byte("witness")   // in heads: the note
	quorumHead   = []byte("quorum")    // in heads: the size, and the note
)

// Open opens the store in a directory, which is made if it isn't there (0700), or makes
// it: keystore.db (0600), with a new data key sealed under the passphrase, which then
// has at least keyfile.MinPassphrase characters. It takes what scrypt takes.
//
// A store belongs to the charter and the node that it was made for. The error is a
// [custody.Error]: Invalid for a wrong passphrase or Config, Conflict for the store of
// another charter or node, Unavailable at once where it is open already, Internal for a
// damaged file. A store that isn't opened isn't changed.
func Open(dir, passphrase string, cfg Config) (*Store, error) {
	switch {
	case cfg.Charter == custody.Hash{}:
		return nil, invalid("charter", "none is given")
	case cfg.Node == "":
		return nil, invalid("node", "none is given")
	case cfg.Now == nil:
		return nil, invalid("now", "none is given")
	}
	if cfg.WorkFactor == 0 {
		cfg.WorkFactor = keyfile.DefaultWorkFactor
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	s := &Store{cfg: cfg}
	if err := s.openFile(filepath.Join(dir, FileName)); err != nil {
		return nil, err
	}
	if err := s.unlock(passphrase); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openFile opens and locks the file.
func (s *Store) openFile(name string) error {
	err := s.guard(func() (err error) {
		s.db, err = bbolt.Open(name, 0o600, &bbolt.Options{
			Timeout:      time.Nanosecond, // one attempt to lock it
			FreelistType: bbolt.FreelistMapType,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				f, err := os.OpenFile(name, flag, mode) //nolint:gosec // the operator names the directory
				s.file = f
				return f, err
			},
		})
		return err
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bbolterrors.ErrTimeout):
		return &custody.Error{Code: custody.Unavailable, Message: fmt.Sprintf("keystore: %s is open already, here or in another process", name)}
	case s.damaged.Load() && s.file != nil: // the memory map may keep it locked until the process ends
		return errors.Join(err, s.file.Close())
	}
	return fmt.Errorf("keystore: open %s: %w", name, err)
}

// sealedHeader begins what is sealed under the passphrase; the charter hash, the data
// key and the node's name follow.
const sealedHeader = "coffer keystore 1\n"

// unlock opens the data key, or makes it in a store that has none.
func (s *Store) unlock(passphrase string) error {
	var sealed []byte
	erasing := false
	err := s.view(func(tx *bbolt.Tx) error {
		if meta := tx.Bucket(metaBucket); meta != nil {
			sealed = append(sealed, meta.Get(sealedKey)...)
			erasing = meta.Get(erasingKey) != nil
		}
		return nil
	})
	if err != nil {
		return err
	}
	if sealed == nil {
		return s.create(passphrase)
	}
	plain, err := keyfile.Unseal(sealed, passphrase)
	if err != nil {
		return &custody.Error{Code: custody.Invalid, Message: "keystore: " + s.db.Path(), Err: err}
	}
	defer clear(plain)
	const charterAt = len(sealedHeader)
	const keyAt = charterAt + len(custody.Hash{})
	const nodeAt = keyAt + chacha20poly1305.KeySize
	if len(plain) < nodeAt || string(plain[:charterAt]) != sealedHeader {
		return damaged("the data key is of another form")
	}
	if charter := custody.Hash(plain[charterAt:keyAt]); charter != s.cfg.Charter {
		return conflict("the store belongs to the charter %s", charter)
	}
	if node := plain[nodeAt:]; string(node) != string(s.cfg.Node) {
		return conflict("the store belongs to the node %s", node)
	}
	if s.aead, err = chacha20poly1305.NewX(plain[keyAt:nodeAt]); err != nil {
		return err
	}
	if erasing {
		return s.erase()
	}
	return nil
}

// create makes the data key and all buckets, at once.
func (s *Store) create(passphrase string) error {
	if err := keyfile.CheckPassphrase(passphrase); err != nil {
		return err
	}
	plain := append([]byte(sealedHeader), s.cfg.Charter[:]...)
	key := make([]byte, chacha20poly1305.KeySize)
	defer clear(key)
	if _, err := io.ReadFull(s.cfg.Random, key); err != nil {
		return fmt.Errorf("keystore: make a data key: %w", err)
	}
	plain = append(append(plain, key...), s.cfg.Node...)
	defer clear(plain)
	sealed, err := keyfile.Seal(plain, passphrase, s.cfg.WorkFactor)
	if err != nil {
		return err
	}
	if s.aead, err = chacha20poly1305.NewX(key); err != nil {
		return err
	}
	err = s.update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return tx.Bucket(metaBucket).Put(sealedKey, sealed)
	})
	if err != nil {
		return err
	}
	// The file and its directory are new, and so may their entries be lost in a crash.
	return errors.Join(keyfile.SyncDirectory(s.db.Path()), keyfile.SyncDirectory(filepath.Dir(s.db.Path())))
}

// Close forgets the data key and gives the file back. Methods fail afterwards; Close
// may be called again. Go has no means to overwrite the copy of the key in a cipher: it
// is left to the garbage collector.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aead = nil
	if s.damaged.Load() {
		// A transaction may have been left in the middle, for which bbolt would wait. Its
		// memory map keeps the file locked until the process ends.
		if err := s.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			return fmt.Errorf("keystore: %w", err)
		}
		return nil
	}
	return s.db.Close()
}

// Format prints whose store it is, under every verb.
func (s *Store) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "keystore of "+string(s.cfg.Node))
}

// view runs f in a transaction that reads. The caller holds mu, or is Open.
func (s *Store) view(f func(tx *bbolt.Tx) error) error {
	return s.guard(func() error { return s.db.View(f) })
}

// update runs f in a transaction that writes, and returns nil when it is on the disk.
// The caller holds mu, or is Open.
func (s *Store) update(f func(tx *bbolt.Tx) error) error {
	return s.guard(func() error {
		if s.failed.Load() {
			return damaged("a write failed before: open the store again")
		}
		committing := false
		err := s.db.Update(func(tx *bbolt.Tx) error {
			if err := f(tx); err != nil {
				return err
			}
			committing = true
			return nil
		})
		if err != nil && committing {
			s.failed.Store(true)
			return fmt.Errorf("keystore: a write failed, nothing more is written until the store is opened again: %w", err)
		}
		return err
	})
}

// guard makes errors of what bbolt finds by panic or by a fault of the memory map: a
// file that is damaged, or was cut.
func (s *Store) guard(f func() error) (err error) {
	if s.damaged.Load() {
		return damaged("the file is damaged")
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			s.damaged.Store(true)
			err = damaged(fmt.Sprintf("the file is damaged: %v", r))
		}
	}()
	return f()
}

// read and write are view and update for an open store.
func (s *Store) read(f func(tx *bbolt.Tx) error) error  { return s.open(s.view, f) }
func (s *Store) write(f func(tx *bbolt.Tx) error) error { return s.open(s.update, f) }

func (s *Store) open(run func(func(*bbolt.Tx) error) error, f func(tx *bbolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.aead == nil {
		return errClosed
	}
	return run(f)
}

var errClosed = errors.New("keystore: closed")

func invalid(field, message string) error {
	return &custody.Error{Code: custody.Invalid, Field: field, Message: message}
}

func conflict(format string, args ...any) error {
	return &custody.Error{Code: custody.Conflict, Message: "keystore: " + fmt.Sprintf(format, args...)}
}

func damaged(message string) error {
	return &custody.Error{Code: custody.Internal, Message: "keystore: " + message}
}
