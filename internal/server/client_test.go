package server_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/api/client"
	"github.com/cofferhq/coffer/internal/custody"
)

func (b *bank) client() *client.Client {
	return client.New(client.Config{URL: b.url + "/", Token: token, Charter: b.Charter.Hash(), Now: b.config.Now})
}

func (b *bank) request(kind custody.IntentType, initiator string, body object) api.PrepareRequest {
	return api.PrepareRequest{Type: string(kind), Initiator: b.People[initiator].ID.String(), Body: []byte(encode(b.t, body))}
}

// TestClient goes the whole way with the client that trusts nothing.
func TestClient(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	ctx, c := t.Context(), b.client()
	address, proof, err := c.NewAddress(ctx, b.cold)
	if err != nil || proof.Wallet.ID != b.cold || proof.Key.ID != b.key || proof.Path != "m/1/0/0" {
		t.Fatalf("%+v %+v %v", address, proof, err)
	}
	if verified, _, err := c.VerifiedAddress(ctx, b.cold, 0); err != nil || string(verified) != address.Address {
		t.Errorf("%s, want %s: %v", verified, address.Address, err)
	}
	if _, _, err := c.VerifiedAddress(ctx, b.cold, 1); client.Code(err) != custody.NotFound {
		t.Errorf("an address that nobody has: %v", err)
	}
	for name, r := range map[string]api.PrepareRequest{
		"address book": b.request(custody.TransferIntent, "ida", b.pay("60000000")),
		"own wallet": b.request(custody.TransferIntent, "ida", object{
			"wallet": b.hot.String(), "amount": "60000000", "feeLimit": "7", "destination": object{"wallet": b.cold.String()},
		}),
		"vault":       b.request(custody.VaultCreateIntent, "ann", object{"vault": object{"purpose": "RETAIL"}}),
		"wallet":      b.request(custody.WalletCreateIntent, "ann", object{"wallet": object{"vault": b.vault.String(), "network": regtest, "key": b.key.String()}}),
		"key":         b.request(custody.KeyCeremonyIntent, "ann", object{"ceremony": "KEYGEN", "scheme": "BIP340_SECP256K1"}),
		"threshold":   b.request(custody.KeyCeremonyIntent, "ann", object{"ceremony": "KEYGEN", "scheme": "BIP340_SECP256K1", "signerSet": object{"threshold": 3}}),
		"destination": b.request(custody.DestinationChangeIntent, "ann", object{"action": "PUT", "destination": object{"kind": "ALLOWLISTED", "network": regtest, "address": stranger, "country": "CH"}}),
	} {
		initiator := "ida"
		if r.Initiator == b.People["ann"].ID.String() {
			initiator = "ann"
		}
		if _, err := c.Simulate(ctx, r); err != nil {
			t.Errorf("%s: simulate: %v", name, err)
		}
		p, err := c.Prepare(ctx, r)
		if err != nil {
			t.Errorf("%s: prepare: %v", name, err)
			continue
		}
		e := b.Evidence(initiator, p.Submit)
		first, err := c.Submit(ctx, p, e, name)
		if err != nil {
			t.Errorf("%s: submit: %v", name, err)
			continue
		}
		if again, err := c.Submit(ctx, p, e, name); err != nil || again.ID != first.ID {
			t.Errorf("%s: the same again: %v", name, err)
		}
		approver := map[string]string{"ida": "tom", "ann": "ben"}[initiator]
		show, err := c.ForApproval(ctx, p.Intent.ID)
		if err != nil || string(show.Intent.Raw) != string(p.Bytes) || show.Digest != p.Digest {
			t.Errorf("%s: %+v %v", name, show, err)
			continue
		}
		got, err := c.Approve(ctx, p.Intent.ID, custody.Yes, b.Evidence(approver, show.Yes))
		if err != nil || len(got.Approvals) != 1 {
			t.Errorf("%s: approve: %+v %v", name, got, err)
		}
	}
	in, err := c.Prepare(ctx, b.request(custody.TransferIntent, "ida", b.pay("60000000")))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Submit(ctx, in, b.Evidence("tom", in.Submit), "")
	p, ok := errors.AsType[*api.Problem](err)
	if !ok || p.Code != api.Unauthenticated || client.Code(err) != custody.Unauthenticated {
		t.Errorf("%v", err)
	}
	// What the client lists is what the server says.
	transfers, err := c.Transfers(ctx, client.Query{State: custody.PendingApproval})
	if err != nil || len(transfers.Data) != 2 {
		t.Errorf("%+v %v", transfers, err)
	}
	intents, err := c.Intents(ctx, client.Query{Type: custody.VaultCreateIntent, Limit: 1, Initiator: b.People["ann"].ID.String()})
	if err != nil || len(intents.Data) != 1 || intents.NextCursor == "" {
		t.Errorf("%+v %v", intents, err)
	}
	waiting, cancel := context.WithCancel(ctx)
	if _, err := c.Wait(waiting, custody.ID[custody.Intent](b.key), func(*api.Intent) bool { return true }); client.Code(err) != custody.NotFound {
		t.Errorf("%v", err)
	}
	seen := 0
	id := transfers.Data[0].ID
	parsed, err := custody.ParseID[custody.Intent](id)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Wait(waiting, parsed, func(*api.Intent) bool { seen++; return seen == 2 }); err != nil || got.ID != id {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := c.Wait(waiting, parsed, func(*api.Intent) bool { cancel(); return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, _, err := c.VerifiedEvidence(ctx, parsed); client.Code(err) != custody.Internal {
		t.Errorf("%v", err)
	}
	transfer, err := c.Transfer(ctx, parsed)
	if err != nil || transfer.ID != id {
		t.Errorf("%+v %v", transfer, err)
	}
	for name, call := range map[string]func() (int, error){
		"vaults":       func() (int, error) { p, err := c.Vaults(ctx, 1, ""); return len(p.Data), err },
		"wallets":      func() (int, error) { p, err := c.Wallets(ctx, 1, ""); return len(p.Data), err },
		"deposits":     func() (int, error) { p, err := c.Deposits(ctx, b.hot, 0, ""); return len(p.Data) + 1, err },
		"keys":         func() (int, error) { p, err := c.Keys(ctx, 1, ""); return len(p.Data), err },
		"nodes":        func() (int, error) { p, err := c.Nodes(ctx, 1, ""); return len(p.Data), err },
		"persons":      func() (int, error) { p, err := c.Persons(ctx, 1, ""); return len(p.Data), err },
		"groups":       func() (int, error) { p, err := c.Groups(ctx, 1, ""); return len(p.Data), err },
		"destinations": func() (int, error) { p, err := c.Destinations(ctx, 1, ""); return len(p.Data), err },
		"entries":      func() (int, error) { p, err := c.Entries(ctx, 3, 1); return len(p.Data), err },
		"policy":       func() (int, error) { p, err := c.Policy(ctx); return int(p.Version) - 6, err },
		"head":         func() (int, error) { p, err := c.Head(ctx); return min(int(p.Size), 1), err },
		"health":       func() (int, error) { p, err := c.Health(ctx); return min(int(p.JournalSize), 1), err },
		"wallet":       func() (int, error) { w, err := c.Wallet(ctx, b.hot); return min(len(w.ID), 1), err },
	} {
		if n, err := call(); n != 1 || err != nil {
			t.Errorf("%s: %d %v", name, n, err)
		}
	}
	if s, err := c.Governance(ctx); err != nil || !slices.EqualFunc(s.NodeList(), b.State.NodeList(), func(a, b *custody.SignerNode) bool { return a.ID == b.ID }) {
		t.Errorf("%v", err)
	}
}
