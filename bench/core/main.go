// Command core measures the trusted core by its own benchmarks and prints what
// they come to beside what they must. Start from the table rows.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// A row is one line of the table: a benchmark, the unit that it reports, and the
// bound.
type row struct {
	what      string
	pkg       string
	benchmark string
	unit      string
	scale     float64 // of the unit to what is shown
	shown     string
	must      float64
	atLeast   bool   // the bound is a lower one
	time      string // for -benchtime
}

var rows = []row{
	{"Evaluate a policy of 100 rules", "policy", "Evaluate", "ns/op", 1e-3, "µs", 250, false, "1s"},
	{"Apply an intent, 3 approvals and its authorization, beside the signature checks in them", "state", "Authorization", "×signatures", 1, "×", 1.5, false, "10x"},
	{"Replay below a trusted head", "state", "Replay/trusted", "entries/s", 1, "entries/s", 50_000, true, "5x"},
	{"Replay with all evidence verified again, beside its signature checks", "state", "Replay/verified", "×signatures", 1, "×", 1.3, false, "5x"},
	{"Append to the journal in memory, entries of 1 kB", "journal", "Append", "ns/op", 1e-9, "entries/s", 20_000, true, "1s"},
}

func main() {
	out := flag.String("o", "", "write the Markdown table to this file as well")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "core:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	var b strings.Builder
	b.WriteString("# Benchmarks of the trusted core\n\n")
	b.WriteString("The median of five runs of each benchmark in `internal/`. Replay reads entries ahead on\na second thread; all else is one thread, beside the garbage collector.\n\n")
	b.WriteString("| work | measured | must |\n|---|---|---|\n")
	for _, r := range rows {
		v, err := r.measure()
		if err != nil {
			return err
		}
		bound := "at most"
		if r.atLeast {
			bound = "at least"
		}
		line := fmt.Sprintf("| %s | %s %s | %s %s %s |\n", r.what, number(v), r.shown, bound, number(r.must), r.shown)
		fmt.Fprint(os.Stderr, line)
		b.WriteString(line)
	}
	fmt.Fprintf(&b, "\nMachine: %d cores. %s %s/%s. Made in bench/ by `go run ./core -o ../docs/benchmarks-core.md`.\n",
		runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprint(os.Stdout, b.String())
	if out == "" {
		return nil
	}
	// Documentation, to be read by all.
	return os.WriteFile(out, []byte(b.String()), 0o644) //nolint:gosec // G306: not a secret
}

// measure runs the benchmark and returns the median of its values.
func (r row) measure() (float64, error) {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", "^Benchmark"+strings.ReplaceAll(r.benchmark, "/", "$/^")+"$", //nolint:gosec,noctx // of the table above; ends by itself
		"-count", "5", "-benchtime", r.time, "./internal/"+r.pkg)
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", r.benchmark, err, text)
	}
	var values []float64
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		for i := 1; i < len(fields); i++ {
			if fields[i] != r.unit || !strings.HasPrefix(fields[0], "Benchmark") {
				continue
			}
			v, err := strconv.ParseFloat(fields[i-1], 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", r.benchmark, err)
			}
			v *= r.scale
			if r.unit == "ns/op" && r.atLeast {
				v = 1 / v
			}
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return 0, fmt.Errorf("%s: no %s in the output:\n%s", r.benchmark, r.unit, text)
	}
	slices.Sort(values)
	return values[len(values)/2], nil
}

func number(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
