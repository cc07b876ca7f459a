package custody

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

var update = flag.Bool("update", false, "write golden files anew")

// golden compares got with the golden file, or writes it.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // a folder of the repository
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil { //nolint:gosec // a file of the repository
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (run with -update)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from what is written now (run with -update)\nnow: %s", file, got)
	}
}

const start = Time(1_767_322_800_000) // 2026-01-02T03:00:00.000Z

// id returns the nth id made at start.
func id[T any](n uint64) ID[T] {
	var out ID[T]
	binary.BigEndian.PutUint64(out[:8], uint64(start)<<16|0x7000)
	binary.BigEndian.PutUint64(out[8:], 1<<63|n)
	return out
}

// filler returns n bytes that differ by seed.
func filler(n int, seed byte) Blob { return bytes.Repeat([]byte{seed}, n) }

func hashOf(seed byte) Hash { return Hash(filler(32, seed)) }

func hybridKey(seed byte) HybridKey { return filler(hybridKeySize, seed) }

// token returns a token with a header and claims in JSON.
func token(header, claims string) Token {
	enc := base64.RawURLEncoding.EncodeToString
	return Token(enc([]byte(header)) + "." + enc([]byte(claims)) + "." + enc(filler(64, 9)))
}

const (
	exampleHeader = `{"alg":"ES256","kid":"key-1","typ":"JWT"}`
	exampleClaims = `{"iss":"https://id.bank.example","sub":"9f2c","aud":"coffer","nonce":"AA","acr":"aal2","amr":["hwk"],"iat":1767322800,"exp":1767323100}`
)

var (
	exampleSet = SignerSet{Members: []Member{{"node-a", 1}, {"node-b", 1}, {"node-c", 1}}, Threshold: 2}

	exampleNode = SignerNode{
		ID: "node-d", Institution: "bank", Jurisdiction: "SG",
		IdentityKey: hybridKey(1), WitnessKey: hybridKey(2), Sealing: SealedByHSM,
	}

	examplePolicy = jsontext.Value(`{"currency":"USD","rules":[{"name":"treasury"}],"version":2}`)

	oneTime = Recipient{Kind: OneTime, Address: "0x1111111111111111111111111111111111111111", Country: "JP"}

	device = Evidence{Kind: EvidenceKind(Device), Credential: id[Credential](20), Signature: filler(64, 1)}

	passkey = Evidence{
		Kind: EvidenceKind(WebAuthn), Credential: id[Credential](21),
		Signed:    &Signed{ClientData: Blob(`{"type":"webauthn.get"}`), AuthenticatorData: filler(37, 5)},
		Signature: filler(70, 6),
	}
)

// intents returns a valid body of every type and variant, by the name of its file.
func intents() map[string]struct {
	Type IntentType
	Body Body
} {
	transfer := func(d Recipient) *Transfer {
		return &Transfer{
			Network: "eip155:1", Wallet: id[Wallet](1), Asset: "eip155:1/slip44:60",
			Amount: NewAmount(25e17), FeeLimit: NewAmount(4e15), Destination: d, Memo: hashOf(7),
		}
	}
	book := func(kind DestinationKind) Recipient {
		return Recipient{Kind: kind, Address: oneTime.Address, Destination: id[Destination](2)}
	}
	withoutMemo := transfer(book(Allowlisted))
	withoutMemo.Memo = Hash{}
	type row = struct {
		Type IntentType
		Body Body
	}
	return map[string]row{
		"transfer-internal":       {TransferIntent, transfer(Recipient{Kind: OwnWallet, Address: oneTime.Address, Wallet: id[Wallet](3), Index: 4})},
		"transfer-allowlisted":    {TransferIntent, withoutMemo},
		"transfer-counterparty":   {TransferIntent, transfer(book(Counterparty))},
		"transfer-one-time":       {TransferIntent, transfer(oneTime)},
		"contract-call":           {ContractCallIntent, exampleCall()},
		"typed-message":           {TypedMessageIntent, &TypedMessage{"eip155:1", id[Wallet](1), "0x2222222222222222222222222222222222222222", "Permit", hashOf(8), "eip155:1/erc20:0x2222222222222222222222222222222222222222", NewAmount(5)}},
		"speed-up":                {SpeedUpIntent, &Repair{id[Intent](4), NewAmount(9)}},
		"cancel":                  {CancelIntent, &Repair{id[Intent](4), NewAmount(9)}},
		"key-ceremony":            {KeyCeremonyIntent, &KeyCeremony{Keygen, id[Key](5), ECDSASecp256k1, exampleSet}},
		"signer-set-change":       {SignerSetChangeIntent, &SignerSetChange{Add: []SignerNode{exampleNode}, Remove: []Name{"node-a"}, Quorum: exampleQuorum()}},
		"signer-set-change-out":   {SignerSetChangeIntent, &SignerSetChange{Remove: []Name{"node-a"}, Quorum: WitnessQuorum{Quorum: 2}}},
		"witness-change":          {WitnessChangeIntent, &WitnessChange{Witnesses: exampleQuorum()}},
		"witness-change-control":  {WitnessChangeIntent, &WitnessChange{WitnessQuorum{Quorum: 2}, &Control{hybridKey(3), hybridKey(4)}}},
		"vault-create":            {VaultCreateIntent, &VaultCreate{Vault{id[Vault](6), "bank", "treasury/asia", Treasury}}},
		"wallet-create":           {WalletCreateIntent, &WalletCreate{Wallet{id[Wallet](7), id[Vault](6), "eip155:1", id[Key](5), 3, 11}}},
		"destination-change":      {DestinationChangeIntent, &DestinationChange{Put, Destination{ID: id[Destination](2), Kind: Allowlisted, Network: "eip155:1", Address: oneTime.Address, Method: "0xb6b55f25", Country: "CH", Tags: []Name{"exchange"}}}},
		"destination-change-vasp": {DestinationChangeIntent, &DestinationChange{Remove, Destination{ID: id[Destination](2), Kind: Counterparty, Network: "eip155:1", Address: oneTime.Address, Country: "CH", Counterparty: "5493001KJTIIGC8Y1R12"}}},
		"person-change":           {PersonChangeIntent, &PersonChange{Put, Person{id[Person](8), "bank", "CH", Human, []Name{"trader"}}}},
		"group-change":            {GroupChangeIntent, &GroupChange{Group{"treasury", []ID[Person]{id[Person](8), id[Person](9)}}}},
		"credential-passkey":      {CredentialChangeIntent, &CredentialChange{Action: Put, Credential: &Credential{ID: id[Credential](20), Person: id[Person](8), Kind: WebAuthn, Algorithm: RS256, PublicKey: filler(294, 1), WebAuthn: filler(32, 2)}}},
		"credential-device":       {CredentialChangeIntent, &CredentialChange{Action: Remove, Credential: &Credential{ID: id[Credential](20), Person: id[Person](8), Kind: Device, Algorithm: EdDSA, PublicKey: filler(44, 1)}}},
		"credential-oidc":         {CredentialChangeIntent, &CredentialChange{Action: Put, Credential: &Credential{ID: id[Credential](20), Person: id[Person](8), Kind: OIDC, Issuer: "bank-id", Subject: hashOf(3)}}},
		"relying-party":           {CredentialChangeIntent, &CredentialChange{Action: Put, RelyingParty: &RelyingParty{"bank.example", []Origin{"https://coffer.bank.example"}}}},
		"policy-change":           {PolicyChangeIntent, &PolicyChange{examplePolicy}},
		"list-change":             {ListChangeIntent, &ListChange{Put, "ofac", hashOf(4)}},
		"list-change-remove":      {ListChangeIntent, &ListChange{Action: Remove, List: "ofac"}},
		"provider-change":         {ProviderChangeIntent, &ProviderChange{Put, Attestor{"prices", filler(32, 1), []AttestationKind{PriceAttestation}}}},
		"issuer-change":           {IssuerChangeIntent, &IssuerChange{Put, exampleIssuer()}},
		"hold-release":            {HoldReleaseIntent, &HoldRelease{Target{All: true}}},
		"freeze-intent":           {FreezeIntent, &Freeze{Target{Intent: id[Intent](4)}}},
		"freeze-key":              {FreezeIntent, &Freeze{Target{Key: id[Key](5)}}},
		"freeze-vault":            {FreezeIntent, &Freeze{Target{Vault: id[Vault](6)}}},
		"freeze-person":           {FreezeIntent, &Freeze{Target{Person: id[Person](8)}}},
		"upgrade":                 {UpgradeIntent, &Upgrade{2}},
	}
}

func exampleCall() *ContractCall {
	return &ContractCall{
		Network: "eip155:1", Wallet: id[Wallet](1), Contract: "0x2222222222222222222222222222222222222222", Method: "0xb6b55f25",
		Arguments: []Argument{{"assets", "1000"}, {"receiver", "0x1111111111111111111111111111111111111111"}},
		Data:      append(Blob{0xb6, 0xb5, 0x5f, 0x25}, filler(64, 0)...), Asset: "eip155:1/slip44:60",
		Amount: NewAmount(0), FeeLimit: NewAmount(7), Destination: oneTime,
	}
}

func exampleQuorum() WitnessQuorum {
	return WitnessQuorum{Others: []Witness{{"auditor", "audit", hybridKey(5)}}, Quorum: 3, Liars: 1}
}

func exampleIssuer() Issuer {
	return Issuer{"bank-id", "https://id.bank.example", "coffer", []IssuerKey{{"key-1", ES256, filler(91, 1)}}}
}

// example writes the intent with the given body.
func example(t testing.TB, kind IntentType, body Body) *Intent {
	t.Helper()
	in, err := NewIntent(Intent{
		Type: kind, ID: id[Intent](100), Institution: "bank", Domain: "treasury/asia",
		Created: start, Expires: start.Add(Day), Initiator: id[Person](8), Body: body,
	})
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	return in
}

// entries returns a valid body of every type and variant, by the name of its file.
func entries(t testing.TB) map[string]struct {
	Type EntryType
	Body EntryBody
} {
	t.Helper()
	transfer := intents()["transfer-one-time"]
	attest := func(a Attestation) *EvidenceRecord {
		a.Attestor, a.Source, a.Time, a.Until = "prices", "feed", start, start.Add(Hour)
		raw, err := Encode(a)
		if err != nil {
			t.Fatal(err)
		}
		return &EvidenceRecord{Intent: id[Intent](100), Attestation: &AttestationProof{Bytes: raw, Signature: filler(64, 1)}}
	}
	approve := func(v Verdict, e Evidence) *EvidenceRecord {
		return &EvidenceRecord{Intent: id[Intent](100), Approval: &Approval{v, e}, Prev: hashOf(2)}
	}
	intentOf := func(kind IntentType, body Body, prev Hash) *IntentRecord {
		return &IntentRecord{Bytes: jsontext.Value(example(t, kind, body).Raw), Evidence: device, Prev: prev}
	}
	nonce := uint64(0)
	set := []NodeSignature{{"node-a", filler(hybridSignatureSize, 1)}, {"node-b", filler(hybridSignatureSize, 2)}}
	charter, err := Encode(exampleCharter())
	if err != nil {
		t.Fatal(err)
	}
	type row = struct {
		Type EntryType
		Body EntryBody
	}
	followed := func(k ObservedKind) row {
		return row{ObservedEntry, &Observed{Kind: k, Intent: id[Intent](100), Prepared: hashOf(1), Transaction: hashOf(2), Block: hashOf(3), Height: 900_000}}
	}
	return map[string]row{
		"charter":               {CharterEntry, &CharterRecord{charter, []Evidence{device, passkey}, set}},
		"intent":                {IntentEntry, intentOf(transfer.Type, transfer.Body, Hash{})},
		"intent-governing":      {IntentEntry, intentOf(UpgradeIntent, &Upgrade{2}, hashOf(1))},
		"evidence-passkey":      {EvidenceEntry, approve(Yes, passkey)},
		"evidence-device":       {EvidenceEntry, approve(No, device)},
		"evidence-oidc":         {EvidenceEntry, approve(Yes, Evidence{Kind: EvidenceKind(OIDC), Credential: id[Credential](22), Signed: &Signed{Token: token(exampleHeader, exampleClaims)}})},
		"evidence-recovery":     {EvidenceEntry, approve(Yes, Evidence{Kind: EvidenceKind(RecoveryEvidence), Recovery: id[Person](30), Signature: filler(64, 1)})},
		"evidence-node":         {EvidenceEntry, approve(No, Evidence{Kind: EvidenceKind(NodeEvidence), Node: "node-a", Signature: filler(hybridSignatureSize, 1)})},
		"evidence-price":        {EvidenceEntry, attest(Attestation{Price: &Price{"eip155:1/slip44:60", "USD", NewAmount(1e18), NewAmount(312_345)}})},
		"evidence-screening":    {EvidenceEntry, attest(Attestation{Screening: &Screening{hashOf(1), ScreeningPass, hashOf(2)}})},
		"evidence-travel-rule":  {EvidenceEntry, attest(Attestation{TravelRule: &TravelRule{hashOf(1), TravelRuleAccepted}})},
		"authorized":            {AuthorizedEntry, &Authorized{id[Intent](100), hashOf(1), hashOf(2), hashOf(3)}},
		"prepared-nonce":        {PreparedEntry, &Prepared{Intent: id[Intent](100), By: id[Intent](100), Transaction: hashOf(1), Claims: []Claim{{Nonce: &nonce}}, Fee: NewAmount(5), Prev: hashOf(3)}},
		"prepared-outpoints":    {PreparedEntry, &Prepared{Intent: id[Intent](100), By: id[Intent](101), Transaction: hashOf(1), Claims: []Claim{{Outpoint: Outpoint(hashOf(1).String() + ":0")}, {Outpoint: Outpoint(hashOf(1).String() + ":1")}}, Fee: NewAmount(5), Prev: hashOf(3)}},
		"prepared-message":      {PreparedEntry, &Prepared{Intent: id[Intent](100), By: id[Intent](100), Transaction: hashOf(1), Claims: []Claim{}, Fee: NewAmount(0), Prev: hashOf(3)}},
		"signed":                {SignedEntry, &SignedRecord{id[Intent](100), hashOf(1), []Hash{hashOf(2), hashOf(3)}, []Blob{filler(64, 1), filler(72, 2)}, []Receipt{{"node-a", filler(hybridSignatureSize, 3)}, {"node-b", filler(hybridSignatureSize, 4)}}}},
		"key":                   {KeyEntry, &KeyRecord{id[Intent](100), exampleKey(), set, hashOf(1)}},
		"cosigned":              {CosignedEntry, &Cosigned{id[Intent](100), exampleNote(), []Hash{hashOf(1)}, hashOf(2)}},
		"observed-tick":         {ObservedEntry, &Observed{Kind: Tick}},
		"observed-deposit":      {ObservedEntry, &Observed{Kind: DepositSeen, Wallet: id[Wallet](1), Transaction: hashOf(1), Output: 1, Block: hashOf(2), Height: 900_000, Asset: "bip122:000000000019d6689c085ae165831e93/slip44:0", Amount: NewAmount(5)}},
		"observed-broadcast":    followed(Broadcast),
		"observed-confirming":   followed(Confirming),
		"observed-confirmed":    followed(Confirmed),
		"observed-finalized":    followed(Finalized),
		"observed-reorged":      followed(Reorged),
		"observed-dropped":      followed(Dropped),
		"observed-reverted":     followed(Reverted),
		"observed-delivery":     followed(DeliveryMade),
		"intent-policy-change":  {IntentEntry, intentOf(PolicyChangeIntent, &PolicyChange{examplePolicy}, hashOf(1))},
		"intent-contract-call":  {IntentEntry, intentOf(ContractCallIntent, exampleCall(), Hash{})},
		"intent-issuer-change":  {IntentEntry, intentOf(IssuerChangeIntent, &IssuerChange{Remove, exampleIssuer()}, hashOf(1))},
		"intent-witness-change": {IntentEntry, intentOf(WitnessChangeIntent, &WitnessChange{Witnesses: exampleQuorum()}, hashOf(1))},
	}
}

func exampleNote() Note {
	origin := "coffer/" + hashOf(1).String()
	line := func(name string, size int) string {
		return "— " + name + " " + base64.StdEncoding.EncodeToString(filler(size, 1)) + "\n"
	}
	return Note(origin + "\n7\n" + base64.StdEncoding.EncodeToString(filler(32, 1)) + "\n\n" +
		line(origin, 68) + line(origin, 2432) + line(origin+"/node-a", 76) + line(origin+"/node-a", 2432))
}

func exampleKey() Key {
	return Key{ID: id[Key](5), Scheme: ECDSASecp256k1, PublicKey: filler(33, 2), ChainCode: hashOf(3), Epoch: 1, Set: exampleSet}
}

// exampleEntry writes the entry with the given body.
func exampleEntry(t testing.TB, kind EntryType, body EntryBody) *Entry {
	t.Helper()
	e, err := NewEntry(Entry{Index: 12, Time: start, Type: kind, Body: body})
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	return e
}

// exampleCharter has one of everything that a charter can have.
func exampleCharter() *Charter {
	node := func(id Name, seed byte) SignerNode {
		return SignerNode{id, "bank", "CH", hybridKey(seed), hybridKey(seed + 1), SealedByFile}
	}
	return &Charter{
		Institutions: []Institution{{"bank", "CH", "5493001KJTIIGC8Y1R12"}, {ID: "audit", Country: "GB"}},
		Persons:      []Person{{id[Person](8), "bank", "CH", Human, []Name{"trader"}}, {ID: id[Person](9), Institution: "bank", Country: "SG", Kind: Service}},
		Groups:       []Group{{Administrators, []ID[Person]{id[Person](8), id[Person](9)}}},
		Credentials: []Credential{
			{ID: id[Credential](20), Person: id[Person](8), Kind: WebAuthn, Algorithm: ES256, PublicKey: filler(91, 1), WebAuthn: filler(32, 2)},
			{ID: id[Credential](21), Person: id[Person](9), Kind: Device, Algorithm: EdDSA, PublicKey: filler(44, 2)},
			{ID: id[Credential](22), Person: id[Person](8), Kind: OIDC, Issuer: "bank-id", Subject: hashOf(3)},
		},
		Nodes:     []SignerNode{node("node-a", 10), node("node-b", 20), node("node-c", 30)},
		Witnesses: WitnessQuorum{Others: []Witness{{"auditor", "audit", hybridKey(5)}}, Quorum: 3, Liars: 1},
		Attestors: []Attestor{
			{"prices", filler(32, 1), []AttestationKind{PriceAttestation}},
			{"screening", filler(32, 2), []AttestationKind{ScreeningAttestation, TravelRuleAttestation}},
		},
		Recovery:     Recovery{[]RecoveryKey{{id[Person](30), filler(32, 3)}, {id[Person](31), filler(32, 4)}}, 2, 72 * Hour},
		RelyingParty: RelyingParty{"bank.example", []Origin{"https://coffer.bank.example", "http://localhost:8080"}},
		Issuers:      []Issuer{exampleIssuer()},
		IntentLife:   7 * Day,
		Policy:       examplePolicy,
		Control:      Control{hybridKey(3), hybridKey(4)},
	}
}

// rawIntents, rawEntries and rawCharter return the golden files by name.
func rawIntents(t testing.TB) map[string][]byte { return goldenFiles(t, "testdata/intents") }
func rawEntries(t testing.TB) map[string][]byte { return goldenFiles(t, "testdata/entries") }

func goldenFiles(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]byte)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(file), ".json")] = raw
	}
	if len(out) == 0 {
		t.Fatalf("no golden files in %s", folder)
	}
	return out
}

func rawCharter(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/charter.json")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// The golden files hold the format fast: a change of it changes a file.
func TestGoldenIntents(t *testing.T) {
	seen := make(map[IntentType]bool)
	for name, x := range intents() {
		in := example(t, x.Type, x.Body)
		golden(t, "testdata/intents/"+name+".json", in.Raw)
		seen[x.Type] = true
	}
	for _, kind := range IntentTypes() {
		if !seen[kind] {
			t.Errorf("no example of %s", kind)
		}
	}
	if len(bodies) != len(intentTypes) {
		t.Errorf("%d types have a body, %d are listed", len(bodies), len(intentTypes))
	}
	if !*update && len(rawIntents(t)) != len(intents()) {
		t.Error("a golden file has no example")
	}
}

func TestGoldenEntries(t *testing.T) {
	seen := make(map[EntryType]bool)
	for name, x := range entries(t) {
		golden(t, "testdata/entries/"+name+".json", exampleEntry(t, x.Type, x.Body).Raw)
		seen[x.Type] = true
	}
	for kind := range entryBodies {
		if !seen[kind] {
			t.Errorf("no example of %s", kind)
		}
	}
	if !*update && len(rawEntries(t)) != len(entries(t)) {
		t.Error("a golden file has no example")
	}
}

func TestGoldenCharter(t *testing.T) {
	raw, err := Encode(exampleCharter())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseCharter(raw); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/charter.json", raw)
}

// What is parsed keeps the exact bytes, and writes them again.
func TestExactBytes(t *testing.T) {
	t.Parallel()
	for name, raw := range rawIntents(t) {
		given := bytes.Clone(raw)
		in, err := ParseIntent(given)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range given {
			given[i] = 'x'
		}
		again, err := NewIntent(*in)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(in.Raw, raw) || !bytes.Equal(again.Raw, raw) {
			t.Errorf("%s: the intent lives in the caller's bytes", name)
		}
	}
	for name, raw := range rawEntries(t) {
		e, err := ParseEntry(raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, err := NewEntry(*e)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(e.Raw, raw) || !bytes.Equal(again.Raw, raw) {
			t.Errorf("%s: not the same bytes", name)
		}
		if r, ok := e.Body.(*IntentRecord); ok && !bytes.Equal(r.Intent.Raw, r.Bytes) {
			t.Errorf("%s: the intent inside has other bytes", name)
		}
	}
	raw := rawCharter(t)
	given := bytes.Clone(raw)
	c, err := ParseCharter(given)
	if err != nil {
		t.Fatal(err)
	}
	for i := range given {
		given[i] = 'x'
	}
	again, err := Encode(c)
	if err != nil || !bytes.Equal(c.Raw, raw) || !bytes.Equal(again, raw) {
		t.Errorf("the charter lives in the caller's bytes (%v)", err)
	}
}

func TestIntentTypes(t *testing.T) {
	t.Parallel()
	moves := []IntentType{TransferIntent, ContractCallIntent, TypedMessageIntent, SpeedUpIntent, CancelIntent}
	for _, kind := range IntentTypes() {
		if kind.Governs() == slices.Contains(moves, kind) {
			t.Errorf("%s governs: %v", kind, kind.Governs())
		}
	}
	IntentTypes()[0] = "changed"
	if IntentTypes()[0] != TransferIntent {
		t.Error("the caller can change the list of types")
	}
}

func TestIntentLife(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		expires Time
		ok      bool
	}{
		{start - 1, false},
		{start, false},
		{start + 1, true},
		{start.Add(30 * Day), true},
		{start.Add(30*Day) + 1, false},
	} {
		in := Intent{
			Type: UpgradeIntent, ID: id[Intent](1), Institution: "bank", Domain: "all",
			Created: start, Expires: c.expires, Initiator: id[Person](1), Body: &Upgrade{2},
		}
		_, err := NewIntent(in)
		if c.ok != (err == nil) || !c.ok && fieldOf(err) != "expires" {
			t.Errorf("expires %d ms after created: %v", c.expires-start, err)
		}
	}
	if MaxIntentLife.String() != (30 * 24 * time.Hour).String() {
		t.Error("the longest life isn't 30 days")
	}
}
