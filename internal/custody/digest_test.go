package custody

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
)

// sum hashes parts joined, and is all that the tests of this file know of hashes.
func sum(parts ...string) Hash { return sha256.Sum256([]byte(strings.Join(parts, ""))) }

func TestDigests(t *testing.T) {
	t.Parallel()
	charter, other := hashOf(1), hashOf(2)
	for name, raw := range rawIntents(t) {
		in, err := ParseIntent(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := in.Digest(charter); got != sum("coffer/intent/v1", "\x00", string(charter[:]), string(raw)) {
			t.Errorf("%s: digest %s", name, got)
		}
		if in.Digest(charter) == in.Digest(other) {
			t.Errorf("%s: the digest doesn't bind the charter", name)
		}
	}
	for verdict, code := range map[Verdict]string{Submit: "\x01", Yes: "\x02", No: "\x03"} {
		got, err := ApprovalHash(hashOf(5), verdict)
		if err != nil || got != sum("coffer/approval/v1", "\x00", string(filler(32, 5)), code) {
			t.Errorf("%s: %s (%v)", verdict, got, err)
		}
	}
	for _, v := range []Verdict{"", "yes", "MAYBE"} {
		if _, err := ApprovalHash(hashOf(5), v); CodeOf(err) != Invalid || fieldOf(err) != "verdict" {
			t.Errorf("verdict %q: %v", v, err)
		}
	}
	c, err := ParseCharter(rawCharter(t))
	if err != nil {
		t.Fatal(err)
	}
	if c.Hash() != sum("coffer/charter/v1", "\x00", string(rawCharter(t))) {
		t.Errorf("charter hash %s", c.Hash())
	}
	if got := CharterSignatureHash(charter); got != sum("coffer/charter-signature/v1", "\x00", string(charter[:])) {
		t.Errorf("charter signature %s", got)
	}
	if got := AttestationHash(charter, []byte("{}")); got != sum("coffer/attestation/v1", "\x00", string(charter[:]), "{}") {
		t.Errorf("attestation %s", got)
	}
	intent, key := id[Intent](100), exampleKey()
	raw, err := Encode(key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := KeyHash(charter, intent, key); err != nil || got != sum("coffer/key/v1", "\x00", string(charter[:]), string(intent[:]), string(raw)) {
		t.Errorf("key %s (%v)", got, err)
	}
	if got := ReceiptHash(charter, hashOf(3), []Hash{hashOf(4), hashOf(5)}); got != sum("coffer/receipt/v1", "\x00", string(charter[:]), string(filler(32, 3)), string(filler(32, 4)), string(filler(32, 5))) {
		t.Errorf("receipt %s", got)
	}
	if got := ReceiptHash(charter, hashOf(3), nil); got != sum("coffer/receipt/v1", "\x00", string(charter[:]), string(filler(32, 3))) {
		t.Errorf("receipt of nothing %s", got)
	}
}

// The bytes that are hashed for different things never begin alike: every tag is
// followed by a zero byte, which is in none, and no tag is there twice.
func TestTagsAreDistinct(t *testing.T) {
	t.Parallel()
	tags := []string{
		"coffer/intent/v1", "coffer/approval/v1", "coffer/charter/v1", "coffer/charter-signature/v1",
		"coffer/attestation/v1", "coffer/key/v1", "coffer/receipt/v1",
		"coffer/hybrid/v1", // of package hybrid, around each of these
	}
	for i, a := range tags {
		if bytes.ContainsRune([]byte(a), 0) {
			t.Errorf("%q holds a zero byte", a)
		}
		for j, b := range tags {
			if i != j && strings.HasPrefix(b+"\x00", a+"\x00") {
				t.Errorf("%q begins like %q", b, a)
			}
		}
	}
	// One input for all of them: none of the hashes is another's.
	h := hashOf(1)
	seen := []Hash{
		(&Intent{Raw: h[:]}).Digest(h), CharterSignatureHash(h), (&Charter{Raw: h[:]}).Hash(), AttestationHash(h, h[:]),
		ReceiptHash(h, h, nil), ReceiptHash(h, h, []Hash{h}),
	}
	for _, v := range []Verdict{Submit, Yes, No} {
		a, err := ApprovalHash(h, v)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, a)
	}
	slices.SortFunc(seen, func(a, b Hash) int { return bytes.Compare(a[:], b[:]) })
	if len(slices.Compact(seen)) != 9 {
		t.Error("two purposes share a hash")
	}
}

// TestC38DigestBindsEveryField: whatever changes in an intent, its digest does,
// and with it the hash of every verdict.
func TestC38DigestBindsEveryField(t *testing.T) {
	t.Parallel()
	charter := hashOf(1)
	changed := 0
	for name, raw := range rawIntents(t) {
		in, err := ParseIntent(raw)
		if err != nil {
			t.Fatal(err)
		}
		digest := in.Digest(charter)
		for i := range raw {
			edited := bytes.Clone(raw)
			edited[i] ^= 1
			other, err := ParseIntent(edited)
			if err != nil {
				continue // not an intent any more
			}
			changed++
			if other.Digest(charter) == digest {
				t.Errorf("%s: byte %d can change under one digest", name, i)
			}
			for _, v := range []Verdict{Submit, Yes, No} {
				a, err := ApprovalHash(digest, v)
				b, err2 := ApprovalHash(other.Digest(charter), v)
				if err != nil || err2 != nil || a == b {
					t.Errorf("%s: byte %d: %s holds for both", name, i, v)
				}
			}
		}
	}
	if changed < 1000 {
		t.Errorf("only %d edits gave another intent", changed)
	}
}
