package state_test

import (
	"testing"

	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
)

// Whatever a file holds, reading it ends in an answer, and only the bundle that was
// made verifies.
func FuzzVerify(f *testing.F) {
	sample := read(f, "testdata/sample.bundle.json")
	trust, err := state.ParseTrust(read(f, "testdata/sample.trust"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	f.Add([]byte(`{"chain":[],"chainCode":"","entries":[],"facts":{},"head":"","intent":"","messages":[],"paths":[],"proofs":[],"transaction":"","v":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := state.Verify(raw, trust); err == nil && string(raw) != string(sample) {
			t.Error("another bundle verifies")
		}
	})
}

func FuzzParseTrust(f *testing.F) {
	f.Add([]byte("charter 1263ea4c8d99c03f4d8666d49cd801bacb8275d77b7902a115e8e79b18cafd05\n"))
	f.Add([]byte("snapshot "))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = state.ParseTrust(text) })
}

// A snapshot that is accepted is written again as it was.
func FuzzRestore(f *testing.F) {
	b := newBank(f, small, nil)
	raw, err := b.State.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := state.Restore(raw)
		if err != nil {
			return
		}
		if again, err := s.Snapshot(); err != nil || string(again) != string(raw) {
			t.Errorf("a snapshot is written otherwise: %v", err)
		}
	})
}

// No entry makes a replica fail: it takes effect or is void.
func FuzzApply(f *testing.F) {
	b := newBank(f, small, nil)
	in := b.pay("ida", 1)
	b.Must(b.Submit("ida", in))
	b.Must(b.Authorize(in))
	b.Must(b.Prepare(in, 1, statetest.Outpoint(1)))
	for _, raw := range b.Entries[len(b.Entries)-3:] {
		f.Add(raw)
	}
	start, err := b.State.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := state.Restore(start)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Apply(raw); err != nil {
			t.Error(err)
		}
	})
}
