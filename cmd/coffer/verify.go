package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
)

func newVerify() *cobra.Command {
	var trust, journal string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify BUNDLE --trust TRUST",
		Short: "Check offline that a transaction was rightly signed",
		Long: `Check an evidence bundle: that people approved the intent, that the policy in force
allowed it, that a quorum of witnesses saw it, and that exactly this transaction was
signed under the key that the charter's nodes made. It opens no connection and trusts
nothing but the trust file: one line, "charter HASH" or "snapshot HASH" (coffer
charter pin writes it).

Every check is listed with the key or hash that shows it. Proved follows from
signatures and hashes that were checked here. Attested was said by somebody whose
signature was checked. --journal FILE holds the whole journal, an entry a line; it is
replayed, and what bundles have as attested by the nodes, running totals, is proved.

A bundle shows all addresses of its key: it is confidential to the vault.

--json prints one object: verified, and charter, intent and checks (each of check,
standing, by and detail) or failed (of check and error).

Exit status: 0 verified; 1 not verified; 2 the command line is wrong, or a file that
it names can't be read.`,
		Example: `  coffer verify payment.bundle.json --trust trust
  coffer verify payment.bundle.json --trust trust --journal journal.jsonl`,
		Args:                  oneFile,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if trust == "" {
				return usagef("--trust is required")
			}
			report, err := verifyBundle(args[0], trust, journal)
			if _, failed := errors.AsType[*state.CheckError](err); err != nil && !failed {
				return err
			}
			if asJSON {
				err = errors.Join(printJSON(cmd.OutOrStdout(), verdictOf(report, err)), err)
			} else {
				err = errors.Join(written(printVerdict(cmd.OutOrStdout(), report, err)), err)
			}
			if err != nil {
				return fmt.Errorf("%s: not verified: %s", args[0], visible(err.Error()))
			}
			return nil
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&trust, "trust", "", "trust file")
	cmd.Flags().StringVar(&journal, "journal", "", "the whole journal, as JSON Lines")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func verifyBundle(bundle, trustFile, journal string) (*state.Report, error) {
	raw, err := readFile(trustFile, maxKeyFile)
	if err != nil {
		return nil, err
	}
	trust, err := state.ParseTrust(raw)
	if err != nil {
		return nil, usagef("%s: %v", trustFile, err)
	}
	if raw, err = readFile(bundle, state.MaxBundle); err != nil {
		return nil, err
	}
	if journal == "" {
		return state.Verify(raw, trust)
	}
	f, err := os.Open(journal) //nolint:gosec // the user names it
	if err != nil {
		return nil, usagef("%v", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	return state.VerifyWithJournal(raw, trust, linesOf(f))
}

// linesOf gives the lines of a journal, each its own.
func linesOf(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		s := bufio.NewScanner(r)
		s.Buffer(nil, custody.MaxEntry+2)
		for s.Scan() {
			if !yield(bytes.Clone(s.Bytes()), nil) {
				return
			}
		}
		if err := s.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// verdict is what `verify --json` prints.
type verdict struct {
	Verified bool                        `json:"verified"`
	Charter  *custody.Hash               `json:"charter,omitempty"`
	Intent   *custody.ID[custody.Intent] `json:"intent,omitempty"`
	Checks   []state.Check               `json:"checks,omitempty"`
	Failed   *failedCheck                `json:"failed,omitempty"`
}

type failedCheck struct {
	Check string `json:"check"`
	Error string `json:"error"`
}

func verdictOf(report *state.Report, err error) verdict {
	if failed, ok := errors.AsType[*state.CheckError](err); ok {
		return verdict{Failed: &failedCheck{failed.Check, failed.Err.Error()}}
	}
	return verdict{Verified: true, Charter: &report.Charter, Intent: &report.Intent, Checks: report.Checks}
}

func printVerdict(out io.Writer, report *state.Report, err error) error {
	if err != nil {
		_, failed := fmt.Fprintf(out, "FAILED: %s\n", visible(err.Error()))
		return failed
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "charter\t%s\nwords\t%s\nintent\t%s\n\n", report.Charter, words(report.Charter), report.Intent)
	fmt.Fprint(t, "check\tstanding\tby\twhat\n")
	for _, c := range report.Checks {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", c.Check, c.Standing, c.By, c.Detail)
	}
	fmt.Fprint(t, "\nVERIFIED\n")
	return t.Flush()
}
