package tss

import (
	"encoding/binary"
	"errors"

	"github.com/cofferhq/coffer/tss/hash"
)

// headerSize is the length of every message's header in bytes.
const headerSize = 126

// MaxMessage bounds a whole message, header included. Channels refuse longer
// frames before they read them.
const MaxMessage = 2 << 20

const (
	kindBroadcast = 0
	kindPrivate   = 1
)

// Rounds that every protocol shares.
const (
	roundJoin  = 0
	roundShow  = 254 // what a member was sent, shown in a dispute
	roundAbort = 255 // accusations, with the signed messages that prove them
)

var errShort = errors.New("tss: message is shorter than its header")

// header is the fixed part of every message (docs/spec/02-session.md §3). It is
// hashed exactly as it is on the wire.
type header struct {
	protocol Protocol
	suite    Suite
	round    uint8
	kind     uint8
	sid      hash.Digest
	keyID    hash.Digest
	epoch    uint64
	tsel     [8]byte // first bytes of T of the epoch the session starts from
	from     Member
	to       Member // 0 for a broadcast
	echo     hash.Digest
}

func (h *header) append(b, body []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, version)
	b = append(b, byte(h.protocol), byte(h.suite), h.round, h.kind)
	b = append(b, h.sid[:]...)
	b = append(b, h.keyID[:]...)
	b = binary.BigEndian.AppendUint64(b, h.epoch)
	b = append(b, h.tsel[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(h.from))
	b = binary.BigEndian.AppendUint16(b, uint16(h.to))
	b = append(b, h.echo[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return append(b, body...)
}

// decodeHeader splits a message; ok is false where it isn't well formed.
func decodeHeader(m []byte) (h header, body []byte, ok bool) {
	if len(m) < headerSize || len(m) > MaxMessage || binary.BigEndian.Uint16(m) != version {
		return header{}, nil, false
	}
	h.protocol, h.suite, h.round, h.kind = Protocol(m[2]), Suite(m[3]), m[4], m[5]
	copy(h.sid[:], m[6:38])
	copy(h.keyID[:], m[38:70])
	h.epoch = binary.BigEndian.Uint64(m[70:])
	copy(h.tsel[:], m[78:86])
	h.from = Member(binary.BigEndian.Uint16(m[86:]))
	h.to = Member(binary.BigEndian.Uint16(m[88:]))
	copy(h.echo[:], m[90:122])
	body = m[headerSize:]
	return h, body, uint64(binary.BigEndian.Uint32(m[122:])) == uint64(len(body))
}

// Envelope is a message of the protocol with the signature of its sender, as a
// channel delivers it: header and body in plaintext. Anyone who knows the
// sender's identity key can verify it.
type Envelope struct {
	From      IdentityKey // the authenticated sender
	Message   []byte
	Signature []byte // over the plaintext; see Identity.SignEnvelope
}

// slot is the place of a message in its session: one message each.
type slot struct {
	round, kind uint8
	from        Member
}

// received is an envelope whose header was read.
type received struct {
	header
	body []byte
	Envelope
}

func open(e Envelope) (*received, bool) {
	h, body, ok := decodeHeader(e.Message)
	if !ok {
		return nil, false
	}
	return &received{header: h, body: body, Envelope: e}, true
}

func (r *received) slot() slot { return slot{r.round, r.kind, r.from} }
