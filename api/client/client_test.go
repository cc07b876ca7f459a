package client_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/api/client"
	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/chains"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/policy/compile"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
)

const (
	token   = "canary-0123456789abcdef"
	regtest = custody.Network("bip122:0f9188f13cb7b2c71f2a335e3a4fc328")
	coin    = custody.Asset(regtest + "/slip44:1")
	friend  = custody.Address("bcrt1qfriend")
	thief   = custody.Address("bcrt1qthief")
)

const rules = `
version: 1
currency: USD
rules:
  - name: all
    for: [TRANSFER, SPEED_UP, CANCEL, POLICY_CHANGE, PERSON_CHANGE, GROUP_CHANGE, CREDENTIAL_CHANGE, KEY_CEREMONY, SIGNER_SET_CHANGE, WITNESS_CHANGE,
          VAULT_CREATE, WALLET_CREATE, DESTINATION_CHANGE, LIST_CHANGE, PROVIDER_CHANGE, ISSUER_CHANGE, HOLD_RELEASE, UPGRADE, FREEZE]
    when: "true"
    allow: {approvals: [{group: administrators, count: 2}]}
`

var compiled = sync.OnceValues(func() (*compile.Compiled, error) {
	return compile.Compile([]byte(rules), compile.Options{Now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)})
})

// bank is a deployment with a server that answers what a test says.
type bank struct {
	*statetest.World
	t           testing.TB
	key         custody.ID[custody.Key]
	code        custody.Hash
	vault       custody.ID[custody.Vault]
	hot, cold   custody.ID[custody.Wallet]
	destination custody.ID[custody.Destination]

	answers map[string]any // by method and path; a func is called with the body
	client  *client.Client
}

// recorded is a world's journal as evidence is collected from.
type recorded struct{ *statetest.World }

func (r recorded) ReadHashes(indexes []int64) ([]journal.Hash, error) {
	return r.Tree.ReadHashes(indexes)
}

func (r recorded) Entry(index int64) ([]byte, state.Code, error) {
	return r.Entries[index], r.Results[index].Void, nil
}

func governance(t testing.TB, w *statetest.World, head []byte) []byte {
	t.Helper()
	g, err := state.CollectGovernance(recorded{w}, head, w.Charter.Hash())
	if err != nil {
		t.Fatal(err)
	}
	return statetest.Encode(t, g)
}

func newWorld(t testing.TB, edit func(*custody.Charter)) *statetest.World {
	t.Helper()
	policy, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	return statetest.New(t, statetest.Setup{
		Groups: map[custody.Name][]string{"administrators": {"ann", "ben", "cas"}}, Others: []string{"ida"}, Policy: policy.Raw, Edit: edit,
	})
}

func newBank(t testing.TB) *bank { return newBankIn(t, newWorld(t, nil)) }

func newBankIn(t testing.TB, w *statetest.World) *bank {
	t.Helper()
	b := &bank{t: t, code: custody.Hash{4, 2}, World: w}
	b.key = b.KeyFor("ann", custody.BIP340Secp256k1, group.Secp256k1.Generator().Bytes(), hash.Sum("cc", b.code[:]), 0, "ben", "cas")
	b.vault = statetest.ID[custody.Vault](b.World)
	b.govern(custody.VaultCreateIntent, &custody.VaultCreate{Vault: custody.Vault{ID: b.vault, Institution: "bank", Domain: "treasury", Purpose: custody.Treasury}})
	b.hot, b.cold = b.wallet(0), b.wallet(1)
	b.destination = statetest.ID[custody.Destination](b.World)
	b.govern(custody.DestinationChangeIntent, &custody.DestinationChange{Action: custody.Put, Destination: custody.Destination{
		ID: b.destination, Kind: custody.Allowlisted, Network: regtest, Address: friend, Country: "CH",
	}})
	b.answers = map[string]any{
		"GET /v1/journal/governance":                        jsontext.Value(governance(t, b.World, b.Head())),
		"GET /v1/keys/" + b.key.String():                    api.Key{ID: b.key.String(), ChainCode: b.code.String()},
		"GET /v1/wallets/" + b.cold.String() + "/addresses": addresses(b.address(1, 0), b.address(1, 1)),
	}
	listener := httptest.NewServer(b)
	t.Cleanup(listener.Close)
	b.client = client.New(client.Config{URL: listener.URL, Token: token, Charter: b.Charter.Hash(), Now: func() time.Time { return b.Now.Time() }})
	return b
}

// ServeHTTP answers what the test says: a value, or an [answer].
func (b *bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	say, ok := b.answers[r.Method+" "+r.URL.Path]
	a, other := say.(answer)
	if !other {
		a = answer{status: http.StatusOK, body: say}
	}
	if !ok {
		a = answer{http.StatusNotFound, api.Problem{Status: http.StatusNotFound, Code: api.NotFound}}
	}
	raw, ok := a.body.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(a.body); err != nil {
			b.t.Error(err)
		}
	}
	if r.Header.Get("Authorization") != "Bearer "+token {
		b.t.Errorf("%s: no token", r.URL.Path)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(raw) // a client that is gone needs nothing
}

// answer is what a call is answered.
type answer struct {
	status int
	body   any
}

func addresses(list ...custody.Address) api.Page[api.Address] {
	var page api.Page[api.Address]
	for i, a := range list {
		page.Data = append(page.Data, api.Address{Address: string(a), Index: uint32(i)})
	}
	return page
}

func (b *bank) govern(t custody.IntentType, body custody.Body) {
	b.t.Helper()
	b.Must(b.Govern("ann", t, body, 0, "ben", "cas"))
}

func (b *bank) wallet(path uint32) custody.ID[custody.Wallet] {
	b.t.Helper()
	id := statetest.ID[custody.Wallet](b.World)
	b.govern(custody.WalletCreateIntent, &custody.WalletCreate{Wallet: custody.Wallet{ID: id, Vault: b.vault, Network: regtest, Key: b.key, Path: path}})
	return id
}

// address computes the true address of a wallet by its path.
func (b *bank) address(path, index uint32) custody.Address {
	b.t.Helper()
	family, err := chains.For(regtest)
	if err != nil {
		b.t.Fatal(err)
	}
	a, err := family.Address(chain.Account{
		Network: regtest, Scheme: custody.BIP340Secp256k1, PublicKey: b.State.Key(b.key).PublicKey, ChainCode: b.code, Path: path,
	}, 0, index)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

type object = map[string]any

func (b *bank) request(kind custody.IntentType, initiator string, body object) api.PrepareRequest {
	b.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	return api.PrepareRequest{Type: string(kind), Initiator: b.People[initiator].ID.String(), Body: raw}
}

// prepared is how a server answers with an intent.
func (b *bank) prepared(in *custody.Intent) api.PreparedIntent {
	charter := b.Charter.Hash()
	return api.PreparedIntent{Bytes: string(in.Raw), Digest: in.Digest(charter).String(), Charter: charter.String()}
}

// status is how a server shows an intent.
func (b *bank) status(in *custody.Intent) api.Intent {
	return api.Intent{ID: in.ID.String(), State: "PENDING_APPROVAL", Bytes: string(in.Raw), Digest: in.Digest(b.Charter.Hash()).String()}
}

// written is an intent with something changed.
func (b *bank) written(in custody.Intent) *custody.Intent {
	b.t.Helper()
	out, err := custody.NewIntent(in)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// intent is what an honest server makes of a request now.
func (b *bank) intent(initiator string, t custody.IntentType, body custody.Body) custody.Intent {
	return custody.Intent{
		Type: t, ID: statetest.ID[custody.Intent](b.World), Institution: "bank", Domain: "treasury",
		Created: b.Now, Expires: b.Now.Add(custody.Day), Initiator: b.People[initiator].ID, Body: body,
	}
}

// lie refuses anything but an error that says that the server lies about a field.
func lie(t *testing.T, name, field string, err error) {
	t.Helper()
	d, ok := errors.AsType[*client.Difference](err)
	if !ok || d.Field != field {
		t.Errorf("%s: %v, want a difference in %s", name, err, field)
	}
	if client.Code(err) != custody.Unauthenticated {
		t.Errorf("%s: code %s", name, client.Code(err))
	}
}

func TestPrepareFindsLies(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	b.Wait(custody.Minute) // so that what is there is older than what is made now
	request := b.request(custody.TransferIntent, "ida", object{
		"wallet": b.hot, "amount": "5", "feeLimit": "1000", "destination": object{"destination": b.destination},
	})
	request.ExpiresIn, request.Domain = int64(custody.Day), "treasury"
	honest := func() (custody.Intent, *custody.Transfer) {
		body := &custody.Transfer{
			Network: regtest, Wallet: b.hot, Asset: coin, Amount: custody.NewAmount(5), FeeLimit: custody.NewAmount(1000),
			Destination: custody.Recipient{Kind: custody.Allowlisted, Address: friend, Destination: b.destination},
		}
		return b.intent("ida", custody.TransferIntent, body), body
	}
	in, _ := honest()
	b.answers["POST /v1/intents:prepare"] = b.prepared(b.written(in))
	p, err := b.client.Prepare(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := custody.ApprovalHash(p.Intent.Digest(b.Charter.Hash()), custody.Submit); err != nil || p.Submit != want || p.Intent.ID != in.ID {
		t.Errorf("%+v %v", p, err)
	}
	other := statetest.NewID[custody.Destination](b.Now, 99)
	for name, c := range map[string]struct {
		field string
		edit  func(*custody.Intent, *custody.Transfer)
	}{
		"amount":      {"body.amount", func(_ *custody.Intent, b *custody.Transfer) { b.Amount = custody.NewAmount(50) }},
		"fee limit":   {"body.feeLimit", func(_ *custody.Intent, b *custody.Transfer) { b.FeeLimit = custody.NewAmount(10_000) }},
		"wallet":      {"body.wallet", func(_ *custody.Intent, to *custody.Transfer) { to.Wallet = b.cold }},
		"destination": {"body.destination.destination", func(_ *custody.Intent, b *custody.Transfer) { b.Destination.Destination = other }},
		"another kind": {"body.destination.country", func(_ *custody.Intent, b *custody.Transfer) {
			b.Destination = custody.Recipient{Kind: custody.OneTime, Address: thief, Country: "CH"}
		}},
		"own wallet": {"body.destination.destination", func(_ *custody.Intent, to *custody.Transfer) {
			to.Destination = custody.Recipient{Kind: custody.OwnWallet, Address: thief, Wallet: b.cold}
		}},
		"asset":          {"body.asset", func(_ *custody.Intent, b *custody.Transfer) { b.Asset = custody.Asset(regtest) + "/token:9" }},
		"added memo":     {"body.memo", func(_ *custody.Intent, b *custody.Transfer) { b.Memo = custody.Hash{1} }},
		"initiator":      {"initiator", func(in *custody.Intent, _ *custody.Transfer) { in.Initiator = b.People["ann"].ID }},
		"domain":         {"domain", func(in *custody.Intent, _ *custody.Transfer) { in.Domain = "retail" }},
		"expires later":  {"expires", func(in *custody.Intent, _ *custody.Transfer) { in.Expires++ }},
		"expires sooner": {"expires", func(in *custody.Intent, _ *custody.Transfer) { in.Expires-- }},
		"made long ago": {"created", func(in *custody.Intent, _ *custody.Transfer) {
			in.Created, in.Expires = in.Created.Add(-121), in.Expires.Add(-121)
			in.ID = statetest.NewID[custody.Intent](in.Created, 1)
		}},
		"made in the future": {"created", func(in *custody.Intent, _ *custody.Transfer) {
			in.Created, in.Expires = in.Created.Add(121), in.Expires.Add(121)
			in.ID = statetest.NewID[custody.Intent](in.Created, 1)
		}},
		"id of another time": {"id", func(in *custody.Intent, _ *custody.Transfer) {
			in.ID = statetest.NewID[custody.Intent](in.Created-1, 1)
		}},
		"another type": {"type", func(in *custody.Intent, _ *custody.Transfer) {
			in.Type, in.Body = custody.FreezeIntent, &custody.Freeze{Target: custody.Target{All: true}}
		}},
	} {
		in, body := honest()
		c.edit(&in, body)
		b.answers["POST /v1/intents:prepare"] = b.prepared(b.written(in))
		_, err := b.client.Prepare(t.Context(), request)
		lie(t, name, c.field, err)
	}
	// Lies beside the bytes.
	in, _ = honest()
	for name, edit := range map[string]func(*api.PreparedIntent){
		"digest":  func(p *api.PreparedIntent) { p.Digest = custody.Hash{1}.String() },
		"charter": func(p *api.PreparedIntent) { p.Charter = custody.Hash{1}.String() },
	} {
		p := b.prepared(b.written(in))
		edit(&p)
		b.answers["POST /v1/intents:prepare"] = p
		_, err := b.client.Prepare(t.Context(), request)
		lie(t, name, name, err)
	}
	for _, bytes := range []string{"", "{}", " " + string(b.written(in).Raw), string(b.written(in).Raw) + "\n"} {
		p := b.prepared(b.written(in))
		p.Bytes = bytes
		b.answers["POST /v1/intents:prepare"] = p
		if _, err := b.client.Prepare(t.Context(), request); client.Code(err) != custody.Internal {
			t.Errorf("%q: %v", bytes, err)
		}
	}
	// Without expiresIn the server may choose less than a day, not more.
	request.ExpiresIn = 0
	for life, fine := range map[custody.Seconds]bool{custody.Hour: true, custody.Day: true, custody.Day + 1: false} {
		in, _ := honest()
		in.Expires = in.Created.Add(life)
		b.answers["POST /v1/intents:prepare"] = b.prepared(b.written(in))
		if _, err := b.client.Prepare(t.Context(), request); (err == nil) != fine {
			t.Errorf("life of %s: %v", life, err)
		}
	}
	request.Body = []byte(`{"amount":"5","amount":"6"}`)
	if _, err := b.client.Prepare(t.Context(), request); err == nil {
		t.Error("a request with a name twice")
	}
}

func TestPrepareChecksWhatTheServerFillsIn(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	b.Wait(custody.Minute)
	ctx := t.Context()
	prepare := func(r api.PrepareRequest, in custody.Intent) error {
		t.Helper()
		b.answers["POST /v1/intents:prepare"] = b.prepared(b.written(in))
		_, err := b.client.Prepare(ctx, r)
		return err
	}
	// The address of a wallet of our own is computed again.
	own := b.request(custody.TransferIntent, "ida", object{"wallet": b.hot, "amount": "5", "feeLimit": "9", "destination": object{"wallet": b.cold, "index": 1}})
	internal := func(to custody.Address) custody.Intent {
		return b.intent("ida", custody.TransferIntent, &custody.Transfer{
			Network: regtest, Wallet: b.hot, Asset: coin, Amount: custody.NewAmount(5), FeeLimit: custody.NewAmount(9),
			Destination: custody.Recipient{Kind: custody.OwnWallet, Address: to, Wallet: b.cold, Index: 1},
		})
	}
	if err := prepare(own, internal(b.address(1, 1))); err != nil {
		t.Error(err)
	}
	for _, to := range []custody.Address{thief, b.address(1, 0), b.address(0, 1)} {
		err := prepare(own, internal(to))
		if f, ok := errors.AsType[*client.FalseAddress](err); !ok || f.Server != to || f.Computed != b.address(1, 1) || client.Code(err) != custody.Unauthenticated {
			t.Errorf("%s: %v", to, err)
		}
	}
	// What is made is new: an older id would replace something.
	entry := b.request(custody.DestinationChangeIntent, "ann", object{"action": "PUT", "destination": object{
		"kind": "ALLOWLISTED", "network": regtest, "address": friend, "country": "CH",
	}})
	put := func(id custody.ID[custody.Destination]) custody.Intent {
		return b.intent("ann", custody.DestinationChangeIntent, &custody.DestinationChange{Action: custody.Put, Destination: custody.Destination{
			ID: id, Kind: custody.Allowlisted, Network: regtest, Address: friend, Country: "CH",
		}})
	}
	if err := prepare(entry, put(statetest.ID[custody.Destination](b.World))); err != nil {
		t.Error(err)
	}
	lie(t, "an entry that there is", "body.destination.id", prepare(entry, put(b.destination)))
	vault := b.request(custody.VaultCreateIntent, "ann", object{"vault": object{"purpose": "RETAIL"}})
	lie(t, "a vault that there is", "body.vault.id", prepare(vault, b.intent("ann", custody.VaultCreateIntent, &custody.VaultCreate{
		Vault: custody.Vault{ID: b.vault, Institution: "bank", Domain: "treasury", Purpose: custody.Retail},
	})))
	wallet := b.request(custody.WalletCreateIntent, "ann", object{"wallet": object{"vault": b.vault, "network": regtest, "key": b.key}})
	lie(t, "a wallet that there is", "body.wallet.id", prepare(wallet, b.intent("ann", custody.WalletCreateIntent, &custody.WalletCreate{
		Wallet: custody.Wallet{ID: b.hot, Vault: b.vault, Network: regtest, Key: b.key, Path: 2},
	})))
	// A key is held by all nodes, one id each, and a majority.
	all := []custody.Member{{Node: "node-a", IDs: 1}, {Node: "node-b", IDs: 1}, {Node: "node-c", IDs: 1}}
	ceremony := func(key custody.ID[custody.Key], members []custody.Member, threshold int) custody.Intent {
		return b.intent("ann", custody.KeyCeremonyIntent, &custody.KeyCeremony{
			Ceremony: custody.Keygen, Key: key, Scheme: custody.BIP340Secp256k1, Set: custody.SignerSet{Members: members, Threshold: threshold},
		})
	}
	keygen := object{"ceremony": "KEYGEN", "scheme": "BIP340_SECP256K1"}
	fresh := func() custody.ID[custody.Key] { return statetest.ID[custody.Key](b.World) }
	ask := func(set any) api.PrepareRequest {
		body := object{"signerSet": set}
		maps.Copy(body, keygen)
		return b.request(custody.KeyCeremonyIntent, "ann", body)
	}
	open := b.request(custody.KeyCeremonyIntent, "ann", keygen)
	if err := prepare(open, ceremony(fresh(), all, 2)); err != nil {
		t.Error(err)
	}
	if err := prepare(ask(object{"threshold": 3}), ceremony(fresh(), all, 3)); err != nil {
		t.Error(err)
	}
	if err := prepare(ask(custody.SignerSet{Members: all[:2], Threshold: 2}), ceremony(fresh(), all[:2], 2)); err != nil {
		t.Error(err)
	}
	lie(t, "a key that there is", "body.key", prepare(open, ceremony(b.key, all, 2)))
	lie(t, "threshold", "body.signerSet.threshold", prepare(open, ceremony(fresh(), all, 3)))
	lie(t, "threshold given", "body.signerSet.threshold", prepare(ask(object{"threshold": 3}), ceremony(fresh(), all, 2)))
	lie(t, "members left out", "body.signerSet.members", prepare(open, ceremony(fresh(), all[:2], 2)))
	lie(t, "members counted twice", "body.signerSet.members", prepare(open, ceremony(fresh(), []custody.Member{{Node: "node-a", IDs: 2}, {Node: "node-b", IDs: 1}, {Node: "node-c", IDs: 1}}, 3)))
	lie(t, "members given", "body.signerSet.members", prepare(ask(object{"members": all}), ceremony(fresh(), all[:2], 2)))
}

func TestSubmitAndApproveFindLies(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	ctx := t.Context()
	in := b.Intent("ida", custody.FreezeIntent, &custody.Freeze{Target: custody.Target{All: true}})
	other := b.Intent("ida", custody.FreezeIntent, &custody.Freeze{Target: custody.Target{Key: b.key}})
	p := &client.Prepared{Bytes: in.Raw, Digest: in.Digest(b.Charter.Hash()), Intent: in}
	e := b.Evidence("ida", b.Hash(in, custody.Submit))
	path := "/v1/intents/" + in.ID.String()
	say := func(edit func(*api.Intent)) {
		a := b.status(in)
		edit(&a)
		b.answers["POST /v1/intents"], b.answers["GET "+path], b.answers["POST "+path+"/approvals"] = a, a, a
	}
	calls := map[string]func() error{
		"submit": func() error { _, err := b.client.Submit(ctx, p, e, ""); return err },
		"approve": func() error {
			_, err := b.client.Approve(ctx, in.ID, custody.Yes, e)
			return err
		},
		"show": func() error { _, err := b.client.ForApproval(ctx, in.ID); return err },
		"wait": func() error {
			_, err := b.client.Wait(ctx, in.ID, func(*api.Intent) bool { return true })
			return err
		},
	}
	say(func(*api.Intent) {})
	for name, call := range calls {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	shown, err := b.client.ForApproval(ctx, in.ID)
	if err != nil || shown.Yes != b.Hash(in, custody.Yes) || shown.No != b.Hash(in, custody.No) || shown.Intent.ID != in.ID {
		t.Errorf("%+v %v", shown, err)
	}
	for name, edit := range map[string]func(*api.Intent){
		"another intent":        func(a *api.Intent) { *a = b.status(other) },
		"another id":            func(a *api.Intent) { a.ID = other.ID.String() },
		"another digest":        func(a *api.Intent) { a.Digest = other.Digest(b.Charter.Hash()).String() },
		"other bytes":           func(a *api.Intent) { a.Bytes = string(other.Raw) },
		"of another deployment": func(a *api.Intent) { a.Digest = in.Digest(custody.Hash{1}).String() },
	} {
		say(edit)
		for at, call := range calls {
			if err := call(); client.Code(err) != custody.Unauthenticated {
				t.Errorf("%s, %s: %v", at, name, err)
			}
		}
	}
	say(func(a *api.Intent) { a.Bytes = "{}" })
	if err := calls["show"](); client.Code(err) != custody.Internal {
		t.Error(err)
	}
}

func TestVerifiedAddress(t *testing.T) {
	t.Parallel()
	list := func(b *bank) string { return "GET /v1/wallets/" + b.cold.String() + "/addresses" }
	fresh := func(b *bank) string { return "POST /v1/wallets/" + b.cold.String() + "/addresses" }
	honest := newBank(t)
	for index := range uint32(2) {
		got, proof, err := honest.client.VerifiedAddress(t.Context(), honest.cold, index)
		if err != nil || got != honest.address(1, index) || proof.Wallet.ID != honest.cold || proof.Key.ID != honest.key {
			t.Errorf("%s %+v %v", got, proof, err)
		}
	}
	for name, c := range map[string]struct {
		edit func(*bank)
		code custody.Code
	}{
		"false address":             {func(b *bank) { b.answers[list(b)] = addresses(thief) }, custody.Unauthenticated},
		"address of another index":  {func(b *bank) { b.answers[list(b)] = addresses(b.address(1, 1)) }, custody.Unauthenticated},
		"address of another wallet": {func(b *bank) { b.answers[list(b)] = addresses(b.address(0, 0)) }, custody.Unauthenticated},
		"no such address":           {func(b *bank) { b.answers[list(b)] = addresses() }, custody.NotFound},
		"pages in a circle":         {func(b *bank) { b.answers[list(b)] = api.Page[api.Address]{NextCursor: "x"} }, custody.NotFound},
		"another chain code": {func(b *bank) {
			b.answers["GET /v1/keys/"+b.key.String()] = api.Key{ChainCode: custody.Hash{9}.String()}
		}, custody.Unauthenticated},
		"no chain code yet":         {func(b *bank) { b.answers["GET /v1/keys/"+b.key.String()] = api.Key{} }, custody.Unavailable},
		"a chain code that is none": {func(b *bank) { b.answers["GET /v1/keys/"+b.key.String()] = api.Key{ChainCode: "x"} }, custody.Internal},
		"no governance":             {func(b *bank) { delete(b.answers, "GET /v1/journal/governance") }, custody.NotFound},
		"governance that is none":   {func(b *bank) { b.answers["GET /v1/journal/governance"] = []byte("{}") }, custody.Unauthenticated},
		"governance with a byte flipped": {func(b *bank) {
			raw := string(b.answers["GET /v1/journal/governance"].(jsontext.Value))
			b.answers["GET /v1/journal/governance"] = []byte(strings.Replace(raw, `"path":1`, `"path":0`, 1))
		}, custody.Unauthenticated},
		"governance without a quorum": {func(b *bank) {
			b.answers["GET /v1/journal/governance"] = governance(b.t, b.World, b.Head("node-b"))
		}, custody.Unauthenticated},
		"governance of another deployment": {func(b *bank) {
			forged := newBankIn(b.t, newWorld(b.t, func(c *custody.Charter) { c.IntentLife-- }))
			b.answers["GET /v1/journal/governance"] = forged.answers["GET /v1/journal/governance"]
		}, custody.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBank(t)
			c.edit(b)
			got, _, err := b.client.VerifiedAddress(t.Context(), b.cold, 0)
			if err == nil || got != "" || client.Code(err) != c.code {
				t.Errorf("%q, %s: %v", got, client.Code(err), err)
			}
		})
	}
	if _, _, err := honest.client.VerifiedAddress(t.Context(), custody.ID[custody.Wallet](honest.key), 0); client.Code(err) != custody.NotFound {
		t.Errorf("a wallet on no record: %v", err)
	}
	honest.answers[fresh(honest)] = api.Address{Address: string(honest.address(1, 7)), Index: 7}
	if got, _, err := honest.client.NewAddress(t.Context(), honest.cold); err != nil || got.Index != 7 {
		t.Errorf("%+v %v", got, err)
	}
	honest.answers[fresh(honest)] = api.Address{Address: string(thief), Index: 7}
	if got, _, err := honest.client.NewAddress(t.Context(), honest.cold); got != nil || client.Code(err) != custody.Unauthenticated {
		t.Errorf("%+v %v", got, err)
	}
}

// TestVerifiedEvidence has a server that says something was done.
func TestVerifiedEvidence(t *testing.T) {
	t.Parallel()
	read := func(file string) []byte {
		raw, err := os.ReadFile(filepath.Join("../../internal/state/testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	sample := read("sample.bundle.json")
	trust, err := state.ParseTrust(read("sample.trust"))
	if err != nil {
		t.Fatal(err)
	}
	var bundle struct {
		Intent custody.ID[custody.Intent] `json:"intent"`
	}
	if err := json.Unmarshal(sample, &bundle); err != nil {
		t.Fatal(err)
	}
	ask := func(charter custody.Hash, id custody.ID[custody.Intent], body any) error {
		b := &bank{t: t, answers: map[string]any{"GET /v1/intents/" + id.String() + "/evidence": body}}
		listener := httptest.NewServer(b)
		defer listener.Close()
		raw, report, err := client.New(client.Config{URL: listener.URL, Token: token, Charter: charter, Now: time.Now().UTC}).VerifiedEvidence(t.Context(), id)
		if err == nil && (string(raw) != string(sample) || len(report.Checks) == 0) {
			t.Errorf("%+v", report)
		}
		return err
	}
	if err := ask(trust.Charter, bundle.Intent, sample); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"other charter":  ask(custody.Hash{1}, bundle.Intent, sample),
		"other intent":   ask(trust.Charter, statetest.NewID[custody.Intent](statetest.Start, 1), sample),
		"success alone":  ask(trust.Charter, bundle.Intent, []byte(`{"state":"EXECUTED"}`)),
		"a byte flipped": ask(trust.Charter, bundle.Intent, []byte(strings.Replace(string(sample), `"chainCode":"`, `"chainCode":"0`, 1))),
	} {
		if client.Code(err) != custody.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEvidence sends every kind of evidence. It arrives as package custody has it.
func TestEvidence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	in := w.Intent("ida", custody.FreezeIntent, &custody.Freeze{Target: custody.Target{All: true}})
	id := statetest.NewID[custody.Credential](statetest.Start, 5)
	for _, e := range []custody.Evidence{
		{Kind: custody.EvidenceKind(custody.Device), Credential: id, Signature: []byte{1, 2, 255}},
		{Kind: custody.EvidenceKind(custody.WebAuthn), Credential: id, Signature: []byte{1}, Signed: &custody.Signed{ClientData: []byte("{}"), AuthenticatorData: []byte{7, 8}}},
		{Kind: custody.EvidenceKind(custody.OIDC), Credential: id, Signed: &custody.Signed{Token: "a.b.c"}},
		{Kind: custody.EvidenceKind(custody.RecoveryEvidence), Recovery: custody.ID[custody.Person](id), Signature: []byte{3}},
		{Kind: custody.EvidenceKind(custody.NodeEvidence), Node: "node-a", Signature: []byte{4}},
	} {
		var sent []byte
		c := client.New(client.Config{URL: "https://coffer.example", Charter: w.Charter.Hash(), HTTP: &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Idempotency-Key") == "" {
				t.Error("the call can't be repeated")
			}
			var body struct {
				Evidence jsontext.Value `json:"evidence"`
			}
			if err := json.UnmarshalRead(r.Body, &body); err != nil {
				t.Error(err)
			}
			var err error
			if sent, err = custody.Canonicalize(body.Evidence); err != nil {
				t.Error(err)
			}
			return respond(200, api.Intent{ID: in.ID.String(), Bytes: string(in.Raw), Digest: in.Digest(w.Charter.Hash()).String()}), nil
		})}})
		if _, err := c.Submit(t.Context(), &client.Prepared{Bytes: in.Raw, Digest: in.Digest(w.Charter.Hash()), Intent: in}, e, ""); err != nil {
			t.Error(err)
		}
		if want := statetest.Encode(t, e); string(sent) != string(want) {
			t.Errorf("%s, want %s", sent, want)
		}
	}
}

// TestErrors has what people read when a server lies.
func TestErrors(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		`the server answers something else than was asked: body.amount: asked "5", got "50"`:                                  &client.Difference{Field: "body.amount", Asked: "5", Got: "50"},
		`the server answers something else than was asked: body.memo: asked nothing, got "` + strings.Repeat("x", 200) + `"…`: &client.Difference{Field: "body.memo", Got: strings.Repeat("x", 201)},
		"the server's address is false: it says bcrt1qthief, the key's is bcrt1qfriend":                                       &client.FalseAddress{Server: thief, Computed: friend},
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
}

// trip answers calls without a network.
type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func respond(status int, body any) *http.Response {
	raw, ok := body.(string)
	if !ok {
		b, _ := json.Marshal(body)
		raw = string(b)
	}
	return &http.Response{StatusCode: status, Header: make(http.Header), Body: io.NopCloser(strings.NewReader(raw))}
}

func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		url    string
		answer trip
		code   custody.Code
	}{
		"no URL":           {"http://%", nil, custody.Invalid},
		"another scheme":   {"ftp://coffer.example", nil, custody.Invalid},
		"in the clear":     {"http://coffer.example", nil, custody.Invalid},
		"almost this host": {"http://localhost.example", nil, custody.Invalid},
		"nobody there":     {"https://coffer.example", func(*http.Request) (*http.Response, error) { return nil, io.EOF }, custody.Unavailable},
		"no JSON":          {"http://127.0.0.1", func(*http.Request) (*http.Response, error) { return respond(200, "<html>"), nil }, custody.Internal},
		"a name twice":     {"http://[::1]", func(*http.Request) (*http.Response, error) { return respond(200, `{"size":1,"size":2}`), nil }, custody.Internal},
		"moved":            {"https://coffer.example", func(*http.Request) (*http.Response, error) { return respond(302, ""), nil }, custody.Internal},
		"a gateway's page": {"https://coffer.example", func(*http.Request) (*http.Response, error) { return respond(502, "<html>"), nil }, custody.Internal},
		"a problem": {"https://coffer.example", func(*http.Request) (*http.Response, error) {
			return respond(429, api.Problem{Status: 429, Code: api.Exhausted}), nil
		}, custody.Exhausted},
		"a code that isn't": {"https://coffer.example", func(*http.Request) (*http.Response, error) {
			return respond(400, api.Problem{Status: 400, Code: "sorry"}), nil
		}, custody.Internal},
		"another status": {"https://coffer.example", func(*http.Request) (*http.Response, error) {
			return respond(401, api.Problem{Status: 403, Code: api.Forbidden}), nil
		}, custody.Internal},
		"an endless answer": {"https://coffer.example", func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(endless{})}, nil
		}, custody.Internal},
		"a broken answer": {"https://coffer.example", func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF))}, nil
		}, custody.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := client.Config{URL: c.url, Token: token, HTTP: &http.Client{Transport: c.answer}}
			_, err := client.New(cfg).Head(t.Context())
			if err == nil || client.Code(err) != c.code {
				t.Errorf("%s: %v", client.Code(err), err)
			} else if strings.Contains(err.Error(), token) {
				t.Errorf("the error holds the token: %v", err)
			}
		})
	}
}

// endless never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestRedirect shows that the token goes nowhere else.
func TestRedirect(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the client followed") }))
	defer other.Close()
	first := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer first.Close()
	if _, err := client.New(client.Config{URL: first.URL, Token: token}).Head(t.Context()); err == nil {
		t.Error("no error")
	}
}

// TestWait asks until something has happened, in a time of its own.
func TestWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	in := w.Intent("ida", custody.FreezeIntent, &custody.Freeze{Target: custody.Target{All: true}})
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := client.New(client.Config{URL: "https://coffer.example", Charter: w.Charter.Hash(), HTTP: &http.Client{Transport: trip(func(*http.Request) (*http.Response, error) {
			asked++
			switch asked {
			case 2:
				return respond(503, api.Problem{Status: 503, Code: api.Unavailable}), nil
			case 3:
				return nil, io.EOF
			}
			status := api.Intent{ID: in.ID.String(), Bytes: string(in.Raw), Digest: in.Digest(w.Charter.Hash()).String(), State: "EXECUTING"}
			if asked == 10 {
				status.State = "EXECUTED"
			}
			return respond(200, status), nil
		})}})
		done := func(in *api.Intent) bool { return in.State == "EXECUTED" }
		began := time.Now()
		got, err := c.Wait(t.Context(), in.ID, done)
		if err != nil || got.State != "EXECUTED" || asked != 10 {
			t.Errorf("%+v %v after %d", got, err, asked)
		}
		if took := time.Since(began); took < 5*time.Second || took > 30*time.Second { // of the bubble's own clock
			t.Errorf("it took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.Wait(ctx, in.ID, done); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

// FuzzPrepare feeds a client what a server could say it prepared. Whatever it
// accepts is what was asked.
func FuzzPrepare(f *testing.F) {
	w := newWorld(f, nil)
	asked := []byte(`{"target":{"all":true}}`)
	in := w.Intent("ida", custody.FreezeIntent, &custody.Freeze{Target: custody.Target{All: true}})
	f.Add(in.Raw, in.Digest(w.Charter.Hash()).String())
	f.Add([]byte(strings.Replace(string(in.Raw), `"all":true`, `"key":"`+in.ID.String()+`"`, 1)), "")
	f.Add([]byte("{}"), "")
	f.Fuzz(func(t *testing.T, raw []byte, digest string) {
		if parsed, err := custody.ParseIntent(raw); err == nil && digest == "" {
			digest = parsed.Digest(w.Charter.Hash()).String()
		}
		c := client.New(client.Config{
			URL: "https://coffer.example", Charter: w.Charter.Hash(), Now: func() time.Time { return w.Now.Time() },
			HTTP: &http.Client{Transport: trip(func(*http.Request) (*http.Response, error) {
				return respond(200, api.PreparedIntent{Bytes: string(raw), Digest: digest, Charter: w.Charter.Hash().String()}), nil
			})},
		})
		p, err := c.Prepare(t.Context(), api.PrepareRequest{
			Type: "FREEZE", Initiator: w.People["ida"].ID.String(), Domain: "treasury", ExpiresIn: int64(5 * custody.Day), Body: asked,
		})
		if err != nil {
			return
		}
		freeze, ok := p.Intent.Body.(*custody.Freeze)
		if !ok || freeze.Target != (custody.Target{All: true}) || p.Intent.Initiator != w.People["ida"].ID || p.Digest != p.Intent.Digest(w.Charter.Hash()) ||
			string(p.Bytes) != string(raw) {
			t.Errorf("%s", p.Bytes)
		}
	})
}

// FuzzAnswer feeds a client any answer to a call.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"data":[],"nextCursor":"x"}`))
	f.Add(200, []byte(`{"v":1,"chain":[],"proof":{"index":0,"proof":[]},"head":""}`))
	f.Add(404, []byte(`{"status":404,"code":"not_found"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		c := client.New(client.Config{URL: "https://coffer.example", HTTP: &http.Client{Transport: trip(func(*http.Request) (*http.Response, error) {
			return respond(status, string(body)), nil
		})}})
		_, err1 := c.Governance(t.Context())
		if err1 == nil {
			t.Errorf("evidence of a charter that nobody has: %s", body)
		}
		if _, err := c.Persons(t.Context(), 0, ""); err != nil && client.Code(err) > custody.Unavailable {
			t.Error(err)
		}
	})
}
