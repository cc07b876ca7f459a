package frost

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"os"
	"slices"
	"testing"

	"github.com/cofferhq/coffer/tss"
	"github.com/cofferhq/coffer/tss/group"
)

// rfcSecp256k1 is FROST(secp256k1, SHA-256) of RFC 9591 §6.5, which signs for no
// verifier in use: it is here for its vectors alone.
var rfcSecp256k1 = func() ciphersuite {
	const context = "FROST-secp256k1-SHA256-v1"
	cs := bip340
	cs.context, cs.xOnly = context, false
	cs.challenge = func(r, public group.Point, message []byte) group.Scalar {
		return hashToField(context, "chal", public.AppendBytes(r.Bytes()), message)
	}
	cs.encode = func(r group.Point, z group.Scalar) []byte { return z.AppendBytes(r.Bytes()) }
	cs.verify = func(public group.Point, message, sig []byte) bool {
		r, errR := group.Secp256k1.DecodePoint(sig[:33])
		z, errZ := group.Secp256k1.DecodeScalar(sig[33:])
		return errR == nil && errZ == nil && group.Secp256k1.BaseMul(z).Equal(r.Add(public.Mul(cs.challenge(r, public, message))))
	}
	return cs
}()

type vector struct {
	name            string
	suite           *ciphersuite
	message, public string
	taproot         *Taproot
	output          string // x of the key that the signature is for
	signers         []vectorSigner
	signature       string
}

type vectorSigner struct {
	id                          uint16
	share                       string
	hidingRandom, bindingRandom string
	hidingNonce, bindingNonce   string
	d, e                        string
	bindingInput, bindingFactor string
	z                           string
}

var vectors = []vector{
	{
		name: "RFC 9591 Ed25519", suite: &ed25519SHA512,
		message: "74657374", public: "15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673",
		signers: []vectorSigner{
			{
				id: 1, share: "929dcc590407aae7d388761cddb0c0db6f5627aea8e217f4a033f2ec83d93509",
				hidingRandom: "0fd2e39e111cdc266f6c0f4d0fd45c947761f1f5d3cb583dfcb9bbaf8d4c9fec", bindingRandom: "69cd85f631d5f7f2721ed5e40519b1366f340a87c2f6856363dbdcda348a7501",
				hidingNonce: "812d6104142944d5a55924de6d49940956206909f2acaeedecda2b726e630407", bindingNonce: "b1110165fc2334149750b28dd813a39244f315cff14d4e89e6142f262ed83301",
				d:             "b5aa8ab305882a6fc69cbee9327e5a45e54c08af61ae77cb8207be3d2ce13de3",
				e:             "67e98ab55aa310c3120418e5050c9cf76cf387cb20ac9e4b6fdb6f82a469f932",
				bindingInput:  "15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673504df914fa965023fb75c25ded4bb260f417de6d32e5c442c6ba313791cc9a4948d6273e8d3511f93348ea7a708a9b862bc73ba2a79cfdfe07729a193751cbc973af46d8ac3440e518d4ce440a0e7d4ad5f62ca8940f32de6d8dc00fc12c660b817d587d82f856d277ce6473cae6d2f5763f7da2e8b4d799a3f3e725d4522ec70100000000000000000000000000000000000000000000000000000000000000",
				bindingFactor: "f2cb9d7dd9beff688da6fcc83fa89046b3479417f47f55600b106760eb3b5603", z: "001719ab5a53ee1a12095cd088fd149702c0720ce5fd2f29dbecf24b7281b603",
			},
			{
				id: 3, share: "d3cb090a075eb154e82fdb4b3cb507f110040905468bb9c46da8bdea643a9a02",
				hidingRandom: "86d64a260059e495d0fb4fcc17ea3da7452391baa494d4b00321098ed2a0062f", bindingRandom: "13e6b25afb2eba51716a9a7d44130c0dbae0004a9ef8d7b5550c8a0e07c61775",
				hidingNonce: "c256de65476204095ebdc01bd11dc10e57b36bc96284595b8215222374f99c0e", bindingNonce: "243d71944d929063bc51205714ae3c2218bd3451d0214dfb5aeec2a90c35180d",
				d:             "cfbdb165bd8aad6eb79deb8d287bcc0ab6658ae57fdcc98ed12c0669e90aec91",
				e:             "7487bc41a6e712eea2f2af24681b58b1cf1da278ea11fe4e8b78398965f13552",
				bindingInput:  "15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673504df914fa965023fb75c25ded4bb260f417de6d32e5c442c6ba313791cc9a4948d6273e8d3511f93348ea7a708a9b862bc73ba2a79cfdfe07729a193751cbc973af46d8ac3440e518d4ce440a0e7d4ad5f62ca8940f32de6d8dc00fc12c660b817d587d82f856d277ce6473cae6d2f5763f7da2e8b4d799a3f3e725d4522ec70300000000000000000000000000000000000000000000000000000000000000",
				bindingFactor: "b087686bf35a13f3dc78e780a34b0fe8a77fef1b9938c563f5573d71d8d7890f", z: "bd86125de990acc5e1f13781d8e32c03a9bbd4c53539bbc106058bfd14326007",
			},
		},
		signature: "36282629c383bb820a88b71cae937d41f2f2adfcc3d02e55507e2fb9e2dd3cbebd9d2b0844e49ae0f3fa935161e1419aab7b47d21a37ebeae1f17d4987b3160b",
	},
	{
		name: "RFC 9591 secp256k1", suite: &rfcSecp256k1,
		message: "74657374", public: "02f37c34b66ced1fb51c34a90bdae006901f10625cc06c4f64663b0eae87d87b4f",
		signers: []vectorSigner{
			{
				id: 1, share: "08f89ffe80ac94dcb920c26f3f46140bfc7f95b493f8310f5fc1ea2b01f4254c",
				hidingRandom: "7ea5ed09af19f6ff21040c07ec2d2adbd35b759da5a401d4c99dd26b82391cb2", bindingRandom: "47acab018f116020c10cb9b9abdc7ac10aae1b48ca6e36dc15acb6ec9be5cdc5",
				hidingNonce: "841d3a6450d7580b4da83c8e618414d0f024391f2aeb511d7579224420aa81f0", bindingNonce: "8d2624f532af631377f33cf44b5ac5f849067cae2eacb88680a31e77c79b5a80",
				d:             "03c699af97d26bb4d3f05232ec5e1938c12f1e6ae97643c8f8f11c9820303f1904",
				e:             "02fa2aaccd51b948c9dc1a325d77226e98a5a3fe65fe9ba213761a60123040a45e",
				bindingInput:  "02f37c34b66ced1fb51c34a90bdae006901f10625cc06c4f64663b0eae87d87b4fff9b5210ffbb3c07a73a7c8935be4a8c62cf015f6cf7ade6efac09a6513540fc3f5a816aaebc2114a811a415d7a55db7c5cbc1cf27183e79dd9def941b5d48010000000000000000000000000000000000000000000000000000000000000001",
				bindingFactor: "3e08fe561e075c653cbfd46908a10e7637c70c74f0a77d5fd45d1a750c739ec6", z: "c4fce1775a1e141fb579944166eab0d65eefe7b98d480a569bbbfcb14f91c197",
			},
			{
				id: 3, share: "00e95d59dd0d46b0e303e500b62b7ccb0e555d49f5b849f5e748c071da8c0dbc",
				hidingRandom: "e6cc56ccbd0502b3f6f831d91e2ebd01c4de0479e0191b66895a4ffd9b68d544", bindingRandom: "7203d55eb82a5ca0d7d83674541ab55f6e76f1b85391d2c13706a89a064fd5b9",
				hidingNonce: "2b19b13f193f4ce83a399362a90cdc1e0ddcd83e57089a7af0bdca71d47869b2", bindingNonce: "7a443bde83dc63ef52dda354005225ba0e553243402a4705ce28ffaafe0f5b98",
				d:             "03077507ba327fc074d2793955ef3410ee3f03b82b4cdc2370f71d865beb926ef6",
				e:             "02ad53031ddfbbacfc5fbda3d3b0c2445c8e3e99cbc4ca2db2aa283fa68525b135",
				bindingInput:  "02f37c34b66ced1fb51c34a90bdae006901f10625cc06c4f64663b0eae87d87b4fff9b5210ffbb3c07a73a7c8935be4a8c62cf015f6cf7ade6efac09a6513540fc3f5a816aaebc2114a811a415d7a55db7c5cbc1cf27183e79dd9def941b5d48010000000000000000000000000000000000000000000000000000000000000003",
				bindingFactor: "93f79041bb3fd266105be251adaeb5fd7f8b104fb554a4ba9a0becea48ddbfd7", z: "0160fd0d388932f4826d2ebcd6b9eaba734f7c71cf25b4279a4ca2581e47b18d",
			},
		},
		signature: "0205b6d04d3774c8929413e3c76024d54149c372d57aae62574ed74319b5ea14d0c65dde8492a7471437e6c2fe3da49b90d23f642b5c6dbe7e36089f096dd97324",
	},
	{
		name: "BIP-340, even key", suite: &bip340,
		message: "74657374", public: "02f37c34b66ced1fb51c34a90bdae006901f10625cc06c4f64663b0eae87d87b4f",
		signers: []vectorSigner{
			{
				id: 1, share: "08f89ffe80ac94dcb920c26f3f46140bfc7f95b493f8310f5fc1ea2b01f4254c",
				hidingRandom: "bda8e748e599187762cff956f03dc6ea13fc8e04491a0427b7e6e78600f41c52", bindingRandom: "2ca682429bf05df435b9927b8edb1d748278f3e42fa11ef358e49bbf4a1b780d",
				hidingNonce: "58cd30723da418156fe9b71870a118e0bbc3d0353ba7c760f9bbc8d60c3dab29", bindingNonce: "c22289cc43b82ed938d4b2288efb7381c405fb59f5d43bddc543d98838c60b19",
				d:             "024e34ab3a7ad6b4563dbfe97e9f1206b3378cceb2502491ed0fb709765e1e5ba8",
				e:             "03d4b1f3a61dc67e64dfb4abfccabb712f1f6914a6ec9b67749d171370453192cb",
				bindingInput:  "02f37c34b66ced1fb51c34a90bdae006901f10625cc06c4f64663b0eae87d87b4fc709887b880e002210593616e086c2a0652d18bad338a3d3987251602e45e0a5a875faacc4377f0b6e4638c16db01b5f88070873ee789f5e9e6acf91f52fdd030000000000000000000000000000000000000000000000000000000000000001",
				bindingFactor: "55a3e44879db6daf00c81eb28e828869560c0901f347baff524f1c91a6669604", z: "2ffc305d1694fd84108b84d98306a1af807c6ad9bc3a2d8e448a09643202a15b",
			},
			{
				id: 3, share: "00e95d59dd0d46b0e303e500b62b7ccb0e555d49f5b849f5e748c071da8c0dbc",
				hidingRandom: "70818dd5170672c4a4285fd593d4f222417f941f3118e1244955e7a1098a35d8", bindingRandom: "74ca2da071ed4a2a6cad5087d6758b48a558ab5861c61117fee05757e4b1309e",
				hidingNonce: "a4109db0a5db30fac8cd1f4e272ff02e08258928f067d82c63d97279b114514a", bindingNonce: "ce3837bd963f0d81002279f7bb9eefceac64435f638885c2beae6f1dd881fd9e",
				d:             "02d768658a1b94225645401a1512b803657770c7a21bf9ccccccfa09930a44951b",
				e:             "034570a4e5217ee8770a28401185f50b4fce4d3f3933a3af9df7ab39b42381d0eb",
				bindingFactor: "444c1cc7cfe48f4577cce65488f337a9cc8c33dea4cfa986eb590bd8e2b1fa2d", z: "a8c392566ea29e852b4080a028bf5547166c87e703e4fb7136d4ebef65f99b3f",
			},
		},
		signature: "0c776a9516a77808b70a31e74f1464814a6fcf897fb3a6bd84c7a9a9a7a5bcb8d8bfc2b385379c093bcc0579abc5f6f696e8f2c0c01f28ff7b5ef55397fc3c9a",
	},
	{
		name: "BIP-340, odd key", suite: &bip340,
		message: "74657374", public: "03f37c34b66ced1fb51c34a90bdae006901f10625cc06c4f64663b0eae87d87b4f",
		signers: []vectorSigner{
			{
				id: 1, share: "f70760017f536b2346df3d90c0b9ebf2be2f47321b506f2c60107461ce421bf5",
				hidingRandom: "bda8e748e599187762cff956f03dc6ea13fc8e04491a0427b7e6e78600f41c52", bindingRandom: "2ca682429bf05df435b9927b8edb1d748278f3e42fa11ef358e49bbf4a1b780d",
				hidingNonce: "ef003140430c46321032a66c80de02239460a79b226b1781e46b9f67f4ee42ee", bindingNonce: "4058a0d474d2907a50088c377bf46ec620e01035886a337ae616ae3a3e3c371c",
				d:             "02058c867563fbee9d5354de03eac1752144e890d20a903c28aed85c11809512af",
				e:             "02fe3a61e6178eb7f9ad889cc3de3bad88954367bff5df4052d0e34ebdd677177c",
				bindingFactor: "89012e2e25114179102082bb94deb7472f29eb5abc170478678ee35d535c5dcb", z: "9cc12f1dc77d625c83f4a7e4c3f85880d4b46a3e730b25e6898bae50e5976ea7",
			},
			{
				id: 3, share: "ff16a2a622f2b94f1cfc1aff49d48333ac597f9cb9905645d8899e1af5aa3385",
				hidingRandom: "70818dd5170672c4a4285fd593d4f222417f941f3118e1244955e7a1098a35d8", bindingRandom: "74ca2da071ed4a2a6cad5087d6758b48a558ab5861c61117fee05757e4b1309e",
				hidingNonce: "407feecf17c756d28808c8bdfd365b5dbd6ffd8f9620f631cf75d0a8d5caacb7", bindingNonce: "4ab52efd392e1bc480a9c01f8cdb580978ae46c8f8bebe807728f182fe0cf1db",
				d:             "0229a08d6c56ee50060ade5f31dab62dcefcda3319cceb41a6fa2bba85871991a9",
				e:             "0396b4cfb4299aa3c2ddb2c9237b3a95e773da936803dfe08b11b2fa198d75508c",
				bindingFactor: "53834d14b3fc00d85f9739cc7da1f188a52d0f4643ae4b38a7a3a97bc0fcbcfa", z: "bef5af7a349b73697deaa3e97db61f636af3d680b17c931a4efbfa13be32f952",
			},
		},
		signature: "0049149e2cf758aa837b5080d06a7a06904fc2600ac1b148660c2bbb47f284b85bb6de97fc18d5c601df4bce41ae77e584f963d8753f18c518b549d7d39426b8",
	},
	{
		name: "BIP-340, odd key, Taproot", suite: &bip340,
		message: "74657374", public: "03f37c34b66ced1fb51c34a90bdae006901f10625cc06c4f64663b0eae87d87b4f", taproot: &Taproot{},
		output: "9ae4c6b585e8e550cb6c0184522020b9dac393b33175983bc5e25e25f103e993",
		signers: []vectorSigner{
			{
				id: 1, share: "f70760017f536b2346df3d90c0b9ebf2be2f47321b506f2c60107461ce421bf5",
				hidingRandom: "bda8e748e599187762cff956f03dc6ea13fc8e04491a0427b7e6e78600f41c52", bindingRandom: "2ca682429bf05df435b9927b8edb1d748278f3e42fa11ef358e49bbf4a1b780d",
				hidingNonce: "ef003140430c46321032a66c80de02239460a79b226b1781e46b9f67f4ee42ee", bindingNonce: "4058a0d474d2907a50088c377bf46ec620e01035886a337ae616ae3a3e3c371c",
				d:             "02058c867563fbee9d5354de03eac1752144e890d20a903c28aed85c11809512af",
				e:             "02fe3a61e6178eb7f9ad889cc3de3bad88954367bff5df4052d0e34ebdd677177c",
				bindingFactor: "9a8d3801dc99c12c73afade8356cd6cd809030aefb7eb23e15e5f7f531f7f5ce", z: "b9747b224c73da214360eaf0e30c7489ca21ee0560e59a6aaa26311bd0767a34",
			},
			{
				id: 3, share: "ff16a2a622f2b94f1cfc1aff49d48333ac597f9cb9905645d8899e1af5aa3385",
				hidingRandom: "70818dd5170672c4a4285fd593d4f222417f941f3118e1244955e7a1098a35d8", bindingRandom: "74ca2da071ed4a2a6cad5087d6758b48a558ab5861c61117fee05757e4b1309e",
				hidingNonce: "407feecf17c756d28808c8bdfd365b5dbd6ffd8f9620f631cf75d0a8d5caacb7", bindingNonce: "4ab52efd392e1bc480a9c01f8cdb580978ae46c8f8bebe807728f182fe0cf1db",
				d:             "0229a08d6c56ee50060ade5f31dab62dcefcda3319cceb41a6fa2bba85871991a9",
				e:             "0396b4cfb4299aa3c2ddb2c9237b3a95e773da936803dfe08b11b2fa198d75508c",
				bindingFactor: "a2596d5bb99b828c550d2960c657507574965895ea1ee7f5788c16717ce45e06", z: "d99e58b730baed357821d3ca72d9e38002bc2c7252529650c0fd1133184ed9d3",
			},
		},
		signature: "acf663c9d0b5d121a85e0e4b10998e6b0e4a083b75cc95caad747bc386f9ada59312d3d97d2ec756bb82bebb55e6580b122f3d9103ef907fab50e3c2188f12c6",
	},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func equalHex(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if hex.EncodeToString(got) != want {
		t.Errorf("%s\n got %x\nwant %s", what, got, want)
	}
}

func TestVectors(t *testing.T) {
	t.Parallel()
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			g := v.suite.group
			public, err := g.DecodePoint(unhex(t, v.public))
			if err != nil {
				t.Fatal(err)
			}
			tg := target{public: public, add: g.Zero()}
			if v.suite.xOnly {
				if tg, err = targetOf(&tss.Key{Suite: tss.SuiteBIP340, Public: public}, Request{Taproot: v.taproot}); err != nil {
					t.Fatal(err)
				}
			}
			if v.output != "" {
				equalHex(t, "output key", tg.public.XOnly(), v.output)
			}

			pairs := make([]*nonces, len(v.signers))
			secrets := make([]group.Scalar, len(v.signers))
			var commitments []commitment
			for i, s := range v.signers {
				if secrets[i], err = g.DecodeScalar(unhex(t, s.share)); err != nil {
					t.Fatal(err)
				}
				random := bytes.NewReader(append(unhex(t, s.hidingRandom), unhex(t, s.bindingRandom)...))
				if pairs[i], err = v.suite.commit(secrets[i:i+1], random); err != nil {
					t.Fatal(err)
				}
				equalHex(t, "hiding nonce", pairs[i].d[0].Bytes(), s.hidingNonce)
				equalHex(t, "binding nonce", pairs[i].e[0].Bytes(), s.bindingNonce)
				equalHex(t, "commitments", pairs[i].public, s.d+s.e)
				c, err := v.suite.decodeCommitments(nil, []uint16{s.id}, pairs[i].public)
				if err != nil {
					t.Fatal(err)
				}
				commitments = append(commitments, c...)
			}

			var shares []group.Scalar
			var last *signing
			for i, s := range v.signers {
				run, err := v.suite.prepare(tg, unhex(t, v.message), commitments)
				if err != nil {
					t.Fatal(err)
				}
				if s.bindingInput != "" {
					equalHex(t, "binding input", append(run.bindingPrefix(), g.Uint(uint64(s.id)).Bytes()...), s.bindingInput)
				}
				equalHex(t, "binding factor", run.factors[i].Bytes(), s.bindingFactor)
				z, err := run.sign([]uint16{s.id}, secrets[i:i+1], pairs[i])
				if err != nil {
					t.Fatal(err)
				}
				equalHex(t, "signature share", z[0].Bytes(), s.z)
				if !run.checkShare(i, z[0], g.BaseMul(secrets[i])) {
					t.Error("share check refuses a right share")
				}
				if run.checkShare(i, z[0].Add(g.Uint(1)), g.BaseMul(secrets[i])) {
					t.Error("share check takes a wrong share")
				}
				shares, last = append(shares, z[0]), run
			}
			signature, ok := last.aggregate(shares)
			if !ok {
				t.Error("signature doesn't verify")
			}
			equalHex(t, "signature", signature, v.signature)
		})
	}
}

func TestBIP340Verify(t *testing.T) {
	t.Parallel()
	// The file of BIP-340, as published (BSD-2-Clause).
	file, err := os.ReadFile("testdata/bip340.csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 20 {
		t.Fatalf("%d rows, want a header and 19 vectors", len(rows))
	}
	for _, row := range rows[1:] {
		got := Verify(tss.SuiteBIP340, unhex(t, row[2]), unhex(t, row[4]), unhex(t, row[5]))
		if want := row[6] == "TRUE"; got != want {
			t.Errorf("vector %s: %v, want %v (%s)", row[0], got, want, row[7])
		}
	}
}

// The wallet vectors of BIP-341: internal key, merkle root, output key.
var bip341 = [][3]string{
	{"d6889cb081036e0faefa3a35157ad71086b123b2b144b649798b494c300a961d", "", "53a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343"},
	{"187791b6f712a8ea41c8ecdd0ee77fab3e85263b37e1ec18a3651926b3a6cf27", "5b75adecf53548f3ec6ad7d78383bf84cc57b55a3127c72b9a2481752dd88b21", "147c9c57132f6e7ecddba9800bb0c4449251c92a1e60371ee77557b6620f3ea3"},
	{"93478e9488f956df2396be2ce6c5cced75f900dfa18e7dabd2428aae78451820", "c525714a7f49c28aedbbba78c005931a81c234b2f6c99a73e4d06082adc8bf2b", "e4d810fd50586274face62b8a807eb9719cef49c04177cc6b76a9a4251d5450e"},
	{"ee4fe085983462a184015d1f782d6a5f8b9c2b60130aff050ce221ecf3786592", "6c2dc106ab816b73f9d07e3cd1ef2c8c1256f519748e0813e4edd2405d277bef", "712447206d7a5238acc7ff53fbe94a3b64539ad291c7cdbc490b7577e4b17df5"},
	{"f9f400803e683727b14f463836e1e78e1c64417638aa066919291a225f0e8dd8", "ab179431c28d3b68fb798957faf5497d69c883c6fb1e1cd9f81483d87bac90cc", "77e30a5522dd9f894c3f8b8bd4c4b2cf82ca7da8a3ea6a239655c39c050ab220"},
	{"e0dfe2300b0dd746a3f8674dfd4525623639042569d829c7f0eed9602d263e6f", "ccbd66c6f7e8fdab47b3a486f59d28262be857f30d4773f2d5ea47f7761ce0e2", "91b64d5324723a985170e4dc5a0f84c041804f2cd12660fa5dec09fc21783605"},
	{"55adf4e8967fbd2e29f20ac896e60c3b0f1d5b0efa9d34941b5958c7b0a0312d", "2f6b2c5397b6d68ca18e09a3f05161668ffe93a988582d55c6f07bd5b3329def", "75169f4001aa68f15bbed28b218df1d0a62cbbcf1188c6665110c293c907b831"},
}

func TestBIP341OutputKeys(t *testing.T) {
	t.Parallel()
	for _, v := range bip341 {
		for _, parity := range []byte{2, 3} { // BIP-341 tweaks the x-only key
			public, err := group.Secp256k1.DecodePoint(slices.Concat([]byte{parity}, unhex(t, v[0])))
			if err != nil {
				t.Fatal(err)
			}
			got, err := PublicKey(&tss.Key{Suite: tss.SuiteBIP340, Public: public}, Request{Taproot: &Taproot{MerkleRoot: unhex(t, v[1])}})
			if err != nil {
				t.Fatal(err)
			}
			equalHex(t, "output key of "+v[0], got, v[2])
		}
	}
}
