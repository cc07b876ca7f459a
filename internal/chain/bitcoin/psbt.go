package bitcoin

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// This file reads PSBTs and transactions strictly: every accepted text is the
// only one that says what it says.

// errShort, and the other causes that a reader gives.
var (
	errShort  = errors.New("ends too early")
	errLength = errors.New("a length isn't in its shortest form")
)

// reader reads fields from the front of b. After an error it reads nothing.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n uint64) []byte {
	if r.err == nil && n > uint64(len(r.b)) {
		r.err = errShort
	}
	if r.err != nil {
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// size reads a compactSize, of which only the shortest form is valid.
func (r *reader) size() uint64 {
	first := r.take(1)
	if first == nil {
		return 0
	}
	var v, least uint64
	switch first[0] {
	default:
		return uint64(first[0])
	case 0xfd:
		if b := r.take(2); b != nil {
			v, least = uint64(binary.LittleEndian.Uint16(b)), 0xfd
		}
	case 0xfe:
		v, least = uint64(r.u32()), 1<<16
	case 0xff:
		v, least = r.u64(), 1<<32
	}
	if r.err == nil && v < least {
		r.err = errLength
	}
	return v
}

// bytes reads a length and as many bytes.
func (r *reader) bytes() []byte { return r.take(r.size()) }

// pair is one key with its value in a map of a PSBT.
type pair struct{ key, value []byte }

// pairs reads one map of a PSBT: pairs with ascending keys, up to the separator.
func (r *reader) pairs() []pair {
	var list []pair
	for {
		k := r.bytes()
		if r.err != nil || len(k) == 0 {
			return list
		}
		v := r.bytes()
		if len(list) > 0 {
			switch bytes.Compare(list[len(list)-1].key, k) {
			case 0:
				r.err = fmt.Errorf("key %s is given twice", shown(k))
			case 1:
				r.err = fmt.Errorf("key %s is out of order", shown(k))
			}
		}
		list = append(list, pair{k, v})
	}
}

// shown writes the beginning of a key for an error.
func shown(k []byte) string { return hex.EncodeToString(k[:min(len(k), 8)]) }

// outpoint is a transaction id, in the order of its hash, and an output number.
type outpoint struct {
	id    [32]byte
	index uint32
}

type txIn struct {
	spends   outpoint
	script   []byte
	sequence uint32
}

type txOut struct {
	amount uint64 // satoshi
	script []byte
}

// transaction is one in the serialisation without witness.
type transaction struct {
	raw      []byte
	version  uint32
	inputs   []txIn
	outputs  []txOut
	lockTime uint32
}

func readTransaction(raw []byte) (*transaction, error) {
	r := &reader{b: raw}
	t := &transaction{raw: raw, version: r.u32()}
	for range r.size() {
		in := txIn{spends: readOutpoint(r), script: r.bytes(), sequence: r.u32()}
		if r.err != nil { // so that a claimed count costs nothing
			return nil, r.err
		}
		t.inputs = append(t.inputs, in)
	}
	if r.err == nil && len(t.inputs) == 0 {
		return nil, errors.New("no inputs, or a serialisation with witness")
	}
	for range r.size() {
		out := readOutput(r)
		if r.err != nil {
			return nil, r.err
		}
		t.outputs = append(t.outputs, out)
	}
	t.lockTime = r.u32()
	if r.err == nil && len(r.b) > 0 {
		return nil, errors.New("bytes after its end")
	}
	return t, r.err
}

func readOutpoint(r *reader) outpoint {
	var o outpoint
	copy(o.id[:], r.take(32))
	o.index = r.u32()
	return o
}

func readOutput(r *reader) txOut {
	return txOut{amount: r.u64(), script: r.bytes()}
}

// id is the double SHA-256 of the serialisation without witness.
func (t *transaction) id() [32]byte {
	once := sha256.Sum256(t.raw)
	return sha256.Sum256(once[:])
}

func (o outpoint) bytes() []byte {
	return binary.LittleEndian.AppendUint32(o.id[:], o.index)
}

func (o txOut) bytes() []byte {
	b := binary.LittleEndian.AppendUint64(nil, o.amount)
	return append(appendSize(b, len(o.script)), o.script...)
}

func appendSize(b []byte, n int) []byte {
	switch {
	case n < 0xfd:
		return append(b, byte(n))
	case n < 1<<16:
		return binary.LittleEndian.AppendUint16(append(b, 0xfd), uint16(n))
	default:
		return binary.LittleEndian.AppendUint32(append(b, 0xfe), uint32(n))
	}
}

// displayed turns a hash into the order in which the network shows it.
func displayed(id [32]byte) [32]byte {
	slices.Reverse(id[:])
	return id
}
