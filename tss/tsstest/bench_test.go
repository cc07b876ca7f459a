package tsstest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/tsstest"
)

// The figures are per run of all parties; bench/ measures per party beside other
// libraries.
func BenchmarkSign(b *testing.B) {
	for _, suite := range []tss.Suite{tss.SuiteEd25519, tss.SuiteBIP340} {
		for _, t := range []int{2, 3} {
			b.Run(fmt.Sprintf("%s/%d-signers", suite, t), func(b *testing.B) {
				c := tsstest.NewCluster(b, 1, t, tsstest.Single(t)...)
				shares := c.Keygen(suite)
				c.Net.Unsigned = true
				r := frost.Request{Message: []byte("benchmark")}
				b.ReportAllocs()
				for b.Loop() {
					c.TrySign(context.Background(), shares, c.Parties.IDs(), r)
				}
			})
		}
	}
}

func BenchmarkKeygen(b *testing.B) {
	for _, suite := range []tss.Suite{tss.SuiteEd25519, tss.SuiteBIP340} {
		for _, n := range []struct{ t, n int }{{2, 3}, {3, 5}} {
			b.Run(fmt.Sprintf("%s/%d-of-%d", suite, n.t, n.n), func(b *testing.B) {
				c := tsstest.NewCluster(b, 1, n.t, tsstest.Single(n.n)...)
				c.Net.Unsigned = true
				b.ReportAllocs()
				for b.Loop() {
					c.TryKeygen(context.Background(), suite)
				}
			})
		}
	}
}
