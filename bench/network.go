package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
)

// A node is one party of a protocol, driven by exchange.
type node interface {
	// send returns what the party has said since the last call.
	send() ([]message, error)
	receive(message) error
}

// A message is in its encoded form where the library has one, so that encoding
// and decoding are measured.
type message struct {
	from int
	to   []int // empty: all others
	body any
	size int // bytes of its encoding, without sender and session
}

// traffic is what all parties sent. A message to many counts once for each
// receiver.
type traffic struct {
	bytes  int
	rounds int
}

// exchange carries messages until nobody has anything to say. A round is one
// wave of messages.
func exchange(nodes []node) (traffic, error) {
	var t traffic
	for {
		var wave []message
		for i, n := range nodes {
			sent, err := n.send()
			if err != nil {
				return t, fmt.Errorf("party %d sends in round %d: %w", i, t.rounds+1, err)
			}
			wave = append(wave, sent...)
		}
		if len(wave) == 0 {
			return t, nil
		}
		t.rounds++
		for _, m := range wave {
			to := m.to
			if len(to) == 0 {
				to = others(m.from, len(nodes))
			}
			for _, i := range to {
				t.bytes += m.size
				if err := nodes[i].receive(m); err != nil {
					return t, fmt.Errorf("party %d receives in round %d: %w", i, t.rounds, err)
				}
			}
		}
	}
}

func others(self, n int) []int {
	var is []int
	for i := range n {
		if i != self {
			is = append(is, i)
		}
	}
	return is
}

// digest is what is signed: 32 bytes, as both schemes can sign.
var digest = [32]byte([]byte("the bytes that all parties sign."))

// Verification is by code of neither Coffer nor its peers.

func checkEd25519(key, signature []byte) error {
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, digest[:], signature) {
		return errors.New("signature is not valid under Ed25519")
	}
	return nil
}

func checkBIP340(key, signature []byte) error {
	k, err := schnorr.ParsePubKey(key)
	if err != nil {
		return fmt.Errorf("read BIP-340 key: %w", err)
	}
	s, err := schnorr.ParseSignature(signature)
	if err != nil {
		return fmt.Errorf("read BIP-340 signature: %w", err)
	}
	if !s.Verify(digest[:], k) {
		return errors.New("signature is not valid under BIP-340")
	}
	return nil
}
