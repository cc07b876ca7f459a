package journal

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/internal/hybrid"
)

// Origin names the log of one charter: "coffer/" and the 64 lower-case hex digits of the
// charter hash. It is the first line of every checkpoint and the log's key name.
type Origin string

const originPrefix = "coffer/"

// Errors of checkpoints.
var (
	// ErrOrigin is the error of an origin that isn't of that form, or of another log.
	ErrOrigin = errors.New("journal: wrong origin")
	// ErrCheckpoint is the error of text that isn't a checkpoint.
	ErrCheckpoint = errors.New("journal: checkpoint is malformed")
)

// NewOrigin is the origin of the log of a charter.
func NewOrigin(charter [32]byte) Origin {
	return Origin(originPrefix + hex.EncodeToString(charter[:]))
}

// ParseOrigin checks the form. The error is [ErrOrigin].
func ParseOrigin(s string) (Origin, error) {
	digits, found := strings.CutPrefix(s, originPrefix)
	b, err := hex.DecodeString(digits)
	if !found || err != nil || len(b) != 32 || hex.EncodeToString(b) != digits {
		return "", fmt.Errorf("%w: %.100q isn't coffer/ and 64 lower-case hex digits", ErrOrigin, s)
	}
	return Origin(s), nil
}

// Checkpoint is a tree head: the first Size entries of the log at Origin have this root.
// By itself nobody has signed it.
type Checkpoint struct {
	Origin Origin `json:"origin"`
	Size   int64  `json:"size"`
	Root   Hash   `json:"root"`
}

// Text is the note text of the checkpoint (C2SP tlog-checkpoint): origin, size in decimal,
// root in base64, a newline after each, and no extension lines.
func (c Checkpoint) Text() string {
	return string(c.Origin) + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + c.Root.String() + "\n"
}

// ParseCheckpoint reads what Text writes and nothing else. The error is [ErrCheckpoint],
// also for extension lines and for an empty tree with another root than EmptyRoot; and
// [ErrOrigin] for the origin.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.SplitN(text, "\n", 5)
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, fmt.Errorf("%w: it has three lines", ErrCheckpoint)
	}
	var c Checkpoint
	var err error
	if c.Origin, err = ParseOrigin(lines[0]); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if c.Size, err = parseSize(lines[1]); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if c.Root, err = parseHash(lines[2]); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if c.Size == 0 && c.Root != EmptyRoot() {
		return Checkpoint{}, fmt.Errorf("%w: the empty tree has another root", ErrCheckpoint)
	}
	return c, nil
}

// SignCheckpoint signs with the log key: a signed note (C2SP signed-note) of the text and
// two lines under the name of the origin. The first is plain Ed25519 over the text (type
// 0x01); the second is ML-DSA-44 as tlog-checkpoint recommends, the cosigned_message of
// tlog-cosignature (type 0x06) with timestamp zero, because the log states no times.
// The error is that of parsing the text, or hybrid.ErrKey.
func SignCheckpoint(c Checkpoint, log hybrid.PrivateKey) ([]byte, error) {
	if _, err := ParseCheckpoint(c.Text()); err != nil {
		return nil, err
	}
	lines, err := signLines(logKeys(c.Origin, log.Public()), c, 0, log)
	if err != nil {
		return nil, fmt.Errorf("journal: signing a checkpoint: %w", err)
	}
	return append([]byte(c.Text()+"\n"), lines...), nil
}

// OpenCheckpoint reads a note and checks both signatures of the log; other lines are
// ignored. The error is [ErrNote], [ErrCheckpoint], [ErrOrigin], or a [SignatureError]
// that names the half that is missing or wrong.
func OpenCheckpoint(note []byte, origin Origin, log hybrid.PublicKey) (Checkpoint, error) {
	n, err := openNote(note, origin, logKeys(origin, log))
	return n.checkpoint, err
}
