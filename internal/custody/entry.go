package custody

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// EntryType says what an entry of the journal records.
type EntryType string

// The types of entry.
const (
	CharterEntry    EntryType = "CHARTER"
	IntentEntry     EntryType = "INTENT"
	EvidenceEntry   EntryType = "EVIDENCE"
	AuthorizedEntry EntryType = "AUTHORIZED"
	PreparedEntry   EntryType = "PREPARED"
	SignedEntry     EntryType = "SIGNED"
	KeyEntry        EntryType = "KEY"
	CosignedEntry   EntryType = "COSIGNED"
	ObservedEntry   EntryType = "OBSERVED"
)

var entryBodies = map[EntryType]func() EntryBody{
	CharterEntry:    func() EntryBody { return new(CharterRecord) },
	IntentEntry:     func() EntryBody { return new(IntentRecord) },
	EvidenceEntry:   func() EntryBody { return new(EvidenceRecord) },
	AuthorizedEntry: func() EntryBody { return new(Authorized) },
	PreparedEntry:   func() EntryBody { return new(Prepared) },
	SignedEntry:     func() EntryBody { return new(SignedRecord) },
	KeyEntry:        func() EntryBody { return new(KeyRecord) },
	CosignedEntry:   func() EntryBody { return new(Cosigned) },
	ObservedEntry:   func() EntryBody { return new(Observed) },
}

// UnmarshalText checks the word.
func (t *EntryType) UnmarshalText(b []byte) error {
	if _, ok := entryBodies[EntryType(b)]; !ok {
		return invalid("", "not a type of entry")
	}
	*t = EntryType(b)
	return nil
}

// EntryBody is what an entry of one type records: a pointer to one of the structs
// below.
//
//nolint:iface // what an intent asks for is no entry, though both are checked alike
type EntryBody interface{ valid() error }

// EntryVersion is the version of the form of entries.
const EntryVersion = 1

// Entry is one line of the journal. Raw is its canonical bytes, of which the
// journal's leaf is the hash.
type Entry struct {
	Index int64
	Time  Time
	Type  EntryType
	Body  EntryBody
	Raw   []byte
}

type entryEnvelope struct {
	V     int            `json:"v"`
	Index int64          `json:"index"`
	Time  Time           `json:"time"`
	Type  EntryType      `json:"type"`
	Body  jsontext.Value `json:"body"`
}

// ParseEntry reads the canonical bytes of an entry, at most [MaxEntry] of them,
// with all that lies inside. It keeps raw: don't change it. Errors are of code
// [Invalid] and name the field.
func ParseEntry(raw []byte) (*Entry, error) {
	e, ok := cutEntry(raw)
	if !ok {
		if err := Decode(raw, &e, MaxEntry); err != nil {
			return nil, err
		}
	}
	if e.V != EntryVersion {
		return nil, invalid("v", fmt.Sprintf("not %d", EntryVersion))
	}
	if e.Index < 0 {
		return nil, invalid("index", "negative")
	}
	out := &Entry{Index: e.Index, Time: e.Time, Type: e.Type, Body: entryBodies[e.Type](), Raw: raw}
	if err := decodePart(e.Body, out.Body); err != nil {
		// What cutEntry takes for the body can be more than one value.
		if whole := Decode(raw, new(entryEnvelope), MaxEntry); whole != nil {
			return nil, whole
		}
		return nil, within("body", err)
	}
	if err := out.Body.valid(); err != nil {
		return nil, within("body", err)
	}
	return out, nil
}

// cutEntry takes an entry apart by the places that its members have in canonical
// form, so that the body, which is nearly all of it, is read once. It answers
// false for anything else, of which [Decode] finds out what is wrong; that the
// body is one canonical value is for the caller to check.
func cutEntry(raw []byte) (e entryEnvelope, ok bool) {
	const head, index, time, kind, end = `{"body":`, `,"index":`, `,"time":"`, `","type":"`, `","v":1}`
	at := bytes.LastIndex(raw, []byte(index))
	if at < len(head) || len(raw) > MaxEntry || !bytes.HasPrefix(raw, []byte(head)) || !bytes.HasSuffix(raw, []byte(end)) {
		return e, false
	}
	digits, rest, ok1 := strings.Cut(string(raw[at+len(index):len(raw)-len(end)]), time)
	when, what, ok2 := strings.Cut(rest, kind)
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok1 || !ok2 || err != nil || n < 0 || n > maxSafe || strconv.FormatInt(n, 10) != digits {
		return e, false
	}
	if e.Time.UnmarshalText([]byte(when)) != nil || e.Type.UnmarshalText([]byte(what)) != nil {
		return e, false
	}
	e.V, e.Index, e.Body = EntryVersion, n, raw[len(head):at]
	return e, true
}

// NewEntry writes an entry in canonical bytes and reads it back. Raw is ignored.
func NewEntry(e Entry) (*Entry, error) {
	body, err := Encode(e.Body)
	if err != nil {
		return nil, err
	}
	raw, err := Encode(entryEnvelope{EntryVersion, e.Index, e.Time, e.Type, body})
	if err != nil {
		return nil, err
	}
	return ParseEntry(raw)
}

// NodeSignature is a hybrid signature (64 + 2,420 bytes) by a node's identity key.
type NodeSignature struct {
	Node      Name `json:"node"`
	Signature Blob `json:"signature"`
}

const hybridSignatureSize = 64 + 2420

func (s NodeSignature) valid() error {
	if len(s.Signature) != hybridSignatureSize {
		return invalid("signature", fmt.Sprintf("%d bytes, want %d", len(s.Signature), hybridSignatureSize))
	}
	return nil
}

func nodeSignatures(field string, list []NodeSignature) error {
	if err := each(field, list); err != nil {
		return err
	}
	return unique(field, list, func(s NodeSignature) Name { return s.Node })
}

// CharterRecord is the body of CHARTER, the first entry: the charter and the
// signatures of every administrator and node.
type CharterRecord struct {
	Charter        jsontext.Value  `json:"charter"` // [ParseCharter] reads it
	Administrators []Evidence      `json:"administrators"`
	Nodes          []NodeSignature `json:"nodes"`
}

func (c *CharterRecord) valid() error {
	if err := object("charter", c.Charter); err != nil {
		return err
	}
	if err := each("administrators", c.Administrators); err != nil {
		return err
	}
	return nodeSignatures("nodes", c.Nodes)
}

// IntentRecord is the body of INTENT: the intent and its initiator's signature,
// verdict SUBMIT. Prev is the leaf hash of the governance chain's newest entry,
// for an intent that governs.
type IntentRecord struct {
	Bytes    jsontext.Value `json:"intent"`
	Evidence Evidence       `json:"evidence"`
	Prev     Hash           `json:"prev,omitzero"`

	Intent *Intent `json:"-"`
}

func (r *IntentRecord) valid() error {
	intent, err := ParseIntent(r.Bytes)
	if err != nil {
		return within("intent", err)
	}
	r.Intent = intent
	return within("evidence", r.Evidence.valid())
}

// EvidenceRecord is the body of EVIDENCE: an approval or an attestation for an
// intent, one of the two.
type EvidenceRecord struct {
	Intent      ID[Intent]        `json:"intent"`
	Approval    *Approval         `json:"approval,omitzero"`
	Attestation *AttestationProof `json:"attestation,omitzero"`
	Prev        Hash              `json:"prev,omitzero"`
}

func (r *EvidenceRecord) valid() error {
	switch {
	case (r.Approval == nil) == (r.Attestation == nil):
		return invalid("approval", "one of approval and attestation")
	case r.Approval != nil && r.Approval.Verdict == Submit:
		return invalid("approval.verdict", "not one of YES, NO")
	case r.Approval != nil:
		return within("approval.evidence", r.Approval.Evidence.valid())
	}
	a := r.Attestation
	if len(a.Signature) != 64 {
		return invalid("attestation.signature", "not an Ed25519 signature of 64 bytes")
	}
	a.Attestation = new(Attestation)
	if err := decodePart(a.Bytes, a.Attestation); err != nil {
		return within("attestation.statement", err)
	}
	return within("attestation.statement", a.Attestation.valid())
}

// Approval is a person's signed yes or no.
type Approval struct {
	Verdict  Verdict  `json:"verdict"`
	Evidence Evidence `json:"evidence"`
}

// AttestationProof is an attestor's statement and its Ed25519 signature over
// [AttestationHash].
type AttestationProof struct {
	Bytes     jsontext.Value `json:"statement"`
	Signature Blob           `json:"signature"`

	Attestation *Attestation `json:"-"`
}

// Authorized is the body of AUTHORIZED: policy allows the intent. Apply decides
// for itself at this position; what stands here binds it to what others saw.
type Authorized struct {
	Intent ID[Intent] `json:"intent"`
	Policy Hash       `json:"policy"` // SHA-256 of the policy in force
	Facts  Hash       `json:"facts"`  // SHA-256 of the canonical facts that the Decision used
	Prev   Hash       `json:"prev"`   // leaf hash of the governance chain's newest entry
}

func (a *Authorized) valid() error { return nil }

// Claim is what a transaction uses up on its network: the nonce of a wallet's
// lane, or a Bitcoin output.
type Claim struct {
	Nonce    *uint64  `json:"nonce,omitzero"`
	Outpoint Outpoint `json:"outpoint,omitzero"`
}

// Prepared is the body of PREPARED: the exact transaction that an authorized
// intent signs next. All amounts are base units of the network's own asset.
type Prepared struct {
	Intent      ID[Intent] `json:"intent"`
	By          ID[Intent] `json:"by"`          // the intent itself, or the SPEED_UP or CANCEL that asks for this
	Transaction Hash       `json:"transaction"` // SHA-256 of the unsigned transaction
	Claims      []Claim    `json:"claims"`      // all of them; none for a typed message
	Fee         Amount     `json:"fee"`         // the highest that it can cost
	Prev        Hash       `json:"prev"`        // leaf hash of the governance chain's newest entry
}

// MaxClaims is the most that one transaction may claim.
const MaxClaims = 1000

func (p *Prepared) valid() error {
	if len(p.Claims) > MaxClaims {
		return invalid("claims", fmt.Sprintf("more than %d", MaxClaims))
	}
	for i, c := range p.Claims {
		if (c.Nonce == nil) == (c.Outpoint == "") {
			return invalid(fmt.Sprintf("claims.%d", i), "one of nonce and outpoint")
		}
		if c.Nonce != nil && (len(p.Claims) > 1 || *c.Nonce > uint64(maxSafe)) {
			return invalid(fmt.Sprintf("claims.%d.nonce", i), "a nonce below 2^53 stands alone")
		}
	}
	return unique("claims", p.Claims, func(c Claim) Outpoint { return c.Outpoint })
}

// Receipt is one signer's statement that it signed the transaction of the
// PREPARED entry with the given leaf hash.
type Receipt struct {
	Node      Name `json:"node"`
	Signature Blob `json:"signature"` // hybrid, over [ReceiptHash]
}

func (r Receipt) valid() error { return NodeSignature(r).valid() }

// ReceiptHash is what a signer signs after it signed the transaction of the
// PREPARED entry with the given leaf hash: messages are the SHA-256 of what
// each signature of the transaction signs, in order.
func ReceiptHash(charter, prepared Hash, messages []Hash) Hash {
	parts := [][]byte{charter[:], prepared[:]}
	for _, m := range messages {
		parts = append(parts, m[:])
	}
	return tagged("coffer/receipt/v1", parts...)
}

// SignedRecord is the body of SIGNED.
type SignedRecord struct {
	Intent     ID[Intent] `json:"intent"`
	Prepared   Hash       `json:"prepared"`   // leaf hash of the PREPARED entry
	Messages   []Hash     `json:"messages"`   // SHA-256 of what each signature signs
	Signatures []Blob     `json:"signatures"` // one per message, in order
	Receipts   []Receipt  `json:"receipts"`
}

func (s *SignedRecord) valid() error {
	switch {
	case len(s.Messages) == 0 || len(s.Messages) > MaxClaims:
		return invalid("messages", fmt.Sprintf("between 1 and %d", MaxClaims))
	case len(s.Signatures) != len(s.Messages):
		return invalid("signatures", "not one per message")
	}
	for i, sig := range s.Signatures {
		if len(sig) == 0 || len(sig) > 128 {
			return invalid(fmt.Sprintf("signatures.%d", i), "not 1 to 128 bytes")
		}
	}
	if err := each("receipts", s.Receipts); err != nil {
		return err
	}
	return unique("receipts", s.Receipts, func(r Receipt) Name { return r.Node })
}

// KeyRecord is the body of KEY: the result of a ceremony, signed by all nodes of
// the key's set over [KeyHash].
type KeyRecord struct {
	Intent       ID[Intent]      `json:"intent"`
	Key          Key             `json:"key"`
	Attestations []NodeSignature `json:"attestations"`
	Prev         Hash            `json:"prev"`
}

func (k *KeyRecord) valid() error {
	if err := within("key", k.Key.valid()); err != nil {
		return err
	}
	if err := within("key.signerSet", k.Key.Set.valid()); err != nil {
		return err
	}
	return nodeSignatures("attestations", k.Attestations)
}

// KeyHash is what every node of a key's set signs to attest it.
func KeyHash(charter Hash, intent ID[Intent], key Key) (Hash, error) {
	raw, err := Encode(key)
	if err != nil {
		return Hash{}, err
	}
	return tagged("coffer/key/v1", charter[:], intent[:], raw), nil
}

// Cosigned is the body of COSIGNED: a head with its cosignatures, put on record
// so that delays can run from a witnessed time. Proof shows that the head is a
// prefix of the journal before this entry (RFC 6962 §2.1.2).
type Cosigned struct {
	Intent ID[Intent] `json:"intent"`
	Head   Note       `json:"head"`
	Proof  []Hash     `json:"proof"`
	Prev   Hash       `json:"prev,omitzero"`
}

// Note is a signed note (C2SP signed-note): a checkpoint with its signatures.
type Note string

// UnmarshalText bounds the length and checks the form, so that a note has no room
// for free text either. Package journal reads it.
func (n *Note) UnmarshalText(b []byte) error {
	const rule = "not a checkpoint with signatures of at most 200 KiB in all"
	lines := strings.Split(string(b), "\n")
	if len(b) > 200<<10 || len(lines) < 6 || lines[3] != "" || lines[len(lines)-1] != "" {
		return invalid("", rule)
	}
	origin, size, root := lines[0], lines[1], lines[2]
	charter, ok := strings.CutPrefix(origin, "coffer/")
	if !ok || new(Hash).UnmarshalText([]byte(charter)) != nil {
		return invalid("", rule)
	}
	if v, err := strconv.ParseInt(size, 10, 64); err != nil || v < 0 || strconv.FormatInt(v, 10) != size {
		return invalid("", rule)
	}
	var decoded Blob
	if err := decoded.UnmarshalText([]byte(root)); err != nil || len(decoded) != len(Hash{}) {
		return invalid("", rule)
	}
	for _, line := range lines[4 : len(lines)-1] {
		name, signature, _ := strings.Cut(strings.TrimPrefix(line, "— "), " ")
		name, ok := strings.CutPrefix(name, origin)
		if !ok || !strings.HasPrefix(line, "— ") || name != "" && !patterns.witness.MatchString(name) {
			return invalid("", rule)
		}
		decoded = nil
		if err := decoded.UnmarshalText([]byte(signature)); err != nil || decoded.IsZero() {
			return invalid("", rule)
		}
	}
	*n = Note(b)
	return nil
}

func (c *Cosigned) valid() error {
	if len(c.Proof) > 64 {
		return invalid("proof", "more than 64 hashes")
	}
	return nil
}

// ObservedKind says what the control plane saw.
type ObservedKind string

// The kinds. Ticks show that time passes; the others follow a transaction or a
// deposit.
const (
	Tick         ObservedKind = "TICK"
	Broadcast    ObservedKind = "BROADCAST"
	Confirming   ObservedKind = "CONFIRMING"
	Confirmed    ObservedKind = "CONFIRMED"
	Finalized    ObservedKind = "FINALIZED"
	Reorged      ObservedKind = "REORGED"
	Dropped      ObservedKind = "DROPPED"
	Reverted     ObservedKind = "REVERTED"
	DepositSeen  ObservedKind = "DEPOSIT"
	DeliveryMade ObservedKind = "DELIVERY"
)

// UnmarshalText checks the word.
func (k *ObservedKind) UnmarshalText(b []byte) error {
	return oneOf(k, b, Tick, Broadcast, Confirming, Confirmed, Finalized, Reorged, Dropped, Reverted, DepositSeen, DeliveryMade)
}

// Observed is the body of OBSERVED: a claim of the control plane. It may show
// progress; it never grants, frees a claim or gives budget back.
type Observed struct {
	Kind        ObservedKind `json:"kind"`
	Intent      ID[Intent]   `json:"intent,omitzero"`
	Wallet      ID[Wallet]   `json:"wallet,omitzero"`      // DEPOSIT
	Prepared    Hash         `json:"prepared,omitzero"`    // leaf hash of the PREPARED entry it follows
	Transaction Hash         `json:"transaction,omitzero"` // the network's id of it
	Output      uint32       `json:"output,omitzero"`      // DEPOSIT: which part of the transaction
	Block       Hash         `json:"block,omitzero"`
	Height      uint64       `json:"height,omitzero"`
	Asset       Asset        `json:"asset,omitzero"`  // DEPOSIT
	Amount      Amount       `json:"amount,omitzero"` // DEPOSIT
}

func (o *Observed) valid() error {
	if o.Height > uint64(maxSafe) {
		return invalid("height", "not below 2^53")
	}
	intent := o.Kind != Tick && o.Kind != DepositSeen
	if intent != (o.Intent != ID[Intent]{}) {
		return invalid("intent", "needed for all kinds but TICK and DEPOSIT, and only there")
	}
	if intent != (o.Prepared != Hash{}) {
		return invalid("prepared", "needed for all kinds but TICK and DEPOSIT, and only there")
	}
	if (o.Kind == DepositSeen) != (o.Wallet != ID[Wallet]{}) {
		return invalid("wallet", "needed for DEPOSIT and only there")
	}
	return nil
}
