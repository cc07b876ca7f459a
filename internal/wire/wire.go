// Package wire is what the control plane and a signer node say to each other over
// the bus: calls and their answers, as canonical JSON, read strictly. Neither side
// believes the other: a node decides by its own journal, the control plane checks
// every signature that it is given (docs/spec/12-node.md).
package wire

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/cofferhq/coffer/internal/custody"
)

// The topics of calls. All are answered by nodes but Entries.
const (
	FollowTopic  = "follow"  // [Follow], answered by [Followed]
	HeadTopic    = "head"    // [Head], answered by [Followed]
	KeygenTopic  = "keygen"  // [Keygen], answered by [KeygenDone]
	SignTopic    = "sign"    // [Sign], answered by [SignDone]
	EntriesTopic = "entries" // [Pull], answered by the control plane with [Entries]
)

// MaxMessage bounds a message, in bytes.
const MaxMessage = 3 << 19

// MaxEntries bounds the entries of one message, in bytes.
const MaxEntries = 1 << 20

// Follow hands a node the journal's newest entries and asks it to cosign the head
// that they lead to.
type Follow struct {
	From    int64            `json:"from"` // index of the first entry
	Entries []jsontext.Value `json:"entries"`
	Note    custody.Note     `json:"note"` // the log's checkpoint after the last of them
}

// Followed says how many entries a node has, and gives its cosignature where it was
// asked for one.
type Followed struct {
	Size    int64        `json:"size"`
	Lines   custody.Blob `json:"lines,omitzero"` // two note lines
	Refused string       `json:"refused,omitzero"`
	Stale   bool         `json:"stale,omitzero"` // refused because the newest entry is too far from the node's clock
}

// Head hands a node a head that a quorum cosigned.
type Head struct {
	Note custody.Note `json:"note"`
}

// Pull asks for entries from an index on.
type Pull struct {
	From int64 `json:"from"`
}

// Entries are some of those asked for, in order; none where there are no more.
type Entries struct {
	Entries []jsontext.Value `json:"entries"`
	Note    custody.Note     `json:"note,omitzero"` // the log's checkpoint after the last of them
}

// Keygen invites a node to the key generation that an authorized intent asks for.
type Keygen struct {
	Intent  custody.ID[custody.Intent] `json:"intent"`
	Nonce   custody.Hash               `json:"nonce"`   // random: tells attempts apart
	Expires int64                      `json:"expires"` // of the invitation, Unix seconds
}

// KeygenDone is a node's attested result.
type KeygenDone struct {
	Key         *custody.Key `json:"key,omitzero"`
	Attestation custody.Blob `json:"attestation,omitzero"` // hybrid, over [custody.KeyHash]
	ChainCode   custody.Hash `json:"chainCode,omitzero"`
	Failed      *Failure     `json:"failed,omitzero"`
}

// Sign invites a node to sign the newest PREPARED transaction of an intent.
type Sign struct {
	Intent   custody.ID[custody.Intent] `json:"intent"`
	Prepared custody.Hash               `json:"prepared"` // leaf hash of the PREPARED entry
	Details  custody.Blob               `json:"details"`  // the whole transaction with what it spends; Bitcoin: a PSBT
	Signers  []custody.Name             `json:"signers"`  // nodes of the key's set
	Nonce    custody.Hash               `json:"nonce"`
	Expires  int64                      `json:"expires"`
	// ChainCode of the key of an INTERNAL recipient's wallet, for nodes that hold no
	// share of it. They check it against the key's attestation.
	Recipient custody.Hash `json:"recipient,omitzero"`
}

// SignDone is what a signer releases: the signatures, one per message, in order,
// and its receipt over [custody.ReceiptHash].
type SignDone struct {
	Signatures []custody.Blob `json:"signatures,omitzero"`
	Receipt    custody.Blob   `json:"receipt,omitzero"`
	Failed     *Failure       `json:"failed,omitzero"`
}

// Failure says why a session that a node joined came to nothing, and who is proved
// guilty of it.
type Failure struct {
	Reason   string         `json:"reason"`
	Culprits []custody.Name `json:"culprits,omitzero"`
	Absent   []custody.Name `json:"absent,omitzero"`
}

// Encode writes a message.
func Encode(message any) ([]byte, error) { return custody.Encode(message) }

// Decode reads a message strictly. The error is of code [custody.Invalid] and names
// the field.
func Decode(raw []byte, message any) error { return custody.Decode(raw, message, MaxMessage) }
