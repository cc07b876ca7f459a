package custody

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// zero sets *p to nothing.
func zero[T any](p *T) { *p = *new(T) }

// Each rule that joins fields of a body: an edit of a valid example that breaks
// it, and the field that must be named.
func TestBodyRules(t *testing.T) {
	t.Parallel()
	type rule struct {
		example, field string
		edit           func(b Body)
	}
	transfer := func(b Body) *Transfer { return b.(*Transfer) }
	call := func(b Body) *ContractCall { return b.(*ContractCall) }
	set := func(b Body) *SignerSet { return &b.(*KeyCeremony).Set }
	credential := func(b Body) *Credential { return b.(*CredentialChange).Credential }
	destination := func(b Body) *Destination { return &b.(*DestinationChange).Destination }
	issuer := func(b Body) *Issuer { return &b.(*IssuerChange).Issuer }
	attestor := func(b Body) *Attestor { return &b.(*ProviderChange).Attestor }
	rules := []rule{
		{"transfer-one-time", "body.asset", func(b Body) { transfer(b).Asset = "eip155:10/slip44:60" }},
		{"transfer-one-time", "body.network", func(b Body) { transfer(b).Network = "eip155" }},
		{"transfer-one-time", "body.amount", func(b Body) { zero(&transfer(b).Amount) }},
		{"transfer-one-time", "body.destination.country", func(b Body) { zero(&transfer(b).Destination.Country) }},
		{"transfer-one-time", "body.destination.wallet", func(b Body) { transfer(b).Destination.Wallet = id[Wallet](1) }},
		{"transfer-one-time", "body.destination.index", func(b Body) { transfer(b).Destination.Index = 1 }},
		{"transfer-one-time", "body.destination.destination", func(b Body) { transfer(b).Destination.Destination = id[Destination](1) }},
		{"transfer-internal", "body.destination.wallet", func(b Body) { zero(&transfer(b).Destination.Wallet) }},
		{"transfer-internal", "body.destination.index", func(b Body) { transfer(b).Destination.Index = 1 << 31 }},
		{"transfer-internal", "body.destination.destination", func(b Body) { transfer(b).Destination.Destination = id[Destination](1) }},
		{"transfer-internal", "body.destination.country", func(b Body) { transfer(b).Destination.Country = "CH" }},
		{"transfer-allowlisted", "body.destination.destination", func(b Body) { zero(&transfer(b).Destination.Destination) }},
		{"transfer-allowlisted", "body.destination.wallet", func(b Body) { transfer(b).Destination.Wallet = id[Wallet](1) }},
		{"transfer-allowlisted", "body.destination.country", func(b Body) { transfer(b).Destination.Country = "CH" }},
		{"transfer-counterparty", "body.destination.destination", func(b Body) { zero(&transfer(b).Destination.Destination) }},
		{"transfer-counterparty", "body.destination.index", func(b Body) { transfer(b).Destination.Index = 1 }},
		{"transfer-counterparty", "body.destination.country", func(b Body) { transfer(b).Destination.Country = "CH" }},

		{"contract-call", "body.asset", func(b Body) { call(b).Asset = "eip155:10/slip44:60" }},
		{"contract-call", "body.data", func(b Body) { call(b).Data = call(b).Data[:3] }},
		{"contract-call", "body.data", func(b Body) { zero(&call(b).Data) }},
		{"contract-call", "body.data", func(b Body) { call(b).Method = "0xa9059cbb" }},
		{"contract-call", "body.arguments.1", func(b Body) { call(b).Arguments[1].Name = call(b).Arguments[0].Name }},
		{"contract-call", "body.arguments.0.value", func(b Body) { call(b).Arguments[0].Value = "007" }},
		{"contract-call", "body.destination.country", func(b Body) { zero(&call(b).Destination.Country) }},
		{"typed-message", "body.asset", func(b Body) { b.(*TypedMessage).Asset = "eip155:10/slip44:60" }},

		{"key-ceremony", "body.signerSet.threshold", func(b Body) { set(b).Threshold = 1 }},
		{"key-ceremony", "body.signerSet.threshold", func(b Body) { set(b).Threshold = 4 }},
		{"key-ceremony", "body.signerSet.threshold", func(b Body) { set(b).Threshold = -2 }},
		{"key-ceremony", "body.signerSet.threshold", func(b Body) { set(b).Members = []Member{} }},
		{"key-ceremony", "body.signerSet.members.1", func(b Body) { set(b).Members[1].Node = "node-a" }},
		{"key-ceremony", "body.signerSet.members.1.ids", func(b Body) { set(b).Members[1].IDs = 0 }},
		{"key-ceremony", "body.signerSet.members.1.ids", func(b Body) { set(b).Members[1].IDs = -1 }},
		{"key-ceremony", "body.signerSet.members.1.ids", func(b Body) { set(b).Members[1].IDs = 17 }},
		{"key-ceremony", "body.signerSet.members", func(b Body) { set(b).Members[1].IDs = 15 }},

		{"signer-set-change-out", "body.add", func(b Body) { zero(&b.(*SignerSetChange).Remove) }},
		{"signer-set-change-out", "body.remove.1", func(b Body) { b.(*SignerSetChange).Remove = []Name{"a", "a"} }},
		{"signer-set-change", "body.add.1", func(b Body) { c := b.(*SignerSetChange); c.Add = append(c.Add, c.Add[0]) }},
		{"signer-set-change", "body.add.0.identityKey", func(b Body) { b.(*SignerSetChange).Add[0].IdentityKey = filler(32, 1) }},
		{"signer-set-change", "body.add.0.witnessKey", func(b Body) { b.(*SignerSetChange).Add[0].WitnessKey = filler(1345, 1) }},
		{"signer-set-change", "body.add.0.witnessKey", func(b Body) { n := b.(*SignerSetChange).Add; n[0].WitnessKey = n[0].IdentityKey }},
		{"signer-set-change", "body.witnesses.others.0.key", func(b Body) { b.(*SignerSetChange).Quorum.Others[0].Key = filler(32, 1) }},
		{"witness-change", "body.witnesses.others.0.key", func(b Body) { b.(*WitnessChange).Witnesses.Others[0].Key = filler(32, 1) }},
		{"witness-change-control", "body.control.logKey", func(b Body) { b.(*WitnessChange).Control.LogKey = filler(32, 1) }},
		{"witness-change-control", "body.control.coordinatorKey", func(b Body) { b.(*WitnessChange).Control.CoordinatorKey = filler(32, 1) }},

		{"wallet-create", "body.wallet.path", func(b Body) { b.(*WalletCreate).Wallet.Path = 1 << 31 }},
		{"wallet-create", "body.wallet.nonce", func(b Body) { b.(*WalletCreate).Wallet.Nonce = 1 << 53 }},
		{"destination-change", "body.destination.kind", func(b Body) { destination(b).Kind = OwnWallet }},
		{"destination-change", "body.destination.kind", func(b Body) { destination(b).Kind = OneTime }},
		{"destination-change", "body.destination.counterparty", func(b Body) { destination(b).Kind = Counterparty }},
		{"destination-change", "body.destination.tags.1", func(b Body) { destination(b).Tags = []Name{"a", "a"} }},
		{"person-change", "body.person.roles.1", func(b Body) { b.(*PersonChange).Person.Roles = []Name{"a", "a"} }},
		{"group-change", "body.group.members.1", func(b Body) { m := b.(*GroupChange).Group.Members; m[1] = m[0] }},

		{"credential-device", "body.credential", func(b Body) { b.(*CredentialChange).RelyingParty = &RelyingParty{"a", []Origin{"https://a"}} }},
		{"credential-device", "body.credential.algorithm", func(b Body) { zero(&credential(b).Algorithm) }},
		{"credential-device", "body.credential.algorithm", func(b Body) { credential(b).Algorithm = RS256 }},
		{"credential-device", "body.credential.publicKey", func(b Body) { zero(&credential(b).PublicKey) }},
		{"credential-device", "body.credential.issuer", func(b Body) { credential(b).Issuer = "bank-id" }},
		{"credential-device", "body.credential.subject", func(b Body) { credential(b).Subject = hashOf(1) }},
		{"credential-device", "body.credential.webauthnId", func(b Body) { credential(b).WebAuthn = filler(1, 1) }},
		{"credential-passkey", "body.credential.webauthnId", func(b Body) { zero(&credential(b).WebAuthn) }},
		{"credential-passkey", "body.credential.webauthnId", func(b Body) { credential(b).WebAuthn = filler(1024, 1) }},
		{"credential-passkey", "body.credential.subject", func(b Body) { credential(b).Subject = hashOf(1) }},
		{"credential-oidc", "body.credential.issuer", func(b Body) { zero(&credential(b).Issuer) }},
		{"credential-oidc", "body.credential.subject", func(b Body) { zero(&credential(b).Subject) }},
		{"credential-oidc", "body.credential.publicKey", func(b Body) { credential(b).PublicKey = filler(1, 1) }},
		{"credential-oidc", "body.credential.algorithm", func(b Body) { credential(b).Algorithm = ES256 }},
		{"credential-oidc", "body.credential.webauthnId", func(b Body) { credential(b).WebAuthn = filler(1, 1) }},
		{"relying-party", "body.action", func(b Body) { b.(*CredentialChange).Action = Remove }},
		{"relying-party", "body.relyingParty.origins", func(b Body) { b.(*CredentialChange).RelyingParty.Origins = []Origin{} }},
		{"relying-party", "body.relyingParty.origins.1", func(b Body) {
			b.(*CredentialChange).RelyingParty.Origins = []Origin{"https://a", "https://a"}
		}},

		{"policy-change", "body.policy", func(b Body) { b.(*PolicyChange).Policy = jsontext.Value("[]") }},
		{"list-change", "body.sha256", func(b Body) { zero(&b.(*ListChange).SHA256) }},
		{"list-change-remove", "body.sha256", func(b Body) { b.(*ListChange).SHA256 = hashOf(1) }},
		{"provider-change", "body.attestor.key", func(b Body) { attestor(b).Key = filler(33, 1) }},
		{"provider-change", "body.attestor.states", func(b Body) { attestor(b).States = []AttestationKind{} }},
		{"provider-change", "body.attestor.states.1", func(b Body) { attestor(b).States = []AttestationKind{PriceAttestation, PriceAttestation} }},
		{"issuer-change", "body.issuer.keys", func(b Body) { issuer(b).Keys = []IssuerKey{} }},
		{"issuer-change", "body.issuer.keys.1", func(b Body) { issuer(b).Keys = append(issuer(b).Keys, issuer(b).Keys[0]) }},
		{"hold-release", "body.target", func(b Body) { b.(*HoldRelease).Target.Key = id[Key](1) }},
		{"hold-release", "body.target", func(b Body) { zero(&b.(*HoldRelease).Target) }},
		{"freeze-key", "body.target", func(b Body) { b.(*Freeze).Target.Vault = id[Vault](1) }},
		{"freeze-key", "body.target", func(b Body) { b.(*Freeze).Target.Person = id[Person](1) }},
		{"freeze-key", "body.target", func(b Body) { b.(*Freeze).Target.Intent = id[Intent](1) }},
		{"upgrade", "body.rules", func(b Body) { b.(*Upgrade).Rules = 1 }},
		{"upgrade", "body.rules", func(b Body) { b.(*Upgrade).Rules = -2 }},
	}
	for _, r := range rules {
		all := intents()
		x, ok := all[r.example]
		if !ok {
			t.Fatalf("no example %s", r.example)
		}
		// The example is read anew, so that an edit touches nothing that others share.
		in, err := ParseIntent(example(t, x.Type, x.Body).Raw)
		if err != nil {
			t.Fatal(err)
		}
		r.edit(in.Body)
		_, err = NewIntent(*in)
		if fieldOf(err) != r.field {
			t.Errorf("%s: names %q, want %q (%v)", r.example, fieldOf(err), r.field, err)
		}
	}
}

// The same for what entries record.
func TestEntryRules(t *testing.T) {
	t.Parallel()
	type rule struct {
		example, field string
		edit           func(b EntryBody)
	}
	evidence := func(b EntryBody) *Evidence { return &b.(*EvidenceRecord).Approval.Evidence }
	statement := func(edit func(*Attestation)) func(EntryBody) {
		return func(b EntryBody) {
			p := b.(*EvidenceRecord).Attestation
			edit(p.Attestation)
			raw, err := Encode(p.Attestation)
			if err != nil {
				t.Fatal(err)
			}
			p.Bytes = raw
		}
	}
	prepared := func(b EntryBody) *Prepared { return b.(*Prepared) }
	signed := func(b EntryBody) *SignedRecord { return b.(*SignedRecord) }
	key := func(b EntryBody) *KeyRecord { return b.(*KeyRecord) }
	observed := func(b EntryBody) *Observed { return b.(*Observed) }
	nonce, over := uint64(1), uint64(1)<<53
	const ev = "body.approval.evidence."
	rules := []rule{
		{"charter", "body.charter", func(b EntryBody) { b.(*CharterRecord).Charter = jsontext.Value(`"x"`) }},
		{"charter", "body.administrators.0.signature", func(b EntryBody) { zero(&b.(*CharterRecord).Administrators[0].Signature) }},
		{"charter", "body.nodes.1", func(b EntryBody) { n := b.(*CharterRecord).Nodes; n[1] = n[0] }},
		{"charter", "body.nodes.1.signature", func(b EntryBody) { b.(*CharterRecord).Nodes[1].Signature = filler(64, 1) }},

		{"intent", "body.intent.expires", func(b EntryBody) {
			r := b.(*IntentRecord)
			r.Bytes = jsontext.Value(strings.Replace(string(r.Bytes), r.Intent.Expires.String(), r.Intent.Created.String(), 1))
		}},
		{"intent", "body.intent.body.amount", func(b EntryBody) {
			r := b.(*IntentRecord)
			r.Bytes = jsontext.Value(strings.Replace(string(r.Bytes), `"amount":"2500000000000000000"`, `"amount":"0"`, 1))
		}},
		{"intent", "body.intent.type", func(b EntryBody) {
			r := b.(*IntentRecord)
			r.Bytes = jsontext.Value(strings.Replace(string(r.Bytes), `"TRANSFER"`, `"TRANSFERS"`, 1))
		}},
		{"intent", "body.intent", func(b EntryBody) { b.(*IntentRecord).Bytes = jsontext.Value("[]") }},
		{"intent", "body.evidence.signature", func(b EntryBody) { zero(&b.(*IntentRecord).Evidence.Signature) }},
		{"intent-contract-call", "body.intent", func(b EntryBody) {
			r := b.(*IntentRecord)
			c := r.Intent.Body.(*ContractCall)
			c.Data = append(c.Data, filler(147_000, 1)...)
			raw, err := Encode(envelope{r.Intent.Type, r.Intent.ID, r.Intent.Institution, r.Intent.Domain, r.Intent.Created, r.Intent.Expires, r.Intent.Initiator, mustEncode(t, c)})
			if err != nil || len(raw) <= MaxIntent || len(raw) > MaxEntry-1000 {
				t.Fatalf("%d bytes (%v)", len(raw), err)
			}
			r.Bytes = raw
		}},

		{"evidence-passkey", "body.approval", func(b EntryBody) { zero(&b.(*EvidenceRecord).Approval) }},
		{"evidence-passkey", "body.approval", func(b EntryBody) { b.(*EvidenceRecord).Attestation = &AttestationProof{Bytes: jsontext.Value("{}")} }},
		{"evidence-passkey", "body.approval.verdict", func(b EntryBody) { b.(*EvidenceRecord).Approval.Verdict = Submit }},
		{"evidence-passkey", ev + "credential", func(b EntryBody) { zero(&evidence(b).Credential) }},
		{"evidence-passkey", ev + "recovery", func(b EntryBody) { evidence(b).Recovery = id[Person](1) }},
		{"evidence-passkey", ev + "node", func(b EntryBody) { evidence(b).Node = "node-a" }},
		{"evidence-passkey", ev + "signed", func(b EntryBody) { zero(&evidence(b).Signed) }},
		{"evidence-passkey", ev + "signed", func(b EntryBody) { evidence(b).Signed.Token = token(exampleHeader, exampleClaims) }},
		{"evidence-passkey", ev + "signed", func(b EntryBody) { evidence(b).Signed = &Signed{Token: token(exampleHeader, exampleClaims)} }},
		{"evidence-passkey", ev + "signed.clientDataJSON", func(b EntryBody) { evidence(b).Signed.ClientData = filler(4097, 1) }},
		{"evidence-passkey", ev + "signed.authenticatorData", func(b EntryBody) { evidence(b).Signed.AuthenticatorData = filler(1025, 1) }},
		{"evidence-passkey", ev + "signature", func(b EntryBody) { zero(&evidence(b).Signature) }},
		{"evidence-passkey", ev + "signature", func(b EntryBody) { evidence(b).Signature = filler(4097, 1) }},
		{"evidence-device", ev + "signed", func(b EntryBody) { evidence(b).Signed = passkey.Signed }},
		{"evidence-device", ev + "credential", func(b EntryBody) { zero(&evidence(b).Credential) }},
		{"evidence-oidc", ev + "signature", func(b EntryBody) { evidence(b).Signature = filler(64, 1) }},
		{"evidence-oidc", ev + "signed", func(b EntryBody) { evidence(b).Signed = passkey.Signed }},
		{"evidence-oidc", ev + "signed.token", func(b EntryBody) { evidence(b).Signed.Token = "a.b.c" }},
		{"evidence-recovery", ev + "recovery", func(b EntryBody) { zero(&evidence(b).Recovery) }},
		{"evidence-recovery", ev + "credential", func(b EntryBody) { evidence(b).Credential = id[Credential](1) }},
		{"evidence-recovery", ev + "signed", func(b EntryBody) { evidence(b).Signed = passkey.Signed }},
		{"evidence-node", ev + "node", func(b EntryBody) { zero(&evidence(b).Node) }},
		{"evidence-node", ev + "credential", func(b EntryBody) { evidence(b).Credential = id[Credential](1) }},
		{"evidence-node", ev + "recovery", func(b EntryBody) { evidence(b).Recovery = id[Person](1) }},

		{"evidence-price", "body.attestation.signature", func(b EntryBody) { b.(*EvidenceRecord).Attestation.Signature = filler(63, 1) }},
		{"evidence-price", "body.attestation.statement", func(b EntryBody) { b.(*EvidenceRecord).Attestation.Bytes = jsontext.Value(`"x"`) }},
		{"evidence-price", "body.attestation.statement.extra", func(b EntryBody) {
			p := b.(*EvidenceRecord).Attestation
			p.Bytes = jsontext.Value(strings.Replace(string(p.Bytes), `"price"`, `"extra":1,"price"`, 1))
		}},
		{"evidence-price", "body.attestation.statement", statement(func(a *Attestation) { zero(&a.Price) })},
		{"evidence-price", "body.attestation.statement", statement(func(a *Attestation) { a.TravelRule = &TravelRule{hashOf(1), TravelRulePending} })},
		{"evidence-price", "body.attestation.statement.until", statement(func(a *Attestation) { a.Until = a.Time })},
		{"evidence-price", "body.attestation.statement.until", statement(func(a *Attestation) { a.Until = a.Time.Add(MaxAttestationLife) + 1 })},
		{"evidence-price", "body.attestation.statement.price.units", statement(func(a *Attestation) { zero(&a.Price.Units) })},
		{"evidence-price", "body.attestation.statement.price.value", statement(func(a *Attestation) { zero(&a.Price.Value) })},

		{"prepared-nonce", "body.claims.0", func(b EntryBody) { prepared(b).Claims[0] = Claim{} }},
		{"prepared-nonce", "body.claims.0", func(b EntryBody) { prepared(b).Claims[0].Outpoint = Outpoint(hashOf(1).String() + ":0") }},
		{"prepared-nonce", "body.claims.0.nonce", func(b EntryBody) { prepared(b).Claims = append(prepared(b).Claims, Claim{Nonce: &nonce}) }},
		{"prepared-nonce", "body.claims.0.nonce", func(b EntryBody) { prepared(b).Claims[0].Nonce = &over }},
		{"prepared-outpoints", "body.claims.1.nonce", func(b EntryBody) { prepared(b).Claims[1] = Claim{Nonce: &nonce} }},
		{"prepared-outpoints", "body.claims.1", func(b EntryBody) { prepared(b).Claims[1] = prepared(b).Claims[0] }},
		{"prepared-outpoints", "body.claims", func(b EntryBody) {
			for range MaxClaims {
				prepared(b).Claims = append(prepared(b).Claims, prepared(b).Claims[0])
			}
		}},
		{"signed", "body.messages", func(b EntryBody) { signed(b).Messages = []Hash{} }},
		{"signed", "body.messages", func(b EntryBody) { signed(b).Messages = make([]Hash, MaxClaims+1) }},
		{"signed", "body.signatures", func(b EntryBody) { signed(b).Signatures = signed(b).Signatures[:1] }},
		{"signed", "body.signatures.1", func(b EntryBody) { signed(b).Signatures[1] = Blob{} }},
		{"signed", "body.signatures.1", func(b EntryBody) { signed(b).Signatures[1] = filler(129, 1) }},
		{"signed", "body.receipts.1", func(b EntryBody) { signed(b).Receipts[1].Node = signed(b).Receipts[0].Node }},
		{"signed", "body.receipts.1.signature", func(b EntryBody) { signed(b).Receipts[1].Signature = filler(64, 1) }},
		{"key", "body.key.publicKey", func(b EntryBody) { key(b).Key.PublicKey = filler(32, 1) }},
		{"key", "body.key.publicKey", func(b EntryBody) { key(b).Key.Scheme = Ed25519 }},
		{"key", "body.key.signerSet.threshold", func(b EntryBody) { key(b).Key.Set.Threshold = 1 }},
		{"key", "body.attestations.1", func(b EntryBody) { key(b).Attestations[1] = key(b).Attestations[0] }},
		{"key", "body.attestations.0.signature", func(b EntryBody) { key(b).Attestations[0].Signature = filler(1, 1) }},
		{"cosigned", "body.proof", func(b EntryBody) { b.(*Cosigned).Proof = make([]Hash, 65) }},
		{"cosigned", "body.head", func(b EntryBody) { b.(*Cosigned).Head = "Alice Smith called on Monday" }},
		{"observed-tick", "body.intent", func(b EntryBody) { observed(b).Intent = id[Intent](1) }},
		{"observed-tick", "body.prepared", func(b EntryBody) { observed(b).Prepared = hashOf(1) }},
		{"observed-tick", "body.wallet", func(b EntryBody) { observed(b).Wallet = id[Wallet](1) }},
		{"observed-deposit", "body.wallet", func(b EntryBody) { zero(&observed(b).Wallet) }},
		{"observed-deposit", "body.intent", func(b EntryBody) { observed(b).Intent = id[Intent](1) }},
		{"observed-deposit", "body.height", func(b EntryBody) { observed(b).Height = 1 << 53 }},
		{"observed-confirmed", "body.intent", func(b EntryBody) { zero(&observed(b).Intent) }},
		{"observed-confirmed", "body.prepared", func(b EntryBody) { zero(&observed(b).Prepared) }},
		{"observed-confirmed", "body.wallet", func(b EntryBody) { observed(b).Wallet = id[Wallet](1) }},
	}
	raws := rawEntries(t)
	for _, r := range rules {
		e, err := ParseEntry(raws[r.example])
		if err != nil {
			t.Fatalf("%s: %v", r.example, err)
		}
		r.edit(e.Body)
		_, err = NewEntry(*e)
		if fieldOf(err) != r.field {
			t.Errorf("%s: names %q, want %q (%v)", r.example, fieldOf(err), r.field, err)
		}
	}
	for field, edit := range map[string]func(string) string{
		"v":     func(s string) string { return strings.Replace(s, `"v":1`, `"v":2`, 1) },
		"index": func(s string) string { return strings.Replace(s, `"index":12`, `"index":-1`, 1) },
		"type":  func(s string) string { return strings.Replace(s, `"OBSERVED"`, `"OTHER"`, 1) },
		"time":  func(s string) string { return strings.Replace(s, `.000Z`, `,000Z`, 1) },
	} {
		if _, err := ParseEntry([]byte(edit(string(raws["observed-tick"])))); fieldOf(err) != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func mustEncode(t *testing.T, v any) jsontext.Value {
	t.Helper()
	raw, err := Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestAttestationKinds(t *testing.T) {
	t.Parallel()
	for kind, a := range map[AttestationKind]Attestation{
		PriceAttestation:      {Price: &Price{}},
		ScreeningAttestation:  {Screening: &Screening{}},
		TravelRuleAttestation: {TravelRule: &TravelRule{}},
	} {
		if a.Kind() != kind {
			t.Errorf("%s is %s", kind, a.Kind())
		}
	}
}

// Lists are searched by exact spelling, so they have one.
func TestParseList(t *testing.T) {
	t.Parallel()
	a := func(c string) string { return `"0x` + strings.Repeat(c, 40) + `"` }
	for list, field := range map[string]string{
		a("1"):                                "ok",
		"":                                    "ok",
		a("1") + "," + a("a"):                 "ok",
		a("a") + "," + a("1"):                 "addresses.1",
		a("1") + "," + a("1"):                 "addresses.1",
		a("1") + "," + a("A"):                 "addresses.1",
		a("g"):                                "addresses.0",
		a("1")[:42] + `"`:                     "addresses.0",
		`"0x` + strings.Repeat("1", 41) + `"`: "addresses.0",
		`"0X` + strings.Repeat("1", 40) + `"`: "addresses.0",
		`"` + strings.Repeat("1", 42) + `"`:   "ok",
		`"bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"`: "ok",
		`"alice@bank.example"`:                         "addresses.0",
	} {
		l, err := ParseList([]byte(`{"addresses":[` + list + `],"name":"ofac"}`))
		got := "ok"
		if err != nil {
			got = fieldOf(err)
		}
		if got != field || err == nil && l.Name != "ofac" {
			t.Errorf("%s: %s, want %s (%v)", list, got, field, err)
		}
	}
	for in, field := range map[string]string{`{"addresses":[]}`: "name", `{"name":"ofac"}`: "addresses", `{"addresses":[],"name":"ofac","x":1}`: "x"} {
		if _, err := ParseList([]byte(in)); fieldOf(err) != field {
			t.Errorf("%s: %v", in, err)
		}
	}
}
