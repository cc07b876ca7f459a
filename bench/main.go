// Command bench compares Coffer with the other Go libraries that do the same
// work: the CPU time, allocations, bytes and rounds of each party. All parties
// run in this process, on one thread, without signatures on their messages.
// Start from the table works. It judges no network and no storage.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A kind of work. Each library has a maker for those that it can do.
type kind int

const (
	signEd25519 kind = iota
	signBIP340
	keygenSecp256k1
	keygenEd25519
)

// A work is one line of the tables, with what Coffer has to reach: must before
// a release, aim in the end. Times are milliseconds of CPU for each party.
type work struct {
	name      string
	kind      kind
	quorum    int // parties that sign
	parties   int // parties that hold a share
	must, aim float64
	maxAllocs int // for each party; 0 is no limit
}

var works = []work{
	{"FROST Ed25519 signing, 2 signers", signEd25519, 2, 3, 0.4, 0.2, 100},
	{"FROST Ed25519 signing, 3 signers", signEd25519, 3, 5, 0.5, 0.24, 100},
	{"FROST BIP-340 signing, 2 signers", signBIP340, 2, 3, 0.7, 0.35, 0},
	{"FROST BIP-340 signing, 3 signers", signBIP340, 3, 5, 0.9, 0.42, 0},
	{"Key generation secp256k1, 2 of 3", keygenSecp256k1, 2, 3, 2, 1, 0},
	{"Key generation secp256k1, 3 of 5", keygenSecp256k1, 3, 5, 5, 2.5, 0},
	{"Key generation Ed25519, 2 of 3", keygenEd25519, 2, 3, 1.5, 0.6, 0},
	{"Key generation Ed25519, 3 of 5", keygenEd25519, 3, 5, 4, 1.5, 0},
}

// takingPart is the number of parties that the work is shared by.
func (w work) takingPart() int {
	if w.kind == signEd25519 || w.kind == signBIP340 {
		return w.quorum
	}
	return w.parties
}

// A library is one implementation with the work it can do.
type library struct {
	name   string
	makers map[kind]maker
}

var peers = []library{tssLib, multiPartySig}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	out := flags.String("o", "", "write the Markdown tables to this file as well")
	asJSON := flags.Bool("json", false, "print JSON instead of Markdown")
	atLeast := flags.Duration("time", 2*time.Second, "CPU time spent on each measurement")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("read flags: %w", err)
	}

	runtime.GOMAXPROCS(1)
	r := newReport("go run . " + strings.Join(args, " "))
	for _, w := range works {
		l, err := w.measure(*atLeast)
		if err != nil {
			return err
		}
		r.Lines = append(r.Lines, l)
	}

	if *out != "" {
		// Documentation, to be read by all.
		if err := os.WriteFile(*out, []byte(r.markdown()), 0o644); err != nil { //nolint:gosec // G306: not a secret
			return fmt.Errorf("write report: %w", err)
		}
	}
	if !*asJSON {
		fmt.Fprint(stdout, r.markdown())
		return nil
	}
	enc := json.NewEncoder(stdout)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// measure runs the work with every library that can do it. Coffer comes first.
func (w work) measure(atLeast time.Duration) (line, error) {
	l := line{Work: w.name, Must: w.must, Aim: w.aim, MaxAllocs: w.maxAllocs}
	for _, lib := range slices.Concat([]library{coffer}, peers) {
		makeRunner, ok := lib.makers[w.kind]
		if !ok {
			continue
		}
		runner, err := makeRunner(w.quorum, w.parties)
		if err != nil {
			return line{}, fmt.Errorf("%s with %s: prepare: %w", w.name, lib.name, err)
		}
		s, err := measure(runner, w.takingPart(), atLeast)
		if err != nil {
			return line{}, fmt.Errorf("%s with %s: %w", w.name, lib.name, err)
		}
		s.Library = lib.name
		if lib.name == coffer.name {
			l.Coffer = &s
		} else {
			l.Peers = append(l.Peers, s)
		}
	}
	return l, nil
}
