package custody

import "slices"

// IntentType says what an intent wants done.
type IntentType string

// The types. Those down to [Cancel] move value; the rest govern (see
// [IntentType.Governs]).
const (
	TransferIntent     IntentType = "TRANSFER"
	ContractCallIntent IntentType = "CONTRACT_CALL"
	TypedMessageIntent IntentType = "TYPED_MESSAGE"
	SpeedUpIntent      IntentType = "SPEED_UP"
	CancelIntent       IntentType = "CANCEL"

	KeyCeremonyIntent       IntentType = "KEY_CEREMONY"
	SignerSetChangeIntent   IntentType = "SIGNER_SET_CHANGE"
	WitnessChangeIntent     IntentType = "WITNESS_CHANGE"
	VaultCreateIntent       IntentType = "VAULT_CREATE"
	WalletCreateIntent      IntentType = "WALLET_CREATE"
	DestinationChangeIntent IntentType = "DESTINATION_CHANGE"
	PersonChangeIntent      IntentType = "PERSON_CHANGE"
	GroupChangeIntent       IntentType = "GROUP_CHANGE"
	CredentialChangeIntent  IntentType = "CREDENTIAL_CHANGE" //nolint:gosec // a word, no credential
	PolicyChangeIntent      IntentType = "POLICY_CHANGE"
	ListChangeIntent        IntentType = "LIST_CHANGE"
	ProviderChangeIntent    IntentType = "PROVIDER_CHANGE"
	IssuerChangeIntent      IntentType = "ISSUER_CHANGE"
	HoldReleaseIntent       IntentType = "HOLD_RELEASE"
	FreezeIntent            IntentType = "FREEZE"
	UpgradeIntent           IntentType = "UPGRADE"
)

var intentTypes = []IntentType{
	TransferIntent, ContractCallIntent, TypedMessageIntent, SpeedUpIntent, CancelIntent,
	KeyCeremonyIntent, SignerSetChangeIntent, WitnessChangeIntent, VaultCreateIntent, WalletCreateIntent,
	DestinationChangeIntent, PersonChangeIntent, GroupChangeIntent, CredentialChangeIntent, PolicyChangeIntent,
	ListChangeIntent, ProviderChangeIntent, IssuerChangeIntent, HoldReleaseIntent, FreezeIntent, UpgradeIntent,
}

// IntentTypes returns all types, in the order of their definition.
func IntentTypes() []IntentType { return slices.Clone(intentTypes) }

// Governs reports whether an intent of this type changes who may do what rather
// than moving value. Such intents, their evidence and their authorization form
// the governance chain.
func (t IntentType) Governs() bool {
	switch t {
	case TransferIntent, ContractCallIntent, TypedMessageIntent, SpeedUpIntent, CancelIntent:
		return false
	default:
		return true
	}
}

// UnmarshalText checks that the type is known.
func (t *IntentType) UnmarshalText(b []byte) error {
	if !slices.Contains(intentTypes, IntentType(b)) {
		return invalid("", "not a type of intent")
	}
	*t = IntentType(b)
	return nil
}
