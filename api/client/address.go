package client

import (
	"context"
	"fmt"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/chains"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/tss/derive"
)

// FalseAddress says that the server showed an address that isn't the wallet's.
// Nothing may be sent to it.
type FalseAddress struct { //nolint:errname // it is what there is, and is read so
	Server   custody.Address // as the server says
	Computed custody.Address // from the nodes' evidence
}

func (f *FalseAddress) Error() string {
	return fmt.Sprintf("the server's address is false: it says %s, the key's is %s", f.Server, f.Computed)
}

func (f *FalseAddress) lie() {}

// AddressProof says what an address was computed from. All of it stands under a
// head that the deployment's witnesses cosigned.
type AddressProof struct {
	Wallet custody.Wallet
	Key    custody.Key // attested by all nodes of its set
	Path   string      // of the address below the key
}

// Governance returns who and what is on record, verified from the charter's hash
// alone. It may be older than the server's; it can't be false.
func (c *Client) Governance(ctx context.Context) (*state.State, error) {
	var raw []byte
	if err := c.get(ctx, "/v1/journal/governance", nil, &raw); err != nil {
		return nil, err
	}
	s, err := state.VerifyGovernance(raw, state.Trust{Charter: c.charter})
	if err != nil {
		return nil, fmt.Errorf("client: governance: %w", err)
	}
	return s, nil
}

// NewAddress asks for the next address of a wallet and verifies it as
// [Client.VerifiedAddress] does.
func (c *Client) NewAddress(ctx context.Context, wallet custody.ID[custody.Wallet]) (*api.Address, *AddressProof, error) {
	var answer api.Address
	if err := c.ask(ctx, "/v1/wallets/"+escape(wallet)+"/addresses", nil, &answer); err != nil {
		return nil, nil, err
	}
	computed, proof, err := c.computeAddress(ctx, wallet, answer.Index)
	if err != nil {
		return nil, nil, err
	}
	if computed != custody.Address(answer.Address) {
		return nil, nil, &FalseAddress{Server: custody.Address(answer.Address), Computed: computed}
	}
	return &answer, proof, nil
}

// VerifiedAddress computes the address of a wallet at an index from the evidence of
// the nodes, and refuses with a [*FalseAddress] if the server shows another for it.
func (c *Client) VerifiedAddress(ctx context.Context, wallet custody.ID[custody.Wallet], index uint32) (custody.Address, *AddressProof, error) {
	computed, proof, err := c.computeAddress(ctx, wallet, index)
	if err != nil {
		return "", nil, err
	}
	shown, err := c.shownAddress(ctx, wallet, index)
	if err != nil {
		return "", nil, err
	}
	if shown != computed {
		return "", nil, &FalseAddress{Server: shown, Computed: computed}
	}
	return computed, proof, nil
}

// shownAddress returns what the server shows for an index.
func (c *Client) shownAddress(ctx context.Context, wallet custody.ID[custody.Wallet], index uint32) (custody.Address, error) {
	seen := make(map[string]bool)
	for cursor := ""; !seen[cursor]; {
		seen[cursor] = true
		page, err := c.Addresses(ctx, wallet, api.MaxLimit, cursor)
		if err != nil {
			return "", err
		}
		for _, a := range page.Data {
			if a.Index == index {
				return custody.Address(a.Address), nil
			}
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	return "", &custody.Error{Code: custody.NotFound, Field: "index", Message: "the wallet has no address at this index yet"}
}

// computeAddress computes an address from what the nodes attested: the wallet and
// the key are under a cosigned head, and the chain code is the one that the key's
// attestation commits to.
func (c *Client) computeAddress(ctx context.Context, id custody.ID[custody.Wallet], index uint32) (custody.Address, *AddressProof, error) {
	s, err := c.Governance(ctx)
	if err != nil {
		return "", nil, err
	}
	wallet := s.Wallet(id)
	if wallet == nil {
		return "", nil, &custody.Error{Code: custody.NotFound, Field: "wallet", Message: "not under a cosigned head, perhaps not yet"}
	}
	key := s.Key(wallet.Key)
	if key == nil {
		return "", nil, &custody.Error{Code: custody.NotFound, Field: "wallet.key", Message: "not under a cosigned head"}
	}
	shown, err := c.Key(ctx, key.ID)
	if err != nil {
		return "", nil, err
	}
	if shown.ChainCode == "" {
		return "", nil, &custody.Error{Code: custody.Unavailable, Field: "chainCode", Message: "the nodes have not given it yet"}
	}
	var code custody.Hash
	if err := code.UnmarshalText([]byte(shown.ChainCode)); err != nil {
		return "", nil, unparsed("the chain code", err)
	}
	if commitment := chain.Commitment(code); commitment != key.ChainCode {
		return "", nil, &Difference{"chainCode", "one with the commitment " + key.ChainCode.String(), "one with " + commitment.String()}
	}
	family, err := chains.For(wallet.Network)
	if err != nil {
		return "", nil, err
	}
	address, err := family.Address(chain.AccountOf(wallet, key, code), 0, index)
	if err != nil {
		return "", nil, err
	}
	return address, &AddressProof{Wallet: *wallet, Key: *key, Path: derive.Path{wallet.Path, 0, index}.String()}, nil
}
