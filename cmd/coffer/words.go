package main

import (
	"math/big"
	"strings"

	"github.com/tyler-smith/go-bip39/wordlists"

	"github.com/cofferhq/coffer/internal/custody"
)

// digestWords is how many words stand for a hash where people compare: 88 bits, too
// many for anybody to find another hash with the words of a given one. Signatures and
// pins have all 256.
const digestWords = 8

// words returns the first 88 bits of a hash as eight words of 11 bits each, of the
// English list of BIP-39. They are no wallet's seed and no secret.
func words(h custody.Hash) string {
	bits := new(big.Int).SetBytes(h[:digestWords*11/8])
	mask := big.NewInt(1<<11 - 1)
	out := make([]string, digestWords)
	for i := digestWords - 1; i >= 0; i-- {
		out[i] = wordlists.English[new(big.Int).And(bits, mask).Int64()]
		bits.Rsh(bits, 11)
	}
	return strings.Join(out, " ")
}
