package store

import (
	"database/sql"
	"testing"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
)

// A commit is on the disk when it returns, and who reads can't write.
func TestPragmas(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), t.TempDir()+"/coffer.db", custody.Hash{1}, func() time.Time { return time.Time{} })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, c := range []struct {
		db           *sql.DB
		pragma, want string
	}{
		{s.writer, "journal_mode", "wal"},
		{s.writer, "synchronous", "2"},
		{s.writer, "foreign_keys", "1"},
		{s.writer, "query_only", "0"},
		{s.reader, "journal_mode", "wal"},
		{s.reader, "query_only", "1"},
	} {
		var got string
		if err := c.db.QueryRowContext(t.Context(), "PRAGMA "+c.pragma).Scan(&got); err != nil || got != c.want {
			t.Errorf("%s is %s, %v; want %s", c.pragma, got, err, c.want)
		}
	}
}
