package main

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"

	"github.com/bnb-chain/tss-lib/v2/common"
	"github.com/bnb-chain/tss-lib/v2/eddsa/keygen"
	"github.com/bnb-chain/tss-lib/v2/eddsa/signing"
	"github.com/bnb-chain/tss-lib/v2/tss"
)

var tssLib = library{
	name: "tss-lib v2.0.2",
	makers: map[kind]maker{
		signEd25519: func(quorum, parties int) (runner, error) {
			keys, _, err := tssLibKeygen(quorum, parties)
			if err != nil {
				return nil, err
			}
			return func() (outcome, error) { return tssLibSign(keys[:quorum], quorum) }, nil
		},
		keygenEd25519: func(quorum, parties int) (runner, error) {
			return func() (outcome, error) {
				keys, t, err := tssLibKeygen(quorum, parties)
				return outcome{t, func() error { return checkTSSLibKeys(keys, quorum) }}, err
			}, nil
		},
	},
}

// checkTSSLibKeys wants one key for all, and a signature from the last quorum.
func checkTSSLibKeys(keys []*keygen.LocalPartySaveData, quorum int) error {
	for _, k := range keys {
		if !k.EDDSAPub.Equals(keys[0].EDDSAPub) {
			return errors.New("parties have different keys")
		}
	}
	o, err := tssLibSign(keys[len(keys)-quorum:], quorum)
	if err != nil {
		return err
	}
	return o.check()
}

// tssLibKeygen gives the parties ids from 1, the smallest and so the cheapest.
func tssLibKeygen(quorum, parties int) ([]*keygen.LocalPartySaveData, traffic, error) {
	xs := make([]*big.Int, parties)
	for i := range xs {
		xs[i] = big.NewInt(int64(i + 1))
	}
	return tssLibRun(xs, quorum, func(_ int, p *tss.Parameters, out chan<- tss.Message, end chan<- *keygen.LocalPartySaveData) tss.Party {
		return keygen.NewLocalParty(p, out, end)
	})
}

func tssLibSign(keys []*keygen.LocalPartySaveData, quorum int) (outcome, error) {
	xs := make([]*big.Int, len(keys))
	for i, k := range keys {
		xs[i] = k.ShareID
	}
	m := new(big.Int).SetBytes(digest[:])
	signatures, t, err := tssLibRun(xs, quorum, func(i int, p *tss.Parameters, out chan<- tss.Message, end chan<- *common.SignatureData) tss.Party {
		return signing.NewLocalParty(m, p, *keys[i], out, end, len(digest))
	})
	return outcome{t, func() error {
		for _, s := range signatures {
			if err := checkEd25519(encodeEd25519(keys[0].EDDSAPub.X(), keys[0].EDDSAPub.Y()), s.Signature); err != nil {
				return err
			}
		}
		return nil
	}}, err
}

// encodeEd25519 is RFC 8032 §5.1.2.
func encodeEd25519(x, y *big.Int) []byte {
	b := y.FillBytes(make([]byte, 32))
	slices.Reverse(b)
	b[31] |= byte(x.Bit(0)) << 7
	return b
}

// tssLibRun runs one protocol among the parties with ids xs, ascending, and
// returns each one's result. The threshold of this library is the most parties
// that can't sign.
func tssLibRun[R any](
	xs []*big.Int, quorum int,
	newParty func(i int, p *tss.Parameters, out chan<- tss.Message, end chan<- R) tss.Party,
) ([]R, traffic, error) {
	ids := make(tss.UnSortedPartyIDs, len(xs))
	for i, x := range xs {
		ids[i] = tss.NewPartyID(x.String(), strconv.Itoa(i), x)
	}
	sorted := tss.SortPartyIDs(ids)
	all := tss.NewPeerContext(sorted)

	nodes := make([]node, len(xs))
	ends := make([]chan R, len(xs))
	for i, id := range sorted {
		// Room for all that a party says in the two rounds that one message can
		// complete.
		out := make(chan tss.Message, 4*len(xs))
		ends[i] = make(chan R, 1)
		params := tss.NewParameters(tss.Edwards(), all, id, len(xs), quorum-1)
		party := newParty(i, params, out, ends[i])
		if err := party.Start(); err != nil {
			return nil, traffic{}, fmt.Errorf("start party %d: %w", i, err)
		}
		nodes[i] = &tssLibNode{party, sorted, out}
	}
	t, err := exchange(nodes)
	if err != nil {
		return nil, t, err
	}
	results := make([]R, len(xs))
	for i, end := range ends {
		select {
		case results[i] = <-end:
		default:
			return nil, t, fmt.Errorf("party %d didn't finish", i)
		}
	}
	return results, t, nil
}

type tssLibNode struct {
	party tss.Party
	ids   tss.SortedPartyIDs
	out   <-chan tss.Message
}

// tssLibWire is a message with what the channel tells of it.
type tssLibWire struct {
	bytes     []byte
	broadcast bool
}

func (n *tssLibNode) send() ([]message, error) {
	var sent []message
	for {
		select {
		case m := <-n.out:
			b, routing, err := m.WireBytes()
			if err != nil {
				return nil, fmt.Errorf("encode: %w", err)
			}
			var to []int
			for _, id := range routing.To {
				to = append(to, id.Index)
			}
			sent = append(sent, message{routing.From.Index, to, tssLibWire{b, routing.IsBroadcast}, len(b)})
		default:
			return sent, nil
		}
	}
}

func (n *tssLibNode) receive(m message) error {
	wire, ok := m.body.(tssLibWire)
	if !ok {
		return fmt.Errorf("message is a %T", m.body)
	}
	if _, err := n.party.UpdateFromBytes(wire.bytes, n.ids[m.from], wire.broadcast); err != nil {
		return err
	}
	return nil
}
