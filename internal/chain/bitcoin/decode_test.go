package bitcoin_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/custody"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	raw := must(bitcoin.Build(order()))
	e, err := bitcoin.Family{}.Decode(account, raw)
	if err != nil {
		t.Fatal(err)
	}
	asset := custody.Asset(bitcoin.Regtest + "/slip44:1")
	if diff := cmp.Diff([]chain.Payment{{Address: stranger, Asset: asset, Amount: custody.NewAmount(60_000)}}, e.Payments, amounts); diff != "" {
		t.Errorf("payments (-want +got):\n%s", diff)
	}
	// 2 inputs, P2WPKH and P2TR outputs: 10.5 + 2·57.5 + 31 + 43 virtual bytes.
	if want := custody.NewAmount(400); e.Fee != want {
		t.Errorf("fee %s, want %s", e.Fee, want)
	}
	change := []chain.Change{{Path: []uint32{5, 1, 10}, Address: own(account, 1, 10), Amount: custody.NewAmount(39_600)}}
	if diff := cmp.Diff(change, e.Change, amounts); diff != "" {
		t.Errorf("change (-want +got):\n%s", diff)
	}
	m := open(t, raw)
	if value := m.tx.TxOut[e.Change[0].Output].Value; value != 39_600 {
		t.Errorf("the output of change has %d satoshi", value)
	}
	for i, in := range m.tx.TxIn {
		if got := string(e.Claims[i].Outpoint); got != in.PreviousOutPoint.String() {
			t.Errorf("claim %d is %s, want %s", i, got, in.PreviousOutPoint)
		}
	}
	var unsigned bytes.Buffer
	must(0, m.tx.SerializeNoWitness(&unsigned))
	if !bytes.Equal(unsigned.Bytes(), e.Unsigned) {
		t.Error("unsigned isn't the transaction of the PSBT")
	}
	transfer := &custody.Transfer{
		Network: bitcoin.Regtest, Asset: asset, Amount: custody.NewAmount(60_000), FeeLimit: custody.NewAmount(400),
		Destination: custody.Recipient{Kind: custody.OneTime, Address: stranger},
	}
	if err := e.Check(transfer); err != nil {
		t.Errorf("the transfer that it was built for: %v", err)
	}
}

var amounts = cmp.Comparer(func(a, b custody.Amount) bool { return a == b })

// TestC37 changes one thing of a good PSBT at a time. Each is refused, and the
// error names what is wrong.
func TestC37(t *testing.T) {
	t.Parallel()
	good := must(bitcoin.Build(order()))
	if _, err := (bitcoin.Family{}).Decode(account, open(t, good).bytes()); err != nil {
		t.Fatalf("the PSBT that is changed isn't good: %v", err)
	}
	other := account
	other.Path = 6
	foreign := account
	foreign.ChainCode = custody.Hash{1}

	// asChange makes the output of change one that a says is its own.
	asChange := func(m *maps, a chain.Account, branch, index uint32) {
		at := m.change()
		m.outputs[at], m.tx.TxOut[at].PkScript = claimed(a, branch, index)
	}
	utxo := func(m *maps) []byte { return at(m.inputs[0], 1).value }
	previous := func(m *maps, edit func(*wire.MsgTx)) {
		var tx wire.MsgTx
		p := at(m.inputs[0], 0)
		must(0, tx.DeserializeNoWitness(bytes.NewReader(p.value)))
		edit(&tx)
		var b bytes.Buffer
		must(0, tx.SerializeNoWitness(&b))
		p.value = b.Bytes()
	}
	sig := bytes.Repeat([]byte{1}, 64)

	for _, c := range []struct {
		name  string
		edit  func(m *maps)
		field string
		says  string
	}{
		// Change that isn't.
		{"change to a foreign key with its claimed derivation", func(m *maps) { asChange(m, foreign, 1, 10) }, "outputs.C.internalKey", "not the account's at m/5/1/10"},
		{"change to a receiving address", func(m *maps) { asChange(m, account, 0, 10) }, "outputs.C.derivation", "m/5/0/10 is no path of change"},
		{"change to another wallet of the key", func(m *maps) { asChange(m, other, 1, 10) }, "outputs.C.derivation", "m/6/1/10 isn't of the account m/5"},
		{"own derivation over a foreign script", func(m *maps) {
			m.tx.TxOut[m.change()].PkScript = must(bitcoin.Script(bitcoin.Regtest, stranger))
		}, "outputs.C.script", "not the account's"},
		{"own derivation over another own script", func(m *maps) {
			m.tx.TxOut[m.change()].PkScript = must(bitcoin.Script(bitcoin.Regtest, own(account, 1, 11)))
		}, "outputs.C.script", "not the account's at m/5/1/10"},
		{"foreign master key", func(m *maps) { at(m.outputs[m.change()], 7).value[1] ^= 1 }, "outputs.C.derivation", "another master key"},
		{"hardened index", func(m *maps) {
			binary.LittleEndian.PutUint32(at(m.outputs[m.change()], 7).value[13:], 1<<31)
		}, "outputs.C.derivation", "hardened"},
		{"third branch", func(m *maps) {
			binary.LittleEndian.PutUint32(at(m.outputs[m.change()], 7).value[9:], 2)
		}, "outputs.C.derivation", "isn't of the account"},
		{"longer path", func(m *maps) {
			p := at(m.outputs[m.change()], 7)
			p.value = append(p.value, 0, 0, 0, 0)
		}, "outputs.C.derivation", "three steps"},
		{"derivation with a script", func(m *maps) {
			p := at(m.outputs[m.change()], 7)
			p.value = append(append([]byte{1}, make([]byte, 32)...), p.value[1:]...)
		}, "outputs.C.derivation", "without scripts"},
		{"no internal key", func(m *maps) { m.outputs[m.change()] = without(m.outputs[m.change()], 5) }, "outputs.C.internalKey", "missing"},
		{"no derivation", func(m *maps) { m.outputs[m.change()] = without(m.outputs[m.change()], 7) }, "outputs.C.derivation", "missing"},
		{"scripts beside the key", func(m *maps) { m.outputs[m.change()] = put(m.outputs[m.change()], []byte{6}, []byte{0, 0xc0, 1, 0x51}) }, "outputs.C", "key 06"},

		// Inputs that aren't the account's, or not worth what is said.
		{"inflated amount", func(m *maps) { utxo(m)[0] ^= 1 }, "inputs.0.previous", "another amount"},
		{"foreign script", func(m *maps) { utxo(m)[12] ^= 1 }, "inputs.0.previous", "another script"},
		{"foreign script without previous", func(m *maps) { m.inputs[0] = without(m.inputs[0], 0); utxo(m)[12] ^= 1 }, "inputs.0.witnessUtxo.script", "not the account's"},
		{"previous of another input", func(m *maps) { at(m.inputs[0], 0).value = at(m.inputs[1], 0).value }, "inputs.0.previous", "isn't the transaction that the input spends"},
		{"changed previous", func(m *maps) { previous(m, func(tx *wire.MsgTx) { tx.LockTime = 1 }) }, "inputs.0.previous", "isn't the transaction that the input spends"},
		{"previous with a byte more", func(m *maps) { p := at(m.inputs[0], 0); p.value = append(p.value, 0) }, "inputs.0.previous", "bytes after its end"},
		{"output that the previous hasn't", func(m *maps) { m.tx.TxIn[0].PreviousOutPoint.Index = 2 }, "inputs.0.previous", "no output of that number"},
		{"all the money and more", func(m *maps) {
			m.inputs[0] = without(m.inputs[0], 0)
			binary.LittleEndian.PutUint64(utxo(m), 21e14+1)
		}, "inputs.0.witnessUtxo.amount", "all the money"},
		{"no utxo", func(m *maps) { m.inputs[0] = without(m.inputs[0], 1) }, "inputs.0.witnessUtxo", "missing"},
		{"short utxo", func(m *maps) { p := at(m.inputs[0], 1); p.value = p.value[:20] }, "inputs.0.witnessUtxo", "no transaction output"},
		{"utxo with a byte more", func(m *maps) { p := at(m.inputs[0], 1); p.value = append(p.value, 0) }, "inputs.0.witnessUtxo", "no transaction output"},
		{"another internal key", func(m *maps) { at(m.inputs[0], 0x17).value = at(m.inputs[1], 0x17).value }, "inputs.0.derivation", "another key than internalKey"},
		{"two derivations", func(m *maps) {
			m.inputs[0] = put(m.inputs[0], at(m.inputs[1], 0x16).key, at(m.inputs[1], 0x16).value)
		}, "inputs.0.derivation", "more than one key"},
		{"path of the other input", func(m *maps) { at(m.inputs[0], 0x16).value = at(m.inputs[1], 0x16).value }, "inputs.0.internalKey", "not the account's at"},
		{"spent twice", func(m *maps) { m.tx.TxIn[1].PreviousOutPoint = m.tx.TxIn[0].PreviousOutPoint }, "inputs.1.outpoint", "spent twice"},

		// Signed already, or to be signed otherwise.
		{"partial signature", func(m *maps) {
			m.inputs[0] = put(m.inputs[0], append([]byte{2}, secret.PubKey().SerializeCompressed()...), sig)
		}, "inputs.0.signature", "already there"},
		{"taproot signature", func(m *maps) { m.inputs[0] = put(m.inputs[0], []byte{0x13}, sig) }, "inputs.0.signature", "already there"},
		{"taproot script signature", func(m *maps) { m.inputs[0] = put(m.inputs[0], append([]byte{0x14}, sig...), sig) }, "inputs.0.signature", "already there"},
		{"final script", func(m *maps) { m.inputs[0] = put(m.inputs[0], []byte{7}, sig) }, "inputs.0.signature", "already there"},
		{"final witness", func(m *maps) { m.inputs[0] = put(m.inputs[0], []byte{8}, sig) }, "inputs.0.signature", "already there"},
		{"script in the transaction", func(m *maps) { m.tx.TxIn[0].SignatureScript = []byte{0x51} }, "inputs.0.script", "already signed"},
		{"SIGHASH_SINGLE", func(m *maps) { m.inputs[0] = put(m.inputs[0], []byte{3}, []byte{3, 0, 0, 0}) }, "inputs.0.sighashType", "default"},
		{"SIGHASH_DEFAULT in words", func(m *maps) { m.inputs[0] = put(m.inputs[0], []byte{3}, make([]byte, 4)) }, "inputs.0.sighashType", "default"},
		{"merkle root", func(m *maps) { m.inputs[0] = put(m.inputs[0], []byte{0x18}, make([]byte, 32)) }, "inputs.0", "key 18"},
		{"script leaf", func(m *maps) { m.inputs[0] = put(m.inputs[0], append([]byte{0x15}, sig...), sig) }, "inputs.0", "key 15"},

		// The transaction.
		{"version", func(m *maps) { m.tx.Version = 3 }, "transaction.version", "3, not 2"},
		{"lock time", func(m *maps) { m.tx.LockTime = 1 }, "transaction.lockTime", "held back"},
		{"final sequence", func(m *maps) { m.tx.TxIn[0].Sequence = wire.MaxTxInSequenceNum }, "inputs.0.sequence", "0xffffffff"},
		{"relative lock", func(m *maps) { m.tx.TxIn[0].Sequence = 100 }, "inputs.0.sequence", "0x64"},
		{"negative amount", func(m *maps) { m.tx.TxOut[0].Value = -1 }, "outputs.0.amount", "all the money"},
		{"amounts that overflow", func(m *maps) { m.tx.TxOut[0].Value, m.tx.TxOut[1].Value = 21e14, 21e14 }, "outputs.1.amount", "all the money"},
		{"more out than in", func(m *maps) { m.tx.TxOut[0].Value += 50_000 }, "outputs", "worth more than the inputs"},
		{"no outputs", func(m *maps) { m.tx.TxOut, m.outputs = nil, nil }, "transaction.outputs", "none"},
		{"no inputs", func(m *maps) { m.tx.TxIn, m.inputs = nil, nil }, "transaction", "no inputs"},
		{"script without address", func(m *maps) { m.tx.TxOut[1-m.change()].PkScript = []byte{txscript.OP_RETURN, 1, 7} }, "outputs.P.script", "no address"},
		{"pay to public key", func(m *maps) {
			m.tx.TxOut[1-m.change()].PkScript = append(append([]byte{33}, secret.PubKey().SerializeCompressed()...), txscript.OP_CHECKSIG)
		}, "outputs.P.script", "no address"},
		{"1,001 inputs", func(m *maps) {
			for i := range 999 {
				in := *m.tx.TxIn[0]
				in.PreviousOutPoint.Index = uint32(i + 10)
				m.tx.TxIn, m.inputs = append(m.tx.TxIn, &in), append(m.inputs, m.inputs[0])
			}
		}, "transaction.inputs", "more than 1000"},

		// The format.
		{"byte after the end", func(m *maps) { m.tail = []byte{0} }, "psbt", "bytes after its end"},
		{"extended public key", func(m *maps) { m.global = []pair{{append([]byte{1}, make([]byte, 78)...), make([]byte, 4)}} }, "global", "unknown"},
		{"version of the PSBT", func(m *maps) { m.global = []pair{{[]byte{0xfb}, make([]byte, 4)}} }, "global", "key fb"},
		{"two transactions", func(m *maps) { m.global = []pair{{[]byte{0}, []byte{1}}} }, "global", "given twice"},
		{"input key twice", func(m *maps) { m.inputs[0] = put(m.inputs[0], []byte{0x17}, at(m.inputs[0], 0x17).value) }, "inputs.0", "given twice"},
		{"output key twice", func(m *maps) { c := m.change(); m.outputs[c] = put(m.outputs[c], []byte{5}, at(m.outputs[c], 5).value) }, "outputs.C", "given twice"},
		{"keys out of order", func(m *maps) { s := m.inputs[0]; s[0], s[1] = s[1], s[0] }, "inputs.0", "out of order"},
		{"unknown input key", func(m *maps) { m.inputs[0] = put(m.inputs[0], []byte{0x42}, []byte{1}) }, "inputs.0", "key 42"},
		{"proprietary input key", func(m *maps) { m.inputs[1] = put(m.inputs[1], []byte{0xfc, 1, 'x', 0}, []byte{1}) }, "inputs.1", "key fc017800"},
		{"unknown output key", func(m *maps) { m.outputs[0] = put(m.outputs[0], []byte{0x42}, []byte{1}) }, "outputs.0", "key 42"},
		{"key data where there is none", func(m *maps) { at(m.inputs[0], 0x17).key = []byte{0x17, 1} }, "inputs.0", "key 1701"},
		{"empty value", func(m *maps) { at(m.inputs[0], 0).value = nil }, "inputs.0", "key 00"},
		{"derivation alone on a payment", func(m *maps) { m.outputs[1-m.change()] = []pair{{[]byte{7}, derivation(account, 5, 1, 10)}} }, "outputs.P.internalKey", "missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := open(t, good)
			names := strings.NewReplacer("C", string(rune('0'+m.change())), "P", string(rune('1'-m.change())))
			c.edit(m)
			raw := m.bytes()
			if bytes.Equal(raw, good) {
				t.Fatal("nothing is changed")
			}
			e, err := bitcoin.Family{}.Decode(account, raw)
			refused(t, err, names.Replace(c.field), c.says)
			if e != nil {
				t.Error("effects beside the error")
			}
		})
	}
}

// refused holds an error against the field and the words that it should have.
func refused(t *testing.T, err error, field, says string) {
	t.Helper()
	if err == nil {
		t.Fatal("accepted")
	}
	if custody.CodeOf(err) != custody.Invalid {
		t.Errorf("code %s, want invalid", custody.CodeOf(err))
	}
	if !strings.HasPrefix(err.Error(), field+": ") || !strings.Contains(err.Error(), says) {
		t.Errorf("%q, want field %q and words %q", err, field, says)
	}
}

// TestOutputsMoved changes what is paid. Such a PSBT is well-formed: what decodes
// from it isn't what was asked for.
func TestOutputsMoved(t *testing.T) {
	t.Parallel()
	good := must(bitcoin.Build(order()))
	asked := &custody.Transfer{
		Network: bitcoin.Regtest, Asset: bitcoin.UnitOf(bitcoin.Regtest).Asset, Amount: custody.NewAmount(60_000), FeeLimit: custody.NewAmount(400),
		Destination: custody.Recipient{Kind: custody.OneTime, Address: stranger},
	}
	thief := own(chain.Account{Network: account.Network, Scheme: account.Scheme, PublicKey: account.PublicKey, Path: 1}, 0, 0)
	for _, c := range []struct {
		name string
		edit func(m *maps)
		what string
		says string
	}{
		{"other destination", func(m *maps) { m.tx.TxOut[1-m.change()].PkScript = must(bitcoin.Script(bitcoin.Regtest, thief)) }, "destination", "pays 0.0006 tBTC to " + string(thief)},
		{"other amount", func(m *maps) { m.tx.TxOut[1-m.change()].Value-- }, "amount", "pays 0.00059999 tBTC to " + string(stranger) + ", the intent says 0.0006 tBTC"},
		{"change to the miner", func(m *maps) { m.tx.TxOut[m.change()].Value -= 5000 }, "fee", "costs 0.000054 tBTC, the limit is 0.000004 tBTC"},
		{"change without derivation is a payment", func(m *maps) { m.outputs[m.change()] = nil }, "payments", "makes 2 payments"},
		{"one output more", func(m *maps) {
			m.tx.TxOut[m.change()].Value -= 1000
			m.tx.AddTxOut(wire.NewTxOut(1000, must(bitcoin.Script(bitcoin.Regtest, thief))))
			m.outputs = append(m.outputs, nil)
		}, "payments", "makes 2 payments"},
		{"nothing paid", func(m *maps) {
			p := 1 - m.change()
			m.outputs[p], m.tx.TxOut[p].PkScript = claimed(account, 1, 11)
		}, "payments", "makes 0 payments"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := open(t, good)
			c.edit(m)
			e, err := bitcoin.Family{}.Decode(account, m.bytes())
			if err != nil {
				t.Fatal(err)
			}
			err = e.Check(asked)
			mismatch, ok := err.(*chain.Mismatch) //nolint:errorlint // the very error
			if !ok || mismatch.What != c.what || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %s and %q", err, c.what, c.says)
			}
		})
	}
}

func TestAccountRefused(t *testing.T) {
	t.Parallel()
	raw := must(bitcoin.Build(order()))
	for _, c := range []struct {
		name  string
		edit  func(a *chain.Account)
		field string
	}{
		{"network", func(a *chain.Account) { a.Network = "bip122:00" }, "network"},
		{"EVM", func(a *chain.Account) { a.Network = "eip155:1" }, "network"},
		{"scheme", func(a *chain.Account) { a.Scheme = custody.ECDSASecp256k1 }, "account.scheme"},
		{"public key", func(a *chain.Account) { a.PublicKey = make([]byte, 33) }, "account.publicKey"},
		{"no public key", func(a *chain.Account) { a.PublicKey = nil }, "account.publicKey"},
		{"path", func(a *chain.Account) { a.Path = 1 << 31 }, "account.path"},
		{"other wallet", func(a *chain.Account) { a.Path = 6 }, "inputs.0.derivation"},
		{"other chain code", func(a *chain.Account) { a.ChainCode = custody.Hash{} }, "inputs.0.internalKey"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := account
			c.edit(&a)
			_, err := bitcoin.Family{}.Decode(a, raw)
			refused(t, err, c.field, "")
		})
	}
}

// TestLengths gives Decode every beginning of a PSBT, and one that is too long.
func TestLengths(t *testing.T) {
	t.Parallel()
	good := must(bitcoin.Build(order()))
	for n := range good {
		if _, err := (bitcoin.Family{}).Decode(account, good[:n]); custody.CodeOf(err) != custody.Invalid {
			t.Fatalf("the first %d of %d bytes: %v", n, len(good), err)
		}
	}
	_, err := bitcoin.Family{}.Decode(account, append(good, make([]byte, bitcoin.MaxPSBT)...))
	refused(t, err, "psbt", "at most 1048576")
	// 2 and 0 as sizes have one form.
	long := bytes.Replace(good, append([]byte{2}, open(t, good).tx.TxIn[0].PreviousOutPoint.Hash[:]...),
		append([]byte{0xfd, 2, 0}, open(t, good).tx.TxIn[0].PreviousOutPoint.Hash[:]...), 1)
	long[7] += 2 // the length of the transaction, which is below 0xfd
	_, err = bitcoin.Family{}.Decode(account, long)
	refused(t, err, "transaction", "shortest form")
}

// FuzzDecode holds Decode against btcd's own reader: what it accepts, btcd reads
// and writes again byte for byte, and finds the same amounts and signature hashes
// in it.
func FuzzDecode(f *testing.F) {
	good := must(bitcoin.Build(order()))
	f.Add(good)
	o := order()
	o.To, o.Amount = "", custody.Amount{}
	for i := range o.Coins {
		o.Coins[i].Previous = nil
	}
	f.Add(must(bitcoin.Build(o)))
	f.Add(good[:100])
	f.Fuzz(func(t *testing.T, raw []byte) {
		if e, err := (bitcoin.Family{}).Decode(account, raw); err == nil {
			agrees(t, raw, e)
		} else if custody.CodeOf(err) != custody.Invalid {
			t.Errorf("code of %v", err)
		}
	})
}

// failer is what tests, fuzz targets and properties have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func agrees(t failer, raw []byte, e *chain.Effects) {
	t.Helper()
	p, err := psbt.NewFromRawBytes(bytes.NewReader(raw), false)
	if err != nil {
		t.Fatalf("btcd doesn't read it: %v", err)
	}
	var again, unsigned bytes.Buffer
	if err := p.Serialize(&again); err != nil || !bytes.Equal(again.Bytes(), raw) {
		t.Fatalf("btcd writes it otherwise (%v)", err)
	}
	if fee, err := p.GetTxFee(); err != nil || e.Fee != custody.NewAmount(uint64(fee)) {
		t.Fatalf("fee %s, btcd says %d (%v)", e.Fee, fee, err)
	}
	if err := p.UnsignedTx.SerializeNoWitness(&unsigned); err != nil || !bytes.Equal(unsigned.Bytes(), e.Unsigned) {
		t.Fatalf("not the transaction that btcd reads (%v)", err)
	}
	spent := make(map[wire.OutPoint]*wire.TxOut)
	for i, in := range p.UnsignedTx.TxIn {
		spent[in.PreviousOutPoint] = p.Inputs[i].WitnessUtxo
	}
	outputs := txscript.NewMultiPrevOutFetcher(spent)
	hashes := txscript.NewTxSigHashes(p.UnsignedTx, outputs)
	for i := range p.UnsignedTx.TxIn {
		want, err := txscript.CalcTaprootSignatureHash(hashes, txscript.SigHashDefault, p.UnsignedTx, i, outputs)
		if err != nil || !bytes.Equal(want, e.Messages[i].Bytes) {
			t.Fatalf("input %d: hash %x, btcd says %x (%v)", i, e.Messages[i].Bytes, want, err)
		}
	}
	var out custody.Amount
	for _, p := range e.Payments {
		out, _ = out.Add(p.Amount)
	}
	for _, c := range e.Change {
		out, _ = out.Add(c.Amount)
	}
	var want int64
	for _, o := range p.UnsignedTx.TxOut {
		want += o.Value
	}
	if out != custody.NewAmount(uint64(want)) {
		t.Fatalf("outputs worth %s, btcd says %d", out, want)
	}
}

// TestFlippedBits flips a bit of every byte of a good PSBT. What is still accepted
// does something else, and btcd reads the same in it.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	good := must(bitcoin.Build(order()))
	want := must(bitcoin.Family{}.Decode(account, good))
	accepted := 0
	for i := range good {
		raw := bytes.Clone(good)
		raw[i] ^= 1
		e, err := bitcoin.Family{}.Decode(account, raw)
		if err != nil {
			continue
		}
		accepted++
		agrees(t, raw, e)
		if bytes.Equal(e.Messages[0].Bytes, want.Messages[0].Bytes) {
			t.Errorf("byte %d: another PSBT with the same hashes to sign", i)
		}
	}
	if accepted == 0 || accepted > len(good)/4 {
		t.Errorf("%d of %d accepted", accepted, len(good))
	}
}
