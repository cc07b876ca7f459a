package server

import (
	"context"
	"errors"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
)

func asError(err error) (*custody.Error, bool) { return errors.AsType[*custody.Error](err) }

const (
	defaultLife   = custody.Day
	defaultDomain = custody.Domain("main")
)

// members are the members of a JSON object on their way to be complete.
type members map[string]jsontext.Value

func readMembers(field string, raw jsontext.Value) (members, error) {
	m := make(members)
	if raw == nil {
		return m, nil
	}
	if raw.Kind() != '{' || json.Unmarshal(raw, &m) != nil {
		return nil, &custody.Error{Code: custody.Invalid, Field: field, Message: "not an object"}
	}
	return m, nil
}

// fill adds a member that isn't there.
func (m members) fill(name string, value any) error {
	if m[name] != nil {
		return nil
	}
	raw, err := custody.Encode(value)
	m[name] = raw
	return err
}

// text reads a member that is a text of some form; ok is false if it isn't there.
func text[T any, P interface {
	*T
	UnmarshalText(b []byte) error
}](m members, field, name string) (v T, ok bool, err error) {
	raw := m[name]
	if raw == nil {
		return v, false, nil
	}
	var s string
	if raw.Kind() != '"' || json.Unmarshal(raw, &s) != nil {
		return v, false, &custody.Error{Code: custody.Invalid, Field: field, Message: "not a text"}
	}
	if err := P(&v).UnmarshalText([]byte(s)); err != nil {
		return v, false, inside(field, err)
	}
	return v, true, nil
}

// draft is an intent on its way to be complete.
type draft struct {
	server    *server
	state     *state.State
	kind      custody.IntentType
	created   custody.Time
	initiator custody.ID[custody.Person]
	domain    custody.Domain
	given     bool // the domain was
	body      members
}

// prepare makes the intent that a request asks for, complete and in canonical
// bytes, and puts nothing on record.
func (s *server) prepare(ctx context.Context, st *state.State, r *api.PrepareRequest) (*custody.Intent, error) {
	d := &draft{server: s, state: st, created: custody.At(s.now())}
	if err := d.kind.UnmarshalText([]byte(r.Type)); err != nil {
		return nil, inside("type", err)
	}
	var err error
	if d.initiator, err = parseID[custody.Person]("initiator", r.Initiator); err != nil {
		return nil, err
	}
	d.domain, d.given = defaultDomain, r.Domain != ""
	if d.given {
		if err := d.domain.UnmarshalText([]byte(r.Domain)); err != nil {
			return nil, inside("domain", err)
		}
	}
	institution, err := d.institution()
	if err != nil {
		return nil, err
	}
	life := min(defaultLife, st.CharterBody().IntentLife)
	if r.ExpiresIn != 0 {
		if life = custody.Seconds(r.ExpiresIn); life < 1 || life > st.CharterBody().IntentLife {
			return nil, &custody.Error{Code: custody.Invalid, Field: "expiresIn", Message: "below one second or above what the charter allows"}
		}
	}
	if d.body, err = readMembers("body", jsontext.Value(r.Body)); err != nil {
		return nil, err
	}
	if err := d.complete(ctx, institution); err != nil {
		return nil, err
	}
	id, err := custody.NewID[custody.Intent](d.created, s.rand)
	if err != nil {
		return nil, err
	}
	raw, err := custody.Encode(map[string]any{
		"type": d.kind, "id": id, "institution": institution, "domain": d.domain,
		"created": d.created, "expires": d.created.Add(life), "initiator": d.initiator, "body": d.body,
	})
	if err != nil {
		return nil, err
	}
	return custody.ParseIntent(raw)
}

// institution is the initiator's. A recovery key has none of its own; it acts for
// the charter's first.
func (d *draft) institution() (custody.Name, error) {
	if p := d.state.Person(d.initiator); p != nil {
		return p.Institution, nil
	}
	charter := d.state.CharterBody()
	if slices.ContainsFunc(charter.Recovery.Keys, func(k custody.RecoveryKey) bool { return k.ID == d.initiator }) {
		return charter.Institutions[0].ID, nil
	}
	return "", missing("initiator")
}

// complete fills in what the body lacks.
func (d *draft) complete(ctx context.Context, institution custody.Name) error {
	switch d.kind {
	case custody.TransferIntent:
		return d.transfer(ctx)
	case custody.ContractCallIntent, custody.TypedMessageIntent:
		_, err := d.wallet()
		return err
	case custody.SpeedUpIntent, custody.CancelIntent:
		return d.repair(ctx)
	case custody.KeyCeremonyIntent:
		return d.ceremony()
	case custody.VaultCreateIntent:
		return d.vault(institution)
	case custody.WalletCreateIntent:
		return d.newWallet()
	case custody.DestinationChangeIntent:
		return d.within("destination", func(m members) error { return fillID[custody.Destination](d, m, "id") })
	default:
		return nil
	}
}

// within completes a member that is an object.
func (d *draft) within(name string, fill func(members) error) error {
	m, err := readMembers("body."+name, d.body[name])
	if err != nil {
		return err
	}
	if err := fill(m); err != nil {
		return err
	}
	d.body[name], err = custody.Encode(m)
	return err
}

func fillID[T any](d *draft, m members, name string) error {
	if m[name] != nil {
		return nil
	}
	id, err := custody.NewID[T](d.created, d.server.rand)
	if err != nil {
		return err
	}
	return m.fill(name, id)
}

// belongs makes the domain that of a vault, and refuses another one.
func (d *draft) belongs(v *custody.Vault) error {
	if d.given && d.domain != v.Domain {
		return &custody.Error{Code: custody.Invalid, Field: "domain", Message: "not the domain of the vault"}
	}
	d.domain = v.Domain
	return nil
}

// wallet returns the wallet that the body names, whose vault says the domain.
func (d *draft) wallet() (*custody.Wallet, error) {
	id, ok, err := text[custody.ID[custody.Wallet]](d.body, "body.wallet", "wallet")
	if err != nil {
		return nil, err
	}
	w := d.state.Wallet(id)
	if !ok || w == nil {
		return nil, missing("body.wallet")
	}
	return w, d.belongs(d.state.Vault(w.Vault))
}

func (d *draft) transfer(ctx context.Context) error {
	w, err := d.wallet()
	if err != nil {
		return err
	}
	if err := d.body.fill("network", w.Network); err != nil {
		return err
	}
	if own := state.NativeAsset(w.Network); own != "" {
		if err := d.body.fill("asset", own); err != nil {
			return err
		}
	}
	return d.within("destination", func(m members) error {
		if m["destination"] != nil {
			return d.fromAddressBook(m)
		}
		if m["wallet"] != nil {
			return d.fromWallet(ctx, m)
		}
		return nil
	})
}

func (d *draft) fromAddressBook(m members) error {
	const at = "body.destination.destination"
	id, _, err := text[custody.ID[custody.Destination]](m, at, "destination")
	if err != nil {
		return err
	}
	entry := d.state.Destination(id)
	if entry == nil {
		return missing(at)
	}
	return errors.Join(m.fill("kind", entry.Kind), m.fill("address", entry.Address))
}

// fromWallet fills in the address of a wallet that was handed out: only for those
// are blocks searched.
func (d *draft) fromWallet(ctx context.Context, m members) error {
	const at = "body.destination.wallet"
	id, _, err := text[custody.ID[custody.Wallet]](m, at, "wallet")
	if err != nil {
		return err
	}
	if d.state.Wallet(id) == nil {
		return missing(at)
	}
	if err := m.fill("kind", custody.OwnWallet); err != nil || m["address"] != nil {
		return err
	}
	var index uint32
	if raw := m["index"]; raw != nil && json.Unmarshal(raw, &index) != nil {
		return &custody.Error{Code: custody.Invalid, Field: "body.destination.index", Message: "not a whole number below 2^31"}
	}
	list, err := d.server.store.Addresses(ctx, id, receiving)
	if err != nil {
		return err
	}
	for _, a := range list {
		if a.Index == index {
			return m.fill("address", a.Address)
		}
	}
	return &custody.Error{Code: custody.NotFound, Field: "body.destination.index", Message: "the wallet has no address at this index yet"}
}

// repair takes the domain of the intent that is repaired.
func (d *draft) repair(ctx context.Context) error {
	id, ok, err := text[custody.ID[custody.Intent]](d.body, "body.intent", "intent")
	if err != nil {
		return err
	}
	if !ok {
		return missing("body.intent")
	}
	of, err := d.server.store.Intent(ctx, id)
	if err != nil {
		return inside("body", err)
	}
	return d.belongs(&custody.Vault{Domain: of.Domain})
}

func (d *draft) vault(institution custody.Name) error {
	return d.within("vault", func(m members) error {
		return errors.Join(fillID[custody.Vault](d, m, "id"), m.fill("institution", institution), m.fill("domain", d.domain))
	})
}

// newWallet gives a wallet the next path of its key on its network that no wallet
// has, and none that is asked for.
func (d *draft) newWallet() error {
	return d.within("wallet", func(m members) error {
		vault, _, err := text[custody.ID[custody.Vault]](m, "body.wallet.vault", "vault")
		if err != nil {
			return err
		}
		key, _, err := text[custody.ID[custody.Key]](m, "body.wallet.key", "key")
		if err != nil {
			return err
		}
		network, _, err := text[custody.Network](m, "body.wallet.network", "network")
		if err != nil {
			return err
		}
		v := d.state.Vault(vault)
		if v == nil {
			return missing("body.wallet.vault")
		}
		if err := d.belongs(v); err != nil {
			return err
		}
		return errors.Join(fillID[custody.Wallet](d, m, "id"), m.fill("path", d.nextPath(key, network)))
	})
}

func (d *draft) nextPath(key custody.ID[custody.Key], network custody.Network) uint32 {
	next := uint32(0)
	see := func(w *custody.Wallet) {
		if w.Key == key && w.Network == network {
			next = max(next, w.Path+1)
		}
	}
	for _, w := range d.state.WalletList() {
		see(w)
	}
	for _, id := range d.state.PendingIntents() {
		if v, ok := d.state.Intent(id); ok {
			if asked, ok := v.Intent.Body.(*custody.WalletCreate); ok {
				see(&asked.Wallet)
			}
		}
	}
	return next
}

// ceremony fills in a new key, and all nodes with one id each and a majority of
// them.
func (d *draft) ceremony() error {
	kind, _, err := text[custody.Ceremony](d.body, "body.ceremony", "ceremony")
	if err != nil {
		return err
	}
	if kind == custody.Keygen || kind == custody.Import {
		if err := fillID[custody.Key](d, d.body, "key"); err != nil {
			return err
		}
	}
	return d.within("signerSet", func(m members) error {
		all := mapped(d.state.NodeList(), func(n *custody.SignerNode) custody.Member { return custody.Member{Node: n.ID, IDs: 1} })
		if err := m.fill("members", all); err != nil {
			return err
		}
		var given []custody.Member
		if err := json.Unmarshal(m["members"], &given); err != nil {
			return &custody.Error{Code: custody.Invalid, Field: "body.signerSet.members", Message: "not a list of nodes with their ids"}
		}
		total := 0
		for _, member := range given {
			total += member.IDs
		}
		return m.fill("threshold", total/2+1)
	})
}
