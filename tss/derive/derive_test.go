package derive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
)

// The public steps of the vectors of BIP-32: parent and child extended keys.
var bip32 = []struct {
	name, parent, child string
	index               uint32
}{
	{
		"vector 1, m/0H to m/0H/1",
		"xpub68Gmy5EdvgibQVfPdqkBBCHxA5htiqg55crXYuXoQRKfDBFA1WEjWgP6LHhwBZeNK1VTsfTFUHCdrfp1bgwQ9xv5ski8PX9rL2dZXvgGDnw",
		"xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ",
		1,
	},
	{
		"vector 1, m/0H/1/2H to m/0H/1/2H/2",
		"xpub6D4BDPcP2GT577Vvch3R8wDkScZWzQzMMUm3PWbmWvVJrZwQY4VUNgqFJPMM3No2dFDFGTsxxpG5uJh7n7epu4trkrX7x7DogT5Uv6fcLW5",
		"xpub6FHa3pjLCk84BayeJxFW2SP4XRrFd1JYnxeLeU8EqN3vDfZmbqBqaGJAyiLjTAwm6ZLRQUMv1ZACTj37sR62cfN7fe5JnJ7dh8zL4fiyLHV",
		2,
	},
	{
		"vector 1, m/0H/1/2H/2 to m/0H/1/2H/2/1000000000",
		"xpub6FHa3pjLCk84BayeJxFW2SP4XRrFd1JYnxeLeU8EqN3vDfZmbqBqaGJAyiLjTAwm6ZLRQUMv1ZACTj37sR62cfN7fe5JnJ7dh8zL4fiyLHV",
		"xpub6H1LXWLaKsWFhvm6RVpEL9P4KfRZSW7abD2ttkWP3SSQvnyA8FSVqNTEcYFgJS2UaFcxupHiYkro49S8yGasTvXEYBVPamhGW6cFJodrTHy",
		1000000000,
	},
	{
		"vector 2, m to m/0",
		"xpub661MyMwAqRbcFW31YEwpkMuc5THy2PSt5bDMsktWQcFF8syAmRUapSCGu8ED9W6oDMSgv6Zz8idoc4a6mr8BDzTJY47LJhkJ8UB7WEGuduB",
		"xpub69H7F5d8KSRgmmdJg2KhpAK8SR3DjMwAdkxj3ZuxV27CprR9LgpeyGmXUbC6wb7ERfvrnKZjXoUmmDznezpbZb7ap6r1D3tgFxHmwMkQTPH",
		0,
	},
	{
		"vector 2, m/0/2147483647H to m/0/2147483647H/1",
		"xpub6ASAVgeehLbnwdqV6UKMHVzgqAG8Gr6riv3Fxxpj8ksbH9ebxaEyBLZ85ySDhKiLDBrQSARLq1uNRts8RuJiHjaDMBU4Zn9h8LZNnBC5y4a",
		"xpub6DF8uhdarytz3FWdA8TvFSvvAh8dP3283MY7p2V4SeE2wyWmG5mg5EwVvmdMVCQcoNJxGoWaU9DCWh89LojfZ537wTfunKau47EL2dhHKon",
		1,
	},
	{
		"vector 2, m/0/2147483647H/1/2147483646H to .../2",
		"xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2grBGRjaDMzQLcgJvLJuZZvRcEL",
		"xpub6FnCn6nSzZAw5Tw7cgR9bi15UV96gLZhjDstkXXxvCLsUXBGXPdSnLFbdpq8p9HmGsApME5hQTZ3emM2rnY5agb9rXpVGyy3bdW6EEgAtqt",
		2,
	},
}

// extended reads key and chain code of a serialised extended public key.
func extended(t *testing.T, s string) (group.Point, hash.Digest) {
	t.Helper()
	const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	v := new(big.Int)
	for _, c := range s {
		v.Add(v.Mul(v, big.NewInt(58)), big.NewInt(int64(strings.IndexRune(alphabet, c))))
	}
	b := v.FillBytes(make([]byte, 82))
	once := sha256.Sum256(b[:78])
	if twice := sha256.Sum256(once[:]); !bytes.Equal(twice[:4], b[78:]) {
		t.Fatalf("checksum of %s", s)
	}
	p, err := group.Secp256k1.DecodePoint(b[45:78])
	if err != nil {
		t.Fatal(err)
	}
	return p, hash.Digest(b[13:45])
}

func TestBIP32Vectors(t *testing.T) {
	t.Parallel()
	for _, v := range bip32 {
		parent, cc := extended(t, v.parent)
		child, childCC := extended(t, v.child)
		n, err := Derive(parent, cc, Path{v.index})
		if err != nil {
			t.Fatal(err)
		}
		if !n.Public.Equal(child) || n.ChainCode != childCC {
			t.Errorf("%s: got %x %x", v.name, n.Public.Bytes(), n.ChainCode)
		}
	}
	parent, cc := extended(t, bip32[3].parent)
	n, err := Derive(parent, cc, Path{0})
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(n.Tweak().Bytes()); got != "60e3739cc2c3950b7c4d7f32cc503e13b996d0f7a45623d0a914e1efa7f811e0" {
		t.Errorf("tweak of vector 2, m/0: %s", got)
	}
}

// The tweak of a path is the sum of its steps': adding it to the root secret gives
// the child's secret.
func TestTweakFollowsPath(t *testing.T) {
	t.Parallel()
	for _, g := range []group.Group{group.Secp256k1, group.Edwards25519} {
		secret := g.HashToScalar("derive/test")
		n, err := Derive(g.BaseMul(secret), hash.Sum("cc"), Path{0, 7, Hardened - 1})
		if err != nil {
			t.Fatal(err)
		}
		if !g.BaseMul(secret.Add(n.Tweak())).Equal(n.Public) {
			t.Errorf("%s: tweak and key part", g)
		}
		step := Node{Public: g.BaseMul(secret), ChainCode: hash.Sum("cc")}
		for _, i := range []uint32{0, 7, Hardened - 1} {
			if step, err = Derive(step.Public, step.ChainCode, Path{i}); err != nil {
				t.Fatal(err)
			}
		}
		if !step.Public.Equal(n.Public) || step.ChainCode != n.ChainCode {
			t.Errorf("%s: path and steps differ", g)
		}
	}
}

// The library's own rule for Ed25519, held fast.
func TestEd25519KnownAnswer(t *testing.T) {
	t.Parallel()
	n, err := Derive(group.Edwards25519.Generator(), hash.Digest{}, Path{1})
	if err != nil {
		t.Fatal(err)
	}
	got := hex.EncodeToString(n.Public.Bytes()) + " " + hex.EncodeToString(n.ChainCode[:])
	if got != ed25519Answer {
		t.Errorf("got %s", got)
	}
}

const ed25519Answer = "ddbda4a3e23a70852ee32f6bba6a99ef28c67d94fdf5fe7d8bf04c1ccbd27d35 " +
	"bade578f907aa5b4e7c7dfdb96bc8019fc5987dbba3c4eb6dcb1dac7bd59f933"

// Attack A52: indices without a key, and hardened ones, are errors.
func TestIndexWithoutKey(t *testing.T) {
	t.Parallel()
	g := group.Secp256k1
	n := Node{Public: g.BaseMul(g.Uint(5)), tweak: g.Zero()}
	for name, left := range map[string][]byte{
		"order":       unhex(t, "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"),
		"above order": bytes.Repeat([]byte{0xff}, 32),
		"to identity": g.Uint(5).Neg().Bytes(),
	} {
		if _, err := n.child(left, hash.Digest{}); !errors.Is(err, ErrIndex) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := n.child(g.Uint(4).Bytes(), hash.Digest{}); err != nil {
		t.Errorf("a good index: %v", err)
	}
	for _, i := range []uint32{Hardened, 1<<32 - 1} {
		if _, err := Derive(n.Public, hash.Digest{}, Path{0, i}); !errors.Is(err, ErrHardened) {
			t.Errorf("index %d: %v", i, err)
		}
	}
	if _, err := Derive(n.Public, hash.Digest{}, make(Path, MaxDepth+1)); !errors.Is(err, ErrPath) {
		t.Errorf("too deep: %v", err)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParsePath(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"m", "m/0", "m/0/7", "m/2147483647", "m/1/2/3/4/5"} {
		p, err := ParsePath(good)
		if err != nil || p.String() != good {
			t.Errorf("%q: %v %v", good, p, err)
		}
	}
	for bad, want := range map[string]error{
		"": ErrPath, "0/7": ErrPath, "m/": ErrPath, "m//1": ErrPath, "M/0": ErrPath, "m/01": ErrPath,
		"m/+1": ErrPath, "m/-1": ErrPath, "m/x": ErrPath, "m/1/": ErrPath, "m 0": ErrPath, "m0": ErrPath,
		"m/99999999999": ErrPath, "m/0'": ErrHardened, "m/0h": ErrHardened, "m/0H/1": ErrHardened,
		"m/2147483648": ErrHardened, "m/4294967295": ErrHardened, "m" + strings.Repeat("/1", 256): ErrPath,
	} {
		if _, err := ParsePath(bad); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", bad, err, want)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add("m/0/7")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParsePath(s); err == nil && p.String() != s {
			t.Errorf("%q reads as %q", s, p.String())
		}
	})
}
