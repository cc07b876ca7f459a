package main

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
)

const (
	maxKeyFile = keyfile.MaxSize // bytes of a .pub file, a passphrase file or a trust file
	publicMode = 0o644
)

// asUsage makes usage errors of those that the user can put right by another file or
// passphrase; the machine's it leaves alone.
func asUsage(err error) error {
	if custody.CodeOf(err) != custody.Internal {
		return usagef("%v", err)
	}
	return err
}

// readFile reads a file of at most limit bytes. What the command line names and
// can't be read is a mistake of the command line.
func readFile(name string, limit int64) ([]byte, error) {
	raw, err := keyfile.ReadFile(name, limit)
	return raw, asUsage(err)
}

// create writes a file that isn't there yet, down to the disk.
func create(name string, mode os.FileMode, content []byte) error {
	return asUsage(keyfile.Create(name, mode, content))
}

// replace puts other content in the place of a file, at once or not at all.
func replace(name string, content []byte) error {
	before, err := os.Stat(name)
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Chmod(before.Mode().Perm()), temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return keyfile.SyncDirectory(name)
}

// clock is where time comes into these commands.
func clock() time.Time {
	return time.Now() //nolint:forbidigo // the edge of the program
}

// fingerprint names a public part in words, for people who compare.
func fingerprint(public any) (string, error) {
	raw, err := custody.Encode(public)
	if err != nil {
		return "", err
	}
	return words(sha256.Sum256(raw)), nil
}
