package chain

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/cofferhq/coffer/internal/custody"
)

// Mismatch says that a transaction isn't what was asked for. It has code
// [custody.Conflict].
//
//nolint:errname // reads as what it is: chain.Mismatch
type Mismatch struct {
	What   string // asset, amount, change, claims, destination, fee, payments or transaction
	Have   string // what the transaction does
	Wanted string // what the intent or the entry says
}

func (m *Mismatch) Error() string {
	return fmt.Sprintf("%s: the transaction %s, %s", m.What, m.Have, m.Wanted)
}

// Unwrap gives the error its code.
func (m *Mismatch) Unwrap() error {
	return &custody.Error{Code: custody.Conflict, Field: m.What}
}

// Check refuses a transaction that doesn't do exactly what a transfer says: one
// payment, to its address, of its asset and amount, for a fee within its limit.
// For a SPEED_UP give the original transfer with the new limit. The error is a
// [Mismatch].
func (e *Effects) Check(t *custody.Transfer) error {
	if len(e.Payments) != 1 {
		return &Mismatch{"payments", fmt.Sprintf("makes %d payments", len(e.Payments)), "the intent is for one"}
	}
	p := e.Payments[0]
	switch {
	case p.Address != t.Destination.Address:
		return &Mismatch{
			"destination",
			fmt.Sprintf("pays %s to %s", e.amount(p.Asset, p.Amount), p.Address),
			fmt.Sprintf("the intent says %s", t.Destination.Address),
		}
	case p.Asset != t.Asset:
		return &Mismatch{"asset", fmt.Sprintf("pays in %s", p.Asset), fmt.Sprintf("the intent says %s", t.Asset)}
	case p.Amount.Cmp(t.Amount) != 0:
		return &Mismatch{
			"amount",
			fmt.Sprintf("pays %s to %s", e.amount(p.Asset, p.Amount), p.Address),
			"the intent says " + e.amount(t.Asset, t.Amount),
		}
	}
	return e.checkFee(t.FeeLimit)
}

// CheckCancel refuses a transaction that does anything but return what it spends
// to the account, for a fee of at most limit. The error is a [Mismatch].
func (e *Effects) CheckCancel(limit custody.Amount) error {
	if len(e.Payments) != 0 {
		p := e.Payments[0]
		return &Mismatch{
			"payments", fmt.Sprintf("pays %s to %s", e.amount(p.Asset, p.Amount), p.Address),
			"a CANCEL pays nobody",
		}
	}
	if len(e.Change) == 0 {
		return &Mismatch{"change", "returns nothing", "a CANCEL returns what it spends"}
	}
	return e.checkFee(limit)
}

// CheckPrepared refuses a transaction that isn't the one of a PREPARED entry: the
// bytes hash to what stands there, and claims and fee are exactly those. The error
// is a [Mismatch].
func (e *Effects) CheckPrepared(p *custody.Prepared) error {
	if got := custody.Hash(sha256.Sum256(e.Unsigned)); got != p.Transaction {
		return &Mismatch{"transaction", fmt.Sprintf("has SHA-256 %s", got), fmt.Sprintf("the entry says %s", p.Transaction)}
	}
	same := slices.EqualFunc(e.Claims, p.Claims, func(a, b custody.Claim) bool {
		if a.Nonce == nil || b.Nonce == nil {
			return a == b
		}
		return *a.Nonce == *b.Nonce
	})
	if !same {
		return &Mismatch{"claims", fmt.Sprintf("uses up %d outputs or nonces", len(e.Claims)), "the entry claims others, or in another order"}
	}
	if e.Fee.Cmp(p.Fee) != 0 {
		return &Mismatch{"fee", "costs " + e.Unit.Format(e.Fee), "the entry says " + e.Unit.Format(p.Fee)}
	}
	return nil
}

func (e *Effects) checkFee(limit custody.Amount) error {
	if e.Fee.Cmp(limit) > 0 {
		return &Mismatch{"fee", "costs " + e.Unit.Format(e.Fee), "the limit is " + e.Unit.Format(limit)}
	}
	return nil
}

// amount writes what people can read: whole units of the network's own asset, base
// units of any other.
func (e *Effects) amount(asset custody.Asset, a custody.Amount) string {
	if asset == e.Unit.Asset {
		return e.Unit.Format(a)
	}
	return a.String() + " base units of " + string(asset)
}
