package journal

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/cofferhq/coffer/internal/hybrid"
)

func testKey(t *testing.T, b byte) hybrid.PrivateKey {
	t.Helper()
	seed := make([]byte, hybrid.SeedSize)
	seed[0], seed[32] = b, b
	k, err := hybrid.NewPrivateKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// withEd25519 is a key whose Ed25519 half is the one of a published vkey.
func withEd25519(t *testing.T, vkey string) (hybrid.PublicKey, byte) {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(vkey[strings.LastIndexByte(vkey, '+')+1:])
	if err != nil {
		t.Fatal(err)
	}
	k, err := hybrid.ParsePublicKey(append(b[1:], testKey(t, 1).Public().MLDSA44()...))
	if err != nil {
		t.Fatal(err)
	}
	return k, b[0]
}

// Key ids of verifier keys that others published: the example of C2SP signed-note (type
// 0x01), and one of transparency-dev/formats (type 0x04).
func TestPublishedKeyIDs(t *testing.T) {
	t.Parallel()
	for _, vkey := range []string{
		"example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
		"remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
	} {
		name, rest, _ := strings.Cut(vkey, "+")
		key, typ := withEd25519(t, vkey)
		k := newNoteKey(name, typ, key, "")
		if got := hex.EncodeToString(binary.BigEndian.AppendUint32(nil, k.id)); got != rest[:8] {
			t.Errorf("%s: key id %s", vkey, got)
		}
	}
}

// The signed note that C2SP signed-note gives as an example.
func TestPublishedNote(t *testing.T) {
	t.Parallel()
	msg := "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
	text, err := checkForm([]byte(msg))
	if err != nil || text != "This is an example message.\n" {
		t.Fatalf("%q: %v", text, err)
	}
	key, _ := withEd25519(t, "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
	line := strings.Fields(msg[strings.LastIndex(msg, "—"):])
	sig, err := base64.StdEncoding.DecodeString(line[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := key.VerifyHalf(hybrid.Ed25519, []byte(text), sig[4:]); err != nil {
		t.Error(err)
	}
}

// What cosigners sign, from the examples of C2SP tlog-checkpoint and tlog-cosignature.
// Their origin isn't one of ours, so only the bytes signed can be compared.
func TestPublishedCosignedMessage(t *testing.T) {
	t.Parallel()
	root, err := parseHash("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
	if err != nil {
		t.Fatal(err)
	}
	c := Checkpoint{"example.com/behind-the-sofa", 20852163, root}
	const text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
	if c.Text() != text {
		t.Errorf("%q", c.Text())
	}
	k := newNoteKey("witness.example.com/w1", typeEd25519Cosigner, testKey(t, 1).Public(), "w1")
	if got := string(k.message(c, 1679315147)); got != "cosignature/v1\ntime 1679315147\n"+text {
		t.Errorf("cosignature/v1: %q", got)
	}

	// cosigned_message of tlog-cosignature, field by field.
	k.typ = typeMLDSA44Cosigner
	want := "73756274726565" + "2f7631" + "0a" + "00" + // label
		"16" + hex.EncodeToString([]byte("witness.example.com/w1")) +
		"000000006418" + "50cb" + // timestamp, as in the example's signature line
		"1b" + hex.EncodeToString([]byte("example.com/behind-the-sofa")) +
		"0000000000000000" + // start
		"00000000013e2dc3" + // end
		"0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
	if got := hex.EncodeToString(k.message(c, 1679315147)); got != want {
		t.Errorf("subtree/v1:\n%s, not\n%s", got, want)
	}
}

// Our lines under the verifiers of x/mod and transparency-dev, which share no code with
// ours: the log's Ed25519 line, and a witness's Ed25519 cosignature.
func TestLinesUnderOtherVerifiers(t *testing.T) {
	t.Parallel()
	logKey, witness := testKey(t, 1), testKey(t, 2)
	c := Checkpoint{NewOrigin([32]byte{1}), 5, Hash{7}}
	msg, err := SignCheckpoint(c, logKey)
	if err != nil {
		t.Fatal(err)
	}
	const now = 1772355600
	lines, err := signLines(witnessKeys(c.Origin, "w1", witness.Public()), c, now, witness)
	if err != nil {
		t.Fatal(err)
	}
	msg = append(msg, lines...)
	vkey, err := note.NewEd25519VerifierKey(string(c.Origin), ed25519.PublicKey(logKey.Public().Ed25519()))
	if err != nil {
		t.Fatal(err)
	}
	byLog, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err = note.NewEd25519VerifierKey(string(c.Origin)+"/w1", ed25519.PublicKey(witness.Public().Ed25519()))
	if err != nil {
		t.Fatal(err)
	}
	byWitness, err := formats.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(msg, note.VerifierList(byLog, byWitness))
	if err != nil || len(n.Sigs) != 2 || len(n.UnverifiedSigs) != 2 {
		t.Fatalf("%+v: %v", n, err)
	}
	at, err := formats.CoSigV1Timestamp(n.Sigs[1])
	if err != nil || at.Unix() != now {
		t.Errorf("at %v: %v", at, err)
	}
}

// A log that states a time and a witness that states none are refused, though their
// signatures are right.
func TestTimestampZero(t *testing.T) {
	t.Parallel()
	logKey, witness := testKey(t, 1), testKey(t, 2)
	c := Checkpoint{NewOrigin([32]byte{1}), 5, Hash{7}}
	q, err := NewQuorum(c.Origin, logKey.Public(), Witnesses{Keys: map[WitnessID]hybrid.PublicKey{"w1": witness.Public()}, Quorum: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []struct {
		log, witness int64
		ok           bool
	}{{0, 1, true}, {1, 1, false}, {0, 0, false}, {0, maxTime, true}, {0, maxTime + 1, false}, {0, -1, false}} {
		byLog, err := signLines(logKeys(c.Origin, logKey.Public()), c, at.log, logKey)
		if err != nil {
			t.Fatal(err)
		}
		byWitness, err := signLines(witnessKeys(c.Origin, "w1", witness.Public()), c, at.witness, witness)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.Check([]byte(c.Text() + "\n" + string(byLog) + string(byWitness))); (err == nil) != at.ok {
			t.Errorf("times %d and %d: %v", at.log, at.witness, err)
		}
	}
}
