package tss

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"

	"github.com/cofferhq/coffer/tss/hash"
)

// StatementKind is what a member states about an attempt to make an epoch.
type StatementKind uint8

// StatementYes is the vote: the member has verified everything and stored its
// share of the attempt durably.
const StatementYes StatementKind = 1

// StatementSize is the length of an encoded statement in bytes.
const StatementSize = 1 + 32 + 8 + 8 + 4 + 32 + 2 + ed25519.SignatureSize

// Statement is a member's detached signature about one attempt of one epoch. It
// verifies without any message around it (docs/spec/03-keygen.md §5).
type Statement struct {
	Kind      StatementKind
	KeyID     hash.Digest
	Epoch     uint64 // the epoch before
	Target    uint64 // the epoch that the attempt makes
	Attempt   uint32
	T         hash.Digest // fingerprint of the attempt's sharing
	Member    Member
	Signature [ed25519.SignatureSize]byte
}

func (st Statement) digest() hash.Digest {
	return hash.Sum("stmt/yes", st.KeyID[:], hash.U64(st.Epoch), hash.U64(st.Target),
		hash.U32(st.Attempt), st.T[:], hash.U16(uint16(st.Member)))
}

// Verify reports whether the statement is signed by key.
func (st Statement) Verify(key IdentityKey) bool {
	return st.Kind == StatementYes && key.verify(st.digest(), st.Signature[:])
}

// Bytes returns the encoding, StatementSize bytes.
func (st Statement) Bytes() []byte {
	b := make([]byte, 0, StatementSize)
	b = append(b, byte(st.Kind))
	b = append(b, st.KeyID[:]...)
	b = binary.BigEndian.AppendUint64(b, st.Epoch)
	b = binary.BigEndian.AppendUint64(b, st.Target)
	b = binary.BigEndian.AppendUint32(b, st.Attempt)
	b = append(b, st.T[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(st.Member))
	return append(b, st.Signature[:]...)
}

// DecodeStatement reads the encoding.
func DecodeStatement(b []byte) (Statement, error) {
	r := NewReader(b)
	st := Statement{
		Kind: StatementKind(r.U8()), KeyID: r.Digest(), Epoch: r.U64(), Target: r.U64(),
		Attempt: r.U32(), T: r.Digest(), Member: Member(r.U16()),
	}
	copy(st.Signature[:], r.Take(ed25519.SignatureSize))
	if err := r.Close(); err != nil {
		return Statement{}, fmt.Errorf("statement: %w", err)
	}
	return st, nil
}
