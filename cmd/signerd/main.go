// Command signerd is a signer node of Coffer: it follows the journal, cosigns its
// heads, holds shares of keys, and signs what its own state allows. Start from Main.
// It listens at no port: it reaches the others through the broker alone.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/internal/bus"
	"github.com/cofferhq/coffer/internal/config"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
	"github.com/cofferhq/coffer/internal/keystore"
	"github.com/cofferhq/coffer/internal/signer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(Main(ctx, os.Args[1:], os.Stdout, os.Stderr)) //nolint:gocritic // stop only restores the signals
}

// Main runs the command line args until ctx ends and returns the exit status.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use: "signerd", Short: "A signer node of Coffer",
		Long: `A signer node holds shares of keys and decides for itself, from a journal that it has
verified, whether to sign. It needs a key file (coffer node new), the signed charter,
the trust file that its operator made of it (coffer charter pin), and a broker.`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(newRun(stderr), config.Command[*signer.File]("signerd", func() *signer.File { return new(signer.File) }, new(signer.File)))
	config.Usage(root)
	err := root.ExecuteContext(ctx)
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return 0
	}
	fmt.Fprintln(stderr, "signerd:", err)
	return custody.CodeOf(err).Handling().Exit
}

func newRun(stderr io.Writer) *cobra.Command {
	var file string
	var verbose bool
	cmd := &cobra.Command{
		Use: "run --config FILE", Short: "Run the node",
		Long: `Run the node until it is told to stop (SIGINT, SIGTERM). It first verifies its whole
journal again. It logs to standard error, as JSON.`,
		Example: "  signerd run --config signerd.toml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := new(signer.File)
			if err := config.Load(file, f); err != nil {
				return err
			}
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			return run(cmd.Context(), f, slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level})))
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file (see signerd config example)")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "log dropped frames too")
	return cmd
}

// whole refuses a data directory that has a journal and no keystore: the node would
// begin anew, without its shares and its memory, and nobody would notice.
func whole(dir string) error {
	_, noStore := os.Stat(filepath.Join(dir, keystore.FileName))
	_, noJournal := os.Stat(filepath.Join(dir, signer.JournalName))
	if errors.Is(noStore, fs.ErrNotExist) && noJournal == nil {
		return &custody.Error{
			Code: custody.Invalid, Field: "data",
			Message: fmt.Sprintf("%s is missing beside %s: bring it back, or remove the latter too to begin anew without shares", keystore.FileName, signer.JournalName),
		}
	}
	return nil
}

func run(ctx context.Context, f *signer.File, log *slog.Logger) (err error) {
	passphrase, err := keyfile.ReadPassphrase(string(f.Passphrase))
	if err != nil {
		return err
	}
	keys, err := keyfile.OpenNode(string(f.Key), passphrase)
	if err != nil {
		return err
	}
	_, charter, err := config.ReadCharter(f.Charter, f.Trust)
	if err != nil {
		return err
	}
	token, err := keyfile.ReadPassphrase(string(f.Bus.Token))
	if err != nil {
		return err
	}
	log = log.With("node", keys.Public.ID)
	if err := whole(string(f.Data)); err != nil {
		return err
	}
	store, err := keystore.Open(string(f.Data), passphrase, keystore.Config{
		Charter: charter.Hash(), Node: keys.Public.ID, WorkFactor: f.WorkFactor, Now: time.Now, //nolint:forbidigo // the edge of the program
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	transport, err := bus.Connect(ctx, bus.NATSConfig{
		URL: f.Bus.URL, Token: token, Charter: charter.Hash(),
		Report: func(err error) { log.Debug("broker", "reason", err.Error()) },
	})
	if err != nil {
		return err
	}
	defer transport.Close()
	node, err := signer.New(ctx, signer.Config{
		Keys: keys, Charter: charter, Store: store, Dir: filepath.Clean(string(f.Data)), Transport: transport,
		Now: time.Now, Log: log, //nolint:forbidigo // the edge of the program
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	log.Info("running", "charter", charter.Hash(), "pid", os.Getpid())
	return node.Run(ctx)
}
