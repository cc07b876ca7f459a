package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/api"
)

func newNodes() *cobra.Command {
	conn, cmd := clientGroup("nodes", "See the signer nodes", `A signer node holds shares of keys and decides for itself, from the journal, what it
signs.`, "coffer nodes list")
	list := lister(conn, "list", "List the signer nodes", "List the signer nodes on record, and what the server knows of them now.",
		"node institution jurisdiction sealing reachable entries seen",
		func(s *session) ([]api.Node, error) {
			return collect(0, func(limit int, cursor string) (*api.Page[api.Node], error) {
				return s.Nodes(s.cmd.Context(), limit, cursor)
			})
		},
		func(n api.Node) []string {
			seen := ""
			if n.LastSeen != nil {
				seen = second(*n.LastSeen)
			}
			return []string{n.ID, n.Institution, n.Jurisdiction, n.Sealing, yesNo(n.Reachable), strconv.FormatInt(n.Size, 10), seen}
		})
	list.Example = "  coffer nodes list"
	cmd.AddCommand(list)
	return cmd
}
