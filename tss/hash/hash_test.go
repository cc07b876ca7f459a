package hash_test

import (
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/tss/hash"
)

func TestKnownAnswers(t *testing.T) {
	t.Parallel()
	sum := hash.Sum("kat/a", []byte{1}, []byte{2, 3})
	if got, want := hex.EncodeToString(sum[:]), "1f6614b90eac000ecd2309bdff307f8e00ea356f0c41ca28d1e7003412e197ce"; got != want {
		t.Errorf("Sum: %s, want %s", got, want)
	}
	want := "2fedc20ffa77d7dc68a942d45e55c3d46e74a68a7a9f59716de88c7a7e5913899cdeb667a8a25afe9720f0dfe9afd65c" +
		"0610eb70deb51980d6f8ad91ff6d46e3abc90e2b8fcdd4b591e3af89dc53b344"
	if got := hex.EncodeToString(hash.Expand("kat/a", 80, []byte{1}, []byte{2, 3})); got != want {
		t.Errorf("Expand: %s, want %s", got, want)
	}
}

// Attack A53: inputs that concatenate to the same bytes must not hash alike.
func TestSumIsInjective(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 1, 64).Draw(t, "bytes")
		i := rapid.IntRange(0, len(b)).Draw(t, "i")
		j := rapid.IntRange(0, len(b)).Draw(t, "j")
		one, other := hash.Sum("t", b[:i], b[i:]), hash.Sum("t", b[:j], b[j:])
		if (i == j) != (one == other) {
			t.Fatalf("split at %d and at %d of %x", i, j, b)
		}
		if one == hash.Sum("t", b) || one == hash.Sum("t", b[:i], b[i:], nil) {
			t.Fatalf("the number of parts doesn't count")
		}
		if i > 0 && hash.Sum("t"+string(b[:i]), b[i:]) == hash.Sum("t", b) {
			t.Fatalf("bytes move from a part into the tag")
		}
	})
}

func TestLongInput(t *testing.T) {
	t.Parallel()
	long := make([]byte, 5000) // more than the stack buffer
	if hash.Sum("t", long) == hash.Sum("t", long[1:]) {
		t.Error("length doesn't count")
	}
}
