// Package journal is the append-only Merkle log (RFC 6962) that all of Coffer stands on:
// trees and proofs, checkpoints signed by the log, cosignatures of witnesses, and the
// audit that names what is wrong with a log. docs/spec/07-journal.md has the formats.
//
// Whoever writes a journal starts from [Tree], or from [Frontier] over a store of hashes,
// and [SignCheckpoint]:
//
//	index, err := tree.Append(entry)                  // exact bytes of the entry
//	checkpoint, err := tree.Checkpoint(origin, tree.Size())
//	note, err := journal.SignCheckpoint(checkpoint, logKey)
//
// A witness is a [Witness] over a [HeadStore] of two methods; it answers two note lines,
// which [Quorum.Add] puts into the note:
//
//	lines, err := witness.Cosign(ctx, journal.Request{Note: note, OldSize: old, Proof: proof, Newest: newest}, now)
//	note, err = quorum.Add(note, lines)
//
// Whoever relies on a journal starts from [NewQuorum]. [Quorum.Check] turns a note into a
// [Head], [Head.Fresh] says whether it is recent, [CheckInclusion] whether an entry is in
// it, [Audit.Walk] whether a whole journal is what was cosigned, [Divergence] where two
// logs part, and [ForkProof] convicts a log key that signed both.
//
// The package does no I/O, has no clock and keeps no state but what its values hold: times
// come as arguments, entries as bytes. It never decides what an entry means.
package journal
