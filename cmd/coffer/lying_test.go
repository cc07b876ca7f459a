package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
)

// liar is a server that passes calls on and changes the answers.
type liar struct {
	*httptest.Server
	change func(method, path string, body []byte) []byte

	mu    sync.Mutex
	calls []string
}

// gotSignature reports whether anything that somebody signed was sent to it.
func (l *liar) gotSignature() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.calls, func(c string) bool { return c == "POST /v1/intents" || strings.HasSuffix(c, "/approvals") })
}

func newLiar(t *testing.T, behind string, change func(method, path string, body []byte) []byte) *liar {
	t.Helper()
	target, err := url.Parse(behind)
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{change: change}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("Accept-Encoding")
		},
		ModifyResponse: func(r *http.Response) error {
			raw, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			raw = l.change(r.Request.Method, r.Request.URL.Path, raw)
			r.Body = io.NopCloser(bytes.NewReader(raw))
			r.ContentLength = int64(len(raw))
			r.Header.Set("Content-Length", strconv.Itoa(len(raw)))
			return nil
		},
	}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.calls = append(l.calls, r.Method+" "+r.URL.Path)
		l.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(l.Close)
	return l
}

// elsewhere writes a profile like a person's, but for its server.
func (d *deployment) elsewhere(t *testing.T, name, server string) string {
	t.Helper()
	raw, err := os.ReadFile(d.profile(name))
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^server *=.*$`).ReplaceAllString(string(raw), fmt.Sprintf("server = %q", server))
	text = regexp.MustCompile(`(?m)^(token_file|trust|key|passphrase_file)( *= *)"`).ReplaceAllString(text, `${1}${2}"`+filepath.Dir(d.profile(name))+`/`)
	file := filepath.Join(t.TempDir(), "profile.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// made carries an intent of otto's through and returns the id of what it makes.
func (d *deployment) made(t *testing.T, args ...string) string {
	t.Helper()
	status, out, errs := run(append(args, "--yes", "--json", "--profile", d.profile("otto"))...)
	var o outcomeOf
	if err := json.Unmarshal([]byte(out), &o); status != exitOK || err != nil {
		t.Fatalf("%q: status %d: %s", args, status, errs)
	}
	for _, args := range [][]string{
		{"intents", "approve", o.Intent, "--yes", "--profile", d.profile("ida")},
		{"intents", "approve", o.Intent, "--yes", "--profile", d.profile("tom")},
		{"intents", "wait", o.Intent, "--profile", d.profile("una")},
	} {
		if status, _, errs := run(args...); status != exitOK {
			t.Fatalf("%q: status %d: %s", args, status, errs)
		}
	}
	return o.Vault + o.Wallet + o.Key + o.Destination
}

const stranger = "bcrt1q6z64a43mjgkcq0ul2znwneq3spghrlau9slefp"

// testLyingServer shows that nothing is signed, and nothing false is printed as
// verified, whatever the server answers.
func testLyingServer(t *testing.T, d *deployment) {
	const regtest = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328"
	vault := d.made(t, "vaults", "create", "--purpose", "treasury", "--domain", "lies")
	key := d.made(t, "keys", "create", "--scheme", "bip340")
	wallet := d.made(t, "wallets", "create", "--vault", vault, "--network", regtest, "--key", key)
	entry := d.made(t, "destinations", "add", "--address", stranger, "--network", regtest, "--country", "CH")
	status, address, errs := run("wallets", "address", wallet, "--new", "--profile", d.profile("otto"))
	if address = strings.TrimSpace(address); status != exitOK {
		t.Fatal(errs)
	}
	status, out, errs := run("transfers", "create", "--from", wallet, "--to", stranger, "--country", "CH", "--amount", "0.7", "--json", "--yes", "--profile", d.profile("otto"))
	var pending outcomeOf
	if err := json.Unmarshal([]byte(out), &pending); status != exitOK || err != nil {
		t.Fatal(errs)
	}

	// prepared changes what the server prepared, and gives it the right digest.
	prepared := func(old, with string) func(string, string, []byte) []byte {
		return func(_, path string, body []byte) []byte {
			if path != "/v1/intents:prepare" {
				return body
			}
			return relabel(body, old, with)
		}
	}
	// member changes a member of the answer to a call.
	member := func(at, old, with string) func(string, string, []byte) []byte {
		return func(method, path string, body []byte) []byte {
			if method+" "+path != at {
				return body
			}
			return regexp.MustCompile(old).ReplaceAll(body, []byte(with))
		}
	}
	other := strings.Repeat("ab", 32)
	pay := []string{"transfers", "create", "--from", wallet, "--amount", "0.3", "--yes"}
	for _, c := range []struct {
		name   string
		change func(string, string, []byte) []byte
		args   []string
		status int
		want   string
	}{
		{"amount", prepared(`"amount":"30000000"`, `"amount":"90000000"`), append(pay, "--to", stranger, "--country", "CH"), 3, `body.amount: asked ""?\\?"30000000.*got.*90000000`},
		{"fee limit", prepared(`"feeLimit":"10000"`, `"feeLimit":"10001"`), append(pay, "--to", stranger, "--country", "CH"), 3, `body.feeLimit`},
		{"address", prepared(stranger, address), append(pay, "--to", stranger, "--country", "CH"), 3, `body.destination.address`},
		{"country", prepared(`"country":"CH"`, `"country":"SG"`), append(pay, "--to", stranger, "--country", "CH"), 3, `body.destination.country`},
		{"wallet", prepared(`"wallet":"`+wallet, `"wallet":"`+entry), append(pay, "--to", stranger, "--country", "CH"), 3, `body.wallet`},
		{"address of an entry", prepared(stranger, address), append(pay, "--to", "destination:"+entry), 3, `body.destination.address`},
		{"other entry", prepared(`"destination":"`+entry, `"destination":"`+wallet), append(pay, "--to", "destination:"+entry), 3, `body.destination.destination`},
		{"address of a wallet", prepared(address, stranger), append(pay, "--to", "wallet:"+wallet+"/0"), 3, `address is false`},
		{"asset", prepared("/slip44:1", "/slip44:7"), append(pay, "--to", stranger, "--country", "CH"), 3, `body.asset`},
		{"memo", prepared(`"network":`, `"memo":"`+other+`","network":`), append(pay, "--to", stranger, "--country", "CH"), 3, `body.memo`},
		{"type", prepared(`"type":"TRANSFER"`, `"type":"CONTRACT_CALL"`), append(pay, "--to", stranger, "--country", "CH"), 70, `what the server prepared doesn't parse`},
		{"network of the wallet", member("GET /v1/wallets/"+wallet, "0f9188f13cb7b2c71f2a335e3a4fc328", "000000000019d6689c085ae165831e93"), append(pay, "--to", stranger, "--country", "CH"), 2, `no address of mainnet`},
		{"digest", member("POST /v1/intents:prepare", `"digest":"[0-9a-f]*"`, `"digest":"`+other+`"`), append(pay, "--to", stranger, "--country", "CH"), 3, `: digest: asked`},
		{"charter", member("POST /v1/intents:prepare", `"charter":"[0-9a-f]*"`, `"charter":"`+other+`"`), append(pay, "--to", stranger, "--country", "CH"), 3, `: charter: asked`},
		{"nodes of a key", prepared(`{"ids":1,"node":"node-c"}`, `{"ids":1,"node":"node-d"}`), []string{"keys", "create", "--scheme", "ed25519", "--yes"}, 3, `body.signerSet.members`},
		{"threshold of a key", prepared(`"threshold":3`, `"threshold":2`), []string{"keys", "create", "--scheme", "ed25519", "--threshold", "3", "--yes"}, 3, `body.signerSet.threshold`},

		{"digest to approve", member("GET /v1/intents/"+pending.Intent, `"digest":"[0-9a-f]*"`, `"digest":"`+other+`"`), []string{"intents", "approve", pending.Intent, "--yes"}, 3, `: digest: asked`},
		{"other bytes to approve", member("GET /v1/intents/"+pending.Intent, `amount\\":\\"70000000`, `amount\":\"10000000`), []string{"intents", "approve", pending.Intent, "--yes"}, 3, `: digest: asked`},
		{"other intent to approve", member("GET /v1/intents/"+pending.Intent, pending.Intent, entry), []string{"intents", "reject", pending.Intent, "--yes"}, 3, `: id: asked`},

		{"false address", member("GET /v1/wallets/"+wallet+"/addresses", address, stranger), []string{"wallets", "address", wallet, "--index", "0", "--verify"}, 3, `address is false: it says ` + stranger + `, the key's is ` + address},
		{"false new address", member("POST /v1/wallets/"+wallet+"/addresses", `"address":"[a-z0-9]*"`, `"address":"`+stranger+`"`), []string{"wallets", "address", wallet, "--new"}, 3, `address is false`},
		{"other chain code", member("GET /v1/keys/"+key, `"chainCode":"[0-9a-f]*"`, `"chainCode":"`+other+`"`), []string{"wallets", "address", wallet, "--verify"}, 3, `chainCode`},
		{"forged governance", member("GET /v1/journal/governance", `"threshold":2`, `"threshold":1`), []string{"policy", "current"}, 3, `governance: `},
		{"no governance", member("GET /v1/journal/governance", `^.*$`, `{}`), []string{"policy", "current"}, 3, `governance: form: `},
		{"gap in the journal", member("GET /v1/journal/entries", `"index":1,`, `"index":2,`), []string{"journal", "export", "--out", filepath.Join(t.TempDir(), "journal")}, 1, `no entry 1 where it should be`},
		{"two entries in one", member("GET /v1/journal/entries", `"entry":"`, `"entry":"\n`), []string{"journal", "export", "--out", filepath.Join(t.TempDir(), "journal")}, 1, `no entry 0 where it should be`},
		{"no JSON", member("GET /v1/vaults", `.*`, `<html>`), []string{"vaults", "list"}, 70, `not one of this API`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t, d.url, c.change)
			status, out, errs := run(append(c.args[:len(c.args):len(c.args)], "--profile", d.elsewhere(t, "ida", l.URL))...)
			lines := strings.Split(strings.TrimSpace(errs), "\n")
			if status != c.status || !regexp.MustCompile(c.want).MatchString(lines[len(lines)-1]) {
				t.Errorf("status %d, want %d and a match of %s: %s", status, c.status, c.want, errs)
			}
			if out != "" {
				t.Errorf("stdout %q", out)
			}
			if l.gotSignature() {
				t.Error("something was signed")
			}
		})
	}
}

// relabel replaces a text in prepared bytes and gives them their digest.
func relabel(body []byte, old, with string) []byte {
	var p api.PreparedIntent
	if json.Unmarshal(body, &p) != nil || !strings.Contains(p.Bytes, old) {
		return []byte("{}")
	}
	changed, err := custody.Canonicalize([]byte(strings.ReplaceAll(p.Bytes, old, with)))
	if err != nil {
		return []byte("{}")
	}
	p.Bytes = string(changed)
	var charter custody.Hash
	if charter.UnmarshalText([]byte(p.Charter)) == nil {
		if in, err := custody.ParseIntent(changed); err == nil {
			p.Digest = in.Digest(charter).String()
		}
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return []byte("{}")
	}
	return raw
}
