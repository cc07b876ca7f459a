package api

import (
	"encoding/json"
	"time"
)

// PrepareRequest says what somebody wants done. Body has the shape of the intent's
// own body; the server fills in what is left out:
//
//   - TRANSFER: network, asset (the network's own), destination.kind and
//     destination.address (from destination.destination, or from
//     destination.wallet and index)
//   - VAULT_CREATE: vault.id, vault.institution, vault.domain
//   - WALLET_CREATE: wallet.id, wallet.path
//   - KEY_CEREMONY: key (a new one), signerSet.members (all nodes, one id each),
//     signerSet.threshold (a majority)
//   - DESTINATION_CHANGE: destination.id
//   - where it is the wallet's own, the domain
type PrepareRequest struct {
	Type      string          `json:"type" doc:"the type of intent, such as TRANSFER"`
	Initiator string          `json:"initiator" doc:"id of the person who will sign it"`
	Domain    string          `json:"domain,omitzero" doc:"the organisational unit; that of the wallet's vault, or else main, unless given"`
	ExpiresIn int64           `json:"expiresIn,omitzero" minimum:"1" doc:"seconds; a day unless given, never more than the charter allows"`
	Body      json.RawMessage `json:"body" doc:"the intent's body; members that the server can fill in may be left out"`
}

// PreparedIntent is an intent that exists nowhere yet: its initiator signs it and
// submits it, or doesn't. Read it with package api/client, which compares it with
// what was asked.
type PreparedIntent struct {
	Bytes   string `json:"bytes" doc:"the canonical JSON (RFC 8785) that is signed and submitted"`
	Digest  string `json:"digest" doc:"SHA-256 that signatures bind"`
	Charter string `json:"charter" doc:"hash of the charter that digest includes"`
}

// SubmitRequest puts an intent on record.
type SubmitRequest struct {
	Bytes      string   `json:"bytes" maxLength:"196608" doc:"the canonical JSON of the intent"`
	Evidence   Evidence `json:"evidence" doc:"the initiator's signature, verdict SUBMIT"`
	ExternalID string   `json:"externalId,omitzero" maxLength:"128" doc:"the caller's own name for it; used once"`
}

// Evidence is a person's signature over an intent and a verdict.
type Evidence struct {
	Kind       string  `json:"kind" enum:"WEBAUTHN,DEVICE,OIDC,RECOVERY,NODE"`
	Credential string  `json:"credential,omitzero" doc:"WEBAUTHN, DEVICE, OIDC: id of the credential"`
	Recovery   string  `json:"recovery,omitzero" doc:"RECOVERY: id of the recovery key"`
	Node       string  `json:"node,omitzero" doc:"NODE: its name"`
	Signed     *Signed `json:"signed,omitzero" doc:"WEBAUTHN, OIDC"`
	Signature  string  `json:"signature,omitzero" doc:"base64; all but OIDC"`
}

// Signed is what a kind of evidence signs beyond the hash.
type Signed struct {
	ClientData        string `json:"clientDataJSON,omitzero" doc:"WEBAUTHN: base64"`
	AuthenticatorData string `json:"authenticatorData,omitzero" doc:"WEBAUTHN: base64"`
	Token             string `json:"token,omitzero" doc:"OIDC: the ID token"`
}

// ApproveRequest is a yes or no to an intent.
type ApproveRequest struct {
	Verdict  string   `json:"verdict" enum:"YES,NO"`
	Evidence Evidence `json:"evidence"`
}

// Intent is an intent on record and where it is.
type Intent struct {
	ID          string    `json:"id"`
	Type        string    `json:"type"`
	State       string    `json:"state" doc:"such as PENDING_APPROVAL"`
	Reason      string    `json:"reason,omitzero" doc:"why it ended"`
	Rule        string    `json:"rule,omitzero" doc:"the rule of policy that blocked it"`
	WaitingFor  string    `json:"waitingFor,omitzero" doc:"what it waits for, for people"`
	Institution string    `json:"institution"`
	Domain      string    `json:"domain"`
	Initiator   string    `json:"initiator"`
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires"`
	Updated     time.Time `json:"updated"`
	ExternalID  string    `json:"externalId,omitzero"`
	Bytes       string    `json:"bytes" doc:"the canonical JSON that was signed"`
	Digest      string    `json:"digest" doc:"SHA-256 that signatures bind"`
	Witnessed   bool      `json:"witnessed" doc:"a quorum has cosigned a head that covers its newest entry"`
	Decision    *Decision `json:"decision,omitzero" doc:"while it gathers evidence: what policy says now"`
	Approvals   []Given   `json:"approvals" doc:"the verified words on it, in order"`
	Opened      *Opened   `json:"opened,omitzero" doc:"once authorized"`
	Entries     []Record  `json:"entries,omitzero" doc:"its entries of the journal; absent in lists"`
}

// Given is a verified word on an intent.
type Given struct {
	Person  string `json:"person"`
	Kind    string `json:"kind" doc:"of the credential"`
	Verdict string `json:"verdict" enum:"YES,NO"`
	Index   int64  `json:"index" doc:"of its entry of the journal"`
}

// Opened says by which rule an intent was authorized.
type Opened struct {
	Rule  string    `json:"rule"`
	Index int64     `json:"index" doc:"of its AUTHORIZED entry"`
	Time  time.Time `json:"time"`
}

// Record names an entry of the journal.
type Record struct {
	Index int64     `json:"index"`
	Time  time.Time `json:"time"`
	Type  string    `json:"type"`
}

// Decision is what policy says of an intent.
type Decision struct {
	Outcome       string   `json:"outcome" enum:"REFUSED,BLOCKED,HELD,REJECTED,PENDING,ALLOWED"`
	Rule          string   `json:"rule,omitzero" doc:"the nearest rule that would open, or the one that blocks"`
	Ways          []Way    `json:"ways" doc:"the rules that would open, nearest first"`
	Trail         []Match  `json:"trail" doc:"every rule that counts"`
	Unknown       []string `json:"unknown" doc:"facts that lack evidence"`
	Policy        string   `json:"policy" doc:"hash of the policy"`
	PolicyVersion int64    `json:"policyVersion"`
}

// Way is a rule that lets an intent in, with what it and all tolls ask for.
type Way struct {
	Rule    string     `json:"rule"`
	Asks    string     `json:"asks" doc:"for people"`
	Missing []string   `json:"missing" doc:"for people, such as 1 of risk"`
	People  []People   `json:"people" doc:"who still has to approve"`
	Until   *time.Time `json:"until,omitempty" doc:"when its delay is over, if that runs"`
}

// People is how many of a group.
type People struct {
	Group    string `json:"group"`
	Count    int    `json:"count"`
	Identity string `json:"identity,omitzero" doc:"OIDC where the identity provider must have seen them"`
}

// Match is a rule that counts.
type Match struct {
	Rule    string   `json:"rule"`
	Effect  string   `json:"effect" enum:"block,allow,require"`
	Certain bool     `json:"certain" doc:"whatever the unknown facts are"`
	Reason  string   `json:"reason,omitzero" doc:"of a block"`
	Asks    string   `json:"asks,omitzero" doc:"for people"`
	Unknown []string `json:"unknown" doc:"facts it asks about that lack evidence"`
}
