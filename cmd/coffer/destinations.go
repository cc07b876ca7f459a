package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
)

func newDestinations() *cobra.Command {
	conn, cmd := clientGroup("destinations", "Keep the address book", `A destination is an entry of the address book, which people put there together. A
transfer to one asks policy for less than one to an address that nobody knows.`, "coffer destinations list")
	list := lister(conn, "list", "List the address book", "List the address book, as the server has it. Transfers show the entry as witnesses cosigned it.",
		"destination kind network address country counterparty tags",
		func(s *session) ([]api.Destination, error) {
			return collect(0, func(limit int, cursor string) (*api.Page[api.Destination], error) {
				return s.Destinations(s.cmd.Context(), limit, cursor)
			})
		},
		func(d api.Destination) []string {
			return []string{d.ID, d.Kind, d.Network, d.Address, d.Country, d.Counterparty, strings.Join(d.Tags, ",")}
		})
	list.Example = "  coffer destinations list"
	cmd.AddCommand(newDestinationsAdd(conn), list)
	return cmd
}

func newDestinationsAdd(conn *connection) *cobra.Command {
	var f proposeFlags
	var address, country, network, counterparty string
	var tags []string
	cmd := &cobra.Command{
		Use:   "add --address ADDRESS --country CC --network NETWORK",
		Short: "Put an address into the address book",
		Long: `Ask for an entry of the address book. --country is where the owner of the address is.
With --counterparty it is the address of a counterparty, otherwise allowlisted.

` + proposeLong,
		Example: `  coffer destinations add --network regtest --address bcrt1q6z64a43mjgkcq0ul2znwneq3spghrlau9slefp --country CH
  coffer destinations add --network bitcoin --address bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq --country SG --counterparty 5493001KJTIIGC8Y1R12 --tag exchange`,
		Args:                  noArguments,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, _ []string) error {
			if err := required(s.cmd, "address", "country", "network"); err != nil {
				return err
			}
			on, err := parseNetwork(network)
			if err != nil {
				return err
			}
			entry := map[string]any{"kind": custody.Allowlisted, "network": on, "address": address, "country": country}
			checks := []check{{"address", address, new(custody.Address)}, {"country", country, new(custody.Country)}}
			if counterparty != "" {
				entry["kind"], entry["counterparty"] = custody.Counterparty, counterparty
				checks = append(checks, check{"counterparty", counterparty, new(custody.LEI)})
			}
			if len(tags) > 0 {
				entry["tags"] = tags
			}
			for _, t := range tags {
				checks = append(checks, check{"tag", t, new(custody.Name)})
			}
			if err := checkAll(checks); err != nil {
				return err
			}
			if err := checkAddress("address", on, custody.Address(address)); err != nil {
				return err
			}
			return s.propose(&f, custody.DestinationChangeIntent, "", "", map[string]any{"action": custody.Put, "destination": entry})
		}),
	}
	cmd.Flags().StringVar(&address, "address", "", "as the network writes it")
	cmd.Flags().StringVar(&country, "country", "", "where its owner is (ISO 3166-1 alpha-2)")
	cmd.Flags().StringVar(&network, "network", "", networkUsage)
	cmd.Flags().StringVar(&counterparty, "counterparty", "", "LEI of the counterparty that it belongs to")
	cmd.Flags().StringArrayVar(&tags, "tag", nil, "word that policy can ask for; may be repeated")
	f.add(cmd)
	return cmd
}
