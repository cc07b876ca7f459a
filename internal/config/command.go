package config

import (
	"fmt"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/internal/custody"
)

// Validator is a configuration that says everything that is wrong with it.
type Validator interface{ Validate() error }

// Usage turns cobra's complaints about a command line into errors of code
// [custody.Invalid].
func Usage(root *cobra.Command) {
	wrong := func(_ *cobra.Command, err error) error {
		return &custody.Error{Code: custody.Invalid, Message: err.Error()}
	}
	root.SetFlagErrorFunc(wrong)
	root.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return wrong(cmd, fmt.Errorf("%q is no command of %s: see --help", args[0], cmd.CommandPath()))
		}
		return nil
	}
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// Load reads a file and validates it.
func Load(file string, into Validator) error {
	if err := Read(file, into); err != nil {
		return err
	}
	return into.Validate()
}

// Command is a daemon's command `config`, which checks, prints and explains its
// configuration. example has one of everything that there can be several of.
func Command[C Validator](daemon string, empty func() C, example C) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check, print or explain the configuration", Args: cobra.NoArgs}
	var file string
	check := &cobra.Command{
		Use: "check --config FILE", Short: "Say everything that is wrong with a configuration file",
		Example: fmt.Sprintf("  %s config check --config %s.toml", daemon, daemon), Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return Load(file, empty()) },
	}
	show := &cobra.Command{
		Use: "print --config FILE", Short: "Print a configuration with its defaults filled in and its paths made absolute",
		Example: fmt.Sprintf("  %s config print --config %s.toml", daemon, daemon), Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := empty()
			if err := Load(file, c); err != nil {
				return err
			}
			return toml.NewEncoder(cmd.OutOrStdout()).Encode(c)
		},
	}
	for _, c := range []*cobra.Command{check, show} {
		c.Flags().StringVar(&file, "config", "", "configuration file")
		cmd.AddCommand(c)
	}
	cmd.AddCommand(&cobra.Command{
		Use: "example", Short: "Print an empty configuration file with a comment for every key", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return toml.NewEncoder(cmd.OutOrStdout()).Encode(example) },
	})
	return cmd
}
