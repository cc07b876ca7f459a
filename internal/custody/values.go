package custody

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/holiman/uint256"
)

// An ID is a UUIDv7 (RFC 9562) that names a T; in text the usual lower-case form.
// Ids of different nouns are different types. The zero ID is none.
type ID[T any] [16]byte

// NewID makes an id of an instant and 74 random bits (RFC 9562 §5.7). The error is that
// of reading.
func NewID[T any](at Time, random io.Reader) (ID[T], error) {
	var id ID[T]
	if _, err := io.ReadFull(random, id[6:]); err != nil {
		return ID[T]{}, fmt.Errorf("make an id: %w", err)
	}
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at))
	copy(id[:6], ms[2:])
	id[6] = 0x70 | id[6]&0x0f
	id[8] = 0x80 | id[8]&0x3f
	return id, nil
}

// ParseID reads the lower-case text form of a UUIDv7.
func ParseID[T any](s string) (ID[T], error) {
	var id ID[T]
	err := id.UnmarshalText([]byte(s))
	return id, err
}

func (id ID[T]) String() string { return uuid.UUID(id).String() }

// MarshalText writes the lower-case form.
func (id ID[T]) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// UnmarshalText reads the lower-case form of a UUIDv7 and nothing else.
func (id *ID[T]) UnmarshalText(b []byte) error {
	u, err := uuid.ParseBytes(b)
	if err != nil || u.Version() != 7 || u.Variant() != uuid.RFC4122 || u.String() != string(b) {
		return invalid("", "not a UUIDv7 in lower case")
	}
	*id = ID[T](u)
	return nil
}

// Time is when the id was made (RFC 9562 §5.7).
func (id ID[T]) Time() Time { return Time(binary.BigEndian.Uint64(id[:]) >> 16) }

// Compare orders ids by their bytes, which for UUIDv7 is by time of making.
func (id ID[T]) Compare(other ID[T]) int { return bytes.Compare(id[:], other[:]) }

// Hash is a SHA-256 digest; in text 64 lower-case hex digits.
type Hash [32]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes lower-case hex.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads 64 lower-case hex digits.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != 64 || bytes.ContainsAny(b, "ABCDEF") {
		return invalid("", "not 64 lower-case hex digits")
	}
	if _, err := hex.Decode(h[:], b); err != nil {
		return invalid("", "not 64 lower-case hex digits")
	}
	return nil
}

// Blob is bytes; in text standard base64 with padding.
type Blob []byte

// MarshalText writes base64.
func (b Blob) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText reads base64 in its one valid spelling.
func (b *Blob) UnmarshalText(text []byte) error {
	out, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	if err != nil || bytes.IndexByte(text, '\r') >= 0 || bytes.IndexByte(text, '\n') >= 0 {
		return invalid("", "not standard base64")
	}
	*b = out
	return nil
}

// IsZero reports whether the blob is empty.
func (b Blob) IsZero() bool { return len(b) == 0 }

// Time is an instant in milliseconds since 1970 UTC; in text RFC 3339 with
// exactly three decimals and Z.
type Time int64

const timeLayout = "2006-01-02T15:04:05.000Z"

// At returns t to the millisecond, rounded down.
func At(t time.Time) Time { return Time(t.UnixMilli()) }

// Time returns the instant in UTC.
func (t Time) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

// Add returns the instant d later.
func (t Time) Add(d Seconds) Time { return t + Time(d)*1000 }

func (t Time) String() string { return t.Time().Format(timeLayout) }

// MarshalText writes the one valid form.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the one valid form, for years 1970 to 9999.
func (t *Time) UnmarshalText(b []byte) error {
	parsed, err := time.Parse(timeLayout, string(b)) // which takes a comma for the point as well
	if err != nil || len(b) != len(timeLayout) || b[len("2006-01-02T15:04:05")] != '.' || parsed.Year() < 1970 {
		return invalid("", "not a UTC time such as 2026-01-02T15:04:05.000Z")
	}
	*t = At(parsed)
	return nil
}

// Seconds is a length of time in whole seconds; in JSON an integer.
type Seconds int64

func (s Seconds) String() string { return (time.Duration(s) * time.Second).String() }

// Common lengths of time.
const (
	Minute Seconds = 60
	Hour           = 60 * Minute
	Day            = 24 * Hour
)

// Amount is a non-negative integer below 2^256: base units of an asset, or minor
// units of a currency. In text plain decimal digits. The zero Amount is 0.
type Amount struct{ v uint256.Int }

// NewAmount returns n.
func NewAmount(n uint64) Amount { return Amount{*uint256.NewInt(n)} }

// ParseAmount reads decimal digits without leading zeros.
func ParseAmount(s string) (Amount, error) {
	var a Amount
	err := a.UnmarshalText([]byte(s))
	return a, err
}

func (a Amount) String() string { return a.v.Dec() }

// MarshalText writes decimal digits.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.v.Dec()), nil }

// UnmarshalText reads decimal digits without leading zeros, below 2^256.
func (a *Amount) UnmarshalText(b []byte) error {
	digits := func(c byte) bool { return c >= '0' && c <= '9' }
	if len(b) == 0 || len(b) > 78 || (b[0] == '0' && len(b) > 1) {
		return invalid("", "not a whole number below 2^256 in decimal digits without leading zeros")
	}
	for _, c := range b {
		if !digits(c) {
			return invalid("", "not a whole number below 2^256 in decimal digits without leading zeros")
		}
	}
	if err := a.v.SetFromDecimal(string(b)); err != nil {
		return invalid("", "not a whole number below 2^256 in decimal digits without leading zeros")
	}
	return nil
}

// IsZero reports whether a is 0.
func (a Amount) IsZero() bool { return a.v.IsZero() }

// Cmp returns -1, 0 or 1 as a is below, equal to or above b.
func (a Amount) Cmp(b Amount) int { return a.v.Cmp(&b.v) }

// Add returns a+b; ok is false, and the sum the largest Amount, if that is 2^256
// or more.
func (a Amount) Add(b Amount) (sum Amount, ok bool) {
	if _, over := sum.v.AddOverflow(&a.v, &b.v); over {
		return Amount{*new(uint256.Int).SetAllOne()}, false
	}
	return sum, true
}

// Sub returns a−b, or 0 if b is greater.
func (a Amount) Sub(b Amount) Amount {
	var d Amount
	if _, under := d.v.SubOverflow(&a.v, &b.v); under {
		return Amount{}
	}
	return d
}

// MulDiv returns a·m/d rounded up; ok is false, and the result the largest
// Amount, if d is 0 or the result is 2^256 or more.
func (a Amount) MulDiv(m, d Amount) (q Amount, ok bool) {
	largest := Amount{*new(uint256.Int).SetAllOne()}
	if d.IsZero() {
		return largest, false
	}
	if _, over := q.v.MulDivOverflow(&a.v, &m.v, &d.v); over {
		return largest, false
	}
	var r uint256.Int
	r.MulMod(&a.v, &m.v, &d.v)
	if r.IsZero() {
		return q, true
	}
	return q.Add(NewAmount(1))
}

// The text types below hold one kind of name each, so that no entry has room for
// free text: what names or describes a person does not fit.
type (
	// Name is a short name that the charter or a policy gives to a thing:
	// institution, group, role, node, attestor, list, rule. Lower-case letters,
	// digits and hyphens, at most 63, beginning with a letter.
	Name string

	// Domain is a path of Names, such as "treasury/asia", at most 8 deep.
	Domain string

	// Country is an ISO 3166-1 alpha-2 code.
	Country string

	// LEI is a legal entity identifier (ISO 17442), check digits included. Those are
	// 02 to 98: 00, 01 and 99 would be other spellings of 97, 98 and 02.
	LEI string

	// Network is a CAIP-2 chain id, such as "eip155:1".
	Network string

	// Asset is a CAIP-19 asset type, such as "eip155:1/slip44:60".
	Asset string

	// Address is an address or public key as its network writes it: 1 to 128
	// letters and digits.
	Address string

	// Selector is the first 4 bytes of a contract call: 0x and 8 lower-case hex
	// digits.
	Selector string

	// Label is a word that a contract's author chose: a parameter, a primary type.
	// An identifier of at most 64 letters, digits and underscores.
	Label string

	// Literal is the value of a contract's parameter: hex digits, a whole number in
	// decimal digits without leading zeros, true or false, at most 1,024 characters.
	Literal string

	// Origin is a web origin (RFC 6454): scheme https, or http on localhost.
	Origin string

	// Host is a domain name in lower case, at most 253 characters.
	Host string

	// IssuerURL is the iss claim of an identity provider: https, or http on
	// localhost, without query or fragment.
	IssuerURL string

	// ClientID is what an identity provider calls its client: 1 to 128 letters,
	// digits and -._~:/
	ClientID string

	// KeyID is what an identity provider calls a key: the same form.
	KeyID string

	// Outpoint is a Bitcoin transaction id, a colon and an output number.
	Outpoint string
)

var patterns = struct {
	name, domain, lei, network, asset, address, selector, label, literal, origin, host, issuer, client, currency, outpoint, witness *regexp.Regexp
}{
	name:     regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`),
	domain:   regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}(/[a-z][a-z0-9-]{0,62}){0,7}$`),
	lei:      regexp.MustCompile(`^[0-9A-Z]{18}[0-9]{2}$`),
	network:  regexp.MustCompile(`^[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}$`),
	asset:    regexp.MustCompile(`^[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}/[-a-z0-9]{3,8}:[-.%a-zA-Z0-9]{1,128}$`),
	address:  regexp.MustCompile(`^[a-zA-Z0-9]{1,128}$`),
	selector: regexp.MustCompile(`^0x[0-9a-f]{8}$`),
	label:    regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`),
	literal:  regexp.MustCompile(`^(true|false|0|-?[1-9][0-9]{0,79}|0x[0-9a-fA-F]*)$`),
	origin:   regexp.MustCompile(`^(https://[a-z0-9.-]{1,253}|http://localhost)(:[1-9][0-9]{0,4})?$`),
	host:     regexp.MustCompile(`^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*$`),
	issuer:   regexp.MustCompile(`^(https://[a-z0-9.-]{1,253}|http://localhost)(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~/-]{0,200})?$`),
	client:   regexp.MustCompile(`^[A-Za-z0-9._~:/-]{1,128}$`),
	currency: regexp.MustCompile(`^[A-Z]{3}$`),
	outpoint: regexp.MustCompile(`^[0-9a-f]{64}:(0|[1-9][0-9]{0,9})$`),
	witness:  regexp.MustCompile(`^/[A-Za-z0-9._-]{1,64}$`), // behind the origin, in a note
}

func match[T ~string](to *T, b []byte, p *regexp.Regexp, rule string) error {
	if !p.Match(b) {
		return invalid("", rule)
	}
	*to = T(b)
	return nil
}

// UnmarshalText checks the form.
func (n *Name) UnmarshalText(b []byte) error {
	return match(n, b, patterns.name, "not a name: 1 to 63 of a-z, 0-9 and -, beginning with a letter")
}

// UnmarshalText checks the form.
func (d *Domain) UnmarshalText(b []byte) error {
	return match(d, b, patterns.domain, "not a domain: names joined by /, at most 8")
}

// Under reports whether d is root or lies below it.
func (d Domain) Under(root Domain) bool {
	return d == root || strings.HasPrefix(string(d), string(root)+"/")
}

// UnmarshalText checks that the code is assigned.
func (c *Country) UnmarshalText(b []byte) error {
	if len(b) != 2 || !slices.Contains(countries, string(b)) {
		return invalid("", "not a country code (ISO 3166-1 alpha-2)")
	}
	*c = Country(b)
	return nil
}

// UnmarshalText checks the form and the check digits.
func (l *LEI) UnmarshalText(b []byte) error {
	const rule = "not an LEI (ISO 17442)"
	if !patterns.lei.Match(b) || slices.Contains([]string{"00", "01", "99"}, string(b[18:])) {
		return invalid("", rule)
	}
	rest := 0
	for _, c := range b {
		if c >= 'A' {
			rest = (rest*100 + int(c-'A') + 10) % 97
		} else {
			rest = (rest*10 + int(c-'0')) % 97
		}
	}
	if rest != 1 {
		return invalid("", rule+": wrong check digits")
	}
	*l = LEI(b)
	return nil
}

// UnmarshalText checks the form.
func (n *Network) UnmarshalText(b []byte) error {
	return match(n, b, patterns.network, "not a network (CAIP-2)")
}

// UnmarshalText checks the form.
func (a *Asset) UnmarshalText(b []byte) error {
	return match(a, b, patterns.asset, "not an asset (CAIP-19)")
}

// Network returns the network of the asset.
func (a Asset) Network() Network {
	n, _, _ := strings.Cut(string(a), "/")
	return Network(n)
}

// UnmarshalText checks the form.
func (a *Address) UnmarshalText(b []byte) error {
	return match(a, b, patterns.address, "not an address: 1 to 128 letters and digits")
}

// UnmarshalText checks the form.
func (s *Selector) UnmarshalText(b []byte) error {
	return match(s, b, patterns.selector, "not a method: 0x and 8 lower-case hex digits")
}

// UnmarshalText checks the form.
func (l *Label) UnmarshalText(b []byte) error {
	return match(l, b, patterns.label, "not an identifier of at most 64 characters")
}

// UnmarshalText checks the form.
func (l *Literal) UnmarshalText(b []byte) error {
	const rule = "not a number, hex string, true or false of at most 1,024 characters"
	if len(b) > 1024 {
		return invalid("", rule)
	}
	return match(l, b, patterns.literal, rule)
}

// UnmarshalText checks the form.
func (o *Origin) UnmarshalText(b []byte) error {
	return match(o, b, patterns.origin, "not a web origin: https://HOST, or http://localhost")
}

// UnmarshalText checks the form.
func (h *Host) UnmarshalText(b []byte) error {
	const rule = "not a domain name in lower case of at most 253 characters"
	if len(b) > 253 {
		return invalid("", rule)
	}
	return match(h, b, patterns.host, rule)
}

// UnmarshalText checks the form.
func (u *IssuerURL) UnmarshalText(b []byte) error {
	return match(u, b, patterns.issuer, "not an issuer: https://HOST/PATH, or http://localhost")
}

// UnmarshalText checks the form.
func (c *ClientID) UnmarshalText(b []byte) error {
	return match(c, b, patterns.client, "not a client id of 1 to 128 letters, digits and -._~:/")
}

// UnmarshalText checks the form.
func (k *KeyID) UnmarshalText(b []byte) error {
	return match(k, b, patterns.client, "not a key id of 1 to 128 letters, digits and -._~:/")
}

// UnmarshalText checks the form.
func (o *Outpoint) UnmarshalText(b []byte) error {
	const rule = "not TXID:N with 64 lower-case hex digits and a number below 2^32"
	if _, n, _ := bytes.Cut(b, []byte{':'}); len(n) >= 10 {
		if _, err := strconv.ParseUint(string(n), 10, 32); err != nil {
			return invalid("", rule)
		}
	}
	return match(o, b, patterns.outpoint, rule)
}

// oneOf reads a word of a closed set.
func oneOf[T ~string](to *T, b []byte, words ...T) error {
	if !slices.Contains(words, T(b)) {
		list := make([]string, len(words))
		for i, w := range words {
			list[i] = string(w)
		}
		return invalid("", "not one of "+strings.Join(list, ", "))
	}
	*to = T(b)
	return nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}

// unique reports the first element that is there twice, or is out of order, as
// an error below the field of its list.
func unique[T any, K comparable](field string, list []T, key func(T) K) error {
	seen := make(map[K]bool, len(list))
	for i, e := range list {
		if seen[key(e)] {
			return invalid(fmt.Sprintf("%s.%d", field, i), "given twice")
		}
		seen[key(e)] = true
	}
	return nil
}
