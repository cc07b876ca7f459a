// Package tss is a library for threshold signatures: a private key that exists only
// as shares, of which any t of n sign together. It is pure Go and depends on nothing
// of Coffer but itself.
//
// This package is the engine that all protocols run on: who takes part (Parties,
// Proposal), what a member holds (Key, KeyShare), and how a run goes (Node, Session),
// down to naming who broke it (Fault, Culprits). The protocols are in the packages
// below it:
//
//   - dkg generates a key among its members, so that it never exists in one place;
//   - frost signs with it: Ed25519 (RFC 8032) and BIP-340 signatures;
//   - derive computes child keys, BIP-32 for secp256k1;
//   - group, vss, zk and hash are what they are made of.
//
// # Use
//
// Each member has an Identity, a Channel to the others that the embedding program
// brings, and a durable Log; together they make a Node:
//
//	node, err := tss.NewNode(tss.Config{Identity: id, Channel: ch, Log: log, Now: now})
//	defer node.Close()
//
// All members get the same Proposal, check that their own policy wants it, join it
// and run the protocol:
//
//	session, err := node.Join(ctx, proposal, nil)
//	defer session.Close()
//	share, certificate, err := dkg.Run(ctx, session, store)
//
// To sign, the proposal names the key, the signing ids and the request's digest:
//
//	session, err := node.Join(ctx, proposal, share)
//	defer session.Close()
//	signature, err := frost.Sign(ctx, session, frost.Request{Message: message})
//
// Runnable programs are in the examples of package frost. An example of a Channel
// over TLS 1.3 is github.com/cofferhq/coffer/examples/tlschannel.
//
// # What a caller must know
//
//   - A call blocks until its protocol ends, in success, in a proven fault, or with
//     ctx. Give every ctx a deadline: a silent member holds a session until then.
//   - Sessions are never resumed. After an error, propose a new one, without the
//     Culprits.
//   - The Log must survive restarts and never be rolled back.
//   - Shares are handed out in the clear (KeyShare.Bytes): seal them before storing.
//   - Secrets are erased as well as Go allows, which is best effort.
package tss
