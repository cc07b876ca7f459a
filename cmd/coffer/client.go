package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/api/client"
	"github.com/cofferhq/coffer/internal/custody"
)

// exitStatuses is how the help of commands that ask a server tells them.
const exitStatuses = `Exit status: 0 done; 1 something went wrong here; 2 the command line, the profile or a
file is wrong, or the server found the call wrong; 3 the token, a signature or the
server's answer is false; 4 not allowed to ask for this; 5 policy refuses; 6 there is no
such thing; 7 contradicts what is on record; 8 a limit is reached; 9 the server doesn't
answer; 70 a defect or a broken machine of the server's.`

// statusError is an error with an exit status. Servers have a say in what it says.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return visible(e.err.Error()) }
func (e *statusError) Unwrap() error { return e.err }

// classified gives an error of a client the exit status of its code. An error that
// nobody classified is of this machine.
func classified(err error) error {
	_, usage := errors.AsType[*usageError](err)
	_, known := errors.AsType[*statusError](err)
	if err == nil || usage || known {
		return err
	}
	code := client.Code(err)
	_, answered := errors.AsType[*api.Problem](err)
	_, coded := errors.AsType[*custody.Error](err)
	if code == custody.Internal && !answered && !coded {
		return &statusError{exitFailure, err}
	}
	return &statusError{code.Handling().Exit, err}
}

// connection is how a group of commands reaches its server.
type connection struct{ profile string }

// clientGroup is a group of commands that ask a server.
func clientGroup(name, short, long, example string) (*connection, *cobra.Command) {
	cmd := group(name, short, long)
	cmd.Example = "  " + example
	conn := new(connection)
	conn.flag(cmd)
	return conn, cmd
}

func (c *connection) flag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&c.profile, "profile", "", "profile file (default coffer/profile.toml in the directory for settings)")
}

// session is a profile and the client of its server.
type session struct {
	*client.Client
	profile *profile
	charter custody.Hash
	cmd     *cobra.Command
}

// run makes the body of a command that asks a server.
func (c *connection) run(body func(s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		p, err := readProfile(c.profile)
		if err != nil {
			return err
		}
		token, err := p.token()
		if err != nil {
			return err
		}
		charter, err := p.charter()
		if err != nil {
			return err
		}
		s := &session{client.New(client.Config{URL: p.Server, Token: token, Charter: charter, Now: clock}), p, charter, cmd}
		return classified(body(s, args))
	}
}

func (s *session) out() io.Writer { return s.cmd.OutOrStdout() }

// say writes what isn't a result: what is going on, and questions.
func (s *session) say(format string, args ...any) { fmt.Fprintf(s.cmd.ErrOrStderr(), format, args...) }

// mostListed bounds what a server can make us read.
const mostListed = 100_000

// collect joins the pages of a list, up to limit elements, or all of them if limit
// is 0. The result is never nil.
func collect[T any](limit int, page func(limit int, cursor string) (*api.Page[T], error)) ([]T, error) {
	all := []T{}
	for cursor := ""; ; {
		size := api.MaxLimit
		if limit > 0 {
			size = min(size, limit-len(all))
		}
		p, err := page(size, cursor)
		if err != nil {
			return nil, err
		}
		all = append(all, p.Data...)
		switch {
		case limit > 0 && len(all) >= limit:
			return all[:limit], nil
		case p.NextCursor == "":
			return all, nil
		case p.NextCursor == cursor || len(p.Data) == 0 || len(all) > mostListed:
			return nil, errors.New("the server's list has no end")
		}
		cursor = p.NextCursor
	}
}

// printTable prints rows below their head, with nothing in them that moves a
// terminal's cursor.
func printTable(out io.Writer, head string, rows [][]string) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.ReplaceAll(head, " ", "\t"))
	for _, row := range rows {
		for i := range row {
			if row[i] = visible(row[i]); row[i] == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return written(t.Flush())
}

// field is a line of a text about one thing.
type field struct{ name, value string }

// printFields prints those fields that have a value, one below the other.
func printFields(out io.Writer, fields []field) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range fields {
		if f.value != "" {
			fmt.Fprintf(t, "%s\t%s\n", f.name, visible(f.value))
		}
	}
	return written(t.Flush())
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, not %d", cmd.CommandPath(), len(args))
	}
	return nil
}

func oneID(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("%s takes one id, not %d", cmd.CommandPath(), len(args))
	}
	return nil
}

// parseID reads an id of the command line; what names the flag or the argument.
func parseID[T any](what, s string) (custody.ID[T], error) {
	id, err := custody.ParseID[T](s)
	if err != nil {
		return id, usagef("%s: %v", what, err)
	}
	return id, nil
}

// required refuses a command line on which a flag is missing.
func required(cmd *cobra.Command, flags ...string) error {
	for _, f := range flags {
		if !cmd.Flags().Changed(f) {
			return usagef("--%s is required", f)
		}
	}
	return nil
}

// lister makes a command that prints a list.
func lister[T any](conn *connection, use, short, long, head string,
	ask func(s *session) ([]T, error), row func(T) []string,
) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:                   use,
		Short:                 short,
		Long:                  long + "\n\n--json prints one array, of objects as the API has them.",
		Args:                  noArguments,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, _ []string) error {
			all, err := ask(s)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(s.out(), all)
			}
			rows := make([][]string, len(all))
			for i, v := range all {
				rows[i] = row(v)
			}
			return printTable(s.out(), head, rows)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// check is a flag whose value has a form.
type check struct {
	flag, value string
	of          interface{ UnmarshalText(text []byte) error }
}

func checkAll(checks []check) error {
	for _, c := range checks {
		if err := c.of.UnmarshalText([]byte(c.value)); err != nil {
			return usagef("--%s: %v", c.flag, err)
		}
	}
	return nil
}
