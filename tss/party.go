package tss

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cofferhq/coffer/tss/hash"
)

// Member numbers a participant of a session: the smallest id that it owns there.
type Member uint16

// IdentityKey is a member's long-term Ed25519 public key. It is what a member is
// known by: configuration maps every id to one.
type IdentityKey [ed25519.PublicKeySize]byte

// String returns the first 8 bytes in hexadecimal, enough to tell nodes apart.
func (k IdentityKey) String() string { return hex.EncodeToString(k[:8]) }

// smallOrder reports whether the key is a point of order 1, 2, 4 or 8, in any
// encoding: Ed25519 signatures of such a key can be forged.
func (k IdentityKey) smallOrder() bool {
	k[31] &= 0x7f // the sign of x
	return slices.Contains(smallOrderY[:], k)
}

// smallOrderY are the y coordinates of the points of small order and their
// encodings that aren't canonical.
var smallOrderY = [...]IdentityKey{
	{},          // 0: order 4
	{1},         // 1: the identity
	yNear(0xec), // -1: order 2
	yNear(0xed), // p, as 0
	yNear(0xee), // p + 1, as 1
	{ // order 8
		0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
	},
	{ // order 8
		0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
	},
}

// yNear is an encoding close to p = 2^255 - 19, by its lowest byte.
func yNear(low byte) (k IdentityKey) {
	for i := range k {
		k[i] = 0xff
	}
	k[0], k[31] = low, 0x7f
	return k
}

// Identity is the private half of an IdentityKey. It signs envelopes, statements
// and requests, each a hash under its own tag, and nothing else.
type Identity struct {
	public IdentityKey

	// sign signs an output of hash.Sum. Its callers fix the tags: env, stmt/..., q.
	// It is a function so that fmt, which finds its way around Format where an
	// Identity is a hidden field of something else, stops at an address.
	sign func(d hash.Digest) []byte
}

// NewIdentity makes an identity of 32 bytes of r.
func NewIdentity(r io.Reader) (*Identity, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(r, seed); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	return IdentityFromSeed(seed)
}

// IdentityFromSeed restores an identity from its 32-byte seed (RFC 8032 §5.1.5).
func IdentityFromSeed(seed []byte) (*Identity, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("an identity seed has %d bytes, not %d", ed25519.SeedSize, len(seed))
	}
	private := ed25519.NewKeyFromSeed(seed)
	return &Identity{
		public: IdentityKey(private[ed25519.SeedSize:]),
		sign:   func(d hash.Digest) []byte { return ed25519.Sign(private, d[:]) },
	}, nil
}

// Public returns the public key.
func (id *Identity) Public() IdentityKey { return id.public }

// String redacts all but the public key.
func (id *Identity) String() string { return "identity " + id.public.String() }

// Format redacts under every verb.
func (id *Identity) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, id.String()) }

// MarshalJSON refuses: an identity is secret.
func (id *Identity) MarshalJSON() ([]byte, error) {
	return nil, errors.New("an identity has no JSON form")
}

func (k IdentityKey) verify(d hash.Digest, sig []byte) bool {
	return len(sig) == ed25519.SignatureSize && ed25519.Verify(k[:], d[:], sig)
}

// SignEnvelope signs a message of the protocol (header and body) as a channel
// must: H("env", header, H("body", body)).
func (id *Identity) SignEnvelope(message []byte) ([]byte, error) {
	if len(message) < headerSize {
		return nil, errShort
	}
	return id.sign(envelopeDigest(message)), nil
}

// VerifyEnvelope reports whether sig is this identity's signature of message.
func (k IdentityKey) VerifyEnvelope(message, sig []byte) bool {
	return len(message) >= headerSize && k.verify(envelopeDigest(message), sig)
}

func envelopeDigest(message []byte) hash.Digest {
	body := hash.Sum("body", message[headerSize:])
	return hash.Sum("env", message[:headerSize], body[:])
}

// SignRequest signs the bytes of an online request: H("q", Q).
func (id *Identity) SignRequest(q []byte) []byte { return id.sign(hash.Sum("q", q)) }

// VerifyRequest reports whether sig is this identity's signature of the request.
func (k IdentityKey) VerifyRequest(q, sig []byte) bool { return k.verify(hash.Sum("q", q), sig) }

// Party is an id (an evaluation point of the sharing) and its owner.
type Party struct {
	ID    uint16 // 1..65535
	Owner IdentityKey
}

// Parties is the set of ids of a key, ascending. A member may own several.
type Parties []Party

// MaxIDs is the largest number of ids of a key.
const MaxIDs = 255

// Errors of a sharing's shape.
var (
	ErrThreshold = errors.New("the threshold must be at least 2 and at most the number of ids")
	ErrParties   = errors.New("party set is invalid")
)

// Validate checks the set together with a threshold that counts ids: ids distinct
// and ascending from 1, 2 <= t <= n, no member with t ids or more, and, unless
// noLossTolerance, t <= n less the ids of any one member, so that losing a member
// loses no key.
func (ps Parties) Validate(threshold int, noLossTolerance bool) error {
	n := len(ps)
	if n > MaxIDs {
		return fmt.Errorf("%w: %d ids, at most %d", ErrParties, n, MaxIDs)
	}
	if threshold < 2 || threshold > n {
		return fmt.Errorf("%w: %d of %d", ErrThreshold, threshold, n)
	}
	last := uint16(0)
	owned := make(map[IdentityKey]int, n)
	most := 0
	for _, p := range ps {
		if p.ID <= last {
			return fmt.Errorf("%w: id %d after %d: ids are distinct, ascending and at least 1", ErrParties, p.ID, last)
		}
		last = p.ID
		if p.Owner.smallOrder() {
			return fmt.Errorf("%w: owner of id %d is no identity key", ErrParties, p.ID)
		}
		owned[p.Owner]++
		most = max(most, owned[p.Owner])
	}
	if most >= threshold {
		return fmt.Errorf("%w: a member owns %d ids, as many as sign together", ErrParties, most)
	}
	if !noLossTolerance && threshold > n-most {
		return fmt.Errorf("%w: %d of %d ids, with %d at one member: losing it would lose the key (allow with NoLossTolerance)",
			ErrParties, threshold, n, most)
	}
	return nil
}

// IDs returns all ids, ascending.
func (ps Parties) IDs() []uint16 {
	ids := make([]uint16, len(ps))
	for i, p := range ps {
		ids[i] = p.ID
	}
	return ids
}

// Owned returns the ids of one owner, ascending.
func (ps Parties) Owned(owner IdentityKey) []uint16 {
	var ids []uint16
	for _, p := range ps {
		if p.Owner == owner {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// Owner returns the owner of an id.
func (ps Parties) Owner(id uint16) (IdentityKey, bool) {
	i, ok := slices.BinarySearchFunc(ps, id, func(p Party, id uint16) int { return int(p.ID) - int(id) })
	if !ok {
		return IdentityKey{}, false
	}
	return ps[i].Owner, true
}

// AppendBytes appends u16(n) and (u16 id, owner) for every id, ascending.
func (ps Parties) AppendBytes(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(ps)))
	for _, p := range ps {
		b = binary.BigEndian.AppendUint16(b, p.ID)
		b = append(b, p.Owner[:]...)
	}
	return b
}

func (ps Parties) appendLP(b []byte) []byte {
	return ps.AppendBytes(binary.BigEndian.AppendUint64(b, uint64(2+len(ps)*partySize)))
}

const partySize = 2 + ed25519.PublicKeySize

// DecodeParties reads the encoding of AppendBytes; Validate checks what it says.
func DecodeParties(b []byte) (Parties, error) {
	if len(b) < 2 {
		return nil, fmt.Errorf("%w: cut short", ErrParties)
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if n > MaxIDs || len(b) != n*partySize {
		return nil, fmt.Errorf("%w: length doesn't fit its count", ErrParties)
	}
	ps := make(Parties, n)
	for i := range ps {
		ps[i].ID = binary.BigEndian.Uint16(b[i*partySize:])
		copy(ps[i].Owner[:], b[i*partySize+2:])
	}
	return ps, nil
}
