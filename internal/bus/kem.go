package bus

import "crypto/hpke"

// The KEM of handshakes is HPKE's MLKEM768-X25519 (RFC 9180; draft-ietf-hpke-pq, id 0x647a),
// in base mode and for its exported secret alone.
var kem = hpke.MLKEM768X25519()

type kemKey = hpke.PrivateKey

const (
	secretLabel = domain + "secret"
	secretSize  = 32
)

// encapsulate sends a fresh secret to a public key.
func encapsulate(ek []byte, info digest) (enc, secret []byte, err error) {
	key, err := kem.NewPublicKey(ek)
	if err != nil {
		return nil, nil, err
	}
	enc, sender, err := hpke.NewSender(key, hpke.HKDFSHA256(), hpke.ExportOnly(), info[:])
	if err != nil {
		return nil, nil, err
	}
	secret, err = sender.Export(secretLabel, secretSize)
	return enc, secret, err
}

// decapsulate gets the secret out of enc.
func decapsulate(key kemKey, enc []byte, info digest) ([]byte, error) {
	r, err := hpke.NewRecipient(enc, key, hpke.HKDFSHA256(), hpke.ExportOnly(), info[:])
	if err != nil {
		return nil, err
	}
	return r.Export(secretLabel, secretSize)
}
