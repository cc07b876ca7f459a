package keyfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/cofferhq/coffer/internal/custody"
)

// ReadFile reads a file of at most limit bytes. That it can't be read, or is larger, is
// the mistake of whoever named it.
func ReadFile(file string, limit int64) ([]byte, error) {
	raw, _, err := read(file, limit)
	return raw, err
}

// read returns the mode of the file that it read, whatever the name stands for by now.
func read(file string, limit int64) ([]byte, os.FileMode, error) {
	f, err := os.Open(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, 0, &custody.Error{Code: custody.Invalid, Err: err}
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, 0, &custody.Error{Code: custody.Invalid, Err: err}
	}
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, 0, &custody.Error{Code: custody.Invalid, Err: err}
	case int64(len(raw)) > limit:
		return nil, 0, invalidf("%s: more than %d bytes", file, limit)
	}
	return raw, info.Mode(), nil
}

// Create writes a file that isn't there yet, and returns nil when it is on the disk.
// Where writing fails no file stays.
func Create(file string, mode os.FileMode, content []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode) //nolint:gosec // the operator names it
	if errors.Is(err, os.ErrExist) {
		return &custody.Error{Code: custody.Conflict, Message: file + " is there already"}
	} else if err != nil {
		return &custody.Error{Code: custody.Invalid, Err: err}
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return SyncDirectory(file)
}

// SyncDirectory puts the directory entry of a file onto the disk: without it a crash can
// lose a new file, synced as it may be.
func SyncDirectory(file string) error {
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
