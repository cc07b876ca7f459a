package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/api/client"
	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/chain/chains"
	"github.com/cofferhq/coffer/internal/custody"
)

const networkUsage = "bitcoin, testnet3, testnet4, signet, regtest or a CAIP-2 id"

// networkNames are short for CAIP-2 ids.
var networkNames = map[string]custody.Network{
	"bitcoin": bitcoin.Mainnet, "testnet3": bitcoin.Testnet3, "testnet4": bitcoin.Testnet4, "signet": bitcoin.Signet, "regtest": bitcoin.Regtest,
}

func parseNetwork(s string) (custody.Network, error) {
	if n, ok := networkNames[s]; ok {
		return n, nil
	}
	var n custody.Network
	if err := n.UnmarshalText([]byte(s)); err != nil {
		return "", usagef("--network must be %s", networkUsage)
	}
	return n, nil
}

// checkAddress refuses an address that its network can't pay, such as a mistyped one,
// where the network is one that we know.
func checkAddress(flag string, n custody.Network, a custody.Address) error {
	family, err := chains.For(n)
	if err != nil {
		return nil //nolint:nilerr // another network's addresses are the nodes' to check
	}
	if err := family.CheckAddress(n, a); err != nil {
		return usagef("--%s: %v", flag, err)
	}
	return nil
}

func newWallets() *cobra.Command {
	conn, cmd := clientGroup("wallets", "Make wallets, see what they hold, receive", `A wallet is a vault on one network, controlled by one key.`, "coffer wallets list")
	list := lister(conn, "list", "List the wallets", "List the wallets on record, as the server has them; wallets show has the balance.", "wallet vault network key",
		func(s *session) ([]api.Wallet, error) {
			return collect(0, func(limit int, cursor string) (*api.Page[api.Wallet], error) {
				return s.Wallets(s.cmd.Context(), limit, cursor)
			})
		},
		func(w api.Wallet) []string { return []string{w.ID, w.Vault, w.Network, w.Key} })
	list.Example = "  coffer wallets list"
	cmd.AddCommand(newWalletsCreate(conn), list, newWalletsShow(conn), newWalletsAddress(conn), newWalletsDeposits(conn))
	return cmd
}

func newWalletsCreate(conn *connection) *cobra.Command {
	var f proposeFlags
	var vault, network, key string
	cmd := &cobra.Command{
		Use:   "create --vault ID --network NETWORK --key ID",
		Short: "Make a wallet",
		Long: `Ask for a wallet of a vault on a network, at the next path of a key that is free there.

` + proposeLong,
		Example:               "  coffer wallets create --vault 019f0000-0000-7000-8000-000000000001 --network regtest --key 019f0000-0000-7000-8000-000000000002",
		Args:                  noArguments,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, _ []string) error {
			if err := required(s.cmd, "vault", "network", "key"); err != nil {
				return err
			}
			if err := checkAll([]check{{"vault", vault, new(custody.ID[custody.Vault])}, {"key", key, new(custody.ID[custody.Key])}}); err != nil {
				return err
			}
			on, err := parseNetwork(network)
			if err != nil {
				return err
			}
			return s.propose(&f, custody.WalletCreateIntent, "", "", map[string]any{"wallet": map[string]any{"vault": vault, "network": on, "key": key}})
		}),
	}
	cmd.Flags().StringVar(&vault, "vault", "", "vault that it belongs to")
	cmd.Flags().StringVar(&network, "network", "", networkUsage)
	cmd.Flags().StringVar(&key, "key", "", "key that controls it")
	f.add(cmd)
	return cmd
}

func newWalletsShow(conn *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Print a wallet and its balance",
		Long: `Print a wallet and what it holds, as the server's network node sees it: confirmed in
blocks, and seen in none yet.

--json prints one object, as the API has it.`,
		Example:               "  coffer wallets show 019f0000-0000-7000-8000-000000000003",
		Args:                  oneID,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, args []string) error {
			id, err := parseID[custody.Wallet]("ID", args[0])
			if err != nil {
				return err
			}
			w, err := s.Wallet(s.cmd.Context(), id)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(s.out(), w)
			}
			fields := []field{
				{"wallet", w.ID}, {"vault", w.Vault}, {"network", w.Network}, {"key", w.Key}, {"path", fmt.Sprintf("m/%d", w.Path)},
			}
			if w.Balance != nil {
				fields = append(fields, field{"confirmed", shownAmount(w.Balance.Confirmed)}, field{"unconfirmed", shownAmount(w.Balance.Unconfirmed)})
			}
			return printFields(s.out(), fields)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// shownAmount writes an amount that the server states, by its units alone.
func shownAmount(a api.Amount) string {
	units, err := custody.ParseAmount(a.Units)
	var asset custody.Asset
	if err != nil || asset.UnmarshalText([]byte(a.Asset)) != nil {
		return a.Units + " base units of " + a.Asset
	}
	return amountWords(units, asset)
}

func newWalletsAddress(conn *connection) *cobra.Command {
	var fresh, verify, asJSON bool
	var index uint32
	cmd := &cobra.Command{
		Use:   "address ID [--new | --index N] [--verify]",
		Short: "Print an address to receive at",
		Long: `Print an address of a wallet: the newest that was given out, the next one with --new, or
the one at --index.

--verify computes the address again, from the key that the nodes attested and the wallet
that people made, both under a head that the witnesses of the pinned charter cosigned,
and says so. An address that is another one is refused: the server lies, and whoever
sends to what it says loses money. With --new this is always checked.

--json prints one object: address, path, index and verified, with --verify also wallet,
key and charter.

` + exitStatuses,
		Example: `  coffer wallets address 019f0000-0000-7000-8000-000000000003 --new
  coffer wallets address 019f0000-0000-7000-8000-000000000003 --index 0 --verify`,
		Args:                  oneID,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, args []string) error {
			id, err := parseID[custody.Wallet]("ID", args[0])
			if err != nil {
				return err
			}
			at := s.cmd.Flags().Changed("index")
			if fresh && at {
				return usagef("--new and --index exclude each other")
			}
			a, proof, err := s.address(id, fresh, verify, at, index)
			if err != nil {
				return err
			}
			return s.printAddress(a, proof, verify, asJSON)
		}),
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&fresh, "new", false, "give out the next address")
	cmd.Flags().Uint32Var(&index, "index", 0, "which address of the wallet")
	cmd.Flags().BoolVar(&verify, "verify", false, "compute it from the nodes' evidence and say what was checked")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// address finds an address of a wallet. Whatever was verified has a proof.
func (s *session) address(id custody.ID[custody.Wallet], fresh, verify, at bool, index uint32) (*api.Address, *client.AddressProof, error) {
	ctx := s.cmd.Context()
	if fresh {
		return s.NewAddress(ctx, id)
	}
	all, err := collect(0, func(limit int, cursor string) (*api.Page[api.Address], error) {
		return s.Addresses(ctx, id, limit, cursor)
	})
	if err != nil {
		return nil, nil, err
	}
	var found *api.Address
	for i := range all {
		if at && all[i].Index == index || !at && (found == nil || all[i].Index > found.Index) {
			found = &all[i]
		}
	}
	switch {
	case found == nil && at:
		return nil, nil, &custody.Error{Code: custody.NotFound, Message: fmt.Sprintf("the wallet has not given out address %d", index)}
	case found == nil:
		return nil, nil, &custody.Error{Code: custody.NotFound, Message: "the wallet has given out no address: --new does"}
	case !verify:
		return found, nil, nil
	}
	computed, proof, err := s.VerifiedAddress(ctx, id, found.Index)
	if err != nil {
		return nil, nil, err
	}
	// The list is asked for again there.
	if found.Address != string(computed) {
		return nil, nil, &client.FalseAddress{Server: custody.Address(found.Address), Computed: computed}
	}
	found.Path = proof.Path
	return found, proof, nil
}

// shownAddress is what `wallets address --json` prints.
type shownAddress struct {
	Address  string `json:"address"`
	Path     string `json:"path"`
	Index    uint32 `json:"index"`
	Verified bool   `json:"verified"`
	Wallet   string `json:"wallet,omitempty"`
	Key      string `json:"key,omitempty"`
	Charter  string `json:"charter,omitempty"`
}

func (s *session) printAddress(a *api.Address, proof *client.AddressProof, explain, asJSON bool) error {
	shown := shownAddress{Address: a.Address, Path: a.Path, Index: a.Index, Verified: proof != nil}
	if proof != nil {
		shown.Wallet, shown.Key, shown.Charter = proof.Wallet.ID.String(), proof.Key.ID.String(), s.charter.String()
	}
	if asJSON {
		return printJSON(s.out(), shown)
	}
	if proof == nil || !explain {
		return printAddressAlone(s.out(), a)
	}
	return printFields(s.out(), []field{
		{"address", a.Address},
		{"verified", "computed here; the server's is the same"},
		{"path", proof.Path},
		{"wallet", fmt.Sprintf("%s of vault %s on %s", proof.Wallet.ID, proof.Wallet.Vault, proof.Wallet.Network)},
		{"key", fmt.Sprintf("%s, epoch %d, attested by %s", proof.Key.ID, proof.Key.Epoch, count(len(proof.Key.Set.Members), "node"))},
		{"charter", shown.Charter},
	})
}

func printAddressAlone(out io.Writer, a *api.Address) error {
	_, err := fmt.Fprintln(out, visible(a.Address))
	return written(err)
}

func newWalletsDeposits(conn *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:                   "deposits ID",
		Short:                 "List what came in",
		Long:                  "List what came in to a wallet, as the server's network node sees it.\n\n--json prints one array, of objects as the API has them.",
		Example:               "  coffer wallets deposits 019f0000-0000-7000-8000-000000000003",
		Args:                  oneID,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, args []string) error {
			id, err := parseID[custody.Wallet]("ID", args[0])
			if err != nil {
				return err
			}
			all, err := collect(0, func(limit int, cursor string) (*api.Page[api.Deposit], error) {
				return s.Deposits(s.cmd.Context(), id, limit, cursor)
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(s.out(), all)
			}
			rows := make([][]string, len(all))
			for i, d := range all {
				rows[i] = []string{shownAmount(d.Amount), d.State, strconv.FormatInt(d.Depth, 10), strconv.FormatUint(uint64(d.Index), 10), fmt.Sprintf("%s:%d", d.Transaction, d.Output)}
			}
			return printTable(s.out(), "amount state confirmations address transaction", rows)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
