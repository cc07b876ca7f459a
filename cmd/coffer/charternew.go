package main

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
)

// drafting is a charter being made of a setup file.
type drafting struct {
	file    *setupFile
	setup   setup
	charter *custody.Charter
	ids     map[string]custody.ID[custody.Person] // by label
	from    map[string]jsontext.Pointer           // where a field of the charter comes from, if elsewhere
	now     time.Time
	random  io.Reader
}

func newCharterNew() *cobra.Command {
	var out string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "new SETUP.yaml --out FILE",
		Short: "Make a charter's draft of a setup file",
		Long: `Make the draft of a charter. SETUP.yaml names who is there; the files that it names
are looked for beside it: .pub files of device, node and control keys, and the policy.
docs/operations/charter.md shows one.

People have labels in SETUP.yaml alone. The charter, which everybody may see for ever,
has a new id for each; the table that is printed says which. Keep it.

The draft is checked as charter check does; a charter that fails is not written, nor
is a file overwritten. What is wrong is told as FILE:LINE:COLUMN: MESSAGE.

--json prints one object: file, charter (the hash), words and persons (each of label
and id).`,
		Example:               "  coffer charter new setup.yaml --out charter.json",
		Args:                  oneFile,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return usagef("--out is required")
			}
			return makeCharter(cmd, args[0], out, asJSON)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write, which isn't there yet")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func makeCharter(cmd *cobra.Command, name, out string, asJSON bool) error {
	file, err := readSetup(name)
	if err != nil {
		return err
	}
	m := &drafting{file: file, now: clock(), random: rand.Reader}
	d, err := m.draft(func(policy string, groups map[custody.Name]int) ([]byte, error) {
		c, err := compilePolicy(cmd, policy, groups)
		if err != nil {
			return nil, err
		}
		for _, w := range c.Warnings {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s:%d:%d: warning: %s\n", policy, w.Line, w.Column, w.Message)
		}
		return c.Raw, nil
	})
	if err != nil {
		return err
	}
	content, err := d.encode()
	if err != nil {
		return err
	}
	if err := create(out, publicMode, content); err != nil {
		return err
	}
	return m.print(cmd.OutOrStdout(), d.hash(), out, asJSON)
}

// draft makes the charter and checks it as nodes will.
func (m *drafting) draft(compile func(policy string, groups map[custody.Name]int) ([]byte, error)) (*draft, error) {
	if err := m.file.decode("", m.file.json, &m.setup); err != nil {
		return nil, err
	}
	for _, name := range []string{"institutions", "persons", "groups", "nodes", "witnesses", "recovery", "relyingParty", "control", "policy"} {
		if m.file.at[jsontext.Pointer("/"+name)] == nil {
			return nil, m.file.failAt("", "%s: missing", name)
		}
	}
	s := &m.setup
	m.charter = &custody.Charter{
		Institutions: append([]custody.Institution{}, s.Institutions...), RelyingParty: s.RelyingParty,
		Persons: []custody.Person{}, Groups: []custody.Group{}, Credentials: []custody.Credential{},
		Nodes: []custody.SignerNode{}, Attestors: []custody.Attestor{}, Issuers: []custody.Issuer{},
		IntentLife: custody.MaxIntentLife,
	}
	if s.IntentLife != 0 {
		m.charter.IntentLife = custody.Seconds(s.IntentLife)
	}
	m.from = make(map[string]jsontext.Pointer)
	for _, step := range []func() error{m.people, m.groups, m.nodes, m.attestors, m.recovery, m.issuers, m.control} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	sizes := make(map[custody.Name]int)
	for _, g := range m.charter.Groups {
		sizes[g.ID] = len(g.Members)
	}
	compiled, err := compile(m.beside(s.Policy), sizes)
	if err != nil {
		return nil, err
	}
	m.charter.Policy = compiled
	raw, err := custody.Encode(m.charter)
	if err != nil {
		return nil, err
	}
	record, err := custody.Encode(custody.CharterRecord{Charter: raw, Administrators: []custody.Evidence{}, Nodes: []custody.NodeSignature{}})
	if err != nil {
		return nil, err
	}
	d, err := parseDraft(m.file.name, record)
	if err == nil {
		_, err = d.check()
	}
	if err != nil {
		return nil, m.explain(err)
	}
	return d, nil
}

// beside finds a file that the setup file names.
func (m *drafting) beside(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(m.file.name), name)
}

// public reads a .pub file that stands at p.
func (m *drafting) public(p jsontext.Pointer, name string, kind keyfile.Kind, to any) error {
	if name == "" {
		return m.file.failAt(p, "no file is named")
	}
	if err := keyfile.ReadPublic(m.beside(name), kind, to); err != nil {
		return m.file.failAt(p, "%v", err)
	}
	return nil
}

// pointer makes a pointer of its parts.
func pointer(parts ...any) (p jsontext.Pointer) {
	for _, part := range parts {
		p = p.AppendToken(fmt.Sprint(part))
	}
	return p
}

func (m *drafting) people() error {
	m.ids = make(map[string]custody.ID[custody.Person])
	for i, p := range m.setup.Persons {
		here := pointer("persons", i)
		if _, twice := m.ids[p.Label]; p.Label == "" || twice {
			return m.file.failAt(here+"/label", "a person needs a label of their own")
		}
		id, err := custody.NewID[custody.Person](custody.At(m.now), m.random)
		if err != nil {
			return err
		}
		m.ids[p.Label] = id
		m.charter.Persons = append(m.charter.Persons, custody.Person{
			ID: id, Institution: p.Institution, Country: p.Country, Kind: custody.PersonKind(strings.ToUpper(p.Kind)), Roles: p.Roles,
		})
		for j, raw := range p.Credentials {
			c, err := m.credential(here+pointer("credentials", j), raw)
			if err != nil {
				return err
			}
			c.Person = id
			m.from[fmt.Sprintf("credentials.%d", len(m.charter.Credentials))] = here + pointer("credentials", j)
			m.charter.Credentials = append(m.charter.Credentials, c)
		}
	}
	return nil
}

func (m *drafting) credential(here jsontext.Pointer, raw jsontext.Value) (c custody.Credential, err error) {
	if raw.Kind() == '"' {
		var file string
		if err := m.file.decode(here, raw, &file); err != nil {
			return c, err
		}
		var device keyfile.DevicePublic
		err := m.public(here, file, keyfile.DeviceKind, &device)
		return custody.Credential{ID: device.ID, Kind: custody.Device, Algorithm: device.Algorithm, PublicKey: device.PublicKey}, err
	}
	var in setupCredential
	if err := m.file.decode(here, raw, &in); err != nil {
		return c, err
	}
	if c.ID, err = custody.NewID[custody.Credential](custody.At(m.now), m.random); err != nil {
		return c, err
	}
	c.Kind = custody.CredentialKind(strings.ToUpper(in.Kind))
	c.Algorithm, c.WebAuthn, c.Issuer = in.Algorithm, in.WebAuthnID, in.Issuer
	if in.Subject != "" {
		c.Subject = sha256.Sum256([]byte(in.Subject))
	}
	if c.Kind == custody.Device {
		return c, m.file.failAt(here+"/kind", "a device key is given by its .pub file")
	}
	if in.PublicKey != "" {
		if c.PublicKey, err = publicKey(in.PublicKey); err != nil {
			return c, m.file.failAt(here+"/publicKey", "%v", err)
		}
	}
	return c, nil
}

func (m *drafting) groups() error {
	for _, name := range slices.Sorted(maps.Keys(m.setup.Groups)) {
		g := custody.Group{ID: name, Members: []custody.ID[custody.Person]{}}
		for i, label := range m.setup.Groups[name] {
			id, ok := m.ids[label]
			if !ok {
				return m.file.failAt(pointer("groups", name, i), "%s is nobody's label", label)
			}
			g.Members = append(g.Members, id)
		}
		m.from[fmt.Sprintf("groups.%d", len(m.charter.Groups))] = pointer("groups", name)
		m.charter.Groups = append(m.charter.Groups, g)
	}
	return nil
}

func (m *drafting) nodes() error {
	for i, file := range m.setup.Nodes {
		var n keyfile.NodePublic
		if err := m.public(pointer("nodes", i), file, keyfile.NodeKind, &n); err != nil {
			return err
		}
		m.charter.Nodes = append(m.charter.Nodes, n.SignerNode)
	}
	w := m.setup.Witnesses
	m.charter.Witnesses = custody.WitnessQuorum{Quorum: w.Quorum, Liars: w.Liars}
	for i, file := range w.Others {
		var n keyfile.NodePublic
		if err := m.public(pointer("witnesses", "others", i), file, keyfile.NodeKind, &n); err != nil {
			return err
		}
		m.charter.Witnesses.Others = append(m.charter.Witnesses.Others, witnessOf(n))
	}
	return nil
}

func (m *drafting) attestors() error {
	for i, a := range m.setup.Attestors {
		here := pointer("attestors", i, "key")
		key, err := m.ed25519(here, a.Key)
		if err != nil {
			return err
		}
		m.charter.Attestors = append(m.charter.Attestors, custody.Attestor{ID: a.ID, Key: key, States: append([]custody.AttestationKind{}, a.States...)})
	}
	return nil
}

func (m *drafting) recovery() error {
	r := m.setup.Recovery
	m.charter.Recovery = custody.Recovery{Keys: []custody.RecoveryKey{}, Threshold: r.Threshold, Delay: 72 * custody.Hour}
	if r.Delay != 0 {
		m.charter.Recovery.Delay = custody.Seconds(r.Delay)
	}
	for i, file := range r.Keys {
		var device keyfile.DevicePublic
		here := pointer("recovery", "keys", i)
		if err := m.public(here, file, keyfile.DeviceKind, &device); err != nil {
			return err
		}
		key, err := rawEd25519(device.PublicKey)
		if err != nil {
			return m.file.failAt(here, "%s: %v", file, err)
		}
		m.charter.Recovery.Keys = append(m.charter.Recovery.Keys, custody.RecoveryKey{ID: custody.ID[custody.Person](device.ID), Key: key})
	}
	return nil
}

func (m *drafting) issuers() error {
	for i, issuer := range m.setup.Issuers {
		out := custody.Issuer{ID: issuer.ID, URL: issuer.URL, Audience: issuer.Audience, Keys: []custody.IssuerKey{}}
		for j, k := range issuer.Keys {
			pkix, err := publicKey(k.PublicKey)
			if err != nil {
				return m.file.failAt(pointer("issuers", i, "keys", j, "publicKey"), "%v", err)
			}
			out.Keys = append(out.Keys, custody.IssuerKey{ID: k.ID, Algorithm: k.Algorithm, PublicKey: pkix})
		}
		m.charter.Issuers = append(m.charter.Issuers, out)
	}
	return nil
}

func (m *drafting) control() error {
	var c keyfile.ControlPublic
	if err := m.public("/control", m.setup.Control, keyfile.ControlKind, &c); err != nil {
		return err
	}
	m.charter.Control = c.Control
	return nil
}

// explain says of an error in the charter where in the setup file it comes from, and
// calls people by their labels.
func (m *drafting) explain(err error) error {
	text := err.Error()
	for label, id := range m.ids {
		text = strings.ReplaceAll(text, id.String(), label)
	}
	field, _, _ := strings.Cut(text, ":")
	path := strings.Split(field, ".")
	p := jsontext.Pointer("")
	for i, name := range path {
		p = p.AppendToken(name)
		if from, ok := m.from[strings.Join(path[:i+1], ".")]; ok {
			p = from
		}
	}
	return m.file.failAt(p, "%s", text)
}

// madeCharter is what `charter new --json` prints.
type madeCharter struct {
	File    string       `json:"file"`
	Charter custody.Hash `json:"charter"`
	Words   string       `json:"words"`
	Persons []labelled   `json:"persons"`
}

type labelled struct {
	Label string                     `json:"label"`
	ID    custody.ID[custody.Person] `json:"id"`
}

func (m *drafting) print(out io.Writer, hash custody.Hash, file string, asJSON bool) error {
	result := madeCharter{file, hash, words(hash), []labelled{}}
	for _, p := range m.setup.Persons {
		result.Persons = append(result.Persons, labelled{p.Label, m.ids[p.Label]})
	}
	if asJSON {
		return printJSON(out, result)
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "charter\t%s\nwords\t%s\nfile\t%s, unsigned\n\nperson\tid\n", hash, result.Words, file)
	for _, p := range result.Persons {
		fmt.Fprintf(t, "%s\t%s\n", visible(p.Label), p.ID)
	}
	return written(t.Flush())
}
