package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// intentWords says what an intent asks for, as its bytes have it, to whoever is about to
// sign it: a sentence, with the body where a sentence can't hold it, and what names the
// intent. entry is the verified entry of the address book that a transfer or call goes
// to; it may be nil.
func intentWords(in *custody.Intent, digest custody.Hash, entry *custody.Destination) (string, error) {
	sentence, details, err := asks(in, entry)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, until %s\n", sentence, in.Expires)
	for line := range strings.Lines(details) {
		b.WriteString(strings.TrimRight("    "+visible(strings.TrimSuffix(line, "\n")), " ") + "\n")
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range []field{
		{"for", fmt.Sprintf("institution %s, domain %s", in.Institution, in.Domain)},
		{"by", "person " + in.Initiator.String()},
		{"intent", fmt.Sprintf("%s %s", in.Type, in.ID)},
		{"digest", digest.String()},
		{"words", words(digest)},
	} {
		fmt.Fprintf(t, "  %s\t%s\n", f.name, f.value)
	}
	err = t.Flush()
	return b.String(), err
}

// asks is the sentence about an intent, and what belongs to it but doesn't fit in.
func asks(in *custody.Intent, entry *custody.Destination) (sentence, details string, err error) {
	switch b := in.Body.(type) {
	case *custody.Transfer:
		sentence = fmt.Sprintf("transfer %s from wallet %s to %s, fee at most %s", amountWords(b.Amount, b.Asset), b.Wallet,
			recipientWords(b.Destination, entry), feeWords(b.FeeLimit, b.Network))
		if b.Memo != (custody.Hash{}) {
			sentence += ", memo " + b.Memo.String()
		}
		return sentence + ", on " + string(b.Network), "", nil
	case *custody.ContractCall:
		sentence = fmt.Sprintf("call method %s of contract %s from wallet %s, which can move %s to %s, fee at most %s, on %s", b.Method, b.Contract,
			b.Wallet, amountWords(b.Amount, b.Asset), recipientWords(b.Destination, entry), feeWords(b.FeeLimit, b.Network), b.Network)
	case *custody.TypedMessage:
		sentence = fmt.Sprintf("sign a message of type %s for contract %s with wallet %s, which lets others move %s, on %s", b.PrimaryType, b.Contract,
			b.Wallet, amountWords(b.Amount, b.Asset), b.Network)
	case *custody.Repair:
		does := "replace the transaction of intent %s by the same with a higher fee, at most %s base units in all"
		if in.Type == custody.CancelIntent {
			does = "cancel the transaction of intent %s, for a fee of at most %s base units in all"
		}
		return fmt.Sprintf(does, b.Intent, b.FeeLimit), "", nil
	case *custody.PolicyChange:
		p, err := policy.Parse(b.Policy)
		if err != nil {
			return "", "", fmt.Errorf("body.policy: %w", err)
		}
		return "put another policy in force, the one below", p.String(), nil
	default:
		if sentence = changes(in); sentence != "" {
			return sentence, "", nil
		}
		sentence = fmt.Sprintf("carry out %s with the body below", in.Type)
	}
	details, err = indentedBody(in)
	return sentence, details, err
}

// recipientWords says who receives, and how well they are known.
func recipientWords(r custody.Recipient, entry *custody.Destination) string {
	about := []string{string(r.Kind)}
	switch r.Kind {
	case custody.OwnWallet:
		about = append(about, fmt.Sprintf("address %d of wallet %s", r.Index, r.Wallet))
	case custody.OneTime:
		about = append(about, string(r.Country))
	default:
		about = append(about, "destination "+r.Destination.String())
		switch {
		case entry == nil:
		case entry.Address != r.Address: // it was changed since
			about = append(about, fmt.Sprintf("which is ANOTHER ADDRESS now, %s", entry.Address))
		default:
			about = append(about, entryWords(entry)...)
		}
	}
	return fmt.Sprintf("%s (%s)", r.Address, strings.Join(about, ", "))
}

// entryWords says what the address book has about an address.
func entryWords(d *custody.Destination) []string {
	about := []string{string(d.Country)}
	if d.Counterparty != "" {
		about = append(about, "LEI "+string(d.Counterparty))
	}
	if d.Method != "" {
		about = append(about, "method "+string(d.Method)+" alone")
	}
	if len(d.Tags) > 0 {
		about = append(about, "tags "+joined(d.Tags))
	}
	return about
}

// changes is the sentence about those changes of the record that have one.
func changes(in *custody.Intent) string {
	switch b := in.Body.(type) {
	case *custody.KeyCeremony:
		return ceremonyWords(b)
	case *custody.VaultCreate:
		v := b.Vault
		return fmt.Sprintf("create vault %s of institution %s in domain %s, purpose %s", v.ID, v.Institution, v.Domain, v.Purpose)
	case *custody.WalletCreate:
		w := b.Wallet
		sentence := fmt.Sprintf("create wallet %s of vault %s on %s with key %s at m/%d", w.ID, w.Vault, w.Network, w.Key, w.Path)
		if w.Nonce > 0 {
			sentence += fmt.Sprintf(", first nonce %d", w.Nonce)
		}
		return sentence
	case *custody.DestinationChange:
		d := b.Destination
		what := fmt.Sprintf("%s on %s (%s, %s)", d.Address, d.Network, d.Kind, strings.Join(entryWords(&d), ", "))
		if b.Action == custody.Remove {
			return fmt.Sprintf("remove destination %s from the address book: %s", d.ID, what)
		}
		return fmt.Sprintf("put destination %s into the address book: %s", d.ID, what)
	case *custody.PersonChange:
		p := b.Person
		if b.Action == custody.Remove {
			return fmt.Sprintf("remove person %s with all credentials, from all groups", p.ID)
		}
		sentence := fmt.Sprintf("put person %s on record: %s, of institution %s, in %s", p.ID, p.Kind, p.Institution, p.Country)
		if len(p.Roles) > 0 {
			sentence += ", roles " + joined(p.Roles)
		}
		return sentence
	case *custody.ListChange:
		if b.Action == custody.Remove {
			return fmt.Sprintf("remove list %s", b.List)
		}
		return fmt.Sprintf("pin list %s to the bytes with SHA-256 %s", b.List, b.SHA256)
	case *custody.Freeze:
		return "freeze " + targetWords(b.Target)
	case *custody.HoldRelease:
		return "release " + targetWords(b.Target)
	case *custody.Upgrade:
		return fmt.Sprintf("go over to version %d of the rules", b.Rules)
	}
	return ""
}

func ceremonyWords(k *custody.KeyCeremony) string {
	does := map[custody.Ceremony]string{
		custody.Keygen:  "make key %s of %s",
		custody.Refresh: "make new shares of key %s of %s for the same nodes",
		custody.Reshare: "move the shares of key %s of %s",
		custody.Import:  "import key %s of %s",
		custody.Export:  "EXPORT the private key of key %s of %s, whole, out of its shares",
	}[k.Ceremony]
	ids := 0
	members := make([]string, len(k.Set.Members))
	for i, m := range k.Set.Members {
		ids += m.IDs
		members[i] = string(m.Node)
		if m.IDs > 1 {
			members[i] += fmt.Sprintf(" with %d shares", m.IDs)
		}
	}
	return fmt.Sprintf(does, k.Key, k.Scheme) + fmt.Sprintf(", held by %s: any %d of %d shares sign", strings.Join(members, ", "), k.Set.Threshold, ids)
}

func targetWords(t custody.Target) string {
	switch {
	case t.All:
		return "EVERYTHING"
	case t.Intent != custody.ID[custody.Intent]{}:
		return "intent " + t.Intent.String()
	case t.Key != custody.ID[custody.Key]{}:
		return "key " + t.Key.String()
	case t.Vault != custody.ID[custody.Vault]{}:
		return "vault " + t.Vault.String()
	default:
		return "person " + t.Person.String()
	}
}

// indentedBody is an intent's body, for people to read.
func indentedBody(in *custody.Intent) (string, error) {
	var envelope struct {
		Body json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal(in.Raw, &envelope); err != nil {
		return "", err
	}
	var out bytes.Buffer
	err := json.Indent(&out, envelope.Body, "", "  ")
	return out.String(), err
}
