package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
)

func newKeys() *cobra.Command {
	conn, cmd := clientGroup("keys", "Make and list threshold keys", `A key is a public key whose private key exists only as shares, one or more at each
signer node. Nodes make it together; nobody ever has it.`, "coffer keys list")
	list := lister(conn, "list", "List the keys", "List the keys on record, as the server has them.", "key scheme epoch shares nodes",
		func(s *session) ([]api.Key, error) {
			return collect(0, func(limit int, cursor string) (*api.Page[api.Key], error) {
				return s.Keys(s.cmd.Context(), limit, cursor)
			})
		},
		func(k api.Key) []string {
			ids, nodes := setWords(k.SignerSet)
			return []string{k.ID, k.Scheme, strconv.FormatUint(uint64(k.Epoch), 10), ids, nodes}
		})
	list.Example = "  coffer keys list\n  coffer keys list --json"
	cmd.AddCommand(newKeysCreate(conn), list, newKeysShow(conn))
	return cmd
}

// setWords says how many shares sign, and who holds them.
func setWords(set api.SignerSet) (shares, nodes string) {
	total := 0
	names := make([]string, len(set.Members))
	for i, m := range set.Members {
		total += m.IDs
		names[i] = m.Node
	}
	return strconv.Itoa(set.Threshold) + "/" + strconv.Itoa(total), strings.Join(names, ",")
}

func newKeysCreate(conn *connection) *cobra.Command {
	var f proposeFlags
	var scheme string
	var threshold int
	cmd := &cobra.Command{
		Use:   "create --scheme bip340|ed25519",
		Short: "Let all nodes make a key together",
		Long: `Ask for a key ceremony among all signer nodes, with one share each. --threshold is how
many of them sign together; a majority unless given.

` + proposeLong,
		Example: `  coffer keys create --scheme bip340
  coffer keys create --scheme bip340 --threshold 2 --wait`,
		Args:                  noArguments,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, _ []string) error {
			of, ok := map[string]custody.Scheme{"bip340": custody.BIP340Secp256k1, "ed25519": custody.Ed25519}[scheme]
			if !ok {
				return usagef("--scheme must be bip340 or ed25519, not %q", scheme)
			}
			body := map[string]any{"ceremony": custody.Keygen, "scheme": of}
			if s.cmd.Flags().Changed("threshold") {
				if threshold < 2 || threshold > 16 {
					return usagef("--threshold must be 2 to 16, not %d", threshold)
				}
				body["signerSet"] = map[string]any{"threshold": threshold}
			}
			return s.propose(&f, custody.KeyCeremonyIntent, "", "", body)
		}),
	}
	cmd.Flags().StringVar(&scheme, "scheme", "", "bip340 for Bitcoin, or ed25519")
	cmd.Flags().IntVar(&threshold, "threshold", 0, "how many nodes sign together (default a majority)")
	f.add(cmd)
	return cmd
}

func newKeysShow(conn *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Print a key",
		Long: `Print a key as the server has it. The chain code isn't printed: with it all addresses of
the key show.

--json prints one object, as the API has it but for the chain code.`,
		Example:               "  coffer keys show 019f0000-0000-7000-8000-000000000001",
		Args:                  oneID,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, args []string) error {
			id, err := parseID[custody.Key]("ID", args[0])
			if err != nil {
				return err
			}
			k, err := s.Key(s.cmd.Context(), id)
			if err != nil {
				return err
			}
			k.ChainCode = ""
			if asJSON {
				return printJSON(s.out(), k)
			}
			shares, nodes := setWords(k.SignerSet)
			return printFields(s.out(), []field{
				{"key", k.ID},
				{"scheme", k.Scheme},
				{"public", k.PublicKey},
				{"epoch", strconv.FormatUint(uint64(k.Epoch), 10)},
				{"shares", shares + " sign"},
				{"nodes", nodes},
			})
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
