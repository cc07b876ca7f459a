package tsstest_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/derive"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/tsstest"
	"github.com/cofferhq/coffer/tss/vss"
)

// subsets returns all subsets of ids with k elements.
func subsets(ids []uint16, k int) [][]uint16 {
	if k == 0 {
		return [][]uint16{nil}
	}
	var out [][]uint16
	for i := range ids {
		for _, rest := range subsets(ids[i+1:], k-1) {
			out = append(out, append([]uint16{ids[i]}, rest...))
		}
	}
	return out
}

// Any k of n sign: every minimal subset does, and the shares of every smaller one
// say nothing (FAULTS C6, C51, invariant O4).
func TestAnyMinimalSubsetSigns(t *testing.T) {
	t.Parallel()
	for _, shape := range []struct {
		t   int
		ids [][]uint16
	}{
		{2, tsstest.Single(2)},
		{2, tsstest.Single(3)},
		{3, tsstest.Single(5)},
		{2, [][]uint16{{65535}, {1}, {777}}},
		{3, [][]uint16{{1, 4}, {2}, {3}}}, // A70: a member with two ids
		{4, [][]uint16{{1, 2}, {3, 9}, {4, 5}}},
	} {
		for _, suite := range []tss.Suite{tss.SuiteBIP340, tss.SuiteEd25519} {
			t.Run(fmt.Sprintf("%s/%d-of-%v", suite, shape.t, shape.ids), func(t *testing.T) {
				t.Parallel()
				c := tsstest.NewCluster(t, 2, shape.t, shape.ids...)
				c.Net.Watch = func(from, to tss.IdentityKey, _ tsstest.Message) {
					if from == to {
						t.Error("a message from a member to itself")
					}
				}
				shares := c.Keygen(suite)
				all := c.Parties.IDs()
				r := frost.Request{Message: []byte("m"), Path: derive.Path{3}}
				for k := shape.t; k <= len(all); k++ {
					for _, ids := range subsets(all, k) {
						c.Sign(shares, ids, r)
					}
				}
				for _, ids := range subsets(all, shape.t-1) {
					if secretOf(t, shares, ids).Equal(secretOf(t, shares, all)) {
						t.Errorf("ids %v alone have the key", ids)
					}
				}
				if !suite.Group().BaseMul(secretOf(t, shares, all[:shape.t])).Equal(shares[0].Public) {
					t.Error("the shares don't interpolate to the key")
				}
			})
		}
	}
}

// secretOf interpolates the shares of ids, as only a test does.
func secretOf(t *testing.T, shares []*tss.KeyShare, ids []uint16) group.Scalar {
	t.Helper()
	g := shares[0].Suite.Group()
	sum := g.Zero()
	for _, id := range ids {
		l, err := vss.Lagrange(g, id, ids)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range shares {
			if secret, ok := s.Secret(id); ok {
				sum = sum.Add(l.Mul(secret))
			}
		}
	}
	return sum
}

// Up to 16 members, and a message of the largest size.
func TestLargeShapes(t *testing.T) {
	t.Parallel()
	for _, suite := range []tss.Suite{tss.SuiteBIP340, tss.SuiteEd25519} {
		for _, shape := range []struct{ t, n int }{{2, 16}, {9, 16}, {16, 16}} {
			t.Run(fmt.Sprintf("%s/%d-of-%d", suite, shape.t, shape.n), func(t *testing.T) {
				t.Parallel()
				c := tsstest.NewCluster(t, 2, shape.t, tsstest.Single(shape.n)...)
				shares := c.Keygen(suite)
				ids := c.Parties.IDs()[shape.n-shape.t:]
				c.Sign(shares, ids, frost.Request{Message: make([]byte, frost.MaxMessageSize)})
			})
		}
	}
}

var update = flag.Bool("update", false, "write testdata anew")

// What every message of a key generation and a signature looks like, held fast: a
// change here is a change of the protocol and of its version.
func TestTranscript(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	for _, suite := range []tss.Suite{tss.SuiteBIP340, tss.SuiteEd25519} {
		var mu sync.Mutex
		lines := make(map[tss.IdentityKey][]string)
		var c *tsstest.Cluster
		synctest.Test(t, func(t *testing.T) {
			c = tsstest.NewCluster(t, 11, 2, []uint16{1, 4}, []uint16{2}, []uint16{3})
			c.Threshold = 3
			c.Net.Deliver = func(from, _ tss.IdentityKey) []time.Duration { return []time.Duration{time.Duration(from[0]) + 1} }
			c.Net.Watch = func(from, to tss.IdentityKey, m tsstest.Message) {
				mu.Lock()
				defer mu.Unlock()
				kind := "broadcast"
				if m.Private() {
					kind = "private"
				}
				sum := sha256.Sum256(m)
				lines[from] = append(lines[from], fmt.Sprintf("round %d %-9s %d -> %d, %4d bytes, sha256 %x",
					m.Round(), kind, m.From(), slices.IndexFunc(c.Identities, func(id *tss.Identity) bool { return id.Public() == to })+1, len(m), sum[:8]))
			}
			shares := c.Keygen(suite)
			for from := range lines {
				lines[from] = append(lines[from], "")
			}
			c.Sign(shares, []uint16{1, 2, 4}, frost.Request{Message: []byte("m"), Path: derive.Path{7}})
		})
		for i, id := range c.Identities {
			fmt.Fprintf(&out, "%s, member %d\n%s\n\n", suite, i+1, strings.Join(lines[id.Public()], "\n"))
		}
	}
	const file = "testdata/transcript.txt"
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, []byte(out.String())) {
		t.Errorf("the transcript differs from %s; if that is meant, run with -update and raise the version\n%s", file, out.String())
	}
}

// Attack A63: no order of a Go map reaches a hash or a message; see also the
// replays of TestSimulate.
func TestRunsAreDeterministic(t *testing.T) {
	t.Parallel()
	var first []byte
	for range 20 {
		c := tsstest.NewCluster(t, 12, 2, tsstest.Single(3)...)
		shares := c.Keygen(tss.SuiteEd25519)
		if first == nil {
			first = shares[0].Bytes()
		} else if !bytes.Equal(first, shares[0].Bytes()) {
			t.Fatal("the same seed gives another key")
		}
	}
}
