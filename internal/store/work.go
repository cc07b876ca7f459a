package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/cofferhq/coffer/internal/custody"
)

// Never is the time at which an intent is looked at that nothing more can happen
// to by itself.
const Never custody.Time = math.MaxInt64

// Work is an intent taken to look at, and to move on if it can be. Its row is its
// place in the queue.
type Work struct {
	Intent   custody.ID[custody.Intent]
	Fence    int64 // counts how often it was taken: an older Work is worth nothing
	Attempts int64 // how often since an entry last touched it, this time included
}

// Claim takes the intent that has been due longest, for as long as lease says; then
// it is due again. It returns false if none is due.
func (s *Store) Claim(ctx context.Context, now custody.Time, lease custody.Seconds) (Work, bool, error) {
	var w Work
	err := s.writer.QueryRowContext(ctx, `UPDATE work SET look_at = NULL, lease_until = $2, fence = fence + 1, attempts = attempts + 1
		WHERE intent = (SELECT intent FROM work WHERE COALESCE(lease_until, look_at) <= $1
			ORDER BY COALESCE(lease_until, look_at), intent LIMIT 1)
		RETURNING intent, fence, attempts`, now, now.Add(lease)).Scan(text{&w.Intent}, &w.Fence, &w.Attempts)
	if errors.Is(err, sql.ErrNoRows) {
		return Work{}, false, nil
	}
	if err != nil {
		return Work{}, false, fmt.Errorf("store: %w", err)
	}
	return w, true, nil
}

// Finish gives an intent back: it is due at again, or sooner if something made it
// due since it was taken, an entry of this Tx included. note says what it waits
// for, such as "waits for funds: has 0.1, needs 0.3 BTC". The intent's state is
// brought up to date. The error is of code Conflict if the intent was taken again
// since, or given back before.
func (t *Tx) Finish(w Work, again custody.Time, note string) error {
	in, err := t.Intent(t.ctx, w.Intent)
	if err != nil {
		return err
	}
	if err := t.refresh(in); err != nil {
		return err
	}
	var at any
	if again != Never {
		at = again
	}
	n, err := t.exec(`UPDATE work SET lease_until = NULL, note = $4,
		look_at = CASE WHEN look_at IS NULL OR look_at > CAST($3 AS BIGINT) THEN CAST($3 AS BIGINT) ELSE look_at END
		WHERE intent = $1 AND fence = $2 AND lease_until IS NOT NULL`, w.Intent.String(), w.Fence, at, note)
	if err != nil {
		return err
	}
	if n == 0 {
		return conflict("fence", "the intent was taken again, or given back")
	}
	return nil
}

// Wake makes an intent due now; if it is taken, as soon as it is given back.
func (t *Tx) Wake(id custody.ID[custody.Intent]) error {
	return t.change(`UPDATE work SET look_at = $2 WHERE intent = $1 AND (look_at IS NULL OR look_at > $2)`, id.String(), t.now)
}
