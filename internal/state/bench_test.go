package state_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
)

// usual is a policy as banks have it: a price by two attestors and a screening
// for every transfer, two people above a value, more above a daily sum.
var usual = small + `
  - name: sanctions
    for: [TRANSFER]
    when: "true"
    require: {screening: {verdict: PASS, max_age: 10m}, price: {from: 2, within: 1%}}
  - name: daily
    for: [TRANSFER]
    when: spent("source.vault", "24h") > usd(1000000000)
    require: {approvals: [{group: risk, count: 1}]}
`

// traffic is a journal of transfers: one in three needs two people, the others go
// at once. The journal follows each to the end.
func traffic(tb testing.TB, transfers int) *bank {
	tb.Helper()
	b := newBank(tb, strings.Replace(usual, `count("source.vault", "24h") > 5`, `count("source.vault", "24h") > 100000`, 1), nil)
	for i := range transfers {
		b.Wait(90)
		in := b.pay("ida", 40_000_000+uint64(i%3)*10_000_000)
		b.Must(b.Submit("ida", in))
		b.Price(in, 100_000_000, 6_500_000, coin)
		b.Must(b.Screen(in, custody.ScreeningPass))
		if i%3 == 2 {
			b.Must(b.Say("tom", custody.Yes, in))
			b.Must(b.Say("una", custody.Yes, in))
		}
		b.Must(b.Authorize(in))
		p := b.Must(b.Prepare(in, 900, unspent(i)))
		b.Must(b.SignedBy(in, p.Leaf, custody.Hash{7}, make([]byte, 64), "node-a", "node-c"))
		for _, kind := range []custody.ObservedKind{custody.Broadcast, custody.Confirming, custody.Confirmed, custody.Finalized} {
			b.Must(b.Observe(in, p.Leaf, kind))
		}
	}
	return b
}

// lines are the entries of the journal.
func (b *bank) lines(yield func([]byte, error) bool) {
	for _, raw := range b.Entries {
		if !yield(raw, nil) {
			return
		}
	}
}

func unspent(i int) custody.Claim {
	h := statetest.Leaf([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
	return custody.Claim{Outpoint: custody.Outpoint(h.String() + ":1")}
}

func replay(tb testing.TB, b *bank, apply func(s *state.State, i int) (state.Result, error)) {
	s := state.New(b.State.CharterHash())
	for i := range b.Entries {
		r, err := apply(s, i)
		if err != nil || r.Void != b.Results[i].Void {
			tb.Fatalf("entry %d: %q %v", i, r.Void, err)
		}
	}
}

func BenchmarkReplay(b *testing.B) {
	bank := traffic(b, 1000)
	perEntry := func(b *testing.B) {
		b.Helper()
		b.ReportMetric(float64(len(bank.Entries)*b.N)/b.Elapsed().Seconds(), "entries/s")
	}
	b.Run("trusted", func(b *testing.B) {
		for range b.N {
			replay(b, bank, func(s *state.State, i int) (state.Result, error) {
				return s.Replay(bank.Entries[i], bank.Results[i].Void)
			})
		}
		perEntry(b)
	})
	// The two are measured in turn, so that what else the machine does slows both.
	b.Run("verified", func(b *testing.B) {
		all := checks(b, bank)
		var signatures time.Duration
		for range b.N {
			s := state.New(bank.State.CharterHash())
			err := s.ApplyAll(bank.lines, func(r state.Result) error {
				if r.Void != bank.Results[r.Index].Void {
					b.Fatalf("entry %d: %q", r.Index, r.Void)
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			start := time.Now()
			for i, ok := range all {
				if !ok() {
					b.Fatalf("signature %d doesn't verify", i)
				}
			}
			signatures += time.Since(start)
		}
		whole := b.Elapsed() - signatures
		b.ReportMetric(float64(len(bank.Entries)*b.N)/whole.Seconds(), "entries/s")
		b.ReportMetric(float64(whole)/float64(signatures), "×signatures")
		b.ReportMetric(0, "ns/op")
	})
}

// checks returns the signature checks of a journal, and nothing else of it.
func checks(tb testing.TB, b *bank) []func() bool {
	tb.Helper()
	device := make(map[custody.ID[custody.Credential]]crypto.PublicKey)
	for _, p := range b.People {
		device[p.Credential.ID] = p.Key.Public()
	}
	identity := make(map[custody.Name]hybrid.PublicKey)
	for id, n := range b.Nodes {
		identity[id] = n.Identity.Public()
	}
	var out []func() bool
	person := func(e custody.Evidence, hash custody.Hash) {
		out = append(out, func() bool {
			switch key := device[e.Credential].(type) {
			case ed25519.PublicKey:
				return ed25519.Verify(key, hash[:], e.Signature)
			case *ecdsa.PublicKey:
				return ecdsa.VerifyASN1(key, hash[:], e.Signature)
			}
			return false
		})
	}
	node := func(id custody.Name, hash custody.Hash, sig []byte) {
		key := identity[id]
		out = append(out, func() bool { return key.Verify(hash[:], sig) == nil })
	}
	intents := make(map[custody.ID[custody.Intent]]*custody.Intent)
	for i, raw := range b.Entries {
		if b.Results[i].Void != "" {
			continue
		}
		e, err := custody.ParseEntry(raw)
		if err != nil {
			tb.Fatal(err)
		}
		switch body := e.Body.(type) {
		case *custody.CharterRecord:
			hash := custody.CharterSignatureHash(b.State.CharterHash())
			for _, e := range body.Administrators {
				person(e, hash)
			}
			for _, n := range body.Nodes {
				node(n.Node, hash, n.Signature)
			}
		case *custody.IntentRecord:
			intents[body.Intent.ID] = body.Intent
			person(body.Evidence, b.Hash(body.Intent, custody.Submit))
		case *custody.EvidenceRecord:
			if body.Approval != nil {
				person(body.Approval.Evidence, b.Hash(intents[body.Intent], body.Approval.Verdict))
			} else {
				key, hash := b.Attestor[body.Attestation.Attestation.Attestor].Public().(ed25519.PublicKey), custody.AttestationHash(b.State.CharterHash(), body.Attestation.Bytes)
				out = append(out, func() bool { return ed25519.Verify(key, hash[:], body.Attestation.Signature) })
			}
		case *custody.SignedRecord:
			hash := custody.ReceiptHash(b.State.CharterHash(), body.Prepared, body.Messages)
			for _, r := range body.Receipts {
				node(r.Node, hash, r.Signature)
			}
		case *custody.KeyRecord:
			hash, err := custody.KeyHash(b.State.CharterHash(), body.Intent, body.Key)
			if err != nil {
				tb.Fatal(err)
			}
			for _, n := range body.Attestations {
				node(n.Node, hash, n.Signature)
			}
		}
	}
	return out
}

// BenchmarkAuthorization applies intents with three approvals and the
// authorization, and compares that with the four signature checks of each.
func BenchmarkAuthorization(b *testing.B) {
	bank := newBank(b, strings.Replace(small, "group: treasury, count: 2", "group: treasury, count: 3", 1), nil)
	authorize := func() {
		in := bank.pay("ida", 60_000_000)
		bank.Must(bank.Submit("ida", in))
		for _, name := range []string{"tom", "una", "vic"} {
			bank.Must(bank.Say(name, custody.Yes, in))
		}
		if r := bank.Authorize(in); r.Void != "" {
			b.Fatal(r.Why)
		}
		bank.Wait(5 * custody.Hour)
	}
	authorize()
	start, err := bank.State.Snapshot()
	if err != nil {
		b.Fatal(err)
	}
	const each = 200
	from := len(bank.Entries)
	for range each {
		authorize()
	}
	only := *bank
	world := *bank.World
	world.Entries, world.Results = bank.Entries[from:], bank.Results[from:]
	only.World = &world
	all := checks(b, &only)
	if len(all) != 4*each {
		b.Fatalf("%d signatures", len(all))
	}
	var signatures, whole time.Duration
	for range b.N {
		s, err := state.Restore(start)
		if err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		for _, raw := range world.Entries {
			if r, err := s.Apply(raw); err != nil || r.Void != "" {
				b.Fatal(r, err)
			}
		}
		whole += time.Since(begin)
		begin = time.Now()
		for i, ok := range all {
			if !ok() {
				b.Fatalf("signature %d doesn't verify", i)
			}
		}
		signatures += time.Since(begin)
	}
	b.ReportMetric(float64(whole.Nanoseconds())/float64(b.N)/each, "ns/op")
	b.ReportMetric(float64(whole)/float64(signatures), "×signatures")
}
