package compile

import (
	"encoding/hex"
	"errors"
	"regexp"
	"strings"

	"golang.org/x/crypto/sha3"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/policy"
)

var evmAddress = regexp.MustCompile(`0x([0-9a-fA-F]{40})$`)

// constant returns a text as it is compared. An EVM address in mixed case must
// have the right checksum (EIP-55): a wrong one is a mistake in writing.
func (c *compiler) constant(s string, at Position) string {
	folded := policy.Fold(s)
	if m := evmAddress.FindStringSubmatch(s); m != nil && folded != s {
		if digits := m[1]; digits != strings.ToUpper(digits) && digits != strings.ToLower(digits) && digits != checksummed(digits) {
			c.fail(at, "%s: the checksum of this address is wrong (EIP-55): check it, or write it in lower case", s)
		}
	}
	return folded
}

// checksummed returns 40 hex digits with the capitals of EIP-55.
func checksummed(digits string) string {
	out := []byte(strings.ToLower(digits))
	h := sha3.NewLegacyKeccak256()
	h.Write(out)
	sum := hex.EncodeToString(h.Sum(nil))
	for i, b := range out {
		if b >= 'a' && sum[i] >= '8' {
			out[i] = b - 'a' + 'A'
		}
	}
	return string(out)
}

var decimal = regexp.MustCompile(`^(0|[1-9][0-9]{0,77})(?:\.([0-9]{1,36}))?$`)

// scaled returns the decimal number s times 10^decimals, which must be whole.
func scaled(s string, decimals int) (custody.Amount, error) {
	m := decimal.FindStringSubmatch(s)
	if m == nil {
		return custody.Amount{}, errors.New("not a decimal number without sign and leading zeros")
	}
	part := strings.TrimRight(m[2], "0")
	if len(part) > decimals {
		return custody.Amount{}, errors.New("not a whole number of the smallest units")
	}
	digits := strings.TrimLeft(m[1]+part+strings.Repeat("0", decimals-len(part)), "0")
	if digits == "" {
		digits = "0"
	}
	a, err := custody.ParseAmount(digits)
	if err != nil {
		return a, errors.New("not below 2^256 in the smallest units")
	}
	return a, nil
}

// Decimals of coins by their number in SLIP-44, wherever they are the network's
// own asset.
var coins = map[string]int{
	"bip122:0": 8, "bip122:1": 8, "bip122:2": 8, "bip122:3": 8, "bip122:145": 8,
	"eip155:60": 18, "eip155:1": 18, "solana:501": 9,
}

// decimalsOf returns how many decimals the unit has in which people count asset.
func (c *compiler) decimalsOf(asset custody.Asset) (int, bool) {
	if d, ok := c.decimals[asset]; ok {
		return d, true
	}
	namespace, _, _ := strings.Cut(string(asset), ":")
	_, coin, ok := strings.Cut(string(asset), "/slip44:")
	if !ok {
		return 0, false
	}
	d, ok := coins[namespace+":"+coin]
	return d, ok
}
