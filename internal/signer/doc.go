// Package signer is the signer node: it follows the journal and derives its own
// state from it, cosigns heads, holds shares of keys, and takes part in making and
// using them, each time by its own decision. Start from [New] and [Node.Run];
// docs/spec/12-node.md has the rules.
//
// A node believes nobody. The control plane hands it entries, which it verifies;
// transactions, which it decodes; and invitations to sessions, which it accepts only
// where its own state, under a head that a quorum of witnesses cosigned, says so.
package signer
