package custody

import (
	"bytes"
	"slices"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// What is accepted is written again byte for byte, and everything else is
// refused with code Invalid; nothing panics.

func FuzzParseIntent(f *testing.F) {
	for _, raw := range rawIntents(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		in, err := ParseIntent(bytes.Clone(raw))
		plain := referenceIntent(raw)
		if err != nil {
			if CodeOf(err) != Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		if !plain {
			t.Fatalf("accepted, though the plain way refuses it")
		}
		again, err := NewIntent(*in)
		if err != nil || !bytes.Equal(again.Raw, raw) || !bytes.Equal(in.Raw, raw) {
			t.Fatalf("written again as %s (%v)", again.Raw, err)
		}
	})
}

// referenceIntent reads an intent in the plain way.
func referenceIntent(raw []byte) bool {
	var e envelope
	if !referenceDecode(raw, &e, MaxIntent) {
		return false
	}
	return referenceDecode(e.Body, bodies[e.Type](), MaxIntent)
}

func FuzzParseEntry(f *testing.F) {
	for _, raw := range rawEntries(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := ParseEntry(bytes.Clone(raw))
		var plain entryEnvelope
		if err != nil {
			if CodeOf(err) != Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		if !referenceDecode(raw, &plain, MaxEntry) || !referenceDecode(plain.Body, entryBodies[plain.Type](), MaxEntry) {
			t.Fatalf("accepted, though the plain way refuses it")
		}
		again, err := NewEntry(*e)
		if err != nil || !bytes.Equal(again.Raw, raw) || !bytes.Equal(e.Raw, raw) {
			t.Fatalf("written again as %s (%v)", again.Raw, err)
		}
	})
}

// A charter is too long to be found by chance: pieces of a valid one are replaced.
func FuzzParseCharter(f *testing.F) {
	valid := rawCharter(f)
	f.Add(uint(0), uint(0), []byte(nil))
	f.Add(uint(1), uint(0), []byte(`"a":1,`))
	for _, name := range []string{`"credentials"`, `"quorum":3`, `"lei"`, `"threshold":2`, `"origins"`, `"policy"`} {
		f.Add(uint(bytes.Index(valid, []byte(name))), uint(len(name)), []byte(name))
	}
	f.Fuzz(func(t *testing.T, at, cut uint, piece []byte) {
		at = min(at, uint(len(valid)))
		raw := slices.Concat(valid[:at], piece, valid[at+min(cut, uint(len(valid))-at):])
		c, err := ParseCharter(bytes.Clone(raw))
		if err != nil {
			if CodeOf(err) != Invalid {
				t.Fatalf("%v", err)
			}
			return
		}
		if !referenceDecode(raw, new(Charter), MaxEntry) {
			t.Fatalf("accepted, though the plain way refuses it")
		}
		again, err := Encode(c)
		if err != nil || !bytes.Equal(again, raw) || !bytes.Equal(c.Raw, raw) {
			t.Fatalf("written again as %s (%v)", again, err)
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add(exampleHeader, exampleClaims, []byte("signature"))
	f.Add(`{}`, `{"sub":"a\u0040b"}`, []byte{1})
	f.Fuzz(func(t *testing.T, header, claims string, signature []byte) {
		for _, text := range []string{string(token(header, claims)), header + "." + claims + "." + string(signature), string(signature)} {
			var tok Token
			if err := tok.UnmarshalText([]byte(text)); err != nil {
				if CodeOf(err) != Invalid {
					t.Fatalf("%v", err)
				}
				continue
			}
			if string(tok) != text || len(tok) > 8<<10 || bytes.ContainsAny([]byte(tok), " @\r\n\"") {
				t.Fatalf("%q from %q", tok, text)
			}
		}
	})
}

func FuzzCanonicalize(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.50,-0,1e3],"\u0061b":"\ud83d\ude02"}`, `"\u2028"`, `[]`, `{"":{}}`, "1e-400", "1e400"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		once, err := Canonicalize(data)
		if err != nil {
			if CodeOf(err) != Invalid {
				t.Fatalf("%v", err)
			}
		} else if again, err := Canonicalize(once); err != nil || !bytes.Equal(again, once) || len(once) == 0 {
			t.Fatalf("%q becomes %q (%v)", once, again, err)
		}
		if got, want := scan(data, nil) == nil, referenceScan(data); got != want {
			t.Fatalf("scan says %v, the library %v", got, want)
		}
		var v jsontext.Value
		if err := Decode(data, &v, MaxEntry); err == nil && !bytes.Equal(v, data) {
			t.Fatalf("%q read as %q", data, v)
		}
	})
}
