package main

import (
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// A maker prepares work for a quorum out of some parties, outside of the
// measurement: keys for signing, for example.
type maker func(quorum, parties int) (runner, error)

// A runner does the work once, for all parties that take part.
type runner func() (outcome, error)

// An outcome is what one run sent and made. The check of what it made is not
// measured.
type outcome struct {
	traffic
	check func() error
}

// A sample is the cost of one run for one party.
type sample struct {
	Library string  `json:"library"`
	CPU     float64 `json:"cpu_ms"` // median over batches of runs
	Allocs  int     `json:"allocs"` // median over batches of runs
	Bytes   int     `json:"bytes"`
	Rounds  int     `json:"rounds"`
	Runs    int     `json:"runs"`
}

const (
	warmUp = 100 * time.Millisecond
	// A batch is long against the clock's grain and holds its share of garbage
	// collection, which a median over single runs would hide.
	batchTime  = 20 * time.Millisecond
	minBatches = 5
	maxRuns    = 50_000
)

// measure repeats the work until the CPU time spent is enough, and checks what
// every run made.
func measure(run runner, parties int, atLeast time.Duration) (sample, error) {
	var warm []outcome
	var spent time.Duration
	for begin := cpuTime(); spent < warmUp; spent = cpuTime() - begin {
		o, err := run()
		if err != nil {
			return sample{}, err
		}
		warm = append(warm, o)
	}
	if err := check(warm); err != nil {
		return sample{}, err
	}
	batch := max(1, int(batchTime*time.Duration(len(warm))/spent))

	var total time.Duration
	var times []time.Duration
	var allocs []uint64
	outcomes := make([]outcome, batch)
	runtime.GC()
	for total < atLeast && len(times)*batch < maxRuns || len(times) < minBatches {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := cpuTime()
		for i := range outcomes {
			o, err := run()
			if err != nil {
				return sample{}, err
			}
			outcomes[i] = o
		}
		spent := cpuTime() - begin
		runtime.ReadMemStats(&after)

		total += spent
		times = append(times, spent)
		allocs = append(allocs, after.Mallocs-before.Mallocs)
		if err := check(outcomes); err != nil {
			return sample{}, err
		}
	}

	share := float64(batch * parties)
	return sample{
		CPU:    median(times).Seconds() * 1000 / share,
		Allocs: int(float64(median(allocs))/share + 0.5),
		Bytes:  warm[0].bytes / parties,
		Rounds: warm[0].rounds,
		Runs:   len(times) * batch,
	}, nil
}

func check(outcomes []outcome) error {
	for _, o := range outcomes {
		if err := o.check(); err != nil {
			return fmt.Errorf("check: %w", err)
		}
	}
	return nil
}

// median returns the middle of values, the upper one of two.
func median[T time.Duration | uint64](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

// cpuTime is what the process has used so far, in user and system mode.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) //nolint:forbidigo // the kernel knows this call and the address is good
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
