package client

import (
	"context"
	"net/url"
	"strconv"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
)

// What follows is what the server says, unverified.

func one[T any](ctx context.Context, c *Client, path string) (*T, error) {
	var answer T
	return &answer, c.get(ctx, path, nil, &answer)
}

func list[T any](ctx context.Context, c *Client, path string, query url.Values) (*api.Page[T], error) {
	var answer api.Page[T]
	return &answer, c.get(ctx, path, query, &answer)
}

// Vaults lists the vaults. A limit of 0 leaves it to the server, an empty cursor
// is the first page; so in all lists.
func (c *Client) Vaults(ctx context.Context, limit int, cursor string) (*api.Page[api.Vault], error) {
	return list[api.Vault](ctx, c, "/v1/vaults", pageQuery(limit, cursor))
}

// Wallets lists the wallets, without balances.
func (c *Client) Wallets(ctx context.Context, limit int, cursor string) (*api.Page[api.Wallet], error) {
	return list[api.Wallet](ctx, c, "/v1/wallets", pageQuery(limit, cursor))
}

// Wallet returns a wallet with its balance.
func (c *Client) Wallet(ctx context.Context, id custody.ID[custody.Wallet]) (*api.Wallet, error) {
	return one[api.Wallet](ctx, c, "/v1/wallets/"+escape(id))
}

// Addresses lists the addresses of a wallet to receive at. Don't give one to
// anybody without [Client.VerifiedAddress].
func (c *Client) Addresses(ctx context.Context, wallet custody.ID[custody.Wallet], limit int, cursor string) (*api.Page[api.Address], error) {
	return list[api.Address](ctx, c, "/v1/wallets/"+escape(wallet)+"/addresses", pageQuery(limit, cursor))
}

// Deposits lists what came in to a wallet.
func (c *Client) Deposits(ctx context.Context, wallet custody.ID[custody.Wallet], limit int, cursor string) (*api.Page[api.Deposit], error) {
	return list[api.Deposit](ctx, c, "/v1/wallets/"+escape(wallet)+"/deposits", pageQuery(limit, cursor))
}

// Keys lists the keys, without chain codes.
func (c *Client) Keys(ctx context.Context, limit int, cursor string) (*api.Page[api.Key], error) {
	return list[api.Key](ctx, c, "/v1/keys", pageQuery(limit, cursor))
}

// Key returns a key, with its chain code where the nodes have given it.
func (c *Client) Key(ctx context.Context, id custody.ID[custody.Key]) (*api.Key, error) {
	return one[api.Key](ctx, c, "/v1/keys/"+escape(id))
}

// Nodes lists the signer nodes.
func (c *Client) Nodes(ctx context.Context, limit int, cursor string) (*api.Page[api.Node], error) {
	return list[api.Node](ctx, c, "/v1/nodes", pageQuery(limit, cursor))
}

// Persons lists the persons.
func (c *Client) Persons(ctx context.Context, limit int, cursor string) (*api.Page[api.Person], error) {
	return list[api.Person](ctx, c, "/v1/persons", pageQuery(limit, cursor))
}

// Groups lists the groups.
func (c *Client) Groups(ctx context.Context, limit int, cursor string) (*api.Page[api.Group], error) {
	return list[api.Group](ctx, c, "/v1/groups", pageQuery(limit, cursor))
}

// Destinations lists the address book.
func (c *Client) Destinations(ctx context.Context, limit int, cursor string) (*api.Page[api.Destination], error) {
	return list[api.Destination](ctx, c, "/v1/destinations", pageQuery(limit, cursor))
}

// Policy returns the policy in force.
func (c *Client) Policy(ctx context.Context) (*api.Policy, error) {
	return one[api.Policy](ctx, c, "/v1/policy")
}

// Head returns the newest cosigned head.
func (c *Client) Head(ctx context.Context) (*api.Head, error) {
	return one[api.Head](ctx, c, "/v1/journal/head")
}

// Entries returns entries of the journal, from an index on.
func (c *Client) Entries(ctx context.Context, from int64, limit int) (*api.Page[api.Entry], error) {
	query := pageQuery(limit, "")
	query.Set("from", strconv.FormatInt(from, 10))
	return list[api.Entry](ctx, c, "/v1/journal/entries", query)
}

// Health says whether the server is there. It needs no token.
func (c *Client) Health(ctx context.Context) (*api.Health, error) {
	return one[api.Health](ctx, c, "/v1/health")
}
