package custody

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxIntentLife is the longest that an intent may live; a charter may set less.
const MaxIntentLife = 30 * Day

// Intent is what somebody wants done. People and machines sign Raw, its canonical
// bytes; the other fields are read from them and never written back.
type Intent struct {
	Type        IntentType
	ID          ID[Intent]
	Institution Name
	Domain      Domain
	Created     Time
	Expires     Time
	Initiator   ID[Person]
	Body        Body
	Raw         []byte
}

// Body is what an intent of one type asks for: a pointer to one of the structs
// named after the types, such as [Transfer].
//
//nolint:iface // what an entry records is no intent, though both are checked alike
type Body interface{ valid() error }

// bodies makes an empty body of each type.
var bodies = map[IntentType]func() Body{
	TransferIntent:          func() Body { return new(Transfer) },
	ContractCallIntent:      func() Body { return new(ContractCall) },
	TypedMessageIntent:      func() Body { return new(TypedMessage) },
	SpeedUpIntent:           func() Body { return new(Repair) },
	CancelIntent:            func() Body { return new(Repair) },
	KeyCeremonyIntent:       func() Body { return new(KeyCeremony) },
	SignerSetChangeIntent:   func() Body { return new(SignerSetChange) },
	WitnessChangeIntent:     func() Body { return new(WitnessChange) },
	VaultCreateIntent:       func() Body { return new(VaultCreate) },
	WalletCreateIntent:      func() Body { return new(WalletCreate) },
	DestinationChangeIntent: func() Body { return new(DestinationChange) },
	PersonChangeIntent:      func() Body { return new(PersonChange) },
	GroupChangeIntent:       func() Body { return new(GroupChange) },
	CredentialChangeIntent:  func() Body { return new(CredentialChange) },
	PolicyChangeIntent:      func() Body { return new(PolicyChange) },
	ListChangeIntent:        func() Body { return new(ListChange) },
	ProviderChangeIntent:    func() Body { return new(ProviderChange) },
	IssuerChangeIntent:      func() Body { return new(IssuerChange) },
	HoldReleaseIntent:       func() Body { return new(HoldRelease) },
	FreezeIntent:            func() Body { return new(Freeze) },
	UpgradeIntent:           func() Body { return new(Upgrade) },
}

// envelope is the JSON form around a body.
type envelope struct {
	Type        IntentType     `json:"type"`
	ID          ID[Intent]     `json:"id"`
	Institution Name           `json:"institution"`
	Domain      Domain         `json:"domain"`
	Created     Time           `json:"created"`
	Expires     Time           `json:"expires"`
	Initiator   ID[Person]     `json:"initiator"`
	Body        jsontext.Value `json:"body"`
}

// ParseIntent reads the canonical bytes of an intent, at most [MaxIntent] of
// them, and keeps them. Errors are of code [Invalid] and name the field.
func ParseIntent(raw []byte) (*Intent, error) {
	var e envelope
	if err := Decode(raw, &e, MaxIntent); err != nil {
		return nil, err
	}
	return e.open(raw)
}

// open reads the body of an envelope that [Decode] has accepted as raw.
func (e *envelope) open(raw []byte) (*Intent, error) {
	in := &Intent{
		Type: e.Type, ID: e.ID, Institution: e.Institution, Domain: e.Domain,
		Created: e.Created, Expires: e.Expires, Initiator: e.Initiator, Raw: bytes.Clone(raw),
	}
	switch {
	case in.Expires <= in.Created:
		return nil, invalid("expires", "not after created")
	case in.Expires > in.Created.Add(MaxIntentLife):
		return nil, invalid("expires", "more than 30 days after created")
	}
	in.Body = bodies[in.Type]()
	if err := decodePart(e.Body, in.Body); err != nil {
		return nil, within("body", err)
	}
	if err := in.Body.valid(); err != nil {
		return nil, within("body", err)
	}
	return in, nil
}

// NewIntent writes an intent with the given envelope and body in canonical bytes
// and reads it back, so that what it returns is what [ParseIntent] accepts. Raw
// is ignored.
func NewIntent(in Intent) (*Intent, error) {
	body, err := Encode(in.Body)
	if err != nil {
		return nil, err
	}
	raw, err := Encode(envelope{in.Type, in.ID, in.Institution, in.Domain, in.Created, in.Expires, in.Initiator, body})
	if err != nil {
		return nil, err
	}
	return ParseIntent(raw)
}

// Digest is what an intent's signatures bind: the SHA-256 of
// "coffer/intent/v1", a zero byte, the charter hash and the canonical bytes.
func (in *Intent) Digest(charter Hash) Hash {
	return tagged("coffer/intent/v1", charter[:], in.Raw)
}

// tagged returns SHA-256(tag ‖ 0x00 ‖ parts).
func tagged(tag string, parts ...[]byte) Hash {
	h := sha256.New()
	h.Write([]byte(tag))
	h.Write([]byte{0})
	for _, p := range parts {
		h.Write(p)
	}
	return Hash(h.Sum(nil))
}

// Recipient says where a transfer or a call sends value, as the initiator means
// it. What a node decodes from the transaction must agree.
type Recipient struct {
	Kind        DestinationKind `json:"kind"`
	Address     Address         `json:"address"`
	Wallet      ID[Wallet]      `json:"wallet,omitzero"`      // INTERNAL: the wallet paid
	Index       uint32          `json:"index,omitzero"`       // INTERNAL: the address m/w/0/index of it
	Destination ID[Destination] `json:"destination,omitzero"` // ALLOWLISTED, COUNTERPARTY: the entry of the address book
	Country     Country         `json:"country,omitzero"`     // ONE_TIME: where the owner of the address is
}

func (r Recipient) valid() error {
	switch {
	case r.Kind == OwnWallet && r.Wallet == ID[Wallet]{}:
		return invalid("wallet", "missing")
	case r.Kind != OwnWallet && r.Wallet != ID[Wallet]{}:
		return invalid("wallet", "only for kind INTERNAL")
	case r.Kind != OwnWallet && r.Index != 0:
		return invalid("index", "only for kind INTERNAL")
	case r.Index >= 1<<31:
		return invalid("index", "not below 2^31")
	case (r.Kind == Allowlisted || r.Kind == Counterparty) && r.Destination == ID[Destination]{}:
		return invalid("destination", "missing")
	case r.Kind != Allowlisted && r.Kind != Counterparty && r.Destination != ID[Destination]{}:
		return invalid("destination", "only for an entry of the address book")
	case r.Kind == OneTime && r.Country == "":
		return invalid("country", "missing")
	case r.Kind != OneTime && r.Country != "":
		return invalid("country", "only for kind ONE_TIME: others have it on record")
	}
	return nil
}

// Transfer is the body of TRANSFER: Amount of Asset from Wallet to Destination,
// for a network fee of at most FeeLimit. Amount and FeeLimit are base units, the
// latter of the network's own asset.
type Transfer struct {
	Network     Network    `json:"network"`
	Wallet      ID[Wallet] `json:"wallet"`
	Asset       Asset      `json:"asset"`
	Amount      Amount     `json:"amount"`
	FeeLimit    Amount     `json:"feeLimit"`
	Destination Recipient  `json:"destination"`
	Memo        Hash       `json:"memo,omitzero"` // SHA-256(salt32 ‖ private bytes)
}

func (t *Transfer) valid() error {
	switch {
	case t.Asset.Network() != t.Network:
		return invalid("asset", "not of the network")
	case t.Amount.IsZero():
		return invalid("amount", "zero")
	}
	return within("destination", t.Destination.valid())
}

// Argument is one typed argument of a contract call.
type Argument struct {
	Name  Label   `json:"name"`
	Value Literal `json:"value"`
}

// ContractCall is the body of CONTRACT_CALL. Amount and Asset say what value the
// call can move, allowances included, and Destination who may receive it, by the
// decoding of Data; a node that decodes otherwise refuses. A plain token transfer
// is a TRANSFER.
type ContractCall struct {
	Network     Network    `json:"network"`
	Wallet      ID[Wallet] `json:"wallet"`
	Contract    Address    `json:"contract"`
	Method      Selector   `json:"method"`
	Arguments   []Argument `json:"arguments"`
	Data        Blob       `json:"data"` // the whole call data, beginning with Method
	Asset       Asset      `json:"asset"`
	Amount      Amount     `json:"amount"`
	FeeLimit    Amount     `json:"feeLimit"`
	Destination Recipient  `json:"destination"`
	Memo        Hash       `json:"memo,omitzero"` // SHA-256(salt32 ‖ private bytes)
}

func (c *ContractCall) valid() error {
	switch {
	case c.Asset.Network() != c.Network:
		return invalid("asset", "not of the network")
	case len(c.Data) < 4 || fmt.Sprintf("0x%x", []byte(c.Data[:4])) != string(c.Method):
		return invalid("data", "does not begin with method")
	}
	if err := unique("arguments", c.Arguments, func(a Argument) Label { return a.Name }); err != nil {
		return err
	}
	return within("destination", c.Destination.valid())
}

// TypedMessage is the body of TYPED_MESSAGE: an EIP-712 message. Digest is the
// 32 bytes that are signed; Asset and Amount say what value the message lets
// others move.
type TypedMessage struct {
	Network     Network    `json:"network"`
	Wallet      ID[Wallet] `json:"wallet"`
	Contract    Address    `json:"contract"` // verifyingContract
	PrimaryType Label      `json:"primaryType"`
	Digest      Hash       `json:"digest"`
	Asset       Asset      `json:"asset"`
	Amount      Amount     `json:"amount"`
}

func (t *TypedMessage) valid() error {
	if t.Asset.Network() != t.Network {
		return invalid("asset", "not of the network")
	}
	return nil
}

// Repair is the body of SPEED_UP and CANCEL: replace the transaction of Intent,
// for a network fee of at most FeeLimit in all.
type Repair struct {
	Intent   ID[Intent] `json:"intent"`
	FeeLimit Amount     `json:"feeLimit"`
}

func (r *Repair) valid() error { return nil }
