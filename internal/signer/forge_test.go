package signer_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/psbt/v2"
	btcwire "github.com/btcsuite/btcd/wire/v2"

	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/chain/chains"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/wire"
)

// thief is an address of nobody on record, whose wallet isn't the bank's.
func thief(t *testing.T) custody.Address {
	t.Helper()
	params, err := bitcoin.Parameters(regtest)
	if err != nil {
		t.Fatal(err)
	}
	a, err := address.NewAddressWitnessPubKeyHash(bytes.Repeat([]byte{0x66}, 20), params)
	if err != nil {
		t.Fatal(err)
	}
	return custody.Address(a.EncodeAddress())
}

// forge changes a transaction behind its builder's back.
func forge(t *testing.T, details []byte, change func(*psbt.Packet)) []byte {
	t.Helper()
	p := parse(t, details)
	change(p)
	var b bytes.Buffer
	if err := p.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func parse(t *testing.T, details []byte) *psbt.Packet {
	t.Helper()
	p, err := psbt.NewFromRawBytes(bytes.NewReader(details), false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// change is the output of a built transaction that returns money to the wallet.
func change(p *psbt.Packet) int {
	for i, o := range p.Outputs {
		if o.TaprootInternalKey != nil {
			return i
		}
	}
	return -1
}

// payment is the output that pays somebody.
func payment(p *psbt.Packet) int { return 1 - change(p) }

// script is what pays an address.
func script(t *testing.T, a custody.Address) []byte {
	t.Helper()
	s, err := bitcoin.Script(regtest, a)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// outputOf gives a transaction an output at m/path/branch/index of an account that
// claims to be change there.
func outputOf(t *testing.T, p *psbt.Packet, at int, a chain.Account, branch, index uint32) {
	t.Helper()
	// A transaction of the account that returns its change to the place: the derivation
	// is as an honest builder writes it.
	built, err := bitcoin.Build(bitcoin.Order{
		Account: a, FeeLimit: custody.NewAmount(1000), FeeRate: 1000, ChangeIndex: index,
		Coins: []bitcoin.Coin{{Outpoint: custody.Outpoint(strings.Repeat("ab", 32) + ":0"), Amount: custody.NewAmount(1_000_000), Branch: branch, Index: index}},
	})
	if err != nil {
		t.Fatal(err)
	}
	from := parse(t, built)
	if branch == 1 {
		p.UnsignedTx.TxOut[at].PkScript = from.UnsignedTx.TxOut[0].PkScript
		p.Outputs[at] = from.Outputs[0]
		return
	}
	p.UnsignedTx.TxOut[at].PkScript = from.Inputs[0].WitnessUtxo.PkScript
	p.Outputs[at].TaprootInternalKey = from.Inputs[0].TaprootInternalKey
	p.Outputs[at].TaprootBip32Derivation = from.Inputs[0].TaprootBip32Derivation
}

// record is the PREPARED entry of a transaction, by what a PSBT says of itself and not
// by what nodes accept.
func (p *plane) record(in *custody.Intent, details []byte) *custody.Prepared {
	p.t.Helper()
	packet := parse(p.t, details)
	var raw bytes.Buffer
	if err := packet.UnsignedTx.SerializeNoWitness(&raw); err != nil {
		p.t.Fatal(err)
	}
	out := &custody.Prepared{Intent: in.ID, By: in.ID, Transaction: sha256.Sum256(raw.Bytes()), Claims: []custody.Claim{}, Prev: p.State.ChainHead()}
	var fee int64
	for i, input := range packet.UnsignedTx.TxIn {
		out.Claims = append(out.Claims, custody.Claim{Outpoint: custody.Outpoint(input.PreviousOutPoint.String())})
		fee += packet.Inputs[i].WitnessUtxo.Value
	}
	for _, o := range packet.UnsignedTx.TxOut {
		fee -= o.Value
	}
	out.Fee = custody.NewAmount(uint64(max(fee, 0)))
	return out
}

func (p *plane) putRecord(r *custody.Prepared) state.Result {
	p.t.Helper()
	return p.Append(custody.PreparedEntry, r)
}

// nothing checks that every node asked has refused, in the way given, that none has
// released a signature, and that none has said anything to another node.
func (p *plane) nothing(name string, talked int, answers map[custody.Name]signed, field, says string) {
	p.t.Helper()
	for _, node := range sorted(answers) {
		a := answers[node]
		if len(a.done.Signatures) > 0 || len(a.done.Receipt) > 0 {
			p.t.Errorf("%s: %s signed", name, node)
			continue
		}
		e, ok := errors.AsType[*custody.Error](a.err)
		switch {
		case !ok:
			p.t.Errorf("%s: %s answered %v %+v", name, node, a.err, a.done.Failed)
		case e.Code != custody.Forbidden || e.Field != field || !strings.Contains(e.Message, says):
			p.t.Errorf("%s: %s refused with %s %q: %s; want field %q and %q", name, node, e.Code, e.Field, e.Message, field, says)
		}
	}
	if got := p.road.talked(); got != talked {
		p.t.Errorf("%s: nodes talked to each other %d times", name, got-talked)
	}
}

// refused has nodes asked by an invitation, each by the one that a test makes of it, and
// checks that nothing comes of it.
func (p *plane) refused(name string, m wire.Sign, field, says string) {
	p.t.Helper()
	p.quiet()
	talked := p.road.talked()
	invitations := each(m)
	if len(m.Signers) != 2 || m.Signers[0] == "node-x" {
		invitations = make(map[custody.Name]wire.Sign)
		for _, node := range everybody {
			invitations[node] = m
		}
	}
	p.nothing(name, talked, p.inviteToSign(invitations), field, says)
}

// fieldOf is what an error complains of.
func fieldOf(err error) string {
	if e, ok := errors.AsType[*custody.Error](err); ok {
		return e.Field
	}
	return ""
}

// own is an address of one of the plane's wallets.
func (p *plane) own(a chain.Account, index uint32) custody.Address {
	p.t.Helper()
	family, err := chains.For(regtest)
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := family.Address(a, 0, index)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

func (p *plane) addOutput(packet *psbt.Packet, satoshi int64, to []byte) {
	packet.UnsignedTx.AddTxOut(btcwire.NewTxOut(satoshi, to))
	packet.Outputs = append(packet.Outputs, psbt.POutput{})
}
