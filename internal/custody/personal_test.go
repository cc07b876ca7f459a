package custody

import (
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// closed are the types that a leaf of an entry may have, each with why it has no
// room for what names or describes a person.
var closed = map[reflect.Type]string{
	reflect.TypeFor[Hash]():         "a digest",
	reflect.TypeFor[Amount]():       "a number",
	reflect.TypeFor[Time]():         "a time",
	reflect.TypeFor[Seconds]():      "a number",
	reflect.TypeFor[bool]():         "a bit",
	reflect.TypeFor[int]():          "a number",
	reflect.TypeFor[int64]():        "a number",
	reflect.TypeFor[uint32]():       "a number",
	reflect.TypeFor[uint64]():       "a number",
	reflect.TypeFor[Name]():         "given by the charter or a policy to a thing, lower case, at most 63",
	reflect.TypeFor[Domain]():       "a path of names",
	reflect.TypeFor[Country]():      "one of 250 codes",
	reflect.TypeFor[LEI]():          "registered, with check digits",
	reflect.TypeFor[Network]():      "CAIP-2",
	reflect.TypeFor[Asset]():        "CAIP-19",
	reflect.TypeFor[Address]():      "letters and digits alone",
	reflect.TypeFor[Selector]():     "4 bytes",
	reflect.TypeFor[Label]():        "an identifier in a contract's interface",
	reflect.TypeFor[Literal]():      "a number, hex digits, true or false",
	reflect.TypeFor[Origin]():       "a web origin of the institution",
	reflect.TypeFor[Host]():         "a domain name of the institution",
	reflect.TypeFor[IssuerURL]():    "where the institution's identity provider is",
	reflect.TypeFor[ClientID]():     "what the provider calls Coffer",
	reflect.TypeFor[KeyID]():        "what the provider calls a key",
	reflect.TypeFor[Outpoint]():     "a transaction id and a number",
	reflect.TypeFor[Currency]():     "3 capital letters",
	reflect.TypeFor[Scheme]():       "a word of a closed set",
	reflect.TypeFor[PersonKind]():   "a word of a closed set",
	reflect.TypeFor[Sealing]():      "a word of a closed set",
	reflect.TypeFor[Purpose]():      "a word of a closed set",
	reflect.TypeFor[Ceremony]():     "a word of a closed set",
	reflect.TypeFor[Action]():       "a word of a closed set",
	reflect.TypeFor[Verdict]():      "a word of a closed set",
	reflect.TypeFor[Algorithm]():    "a word of a closed set",
	reflect.TypeFor[EvidenceKind](): "a word of a closed set",
	reflect.TypeFor[ObservedKind](): "a word of a closed set",

	reflect.TypeFor[CredentialKind]():   "a word of a closed set",
	reflect.TypeFor[AttestationKind]():  "a word of a closed set",
	reflect.TypeFor[DestinationKind]():  "a word of a closed set",
	reflect.TypeFor[ScreeningVerdict](): "a word of a closed set",
	reflect.TypeFor[TravelRuleStatus](): "a word of a closed set",
}

// exceptions are the fields that have room for more, each with why it does.
var exceptions = map[string]string{
	"Cosigned.Head": "a checkpoint: origin, size, root and signatures in base64; UnmarshalText takes nothing else",
	"Signed.Token":  "an ID token: UnmarshalText takes a fixed list of claims and header members, and no address in them",

	"CharterRecord.Charter":  "parsed by ParseCharter, which is walked here as well",
	"IntentRecord.Bytes":     "parsed as an intent with the entry, whose bodies are walked here as well",
	"AttestationProof.Bytes": "parsed as an attestation with the entry, which is walked here as well",
	"PolicyChange.Policy":    "parsed by package policy: names, numbers, and words of the vocabulary",
	"Charter.Policy":         "parsed by package policy: names, numbers, and words of the vocabulary",

	"Credential.PublicKey":         "a public key, parsed by package authz",
	"Credential.WebAuthn":          "random bytes that an authenticator made",
	"Evidence.Signature":           "a signature, at most 4,096 bytes",
	"Signed.ClientData":            "what the browser signed: type, challenge, origin; at most 4,096 bytes, and only a passkey's holder can add to it",
	"Signed.AuthenticatorData":     "37 bytes of hash, flags and counter, checked by package authz; at most 1,024 bytes",
	"SignerNode.IdentityKey":       "1,344 bytes of key",
	"SignerNode.WitnessKey":        "1,344 bytes of key",
	"Witness.Key":                  "1,344 bytes of key",
	"Control.LogKey":               "1,344 bytes of key",
	"Control.CoordinatorKey":       "1,344 bytes of key",
	"Attestor.Key":                 "32 bytes of key",
	"RecoveryKey.Key":              "32 bytes of key",
	"IssuerKey.PublicKey":          "a public key, parsed by package authz",
	"Key.PublicKey":                "32 or 33 bytes of key",
	"NodeSignature.Signature":      "2,484 bytes of signature",
	"Receipt.Signature":            "2,484 bytes of signature",
	"AttestationProof.Signature":   "64 bytes of signature",
	"SignedRecord.Signatures":      "signatures of at most 128 bytes",
	"ContractCall.Data":            "call data; a node refuses what it can't decode as the method and arguments that stand beside it",
	"Charter.Raw":                  "never encoded",
	"IntentRecord.Intent":          "never encoded; its bytes are",
	"AttestationProof.Attestation": "never encoded; its bytes are",
}

// TestNoPersonalData walks every type that an entry can hold: each leaf is of a
// type with no room for free text, or named above with a reason.
func TestNoPersonalData(t *testing.T) {
	t.Parallel()
	w := walker{report: t.Errorf, seen: make(map[reflect.Type]bool), used: make(map[string]bool)}
	for kind, body := range entryBodies {
		w.walk(reflect.TypeOf(body()), string(kind), "")
	}
	for kind, body := range bodies {
		w.walk(reflect.TypeOf(body()), string(kind), "")
	}
	for _, v := range []any{envelope{}, entryEnvelope{}, Charter{}, Attestation{}, List{}} {
		w.walk(reflect.TypeOf(v), reflect.TypeOf(v).Name(), "")
	}
	for name := range exceptions {
		if !w.used[name] {
			t.Errorf("%s is an exception of nothing", name)
		}
	}
	if len(w.seen) < 50 {
		t.Errorf("only %d types walked", len(w.seen))
	}
}

type walker struct {
	report func(format string, args ...any)
	seen   map[reflect.Type]bool
	used   map[string]bool
}

// walk checks a type found at path in the field named owner.
func (w *walker) walk(typ reflect.Type, path, owner string) {
	if _, ok := exceptions[owner]; ok {
		w.used[owner] = true
		return
	}
	switch typ.Kind() { //nolint:exhaustive // the rest are leaves
	case reflect.Pointer, reflect.Slice:
		if typ != reflect.TypeFor[Blob]() && typ != reflect.TypeFor[jsontext.Value]() {
			w.walk(typ.Elem(), path, owner)
			return
		}
	case reflect.Struct:
		if closed[typ] != "" {
			break
		}
		if w.seen[typ] {
			return
		}
		w.seen[typ] = true
		for f := range typ.Fields() {
			name := typ.Name() + "." + f.Name
			if tag := f.Tag.Get("json"); tag == "-" {
				w.used[name] = true
				if exceptions[name] == "" {
					w.report("%s.%s: kept beside the bytes without a reason", path, f.Name)
				}
				continue
			}
			if typ == reflect.TypeFor[envelope]() && f.Name == "Body" || typ == reflect.TypeFor[entryEnvelope]() {
				if f.Name == "Body" {
					continue // walked by type
				}
			}
			w.walk(f.Type, path+"."+f.Name, name)
		}
		return
	}
	if closed[typ] != "" || strings.HasPrefix(typ.Name(), "ID[") || typ == reflect.TypeFor[IntentType]() || typ == reflect.TypeFor[EntryType]() {
		return
	}
	w.report("%s: %s has room for free text; give it a type of its own, or a reason", path, typ)
}

// The walk can fail: it finds a bare string, and a blob that nobody excused.
func TestWalkerFinds(t *testing.T) {
	t.Parallel()
	for _, typ := range []reflect.Type{
		reflect.TypeFor[struct{ Memo string }](),
		reflect.TypeFor[struct{ Deep *[]struct{ Memo Blob } }](),
		reflect.TypeFor[struct{ Any jsontext.Value }](),
		reflect.TypeFor[struct{ Free any }](),
		reflect.TypeFor[struct{ M map[string]string }](),
	} {
		found := 0
		w := walker{report: func(string, ...any) { found++ }, seen: make(map[reflect.Type]bool), used: make(map[string]bool)}
		w.walk(typ, "x", "")
		if found != 1 {
			t.Errorf("%s: %d findings", typ, found)
		}
	}
}

// The closed text types hold no sentence and no address.
func TestClosedTypesHoldNoSentence(t *testing.T) {
	t.Parallel()
	for typ := range closed {
		v, ok := reflect.New(typ).Interface().(interface{ UnmarshalText(b []byte) error })
		if !ok {
			if k := typ.Kind(); k == reflect.String {
				t.Errorf("%s takes any text", typ)
			}
			continue
		}
		for _, s := range []string{"Alice Smith", "alice@bank.example", "alice.smith at bank", "+41 44 123 45 67", "Zürich", "memo: for the yacht", "張三"} {
			if v.UnmarshalText([]byte(s)) == nil {
				t.Errorf("%s takes %q", typ, s)
			}
		}
	}
}

// What a token may hold: the fixed list, in one form each.
func TestToken(t *testing.T) {
	t.Parallel()
	claims := func(extra string) string { return strings.Replace(exampleClaims, "{", "{"+extra, 1) }
	header := func(extra string) string { return strings.Replace(exampleHeader, "{", "{"+extra, 1) }
	good := token(exampleHeader, exampleClaims)
	for what, tok := range map[string]Token{
		"plain":                  good,
		"every claim":            token(exampleHeader, claims(`"nbf":1,"jti":"x","auth_time":1,"azp":"coffer","at_hash":"x","c_hash":"x","sid":"x",`)),
		"every header":           token(header(`"x5t":"x","x5t#S256":"x",`), exampleClaims),
		"list of audience":       token(exampleHeader, strings.Replace(exampleClaims, `"coffer"`, `["coffer"]`, 1)),
		"no claims":              token("{}", "{}"),
		"512 bytes of signature": token(exampleHeader, exampleClaims)[:len(good)-86] + Token(strings.Repeat("A", 683-1)+"A"),
	} {
		if err := new(Token).UnmarshalText([]byte(tok)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	parts := strings.Split(string(good), ".")
	bad := map[string]string{
		"empty":                       "",
		"two parts":                   parts[0] + "." + parts[1],
		"four parts":                  string(good) + ".AAAA",
		"five parts":                  string(good) + ".AAAA.AAAA",
		"no signature":                parts[0] + "." + parts[1] + ".",
		"a sentence for a signature":  parts[0] + "." + parts[1] + ".Alice Smith of Basle",
		"513 bytes of signature":      parts[0] + "." + parts[1] + "." + strings.Repeat("A", 684),
		"signature in other alphabet": parts[0] + "." + parts[1] + ".++++",
		"signature padded":            parts[0] + "." + parts[1] + ".AA==",
		"signature with stray bits":   parts[0] + "." + parts[1] + ".AB",
		"newline in the signature":    string(good[:len(good)-4]) + "\n" + string(good[len(good)-4:]),
		"newline in the claims":       parts[0] + "." + parts[1][:8] + "\r\n" + parts[1][8:] + "." + parts[2],
		"newline in the header":       parts[0][:8] + "\n" + parts[0][8:] + "." + parts[1] + "." + parts[2],
		"space in front":              " " + string(good),
		"a list for claims":           string(token(exampleHeader, "[]")),
		"text for claims":             string(token(exampleHeader, `"alice"`)),
		"null for claims":             string(token(exampleHeader, `{"iss":null}`)),
		"no JSON":                     string(token(exampleHeader, "alice")),
		"two documents":               string(token(exampleHeader, exampleClaims+exampleClaims)),
		"claim twice":                 string(token(exampleHeader, claims(`"sub":"x",`))),
		"header twice":                string(token(header(`"kid":"x",`), exampleClaims)),
		"claim escaped":               string(token(exampleHeader, claims(`"\u0065mail":"x",`))),
		"sub an address":              string(token(exampleHeader, strings.Replace(exampleClaims, `"9f2c"`, `"alice@bank.example"`, 1))),
		"sub an address, escaped":     string(token(exampleHeader, strings.Replace(exampleClaims, `"9f2c"`, `"alice\u0040bank.example"`, 1))),
		"sub an object":               string(token(exampleHeader, strings.Replace(exampleClaims, `"9f2c"`, `{"name":"alice"}`, 1))),
		"sub a list of objects":       string(token(exampleHeader, strings.Replace(exampleClaims, `"9f2c"`, `[{"name":"alice"}]`, 1))),
		"sub a list of lists":         string(token(exampleHeader, strings.Replace(exampleClaims, `"9f2c"`, `[["alice"]]`, 1))),
		"jti an address":              string(token(exampleHeader, claims(`"jti":"alice@bank.example",`))),
		"amr an address":              string(token(exampleHeader, strings.Replace(exampleClaims, `"hwk"`, `"alice@bank.example"`, 1))),
		"kid an address":              string(token(strings.Replace(exampleHeader, "key-1", "alice@bank.example", 1), exampleClaims)),
		"wide at-sign":                string(token(exampleHeader, strings.Replace(exampleClaims, `"9f2c"`, `"alice＠bank.example"`, 1))),
		"longer than 8 KiB":           string(token(exampleHeader, claims(`"jti":"`+strings.Repeat("x", 6200)+`",`))),
	}
	for _, name := range []string{
		"email", "email_verified", "name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website",
		"gender", "birthdate", "zoneinfo", "locale", "phone_number", "address", "updated_at", "upn", "unique_name", "groups", "roles", "oid", "tid", "Sub", "", "s_hash", "act", "cnf",
	} {
		bad["claim "+name] = string(token(exampleHeader, claims(`"`+name+`":"x",`)))
	}
	for _, name := range []string{"jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "cty", "enc", "Alg", "email", "nonce"} {
		bad["header "+name] = string(token(header(`"`+name+`":"x",`), exampleClaims))
	}
	for what, tok := range bad {
		if err := new(Token).UnmarshalText([]byte(tok)); err == nil || CodeOf(err) != Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
}
