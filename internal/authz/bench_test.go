package authz

import (
	"crypto/ed25519"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
)

// BenchmarkVerify is one verification of each kind, with the key parsed each time,
// as a caller that keeps none does.
func BenchmarkVerify(b *testing.B) {
	hash, charter := hashOf("approve"), hashOf("charter")
	r := realm(issuer(b))
	run := func(name string, verify func() error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := verify(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	evidence := func(name string, c *custody.Credential, e *custody.Evidence) {
		run(name, func() error { _, err := r.Verify(c, e, hash, now); return err })
	}
	for _, a := range []custody.Algorithm{custody.EdDSA, custody.ES256} {
		evidence("device/"+string(a), credential(b, custody.Device, a), deviceEvidence(b, signerOf(a), hash))
	}
	for _, a := range []custody.Algorithm{custody.EdDSA, custody.ES256, custody.RS256} {
		evidence("passkey/"+string(a), credential(b, custody.WebAuthn, a), newAssertion(hash).sign(b, signerOf(a)))
		evidence("token/"+string(a), credential(b, custody.OIDC, ""), tokenEvidence(tokenFor(b, a, claimsFor(hash))))
	}
	p := attest(b, statements()[custody.PriceAttestation], keyEd25519(), charter)
	run("attestation", func() error { return VerifyAttestation(attestor(custody.PriceAttestation), p, charter, now) })
	recovery := &custody.RecoveryKey{Key: custody.Blob(keyEd25519().Public().(ed25519.PublicKey))}
	sig := signHash(b, keyEd25519(), hash)
	run("recovery", func() error { return VerifyRecovery(recovery, hash, sig) })
	node := must(hybridKey(b, 1).Sign(hash[:]))
	public := hybridKey(b, 1).Public()
	run("node", func() error { return VerifyNode(public, hash, node) })
}
