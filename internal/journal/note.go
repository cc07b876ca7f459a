package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/cofferhq/coffer/internal/hybrid"
)

// Bounds of a note that is read. The log and MaxWitnesses witnesses make 66 lines and less
// than half of the bytes.
const (
	MaxNote       = 256 << 10 // bytes
	MaxSignatures = 96        // lines
)

// maxTime is the last second of the year 9999, the largest timestamp that has an RFC 3339
// form.
const maxTime = 253402300799

// ErrNote is the error of bytes that aren't a signed note within the bounds.
var ErrNote = errors.New("journal: note is malformed")

// SignatureError says whose signature, and which half of it, a note lacks or has wrong.
type SignatureError struct {
	Signer  string // key name: the origin for the log
	Half    hybrid.Half
	Missing bool // no such line; otherwise it doesn't verify
}

// Error names the signer and the half.
func (e *SignatureError) Error() string {
	if e.Missing {
		return fmt.Sprintf("journal: the %s signature of %s is missing", e.Half, e.Signer)
	}
	return fmt.Sprintf("journal: the %s signature of %s doesn't verify", e.Half, e.Signer)
}

// Signature types of C2SP signed-note.
const (
	typeEd25519         = 0x01 // over the note text
	typeEd25519Cosigner = 0x04 // timestamp, and over cosignature/v1
	typeMLDSA44Cosigner = 0x06 // timestamp, and over subtree/v1
)

// noteKey is one half of a signer under its key name: one line of a note. It is a
// note.Verifier.
type noteKey struct {
	name    string
	typ     byte
	id      uint32
	key     hybrid.PublicKey
	witness WitnessID // empty for the log, whose timestamp is zero
}

// logKeys are the log's two lines. The name is the origin, as tlog-checkpoint recommends.
func logKeys(origin Origin, log hybrid.PublicKey) []noteKey {
	return []noteKey{
		newNoteKey(string(origin), typeEd25519, log, ""),
		newNoteKey(string(origin), typeMLDSA44Cosigner, log, ""),
	}
}

// witnessKeys are a witness's two lines. The name is the origin, a slash and its id.
func witnessKeys(origin Origin, id WitnessID, key hybrid.PublicKey) []noteKey {
	name := string(origin) + "/" + string(id)
	return []noteKey{
		newNoteKey(name, typeEd25519Cosigner, key, id),
		newNoteKey(name, typeMLDSA44Cosigner, key, id),
	}
}

// newNoteKey computes the key id: SHA-256(name || "\n" || type || public key)[:4].
func newNoteKey(name string, typ byte, key hybrid.PublicKey, witness WitnessID) noteKey {
	k := noteKey{name: name, typ: typ, key: key, witness: witness}
	b := append([]byte(name), '\n', typ)
	if k.half() == hybrid.Ed25519 {
		b = append(b, key.Ed25519()...)
	} else {
		b = append(b, key.MLDSA44()...)
	}
	sum := sha256.Sum256(b)
	k.id = binary.BigEndian.Uint32(sum[:4])
	return k
}

func (k noteKey) half() hybrid.Half {
	if k.typ == typeMLDSA44Cosigner {
		return hybrid.MLDSA44
	}
	return hybrid.Ed25519
}

// Name implements note.Verifier.
func (k noteKey) Name() string { return k.name }

// KeyHash implements note.Verifier.
func (k noteKey) KeyHash() uint32 { return k.id }

// Verify implements note.Verifier for a checkpoint's text.
func (k noteKey) Verify(text, signature []byte) bool {
	c, err := ParseCheckpoint(string(text))
	if err != nil {
		return false
	}
	timestamp := int64(0)
	if k.typ != typeEd25519 {
		if len(signature) < 8 {
			return false
		}
		t := binary.BigEndian.Uint64(signature)
		if t > maxTime || (t == 0) != (k.witness == "") {
			return false
		}
		timestamp, signature = int64(t), signature[8:]
	}
	return k.key.VerifyHalf(k.half(), k.message(c, timestamp), signature) == nil
}

// message is what a line's signature is over.
func (k noteKey) message(c Checkpoint, timestamp int64) []byte {
	switch k.typ {
	case typeEd25519Cosigner:
		return []byte("cosignature/v1\ntime " + strconv.FormatInt(timestamp, 10) + "\n" + c.Text())
	case typeMLDSA44Cosigner:
		// Names have at most 136 bytes, so each length fits its byte.
		b := append([]byte("subtree/v1\n\x00"), byte(len(k.name)))
		b = append(b, k.name...)
		b = binary.BigEndian.AppendUint64(b, uint64(timestamp))
		b = append(b, byte(len(c.Origin)))
		b = append(b, c.Origin...)
		b = binary.BigEndian.AppendUint64(b, 0) // start: the tree from its first entry
		b = binary.BigEndian.AppendUint64(b, uint64(c.Size))
		return append(b, c.Root[:]...)
	}
	return []byte(c.Text())
}

// signLines signs a checkpoint with both halves: two lines, each with its newline.
func signLines(keys []noteKey, c Checkpoint, timestamp int64, private hybrid.PrivateKey) ([]byte, error) {
	var out []byte
	for _, k := range keys {
		signature, err := private.SignHalf(k.half(), k.message(c, timestamp))
		if err != nil {
			return nil, err
		}
		b := binary.BigEndian.AppendUint32(nil, k.id)
		if k.typ != typeEd25519 {
			b = binary.BigEndian.AppendUint64(b, uint64(timestamp))
		}
		out = appendLine(out, note.Signature{Name: k.name, Base64: base64.StdEncoding.EncodeToString(append(b, signature...))})
	}
	return out, nil
}

func appendLine(b []byte, s note.Signature) []byte {
	return append(b, "— "+s.Name+" "+s.Base64+"\n"...)
}

// openedNote is a note whose known signatures all verify, the log's two among them.
type openedNote struct {
	checkpoint Checkpoint
	signed     []signedLine
	unknown    int // lines of nobody known
}

type signedLine struct {
	noteKey
	note.Signature
	timestamp int64
}

// signedBy is the note with the lines of these signers alone; an empty id is the log.
func (n openedNote) signedBy(keep func(WitnessID) bool) []byte {
	b := []byte(n.checkpoint.Text() + "\n")
	for _, s := range n.signed {
		if keep(s.witness) {
			b = appendLine(b, s.Signature)
		}
	}
	return b
}

// openNote checks form, bounds and origin, then every signature by a known key. As
// signed-note demands, lines of unknown keys are ignored, and one wrong signature of a
// known key spoils the note. A second line of one key is ignored. The log's two lines,
// which come first in known, must be there.
func openNote(msg []byte, origin Origin, known []noteKey) (openedNote, error) {
	text, err := checkForm(msg)
	if err != nil {
		return openedNote{}, err
	}
	c, err := ParseCheckpoint(text)
	if err != nil {
		return openedNote{}, err
	}
	if c.Origin != origin {
		return openedNote{}, fmt.Errorf("%w: %s, not %s", ErrOrigin, c.Origin, origin)
	}
	verifiers := make([]note.Verifier, len(known))
	for i, k := range known {
		verifiers[i] = k
	}
	opened, err := note.Open(msg, note.VerifierList(verifiers...))
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified):
		return openedNote{}, &SignatureError{known[0].name, known[0].half(), true}
	case errors.As(err, &invalid):
		for _, k := range known {
			if k.name == invalid.Name && k.id == invalid.Hash {
				return openedNote{}, &SignatureError{k.name, k.half(), false}
			}
		}
		return openedNote{}, fmt.Errorf("%w: %w", ErrNote, err)
	case err != nil:
		return openedNote{}, fmt.Errorf("%w: %w", ErrNote, err)
	}
	n := openedNote{checkpoint: c, unknown: len(opened.UnverifiedSigs)}
	for _, k := range known {
		for _, s := range opened.Sigs {
			if s.Name == k.name && s.Hash == k.id {
				n.signed = append(n.signed, signedLine{k, s, timestampOf(k, s)})
			}
		}
	}
	for i, k := range known[:2] {
		if len(n.signed) <= i || n.signed[i].noteKey != k {
			return openedNote{}, &SignatureError{k.name, k.half(), true}
		}
	}
	return n, nil
}

// timestampOf reads the timestamp of a verified line; zero for a type that has none.
func timestampOf(k noteKey, s note.Signature) int64 {
	b, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil || k.typ == typeEd25519 || len(b) < 12 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b[4:]))
}

// checkForm holds a note to the bounds and every line to the one base64 form of its
// bytes, which note.Open doesn't. It returns the text, up to the empty line.
func checkForm(msg []byte) (string, error) {
	if len(msg) > MaxNote {
		return "", fmt.Errorf("%w: %d bytes, at most %d", ErrNote, len(msg), MaxNote)
	}
	i := bytes.LastIndex(msg, []byte("\n\n"))
	if i < 0 || msg[len(msg)-1] != '\n' {
		return "", fmt.Errorf("%w: no text and signatures", ErrNote)
	}
	lines := strings.Split(strings.TrimSuffix(string(msg[i+2:]), "\n"), "\n")
	if len(lines) > MaxSignatures {
		return "", fmt.Errorf("%w: %d signatures, at most %d", ErrNote, len(lines), MaxSignatures)
	}
	for _, l := range lines {
		encoded := l[strings.LastIndexByte(l, ' ')+1:]
		if _, err := base64.StdEncoding.Strict().DecodeString(encoded); err != nil {
			return "", fmt.Errorf("%w: a signature isn't canonical base64", ErrNote)
		}
	}
	return string(msg[:i+1]), nil
}
