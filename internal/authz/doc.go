// Package authz verifies signatures of people, identity providers, attestors,
// recovery keys and nodes over the hashes of package custody. Start from
// [Realm.Verify].
//
// It answers one question: did the holder of this key or account, as the journal
// knows it, sign this hash? Whether that counts is decided by packages policy and
// state. Every hash is tagged by its purpose and binds the charter, so that what
// was signed for one thing is nothing for another. The package is pure: the time
// is an argument.
package authz

import "github.com/cofferhq/coffer/internal/custody"

// refuse returns the error of evidence that doesn't verify.
func refuse(field, message string) error {
	return &custody.Error{Code: custody.Unauthenticated, Field: field, Message: message}
}
