package authz

import (
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/cofferhq/coffer/internal/custody"
)

// clientData is the part of CollectedClientData (WebAuthn §5.8.1) that is
// checked. Browsers may add members.
type clientData struct {
	Type        string `json:"type"`
	Challenge   string `json:"challenge"`
	Origin      string `json:"origin"`
	CrossOrigin bool   `json:"crossOrigin"`
	TopOrigin   string `json:"topOrigin"`
}

// Flags of authenticator data (WebAuthn §6.1).
const (
	userPresent    = 1 << 0
	userVerified   = 1 << 2
	backupEligible = 1 << 3
	backedUp       = 1 << 4
	flagsUsed      = userPresent | userVerified | backupEligible | backedUp
)

// verifyPasskey checks an assertion (WebAuthn §7.2, steps 10 to 21) whose
// challenge is the hash. The user must have been verified, and the page that
// asked must be the charter's own, in no frame. The signature counter is not
// used: passkeys that are synchronised don't count.
func verifyPasskey(key crypto.PublicKey, e *custody.Evidence, hash custody.Hash, rp *custody.RelyingParty) error {
	var client clientData
	if err := json.Unmarshal(e.Signed.ClientData, &client); err != nil {
		return refuse("signed.clientDataJSON", "not valid JSON")
	}
	switch {
	case client.Type != "webauthn.get":
		return refuse("signed.clientDataJSON.type", "not webauthn.get")
	case client.Challenge != base64.RawURLEncoding.EncodeToString(hash[:]):
		return refuse("signed.clientDataJSON.challenge", "not the hash to sign")
	case !slices.Contains(rp.Origins, custody.Origin(client.Origin)):
		return refuse("signed.clientDataJSON.origin", "not an origin of the charter")
	case client.CrossOrigin:
		return refuse("signed.clientDataJSON.crossOrigin", "asked for inside another site's frame")
	case client.TopOrigin != "":
		return refuse("signed.clientDataJSON.topOrigin", "asked for inside another site's frame")
	}
	data := e.Signed.AuthenticatorData
	if len(data) != 37 {
		return refuse("signed.authenticatorData", "not 37 bytes: an assertion carries no credential and no extensions")
	}
	site := sha256.Sum256([]byte(rp.ID))
	flags := data[32]
	switch {
	case subtle.ConstantTimeCompare(site[:], data[:32]) != 1:
		return refuse("signed.authenticatorData", "made for another relying party")
	case flags&userPresent == 0:
		return refuse("signed.authenticatorData", "the user was not present")
	case flags&userVerified == 0:
		return refuse("signed.authenticatorData", "the user was not verified")
	case flags&backedUp != 0 && flags&backupEligible == 0:
		return refuse("signed.authenticatorData", "backed up but not eligible")
	case flags&^flagsUsed != 0:
		return refuse("signed.authenticatorData", "unknown flags")
	}
	digest := sha256.Sum256(e.Signed.ClientData)
	if !verifyMessage(key, slices.Concat([]byte(data), digest[:]), e.Signature) {
		return refuse("signature", "not by the passkey over this challenge")
	}
	return nil
}
