package custody

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// A document is a golden file and how it is parsed.
type document struct {
	name  string
	raw   []byte
	parse func([]byte) error
	limit int
}

func documents(t testing.TB) []document {
	t.Helper()
	var out []document
	add := func(prefix string, files map[string][]byte, limit int, parse func([]byte) error) {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			out = append(out, document{prefix + name, files[name], parse, limit})
		}
	}
	add("intents/", rawIntents(t), MaxIntent, func(b []byte) error { _, err := ParseIntent(b); return err })
	add("entries/", rawEntries(t), MaxEntry, func(b []byte) error { _, err := ParseEntry(b); return err })
	add("", map[string][]byte{"charter": rawCharter(t)}, MaxEntry, func(b []byte) error { _, err := ParseCharter(b); return err })
	return out
}

// opaque are the members whose content is read by somebody else: the compiled
// policy by package policy, the charter in its entry by ParseCharter.
func opaque(d document, path []string) bool {
	at := strings.Join(path, ".")
	switch d.name {
	case "charter":
		return at == "policy"
	case "entries/charter":
		return at == "body.charter"
	default:
		return strings.HasSuffix(at, "body.policy")
	}
}

// A twist changes how one value of a document is written. It gets the path and
// the value as written, and returns what stands there instead.
type twist func(path []string, value any) (string, bool)

// render writes a tree in canonical form but for what a twist changes. All names
// and texts of the golden files are ASCII or are written alike by package json.
func render(v any, path []string, twisted twist) string {
	if twisted != nil {
		if s, ok := twisted(path, v); ok {
			return s
		}
	}
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, text(name)+":"+render(v[name], append(slices.Clone(path), name), twisted))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		var parts []string
		for i, e := range v {
			parts = append(parts, render(e, append(slices.Clone(path), strconv.Itoa(i)), twisted))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case string:
		return text(v)
	default:
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return string(b)
	}
}

// renderMembers writes an object of which one member is changed as text.
func renderMembers(v map[string]any, path []string, name string, change func(string) string) string {
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(v)) {
		part := text(n) + ":" + render(v[n], append(slices.Clone(path), n), nil)
		if n == name {
			part = change(part)
		}
		parts = append(parts, part)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func text(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err)
	}
	return strings.TrimSpace(b.String())
}

// walk calls f for every value of a tree that isn't inside an opaque member.
func walk(d document, v any, path []string, f func(path []string, v any)) {
	f(path, v)
	if opaque(d, path) {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			walk(d, v[name], append(slices.Clone(path), name), f)
		}
	case []any:
		for i, e := range v {
			walk(d, e, append(slices.Clone(path), strconv.Itoa(i)), f)
		}
	}
}

func tree(t testing.TB, raw []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// at returns a twist of the value at one path.
func at(path []string, f func(v any) string) twist {
	return func(p []string, v any) (string, bool) {
		if !slices.Equal(p, path) {
			return "", false
		}
		return f(v), true
	}
}

func dots(path []string) string { return strings.Join(path, ".") }

// A case is a document that was made invalid, and the field that the error must
// name; "*" if none is asked for, as the text is no JSON or not about a field.
type strictCase struct {
	what  string
	input string
	field string
}

// optionalMembers are the members that a document may leave out: without them
// these very documents are valid. Documents are named by the beginning of their
// names.
var optionalMembers = []struct{ document, path string }{
	{"intents/transfer-", "body.memo"},
	{"intents/transfer-internal", "body.destination.index"},
	{"intents/signer-set-change", "body.witnesses.others"},
	{"intents/witness-change", "body.witnesses.others"},
	{"intents/witness-change-control", "body.control"},
	{"intents/wallet-create", "body.wallet.nonce"},
	{"intents/destination-change", "body.destination.tags"},
	{"intents/destination-change", "body.destination.method"},
	{"intents/person-change", "body.person.roles"},
	// Of a change of signers either will do.
	{"intents/signer-set-change", "body.add"},
	{"intents/signer-set-change", "body.remove"},

	{"charter", "institutions.0.lei"},
	{"charter", "persons.0.roles"},
	{"charter", "witnesses.others"},

	// Whether an entry of the governance chain has prev is checked by package state,
	// which knows the intent.
	{"entries/intent", "body.prev"},
	{"entries/evidence-", "body.prev"},
	{"entries/cosigned", "body.prev"},
	{"entries/intent", "body.intent.body.memo"},
	{"entries/intent-witness-change", "body.intent.body.witnesses.others"},
	{"entries/observed-", "body.transaction"},
	{"entries/observed-", "body.output"},
	{"entries/observed-", "body.block"},
	{"entries/observed-", "body.height"},
	{"entries/observed-", "body.asset"},
	{"entries/observed-", "body.amount"},
}

// blamed are the members whose absence is told by the name of another: one of
// several must be there, or a kind says whether they must. An empty path is the
// object itself.
var blamed = []struct{ document, path, field string }{
	{"intents/signer-set-change-out", "body.remove", "body.add"},
	{"intents/relying-party", "body.relyingParty", "body.credential"},
	{"intents/hold-release", "body.target.all", "body.target"},
	{"intents/freeze-intent", "body.target.intent", "body.target"},
	{"intents/freeze-key", "body.target.key", "body.target"},
	{"intents/freeze-vault", "body.target.vault", "body.target"},
	{"intents/freeze-person", "body.target.person", "body.target"},
	{"entries/evidence-", "body.attestation", "body.approval"},
	{"entries/evidence-price", "body.attestation.statement.price", "body.attestation.statement"},
	{"entries/evidence-screening", "body.attestation.statement.screening", "body.attestation.statement"},
	{"entries/evidence-travel-rule", "body.attestation.statement.travelRule", "body.attestation.statement"},
	{"entries/evidence-", "body.approval.evidence.signed.clientDataJSON", "body.approval.evidence.signed"},
	{"entries/evidence-", "body.approval.evidence.signed.authenticatorData", "body.approval.evidence.signed"},
	{"entries/evidence-", "body.approval.evidence.signed.token", "body.approval.evidence.signed"},
	{"entries/charter", "body.administrators.1.signed.clientDataJSON", "body.administrators.1.signed"},
	{"entries/charter", "body.administrators.1.signed.authenticatorData", "body.administrators.1.signed"},
	{"entries/prepared-nonce", "body.claims.0.nonce", "body.claims.0"},
	{"entries/prepared-outpoints", "body.claims.0.outpoint", "body.claims.0"},
	{"entries/prepared-outpoints", "body.claims.1.outpoint", "body.claims.1"},
}

// withoutMember returns the field that must be named when a member is missing,
// or that it may be.
func withoutMember(d document, path []string) (field string, optional bool) {
	full := dots(path)
	for _, b := range blamed {
		if strings.HasPrefix(d.name, b.document) && full == b.path {
			return b.field, false
		}
	}
	for _, o := range optionalMembers {
		if strings.HasPrefix(d.name, o.document) && full == o.path {
			return full, true
		}
	}
	return full, false
}

func strictCases(t *testing.T, d document) []strictCase {
	t.Helper()
	root := tree(t, d.raw)
	if got := render(root, nil, nil); got != string(d.raw) {
		t.Fatalf("the test writes another form than the file:\n%s\n%s", got, d.raw)
	}
	var out []strictCase
	add := func(what, field, input string) {
		if input != string(d.raw) {
			out = append(out, strictCase{what, input, field})
		}
	}
	replace := func(what, field string, path []string, f func(v any) string) {
		add(what, field, render(root, nil, at(path, f)))
	}
	walk(d, root, nil, func(path []string, v any) {
		where := dots(path)
		inOpaque := opaque(d, path)
		if len(path) > 0 {
			wrongTypes(path, v, replace)
		}
		switch v := v.(type) {
		case map[string]any:
			replace("whitespace after {", "*", path, func(any) string { return "{ " + render(v, path, nil)[1:] })
			replace("whitespace before }", "*", path, func(any) string { s := render(v, path, nil); return s[:len(s)-1] + "\n}" })
			replace("trailing comma", "*", path, func(any) string { s := render(v, path, nil); return s[:len(s)-1] + ",}" })
			if inOpaque {
				return
			}
			for _, name := range []string{"zz", "AA", "__proto__", "é"} {
				more := maps.Clone(v)
				more[name] = "x"
				field := dots(append(slices.Clone(path), name))
				replace("unknown field "+strconv.Quote(name), field, path, func(any) string { return render(more, path, nil) })
			}
			for name, member := range v {
				inner := append(slices.Clone(path), name)
				field, optional := withoutMember(d, inner)
				less := maps.Clone(v)
				delete(less, name)
				if !optional {
					replace("without "+name, field, path, func(any) string { return render(less, path, nil) })
				} else if err := d.parse([]byte(render(root, nil, at(path, func(any) string { return render(less, path, nil) })))); err != nil {
					t.Errorf("%s: without %s, which is optional: %v", d.name, dots(inner), err)
				}
				replace("twice "+name, dots(inner), path, func(any) string {
					return "{" + text(name) + ":" + render(member, inner, nil) + "," + render(v, path, nil)[1:]
				})
				replace("twice alike "+name, dots(inner), path, func(any) string {
					return renderMembers(v, path, name, func(s string) string { return s + "," + s })
				})
				cased := maps.Clone(less)
				cased[strings.ToUpper(name[:1])+name[1:]] = member
				replace("case of "+name, dots(append(slices.Clone(path), strings.ToUpper(name[:1])+name[1:])), path, func(any) string { return render(cased, path, nil) })
				replace("escaped name "+name, dots(inner), path, func(any) string {
					return renderMembers(v, path, name, func(s string) string { return fmt.Sprintf(`"\u%04x`, s[1]) + s[2:] })
				})
				replace("whitespace around :", "*", path, func(any) string {
					return renderMembers(v, path, name, func(s string) string { return strings.Replace(s, ":", " : ", 1) })
				})
			}
			if len(v) > 1 {
				replace("keys reversed", "*", path, func(any) string {
					var parts []string
					for _, name := range slices.Backward(slices.Sorted(maps.Keys(v))) {
						parts = append(parts, text(name)+":"+render(v[name], append(slices.Clone(path), name), nil))
					}
					return "{" + strings.Join(parts, ",") + "}"
				})
			}
		case []any:
			replace("whitespace in []", "*", path, func(any) string { return "[\t" + render(v, path, nil)[1:] })
			replace("trailing comma", "*", path, func(any) string { s := render(v, path, nil); return s[:len(s)-1] + ",]" })
		case string:
			if v == "" {
				return
			}
			plain := text(v)
			replace("escaped", where, path, func(any) string {
				first, size := utf8.DecodeRuneInString(v)
				return fmt.Sprintf(`"\u%04x%s`, first, text(v[size:])[1:])
			})
			replace("escaped in capitals", where, path, func(any) string { return plain[:len(plain)-1] + `\u002F"` })
			replace("solidus escaped", "*", path, func(any) string { return plain[:len(plain)-1] + `\/"` })
			for _, bad := range []string{`\ud800`, `\udc00x`, "\xff", "\xed\xa0\x80", "\xc0\xaf", "\x01", "\n", `\x41`, `\u12`, `\`} {
				replace("text with "+strconv.Quote(bad), "*", path, func(any) string { return plain[:len(plain)-1] + bad + `"` })
			}
			if !strings.HasSuffix(where, "head") { // a note is free in form here; package journal reads it
				for _, odd := range []string{" ", "\u0430", "\u200b", "\uff10", `\u0000`, "\u0301"} {
					replace("text with "+strconv.Quote(odd), where, path, func(any) string { return plain[:len(plain)-1] + odd + `"` })
				}
			}
		case json.Number:
			n := v.String()
			for _, s := range []string{n + ".0", n + "e0", n + "E+0", "0" + n, "+" + n, "-0", "0.1", "1e400", "9007199254740992", "-9007199254740992", "99999999999999999999999999", "NaN", "0x1", n + "."} {
				field := where
				if s == "NaN" || s == "0x1" || s[0] == '+' || s[0] == '0' && s != "0.1" && s[:2] != "0." && s[:2] != "0e" && s[:2] != "0E" || s == n+"." {
					field = "*" // no JSON at all
				}
				replace("number "+s, field, path, func(any) string { return s })
			}
		}
	})
	whole := string(d.raw)
	for what, input := range map[string]string{
		"byte order mark":    "\ufeff" + whole,
		"leading space":      " " + whole,
		"trailing newline":   whole + "\n",
		"trailing document":  whole + whole,
		"trailing brace":     whole + "}",
		"trailing NUL":       whole + "\x00",
		"trailing garbage":   whole + "null",
		"cut short":          whole[:len(whole)-1],
		"cut to half":        whole[:len(whole)/2],
		"empty":              "",
		"an empty object":    "{}",
		"an empty array":     "[]",
		"null":               "null",
		"a number":           "1",
		"a string":           `"x"`,
		"comment":            "/**/" + whole,
		"UTF-16":             "\xff\xfe" + whole,
		"10,000 arrays":      strings.Repeat("[", 10_000),
		"10,000 arrays shut": strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000),
		"100,000 objects":    strings.Repeat(`{"a":`, 50_000),
	} {
		add(what, "*", input)
	}
	add("too long", "", whole+strings.Repeat(" ", d.limit+1-len(whole)))
	return out
}

// wrongTypes gives a value every type that it doesn't have.
func wrongTypes(path []string, v any, replace func(what, field string, path []string, f func(any) string)) {
	kind := func(v any) string {
		switch v.(type) {
		case map[string]any:
			return "object"
		case []any:
			return "array"
		case string:
			return "string"
		case bool:
			return "bool"
		default:
			return "number"
		}
	}
	for other, text := range map[string]string{"object": "{}", "array": "[]", "string": `"~"`, "bool": "true", "number": "7", "null": "null"} {
		if kind(v) == other {
			continue
		}
		replace("is "+other, dots(path), path, func(any) string { return text })
	}
}

// TestC37StrictFormats: whatever isn't the one canonical spelling of a valid
// intent, entry or charter is refused, and the error names the field.
func TestC37StrictFormats(t *testing.T) {
	t.Parallel()
	total := 0
	for _, d := range documents(t) {
		if err := d.parse(d.raw); err != nil {
			t.Fatalf("%s is refused as it is: %v", d.name, err)
		}
		reported := 0
		for i, c := range strictCases(t, d) {
			if testing.Short() && i%5 != 0 {
				continue
			}
			total++
			err := d.parse([]byte(c.input))
			var problem string
			switch {
			case err == nil:
				problem = "accepted"
			case CodeOf(err) != Invalid:
				problem = fmt.Sprintf("code %s", CodeOf(err))
			case strings.HasPrefix(c.what, "twice") && !strings.HasSuffix(err.Error(), "given twice"),
				strings.HasPrefix(c.what, "unknown") && !strings.HasSuffix(err.Error(), "unknown field"):
				problem = "says something else"
			case c.field != "*" && fieldOf(err) != c.field:
				problem = fmt.Sprintf("names %q, not %q", fieldOf(err), c.field)
			default:
				continue
			}
			if reported++; reported <= 12 {
				t.Errorf("%s: %s: %s (%v)", d.name, c.what, problem, err)
			}
		}
		if reported > 12 {
			t.Errorf("%s: and %d more", d.name, reported-12)
		}
	}
	t.Logf("%d cases", total)
	if total < 20_000 && !testing.Short() {
		t.Errorf("only %d cases", total)
	}
}
