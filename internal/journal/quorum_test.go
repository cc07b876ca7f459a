package journal_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
)

func TestWitnessesValidate(t *testing.T) {
	t.Parallel()
	keys := func(n int) map[journal.WitnessID]hybrid.PublicKey {
		m := map[journal.WitnessID]hybrid.PublicKey{}
		for i := range n {
			m[journal.WitnessID(fmt.Sprintf("w%d", i+1))] = key(t, byte(i+1)).Public()
		}
		return m
	}
	three, thirtyThree := keys(3), keys(33)
	with := func(id journal.WitnessID, k hybrid.PublicKey) map[journal.WitnessID]hybrid.PublicKey {
		m := maps.Clone(three)
		m[id] = k
		return m
	}
	mixed, err := hybrid.ParsePublicKey(append(three["w1"].Ed25519(), key(t, 50).Public().MLDSA44()...))
	if err != nil {
		t.Fatal(err)
	}
	mixed2, err := hybrid.ParsePublicKey(append(key(t, 50).Public().Ed25519(), three["w1"].MLDSA44()...))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		w    journal.Witnesses
		ok   bool
	}{
		{"2 of 3, none lies", journal.Witnesses{Keys: three, Quorum: 2}, true},
		{"2 of 3, one lies", journal.Witnesses{Keys: three, Quorum: 2, Liars: 1}, false},
		{"3 of 3, two lie", journal.Witnesses{Keys: three, Quorum: 3, Liars: 2}, true},
		{"3 of 3, three lie", journal.Witnesses{Keys: three, Quorum: 3, Liars: 3}, false},
		{"3 of 4, one lies", journal.Witnesses{Keys: with("w4", key(t, 4).Public()), Quorum: 3, Liars: 1}, true},
		{"1 of 1", journal.Witnesses{Keys: keys(1), Quorum: 1}, true},
		{"1 of 2", journal.Witnesses{Keys: keys(2), Quorum: 1}, false},
		{"1 of 3", journal.Witnesses{Keys: three, Quorum: 1}, false},
		{"4 of 3", journal.Witnesses{Keys: three, Quorum: 4}, false},
		{"0 of 0", journal.Witnesses{}, false},
		{"negative", journal.Witnesses{Keys: three, Quorum: -2, Liars: -9}, false},
		{"liars negative", journal.Witnesses{Keys: three, Quorum: 1, Liars: -2}, false},
		{"integers overflow", journal.Witnesses{Keys: three, Quorum: 2, Liars: 1<<63 - 1}, false},
		{"17 of 32", journal.Witnesses{Keys: keys(32), Quorum: 17}, true},
		{"17 of 33", journal.Witnesses{Keys: thirtyThree, Quorum: 17}, false},
		{"empty id", journal.Witnesses{Keys: with("", key(t, 4).Public()), Quorum: 3}, false},
		{"id with space", journal.Witnesses{Keys: with("a b", key(t, 4).Public()), Quorum: 3}, false},
		{"id with plus", journal.Witnesses{Keys: with("a+b", key(t, 4).Public()), Quorum: 3}, false},
		{"id with slash", journal.Witnesses{Keys: with("a/b", key(t, 4).Public()), Quorum: 3}, false},
		{"id of 65 letters", journal.Witnesses{Keys: with(journal.WitnessID(strings.Repeat("a", 65)), key(t, 4).Public()), Quorum: 3}, false},
		{"a key twice", journal.Witnesses{Keys: with("w4", three["w1"]), Quorum: 3}, false},
		{"an Ed25519 half twice", journal.Witnesses{Keys: with("w4", mixed), Quorum: 3}, false},
		{"an ML-DSA-44 half twice", journal.Witnesses{Keys: with("w4", mixed2), Quorum: 3}, false},
		{"no key", journal.Witnesses{Keys: with("w4", hybrid.PublicKey{}), Quorum: 3}, false},
	} {
		err := c.w.Validate()
		if (err == nil) != c.ok || err != nil && !errors.Is(err, journal.ErrWitnesses) {
			t.Errorf("%s: %v", c.name, err)
		}
		_, err = journal.NewQuorum(journal.NewOrigin([32]byte{}), key(t, 100).Public(), c.w)
		if (err == nil) != c.ok {
			t.Errorf("%s: NewQuorum: %v", c.name, err)
		}
	}
	w := journal.Witnesses{Keys: three, Quorum: 2}
	if _, err := journal.NewQuorum("coffer/x", key(t, 100).Public(), w); !errors.Is(err, journal.ErrOrigin) {
		t.Errorf("a wrong origin: %v", err)
	}
	if _, err := journal.NewQuorum(originText, mixed, w); !errors.Is(err, journal.ErrWitnesses) {
		t.Errorf("a witness with half the log key: %v", err)
	}
	if _, err := journal.NewQuorum(originText, hybrid.PublicKey{}, w); !errors.Is(err, hybrid.ErrKey) {
		t.Errorf("no log key: %v", err)
	}
}

// cosignAt is w's cosignature at a given second, whatever its store says.
func cosignAt(d *deployment, id journal.WitnessID, t *journal.Tree, size, second int64) []byte {
	d.Helper()
	w, err := journal.NewWitness(d.origin, d.log.Public(), id, d.keys[id], &store{})
	if err != nil {
		d.Fatal(err)
	}
	r := d.request(t, 0, size)
	r.Newest = start.Add(seconds(second))
	out, err := w.Cosign(context.Background(), r, r.Newest)
	if err != nil {
		d.Fatal(err)
	}
	return out
}

func TestQuorumCheck(t *testing.T) {
	t.Parallel()
	d := deploy(t, 4, 3, 1)
	_, tree := log(t, 5, 5, "")
	note := d.sign(tree, 5)
	at := func(i int, second int64) []byte { return cosignAt(d, d.ids[i], tree, 5, second) }

	_, err := d.quorum.Check(d.add(note, at(0, 10), at(2, 11)))
	e, ok := as[*journal.QuorumError](err)
	if !ok || !slices.Equal(e.Signed, []journal.WitnessID{"w1", "w3"}) || e.Need != 3 || e.Of != 4 || len(e.Lacking) != 2 ||
		err.Error() != "journal: 2 of 4 witnesses cosigned the head of 5, 3 have to; w2: no cosignature, w4: no cosignature" {
		t.Errorf("two of four: %v", err)
	}

	// The q-th smallest and the q-th largest of the times, whatever the order of lines.
	h := d.check(d.add(note, at(3, 40), at(0, 10), at(2, 20)))
	if h.Checkpoint != d.checkpoint(tree, 5) || len(h.Cosignatures) != 3 || h.Cosignatures[0].Witness != "w1" ||
		!h.WitnessedTime.Equal(start.Add(seconds(40))) || !h.CurrentTime.Equal(start.Add(seconds(10))) {
		t.Errorf("three of four: %+v", h)
	}
	h = d.check(d.add(note, at(3, 40), at(0, 10), at(2, 20), at(1, 30)))
	if len(h.Cosignatures) != 4 || !h.WitnessedTime.Equal(start.Add(seconds(30))) || !h.CurrentTime.Equal(start.Add(seconds(20))) {
		t.Errorf("four of four: %+v", h)
	}
	// A new cosignature takes the place of an old one.
	h = d.check(d.add(note, at(0, 10), at(1, 10), at(2, 10), at(0, 50)))
	if len(h.Cosignatures) != 3 || !h.WitnessedTime.Equal(start.Add(seconds(50))) {
		t.Errorf("cosigned again: %+v", h)
	}

	text, sigs := lines(d.add(note, at(0, 10), at(1, 11), at(2, 12))) // log, log, w1, w1, w2, w2, w3, w3
	_, later := lines([]byte("\n\n" + string(at(2, 13))))
	_, smaller := lines([]byte("\n\n" + string(cosignAt(d, "w3", tree, 4, 12))))
	join := func(s ...string) string { return text + strings.Join(s, "") }
	six := strings.Join(sigs[:6], "")

	for name, want := range map[string]struct{ note, lacks string }{
		"Ed25519 of w3 stripped":     {join(six, sigs[7]), "the Ed25519 half is missing"},
		"ML-DSA-44 of w3 stripped":   {join(six, sigs[6]), "the ML-DSA-44 half is missing"},
		"w3 with two times":          {join(six, sigs[6], later[1]), "the halves have different times"},
		"w3 with two times, crossed": {join(six, later[0], sigs[7]), "the halves have different times"},
		"w1 three times":             {join(six, sigs[2], sigs[3], sigs[2], sigs[3]), "no cosignature"},
		"a line of w3 twice":         {join(six, sigs[6], sigs[6]), "the ML-DSA-44 half is missing"},
		"w3 under another name":      {join(six, strings.Replace(sigs[6], "/w3 ", "/w5 ", 1), sigs[7]), "the Ed25519 half is missing"},
	} {
		_, err := d.quorum.Check([]byte(want.note))
		if e, ok := as[*journal.QuorumError](err); !ok || len(e.Signed) != 2 || e.Lacking["w3"] != want.lacks {
			t.Errorf("%s: %v", name, err)
		}
	}

	for name, bad := range map[string]string{
		"w3 over another head":             join(six, smaller[0], smaller[1]),
		"Ed25519 of w3 over another head":  join(six, smaller[0], sigs[7]),
		"ML-DSA-44 of w3 over another":     join(six, sigs[6], smaller[1]),
		"w2's Ed25519 under w3's name":     join(six, sigs[6], sigs[7], renamed(sigs[4], sigs[6])),
		"a time changed in w3's Ed25519":   join(six, retimed(sigs[6], 1), sigs[7]),
		"a time changed in w3's ML-DSA-44": join(six, sigs[6], retimed(sigs[7], 1)),
		"time zero in w3":                  join(six, retimed(sigs[6], -12-start.Unix()), sigs[7]),
		"Ed25519 of the log stripped":      join(sigs[1:]...),
		"ML-DSA-44 of the log stripped":    text + sigs[0] + strings.Join(sigs[2:], ""),
		"a time in the log's line":         text + sigs[0] + retimed(sigs[1], 1) + strings.Join(sigs[2:], ""),
	} {
		if name == "w2's Ed25519 under w3's name" { // a repeat: ignored behind the right one, fatal before it
			if _, err := d.quorum.Check([]byte(bad)); err != nil {
				t.Errorf("%s, repeated: %v", name, err)
			}
			bad = join(six, renamed(sigs[4], sigs[6]), sigs[6], sigs[7])
		}
		if _, err := d.quorum.Check([]byte(bad)); !isSignature(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func isSignature(err error) bool {
	_, ok := as[*journal.SignatureError](err)
	return ok
}

// renamed is a's signature with b's name and key id; retimed has another timestamp.
func renamed(a, b string) string {
	from, to := strings.Fields(a), strings.Fields(b)
	sig, id := decode(from[2]), decode(to[2])
	return "— " + to[1] + " " + base64.StdEncoding.EncodeToString(append(id[:4:4], sig[4:]...)) + "\n"
}

func retimed(line string, by int64) string {
	f := strings.Fields(line)
	b := decode(f[2])
	binary.BigEndian.PutUint64(b[4:], binary.BigEndian.Uint64(b[4:])+uint64(by))
	return "— " + f[1] + " " + base64.StdEncoding.EncodeToString(b) + "\n"
}

func decode(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

// One changed byte anywhere in a note with exactly a quorum makes it fail. The exception
// is a line of nobody known, which notes must ignore: there the head is unchanged, unless
// the change breaks the form of the line and with it the note. In a note with more than a
// quorum, a change of a name or key id turns a line into an unknown one, and the head
// counts without that witness.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	d := deploy(t, 3, 2, 0)
	_, tree := log(t, 5, 5, "")
	head := d.checkpoint(tree, 5)
	quorate := d.add(d.sign(tree, 5), cosignAt(d, "w1", tree, 5, 10), cosignAt(d, "w2", tree, 5, 10))
	unknown := "— example.com/witness " + base64.StdEncoding.EncodeToString(make([]byte, 76)) + "\n"
	ignored := len(quorate)
	msg := append(slices.Clone(quorate), unknown...)
	d.check(msg)
	tolerated := 0
	step := 1
	if testing.Short() {
		step = 11
	}
	for i := 0; i < len(msg); i += step {
		bad := slices.Clone(msg)
		bad[i] ^= []byte{1, 4, 0x20, 0x80, 2}[i%5]
		h, err := d.quorum.Check(bad)
		switch {
		case err != nil:
		case i < ignored:
			t.Fatalf("byte %d changed and the note holds: %q", i, bad[max(0, i-20):i+20])
		case h.Checkpoint != head || len(h.Cosignatures) != 2:
			t.Fatalf("byte %d of an ignored line changes the head", i)
		default:
			tolerated++
		}
	}
	if tolerated == 0 {
		t.Error("unknown lines aren't ignored")
	}

	msg = d.add(quorate, cosignAt(d, "w3", tree, 5, 10))
	for i := 0; i < len(msg); i += 7 * step {
		bad := slices.Clone(msg)
		bad[i] ^= 1
		if h, err := d.quorum.Check(bad); err == nil && (h.Checkpoint != head || len(h.Cosignatures) != 2) {
			t.Fatalf("byte %d changed: %+v", i, h)
		}
	}
}

func TestQuorumAdd(t *testing.T) {
	t.Parallel()
	d := deploy(t, 3, 2, 0)
	_, tree := log(t, 5, 5, "")
	note := d.sign(tree, 5)
	w1, w2 := cosignAt(d, "w1", tree, 5, 10), cosignAt(d, "w2", tree, 5, 10)
	_, halves := lines([]byte("\n\n" + string(w1)))
	_, others := lines([]byte("\n\n" + string(cosignAt(d, "w1", tree, 5, 11))))
	if got := d.add(note, []byte(halves[1]+halves[0]+halves[1])); string(got) != string(d.add(note, w1)) {
		t.Errorf("order and repeats matter:\n%s", got)
	}
	for name, bad := range map[string]string{
		"nothing":             "",
		"Ed25519 alone":       halves[0],
		"ML-DSA-44 alone":     halves[1],
		"two times":           halves[0] + others[1],
		"two witnesses":       string(w1) + string(w2),
		"an unknown line":     string(w1) + "— x AAAAAAA=\n",
		"another head":        string(cosignAt(d, "w1", tree, 4, 10)),
		"no line":             "w1\n",
		"another note":        "\n" + string(w1),
		"the log's own lines": string(note[len(note)/2:]),
	} {
		if got, err := d.quorum.Add(note, []byte(bad)); err == nil {
			t.Errorf("%s: accepted\n%s", name, got)
		}
	}
	if _, err := d.quorum.Add([]byte("x"), w1); !errors.Is(err, journal.ErrNote) {
		t.Errorf("no note: %v", err)
	}
}

// FAULTS C41: a head older than the limit isn't fresh. One quorum must have signed within
// the limit, so that neither a few late signatures nor f liars make an old head look new.
func TestFresh(t *testing.T) {
	t.Parallel()
	d := deploy(t, 4, 3, 1)
	_, tree := log(t, 5, 5, "")
	note := d.sign(tree, 5)
	head := func(times ...int64) journal.Head {
		n := note
		for i, second := range times {
			n = d.add(n, cosignAt(d, d.ids[i], tree, 5, second))
		}
		return d.check(n)
	}
	for _, c := range []struct {
		name  string
		times []int64
		now   time.Duration
		ok    bool
	}{
		{"at once", []int64{100, 100, 100}, seconds(100), true},
		{"at the limit", []int64{100, 100, 100}, seconds(160), true},
		{"a second late", []int64{100, 100, 100}, seconds(161), false},
		{"a nanosecond late", []int64{100, 100, 100}, seconds(160) + 1, false},
		{"a liar renews an old head", []int64{100, 100, 300}, seconds(300), false},
		{"a liar and one cut off renew an old head", []int64{100, 300, 300}, seconds(300), false},
		{"a quorum renews it", []int64{100, 300, 300, 300}, seconds(300), true},
		{"an old fourth does no harm", []int64{300, 300, 300, 1}, seconds(310), true},
		{"clock behind by the skew", []int64{100, 100, 100}, seconds(70), true},
		{"clock behind by more", []int64{100, 100, 100}, seconds(69), false},
		{"one dated ahead", []int64{100, 100, 200}, seconds(100), false},
	} {
		err := head(c.times...).Fresh(start.Add(c.now), time.Minute)
		if _, stale := as[*journal.StaleError](err); stale == c.ok || (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if (journal.Head{}).Fresh(start, time.Minute) == nil {
		t.Error("no head is fresh")
	}
}

func BenchmarkQuorumCheck(b *testing.B) {
	d := deploy(b, 5, 3, 0)
	_, tree := log(b, 1000, 1000, "")
	note := d.sign(tree, 1000)
	for _, id := range d.ids[:3] {
		note = d.add(note, d.cosign(id, tree, 0, 1000))
	}
	for b.Loop() {
		d.check(note)
	}
}
