package store

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/colliehq/collie/internal/queue"
)

// ErrUnknown says that a transaction may be stored or not: the disk failed
// while it was committed. It is queue.ErrUnknown.
var ErrUnknown = queue.ErrUnknown

// ErrClosed is a store that was closed, or that gave up on its disk.
var ErrClosed = queue.ErrClosed

// wrap marks an error of SQLite with what it means to callers.
func wrap(err error) error {
	if err != nil && isFull(err) && !errors.Is(err, queue.ErrFull) {
		return fmt.Errorf("%w: no space is left for the data directory: %w", queue.ErrFull, err)
	}
	return err
}

func code(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code()
}

func isFull(err error) bool { return code(err)&0xff == sqlite3.SQLITE_FULL }

// isIO reports a disk that failed, as opposed to one that is full. What was
// synced last may be lost with the page cache.
func isIO(err error) bool { return code(err)&0xff == sqlite3.SQLITE_IOERR }

func isDamaged(err error) bool {
	c := code(err) & 0xff
	return c == sqlite3.SQLITE_CORRUPT || c == sqlite3.SQLITE_NOTADB
}

// isBusy reports a lock of another program. Nothing was changed.
func isBusy(err error) bool { return code(err)&0xff == sqlite3.SQLITE_BUSY }

// isMisuse reports a statement that makes no sense now, such as the end of a
// transaction that is over.
func isMisuse(err error) bool { return code(err) == sqlite3.SQLITE_ERROR }
