package tlschannel

import (
	"crypto/ed25519"
	"encoding/binary"
	"io"

	"github.com/cofferhq/coffer/tss"
)

// A frame is u32(length of the message) || signature || message. It is the same
// for all receivers of a message.
type frame []byte

const (
	lengthSize = 4
	atMessage  = lengthSize + ed25519.SignatureSize
)

func newFrame(sig, message []byte) frame {
	f := make(frame, 0, atMessage+len(message))
	f = binary.BigEndian.AppendUint32(f, uint32(len(message)))
	return append(append(f, sig...), message...)
}

// readFrame reads the next frame. It checks the length before it makes room.
func readFrame(r io.Reader) (sig, message []byte, err error) {
	var length [lengthSize]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || n > tss.MaxMessage {
		return nil, nil, ErrFrame
	}
	b := make([]byte, ed25519.SignatureSize+int(n))
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, nil, err
	}
	return b[:ed25519.SignatureSize:ed25519.SignatureSize], b[ed25519.SignatureSize:], nil
}
