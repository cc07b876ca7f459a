package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/lifecycle"
	"github.com/cofferhq/coffer/internal/policy/compile"
	"github.com/cofferhq/coffer/internal/server"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/internal/store"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
)

const (
	token   = "canary-0123456789abcdef"
	regtest = custody.Network("bip122:0f9188f13cb7b2c71f2a335e3a4fc328")
	coin    = custody.Asset(regtest + "/slip44:1")
	friend  = custody.Address("bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6")
)

const rules = `
version: 7
currency: USD
timezone: UTC
lists: {restricted: [KP, IR]}
rules:
  - name: small
    for: [TRANSFER]
    when: amount.asset == "bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:1" && amount.units <= units("0.5") && destination.kind in ["INTERNAL", "ALLOWLISTED"]
    allow: {}
  - name: large
    for: [TRANSFER]
    when: "true"
    allow: {approvals: [{group: treasury, count: 2}]}
  - name: restricted
    for: [TRANSFER]
    when: destination.country in lists.restricted
    block: restricted jurisdiction
  - name: repair
    for: [SPEED_UP, CANCEL]
    when: "true"
    allow: {approvals: [{group: treasury, count: 1}]}
  - name: governance
    for: [POLICY_CHANGE, PERSON_CHANGE, GROUP_CHANGE, CREDENTIAL_CHANGE, KEY_CEREMONY, SIGNER_SET_CHANGE, WITNESS_CHANGE, VAULT_CREATE, WALLET_CREATE,
          DESTINATION_CHANGE, LIST_CHANGE, PROVIDER_CHANGE, ISSUER_CHANGE, HOLD_RELEASE, UPGRADE]
    when: "true"
    allow: {approvals: [{group: administrators, count: 2}]}
  - name: freeze
    for: [FREEZE]
    when: "true"
    allow: {approvals: [{group: risk, count: 1}]}
`

// compiled is the policy, compiled once.
var compiled = sync.OnceValues(func() (*compile.Compiled, error) {
	return compile.Compile([]byte(rules), compile.Options{Now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)})
})

// bank is a deployment behind a real server on a real database.
type bank struct {
	*statetest.World
	t           testing.TB
	store       *store.Store
	url         string
	clock       *atomic.Int64 // custody.Time
	log         *syncBuffer
	key         custody.ID[custody.Key]
	code        custody.Hash
	vault       custody.ID[custody.Vault]
	hot, cold   custody.ID[custody.Wallet]
	destination custody.ID[custody.Destination]
	config      server.Config
}

// syncBuffer is a log that goroutines share.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var errEvidence = errors.New("a fault in the middle of it, with /a/path")

func newBank(t testing.TB, edit ...func(*server.Config)) *bank {
	t.Helper()
	policy, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	b := &bank{t: t, clock: new(atomic.Int64), log: new(syncBuffer), code: custody.Hash{4, 2}, World: statetest.New(t, statetest.Setup{
		Groups: map[custody.Name][]string{
			"administrators": {"ann", "ben", "cas"},
			"treasury":       {"tom", "una", "vic"},
			"risk":           {"rob", "sue"},
		},
		Others: []string{"ida"},
		Policy: policy.Raw,
	})}
	b.key = b.KeyFor("ann", custody.BIP340Secp256k1, group.Secp256k1.Generator().Bytes(), hash.Sum("cc", b.code[:]), 0, "ben", "cas")
	b.vault = statetest.ID[custody.Vault](b.World)
	b.govern(custody.VaultCreateIntent, &custody.VaultCreate{Vault: custody.Vault{ID: b.vault, Institution: "bank", Domain: "treasury", Purpose: custody.Treasury}})
	b.hot, b.cold = b.wallet(0), b.wallet(1)
	b.destination = statetest.ID[custody.Destination](b.World)
	b.govern(custody.DestinationChangeIntent, &custody.DestinationChange{Action: custody.Put, Destination: custody.Destination{
		ID: b.destination, Kind: custody.Allowlisted, Network: regtest, Address: friend, Country: "CH",
	}})
	b.clock.Store(int64(b.Now))
	now := func() time.Time { return custody.Time(b.clock.Load()).Time() }
	b.store, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "coffer.db"), b.Charter.Hash(), now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.store.Close(); err != nil {
			t.Error(err)
		}
	})
	b.push()
	b.advance(func(tx *store.Tx) error { return tx.PutChainCode(b.key, b.code) })
	b.witness()
	b.config = server.Config{
		Store: b.store, Desk: lifecycle.New(lifecycle.Config{Store: b.store, Now: now, Log: slog.New(slog.DiscardHandler)}),
		Nodes: func() []server.NodeStatus {
			return []server.NodeStatus{{Node: "node-a", Reachable: true, Size: 3, LastSeen: statetest.Start}}
		},
		Evidence: func(context.Context, custody.ID[custody.Intent]) ([]byte, error) { return nil, errEvidence },
		Token:    token, Now: now, Rand: rand.Reader,
		Log: slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range edit {
		f(&b.config)
	}
	b.serve(b.config)
	t.Cleanup(func() {
		if strings.Contains(b.log.String(), token) {
			t.Error("the log holds the token")
		}
	})
	return b
}

// serve starts a server that the calls from here on go to.
func (b *bank) serve(cfg server.Config) {
	b.t.Helper()
	handler, err := server.New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	listener := httptest.NewServer(handler)
	b.t.Cleanup(listener.Close)
	b.url = listener.URL
}

// with is the same bank, for a part of its test.
func (b *bank) with(t testing.TB) *bank {
	part := *b
	part.t = t
	return &part
}

func (b *bank) govern(t custody.IntentType, body custody.Body) {
	b.t.Helper()
	b.Must(b.Govern("ann", t, body, 0, "ben", "cas"))
}

func (b *bank) wallet(path uint32) custody.ID[custody.Wallet] {
	b.t.Helper()
	id := statetest.ID[custody.Wallet](b.World)
	b.govern(custody.WalletCreateIntent, &custody.WalletCreate{Wallet: custody.Wallet{ID: id, Vault: b.vault, Network: regtest, Key: b.key, Path: path}})
	return id
}

func (b *bank) advance(fn func(*store.Tx) error) {
	b.t.Helper()
	if err := b.store.Advance(b.t.Context(), fn); err != nil {
		b.t.Fatal(err)
	}
}

// push puts on record in the database what the world has beyond it.
func (b *bank) push() {
	b.t.Helper()
	for _, raw := range b.Entries[b.store.Size():] {
		e, err := custody.ParseEntry(raw)
		if err != nil {
			b.t.Fatal(err)
		}
		b.clock.Store(int64(e.Time))
		b.advance(func(tx *store.Tx) error {
			_, _, err := tx.Append(e.Type, e.Body)
			return err
		})
	}
	b.clock.Store(int64(b.Now))
}

// pull gives the world what came into the database through the API.
func (b *bank) pull() {
	b.t.Helper()
	list, err := b.store.Entries(b.t.Context(), b.Tree.Size(), 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, raw := range list {
		b.Must(b.AppendRaw(raw))
	}
}

// witness has the whole journal cosigned.
func (b *bank) witness() {
	b.t.Helper()
	b.pull()
	if err := b.store.SetHead(b.t.Context(), b.Head(), b.Tree.Size()); err != nil {
		b.t.Fatal(err)
	}
}

// pass lets time pass.
func (b *bank) pass(d custody.Seconds) {
	b.Wait(d)
	b.clock.Store(int64(b.Now))
}

// call is one call of the API.
type call struct {
	method, path string
	body         string
	header       map[string]string // beside the token and the type of the body
	bare         bool              // none of those
}

// answered is what a call was answered.
type answered struct {
	status int
	header http.Header
	body   []byte
}

func (b *bank) send(c call) answered {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), c.method, b.url+c.path, strings.NewReader(c.body))
	if err != nil {
		b.t.Fatal(err)
	}
	if !c.bare {
		r.Header.Set("Authorization", "Bearer "+token)
		if c.body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
	}
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if bytes.Contains(raw, []byte(token)) {
		b.t.Errorf("%s %s: the answer holds the token", c.method, c.path)
	}
	return answered{response.StatusCode, response.Header, raw}
}

// ok sends a call that must be answered with a status, and reads the answer.
func (b *bank) ok(c call, status int, to any) {
	b.t.Helper()
	got := b.send(c)
	if got.status != status {
		b.t.Fatalf("%s %s: %d, want %d: %s", c.method, c.path, got.status, status, got.body)
	}
	if to != nil {
		if err := json.Unmarshal(got.body, to, json.RejectUnknownMembers(true)); err != nil {
			b.t.Fatalf("%s %s: %v in %s", c.method, c.path, err, got.body)
		}
	}
}

// refused sends a call that must be refused, and returns the problem.
func (b *bank) refused(c call, status int, code api.Code) api.Problem {
	b.t.Helper()
	got := b.send(c)
	var p api.Problem
	if err := json.Unmarshal(got.body, &p, json.RejectUnknownMembers(true)); err != nil {
		b.t.Fatalf("%s %s: %d %v in %q", c.method, c.path, got.status, err, got.body)
	}
	if got.status != status || p.Status != status || p.Code != code {
		b.t.Fatalf("%s %s: %d %s, want %d %s: %s", c.method, c.path, got.status, p.Code, status, code, got.body)
	}
	if kind := got.header.Get("Content-Type"); kind != "application/problem+json" {
		b.t.Errorf("%s %s: content type %q", c.method, c.path, kind)
	}
	if p.RequestID == "" || got.header.Get("X-Request-Id") != p.RequestID {
		b.t.Errorf("%s %s: request %q, in the header %q", c.method, c.path, p.RequestID, got.header.Get("X-Request-Id"))
	}
	return p
}

// read fetches a path.
func read[T any](b *bank, path string) T {
	b.t.Helper()
	var out T
	b.ok(call{method: "GET", path: path}, 200, &out)
	return out
}

func encode(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// asked is a body of a call to prepare.
func (b *bank) asked(kind custody.IntentType, initiator string, body map[string]any) string {
	b.t.Helper()
	return encode(b.t, map[string]any{"type": kind, "initiator": b.People[initiator].ID.String(), "body": body})
}

// pay is the body of a transfer to the friend.
func (b *bank) pay(units string) map[string]any {
	return map[string]any{
		"wallet": b.hot.String(), "amount": units, "feeLimit": "1000",
		"destination": map[string]any{"destination": b.destination.String()},
	}
}

// prepared asks for an intent and reads it.
func (b *bank) prepared(kind custody.IntentType, initiator string, body map[string]any) *custody.Intent {
	b.t.Helper()
	var answer api.PreparedIntent
	b.ok(call{method: "POST", path: "/v1/intents:prepare", body: b.asked(kind, initiator, body)}, 200, &answer)
	in, err := custody.ParseIntent([]byte(answer.Bytes))
	if err != nil {
		b.t.Fatal(err)
	}
	if answer.Digest != in.Digest(b.Charter.Hash()).String() || answer.Charter != b.Charter.Hash().String() {
		b.t.Errorf("digest %s and charter %s don't belong to the bytes", answer.Digest, answer.Charter)
	}
	return in
}

// signature is a person's evidence, as the API takes it.
func (b *bank) signature(name string, in *custody.Intent, v custody.Verdict) api.Evidence {
	e := b.Evidence(name, b.Hash(in, v))
	return api.Evidence{Kind: string(e.Kind), Credential: e.Credential.String(), Signature: base64.StdEncoding.EncodeToString(e.Signature)}
}

func (b *bank) submission(name string, in *custody.Intent, external string) string {
	return encode(b.t, api.SubmitRequest{Bytes: string(in.Raw), Evidence: b.signature(name, in, custody.Submit), ExternalID: external})
}

// submitted puts an intent on record through the API.
func (b *bank) submitted(kind custody.IntentType, initiator string, body map[string]any) (*custody.Intent, api.Intent) {
	b.t.Helper()
	in := b.prepared(kind, initiator, body)
	var out api.Intent
	b.ok(call{method: "POST", path: "/v1/intents", body: b.submission(initiator, in, in.ID.String())}, 202, &out)
	return in, out
}

func (b *bank) approval(name string, in *custody.Intent, v custody.Verdict) call {
	return call{
		method: "POST", path: "/v1/intents/" + in.ID.String() + "/approvals",
		body: encode(b.t, api.ApproveRequest{Verdict: string(v), Evidence: b.signature(name, in, v)}),
	}
}
