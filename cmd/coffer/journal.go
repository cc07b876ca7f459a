package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
)

func newJournal() *cobra.Command {
	conn, cmd := clientGroup("journal", "Read the journal", `The journal is the deployment's record: every intent, word and signature, in one order
that witnesses cosign.`, "coffer journal export --out journal.jsonl")
	cmd.AddCommand(newJournalHead(conn), newJournalExport(conn))
	return cmd
}

func newJournalHead(conn *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "head",
		Short: "Print the newest head that witnesses cosigned",
		Long: `Print the newest head of the journal that a quorum of witnesses cosigned, as the server
has it: how many entries it covers, the root of their tree, and who signed it. The
signatures are not checked here; coffer policy current and every verified address check
those of the head that they are under.

--json prints one object, as the API has it: note (a signed note of C2SP), size and
journalSize. Keep a note, and show it to others: a journal that doesn't grow from it was
forked.`,
		Example:               "  coffer journal head",
		Args:                  noArguments,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, _ []string) error {
			h, err := s.Head(s.cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(s.out(), h)
			}
			fields := []field{{"cosigned", fmt.Sprintf("%d entries", h.Size)}, {"journal", fmt.Sprintf("%d entries", h.JournalSize)}}
			root, signers := readNote(h.Note)
			return printFields(s.out(), append(fields, field{"root", root}, field{"signed by", strings.Join(signers, ", ")}))
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// readNote returns the root of a signed note (C2SP signed-note, tlog-checkpoint) and the
// names below it, each once.
func readNote(note string) (root string, signers []string) {
	text, signatures, _ := strings.Cut(note, "\n\n")
	if lines := strings.Split(text, "\n"); len(lines) >= 3 {
		root = lines[2]
	}
	for line := range strings.Lines(signatures) {
		parts := strings.Fields(line)
		if len(parts) != 3 {
			continue
		}
		name := parts[1][strings.LastIndex(parts[1], "/")+1:]
		if parts[1] == strings.SplitN(text, "\n", 2)[0] {
			name = "the log"
		}
		if !slices.Contains(signers, name) {
			signers = append(signers, name)
		}
	}
	return root, signers
}

func newJournalExport(conn *connection) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "export --out FILE",
		Short: "Save the whole journal",
		Long: `Save the whole journal, an entry a line, as coffer verify --journal reads it. Nothing of
it is checked here but that it has no gap; coffer verify replays all of it. FILE isn't
overwritten, and only its owner can read it.

` + exitStatuses,
		Example:               "  coffer journal export --out journal.jsonl",
		Args:                  noArguments,
		DisableFlagsInUseLine: true,
		RunE: conn.run(func(s *session, _ []string) error {
			if out == "" {
				return usagef("--out is required")
			}
			entries, witnessed, err := s.exportJournal(out)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.out(), "entries    %d\nwitnessed  %d\njournal    %s\n", entries, witnessed, out)
			return written(err)
		}),
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write, which isn't there yet")
	return cmd
}

// exportJournal writes a new file with all entries, whole or not at all.
func (s *session) exportJournal(out string) (entries, witnessed int64, err error) {
	if _, err := os.Lstat(out); err == nil {
		return 0, 0, usagef("%s is there already", out)
	}
	temporary, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+".*")
	if err != nil {
		return 0, 0, usagef("%v", err)
	}
	defer os.Remove(temporary.Name()) //nolint:errcheck // nothing else can be done about it
	entries, witnessed, err = s.writeEntries(bufio.NewWriter(temporary))
	if err := errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return 0, 0, err
	}
	// A link never replaces a file.
	if err := os.Link(temporary.Name(), out); err != nil {
		return 0, 0, err
	}
	return entries, witnessed, keyfile.SyncDirectory(out)
}

func (s *session) writeEntries(to *bufio.Writer) (entries, witnessed int64, err error) {
	for {
		page, err := s.Entries(s.cmd.Context(), entries, api.MaxLimit)
		if err != nil {
			return 0, 0, err
		}
		if len(page.Data) == 0 {
			return entries, witnessed, to.Flush()
		}
		for _, e := range page.Data {
			if e.Index != entries || len(e.Entry) > custody.MaxEntry || strings.ContainsAny(e.Entry, "\r\n") {
				return 0, 0, fmt.Errorf("the server's journal has no entry %d where it should be", entries)
			}
			if _, err := to.WriteString(e.Entry + "\n"); err != nil {
				return 0, 0, err
			}
			entries++
			if e.Witnessed {
				witnessed = entries
			}
		}
	}
}
