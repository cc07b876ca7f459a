package bitcoin

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/tss/derive"
)

// MaxPSBT is the longest PSBT that is read or built, in bytes.
const MaxPSBT = 1 << 20

// What every transaction has that we sign.
const (
	txVersion  = 2
	rbfInput   = 0xfffffffd // signals that it may be replaced (BIP-125)
	magic      = "psbt\xff"
	unsignedTx = 0x00 // PSBT_GLOBAL_UNSIGNED_TX
)

// Types of pairs of an input (BIP-174, BIP-371).
const (
	inPrevious     = 0x00 // PSBT_IN_NON_WITNESS_UTXO
	inWitnessUTXO  = 0x01
	inPartialSig   = 0x02
	inSighashType  = 0x03
	inFinalScript  = 0x07
	inFinalWitness = 0x08
	inTapSignature = 0x13 // PSBT_IN_TAP_KEY_SIG
	inTapScriptSig = 0x14
	inTapPath      = 0x16 // PSBT_IN_TAP_BIP32_DERIVATION
	inTapKey       = 0x17 // PSBT_IN_TAP_INTERNAL_KEY
)

// Types of pairs of an output.
const (
	outTapKey  = 0x05
	outTapPath = 0x07
)

// parsed is a PSBT that has passed all checks of Decode.
type parsed struct {
	*account
	tx    *transaction
	spent []txOut // by input
	keys  []*key  // by input
}

// Decode reads a PSBT of the account (docs/spec/11-bitcoin.md). All it says is
// recomputed: inputs are the account's own, change is at addresses of the account,
// the fee is what inputs hold beyond outputs. An output without a derivation is a
// payment, whoever's it is.
func (Family) Decode(a chain.Account, raw []byte) (*chain.Effects, error) {
	_, effects, err := decode(a, raw)
	return effects, err
}

func decode(a chain.Account, raw []byte) (*parsed, *chain.Effects, error) {
	own, err := open(a)
	if err != nil {
		return nil, nil, err
	}
	if len(raw) > MaxPSBT {
		return nil, nil, invalid("psbt", fmt.Sprintf("%d bytes, at most %d allowed", len(raw), MaxPSBT))
	}
	rest, ok := bytes.CutPrefix(raw, []byte(magic))
	if !ok {
		return nil, nil, invalid("psbt", "doesn't begin as a PSBT (BIP-174)")
	}
	p := &parsed{account: own}
	r := &reader{b: bytes.Clone(rest)}
	if p.tx, err = global(r); err != nil {
		return nil, nil, err
	}
	effects := &chain.Effects{Unsigned: p.tx.raw, Unit: UnitOf(a.Network)}
	var in, out uint64
	for i, input := range p.tx.inputs {
		spent, k, err := p.input(r, input)
		if err != nil {
			return nil, nil, within("inputs", i, err)
		}
		p.spent, p.keys = append(p.spent, spent), append(p.keys, k)
		in += spent.amount // below 2^64: at most 1,000 amounts below 2^51
		id := displayed(input.spends.id)
		effects.Claims = append(effects.Claims, custody.Claim{
			Outpoint: custody.Outpoint(hex.EncodeToString(id[:]) + ":" + strconv.FormatUint(uint64(input.spends.index), 10)),
		})
	}
	for i, output := range p.tx.outputs {
		if out += output.amount; output.amount > maxSatoshi || out > maxSatoshi {
			return nil, nil, within("outputs", i, invalid("amount", "more than all the money there is"))
		}
		if err := p.output(r, i, output, effects); err != nil {
			return nil, nil, within("outputs", i, err)
		}
	}
	switch {
	case len(r.b) > 0:
		return nil, nil, invalid("psbt", "bytes after its end")
	case out > in:
		return nil, nil, invalid("outputs", "worth more than the inputs")
	}
	effects.Fee = custody.NewAmount(in - out)
	for i, h := range signatureHashes(p.tx, p.spent) {
		effects.Messages = append(effects.Messages, chain.Message{Path: p.keys[i].path, Taproot: true, Bytes: h})
	}
	return p, effects, nil
}

// global reads the global map: the unsigned transaction and nothing else.
func global(r *reader) (*transaction, error) {
	pairs := r.pairs()
	switch {
	case r.err != nil:
		return nil, &custody.Error{Code: custody.Invalid, Field: "global", Err: r.err}
	case len(pairs) == 0 || !bytes.Equal(pairs[0].key, []byte{unsignedTx}):
		return nil, invalid("global", "doesn't begin with the unsigned transaction")
	case len(pairs) > 1:
		return nil, invalid("global", fmt.Sprintf("key %s is unknown", shown(pairs[1].key)))
	}
	tx, err := readTransaction(pairs[0].value)
	if err != nil {
		return nil, &custody.Error{Code: custody.Invalid, Field: "transaction", Err: err}
	}
	switch {
	case tx.version != txVersion:
		return nil, invalid("transaction.version", fmt.Sprintf("%d, not %d", tx.version, txVersion))
	case tx.lockTime != 0:
		return nil, invalid("transaction.lockTime", "not 0: it could be held back")
	case len(tx.inputs) > custody.MaxClaims:
		return nil, invalid("transaction.inputs", fmt.Sprintf("more than %d", custody.MaxClaims))
	case len(tx.outputs) == 0:
		return nil, invalid("transaction.outputs", "none")
	}
	seen := make(map[outpoint]bool, len(tx.inputs))
	for i, in := range tx.inputs {
		switch {
		case len(in.script) > 0:
			return nil, within("inputs", i, invalid("script", "already signed"))
		case in.sequence != rbfInput:
			return nil, within("inputs", i, invalid("sequence", fmt.Sprintf("%#x, not %#x", in.sequence, uint32(rbfInput))))
		case seen[in.spends]:
			return nil, within("inputs", i, invalid("outpoint", "spent twice"))
		}
		seen[in.spends] = true
	}
	return tx, nil
}

// input reads the map of an input and returns the output that it spends, which is
// one of the account's own, with its key.
func (a *account) input(r *reader, in txIn) (spent txOut, k *key, err error) {
	pairs := r.pairs()
	if r.err != nil {
		return spent, nil, &custody.Error{Code: custody.Invalid, Err: r.err}
	}
	var previous, utxo, tapKey []byte
	var tapPath pair
	for _, p := range pairs {
		var alone *[]byte // the value of a key that is its type and no more
		switch p.key[0] {
		case inPrevious:
			alone = &previous
		case inWitnessUTXO:
			alone = &utxo
		case inTapKey:
			alone = &tapKey
		case inTapPath:
			if tapPath.key != nil {
				return spent, nil, invalid("derivation", "of more than one key")
			}
			tapPath = p
			continue
		case inPartialSig, inFinalScript, inFinalWitness, inTapSignature, inTapScriptSig:
			return spent, nil, invalid("signature", "already there, in key "+shown(p.key))
		case inSighashType:
			return spent, nil, invalid("sighashType", "there is only the default one, which isn't written")
		}
		if alone == nil || len(p.key) != 1 || len(p.value) == 0 {
			return spent, nil, invalid("", fmt.Sprintf("key %s is unknown or malformed", shown(p.key)))
		}
		*alone = p.value
	}
	if utxo == nil {
		return spent, nil, invalid("witnessUtxo", "missing")
	}
	u := &reader{b: utxo}
	if spent = readOutput(u); u.err != nil || len(u.b) > 0 {
		return spent, nil, invalid("witnessUtxo", "no transaction output")
	}
	if spent.amount > maxSatoshi {
		return spent, nil, invalid("witnessUtxo.amount", "more than all the money there is")
	}
	if previous != nil {
		if err := agrees(previous, in.spends, spent); err != nil {
			return spent, nil, &custody.Error{Code: custody.Invalid, Field: "previous", Err: err}
		}
	}
	if k, err = a.derived(tapKey, tapPath); err != nil {
		return spent, nil, err
	}
	if !bytes.Equal(spent.script, k.script()) {
		return spent, nil, invalid("witnessUtxo.script", fmt.Sprintf("not the account's at %s", k.path))
	}
	return spent, k, nil
}

// agrees checks the full previous transaction of an input against what the PSBT
// says of the output spent.
func agrees(previous []byte, spends outpoint, spent txOut) error {
	tx, err := readTransaction(previous)
	switch {
	case err != nil:
		return err
	case tx.id() != spends.id:
		return errors.New("isn't the transaction that the input spends from")
	case uint64(spends.index) >= uint64(len(tx.outputs)):
		return errors.New("has no output of that number")
	}
	out := tx.outputs[spends.index]
	switch {
	case out.amount != spent.amount:
		return errors.New("has another amount in that output than witnessUtxo")
	case !bytes.Equal(out.script, spent.script):
		return errors.New("has another script in that output than witnessUtxo")
	}
	return nil
}

// output reads the map of an output and notes what it does.
func (p *parsed) output(r *reader, index int, out txOut, effects *chain.Effects) error {
	pairs := r.pairs()
	if r.err != nil {
		return &custody.Error{Code: custody.Invalid, Err: r.err}
	}
	amount := custody.NewAmount(out.amount)
	if len(pairs) == 0 {
		to, ok := payee(p.Network, p.params, out.script)
		if !ok {
			return invalid("script", "pays no address that is known")
		}
		effects.Payments = append(effects.Payments, chain.Payment{Address: to, Asset: effects.Unit.Asset, Amount: amount})
		return nil
	}
	var tapKey []byte
	var tapPath pair
	for _, pair := range pairs {
		switch {
		case len(pair.key) == 1 && pair.key[0] == outTapKey && len(pair.value) > 0:
			tapKey = pair.value
		case pair.key[0] == outTapPath && tapPath.key == nil:
			tapPath = pair
		default:
			return invalid("", fmt.Sprintf("key %s is unknown or malformed", shown(pair.key)))
		}
	}
	k, err := p.derived(tapKey, tapPath)
	if err != nil {
		return err
	}
	switch {
	case k.path[1] != 1:
		return invalid("derivation", fmt.Sprintf("%s is no path of change", k.path))
	case !bytes.Equal(out.script, k.script()):
		return invalid("script", fmt.Sprintf("not the account's at %s", k.path))
	}
	to, err := k.address(p.params)
	if err != nil {
		return err
	}
	effects.Change = append(effects.Change, chain.Change{Output: uint32(index), Path: k.path, Address: to, Amount: amount})
	return nil
}

// derived computes the key of the account at the path that an input or output
// claims, and checks that the claim is about that key.
func (a *account) derived(tapKey []byte, tapPath pair) (*key, error) {
	switch {
	case tapKey == nil:
		return nil, invalid("internalKey", "missing")
	case tapPath.key == nil:
		return nil, invalid("derivation", "missing")
	case !bytes.Equal(tapPath.key[1:], tapKey):
		return nil, invalid("derivation", "of another key than internalKey")
	}
	r := &reader{b: tapPath.value}
	leaves, fingerprint := r.size(), r.take(4)
	path := derive.Path{r.u32(), r.u32(), r.u32()}
	switch {
	case r.err != nil || len(r.b) > 0 || leaves != 0:
		return nil, invalid("derivation", "not a fingerprint and three steps, without scripts")
	case !bytes.Equal(fingerprint, a.fingerprint[:]):
		return nil, invalid("derivation", "of another master key")
	case path[0] != a.Path || path[1] > 1:
		return nil, invalid("derivation", fmt.Sprintf("%s isn't of the account m/%d", path, a.Path))
	}
	k, err := a.key(path[1], path[2])
	if err != nil {
		return nil, &custody.Error{Code: custody.Invalid, Field: "derivation", Err: err}
	}
	if !bytes.Equal(tapKey, k.internal) {
		return nil, invalid("internalKey", fmt.Sprintf("not the account's at %s", path))
	}
	return k, nil
}

// within puts the field of an error below an element of a list.
func within(list string, i int, err error) error {
	e, ok := errors.AsType[*custody.Error](err)
	if !ok {
		return fmt.Errorf("%s.%d: %w", list, i, err)
	}
	moved := *e
	moved.Field = list + "." + strconv.Itoa(i)
	if e.Field != "" {
		moved.Field += "." + e.Field
	}
	return &moved
}
