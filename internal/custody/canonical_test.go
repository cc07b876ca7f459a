package custody

import (
	"bytes"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// The vectors of the reference implementation of RFC 8785
// (cyberphone/json-canonicalization), unchanged.
func TestPublishedCanonicalForms(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/jcs/input/*.json")
	if err != nil || len(files) != 6 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		read := func(name string) []byte {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		want := bytes.TrimSpace(read("testdata/jcs/output/" + name + ".json"))
		octets, err := hex.DecodeString(strings.Join(strings.Fields(string(read("testdata/jcs/outhex/"+name+".txt"))), ""))
		if err != nil || !bytes.Equal(octets, want) {
			t.Fatalf("%s: the vector contradicts itself (%v)", name, err)
		}
		got, err := Canonicalize(read(file))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %s, want %s (%v)", name, got, want, err)
		}
		if again, err := Canonicalize(got); err != nil || !bytes.Equal(again, got) {
			t.Errorf("%s: not a fixed point (%v)", name, err)
		}
	}
}

// The numbers of RFC 8785, appendix B: IEEE 754 bits and their form.
func TestPublishedNumbers(t *testing.T) {
	t.Parallel()
	for bits, want := range map[uint64]string{
		0x0000000000000000: "0",
		0x8000000000000000: "0",
		0x0000000000000001: "5e-324",
		0x8000000000000001: "-5e-324",
		0x7fefffffffffffff: "1.7976931348623157e+308",
		0xffefffffffffffff: "-1.7976931348623157e+308",
		0x4340000000000000: "9007199254740992",
		0xc340000000000000: "-9007199254740992",
		0x4430000000000000: "295147905179352830000",
		0x44b52d02c7e14af5: "9.999999999999997e+22",
		0x44b52d02c7e14af6: "1e+23",
		0x44b52d02c7e14af7: "1.0000000000000001e+23",
		0x444b1ae4d6e2ef4e: "999999999999999700000",
		0x444b1ae4d6e2ef4f: "999999999999999900000",
		0x444b1ae4d6e2ef50: "1e+21",
		0x3eb0c6f7a0b5ed8c: "9.999999999999997e-7",
		0x3eb0c6f7a0b5ed8d: "0.000001",
		0x41b3de4355555553: "333333333.3333332",
		0x41b3de4355555554: "333333333.33333325",
		0x41b3de4355555555: "333333333.3333333",
		0x41b3de4355555556: "333333333.3333334",
		0x41b3de4355555557: "333333333.33333343",
		0xbecbf647612f3696: "-0.0000033333333333333333",
		0x43143ff3c1cb0959: "1424953923781206.2",
	} {
		for _, spelling := range []byte{'e', 'f', 'g'} {
			in := strconv.FormatFloat(math.Float64frombits(bits), spelling, -1, 64)
			if got, err := Canonicalize([]byte(in)); err != nil || string(got) != want {
				t.Errorf("%016x as %s: %s, want %s (%v)", bits, in, got, want, err)
			}
		}
	}
	for _, in := range []string{"1e400", "-1e400", `{"a":[1.7976931348623157e+308,1e309]}`, "NaN", "Infinity"} {
		if got, err := Canonicalize([]byte(in)); CodeOf(err) != Invalid {
			t.Errorf("%s: %s (%v)", in, got, err)
		}
	}
}

// What I-JSON forbids has no canonical form.
func TestCanonicalizeRefuses(t *testing.T) {
	t.Parallel()
	for in, field := range map[string]string{
		`{"a":1,"a":2}`:            "a",
		`{"a":1,"\u0061":2}`:       "a",
		`{"x":{"b":1,"b":1}}`:      "x.b",
		`{"x":[0,{"b":1,"b":1}]}`:  "x.1.b",
		"{\"a\":\"\xff\"}":         "",
		"{\"a\":\"\xed\xa0\x80\"}": "", // a surrogate in UTF-8
		"{\"\xff\":1}":             "",
		`["\ud800"]`:               "",
		`["\ud800\ud800"]`:         "",
		`["\ude00\ud83d"]`:         "",
		`{"\udfff":1}`:             "",
		"":                         "",
		"{":                        "",
		"[1,]":                     "",
		"{} {}":                    "",
		"\ufeff{}":                 "",
		"\x00":                     "",
		"01":                       "",
	} {
		got, err := Canonicalize([]byte(in))
		if CodeOf(err) != Invalid || got != nil || field != "" && fieldOf(err) != field {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	in := []byte(`{"b":1, "a":2}`)
	got, err := Canonicalize(in)
	if err != nil || string(got) != `{"a":2,"b":1}` || string(in) != `{"b":1, "a":2}` {
		t.Errorf("%s of %s: %v", got, in, err)
	}
}

// values draws JSON values with texts from all planes.
func values() *rapid.Generator[any] {
	texts := rapid.StringOf(rapid.OneOf(
		rapid.RuneFrom([]rune("ab\"\\/\b\f\n\r\t\x00\x1f\x7f<>&")),
		rapid.RuneFrom([]rune{'é', '\u2028', 0xd7ff, 0xe000, 0xfb33, 0xffff, 0x10000, 0x1f602, 0x10ffff}),
	))
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		leaves := []*rapid.Generator[any]{
			texts.AsAny(), rapid.Int64Range(-maxSafe, maxSafe).AsAny(), rapid.Bool().AsAny(), rapid.Float64().AsAny(),
		}
		if depth > 0 {
			leaves = append(leaves, rapid.MapOfN(texts, rapid.Deferred(func() *rapid.Generator[any] { return value(depth - 1) }), 0, 4).AsAny(),
				rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return value(depth - 1) }), 0, 3).AsAny())
		}
		return rapid.OneOf(leaves...)
	}
	return value(3)
}

// names returns those of the outermost object, in the order of the text.
func names(t *rapid.T, object []byte) []string {
	dec := jsontext.NewDecoder(bytes.NewReader(object))
	var out []string
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return out
		}
		if dec.StackDepth() != 1 {
			continue
		}
		if kind, n := dec.StackIndex(1); kind == '{' && n%2 == 1 {
			out = append(out, token.String())
			if err := dec.SkipValue(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestCanonicalProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := values().Draw(t, "value")
		given, err := json.Marshal(v, jsontext.WithIndent(rapid.StringMatching(`[ \t]{0,2}`).Draw(t, "indent")))
		if err != nil {
			t.Skip(err)
		}
		once, err := Canonicalize(given)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Canonicalize(once); err != nil || !bytes.Equal(again, once) {
			t.Fatalf("%s becomes %s (%v)", once, again, err)
		}
		var got any
		if err := json.Unmarshal(once, &got); err != nil {
			t.Fatal(err)
		}
		back, err := Encode(got)
		if err != nil || !bytes.Equal(back, once) {
			t.Fatalf("%s becomes %s (%v)", once, back, err)
		}
		list := names(t, once)
		if object, ok := v.(map[string]any); ok && len(list) != len(object) {
			t.Fatalf("%d names of %d", len(list), len(object))
		}
		if !slices.IsSortedFunc(list, func(a, b string) int {
			return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		}) {
			t.Fatalf("%q isn't in the order of UTF-16 code units", list)
		}
		// The scanner agrees with the library about what is canonical, but for
		// numbers other than whole ones.
		err = scan(once, nil)
		if wholeNumbers(v) != (err == nil) {
			t.Fatalf("scan of %s: %v", once, err)
		}
		if err := scan(given, nil); err == nil && !bytes.Equal(given, once) {
			t.Fatalf("scan takes %s, which isn't canonical", given)
		}
	})
}

func wholeNumbers(v any) bool {
	switch v := v.(type) {
	case float64:
		return v == math.Trunc(v) && math.Abs(v) <= float64(maxSafe)
	case map[string]any:
		for _, e := range v {
			if !wholeNumbers(e) {
				return false
			}
		}
	case []any:
		return !slices.ContainsFunc(v, func(e any) bool { return !wholeNumbers(e) })
	}
	return true
}

// One byte more or less, anywhere, and the scanner still agrees with the library.
func TestScanAgrees(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := values().Draw(t, "value")
		b, err := Encode(v)
		if err != nil {
			t.Skip(err)
		}
		for range rapid.IntRange(1, 3).Draw(t, "edits") {
			at := rapid.IntRange(0, len(b)).Draw(t, "at")
			piece := []byte(rapid.SampledFrom([]string{
				`"`, `\`, `\u`, `\u0000`, `\u001f`, `\u007f`, `\ud83d\ude02`, `\n`, `\/`, ",", ":", "{", "}", "[", "]", " ", "0", "-", ".", "e1", "1",
				"\xff", "\xed\xa0\x80", "\xf0\x9f\x98\x82", "\xef\xac\xb3", "null", "true", "\x00", "\n", `"a":1,`, "\ufeff",
			}).Draw(t, "piece"))
			cut := rapid.IntRange(at, min(len(b), at+2)).Draw(t, "cut")
			b = slices.Concat(b[:at], piece, b[cut:])
		}
		accepted := scan(b, nil) == nil
		if accepted != referenceScan(b) {
			t.Fatalf("scan of %q: %v, the library says %v", b, accepted, referenceScan(b))
		}
	})
}

// referenceScan is what scan does with no shape, by the library's decoder.
func referenceScan(data []byte) bool {
	canonical := jsontext.Value(bytes.Clone(data))
	if err := canonical.Canonicalize(); err != nil || !bytes.Equal(canonical, data) {
		return false
	}
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return dec.InputOffset() == int64(len(data))
		}
		switch token.Kind() {
		case 'n':
			return false
		case '0':
			n, err := strconv.ParseInt(token.String(), 10, 64)
			if err != nil || n > maxSafe || n < -maxSafe {
				return false
			}
		}
		if dec.StackDepth() > MaxDepth {
			return false
		}
	}
}

// referenceDecode is [Decode] in the plain way: what isn't written again byte for
// byte is refused.
func referenceDecode(data []byte, v any, limit int) bool {
	if len(data) > limit || !referenceScan(data) || json.Unmarshal(data, v, json.RejectUnknownMembers(true)) != nil {
		return false
	}
	again, err := Encode(v)
	return err == nil && bytes.Equal(again, data)
}

func TestDecode(t *testing.T) {
	t.Parallel()
	type inner struct {
		N int  `json:"n"`
		Z Blob `json:"z,omitzero"`
	}
	type outer struct {
		A    int             `json:"a"`
		List []inner         `json:"list,omitzero"`
		Map  map[Name]inner  `json:"map,omitzero"`
		P    *inner          `json:"p,omitzero"`
		Raw  jsontext.Value  `json:"raw,omitzero"`
		H    Hash            `json:"h,omitzero"`
		B    bool            `json:"b,omitzero"`
		M    map[string]bool `json:"m,omitzero"`
	}
	for in, want := range map[string]string{ // to the field named, or ok
		`{"a":1}`:                               "ok",
		`{"a":1,"list":[{"n":1}]}`:              "ok",
		`{"a":1,"map":{"x":{"n":1}}}`:           "ok",
		`{"a":1,"m":{"":true}}`:                 "ok",
		`{"a":1,"m":{"\u0000":true}}`:           "ok",
		`{"a":1,"p":{"n":0}}`:                   "ok",
		`{"a":1,"raw":[{"x":"y"}]}`:             "ok",
		`{"a":-9007199254740991}`:               "ok",
		`{"a":9007199254740992}`:                "a",
		`{}`:                                    "a",
		`{"a":1,"list":[]}`:                     "list",
		`{"a":1,"list":[{}]}`:                   "list.0.n",
		`{"a":1,"list":[{"n":1},{"n":""}]}`:     "list.1.n",
		`{"a":1,"list":[{"n":1,"z":""}]}`:       "list.0.z",
		`{"a":1,"list":[{"n":1,"x":0}]}`:        "list.0.x",
		`{"a":1,"map":{}}`:                      "map",
		`{"a":1,"map":{"x":{}}}`:                "map.x.n",
		`{"a":1,"map":{"X":{"n":1}}}`:           "map.X",
		`{"a":1,"b":false}`:                     "b",
		`{"a":1,"h":"` + Hash{}.String() + `"}`: "h",
		`{"a":1,"p":null}`:                      "p",
		`{"a":1,"raw":[{"x":1.5}]}`:             "raw.0.x",
		`{"a":1,"raw":[{"x":null}]}`:            "raw.0.x",
		`{"a":1,"raw":[{"y":1,"x":1}]}`:         "raw.0.y",
		`{"m":{"x":true},"a":1}`:                "m",
		`{"a":1.0}`:                             "a",
		`[]`:                                    "",
		`"x"`:                                   "",
		`1`:                                     "",
		`{"a":1}x`:                              "",
	} {
		var v, ref outer
		err := Decode([]byte(in), &v, 1000)
		got := "ok"
		if err != nil {
			got = fieldOf(err)
		}
		if got != want {
			t.Errorf("%s: %q, want %q (%v)", in, got, want, err)
		}
		// The plain way takes an empty list where none is needed.
		empty := err != nil && strings.HasSuffix(err.Error(), "empty: leave it out")
		if accepted := referenceDecode([]byte(in), &ref, 1000); accepted != (err == nil) && !empty {
			t.Errorf("%s: %v, the plain way %v", in, err, accepted)
		}
	}
	var v outer
	if err := Decode([]byte(`{"a":1}`), &v, 6); fieldOf(err) != "" {
		t.Errorf("7 bytes with a limit of 6: %v", err)
	}
	deep := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	for n, ok := range map[int]bool{1: true, MaxDepth: true, MaxDepth + 1: false, 35: false, 10_000: false} {
		var raw jsontext.Value
		if err := Decode(deep(n), &raw, 1<<20); ok != (err == nil) {
			t.Errorf("%d deep: %v", n, err)
		}
	}
}

func TestEncodeNeverRounds(t *testing.T) {
	t.Parallel()
	for in, want := range map[uint64]string{
		1<<53 - 1: "9007199254740991", 1<<53 + 1: "9007199254740993", math.MaxUint64: "18446744073709551615",
	} {
		got, err := Encode(in)
		if err != nil || string(got) != want {
			t.Errorf("%d: %s (%v)", in, got, err)
		}
		var back uint64
		if err := Decode(got, &back, 100); (err == nil) != (in < 1<<53) {
			t.Errorf("%s read back: %v", got, err)
		}
	}
	if _, err := Encode(make(chan int)); err == nil {
		t.Error("a channel has a canonical form")
	}
}
