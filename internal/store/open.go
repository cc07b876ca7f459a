package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/state"
)

// Errors of [Open].
var (
	// ErrInUse is the error of a database that another process has open.
	ErrInUse = errors.New("store: another process has the database open")
	// ErrCharter is the error of a database of another deployment.
	ErrCharter = errors.New("store: the database belongs to another charter")
	// ErrNewer is the error of a database that a newer program has migrated.
	ErrNewer = errors.New("store: the database was written by a newer program")
	// ErrDamaged is the error of a journal that is no longer what was written.
	ErrDamaged = errors.New("store: the journal in the database is damaged")
)

//go:embed migrations/*.sql
var migrations embed.FS

// How connections are opened. What is committed survives a loss of power.
const (
	pragmas  = "_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)"
	toWrite  = pragmas + "&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
	toRead   = pragmas + "&_pragma=query_only(1)"
	nReaders = 8
)

// Open opens the database of a deployment, named by its charter's hash, and makes
// it if there is none: the file at path, for its owner alone, and beside it
// path.lock, -wal and -shm. It migrates the tables, replays the journal and
// compares all of it with the hashes on record. now tells the time of new entries.
// The error is [ErrInUse], [ErrCharter], [ErrNewer], [ErrDamaged], or that of the
// database.
func Open(ctx context.Context, path string, charter custody.Hash, now func() time.Time) (_ *Store, err error) {
	s := &Store{charter: charter, now: now, changed: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if s.lock, err = lock(path + ".lock"); err != nil {
		return nil, err
	}
	// SQLite gives the files beside it the same mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if s.writer, err = open(path, toWrite, 1); err != nil {
		return nil, err
	}
	if s.reader, err = open(path, toRead, nReaders); err != nil {
		return nil, err
	}
	s.Reader = Reader{s.reader}
	if err := s.migrate(ctx); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	if err := s.rebuild(ctx); err != nil {
		return nil, err
	}
	if err := s.checkHead(ctx); err != nil {
		return nil, err
	}
	s.size.Store(s.state.Size())
	s.rebase()
	return s, nil
}

// lock takes the file at path for this process, until it is closed.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // stands beside the database
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%w: %s is locked", ErrInUse, path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func open(path, options string, connections int) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: options}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.writer, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if current, target, err := provider.GetVersions(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	} else if current > target {
		return fmt.Errorf("%w: its tables have version %d, this program knows %d", ErrNewer, current, target)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("store: migrate: %w", err)
	}
	return nil
}

// begin binds a new database to its charter, and ends what a dead process left
// half done: its calls were never answered, its leases are free.
func (s *Store) begin(ctx context.Context) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, `INSERT INTO deployment (id, charter) VALUES (1, $1) ON CONFLICT DO NOTHING`, s.charter.String()); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	var charter custody.Hash
	if err := tx.QueryRowContext(ctx, `SELECT charter FROM deployment`).Scan(text{&charter}); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if charter != s.charter {
		return fmt.Errorf("%w: %s", ErrCharter, charter)
	}
	for _, statement := range []string{
		`DELETE FROM requests WHERE status IS NULL`,
		`UPDATE work SET look_at = COALESCE(look_at, 0), lease_until = NULL WHERE lease_until IS NOT NULL`,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// Close closes the database, after whatever Advance runs. A Store that is closed
// answers nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, db := range []*sql.DB{s.reader, s.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}

// rebuild makes the state of the entries on record: from the snapshot kept in
// memory, or from the charter.
func (s *Store) rebuild(ctx context.Context) error {
	st := state.New(s.charter)
	if s.base != nil {
		var err error
		if st, err = state.Restore(s.base); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	lists, err := s.Lists(ctx)
	if err != nil {
		return err
	}
	for _, list := range lists {
		if err := st.Offer(list); err != nil {
			return fmt.Errorf("%w: a list: %w", ErrDamaged, err)
		}
	}
	for more := true; more; {
		if more, err = s.replay(ctx, st); err != nil {
			return err
		}
	}
	if err := s.complete(ctx, st.Size()); err != nil {
		return err
	}
	s.state = st
	return nil
}
