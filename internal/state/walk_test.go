package state_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
)

var walks = flag.Int("walks", 40, "random walks over whole journals")

// TestRandomWalk does whatever people, attestors, nodes and a careless or hostile
// control plane can do, in any order, and checks after each entry what must be so
// whatever happened.
func TestRandomWalk(t *testing.T) {
	t.Parallel()
	n := *walks
	if testing.Short() {
		n = 4
	}
	for seed := range n {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := newWalk(t, uint64(seed))
			for range 250 {
				w.step()
			}
			w.finish()
		})
	}
}

// walk is a random walk and what its oracle remembers.
type walk struct {
	*bank
	t       *testing.T
	r       *rand.Rand
	intents []*custody.Intent
	ends    map[custody.ID[custody.Intent]]custody.IntentState
	claims  map[custody.Outpoint]custody.ID[custody.Intent]
	perhaps map[custody.ID[custody.Intent]][][]custody.Claim // of all transactions ever prepared
	leaves  []leafOf
	last    []byte // snapshot before the newest entry
	version int
}

type leafOf struct {
	in   *custody.Intent
	leaf custody.Hash
}

func newWalk(t *testing.T, seed uint64) *walk {
	t.Helper()
	return &walk{
		bank: newBank(t, small, nil), t: t, r: rand.New(rand.NewPCG(seed, 1)),
		ends:    make(map[custody.ID[custody.Intent]]custody.IntentState),
		claims:  make(map[custody.Outpoint]custody.ID[custody.Intent]),
		perhaps: make(map[custody.ID[custody.Intent]][][]custody.Claim),
		version: 1,
	}
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// some returns one of the intents so far, more likely a new one.
func (w *walk) some() *custody.Intent {
	if len(w.intents) == 0 {
		return nil
	}
	return w.intents[len(w.intents)-1-min(w.r.IntN(len(w.intents)), w.r.IntN(len(w.intents)))]
}

func (w *walk) step() {
	people := []string{"ann", "ben", "cas", "tom", "una", "vic", "rob", "sue", "ida"}
	name := pick(w.r, people...)
	in := w.some()
	var result state.Result
	switch k := w.r.IntN(32); {
	case in != nil && k >= 16:
		result = w.useful(in)
	case in == nil || k < 3:
		in = w.transfer(name)
		w.intents = append(w.intents, in)
		result = w.Submit(name, in)
	case k == 3:
		in = w.governing(name)
		w.intents = append(w.intents, in)
		result = w.Submit(name, in)
	case k < 8:
		result = w.Say(name, pick(w.r, custody.Yes, custody.Yes, custody.Yes, custody.Yes, custody.No), in)
	case k == 8:
		result = w.Screen(in, pick(w.r, custody.ScreeningPass, custody.ScreeningPass, custody.ScreeningBlock))
	case k == 9:
		result = w.Witness(in)
	case k < 12:
		result = w.Authorize(in)
	case k == 12 || k == 13:
		claims := []custody.Claim{unspent(w.r.IntN(40))}
		if w.r.IntN(2) == 0 {
			claims = append(claims, unspent(40+w.r.IntN(40)))
		}
		result = w.prepare(in, uint64(w.r.IntN(1100)), claims...)
	case k == 14 && len(w.leaves) > 0:
		l := pick(w.r, w.leaves...)
		if w.r.IntN(2) == 0 {
			result = w.SignedBy(l.in, l.leaf, custody.Hash{1}, make([]byte, 64), pick(w.r, []custody.Name{"node-a", "node-b"}, []custody.Name{"node-c"})...)
		} else {
			result = w.Observe(l.in, l.leaf, pick(w.r, custody.Broadcast, custody.Confirming, custody.Finalized, custody.Reorged, custody.Dropped, custody.Reverted))
		}
	default:
		w.Wait(custody.Seconds(w.r.IntN(int(8 * custody.Hour))))
		result = w.Tick()
	}
	w.check(result)
}

// useful does what somebody who wants the intent done would do next.
func (w *walk) useful(in *custody.Intent) state.Result {
	at, _, err := w.State.Status(in.ID, w.Now)
	if err != nil {
		return w.Tick()
	}
	switch at {
	case custody.AtScreening:
		return w.Screen(in, custody.ScreeningPass)
	case custody.PendingApproval:
		d, err := w.State.Decide(in.ID, w.Now)
		if err != nil || len(d.Ways) == 0 || len(d.Ways[0].Missing.Approvals) == 0 {
			return w.Screen(in, custody.ScreeningPass)
		}
		switch d.Ways[0].Missing.Approvals[0].Group {
		case "treasury":
			return w.Say(pick(w.r, "tom", "una", "vic"), custody.Yes, in)
		case "risk":
			return w.Say(pick(w.r, "rob", "sue"), custody.Yes, in)
		default:
			return w.Say(pick(w.r, "ann", "ben", "cas"), custody.Yes, in)
		}
	case custody.TimeLocked:
		return w.Witness(in)
	case custody.Submitted:
		return w.Authorize(in)
	case custody.AuthorizedState:
		if in.Type.Governs() {
			return w.Tick()
		}
		return w.prepare(in, uint64(w.r.IntN(1000)), unspent(100+w.r.IntN(1000)))
	case custody.Executing:
		var result state.Result
		for _, l := range w.leaves {
			if l.in == in {
				result = w.SignedBy(in, l.leaf, custody.Hash{1}, make([]byte, 64), "node-a", "node-c")
				w.check(result)
				for _, kind := range []custody.ObservedKind{custody.Broadcast, custody.Confirming, custody.Finalized} {
					result = w.Observe(in, l.leaf, kind)
					if w.r.IntN(4) == 0 {
						return result
					}
					w.check(result)
				}
			}
		}
		return w.Tick()
	default:
		return w.Tick()
	}
}

// prepare prepares a transaction of an intent, or in its name of what it repairs.
func (w *walk) prepare(in *custody.Intent, fee uint64, claims ...custody.Claim) state.Result {
	original := in
	if r, ok := in.Body.(*custody.Repair); ok {
		i := slices.IndexFunc(w.intents, func(x *custody.Intent) bool { return x.ID == r.Intent })
		original = w.intents[i]
		if earlier := w.perhaps[original.ID]; len(earlier) > 0 && w.r.IntN(4) > 0 {
			claims = []custody.Claim{earlier[0][0], claims[0]}
		}
	}
	result := w.Append(custody.PreparedEntry, &custody.Prepared{
		Intent: original.ID, By: in.ID, Transaction: custody.Hash{byte(fee)}, Claims: claims, Fee: custody.NewAmount(fee), Prev: w.State.ChainHead(),
	})
	if result.Void == "" {
		w.leaves = append(w.leaves, leafOf{original, result.Leaf})
		w.prepared(original, claims)
	}
	return result
}

func (w *walk) transfer(name string) *custody.Intent {
	if original := w.some(); original != nil && w.r.IntN(6) == 0 {
		return w.Intent(name, pick(w.r, custody.SpeedUpIntent, custody.CancelIntent), &custody.Repair{Intent: original.ID, FeeLimit: custody.NewAmount(uint64(w.r.IntN(3000)))})
	}
	to := pick(w.r,
		custody.Recipient{Kind: custody.Allowlisted, Address: friend, Destination: w.destination},
		custody.Recipient{Kind: custody.OneTime, Address: stranger, Country: pick[custody.Country](w.r, "SG", "KP")},
		custody.Recipient{Kind: custody.OwnWallet, Address: "bcrt1qown", Wallet: w.cold},
	)
	return w.Intent(name, custody.TransferIntent, &custody.Transfer{
		Network: regtest, Wallet: w.hot, Asset: coin, Amount: custody.NewAmount(uint64(1 + w.r.IntN(100_000_000))), FeeLimit: custody.NewAmount(1000), Destination: to,
	})
}

func (w *walk) governing(name string) *custody.Intent {
	person := w.People[pick(w.r, "ida", "tom", "rob")]
	switch w.r.IntN(5) {
	case 0:
		target := custody.Target{Person: person.ID}
		return w.Intent(name, pick(w.r, custody.FreezeIntent, custody.HoldReleaseIntent), &custody.Freeze{Target: target})
	case 1:
		w.version++
		yaml := strings.Replace(small, "version: 1", fmt.Sprintf("version: %d", w.version), 1)
		yaml = strings.Replace(yaml, "group: treasury, count: 2", fmt.Sprintf("group: treasury, count: %d", 1+w.r.IntN(3)), 1)
		return w.Intent(name, custody.PolicyChangeIntent, &custody.PolicyChange{Policy: policyOf(w.t, yaml)})
	case 2:
		return w.Intent(name, custody.CredentialChangeIntent, &custody.CredentialChange{Action: custody.Remove, Credential: &person.Credential})
	case 3:
		members := []custody.ID[custody.Person]{w.People["tom"].ID, w.People["una"].ID, person.ID}
		slices.SortFunc(members, custody.ID[custody.Person].Compare)
		return w.Intent(name, custody.GroupChangeIntent, &custody.GroupChange{Group: custody.Group{ID: "treasury", Members: slices.Compact(members)}})
	default:
		return w.Intent(name, custody.VaultCreateIntent, &custody.VaultCreate{Vault: custody.Vault{
			ID: statetest.ID[custody.Vault](w.World), Institution: "bank", Domain: "treasury", Purpose: custody.Retail,
		}})
	}
}

// prepared checks that an intent can be paid once: every transaction of it
// conflicts with every other, and nobody else's claims are in it.
func (w *walk) prepared(in *custody.Intent, claims []custody.Claim) {
	for _, earlier := range w.perhaps[in.ID] {
		if !slices.ContainsFunc(earlier, func(c custody.Claim) bool { return slices.Contains(claims, c) }) {
			w.t.Fatalf("intent %s could be paid twice", in.ID)
		}
	}
	w.perhaps[in.ID] = append(w.perhaps[in.ID], claims)
	for _, c := range claims {
		if owner, ok := w.claims[c.Outpoint]; ok && owner != in.ID {
			w.t.Fatalf("output %s is claimed by two intents", c.Outpoint)
		}
		w.claims[c.Outpoint] = in.ID
	}
}

// check holds what must be so after any entry.
func (w *walk) check(result state.Result) {
	w.t.Helper()
	snapshot, err := w.State.Snapshot()
	if err != nil {
		w.t.Fatal(err)
	}
	// A void entry changes nothing but the journal's edge, or forgets what is over.
	if result.Void != "" && w.last != nil && result.Index%256 != 0 {
		if a, b := withoutEdge(w.last), withoutEdge(snapshot); !bytes.Equal(a, b) {
			w.t.Fatalf("entry %d is void (%v) and changed the state", result.Index, result.Why)
		}
	}
	w.last = snapshot
	if w.State.Root() != custody.Hash(mustRoot(w.t, w.World)) {
		w.t.Fatal("the state's root isn't the journal's")
	}
	for _, in := range w.intents {
		now, _, err := w.State.Status(in.ID, w.Now)
		if err != nil {
			continue // never on record, or forgotten
		}
		if end, ok := w.ends[in.ID]; ok && end != now && (end != custody.Executed || now != custody.Executing) {
			w.t.Fatalf("intent %s was %s and is %s", in.ID, end, now)
		}
		switch now {
		case custody.Rejected, custody.Cancelled, custody.Failed, custody.Executed:
			w.ends[in.ID] = now
		default:
			delete(w.ends, in.ID)
		}
	}
}

func withoutEdge(snapshot []byte) []byte {
	from := bytes.Index(snapshot, []byte(`"edge":"`))
	to := bytes.IndexByte(snapshot[from+len(`"edge":"`):], '"')
	return append(bytes.Clone(snapshot[:from]), snapshot[from+len(`"edge":"`)+to:]...)
}

func mustRoot(t *testing.T, w *statetest.World) [32]byte {
	t.Helper()
	root, err := w.Tree.Root(w.Tree.Size())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// finish replays the journal in every way there is, to the same state.
func (w *walk) finish() {
	w.t.Helper()
	want := w.last
	half := len(w.Entries) / 2
	var middle []byte
	whole, trusted := state.New(w.State.CharterHash()), state.New(w.State.CharterHash())
	for i, raw := range w.Entries {
		r, err := whole.Apply(raw)
		if err != nil || r.Void != w.Results[i].Void {
			w.t.Fatalf("entry %d: %q (%v) in the replay, was %q (%v)", i, r.Void, r.Why, w.Results[i].Void, err)
		}
		if _, err := trusted.Replay(raw, w.Results[i].Void); err != nil {
			w.t.Fatal(err)
		}
		if i == half {
			if middle, err = whole.Snapshot(); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	restored, err := state.Restore(middle)
	if err != nil {
		w.t.Fatal(err)
	}
	if again, err := restored.Snapshot(); err != nil || !bytes.Equal(again, middle) {
		w.t.Fatalf("a restored snapshot is another one: %v", err)
	}
	for _, raw := range w.Entries[half+1:] {
		if _, err := restored.Apply(raw); err != nil {
			w.t.Fatal(err)
		}
	}
	for name, s := range map[string]*state.State{"replay": whole, "trusted replay": trusted, "snapshot and replay": restored} {
		got, err := s.Snapshot()
		if err != nil {
			w.t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			w.t.Errorf("%s comes to another state", name)
		}
	}
}

// TestRulesJournals replays a recorded journal of every released version of the
// rules: what was void stays void, and the state comes out the same.
func TestRulesJournals(t *testing.T) {
	const file, want = "testdata/rules-1.journal.gz", "testdata/rules-1.state"
	if *update {
		w := newWalk(t, 2026)
		for range 400 {
			w.step()
		}
		writeJournal(t, file, w.World)
		write(t, want, []byte(outcome(t, w.State, w.Results)))
	}
	lines := readJournal(t, file)
	first, err := custody.ParseEntry(lines[0])
	if err != nil {
		t.Fatal(err)
	}
	charter, err := custody.ParseCharter(first.Body.(*custody.CharterRecord).Charter)
	if err != nil {
		t.Fatal(err)
	}
	s := state.New(charter.Hash())
	var results []state.Result
	for i, raw := range lines {
		r, err := s.Apply(raw)
		if err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		results = append(results, r)
	}
	if got := outcome(t, s, results); got != string(read(t, want)) {
		t.Errorf("the recorded journal fares otherwise:\n%s", got)
	}
}

// outcome is the hash of the state and every void entry's code.
func outcome(t *testing.T, s *state.State, results []state.Result) string {
	t.Helper()
	raw, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d entries, root %s, snapshot %s\n", s.Size(), s.Root(), state.SnapshotHash(raw))
	for _, r := range results {
		if r.Void != "" {
			fmt.Fprintf(&b, "%d %s\n", r.Index, r.Void)
		}
	}
	return b.String()
}

func writeJournal(t *testing.T, file string, w *statetest.World) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for _, raw := range w.Entries {
		if _, err := z.Write(append(bytes.Clone(raw), '\n')); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, file, b.Bytes())
}

func readJournal(t *testing.T, file string) [][]byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(read(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSuffix(all, []byte("\n")), []byte("\n"))
}

func TestRestoreRefuses(t *testing.T) {
	b := newBank(t, small, nil)
	raw, err := b.State.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty":     nil,
		"no object": []byte("[]"),
		"charter":   bytes.Replace(raw, []byte(`"intentLife":604800`), []byte(`"intentLife":604801`), 1),
		"version":   bytes.Replace(raw, []byte(`,"v":1}`), []byte(`,"v":2}`), 1),
		"unknown":   bytes.Replace(raw, []byte(`,"v":1}`), []byte(`,"v":1,"w":1}`), 1),
	} {
		if bytes.Equal(bad, raw) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := state.Restore(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
