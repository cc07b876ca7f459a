package bitcoin

import (
	"encoding/hex"
	"strings"
	"testing"
)

// TestBIP341 computes the one hash of BIP-341's wallet test vectors
// (keyPathSpending) that is of SIGHASH_DEFAULT: input 4.
func TestBIP341(t *testing.T) {
	t.Parallel()
	raw, err := hex.DecodeString(strings.Join([]string{
		"02000000097de20cbff686da83a54981d2b9bab3586f4ca7e48f57f5b55963115f3b334e9c0100000000",
		"00000000d7b7cab57b1393ace2d064f4d4a2cb8af6def61273e127517d44759b6dafdd9900000000",
		"00fffffffff8e1f583384333689228c5d28eac13366be082dc57441760d957275419a41842000000",
		"0000fffffffff0689180aa63b30cb162a73c6d2a38b7eeda2a83ece74310fda0843ad604853b0100",
		"000000feffffffaa5202bdf6d8ccd2ee0f0202afbbb7461d9264a25e5bfd3c5a52ee1239e0ba6c00",
		"00000000feffffff956149bdc66faa968eb2be2d2faa29718acbfe3941215893a2a3446d32acd050",
		"000000000000000000e664b9773b88c09c32cb70a2a3e4da0ced63b7ba3b22f848531bbb1d5d5f4c",
		"94010000000000000000e9aa6b8e6c9de67619e6a3924ae25696bb7b694bb677a632a74ef7eadfd4",
		"eabf0000000000ffffffffa778eb6a263dc090464cd125c466b5a99667720b1c110468831d058aa1",
		"b82af10100000000ffffffff0200ca9a3b000000001976a91406afd46bcdfd22ef94ac122aa11f24",
		"1244a37ecc88ac807840cb0000000020ac9a87f5594be208f8532db38cff670c450ed2fea8fcdefc",
		"c9a663f78bab962b0065cd1d",
	}, ""))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := readTransaction(raw)
	if err != nil {
		t.Fatal(err)
	}
	var spent []txOut
	for _, out := range []struct {
		amount uint64
		script string
	}{
		{420_000_000, "512053a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343"},
		{462_000_000, "5120147c9c57132f6e7ecddba9800bb0c4449251c92a1e60371ee77557b6620f3ea3"},
		{294_000_000, "76a914751e76e8199196d454941c45d1b3a323f1433bd688ac"},
		{504_000_000, "5120e4d810fd50586274face62b8a807eb9719cef49c04177cc6b76a9a4251d5450e"},
		{630_000_000, "512091b64d5324723a985170e4dc5a0f84c041804f2cd12660fa5dec09fc21783605"},
		{378_000_000, "00147dd65592d0ab2fe0d0257d571abf032cd9db93dc"},
		{672_000_000, "512075169f4001aa68f15bbed28b218df1d0a62cbbcf1188c6665110c293c907b831"},
		{546_000_000, "5120712447206d7a5238acc7ff53fbe94a3b64539ad291c7cdbc490b7577e4b17df5"},
		{588_000_000, "512077e30a5522dd9f894c3f8b8bd4c4b2cf82ca7da8a3ea6a239655c39c050ab220"},
	} {
		script, err := hex.DecodeString(out.script)
		if err != nil {
			t.Fatal(err)
		}
		spent = append(spent, txOut{out.amount, script})
	}
	const want = "4f900a0bae3f1446fd48490c2958b5a023228f01661cda3496a11da502a7f7ef"
	if got := hex.EncodeToString(signatureHashes(tx, spent)[4]); got != want {
		t.Errorf("hash of input 4: %s, want %s", got, want)
	}
}
