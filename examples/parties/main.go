// Command parties shows threshold signing among processes: three parties make a
// key that none of them has, two of them sign, one is killed, the two that are
// left sign, and the last one by itself can't. Run it with `go run`; it ends by
// itself. Start from tell, the story; party.go is what each process does.
//
// The process that was started only coordinates: it proposes sessions, shows what
// the parties answer and checks it. It is trusted with nothing. The parties are
// started by it as child processes, are told what to do by lines of JSON on
// standard input, and talk to each other by package tlschannel. Secrets stay
// inside them. Unlike these, a real party signs nothing because it is told to: it
// has its own knowledge of what may be signed.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"
)

func main() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// partyCommand is the argument that makes this program a party.
const partyCommand = "party"

// demoTime is far more than the demonstration takes.
const demoTime = time.Minute

// Main is the demonstration, or, with the argument that it starts its children
// with, a party. It returns the exit status.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	switch {
	case len(args) == 1 && args[0] == partyCommand:
		if err := serve(stdin, stdout); err != nil {
			fmt.Fprintln(stderr, "party:", err)
			return 1
		}
		return 0
	case len(args) > 0:
		fmt.Fprintf(stderr, "parties: unexpected argument %q: it takes none\n", args[0])
		return 2
	}
	return demonstrate(itself, stdout, stderr)
}

// demonstrate tells the story with parties that spawn makes.
func demonstrate(spawn func(context.Context) (*exec.Cmd, error), stdout, stderr io.Writer) int {
	// The parties die with the thread that starts them: keep it until they ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithTimeout(context.Background(), demoTime)
	defer cancel()
	for _, s := range schemes {
		if err := tell(ctx, stdout, spawn, s); err != nil {
			fmt.Fprintf(stderr, "parties: %s: %v\n", s.suite, err)
			return 1
		}
	}
	fmt.Fprintln(stdout, theEnd)
	return 0
}

// theEnd is the last line of a demonstration in which everything held.
const theEnd = "All of it held: keys made, signatures verified, two parties lost, no signature by one alone."

// itself is this program as a party. The context's end kills it.
func itself(ctx context.Context) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return exec.CommandContext(ctx, self, partyCommand), nil //nolint:gosec // G204: it is this program
}

// now is the program's clock, in Unix seconds.
func now() int64 {
	return time.Now().Unix() //nolint:forbidigo // the program is where time comes in
}
