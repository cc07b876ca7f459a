package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/chains"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/server"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/internal/store"
)

func TestRecords(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	vaults := read[api.Page[api.Vault]](b, "/v1/vaults")
	if want := (api.Vault{ID: b.vault.String(), Institution: "bank", Domain: "treasury", Purpose: "TREASURY"}); len(vaults.Data) != 1 || vaults.Data[0] != want {
		t.Errorf("vaults: %+v", vaults)
	}
	if got := read[api.Page[api.Wallet]](b, "/v1/wallets"); len(got.Data) != 2 || got.Data[1].Path != 1 || got.Data[0].Balance != nil || got.NextCursor != "" {
		t.Errorf("wallets: %+v", got)
	}
	keys := read[api.Page[api.Key]](b, "/v1/keys")
	if len(keys.Data) != 1 || keys.Data[0].ChainCode != "" || keys.Data[0].SignerSet.Threshold != 2 || len(keys.Data[0].SignerSet.Members) != 3 {
		t.Errorf("keys: %+v", keys)
	}
	if got := read[api.Key](b, "/v1/keys/"+b.key.String()); got.ChainCode != b.code.String() || got.Commitment == got.ChainCode {
		t.Errorf("key: %+v", got)
	}
	nodes := read[api.Page[api.Node]](b, "/v1/nodes").Data
	if len(nodes) != 3 || !nodes[0].Reachable || nodes[0].Size != 3 || *nodes[0].LastSeen != statetest.Start.Time() || nodes[1].Reachable || nodes[1].LastSeen != nil {
		t.Errorf("nodes: %+v", nodes)
	}
	if got := read[api.Page[api.Person]](b, "/v1/persons").Data; len(got) != 9 || !slices.Equal(got[0].Groups, []string{"administrators"}) || got[8].Kind != "HUMAN" || len(got[8].Groups) != 0 {
		t.Errorf("persons: %+v", got)
	}
	if got := read[api.Page[api.Group]](b, "/v1/groups").Data; len(got) != 3 || got[2].ID != "treasury" || len(got[2].Members) != 3 {
		t.Errorf("groups: %+v", got)
	}
	if got := read[api.Page[api.Destination]](b, "/v1/destinations").Data; len(got) != 1 || got[0].Address != string(friend) || got[0].Country != "CH" {
		t.Errorf("destinations: %+v", got)
	}
	policy := read[api.Policy](b, "/v1/policy")
	if policy.Hash != b.State.PolicyInForce().Hash().String() || policy.Version != 7 || !strings.Contains(policy.Text, "rule restricted") {
		t.Errorf("policy: %+v", policy)
	}
	if raw, err := custody.Canonicalize(policy.Policy); err != nil || !bytes.Equal(raw, b.Charter.Policy) {
		t.Errorf("the compiled policy isn't the one in force: %v", err)
	}
	if got := read[api.Health](b, "/v1/health"); got != (api.Health{Status: "ok", JournalSize: b.Tree.Size(), WitnessedSize: b.Tree.Size()}) {
		t.Errorf("health: %+v", got)
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	b.submitted(custody.TransferIntent, "ida", b.pay("5000"))
	b.pull()
	head := read[api.Head](b, "/v1/journal/head")
	if head.Size != b.Tree.Size()-1 || head.JournalSize != b.Tree.Size() {
		t.Errorf("head of %d of %d", head.Size, head.JournalSize)
	}
	if checked, err := b.State.CheckHead([]byte(head.Note)); err != nil || checked.Size != head.Size {
		t.Errorf("the head doesn't verify: %v", err)
	}
	var got [][]byte
	for path := "/v1/journal/entries?limit=5"; path != ""; {
		page := read[api.Page[api.Entry]](b, path)
		for _, e := range page.Data {
			if e.Index != int64(len(got)) || e.Witnessed != (e.Index < head.Size) {
				t.Errorf("entry %d: index %d, witnessed %v", len(got), e.Index, e.Witnessed)
			}
			got = append(got, []byte(e.Entry))
		}
		if path = ""; page.NextCursor != "" {
			path = "/v1/journal/entries?limit=5&cursor=" + page.NextCursor
		}
	}
	if !slices.EqualFunc(got, b.Entries, bytes.Equal) {
		t.Errorf("%d entries, want the %d of the journal", len(got), len(b.Entries))
	}
	from := read[api.Page[api.Entry]](b, fmt.Sprintf("/v1/journal/entries?from=%d", len(got)-1))
	if len(from.Data) != 1 || from.Data[0].Entry != string(got[len(got)-1]) || from.NextCursor != "" {
		t.Errorf("the last entry: %+v", from)
	}
	if beyond := read[api.Page[api.Entry]](b, "/v1/journal/entries?from=100000"); len(beyond.Data) != 0 {
		t.Errorf("behind the newest: %+v", beyond)
	}
}

func TestGovernance(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	fetch := func() ([]byte, *state.State) {
		t.Helper()
		got := b.send(call{method: "GET", path: "/v1/journal/governance"})
		if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/json" {
			t.Fatalf("%d %s", got.status, got.body)
		}
		s, err := state.VerifyGovernance(got.body, state.Trust{Charter: b.Charter.Hash()})
		if err != nil {
			t.Fatal(err)
		}
		return got.body, s
	}
	first, s := fetch()
	if s.Wallet(b.hot) == nil || s.Key(b.key) == nil {
		t.Error("the evidence lacks the wallet or its key")
	}
	b.submitted(custody.TransferIntent, "ida", b.pay("5000"))
	b.witness()
	if again, _ := fetch(); !bytes.Equal(first, again) {
		t.Error("collected anew although the chain is the same")
	}
	in, _ := b.submitted(custody.VaultCreateIntent, "ann", map[string]any{"vault": map[string]any{"purpose": "RETAIL"}})
	newer, _ := fetch()
	if again, _ := fetch(); !bytes.Equal(newer, again) {
		t.Error("collected anew under the same head")
	}
	b.ok(b.approval("ben", in, custody.Yes), 202, nil)
	b.ok(b.approval("cas", in, custody.Yes), 202, nil)
	b.pull()
	b.Must(b.Authorize(in))
	b.push()
	b.witness()
	if _, s := fetch(); len(s.VaultList()) != 2 {
		t.Error("the evidence lacks the new vault")
	}
}

func TestNoHeadYet(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	other, err := store.Open(t.Context(), t.TempDir()+"/other.db", b.Charter.Hash(), b.config.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	cfg := b.config
	cfg.Store = other
	b.serve(cfg)
	b.refused(call{method: "GET", path: "/v1/journal/governance"}, 503, api.Unavailable)
	if got := read[api.Head](b, "/v1/journal/head"); got != (api.Head{}) {
		t.Errorf("head: %+v", got)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	var want []string
	for i := range 7 {
		in, _ := b.submitted(custody.TransferIntent, "ida", b.pay(strconv.Itoa(60_000_000+i)))
		want = append([]string{in.ID.String()}, want...)
	}
	ida := b.People["ida"].ID.String()
	var got []string
	cursor := ""
	for {
		page := read[api.Page[api.Intent]](b, "/v1/intents?limit=3&type=TRANSFER&state=PENDING_APPROVAL&initiator="+ida+"&cursor="+cursor)
		for _, in := range page.Data {
			got = append(got, in.ID)
		}
		if len(got) == 3 { // what comes in meanwhile moves no page
			b.submitted(custody.TransferIntent, "ida", b.pay("70000000"))
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("intents %q, want %q", got, want)
	}
	if got := read[api.Page[api.Transfer]](b, "/v1/transfers?limit=2&initiator="+ida); len(got.Data) != 2 || got.NextCursor == "" {
		t.Errorf("transfers: %+v", got)
	}
	if got := read[api.Page[api.Intent]](b, "/v1/intents?state=BLOCKED"); len(got.Data) != 0 {
		t.Errorf("blocked: %+v", got)
	}
	if got := read[api.Page[api.Intent]](b, "/v1/intents?type=WALLET_CREATE&state=EXECUTED"); len(got.Data) != 2 {
		t.Errorf("%d wallets were made", len(got.Data))
	}
	var persons []string
	cursor = ""
	for {
		page := read[api.Page[api.Person]](b, "/v1/persons?limit=4&cursor="+cursor)
		for _, p := range page.Data {
			persons = append(persons, p.ID)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if len(persons) != 9 || !slices.IsSorted(persons) || len(slices.Compact(persons)) != 9 {
		t.Errorf("persons: %q", persons)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	family, err := chains.For(regtest)
	if err != nil {
		t.Fatal(err)
	}
	path := "/v1/wallets/" + b.cold.String() + "/addresses"
	var given []string
	for i := range uint32(3) {
		want, err := family.Address(chain.Account{
			Network: regtest, Scheme: custody.BIP340Secp256k1, PublicKey: b.State.Key(b.key).PublicKey, ChainCode: b.code, Path: 1,
		}, 0, i)
		if err != nil {
			t.Fatal(err)
		}
		var got api.Address
		b.ok(call{method: "POST", path: path}, 201, &got)
		if got.Address != string(want) || got.Index != i || got.Path != fmt.Sprintf("m/1/0/%d", i) {
			t.Errorf("%+v, want %s", got, want)
		}
		given = append(given, got.Address)
	}
	list := read[api.Page[api.Address]](b, path+"?limit=2")
	rest := read[api.Page[api.Address]](b, path+"?limit=2&cursor="+list.NextCursor)
	for i, a := range slices.Concat(list.Data, rest.Data) {
		if a.Address != given[i] || a.Created == nil {
			t.Errorf("%d: %+v", i, a)
		}
	}
	if len(list.Data)+len(rest.Data) != 3 || rest.NextCursor != "" {
		t.Errorf("%d and %d addresses", len(list.Data), len(rest.Data))
	}
}

// TestMoney follows a transfer and a deposit through what the store has of them.
func TestMoney(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	var address api.Address
	b.ok(call{method: "POST", path: "/v1/wallets/" + b.hot.String() + "/addresses"}, 201, &address)
	in, _ := b.submitted(custody.TransferIntent, "ida", b.pay("30000000"))
	b.pull()
	b.Must(b.Authorize(in))
	funding, paying := custody.Hash(sha256.Sum256([]byte("funding"))), custody.Hash(sha256.Sum256([]byte("paying")))
	outpoint := custody.Outpoint(funding.String() + ":1")
	prepared := b.Must(b.Prepare(in, 900, custody.Claim{Outpoint: outpoint}))
	b.push()
	b.advance(func(tx *store.Tx) error {
		block := store.Block{Network: regtest, Height: 100, Hash: custody.Hash{1}}
		return errors.Join(
			tx.AddBlock(block),
			tx.AddCoin(store.Coin{Network: regtest, Outpoint: outpoint, Wallet: b.hot, Amount: custody.NewAmount(40_000_000), Height: 100}),
			tx.AddCoin(store.Coin{Network: regtest, Outpoint: custody.Outpoint(funding.String() + ":2"), Wallet: b.hot, Amount: custody.NewAmount(7)}),
			tx.AddBlock(store.Block{Network: regtest, Height: 101, Hash: custody.Hash{2}}),
			tx.PutTransaction(prepared.Leaf, regtest, []byte("psbt")),
		)
	})
	wallet := read[api.Wallet](b, "/v1/wallets/"+b.hot.String())
	if want := (api.Balance{
		Confirmed: api.Amount{Units: "40000000", Decimal: "0.4", Asset: string(coin)}, Unconfirmed: api.Amount{Units: "7", Decimal: "0.00000007", Asset: string(coin)},
	}); *wallet.Balance != want {
		t.Errorf("balance: %+v", *wallet.Balance)
	}
	deposits := read[api.Page[api.Deposit]](b, "/v1/wallets/"+b.hot.String()+"/deposits").Data
	if len(deposits) != 2 || deposits[0].Height != nil || deposits[0].State != "DETECTED" || deposits[0].Depth != 0 ||
		deposits[1].Transaction != funding.String() || deposits[1].Output != 1 || *deposits[1].Height != 100 || deposits[1].Depth != 2 || deposits[1].State != "CONFIRMING" {
		t.Errorf("deposits: %+v", deposits)
	}
	got := read[api.Transfer](b, "/v1/transfers/"+in.ID.String())
	if got.State != "EXECUTING" || got.Opened == nil || got.Opened.Rule != "small" || got.Witnessed ||
		got.Amount != (api.Amount{Units: "30000000", Decimal: "0.3", Asset: string(coin)}) || got.FeeLimit.Decimal != "0.00001" ||
		got.Destination != (api.Recipient{Kind: "ALLOWLISTED", Address: string(friend), Destination: b.destination.String()}) {
		t.Errorf("transfer: %+v", got)
	}
	if len(got.Transactions) != 1 || got.Transactions[0].Leaf != prepared.Leaf.String() || got.Transactions[0].Index != prepared.Index ||
		got.Transactions[0].Fee.Units != "900" || got.Transactions[0].Transaction != "" || got.Transactions[0].State != "PREPARED" {
		t.Errorf("transactions: %+v", got.Transactions)
	}
	signed := b.Must(b.SignedBy(in, prepared.Leaf, custody.Hash{7}, make([]byte, 64), "node-a", "node-c"))
	b.push()
	b.advance(func(tx *store.Tx) error {
		return errors.Join(
			tx.SetSigned(prepared.Leaf, []byte("raw"), paying),
			tx.AddBlock(store.Block{Network: regtest, Height: 102, Hash: custody.Hash{3}}),
			tx.SetMined(prepared.Leaf, 102),
			tx.AddBlock(store.Block{Network: regtest, Height: 103, Hash: custody.Hash{4}}),
		)
	})
	b.witness()
	got = read[api.Transfer](b, "/v1/transfers/"+in.ID.String())
	mined := got.Transactions[0]
	if !got.Witnessed || mined.Transaction != paying.String() || *mined.Height != 102 || mined.Block != (custody.Hash{3}).String() || mined.Depth != 2 {
		t.Errorf("mined: %+v", got)
	}
	shown := read[api.Intent](b, "/v1/intents/"+in.ID.String())
	if n := len(shown.Entries); n != 4 || shown.Entries[n-1].Type != "SIGNED" || shown.Entries[n-1].Index != signed.Index {
		t.Errorf("entries: %+v", shown.Entries)
	}
	vault, _ := b.submitted(custody.VaultCreateIntent, "ann", map[string]any{"vault": map[string]any{"purpose": "RETAIL"}})
	b.refused(call{method: "GET", path: "/v1/transfers/" + vault.ID.String()}, 404, api.NotFound)
}

func TestEvidence(t *testing.T) {
	t.Parallel()
	b := newBank(t, func(c *server.Config) {
		fault := c.Evidence
		c.Evidence = func(ctx context.Context, id custody.ID[custody.Intent]) ([]byte, error) {
			if id.Time() == statetest.Start { // the first intents
				return fault(ctx, id)
			}
			return []byte(`{"intent":"` + id.String() + `"}`), nil
		}
	})
	first, _ := b.submitted(custody.TransferIntent, "ida", b.pay("5000"))
	b.pass(custody.Minute)
	second, _ := b.submitted(custody.TransferIntent, "ida", b.pay("5000"))
	got := b.send(call{method: "GET", path: "/v1/intents/" + second.ID.String() + "/evidence"})
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/json" || string(got.body) != `{"intent":"`+second.ID.String()+`"}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	// A fault of ours is told to the log, not to the caller.
	p := b.refused(call{method: "GET", path: "/v1/intents/" + first.ID.String() + "/evidence"}, 500, api.Internal)
	if p.Detail != "" || len(p.Violations) != 0 {
		t.Errorf("%+v", p)
	}
	if log := b.log.String(); !strings.Contains(log, errEvidence.Error()) || !strings.Contains(log, p.RequestID) {
		t.Error("the log doesn't have the fault with its request")
	}
}
