package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/taurusgroup/multi-party-sig/pkg/party"
	"github.com/taurusgroup/multi-party-sig/pkg/protocol"
	"github.com/taurusgroup/multi-party-sig/pkg/taproot"
	"github.com/taurusgroup/multi-party-sig/protocols/frost"
)

var multiPartySig = library{
	name: "multi-party-sig v0.6.0-alpha-2021-09-21",
	makers: map[kind]maker{
		signBIP340: func(quorum, parties int) (runner, error) {
			keys, _, err := multiPartySigKeygen(quorum, parties)
			if err != nil {
				return nil, err
			}
			return func() (outcome, error) { return multiPartySigSign(keys[:quorum]) }, nil
		},
		keygenSecp256k1: func(quorum, parties int) (runner, error) {
			return func() (outcome, error) {
				keys, t, err := multiPartySigKeygen(quorum, parties)
				return outcome{t, func() error { return checkMultiPartySigKeys(keys, quorum) }}, err
			}, nil
		},
	},
}

// checkMultiPartySigKeys wants one key for all, and a signature from the last
// quorum.
func checkMultiPartySigKeys(keys []*frost.TaprootConfig, quorum int) error {
	for _, k := range keys {
		if !bytes.Equal(k.PublicKey, keys[0].PublicKey) {
			return errors.New("parties have different keys")
		}
	}
	o, err := multiPartySigSign(keys[len(keys)-quorum:])
	if err != nil {
		return err
	}
	return o.check()
}

// multiPartySigKeygen makes a BIP-340 key. The threshold of this library is the
// most parties that can't sign.
func multiPartySigKeygen(quorum, parties int) ([]*frost.TaprootConfig, traffic, error) {
	var ids []party.ID
	for i := range parties {
		ids = append(ids, party.ID([]byte{byte(i + 1)}))
	}
	return multiPartySigRun[*frost.TaprootConfig](ids, func(i int) protocol.StartFunc {
		return frost.KeygenTaproot(ids[i], ids, quorum-1)
	})
}

func multiPartySigSign(keys []*frost.TaprootConfig) (outcome, error) {
	var ids []party.ID
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	signatures, t, err := multiPartySigRun[taproot.Signature](ids, func(i int) protocol.StartFunc {
		return frost.SignTaproot(keys[i], ids, digest[:])
	})
	return outcome{t, func() error {
		for _, s := range signatures {
			if err := checkBIP340(keys[0].PublicKey, s); err != nil {
				return err
			}
		}
		return nil
	}}, err
}

// multiPartySigRun runs one protocol among ids, ascending, and returns each
// one's result.
func multiPartySigRun[R any](ids []party.ID, start func(i int) protocol.StartFunc) ([]R, traffic, error) {
	nodes := make([]node, len(ids))
	handlers := make([]*protocol.MultiHandler, len(ids))
	for i := range ids {
		h, err := protocol.NewMultiHandler(start(i), nil)
		if err != nil {
			return nil, traffic{}, fmt.Errorf("start party %d: %w", i, err)
		}
		handlers[i], nodes[i] = h, &multiPartySigNode{h, ids}
	}
	t, err := exchange(nodes)
	if err != nil {
		return nil, t, err
	}
	results := make([]R, len(ids))
	for i, h := range handlers {
		r, err := h.Result()
		if err != nil {
			return nil, t, fmt.Errorf("party %d: %w", i, err)
		}
		result, ok := r.(R)
		if !ok {
			return nil, t, fmt.Errorf("party %d made a %T", i, r)
		}
		results[i] = result
	}
	return results, t, nil
}

type multiPartySigNode struct {
	handler *protocol.MultiHandler
	ids     []party.ID
}

// send leaves messages as the library gives them: their content is encoded,
// their header is not.
func (n *multiPartySigNode) send() ([]message, error) {
	var sent []message
	for {
		select {
		case m, open := <-n.handler.Listen():
			if !open {
				return sent, nil
			}
			to, err := n.receivers(m)
			if err != nil {
				return nil, err
			}
			sent = append(sent, message{n.index(m.From), to, m, len(m.Data) + len(m.BroadcastVerification)})
		default:
			return sent, nil
		}
	}
}

func (n *multiPartySigNode) receivers(m *protocol.Message) ([]int, error) {
	if m.To == "" {
		return nil, nil
	}
	to := n.index(m.To)
	if to < 0 {
		return nil, fmt.Errorf("message to the unknown party %q", m.To)
	}
	return []int{to}, nil
}

func (n *multiPartySigNode) index(id party.ID) int {
	for i, known := range n.ids {
		if known == id {
			return i
		}
	}
	return -1
}

func (n *multiPartySigNode) receive(m message) error {
	body, ok := m.body.(*protocol.Message)
	if !ok {
		return fmt.Errorf("message is a %T", m.body)
	}
	n.handler.Accept(body)
	return nil
}
