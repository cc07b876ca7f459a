// Command cofferd is the control plane of Coffer: journal, database, broker, life
// cycle and API. It decides nothing that moves money: signer nodes do, each for
// itself. Start from Main.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/internal/app"
	"github.com/cofferhq/coffer/internal/config"
	"github.com/cofferhq/coffer/internal/custody"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(Main(ctx, os.Args[1:], os.Stdout, os.Stderr)) //nolint:gocritic // stop only restores the signals
}

// Main runs the command line args until ctx ends and returns the exit status.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use: "cofferd", Short: "The control plane of Coffer",
		Long: `The control plane keeps the journal, takes what people submit and approve, builds
transactions, has the signer nodes sign them, and follows the networks. It is trusted
for service, not for safety: nodes verify all that it says.`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(newRun(stderr), newDev(), config.Command[*app.File]("cofferd", func() *app.File { return new(app.File) }, &app.File{Bitcoin: []app.Bitcoin{{}}}))
	config.Usage(root)
	err := root.ExecuteContext(ctx)
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return 0
	}
	fmt.Fprintln(stderr, "cofferd:", err)
	return custody.CodeOf(err).Handling().Exit
}

func now() time.Time {
	return time.Now() //nolint:forbidigo // the edge of the program
}

func newRun(stderr io.Writer) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "run --config FILE", Short: "Run the control plane",
		Long: `Run the control plane until it is told to stop (SIGINT, SIGTERM). It begins the journal
with the charter where there is none yet. It logs to standard error, as JSON.`,
		Example: "  cofferd run --config cofferd.toml", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			f := new(app.File)
			if err := config.Load(file, f); err != nil {
				return err
			}
			log := slog.New(slog.NewJSONHandler(stderr, nil))
			c, err := app.Open(cmd.Context(), f, now, log)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.Close()) }()
			log.Info("running", "url", c.URL(), "bus", c.BusURL(), "pid", os.Getpid())
			return c.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file (see cofferd config example)")
	return cmd
}

func newDev() *cobra.Command {
	var dir, ready string
	var setup bool
	d := new(app.Deployment)
	b := app.Bitcoin{Network: "bip122:0f9188f13cb7b2c71f2a335e3a4fc328", Confirmations: 1, Final: 6, Poll: "200ms", Start: 1}
	var password string
	cmd := &cobra.Command{
		Use: "dev --dir DIR", Short: "Run a whole deployment, for development",
		Long: `Run a whole deployment from nothing in one directory: the control plane in this process
and three signer nodes, each in one of its own. The first time it is made, by the very
commands that operators use, which are printed: keys, charter, everybody's signatures
on it, the pin. Later it is found again.

Four people are there: ida, tom and una administer and are the treasury; otto initiates.
Each has a profile for coffer in DIR/people/NAME. All passphrases lie beside what they
open: never hold value with it.

A node of Bitcoin's regtest network is given by --bitcoin; without one, keys and
addresses can be made, and transfers wait.`,
		Example: `  cofferd dev --dir coffer-dev
  cofferd dev --dir coffer-dev --bitcoin http://127.0.0.1:18334 --bitcoin-user u --bitcoin-password-file pass`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return &custody.Error{Code: custody.Invalid, Field: "--dir", Message: "is required"}
			}
			program, err := os.Executable()
			if err != nil {
				return err
			}
			if d.Dir, err = filepath.Abs(dir); err != nil {
				return err
			}
			d.Bin, d.Out = filepath.Dir(program), cmd.OutOrStdout()
			if !d.Made() {
				if err := d.Make(cmd.Context()); err != nil {
					return err
				}
			}
			if setup {
				return nil
			}
			o := app.DevOptions{Now: now, Ready: func(r app.Ready) { announce(cmd, d, ready, r) }}
			if b.URL != "" {
				b.Password = config.Path(password)
				o.Bitcoin = &b
			}
			return d.Run(cmd.Context(), o)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&dir, "dir", "", "directory of the deployment; made if it isn't there")
	cmd.Flags().StringVar(&d.HTTP, "http", "127.0.0.1:8080", "where the API is served, chosen when the deployment is made; port 0 is any free one")
	cmd.Flags().StringVar(&b.URL, "bitcoin", "", "JSON-RPC of a node of regtest")
	cmd.Flags().StringVar(&b.User, "bitcoin-user", "", "its user")
	cmd.Flags().StringVar(&password, "bitcoin-password-file", "", "file with its password in the first line, mode 0600")
	cmd.Flags().StringVar(&ready, "ready", "", "file to write, as JSON, when all of it runs: the API's URL and the nodes' process ids")
	cmd.Flags().BoolVar(&setup, "setup-only", false, "make the deployment and don't run it")
	return cmd
}

// announce says that the deployment runs and how to go on.
func announce(cmd *cobra.Command, d *app.Deployment, file string, r app.Ready) {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "\nAPI      %s\n", r.URL)
	for _, name := range app.NodeNames() {
		fmt.Fprintf(out, "node     %s, process %d\n", name, r.Nodes[name])
	}
	fmt.Fprintf(out, "try      coffer nodes list --profile %s\n", filepath.Join(d.Dir, "people", "ida", "profile.toml"))
	fmt.Fprintln(out, "stop     Ctrl-C; the same command finds all of it again")
	if file != "" {
		if err := app.WriteReady(file, r); err != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), "cofferd:", err)
		}
	}
}
