package server

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cofferhq/coffer/api"
	"github.com/cofferhq/coffer/internal/custody"
)

// Paging is what every list is asked for with. It is exported, as are the other
// parts of calls that are embedded, because huma looks into no others.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"the most elements to answer"`
	Cursor string `query:"cursor" maxLength:"200" doc:"nextCursor of the page before"`
}

// page cuts a page out of a whole list; key names an element.
func page[T, A any](list []T, p Paging, key func(T) string, show func(T) A) (*answer[api.Page[A]], error) {
	if p.Cursor != "" {
		last, err := base64.RawURLEncoding.Strict().DecodeString(p.Cursor)
		at := slices.IndexFunc(list, func(e T) bool { return key(e) == string(last) })
		if err != nil || at < 0 {
			return nil, &custody.Error{Code: custody.Invalid, Field: "cursor", Message: "not the cursor of a page here"}
		}
		list = list[at+1:]
	}
	out := &answer[api.Page[A]]{}
	more := len(list) > p.Limit
	if more {
		list = list[:p.Limit]
	}
	out.Body.Data = mapped(list, show)
	if more {
		out.Body.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(key(list[len(list)-1])))
	}
	return out, nil
}

func mapped[T, A any](list []T, show func(T) A) []A {
	out := make([]A, len(list))
	for i, e := range list {
		out[i] = show(e)
	}
	return out
}

func word[T ~string](s T) string { return string(s) }

// parseID reads an id of a call's path, query or body.
func parseID[T any](at, text string) (custody.ID[T], error) {
	id, err := custody.ParseID[T](text)
	if err != nil {
		return id, &custody.Error{Code: custody.Invalid, Field: at, Message: "not a UUIDv7 in lower case"}
	}
	return id, nil
}

// idText is an id, or empty for none.
func idText[T any](id custody.ID[T]) string {
	if id == (custody.ID[T]{}) {
		return ""
	}
	return id.String()
}

func hashText(h custody.Hash) string {
	if h == (custody.Hash{}) {
		return ""
	}
	return h.String()
}

func blobText(b custody.Blob) string { return base64.StdEncoding.EncodeToString(b) }

// instant is nil for the time 0, which is none.
func instant(t custody.Time) *time.Time {
	if t == 0 {
		return nil
	}
	at := t.Time()
	return &at
}

func missing(field string) error {
	return &custody.Error{Code: custody.NotFound, Field: field, Message: "not on record"}
}

// decimals are how many decimals people write amounts of an asset with, by its
// coin type (SLIP-44). An asset that isn't its network's own is unknown here.
func decimals(a custody.Asset) (n int, ok bool) {
	_, coin, _ := strings.Cut(string(a), "/")
	switch {
	case coin == "slip44:60" && strings.HasPrefix(string(a), "eip155:"):
		return 18, true
	case (coin == "slip44:0" || coin == "slip44:1") && strings.HasPrefix(string(a), "bip122:"):
		return 8, true
	default:
		return 0, false
	}
}

func amount(units custody.Amount, asset custody.Asset) api.Amount {
	out := api.Amount{Units: units.String(), Asset: string(asset)}
	n, ok := decimals(asset)
	if !ok {
		return out
	}
	digits := fmt.Sprintf("%0*s", n+1, out.Units)
	whole, part := digits[:len(digits)-n], strings.TrimRight(digits[len(digits)-n:], "0")
	out.Decimal = whole
	if part != "" {
		out.Decimal += "." + part
	}
	return out
}

// readEvidence reads evidence into the form of package custody.
func readEvidence(e api.Evidence) (out custody.Evidence, err error) {
	raw, err := custody.Encode(e)
	if err != nil {
		return out, err
	}
	if err := custody.Decode(raw, &out, maxBody); err != nil {
		return out, inside("evidence", err)
	}
	return out, nil
}

// inside puts the field of an error below a member of the call.
func inside(member string, err error) error {
	e, ok := asError(err)
	if !ok {
		return err
	}
	moved := *e
	moved.Field = strings.TrimSuffix(member+"."+e.Field, ".")
	return &moved
}
