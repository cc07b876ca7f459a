package journal

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Stamp is what an audit reads of an entry: its own index field and its time.
type Stamp struct {
	Index int64
	Time  time.Time
}

// Audit checks a whole journal against a head that a quorum cosigned, and against
// whatever else is known of it. Everything it finds has an error type of its own:
// [TamperError], [TruncatedError], [MissingError], [InsertedError], [OrderError],
// [BackdatedError], [RollbackError], [ForkError].
type Audit struct {
	Head    Checkpoint   // from [Quorum.Check]
	Earlier []Checkpoint // heads accepted before, in any order; each must be a prefix

	// Leaf returns the leaf hash that was recorded for an entry, if one was. May be nil.
	// With it, tampering is narrowed down to one entry; without, to the entries between
	// two heads.
	Leaf func(index int64) (Hash, bool)

	// Stamp reads an entry. It decides what a well-formed entry is.
	Stamp func(entry []byte) (Stamp, error)
}

// Walk reads the journal from its first entry to its last. It returns the right edge of
// all entries, which may be more than the head covers: those beyond it are checked for
// index and time and witnessed by nobody. The Frontier that comes with an error is that
// of the entries checked before it. Errors that the iterator yields end the walk and are
// returned as they are.
func (a *Audit) Walk(entries iter.Seq2[[]byte, error]) (Frontier, error) {
	w := walk{Audit: a}
	if err := w.order(); err != nil {
		return w.edge, err
	}
	next, stop := iter.Pull2(entries)
	defer stop()
	for {
		entry, err, ok := next()
		if !ok {
			return w.edge, w.end()
		}
		if err != nil {
			return w.edge, err
		}
		if err := w.entry(entry, next); err != nil {
			return w.edge, err
		}
	}
}

// walk is how far an audit has come.
type walk struct {
	*Audit
	edge     Frontier
	last     time.Time
	heads    []Checkpoint // still to be compared, ascending
	good     int64        // size of the last head that matched
	known    int64        // entries whose leaf was recorded, and matched
	headOK   bool
	changed  *ForkError // the first entry whose recorded leaf didn't match
	mismatch *ForkError // the first head that didn't match
}

// order refuses heads that contradict each other before anything is read.
func (w *walk) order() error {
	w.heads = append(slices.Clone(w.Earlier), w.Head)
	slices.SortStableFunc(w.heads, func(a, b Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
	for i, h := range w.heads {
		switch {
		case h.Origin != w.Head.Origin:
			return fmt.Errorf("%w: %s, not %s", ErrOrigin, h.Origin, w.Head.Origin)
		case h.Size > w.Head.Size:
			return &RollbackError{Seen: w.heads[len(w.heads)-1], Got: w.Head}
		case i > 0 && h.Size == w.heads[i-1].Size && h.Root != w.heads[i-1].Root:
			return &ForkError{Older: w.heads[i-1], Newer: h, To: h.Size}
		}
	}
	w.compare()
	return nil
}

func (w *walk) entry(entry []byte, next func() ([]byte, error, bool)) error {
	index, leaf := w.edge.Size(), LeafHash(entry)
	recorded, known := Hash{}, false
	if w.Leaf != nil {
		recorded, known = w.Leaf(index)
	}
	stamp, err := w.Stamp(entry)
	switch {
	case err != nil && known && leaf != recorded:
		return &TamperError{index, index + 1}
	case err != nil:
		return fmt.Errorf("journal: entry %d: %w", index, err)
	case stamp.Index != index:
		return w.misplaced(index, stamp.Index, next)
	case stamp.Time.Before(w.last):
		return &BackdatedError{index, stamp.Time, w.last}
	case known && leaf == recorded:
		w.known++
	case known && w.changed == nil:
		edge := w.edge
		if _, err := edge.Append(recorded); err != nil {
			return err
		}
		w.changed = &ForkError{Older: Checkpoint{w.Head.Origin, index + 1, edge.Root()}, Newer: w.Head, From: index, To: index + 1}
	}
	w.last = stamp.Time
	if _, err := w.edge.Append(leaf); err != nil {
		return err
	}
	w.compare()
	return nil
}

// compare holds the entries so far against the heads of this size.
func (w *walk) compare() {
	for len(w.heads) > 0 && w.heads[0].Size == w.edge.Size() {
		h, ours := w.heads[0], Checkpoint{w.Head.Origin, w.edge.Size(), w.edge.Root()}
		w.heads = w.heads[1:]
		switch {
		case w.mismatch != nil:
		case h.Root == ours.Root:
			w.good = h.Size
		default:
			w.mismatch = &ForkError{Older: h, Newer: ours, From: w.good, To: h.Size}
		}
		if h.Size == w.Head.Size {
			w.headOK = h.Root == ours.Root
		}
	}
}

// end says what the heads said. Where the journal fits the head but not an earlier head or
// a recorded leaf, or fits all recorded leaves but not the head, there are two logs.
// Otherwise the entries are wrong.
func (w *walk) end() error {
	var found error
	switch {
	case w.changed != nil && w.headOK:
		found = w.changed
	case w.changed != nil:
		found = &TamperError{w.changed.From, w.changed.To}
	case w.mismatch != nil && w.headOK:
		w.mismatch.Newer = w.Head
		found = w.mismatch
	case w.mismatch != nil && w.known == w.edge.Size():
		found = w.mismatch
	case w.mismatch != nil:
		found = &TamperError{w.mismatch.From, w.mismatch.To}
	}
	if w.edge.Size() < w.Head.Size {
		return errors.Join(found, &TruncatedError{w.edge.Size(), w.Head.Size})
	}
	return found
}

// misplaced reads on to find out why the entry at a position says another index.
func (w *walk) misplaced(position, index int64, next func() ([]byte, error, bool)) error {
	shifted, found, size := true, false, position+1
	for {
		entry, err, ok := next()
		if !ok {
			break
		}
		if err != nil {
			return err
		}
		stamp, err := w.Stamp(entry)
		shifted = shifted && err == nil && stamp.Index-size == index-position
		found = found || err == nil && stamp.Index == position
		size++
	}
	alone := size == position+1 && size == w.Head.Size
	switch {
	case shifted && index < position && !alone:
		return &InsertedError{position, position - index}
	case shifted && index > position && !alone:
		return &MissingError{position, index}
	case found:
		return &OrderError{position, index}
	}
	return &TamperError{position, position + 1}
}
