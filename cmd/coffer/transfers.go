package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/api/client"
	"github.com/cofferhq/coffer/internal/custody"
)

func newTransfers() *cobra.Command {
	conn, cmd := clientGroup("transfers", "Pay, and follow payments", `A transfer is an intent to pay from a wallet. Nodes sign its transaction once policy lets
it, and never before.`, "coffer transfers create --from 019f0000-0000-7000-8000-000000000003 --to destination:019f0000-0000-7000-8000-000000000004 --amount 0.3")
	cmd.AddCommand(newTransfersCreate(conn), newTransfersList(conn), newTransfersShow(conn), newTransfersEvidence(conn))
	return cmd
}

// transferFlags say what is to be paid.
type transferFlags struct {
	proposeFlags
	from, to, amount, unit, feeLimit, country, externalID string
	dryRun                                                bool
}

// defaultFeeLimit is the fee limit of a Bitcoin transfer unless given, in satoshi.
const defaultFeeLimit = 10_000

func newTransfersCreate(conn *connection) *cobra.Command {
	f := new(transferFlags)
	cmd := &cobra.Command{
		Use:   "create --from WALLET --to ADDRESS|wallet:ID[/INDEX]|destination:ID --amount AMOUNT",
		Short: "Ask for a payment",
		Long: `Ask for a payment. --to is an entry of the address book (destination:ID), a wallet of
this deployment (wallet:ID, wallet:ID/3 for its address 3), or an address that nobody
knows, which needs --country.

Amounts are decimal numbers in --unit, exact: more decimals than the unit has are
refused. --fee-limit is the most that the network may get, in the same unit; 0.0001 BTC
unless given. --dry-run only says what policy would decide, signs nothing, and leaves
nothing on record. --external-id is your own name for the payment; the server takes one
once, so that no payment is made twice.

With --wait it is done once the transaction is CONFIRMED.

` + proposeLong,
		Example: `  coffer transfers create --from 019f0000-0000-7000-8000-000000000003 --to destination:019f0000-0000-7000-8000-000000000004 --amount 0.3 --wait
  coffer transfers create --from 019f0000-0000-7000-8000-000000000003 --to bcrt1q6z64a43mjgkcq0ul2znwneq3spghrlau9slefp --country SG --amount 30000 --unit sat --dry-run`,
		Args:                  noArguments,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, _ []string) error {
			if err := required(s.cmd, "from", "to", "amount"); err != nil {
				return err
			}
			body, err := f.body(s)
			if err != nil {
				return err
			}
			if f.dryRun {
				return s.simulate(body, f.json)
			}
			return s.propose(&f.proposeFlags, custody.TransferIntent, "", f.externalID, body)
		}),
	}
	cmd.Flags().StringVar(&f.from, "from", "", "wallet that pays")
	cmd.Flags().StringVar(&f.to, "to", "", "who receives: an address, wallet:ID[/INDEX] or destination:ID")
	cmd.Flags().StringVar(&f.amount, "amount", "", "how much, such as 0.3")
	cmd.Flags().StringVar(&f.unit, "unit", "btc", "btc or sat")
	cmd.Flags().StringVar(&f.feeLimit, "fee-limit", "", "most that the network may get (default 0.0001 BTC)")
	cmd.Flags().StringVar(&f.country, "country", "", "for an address: where its owner is (ISO 3166-1 alpha-2)")
	cmd.Flags().StringVar(&f.externalID, "external-id", "", "your own name for it, used once")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what policy would decide, and do nothing")
	f.add(cmd)
	return cmd
}

// body is the intent's body, without what the server fills in. The network is the one
// that the server says the wallet is on, and nodes check that it is.
func (f *transferFlags) body(s *session) (map[string]any, error) {
	wallet, err := parseID[custody.Wallet]("--from", f.from)
	if err != nil {
		return nil, err
	}
	to, err := f.recipient()
	if err != nil {
		return nil, err
	}
	decimals, ok := map[string]int{"btc": 8, "sat": 0}[f.unit]
	if !ok {
		return nil, usagef("--unit must be btc or sat, not %q", f.unit)
	}
	amount, err := parseAmount(f.amount, decimals)
	if err != nil {
		return nil, usagef("--amount: %v", err)
	}
	fee := custody.NewAmount(defaultFeeLimit)
	if s.cmd.Flags().Changed("fee-limit") {
		if fee, err = parseAmount(f.feeLimit, decimals); err != nil {
			return nil, usagef("--fee-limit: %v", err)
		}
	}
	w, err := s.Wallet(s.cmd.Context(), wallet)
	if err != nil {
		return nil, err
	}
	if _, ok := unitOf(custody.Network(w.Network)); !ok {
		return nil, usagef("--from: the wallet is on %s, and only Bitcoin's units are known", visible(w.Network))
	}
	if address, ok := to["address"]; ok {
		if err := checkAddress("to", custody.Network(w.Network), address.(custody.Address)); err != nil {
			return nil, err
		}
	}
	return map[string]any{"wallet": wallet, "network": w.Network, "amount": amount, "feeLimit": fee, "destination": to}, nil
}

// recipient reads --to.
func (f *transferFlags) recipient() (map[string]any, error) {
	kind, rest, named := strings.Cut(f.to, ":")
	if named && f.country != "" {
		return nil, usagef("--country is for an address alone: %ss have theirs on record", kind)
	}
	switch {
	case !named:
		if err := checkAll([]check{{"to", f.to, new(custody.Address)}}); err != nil {
			return nil, err
		}
		if f.country == "" {
			return nil, usagef("--country is required for an address that isn't named by destination:ID or wallet:ID")
		}
		if err := checkAll([]check{{"country", f.country, new(custody.Country)}}); err != nil {
			return nil, err
		}
		return map[string]any{"kind": custody.OneTime, "address": custody.Address(f.to), "country": f.country}, nil
	case kind == "destination":
		id, err := parseID[custody.Destination]("--to: destination", rest)
		return map[string]any{"destination": id}, err
	case kind == "wallet":
		name, number, indexed := strings.Cut(rest, "/")
		id, err := parseID[custody.Wallet]("--to: wallet", name)
		to := map[string]any{"wallet": id}
		if indexed && err == nil {
			index, bad := strconv.ParseUint(number, 10, 31)
			if bad != nil || strconv.FormatUint(index, 10) != number {
				return nil, usagef("--to: the index must be 0 to 2147483647")
			}
			if index > 0 { // 0 is what a missing one means
				to["index"] = index
			}
		}
		return to, err
	}
	return nil, usagef("--to must be an address, wallet:ID[/INDEX] or destination:ID")
}

// simulate says what policy would decide.
func (s *session) simulate(body map[string]any, asJSON bool) error {
	r, err := s.request(custody.TransferIntent, "", body)
	if err != nil {
		return err
	}
	d, err := s.Simulate(s.cmd.Context(), r)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(s.out(), d)
	}
	return written(printDecision(s.out(), d))
}

// printDecision prints what policy says, the way that is nearest first.
func printDecision(out io.Writer, d *api.Decision) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(cells ...string) {
		for i := range cells {
			cells[i] = visible(cells[i])
		}
		fmt.Fprintf(t, "%s\n", strings.Join(cells, "\t"))
	}
	line("outcome", d.Outcome)
	if d.Rule != "" {
		line("rule", d.Rule)
	}
	line("policy", fmt.Sprintf("version %d, hash %s", d.PolicyVersion, d.Policy))
	if len(d.Unknown) > 0 {
		line("unknown", strings.Join(d.Unknown, ", "))
	}
	for _, w := range d.Ways {
		line("way "+w.Rule, wayWords(w))
	}
	for _, m := range d.Trail {
		about := []string{m.Effect}
		for _, s := range []string{m.Reason, m.Asks} {
			if s != "" {
				about = append(about, s)
			}
		}
		if !m.Certain {
			about = append(about, "if "+strings.Join(m.Unknown, ", ")+" make it match")
		}
		line("matches "+m.Rule, strings.Join(about, ", "))
	}
	return t.Flush()
}

// wayWords says what a way in asks for, and what of it is missing.
func wayWords(w api.Way) string {
	if len(w.Missing) == 0 {
		return w.Asks + "; nothing is missing"
	}
	return w.Asks + "; missing " + strings.Join(w.Missing, ", ")
}

// queryFlags narrow a list of intents.
type queryFlags struct {
	state, initiator string
	limit            int
}

func (f *queryFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.state, "state", "", "only those in a state, such as PENDING_APPROVAL")
	cmd.Flags().StringVar(&f.initiator, "initiator", "", "only those of a person")
	cmd.Flags().IntVar(&f.limit, "limit", 50, "how many at most, newest first")
}

func (f *queryFlags) query() (client.Query, error) {
	if f.limit < 1 || f.limit > mostListed {
		return client.Query{}, usagef("--limit must be 1 to %d, not %d", mostListed, f.limit)
	}
	if f.initiator != "" {
		if err := checkAll([]check{{"initiator", f.initiator, new(custody.ID[custody.Person])}}); err != nil {
			return client.Query{}, err
		}
	}
	state := custody.IntentState(f.state)
	known := f.state == ""
	for _, n := range custody.IntentLife.States {
		known = known || n.State == state
	}
	if !known {
		return client.Query{}, usagef("--state: no state is called %q", f.state)
	}
	return client.Query{State: state, Initiator: f.initiator}, nil
}

func newTransfersList(conn *connection) *cobra.Command {
	var f queryFlags
	cmd := lister(conn, "list", "List transfers", "List transfers, newest first, as the server has them.", "transfer created state amount to",
		func(s *session) ([]api.Transfer, error) {
			q, err := f.query()
			if err != nil {
				return nil, err
			}
			return collect(f.limit, func(limit int, cursor string) (*api.Page[api.Transfer], error) {
				q.Limit, q.Cursor = limit, cursor
				return s.Transfers(s.cmd.Context(), q)
			})
		},
		func(t api.Transfer) []string {
			return []string{t.ID, second(t.Created), t.State, shownAmount(t.Amount), t.Destination.Address}
		})
	cmd.Example = "  coffer transfers list\n  coffer transfers list --state PENDING_APPROVAL --json"
	f.add(cmd)
	return cmd
}

// second writes a time of the server's.
func second(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func newTransfersShow(conn *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Print a transfer and its transactions",
		Long: `Print a transfer as the server has it: where it is, what it waits for, who approved it,
by which rule it was let in, and its transactions. What is proved by signatures is in
its evidence: see coffer transfers evidence.

--json prints one object, as the API has it.`,
		Example:               "  coffer transfers show 019f0000-0000-7000-8000-000000000005",
		Args:                  oneID,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, args []string) error {
			id, err := parseID[custody.Intent]("ID", args[0])
			if err != nil {
				return err
			}
			t, err := s.Transfer(s.cmd.Context(), id)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(s.out(), t)
			}
			return printTransfer(s.out(), t)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printTransfer(out io.Writer, t *api.Transfer) error {
	to := t.Destination
	about := []string{to.Kind}
	for _, s := range []string{to.Wallet, to.Destination, to.Country} {
		if s != "" {
			about = append(about, s)
		}
	}
	fields := []field{
		{"transfer", t.ID},
		{"state", t.State},
		{"reason", t.Reason},
		{"rule", t.Rule},
		{"waiting", strings.TrimPrefix(t.WaitingFor, "waits ")},
		{"amount", shownAmount(t.Amount)},
		{"fee limit", shownAmount(t.FeeLimit)},
		{"from", t.Wallet},
		{"to", fmt.Sprintf("%s (%s)", to.Address, strings.Join(about, ", "))},
		{"initiator", t.Initiator},
		{"created", second(t.Created)},
		{"expires", second(t.Expires)},
		{"external id", t.ExternalID},
		{"witnessed", yesNo(t.Witnessed)},
	}
	fields = append(fields, approvalFields(t.Approvals, t.Opened)...)
	for _, x := range t.Transactions {
		about := x.State + ", fee " + shownAmount(x.Fee)
		if x.Height != nil {
			about += fmt.Sprintf(", block %d, %s", *x.Height, count(int(x.Depth), "confirmation"))
		}
		if x.Transaction != "" {
			about = x.Transaction + " " + about
		}
		fields = append(fields, field{"transaction", about})
	}
	return printFields(out, fields)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// approvalFields says who said what, and which rule let it in.
func approvalFields(given []api.Given, opened *api.Opened) []field {
	var out []field
	for _, g := range given {
		out = append(out, field{"said " + g.Verdict, fmt.Sprintf("person %s by %s, entry %d", g.Person, g.Kind, g.Index)})
	}
	if opened != nil {
		out = append(out, field{"let in by", fmt.Sprintf("rule %s, entry %d, %s", opened.Rule, opened.Index, second(opened.Time))})
	}
	return out
}

func newTransfersEvidence(conn *connection) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "evidence ID --out FILE",
		Short: "Save the proof that a transfer was rightly signed",
		Long: `Save the evidence bundle of a transfer, after checking it as coffer verify does, under
the pinned charter. A bundle shows all addresses of its key: it is confidential to the
vault, and only its owner can read the file. FILE isn't overwritten.

` + exitStatuses,
		Example:               "  coffer transfers evidence 019f0000-0000-7000-8000-000000000005 --out payment.bundle.json",
		Args:                  oneID,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, args []string) error {
			if out == "" {
				return usagef("--out is required")
			}
			id, err := parseID[custody.Intent]("ID", args[0])
			if err != nil {
				return err
			}
			raw, report, err := s.VerifiedEvidence(s.cmd.Context(), id)
			if err != nil {
				return err
			}
			if err := create(out, privateMode, raw); err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.out(), "verified  %s\nevidence  %s\n", count(len(report.Checks), "check"), out)
			return written(err)
		}),
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write, which isn't there yet")
	return cmd
}

// privateMode is of files that their owner alone can read.
const privateMode = 0o600
