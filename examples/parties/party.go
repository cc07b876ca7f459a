package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/cofferhq/coffer/examples/tlschannel"
	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/dkg"
	"github.com/cofferhq/coffer/tss/frost"
)

// threshold is how many parties sign together. Each party knows it from its own
// configuration, here from this constant.
const threshold = 2

// party is one process: its keys, its end of the channel and its share.
type party struct {
	contact     contact
	identity    *tss.Identity
	certificate tls.Certificate
	listener    net.Listener

	// Since doMeet.
	set     tss.Parties
	channel *counted
	node    *tss.Node

	// Since doKeygen. A real party keeps the sealed share on disk and the sealing
	// key in a keystore.
	sealing cipher.AEAD
	sealed  []byte
}

func newParty(ctx context.Context) (*party, error) {
	identity, err := tss.NewIdentity(rand.Reader)
	if err != nil {
		return nil, err
	}
	certificate, err := tlschannel.NewCertificate()
	if err != nil {
		return nil, err
	}
	pin, err := tlschannel.PinOf(certificate)
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	sealing, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &party{
		contact:  contact{Identity: identity.Public(), Pin: pin, Address: listener.Addr().String()},
		identity: identity, certificate: certificate, listener: listener, sealing: sealing,
	}, nil
}

func (p *party) close() {
	if p.node == nil {
		_ = p.listener.Close() // nothing uses it
		return
	}
	p.node.Close()
	_ = p.channel.Close() // nothing uses it any more
}

func (p *party) obey(c command) answer {
	var a answer
	var err error
	switch {
	case c.Do == doMeet && p.node == nil:
		err = p.meet(c)
	case c.Do == doKeygen && p.node != nil && p.sealed == nil:
		a, err = p.keygen(c)
	case c.Do == doSign && p.sealed != nil:
		a, err = p.sign(c)
	default:
		err = fmt.Errorf("it is not the time to %q", c.Do)
	}
	if err == nil {
		return a
	}
	a = answer{Error: err.Error()}
	var faults tss.Faults
	if errors.As(err, &faults) {
		for _, f := range faults {
			if f.Kind == tss.Absent {
				a.Absent = append(a.Absent, uint16(f.Party))
			}
		}
	}
	return a
}

// meet learns who the others are. Operators exchange this by hand and compare it;
// here the coordinator passes it on.
func (p *party) meet(c command) error {
	p.contact.ID = c.ID
	ids := make(map[tss.IdentityKey]uint16)
	var peers []tlschannel.Peer
	var set tss.Parties
	for _, o := range c.Roster {
		ids[o.Identity] = o.ID
		set = append(set, tss.Party{ID: o.ID, Owner: o.Identity})
		if o.Identity != p.contact.Identity {
			peers = append(peers, tlschannel.Peer{Identity: o.Identity, Pin: o.Pin, Address: o.Address})
		}
	}
	if owner, ok := set.Owner(c.ID); !ok || owner != p.contact.Identity {
		return fmt.Errorf("the roster has another party %d", c.ID)
	}
	channel, err := tlschannel.New(tlschannel.Config{
		Identity: p.identity, Certificate: p.certificate, Listener: p.listener, Peers: peers,
	})
	if err != nil {
		return err
	}
	p.channel = &counted{Channel: channel, ids: ids}
	p.set = set
	p.node, err = tss.NewNode(tss.Config{Identity: p.identity, Channel: p.channel, Log: tss.NewMemoryLog(), Now: now})
	return err
}

// join enters the session that the coordinator proposes, if it is one of the
// parties that this one was configured with.
func (p *party) join(ctx context.Context, proposal []byte, share *tss.KeyShare) (*tss.Session, error) {
	prop, err := tss.DecodeProposal(proposal)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(prop.Parties, p.set) || prop.Threshold != threshold {
		return nil, errors.New("the proposal is for other parties or another threshold")
	}
	p.channel.restart()
	return p.node.Join(ctx, prop, share)
}

func (p *party) keygen(c command) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Wait)
	defer cancel()
	s, err := p.join(ctx, c.Proposal, nil)
	if err != nil {
		return answer{}, err
	}
	defer s.Close()
	// The share is sealed before the party votes for the key.
	share, certificate, err := dkg.Run(ctx, s, func(share *tss.KeyShare) error {
		plain := share.Bytes()
		defer clear(plain)
		p.sealed = p.sealing.Seal(nil, nil, plain, p.contact.Identity[:])
		return nil
	})
	if err != nil {
		return answer{}, err
	}
	defer share.Clear()
	public, _ := share.Share(p.contact.ID)
	fingerprint := sha256.Sum256(p.sealed)
	return answer{
		PublicShare: public.Bytes(), Sealed: fingerprint[:], Certificate: certificate.Bytes(), Sent: p.channel.sent(),
	}, nil
}

func (p *party) sign(c command) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.Wait)
	defer cancel()
	plain, err := p.sealing.Open(nil, nil, p.sealed, p.contact.Identity[:])
	if err != nil {
		return answer{}, fmt.Errorf("open the share: %w", err)
	}
	defer clear(plain)
	share, err := tss.DecodeKeyShare(plain)
	if err != nil {
		return answer{}, err
	}
	defer share.Clear()
	s, err := p.join(ctx, c.Proposal, share)
	if err != nil {
		return answer{}, err
	}
	defer s.Close()
	// Sign checks that the session is about this message.
	signature, err := frost.Sign(ctx, s, frost.Request{Message: []byte(c.Message)})
	if err != nil {
		return answer{}, err
	}
	return answer{Signature: signature, Sent: p.channel.sent()}, nil
}
