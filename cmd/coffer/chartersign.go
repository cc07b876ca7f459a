package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
	"github.com/cofferhq/coffer/internal/state"
)

func newCharterSign() *cobra.Command {
	var key, passphrase string
	var yes bool
	cmd := &cobra.Command{
		Use:   "sign FILE --key KEYFILE",
		Short: "Sign a charter as an administrator or a node",
		Long: `Add a signature to a charter: an administrator's, by the device key that stands in
the charter, or a node's. The charter is checked first, as charter check does.

The hash and its eight words are shown before anything is signed. Compare the words
with everybody else who signs, over a channel that whoever made the file doesn't
control, and read the charter with charter show. --yes says that you have.

The file is replaced at once or not at all. Where people sign copies, charter merge
joins them.`,
		Example: `  coffer charter sign charter.json --key ida.key
  coffer charter sign charter.json --key node-a.key --passphrase-file node-a.pass --yes`,
		Args:                  oneFile,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if key == "" {
				return usagef("--key is required")
			}
			return signCharter(cmd, args[0], key, passphrase, yes)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&key, "key", "", "key file of an administrator's device or of a node")
	cmd.Flags().StringVar(&passphrase, "passphrase-file", "", passphraseUsage)
	cmd.Flags().BoolVar(&yes, "yes", false, "sign without asking")
	return cmd
}

func signCharter(cmd *cobra.Command, name, keyFile, passphraseFile string, yes bool) error {
	d, err := openChecked(name)
	if err != nil {
		return err
	}
	shown := fmt.Sprintf("charter  %s\nwords    %s\n", d.hash(), words(d.hash()))
	if !yes {
		question := shown + "Do all who sign see these words, and have you read the charter? Type yes to sign: "
		if err := confirm(cmd, question); err != nil {
			return err
		}
	}
	passphrase, err := passphraseFrom(cmd, passphraseFile, "Passphrase of "+keyFile+": ")
	if err != nil {
		return err
	}
	by, err := keyfile.Open(keyFile, passphrase)
	if err != nil {
		return asUsage(err)
	}
	var sign func(*draft) (who string, err error)
	switch key := by.(type) {
	case *keyfile.Device:
		sign = func(d *draft) (string, error) { return d.signDevice(key) }
	case *keyfile.Node:
		sign = func(d *draft) (string, error) { return d.signNode(key) }
	default:
		return usagef("%s: the control plane's keys sign no charter", keyFile)
	}
	// Somebody else may have signed the file while this one was thinking.
	again, err := openChecked(name)
	if err != nil {
		return err
	}
	if again.hash() != d.hash() {
		return fmt.Errorf("%s is another charter now: nothing was signed", name)
	}
	who, err := sign(again)
	if err != nil {
		return usagef("%s: %s: %v", name, keyFile, err)
	}
	if err := again.write(); err != nil {
		return err
	}
	missing, err := again.missing()
	if err != nil {
		return err
	}
	rest := "nobody"
	if len(missing) > 0 {
		rest = strings.Join(missing, ", ")
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%ssigned   by %s\nto sign  %s\n", shown, who, rest)
	return written(err)
}

// openChecked reads a charter that keeps every rule and whose signatures are valid.
func openChecked(name string) (*draft, error) {
	d, err := openDraft(name)
	if err != nil {
		return nil, err
	}
	if _, err := d.check(); err != nil {
		return nil, usagef("%s: %v", name, err)
	}
	if _, err := d.signatories(custody.At(clock())); err != nil {
		return nil, usagef("%s: %v", name, err)
	}
	return d, nil
}

// missing names those who have not signed.
func (d *draft) missing() ([]string, error) {
	who, err := d.signatories(custody.At(clock()))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range who {
		if !s.Signed {
			out = append(out, s.Role+" "+s.ID)
		}
	}
	return out, nil
}

// signDevice adds a signature and says whose.
func (d *draft) signDevice(by *keyfile.Device) (who string, err error) {
	at := slices.IndexFunc(d.charter.Credentials, func(c custody.Credential) bool { return c.ID == by.Public.ID })
	if at < 0 {
		return "", errors.New("this key is not in the charter")
	}
	c := &d.charter.Credentials[at]
	switch {
	case c.Kind != custody.Device || !bytes.Equal(c.PublicKey, by.Public.PublicKey):
		return "", errors.New("the charter has another key under this key's id")
	case !slices.Contains(d.administrators(), c.Person):
		return "", fmt.Errorf("person %s is no administrator", c.Person)
	}
	for _, e := range d.record.Administrators {
		if person, ok := d.personOf(e.Credential); ok && person == c.Person {
			return "", fmt.Errorf("administrator %s has signed already", c.Person)
		}
	}
	signature, err := by.Sign(custody.CharterSignatureHash(d.hash()))
	if err != nil {
		return "", err
	}
	d.record.Administrators = append(d.record.Administrators, custody.Evidence{
		Kind: custody.EvidenceKind(custody.Device), Credential: c.ID, Signature: signature,
	})
	return "administrator " + c.Person.String(), nil
}

// signNode adds a signature and says whose.
func (d *draft) signNode(by *keyfile.Node) (who string, err error) {
	at := slices.IndexFunc(d.charter.Nodes, func(n custody.SignerNode) bool { return n.ID == by.Public.ID })
	if at < 0 {
		return "", fmt.Errorf("node %s is not in the charter", by.Public.ID)
	}
	n := &d.charter.Nodes[at]
	switch {
	case !bytes.Equal(n.IdentityKey, by.Public.IdentityKey) || !bytes.Equal(n.WitnessKey, by.Public.WitnessKey):
		return "", fmt.Errorf("the charter has another key for node %s", n.ID)
	case slices.ContainsFunc(d.record.Nodes, func(s custody.NodeSignature) bool { return s.Node == n.ID }):
		return "", fmt.Errorf("node %s has signed already", n.ID)
	}
	hash := custody.CharterSignatureHash(d.hash())
	signature, err := by.Identity.Sign(hash[:])
	if err != nil {
		return "", err
	}
	d.record.Nodes = append(d.record.Nodes, custody.NodeSignature{Node: n.ID, Signature: signature})
	return "node " + string(n.ID), nil
}

// write replaces the file.
func (d *draft) write() error {
	content, err := d.encode()
	if err != nil {
		return err
	}
	if err := replace(d.name, content); err != nil {
		return fmt.Errorf("write %s: %w", d.name, err)
	}
	return nil
}

// encode returns the file's content, with the signatures in the charter's order,
// whoever signed first.
func (d *draft) encode() ([]byte, error) {
	place := func(e custody.Evidence) int {
		person, _ := d.personOf(e.Credential)
		return slices.Index(d.administrators(), person)
	}
	slices.SortFunc(d.record.Administrators, func(a, b custody.Evidence) int { return place(a) - place(b) })
	node := func(s custody.NodeSignature) int {
		return slices.IndexFunc(d.charter.Nodes, func(n custody.SignerNode) bool { return n.ID == s.Node })
	}
	slices.SortFunc(d.record.Nodes, func(a, b custody.NodeSignature) int { return node(a) - node(b) })
	return custody.Encode(d.record)
}

func newCharterMerge() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "merge FILE... --out FILE",
		Short: "Join the signatures of copies of a charter",
		Long: `Join the signatures of copies of one charter, for people who can't pass one file
around. Where several hold a signature of the same administrator or node, the first
one's stays. --out is not overwritten.`,
		Example:               "  coffer charter merge ida.json tom.json --out charter.json",
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) < 2:
				return usagef("coffer charter merge takes two files or more, not %d", len(args))
			case out == "":
				return usagef("--out is required")
			}
			return mergeCharters(cmd, args, out)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write, which isn't there yet")
	return cmd
}

func mergeCharters(cmd *cobra.Command, names []string, out string) error {
	all, err := openChecked(names[0])
	if err != nil {
		return err
	}
	for _, name := range names[1:] {
		d, err := openChecked(name)
		if err != nil {
			return err
		}
		if d.hash() != all.hash() {
			return usagef("%s is another charter than %s", name, names[0])
		}
		all.join(d)
	}
	content, err := all.encode()
	if err != nil {
		return err
	}
	if err := create(out, publicMode, content); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d administrators and %d nodes have signed %s\n",
		len(all.record.Administrators), len(all.record.Nodes), out)
	return written(err)
}

// join adds the signatures of those who have none in d.
func (d *draft) join(other *draft) {
	signed := make(map[custody.ID[custody.Person]]bool)
	for _, e := range d.record.Administrators {
		person, _ := d.personOf(e.Credential)
		signed[person] = true
	}
	for _, e := range other.record.Administrators {
		if person, _ := d.personOf(e.Credential); !signed[person] {
			d.record.Administrators = append(d.record.Administrators, e)
		}
	}
	for _, s := range other.record.Nodes {
		if !slices.ContainsFunc(d.record.Nodes, func(mine custody.NodeSignature) bool { return mine.Node == s.Node }) {
			d.record.Nodes = append(d.record.Nodes, s)
		}
	}
}

func newCharterPin() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "pin FILE --out TRUST",
		Short: "Write the trust file of a charter that all have signed",
		Long: `Write the trust file: one line with the hash of a charter that every administrator
and every node has signed. Nodes and coffer verify start from it and trust nothing
else, so each operator and auditor makes one from the charter that they have read. A
trust file that names something else is never overwritten.`,
		Example:               "  coffer charter pin charter.json --out trust",
		Args:                  oneFile,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return usagef("--out is required")
			}
			d, err := openChecked(args[0])
			if err != nil {
				return err
			}
			if err := d.checkSigned(custody.At(clock())); err != nil {
				return usagef("%s: %v", args[0], err)
			}
			if err := pin(out, d.hash()); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "charter  %s\nwords    %s\ntrust    %s\n", d.hash(), words(d.hash()), out)
			return written(err)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "trust file to write")
	return cmd
}

// pin writes a trust file, unless it is there; then it must say the same.
func pin(name string, charter custody.Hash) error {
	if _, err := os.Lstat(name); err != nil {
		return create(name, publicMode, []byte("charter "+charter.String()+"\n"))
	}
	raw, err := readFile(name, maxKeyFile)
	if err != nil {
		return err
	}
	if trust, err := state.ParseTrust(raw); err != nil || trust != (state.Trust{Charter: charter}) {
		return usagef("%s is there already and doesn't name this charter", name)
	}
	return nil
}
