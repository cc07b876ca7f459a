package signer_test

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cofferhq/coffer/internal/bus"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/wire"
)

// TestGarbage has the coordinator, with its real keys, call a node with 16 MB of bytes
// that mean nothing, as large as calls may be and many at once, three times. The node
// answers each and keeps none; it goes on signing.
//
//nolint:paralleltest // it looks at the memory of the whole process
func TestGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t)
		before := heap()
		random := rand.NewChaCha8([32]byte{1})
		var work sync.WaitGroup
		for i := range 33 {
			topic := []string{wire.FollowTopic, wire.HeadTopic, wire.KeygenTopic, wire.SignTopic}[i%4]
			body := make([]byte, bus.MaxBody)
			if _, err := random.Read(body); err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				copy(body, `{"entries":[`)
				for k := 12; k < len(body); k++ {
					body[k] = "[{\"1,:"[body[k]%6]
				}
			}
			if i%11 == 0 {
				work.Wait()
			}
			work.Go(func() {
				if _, err := p.end.Call(t.Context(), "node-a", topic, body); custody.CodeOf(err) != custody.Invalid {
					t.Errorf("%s: %v", topic, err)
				}
			})
		}
		work.Wait()
		p.quiet()
		if after := heap(); after > before+20<<20 {
			t.Errorf("%d MB of the heap are in use, %d before", after>>20, before>>20)
		}
		p.paid(p.pay(30_000_000))
	})
}

// heap is what the process holds in memory after a collection, in bytes.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
