package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// Every work runs once with every library, and what it makes is right.
func TestWork(t *testing.T) {
	for _, w := range works {
		for _, lib := range append([]library{coffer}, peers...) {
			makeRunner, ok := lib.makers[w.kind]
			if !ok {
				continue
			}
			t.Run(w.name+"/"+lib.name, func(t *testing.T) {
				run, err := makeRunner(w.quorum, w.parties)
				if err != nil {
					t.Fatal(err)
				}
				o, err := run()
				if err != nil {
					t.Fatal(err)
				}
				if err := o.check(); err != nil {
					t.Error(err)
				}
				if o.bytes == 0 || o.rounds == 0 {
					t.Errorf("%d bytes in %d rounds were counted", o.bytes, o.rounds)
				}
			})
		}
	}
}

// A signature under another key passes no check.
func TestWrongKey(t *testing.T) {
	a, _, err := tssLibKeygen(2, 3)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := tssLibKeygen(2, 3)
	if err != nil {
		t.Fatal(err)
	}
	a[0].EDDSAPub = b[0].EDDSAPub
	if checkTSSLibKeys(a, 2) == nil {
		t.Error("parties with different Ed25519 keys passed")
	}

	c, _, err := multiPartySigKeygen(2, 3)
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := multiPartySigKeygen(2, 3)
	if err != nil {
		t.Fatal(err)
	}
	o, err := multiPartySigSign(c[:2])
	if err != nil {
		t.Fatal(err)
	}
	c[0].PublicKey = d[0].PublicKey
	if o.check() == nil {
		t.Error("a BIP-340 signature under another key passed")
	}
}

// A check that fails in any run fails the measurement. A run takes 1 ms here, so
// the warm-up has at most 100 of them and at least 5 batches of 20 follow.
func TestMeasureChecks(t *testing.T) {
	wrong := errors.New("wrong")
	for _, bad := range []int{1, 150} {
		runs := 0
		_, err := measure(func() (outcome, error) {
			for begin := cpuTime(); cpuTime()-begin < time.Millisecond; {
			}
			runs++
			var err error
			if runs == bad {
				err = wrong
			}
			return outcome{check: func() error { return err }}, nil
		}, 2, time.Millisecond)
		if !errors.Is(err, wrong) {
			t.Errorf("run %d was wrong, measure returned %v", bad, err)
		}
	}
}

func TestMarkdown(t *testing.T) {
	r := report{
		Machine: "Abacus", Cores: 2, Go: "go1.26", Command: "go run .",
		Lines: []line{
			{
				Work: "signing", Must: 0.4, Aim: 0.25, MaxAllocs: 100,
				Coffer: &sample{Library: "Coffer", CPU: 0.2, Allocs: 90, Bytes: 64, Rounds: 2, Runs: 10},
				Peers: []sample{
					{Library: "slow", CPU: 3, Allocs: 7, Bytes: 8, Rounds: 9, Runs: 10},
					{Library: "fast", CPU: 1, Allocs: 7, Bytes: 8, Rounds: 9, Runs: 10},
				},
			},
			{Work: "walking", Must: 2, Aim: 1},
		},
	}
	got := r.markdown()
	for _, want := range []string{
		"| signing | 0.200 | 1.000 fast | 5.0× | 0.4 | 0.25 |\n",
		"| walking | – | – | – | 2 | 1 |\n",
		"| signing | Coffer | 90 | 100 | 64 | 2 | 10 |\n",
		"| signing | slow | 7 | – | 8 | 9 | 10 |\n",
		"Machine: Abacus, 2 cores. go1.26. Made in bench/ by `go run .`.\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
}
