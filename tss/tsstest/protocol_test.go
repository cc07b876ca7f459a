package tsstest_test

import (
	"fmt"
	"testing"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/derive"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/tsstest"
)

func TestKeygenAndSign(t *testing.T) {
	t.Parallel()
	for _, suite := range []tss.Suite{tss.SuiteBIP340, tss.SuiteEd25519} {
		for _, size := range []struct{ t, n int }{{2, 2}, {2, 3}, {3, 5}} {
			t.Run(fmt.Sprintf("%s/%d-of-%d", suite, size.t, size.n), func(t *testing.T) {
				t.Parallel()
				c := tsstest.NewCluster(t, 1, size.t, tsstest.Single(size.n)...)
				shares := c.Keygen(suite)
				ids := c.Parties.IDs()[:size.t]
				c.Sign(shares, ids, frost.Request{Message: []byte("hello")})
				c.Sign(shares, ids, frost.Request{Message: nil, Path: derive.Path{0, 7}})
			})
		}
	}
}
