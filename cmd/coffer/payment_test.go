package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/network/btcdtest"
)

// watched is a standard error on which the texts of when, in order, make something
// happen.
type watched struct {
	bytes.Buffer

	when []string
	then func()
}

func (w *watched) Write(p []byte) (int, error) {
	if len(w.when) > 0 && strings.Contains(string(p), w.when[0]) {
		w.when = w.when[1:]
		w.then()
	}
	return w.Buffer.Write(p)
}

// testPayment takes a payment through on a network: money comes in, goes out, is
// confirmed, and is proved.
func testPayment(t *testing.T, d *deployment, n *btcdtest.Node) {
	vault := d.made(t, "vaults", "create", "--purpose", "treasury", "--domain", "payments")
	key := d.made(t, "keys", "create", "--scheme", "bip340", "--threshold", "2")
	wallet := d.made(t, "wallets", "create", "--vault", vault, "--network", "regtest", "--key", key)
	coffer := func(want string, args ...string) string {
		t.Helper()
		status, out, errs := run(append(args, "--profile", d.profile("otto"))...)
		if status != exitOK || !regexp.MustCompile(want).MatchString(out) {
			t.Fatalf("%q: status %d, want a match of %s:\n%s%s", args, status, want, out, errs)
		}
		return out
	}
	address := strings.TrimSpace(coffer(`^bcrt1p`, "wallets", "address", wallet, "--new"))
	n.Pay(custody.Address(address), 100_000_000)
	n.Mine(1)
	shop := d.made(t, "destinations", "add", "--address", string(n.Address()), "--network", "regtest", "--country", "CH", "--tag", "faucet")

	// The payment is mined once it waits for that, and then it is CONFIRMED.
	create := []string{
		"transfers", "create", "--from", wallet, "--to", "destination:" + shop, "--amount", "0.3", "--external-id", "payment-1",
		"--yes", "--wait", "--json", "--profile", d.profile("otto"),
	}
	var out bytes.Buffer
	errs := &watched{when: []string{"BROADCASTING"}, then: func() { n.Mine(1) }}
	status := Main(create, nil, &out, errs)
	var paid outcomeOf
	if err := json.Unmarshal(out.Bytes(), &paid); status != exitOK || err != nil {
		t.Fatalf("status %d: %s", status, errs)
	}
	if paid.State != string(custody.Executing) || len(paid.Transaction) != 64 {
		t.Errorf("%+v", paid)
	}
	if !regexp.MustCompile(`(?s)submitted  .*\n  EXECUT[A-Z]+, transaction ` + paid.Transaction + ` CONFIRMED, 1 confirmation`).MatchString(errs.String()) {
		t.Errorf("progress:\n%s", errs)
	}
	coffer(`(?m)^transaction +`+paid.Transaction+` CONFIRMED, fee 0\.0000[0-9]+ tBTC, block [0-9]+, 1 confirmation$`, "transfers", "show", paid.Intent)
	coffer(`(?m)^1 tBTC +[A-Z]+ +[0-9]+ +0 +[0-9a-f]{64}:[0-9]+$`, "wallets", "deposits", wallet)
	coffer(`(?m)^confirmed +0\.69[0-9]+ tBTC$`, "wallets", "show", wallet)

	n.Mine(1)
	coffer(`(?m)^transaction +`+paid.Transaction+`$`, "intents", "wait", paid.Intent, "--until", "final")
	coffer(`(?m)^state +EXECUTED$`, "intents", "wait", paid.Intent, "--until", "executed")

	// The proof, and the journal that proves the rest.
	dir := t.TempDir()
	bundle, journal := filepath.Join(dir, "bundle.json"), filepath.Join(dir, "journal.jsonl")
	coffer(`(?m)^evidence +`+regexp.QuoteMeta(bundle)+`$`, "transfers", "evidence", paid.Intent, "--out", bundle)
	coffer(`(?m)^entries +[0-9]+$`, "journal", "export", "--out", journal)
	if status, out, errs := run("verify", bundle, "--trust", filepath.Join(d.Dir, "trust"), "--journal", journal); status != exitOK || !strings.HasSuffix(out, "\nVERIFIED\n") {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
	if status, _, errs := run("transfers", "evidence", paid.Intent, "--out", bundle, "--profile", d.profile("otto")); status != exitUsage || !strings.Contains(errs, "is there already") {
		t.Errorf("the bundle again: status %d: %s", status, errs)
	}
	forged := newLiar(t, d.url, func(_, path string, body []byte) []byte {
		if strings.HasSuffix(path, "/evidence") {
			return bytes.Replace(body, []byte(`30000000`), []byte(`10000000`), 1)
		}
		return body
	})
	if status, _, errs := run("transfers", "evidence", paid.Intent, "--out", filepath.Join(dir, "forged"), "--profile", d.elsewhere(t, "otto", forged.URL)); status != 3 {
		t.Errorf("a forged bundle: status %d: %s", status, errs)
	}
}
