// Command demo tells the story of a bank's first transfers with Coffer, from nothing
// to evidence that anyone can verify: a control plane and three signer nodes as
// processes of their own, and a real Bitcoin node on a network of its own. `make demo`
// builds and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.root, "root", ".", "the repository, for the pinned Bitcoin node")
	flag.StringVar(&o.bin, "bin", ".bin", "directory of the programs coffer, cofferd and signerd")
	flag.StringVar(&o.dir, "dir", "", "directory to work in; a temporary one unless given")
	flag.BoolVar(&o.exit, "exit", false, "end when the story is told, instead of leaving all of it running")
	flag.Parse()
	if err := run(ctx, o, os.Stdout); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1) //nolint:gocritic // stop only restores the signals
	}
}

type options struct {
	root, bin, dir string
	exit           bool
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "coffer-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	for _, p := range []*string{&o.root, &o.bin, &o.dir} {
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &story{options: o, out: out, began: clock()}
	defer func() { err = errors.Join(err, s.end()) }()
	for _, chapter := range []struct {
		title string
		tell  func(context.Context) error
	}{
		{"A bank from nothing", s.bank},
		{"A key that exists on no machine", s.key},
		{"An address that anyone can recompute, and a deposit", s.deposit},
		{"A small payment goes at once", s.small},
		{"A large payment waits for two people", s.large},
		{"A payment to a restricted place is blocked", s.restricted},
		{"A signer is killed, and the bank pays on", s.killed},
		{"The server is taken over", s.hostile},
		{"Proof, with every program gone", s.proof},
	} {
		s.heading(chapter.title)
		if err := chapter.tell(ctx); err != nil {
			return fmt.Errorf("%s: %w", chapter.title, err)
		}
	}
	s.say("\nThe story took %s.", clock().Sub(s.began).Round(time.Second/10))
	if o.exit {
		return nil
	}
	return s.stay(ctx)
}

// clock is where time comes into the demonstration.
func clock() time.Time {
	return time.Now() //nolint:forbidigo // the edge of the program
}
