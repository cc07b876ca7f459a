package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newPolicyCurrent() *cobra.Command {
	var asJSON bool
	conn := new(connection)
	cmd := &cobra.Command{
		Use:   "current",
		Short: "Print the policy in force in a deployment",
		Long: `Print the policy in force, as signer nodes decide by it. It is read from the journal's
governance entries, verified from the pinned charter: the server can hold back a newer
one for a while, and can't show a false one.

--json prints one object: version, hash, text and charter (the charter's hash).

` + exitStatuses,
		Example:               "  coffer policy current",
		Args:                  noArguments,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, _ []string) error {
			on, err := s.Governance(s.cmd.Context())
			if err != nil {
				return err
			}
			p := on.PolicyInForce()
			if p == nil {
				return errors.New("no policy is on record")
			}
			if asJSON {
				return printJSON(s.out(), shownPolicy{p.Version, p.Hash().String(), p.String(), s.charter.String()})
			}
			for line := range strings.Lines(p.String()) {
				if _, err := fmt.Fprintln(s.out(), visible(strings.TrimSuffix(line, "\n"))); err != nil {
					return written(err)
				}
			}
			return nil
		}),
	}
	conn.flag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// shownPolicy is what `policy current --json` prints.
type shownPolicy struct {
	Version int64  `json:"version"`
	Hash    string `json:"hash"`
	Text    string `json:"text"`
	Charter string `json:"charter"`
}
