// Package ceremony is the control plane's side of what it does together with the
// signer nodes: it hands them the journal, gathers their cosignatures, and invites
// them to make keys and to sign. Start from [New] and [Coordinator.Run];
// docs/spec/12-node.md has the rules.
//
// It decides nothing: a node that finds an invitation wrong refuses it, and says
// why. It trusts nothing either: what it is given is verified by whoever puts it on
// record.
package ceremony
