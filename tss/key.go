package tss

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/vss"
)

// Key is the public half of a threshold key at one epoch: nothing in it is
// secret, though the chain code lets its holder see all addresses of the key.
type Key struct {
	Suite     Suite
	ID        hash.Digest // names the key for its life
	Epoch     uint64
	T         hash.Digest // fingerprint of this sharing
	Threshold int         // ids that sign together
	Parties   Parties
	Public    group.Point // X
	ChainCode hash.Digest
	Shares    []group.Point // the public share of each id, in order of Parties
}

// Share returns the public share of an id.
func (k *Key) Share(id uint16) (group.Point, bool) {
	for i, p := range k.Parties {
		if p.ID == id {
			return k.Shares[i], true
		}
	}
	return group.Point{}, false
}

// KeyShare is what one member holds of a Key: the secret shares of its own ids.
type KeyShare struct {
	Key
	Owner   IdentityKey
	secrets *[]group.Scalar // in order of the owner's ids; behind a pointer, which is as far as fmt follows hidden fields
}

// Errors of key shares.
var (
	ErrKeyShare = errors.New("tss: key share is invalid")
	ErrOtherKey = errors.New("tss: proposal names another key, epoch, sharing or party set than the share held")
)

// NewKeyShare joins the secrets of the owner's ids, ascending, to their key, and
// checks each against its public share.
func NewKeyShare(k Key, owner IdentityKey, secrets []group.Scalar) (*KeyShare, error) {
	ids := k.Parties.Owned(owner)
	if len(ids) == 0 || len(ids) != len(secrets) || len(k.Shares) != len(k.Parties) {
		return nil, fmt.Errorf("%w: %d secrets for %d ids", ErrKeyShare, len(secrets), len(ids))
	}
	for i, id := range ids {
		public, _ := k.Share(id)
		if !k.Suite.Group().BaseMul(secrets[i]).Equal(public) {
			return nil, fmt.Errorf("%w: the secret of id %d doesn't fit its public share", ErrKeyShare, id)
		}
	}
	own := slices.Clone(secrets)
	return &KeyShare{Key: k, Owner: owner, secrets: &own}, nil
}

// Secret returns the secret share of one of the owner's ids. It is for the
// protocols of this library; nothing else has a use for it.
func (s *KeyShare) Secret(id uint16) (group.Scalar, bool) {
	i := slices.Index(s.Parties.Owned(s.Owner), id)
	if i < 0 || s.secrets == nil || i >= len(*s.secrets) {
		return group.Scalar{}, false
	}
	return (*s.secrets)[i], true
}

// Clear overwrites the secrets.
func (s *KeyShare) Clear() {
	if s.secrets == nil {
		return
	}
	for i := range *s.secrets {
		(*s.secrets)[i].Clear()
	}
	*s.secrets = nil
}

// String redacts the secrets.
func (s *KeyShare) String() string {
	return fmt.Sprintf("key share of %s in %x epoch %d", s.Owner, s.ID[:8], s.Epoch)
}

// Format redacts under every verb.
func (s *KeyShare) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalJSON refuses: a key share is secret.
func (s *KeyShare) MarshalJSON() ([]byte, error) {
	return nil, errors.New("a key share has no JSON form")
}

func (s *KeyShare) secretBytes() []byte {
	if s.secrets == nil {
		return nil
	}
	b := make([]byte, 0, len(*s.secrets)*group.ScalarSize)
	for _, x := range *s.secrets {
		b = x.AppendBytes(b)
	}
	return b
}

// matches checks that a proposal is about this key and this sharing of it.
func (s *KeyShare) matches(p *Proposal) error {
	if p.Suite != s.Suite || p.KeyID != s.ID || p.Epoch != s.Epoch || p.Source != s.T ||
		p.Threshold != s.Threshold || !slices.Equal(p.Parties, s.Parties) {
		return ErrOtherKey
	}
	return nil
}

// head is what the headers of all messages about this sharing have in common.
func (k *Key) head(protocol Protocol, sid hash.Digest) header {
	h := header{protocol: protocol, suite: k.Suite, sid: sid, keyID: k.ID, epoch: k.Epoch}
	copy(h.tsel[:], k.T[:])
	return h
}

const keyShareMagic = "coffer key share 1\n"

// Bytes returns the encoding of the share, secrets in the clear: the caller seals
// it before it stores it.
func (s *KeyShare) Bytes() []byte {
	b := []byte(keyShareMagic)
	b = append(b, byte(s.Suite))
	b = append(b, s.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, s.Epoch)
	b = append(b, s.T[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(s.Threshold))
	b = s.Parties.appendLP(b)
	b = s.Public.AppendBytes(b)
	b = append(b, s.ChainCode[:]...)
	for _, p := range s.Shares {
		b = p.AppendBytes(b)
	}
	b = append(b, s.Owner[:]...)
	return append(b, s.secretBytes()...)
}

// DecodeKeyShare reads the encoding and checks it: every secret fits its public
// share, and the public shares interpolate to the public key.
func DecodeKeyShare(b []byte) (*KeyShare, error) {
	r := NewReader(b)
	if string(r.Take(len(keyShareMagic))) != keyShareMagic {
		return nil, fmt.Errorf("%w: not an encoding of one", ErrKeyShare)
	}
	k := Key{Suite: Suite(r.U8()), ID: r.Digest(), Epoch: r.U64(), T: r.Digest(), Threshold: int(r.U16())}
	g := k.Suite.Group()
	if g == 0 {
		return nil, fmt.Errorf("%w: suite %d is not known", ErrKeyShare, k.Suite)
	}
	var err error
	if k.Parties, err = DecodeParties(r.LP()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyShare, err)
	}
	if err := k.Parties.Validate(k.Threshold, true); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyShare, err)
	}
	if k.Public, err = g.DecodePoint(r.Take(g.PointSize())); err != nil {
		return nil, fmt.Errorf("%w: public key: %w", ErrKeyShare, err)
	}
	k.ChainCode = r.Digest()
	for range k.Parties {
		p, err := g.DecodePoint(r.Take(g.PointSize()))
		if err != nil {
			return nil, fmt.Errorf("%w: public share: %w", ErrKeyShare, err)
		}
		k.Shares = append(k.Shares, p)
	}
	owner := IdentityKey(r.Digest())
	var secrets []group.Scalar
	for range k.Parties.Owned(owner) {
		s, err := g.DecodeScalar(r.Take(group.ScalarSize))
		if err != nil {
			return nil, fmt.Errorf("%w: secret: %w", ErrKeyShare, err)
		}
		secrets = append(secrets, s)
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyShare, err)
	}
	if err := k.interpolates(); err != nil {
		return nil, err
	}
	return NewKeyShare(k, owner, secrets)
}

// interpolates checks that the public shares lie on one polynomial of degree
// threshold-1 whose value at 0 is the public key: over every window of threshold
// neighbouring ids they give the key.
func (k *Key) interpolates() error {
	ids := k.Parties.IDs()
	for from := 0; from+k.Threshold <= len(ids); from++ {
		window := ids[from : from+k.Threshold]
		lambdas, err := lagrangeAll(k.Suite.Group(), window)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrKeyShare, err)
		}
		g := k.Suite.Group()
		if !g.VarTimeMultiMul(g.Zero(), lambdas, k.Shares[from:from+k.Threshold]).Equal(k.Public) {
			return fmt.Errorf("%w: the public shares don't give the public key", ErrKeyShare)
		}
	}
	return nil
}

func lagrangeAll(g group.Group, ids []uint16) ([]group.Scalar, error) {
	out := make([]group.Scalar, len(ids))
	for i, id := range ids {
		l, err := vss.Lagrange(g, id, ids)
		if err != nil {
			return nil, err
		}
		out[i] = l
	}
	return out, nil
}
