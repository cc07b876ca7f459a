package journal_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
)

const originText = "coffer/c0ff000000000000000000000000000000000000000000000000000000000000"

func TestOrigin(t *testing.T) {
	t.Parallel()
	o := journal.NewOrigin([32]byte{0xc0, 0xff})
	if o != originText {
		t.Errorf("%s", o)
	}
	if got, err := journal.ParseOrigin(originText); err != nil || got != o {
		t.Errorf("%s: %v", got, err)
	}
	for _, bad := range []string{
		"", "coffer/", originText[7:], originText + "0", originText[:70], strings.ToUpper(originText),
		"coffer/C" + originText[8:], "coffer/x" + originText[8:], " " + originText, originText + "/w1", "coffer//" + originText[8:],
	} {
		if _, err := journal.ParseOrigin(bad); !errors.Is(err, journal.ErrOrigin) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestCheckpointText(t *testing.T) {
	t.Parallel()
	root := leafOf(0).String()
	good := originText + "\n7\n" + root + "\n"
	c, err := journal.ParseCheckpoint(good)
	if err != nil || c.Text() != good || c.Size != 7 || c.Root != leafOf(0) {
		t.Fatalf("%+v: %v", c, err)
	}
	empty := journal.Checkpoint{Origin: c.Origin, Root: journal.EmptyRoot()}
	if got, err := journal.ParseCheckpoint(empty.Text()); err != nil || got != empty {
		t.Errorf("the empty journal: %v", err)
	}
	for name, bad := range map[string]string{
		"empty":                    "",
		"no last newline":          good[:len(good)-1],
		"extension line":           good + "extension\n",
		"empty extension line":     good + "\n",
		"leading line":             "\n" + good,
		"origin alone":             originText + "\n",
		"another kind of origin":   "example.com/log\n7\n" + root + "\n",
		"size with zero":           strings.Replace(good, "\n7", "\n07", 1),
		"size with plus":           strings.Replace(good, "\n7", "\n+7", 1),
		"size with space":          strings.Replace(good, "\n7", "\n 7", 1),
		"size with carriage":       strings.Replace(good, "\n7", "\n7\r", 1),
		"negative size":            strings.Replace(good, "\n7", "\n-7", 1),
		"hexadecimal size":         strings.Replace(good, "\n7", "\n0x7", 1),
		"size with underscore":     strings.Replace(good, "\n7", "\n1_0", 1),
		"size above the bound":     strings.Replace(good, "\n7", "\n9007199254740992", 1),
		"size beyond 64 bits":      strings.Replace(good, "\n7", "\n18446744073709551623", 1),
		"root too short":           strings.Replace(good, root, root[4:], 1),
		"root too long":            strings.Replace(good, root, "AAAA"+root, 1),
		"root without padding":     strings.Replace(good, "=", "", 1),
		"root with trailing bits":  strings.Replace(good, root, root[:42]+string(root[42]+1)+"=", 1),
		"empty with another root":  strings.Replace(good, "\n7", "\n0", 1),
		"root in the URL alphabet": originText + "\n7\n" + strings.Repeat("_", 42) + "8=\n",
	} {
		if _, err := journal.ParseCheckpoint(bad); !errors.Is(err, journal.ErrCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Both of the log's signatures are needed, and what is missing or wrong is named.
func TestOpenCheckpoint(t *testing.T) {
	t.Parallel()
	d := deploy(t, 1, 1, 0)
	_, tree := log(t, 5, 5, "")
	note := d.sign(tree, 5)
	c, err := journal.OpenCheckpoint(note, d.origin, d.log.Public())
	if err != nil || c != d.checkpoint(tree, 5) {
		t.Fatalf("%+v: %v", c, err)
	}
	if again := d.sign(tree, 5); !bytes.Equal(note, again) {
		t.Error("signing isn't deterministic")
	}
	text, sigs := lines(note)
	if len(sigs) != 2 {
		t.Fatalf("%d lines", len(sigs))
	}
	otherKey, err := journal.SignCheckpoint(c, key(t, 101))
	if err != nil {
		t.Fatal(err)
	}
	_, foreign := lines(otherKey)
	_, smaller := lines(d.sign(tree, 4))
	cosigned := string(d.cosign("w1", tree, 0, 5))

	for name, good := range map[string]string{
		"lines swapped":                 text + sigs[1] + sigs[0],
		"a line twice":                  text + sigs[0] + sigs[1] + sigs[0],
		"unknown lines":                 text + foreign[0] + sigs[0] + cosigned + sigs[1],
		"a wrong repeat of a key":       text + sigs[0] + sigs[1] + smaller[1],
		"as many lines as there may be": text + sigs[0] + sigs[1] + strings.Repeat(foreign[0], journal.MaxSignatures-2),
	} {
		if got, err := journal.OpenCheckpoint([]byte(good), d.origin, d.log.Public()); err != nil || got != c {
			t.Errorf("%s: %v", name, err)
		}
	}

	for name, bad := range map[string]struct {
		note    string
		half    hybrid.Half
		missing bool
	}{
		"Ed25519 stripped":              {text + sigs[1], hybrid.Ed25519, true},
		"ML-DSA-44 stripped":            {text + sigs[0], hybrid.MLDSA44, true},
		"Ed25519 of another key":        {text + foreign[0] + sigs[1], hybrid.Ed25519, true},
		"ML-DSA-44 of another key":      {text + sigs[0] + foreign[1], hybrid.MLDSA44, true},
		"both of another key":           {string(otherKey), hybrid.Ed25519, true},
		"a witness in the log's place":  {text + cosigned, hybrid.Ed25519, true},
		"Ed25519 of another head":       {text + smaller[0] + sigs[1], hybrid.Ed25519, false},
		"ML-DSA-44 of another head":     {text + sigs[0] + smaller[1], hybrid.MLDSA44, false},
		"first of two lines of one key": {text + smaller[0] + sigs[0] + sigs[1], hybrid.Ed25519, false},
	} {
		_, err := journal.OpenCheckpoint([]byte(bad.note), d.origin, d.log.Public())
		e, ok := as[*journal.SignatureError](err)
		if !ok || e.Half != bad.half || e.Missing != bad.missing || e.Signer != originText || !strings.Contains(err.Error(), bad.half.String()) {
			t.Errorf("%s: %v", name, err)
		}
	}

	for name, bad := range map[string]string{
		"empty":             "",
		"text alone":        strings.TrimSuffix(text, "\n"),
		"no signatures":     text,
		"no empty line":     strings.Replace(string(note), "\n\n", "\n", 1),
		"no last newline":   strings.TrimSuffix(string(note), "\n"),
		"a carriage return": strings.Replace(string(note), "=\n\n", "=\r\n\n", 1),
		"invalid UTF-8":     text + "— \xff " + sigs[0][len("— "+originText+" "):] + sigs[0] + sigs[1],
		"hyphen, not dash":  text + "-" + sigs[0][3:] + sigs[1],
		"not base64":        text + "— x !!!!\n" + sigs[0] + sigs[1],
		"base64 with bits":  text + "— x AAAAAAB=\n" + sigs[0] + sigs[1],
		"too many lines":    text + sigs[0] + sigs[1] + strings.Repeat(foreign[0], journal.MaxSignatures-1),
		"too long":          text + sigs[0] + sigs[1] + "— x " + strings.Repeat("AAAA", journal.MaxNote/4) + "\n",
	} {
		if _, err := journal.OpenCheckpoint([]byte(bad), d.origin, d.log.Public()); !errors.Is(err, journal.ErrNote) && !errors.Is(err, journal.ErrCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := journal.OpenCheckpoint(note, journal.NewOrigin([32]byte{1}), d.log.Public()); !errors.Is(err, journal.ErrOrigin) {
		t.Errorf("another origin: %v", err)
	}
	if _, err := journal.OpenCheckpoint(note, d.origin, hybrid.PublicKey{}); err == nil {
		t.Error("a note under no key")
	}
	if _, err := journal.SignCheckpoint(journal.Checkpoint{}, d.log); !errors.Is(err, journal.ErrCheckpoint) {
		t.Errorf("signed nothing: %v", err)
	}
	if _, err := journal.SignCheckpoint(c, hybrid.PrivateKey{}); !errors.Is(err, hybrid.ErrKey) {
		t.Errorf("signed with no key: %v", err)
	}
}

func FuzzCheckpointNote(f *testing.F) {
	d := deploy(f, 3, 2, 0)
	_, tree := log(f, 5, 5, "")
	note := d.sign(tree, 5)
	whole := d.add(note, d.cosign("w1", tree, 0, 5), d.cosign("w2", tree, 0, 5))
	f.Add(note)
	f.Add(whole)
	f.Add([]byte(originText + "\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— x AAAAAAA=\n"))
	head := d.checkpoint(tree, 5)
	f.Fuzz(func(t *testing.T, b []byte) {
		text, _, _ := bytes.Cut(b, []byte("\n\n"))
		if c, err := journal.ParseCheckpoint(string(text) + "\n"); err == nil && c.Text() != string(text)+"\n" {
			t.Errorf("%q is accepted and isn't what is written", text)
		}
		// Nothing but the heads that were signed can come out.
		if c, err := journal.OpenCheckpoint(b, d.origin, d.log.Public()); err == nil && c != head {
			t.Errorf("%q: a head that the log didn't sign", b)
		}
		if h, err := d.quorum.Check(b); err == nil && (h.Checkpoint != head || len(h.Cosignatures) != 2) {
			t.Errorf("%q: a head that no quorum signed", b)
		}
	})
}

func FuzzCosignatureLine(f *testing.F) {
	d := deploy(f, 3, 2, 0)
	_, tree := log(f, 5, 5, "")
	note, cosigned := d.sign(tree, 5), d.cosign("w1", tree, 0, 5)
	f.Add(cosigned)
	f.Add(cosigned[:len(cosigned)/2])
	f.Add([]byte("— x AAAAAAA=\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := d.quorum.Add(note, b)
		if err != nil {
			return
		}
		_, added := lines(got)
		_, want := lines(slices.Concat(note, cosigned))
		slices.Sort(added)
		slices.Sort(want)
		if !slices.Equal(added, want) {
			t.Errorf("%q: lines that no witness signed", b)
		}
	})
}
