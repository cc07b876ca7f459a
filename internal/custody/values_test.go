package custody

import (
	"bytes"
	"encoding"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// look-alikes and strays that no text type takes, in front of, behind and within
// a valid value.
var strays = []string{
	" ", "\n", "\r", "\t", "\x00", "\x7f", "\u00a0", "\u200b", "\u202e", "\ufeff", "\u0301", "\u0430", "\uff41", "\uff10", "\u0661", "\u2024",
	"@", "\"", "\\", "'", ";", "?", "#", "%00", "\xff",
}

func TestTextTypes(t *testing.T) {
	t.Parallel()
	a := func(n int) string { return strings.Repeat("a", n) }
	hex64 := strings.Repeat("0123456789abcdef", 4)
	for _, c := range []struct {
		name   string
		into   func() encoding.TextUnmarshaler
		good   []string
		bad    []string
		strays string // those of strays that the type has room for
	}{
		{
			"Name", func() encoding.TextUnmarshaler { return new(Name) },
			[]string{"a", "node-a", "a1-", a(63)},
			[]string{"", "A", "1a", "-a", "a_b", "a/b", "a.b", a(64)},
			"",
		},
		{
			"Domain", func() encoding.TextUnmarshaler { return new(Domain) },
			[]string{"a", "treasury/asia", strings.Repeat("a/", 7) + "a", strings.Repeat(a(63)+"/", 7) + a(63)},
			[]string{"", "/", "a/", "/a", "a//b", "A/b", "a/1", strings.Repeat("a/", 8) + "a", a(64), "a/../b"},
			"",
		},
		{
			"Country", func() encoding.TextUnmarshaler { return new(Country) },
			[]string{"CH", "SG", "XK"},
			[]string{"", "C", "ch", "Ch", "CHE", "ZZ", "XX", "AN", "SU", "UK", "EU", "EN"},
			"",
		},
		{
			"LEI", func() encoding.TextUnmarshaler { return new(LEI) },
			[]string{ // of GLEIF, Apple, Deutsche Bank, JPMorgan Chase Bank, HSBC Holdings, Bloomberg Finance
				"506700GE1G29325QX363", "HWUPKR0MPOU8FGXBT394", "7LTWFZYICNSX8D621K86", "7H6GLXDRUGQFU57RNE97", "MLU0ZO3ML4LN2LL2TL39", "5493001KJTIIGC8Y1R12",
			},
			[]string{
				"", "5493001KJTIIGC8Y1R13", "5493001KJTIIGC8Y1R21", "5493001KJTIIGC8Y1r12", "5493001KJTIIGC8Y1R1", "5493001KJTIIGC8Y1R122", "5493001KJTIIGC8YR112",
				"5493001KJTIIGC8Y1R1A", "00000000000000000000",
				"7H6GLXDRUGQFU57RNE00", // the same rest as 97, of which no check digit is made
			},
			"",
		},
		{
			"Network", func() encoding.TextUnmarshaler { return new(Network) },
			[]string{"eip155:1", "bip122:000000000019d6689c085ae165831e93", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "abc:" + a(32), "a-b:A_z-9"},
			[]string{"", "eip155", "eip155:", ":1", "ei:1", "EIP155:1", "eip155eip:1", "abc:" + a(33), "eip155:1:2", "eip155:1/x"},
			"",
		},
		{
			"Asset", func() encoding.TextUnmarshaler { return new(Asset) },
			[]string{"eip155:1/slip44:60", "eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "abc:1/abc:%2F.-", "abc:1/abc:" + a(128), "abc:1/abc:%00"},
			[]string{"", "eip155:1", "eip155:1/", "eip155:1/slip44", "eip155:1/slip44:", "/slip44:60", "abc:1/abc:" + a(129), "eip155:1/erc721:0x1/2", "eip155:1/erc20:0x_1"},
			"%00",
		},
		{
			"Address", func() encoding.TextUnmarshaler { return new(Address) },
			[]string{"0x1111111111111111111111111111111111111111", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "1", a(128)},
			[]string{"", a(129), "0x-1", "bc1 q", "a.b", "a:b", "a_b"},
			"",
		},
		{
			"Selector", func() encoding.TextUnmarshaler { return new(Selector) },
			[]string{"0xa9059cbb", "0x00000000"},
			[]string{"", "a9059cbb", "0XA9059CBB", "0xA9059cbb", "0xa9059cb", "0xa9059cbb0", "0xg9059cbb", "2835717307"},
			"",
		},
		{
			"Label", func() encoding.TextUnmarshaler { return new(Label) },
			[]string{"_", "to", "PermitSingle", "a1", a(64)},
			[]string{"", "1a", "a-b", "a.b", "a b", a(65)},
			"",
		},
		{
			"Literal", func() encoding.TextUnmarshaler { return new(Literal) },
			[]string{"0", "1", "-1", "true", "false", "0x", "0xAbc", strings.Repeat("9", 80), "-" + strings.Repeat("9", 80), "0x" + strings.Repeat("f", 1022)},
			[]string{"", "-", "-0", "00", "01", "-01", "+1", "1.0", "1e3", "True", "x", "0X1", "0xg", strings.Repeat("9", 81), "0x" + strings.Repeat("f", 1023), "null"},
			"",
		},
		{
			"Origin", func() encoding.TextUnmarshaler { return new(Origin) },
			[]string{"https://bank.example", "https://bank.example:8443", "http://localhost", "http://localhost:8080", "https://" + a(253)},
			[]string{
				"", "bank.example", "http://bank.example", "https://", "https://bank.example/", "https://bank.example:0", "https://bank.example:080", "https://bank.example:123456",
				"https://Bank.example", "https://user@bank.example", "HTTPS://bank.example", "https://localhost:", "http://localhost.evil.example", "http://localhosts", "https://" + a(254), "https://[::1]", "null", "android:apk-key-hash:x",
			},
			"",
		},
		{
			"Host", func() encoding.TextUnmarshaler { return new(Host) },
			[]string{"localhost", "bank.example", "a-1.b", a(63) + "." + a(63) + "." + a(63) + "." + a(61)},
			[]string{"", ".", "a.", ".a", "a..b", "Bank.example", "bank.example:1", "https://bank.example", a(64), a(63) + "." + a(63) + "." + a(63) + "." + a(62), "a_b", "*.bank.example"},
			"",
		},
		{
			"IssuerURL", func() encoding.TextUnmarshaler { return new(IssuerURL) },
			[]string{"https://id.bank.example", "https://id.bank.example/", "https://id.bank.example:1/realms/Bank_1/v2.0", "http://localhost:8080/x", "https://a/" + a(200)},
			[]string{"", "id.bank.example", "http://id.bank.example", "https://id.bank.example?x", "https://id.bank.example#x", "https://u@id.bank.example", "https://id.bank.example/%41", "https://a/" + a(201), "https:///x"},
			"",
		},
		{
			"ClientID", func() encoding.TextUnmarshaler { return new(ClientID) },
			[]string{"coffer", "a.B_1~:/-", a(128)},
			[]string{"", a(129), "a b", "a@b", "a+b"},
			"",
		},
		{
			"KeyID", func() encoding.TextUnmarshaler { return new(KeyID) },
			[]string{"key-1", "a.B_1~:/-", a(128)},
			[]string{"", a(129), "a b", "a@b", "a="},
			"",
		},
		{
			"Outpoint", func() encoding.TextUnmarshaler { return new(Outpoint) },
			[]string{hex64 + ":0", hex64 + ":7", hex64 + ":4294967295"},
			[]string{"", hex64, hex64 + ":", hex64 + ":00", hex64 + ":01", hex64 + ":-1", hex64 + ":4294967296", hex64 + ":9999999999", hex64 + ":11111111111", strings.ToUpper(hex64) + ":0", hex64[1:] + ":0", hex64 + "0:0"},
			"",
		},
		{
			"Currency", func() encoding.TextUnmarshaler { return new(Currency) },
			[]string{"USD", "CHF"},
			[]string{"", "usd", "US", "USDT", "U1D"},
			"",
		},
		{
			"Hash", func() encoding.TextUnmarshaler { return new(Hash) },
			[]string{hex64, strings.Repeat("0", 64)},
			[]string{"", hex64[1:], hex64 + "0", strings.ToUpper(hex64), "0x" + hex64[2:], hex64[:63] + "g", hex64[:62] + "\n"},
			"",
		},
		{
			"ID", func() encoding.TextUnmarshaler { return new(ID[Vault]) },
			[]string{"019b7cb9-4a80-7000-8000-000000000001", "ffffffff-ffff-7fff-bfff-ffffffffffff"},
			[]string{
				"", "019B7CB9-4A80-7000-8000-000000000001", "019b7cb94a8070008000000000000001", "{019b7cb9-4a80-7000-8000-000000000001}", "urn:uuid:019b7cb9-4a80-7000-8000-000000000001",
				"019b7cb9-4a80-4000-8000-000000000001", "019b7cb9-4a80-7000-c000-000000000001", "019b7cb9-4a80-7000-0000-000000000001", "00000000-0000-0000-0000-000000000000",
				"019b7cb9-4a80-7000-8000-00000000000", "019b7cb9-4a80-7000-8000-0000000000011", "019b7cb9-4a80-7000-8000-00000000000g",
			},
			"",
		},
		{
			"Time", func() encoding.TextUnmarshaler { return new(Time) },
			[]string{"1970-01-01T00:00:00.000Z", "2026-01-02T03:00:00.001Z", "9999-12-31T23:59:59.999Z", "2024-02-29T12:00:00.000Z"},
			[]string{
				"", "2026-01-02", "2026-01-02T03:00:00Z", "2026-01-02T03:00:00.00Z", "2026-01-02T03:00:00.0000Z", "2026-01-02T03:00:00,000Z", "2026-01-02t03:00:00.000z",
				"2026-01-02T03:00:00.000+00:00", "2026-01-02 03:00:00.000Z", "1969-12-31T23:59:59.999Z", "0000-01-01T00:00:00.000Z", "10000-01-01T00:00:00.000Z", "2026-02-29T00:00:00.000Z",
				"2026-01-02T24:00:00.000Z", "2026-01-02T03:60:00.000Z", "2026-12-31T23:59:60.000Z", "2026-00-01T00:00:00.000Z", "2026-1-02T03:00:00.000Z",
			},
			"",
		},
		{
			"Amount", func() encoding.TextUnmarshaler { return new(Amount) },
			[]string{"0", "1", maxAmount.String()},
			[]string{"", "00", "01", "-1", "+1", "1.0", "1e3", "0x1", "1_000", "1,000", new(big.Int).Add(maxAmount, big.NewInt(1)).String(), "9" + strings.Repeat("0", 77), strings.Repeat("9", 79), "٣"},
			"",
		},
		{
			"Blob", func() encoding.TextUnmarshaler { return new(Blob) },
			[]string{"", "AA==", "AAA=", "AAAA", "+/+/"},
			[]string{"A", "AA", "AA=", "AB==", "AAB=", "AAAA=", "AA==AA==", "-_-_", "AA\n==", "AAAA\r\n", "=", "===="},
			"",
		},
	} {
		for _, s := range c.good {
			v := c.into()
			if err := v.UnmarshalText([]byte(s)); err != nil {
				t.Errorf("%s %q: %v", c.name, s, err)
			}
			// The one spelling: what is written is what was read.
			raw, err := Encode(v)
			if err != nil || string(raw) != text(s) {
				t.Errorf("%s %q is written %s (%v)", c.name, s, raw, err)
			}
			for _, stray := range strays {
				if stray == c.strays {
					continue
				}
				for _, odd := range []string{s + stray, stray + s, s[:len(s)/2] + stray + s[len(s)/2:]} {
					if err := c.into().UnmarshalText([]byte(odd)); err == nil {
						t.Errorf("%s takes %q", c.name, odd)
					}
				}
			}
		}
		for _, s := range append(c.bad, strings.Repeat("a", 1<<20-1)) {
			if err := c.into().UnmarshalText([]byte(s)); CodeOf(err) != Invalid || err == nil {
				t.Errorf("%s %q: %v", c.name, s, err)
			}
		}
	}
}

// A text type takes nothing but what it would write: for each, every input that
// it accepts is written again.
func TestOneSpelling(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := []byte(rapid.OneOf(
			rapid.StringMatching(`[0-9a-f-]{36}`), rapid.StringMatching(`-?[0-9]{1,80}`), rapid.StringMatching(`[A-Za-z0-9+/=\r\n]{0,12}`),
			rapid.StringMatching(`(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9][.,][0-9]{3}[Zz]`), rapid.StringMatching(`[0-9a-fA-F]{64}`),
		).Draw(t, "text"))
		for _, v := range []interface {
			encoding.TextUnmarshaler
			encoding.TextMarshaler
		}{new(ID[Vault]), new(Amount), new(Blob), new(Time), new(Hash)} {
			if v.UnmarshalText(s) != nil {
				continue
			}
			if again, err := v.MarshalText(); err != nil || !bytes.Equal(again, s) {
				t.Fatalf("%T takes %q and writes %q (%v)", v, s, again, err)
			}
		}
	})
}

func TestClosedWords(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		into  func() encoding.TextUnmarshaler
		words string
	}{
		"PersonKind":       {func() encoding.TextUnmarshaler { return new(PersonKind) }, "HUMAN SERVICE"},
		"CredentialKind":   {func() encoding.TextUnmarshaler { return new(CredentialKind) }, "WEBAUTHN DEVICE OIDC"},
		"EvidenceKind":     {func() encoding.TextUnmarshaler { return new(EvidenceKind) }, "WEBAUTHN DEVICE OIDC RECOVERY NODE"},
		"Algorithm":        {func() encoding.TextUnmarshaler { return new(Algorithm) }, "ES256 EdDSA RS256"},
		"Sealing":          {func() encoding.TextUnmarshaler { return new(Sealing) }, "FILE PKCS11"},
		"AttestationKind":  {func() encoding.TextUnmarshaler { return new(AttestationKind) }, "PRICE SCREENING TRAVEL_RULE"},
		"Purpose":          {func() encoding.TextUnmarshaler { return new(Purpose) }, "TREASURY CLIENT_SEGREGATED CLIENT_OMNIBUS RETAIL ISSUANCE"},
		"Scheme":           {func() encoding.TextUnmarshaler { return new(Scheme) }, "ECDSA_SECP256K1 BIP340_SECP256K1 ED25519"},
		"DestinationKind":  {func() encoding.TextUnmarshaler { return new(DestinationKind) }, "INTERNAL ALLOWLISTED COUNTERPARTY ONE_TIME"},
		"Ceremony":         {func() encoding.TextUnmarshaler { return new(Ceremony) }, "KEYGEN REFRESH RESHARE IMPORT EXPORT"},
		"Action":           {func() encoding.TextUnmarshaler { return new(Action) }, "PUT REMOVE"},
		"Verdict":          {func() encoding.TextUnmarshaler { return new(Verdict) }, "SUBMIT YES NO"},
		"ScreeningVerdict": {func() encoding.TextUnmarshaler { return new(ScreeningVerdict) }, "PASS REVIEW BLOCK UNAVAILABLE"},
		"TravelRuleStatus": {func() encoding.TextUnmarshaler { return new(TravelRuleStatus) }, "PENDING ACCEPTED REJECTED"},
		"ObservedKind":     {func() encoding.TextUnmarshaler { return new(ObservedKind) }, "TICK BROADCAST CONFIRMING CONFIRMED FINALIZED REORGED DROPPED REVERTED DEPOSIT DELIVERY"},
		"EntryType":        {func() encoding.TextUnmarshaler { return new(EntryType) }, "CHARTER INTENT EVIDENCE AUTHORIZED PREPARED SIGNED KEY COSIGNED OBSERVED"},
		"IntentType": {
			func() encoding.TextUnmarshaler { return new(IntentType) },
			"TRANSFER CONTRACT_CALL TYPED_MESSAGE SPEED_UP CANCEL KEY_CEREMONY SIGNER_SET_CHANGE WITNESS_CHANGE VAULT_CREATE WALLET_CREATE DESTINATION_CHANGE PERSON_CHANGE " +
				"GROUP_CHANGE CREDENTIAL_CHANGE POLICY_CHANGE LIST_CHANGE PROVIDER_CHANGE ISSUER_CHANGE HOLD_RELEASE FREEZE UPGRADE",
		},
	} {
		words := strings.FieldsSeq(c.words)
		for w := range words {
			if err := c.into().UnmarshalText([]byte(w)); err != nil {
				t.Errorf("%s %s: %v", name, w, err)
			}
			for _, odd := range []string{"", w + " ", " " + w, w + "S", w[1:], strings.ToLower(w), w + "\x00", w + "\u200b", "\u0410" + w[1:]} {
				if err := c.into().UnmarshalText([]byte(odd)); err == nil && odd != w {
					t.Errorf("%s takes %q", name, odd)
				}
			}
		}
	}
}

func TestCountries(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, c := range countries {
		if len(c) != 2 || seen[c] {
			t.Errorf("%q is no code, or there twice", c)
		}
		seen[c] = true
	}
	if len(countries) != 249+1 { // ISO 3166-1 has 249 officially assigned codes; and XK
		t.Errorf("%d countries", len(countries))
	}
}

func TestDomainUnder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d, root Domain
		want    bool
	}{
		{"treasury", "treasury", true},
		{"treasury/asia", "treasury", true},
		{"treasury/asia/hk", "treasury/asia", true},
		{"treasury-asia", "treasury", false},
		{"treasury2", "treasury", false},
		{"treasury", "treasury/asia", false},
		{"asia/treasury", "treasury", false},
		{"treasury/asia", "treasury/as", false},
		{"treasury", "", false},
	} {
		if got := c.d.Under(c.root); got != c.want {
			t.Errorf("%s under %s: %v", c.d, c.root, got)
		}
	}
}

func TestAssetNetwork(t *testing.T) {
	t.Parallel()
	if n := Asset("eip155:1/erc20:0x1").Network(); n != "eip155:1" {
		t.Error(n)
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	moment := time.Date(2026, 1, 2, 3, 0, 0, 999_999, time.FixedZone("", 3600))
	if got := At(moment).String(); got != "2026-01-02T02:00:00.000Z" {
		t.Error(got)
	}
	if got := start.Add(Day + Hour + Minute + 1); got.Time() != start.Time().Add(25*time.Hour+61*time.Second) {
		t.Error(got)
	}
	if got := (90 * Minute).String(); got != "1h30m0s" {
		t.Error(got)
	}
	a, b := id[Vault](1), id[Vault](2)
	if a.Compare(b) >= 0 || b.Compare(a) <= 0 || a.Compare(a) != 0 {
		t.Error("ids out of order")
	}
	if a.Time() != start {
		t.Errorf("made at %s", a.Time())
	}
	if parsed, err := ParseID[Vault](a.String()); err != nil || parsed != a {
		t.Errorf("%v (%v)", parsed, err)
	}
}

var maxAmount = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))

// amounts draws numbers below 2^256, most of them near powers of two.
func amounts() *rapid.Generator[*big.Int] {
	return rapid.Custom(func(t *rapid.T) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), uint(rapid.IntRange(0, 256).Draw(t, "bits")))
		n.Add(n, big.NewInt(int64(rapid.IntRange(-3, 3).Draw(t, "offset"))))
		if rapid.Bool().Draw(t, "random") {
			n.SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 32).Draw(t, "bytes"))
		}
		if n.Sign() < 0 {
			n.SetInt64(0)
		}
		if n.Cmp(maxAmount) > 0 {
			n.Set(maxAmount)
		}
		return n
	})
}

// Amounts against math/big.
func TestAmountArithmetic(t *testing.T) {
	t.Parallel()
	amount := func(t *rapid.T, n *big.Int) Amount {
		a, err := ParseAmount(n.String())
		if err != nil || a.String() != n.String() {
			t.Fatalf("%s: %s (%v)", n, a, err)
		}
		return a
	}
	within := func(t *rapid.T, what string, got Amount, ok bool, want *big.Int) {
		if want == nil || want.Cmp(maxAmount) > 0 {
			if ok || got.String() != maxAmount.String() {
				t.Fatalf("%s: %s, %v; want the largest, false", what, got, ok)
			}
			return
		}
		if !ok || got.String() != want.String() {
			t.Fatalf("%s: %s, %v; want %s", what, got, ok, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		x, y, z := amounts().Draw(t, "x"), amounts().Draw(t, "y"), amounts().Draw(t, "z")
		a, b, c := amount(t, x), amount(t, y), amount(t, z)
		sum, ok := a.Add(b)
		within(t, "sum", sum, ok, new(big.Int).Add(x, y))
		if want := new(big.Int).Sub(x, y); want.Sign() < 0 {
			within(t, "difference", a.Sub(b), true, new(big.Int))
		} else {
			within(t, "difference", a.Sub(b), true, want)
		}
		if a.Cmp(b) != x.Cmp(y) || a.IsZero() != (x.Sign() == 0) {
			t.Fatal("order")
		}
		q, ok := a.MulDiv(b, c)
		if z.Sign() == 0 {
			within(t, "by zero", q, ok, nil)
			return
		}
		want, rest := new(big.Int).DivMod(new(big.Int).Mul(x, y), z, new(big.Int))
		if rest.Sign() > 0 {
			want.Add(want, big.NewInt(1))
		}
		within(t, "x·y/z rounded up", q, ok, want)
		if a.String() != x.String() || b.String() != y.String() || c.String() != z.String() {
			t.Fatal("an argument was changed")
		}
	})
	if NewAmount(1<<64-1).String() != "18446744073709551615" || !(Amount{}).IsZero() {
		t.Error("NewAmount")
	}
}

func TestNote(t *testing.T) {
	t.Parallel()
	good := string(exampleNote())
	lines := strings.SplitAfter(good, "\n")
	line := func(i int, s string) string {
		edited := append([]string{}, lines...)
		edited[i] = s
		return strings.Join(edited, "")
	}
	if err := new(Note).UnmarshalText([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]string{
		"empty":                 "",
		"no signature":          strings.Join(lines[:4], ""),
		"no last newline":       good[:len(good)-1],
		"another origin":        line(0, "log.example/x\n"),
		"origin in capitals":    line(0, strings.ToUpper(lines[0])),
		"another log":           strings.ReplaceAll(good, "coffer/", "alice@bank.example/"),
		"a charter by name":     strings.ReplaceAll(good, hashOf(1).String(), strings.Repeat("alice ", 10)+"1234"),
		"size with zero":        line(1, "07\n"),
		"negative size":         line(1, "-7\n"),
		"size too large":        line(1, "9223372036854775808\n"),
		"root too short":        line(2, "AAAA\n"),
		"root no base64":        line(2, "Alice Smith, 1 January 1970, of Basle and Zug\n"),
		"extension line":        line(3, "contact alice@bank.example\n\n"),
		"no empty line":         line(3, ""),
		"text for a signature":  line(4, "Alice Smith called on Monday\n"),
		"dash of another kind":  line(4, strings.Replace(lines[4], "—", "-", 1)),
		"key of another log":    line(4, "— alice "+strings.Fields(lines[4])[2]+"\n"),
		"witness with a space":  line(4, "— "+strings.TrimSpace(lines[0])+"/a b AAAA\n"),
		"witness of 65 letters": line(4, "— "+strings.TrimSpace(lines[0])+"/"+strings.Repeat("a", 65)+" AAAA\n"),
		"signature no base64":   line(4, "— "+strings.TrimSpace(lines[0])+" AA-_\n"),
		"signature empty":       line(4, "— "+strings.TrimSpace(lines[0])+" \n"),
		"no signature at all":   line(4, "— "+strings.TrimSpace(lines[0])+"\n"),
		"carriage return":       strings.ReplaceAll(good, "\n", "\r\n"),
		"blank line at the end": good + "\n",
		"too long":              good + strings.Repeat(lines[5], 70),
	} {
		if err := new(Note).UnmarshalText([]byte(s)); CodeOf(err) != Invalid || err == nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestNewID(t *testing.T) {
	t.Parallel()
	const at = Time(0x0192_0304_0506)
	id, err := NewID[Person](at, bytes.NewReader(bytes.Repeat([]byte{0xff}, 10)))
	if err != nil || id.String() != "01920304-0506-7fff-bfff-ffffffffffff" || id.Time() != at {
		t.Error(id, err)
	}
	if _, err := ParseID[Person](id.String()); err != nil {
		t.Error(err)
	}
	if id, err := NewID[Person](at, bytes.NewReader(make([]byte, 9))); err == nil || id != (ID[Person]{}) {
		t.Errorf("an id of too little randomness: %s, %v", id, err)
	}
}
