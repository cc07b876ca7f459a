package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy/compile"
	"github.com/cofferhq/coffer/internal/state/statetest"
)

var update = flag.Bool("update", false, "write golden files anew")

// TestIntentWords compares what people read before they sign, for every type of intent.
func TestIntentWords(t *testing.T) {
	t.Parallel()
	const golden = "testdata/intentwords.txt"
	var b strings.Builder
	seen := make(map[custody.IntentType]bool)
	for i, c := range wordedIntents(t) {
		in, err := custody.NewIntent(custody.Intent{
			Type: c.kind, ID: statetest.NewID[custody.Intent](statetest.Start, uint64(100+i)), Institution: "bank", Domain: "treasury/europe",
			Created: statetest.Start, Expires: statetest.Start.Add(custody.Day), Initiator: statetest.NewID[custody.Person](statetest.Start, 1), Body: c.body,
		})
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		seen[c.kind] = true
		text, err := intentWords(in, in.Digest(custody.Hash{1}), c.entry)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(text + "\n")
	}
	for _, kind := range custody.IntentTypes() {
		if !seen[kind] {
			t.Errorf("no words of %s", kind)
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("the words differ from %s (run with -update to accept):\n%s", golden, d)
	}
}

type worded struct {
	kind  custody.IntentType
	body  custody.Body
	entry *custody.Destination
}

func wordedIntents(t *testing.T) []worded {
	t.Helper()
	const (
		regtest = custody.Network("bip122:0f9188f13cb7b2c71f2a335e3a4fc328")
		mainnet = custody.Network("bip122:000000000019d6689c085ae165831e93")
		address = custody.Address("bcrt1q6z64a43mjgkcq0ul2znwneq3spghrlau9slefp")
		ether   = custody.Network("eip155:1")
		token   = custody.Address("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48")
	)
	wallet, vault, key := statetest.NewID[custody.Wallet](statetest.Start, 2), statetest.NewID[custody.Vault](statetest.Start, 3), statetest.NewID[custody.Key](statetest.Start, 4)
	person, intent, place := statetest.NewID[custody.Person](statetest.Start, 5), statetest.NewID[custody.Intent](statetest.Start, 6), statetest.NewID[custody.Destination](statetest.Start, 7)
	entry := custody.Destination{ID: place, Kind: custody.Counterparty, Network: regtest, Address: address, Country: "SG", Counterparty: "5493001KJTIIGC8Y1R12", Tags: []custody.Name{"exchange", "otc"}}
	moved := entry
	moved.Address = "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6"
	hybridKey := make(custody.Blob, 32+1312)
	otherKey := append(make(custody.Blob, 32+1311), 1)
	compiled, err := compile.Compile([]byte(countingPolicy), compile.Options{Now: statetest.Start.Time()})
	if err != nil {
		t.Fatal(err)
	}
	pay := func(network custody.Network, coin string, to custody.Recipient, memo custody.Hash) *custody.Transfer {
		return &custody.Transfer{
			Network: network, Wallet: wallet, Asset: custody.Asset(network) + custody.Asset(coin), Amount: custody.NewAmount(30_000_000),
			FeeLimit: custody.NewAmount(10_000), Destination: to, Memo: memo,
		}
	}
	oneTime := custody.Recipient{Kind: custody.OneTime, Address: address, Country: "CH"}
	quorum := custody.WitnessQuorum{Quorum: 3, Liars: 1}
	return []worded{
		{custody.TransferIntent, pay(regtest, "/slip44:1", oneTime, custody.Hash{}), nil},
		{custody.TransferIntent, pay(mainnet, "/slip44:0", custody.Recipient{Kind: custody.OwnWallet, Address: "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", Wallet: wallet, Index: 3}, custody.Hash{7}), nil},
		{custody.TransferIntent, pay(regtest, "/slip44:1", custody.Recipient{Kind: custody.Counterparty, Address: address, Destination: place}, custody.Hash{}), &entry},
		{custody.TransferIntent, pay(regtest, "/slip44:1", custody.Recipient{Kind: custody.Counterparty, Address: address, Destination: place}, custody.Hash{}), &moved},
		{custody.TransferIntent, pay(regtest, "/slip44:1", custody.Recipient{Kind: custody.Allowlisted, Address: address, Destination: place}, custody.Hash{}), nil},
		{custody.TransferIntent, pay(ether, "/erc20:"+string(token), custody.Recipient{Kind: custody.OneTime, Address: token, Country: "AE"}, custody.Hash{}), nil},
		{custody.ContractCallIntent, &custody.ContractCall{
			Network: ether, Wallet: wallet, Contract: token, Method: "0x095ea7b3", Arguments: []custody.Argument{{Name: "amount", Value: "5"}},
			Data: custody.Blob{0x09, 0x5e, 0xa7, 0xb3}, Asset: "eip155:1/slip44:60", Amount: custody.NewAmount(5), FeeLimit: custody.NewAmount(9), Destination: custody.Recipient{Kind: custody.OneTime, Address: token, Country: "AE"},
		}, nil},
		{custody.TypedMessageIntent, &custody.TypedMessage{
			Network: ether, Wallet: wallet, Contract: token, PrimaryType: "Permit", Digest: custody.Hash{9}, Asset: "eip155:1/slip44:60", Amount: custody.NewAmount(5),
		}, nil},
		{custody.SpeedUpIntent, &custody.Repair{Intent: intent, FeeLimit: custody.NewAmount(20_000)}, nil},
		{custody.CancelIntent, &custody.Repair{Intent: intent, FeeLimit: custody.NewAmount(20_000)}, nil},
		{custody.KeyCeremonyIntent, &custody.KeyCeremony{Ceremony: custody.Keygen, Key: key, Scheme: custody.BIP340Secp256k1, Set: custody.SignerSet{
			Members: []custody.Member{{Node: "node-a", IDs: 2}, {Node: "node-b", IDs: 1}, {Node: "node-c", IDs: 1}}, Threshold: 3,
		}}, nil},
		{custody.KeyCeremonyIntent, &custody.KeyCeremony{Ceremony: custody.Export, Key: key, Scheme: custody.Ed25519, Set: custody.SignerSet{
			Members: []custody.Member{{Node: "node-a", IDs: 1}, {Node: "node-b", IDs: 1}}, Threshold: 2,
		}}, nil},
		{custody.SignerSetChangeIntent, &custody.SignerSetChange{Add: []custody.SignerNode{{
			ID: "node-d", Institution: "bank", Jurisdiction: "US", IdentityKey: hybridKey, WitnessKey: otherKey, Sealing: custody.SealedByHSM,
		}}, Remove: []custody.Name{"node-a"}, Quorum: quorum}, nil},
		{custody.WitnessChangeIntent, &custody.WitnessChange{Witnesses: quorum}, nil},
		{custody.VaultCreateIntent, &custody.VaultCreate{Vault: custody.Vault{ID: vault, Institution: "bank", Domain: "treasury/europe", Purpose: custody.ClientSegregated}}, nil},
		{custody.WalletCreateIntent, &custody.WalletCreate{Wallet: custody.Wallet{ID: wallet, Vault: vault, Network: regtest, Key: key, Path: 3}}, nil},
		{custody.WalletCreateIntent, &custody.WalletCreate{Wallet: custody.Wallet{ID: wallet, Vault: vault, Network: ether, Key: key, Nonce: 12}}, nil},
		{custody.DestinationChangeIntent, &custody.DestinationChange{Action: custody.Put, Destination: entry}, nil},
		{custody.DestinationChangeIntent, &custody.DestinationChange{Action: custody.Remove, Destination: custody.Destination{
			ID: place, Kind: custody.Allowlisted, Network: ether, Address: token, Method: "0x095ea7b3", Country: "CH",
		}}, nil},
		{custody.PersonChangeIntent, &custody.PersonChange{Action: custody.Put, Person: custody.Person{ID: person, Institution: "bank", Country: "CH", Kind: custody.Service, Roles: []custody.Name{"settlement"}}}, nil},
		{custody.PersonChangeIntent, &custody.PersonChange{Action: custody.Remove, Person: custody.Person{ID: person, Institution: "bank", Country: "CH", Kind: custody.Human}}, nil},
		{custody.GroupChangeIntent, &custody.GroupChange{Group: custody.Group{ID: "treasury", Members: []custody.ID[custody.Person]{person}}}, nil},
		{custody.CredentialChangeIntent, &custody.CredentialChange{Action: custody.Put, RelyingParty: &custody.RelyingParty{ID: "bank.example", Origins: []custody.Origin{"https://bank.example"}}}, nil},
		{custody.PolicyChangeIntent, &custody.PolicyChange{Policy: jsontext.Value(compiled.Raw)}, nil},
		{custody.ListChangeIntent, &custody.ListChange{Action: custody.Put, List: "sanctions", SHA256: custody.Hash{4}}, nil},
		{custody.ListChangeIntent, &custody.ListChange{Action: custody.Remove, List: "sanctions"}, nil},
		{custody.ProviderChangeIntent, &custody.ProviderChange{Action: custody.Put, Attestor: custody.Attestor{ID: "prices-a", Key: make(custody.Blob, 32), States: []custody.AttestationKind{custody.PriceAttestation}}}, nil},
		{custody.IssuerChangeIntent, &custody.IssuerChange{Action: custody.Remove, Issuer: custody.Issuer{ID: "idp", URL: "https://idp.example", Audience: "coffer", Keys: []custody.IssuerKey{{ID: "k1", Algorithm: custody.ES256, PublicKey: custody.Blob{1}}}}}, nil},
		{custody.HoldReleaseIntent, &custody.HoldRelease{Target: custody.Target{All: true}}, nil},
		{custody.FreezeIntent, &custody.Freeze{Target: custody.Target{Intent: intent}}, nil},
		{custody.FreezeIntent, &custody.Freeze{Target: custody.Target{Key: key}}, nil},
		{custody.FreezeIntent, &custody.Freeze{Target: custody.Target{Vault: vault}}, nil},
		{custody.FreezeIntent, &custody.Freeze{Target: custody.Target{Person: person}}, nil},
		{custody.UpgradeIntent, &custody.Upgrade{Rules: 2}, nil},
	}
}

// TestPolicyWordsRefused shows that an intent for a policy that can't be read is not
// told in other words.
func TestPolicyWordsRefused(t *testing.T) {
	t.Parallel()
	in := &custody.Intent{Type: custody.PolicyChangeIntent, Body: &custody.PolicyChange{Policy: jsontext.Value(`{"version":1}`)}}
	if text, err := intentWords(in, custody.Hash{}, nil); err == nil || !strings.HasPrefix(err.Error(), "body.policy: ") {
		t.Errorf("%q, %v", text, err)
	}
}
