package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/policy/compile"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/frost"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/tsstest"
)

const countingPolicy = `
version: 1
currency: USD
rules:
  - name: pay
    for: [TRANSFER]
    when: count("source.vault", "24h") <= 5
    allow: {approvals: [{group: administrators, count: 1}]}
  - name: governance
    for: [POLICY_CHANGE, PERSON_CHANGE, GROUP_CHANGE, CREDENTIAL_CHANGE, KEY_CEREMONY, SIGNER_SET_CHANGE, WITNESS_CHANGE, VAULT_CREATE, WALLET_CREATE,
          DESTINATION_CHANGE, LIST_CHANGE, PROVIDER_CHANGE, ISSUER_CHANGE, HOLD_RELEASE, UPGRADE]
    when: "true"
    allow: {approvals: [{group: administrators, count: 2}]}
`

// recorded is a world's journal as bundles are collected from.
type recorded struct{ *statetest.World }

func (r recorded) ReadHashes(indexes []int64) ([]journal.Hash, error) {
	return r.Tree.ReadHashes(indexes)
}

func (r recorded) Entry(index int64) ([]byte, state.Code, error) {
	return r.Entries[index], r.Results[index].Void, nil
}

// signedPayment carries a transfer through to its signature and writes its bundle,
// the trust file and the journal into a directory.
func signedPayment(t *testing.T, dir string) {
	t.Helper()
	const network custody.Network = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328"
	compiled, err := compile.Compile([]byte(countingPolicy), compile.Options{Now: statetest.Start.Time()})
	if err != nil {
		t.Fatal(err)
	}
	w := statetest.New(t, statetest.Setup{
		Groups: map[custody.Name][]string{custody.Administrators: {"ann", "ben", "cas"}}, Policy: compiled.Raw,
	})
	cluster := tsstest.NewCluster(t, 7, 2, tsstest.Single(3)...)
	shares := cluster.Keygen(tss.SuiteBIP340)
	key := &shares[0].Key
	id := w.KeyFor("ann", custody.BIP340Secp256k1, key.Public.Bytes(), custody.Hash(hash.Sum("cc", key.ChainCode[:])), 0, "ben", "cas")
	vault, wallet := statetest.ID[custody.Vault](w), statetest.ID[custody.Wallet](w)
	w.Must(w.Govern("ann", custody.VaultCreateIntent, &custody.VaultCreate{
		Vault: custody.Vault{ID: vault, Institution: "bank", Domain: "treasury", Purpose: custody.Treasury},
	}, 0, "ben", "cas"))
	w.Must(w.Govern("ann", custody.WalletCreateIntent, &custody.WalletCreate{
		Wallet: custody.Wallet{ID: wallet, Vault: vault, Network: network, Key: id},
	}, 0, "ben", "cas"))

	in := w.Intent("ann", custody.TransferIntent, &custody.Transfer{
		Network: network, Wallet: wallet, Asset: custody.Asset(network) + "/slip44:1", Amount: custody.NewAmount(50_000), FeeLimit: custody.NewAmount(1000),
		Destination: custody.Recipient{Kind: custody.OneTime, Address: statetest.Stranger, Country: "SG"},
	})
	w.Must(w.Submit("ann", in))
	w.Must(w.Say("ben", custody.Yes, in))
	w.Must(w.Authorize(in))
	sign := func(r frost.Request) []byte { return cluster.Sign(shares, []uint16{1, 3}, r) }
	_, details := w.CarryOut(in, key, sign, func() {}, "node-a", "node-c")

	b, err := state.Collect(recorded{w}, w.Head(), in.ID, w.State.CharterHash())
	if err != nil {
		t.Fatal(err)
	}
	b.Transaction, b.ChainCode = details, custody.Hash(key.ChainCode)
	for name, content := range map[string][]byte{
		"bundle.json":   statetest.Encode(t, b),
		"trust":         []byte("charter " + w.State.CharterHash().String() + "\n"),
		"journal.jsonl": append(bytes.Join(w.Entries, []byte{'\n'}), '\n'),
		"cut.jsonl":     bytes.Join(w.Entries[:len(w.Entries)-1], []byte{'\n'}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVerifyWithJournal shows that the journal proves what nodes only attest.
func TestVerifyWithJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	signedPayment(t, dir)
	for _, c := range []struct {
		journal string
		status  int
		want    string
	}{
		{"", exitOK, `(?m)^total +attested (.*\n)+\nVERIFIED\n$`},
		{"journal.jsonl", exitOK, `(?m)^total +proved +replay of the journal (.*\n)+\nVERIFIED\n$`},
		{"cut.jsonl", exitFailure, `^FAILED: journal: truncated: `},
		{"bundle.json", exitFailure, `^FAILED: journal: entry 0: `},
	} {
		args := []string{"verify", filepath.Join(dir, "bundle.json"), "--trust", filepath.Join(dir, "trust")}
		if c.journal != "" {
			args = append(args, "--journal", filepath.Join(dir, c.journal))
		}
		var out, errs bytes.Buffer
		if status := Main(args, nil, &out, &errs); status != c.status || !regexp.MustCompile(c.want).MatchString(out.String()) {
			t.Errorf("with the journal %q: status %d, %s%s", c.journal, status, &out, &errs)
		}
	}
}
