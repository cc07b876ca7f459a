package state_test

import (
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy/compile"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
)

const (
	regtest custody.Network = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328"
	coin    custody.Asset   = custody.Asset(regtest) + "/slip44:1"
)

// small is a policy with a way in for small amounts, one for two people of the
// treasury, a cap, a restriction and governance without delay.
const small = `
version: 1
currency: USD
timezone: UTC
lists: {restricted: [KP, IR]}
rules:
  - name: small
    for: [TRANSFER]
    when: amount.asset == "bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:1" && amount.units <= units("0.5") && destination.kind in ["INTERNAL", "ALLOWLISTED"]
    allow: {}
  - name: large
    for: [TRANSFER]
    when: "true"
    allow: {approvals: [{group: treasury, count: 2}]}
  - name: screened
    for: [TRANSFER]
    when: destination.kind == "ONE_TIME"
    require: {screening: {verdict: PASS, max_age: 10m}}
  - name: cap
    for: [TRANSFER]
    when: count("source.vault", "24h") > 5
    require: {approvals: [{group: risk, count: 1}]}
  - name: restricted
    for: [TRANSFER]
    when: destination.country in lists.restricted
    block: restricted jurisdiction
  - name: repair
    for: [SPEED_UP, CANCEL]
    when: "true"
    allow: {approvals: [{group: treasury, count: 1}]}
  - name: governance
    for: [POLICY_CHANGE, PERSON_CHANGE, GROUP_CHANGE, CREDENTIAL_CHANGE, KEY_CEREMONY, SIGNER_SET_CHANGE, WITNESS_CHANGE, VAULT_CREATE, WALLET_CREATE,
          DESTINATION_CHANGE, LIST_CHANGE, PROVIDER_CHANGE, ISSUER_CHANGE, HOLD_RELEASE, UPGRADE]
    when: "true"
    allow: {approvals: [{group: administrators, count: 2}]}
  - name: freeze
    for: [FREEZE]
    when: "true"
    allow: {approvals: [{group: risk, count: 1}]}
`

func policyOf(tb testing.TB, yaml string) []byte {
	tb.Helper()
	c, err := compile.Compile([]byte(yaml), compile.Options{Now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		tb.Fatal(err)
	}
	return c.Raw
}

// bank is a world with a key, a vault, two wallets and an address book.
type bank struct {
	*statetest.World
	key         custody.ID[custody.Key]
	vault       custody.ID[custody.Vault]
	hot, cold   custody.ID[custody.Wallet]
	destination custody.ID[custody.Destination]
}

const (
	friend   custody.Address = "bcrt1qfriend"
	stranger custody.Address = "bcrt1qstranger"
)

func newBank(tb testing.TB, yaml string, edit func(*statetest.Setup)) *bank {
	tb.Helper()
	return newBankWithKey(tb, yaml, edit, nil)
}

// newBankWithKey makes a bank of a threshold key; nil stands for some public key
// that nobody signs with.
func newBankWithKey(tb testing.TB, yaml string, edit func(*statetest.Setup), key *tss.Key) *bank {
	tb.Helper()
	setup := statetest.Setup{
		Groups: map[custody.Name][]string{
			"administrators": {"ann", "ben", "cas"},
			"treasury":       {"tom", "una", "vic"},
			"risk":           {"rob", "sue"},
		},
		Others: []string{"ida"},
		P256:   []string{"una", "ben"},
		Policy: policyOf(tb, yaml),
	}
	if edit != nil {
		edit(&setup)
	}
	b := &bank{World: statetest.New(tb, setup)}
	public, commitment := group.Secp256k1.Generator().Bytes(), custody.Hash{1}
	if key != nil {
		public, commitment = key.Public.Bytes(), custody.Hash(hash.Sum("cc", key.ChainCode[:]))
	}
	b.key = b.KeyFor("ann", custody.BIP340Secp256k1, public, commitment, 0, "ben", "cas")
	b.vault = statetest.ID[custody.Vault](b.World)
	b.govern(custody.VaultCreateIntent, &custody.VaultCreate{Vault: custody.Vault{ID: b.vault, Institution: "bank", Domain: "treasury", Purpose: custody.Treasury}})
	b.hot, b.cold = b.wallet(0, regtest), b.wallet(1, regtest)
	b.destination = statetest.ID[custody.Destination](b.World)
	b.govern(custody.DestinationChangeIntent, &custody.DestinationChange{Action: custody.Put, Destination: custody.Destination{
		ID: b.destination, Kind: custody.Allowlisted, Network: regtest, Address: friend, Country: "CH",
	}})
	return b
}

func (b *bank) govern(t custody.IntentType, body custody.Body) {
	b.Must(b.Govern("ann", t, body, 0, "ben", "cas"))
}

func (b *bank) wallet(path uint32, network custody.Network) custody.ID[custody.Wallet] {
	id := statetest.ID[custody.Wallet](b.World)
	b.govern(custody.WalletCreateIntent, &custody.WalletCreate{Wallet: custody.Wallet{ID: id, Vault: b.vault, Network: network, Key: b.key, Path: path}})
	return id
}

// pay makes a transfer of the hot wallet to the friend.
func (b *bank) pay(initiator string, units uint64) *custody.Intent {
	return b.Intent(initiator, custody.TransferIntent, &custody.Transfer{
		Network: regtest, Wallet: b.hot, Asset: coin, Amount: custody.NewAmount(units), FeeLimit: custody.NewAmount(1000),
		Destination: custody.Recipient{Kind: custody.Allowlisted, Address: friend, Destination: b.destination},
	})
}

func (b *bank) status(tb testing.TB, in *custody.Intent, want custody.IntentState) {
	tb.Helper()
	got, why, err := b.State.Status(in.ID, b.Now)
	if err != nil || got != want {
		tb.Errorf("the intent is %s (%s), %v; want %s", got, why, err, want)
	}
}

func void(tb testing.TB, r state.Result, want state.Code) {
	tb.Helper()
	if r.Void != want {
		tb.Errorf("entry %d: %q (%v), want %q", r.Index, r.Void, r.Why, want)
	}
}

func TestSmallTransferGoesAtOnce(t *testing.T) {
	b := newBank(t, small, nil)
	in := b.pay("ida", 50_000_000)
	b.Must(b.Submit("ida", in))
	b.Must(b.Authorize(in))
	b.status(t, in, custody.AuthorizedState)
	p := b.Must(b.Prepare(in, 900, statetest.Outpoint(1), statetest.Outpoint(2)))
	b.status(t, in, custody.Executing)
	b.Must(b.SignedBy(in, p.Leaf, custody.Hash{7}, make([]byte, 64), "node-a", "node-c"))
	for _, kind := range []custody.ObservedKind{custody.Broadcast, custody.Confirming, custody.Confirmed, custody.Finalized} {
		b.Must(b.Observe(in, p.Leaf, kind))
	}
	b.status(t, in, custody.Executed)
}

func TestLargeTransferNeedsTwoPeople(t *testing.T) {
	b := newBank(t, small, nil)
	in := b.pay("ida", 50_000_001)
	b.Must(b.Submit("ida", in))
	b.status(t, in, custody.PendingApproval)
	void(t, b.Authorize(in), state.NotAllowed)
	b.Must(b.Say("tom", custody.Yes, in))
	void(t, b.Authorize(in), state.NotAllowed)
	void(t, b.Say("tom", custody.Yes, in), state.Duplicate)
	b.Must(b.Say("rob", custody.Yes, in)) // of risk, not of treasury
	void(t, b.Authorize(in), state.NotAllowed)
	b.Must(b.Say("una", custody.Yes, in))
	b.Must(b.Authorize(in))
	void(t, b.Authorize(in), state.WrongState)
}
