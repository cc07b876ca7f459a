package store

import (
	"context"
	"database/sql"
	"encoding"
	"errors"
	"fmt"

	"github.com/cofferhq/coffer/internal/custody"
)

// Reader answers questions: embedded in a [Store] of what is committed, embedded in
// a [Tx] of what that wrote as well.
type Reader struct{ db querier }

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// only is the one column of a row.
func only[T any](v *T) []any { return []any{v} }

// rows reads all rows of a query; columns says where each column of a row goes.
func rows[T any](ctx context.Context, db querier, columns func(*T) []any, query string, args ...any) ([]T, error) {
	r, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer func() { _ = r.Close() }()
	var out []T
	for r.Next() {
		var v T
		if err := r.Scan(columns(&v)...); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		out = append(out, v)
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return out, nil
}

// row reads the first row of a query. The error is of code NotFound, with the field
// given, if there is none.
func row[T any](ctx context.Context, db querier, field string, columns func(*T) []any, query string, args ...any) (T, error) {
	var v T
	err := db.QueryRowContext(ctx, query, args...).Scan(columns(&v)...)
	if errors.Is(err, sql.ErrNoRows) {
		return v, notFound(field)
	}
	if err != nil {
		return v, fmt.Errorf("store: %w", err)
	}
	return v, nil
}

// exec returns how many rows a statement changed.
func exec(ctx context.Context, db querier, statement string, args ...any) (int64, error) {
	r, err := db.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	return n, nil
}

// text reads a column into a value of ours. NULL leaves it as it is.
type text struct{ to encoding.TextUnmarshaler }

// Scan implements sql.Scanner.
func (t text) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return t.to.UnmarshalText([]byte(v))
	case []byte:
		return t.to.UnmarshalText(v)
	}
	return fmt.Errorf("%T is no text", v)
}

// number reads a column that may be NULL, which leaves the value as it is.
type number[T ~int64 | ~uint64] struct{ to *T }

// Scan implements sql.Scanner.
func (n number[T]) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		return nil
	case int64:
		*n.to = T(v)
		return nil
	}
	return fmt.Errorf("%T is no number", v)
}

// orNull is a value's text, or NULL for the zero value.
func orNull[T interface {
	comparable
	fmt.Stringer
}](v T) any {
	if v == *new(T) {
		return nil
	}
	return v.String()
}

// heightOrNull is a height, or NULL for 0, which stands for no block.
func heightOrNull(height uint64) any {
	if height == 0 {
		return nil
	}
	return int64(height)
}

func notFound(field string) error {
	return &custody.Error{Code: custody.NotFound, Field: field, Message: "not on record"}
}

func conflict(field, message string) error {
	return &custody.Error{Code: custody.Conflict, Field: field, Message: message}
}

func invalid(field, message string) error {
	return &custody.Error{Code: custody.Invalid, Field: field, Message: message}
}
