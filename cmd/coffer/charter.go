package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/internal/authz"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/policy"
	"github.com/cofferhq/coffer/internal/state"
)

const charterLong = `The charter is the first entry of a deployment's journal: its institutions, people,
nodes, witnesses and first policy. Its hash names the deployment, and whoever checks
anything of it starts from that hash.

It is made as a draft, which every administrator and every node signs; then each
operator pins its hash. People compare hashes by eight words.

Exit status: 0 done; 1 something went wrong; 2 the command line or a file that it
names is wrong.`

func newCharter() *cobra.Command {
	cmd := group("charter", "Make, sign, check and pin a charter", charterLong)
	cmd.Example = `  coffer charter new setup.yaml --out charter.json
  coffer charter sign charter.json --key ida.key
  coffer charter check charter.json --signed
  coffer charter pin charter.json --out trust`
	cmd.AddCommand(newCharterNew(), newCharterSign(), newCharterMerge(), newCharterCheck(), newCharterShow(), newCharterPin())
	return cmd
}

// draft is a charter's file: the charter and the signatures that it has so far, as
// the journal's first entry will hold them.
type draft struct {
	name    string
	record  *custody.CharterRecord
	charter *custody.Charter
}

// openDraft reads a charter's file and checks its form. What the people in it could
// do, and the signatures, it leaves unchecked.
func openDraft(name string) (*draft, error) {
	raw, err := readFile(name, custody.MaxEntry)
	if err != nil {
		return nil, err
	}
	d, err := parseDraft(name, raw)
	if err != nil {
		return nil, usagef("%s: %s", name, visible(err.Error()))
	}
	return d, nil
}

func parseDraft(name string, raw []byte) (*draft, error) {
	d := &draft{name: name, record: new(custody.CharterRecord)}
	if err := custody.Decode(bytes.TrimSuffix(raw, []byte{'\n'}), d.record, custody.MaxEntry); err != nil {
		return nil, err
	}
	var err error
	if d.charter, err = custody.ParseCharter(d.record.Charter); err != nil {
		return nil, err
	}
	// The form of the signatures is the entry's business.
	_, err = custody.NewEntry(custody.Entry{Type: custody.CharterEntry, Body: d.record})
	if e, ok := errors.AsType[*custody.Error](err); ok {
		moved := *e
		moved.Field = strings.TrimPrefix(e.Field, "body.")
		return nil, &moved
	}
	return d, err
}

func (d *draft) hash() custody.Hash { return d.charter.Hash() }

// administrators are those who must sign.
func (d *draft) administrators() []custody.ID[custody.Person] {
	for _, g := range d.charter.Groups {
		if g.ID == custody.Administrators {
			return g.Members
		}
	}
	return nil
}

// personOf returns whose credential it is.
func (d *draft) personOf(id custody.ID[custody.Credential]) (person custody.ID[custody.Person], known bool) {
	at := slices.IndexFunc(d.charter.Credentials, func(c custody.Credential) bool { return c.ID == id })
	if at < 0 {
		return person, false
	}
	return d.charter.Credentials[at].Person, true
}

// signatory is an administrator or a node, each of whom must sign.
type signatory struct {
	Role   string `json:"role"` // administrator or node
	ID     string `json:"id"`
	Signed bool   `json:"signed"`
}

// signatories verifies the signatures that are there and says who has made one.
func (d *draft) signatories(now custody.Time) ([]signatory, error) {
	hash := custody.CharterSignatureHash(d.hash())
	realm := authz.Realm{RelyingParty: &d.charter.RelyingParty, Issuer: func(custody.Name) *custody.Issuer { return nil }}
	var all []signatory
	for _, id := range d.administrators() {
		all = append(all, signatory{"administrator", id.String(), false})
	}
	people := len(all)
	for _, n := range d.charter.Nodes {
		all = append(all, signatory{"node", string(n.ID), false})
	}
	sign := func(among []signatory, id string) error {
		at := slices.IndexFunc(among, func(s signatory) bool { return s.ID == id })
		switch {
		case at < 0:
			return errors.New("by somebody who doesn't sign this charter")
		case among[at].Signed:
			return fmt.Errorf("%s signed twice", id)
		}
		among[at].Signed = true
		return nil
	}
	for i := range d.record.Administrators {
		e := &d.record.Administrators[i]
		at := slices.IndexFunc(d.charter.Credentials, func(c custody.Credential) bool { return c.ID == e.Credential })
		if at < 0 {
			return nil, fmt.Errorf("administrators.%d: not by a credential of the charter", i)
		}
		c := &d.charter.Credentials[at]
		if _, err := realm.Verify(c, e, hash, now); err != nil {
			return nil, fmt.Errorf("administrators.%d: %w", i, err)
		}
		if err := sign(all[:people], c.Person.String()); err != nil {
			return nil, fmt.Errorf("administrators.%d: %w", i, err)
		}
	}
	for i, s := range d.record.Nodes {
		at := slices.IndexFunc(d.charter.Nodes, func(n custody.SignerNode) bool { return n.ID == s.Node })
		if at < 0 {
			return nil, fmt.Errorf("nodes.%d: %s is not a node of the charter", i, s.Node)
		}
		key, err := hybrid.ParsePublicKey(d.charter.Nodes[at].IdentityKey)
		if err == nil {
			err = authz.VerifyNode(key, hash, s.Signature)
		}
		if err == nil {
			err = sign(all[people:], string(s.Node))
		}
		if err != nil {
			return nil, fmt.Errorf("nodes.%d: %w", i, err)
		}
	}
	return all, nil
}

// charterCheck is a thing that was checked of a charter.
type charterCheck struct {
	Check  string `json:"check"`
	Detail string `json:"detail"`
}

// check checks everything but the signatures, by the rules of custody and state
// that every node applies, and says what that was.
func (d *draft) check() ([]charterCheck, error) {
	c := d.charter
	if err := state.CheckCharter(c); err != nil {
		return nil, err
	}
	if err := d.fits(); err != nil {
		return nil, err
	}
	p, err := policy.Parse(c.Policy)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return []charterCheck{
		{"form", fmt.Sprintf("canonical JSON, %d bytes; no field unknown, missing or given twice", len(c.Raw))},
		{"references", fmt.Sprintf("%s, %s, %s, %s, %s: whoever is named exists, nothing serves twice",
			count(len(c.Institutions), "institution"), count(len(c.Persons), "person"), count(len(c.Groups), "group"),
			count(len(c.Credentials), "credential"), count(len(c.Nodes), "node"))},
		{"witnesses", d.witnesses()},
		{"recovery", d.recovery()},
		{"keys", "every key can be used"},
		{"policy", fmt.Sprintf("version %d, %s, hash %s", p.Version, count(len(p.Rules), "rule"), p.Hash())},
		{"governance", "nobody alone could change people, policy, keys or nodes; together people can"},
	}, nil
}

// Sizes in the first entry that signatures may come to: a node's in base64, and a
// passkey's with what it signs.
const (
	nodeSignatureRoom = 3400
	approvalRoom      = 2048
)

// fits refuses a charter that leaves no room for all signatures in its entry.
func (d *draft) fits() error {
	size := len(d.charter.Raw) + len(d.charter.Nodes)*nodeSignatureRoom + len(d.administrators())*approvalRoom
	if size > custody.MaxEntry {
		return fmt.Errorf("about %d bytes with all signatures, at most %d fit into an entry", size, custody.MaxEntry)
	}
	return nil
}

func (d *draft) witnesses() string {
	w := d.charter.Witnesses
	n := len(d.charter.Nodes) + len(w.Others)
	return fmt.Sprintf("heads are cosigned by any %d of %d; tolerates %d lying, %d absent", w.Quorum, n, w.Liars, n-w.Quorum)
}

func (d *draft) recovery() string {
	r := d.charter.Recovery
	return fmt.Sprintf("any %d of %d keys, after %s", r.Threshold, len(r.Keys), policy.Period(r.Delay))
}

func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case noun == "person":
		return fmt.Sprintf("%d people", n)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func newCharterCheck() *cobra.Command {
	var signed, asJSON bool
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Say whether a charter keeps every rule, and who has not signed",
		Long: `Check a charter by every rule that nodes will apply to it, and the signatures that
it has. Refused are, among others: unknown, missing and repeated fields; names that
nothing bears; keys that serve twice or can't be used; a witness quorum with which the
journal could be forked; a policy under which one person alone could change people or
policy, or nobody could.

What is wrong is one line that names the field, with status 2. Signatures that are
still missing are listed and are no mistake, unless --signed is given.

--json prints one object: file, valid and either error or charter (the hash), words,
checks (each of check and detail) and signatures (each of role, id and signed).`,
		Example: `  coffer charter check charter.json
  coffer charter check charter.json --signed`,
		Args:                  oneFile,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := readFile(args[0], custody.MaxEntry)
			if err != nil {
				return err
			}
			result, err := checkDraft(args[0], raw, signed)
			if err != nil {
				result = checkedCharter{File: args[0], Error: err.Error()}
			}
			switch {
			case asJSON:
				if err := printJSON(cmd.OutOrStdout(), result); err != nil {
					return err
				}
			case err == nil:
				return written(result.print(cmd.OutOrStdout()))
			}
			if err != nil {
				return usagef("%s: %s", args[0], visible(err.Error()))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&signed, "signed", false, "refuse a charter that somebody has not signed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// checkedCharter is what `charter check` prints.
type checkedCharter struct {
	File       string         `json:"file"`
	Valid      bool           `json:"valid"`
	Error      string         `json:"error,omitempty"`
	Charter    string         `json:"charter,omitempty"`
	Words      string         `json:"words,omitempty"`
	Checks     []charterCheck `json:"checks,omitempty"`
	Signatures []signatory    `json:"signatures,omitempty"`
}

func checkDraft(name string, raw []byte, signed bool) (result checkedCharter, err error) {
	d, err := parseDraft(name, raw)
	if err != nil {
		return result, err
	}
	checks, err := d.check()
	if err != nil {
		return result, err
	}
	now := custody.At(clock())
	who, err := d.signatories(now)
	if err != nil {
		return result, err
	}
	if signed {
		if err := d.checkSigned(now); err != nil {
			return result, err
		}
	}
	done := 0
	for _, s := range who {
		if s.Signed {
			done++
		}
	}
	checks = append(checks, charterCheck{"signatures", fmt.Sprintf("%d of %d are there, and valid", done, len(who))})
	return checkedCharter{
		File: name, Valid: true, Charter: d.hash().String(), Words: words(d.hash()), Checks: checks, Signatures: who,
	}, nil
}

// checkSigned refuses a charter that isn't signed by all who must, as nodes do.
func (d *draft) checkSigned(now custody.Time) error {
	return state.CheckSignatures(d.charter, d.record.Administrators, d.record.Nodes, now)
}

func (r *checkedCharter) print(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range r.Checks {
		fmt.Fprintf(t, "ok\t%s\t%s\n", c.Check, c.Detail)
	}
	for _, s := range r.Signatures {
		if !s.Signed {
			fmt.Fprintf(t, "to do\tsignature\t%s %s\n", s.Role, s.ID)
		}
	}
	fmt.Fprintf(t, "\ncharter\t%s\nwords\t%s\n", r.Charter, r.Words)
	return t.Flush()
}

func printJSON(out io.Writer, v any) error { return written(json.NewEncoder(out).Encode(v)) }

// visible returns a text in which nothing moves a terminal's cursor: files that others
// made have a say in what errors name.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ReplaceAll(s, "\n", "; "))
}
