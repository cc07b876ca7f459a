package app_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/api/client"
	"github.com/cofferhq/coffer/internal/config"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
	"github.com/cofferhq/coffer/internal/network/regtest"
	"github.com/cofferhq/coffer/internal/policy/compile"
)

// TestWaits has transfers wait for what they need: funds that aren't there yet, and
// a delay that runs from a witnessed time.
func TestWaits(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	t.Parallel()
	b := newBank(t)
	t.Run("funds", func(t *testing.T) {
		wallet := b.coffer("otto", "wallets", "show", b.wallet)
		empty := b.govern("wallets", "create", "--vault", wallet["vault"].(string), "--network", string(regtest.Network), "--key", wallet["key"].(string))["wallet"].(string)
		intent := b.coffer("otto", "transfers", "create", "--from", empty, "--to", "destination:"+b.supplier, "--amount", "0.1", "--yes")["intent"].(string)
		b.until("waiting for funds", func() bool {
			raw, err := json.Marshal(b.coffer("otto", "transfers", "show", intent))
			return err == nil && strings.Contains(string(raw), "have 0 tBTC, need 0.1")
		})
		address := b.coffer("otto", "wallets", "address", empty, "--new", "--verify")["address"].(string)
		b.bitcoin.Pay(custody.Address(address), 20_000_000)
		b.finish(intent)
	})
	// A transaction of more inputs than a node signs at once.
	t.Run("many inputs", func(t *testing.T) {
		address := b.coffer("otto", "wallets", "address", b.wallet, "--new")["address"].(string)
		for range 60 {
			b.bitcoin.Pay(custody.Address(address), 10_000_000)
		}
		b.bitcoin.Mine(1)
		b.balance("1100000000")
		intent := b.coffer("otto", "transfers", "create", "--from", b.wallet, "--to", "destination:"+b.supplier, "--amount", "10.5", "--fee-limit", "0.01", "--yes")["intent"].(string)
		b.coffer("ida", "intents", "approve", intent, "--yes")
		b.coffer("tom", "intents", "approve", intent, "--yes")
		b.finish(intent)
	})
	t.Run("delay", func(t *testing.T) {
		b.changePolicy(strings.NewReplacer("version: 1\n", "version: 2\n", "allow: {}", "allow: {delay: 2s}").Replace(b.policy()))
		intent := b.pay("0.11")
		b.until("time-locked", func() bool { return b.coffer("otto", "intents", "show", intent)["state"] == "TIME_LOCKED" })
		b.finish(intent)
		if n := b.entries("node-b", "COSIGNED"); n == 0 {
			t.Error("no witnessed time is on record, from which the delay runs")
		}
	})
}

// policy is the policy that the deployment was made with.
func (b *bank) policy() string {
	b.Helper()
	raw, err := os.ReadFile(filepath.Join(b.deployment.Dir, "policy.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	return string(raw)
}

// changePolicy has ida propose another policy and tom and una approve it.
func (b *bank) changePolicy(yaml string) {
	b.Helper()
	compiled, err := compile.Compile([]byte(yaml), compile.Options{Now: time.Now()})
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(b.deployment.Dir, "people", "ida")
	var profile struct {
		Server     string      `toml:"server"`
		Token      config.Path `toml:"token_file"`
		Trust      config.Path `toml:"trust"`
		Key        config.Path `toml:"key"`
		Passphrase config.Path `toml:"passphrase_file"`
		Person     string      `toml:"person"`
	}
	if err := config.Read(filepath.Join(dir, "profile.toml"), &profile); err != nil {
		b.Fatal(err)
	}
	token, err := keyfile.ReadPassphrase(string(profile.Token))
	if err != nil {
		b.Fatal(err)
	}
	passphrase, err := keyfile.ReadPassphrase(string(profile.Passphrase))
	if err != nil {
		b.Fatal(err)
	}
	key, err := keyfile.OpenDevice(string(profile.Key), passphrase)
	if err != nil {
		b.Fatal(err)
	}
	trust, err := config.ReadTrust(profile.Trust)
	if err != nil {
		b.Fatal(err)
	}
	c := client.New(client.Config{URL: profile.Server, Token: token, Charter: trust.Charter, HTTP: http.DefaultClient, Now: time.Now})
	body, err := json.Marshal(map[string]json.RawMessage{"policy": compiled.Raw})
	if err != nil {
		b.Fatal(err)
	}
	p, err := c.Prepare(b.Context(), api.PrepareRequest{Type: "POLICY_CHANGE", Initiator: profile.Person, Body: body})
	if err != nil {
		b.Fatal(err)
	}
	signature, err := key.Sign(p.Submit)
	if err != nil {
		b.Fatal(err)
	}
	evidence := custody.Evidence{Kind: custody.EvidenceKind(custody.Device), Credential: key.Public.ID, Signature: signature}
	if _, err := c.Submit(b.Context(), p, evidence, ""); err != nil {
		b.Fatal(err)
	}
	id := p.Intent.ID.String()
	b.coffer("tom", "intents", "approve", id, "--yes")
	b.coffer("una", "intents", "approve", id, "--yes")
	b.coffer("ida", "intents", "wait", id, "--until", "executed")
}
