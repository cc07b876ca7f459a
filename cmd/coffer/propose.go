package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/api/client"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
)

const proposeLong = `What will be signed is compared with what was asked for and told in plain words, read
from the very bytes; yes on the terminal, or --yes, signs it with the device key of the
profile. Words and progress are on stderr, the result is on stdout.

--wait shows each state with its reason and what it waits for. With it, an intent that
ends otherwise has exit status 5 if policy blocks it and 1 else.

--json prints one object: intent (its id), state, and what else there is of reason,
rule, waitingFor, vault, wallet, key, destination (the id of what it makes) and
transaction.

` + exitStatuses

// approvalFlags are those of every command that signs.
type approvalFlags struct {
	yes        bool
	json       bool
	passphrase string
}

func (f *approvalFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.passphrase, "passphrase-file", "", passphraseUsage)
	cmd.Flags().BoolVar(&f.yes, "yes", false, "sign without asking")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

// proposeFlags are those of every command that makes an intent.
type proposeFlags struct {
	approvalFlags
	wait bool
}

func (f *proposeFlags) add(cmd *cobra.Command) {
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&f.wait, "wait", false, "wait until it is done")
	f.approvalFlags.add(cmd)
}

// request is what is asked of the server to prepare. It never sends what it leaves to
// the server.
func (s *session) request(t custody.IntentType, domain string, body map[string]any) (api.PrepareRequest, error) {
	if s.profile.person == (custody.ID[custody.Person]{}) {
		return api.PrepareRequest{}, usagef("%s: person is missing, and is needed to ask for anything", s.profile.name)
	}
	raw, err := json.Marshal(body)
	return api.PrepareRequest{Type: string(t), Initiator: s.profile.Person, Domain: domain, Body: raw}, err
}

// propose carries an intent from the request to the record: prepared, compared, told,
// signed, submitted.
func (s *session) propose(f *proposeFlags, t custody.IntentType, domain, externalID string, body map[string]any) error {
	r, err := s.request(t, domain, body)
	if err != nil {
		return err
	}
	if s.profile.Key == "" {
		return usagef("%s: key is missing, and is needed to sign", s.profile.name)
	}
	ctx := s.cmd.Context()
	p, err := s.Prepare(ctx, r)
	if err != nil {
		return err
	}
	entry, err := s.entry(ctx, p.Intent)
	if err != nil {
		return err
	}
	if got := recipientOf(p.Intent).Address; entry != nil && entry.Address != got {
		return &client.Difference{Field: "body.destination.address", Asked: string(entry.Address), Got: string(got)}
	}
	text, err := intentWords(p.Intent, p.Digest, entry)
	if err != nil {
		return err
	}
	evidence, err := s.sign(&f.approvalFlags, text, "Type yes to sign this: ", p.Submit)
	if err != nil {
		return err
	}
	in, err := s.Submit(ctx, p, evidence, externalID)
	if err != nil {
		return err
	}
	s.say("submitted  %s\n", p.Intent.ID)
	done := progress{intent: in}
	if f.wait {
		if done, err = s.follow(ctx, p.Intent, defaultGoal(p.Intent.Type)); err != nil {
			return err
		}
	} else if err := done.failure(); err != nil {
		return err
	}
	return s.printOutcome(done, p.Intent, f.json)
}

// tell says in words what an intent asks for.
func (s *session) tell(ctx context.Context, in *custody.Intent, digest custody.Hash) (string, error) {
	entry, err := s.entry(ctx, in)
	if err != nil {
		return "", err
	}
	return intentWords(in, digest, entry)
}

// entry is the entry of the address book that an intent pays to, as witnesses cosigned
// it; nil if there is none, or it is too new for that.
func (s *session) entry(ctx context.Context, in *custody.Intent) (*custody.Destination, error) {
	to := recipientOf(in)
	if to.Destination == (custody.ID[custody.Destination]{}) {
		return nil, nil
	}
	on, err := s.Governance(ctx)
	if err != nil {
		return nil, err
	}
	return on.Destination(to.Destination), nil
}

func recipientOf(in *custody.Intent) custody.Recipient {
	switch b := in.Body.(type) {
	case *custody.Transfer:
		return b.Destination
	case *custody.ContractCall:
		return b.Destination
	}
	return custody.Recipient{}
}

// sign shows a text, asks, opens the device key of the profile and signs a hash.
func (s *session) sign(f *approvalFlags, text, question string, hash custody.Hash) (custody.Evidence, error) {
	s.say("%s\n", text)
	if !f.yes {
		if err := confirm(s.cmd, question); err != nil {
			return custody.Evidence{}, err
		}
	}
	file := f.passphrase
	if file == "" {
		file = s.profile.PassphraseFile
	}
	passphrase, err := passphraseFrom(s.cmd, file, "Passphrase of "+s.profile.Key+": ")
	if err != nil {
		return custody.Evidence{}, err
	}
	key, err := keyfile.OpenDevice(s.profile.Key, passphrase)
	if err != nil {
		return custody.Evidence{}, asUsage(err)
	}
	signature, err := key.Sign(hash)
	if err != nil {
		return custody.Evidence{}, err
	}
	return custody.Evidence{Kind: custody.EvidenceKind(custody.Device), Credential: key.Public.ID, Signature: signature}, nil
}

// progress is how far an intent is. Transfer is there for transfers that were followed.
type progress struct {
	intent   *api.Intent
	transfer *api.Transfer
}

func (p progress) state() custody.IntentState { return custody.IntentState(p.intent.State) }

// failure is the error of an intent that ended without being carried out.
func (p progress) failure() error {
	if !custody.IntentLife.Ended(p.state()) {
		return nil
	}
	text := fmt.Sprintf("intent %s is %s", p.intent.ID, p.intent.State)
	if p.intent.Reason != "" {
		text += ": " + p.intent.Reason
	}
	if rule := "rule " + p.intent.Rule; p.intent.Rule != "" && p.intent.Reason != rule {
		text += ", by " + rule
	}
	if p.state() == custody.Blocked {
		return &statusError{custody.Denied.Handling().Exit, errors.New(text)}
	}
	return errors.New(text)
}

// transaction is the one that stands for a transfer: the newest that wasn't replaced.
func (p progress) transaction() *api.Transaction {
	if p.transfer == nil {
		return nil
	}
	for _, t := range slices.Backward(p.transfer.Transactions) {
		if t.State != string(custody.TxReplaced) {
			return &t
		}
	}
	return nil
}

// String says where it is, why, and what it waits for.
func (p progress) String() string {
	text := p.intent.State
	if p.intent.Reason != "" {
		text += ": " + p.intent.Reason
	}
	if t := p.transaction(); t != nil {
		text += ", transaction " + strings.TrimSpace(t.Transaction+" "+t.State)
		if t.Depth > 0 {
			text += ", " + count(int(t.Depth), "confirmation")
		}
	}
	if waits := waiting(p.intent); waits != "" {
		text += "; " + waits
	}
	return text
}

// waiting says what an intent waits for: as the server notes it, or else what the
// nearest way in lacks, or witnesses.
func waiting(in *api.Intent) string {
	if in.WaitingFor == "" && in.Decision != nil && len(in.Decision.Ways) > 0 && len(in.Decision.Ways[0].Missing) > 0 {
		return "waits for " + strings.Join(in.Decision.Ways[0].Missing, ", ")
	}
	if in.WaitingFor == "" && in.State == string(custody.Executed) && !in.Witnessed {
		return "waits for witnesses"
	}
	return in.WaitingFor
}

// The goals that an intent can be followed to.
const (
	goalAuthorized = "authorized"
	goalExecuted   = "executed"
	goalConfirmed  = "confirmed"
	goalFinal      = "final"
)

func defaultGoal(t custody.IntentType) string {
	if t == custody.TransferIntent {
		return goalConfirmed
	}
	return goalExecuted
}

// reached reports whether an intent is where it was followed to.
func (p progress) reached(goal string) bool {
	mined := func(states ...custody.TransactionState) bool {
		t := p.transaction()
		return t != nil && slices.Contains(states, custody.TransactionState(t.State))
	}
	switch goal {
	case goalAuthorized:
		return slices.Contains([]custody.IntentState{custody.AuthorizedState, custody.Executing, custody.Executed}, p.state())
	case goalConfirmed:
		return mined(custody.TxConfirmed, custody.TxFinalized)
	case goalFinal:
		return mined(custody.TxFinalized)
	default:
		// Before witnesses have cosigned it, nothing that it made can be verified.
		return p.state() == custody.Executed && p.intent.Witnessed
	}
}

// follow shows every change of an intent until it is where it should be, or has ended
// otherwise, which is an error.
func (s *session) follow(ctx context.Context, in *custody.Intent, goal string) (progress, error) {
	var now progress
	var shown string
	var failed error
	_, err := s.Wait(ctx, in.ID, func(latest *api.Intent) bool {
		now = progress{intent: latest}
		if in.Type == custody.TransferIntent {
			transfer, err := s.Transfer(ctx, in.ID)
			switch {
			case err == nil: // its state is newer than the one before
				now.transfer = transfer
				latest.State, latest.Reason, latest.Rule, latest.WaitingFor = transfer.State, transfer.Reason, transfer.Rule, transfer.WaitingFor
			case !client.Code(err).Handling().Retry: // what may pass is waited out
				failed = err
				return true
			}
		}
		if text := visible(now.String()); text != shown {
			s.say("  %s\n", text)
			shown = text
		}
		if now.reached(goal) {
			return true
		}
		failed = now.failure()
		return failed != nil
	})
	return now, errors.Join(failed, err)
}

// outcomeOf is what a command prints of an intent that it made or followed.
type outcomeOf struct {
	Intent      string `json:"intent"`
	State       string `json:"state"`
	Reason      string `json:"reason,omitempty"`
	Rule        string `json:"rule,omitempty"`
	WaitingFor  string `json:"waitingFor,omitempty"`
	Vault       string `json:"vault,omitempty"`
	Wallet      string `json:"wallet,omitempty"`
	Key         string `json:"key,omitempty"`
	Destination string `json:"destination,omitempty"`
	Transaction string `json:"transaction,omitempty"`
}

// printOutcome prints where an intent is and what it makes.
func (s *session) printOutcome(p progress, in *custody.Intent, asJSON bool) error {
	o := outcomeOf{Intent: in.ID.String(), State: p.intent.State, Reason: p.intent.Reason, Rule: p.intent.Rule, WaitingFor: waiting(p.intent)}
	switch b := in.Body.(type) {
	case *custody.VaultCreate:
		o.Vault = b.Vault.ID.String()
	case *custody.WalletCreate:
		o.Wallet = b.Wallet.ID.String()
	case *custody.KeyCeremony:
		o.Key = b.Key.String()
	case *custody.DestinationChange:
		o.Destination = b.Destination.ID.String()
	}
	if t := p.transaction(); t != nil {
		o.Transaction = t.Transaction
	}
	if asJSON {
		return printJSON(s.out(), o)
	}
	return printFields(s.out(), []field{
		{"intent", o.Intent},
		{"state", o.State},
		{"reason", o.Reason},
		{"rule", o.Rule},
		{"waiting", strings.TrimPrefix(o.WaitingFor, "waits ")},
		{"vault", o.Vault},
		{"wallet", o.Wallet},
		{"key", o.Key},
		{"destination", o.Destination},
		{"transaction", o.Transaction},
	})
}
