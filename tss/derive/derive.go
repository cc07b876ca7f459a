// Package derive computes child keys of a threshold key: BIP-32 non-hardened
// derivation for secp256k1 and the library's own rule of the same shape for
// edwards25519 (docs/spec/05-derivation.md). It is public arithmetic on the
// public key, the chain code and the path; start from Derive.
//
// No function of this library takes a tweak: the only tweaks are those that a
// path gives.
package derive

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
)

// Hardened is the first index of hardened derivation, which needs the private
// key and so doesn't exist here.
const Hardened = 1 << 31

// MaxDepth is the longest path, the depth that BIP-32 can serialise.
const MaxDepth = 255

// Errors of derivation.
var (
	// ErrPath says that a path isn't "m" or "m/0/7": the text of it.
	ErrPath = errors.New(`a path is "m" or "m/" and indices below 2147483648 separated by "/"`)
	// ErrHardened says that an index is 2^31 or more, or marked ' or h.
	ErrHardened = errors.New("hardened derivation needs the private key, which exists nowhere: use indices below 2147483648 without ' or h")
	// ErrIndex says that BIP-32 gives no key for an index: use the next one.
	ErrIndex = errors.New("no child key exists at this index")
)

// Path is a list of child indices from the root, each below Hardened.
type Path []uint32

// ParsePath reads "m", "m/0", "m/0/7".
func ParsePath(s string) (Path, error) {
	rest, ok := strings.CutPrefix(s, "m")
	if !ok {
		return nil, ErrPath
	}
	if rest == "" {
		return nil, nil
	}
	fields := strings.Split(rest, "/")
	if fields[0] != "" || len(fields)-1 > MaxDepth {
		return nil, ErrPath
	}
	path := make(Path, 0, len(fields)-1)
	for _, f := range fields[1:] {
		if n := len(f); n > 1 && strings.ContainsAny(f[n-1:], "'hH") {
			return nil, ErrHardened
		}
		v, err := strconv.ParseUint(f, 10, 32)
		if err != nil || strconv.FormatUint(v, 10) != f {
			return nil, ErrPath
		}
		if v >= Hardened {
			return nil, ErrHardened
		}
		path = append(path, uint32(v))
	}
	return path, nil
}

// String is the inverse of ParsePath.
func (p Path) String() string {
	var b strings.Builder
	b.WriteByte('m')
	for _, i := range p {
		b.WriteByte('/')
		b.WriteString(strconv.FormatUint(uint64(i), 10))
	}
	return b.String()
}

// AppendBytes appends u16(len) and the u32 indices, the form in which requests
// hash a path.
func (p Path) AppendBytes(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
	for _, i := range p {
		b = binary.BigEndian.AppendUint32(b, i)
	}
	return b
}

// Node is a public key of the tree with its chain code.
type Node struct {
	Public    group.Point
	ChainCode hash.Digest

	tweak group.Scalar
}

// Tweak returns e with Public = X + eG for the root key X. Adding e to every
// share adds it once to the secret.
func (n Node) Tweak() group.Scalar { return n.tweak }

// Derive walks path from the root (x, cc). Errors: ErrHardened, ErrPath for a
// path that is too long, ErrIndex.
func Derive(x group.Point, cc hash.Digest, path Path) (Node, error) {
	n := Node{Public: x, ChainCode: cc, tweak: x.Group().Zero()}
	if len(path) > MaxDepth {
		return Node{}, ErrPath
	}
	for depth, i := range path {
		if i >= Hardened {
			return Node{}, fmt.Errorf("index %d at depth %d: %w", i, depth+1, ErrHardened)
		}
		left, right := childHash(n, i)
		child, err := n.child(left, right)
		if err != nil {
			return Node{}, fmt.Errorf("index %d at depth %d: %w", i, depth+1, err)
		}
		n = child
	}
	return n, nil
}

// childHash returns the scalar's bytes and the chain code of child i.
func childHash(n Node, i uint32) (left []byte, right hash.Digest) {
	if n.Public.Group() == group.Edwards25519 {
		key := n.Public.Bytes()
		e := group.Edwards25519.HashToScalar("derive/ed25519", key, n.ChainCode[:], hash.U32(i))
		return e.Bytes(), hash.Sum("derive/ed25519/cc", key, n.ChainCode[:], hash.U32(i))
	}
	// BIP-32, CKDpub: I = HMAC-SHA512(c, serP(K) || ser32(i)).
	mac := hmac.New(sha512.New, n.ChainCode[:])
	mac.Write(n.Public.Bytes())
	mac.Write(hash.U32(i))
	sum := mac.Sum(nil)
	return sum[:32], hash.Digest(sum[32:])
}

// child adds the tweak encoded in left; BIP-32 has no child where it is not
// below the order or the sum is the identity.
func (n Node) child(left []byte, right hash.Digest) (Node, error) {
	g := n.Public.Group()
	e, err := g.DecodeScalar(left)
	if err != nil {
		return Node{}, ErrIndex
	}
	k := n.Public.Add(g.BaseMul(e))
	if k.IsIdentity() {
		return Node{}, ErrIndex
	}
	return Node{Public: k, ChainCode: right, tweak: n.tweak.Add(e)}, nil
}
