package server_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/server"
	"github.com/cofferhq/coffer/internal/state/statetest"
)

const stranger = custody.Address("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080")

type object = map[string]any

func TestPrepareFillsIn(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	var address api.Address
	b.ok(call{method: "POST", path: "/v1/wallets/" + b.cold.String() + "/addresses"}, 201, &address)
	for name, c := range map[string]struct {
		kind      custody.IntentType
		initiator string
		body      object
		want      custody.Body // ids that the server makes are compared beside it
	}{
		"a transfer to the address book": {custody.TransferIntent, "ida", b.pay("5000"), &custody.Transfer{
			Network: regtest, Wallet: b.hot, Asset: coin, Amount: custody.NewAmount(5000), FeeLimit: custody.NewAmount(1000),
			Destination: custody.Recipient{Kind: custody.Allowlisted, Address: friend, Destination: b.destination},
		}},
		"a transfer to an own wallet": {
			custody.TransferIntent, "ida",
			object{"wallet": b.hot.String(), "amount": "5000", "feeLimit": "7", "destination": object{"wallet": b.cold.String()}},
			&custody.Transfer{
				Network: regtest, Wallet: b.hot, Asset: coin, Amount: custody.NewAmount(5000), FeeLimit: custody.NewAmount(7),
				Destination: custody.Recipient{Kind: custody.OwnWallet, Address: custody.Address(address.Address), Wallet: b.cold},
			},
		},
		"a transfer of which all is given": {
			custody.TransferIntent, "ida",
			object{
				"network": regtest, "wallet": b.hot.String(), "asset": coin, "amount": "5000", "feeLimit": "7", "memo": custody.Hash{3},
				"destination": object{"kind": "ONE_TIME", "address": stranger, "country": "CH"},
			},
			&custody.Transfer{
				Network: regtest, Wallet: b.hot, Asset: coin, Amount: custody.NewAmount(5000), FeeLimit: custody.NewAmount(7), Memo: custody.Hash{3},
				Destination: custody.Recipient{Kind: custody.OneTime, Address: stranger, Country: "CH"},
			},
		},
		"a person": {
			custody.PersonChangeIntent, "ann",
			object{"action": "PUT", "person": object{"id": b.key.String(), "institution": "bank", "country": "CH", "kind": "HUMAN"}},
			&custody.PersonChange{Action: custody.Put, Person: custody.Person{ID: custody.ID[custody.Person](b.key), Institution: "bank", Country: "CH", Kind: custody.Human}},
		},
		"a freeze": {custody.FreezeIntent, "rob", object{"target": object{"all": true}}, &custody.Freeze{Target: custody.Target{All: true}}},
	} {
		in := b.prepared(c.kind, c.initiator, c.body)
		if got, want := string(statetest.Encode(t, in.Body)), string(statetest.Encode(t, c.want)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		domain := custody.Domain("main")
		if c.kind == custody.TransferIntent {
			domain = "treasury"
		}
		if in.Type != c.kind || in.Initiator != b.People[c.initiator].ID || in.Institution != "bank" || in.Domain != domain ||
			in.Created != b.Now || in.Expires != b.Now.Add(custody.Day) || in.ID.Time() != in.Created {
			t.Errorf("%s: %s", name, in.Raw)
		}
	}
}

func TestPrepareMakesIDs(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	vault := b.prepared(custody.VaultCreateIntent, "ann", object{"vault": object{"purpose": "RETAIL"}}).Body.(*custody.VaultCreate).Vault
	if vault.ID.Time() != b.Now || vault.Institution != "bank" || vault.Domain != "main" {
		t.Errorf("vault: %+v", vault)
	}
	asked := object{"wallet": object{"vault": b.vault.String(), "network": regtest, "key": b.key.String()}}
	in, _ := b.submitted(custody.WalletCreateIntent, "ann", asked)
	wallet := in.Body.(*custody.WalletCreate).Wallet
	if wallet.ID.Time() != b.Now || wallet.Path != 2 || in.Domain != "treasury" {
		t.Errorf("wallet: %+v in %s", wallet, in.Domain)
	}
	if next := b.prepared(custody.WalletCreateIntent, "ann", asked).Body.(*custody.WalletCreate).Wallet; next.Path != 3 || next.ID == wallet.ID {
		t.Errorf("the next wallet: %+v", next)
	}
	ceremony := b.prepared(custody.KeyCeremonyIntent, "ann", object{"ceremony": "KEYGEN", "scheme": "BIP340_SECP256K1"}).Body.(*custody.KeyCeremony)
	all := []custody.Member{{Node: "node-a", IDs: 1}, {Node: "node-b", IDs: 1}, {Node: "node-c", IDs: 1}}
	if ceremony.Key.Time() != b.Now || !slices.Equal(ceremony.Set.Members, all) || ceremony.Set.Threshold != 2 {
		t.Errorf("ceremony: %+v", ceremony)
	}
	ceremony = b.prepared(custody.KeyCeremonyIntent, "ann", object{
		"ceremony": "REFRESH", "key": b.key.String(), "scheme": "BIP340_SECP256K1", "signerSet": object{"threshold": 3},
	}).Body.(*custody.KeyCeremony)
	if ceremony.Key != b.key || len(ceremony.Set.Members) != 3 || ceremony.Set.Threshold != 3 {
		t.Errorf("refresh: %+v", ceremony)
	}
	entry := b.prepared(custody.DestinationChangeIntent, "ann", object{"action": "PUT", "destination": object{
		"kind": "ALLOWLISTED", "network": regtest, "address": stranger, "country": "CH",
	}}).Body.(*custody.DestinationChange).Destination
	if entry.ID.Time() != b.Now {
		t.Errorf("destination: %+v", entry)
	}
	transfer, _ := b.submitted(custody.TransferIntent, "ida", b.pay("60000000"))
	repair := b.prepared(custody.CancelIntent, "tom", object{"intent": transfer.ID.String(), "feeLimit": "9"})
	if repair.Domain != "treasury" {
		t.Errorf("cancel in domain %s", repair.Domain)
	}
}

func TestPrepareTakesDomainAndTime(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	send := func(extra object) call {
		body := object{"type": "TRANSFER", "initiator": b.People["ida"].ID.String(), "body": b.pay("5000")}
		maps.Copy(body, extra)
		return call{method: "POST", path: "/v1/intents:prepare", body: encode(t, body)}
	}
	var got api.PreparedIntent
	b.ok(send(object{"domain": "treasury", "expiresIn": 604800}), 200, &got)
	if in, err := custody.ParseIntent([]byte(got.Bytes)); err != nil || in.Expires != in.Created.Add(7*custody.Day) {
		t.Errorf("%s: %v", got.Bytes, err)
	}
	if p := b.refused(send(object{"domain": "retail"}), 400, api.Invalid); p.Violations[0].Field != "domain" {
		t.Errorf("%+v", p)
	}
	var answer api.PreparedIntent
	b.ok(call{method: "POST", path: "/v1/intents:prepare", body: encode(t, object{
		"type": "VAULT_CREATE", "domain": "retail/asia", "initiator": b.People["ann"].ID.String(), "body": object{"vault": object{"purpose": "RETAIL"}},
	})}, 200, &answer)
	if in, err := custody.ParseIntent([]byte(answer.Bytes)); err != nil || in.Domain != "retail/asia" || in.Body.(*custody.VaultCreate).Vault.Domain != "retail/asia" {
		t.Errorf("%s: %v", answer.Bytes, err)
	}
}

// TestRecovery has an intent of a recovery key, who is no person.
func TestRecovery(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	key := b.Recovery[0]
	var got api.PreparedIntent
	b.ok(call{method: "POST", path: "/v1/intents:prepare", body: encode(t, object{
		"type": "CREDENTIAL_CHANGE", "initiator": key.ID.String(), "body": object{"action": "REMOVE", "credential": b.People["ann"].Credential},
	})}, 200, &got)
	in, err := custody.ParseIntent([]byte(got.Bytes))
	if err != nil || in.Institution != "bank" || in.Initiator != key.ID {
		t.Errorf("%s: %v", got.Bytes, err)
	}
}

func TestPrepareRefuses(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	without := func(member string) object {
		body := b.pay("5000")
		delete(body, member)
		return body
	}
	with := func(member string, value any) object {
		body := b.pay("5000")
		body[member] = value
		return body
	}
	other := b.key.String() // an id of nothing that is asked for
	for name, c := range map[string]struct {
		kind      custody.IntentType
		initiator string
		body      object
		code      api.Code
		field     string
	}{
		"no amount":              {custody.TransferIntent, "ida", without("amount"), api.Invalid, "body.amount"},
		"no fee limit":           {custody.TransferIntent, "ida", without("feeLimit"), api.Invalid, "body.feeLimit"},
		"no wallet":              {custody.TransferIntent, "ida", without("wallet"), api.NotFound, "body.wallet"},
		"no destination":         {custody.TransferIntent, "ida", without("destination"), api.Invalid, "body.destination.address"},
		"wallet on no record":    {custody.TransferIntent, "ida", with("wallet", other), api.NotFound, "body.wallet"},
		"wallet is no text":      {custody.TransferIntent, "ida", with("wallet", 5), api.Invalid, "body.wallet"},
		"wallet is no id":        {custody.TransferIntent, "ida", with("wallet", "hot"), api.Invalid, "body.wallet"},
		"amount is a number":     {custody.TransferIntent, "ida", with("amount", 5), api.Invalid, "body.amount"},
		"amount of nothing":      {custody.TransferIntent, "ida", with("amount", "0"), api.Invalid, "body.amount"},
		"amount with a decimal":  {custody.TransferIntent, "ida", with("amount", "0.5"), api.Invalid, "body.amount"},
		"asset of another chain": {custody.TransferIntent, "ida", with("asset", "eip155:1/slip44:60"), api.Invalid, "body.asset"},
		"unknown member":         {custody.TransferIntent, "ida", with("note", "x"), api.Invalid, "body.note"},
		"no such destination":    {custody.TransferIntent, "ida", with("destination", object{"destination": other}), api.NotFound, "body.destination.destination"},
		"no such wallet to pay":  {custody.TransferIntent, "ida", with("destination", object{"wallet": other}), api.NotFound, "body.destination.wallet"},
		"no address there yet":   {custody.TransferIntent, "ida", with("destination", object{"wallet": b.cold.String(), "index": 9}), api.NotFound, "body.destination.index"},
		"index is no number":     {custody.TransferIntent, "ida", with("destination", object{"wallet": b.cold.String(), "index": -1}), api.Invalid, "body.destination.index"},
		"destination is a list":  {custody.TransferIntent, "ida", with("destination", []int{}), api.Invalid, "body.destination"},
		"nothing to cancel":      {custody.CancelIntent, "ida", object{"feeLimit": "1"}, api.NotFound, "body.intent"},
		"no such intent":         {custody.SpeedUpIntent, "ida", object{"intent": other, "feeLimit": "1"}, api.NotFound, "body.intent"},
		"no vault for a wallet":  {custody.WalletCreateIntent, "ann", object{"wallet": object{"network": regtest, "key": other}}, api.NotFound, "body.wallet.vault"},
		"no purpose of a vault":  {custody.VaultCreateIntent, "ann", object{}, api.Invalid, "body.vault.purpose"},
		"no ceremony":            {custody.KeyCeremonyIntent, "ann", object{}, api.Invalid, "body.ceremony"},
		"members are no list":    {custody.KeyCeremonyIntent, "ann", object{"ceremony": "KEYGEN", "signerSet": object{"members": 5}}, api.Invalid, "body.signerSet.members"},
		"policy that is none":    {custody.PolicyChangeIntent, "ann", object{"policy": 5}, api.Invalid, "body.policy"},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.with(t)
			status := map[api.Code]int{api.Invalid: 400, api.NotFound: 404}[c.code]
			for _, path := range []string{"/v1/intents:prepare", "/v1/intents:simulate"} {
				p := b.refused(call{method: "POST", path: path, body: b.asked(c.kind, c.initiator, c.body)}, status, c.code)
				if len(p.Violations) != 1 || p.Violations[0].Field != c.field {
					t.Errorf("%+v", p)
				}
			}
		})
	}
	body := encode(t, object{"type": "FREEZE", "initiator": other, "body": object{"target": object{"all": true}}})
	if p := b.refused(call{method: "POST", path: "/v1/intents:prepare", body: body}, 404, api.NotFound); p.Violations[0].Field != "initiator" {
		t.Errorf("%+v", p)
	}
	if b.store.Size() != b.Tree.Size() {
		t.Error("something is on record")
	}
}

func TestSimulate(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	oneTime := func(country string) object {
		body := b.pay("5000")
		body["destination"] = object{"kind": "ONE_TIME", "address": stranger, "country": country}
		return body
	}
	for name, c := range map[string]struct {
		body          object
		outcome, rule string
		missing       []string
	}{
		"goes at once": {b.pay("50000000"), "ALLOWED", "small", nil},
		"needs people": {b.pay("50000001"), "PENDING", "large", []string{"2 of treasury"}},
		"is blocked":   {oneTime("KP"), "BLOCKED", "restricted", nil},
	} {
		var d api.Decision
		b.ok(call{method: "POST", path: "/v1/intents:simulate", body: b.asked(custody.TransferIntent, "ida", c.body)}, 200, &d)
		if d.Outcome != c.outcome || d.Rule != c.rule || d.PolicyVersion != 7 || d.Policy != b.State.PolicyInForce().Hash().String() {
			t.Errorf("%s: %+v", name, d)
		}
		if !slices.ContainsFunc(d.Trail, func(m api.Match) bool { return m.Rule == c.rule && m.Certain }) {
			t.Errorf("%s: the trail lacks the rule: %+v", name, d.Trail)
		}
		if c.missing != nil && (len(d.Ways) != 1 || !slices.Equal(d.Ways[0].Missing, c.missing) || d.Ways[0].People[0] != (api.People{Group: "treasury", Count: 2})) {
			t.Errorf("%s: %+v", name, d.Ways)
		}
	}
	if b.store.Size() != b.Tree.Size() {
		t.Error("something is on record")
	}
	// What can't be submitted at all has no Decision.
	foreign := b.pay("5000")
	foreign["network"] = "bip122:000000000019d6689c085ae165831e93"
	foreign["asset"] = "bip122:000000000019d6689c085ae165831e93/slip44:0"
	b.refused(call{method: "POST", path: "/v1/intents:simulate", body: b.asked(custody.TransferIntent, "ida", foreign)}, 400, api.Invalid)
}

func TestSubmitAndApprove(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	in, got := b.submitted(custody.TransferIntent, "ida", b.pay("60000000"))
	if got.State != "PENDING_APPROVAL" || got.Bytes != string(in.Raw) || got.Digest != in.Digest(b.Charter.Hash()).String() || got.Decision == nil ||
		got.Decision.Rule != "large" || len(got.Approvals) != 0 || got.Opened != nil || got.Witnessed || len(got.Entries) != 1 {
		t.Errorf("submitted: %+v", got)
	}
	// Somebody who isn't asked is heard, and nothing follows.
	var heard api.Intent
	b.ok(b.approval("rob", in, custody.Yes), 202, &heard)
	if heard.State != "PENDING_APPROVAL" || len(heard.Approvals) != 1 || heard.Approvals[0].Person != b.People["rob"].ID.String() || heard.Decision.Ways[0].People[0].Count != 2 {
		t.Errorf("an approval without standing: %+v", heard)
	}
	b.ok(b.approval("tom", in, custody.Yes), 202, &heard)
	if len(heard.Approvals) != 2 || heard.Decision.Ways[0].People[0].Count != 1 || heard.Decision.Ways[0].Missing[0] != "1 of treasury" {
		t.Errorf("the first approval: %+v", heard)
	}
	b.refused(b.approval("tom", in, custody.Yes), 409, api.Conflict)
	b.ok(b.approval("una", in, custody.Yes), 202, &heard)
	if heard.Decision.Outcome != "ALLOWED" {
		t.Errorf("the second approval: %+v", heard)
	}
	b.pull()
	b.Must(b.Authorize(in))
	b.push()
	b.witness()
	shown := read[api.Intent](b, "/v1/intents/"+in.ID.String())
	if shown.State != "AUTHORIZED" || shown.Opened == nil || shown.Opened.Rule != "large" || shown.Opened.Index != b.Tree.Size()-1 || !shown.Witnessed || shown.Decision != nil {
		t.Errorf("authorized: %+v", shown)
	}
	// Every person's word stands until the end.
	refused, _ := b.submitted(custody.TransferIntent, "ida", b.pay("60000000"))
	b.ok(b.approval("vic", refused, custody.No), 202, &heard)
	if heard.State != "REJECTED" || heard.Reason != "rejected" || heard.Approvals[0].Verdict != "NO" {
		t.Errorf("rejected: %+v", heard)
	}
	b.refused(b.approval("tom", refused, custody.Yes), 409, api.Conflict)
	withdrawn, _ := b.submitted(custody.TransferIntent, "ida", b.pay("60000000"))
	b.ok(b.approval("ida", withdrawn, custody.No), 202, &heard)
	if heard.State != "CANCELLED" || heard.Reason != "withdrawn" {
		t.Errorf("withdrawn: %+v", heard)
	}
}

func TestBlockedByPolicyNamesTheRule(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	body := b.pay("5000")
	body["destination"] = object{"kind": "ONE_TIME", "address": stranger, "country": "IR"}
	in, got := b.submitted(custody.TransferIntent, "ida", body)
	if got.State != "BLOCKED" || got.Rule != "restricted" || got.Reason != "rule restricted" {
		t.Errorf("%+v", got)
	}
	if shown := read[api.Transfer](b, "/v1/transfers/"+in.ID.String()); shown.State != "BLOCKED" || shown.Rule != "restricted" {
		t.Errorf("%+v", shown)
	}
	p := b.refused(b.approval("tom", in, custody.Yes), 409, api.Conflict)
	if p.Rule != "restricted" || p.PolicyVersion != 7 {
		t.Errorf("%+v", p)
	}
}

func TestSubmitRefuses(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	post := func(body string) call { return call{method: "POST", path: "/v1/intents", body: body} }
	in := b.prepared(custody.TransferIntent, "ida", b.pay("5000"))
	// by writes the intent anew with something else in it.
	by := func(edit func(*custody.Intent)) *custody.Intent {
		t.Helper()
		changed := *in
		edit(&changed)
		out, err := custody.NewIntent(changed)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	outsider := b.NewPerson("eve", false)
	b.People["eve"] = outsider
	fromEve := by(func(in *custody.Intent) { in.Initiator = outsider.ID })
	short := by(func(in *custody.Intent) { in.Expires = in.Created + 1 })
	for name, c := range map[string]struct {
		body   string
		status int
		code   api.Code
	}{
		"verdict of another kind":   {encode(t, api.SubmitRequest{Bytes: string(in.Raw), Evidence: b.signature("ida", in, custody.Yes)}), 401, api.Unauthenticated},
		"signature of other bytes":  {encode(t, api.SubmitRequest{Bytes: string(in.Raw), Evidence: b.signature("ida", short, custody.Submit)}), 401, api.Unauthenticated},
		"not the initiator":         {b.submission("tom", in, "x"), 401, api.Unauthenticated},
		"a credential on no record": {b.submission("eve", in, "x"), 401, api.Unauthenticated},
		"an initiator on no record": {b.submission("eve", fromEve, "x"), 401, api.Unauthenticated},
		"bytes that aren't canonical": {
			encode(t, api.SubmitRequest{Bytes: strings.Replace(string(in.Raw), "{", "{ ", 1), Evidence: b.signature("ida", in, custody.Submit)}), 400, api.Invalid,
		},
		"bytes with something behind": {
			encode(t, api.SubmitRequest{Bytes: string(in.Raw) + " ", Evidence: b.signature("ida", in, custody.Submit)}), 400, api.Invalid,
		},
		"evidence without a signature": {
			encode(t, api.SubmitRequest{Bytes: string(in.Raw), Evidence: api.Evidence{Kind: "DEVICE", Credential: b.signature("ida", in, custody.Submit).Credential}}), 401, api.Unauthenticated,
		},
		"another institution": {b.submission("ida", by(func(in *custody.Intent) { in.Institution = "other" }), "x"), 400, api.Invalid},
		"another domain":      {b.submission("ida", by(func(in *custody.Intent) { in.Domain = "retail" }), "x"), 400, api.Invalid},
		"an id of another time": {
			b.submission("ida", by(func(in *custody.Intent) { in.ID = statetest.NewID[custody.Intent](in.Created-1, 5) }), "x"), 400, api.Invalid,
		},
		"made in the future": {b.submission("ida", by(func(in *custody.Intent) {
			in.Created = in.Created.Add(custody.Hour)
			in.ID = statetest.NewID[custody.Intent](in.Created, 5)
		}), "x"), 400, api.Invalid},
		"living too long":                 {b.submission("ida", by(func(in *custody.Intent) { in.Expires = in.Created.Add(8 * custody.Day) }), "x"), 400, api.Invalid},
		"an external id that is too long": {b.submission("ida", in, strings.Repeat("x", 129)), 400, api.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.with(t)
			before := b.store.Size()
			b.refused(post(c.body), c.status, c.code)
			if b.store.Size() != before {
				t.Error("it is on record")
			}
		})
	}
	b.pass(1)
	b.refused(post(b.submission("ida", short, "x")), 400, api.Invalid) // expired
	var got api.Intent
	b.ok(post(b.submission("ida", in, "order-1")), 202, &got)
	if got.ExternalID != "order-1" {
		t.Errorf("%+v", got)
	}
	b.refused(post(b.submission("ida", in, "order-1")), 409, api.Conflict) // again, without a key
	next := b.prepared(custody.TransferIntent, "ida", b.pay("5000"))
	p := b.refused(post(b.submission("ida", next, "order-1")), 409, api.Conflict)
	if p.Violations[0].Field != "externalId" {
		t.Errorf("%+v", p)
	}
	b.refused(call{method: "GET", path: "/v1/intents/" + next.ID.String()}, 404, api.NotFound)
	b.refused(b.approval("tom", next, custody.Yes), 404, api.NotFound)
	b.pass(2 * custody.Day)
	b.refused(b.approval("tom", in, custody.Yes), 400, api.Invalid)
	if got := read[api.Intent](b, "/v1/intents/"+in.ID.String()); got.State != "EXPIRED" {
		t.Errorf("%+v", got)
	}
}

// slow is a desk whose next call waits until it is let go on.
type slow struct {
	server.Desk

	entered, letGo chan struct{}
	calls          atomic.Int32
}

func (s *slow) Submit(ctx context.Context, raw []byte, e custody.Evidence, external string) (custody.ID[custody.Intent], error) {
	if s.calls.Add(1) == 1 {
		close(s.entered)
		<-s.letGo
	}
	return s.Desk.Submit(ctx, raw, e, external)
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	desk := &slow{entered: make(chan struct{}), letGo: make(chan struct{})}
	b := newBank(t, func(c *server.Config) { desk.Desk, c.Desk = c.Desk, desk })
	in := b.prepared(custody.TransferIntent, "ida", b.pay("60000000"))
	other := b.prepared(custody.TransferIntent, "ida", b.pay("60000000"))
	under := func(key string, in *custody.Intent) call {
		return call{method: "POST", path: "/v1/intents", body: b.submission("ida", in, "order of "+in.ID.String()), header: map[string]string{"Idempotency-Key": key}}
	}
	first := under("one", in) // signatures may differ from call to call
	before := b.store.Size()
	done := make(chan []byte)
	go func() {
		got := b.send(first)
		if got.status != http.StatusAccepted {
			t.Errorf("%d %s", got.status, got.body)
		}
		done <- got.body
	}()
	<-desk.entered
	b.refused(first, 409, api.Conflict) // in flight
	b.refused(under("one", other), 422, api.Denied)
	close(desk.letGo)
	answered := <-done
	for range 2 {
		got := b.send(first)
		if got.status != http.StatusAccepted || string(got.body) != string(answered) || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("again: %d %s, at first %s", got.status, got.body, answered)
		}
	}
	if b.store.Size() != before+1 || desk.calls.Load() != 1 {
		t.Errorf("%d entries, %d calls", b.store.Size()-before, desk.calls.Load())
	}
	p := b.refused(under("one", other), 422, api.Denied)
	if p.Detail == "" {
		t.Errorf("%+v", p)
	}
	// A call that was refused has used nothing.
	spoilt := under("two", other)
	spoilt.body = strings.Replace(spoilt.body, `"signature":"`, `"signature":"AAAA`, 1)
	b.refused(spoilt, 401, api.Unauthenticated)
	b.ok(under("two", other), 202, nil)
	// Nor has one that breaks a rule of form.
	bad := call{method: "POST", path: "/v1/intents", body: "{}", header: map[string]string{"Idempotency-Key": "three"}}
	b.refused(bad, 400, api.Invalid)
	third := b.prepared(custody.TransferIntent, "ida", b.pay("60000000"))
	b.ok(under("three", third), 202, nil)
	// A key belongs to one path.
	approval := b.approval("tom", third, custody.Yes)
	approval.header = map[string]string{"Idempotency-Key": "three"}
	b.refused(approval, 422, api.Denied)
	approval.header = map[string]string{"Idempotency-Key": "four"}
	b.ok(approval, 202, nil)
	b.ok(approval, 202, nil)
	// Addresses have no body.
	address := call{method: "POST", path: "/v1/wallets/" + b.hot.String() + "/addresses", header: map[string]string{"Idempotency-Key": "five"}}
	var a, again, next api.Address
	b.ok(address, 201, &a)
	b.ok(address, 201, &again)
	address.header = map[string]string{"Idempotency-Key": "six"}
	b.ok(address, 201, &next)
	if a != again || next.Index != a.Index+1 {
		t.Errorf("%+v, again %+v, next %+v", a, again, next)
	}
	// After a day a key is free.
	b.pass(custody.Day)
	address.header = map[string]string{"Idempotency-Key": "five"}
	b.ok(address, 201, &next)
	if next.Index != a.Index+2 {
		t.Errorf("after a day: %+v", next)
	}
}

// defect is a desk that isn't there when it is asked.
type defect struct{ server.Desk }

func TestDefect(t *testing.T) {
	t.Parallel()
	b := newBank(t, func(c *server.Config) { c.Desk = &defect{} })
	address := call{method: "POST", path: "/v1/wallets/" + b.hot.String() + "/addresses", header: map[string]string{"Idempotency-Key": "k"}}
	for range 2 { // the second time, the key is free again
		p := b.refused(address, 500, api.Internal)
		if p.Detail != "" || !strings.Contains(b.log.String(), p.RequestID) || !strings.Contains(b.log.String(), "nil pointer") {
			t.Errorf("%+v", p)
		}
	}
}

// TestUnavailable has calls that what they need doesn't answer.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	b := newBank(t, func(c *server.Config) { c.Desk = &down{} })
	p := b.refused(call{method: "POST", path: "/v1/wallets/" + b.hot.String() + "/addresses"}, 503, api.Unavailable)
	if p.Detail != "the nodes don't answer" {
		t.Errorf("%+v", p)
	}
	p = b.refused(b.approval("tom", b.prepared(custody.TransferIntent, "ida", b.pay("5000")), custody.Yes), 503, api.Unavailable)
	if p.Detail != "" {
		t.Errorf("%+v", p)
	}
}

// down is a desk that can't work.
type down struct{ server.Desk }

func (*down) NewAddress(context.Context, custody.ID[custody.Wallet]) (uint32, custody.Address, error) {
	return 0, "", &custody.Error{Code: custody.Unavailable, Message: "the nodes don't answer"}
}

func (*down) Approve(context.Context, custody.ID[custody.Intent], custody.Approval) error {
	return context.DeadlineExceeded
}
