package state_test

import (
	"bytes"
	"errors"
	"flag"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/tsstest"
)

var every = flag.Int("every", 53, "which bytes of a bundle are flipped: every n-th")

var update = flag.Bool("update", false, "write golden files")

func read(tb testing.TB, file string) []byte {
	tb.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func write(tb testing.TB, file string, raw []byte) {
	tb.Helper()
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// recorded is a world's journal as bundles are collected from.
type recorded struct{ *statetest.World }

func (r recorded) ReadHashes(indexes []int64) ([]journal.Hash, error) {
	return r.Tree.ReadHashes(indexes)
}

func (r recorded) Entry(index int64) ([]byte, state.Code, error) {
	return r.Entries[index], r.Results[index].Void, nil
}

// signedTransfer carries a transfer through to SIGNED, with a real threshold
// signature, and returns its bundle.
func signedTransfer(t *testing.T) (*bank, []byte, state.Trust) {
	t.Helper()
	cluster := tsstest.NewCluster(t, 7, 2, tsstest.Single(3)...)
	shares := cluster.Keygen(tss.SuiteBIP340)
	key := &shares[0].Key
	b := newBankWithKey(t, small, nil, key)

	in := b.Intent("ida", custody.TransferIntent, &custody.Transfer{
		Network: regtest, Wallet: b.hot, Asset: coin, Amount: custody.NewAmount(60_000_000), FeeLimit: custody.NewAmount(1000),
		Destination: custody.Recipient{Kind: custody.OneTime, Address: statetest.Stranger, Country: "SG"},
	})
	b.Must(b.Submit("ida", in))
	b.Must(b.Say("una", custody.Yes, in))
	b.Must(b.Say("tom", custody.Yes, in))
	b.Must(b.Screen(in, custody.ScreeningPass))
	b.Must(b.Witness(in))
	b.Must(b.Authorize(in))
	sign := func(r frost.Request) []byte { return cluster.Sign(shares, []uint16{1, 3}, r) }
	leaf, details := b.CarryOut(in, key, sign, func() {
		// Another intent comes between, and changes of people too: bundles leave out the
		// one and carry the others.
		b.Must(b.Submit("ida", b.pay("ida", 5)))
		b.govern(custody.GroupChangeIntent, &custody.GroupChange{Group: custody.Group{ID: "auditors", Members: []custody.ID[custody.Person]{b.People["ida"].ID}}})
	}, "node-a", "node-c")
	b.Must(b.Observe(in, leaf, custody.Broadcast))

	bundle, err := state.Collect(recorded{b.World}, b.Head(), in.ID, b.State.CharterHash())
	if err != nil {
		t.Fatal(err)
	}
	bundle.Transaction, bundle.ChainCode = details, custody.Hash(key.ChainCode)
	return b, statetest.Encode(t, bundle), state.Trust{Charter: b.State.CharterHash()}
}

func TestBundleVerifies(t *testing.T) {
	_, raw, trust := signedTransfer(t)
	report, err := state.Verify(raw, trust)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, c := range report.Checks {
		text.WriteString(c.Check + " " + string(c.Standing) + " " + c.By + ": " + c.Detail + "\n")
	}
	t.Log(len(raw), "bytes\n"+text.String())
	for _, want := range []string{"charter proved", "approval proved DEVICE", "attestation attested attestor screening", "allowed by rule large", "total attested", "payment proved decoding: pays 0.6", "change proved", "receipt attested node node-c", "signature proved key"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report doesn't say %q", want)
		}
	}
}

// TestBundleFlippedByte changes bytes all over a bundle, one at a time.
func TestBundleFlippedByte(t *testing.T) {
	_, raw, trust := signedTransfer(t)
	if _, err := state.Verify(raw, trust); err != nil {
		t.Fatal(err)
	}
	step := *every
	if testing.Short() {
		step *= 19
	}
	named := make(map[string]int)
	for i := 0; i < len(raw); i += step {
		bad := bytes.Clone(raw)
		bad[i] ^= 1 << (i % 7)
		_, err := state.Verify(bad, trust)
		failed, ok := errors.AsType[*state.CheckError](err)
		if !ok || failed.Check == "" {
			t.Fatalf("byte %d of …%s…: %v", i, raw[max(0, i-30):min(len(raw), i+30)], err)
		}
		named[failed.Check]++
	}
	t.Log(named)
}

// TestBundleSample holds a bundle made once: what verified when it was made
// verifies for ever.
func TestBundleSample(t *testing.T) {
	const bundle, trust = "testdata/sample.bundle.json", "testdata/sample.trust"
	if *update {
		_, raw, pinned := signedTransfer(t)
		write(t, bundle, raw)
		write(t, trust, []byte("charter "+pinned.Charter.String()+"\n"))
	}
	pinned, err := state.ParseTrust(read(t, trust))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := state.Verify(read(t, bundle), pinned); err != nil {
		t.Error(err)
	}
}

func TestBundleWithJournal(t *testing.T) {
	b, raw, trust := signedTransfer(t)
	lines := func(edit func(entries [][]byte) [][]byte) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for _, e := range edit(slices.Clone(b.Entries)) {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
	report, err := state.VerifyWithJournal(raw, trust, lines(func(e [][]byte) [][]byte { return e }))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Checks {
		if c.Check == "total" && c.Standing != state.Proved {
			t.Errorf("%s is %s with the journal at hand", c.Detail, c.Standing)
		}
	}
	for name, edit := range map[string]func(e [][]byte) [][]byte{
		"truncated": func(e [][]byte) [][]byte { return e[:len(e)-1] },
		"deleted":   func(e [][]byte) [][]byte { return slices.Delete(e, 20, 21) },
		"reordered": func(e [][]byte) [][]byte { e[20], e[21] = e[21], e[20]; return e },
		"changed": func(e [][]byte) [][]byte {
			e[30] = bytes.Replace(e[30], []byte(`"v":1`), []byte(`"v":2`), 1)
			return e
		},
	} {
		_, err := state.VerifyWithJournal(raw, trust, lines(edit))
		if failed, ok := errors.AsType[*state.CheckError](err); !ok || failed.Check != "journal" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBundleWithList: a bundle brings the lists that were pinned, and no others.
func TestBundleWithList(t *testing.T) {
	b, _, trust := signedTransfer(t)
	list := statetest.Encode(t, custody.List{Name: "ofac", Addresses: []custody.Address{"bcrt1qsanctioned"}})
	if err := b.State.Offer(list); err != nil {
		t.Fatal(err)
	}
	b.govern(custody.ListChangeIntent, &custody.ListChange{Action: custody.Put, List: "ofac", SHA256: statetest.Sum(list)})
	b.Must(b.Tick())
	var in custody.ID[custody.Intent]
	for _, raw := range b.Entries {
		if e, err := custody.ParseEntry(raw); err == nil && e.Type == custody.SignedEntry {
			in = e.Body.(*custody.SignedRecord).Intent
		}
	}
	if _, err := state.Collect(recorded{b.World}, b.Head(), in, trust.Charter); err == nil {
		t.Error("collected without the list")
	}
	bundle, err := state.Collect(recorded{b.World}, b.Head(), in, trust.Charter, list)
	if err != nil {
		t.Fatal(err)
	}
	check := func() string {
		_, err := state.Verify(statetest.Encode(t, bundle), trust)
		failed, ok := errors.AsType[*state.CheckError](err)
		if !ok {
			t.Fatal(err)
		}
		return failed.Check
	}
	if got := check(); got != "transaction" { // its bytes aren't added here
		t.Errorf("with the list, %s fails", got)
	}
	bundle.Lists = append(bundle.Lists, statetest.Encode(t, custody.List{Name: "other", Addresses: []custody.Address{}}))
	if got := check(); got != "replay" {
		t.Errorf("with a list that nobody pinned, %s fails", got)
	}
}

func TestBundleOtherTrust(t *testing.T) {
	_, raw, _ := signedTransfer(t)
	for _, trust := range []state.Trust{{}, {Charter: custody.Hash{1}}, {Snapshot: custody.Hash{1}}} {
		if _, err := state.Verify(raw, trust); err == nil {
			t.Errorf("trusting %v, the bundle verifies", trust)
		}
	}
}
