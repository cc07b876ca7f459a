package journal_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/journal"
)

// The leaf inputs and roots that Certificate Transparency's implementations test with.
var (
	ctLeaves = []string{
		"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
	}
	ctRoots = []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
)

func TestCertificateTransparencyRoots(t *testing.T) {
	t.Parallel()
	var tree journal.Tree
	var edge journal.Frontier
	for n, want := range ctRoots {
		if got := edge.Root(); hex.EncodeToString(got[:]) != want {
			t.Errorf("frontier of %d: %x, not %s", n, got, want)
		}
		if got, err := tree.Root(int64(n)); err != nil || hex.EncodeToString(got[:]) != want {
			t.Errorf("tree of %d: %x, not %s: %v", n, got, want, err)
		}
		if n == len(ctLeaves) {
			break
		}
		leaf, err := hex.DecodeString(ctLeaves[n])
		if err != nil {
			t.Fatal(err)
		}
		if i, err := tree.Append(leaf); err != nil || i != int64(n) {
			t.Fatal(i, err)
		}
		if _, err := edge.Append(journal.LeafHash(leaf)); err != nil {
			t.Fatal(err)
		}
	}
	if edge != tree.Frontier() {
		t.Error("the frontiers differ")
	}
	if got := journal.EmptyRoot(); hex.EncodeToString(got[:]) != ctRoots[0] {
		t.Errorf("empty root %x", got)
	}
}

func leafOf(i int64) journal.Hash { return journal.LeafHash(fmt.Appendf(nil, "entry %d", i)) }

func grow(tb interface{ Fatal(...any) }, n int64) *journal.Tree {
	tree := new(journal.Tree)
	for i := range n {
		if _, err := tree.AppendLeaf(leafOf(i)); err != nil {
			tb.Fatal(err)
		}
	}
	return tree
}

// The tree stores what tlog stores, and the frontier's root is that of tlog and of
// transparency-dev's compact range, at every size.
func TestFrontierAgainstOthers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 300).Draw(t, "n")
		var edge journal.Frontier
		var stored []journal.Hash
		read := tlog.HashReaderFunc(func(indexes []int64) ([]journal.Hash, error) {
			out := make([]journal.Hash, len(indexes))
			for i, index := range indexes {
				out[i] = stored[index]
			}
			return out, nil
		})
		factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
		other := factory.NewEmptyRange(0)
		for i := range n {
			want, err := tlog.StoredHashesForRecordHash(i, leafOf(i), read)
			if err != nil {
				t.Fatal(err)
			}
			got, err := edge.Append(leafOf(i))
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("at %d: stores %v, tlog %v: %v", i, got, want, err)
			}
			if first := tlog.StoredHashIndex(0, i); first != int64(len(stored)) {
				t.Fatalf("entry %d is stored at %d, not %d", i, len(stored), first)
			}
			stored = append(stored, got...)
			leaf := leafOf(i)
			if err := other.Append(leaf[:], nil); err != nil {
				t.Fatal(err)
			}
		}
		root, err := tlog.TreeHash(n, read)
		if err != nil || edge.Root() != root || edge.Size() != n {
			t.Fatalf("root of %d: %v, tlog %v: %v", n, edge.Root(), root, err)
		}
		otherRoot, err := other.GetRootHash(nil)
		if err != nil || (n > 0 && string(otherRoot) != string(root[:])) {
			t.Fatalf("root of %d: compact range %x: %v", n, otherRoot, err)
		}
		again, err := journal.NewFrontier(n, read)
		if err != nil || again != edge {
			t.Fatalf("frontier read back: %v", err)
		}
		text, err := edge.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var parsed journal.Frontier
		if err := parsed.UnmarshalText(text); err != nil || parsed != edge {
			t.Fatalf("%s: %v", text, err)
		}
	})
}

func TestFrontierText(t *testing.T) {
	t.Parallel()
	edge := grow(t, 3).Frontier()
	text, err := edge.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	// The first tree of two, then the third leaf.
	l, r := leafOf(0), leafOf(1)
	if want := fmt.Sprintf("3 %s %s", tlog.NodeHash(l, r), leafOf(2)); string(text) != want {
		t.Errorf("%s, not %s", text, want)
	}
	h := leafOf(0).String()
	for _, bad := range []string{
		"", " ", "-0", "-1", "00", "01 " + h, "+1 " + h, "1", "1 ", "1  " + h, "1 " + h + " ", "1 " + h + " " + h, "0 ", "0 " + h, "2",
		"1 " + h[:43], "1 " + h[:42] + "/=", "1 " + h + "=", "1\n" + h, "1 " + h + "\n", "1 " + h[:20] + "\n" + h[20:],
		"9007199254740992 " + h, "18446744073709551616 " + h, "1e0 " + h, "0x1 " + h,
	} {
		got := edge
		if err := got.UnmarshalText([]byte(bad)); !errors.Is(err, journal.ErrFrontier) || got != edge {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A journal of MaxSize takes no more, and says so.
func TestFull(t *testing.T) {
	t.Parallel()
	text := "9007199254740991" + strings.Repeat(" "+leafOf(0).String(), bits.OnesCount64(journal.MaxSize))
	var edge journal.Frontier
	if err := edge.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	root := edge.Root()
	if _, err := edge.Append(leafOf(1)); !errors.Is(err, journal.ErrSize) || edge.Root() != root {
		t.Errorf("appended to a full journal: %v", err)
	}
	// Proofs at the largest size: refused or checked, in bounded time.
	for _, size := range []int64{journal.MaxSize, journal.MaxSize + 1, 1<<63 - 1, -1} {
		if journal.CheckInclusion(make(journal.Proof, 53), 5, leafOf(0), size, root) == nil {
			t.Errorf("a proof of zeros in a tree of %d", size)
		}
		if journal.CheckConsistency(make(journal.Proof, 53), 5, leafOf(0), size, root) == nil {
			t.Errorf("a consistency proof of zeros in a tree of %d", size)
		}
		if _, err := journal.Root(size, new(journal.Tree)); !errors.Is(err, journal.ErrSize) {
			t.Errorf("root of %d of an empty tree: %v", size, err)
		}
		if _, err := journal.NewFrontier(size, new(journal.Tree)); !errors.Is(err, journal.ErrSize) {
			t.Errorf("frontier of %d of an empty tree: %v", size, err)
		}
	}
}

// shape is what a proof check does with each hash, which is all that index and sizes
// decide. Two checks of one shape accept the same proofs.
func inclusionShape(index, size int64) string {
	if size <= 1 {
		return ""
	}
	k := int64(1) << (bits.Len64(uint64(size-1)) - 1)
	if index < k {
		return inclusionShape(index, k) + "r"
	}
	return inclusionShape(index-k, size-k) + "l"
}

func consistencyShape(old, size int64, whole bool) string {
	if old == size {
		return map[bool]string{true: "o", false: "x"}[whole]
	}
	k := int64(1) << (bits.Len64(uint64(size-1)) - 1)
	if old <= k {
		return consistencyShape(old, k, whole) + "r"
	}
	return consistencyShape(old-k, size-k, false) + "l"
}

// Every proof verifies, here and with transparency-dev's verifier; with any bit of proof,
// leaf or root flipped it fails; with any bit of index or size flipped it fails as well,
// unless the other numbers give a check of the very same shape.
func TestInclusionProofs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 200).Draw(t, "size")
		index := rapid.Int64Range(0, size-1).Draw(t, "index")
		tree := grow(t, size+rapid.Int64Range(0, 20).Draw(t, "more"))
		root, err := tree.Root(size)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := tree.Leaf(index)
		if err != nil || leaf != leafOf(index) {
			t.Fatal("wrong leaf", err)
		}
		p, err := journal.ProveInclusion(index, size, tree)
		if err != nil {
			t.Fatal(err)
		}
		if err := journal.CheckInclusion(p, index, leaf, size, root); err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(size), leaf[:], rawHashes(p), root[:]); err != nil {
			t.Fatalf("transparency-dev: %v", err)
		}
		flips(p, func(name string, q journal.Proof) {
			if err := journal.CheckInclusion(q, index, leaf, size, root); !errors.Is(err, journal.ErrProof) {
				t.Fatalf("%s: %v", name, err)
			}
		})
		for bit := range 256 {
			if journal.CheckInclusion(p, index, flip(leaf, bit), size, root) == nil || journal.CheckInclusion(p, index, leaf, size, flip(root, bit)) == nil {
				t.Fatalf("bit %d of leaf or root doesn't matter", bit)
			}
		}
		for bit := range 64 {
			i, s := index^1<<bit, size^1<<bit
			if journal.CheckInclusion(p, i, leaf, size, root) == nil {
				t.Fatalf("the proof of entry %d proves it at %d of %d", index, i, size)
			}
			same := s > index && s <= journal.MaxSize && inclusionShape(index, s) == inclusionShape(index, size)
			if err := journal.CheckInclusion(p, index, leaf, s, root); (err == nil) != same {
				t.Fatalf("entry %d: the proof in %d, checked in %d: %v", index, size, s, err)
			}
		}
	})
}

func TestConsistencyProofs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 200).Draw(t, "size")
		old := rapid.Int64Range(0, size).Draw(t, "old")
		tree := grow(t, size)
		root, err := tree.Root(size)
		if err != nil {
			t.Fatal(err)
		}
		oldRoot, err := tree.Root(old)
		if err != nil {
			t.Fatal(err)
		}
		p, err := journal.ProveConsistency(old, size, tree)
		if err != nil {
			t.Fatal(err)
		}
		if err := journal.CheckConsistency(p, old, oldRoot, size, root); err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(old), uint64(size), rawHashes(p), oldRoot[:], root[:]); err != nil {
			t.Fatalf("transparency-dev: %v", err)
		}
		flips(p, func(name string, q journal.Proof) {
			if err := journal.CheckConsistency(q, old, oldRoot, size, root); !errors.Is(err, journal.ErrProof) {
				t.Fatalf("%s: %v", name, err)
			}
		})
		for bit := range 256 {
			if journal.CheckConsistency(p, old, flip(oldRoot, bit), size, root) == nil ||
				old > 0 && journal.CheckConsistency(p, old, oldRoot, size, flip(root, bit)) == nil {
				t.Fatalf("bit %d of a root doesn't matter", bit)
			}
		}
		for bit := range 64 {
			o, s := old^1<<bit, size^1<<bit
			for _, c := range [][2]int64{{o, size}, {old, s}} {
				o, s := c[0], c[1]
				same := o >= 0 && s >= o && s <= journal.MaxSize && (old == 0 && o == 0 && s > 0 ||
					o > 0 && old > 0 && consistencyShape(o, s, true) == consistencyShape(old, size, true))
				if err := journal.CheckConsistency(p, o, oldRoot, s, root); (err == nil) != same {
					t.Fatalf("the proof of %d in %d, checked for %d in %d: %v", old, size, o, s, err)
				}
			}
		}
	})
}

func flip(h journal.Hash, bit int) journal.Hash {
	h[bit/8] ^= 1 << (bit % 8)
	return h
}

// flips calls f with each single bit of p flipped, p shortened, lengthened and far too long.
func flips(p journal.Proof, f func(string, journal.Proof)) {
	for i := range p {
		for bit := range 256 {
			q := append(journal.Proof{}, p...)
			q[i] = flip(q[i], bit)
			f(fmt.Sprintf("hash %d bit %d flipped", i, bit), q)
		}
	}
	if len(p) > 0 {
		f("one hash less", p[:len(p)-1])
		f("without the first hash", p[1:])
	}
	f("one hash more", append(append(journal.Proof{}, p...), journal.Hash{}))
	f("too long", make(journal.Proof, journal.MaxProof+1))
}

func rawHashes(p journal.Proof) [][]byte {
	out := make([][]byte, len(p))
	for i := range p {
		out[i] = p[i][:]
	}
	return out
}

func TestBounds(t *testing.T) {
	t.Parallel()
	tree := grow(t, 5)
	for name, err := range map[string]error{
		"leaf -1":             second(tree.Leaf(-1)),
		"leaf 5":              second(tree.Leaf(5)),
		"root -1":             second(tree.Root(-1)),
		"root 6":              second(tree.Root(6)),
		"prove entry 5 of 5":  second(journal.ProveInclusion(5, 5, tree)),
		"prove entry 0 of 6":  second(journal.ProveInclusion(0, 6, tree)),
		"prove 6 in 5":        second(journal.ProveConsistency(6, 5, tree)),
		"prove -1 in 5":       second(journal.ProveConsistency(-1, 5, tree)),
		"prove 3 in 6":        second(journal.ProveConsistency(3, 6, tree)),
		"check entry 5 of 5":  journal.CheckInclusion(nil, 5, journal.Hash{}, 5, journal.Hash{}),
		"check 6 in 5":        journal.CheckConsistency(nil, 6, journal.Hash{}, 5, journal.Hash{}),
		"divergence up to -1": second(journal.Divergence(-1, nil, nil)),
	} {
		if !errors.Is(err, journal.ErrSize) {
			t.Errorf("%s: %v", name, err)
		}
	}
	short := tlog.HashReaderFunc(func([]int64) ([]journal.Hash, error) { return nil, nil })
	if _, err := journal.NewFrontier(5, short); err == nil {
		t.Error("a reader that gives nothing")
	}
}

func second[T any](_ T, err error) error { return err }

func TestDivergence(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64Range(0, 100).Draw(t, "a"), rapid.Int64Range(0, 100).Draw(t, "b")
		from := rapid.Int64Range(0, 110).Draw(t, "from")
		one, two := grow(t, a), new(journal.Tree)
		for i := range b {
			leaf := leafOf(i)
			if i >= from {
				leaf = leafOf(-i - 1)
			}
			if _, err := two.AppendLeaf(leaf); err != nil {
				t.Fatal(err)
			}
		}
		got, err := journal.Divergence(min(a, b), one.Root, two.Root)
		if err != nil || got != min(a, b, from) {
			t.Fatalf("logs of %d and %d that differ from %d: %d, %v", a, b, from, got, err)
		}
	})
}

func FuzzFrontier(f *testing.F) {
	text, err := grow(f, 5).Frontier().MarshalText()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add("0")
	f.Fuzz(func(t *testing.T, s string) {
		var edge journal.Frontier
		if edge.UnmarshalText([]byte(s)) != nil {
			return
		}
		if text, err := edge.MarshalText(); err != nil || string(text) != s {
			t.Errorf("%q is accepted and isn't what is written", s)
		}
		edge.Root()
		_, _ = edge.Append(journal.Hash{})
	})
}

func BenchmarkAppend(b *testing.B) {
	tree, entry := new(journal.Tree), make([]byte, 1000)
	for b.Loop() {
		if _, err := tree.Append(entry); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFrontierAppend(b *testing.B) {
	edge, leaf := new(journal.Frontier), leafOf(0)
	for b.Loop() {
		if _, err := edge.Append(leaf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInclusion(b *testing.B) {
	const size = 1 << 20
	tree := grow(b, size)
	root, err := tree.Root(size)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("prove", func(b *testing.B) {
		for i := int64(0); b.Loop(); i++ {
			if _, err := journal.ProveInclusion(i*7919%size, size, tree); err != nil {
				b.Fatal(err)
			}
		}
	})
	p, err := journal.ProveInclusion(7919, size, tree)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if err := journal.CheckInclusion(p, 7919, leafOf(7919), size, root); err != nil {
				b.Fatal(err)
			}
		}
	})
}
