package store

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/state"
)

// Intent is a line of the list of all intents ever. State and Reason are as of
// Updated: what passing time alone changes is written when the intent is looked at
// next.
type Intent struct {
	ID          custody.ID[custody.Intent]
	Index       int64 // of its INTENT entry
	Type        custody.IntentType
	Institution custody.Name
	Domain      custody.Domain
	Initiator   custody.ID[custody.Person]
	Wallet      custody.ID[custody.Wallet] // that it moves value from; zero if none
	Created     custody.Time
	Expires     custody.Time
	ExternalID  string // of the initiator's own books; empty if none
	Bytes       []byte // as signed; [custody.ParseIntent] reads them
	State       custody.IntentState
	Reason      state.Reason
	Updated     custody.Time
	Note        string // what it waits for, for people
}

const selectIntent = `SELECT i.id, i.idx, i.type, i.institution, i.domain, i.initiator, i.wallet, i.created, i.expires,
	COALESCE(i.external_id, ''), i.bytes, i.state, i.reason, i.updated, w.note
	FROM intents i JOIN work w ON w.intent = i.id `

func (i *Intent) fields() []any {
	return []any{
		text{&i.ID},
		&i.Index, &i.Type, &i.Institution, &i.Domain,
		text{&i.Initiator},
		text{&i.Wallet},
		&i.Created, &i.Expires,
		&i.ExternalID, &i.Bytes, &i.State, &i.Reason, &i.Updated, &i.Note,
	}
}

// Intent returns an intent by its id. The error is of code NotFound if there is
// none.
func (r Reader) Intent(ctx context.Context, id custody.ID[custody.Intent]) (Intent, error) {
	return row(ctx, r.db, "intent", (*Intent).fields, selectIntent+`WHERE i.id = $1`, id.String())
}

// IntentFilter chooses intents; what is empty asks for nothing.
type IntentFilter struct {
	Type      custody.IntentType
	State     custody.IntentState
	Initiator custody.ID[custody.Person]
	Wallet    custody.ID[custody.Wallet]
}

// MaxPage is the most that one page of a list holds.
const MaxPage = 1000

// Intents returns a page of the intents chosen, newest first: at most limit of
// them, behind the cursor that the page before came with, or from the newest on if
// it is empty. next is empty behind the last page. What is submitted meanwhile
// moves no page. The error is of code Invalid for a cursor or limit that is none.
func (r Reader) Intents(ctx context.Context, f IntentFilter, cursor string, limit int) (page []Intent, next string, err error) {
	if limit < 1 || limit > MaxPage {
		return nil, "", invalid("limit", fmt.Sprintf("not between 1 and %d", MaxPage))
	}
	before, err := readCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	var query strings.Builder
	query.WriteString(selectIntent + `WHERE i.idx < $1`)
	args := []any{before}
	for _, c := range []struct {
		column string
		value  any
	}{
		{"i.type", orEmpty(string(f.Type))},
		{"i.state", orEmpty(string(f.State))},
		{"i.initiator", orNull(f.Initiator)},
		{"i.wallet", orNull(f.Wallet)},
	} {
		if c.value != nil {
			args = append(args, c.value)
			query.WriteString(" AND " + c.column + " = $" + strconv.Itoa(len(args)))
		}
	}
	args = append(args, limit+1)
	query.WriteString(" ORDER BY i.idx DESC LIMIT $" + strconv.Itoa(len(args)))
	page, err = rows(ctx, r.db, (*Intent).fields, query.String(), args...)
	if err != nil {
		return nil, "", err
	}
	if len(page) > limit {
		page = page[:limit]
		next = cursorBehind(page[limit-1].Index)
	}
	return page, next, nil
}

func orEmpty(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// A cursor is the index of the last entry of a page, so written that nobody takes
// it for something to reckon with.
func cursorBehind(index int64) string {
	return base64.RawURLEncoding.EncodeToString(strconv.AppendInt(nil, index, 10))
}

func readCursor(cursor string) (index int64, err error) {
	if cursor == "" {
		return journal.MaxSize, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err == nil {
		index, err = strconv.ParseInt(string(b), 10, 64)
	}
	if err != nil || index < 0 || cursorBehind(index) != cursor {
		return 0, invalid("cursor", "not the cursor of a page")
	}
	return index, nil
}

// HistoryLine is an entry of an intent.
type HistoryLine struct {
	Index int64
	Time  custody.Time
	Type  custody.EntryType
}

// History returns the entries of an intent in order; a PREPARED also for the repair
// in whose name it is.
func (r Reader) History(ctx context.Context, id custody.ID[custody.Intent]) ([]HistoryLine, error) {
	return rows(ctx, r.db, func(l *HistoryLine) []any { return []any{&l.Index, &l.Time, &l.Type} },
		`SELECT e.idx, e.time, e.type FROM intent_entries h JOIN entries e ON e.idx = h.idx WHERE h.intent = $1 ORDER BY h.idx`, id.String())
}

// SetExternalID gives an intent the id that it has in its institution's own books.
// The error is of code Conflict if another intent of the institution has it, or
// this one has another, and NotFound without the intent.
func (t *Tx) SetExternalID(id custody.ID[custody.Intent], external string) error {
	in, err := t.Intent(t.ctx, id)
	switch {
	case err != nil:
		return err
	case external == "" || len(external) > 128:
		return invalid("externalId", "not 1 to 128 bytes")
	case in.ExternalID == external:
		return nil
	case in.ExternalID != "":
		return conflict("externalId", "the intent has another")
	}
	if taken, err := t.isOn(`SELECT 1 FROM intents WHERE institution = $1 AND external_id = $2`, in.Institution, external); err != nil {
		return err
	} else if taken {
		return conflict("externalId", "another intent has it")
	}
	return t.change(`UPDATE intents SET external_id = $2 WHERE id = $1`, id.String(), external)
}

// addIntent puts an intent on record, due to be looked at.
func (t *Tx) addIntent(in *custody.Intent, index int64) error {
	wallet, repairs := custody.ID[custody.Wallet]{}, custody.ID[custody.Intent]{}
	switch body := in.Body.(type) {
	case *custody.Transfer:
		wallet = body.Wallet
	case *custody.ContractCall:
		wallet = body.Wallet
	case *custody.TypedMessage:
		wallet = body.Wallet
	case *custody.Repair:
		repairs = body.Intent
	}
	if err := t.change(`INSERT INTO intents (id, idx, type, institution, domain, initiator, wallet, repairs, created, expires, bytes, state, reason, updated)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, '', $13)`,
		in.ID.String(), index, in.Type, in.Institution, in.Domain, in.Initiator.String(), orNull(wallet), orNull(repairs),
		in.Created, in.Expires, string(in.Raw), custody.IntentLife.Start, t.now); err != nil {
		return err
	}
	return t.change(`INSERT INTO work (intent, look_at) VALUES ($1, $2)`, in.ID.String(), t.now)
}

func (t *Tx) addToHistory(id custody.ID[custody.Intent], index int64) error {
	return t.change(`INSERT INTO intent_entries (intent, idx) VALUES ($1, $2)`, id.String(), index)
}

// governs reports whether an intent governs.
func (t *Tx) governs(id custody.ID[custody.Intent]) (bool, error) {
	in, err := t.Intent(t.ctx, id)
	return in.Type.Governs(), err
}

// touch brings an intent up to date, and with it the one that it repairs and those
// that repair it; all of them are due.
func (t *Tx) touch(id custody.ID[custody.Intent]) error {
	lines, err := rows(t.ctx, t.tx, (*Intent).fields, selectIntent+
		`WHERE i.id = $1 OR i.repairs = $1 OR i.id = (SELECT repairs FROM intents WHERE id = $1)`, id.String())
	if err != nil {
		return err
	}
	for _, in := range lines {
		if err := t.refresh(in); err != nil {
			return err
		}
		if err := t.change(`UPDATE intents SET updated = $2 WHERE id = $1`, in.ID.String(), t.now); err != nil {
			return err
		}
		if err := t.change(`UPDATE work SET attempts = 0 WHERE intent = $1`, in.ID.String()); err != nil {
			return err
		}
		if err := t.Wake(in.ID); err != nil {
			return err
		}
	}
	return nil
}

// waiting are the states of intents for which nothing is prepared yet, and that wait.
var waiting = []custody.IntentState{
	custody.Submitted, custody.AtScreening, custody.PendingTravelRule, custody.PendingApproval, custody.TimeLocked,
	custody.OnHold, custody.AuthorizedState,
}

// refreshOpen brings all intents up to date that wait. Those that changed are due.
func (t *Tx) refreshOpen() error {
	lines, err := rows(t.ctx, t.tx, (*Intent).fields, selectIntent+`WHERE i.state IN ($1, $2, $3, $4, $5, $6, $7)`, words(waiting)...)
	if err != nil {
		return err
	}
	for _, in := range lines {
		if err := t.refresh(in); err != nil {
			return err
		}
	}
	return nil
}

func words[T ~string](list []T) []any {
	out := make([]any, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return out
}

// refresh writes what an intent has come to, if that changed, and makes it due
// then. What the state has forgotten stays as it was, or has expired.
func (t *Tx) refresh(in Intent) error {
	at, why, err := t.store.state.Status(in.ID, t.now)
	switch {
	case custody.CodeOf(err) == custody.NotFound && slices.Contains(waiting, in.State) && in.Expires <= t.now:
		at, why = custody.Expired, "expired"
	case custody.CodeOf(err) == custody.NotFound:
		return nil
	case err != nil:
		return err
	}
	if at == in.State && why == in.Reason {
		return nil
	}
	if err := t.change(`UPDATE intents SET state = $2, reason = $3, updated = $4 WHERE id = $1`, in.ID.String(), at, why, t.now); err != nil {
		return err
	}
	return t.Wake(in.ID)
}
