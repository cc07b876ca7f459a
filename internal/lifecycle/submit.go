package lifecycle

import (
	"context"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/chain/chains"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/store"
)

// Submit puts an intent on record: its canonical bytes with its initiator's
// signature. externalID is the caller's own name for it, unique where it is given.
// Errors are of package custody and leave no trace.
func (l *Lifecycle) Submit(ctx context.Context, raw []byte, e custody.Evidence, externalID string) (custody.ID[custody.Intent], error) {
	in, err := custody.ParseIntent(raw)
	if err != nil {
		return custody.ID[custody.Intent]{}, err
	}
	if err := payable(in); err != nil {
		return in.ID, err
	}
	record := &custody.IntentRecord{Bytes: raw, Evidence: e, Intent: in}
	return in.ID, l.cfg.Store.Advance(ctx, func(t *store.Tx) error {
		if in.Type.Governs() {
			record.Prev = t.State().ChainHead()
		}
		if err := t.State().Check(record, t.Now()); err != nil {
			return err
		}
		if _, _, err := t.Append(custody.IntentEntry, record); err != nil {
			return err
		}
		if externalID == "" {
			return nil
		}
		return t.SetExternalID(in.ID, externalID)
	})
}

// payable refuses an address that its network can't pay, such as one that was
// mistyped, before anybody is asked to approve it.
func payable(in *custody.Intent) error {
	var network custody.Network
	var address custody.Address
	switch body := in.Body.(type) {
	case *custody.Transfer:
		network, address = body.Network, body.Destination.Address
	case *custody.DestinationChange:
		if body.Action == custody.Remove {
			return nil
		}
		network, address = body.Destination.Network, body.Destination.Address
	default:
		return nil
	}
	family, err := chains.For(network)
	if err != nil {
		return err
	}
	if err := family.CheckAddress(network, address); err != nil {
		return &custody.Error{Code: custody.Invalid, Field: "body.destination.address", Message: "no address of " + string(network) + " in the spelling that is taken"}
	}
	if transfer, ok := in.Body.(*custody.Transfer); ok && bitcoin.Knows(network) {
		return bitcoin.CheckAmount(network, address, transfer.Amount)
	}
	return nil
}

// Approve puts a person's yes or no to an intent on record.
func (l *Lifecycle) Approve(ctx context.Context, id custody.ID[custody.Intent], a custody.Approval) error {
	record := &custody.EvidenceRecord{Intent: id, Approval: &a}
	return l.cfg.Store.Advance(ctx, func(t *store.Tx) error {
		if v, ok := t.State().Intent(id); ok && v.Intent.Type.Governs() {
			record.Prev = t.State().ChainHead()
		}
		if err := t.State().Check(record, t.Now()); err != nil {
			return err
		}
		if _, _, err := t.Append(custody.EvidenceEntry, record); err != nil {
			return err
		}
		return t.Wake(id)
	})
}

// NewAddress gives out a wallet's next address to receive at, m/w/0/index.
func (l *Lifecycle) NewAddress(ctx context.Context, wallet custody.ID[custody.Wallet]) (index uint32, address custody.Address, err error) {
	err = l.cfg.Store.Advance(ctx, func(t *store.Tx) error {
		index, address, err = addAddress(ctx, t, wallet, receiving)
		return err
	})
	return index, address, err
}

// The branches of a wallet's addresses.
const (
	receiving uint32 = 0
	changing  uint32 = 1
)

// addAddress puts the next address of a branch on record, so that blocks are
// searched for it.
func addAddress(ctx context.Context, t *store.Tx, wallet custody.ID[custody.Wallet], branch uint32) (uint32, custody.Address, error) {
	a, err := account(ctx, t.State(), t.Reader, wallet)
	if err != nil {
		return 0, "", err
	}
	family, err := chains.For(a.Network)
	if err != nil {
		return 0, "", err
	}
	index, err := t.NextIndex(ctx, wallet, branch)
	if err != nil {
		return 0, "", err
	}
	address, err := family.Address(a, branch, index)
	if err != nil {
		return 0, "", err
	}
	script, err := bitcoin.Script(a.Network, address)
	if err != nil {
		return 0, "", err
	}
	return index, address, t.AddAddress(store.Address{Wallet: wallet, Branch: branch, Index: index, Network: a.Network, Address: address, Script: script})
}

// account is a wallet with its key and chain code.
func account(ctx context.Context, s *state.State, r store.Reader, wallet custody.ID[custody.Wallet]) (chain.Account, error) {
	w := s.Wallet(wallet)
	if w == nil {
		return chain.Account{}, &custody.Error{Code: custody.NotFound, Field: "wallet", Message: "not on record"}
	}
	k := s.Key(w.Key)
	if k == nil {
		return chain.Account{}, &custody.Error{Code: custody.NotFound, Field: "key", Message: "not on record"}
	}
	chainCode, err := r.ChainCode(ctx, w.Key)
	if err != nil {
		return chain.Account{}, err
	}
	return chain.AccountOf(w, k, chainCode), nil
}
