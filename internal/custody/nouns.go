package custody

import "fmt"

// Institution is a legal entity, such as a bank. Persons, nodes, vaults and
// witnesses belong to one.
type Institution struct {
	ID      Name    `json:"id"`
	Country Country `json:"country"`
	LEI     LEI     `json:"lei,omitzero"`
}

// PersonKind says whether a person is a human or a program.
type PersonKind string

// The kinds of person.
const (
	Human   PersonKind = "HUMAN"
	Service PersonKind = "SERVICE"
)

// UnmarshalText checks the word.
func (k *PersonKind) UnmarshalText(b []byte) error { return oneOf(k, b, Human, Service) }

// Person is someone, or a program, that can sign. Nothing in it names a human.
type Person struct {
	ID          ID[Person] `json:"id"`
	Institution Name       `json:"institution"`
	Country     Country    `json:"country"`
	Kind        PersonKind `json:"kind"`
	Roles       []Name     `json:"roles,omitzero"`
}

func (p Person) valid() error { return unique("roles", p.Roles, self) }

// Group is a named set of people. It may be empty.
type Group struct {
	ID      Name         `json:"id"`
	Members []ID[Person] `json:"members"`
}

func (g Group) valid() error { return unique("members", g.Members, self) }

// Administrators is the group whose members sign the charter.
const Administrators Name = "administrators"

// CredentialKind says how a credential signs (docs/spec/06).
type CredentialKind string

// The kinds of credential.
const (
	WebAuthn CredentialKind = "WEBAUTHN" // a passkey
	Device   CredentialKind = "DEVICE"   // a key in an encrypted file, for services and the CLI
	OIDC     CredentialKind = "OIDC"     // a subject at an identity provider; identifies, never approves by itself
)

// UnmarshalText checks the word.
func (k *CredentialKind) UnmarshalText(b []byte) error {
	return oneOf(k, b, WebAuthn, Device, OIDC)
}

// Algorithm is a signature algorithm by its JOSE name (RFC 7518, RFC 8037).
type Algorithm string

// The algorithms.
const (
	ES256 Algorithm = "ES256" // ECDSA on P-256 with SHA-256, signature in ASN.1 DER (in tokens: r‖s)
	EdDSA Algorithm = "EdDSA" // Ed25519
	RS256 Algorithm = "RS256" // RSASSA-PKCS1-v1_5 with SHA-256, modulus of 2,048 to 4,096 bits
)

// UnmarshalText checks the word.
func (a *Algorithm) UnmarshalText(b []byte) error { return oneOf(a, b, ES256, EdDSA, RS256) }

// Credential is what a person signs with. A key credential has Algorithm and
// PublicKey; one of kind OIDC has Issuer and Subject.
type Credential struct {
	ID        ID[Credential] `json:"id"`
	Person    ID[Person]     `json:"person"`
	Kind      CredentialKind `json:"kind"`
	Algorithm Algorithm      `json:"algorithm,omitzero"`
	PublicKey Blob           `json:"publicKey,omitzero"`  // PKIX, ASN.1 DER
	WebAuthn  Blob           `json:"webauthnId,omitzero"` // the authenticator's credential id, at most 1,023 bytes
	Issuer    Name           `json:"issuer,omitzero"`
	Subject   Hash           `json:"subject,omitzero"` // SHA-256 of the pairwise sub
}

func (c Credential) valid() error {
	key := c.Kind != OIDC
	switch {
	case key && c.Algorithm == "":
		return invalid("algorithm", "missing")
	case key && c.PublicKey.IsZero():
		return invalid("publicKey", "missing")
	case key && c.Issuer != "":
		return invalid("issuer", "only for a credential of kind OIDC")
	case key && c.Subject != Hash{}:
		return invalid("subject", "only for a credential of kind OIDC")
	case c.Kind == WebAuthn && (len(c.WebAuthn) == 0 || len(c.WebAuthn) > 1023):
		return invalid("webauthnId", "1 to 1,023 bytes for a passkey")
	case c.Kind != WebAuthn && len(c.WebAuthn) > 0:
		return invalid("webauthnId", "only for a credential of kind WEBAUTHN")
	case c.Kind == Device && c.Algorithm == RS256:
		return invalid("algorithm", "a device key is Ed25519 (EdDSA) or P-256 (ES256)")
	case !key && c.Issuer == "":
		return invalid("issuer", "missing")
	case !key && c.Subject == Hash{}:
		return invalid("subject", "missing")
	case !key && c.Algorithm != "":
		return invalid("algorithm", "a credential of kind OIDC has no key of its own")
	case !key && !c.PublicKey.IsZero():
		return invalid("publicKey", "a credential of kind OIDC has no key of its own")
	}
	return nil
}

// HybridKey is an Ed25519 and an ML-DSA-44 public key used together: 32 + 1,312
// bytes (package hybrid).
type HybridKey = Blob

const hybridKeySize = 32 + 1312

// Sealing says how a node keeps its shares.
type Sealing string

// The ways of sealing.
const (
	SealedByFile Sealing = "FILE"   // a passphrase
	SealedByHSM  Sealing = "PKCS11" // a hardware security module
)

// UnmarshalText checks the word.
func (s *Sealing) UnmarshalText(b []byte) error { return oneOf(s, b, SealedByFile, SealedByHSM) }

// SignerNode is a daemon that holds shares and decides for itself. It is a
// witness as well, with a key that signs cosignatures only.
type SignerNode struct {
	ID           Name      `json:"id"`
	Institution  Name      `json:"institution"`
	Jurisdiction Country   `json:"jurisdiction"`
	IdentityKey  HybridKey `json:"identityKey"`
	WitnessKey   HybridKey `json:"witnessKey"`
	Sealing      Sealing   `json:"sealing"`
}

func (n SignerNode) valid() error {
	if len(n.IdentityKey) != hybridKeySize {
		return invalid("identityKey", fmt.Sprintf("%d bytes, want %d", len(n.IdentityKey), hybridKeySize))
	}
	if len(n.WitnessKey) != hybridKeySize {
		return invalid("witnessKey", fmt.Sprintf("%d bytes, want %d", len(n.WitnessKey), hybridKeySize))
	}
	if string(n.IdentityKey) == string(n.WitnessKey) {
		return invalid("witnessKey", "the same as identityKey")
	}
	return nil
}

// Witness is a node that cosigns heads and holds no shares: an auditor, a
// regulator, a disaster site.
type Witness struct {
	ID          Name      `json:"id"`
	Institution Name      `json:"institution"`
	Key         HybridKey `json:"key"`
}

func (w Witness) valid() error {
	if len(w.Key) != hybridKeySize {
		return invalid("key", fmt.Sprintf("%d bytes, want %d", len(w.Key), hybridKeySize))
	}
	return nil
}

// WitnessQuorum says who witnesses beside the signer nodes, how many must cosign
// a head, and how many of them may lie.
type WitnessQuorum struct {
	Others []Witness `json:"others,omitzero"`
	Quorum int       `json:"quorum"`
	Liars  int       `json:"liars"`
}

// CheckInequality refuses a quorum q of n witnesses, of which f may lie, unless
// 2q > n + f and q ≤ n: then two quorums share an honest witness, so that f liars
// can't help to fork the journal, and n − q may be absent.
func (w WitnessQuorum) CheckInequality(n int) error {
	switch {
	case w.Liars < 0:
		return invalid("liars", "negative")
	case w.Quorum > n:
		return invalid("quorum", fmt.Sprintf("%d of only %d witnesses", w.Quorum, n))
	case 2*w.Quorum <= n+w.Liars:
		return invalid("quorum", fmt.Sprintf("2·%d is not above %d witnesses + %d liars, so the journal could be forked", w.Quorum, n, w.Liars))
	}
	return nil
}

// AttestationKind says what an attestor states.
type AttestationKind string

// The kinds of attestation.
const (
	PriceAttestation      AttestationKind = "PRICE"
	ScreeningAttestation  AttestationKind = "SCREENING"
	TravelRuleAttestation AttestationKind = "TRAVEL_RULE"
)

// UnmarshalText checks the word.
func (k *AttestationKind) UnmarshalText(b []byte) error {
	return oneOf(k, b, PriceAttestation, ScreeningAttestation, TravelRuleAttestation)
}

// Attestor states facts that nodes can't see. Key is Ed25519 (32 bytes).
type Attestor struct {
	ID     Name              `json:"id"`
	Key    Blob              `json:"key"`
	States []AttestationKind `json:"states"`
}

func (a Attestor) valid() error {
	if len(a.Key) != 32 {
		return invalid("key", "not an Ed25519 public key of 32 bytes")
	}
	if len(a.States) == 0 {
		return invalid("states", "empty: an attestor states something")
	}
	return unique("states", a.States, self)
}

// RecoveryKey is one key of the recovery group: Ed25519, kept offline.
type RecoveryKey struct {
	ID  ID[Person] `json:"id"`
	Key Blob       `json:"key"`
}

// Recovery is the group that can give administrators new credentials when theirs
// are lost, after a delay in which any administrator or node can object. It can't
// move money.
type Recovery struct {
	Keys      []RecoveryKey `json:"keys"`
	Threshold int           `json:"threshold"`
	Delay     Seconds       `json:"delay"` // at least one hour; 72 h unless there is reason
}

func (r Recovery) valid() error {
	for i, k := range r.Keys {
		if len(k.Key) != 32 {
			return invalid(fmt.Sprintf("keys.%d.key", i), "not an Ed25519 public key of 32 bytes")
		}
	}
	if err := unique("keys", r.Keys, func(k RecoveryKey) string { return string(k.Key) }); err != nil {
		return err
	}
	if err := unique("keys", r.Keys, func(k RecoveryKey) ID[Person] { return k.ID }); err != nil {
		return err
	}
	if r.Threshold < 2 || r.Threshold > len(r.Keys) {
		return invalid("threshold", fmt.Sprintf("%d of %d keys: at least 2 and at most all", r.Threshold, len(r.Keys)))
	}
	if r.Delay < Hour || r.Delay > 14*Day {
		return invalid("delay", "between one hour and 14 days")
	}
	return nil
}

// IssuerKey is a signing key of an identity provider.
type IssuerKey struct {
	ID        KeyID     `json:"id"` // the provider's kid
	Algorithm Algorithm `json:"algorithm"`
	PublicKey Blob      `json:"publicKey"` // PKIX, ASN.1 DER
}

// Issuer is an identity provider (OpenID Connect Core).
type Issuer struct {
	ID       Name        `json:"id"`
	URL      IssuerURL   `json:"url"`      // the iss claim
	Audience ClientID    `json:"audience"` // Coffer's client id there
	Keys     []IssuerKey `json:"keys"`
}

func (i Issuer) valid() error {
	if len(i.Keys) == 0 {
		return invalid("keys", "empty")
	}
	return unique("keys", i.Keys, func(k IssuerKey) KeyID { return k.ID })
}

// RelyingParty is where passkeys work (WebAuthn §4): the domain they are bound
// to, and the origins that may ask for a signature.
type RelyingParty struct {
	ID      Host     `json:"id"`
	Origins []Origin `json:"origins"`
}

func (r RelyingParty) valid() error {
	if len(r.Origins) == 0 {
		return invalid("origins", "empty")
	}
	return unique("origins", r.Origins, self)
}

// Control holds the public keys of the control plane. The log key signs
// checkpoints, the coordinator key sessions; neither grants anything.
type Control struct {
	LogKey         HybridKey `json:"logKey"`
	CoordinatorKey HybridKey `json:"coordinatorKey"`
}

func (c Control) valid() error {
	if len(c.LogKey) != hybridKeySize {
		return invalid("logKey", fmt.Sprintf("%d bytes, want %d", len(c.LogKey), hybridKeySize))
	}
	if len(c.CoordinatorKey) != hybridKeySize {
		return invalid("coordinatorKey", fmt.Sprintf("%d bytes, want %d", len(c.CoordinatorKey), hybridKeySize))
	}
	return nil
}

// Purpose says whose assets a vault holds.
type Purpose string

// The purposes.
const (
	Treasury         Purpose = "TREASURY"
	ClientSegregated Purpose = "CLIENT_SEGREGATED"
	ClientOmnibus    Purpose = "CLIENT_OMNIBUS"
	Retail           Purpose = "RETAIL"
	Issuance         Purpose = "ISSUANCE"
)

// UnmarshalText checks the word.
func (p *Purpose) UnmarshalText(b []byte) error {
	return oneOf(p, b, Treasury, ClientSegregated, ClientOmnibus, Retail, Issuance)
}

// Vault is a book of wallets with one owner and one purpose.
type Vault struct {
	ID          ID[Vault] `json:"id"`
	Institution Name      `json:"institution"`
	Domain      Domain    `json:"domain"`
	Purpose     Purpose   `json:"purpose"`
}

// Wallet is a vault on one network, controlled by one key at the path m/Path.
type Wallet struct {
	ID      ID[Wallet] `json:"id"`
	Vault   ID[Vault]  `json:"vault"`
	Network Network    `json:"network"`
	Key     ID[Key]    `json:"key"`
	Path    uint32     `json:"path"`           // not hardened, below 2^31, used once per key and network
	Nonce   uint64     `json:"nonce,omitzero"` // the first nonce of an account-based network's lane
}

func (w Wallet) valid() error {
	if w.Path >= 1<<31 {
		return invalid("path", "not below 2^31")
	}
	if w.Nonce > uint64(maxSafe) {
		return invalid("nonce", "not below 2^53")
	}
	return nil
}

// Scheme is a signature scheme of keys.
type Scheme string

// The schemes.
const (
	ECDSASecp256k1  Scheme = "ECDSA_SECP256K1"
	BIP340Secp256k1 Scheme = "BIP340_SECP256K1"
	Ed25519         Scheme = "ED25519"
)

// UnmarshalText checks the word.
func (s *Scheme) UnmarshalText(b []byte) error {
	return oneOf(s, b, ECDSASecp256k1, BIP340Secp256k1, Ed25519)
}

// Member is a node of a signer set and how many party ids it holds there.
type Member struct {
	Node Name `json:"node"`
	IDs  int  `json:"ids"`
}

// SignerSet is an ordered list of members and a threshold that counts ids.
type SignerSet struct {
	Members   []Member `json:"members"`
	Threshold int      `json:"threshold"`
}

func (s SignerSet) valid() error {
	total := 0
	for i, m := range s.Members {
		if m.IDs < 1 || m.IDs > 16 {
			return invalid(fmt.Sprintf("members.%d.ids", i), "between 1 and 16")
		}
		total += m.IDs
	}
	if err := unique("members", s.Members, func(m Member) Name { return m.Node }); err != nil {
		return err
	}
	if total > 16 {
		return invalid("members", "more than 16 ids in all")
	}
	if s.Threshold < 2 || s.Threshold > total {
		return invalid("threshold", fmt.Sprintf("%d of %d ids: at least 2 and at most all", s.Threshold, total))
	}
	return nil
}

// Key is a public key whose private key exists only as shares.
type Key struct {
	ID        ID[Key]   `json:"id"`
	Scheme    Scheme    `json:"scheme"`
	PublicKey Blob      `json:"publicKey"` // 33 bytes, SEC 1 compressed, on secp256k1; 32 for Ed25519
	ChainCode Hash      `json:"chainCode"` // H("cc", cc): a commitment, never the chain code
	Epoch     uint32    `json:"epoch"`
	Set       SignerSet `json:"signerSet"`
}

func (k Key) valid() error {
	want := 33
	if k.Scheme == Ed25519 {
		want = 32
	}
	if len(k.PublicKey) != want {
		return invalid("publicKey", fmt.Sprintf("%d bytes, want %d for %s", len(k.PublicKey), want, k.Scheme))
	}
	return nil
}

// DestinationKind says how well a destination is known.
type DestinationKind string

// The kinds of destination.
const (
	OwnWallet    DestinationKind = "INTERNAL"     // a wallet of the same charter
	Allowlisted  DestinationKind = "ALLOWLISTED"  // an address of the address book
	Counterparty DestinationKind = "COUNTERPARTY" // an address of the address book that belongs to a counterparty
	OneTime      DestinationKind = "ONE_TIME"     // an address given in the intent
)

// UnmarshalText checks the word.
func (k *DestinationKind) UnmarshalText(b []byte) error {
	return oneOf(k, b, OwnWallet, Allowlisted, Counterparty, OneTime)
}

// Destination is an entry of the governed address book.
type Destination struct {
	ID           ID[Destination] `json:"id"`
	Kind         DestinationKind `json:"kind"` // ALLOWLISTED or COUNTERPARTY
	Network      Network         `json:"network"`
	Address      Address         `json:"address"`
	Method       Selector        `json:"method,omitzero"` // for a contract: the one method that may be called
	Country      Country         `json:"country"`
	Counterparty LEI             `json:"counterparty,omitzero"`
	Tags         []Name          `json:"tags,omitzero"`
}

func (d Destination) valid() error {
	switch d.Kind {
	case Allowlisted:
	case Counterparty:
		if d.Counterparty == "" {
			return invalid("counterparty", "missing")
		}
	default:
		return invalid("kind", "not one of ALLOWLISTED, COUNTERPARTY")
	}
	return unique("tags", d.Tags, self)
}

func self[T any](v T) T { return v }
