package server

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/store"
	"github.com/cofferhq/coffer/tss/derive"
)

// receiving is the branch of a wallet's addresses that others pay to.
const receiving uint32 = 0

// WalletPath names the wallet of a call.
type WalletPath struct {
	ID string `path:"wallet" doc:"id of the wallet"`
}

type walletList struct {
	WalletPath
	Paging
}

func (s *server) wallets() {
	on(s, get("/v1/vaults", "listVaults", "List the vaults"), s.listVaults)
	on(s, get("/v1/wallets", "listWallets", "List the wallets"), s.listWallets)
	on(s, get("/v1/wallets/{wallet}", "getWallet", "Show a wallet and its balance"), s.getWallet)
	on(s, get("/v1/wallets/{wallet}/addresses", "listAddresses", "List the addresses of a wallet to receive at"), s.listAddresses)
	on(s, s.change("/v1/wallets/{wallet}/addresses", "newAddress", "Hand out a wallet's next address", http.StatusCreated), s.newAddress)
	on(s, get("/v1/wallets/{wallet}/deposits", "listDeposits", "List what came in to a wallet, newest first, at most the last 1,000"), s.listDeposits)
}

func (s *server) listVaults(_ context.Context, in *Paging) (out *answer[api.Page[api.Vault]], err error) {
	err = s.view(func(st *state.State) error {
		out, err = page(st.VaultList(), *in, func(v *custody.Vault) string { return v.ID.String() }, func(v *custody.Vault) api.Vault {
			return api.Vault{ID: v.ID.String(), Institution: string(v.Institution), Domain: string(v.Domain), Purpose: string(v.Purpose)}
		})
		return err
	})
	return out, err
}

func (s *server) listWallets(_ context.Context, in *Paging) (out *answer[api.Page[api.Wallet]], err error) {
	err = s.view(func(st *state.State) error {
		out, err = page(st.WalletList(), *in, func(w *custody.Wallet) string { return w.ID.String() }, showWallet)
		return err
	})
	return out, err
}

func showWallet(w *custody.Wallet) api.Wallet {
	return api.Wallet{ID: w.ID.String(), Vault: w.Vault.String(), Network: string(w.Network), Key: w.Key.String(), Path: w.Path}
}

// wallet finds the wallet of a call's path.
func (s *server) wallet(text string) (w custody.Wallet, err error) {
	id, err := parseID[custody.Wallet]("wallet", text)
	if err != nil {
		return w, err
	}
	return w, s.view(func(st *state.State) error {
		found := st.Wallet(id)
		if found == nil {
			return missing("wallet")
		}
		w = *found
		return nil
	})
}

func (s *server) getWallet(ctx context.Context, in *WalletPath) (*answer[api.Wallet], error) {
	w, err := s.wallet(in.ID)
	if err != nil {
		return nil, err
	}
	b, err := s.store.Balance(ctx, w.ID)
	if err != nil {
		return nil, err
	}
	out := &answer[api.Wallet]{showWallet(&w)}
	own := state.NativeAsset(w.Network)
	out.Body.Balance = &api.Balance{Confirmed: amount(b.Confirmed, own), Unconfirmed: amount(b.Unconfirmed, own)}
	return out, nil
}

func (s *server) listAddresses(ctx context.Context, in *walletList) (*answer[api.Page[api.Address]], error) {
	w, err := s.wallet(in.ID)
	if err != nil {
		return nil, err
	}
	list, err := s.store.Addresses(ctx, w.ID, receiving)
	if err != nil {
		return nil, err
	}
	return page(list, in.Paging, func(a store.Address) string { return strconv.FormatUint(uint64(a.Index), 10) }, func(a store.Address) api.Address {
		return api.Address{Address: string(a.Address), Path: addressPath(&w, a.Index), Index: a.Index, Created: instant(a.Created)}
	})
}

func addressPath(w *custody.Wallet, index uint32) string {
	return derive.Path{w.Path, receiving, index}.String()
}

func (s *server) newAddress(ctx context.Context, in *WalletPath) (*answer[api.Address], error) {
	w, err := s.wallet(in.ID)
	if err != nil {
		return nil, err
	}
	index, address, err := s.desk.NewAddress(ctx, w.ID)
	if err != nil {
		return nil, err
	}
	return &answer[api.Address]{api.Address{Address: string(address), Path: addressPath(&w, index), Index: index}}, nil
}

func (s *server) listDeposits(ctx context.Context, in *walletList) (*answer[api.Page[api.Deposit]], error) {
	w, err := s.wallet(in.ID)
	if err != nil {
		return nil, err
	}
	list, err := s.store.Deposits(ctx, w.ID, store.MaxPage)
	if err != nil {
		return nil, err
	}
	own := state.NativeAsset(w.Network)
	return page(list, in.Paging, func(d store.Deposit) string { return string(d.Outpoint) }, func(d store.Deposit) api.Deposit {
		transaction, output, _ := strings.Cut(string(d.Outpoint), ":")
		n, _ := strconv.ParseUint(output, 10, 32) // an outpoint has this form
		out := api.Deposit{
			Transaction: transaction, Output: uint32(n), Wallet: w.ID.String(), Index: d.Index,
			Amount: amount(d.Amount, own), State: string(d.State), Depth: int64(d.Confirmations),
		}
		if d.Height > 0 {
			height := int64(d.Height)
			out.Height = &height
		}
		return out
	})
}
