package bitcoin

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/cofferhq/coffer/internal/custody"
)

// Weights of BIP-141: four for a byte outside the witness, one for a byte inside.
const (
	txWeight     = 4*(4+4) + 2 // version, lock time; marker and flag
	inputWeight  = 4*(32+4+1+4) + 1 + 1 + 64
	changeScript = 34 // bytes of a P2TR script
)

// selection chooses what an order spends.
type selection struct {
	order   *Order
	payment *wire.TxOut // nil to return everything
	coins   []coin      // largest first, but for the one that must be spent
	forced  int         // how many coins at the front must be spent: 0 or 1
	least   int64       // fee of what is replaced

	chosen []coin
	change int64 // 0 for none
}

// selection reads an order.
func (o *Order) selection() (*selection, error) {
	s := &selection{order: o}
	var err error
	if s.least, err = satoshi(o.Replaced); err != nil {
		return nil, fmt.Errorf("replaced: %w", err)
	}
	if o.FeeRate == 0 || o.FeeRate > MaxFeeRate {
		return nil, invalid("feeRate", fmt.Sprintf("between 1 and %d satoshi per 1,000 virtual bytes", MaxFeeRate))
	}
	amount, err := satoshi(o.Amount)
	if err != nil {
		return nil, err
	}
	switch {
	case o.To == "" && amount > 0:
		return nil, invalid("amount", "without an address to pay it to")
	case o.To != "":
		script, err := Script(o.Account.Network, o.To)
		if err != nil {
			return nil, err
		}
		if err := CheckAmount(o.Account.Network, o.To, o.Amount); err != nil {
			return nil, err
		}
		s.payment = wire.NewTxOut(amount, script)
	}
	seen := make(map[wire.OutPoint]bool, len(o.Coins))
	for i, c := range o.Coins {
		parsed, err := c.parse()
		if err != nil {
			return nil, within("coins", i, err)
		}
		if seen[parsed.outpoint] {
			return nil, within("coins", i, invalid("outpoint", "given twice"))
		}
		seen[parsed.outpoint] = true
		s.coins = append(s.coins, parsed)
	}
	slices.SortFunc(s.coins, func(a, b coin) int {
		return cmp.Or(cmp.Compare(b.amount, a.amount), cmp.Compare(a.Outpoint, b.Outpoint))
	})
	if len(o.Must) > 0 {
		i := slices.IndexFunc(s.coins, func(c coin) bool { return slices.Contains(o.Must, c.Outpoint) })
		if i < 0 {
			return nil, invalid("must", "none of these is among the coins")
		}
		must := s.coins[i]
		s.coins = slices.Insert(slices.Delete(s.coins, i, i+1), 0, must)
		s.forced = 1
	}
	return s, nil
}

// CheckAmount refuses an amount that can't be paid to an address, in satoshi: more
// than all the money there is, or less than nodes relay.
func CheckAmount(n custody.Network, to custody.Address, a custody.Amount) error {
	amount, err := satoshi(a)
	if err != nil {
		return err
	}
	script, err := Script(n, to)
	if err != nil {
		return err
	}
	if least := dust(script); amount < least {
		return invalid("amount", fmt.Sprintf("%d satoshi are dust, which nodes don't relay: at least %d for this address", amount, least))
	}
	return nil
}

// dust is the least that nodes relay to a script, in satoshi: what spending it
// would cost at 3 per virtual byte, as Bitcoin Core has it (GetDustThreshold).
func dust(script []byte) int64 {
	spend := 32 + 4 + 1 + 107 + 4
	if txscript.IsWitnessProgram(script) {
		spend = 32 + 4 + 1 + 107/4 + 4
	}
	return int64(3 * (8 + 1 + len(script) + spend))
}

// size is the size of a transaction in virtual bytes (BIP-141), exactly.
func (s *selection) size(inputs int, change bool) int64 {
	outputs := 0
	if s.payment != nil {
		outputs += s.payment.SerializeSize()
	}
	if change {
		outputs += 8 + 1 + changeScript
	}
	weight := txWeight + 4*(wire.VarIntSerializeSize(uint64(inputs))+1+outputs) + inputs*inputWeight
	return int64(weight+3) / 4
}

// fee is what such a transaction has to pay, in satoshi.
func (s *selection) fee(inputs int, change bool) int64 {
	size := s.size(inputs, change)
	fee := s.rate(size)
	if s.least > 0 {
		fee = max(fee, s.least+(size*relayRate+999)/1000)
	}
	return fee
}

// rate is the price of so many virtual bytes.
func (s *selection) rate(size int64) int64 { return (size*int64(s.order.FeeRate) + 999) / 1000 }

// choose sets chosen and change.
func (s *selection) choose() error {
	var amount int64
	if s.payment != nil {
		amount = s.payment.Value
		if s.single(amount) {
			return nil
		}
	}
	var sum int64
	var over *custody.Error // the first fee above the limit
	for n := 1; n <= len(s.coins) && n <= custody.MaxClaims; n++ {
		sum += s.coins[n-1].amount
		change := sum - amount - s.fee(n, true)
		switch {
		case change >= DustLimit:
		case s.payment != nil && sum >= amount+s.fee(n, false):
			change = 0
		default:
			continue
		}
		fee := custody.NewAmount(uint64(sum - amount - change))
		if fee.Cmp(s.order.FeeLimit) <= 0 {
			s.chosen, s.change = s.coins[:n], change
			return nil
		}
		if over == nil {
			over = exhausted("feeLimit", "the fee would be %s, the limit is %s", s.format(fee), s.format(s.order.FeeLimit))
		}
	}
	if over != nil {
		return over
	}
	n := min(len(s.coins), custody.MaxClaims)
	need := amount + s.fee(max(n, 1), s.payment == nil)
	if s.payment == nil {
		need += DustLimit
	}
	if n < len(s.coins) {
		return exhausted("coins", "the %d largest hold %s, %s are needed with the fee", n, s.satoshi(sum), s.satoshi(need))
	}
	return exhausted("coins", "have %s, need %s with the fee", s.satoshi(sum), s.satoshi(need))
}

// single looks for the smallest coin that pays without change, alone or beside
// the one that must be spent, and takes it if what is over is less than what
// change would cost now and when it is spent.
func (s *selection) single(amount int64) bool {
	chosen, sum := slices.Clone(s.coins[:s.forced]), int64(0)
	for _, c := range chosen {
		sum += c.amount
	}
	if s.forced == 0 || sum < amount+s.fee(s.forced, false) {
		rest, need := s.coins[s.forced:], amount+s.fee(s.forced+1, false)-sum
		smaller := sort.Search(len(rest), func(i int) bool { return rest[i].amount < need })
		if smaller == 0 {
			return false
		}
		chosen, sum = append(chosen, rest[smaller-1]), sum+rest[smaller-1].amount
	}
	fee := sum - amount
	spare := fee - s.fee(len(chosen), false)
	if spare > s.rate(8+1+changeScript)+s.rate((inputWeight+3)/4) || custody.NewAmount(uint64(fee)).Cmp(s.order.FeeLimit) > 0 {
		return false
	}
	s.chosen = chosen
	return true
}

func (s *selection) format(a custody.Amount) string {
	return UnitOf(s.order.Account.Network).Format(a)
}

func (s *selection) satoshi(n int64) string { return s.format(custody.NewAmount(uint64(n))) }

func exhausted(field, format string, args ...any) *custody.Error {
	return &custody.Error{Code: custody.Exhausted, Field: field, Message: fmt.Sprintf(format, args...)}
}
