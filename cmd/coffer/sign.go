package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/derive"
	"github.com/cofferhq/coffer/tss/frost"
)

const signExample = `coffer tss sign --scheme bip340 -t 2 -n 3 --kill 1 --message-hex 68656c6c6f`

const signLong = `Make a key among N parties and sign a message with T of them.

Every party is a node with its own identity key; all are in this process. They
generate the key together, so that it exists nowhere, and each keeps its share in
memory only. --kill takes parties off the network after that, those with the
lowest ids. Then exactly T of the others sign, and the signature is verified by
code that took no part in making it. Nothing is stored: key and shares are gone
when the command ends.

The message is signed as it is given, from 0 bytes to 1 MiB, without hashing
beforehand. Give it by --message-hex, or, as a command line holds no more than
128 KiB for one argument, by --message-file.

What the signing took is measured from the end of its join, in which the parties
agree on the session, to the signature:
  rounds             in which the parties send something and wait for the others
  bytesPerParty      sent by each signer, on average: header, body and 64 bytes of
                     signature of every message, once for each receiver
  cpuMicrosPerParty  CPU time of the process divided by T, signing and verifying
                     of messages and of the signature included

--json prints one object: scheme, threshold, parties, signers (ids), publicKey (32
bytes in hexadecimal: x-only for bip340, RFC 8032 for ed25519), signature (64
bytes), rounds, bytesPerParty, cpuMicrosPerParty and, where it is given, path.

Exit status: 0 signed; 1 something went wrong; 2 the command line is wrong.`

// signFlags is the command line of `coffer tss sign`.
type signFlags struct {
	scheme      string
	threshold   int
	parties     int
	kill        int
	messageHex  string
	messageFile string
	path        string
	json        bool
}

func newSign() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use:   "sign --scheme bip340|ed25519 -t T -n N (--message-hex HEX | --message-file FILE)",
		Short: "Make a key among parties and sign a message with it",
		Long:  signLong,
		Example: "  " + signExample + `
  coffer tss sign --scheme ed25519 -t 3 -n 5 --message-file transaction.bin --json
  coffer tss sign --scheme bip340 -t 2 -n 2 --path m/0/7 --message-hex ""`,
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unexpected argument %q: everything is given by flags", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.scheme, "scheme", "", "signature scheme: bip340 or ed25519")
	fs.IntVarP(&f.threshold, "threshold", "t", 0, "parties that sign together, from 2 to N")
	fs.IntVarP(&f.parties, "parties", "n", 0, "parties that share the key, at most 255")
	fs.StringVar(&f.messageHex, "message-hex", "", "message in hexadecimal; \"\" is the empty message")
	fs.StringVar(&f.messageFile, "message-file", "", "file that holds the message, as raw bytes; - is standard input")
	fs.StringVar(&f.path, "path", "", "sign with the child key at this path, as m/0/7")
	fs.IntVar(&f.kill, "kill", 0, "parties that are lost before the signing, at most N - T")
	fs.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

func (f *signFlags) run(cmd *cobra.Command) error {
	c, err := f.ceremony(cmd)
	if err != nil {
		return err
	}
	out, err := c.run(cmd.Context())
	if err != nil {
		return err
	}
	r := c.report(out)
	if cmd.Flags().Changed("path") {
		r.Path = c.request.Path.String()
	}
	if f.json {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(r)
	} else {
		err = r.print(cmd.OutOrStdout(), out.killed)
	}
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// ceremony checks the flags. Its errors are of the command line, but for a
// message file that can't be read.
func (f *signFlags) ceremony(cmd *cobra.Command) (*ceremony, error) {
	given := cmd.Flags().Changed
	for _, name := range []string{"scheme", "threshold", "parties"} {
		if !given(name) {
			return nil, usagef("--%s is required", name)
		}
	}
	c := &ceremony{threshold: f.threshold, parties: f.parties, kill: f.kill}
	switch f.scheme {
	case tss.SuiteBIP340.String():
		c.suite = tss.SuiteBIP340
	case tss.SuiteEd25519.String():
		c.suite = tss.SuiteEd25519
	default:
		return nil, usagef("--scheme must be bip340 or ed25519, not %q", f.scheme)
	}
	switch {
	case f.parties > tss.MaxIDs:
		return nil, usagef("--parties (-n) must be at most %d, not %d", tss.MaxIDs, f.parties)
	case f.threshold < 2:
		return nil, usagef("--threshold (-t) must be at least 2, not %d: a single party would hold the key", f.threshold)
	case f.threshold > f.parties:
		return nil, usagef("--threshold (-t) must be at most --parties (-n), not %d of %d", f.threshold, f.parties)
	case f.kill < 0:
		return nil, usagef("--kill must be at least 0, not %d", f.kill)
	case f.kill > f.parties-f.threshold:
		return nil, usagef("--kill must leave as many parties as sign: at most %d of %d, not %d",
			f.parties-f.threshold, f.parties, f.kill)
	}
	if given("path") {
		path, err := derive.ParsePath(f.path)
		if err != nil {
			return nil, usagef("--path %q: %v", f.path, err)
		}
		c.request.Path = path
	}
	var err error
	switch {
	case given("message-hex") && given("message-file"):
		return nil, usagef("--message-hex and --message-file exclude each other: give one")
	case given("message-hex"):
		c.request.Message, err = f.fromHex()
	case given("message-file"):
		c.request.Message, err = f.fromFile(cmd.InOrStdin())
	default:
		return nil, usagef("--message-hex or --message-file is required")
	}
	return c, err
}

func (f *signFlags) fromHex() ([]byte, error) {
	message, err := hex.DecodeString(f.messageHex)
	switch {
	case errors.Is(err, hex.ErrLength):
		return nil, usagef("--message-hex must have two digits for every byte, not %d digits in all", len(f.messageHex))
	case err != nil:
		return nil, usagef("--message-hex must have the digits 0-9, a-f and A-F only: %v", err)
	case len(message) > frost.MaxMessageSize:
		return nil, usagef("--message-hex must be at most %d bytes (1 MiB), not %d", frost.MaxMessageSize, len(message))
	}
	return message, nil
}

func (f *signFlags) fromFile(in io.Reader) ([]byte, error) {
	if f.messageFile != "-" {
		file, err := os.Open(f.messageFile)
		if err != nil {
			return nil, fmt.Errorf("--message-file: %w", err)
		}
		defer file.Close() //nolint:errcheck // it was only read
		in = file
	}
	message, err := io.ReadAll(io.LimitReader(in, frost.MaxMessageSize+1))
	if err != nil {
		return nil, fmt.Errorf("--message-file: %w", err)
	}
	if len(message) > frost.MaxMessageSize {
		return nil, usagef("--message-file must hold at most %d bytes (1 MiB)", frost.MaxMessageSize)
	}
	return message, nil
}

// report is what the command prints.
type report struct {
	Scheme            string   `json:"scheme"`
	Threshold         int      `json:"threshold"`
	Parties           int      `json:"parties"`
	Signers           []uint16 `json:"signers"`
	PublicKey         string   `json:"publicKey"`
	Signature         string   `json:"signature"`
	Rounds            int      `json:"rounds"`
	BytesPerParty     int      `json:"bytesPerParty"`
	CPUMicrosPerParty int64    `json:"cpuMicrosPerParty"`
	Path              string   `json:"path,omitempty"`
}

func (c *ceremony) report(out *outcome) *report {
	return &report{
		Scheme: c.suite.String(), Threshold: c.threshold, Parties: c.parties, Signers: out.signers,
		PublicKey: hex.EncodeToString(out.publicKey), Signature: hex.EncodeToString(out.signature),
		Rounds: out.rounds, BytesPerParty: out.bytes / c.threshold,
		CPUMicrosPerParty: out.cpu.Microseconds() / int64(c.threshold),
	}
}

// print writes the report for people: a name and a value on every line.
func (r *report) print(w io.Writer, killed []uint16) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(t, name+"\t"+format+"\n", args...)
	}
	line("scheme", "%s", r.Scheme)
	line("threshold", "%d of %d parties", r.Threshold, r.Parties)
	if len(killed) > 0 {
		line("killed", "%s", list(killed))
	}
	line("signers", "%s", list(r.Signers))
	if r.Path != "" {
		line("path", "%s", r.Path)
	}
	line("public key", "%s", r.PublicKey)
	line("signature", "%s", r.Signature)
	line("rounds", "%d", r.Rounds)
	line("bytes sent", "%d per party", r.BytesPerParty)
	line("CPU time", "%d µs per party", r.CPUMicrosPerParty)
	return t.Flush()
}

func list(ids []uint16) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.Itoa(int(id))
	}
	return strings.Join(words, ", ")
}
