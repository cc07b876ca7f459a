package frost

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/derive"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/vss"
)

type stream struct{ n uint64 }

func (s *stream) Read(p []byte) (int, error) {
	s.n++
	return copy(p, hash.Expand("frost/test", len(p), hash.U64(s.n))), nil
}

// dealt is a key with all its shares, as no member ever holds it.
type dealt struct {
	suite       *ciphersuite
	target      target
	ids         []uint16
	secrets     []group.Scalar
	nonces      []*nonces
	commitments []commitment
}

func deal(t testing.TB, suite *ciphersuite, ids ...uint16) *dealt {
	t.Helper()
	f, err := vss.NewPolynomial(suite.group, len(ids), &stream{})
	if err != nil {
		t.Fatal(err)
	}
	d := &dealt{suite: suite, ids: ids, target: target{public: f.Commit()[0], add: suite.group.Zero()}}
	if suite.xOnly {
		d.target = d.target.evenY()
	}
	for i, id := range ids {
		d.secrets = append(d.secrets, f.Eval(id))
		n, err := suite.commit(d.secrets[i:i+1], &stream{uint64(100 * (i + 1))})
		if err != nil {
			t.Fatal(err)
		}
		d.nonces = append(d.nonces, n)
		d.commitments = append(d.commitments, n.appendCommitments(nil, ids[i:i+1])...)
	}
	return d
}

func (d *dealt) prepare(t testing.TB, message string) *signing {
	t.Helper()
	s, err := d.suite.prepare(d.target, []byte(message), d.commitments)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Attacks A39, A45: nonces sign once, whatever the first try ended with.
func TestNoncesSignOnce(t *testing.T) {
	t.Parallel()
	for _, suite := range []*ciphersuite{&bip340, &ed25519SHA512} {
		d := deal(t, suite, 1, 2)
		if _, err := d.prepare(t, "a").sign(d.ids[:1], d.secrets[:1], d.nonces[0]); err != nil {
			t.Fatal(err)
		}
		for _, m := range []string{"a", "b"} {
			if _, err := d.prepare(t, m).sign(d.ids[:1], d.secrets[:1], d.nonces[0]); !errors.Is(err, ErrUsed) {
				t.Errorf("second use: %v", err)
			}
		}
		// A46: commitments that aren't the issued ones, or lack the own id.
		for name, spoil := range map[string]func(d *dealt){
			"altered": func(d *dealt) { d.commitments[0].encoded = d.commitments[1].encoded },
			"missing": func(d *dealt) { d.commitments = d.commitments[1:] },
		} {
			d := deal(t, suite, 1, 2)
			good := slices.Clone(d.commitments)
			spoil(d)
			if _, err := d.prepare(t, "a").sign(d.ids[:1], d.secrets[:1], d.nonces[0]); !errors.Is(err, ErrRequest) {
				t.Errorf("own commitment %s: %v", name, err)
			}
			d.commitments = good
			if _, err := d.prepare(t, "a").sign(d.ids[:1], d.secrets[:1], d.nonces[0]); !errors.Is(err, ErrUsed) {
				t.Errorf("own commitment %s, then right: %v", name, err)
			}
		}
	}
}

// Attack A44: every binding factor depends on every part of the commitments, the
// message, the key and the id.
func TestBindingFactors(t *testing.T) {
	t.Parallel()
	for _, suite := range []*ciphersuite{&bip340, &ed25519SHA512} {
		d := deal(t, suite, 1, 2, 3)
		base := d.prepare(t, "m")
		differ := func(name string, s *signing) {
			for i := range base.factors {
				if s.factors[i].Equal(base.factors[i]) {
					t.Errorf("%s: factor %d stays", name, i)
				}
			}
		}
		differ("message", d.prepare(t, "n"))
		for i := range d.commitments {
			for _, half := range []int{0, suite.group.PointSize()} {
				e := deal(t, suite, 1, 2, 3)
				b := slices.Clone(e.commitments[i].encoded)
				copy(b[half:], suite.group.Generator().Bytes())
				e.commitments[i].encoded = b
				differ("commitment", e.prepare(t, "m"))
			}
		}
		e := deal(t, suite, 1, 2, 4)
		e.commitments[0], e.commitments[1] = d.commitments[0], d.commitments[1]
		e.target = d.target
		differ("id", e.prepare(t, "m"))
		f := deal(t, suite, 1, 2, 3)
		f.target.public = suite.group.Generator()
		differ("key", f.prepare(t, "m"))
		if base.factors[0].Equal(base.factors[1]) {
			t.Error("two ids have one factor")
		}
	}
}

// Attack A45: the same share and message never commit to the same nonces twice,
// and a broken random source stops the signing.
func TestNoncesAreFresh(t *testing.T) {
	t.Parallel()
	for _, suite := range []*ciphersuite{&bip340, &ed25519SHA512} {
		secret := suite.group.Uint(9)
		r := &stream{}
		seen := make(map[string]bool)
		for range 20 {
			n, err := suite.commit([]group.Scalar{secret}, r)
			if err != nil {
				t.Fatal(err)
			}
			size := suite.group.PointSize()
			for _, p := range []string{string(n.public[:size]), string(n.public[size:])} {
				if seen[p] {
					t.Fatal("a nonce repeats")
				}
				seen[p] = true
			}
		}
		if _, err := suite.commit([]group.Scalar{secret}, bytes.NewReader(make([]byte, 63))); err == nil {
			t.Error("no error from a random source that ends")
		}
	}
}

// FAULTS C3, C10, attack A58: 60,000 mutations of what a signer sends. Each is
// refused when it is decoded or convicts its sender, and none causes a panic or a
// signature that verifies.
func TestMutations(t *testing.T) {
	t.Parallel()
	n := 15_000
	if testing.Short() {
		n = 500
	}
	for name, suite := range map[string]*ciphersuite{"bip340": &bip340, "ed25519": &ed25519SHA512} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(3, 4))
			d := deal(t, suite, 1, 2)
			ids := []uint16{7, 9}
			both := append(slices.Clone(d.commitments[0].encoded), d.commitments[1].encoded...)
			for range n {
				m := mutate(rng, both)
				c, err := suite.decodeCommitments(nil, ids, m)
				var v *tss.Verdict
				if err != nil {
					if !errors.As(err, &v) {
						t.Fatalf("error is %v", err)
					}
					continue
				}
				for i := range c {
					if !bytes.Equal(slices.Concat(c[i].d.Bytes(), c[i].e.Bytes()), m[i*len(m)/2:(i+1)*len(m)/2]) {
						t.Fatalf("%x decodes to other points", m)
					}
				}
			}
			s := d.prepare(t, "m")
			var shares []group.Scalar
			for i := range d.ids {
				z, err := d.prepare(t, "m").sign(d.ids[i:i+1], d.secrets[i:i+1], d.nonces[i])
				if err != nil {
					t.Fatal(err)
				}
				shares = append(shares, z...)
			}
			if err := s.bind(d.commitments[0].d.Add(d.commitments[0].e.Mul(s.factors[0])), d.ids[:1]); err != nil {
				t.Fatal(err)
			}
			public := suite.group.BaseMul(d.secrets[1])
			if _, ok := s.aggregate(shares); !ok || !s.checkShare(1, shares[1], public) {
				t.Fatal("the true shares fail")
			}
			for range n {
				z, err := suite.decodeShares(nil, mutate(rng, shares[1].Bytes()), 1)
				if err != nil {
					continue
				}
				if s.checkShare(1, z[0], public) {
					t.Fatalf("share check takes %x", z[0].Bytes())
				}
				if rng.IntN(20) == 0 {
					if sig, ok := s.aggregate([]group.Scalar{shares[0], z[0]}); ok {
						t.Fatalf("signature %x", sig)
					}
				}
			}
		})
	}
}

func mutate(rng *rand.Rand, b []byte) []byte {
	for {
		c := slices.Clone(b)
		switch at := rng.IntN(len(c)); rng.IntN(6) {
		case 0, 1:
			c[at] ^= 1 << rng.IntN(8)
		case 2:
			c = c[:at]
		case 3:
			c = append(c, 0)
		case 4:
			clear(c[at:])
		case 5:
			copy(c[at:], c)
		}
		if !bytes.Equal(c, b) {
			return c
		}
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	public := group.Secp256k1.BaseMul(group.Secp256k1.Uint(7))
	k := &tss.Key{Suite: tss.SuiteBIP340, Public: public}
	for name, r := range map[string]Request{
		"message too long":  {Message: make([]byte, MaxMessageSize+1)},
		"short merkle root": {Taproot: &Taproot{MerkleRoot: make([]byte, 31)}},
		"hardened index":    {Path: derive.Path{derive.Hardened}},
		"path too long":     {Path: make(derive.Path, 256)},
	} {
		if _, err := PublicKey(k, r); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ed := &tss.Key{Suite: tss.SuiteEd25519, Public: group.Edwards25519.Generator()}
	if _, err := PublicKey(ed, Request{Taproot: &Taproot{}}); !errors.Is(err, ErrRequest) {
		t.Errorf("Taproot for Ed25519: %v", err)
	}

	// A55: every field enters the digest.
	base := Request{Message: []byte("m"), Path: derive.Path{1, 2}, Taproot: &Taproot{MerkleRoot: make([]byte, 32)}}
	for name, r := range map[string]Request{
		"message":     {Message: []byte("n"), Path: base.Path, Taproot: base.Taproot},
		"path":        {Message: base.Message, Path: derive.Path{1, 3}, Taproot: base.Taproot},
		"depth":       {Message: base.Message, Path: derive.Path{1}, Taproot: base.Taproot},
		"merkle root": {Message: base.Message, Path: base.Path, Taproot: &Taproot{}},
		"Taproot":     {Message: base.Message, Path: base.Path},
	} {
		if r.Digest(tss.SuiteBIP340) == base.Digest(tss.SuiteBIP340) {
			t.Errorf("%s doesn't enter the digest", name)
		}
	}
	if base.Digest(tss.SuiteBIP340) == base.Digest(tss.SuiteEd25519) {
		t.Error("the suite doesn't enter the digest")
	}
}

// Attack A19: the Taproot output key is never the key of the shares, so that no
// member can have hidden a script in it; the vectors of BIP-341 fix the tweak.
func TestTaprootAlwaysTweaks(t *testing.T) {
	t.Parallel()
	k := &tss.Key{Suite: tss.SuiteBIP340, Public: group.Secp256k1.BaseMul(group.Secp256k1.Uint(7))}
	plain, err := PublicKey(k, Request{})
	if err != nil {
		t.Fatal(err)
	}
	output, err := PublicKey(k, Request{Taproot: &Taproot{}})
	if err != nil {
		t.Fatal(err)
	}
	rooted, err := PublicKey(k, Request{Taproot: &Taproot{MerkleRoot: make([]byte, 32)}})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(plain, output) || bytes.Equal(output, rooted) {
		t.Error("keys with different tweaks are equal")
	}
}

func FuzzDecodeRequest(f *testing.F) {
	q := onlineRequest{suite: tss.SuiteBIP340, signers: tss.Parties{{ID: 1}}, names: make([]NonceID, 1), request: Request{Message: []byte("m"), Taproot: &Taproot{}}}
	f.Add(q.bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := decodeRequest(b); err == nil && !bytes.Equal(q.bytes(), b) {
			t.Errorf("%x isn't canonical", b)
		}
	})
}
