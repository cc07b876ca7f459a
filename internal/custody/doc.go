// Package custody holds the nouns of Coffer and their exact formats: intents,
// journal entries, the charter, evidence, and the life cycles that these go
// through. Start from [ParseIntent] and [ParseEntry].
//
// Everything that people or machines sign is canonical JSON (RFC 8785), parsed
// strictly by [Decode]: bytes that would not be written again exactly as they
// came are refused, with the field named. What was signed is kept as bytes and
// never written anew.
//
// The package computes nothing beyond form: who may do what is decided by
// packages policy and state. It does no I/O and holds no clock.
package custody
