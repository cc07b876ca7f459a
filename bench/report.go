package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// A report is what is printed.
type report struct {
	Machine string `json:"machine"`
	Cores   int    `json:"cores"`
	Go      string `json:"go"`
	Command string `json:"command"`
	Lines   []line `json:"work"`
}

// A line is one work with the costs of those who can do it.
type line struct {
	Work      string   `json:"name"`
	Must      float64  `json:"must_ms"`
	Aim       float64  `json:"aim_ms"`
	MaxAllocs int      `json:"max_allocs,omitempty"`
	Coffer    *sample  `json:"coffer,omitempty"`
	Peers     []sample `json:"peers"`
}

func newReport(command string) report {
	return report{
		Machine: processor(),
		Cores:   runtime.NumCPU(),
		Go:      runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
		Command: strings.TrimSpace(command),
	}
}

// processor names the CPU's model where the kernel tells it.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for l := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// best returns the peer with the least CPU time, nil if there is none.
func (l line) best() *sample {
	var best *sample
	for i := range l.Peers {
		if best == nil || l.Peers[i].CPU < best.CPU {
			best = &l.Peers[i]
		}
	}
	return best
}

const introduction = `# Benchmarks

CPU time of one party in milliseconds, on one thread: the process's user and
system time, divided by the parties that took part, median over batches of runs.
Garbage collection is part of it. Ratio is the best peer's time divided by
Coffer's. Must is the bound for a release, aim the goal.

`

const notes = `
Allocations are those of one party. Bytes are what one party sends: for
Coffer whole messages with their headers, the join included, for the peers message
bodies only; a message to many counts once for each receiver. A round is one wave
of messages.

All parties run in one process and hand over encoded messages in memory. Messages
carry no signatures of the sender and aren't encrypted. A signing run starts from
keys and makes nonces and signature; nothing is computed ahead. Parties of the
peers have the smallest ids. Every signature made is verified, and every key made
signs, outside of the measured time; Go's crypto/ed25519 and btcec's schnorr
verify.

`

func (r report) markdown() string {
	var b strings.Builder
	b.WriteString(introduction)
	b.WriteString("| work | Coffer | best peer | ratio | must | aim |\n|---|---|---|---|---|---|\n")
	for _, l := range r.Lines {
		ours, peer, ratio := "–", "–", "–"
		if l.Coffer != nil {
			ours = milliseconds(l.Coffer.CPU)
		}
		best := l.best()
		if best != nil {
			peer = milliseconds(best.CPU) + " " + best.Library
		}
		if l.Coffer != nil && best != nil {
			ratio = strconv.FormatFloat(best.CPU/l.Coffer.CPU, 'f', 1, 64) + "×"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", l.Work, ours, peer, ratio, bound(l.Must), bound(l.Aim))
	}

	b.WriteString("\n| work | library | allocations | at most | bytes sent | rounds | runs |\n|---|---|---|---|---|---|---|\n")
	for _, l := range r.Lines {
		if l.Coffer != nil {
			limit := "–"
			if l.MaxAllocs > 0 {
				limit = strconv.Itoa(l.MaxAllocs)
			}
			writeCosts(&b, l.Work, *l.Coffer, limit)
		}
		for _, s := range l.Peers {
			writeCosts(&b, l.Work, s, "–")
		}
	}

	b.WriteString(notes)
	fmt.Fprintf(&b, "Machine: %s, %d cores. %s. Made in bench/ by `%s`.\n", r.Machine, r.Cores, r.Go, r.Command)
	return b.String()
}

func writeCosts(b *strings.Builder, work string, s sample, limit string) {
	fmt.Fprintf(b, "| %s | %s | %d | %s | %d | %d | %d |\n", work, s.Library, s.Allocs, limit, s.Bytes, s.Rounds, s.Runs)
}

func milliseconds(ms float64) string { return strconv.FormatFloat(ms, 'f', 3, 64) }

func bound(ms float64) string { return strconv.FormatFloat(ms, 'f', -1, 64) }
