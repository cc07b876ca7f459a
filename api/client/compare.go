package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
)

// Difference says that the server answered something else than was asked: it is
// broken, or it lies. Nothing may be signed.
type Difference struct { //nolint:errname // it is what there is, and is read so
	Field string // dotted path
	Asked string // or what was computed
	Got   string
}

func (d *Difference) Error() string {
	return fmt.Sprintf("the server answers something else than was asked: %s: asked %s, got %s", d.Field, shown(d.Asked), shown(d.Got))
}

func (d *Difference) lie() {}

// shown bounds what an error shows.
func shown(s string) string {
	const most = 200
	if s == "" {
		return "nothing"
	}
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}

// maxSkew is how far the server's clock and ours may be apart.
const maxSkew = 2 * time.Minute

// fillable are the members of a body that the server may add.
var fillable = map[custody.IntentType][]string{
	custody.TransferIntent:          {"network", "asset", "destination.kind", "destination.address"},
	custody.VaultCreateIntent:       {"vault.id", "vault.institution", "vault.domain"},
	custody.WalletCreateIntent:      {"wallet.id", "wallet.path"},
	custody.KeyCeremonyIntent:       {"key", "signerSet", "signerSet.members", "signerSet.threshold"},
	custody.DestinationChangeIntent: {"destination.id"},
}

// compare reads what the server prepared and refuses it unless it says what was
// asked. It returns the fields that the server filled in.
func (c *Client) compare(r *api.PrepareRequest, answer *api.PreparedIntent) (*Prepared, []string, error) {
	in, err := custody.ParseIntent([]byte(answer.Bytes))
	if err != nil {
		return nil, nil, unparsed("what the server prepared", err)
	}
	digest := in.Digest(c.charter)
	life := custody.Seconds(r.ExpiresIn)
	if life == 0 {
		life = custody.Day // or less, where the charter says so
	}
	expires := in.Created.Add(life)
	domain := r.Domain
	if domain == "" {
		domain = string(in.Domain)
	}
	for _, e := range []struct{ field, asked, got string }{
		{"charter", c.charter.String(), answer.Charter},
		{"digest", digest.String(), answer.Digest},
		{"type", r.Type, string(in.Type)},
		{"initiator", r.Initiator, in.Initiator.String()},
		{"domain", domain, string(in.Domain)},
	} {
		if e.asked != e.got {
			return nil, nil, &Difference{e.field, e.asked, e.got}
		}
	}
	now := c.now()
	switch created := in.Created.Time(); {
	case created.Before(now.Add(-maxSkew)), created.After(now.Add(maxSkew)):
		return nil, nil, &Difference{"created", custody.At(now).String(), in.Created.String()}
	case in.ID.Time() != in.Created:
		return nil, nil, &Difference{"id", in.Created.String(), in.ID.Time().String()}
	case in.Expires > expires, r.ExpiresIn != 0 && in.Expires != expires:
		return nil, nil, &Difference{"expires", expires.String(), in.Expires.String()}
	}
	var envelope struct {
		Body jsontext.Value `json:"body"`
	}
	if err := json.Unmarshal(in.Raw, &envelope); err != nil {
		return nil, nil, unparsed("what the server prepared", err)
	}
	asked, err := custody.Canonicalize(r.Body)
	if err != nil {
		return nil, nil, err
	}
	b := body{fillable: fillable[in.Type]}
	if err := b.compare("", asked, envelope.Body); err != nil {
		return nil, nil, err
	}
	p := &Prepared{Bytes: in.Raw, Digest: digest, Intent: in}
	p.Submit, err = custody.ApprovalHash(digest, custody.Submit)
	return p, b.filled, err
}

// unparsed is the error of bytes from the server that don't parse.
func unparsed(what string, err error) error {
	return &custody.Error{Code: custody.Internal, Message: what + " doesn't parse", Err: err}
}

// body is the comparison of two bodies, both in canonical form.
type body struct {
	fillable []string
	filled   []string
}

func (b *body) compare(field string, asked, got jsontext.Value) error {
	if asked.Kind() != '{' || got.Kind() != '{' {
		if !bytes.Equal(asked, got) {
			return different(field, asked, got)
		}
		return nil
	}
	var a, g map[string]jsontext.Value
	if err := errors.Join(json.Unmarshal(asked, &a), json.Unmarshal(got, &g)); err != nil {
		return unparsed("a body", err)
	}
	names := slices.Concat(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(g)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		at := strings.TrimPrefix(field+"."+name, ".")
		switch value, ok := a[name]; {
		case ok && g[name] != nil:
			if err := b.compare(at, value, g[name]); err != nil {
				return err
			}
		case !ok && slices.Contains(b.fillable, at):
			b.filled = append(b.filled, at)
		default:
			return different(at, value, g[name])
		}
	}
	return nil
}

func different(field string, asked, got jsontext.Value) error {
	return &Difference{strings.TrimSuffix("body."+field, "."), string(asked), string(got)}
}

// checkFilled checks those members that the server filled in which neither the
// nodes check nor a person could tell from others.
func (c *Client) checkFilled(ctx context.Context, in *custody.Intent, filled []string) error {
	switch b := in.Body.(type) {
	case *custody.Transfer:
		if own := state.NativeAsset(b.Network); slices.Contains(filled, "asset") && b.Asset != own {
			return &Difference{"body.asset", string(own), string(b.Asset)}
		}
		if to := b.Destination; to.Kind == custody.OwnWallet && slices.Contains(filled, "destination.address") {
			computed, _, err := c.computeAddress(ctx, to.Wallet, to.Index)
			if err != nil {
				return err
			}
			if to.Address != computed {
				return &FalseAddress{Server: to.Address, Computed: computed}
			}
		}
	case *custody.VaultCreate:
		return isNew(in, b.Vault.ID, "vault.id", filled)
	case *custody.WalletCreate:
		return isNew(in, b.Wallet.ID, "wallet.id", filled)
	case *custody.DestinationChange:
		return isNew(in, b.Destination.ID, "destination.id", filled)
	case *custody.KeyCeremony:
		if err := isNew(in, b.Key, "key", filled); err != nil {
			return err
		}
		return c.checkSet(ctx, b.Set, filled)
	}
	return nil
}

// isNew refuses an id that the server filled in unless it was made for the intent:
// an older one could stand for something that there is already.
func isNew[T any](in *custody.Intent, id custody.ID[T], field string, filled []string) error {
	if slices.Contains(filled, field) && id.Time() != in.Created {
		return &Difference{"body." + field, "a new id", id.String()}
	}
	return nil
}

// checkSet refuses a signer set that the server filled in with anything but all
// nodes, one id each, and a majority of them.
func (c *Client) checkSet(ctx context.Context, set custody.SignerSet, filled []string) error {
	whole := slices.Contains(filled, "signerSet")
	total := 0
	for _, m := range set.Members {
		total += m.IDs
	}
	if majority := total/2 + 1; set.Threshold != majority && (whole || slices.Contains(filled, "signerSet.threshold")) {
		return &Difference{"body.signerSet.threshold", strconv.Itoa(majority), strconv.Itoa(set.Threshold)}
	}
	if !whole && !slices.Contains(filled, "signerSet.members") {
		return nil
	}
	s, err := c.Governance(ctx)
	if err != nil {
		return err
	}
	var all []custody.Member
	for _, n := range s.NodeList() {
		all = append(all, custody.Member{Node: n.ID, IDs: 1})
	}
	if !slices.Equal(set.Members, all) {
		return &Difference{"body.signerSet.members", fmt.Sprint(all), fmt.Sprint(set.Members)}
	}
	return nil
}
