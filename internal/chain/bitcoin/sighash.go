package bitcoin

import (
	"crypto/sha256"
	"encoding/binary"
)

// signatureHashes returns what each input's signature signs when all are spent by
// the key path with SIGHASH_DEFAULT: the common signature message of BIP-341.
func signatureHashes(t *transaction, spent []txOut) [][]byte {
	prevouts, amounts, scripts, sequences, outputs := sha256.New(), sha256.New(), sha256.New(), sha256.New(), sha256.New()
	for i, in := range t.inputs {
		prevouts.Write(in.spends.bytes())
		amounts.Write(binary.LittleEndian.AppendUint64(nil, spent[i].amount))
		scripts.Write(append(appendSize(nil, len(spent[i].script)), spent[i].script...))
		sequences.Write(binary.LittleEndian.AppendUint32(nil, in.sequence))
	}
	for _, out := range t.outputs {
		outputs.Write(out.bytes())
	}
	tag := sha256.Sum256([]byte("TapSighash"))
	m := append(tag[:], tag[:]...)
	m = append(m, 0, 0) // epoch, SIGHASH_DEFAULT
	m = binary.LittleEndian.AppendUint32(m, t.version)
	m = binary.LittleEndian.AppendUint32(m, t.lockTime)
	m = prevouts.Sum(m)
	m = amounts.Sum(m)
	m = scripts.Sum(m)
	m = sequences.Sum(m)
	m = outputs.Sum(m)
	m = append(m, 0) // spend type: key path, no annex
	hashes := make([][]byte, len(t.inputs))
	for i := range hashes {
		h := sha256.Sum256(binary.LittleEndian.AppendUint32(m[:len(m):len(m)], uint32(i)))
		hashes[i] = h[:]
	}
	return hashes
}
