package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
	"github.com/cofferhq/coffer/internal/state"
)

const profileLong = `A profile says where the server is, what is trusted and who signs. It is a TOML file:

  server          = "https://coffer.bank.example"   # http on this machine alone
  token_file      = "token"      # its first line is what the server asks for
  trust           = "trust"      # what coffer charter pin wrote
  person          = "01a2..."    # your id; readers need none
  key             = "ida.key"    # your device key; readers need none
  passphrase_file = "ida.pass"   # asked for on the terminal unless given

Files are looked for beside the profile. Unknown keys are refused. The profile is
--profile FILE, or else coffer/profile.toml in the directory for settings
(~/.config on Linux).`

// profile is a profile file. Paths in it are made to work from where the program runs.
type profile struct {
	name string

	Server         string `toml:"server"`
	TokenFile      string `toml:"token_file"`
	Trust          string `toml:"trust"`
	Key            string `toml:"key"`
	PassphraseFile string `toml:"passphrase_file"`
	Person         string `toml:"person"`

	person custody.ID[custody.Person]
}

// maxProfile is the most bytes that a profile has.
const maxProfile = 64 << 10

// readProfile reads the profile of a name, or the one for settings if it is empty.
func readProfile(name string) (*profile, error) {
	if name == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return nil, usagef("--profile is required: %v", err)
		}
		name = filepath.Join(dir, "coffer", "profile.toml")
	}
	raw, err := readFile(name, maxProfile)
	if err != nil {
		return nil, err
	}
	p, err := parseProfile(name, raw)
	if err != nil {
		return nil, usagef("%s: %s", name, visible(err.Error()))
	}
	return p, nil
}

func parseProfile(name string, raw []byte) (*profile, error) {
	p := &profile{name: name}
	if err := toml.NewDecoder(strings.NewReader(string(raw))).DisallowUnknownFields().Decode(p); err != nil {
		return nil, tomlError(err)
	}
	for _, required := range []struct{ key, value string }{{"server", p.Server}, {"token_file", p.TokenFile}, {"trust", p.Trust}} {
		if required.value == "" {
			return nil, fmt.Errorf("%s is missing", required.key)
		}
	}
	u, err := url.Parse(p.Server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery+u.Fragment != "" {
		return nil, errors.New("server is not http://HOST:PORT or https://HOST")
	}
	if p.Person != "" {
		if p.person, err = custody.ParseID[custody.Person](p.Person); err != nil {
			return nil, fmt.Errorf("person: %w", err)
		}
	}
	for _, path := range []*string{&p.TokenFile, &p.Trust, &p.Key, &p.PassphraseFile} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(filepath.Dir(name), *path)
		}
	}
	return p, nil
}

// tomlError says in which line a mistake is.
func tomlError(err error) error {
	if unknown, ok := errors.AsType[*toml.StrictMissingError](err); ok && len(unknown.Errors) > 0 {
		first := unknown.Errors[0]
		row, _ := first.Position()
		return fmt.Errorf("line %d: no key is called %s", row, strings.Join(first.Key(), "."))
	}
	if syntax, ok := errors.AsType[*toml.DecodeError](err); ok {
		row, _ := syntax.Position()
		return fmt.Errorf("line %d: %s", row, strings.TrimPrefix(syntax.Error(), "toml: "))
	}
	return errors.New(strings.TrimPrefix(err.Error(), "toml: "))
}

// charter is the hash that the trust file pins.
func (p *profile) charter() (custody.Hash, error) {
	raw, err := readFile(p.Trust, maxKeyFile)
	if err != nil {
		return custody.Hash{}, err
	}
	trust, err := state.ParseTrust(raw)
	switch {
	case err != nil:
		return custody.Hash{}, usagef("%s: %v", p.Trust, err)
	case trust.Charter == custody.Hash{}:
		return custody.Hash{}, usagef("%s: pins no charter", p.Trust)
	}
	return trust.Charter, nil
}

// token is what the server asks for.
func (p *profile) token() (string, error) {
	raw, err := readFile(p.TokenFile, maxKeyFile)
	if err != nil {
		return "", err
	}
	line, err := keyfile.FirstLine(raw)
	if err != nil {
		return "", usagef("%s: %v", p.TokenFile, err)
	}
	if strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", usagef("%s: its first line is no token", p.TokenFile)
	}
	return line, nil
}

func newProfile() *cobra.Command {
	conn, cmd := clientGroup("profile", "Say where the server is and what is trusted", profileLong, "coffer profile show")
	var asJSON bool
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the profile that is used",
		Long: `Print the profile that is used, with the charter that it trusts. The token and the
passphrase are not shown. Nothing is asked of the server.

--json prints one object: profile, server, charter (the hash), words, trust, tokenFile,
and person, key and passphraseFile where they are given.`,
		Example:               "  coffer profile show\n  coffer profile show --profile tom.toml",
		Args:                  noArguments,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := readProfile(conn.profile)
			if err != nil {
				return err
			}
			if _, err := p.token(); err != nil {
				return err
			}
			charter, err := p.charter()
			if err != nil {
				return err
			}
			shown := shownProfile{p.name, p.Server, charter.String(), words(charter), p.Trust, p.TokenFile, p.Person, p.Key, p.PassphraseFile}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), shown)
			}
			return printFields(cmd.OutOrStdout(), []field{
				{"profile", shown.Profile},
				{"server", shown.Server},
				{"charter", shown.Charter},
				{"words", shown.Words},
				{"trust", shown.Trust},
				{"token", shown.TokenFile},
				{"person", shown.Person},
				{"key", shown.Key},
				{"passphrase", shown.PassphraseFile},
			})
		},
	}
	show.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(show)
	return cmd
}

// shownProfile is what `profile show --json` prints.
type shownProfile struct {
	Profile        string `json:"profile"`
	Server         string `json:"server"`
	Charter        string `json:"charter"`
	Words          string `json:"words"`
	Trust          string `json:"trust"`
	TokenFile      string `json:"tokenFile"`
	Person         string `json:"person,omitempty"`
	Key            string `json:"key,omitempty"`
	PassphraseFile string `json:"passphraseFile,omitempty"`
}
