package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/custody"
)

// decimal is how amounts are written: no sign, no exponent, no leading zeros.
var decimal = regexp.MustCompile(`^(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// parseAmount reads a positive amount in the unit of a number of decimals, exactly: one
// with more decimals is refused, not rounded.
func parseAmount(s string, decimals int) (custody.Amount, error) {
	if !decimal.MatchString(s) {
		return custody.Amount{}, usagef("not a decimal number above 0 such as 0.3, without sign, exponent or leading zeros")
	}
	whole, part, _ := strings.Cut(s, ".")
	if len(part) > decimals {
		return custody.Amount{}, usagef("more than %s", count(decimals, "decimal"))
	}
	digits := strings.TrimLeft(whole+part+strings.Repeat("0", decimals-len(part)), "0")
	if digits == "" {
		return custody.Amount{}, usagef("zero")
	}
	a, err := custody.ParseAmount(digits)
	if err != nil {
		return custody.Amount{}, usagef("2^256 base units or more")
	}
	return a, nil
}

// unitOf is how people write amounts of a network's own asset.
func unitOf(n custody.Network) (unit chain.Unit, ok bool) {
	if !bitcoin.Knows(n) {
		return unit, false
	}
	return bitcoin.UnitOf(n), true
}

// amountWords writes an amount of an asset in its unit, or in base units where we know
// none.
func amountWords(a custody.Amount, asset custody.Asset) string {
	if unit, ok := unitOf(asset.Network()); ok && unit.Asset == asset {
		return unit.Format(a)
	}
	return fmt.Sprintf("%s base units of %s", a, asset)
}

// feeWords writes an amount of a network's own asset.
func feeWords(a custody.Amount, n custody.Network) string {
	if unit, ok := unitOf(n); ok {
		return unit.Format(a)
	}
	return fmt.Sprintf("%s base units of the asset that %s takes fees in", a, n)
}
