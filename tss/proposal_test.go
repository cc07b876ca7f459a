package tss_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/tsstest"
)

const now = 1_800_000_000

func owner(b byte) tss.IdentityKey { return tss.IdentityKey{b} }

// parties gives each id, ascending from 1, to the owner of its letter.
func parties(owners string) tss.Parties {
	var ps tss.Parties
	for i, o := range owners {
		ps = append(ps, tss.Party{ID: uint16(i + 1), Owner: owner(byte(o))})
	}
	return ps
}

// Attacks A1, A2, A65, A70 and FAULTS C5: shapes of a sharing that are refused.
func TestPartiesValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		ps           tss.Parties
		threshold    int
		noLoss, want bool // valid
	}{
		{"2 of 3", parties("abc"), 2, false, true},
		{"3 of 3 loses the key with one member", parties("abc"), 3, false, false},
		{"3 of 3 where allowed", parties("abc"), 3, true, true},
		{"1 of 3", parties("abc"), 1, true, false},
		{"0 of 3", parties("abc"), 0, true, false},
		{"-1 of 3", parties("abc"), -1, true, false},
		{"4 of 3", parties("abc"), 4, true, false},
		{"2 of 1", parties("a"), 2, true, false},
		{"no ids", nil, 2, true, false},
		{"16 of 16", parties("abcdefghijklmnop"), 16, true, true},
		{"3 of 4, one member with two", parties("abca"), 3, true, true},
		{"3 of 4, one member with two, no loss tolerance", parties("abca"), 3, false, false},
		{"2 of 4, one member with two: it signs alone", parties("abca"), 2, true, false},
		{"3 of 5, one member with three", parties("abcaa"), 3, true, false},
		{"id 0", tss.Parties{{ID: 0, Owner: owner('a')}, {ID: 1, Owner: owner('b')}}, 2, true, false},
		{"id twice", tss.Parties{{ID: 1, Owner: owner('a')}, {ID: 1, Owner: owner('b')}}, 2, true, false},
		{"id twice, same owner", tss.Parties{{ID: 1, Owner: owner('a')}, {ID: 1, Owner: owner('a')}, {ID: 2, Owner: owner('b')}}, 2, true, false},
		{"ids descending", tss.Parties{{ID: 2, Owner: owner('a')}, {ID: 1, Owner: owner('b')}}, 2, true, false},
		{"an owner of order 1", tss.Parties{{ID: 1, Owner: owner(1)}, {ID: 2, Owner: owner('b')}}, 2, true, false},
		{"an owner of order 4", tss.Parties{{ID: 1, Owner: owner('a')}, {ID: 2, Owner: owner(0)}}, 2, true, false},
		{"an owner of order 8", tss.Parties{{ID: 1, Owner: owner('a')}, {ID: 2, Owner: tss.IdentityKey{
			0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
			0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x85,
		}}}, 2, true, false},
		{"256 ids", parties(strings.Repeat("ab", 128)), 200, true, false},
	} {
		if err := c.ps.Validate(c.threshold, c.noLoss); (err == nil) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func keygen() *tss.Proposal {
	return &tss.Proposal{
		Protocol: tss.ProtocolDKG, Suite: tss.SuiteBIP340, Target: 1, Threshold: 2, Parties: parties("abc"),
		Attempt: 1, Expiry: now + 60, Initiator: 1,
	}
}

func signing() *tss.Proposal {
	return &tss.Proposal{
		Protocol: tss.ProtocolFROST, Suite: tss.SuiteEd25519, KeyID: hash.Sum("k"), Epoch: 1, Source: hash.Sum("t"),
		Threshold: 2, Parties: parties("abc"), Signers: []uint16{1, 3}, Expiry: now + 60, Initiator: 9,
	}
}

// Attack A65: every field that a proposal can get wrong.
func TestProposalValidate(t *testing.T) {
	t.Parallel()
	for _, p := range []*tss.Proposal{keygen(), signing()} {
		if err := p.Validate(now, false); err != nil {
			t.Errorf("a good proposal: %v", err)
		}
	}
	expired := []func(*tss.Proposal){
		func(p *tss.Proposal) { p.Expiry = now },
		func(p *tss.Proposal) { p.Expiry = now - 1 },
		func(p *tss.Proposal) { p.Expiry = now + tss.MaxExpiry + 1 },
		func(p *tss.Proposal) { p.Expiry = 0 },
	}
	for i, alter := range expired {
		p := signing()
		alter(p)
		if err := p.Validate(now, false); !errors.Is(err, tss.ErrExpired) {
			t.Errorf("expiry %d: %v", i, err)
		}
	}
	for name, alter := range map[string]func(*tss.Proposal){
		"unknown suite":      func(p *tss.Proposal) { p.Suite = 9 },
		"ECDSA":              func(p *tss.Proposal) { p.Suite = 1 },
		"unknown protocol":   func(p *tss.Proposal) { p.Protocol = 7 },
		"no protocol":        func(p *tss.Proposal) { p.Protocol = 0 },
		"threshold 1":        func(p *tss.Proposal) { p.Threshold = 1 },
		"threshold above n":  func(p *tss.Proposal) { p.Threshold = 4 },
		"n of n":             func(p *tss.Proposal) { p.Threshold = 3; p.Signers = []uint16{1, 2, 3} },
		"no key":             func(p *tss.Proposal) { p.KeyID = hash.Digest{} },
		"no source":          func(p *tss.Proposal) { p.Source = hash.Digest{} },
		"epoch 0":            func(p *tss.Proposal) { p.Epoch = 0 },
		"a target":           func(p *tss.Proposal) { p.Target = 2 },
		"an attempt":         func(p *tss.Proposal) { p.Attempt = 1 },
		"no signers":         func(p *tss.Proposal) { p.Signers = nil },
		"too few signers":    func(p *tss.Proposal) { p.Signers = []uint16{1} },
		"a signer twice":     func(p *tss.Proposal) { p.Signers = []uint16{1, 1} },
		"signers descending": func(p *tss.Proposal) { p.Signers = []uint16{3, 1} },
		"a foreign signer":   func(p *tss.Proposal) { p.Signers = []uint16{1, 4} },
		"signer 0":           func(p *tss.Proposal) { p.Signers = []uint16{0, 1} },
		"an id twice":        func(p *tss.Proposal) { p.Parties = append(parties("ab"), tss.Party{ID: 2, Owner: owner('c')}) },
	} {
		p := signing()
		alter(p)
		if err := p.Validate(now, false); !errors.Is(err, tss.ErrProposal) {
			t.Errorf("signing with %s: %v", name, err)
		}
	}
	for name, alter := range map[string]func(*tss.Proposal){
		"a key":     func(p *tss.Proposal) { p.KeyID = hash.Sum("k") },
		"a source":  func(p *tss.Proposal) { p.Source = hash.Sum("k") },
		"epoch 1":   func(p *tss.Proposal) { p.Epoch = 1 },
		"target 2":  func(p *tss.Proposal) { p.Target = 2 },
		"attempt 2": func(p *tss.Proposal) { p.Attempt = 2 },
		"a request": func(p *tss.Proposal) { p.Request = hash.Sum("r") },
		"signers":   func(p *tss.Proposal) { p.Signers = []uint16{1, 2} },
	} {
		p := keygen()
		alter(p)
		if err := p.Validate(now, false); !errors.Is(err, tss.ErrProposal) {
			t.Errorf("key generation with %s: %v", name, err)
		}
	}
}

func TestProposalEncoding(t *testing.T) {
	t.Parallel()
	for _, p := range []*tss.Proposal{keygen(), signing()} {
		b := p.Bytes()
		back, err := tss.DecodeProposal(b)
		if err != nil || !bytes.Equal(back.Bytes(), b) || back.Hash() != p.Hash() {
			t.Fatalf("round trip: %v", err)
		}
		// Attack A55: every byte of it counts, in the decoded form or by refusal.
		for i := range b {
			c := slices.Clone(b)
			c[i] ^= 1
			if back, err := tss.DecodeProposal(c); err == nil && back.Hash() == p.Hash() {
				t.Errorf("byte %d of %d doesn't count", i, len(b))
			}
		}
		for i := range b {
			if _, err := tss.DecodeProposal(b[:i]); err == nil {
				t.Errorf("%d of %d bytes decode", i, len(b))
			}
		}
		if _, err := tss.DecodeProposal(append(b, 0)); err == nil {
			t.Error("a byte left over decodes")
		}
	}
	// Held fast: the wire format changes with the version alone.
	sum := keygen().Hash()
	if got, want := hex.EncodeToString(sum[:]), "4ee4616019c6b66be1fd5eace30541a202caa9261179a99481d803f93893ce3d"; got != want {
		t.Errorf("hash of the proposal is %s", got)
	}
}

func FuzzDecodeProposal(f *testing.F) {
	f.Add(keygen().Bytes())
	f.Add(signing().Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := tss.DecodeProposal(b)
		if err == nil && !bytes.Equal(p.Bytes(), b) {
			t.Errorf("%x isn't canonical", b)
		}
		if err == nil {
			_ = p.Validate(now, true)
		}
	})
}

// Attack A66: another version is refused before anything else is read.
func TestOtherVersion(t *testing.T) {
	t.Parallel()
	b := keygen().Bytes()
	b[1] = 2
	if _, err := tss.DecodeProposal(b); !errors.Is(err, tss.ErrProposal) || !strings.Contains(err.Error(), "version") {
		t.Errorf("error is %v", err)
	}
}

func TestStatementEncoding(t *testing.T) {
	t.Parallel()
	st := tss.Statement{Kind: tss.StatementYes, KeyID: hash.Sum("k"), Target: 1, Attempt: 1, T: hash.Sum("t"), Member: 3}
	st.Signature[5] = 7
	b := st.Bytes()
	if back, err := tss.DecodeStatement(b); len(b) != tss.StatementSize || err != nil || back != st {
		t.Errorf("round trip: %v", err)
	}
	for _, bad := range [][]byte{nil, b[:len(b)-1], append(slices.Clone(b), 0)} {
		if _, err := tss.DecodeStatement(bad); err == nil {
			t.Errorf("%d bytes decode", len(bad))
		}
	}
}

// Attack A81: a signature under one tag verifies under no other.
func TestIdentityTags(t *testing.T) {
	t.Parallel()
	id, err := tss.NewIdentity(tsstest.Reader(1, "id", 0))
	if err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 200)
	env, err := id.SignEnvelope(message)
	if err != nil {
		t.Fatal(err)
	}
	req := id.SignRequest(message)
	k := id.Public()
	if !k.VerifyEnvelope(message, env) || !k.VerifyRequest(message, req) {
		t.Error("own signature refused")
	}
	if k.VerifyEnvelope(message, req) || k.VerifyRequest(message, env) {
		t.Error("a signature verifies under another tag")
	}
	var st tss.Statement
	st.Kind = tss.StatementYes
	for _, sig := range [][]byte{env, req} {
		copy(st.Signature[:], sig)
		if st.Verify(k) {
			t.Error("a statement verifies with another tag's signature")
		}
	}
	if _, err := id.SignEnvelope(message[:125]); err == nil {
		t.Error("an envelope without a header is signed")
	}
	if k.VerifyEnvelope(message[:125], env) || k.VerifyEnvelope(message, env[:63]) {
		t.Error("short input verifies")
	}
}

func TestIdentityDoesntPrint(t *testing.T) {
	t.Parallel()
	seed := bytes.Repeat([]byte{0xab}, 32)
	id, err := tss.IdentityFromSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	assertRedacted(t, id, "abababab", "171 171")
	if _, err := tss.IdentityFromSeed(seed[1:]); err == nil {
		t.Error("a short seed is taken")
	}
}
