package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/cofferhq/coffer/internal/custody"
)

// Answer is what a call was answered, to be answered again when it is repeated.
type Answer struct {
	Status int // of HTTP
	Body   []byte
}

// remembered is how long an answer is.
const remembered = custody.Day

// ErrOtherRequest is the cause of the error of code Invalid with which [Store.Begin]
// refuses an idempotency key that was used for another request.
var ErrOtherRequest = errors.New("the key was used for another request")

const keyField = "Idempotency-Key"

// Begin starts a call under its idempotency key (1 to 255 bytes, chosen by the
// principal). No answer and no error: it is new, and must end in Complete or
// Abandon. An answer: the same call was answered so within the last 24 hours. The
// error is of code Conflict while the same call runs, and Invalid, wrapping
// [ErrOtherRequest], if the key stands for a request with another hash.
func (s *Store) Begin(ctx context.Context, principal, key string, request custody.Hash, now custody.Time) (*Answer, error) {
	if key == "" || len(key) > 255 {
		return nil, invalid(keyField, "not 1 to 255 bytes")
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := exec(ctx, tx, `DELETE FROM requests WHERE created <= $1 AND status IS NOT NULL`, now.Add(-remembered)); err != nil {
		return nil, err
	}
	n, err := exec(ctx, tx, `INSERT INTO requests (principal, key, hash, created) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		principal, key, request.String(), now)
	if err != nil {
		return nil, err
	}
	if n == 1 {
		if err := tx.Commit(); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		return nil, nil //nolint:nilnil // no answer is what a new call has
	}
	var hash custody.Hash
	var status int64
	var a Answer
	if err := tx.QueryRowContext(ctx, `SELECT hash, status, body FROM requests WHERE principal = $1 AND key = $2`, principal, key).
		Scan(text{&hash}, number[int64]{&status}, &a.Body); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	switch {
	case hash != request:
		return nil, &custody.Error{Code: custody.Invalid, Field: keyField, Err: ErrOtherRequest}
	case status == 0:
		return nil, conflict(keyField, "the same call is running")
	}
	a.Status = int(status)
	return &a, nil
}

// Complete ends a call with its answer. The error is of code NotFound if no such
// call runs.
func (s *Store) Complete(ctx context.Context, principal, key string, a Answer) error {
	n, err := exec(ctx, s.writer, `UPDATE requests SET status = $3, body = $4 WHERE principal = $1 AND key = $2 AND status IS NULL`,
		principal, key, a.Status, a.Body)
	if err == nil && n == 0 {
		err = notFound(keyField)
	}
	return err
}

// Abandon ends a call that was never accepted: its key is free again.
func (s *Store) Abandon(ctx context.Context, principal, key string) error {
	_, err := exec(ctx, s.writer, `DELETE FROM requests WHERE principal = $1 AND key = $2 AND status IS NULL`, principal, key)
	return err
}
