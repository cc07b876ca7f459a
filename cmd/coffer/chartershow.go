package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
	"github.com/cofferhq/coffer/internal/policy"
)

func newCharterShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Print a charter for people to read",
		Long: `Print who and what stands in a charter, and its policy as nodes will read it. Beside
each device, node and control key stand the words that its maker was shown, so that its
holder sees whether the charter has the right one.

A charter is shown even if charter check refuses it; the line "checked" says why.

--json prints one object: charter (the hash), words, refused if it is, signatures, and
body, the charter as it is hashed.`,
		Example:               "  coffer charter show charter.json",
		Args:                  oneFile,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := openDraft(args[0])
			if err != nil {
				return err
			}
			p, err := policy.Parse(d.charter.Policy)
			if err != nil {
				return usagef("%s: policy: %v", args[0], err)
			}
			v := &charterView{draft: d, policy: p}
			if v.signatures, err = d.signatories(custody.At(clock())); err != nil {
				v.refused = err.Error()
			}
			if _, err := d.check(); err != nil {
				v.refused = err.Error()
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), shownCharter{
					d.hash().String(), words(d.hash()), v.refused, v.signatures, json.RawMessage(d.charter.Raw),
				})
			}
			return written(v.print(cmd.OutOrStdout()))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// shownCharter is what `charter show --json` prints.
type shownCharter struct {
	Charter    string          `json:"charter"`
	Words      string          `json:"words"`
	Refused    string          `json:"refused,omitempty"`
	Signatures []signatory     `json:"signatures"`
	Body       json.RawMessage `json:"body"`
}

// charterView is a charter on its way to be read by people.
type charterView struct {
	*draft
	policy     *policy.Policy
	refused    string
	signatures []signatory
}

func (v *charterView) print(out io.Writer) error {
	c := v.charter
	checked := "keeps every rule"
	if v.refused != "" {
		checked = "REFUSED: " + v.refused
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { fmt.Fprintf(t, "%s\n", strings.TrimRight(strings.Join(cells, "\t"), "\t")) }
	head := func(title string, n int) {
		if n > 0 {
			fmt.Fprintf(t, "\n%s\n", title)
		}
	}
	line("charter", v.hash().String())
	line("words", words(v.hash()))
	line("checked", checked)
	line("witnesses", v.witnesses())
	line("recovery", v.recovery())
	line("intents", "live at most "+policy.Period(c.IntentLife))
	line("passkeys", fmt.Sprintf("of %s, from %s", c.RelyingParty.ID, joined(c.RelyingParty.Origins)))
	line("control", "log and coordinator key: "+v.keyWords(keyfile.ControlPublic{Kind: keyfile.ControlKind, Control: c.Control}))

	head("institutions", len(c.Institutions))
	for _, i := range c.Institutions {
		line("  "+string(i.ID), string(i.Country), string(i.LEI))
	}
	head("nodes", len(c.Nodes))
	for _, n := range c.Nodes {
		line("  "+string(n.ID), fmt.Sprintf("of %s, in %s, sealed by %s", n.Institution, n.Jurisdiction, n.Sealing), v.keyWords(keyfile.NodePublic{Kind: keyfile.NodeKind, SignerNode: n}))
	}
	head("other witnesses", len(c.Witnesses.Others))
	for _, w := range c.Witnesses.Others {
		line("  "+string(w.ID), "of "+string(w.Institution), v.keyWords(w))
	}
	head("groups", len(c.Groups))
	for _, g := range c.Groups {
		line("  "+string(g.ID), count(len(g.Members), "person"))
	}
	head("people", len(c.Persons))
	for _, p := range c.Persons {
		v.person(line, &p)
	}
	head("recovery keys", len(c.Recovery.Keys))
	for _, k := range c.Recovery.Keys {
		line("  "+k.ID.String(), "Ed25519", v.recoveryWords(k))
	}
	head("attestors", len(c.Attestors))
	for _, a := range c.Attestors {
		line("  "+string(a.ID), "states "+joined(a.States))
	}
	head("identity providers", len(c.Issuers))
	for _, i := range c.Issuers {
		line("  "+string(i.ID), fmt.Sprintf("%s, as %s, %s", i.URL, i.Audience, count(len(i.Keys), "key")))
	}
	head("signatures", len(v.signatures))
	for _, s := range v.signatures {
		done := "has not signed"
		if s.Signed {
			done = "signed"
		}
		line("  "+s.Role+" "+s.ID, done)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%s", v.policy)
	return err
}

// person prints a person and what they sign with.
func (v *charterView) person(line func(...string), p *custody.Person) {
	var groups []string
	for _, g := range v.charter.Groups {
		if slices.Contains(g.Members, p.ID) {
			groups = append(groups, string(g.ID))
		}
	}
	about := fmt.Sprintf("%s of %s, %s", strings.ToLower(string(p.Kind)), p.Institution, p.Country)
	if len(groups) > 0 {
		about += "; in " + strings.Join(groups, ", ")
	}
	if len(p.Roles) > 0 {
		about += "; " + joined(p.Roles)
	}
	line("  "+p.ID.String(), about)
	for _, k := range v.charter.Credentials {
		switch {
		case k.Person != p.ID:
		case k.Kind == custody.Device:
			line("    by "+k.ID.String(), "DEVICE "+string(k.Algorithm), v.deviceWords(k.ID, k.Algorithm, k.PublicKey))
		case k.Kind == custody.OIDC:
			line("    by "+k.ID.String(), "OIDC at "+string(k.Issuer))
		default:
			line("    by "+k.ID.String(), string(k.Kind)+" "+string(k.Algorithm))
		}
	}
}

// keyWords are the words that a key's maker was shown.
func (v *charterView) keyWords(public any) string {
	s, err := fingerprint(public)
	if err != nil {
		return err.Error()
	}
	return s
}

func (v *charterView) deviceWords(id custody.ID[custody.Credential], algorithm custody.Algorithm, pkix custody.Blob) string {
	return v.keyWords(keyfile.DevicePublic{Kind: keyfile.DeviceKind, ID: id, Algorithm: algorithm, PublicKey: pkix})
}

func (v *charterView) recoveryWords(k custody.RecoveryKey) string {
	pkix, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(k.Key))
	if err != nil {
		return err.Error()
	}
	return v.deviceWords(custody.ID[custody.Credential](k.ID), custody.EdDSA, pkix)
}

func joined[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return strings.Join(words, ", ")
}
