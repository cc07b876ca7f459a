package bitcoin_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/custody"
)

func TestAssemble(t *testing.T) {
	t.Parallel()
	raw := must(bitcoin.Build(order()))
	e := must(bitcoin.Family{}.Decode(account, raw))
	signatures := sign(t, account, e)
	signed, err := bitcoin.Family{}.Assemble(account, raw, signatures)
	if err != nil {
		t.Fatal(err)
	}
	tx := new(wire.MsgTx)
	if err := tx.Deserialize(bytes.NewReader(signed.Raw)); err != nil {
		t.Fatal(err)
	}
	if tx.TxHash().String() != signed.ID.String() {
		t.Errorf("id %s, btcd says %s", signed.ID, tx.TxHash())
	}
	if want := e.Fee.String(); want != "400" || size(tx) != 200 {
		t.Errorf("a fee of %s for %d virtual bytes at 2 satoshi each", want, size(tx))
	}
	var unsigned bytes.Buffer
	must(0, tx.SerializeNoWitness(&unsigned))
	if !bytes.Equal(unsigned.Bytes(), e.Unsigned) {
		t.Error("signs another transaction")
	}

	edit := func(f func(list [][]byte) [][]byte) [][]byte {
		list := make([][]byte, len(signatures))
		for i, s := range signatures {
			list[i] = slices.Clone(s)
		}
		return f(list)
	}
	for _, c := range []struct {
		name       string
		signatures [][]byte
		code       custody.Code
		field      string
	}{
		{"flipped", edit(func(s [][]byte) [][]byte { s[1][40] ^= 1; return s }), custody.Unauthenticated, "signatures.1"},
		{"swapped", edit(func(s [][]byte) [][]byte { return [][]byte{s[1], s[0]} }), custody.Unauthenticated, "signatures.0"},
		{"one twice", edit(func(s [][]byte) [][]byte { return [][]byte{s[0], s[0]} }), custody.Unauthenticated, "signatures.1"},
		{"zero", edit(func(s [][]byte) [][]byte { s[0] = make([]byte, 64); return s }), custody.Unauthenticated, "signatures.0"},
		{"with a hash type", edit(func(s [][]byte) [][]byte { s[0] = append(s[0], 1); return s }), custody.Invalid, "signatures.0"},
		{"empty", edit(func(s [][]byte) [][]byte { s[0] = nil; return s }), custody.Invalid, "signatures.0"},
		{"too few", signatures[:1], custody.Invalid, "signatures"},
		{"too many", append(slices.Clone(signatures), signatures[0]), custody.Invalid, "signatures"},
		{"none", nil, custody.Invalid, "signatures"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, err := bitcoin.Family{}.Assemble(account, raw, c.signatures)
			if out != nil || custody.CodeOf(err) != c.code {
				t.Fatalf("%v, %v: want code %s", out, err, c.code)
			}
			if e, ok := err.(*custody.Error); !ok || e.Field != c.field { //nolint:errorlint // the very error
				t.Errorf("%v, want field %s", err, c.field)
			}
		})
	}
	if _, err := (bitcoin.Family{}).Assemble(account, raw[:200], signatures); custody.CodeOf(err) != custody.Invalid {
		t.Errorf("half a PSBT: %v", err)
	}
}
