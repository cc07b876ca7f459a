package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
)

func newVaults() *cobra.Command {
	conn, cmd := clientGroup("vaults", "Make and list vaults", `A vault is a book of wallets with one owner and one purpose. Policy tells vaults apart.`,
		"coffer vaults create --purpose treasury --domain treasury/europe")
	list := lister(conn, "list", "List the vaults", "List the vaults on record, as the server has them.", "vault institution domain purpose",
		func(s *session) ([]api.Vault, error) {
			return collect(0, func(limit int, cursor string) (*api.Page[api.Vault], error) {
				return s.Vaults(s.cmd.Context(), limit, cursor)
			})
		},
		func(v api.Vault) []string { return []string{v.ID, v.Institution, v.Domain, v.Purpose} })
	list.Example = "  coffer vaults list"
	cmd.AddCommand(newVaultsCreate(conn), list)
	return cmd
}

func newVaultsCreate(conn *connection) *cobra.Command {
	var f proposeFlags
	var purpose, domain string
	cmd := &cobra.Command{
		Use:   "create --purpose PURPOSE --domain DOMAIN",
		Short: "Make a vault",
		Long: `Ask for a vault of your institution. --purpose says whose assets it holds: treasury,
client-segregated, client-omnibus, retail or issuance.

` + proposeLong,
		Example:               "  coffer vaults create --purpose treasury --domain treasury/europe",
		Args:                  noArguments,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, _ []string) error {
			if err := required(s.cmd, "purpose", "domain"); err != nil {
				return err
			}
			var of custody.Purpose
			if err := of.UnmarshalText([]byte(strings.ToUpper(strings.ReplaceAll(purpose, "-", "_")))); err != nil {
				return usagef("--purpose must be treasury, client-segregated, client-omnibus, retail or issuance, not %q", purpose)
			}
			var in custody.Domain
			if err := in.UnmarshalText([]byte(domain)); err != nil {
				return usagef("--domain: %v", err)
			}
			return s.propose(&f, custody.VaultCreateIntent, domain, "", map[string]any{"vault": map[string]any{"purpose": of, "domain": in}})
		}),
	}
	cmd.Flags().StringVar(&purpose, "purpose", "", "whose assets it holds")
	cmd.Flags().StringVar(&domain, "domain", "", "organisational unit, such as treasury/europe")
	f.add(cmd)
	return cmd
}
