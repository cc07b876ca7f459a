package signer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
)

// JournalName is the file of a node's own copy of the journal, in its directory.
const JournalName = "journal.jsonl"

// entryLog is the node's own copy of the journal: one file, an entry's canonical
// bytes a line, only ever appended to. `coffer verify --journal` reads such a file.
type entryLog struct {
	file *os.File
	size int64 // bytes that hold whole entries
}

// openLog opens the file, and cuts off what an interrupted write left at its end.
func openLog(dir string) (*entryLog, error) {
	name := filepath.Join(dir, JournalName)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the directory
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	l := &entryLog{file: f}
	err = l.each(func([]byte) error { return nil })
	if err == nil {
		err = l.file.Truncate(l.size)
	}
	if err == nil {
		err = keyfile.SyncDirectory(name)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the journal: %w", err), f.Close())
	}
	return l, nil
}

// each reads all whole entries in order, and finds where they end.
func (l *entryLog) each(do func(raw []byte) error) error {
	if _, err := l.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	l.size = 0
	r := bufio.NewReaderSize(l.file, custody.MaxEntry+1)
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return nil // what is left is no whole entry
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("a line of more than %d bytes after byte %d", custody.MaxEntry, l.size)
		case err != nil:
			return err
		}
		if err := do(bytes.Clone(line[:len(line)-1])); err != nil {
			return err
		}
		l.size += int64(len(line))
	}
}

// keep cuts the file down to its first size entries, or to none where it has fewer,
// and returns how many went.
func (l *entryLog) keep(size int64) (dropped int64, err error) {
	var count, read, end int64
	err = l.each(func(raw []byte) error {
		count++
		if read += int64(len(raw)) + 1; count == size {
			end = read
		}
		return nil
	})
	if err != nil || count == size {
		return 0, err
	}
	dropped = count
	if count > size {
		dropped = count - size
	}
	l.size = end
	return dropped, errors.Join(l.file.Truncate(end), l.file.Sync())
}

// append writes entries down to the disk. After an error none of them is there.
func (l *entryLog) append(entries [][]byte) error {
	var lines []byte
	for _, e := range entries {
		lines = append(append(lines, e...), '\n')
	}
	_, err := l.file.WriteAt(lines, l.size)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the journal: %w", err), l.file.Truncate(l.size))
	}
	l.size += int64(len(lines))
	return nil
}

func (l *entryLog) close() error { return l.file.Close() }
