// Package policy decides whether an intent may go ahead: a [Policy] is a set of
// rules over facts, and [Policy.Evaluate] gives the [Decision] with its reasons.
// Start from [Parse], which reads the canonical JSON that a POLICY_CHANGE intent
// carries.
//
// Every node runs this code by itself and must come to the same result, so the
// package is pure: no clock, no time zone database, no I/O, no randomness. It never
// panics on input, its work is bounded by the limits that Parse enforces, and
// whatever is missing, unknown or malformed refuses. People write YAML and CEL;
// package compile turns that into the tree that is read here.
//
// docs/spec/08-policy.md is the specification.
package policy
