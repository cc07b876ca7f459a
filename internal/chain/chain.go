// Package chain says what all families of networks have in common: how a
// transaction is read and what of it a node checks against the intent that people
// signed. Start from [Family]; package chains finds the one of a network.
//
// It is pure, so that every signer node runs it again on the exact bytes: no
// clock, no files, no connections. It decides nothing about policy.
package chain

import (
	"fmt"
	"strings"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/tss/derive"
	"github.com/cofferhq/coffer/tss/hash"
)

// Account is a wallet with what its addresses derive from. Addresses to receive
// are m/Path/0/i, those for change m/Path/1/i.
type Account struct {
	Network   custody.Network
	Scheme    custody.Scheme
	PublicKey []byte       // of the threshold key, as in [custody.Key]
	ChainCode custody.Hash // of the threshold key; confidential
	Path      uint32       // the wallet's
}

// AccountOf is a wallet with its key. chainCode is the key's; whether it is the one
// that the nodes attested, [Commitment] tells.
func AccountOf(w *custody.Wallet, k *custody.Key, chainCode custody.Hash) Account {
	return Account{Network: w.Network, Scheme: k.Scheme, PublicKey: k.PublicKey, ChainCode: chainCode, Path: w.Path}
}

// Commitment is what stands on record of a chain code: ChainCode of [custody.Key].
func Commitment(chainCode custody.Hash) custody.Hash {
	return custody.Hash(hash.Sum("cc", chainCode[:]))
}

// Payment is what a transaction gives away. Amount is in base units of Asset.
type Payment struct {
	Address custody.Address
	Asset   custody.Asset
	Amount  custody.Amount
}

// Change is what comes back to the account, at an address derived from its key.
type Change struct {
	Output  uint32 // which output of the transaction
	Path    derive.Path
	Address custody.Address
	Amount  custody.Amount // base units of the network's own asset
}

// Message is what one signature of a transaction signs, and with which child of
// the threshold key.
type Message struct {
	Path    derive.Path
	Taproot bool   // with the tweak of BIP-341 for a key without scripts
	Bytes   []byte // for BIP-340 the 32 bytes of the signature hash
}

// Unit is how people write amounts of a network's own asset.
type Unit struct {
	Asset    custody.Asset
	Symbol   string
	Decimals int // one Symbol is 10^Decimals base units
}

// Format writes an amount in whole units, without rounding: "0.5 BTC".
func (u Unit) Format(a custody.Amount) string {
	digits := a.String()
	if missing := u.Decimals + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	whole, part := digits[:len(digits)-u.Decimals], digits[len(digits)-u.Decimals:]
	if part = strings.TrimRight(part, "0"); part != "" {
		whole += "." + part
	}
	return whole + " " + u.Symbol
}

// Effects is what an unsigned transaction does, decoded from its bytes alone.
type Effects struct {
	Unsigned []byte // the exact bytes whose SHA-256 stands in PREPARED
	Claims   []custody.Claim
	Fee      custody.Amount // the highest that it can cost, in base units of Unit
	Payments []Payment
	Change   []Change
	Messages []Message // one for each signature, in order
	Unit     Unit      // of the network's own asset
}

// String tells people what the transaction does: "pays 0.3 BTC to bcrt1…, returns
// 0.7 BTC to m/0/1/0, costs 0.00000308 BTC".
func (e *Effects) String() string {
	var parts []string
	for _, p := range e.Payments {
		parts = append(parts, fmt.Sprintf("pays %s to %s", e.amount(p.Asset, p.Amount), p.Address))
	}
	for _, c := range e.Change {
		parts = append(parts, fmt.Sprintf("returns %s to %s", e.Unit.Format(c.Amount), c.Path))
	}
	return strings.Join(append(parts, "costs "+e.Unit.Format(e.Fee)), ", ")
}

// Signed is a transaction that the network takes.
type Signed struct {
	Raw []byte       // as it is sent
	ID  custody.Hash // as the network shows it
}

// Family is one kind of network. Its methods do no I/O, never panic, and their
// errors of bytes from outside are of code [custody.Invalid] and name the field.
type Family interface {
	// Address returns the address of an account at m/Path/branch/index; branch is
	// 0 or 1, index below 2^31.
	Address(a Account, branch, index uint32) (custody.Address, error)
	// CheckAddress refuses what isn't an address that the network can pay, in the
	// one spelling that we take.
	CheckAddress(n custody.Network, a custody.Address) error
	// Decode reads an unsigned transaction of the account. It shares no code with
	// what builds transactions.
	Decode(a Account, raw []byte) (*Effects, error)
	// Assemble joins the transaction to its signatures, one for each of the
	// Messages that Decode gives, and verifies each. A signature that doesn't
	// verify is an error of code [custody.Unauthenticated].
	Assemble(a Account, raw []byte, signatures [][]byte) (*Signed, error)
}
