// Command coffer is the command line of Coffer, for people, operators and auditors:
// policies, charters and the keys that sign them, evidence to verify, a deployment's
// wallets, transfers and intents, and the threshold library to try. Start from Main. It
// connects to the server of the profile and to nothing else, and writes no file but those
// that it is told to make.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// Exit statuses. Those of commands that ask a server are [custody.Handling]'s besides.
const (
	exitOK      = 0
	exitFailure = 1 // something went wrong on the way
	exitUsage   = 2 // the command line is wrong; nothing was done
)

// Main runs the command line args and returns the exit status. What goes wrong is
// one line on stderr, and stdout stays empty then.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return exitOK
	}
	// One line, whatever the arguments or the joined errors hold.
	fmt.Fprintln(stderr, "coffer:", strings.NewReplacer("\r", " ", "\n", "; ").Replace(err.Error()))
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	var status *statusError
	if errors.As(err, &status) {
		return status.status
	}
	return exitFailure
}

func newRoot() *cobra.Command {
	root := group("coffer", "Self-hosted custody with threshold signatures", `Coffer is self-hosted custody for banks. Keys are shared among parties, so that
no machine ever holds one; as many parties as the threshold sign together.`)
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.DisableSuggestions = true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Hidden: true}) // there is --help
	root.SetFlagErrorFunc(flagError)
	tss := group("tss", "Try the threshold-signature library", `The threshold-signature library, by itself and in this process alone.`)
	tss.AddCommand(newSign())
	root.AddCommand(tss)
	policy := newPolicy()
	policy.AddCommand(newPolicyCurrent())
	root.AddCommand(policy)
	root.AddCommand(newCharter(), newDevice(), newNode(), newControl(), newVerify())
	root.AddCommand(newProfile(), newKeys(), newVaults(), newWallets(), newDestinations(), newTransfers(), newIntents(), newNodes(), newJournal())
	return root
}

// group is a command that only has others below it. Alone it prints its help.
func group(name, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Long: long,
		Example: "  " + signExample,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("%q is no command of %s: see %s --help", args[0], cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

// usageError says what is wrong with the command line: it names the flag and the
// rule.
type usageError struct{ text string }

// Error returns the text.
func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// flagError turns the parser's errors into usage errors in one voice.
func flagError(_ *cobra.Command, err error) error {
	var (
		value *pflag.InvalidValueError
		none  *pflag.ValueRequiredError
	)
	switch {
	case errors.As(err, &value) && value.GetFlag().Value.Type() == "int":
		return usagef("--%s: %q is not a whole number", value.GetFlag().Name, value.GetValue())
	case errors.As(err, &value):
		return usagef("--%s: %q is not a value that it takes", value.GetFlag().Name, value.GetValue())
	case errors.As(err, &none):
		return usagef("--%s: a value must follow", none.GetFlag().Name)
	}
	return usagef("%v", err)
}
