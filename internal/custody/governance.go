package custody

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Ceremony is a multi-party key operation.
type Ceremony string

// The ceremonies.
const (
	Keygen  Ceremony = "KEYGEN"
	Refresh Ceremony = "REFRESH"
	Reshare Ceremony = "RESHARE"
	Import  Ceremony = "IMPORT"
	Export  Ceremony = "EXPORT"
)

// UnmarshalText checks the word.
func (c *Ceremony) UnmarshalText(b []byte) error {
	return oneOf(c, b, Keygen, Refresh, Reshare, Import, Export)
}

// KeyCeremony is the body of KEY_CEREMONY. Set is who holds the key afterwards.
type KeyCeremony struct {
	Ceremony Ceremony  `json:"ceremony"`
	Key      ID[Key]   `json:"key"`
	Scheme   Scheme    `json:"scheme"`
	Set      SignerSet `json:"signerSet"`
}

func (k *KeyCeremony) valid() error { return within("signerSet", k.Set.valid()) }

// SignerSetChange is the body of SIGNER_SET_CHANGE: the nodes that may hold
// shares. Keys move between them by ceremonies.
type SignerSetChange struct {
	Add    []SignerNode  `json:"add,omitzero"`
	Remove []Name        `json:"remove,omitzero"`
	Quorum WitnessQuorum `json:"witnesses"` // of the nodes as they are afterwards
}

func (s *SignerSetChange) valid() error {
	if len(s.Add)+len(s.Remove) == 0 {
		return invalid("add", "nothing is added or removed")
	}
	if err := each("add", s.Add); err != nil {
		return err
	}
	if err := unique("add", s.Add, func(n SignerNode) Name { return n.ID }); err != nil {
		return err
	}
	if err := unique("remove", s.Remove, self); err != nil {
		return err
	}
	return within("witnesses", each("others", s.Quorum.Others))
}

// WitnessChange is the body of WITNESS_CHANGE: the witnesses beside the signer
// nodes, the quorum, and, where they change, the control plane's keys.
type WitnessChange struct {
	Witnesses WitnessQuorum `json:"witnesses"`
	Control   *Control      `json:"control,omitzero"`
}

func (w *WitnessChange) valid() error {
	if err := within("witnesses", each("others", w.Witnesses.Others)); err != nil {
		return err
	}
	if w.Control != nil {
		return within("control", w.Control.valid())
	}
	return nil
}

// VaultCreate is the body of VAULT_CREATE.
type VaultCreate struct {
	Vault Vault `json:"vault"`
}

func (v *VaultCreate) valid() error { return nil }

// WalletCreate is the body of WALLET_CREATE.
type WalletCreate struct {
	Wallet Wallet `json:"wallet"`
}

func (w *WalletCreate) valid() error { return within("wallet", w.Wallet.valid()) }

// Action says whether a change puts something on record or takes it off.
type Action string

// The actions.
const (
	Put    Action = "PUT"    // add, or replace what has the same id
	Remove Action = "REMOVE" // take off, by id
)

// UnmarshalText checks the word.
func (a *Action) UnmarshalText(b []byte) error { return oneOf(a, b, Put, Remove) }

// DestinationChange is the body of DESTINATION_CHANGE.
type DestinationChange struct {
	Action      Action      `json:"action"`
	Destination Destination `json:"destination"`
}

func (d *DestinationChange) valid() error { return within("destination", d.Destination.valid()) }

// PersonChange is the body of PERSON_CHANGE. Removing a person revokes their
// credentials and takes them out of every group.
type PersonChange struct {
	Action Action `json:"action"`
	Person Person `json:"person"`
}

func (p *PersonChange) valid() error { return within("person", p.Person.valid()) }

// GroupChange is the body of GROUP_CHANGE: the group as it is afterwards.
type GroupChange struct {
	Group Group `json:"group"`
}

func (g *GroupChange) valid() error { return within("group", g.Group.valid()) }

// CredentialChange is the body of CREDENTIAL_CHANGE: a credential, or where
// passkeys work. An id is never used again after it was removed.
type CredentialChange struct {
	Action       Action        `json:"action"`
	Credential   *Credential   `json:"credential,omitzero"`
	RelyingParty *RelyingParty `json:"relyingParty,omitzero"`
}

func (c *CredentialChange) valid() error {
	switch {
	case (c.Credential == nil) == (c.RelyingParty == nil):
		return invalid("credential", "one of credential and relyingParty")
	case c.RelyingParty != nil && c.Action != Put:
		return invalid("action", "relyingParty can only be PUT")
	case c.RelyingParty != nil:
		return within("relyingParty", c.RelyingParty.valid())
	}
	return within("credential", c.Credential.valid())
}

// PolicyChange is the body of POLICY_CHANGE: a whole policy, compiled. Package
// policy reads it.
type PolicyChange struct {
	Policy jsontext.Value `json:"policy"`
}

func (p *PolicyChange) valid() error { return object("policy", p.Policy) }

// ListChange is the body of LIST_CHANGE: the SHA-256 of a list of addresses that
// every node checks by itself (see [List]), and of which bytes it is.
type ListChange struct {
	Action Action `json:"action"`
	List   Name   `json:"list"`
	SHA256 Hash   `json:"sha256,omitzero"`
}

func (l *ListChange) valid() error {
	if (l.Action == Put) != (l.SHA256 != Hash{}) {
		return invalid("sha256", "needed for PUT and only there")
	}
	return nil
}

// MaxList is the longest list, in bytes.
const MaxList = 16 << 20

// List is an official list of addresses that may not be paid, as LIST_CHANGE pins
// it: canonical JSON. Addresses of EVM networks are 0x and 40 lower-case hex digits.
type List struct {
	Name      Name      `json:"name"`
	Addresses []Address `json:"addresses"` // in ascending order
}

// ParseList reads the canonical bytes of a list.
func ParseList(raw []byte) (*List, error) {
	var l List
	if err := Decode(raw, &l, MaxList); err != nil {
		return nil, err
	}
	for i, a := range l.Addresses {
		if strings.HasPrefix(strings.ToLower(string(a)), "0x") && !evmAddress(a) {
			return nil, invalid(fmt.Sprintf("addresses.%d", i), "an address of an EVM network is 0x and 40 lower-case hex digits")
		}
		if i > 0 && l.Addresses[i-1] >= a {
			return nil, invalid(fmt.Sprintf("addresses.%d", i), "not in ascending order")
		}
	}
	return &l, nil
}

// evmAddress reports whether a is spelled as lists are searched. In another
// spelling an address would be on the list and never be found.
func evmAddress(a Address) bool {
	digits, ok := strings.CutPrefix(string(a), "0x")
	return ok && len(digits) == 40 && strings.Trim(digits, "0123456789abcdef") == ""
}

// ProviderChange is the body of PROVIDER_CHANGE: an attestor and what it may
// state.
type ProviderChange struct {
	Action   Action   `json:"action"`
	Attestor Attestor `json:"attestor"`
}

func (p *ProviderChange) valid() error { return within("attestor", p.Attestor.valid()) }

// IssuerChange is the body of ISSUER_CHANGE.
type IssuerChange struct {
	Action Action `json:"action"`
	Issuer Issuer `json:"issuer"`
}

func (i *IssuerChange) valid() error { return within("issuer", i.Issuer.valid()) }

// Target is what FREEZE stops and HOLD_RELEASE lets go on.
type Target struct {
	Intent ID[Intent] `json:"intent,omitzero"`
	Key    ID[Key]    `json:"key,omitzero"`
	Vault  ID[Vault]  `json:"vault,omitzero"`
	Person ID[Person] `json:"person,omitzero"`
	All    bool       `json:"all,omitzero"`
}

func (t Target) valid() error {
	n := 0
	for _, set := range []bool{t.Intent != ID[Intent]{}, t.Key != ID[Key]{}, t.Vault != ID[Vault]{}, t.Person != ID[Person]{}, t.All} {
		if set {
			n++
		}
	}
	if n != 1 {
		return invalid("", "exactly one of intent, key, vault, person, all")
	}
	return nil
}

// Freeze is the body of FREEZE: nothing is authorized or prepared with the
// target until a HOLD_RELEASE names it.
type Freeze struct {
	Target Target `json:"target"`
}

func (f *Freeze) valid() error { return within("target", f.Target.valid()) }

// HoldRelease is the body of HOLD_RELEASE.
type HoldRelease struct {
	Target Target `json:"target"`
}

func (h *HoldRelease) valid() error { return within("target", h.Target.valid()) }

// Upgrade is the body of UPGRADE: the rules version from here on.
type Upgrade struct {
	Rules int `json:"rules"`
}

func (u *Upgrade) valid() error {
	if u.Rules < 2 {
		return invalid("rules", "not above 1")
	}
	return nil
}

func object(field string, v jsontext.Value) error {
	if v.Kind() != '{' {
		return invalid(field, "has the wrong type")
	}
	return nil
}

// each checks all elements of a list.
func each[T interface{ valid() error }](field string, list []T) error {
	for i, e := range list {
		if err := e.valid(); err != nil {
			return within(fmt.Sprintf("%s.%d", field, i), err)
		}
	}
	return nil
}
