package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
)

func newIntents() *cobra.Command {
	conn, cmd := clientGroup("intents", "Read, approve and reject what others ask for", `An intent is what somebody wants done: a payment, or a change of who may do what. Its
initiator signs it, and others say yes or no as policy asks.`, "coffer intents list --state PENDING_APPROVAL")
	cmd.AddCommand(newIntentsList(conn), newIntentsShow(conn), newIntentsSay(conn, custody.Yes), newIntentsSay(conn, custody.No), newIntentsWait(conn))
	return cmd
}

func newIntentsList(conn *connection) *cobra.Command {
	var f queryFlags
	var of string
	cmd := lister(conn, "list", "List intents", "List intents, newest first, as the server has them.", "intent created type state waiting",
		func(s *session) ([]api.Intent, error) {
			q, err := f.query()
			if err != nil {
				return nil, err
			}
			if of != "" {
				if err := checkAll([]check{{"type", of, &q.Type}}); err != nil {
					return nil, err
				}
			}
			return collect(f.limit, func(limit int, cursor string) (*api.Page[api.Intent], error) {
				q.Limit, q.Cursor = limit, cursor
				return s.Intents(s.cmd.Context(), q)
			})
		},
		func(in api.Intent) []string {
			return []string{in.ID, second(in.Created), in.Type, in.State, strings.TrimPrefix(waiting(&in), "waits ")}
		})
	cmd.Example = "  coffer intents list --state PENDING_APPROVAL\n  coffer intents list --type POLICY_CHANGE --limit 10"
	f.add(cmd)
	cmd.Flags().StringVar(&of, "type", "", "only those of a type, such as TRANSFER")
	return cmd
}

func newIntentsShow(conn *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Print what an intent asks for and where it is",
		Long: `Print what an intent asks for, in words read from its bytes, and where it is as the
server has it: who said what, and what policy still needs.

--json prints one object, as the API has it.

` + exitStatuses,
		Example:               "  coffer intents show 019f0000-0000-7000-8000-000000000005",
		Args:                  oneID,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, args []string) error {
			id, err := parseID[custody.Intent]("ID", args[0])
			if err != nil {
				return err
			}
			in, err := s.ForApproval(s.cmd.Context(), id)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(s.out(), in.Status)
			}
			text, err := s.tell(s.cmd.Context(), in.Intent, in.Digest)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprint(s.out(), text, "\n"); err != nil {
				return written(err)
			}
			return printFields(s.out(), statusFields(in.Status))
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// statusFields is what the server says about an intent.
func statusFields(in *api.Intent) []field {
	fields := []field{
		{"state", in.State},
		{"reason", in.Reason},
		{"rule", in.Rule},
		{"waiting", strings.TrimPrefix(waiting(in), "waits ")},
		{"external id", in.ExternalID},
		{"witnessed", yesNo(in.Witnessed)},
	}
	fields = append(fields, approvalFields(in.Approvals, in.Opened)...)
	if in.Decision != nil {
		for _, w := range in.Decision.Ways {
			fields = append(fields, field{"way " + w.Rule, wayWords(w)})
		}
	}
	return fields
}

// newIntentsSay is `intents approve` or `intents reject`.
func newIntentsSay(conn *connection, v custody.Verdict) *cobra.Command {
	var f approvalFlags
	use, short, question := "approve", "Say yes to an intent", "Type yes to approve this: "
	if v == custody.No {
		use, short, question = "reject", "Say no to an intent", "Type yes to REJECT this: "
	}
	cmd := &cobra.Command{
		Use:   use + " ID",
		Short: short,
		Long: short + `, by the device key of the profile. What it asks for is told in words read
from its bytes, with who asked and what policy still needs. What is signed is computed
from those bytes and the pinned charter: the server can't have another intent signed
than the one shown. Words are on stderr, the result is on stdout.

Whether your word counts is for policy to say.

--json prints one object: intent, state, and what else there is of reason, rule and
waitingFor.

` + exitStatuses,
		Example:               "  coffer intents " + use + " 019f0000-0000-7000-8000-000000000005",
		Args:                  oneID,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, args []string) error {
			id, err := parseID[custody.Intent]("ID", args[0])
			if err != nil {
				return err
			}
			if s.profile.Key == "" {
				return usagef("%s: key is missing, and is needed to sign", s.profile.name)
			}
			return s.speak(s.cmd.Context(), &f, id, v, question)
		}),
	}
	cmd.Flags().SortFlags = false
	f.add(cmd)
	return cmd
}

// speak signs a yes or no to an intent as it was shown.
func (s *session) speak(ctx context.Context, f *approvalFlags, id custody.ID[custody.Intent], v custody.Verdict, question string) error {
	in, err := s.ForApproval(ctx, id)
	if err != nil {
		return err
	}
	for _, g := range in.Status.Approvals {
		if g.Person == s.profile.Person && g.Verdict == string(v) {
			return &custody.Error{Code: custody.Conflict, Message: fmt.Sprintf("you have said %s to this intent already", v)}
		}
	}
	text, err := s.tell(ctx, in.Intent, in.Digest)
	if err != nil {
		return err
	}
	var status strings.Builder
	if err := printFields(&status, statusFields(in.Status)); err != nil {
		return err
	}
	hash := in.Yes
	if v == custody.No {
		hash = in.No
	}
	evidence, err := s.sign(f, text+"\n"+status.String(), question, hash)
	if err != nil {
		return err
	}
	after, err := s.Approve(ctx, id, v, evidence)
	if err != nil {
		return err
	}
	s.say("said %s to %s\n", v, id)
	return s.printOutcome(progress{intent: after}, in.Intent, f.json)
}

func newIntentsWait(conn *connection) *cobra.Command {
	var until string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "wait ID",
		Short: "Follow an intent until it is done",
		Long: `Follow an intent until it is where it should be. --until is

  authorized  policy lets it in
  executed    it was carried out, a transfer beyond undoing, and witnesses have cosigned
              that; the default for all but transfers
  confirmed   its transaction is as deep as the network's rule asks for; the default for
              transfers
  final       its transaction can't be undone

Each state is shown on stderr, with its reason and what it waits for.

--json prints one object, as coffer transfers create does.

Exit status 5 if policy blocks it, 1 if it ends otherwise without having been carried
out. ` + exitStatuses,
		Example:               "  coffer intents wait 019f0000-0000-7000-8000-000000000005 --until final",
		Args:                  oneID,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, args []string) error {
			id, err := parseID[custody.Intent]("ID", args[0])
			if err != nil {
				return err
			}
			switch until {
			case "", goalAuthorized, goalExecuted, goalConfirmed, goalFinal:
			default:
				return usagef("--until must be authorized, executed, confirmed or final, not %q", until)
			}
			in, err := s.ForApproval(s.cmd.Context(), id)
			if err != nil {
				return err
			}
			goal := until
			switch {
			case goal == "":
				goal = defaultGoal(in.Intent.Type)
			case in.Intent.Type != custody.TransferIntent && (goal == goalConfirmed || goal == goalFinal):
				return usagef("--until: %s has no transaction that could be %s", in.Intent.Type, goal)
			}
			done, err := s.follow(s.cmd.Context(), in.Intent, goal)
			if err != nil {
				return err
			}
			return s.printOutcome(done, in.Intent, asJSON)
		}),
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&until, "until", "", "authorized, executed, confirmed or final")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
