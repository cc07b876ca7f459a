// Package bitcoin is the family of Bitcoin networks: addresses, building, reading
// and assembling of transactions that spend by the key path of Taproot (BIP-341).
//
// [Build] makes a PSBT (BIP-174, BIP-371) outside the signer nodes. Everything
// else is for whoever must not trust it: [Family.Decode] reads a PSBT by code of
// its own, re-derives every own address and computes what is signed, and
// [Family.Assemble] has the finished transaction verified by btcd's script engine,
// which shares nothing with Decode. The format is fixed in docs/spec/11-bitcoin.md.
//
// The package is pure. It never sees a private key, and keeps no set of outputs:
// an input that doesn't exist, or is worth something else than the PSBT says,
// makes a transaction that no network accepts.
package bitcoin
