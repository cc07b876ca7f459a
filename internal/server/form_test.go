package server_test

import (
	"bytes"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/server"
)

var update = flag.Bool("update", false, "write the golden files")

func TestConfig(t *testing.T) {
	t.Parallel()
	whole := newBank(t).config
	for name, edit := range map[string]func(*server.Config){
		"no store":    func(c *server.Config) { c.Store = nil },
		"no desk":     func(c *server.Config) { c.Desk = nil },
		"no nodes":    func(c *server.Config) { c.Nodes = nil },
		"no evidence": func(c *server.Config) { c.Evidence = nil },
		"no clock":    func(c *server.Config) { c.Now = nil },
		"no rand":     func(c *server.Config) { c.Rand = nil },
		"no log":      func(c *server.Config) { c.Log = nil },
		"no token":    func(c *server.Config) { c.Token = "" },
		"short token": func(c *server.Config) { c.Token = "123456789012345" },
	} {
		cfg := whole
		edit(&cfg)
		if _, err := server.New(cfg); custody.CodeOf(err) != custody.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := server.New(whole); err != nil {
		t.Error(err)
	}
}

// document is what the tests read of the OpenAPI document.
type document struct {
	OpenAPI string                                          `json:"openapi"`
	Paths   map[string]map[string]map[string]jsontext.Value `json:"paths"`
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	answer := b.send(call{method: "GET", path: "/v1/openapi.json", bare: true})
	if answer.status != http.StatusOK {
		t.Fatal(answer.status)
	}
	got := jsontext.Value(bytes.Clone(answer.body))
	if err := got.Indent(jsontext.WithIndent("  ")); err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	golden := filepath.Join("testdata", "openapi.json")
	if *update {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the OpenAPI document differs from %s; look at the difference, then run with -update", golden)
	}
	if bytes.Contains(got, []byte("$schema")) {
		t.Error("the document speaks of $schema")
	}
}

// operations are all methods and paths, with ids put in.
func (b *bank) operations() []call {
	b.t.Helper()
	doc := document{}
	got := b.send(call{method: "GET", path: "/v1/openapi.json"})
	if err := json.Unmarshal(got.body, &doc); err != nil {
		b.t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || len(doc.Paths) < 20 {
		b.t.Fatalf("OpenAPI %s with %d paths", doc.OpenAPI, len(doc.Paths))
	}
	var out []call
	for path, methods := range doc.Paths {
		for method := range methods {
			path := strings.NewReplacer("{intent}", b.hot.String(), "{wallet}", b.hot.String(), "{key}", b.key.String()).Replace(path)
			out = append(out, call{method: strings.ToUpper(method), path: path})
		}
	}
	return out
}

func TestEveryCallNeedsTheToken(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	for _, c := range b.operations() {
		if c.path == "/v1/health" {
			continue
		}
		for name, header := range map[string]string{
			"none": "", "another": "Bearer canary-0123456789abcdeF", "longer": "Bearer " + token + "0", "shorter": "Bearer " + token[:20],
			"no scheme": token, "other scheme": "Basic " + token, "empty": "Bearer ", "twice": "Bearer " + token + " " + token,
		} {
			c := c
			c.bare = true
			if header != "" {
				c.header = map[string]string{"Authorization": header}
			}
			got := b.send(c)
			if got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") != "Bearer" || !bytes.Contains(got.body, []byte(`"code":"unauthenticated"`)) {
				t.Errorf("%s %s, token %s: %d %s", c.method, c.path, name, got.status, got.body)
			}
		}
	}
	b.refused(call{method: "GET", path: "/v1/nowhere", bare: true}, 401, api.Unauthenticated)
	b.ok(call{method: "GET", path: "/v1/health", bare: true}, 200, nil)
	b.ok(call{method: "GET", path: "/v1/openapi.json", bare: true}, 200, nil)
	b.ok(call{method: "GET", path: "/v1/vaults", bare: true, header: map[string]string{"Authorization": "bearer " + token}}, 200, nil)
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	origin := map[string]string{"Origin": "https://elsewhere.example"}
	for _, c := range []call{
		{method: "GET", path: "/v1/health", header: origin},
		{method: "GET", path: "/v1/nowhere", header: origin},
		{method: "GET", path: "/v1/vaults", bare: true, header: origin},
		{method: "OPTIONS", path: "/v1/intents", header: origin},
	} {
		got := b.send(c)
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got := got.header.Get(name); got != want {
				t.Errorf("%s: %s is %q", c.path, name, got)
			}
		}
		for name := range got.header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s lets other origins in", c.path, name)
			}
		}
	}
}

// TestForm has calls that break a rule of form. None is answered with what it
// brought.
func TestForm(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	const canary = "s3cr3t-value"
	initiator := b.People["ida"].ID.String()
	asked := func(member string) string {
		return `{"type":"TRANSFER","initiator":"` + initiator + `","body":{}` + member + `}`
	}
	prepare := func(body string) call { return call{method: "POST", path: "/v1/intents:prepare", body: body} }
	for _, c := range []struct {
		name   string
		call   call
		status int
		code   api.Code
		fields []string
	}{
		{"no such path", call{method: "GET", path: "/v1/" + canary}, 404, api.NotFound, nil},
		{"the root", call{method: "GET", path: "/"}, 404, api.NotFound, nil},
		{"a path that isn't clean", call{method: "GET", path: "/v1/wallets/../vaults"}, 404, api.NotFound, nil},
		{"a doubled slash", call{method: "GET", path: "/v1//vaults"}, 404, api.NotFound, nil},
		{"other method", call{method: "DELETE", path: "/v1/vaults"}, 405, api.Invalid, nil},
		{"put", call{method: "PUT", path: "/v1/intents", body: "{}"}, 405, api.Invalid, nil},
		{"no type", call{method: "POST", path: "/v1/intents:prepare", body: asked(""), header: map[string]string{"Content-Type": ""}}, 415, api.Invalid, nil},
		{"other type", call{method: "POST", path: "/v1/intents:prepare", body: asked(""), header: map[string]string{"Content-Type": "text/plain"}}, 415, api.Invalid, nil},
		{"other JSON", call{method: "POST", path: "/v1/intents:prepare", body: asked(""), header: map[string]string{"Content-Type": "application/vnd.x+json"}}, 415, api.Invalid, nil},
		{"no body", prepare(""), 400, api.Invalid, nil},
		{"no JSON", prepare("{" + canary), 400, api.Invalid, nil},
		{"two values", prepare(asked("") + asked("")), 400, api.Invalid, nil},
		{"no object", prepare(`["` + canary + `"]`), 400, api.Invalid, []string{""}},
		{"a name twice", prepare(asked(`,"type":"` + canary + `"`)), 400, api.Invalid, []string{"type"}},
		{"a name twice, inside", prepare(`{"type":"TRANSFER","initiator":"` + initiator + `","body":{"memo":"a","memo":"` + canary + `"}}`), 400, api.Invalid, []string{"body.memo"}},
		{"bad UTF-8", prepare("{\"type\":\"\xff" + canary + "\"}"), 400, api.Invalid, nil},
		{"unknown member", prepare(asked(`,"extra":"` + canary + `"`)), 400, api.Invalid, []string{"extra"}},
		{"missing member", prepare(`{"type":"` + canary + `","body":{}}`), 400, api.Invalid, []string{""}},
		{"wrong type of member", prepare(`{"type":1,"initiator":["` + canary + `"],"body":{}}`), 400, api.Invalid, []string{"initiator", "type"}},
		{"null", prepare(`{"type":null,"initiator":"` + canary + `","body":{}}`), 400, api.Invalid, []string{"type"}},
		{"unknown type of intent", prepare(`{"type":"` + canary + `","initiator":"` + initiator + `","body":{}}`), 400, api.Invalid, []string{"type"}},
		{"bad initiator", prepare(`{"type":"TRANSFER","initiator":"` + canary + `","body":{}}`), 400, api.Invalid, []string{"initiator"}},
		{"bad domain", prepare(asked(`,"domain":"` + canary + `!"`)), 400, api.Invalid, []string{"domain"}},
		{"no time to live", prepare(asked(`,"expiresIn":0`)), 400, api.Invalid, []string{"expiresIn"}},
		{"negative time", prepare(asked(`,"expiresIn":-5`)), 400, api.Invalid, []string{"expiresIn"}},
		{"more time than the charter allows", prepare(asked(`,"expiresIn":604801`)), 400, api.Invalid, []string{"expiresIn"}},
		{"body is no object", prepare(`{"type":"TRANSFER","initiator":"` + initiator + `","body":"` + canary + `"}`), 400, api.Invalid, []string{"body"}},
		{"too large", prepare(`{"type":"` + strings.Repeat("x", 512<<10) + `"}`), 413, api.Invalid, nil},
		{"bad id", call{method: "GET", path: "/v1/intents/" + canary}, 400, api.Invalid, []string{"intent"}},
		{"id in capitals", call{method: "GET", path: "/v1/intents/" + strings.ToUpper(b.hot.String())}, 400, api.Invalid, []string{"intent"}},
		{"bad transfer", call{method: "GET", path: "/v1/transfers/" + canary}, 400, api.Invalid, []string{"transfer"}},
		{"bad wallet", call{method: "GET", path: "/v1/wallets/" + canary + "/addresses"}, 400, api.Invalid, []string{"wallet"}},
		{"bad key", call{method: "GET", path: "/v1/keys/" + canary}, 400, api.Invalid, []string{"key"}},
		{"no such intent", call{method: "GET", path: "/v1/intents/" + b.hot.String()}, 404, api.NotFound, []string{"intent"}},
		{"no evidence of no intent", call{method: "GET", path: "/v1/intents/" + b.hot.String() + "/evidence"}, 404, api.NotFound, []string{"intent"}},
		{"no such transfer", call{method: "GET", path: "/v1/transfers/" + b.hot.String()}, 404, api.NotFound, []string{"intent"}},
		{"no such wallet", call{method: "GET", path: "/v1/wallets/" + b.key.String()}, 404, api.NotFound, []string{"wallet"}},
		{"no address for no wallet", call{method: "POST", path: "/v1/wallets/" + b.key.String() + "/addresses"}, 404, api.NotFound, []string{"wallet"}},
		{"no such key", call{method: "GET", path: "/v1/keys/" + b.hot.String()}, 404, api.NotFound, []string{"key"}},
		{"unknown query", call{method: "GET", path: "/v1/vaults?extra=" + canary}, 400, api.Invalid, []string{"extra"}},
		{"limit is no number", call{method: "GET", path: "/v1/vaults?limit=" + canary}, 400, api.Invalid, []string{"limit"}},
		{"limit of nothing", call{method: "GET", path: "/v1/vaults?limit=0"}, 400, api.Invalid, []string{"limit"}},
		{"limit too high", call{method: "GET", path: "/v1/intents?limit=201"}, 400, api.Invalid, []string{"limit"}},
		{"bad cursor", call{method: "GET", path: "/v1/vaults?cursor=" + canary}, 400, api.Invalid, []string{"cursor"}},
		{"bad cursor of intents", call{method: "GET", path: "/v1/intents?cursor=" + canary}, 400, api.Invalid, []string{"cursor"}},
		{"bad cursor of entries", call{method: "GET", path: "/v1/journal/entries?cursor=" + canary}, 400, api.Invalid, []string{"cursor"}},
		{"cursor of another list", call{method: "GET", path: "/v1/vaults?cursor=MDFhMTli"}, 400, api.Invalid, []string{"cursor"}},
		{"negative index", call{method: "GET", path: "/v1/journal/entries?from=-1"}, 400, api.Invalid, []string{"from"}},
		{"bad type", call{method: "GET", path: "/v1/intents?type=" + canary}, 400, api.Invalid, []string{"type"}},
		{"bad state", call{method: "GET", path: "/v1/transfers?state=" + canary}, 400, api.Invalid, []string{"state"}},
		{"bad person", call{method: "GET", path: "/v1/intents?initiator=" + canary}, 400, api.Invalid, []string{"initiator"}},
		{"bytes of no intent", call{method: "POST", path: "/v1/intents", body: `{"bytes":"{}","evidence":{"kind":"DEVICE"}}`}, 400, api.Invalid, nil},
		{"unknown kind of evidence", call{method: "POST", path: "/v1/intents", body: `{"bytes":"{}","evidence":{"kind":"` + canary + `"}}`}, 400, api.Invalid, []string{"evidence.kind"}},
		{"bad credential", call{method: "POST", path: "/v1/intents", body: `{"bytes":"{}","evidence":{"kind":"DEVICE","credential":"` + canary + `"}}`}, 400, api.Invalid, []string{"evidence.credential"}},
		{"verdict to submit", call{method: "POST", path: "/v1/intents/" + b.hot.String() + "/approvals", body: `{"verdict":"SUBMIT","evidence":{"kind":"DEVICE"}}`}, 400, api.Invalid, []string{"verdict"}},
		{"key too long", call{method: "POST", path: "/v1/intents", body: `{}`, header: map[string]string{"Idempotency-Key": strings.Repeat("k", 129)}}, 400, api.Invalid, []string{"Idempotency-Key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := b.with(t).refused(c.call, c.status, c.code)
			var got []string
			for _, v := range p.Violations {
				got = append(got, v.Field)
				if v.Rule == "" {
					t.Errorf("%s: no rule", v.Field)
				}
			}
			if len(c.fields) > 0 && !slices.Equal(got, c.fields) {
				t.Errorf("fields %q, want %q: %+v", got, c.fields, p)
			}
			if text := encode(t, p); strings.Contains(text, canary) {
				t.Errorf("the answer repeats what was sent: %s", text)
			}
		})
	}
	if got := b.send(call{method: "DELETE", path: "/v1/intents"}).header.Get("Allow"); got != "GET, HEAD, POST" {
		t.Errorf("Allow: %q", got)
	}
	if got := b.send(call{method: http.MethodHead, path: "/v1/vaults"}); got.status != http.StatusOK {
		t.Errorf("HEAD: %d", got.status)
	}
}
