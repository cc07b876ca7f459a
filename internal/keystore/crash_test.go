package keystore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/keystore"
	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/hash"
)

// observe opens a store of these bytes and tells all that it knows.
func observe(t *testing.T, raw []byte, shares []*tss.KeyShare) string {
	t.Helper()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, keystore.FileName), raw, 0o600))
	s, err := keystore.Open(dir, passphrase, config())
	check(t, err)
	defer s.Close() //nolint:errcheck // nobody needs it any more
	var out strings.Builder
	for _, share := range shares {
		got, err := s.Share(share.Public.Bytes())
		fmt.Fprint(&out, err == nil && bytes.Equal(got.Bytes(), share.Bytes()), " ")
	}
	cosigned, err := s.Heads().Load(t.Context())
	check(t, err)
	quorum, err := s.QuorumHead()
	check(t, err)
	// These write, and so come last; a store after a crash takes writes.
	counter, err := s.Log().NextCounter()
	check(t, err)
	fresh, err := s.Log().Remember(hash.Digest{1}, start.Unix()+60)
	check(t, err)
	fmt.Fprintf(&out, "%s %s %d %v", cosigned, quorum, counter, fresh)
	return out.String()
}

// A crash at any write of any change leaves the store as it was before the change, and
// one that works. Writes are those of bbolt: all pages but the meta page, and when they
// are on the disk the meta page.
func TestCrash(t *testing.T) {
	t.Parallel()
	const page = 4096
	if os.Getpagesize() != page {
		t.Skip("the pages of the file have another size")
	}
	dir := t.TempDir()
	s := open(t, dir, config())
	shares := []*tss.KeyShare{newShare(t, tss.SuiteEd25519, 1), newShare(t, tss.SuiteBIP340, 2), newShare(t, tss.SuiteEd25519, 3)}
	for n, step := range []func() error{
		func() error { return s.SaveShare(intent(1), shares[0]) },
		func() error { return s.SaveShare(intent(1), shares[1]) },
		func() error { _, err := s.Log().NextCounter(); return err },
		func() error { _, err := s.Log().Remember(hash.Digest{1}, start.Unix()+60); return err },
		func() error { return s.Heads().Save(t.Context(), bytes.Repeat([]byte("h"), 3*page)) },
		func() error { return s.SetQuorumHead([]byte("q"), 3) },
		func() error { return s.SaveShare(intent(1), shares[2]) },
		func() error { _, err := s.SettleAlone(intent(1), shares[1].Public.Bytes()); return err },
	} {
		before := content(t, dir)
		check(t, step())
		after := content(t, dir)
		old, now := observe(t, before, shares), observe(t, after, shares)
		if old == now {
			t.Fatalf("step %d changes nothing", n)
		}
		crashed := make([]byte, len(after))
		copy(crashed, before)
		metas := 0
		for at := 2 * page; at < len(after); at += page {
			if !bytes.Equal(crashed[at:at+page], after[at:at+page]) {
				copy(crashed[at:at+page/2], after[at:at+page/2])
				if got := observe(t, crashed, shares); got != old {
					t.Fatalf("step %d, page %d torn: %s, want %s", n, at/page, got, old)
				}
				copy(crashed[at:at+page], after[at:at+page])
				if got := observe(t, crashed, shares); got != old {
					t.Fatalf("step %d, page %d: %s, want %s", n, at/page, got, old)
				}
			}
		}
		for at := 0; at < 2*page; at += page {
			if bytes.Equal(before[at:at+page], after[at:at+page]) {
				continue
			}
			metas++
			// The meta page has 16 bytes of header and 64 of content with their checksum.
			for cut := at + 17; cut < at+80; cut += 7 {
				copy(crashed[at:cut], after[at:cut])
				if bytes.Equal(crashed[at:at+page], after[at:at+page]) {
					break
				}
				if got := observe(t, crashed, shares); got != old {
					t.Fatalf("step %d, meta page cut at %d: %s, want %s", n, cut-at, got, old)
				}
			}
		}
		if metas != 1 {
			t.Fatalf("step %d: %d meta pages were written, want 1", n, metas)
		}
	}
}

// Whatever becomes of the file, opening and using it ends, without a panic, and no
// share comes out that didn't go in.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, config())
	share := newShare(t, tss.SuiteEd25519, 1)
	for i := range byte(20) {
		check(t, s.SaveShare(intent(i), newShare(t, tss.SuiteEd25519, i+1)))
	}
	check(t, s.Close())
	good := content(t, dir)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 120 {
		bad := bytes.Clone(good)
		switch i % 3 {
		case 0: // a bit anywhere
			bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		case 1: // bytes in the head of a page
			at := r.IntN(len(bad)/4096) * 4096
			for range 4 {
				bad[at+r.IntN(64)] = byte(r.Uint32())
			}
		case 2: // cut
			bad = bad[:r.IntN(len(bad))]
		}
		other := t.TempDir()
		check(t, os.WriteFile(filepath.Join(other, keystore.FileName), bad, 0o600))
		s, err := keystore.Open(other, passphrase, config())
		if err != nil {
			continue
		}
		if got, err := s.Share(share.Public.Bytes()); err == nil && !bytes.Equal(got.Bytes(), share.Bytes()) {
			t.Fatal("another share")
		}
		_ = s.SaveShare(intent(30), newShare(t, tss.SuiteEd25519, 30))
		_, _ = s.Log().NextCounter()
		_ = s.Settle(intent(0), share.Public.Bytes())
		check(t, s.Close())
	}
}
