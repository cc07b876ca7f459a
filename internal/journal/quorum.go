package journal

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cofferhq/coffer/internal/hybrid"
)

// WitnessID names a witness within a charter: 1 to 64 of the letters a to z, A to Z, the
// digits, dot, hyphen and underscore. Its key name in notes is the origin, a slash and
// this.
type WitnessID string

// MaxWitnesses is the largest number of witnesses.
const MaxWitnesses = 32

// Witnesses says who cosigns the heads of a log, how many have to, and how many may lie.
type Witnesses struct {
	Keys   map[WitnessID]hybrid.PublicKey
	Quorum int // q: how many cosignatures make a head count
	Liars  int // f: how many witnesses may sign anything at all
}

// ErrWitnesses is the error of a set of witnesses that can't be relied on.
var ErrWitnesses = errors.New("journal: witnesses are invalid")

// Validate checks 2q > |W| + f, q <= |W| and f >= 0. Any two quorums then have more than f
// witnesses in common, so at least one honest one, and an honest one never cosigns two
// heads that aren't of one log. It checks ids and at most MaxWitnesses, and that no half
// of a key occurs twice: an Ed25519 cosignature doesn't say whose it is (C2SP
// tlog-cosignature). The error is [ErrWitnesses].
func (w Witnesses) Validate() error {
	n := len(w.Keys)
	switch {
	case n > MaxWitnesses:
		return fmt.Errorf("%w: %d, at most %d", ErrWitnesses, n, MaxWitnesses)
	case w.Liars < 0 || w.Liars > n:
		return fmt.Errorf("%w: %d liars of %d", ErrWitnesses, w.Liars, n)
	case w.Quorum > n:
		return fmt.Errorf("%w: a quorum of %d of %d", ErrWitnesses, w.Quorum, n)
	case 2*w.Quorum <= n+w.Liars:
		return fmt.Errorf("%w: twice the quorum of %d isn't above %d witnesses and %d liars", ErrWitnesses, w.Quorum, n, w.Liars)
	}
	halves := map[string]WitnessID{}
	for _, id := range slices.Sorted(maps.Keys(w.Keys)) {
		if !id.valid() {
			return fmt.Errorf("%w: %.100q is no id", ErrWitnesses, string(id))
		}
		key := w.Keys[id]
		if key.IsZero() {
			return fmt.Errorf("%w: %s has no key", ErrWitnesses, id)
		}
		for _, half := range [][]byte{key.Ed25519(), key.MLDSA44()} {
			if other, taken := halves[string(half)]; taken {
				return fmt.Errorf("%w: %s and %s share a key", ErrWitnesses, other, id)
			}
			halves[string(half)] = id
		}
	}
	return nil
}

func (id WitnessID) valid() bool {
	return len(id) >= 1 && len(id) <= 64 && strings.IndexFunc(string(id), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_", r)
	}) < 0
}

// Quorum reads the notes of one log under one log key and one set of witnesses. It is
// immutable and safe for concurrent use.
type Quorum struct {
	witnesses Witnesses
	ids       []WitnessID // ascending
	origin    Origin
	keys      []noteKey // the log's two, then two for each id
}

// NewQuorum validates the witnesses and prepares their keys. The log key must not share a
// half with a witness. The error is [ErrOrigin], hybrid.ErrKey or [ErrWitnesses].
func NewQuorum(origin Origin, log hybrid.PublicKey, w Witnesses) (*Quorum, error) {
	if _, err := ParseOrigin(string(origin)); err != nil {
		return nil, err
	}
	if log.IsZero() {
		return nil, fmt.Errorf("journal: the log: %w", hybrid.ErrKey)
	}
	if err := w.Validate(); err != nil {
		return nil, err
	}
	w.Keys = maps.Clone(w.Keys)
	q := &Quorum{w, slices.Sorted(maps.Keys(w.Keys)), origin, logKeys(origin, log)}
	for _, id := range q.ids {
		if sharesHalf(w.Keys[id], log) {
			return nil, fmt.Errorf("%w: %s and the log share a key", ErrWitnesses, id)
		}
		for _, k := range witnessKeys(origin, id, w.Keys[id]) {
			if slices.ContainsFunc(q.keys, func(o noteKey) bool { return o.name == k.name && o.id == k.id }) {
				return nil, fmt.Errorf("%w: both halves of %s have one key id", ErrWitnesses, id)
			}
			q.keys = append(q.keys, k)
		}
	}
	return q, nil
}

func sharesHalf(a, b hybrid.PublicKey) bool {
	return string(a.Ed25519()) == string(b.Ed25519()) || string(a.MLDSA44()) == string(b.MLDSA44())
}

// Cosignature says when a witness cosigned, in whole seconds by its own clock, in UTC.
type Cosignature struct {
	Witness WitnessID
	Time    time.Time
}

// Head is a checkpoint that the log and a quorum of witnesses signed.
type Head struct {
	Checkpoint
	Cosignatures []Cosignature // all that count, in ascending time, then id

	// WitnessedTime is the latest time among one quorum's cosignatures, of the quorum
	// that signed first: the q-th smallest time. Delays run from it. As q > f, one of
	// those q is honest, so that liars can't date a head back to before an honest
	// witness saw it; and a cosignature added later never moves it on.
	WitnessedTime time.Time

	// CurrentTime is the earliest time among one quorum's cosignatures, of the quorum
	// that signed last: the q-th largest time, at or before WitnessedTime. Before it, no
	// quorum had cosigned any larger head: that quorum and this one have an honest
	// witness in common, which doesn't go back to a smaller head. See Fresh.
	CurrentTime time.Time
}

// QuorumError says that too few witnesses cosigned.
type QuorumError struct {
	Checkpoint Checkpoint // signed by the log
	Need, Of   int
	Signed     []WitnessID          // whose cosignatures count, ascending
	Lacking    map[WitnessID]string // what the others lack
}

// Error says how many of how many, and which.
func (e *QuorumError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "journal: %d of %d witnesses cosigned the head of %d, %d have to", len(e.Signed), e.Of, e.Checkpoint.Size, e.Need)
	for i, id := range slices.Sorted(maps.Keys(e.Lacking)) {
		b.WriteString(map[bool]string{true: "; ", false: ", "}[i == 0] + string(id) + ": " + e.Lacking[id])
	}
	return b.String()
}

// Check reads a note that the log and a quorum must have signed. A witness counts once,
// and only where both halves verify and carry the same timestamp. Lines of unknown keys
// and a key's second line are ignored; a wrong signature of a known key spoils the note,
// as C2SP signed-note demands, so whoever collects cosignatures uses [Quorum.Add]. The
// error is that of [OpenCheckpoint], or a [QuorumError].
func (q *Quorum) Check(note []byte) (Head, error) {
	n, err := openNote(note, q.origin, q.keys)
	if err != nil {
		return Head{}, err
	}
	h := Head{Checkpoint: n.checkpoint}
	short := &QuorumError{Checkpoint: n.checkpoint, Need: q.witnesses.Quorum, Of: len(q.ids), Lacking: map[WitnessID]string{}}
	for _, id := range q.ids {
		t, lacks := n.cosignature(id)
		if lacks != "" {
			short.Lacking[id] = lacks
			continue
		}
		short.Signed = append(short.Signed, id)
		h.Cosignatures = append(h.Cosignatures, Cosignature{id, t})
	}
	if len(h.Cosignatures) < q.witnesses.Quorum {
		return Head{}, short
	}
	slices.SortStableFunc(h.Cosignatures, func(a, b Cosignature) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Witness, b.Witness))
	})
	h.WitnessedTime = h.Cosignatures[q.witnesses.Quorum-1].Time
	h.CurrentTime = h.Cosignatures[len(h.Cosignatures)-q.witnesses.Quorum].Time
	return h, nil
}

// cosignature is the time of a witness's cosignature, or what it lacks.
func (n openedNote) cosignature(id WitnessID) (time.Time, string) {
	var lines []signedLine
	for _, s := range n.signed {
		if s.witness == id {
			lines = append(lines, s)
		}
	}
	switch {
	case len(lines) == 0:
		return time.Time{}, "no cosignature"
	case len(lines) == 1 && lines[0].half() == hybrid.Ed25519:
		return time.Time{}, "the " + hybrid.MLDSA44.String() + " half is missing"
	case len(lines) == 1:
		return time.Time{}, "the " + hybrid.Ed25519.String() + " half is missing"
	case lines[0].timestamp != lines[1].timestamp:
		return time.Time{}, "the halves have different times"
	}
	return time.Unix(lines[0].timestamp, 0).UTC(), ""
}

// Add puts a witness's cosignature, the lines that [Witness.Cosign] returned, into a note
// that the log signed, in the place of an earlier one of the same witness. Lines of
// unknown keys are dropped. The error is that of [OpenCheckpoint] for the note, the same
// for the lines, or [ErrWitnesses] where the lines aren't one whole cosignature of one
// known witness.
func (q *Quorum) Add(note, lines []byte) ([]byte, error) {
	n, err := openNote(note, q.origin, q.keys)
	if err != nil {
		return nil, err
	}
	fromLog := n.signedBy(func(id WitnessID) bool { return id == "" })
	added, err := openNote(slices.Concat(fromLog, lines), q.origin, q.keys)
	if err != nil {
		return nil, err
	}
	if len(added.signed) != 4 || added.unknown > 0 {
		return nil, fmt.Errorf("%w: not one known witness's cosignature", ErrWitnesses)
	}
	id := added.signed[2].witness
	if _, lacks := added.cosignature(id); lacks != "" {
		return nil, fmt.Errorf("%w: %s: %s", ErrWitnesses, id, lacks)
	}
	n.signed = append(slices.DeleteFunc(n.signed, func(s signedLine) bool { return s.witness == id }), added.signed[2:]...)
	return n.signedBy(func(WitnessID) bool { return true }), nil
}

// StaleError says that a head isn't fresh.
type StaleError struct {
	Size       int64
	Time, Now  time.Time
	Limit      time.Duration
	FromFuture bool // ahead of the reader's clock by more than MaxSkew
}

// Error says how old the head is.
func (e *StaleError) Error() string {
	if e.FromFuture {
		return fmt.Sprintf("journal: the head of %d is witnessed %s ahead of this clock", e.Size, e.Time.Sub(e.Now))
	}
	return fmt.Sprintf("journal: the head of %d was last witnessed %s ago, %s at most", e.Size, e.Now.Sub(e.Time), e.Limit)
}

// Fresh checks that CurrentTime is at most limit before now, and that no more than MaxSkew
// lies between now and a later WitnessedTime. Then no quorum had cosigned a larger head
// more than limit ago, even if f witnesses lie. The error is a [StaleError].
func (h Head) Fresh(now time.Time, limit time.Duration) error {
	if h.WitnessedTime.Sub(now) > MaxSkew {
		return &StaleError{h.Size, h.WitnessedTime, now, limit, true}
	}
	if now.Sub(h.CurrentTime) > limit {
		return &StaleError{h.Size, h.CurrentTime, now, limit, false}
	}
	return nil
}
