package journal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
)

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// entry is canonical in shape; its time is index seconds after start.
func entry(index int64, body string) []byte { return entryAt(index, body, start.Add(seconds(index))) }

func entryAt(index int64, body string, at time.Time) []byte {
	return fmt.Appendf(nil, `{"body":%q,"index":%d,"time":%q,"type":"OBSERVED","v":1}`, body, index, at.Format("2006-01-02T15:04:05.000Z"))
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

func stamp(b []byte) (journal.Stamp, error) {
	var e struct {
		Index int64     `json:"index"`
		Time  time.Time `json:"time"`
	}
	err := json.Unmarshal(b, &e)
	return journal.Stamp{Index: e.Index, Time: e.Time}, err
}

func all(entries [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// log makes entries 0 to n-1 and their tree. From index from on, bodies differ by branch.
func log(tb testing.TB, n, from int64, branch string) ([][]byte, *journal.Tree) {
	tb.Helper()
	var entries [][]byte
	t := new(journal.Tree)
	for i := range n {
		body := "main"
		if i >= from {
			body = branch
		}
		entries = append(entries, entry(i, body))
		if _, err := t.Append(entries[i]); err != nil {
			tb.Fatal(err)
		}
	}
	return entries, t
}

func key(tb testing.TB, b byte) hybrid.PrivateKey {
	tb.Helper()
	k, err := hybrid.NewPrivateKey(bytes.Repeat([]byte{b}, hybrid.SeedSize))
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// deployment is a log key and witnesses w1, w2, … with stores in memory.
type deployment struct {
	testing.TB
	origin  journal.Origin
	log     hybrid.PrivateKey
	quorum  *journal.Quorum
	ids     []journal.WitnessID
	witness map[journal.WitnessID]*journal.Witness
	keys    map[journal.WitnessID]hybrid.PrivateKey
	stores  map[journal.WitnessID]*store
}

func deploy(tb testing.TB, n, quorum, liars int) *deployment {
	tb.Helper()
	d := &deployment{
		TB: tb, origin: journal.NewOrigin([32]byte{0xc0, 0xff}), log: key(tb, 100),
		witness: map[journal.WitnessID]*journal.Witness{}, keys: map[journal.WitnessID]hybrid.PrivateKey{},
		stores: map[journal.WitnessID]*store{},
	}
	w := journal.Witnesses{Keys: map[journal.WitnessID]hybrid.PublicKey{}, Quorum: quorum, Liars: liars}
	for i := range n {
		id := journal.WitnessID(fmt.Sprintf("w%d", i+1))
		d.ids = append(d.ids, id)
		d.keys[id], d.stores[id] = key(tb, byte(i+1)), &store{}
		w.Keys[id] = d.keys[id].Public()
		d.witness[id] = d.restart(id)
	}
	var err error
	if d.quorum, err = journal.NewQuorum(d.origin, d.log.Public(), w); err != nil {
		tb.Fatal(err)
	}
	return d
}

// restart makes a new Witness over the same store.
func (d *deployment) restart(id journal.WitnessID) *journal.Witness {
	d.Helper()
	w, err := journal.NewWitness(d.origin, d.log.Public(), id, d.keys[id], d.stores[id])
	if err != nil {
		d.Fatal(err)
	}
	return w
}

func (d *deployment) checkpoint(t *journal.Tree, size int64) journal.Checkpoint {
	d.Helper()
	c, err := t.Checkpoint(d.origin, size)
	if err != nil {
		d.Fatal(err)
	}
	return c
}

func (d *deployment) sign(t *journal.Tree, size int64) []byte {
	d.Helper()
	n, err := journal.SignCheckpoint(d.checkpoint(t, size), d.log)
	if err != nil {
		d.Fatal(err)
	}
	return n
}

// request asks for the head of size, with a proof from old.
func (d *deployment) request(t *journal.Tree, old, size int64) journal.Request {
	d.Helper()
	p, err := journal.ProveConsistency(old, size, t)
	if err != nil {
		d.Fatal(err)
	}
	return journal.Request{Note: d.sign(t, size), OldSize: old, Proof: p, Newest: start.Add(seconds(size - 1))}
}

func (d *deployment) cosign(id journal.WitnessID, t *journal.Tree, old, size int64) []byte {
	d.Helper()
	lines, err := d.witness[id].Cosign(context.Background(), d.request(t, old, size), start.Add(seconds(size)))
	if err != nil {
		d.Fatalf("%s: %v", id, err)
	}
	return lines
}

func (d *deployment) add(note []byte, lines ...[]byte) []byte {
	d.Helper()
	for _, l := range lines {
		var err error
		if note, err = d.quorum.Add(note, l); err != nil {
			d.Fatal(err)
		}
	}
	return note
}

func (d *deployment) check(note []byte) journal.Head {
	d.Helper()
	h, err := d.quorum.Check(note)
	if err != nil {
		d.Fatal(err)
	}
	return h
}

// store is a HeadStore in memory that fails on demand.
type store struct {
	note    []byte
	saves   int
	failing error // of Save, before it stores
	crash   bool  // Save stores, then the process dies
	loading error
	slow    bool // Load lets others run before it answers
}

var errDead = errors.New("the process is dead")

func (s *store) Load(context.Context) ([]byte, error) {
	note := bytes.Clone(s.note)
	for range 1000 {
		if s.slow {
			runtime.Gosched()
		}
	}
	return note, s.loading
}

func (s *store) Save(_ context.Context, note []byte) error {
	if s.failing != nil {
		return s.failing
	}
	s.note, s.saves = bytes.Clone(note), s.saves+1
	if s.crash {
		panic(errDead)
	}
	return nil
}

// as says whether err holds an error of type T.
func as[T error](err error) (T, bool) {
	var e T
	return e, errors.As(err, &e)
}

// lines cuts a note into its text with the empty line, and its signature lines.
func lines(note []byte) (string, []string) {
	i := bytes.LastIndex(note, []byte("\n\n"))
	return string(note[:i+2]), slices.Collect(strings.Lines(string(note[i+2:])))
}
