package keystore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
	"github.com/cofferhq/coffer/internal/keystore"
	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/group"
	"github.com/cofferhq/coffer/tss/hash"
	"github.com/cofferhq/coffer/tss/vss"
)

const passphrase = "correct horse battery"

var start = time.Unix(1_800_000_000, 0)

func config() keystore.Config {
	return keystore.Config{
		Charter: custody.Hash{1}, Node: "node-a", WorkFactor: keyfile.MinWorkFactor, Now: func() time.Time { return start },
	}
}

func open(t *testing.T, dir string, cfg keystore.Config) *keystore.Store {
	t.Helper()
	s, err := keystore.Open(dir, passphrase, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, s.Close()) })
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks the code of an error, and what it says.
func refused(t *testing.T, err error, code custody.Code, words ...string) {
	t.Helper()
	if err == nil || custody.CodeOf(err) != code {
		t.Fatalf("%v: not %s", err, code)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Fatalf("%v: doesn't say %q", err, w)
		}
	}
}

func intent(n byte) custody.ID[custody.Intent] {
	return custody.ID[custody.Intent]{1, 2, 3, 4, 5, 6, 0x70, n, 0x80, n}
}

// newShare makes the share of the first member of a key that two of three sign for.
func newShare(t testing.TB, suite tss.Suite, seed byte) *tss.KeyShare {
	t.Helper()
	r := bytes.NewReader(bytes.Repeat([]byte{seed, 77, seed, 3, 99}, 200))
	g := suite.Group()
	p, err := vss.NewPolynomial(g, 2, r)
	if err != nil {
		t.Fatal(err)
	}
	c := p.Commit()
	k := tss.Key{Suite: suite, ID: hash.Digest{seed}, Epoch: 1, T: hash.Digest{seed, 1}, Threshold: 2, Public: c[0], ChainCode: hash.Digest{seed, 2}}
	var owner tss.IdentityKey
	for id := uint16(1); id <= 3; id++ {
		member, err := tss.IdentityFromSeed(bytes.Repeat([]byte{byte(id)}, 32))
		if err != nil {
			t.Fatal(err)
		}
		if id == 1 {
			owner = member.Public()
		}
		k.Parties = append(k.Parties, tss.Party{ID: id, Owner: member.Public()})
		k.Shares = append(k.Shares, c.Eval(id))
	}
	share, err := tss.NewKeyShare(k, owner, []group.Scalar{p.Eval(1)})
	if err != nil {
		t.Fatal(err)
	}
	return share
}

// holds checks that the store has a share, or that it has none.
func holds(t *testing.T, s *keystore.Store, want *tss.KeyShare, there bool) {
	t.Helper()
	got, err := s.Share(want.Public.Bytes())
	if !there {
		refused(t, err, custody.NotFound, "no share of the key")
		return
	}
	check(t, err)
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Fatal("another share")
	}
}

func content(t *testing.T, dir string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, keystore.FileName))
	check(t, err)
	return raw
}

func TestRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := newShare(t, tss.SuiteEd25519, 1), newShare(t, tss.SuiteBIP340, 2)
	s := open(t, dir, config())
	holds(t, s, a, false)
	check(t, s.SaveShare(intent(1), a))
	check(t, s.SaveShare(intent(1), a)) // again
	check(t, s.SaveShare(intent(2), b))
	for range 3 {
		_, err := s.Log().NextCounter()
		check(t, err)
	}
	_, err := s.Log().Remember(hash.Digest{1}, start.Unix()+60)
	check(t, err)
	check(t, s.SetQuorumHead([]byte("head of 7"), 7))
	check(t, s.Heads().Save(t.Context(), []byte("cosigned")))
	check(t, s.Close())
	check(t, s.Close())

	s = open(t, dir, config())
	holds(t, s, a, true)
	holds(t, s, b, true)
	if n, err := s.Log().NextCounter(); err != nil || n != 4 {
		t.Errorf("counter %d, %v", n, err)
	}
	if fresh, err := s.Log().Remember(hash.Digest{1}, start.Unix()+60); err != nil || fresh {
		t.Errorf("fresh %v, %v", fresh, err)
	}
	if note, err := s.QuorumHead(); err != nil || string(note) != "head of 7" {
		t.Errorf("%s, %v", note, err)
	}
	if note, err := s.Heads().Load(t.Context()); err != nil || string(note) != "cosigned" {
		t.Errorf("%s, %v", note, err)
	}

	// Each share that is given out is a copy of its own.
	first, err := s.Share(a.Public.Bytes())
	check(t, err)
	first.Clear()
	holds(t, s, a, true)
}

func TestClosed(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), config())
	a := newShare(t, tss.SuiteEd25519, 1)
	check(t, s.SaveShare(intent(1), a))
	check(t, s.Close())
	_, shareErr := s.Share(a.Public.Bytes())
	_, counterErr := s.Log().NextCounter()
	_, rememberErr := s.Log().Remember(hash.Digest{}, 1)
	_, loadErr := s.Heads().Load(t.Context())
	_, headErr := s.QuorumHead()
	for i, err := range []error{
		s.SaveShare(intent(1), a), s.Settle(intent(1), a.Public.Bytes()), s.Heads().Save(t.Context(), []byte("x")),
		s.SetQuorumHead([]byte("x"), 1), shareErr, counterErr, rememberErr, loadErr, headErr,
	} {
		if err == nil || err.Error() != "keystore: closed" {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, config())
	check(t, s.SaveShare(intent(1), newShare(t, tss.SuiteEd25519, 1)))
	check(t, s.Close())
	before := content(t, dir)

	_, err := keystore.Open(dir, "correct horse buttery", config())
	refused(t, err, custody.Invalid, keystore.FileName, "the passphrase is wrong")
	_, err = keystore.Open(dir, "", config())
	refused(t, err, custody.Invalid, "passphrase")
	other := config()
	other.Charter = custody.Hash{2}
	_, err = keystore.Open(dir, passphrase, other)
	refused(t, err, custody.Conflict, "belongs to the charter 01000000")
	other = config()
	other.Node = "node-b"
	_, err = keystore.Open(dir, passphrase, other)
	refused(t, err, custody.Conflict, "belongs to the node node-a")
	if !bytes.Equal(before, content(t, dir)) {
		t.Error("a refused Open changed the file")
	}

	for name, change := range map[string]func(*keystore.Config){
		"charter": func(c *keystore.Config) { c.Charter = custody.Hash{} },
		"node":    func(c *keystore.Config) { c.Node = "" },
		"now":     func(c *keystore.Config) { c.Now = nil },
	} {
		cfg := config()
		change(&cfg)
		_, err := keystore.Open(t.TempDir(), passphrase, cfg)
		refused(t, err, custody.Invalid, name)
	}
	for _, factor := range []int{keyfile.MinWorkFactor - 1, keyfile.MaxWorkFactor + 1} {
		cfg := config()
		cfg.WorkFactor = factor
		_, err := keystore.Open(t.TempDir(), passphrase, cfg)
		refused(t, err, custody.Invalid, "a work factor is 10 to 22")
	}
	empty := t.TempDir()
	_, err = keystore.Open(empty, "horse", config())
	refused(t, err, custody.Invalid, "at least 12 characters")
	open(t, empty, config()) // what was left there is no hindrance

	cfg := config()
	cfg.Random = bytes.NewReader(make([]byte, 31))
	if _, err := keystore.Open(t.TempDir(), passphrase, cfg); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a data key of too little randomness: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o600))
	if _, err := keystore.Open(file, passphrase, config()); err == nil {
		t.Error("opened in a file")
	}
	check(t, os.WriteFile(filepath.Join(filepath.Dir(file), keystore.FileName), []byte("no database"), 0o600))
	if _, err := keystore.Open(filepath.Dir(file), passphrase, config()); err == nil || !strings.Contains(err.Error(), keystore.FileName) {
		t.Errorf("opened no database: %v", err)
	}
}

// The default work factor is what the file says where Config doesn't.
func TestDefaultWorkFactor(t *testing.T) {
	if testing.Short() {
		t.Skip("scrypt takes a second and 256 MiB")
	}
	dir := t.TempDir()
	cfg := config()
	cfg.WorkFactor = 0
	check(t, open(t, dir, cfg).Close())
	open(t, dir, config())
}

func TestModesAndLock(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir, config())
	for name, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, keystore.FileName): 0o600} {
		info, err := os.Stat(name)
		check(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: mode %o, want %o", name, got, want)
		}
	}
	_, err := keystore.Open(dir, passphrase, config())
	refused(t, err, custody.Unavailable, "is open already")
	check(t, s.Close())
	open(t, dir, config())
}

func TestSaveShareRefuses(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), config())
	a, b := newShare(t, tss.SuiteEd25519, 1), newShare(t, tss.SuiteEd25519, 2)
	check(t, s.SaveShare(intent(1), a))
	refused(t, s.SaveShare(intent(2), a), custody.Conflict, "another share of the key")
	other := newShare(t, tss.SuiteEd25519, 1)
	other.T = hash.Digest{9}
	refused(t, s.SaveShare(intent(1), other), custody.Conflict, "another share of the key")
	holds(t, s, a, true)
	b.Clear()
	refused(t, s.SaveShare(intent(1), b), custody.Invalid, "share: ")
	holds(t, s, b, false)
}

func TestSettle(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, config())
	var shares []*tss.KeyShare
	var records [][]byte
	for i := range byte(6) {
		shares = append(shares, newShare(t, tss.SuiteEd25519+tss.Suite(-int(i%2)), i+1))
		check(t, s.SaveShare(intent(i/4), shares[i])) // the last two are of another ceremony
		record, err := s.Record(shares[i].Public.Bytes())
		check(t, err)
		records = append(records, record)
	}
	key := func(i int) []byte { return shares[i].Public.Bytes() }
	refused(t, s.Settle(intent(0), newShare(t, tss.SuiteEd25519, 99).Public.Bytes()), custody.NotFound)
	refused(t, s.Settle(intent(0), key(5)), custody.Conflict, "another ceremony")
	for _, share := range shares {
		holds(t, s, share, true)
	}

	check(t, s.Settle(intent(0), key(1)))
	check(t, s.Settle(intent(0), key(1)))
	settled := func() {
		t.Helper()
		raw := content(t, dir)
		for i, share := range shares {
			holds(t, s, share, i == 1 || i > 3)
			if i != 1 && i < 4 && bytes.Contains(raw, records[i][40:72]) {
				t.Errorf("candidate %d is in the file", i)
			}
		}
	}
	settled()
	refused(t, s.Settle(intent(0), key(2)), custody.NotFound)
	refused(t, s.SaveShare(intent(0), shares[2]), custody.Conflict, "was settled on the key")
	check(t, s.SaveShare(intent(0), shares[1]))
	settled()
	check(t, s.Close())
	s = open(t, dir, config())
	settled()

	// Erased by the next Open, or the next call, where a crash or an error came before.
	if erasing, err := s.SettleAlone(intent(1), key(4)); err != nil || !erasing {
		t.Fatal(erasing, err)
	}
	if !bytes.Contains(content(t, dir), records[5][40:72]) {
		t.Fatal("erased before its time: the test shows nothing")
	}
	left := content(t, dir)
	check(t, s.Settle(intent(1), key(4)))
	if bytes.Contains(content(t, dir), records[5][40:72]) {
		t.Error("candidate 5 is in the file after another call")
	}
	again := t.TempDir()
	check(t, os.WriteFile(filepath.Join(again, keystore.FileName), left, 0o600))
	for _, dir := range []string{dir, again} {
		check(t, s.Close())
		s = open(t, dir, config())
		holds(t, s, shares[4], true)
		holds(t, s, shares[5], false)
		if bytes.Contains(content(t, dir), records[5][40:72]) {
			t.Errorf("%s: candidate 5 is in the file after Open", dir)
		}
	}
}

// tap remembers what was read: the data key comes first.
type tap struct {
	mu   sync.Mutex
	read []byte
}

func (r *tap) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := rand.Read(p)
	r.read = append(r.read, p[:n]...)
	return n, err
}

func TestNoSecretInTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := config()
	random := new(tap)
	cfg.Random = random
	s := open(t, dir, cfg)
	secrets := [][]byte{random.read[:32], []byte(passphrase)}
	for i := range byte(8) {
		share := newShare(t, tss.SuiteEd25519, i+1)
		check(t, s.SaveShare(intent(i/2), share))
		x, ok := share.Secret(1)
		if !ok {
			t.Fatal("no secret")
		}
		secrets = append(secrets, x.Bytes(), share.ChainCode[:])
	}
	check(t, s.Settle(intent(0), newShare(t, tss.SuiteEd25519, 1).Public.Bytes()))
	check(t, s.Close())
	raw := content(t, dir)
	for i, secret := range secrets {
		backwards := slices.Clone(secret)
		slices.Reverse(backwards)
		if bytes.Contains(raw, secret) || bytes.Contains(raw, backwards) {
			t.Errorf("secret %d is in the file", i)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, s); got != "keystore of node-a" {
			t.Errorf("%s: %.1000s", verb, got)
		}
	}
	if public := newShare(t, tss.SuiteEd25519, 1).Public.Bytes(); !bytes.Contains(raw, public) {
		t.Error("not even the public key is in the file: the test shows nothing")
	}
}

func TestDamagedShare(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, config())
	a, b := newShare(t, tss.SuiteEd25519, 1), newShare(t, tss.SuiteEd25519, 2)
	key := a.Public.Bytes()
	check(t, s.SaveShare(intent(1), a))
	check(t, s.SaveShare(intent(1), b))
	good, err := s.Record(key)
	check(t, err)
	bad := func(what string, record []byte) {
		t.Helper()
		check(t, s.PutRecord(key, record))
		_, err := s.Share(key)
		refused(t, err, custody.Internal, fmt.Sprintf("the share of the key %x is damaged", key))
		refused(t, s.SaveShare(intent(1), a), custody.Internal, "is damaged")
		holds(t, s, b, true)
		if t.Failed() {
			t.Log(what)
		}
	}
	for i := range good {
		flipped := slices.Clone(good)
		flipped[i] ^= 1 << (i % 8)
		bad(fmt.Sprintf("byte %d", i), flipped)
		if i > 64 && i < len(good)-64 {
			continue
		}
		bad(fmt.Sprintf("cut at %d", i), good[:i])
	}
	moved, err := s.Record(b.Public.Bytes())
	check(t, err)
	bad("another key's", moved)

	// The same data key in the store of another charter opens nothing.
	zero := func(charter custody.Hash) *keystore.Store {
		cfg := config()
		cfg.Charter, cfg.Random = charter, bytes.NewReader(make([]byte, 1000))
		return open(t, t.TempDir(), cfg)
	}
	one, two := zero(custody.Hash{1}), zero(custody.Hash{2})
	check(t, one.SaveShare(intent(1), a))
	record, err := one.Record(key)
	check(t, err)
	check(t, two.PutRecord(key, record))
	_, err = two.Share(key)
	refused(t, err, custody.Internal, "is damaged, or not of this store")
	check(t, zero(custody.Hash{1}).PutRecord(key, record))
}

func TestQuorumHead(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), config())
	if note, err := s.QuorumHead(); err != nil || note != nil {
		t.Errorf("%q, %v", note, err)
	}
	for _, c := range []struct {
		note string
		size int64
		code custody.Code // Internal: taken
		want string
	}{
		{"", 1, custody.Invalid, ""},
		{strings.Repeat("x", 256<<10+1), 1, custody.Invalid, ""},
		{"zero", 0, custody.Invalid, ""},
		{"minus", -1, custody.Invalid, ""},
		{"five", 5, custody.Internal, "five"},
		{"four", 4, custody.Conflict, "five"},
		{"five again", 5, custody.Internal, "five again"},
		{"large", 1 << 62, custody.Internal, "large"},
		{"six", 6, custody.Conflict, "large"},
	} {
		err := s.SetQuorumHead([]byte(c.note), c.size)
		if custody.CodeOf(err) != c.code || (err == nil) != (c.code == custody.Internal) {
			t.Errorf("%.10s of %d: %v", c.note, c.size, err)
		}
		if note, err := s.QuorumHead(); err != nil || string(note) != c.want {
			t.Errorf("after %.10s: %s, %v", c.note, note, err)
		}
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, config())
	shares := make([]*tss.KeyShare, 8)
	for i := range shares {
		shares[i] = newShare(t, tss.SuiteEd25519, byte(i+1))
	}
	var counters sync.Map
	var fresh atomic.Int32
	var wg sync.WaitGroup
	for i := range shares {
		wg.Go(func() {
			in := intent(byte(i / 2))
			fail := func(err error) {
				if err != nil {
					t.Error(err)
				}
			}
			for j := range 5 {
				n, err := s.Log().NextCounter()
				fail(err)
				if _, twice := counters.LoadOrStore(n, true); twice {
					t.Errorf("%d was given out twice", n)
				}
				f, err := s.Log().Remember(hash.Digest{byte(j)}, start.Unix()+100)
				fail(err)
				if f {
					fresh.Add(1)
				}
				// The even ones win as soon as they are there.
				if err := s.SaveShare(in, shares[i]); err != nil && (i%2 == 0 || custody.CodeOf(err) != custody.Conflict) {
					t.Error(err)
				}
				got, err := s.Share(shares[i].Public.Bytes())
				if err == nil && !bytes.Equal(got.Bytes(), shares[i].Bytes()) {
					t.Error("another share")
				} else if err != nil && (i%2 == 0 || custody.CodeOf(err) != custody.NotFound) {
					t.Error(err)
				}
				if i%2 == 0 {
					fail(s.Settle(in, shares[i].Public.Bytes()))
				}
				fail(s.Heads().Save(context.Background(), []byte{byte(i + 1)}))
				if err := s.SetQuorumHead([]byte("head"), int64(j+1)); err != nil && custody.CodeOf(err) != custody.Conflict {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if fresh.Load() != 5 {
		t.Errorf("%d times new, want 5", fresh.Load())
	}
	if n, err := s.Log().NextCounter(); err != nil || n != 41 {
		t.Errorf("counter %d, %v", n, err)
	}

	// Close waits for nobody for ever, and nobody gets a torn answer.
	for range 4 {
		wg.Go(func() {
			for {
				if _, err := s.Log().NextCounter(); err != nil {
					if err.Error() != "keystore: closed" {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	check(t, s.Close())
	wg.Wait()
	s = open(t, dir, config())
	for i, share := range shares {
		holds(t, s, share, i%2 == 0)
	}
}
