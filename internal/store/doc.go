// Package store is the control plane's durable state on SQLite: the journal, and
// beside it what the control plane looks up, queues and counts. Start from [Open]
// and [Store.Advance]:
//
//	s, err := store.Open(ctx, path, charter.Hash(), now)
//	err = s.Advance(ctx, func(t *store.Tx) error {
//		leaf, _, err := t.Append(custody.PreparedEntry, body)
//		if err != nil {
//			return err
//		}
//		return t.PutTransaction(leaf, network, details)
//	})
//
// What one Advance appends and writes is committed in one database transaction, or
// none of it is, and [state.State] goes with it. [Reader] has the questions; a
// [Store] answers them as of the last commit, a [Tx] with what it wrote itself.
//
// Nobody's safety rests on this package: nodes decide from entries that they verify
// themselves. It never makes an entry that has no effect.
package store
