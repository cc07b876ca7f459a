package authz

import (
	"crypto/ed25519"
	"slices"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
)

func attestor(states ...custody.AttestationKind) *custody.Attestor {
	return &custody.Attestor{ID: "attestor", Key: custody.Blob(keyEd25519().Public().(ed25519.PublicKey)), States: states}
}

// statements are one of each kind, valid from now for an hour.
func statements() map[custody.AttestationKind]custody.Attestation {
	base := custody.Attestation{Attestor: "attestor", Source: "feed", Time: now, Until: now.Add(custody.Hour)}
	price, screening, travel := base, base, base
	price.Price = &custody.Price{Asset: "eip155:1/slip44:60", Currency: "USD", Units: custody.NewAmount(1e18), Value: custody.NewAmount(312_345)}
	screening.Screening = &custody.Screening{Digest: hashOf("intent"), Verdict: custody.ScreeningPass, List: hashOf("list")}
	travel.TravelRule = &custody.TravelRule{Digest: hashOf("intent"), Status: custody.TravelRuleAccepted}
	return map[custody.AttestationKind]custody.Attestation{
		custody.PriceAttestation: price, custody.ScreeningAttestation: screening, custody.TravelRuleAttestation: travel,
	}
}

func attest(t testing.TB, a custody.Attestation, key ed25519.PrivateKey, charter custody.Hash) *custody.AttestationProof {
	t.Helper()
	raw, err := custody.Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	return &custody.AttestationProof{Bytes: raw, Attestation: &a, Signature: signHash(t, key, custody.AttestationHash(charter, raw))}
}

func TestAttestations(t *testing.T) {
	t.Parallel()
	charter := hashOf("charter")
	all := []custody.AttestationKind{custody.PriceAttestation, custody.ScreeningAttestation, custody.TravelRuleAttestation}
	for kind, a := range statements() {
		p := attest(t, a, keyEd25519(), charter)
		for _, states := range [][]custody.AttestationKind{{kind}, all} {
			if err := VerifyAttestation(attestor(states...), p, charter, now); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		others := slices.DeleteFunc(slices.Clone(all), func(k custody.AttestationKind) bool { return k == kind })
		refused(t, "may not state it", VerifyAttestation(attestor(others...), p, charter, now), "statement")
		refused(t, "may state nothing", VerifyAttestation(attestor(), p, charter, now), "statement")
		refused(t, "another charter", VerifyAttestation(attestor(all...), p, hashOf("other"), now), "signature")

		stranger := attestor(all...)
		stranger.ID = "other"
		refused(t, "another attestor", VerifyAttestation(stranger, p, charter, now), "statement.attestor")
		stranger = attestor(all...)
		stranger.Key = custody.Blob(ed25519.NewKeyFromSeed(slices.Repeat([]byte{1}, 32)).Public().(ed25519.PublicKey))
		refused(t, "another key", VerifyAttestation(stranger, p, charter, now), "signature")
		for _, key := range [][]byte{nil, make([]byte, 31)} {
			stranger.Key = key
			refused(t, "a key of another length", VerifyAttestation(stranger, p, charter, now), "signature")
		}

		// Validity, to the millisecond.
		for at, field := range map[custody.Time]string{
			now: "", now - 60*second: "", now - 60*second - 1: "statement.time",
			a.Until - 1: "", a.Until: "statement.until", a.Until + 1: "statement.until",
		} {
			err := VerifyAttestation(attestor(all...), p, charter, at)
			if field == "" && err != nil {
				t.Errorf("%s at %d ms: %v", kind, at-now, err)
			} else if field != "" {
				refused(t, "validity", err, field)
			}
		}
		for i := range p.Signature {
			odd := *p
			odd.Signature = slices.Clone(p.Signature)
			odd.Signature[i] ^= 1
			refused(t, "signature", VerifyAttestation(attestor(all...), &odd, charter, now), "signature")
		}
		for i := range p.Bytes {
			odd := *p
			odd.Bytes = slices.Clone(p.Bytes)
			odd.Bytes[i] ^= 1
			refused(t, "statement", VerifyAttestation(attestor(all...), &odd, charter, now), "signature")
		}
	}
}
