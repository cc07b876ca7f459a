package tss

import (
	"bytes"
	"fmt"

	"github.com/cofferhq/coffer/tss/hash"
)

// SignFor signs a message of a protocol that belongs to a key but to no session,
// such as nonce commitments for later. topic takes the place of the session id.
func (id *Identity) SignFor(k *Key, protocol Protocol, round uint8, topic hash.Digest, body []byte) (Envelope, error) {
	message, err := k.messageFor(id.public, protocol, round, topic, body)
	if err != nil {
		return Envelope{}, err
	}
	return Envelope{From: id.public, Message: message, Signature: id.sign(envelopeDigest(message))}, nil
}

// OpenFor verifies an envelope of SignFor and returns its body.
func (k *Key) OpenFor(e Envelope, protocol Protocol, round uint8, topic hash.Digest) ([]byte, error) {
	if len(e.Message) < headerSize {
		return nil, errShort
	}
	body := e.Message[headerSize:]
	want, err := k.messageFor(e.From, protocol, round, topic, body)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(want, e.Message) || !e.From.VerifyEnvelope(e.Message, e.Signature) {
		return nil, fmt.Errorf("%w: it isn't signed by %s for this key and topic", ErrParties, e.From)
	}
	return body, nil
}

func (k *Key) messageFor(from IdentityKey, protocol Protocol, round uint8, topic hash.Digest, body []byte) ([]byte, error) {
	ids := k.Parties.Owned(from)
	if len(ids) == 0 {
		return nil, fmt.Errorf("%w: %s owns no id of the key", ErrParties, from)
	}
	h := k.head(protocol, topic)
	h.round, h.from = round, Member(ids[0])
	return h.append(nil, body), nil
}
