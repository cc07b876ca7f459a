package journal

import (
	"crypto/sha256"
	"errors"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a SHA-256 hash of the tree: of an entry, of an inner node, or a root. As text
// and in JSON it is the standard base64 of its 32 bytes.
type Hash = tlog.Hash

// MaxSize is the largest number of entries of a journal: integers up to 2^53-1 are exact
// in JSON, and a proof has at most 54 hashes.
const MaxSize = 1<<53 - 1

const levels = 53 // heights of complete subtrees in a tree of MaxSize

// LeafHash is the hash of an entry: SHA-256(0x00 || the exact bytes) (RFC 6962 §2.1).
func LeafHash(entry []byte) Hash { return tlog.RecordHash(entry) }

// EmptyRoot is the root of the tree without entries: SHA-256 of nothing (RFC 6962 §2.1).
func EmptyRoot() Hash { return sha256.Sum256(nil) }

// ErrSize is the error of a size or an index outside the journal or above MaxSize.
var ErrSize = errors.New("journal: no such size")
