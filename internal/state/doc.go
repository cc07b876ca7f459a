// Package state computes what is true from the journal. Start from [New] and
// [State.Apply]: control plane, nodes and auditors run the same code over the same
// entries and reach the same state, byte for byte.
//
// Apply is a pure function: no clock, no I/O, no randomness. An entry that it
// refuses is void: it stays in the journal, changes nothing, and every replica
// records the same [Code] for it. The package joins custody (form), authz (who
// signed), policy (whether that is enough) and journal (that nothing was changed);
// it never decides by itself what a policy should decide.
package state
