package state

import (
	"slices"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

// scopeKey names what a running total is of: a scope and whose, such as
// "initiator 0198…".
type scopeKey string

// scope is one of the policy's scopes, window one of its windows.
type (
	scope  string
	window struct {
		name    string
		minutes int64
	}
)

var (
	scopes  = [...]scope{"source.vault", "initiator", "destination", "institution"}
	windows = [...]window{{"1h", 60}, {"24h", 24 * 60}, {"7d", 7 * 24 * 60}, {"30d", 30 * 24 * 60}}
)

const longest = len(windows) - 1

// total is what one scope was authorized to move, in minute buckets in ascending
// order. Sums of the windows are kept beside them, so that asking costs nothing.
type total struct {
	Buckets []bucket `json:"buckets"`

	sums [len(windows)]windowSum
}

// bucket is what was authorized within one minute.
type bucket struct {
	Minute  int64          `json:"minute"`
	Value   custody.Amount `json:"value"`
	Count   int64          `json:"count"`
	Unknown int64          `json:"unknown,omitzero"` // intents whose value nobody stated
}

// windowSum is the sum of the buckets from index first on.
type windowSum struct {
	first          int
	value          custody.Amount
	count, unknown int64
}

func minuteOf(t custody.Time) int64 { return int64(t) / 60_000 }

// advance moves the windows on to a minute of the journal. The oldest minute counts
// in full, so that rounding is against the sender.
func (t *total) advance(minute int64) {
	for w := range windows {
		t.sums[w] = t.at(w, minute)
	}
	if past := t.sums[longest].first; past > 64 && past > len(t.Buckets)/2 {
		t.drop()
	}
}

// at is the sum of a window that ends in a minute. It changes nothing: who asks
// what would be, or is refused, leaves no trace.
func (t *total) at(w int, minute int64) windowSum {
	sum := t.sums[w]
	for ; sum.first < len(t.Buckets) && t.Buckets[sum.first].Minute < minute-windows[w].minutes; sum.first++ {
		b := t.Buckets[sum.first]
		sum.value = sum.value.Sub(b.Value)
		sum.count -= b.Count
		sum.unknown -= b.Unknown
	}
	return sum
}

// drop forgets the buckets that no window holds any more.
func (t *total) drop() {
	past := t.sums[longest].first
	t.Buckets = slices.Delete(t.Buckets, 0, past)
	for w := range windows {
		t.sums[w].first -= past
	}
}

// add counts an intent of a value, or one of unknown value. The caller has checked
// that no sum overflows.
func (t *total) add(minute int64, value custody.Amount, known bool) {
	t.advance(minute)
	if n := len(t.Buckets); n == 0 || t.Buckets[n-1].Minute != minute {
		t.Buckets = append(t.Buckets, bucket{Minute: minute})
	}
	t.change(len(t.Buckets)-1, value, known, 1)
}

// giveBack takes an intent out again that was counted at a minute.
func (t *total) giveBack(minute int64, value custody.Amount, known bool) {
	at, ok := slices.BinarySearchFunc(t.Buckets, minute, func(b bucket, m int64) int { return int(b.Minute - m) })
	if ok {
		t.change(at, value, known, -1)
	}
}

func (t *total) change(at int, value custody.Amount, known bool, by int64) {
	apply := func(v *custody.Amount, count, unknown *int64) {
		*count += by
		switch {
		case !known:
			*unknown += by
		case by > 0:
			*v, _ = v.Add(value)
		default:
			*v = v.Sub(value)
		}
	}
	b := &t.Buckets[at]
	apply(&b.Value, &b.Count, &b.Unknown)
	for w := range t.sums {
		if at >= t.sums[w].first {
			apply(&t.sums[w].value, &t.sums[w].count, &t.sums[w].unknown)
		}
	}
}

// recount computes the sums from the buckets, as after reading a snapshot.
func (t *total) recount() {
	t.sums = [len(windows)]windowSum{}
	for w := range t.sums {
		for _, b := range t.Buckets {
			t.sums[w].value, _ = t.sums[w].value.Add(b.Value)
			t.sums[w].count += b.Count
			t.sums[w].unknown += b.Unknown
		}
	}
}

// totalFact is spent or count of a scope that the intent is in, itself included. A
// sum with a part that nobody stated is unknown, and so is one that can't be held.
func (s *State) totalFact(name policy.Fact, v *value, now custody.Time) policy.Value {
	function, in, within, ok := name.Total()
	i := slices.Index(scopes[:], scope(in))
	w := slices.IndexFunc(windows[:], func(x window) bool { return x.name == within })
	if !ok || i < 0 || w < 0 || v.keys[i] == "" {
		return policy.Value{}
	}
	var sum windowSum
	if t := s.Totals[v.keys[i]]; t != nil {
		sum = t.at(w, minuteOf(now))
	}
	if function == "count" {
		return policy.NumberOf(custody.NewAmount(uint64(sum.count) + 1))
	}
	spent, ok := sum.value.Add(v.total)
	if !ok || !v.totalOK || sum.unknown > 0 {
		return policy.Value{}
	}
	return policy.NumberOf(spent)
}
