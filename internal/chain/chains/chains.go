// Package chains knows all families of networks, and is the only one that does.
// Start from [For].
package chains

import (
	"fmt"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/custody"
)

// For returns the family of a network. A network that none knows is an error of
// code [custody.Invalid].
func For(n custody.Network) (chain.Family, error) {
	if bitcoin.Knows(n) {
		return bitcoin.Family{}, nil
	}
	return nil, &custody.Error{Code: custody.Invalid, Field: "network", Message: fmt.Sprintf("no family knows %q", n)}
}
