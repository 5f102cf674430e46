//go:build linux

// Package disk is SQLite's access to its files, with three things changed: the
// pages of a commit reach the log in one write instead of two for each, files
// are synced with fdatasync (SQLite's own choice on Linux, which the Go port
// does without), and tests can make the disk fail.
package disk

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Name is the name by which connections ask for this access, in the parameter
// vfs of their data source.
const Name = "collie"

// Fault answers for a disk in a test: op is "write" or "sync", and an error
// makes it fail. syscall.ENOSPC is a full disk, all else a broken one.
type Fault func(op, file string) error

// SQLite knows its ways to files by name, for the whole process: so does this.
var (
	register = sync.OnceValue(install)
	original sqlite3.Tsqlite3_vfs // what SQLite would use
	unixVFS  uintptr              // where that is
	known    = registry{kinds: map[uintptr]*methods{}, files: map[uintptr]*file{}, faults: map[string]Fault{}}
)

// registry finds what belongs to SQLite's pointers.
type registry struct {
	mu     sync.RWMutex
	kinds  map[uintptr]*methods // by SQLite's methods
	files  map[uintptr]*file    // by SQLite's file
	faults map[string]Fault     // by directory
}

// Register makes Name known to SQLite.
func Register() error { return register() }

// Inject makes the files of a directory fail as f says, until remove.
func Inject(dir string, f Fault) (remove func()) {
	known.mu.Lock()
	defer known.mu.Unlock()
	known.faults[dir] = f
	return func() {
		known.mu.Lock()
		defer known.mu.Unlock()
		delete(known.faults, dir)
	}
}

func install() error {
	tls := libc.NewTLS()
	unixVFS = sqlite3.Xsqlite3_vfs_find(tls, 0)
	if unixVFS == 0 {
		return errors.New("SQLite has no default access to files")
	}
	original = *(*sqlite3.Tsqlite3_vfs)(at(unixVFS))
	name, err := libc.CString(Name)
	if err != nil {
		return fmt.Errorf("register access to files: %w", err)
	}
	ours := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(original)))
	if ours == 0 {
		return errors.New("register access to files: out of memory")
	}
	v := (*sqlite3.Tsqlite3_vfs)(at(ours))
	*v = original
	v.FzName, v.FpNext, v.FxOpen = name, 0, pointer(open)
	if rc := sqlite3.Xsqlite3_vfs_register(tls, ours, 0); rc != sqlite3.SQLITE_OK {
		return fmt.Errorf("register access to files: SQLite answers %d", rc)
	}
	return nil
}

// at is memory of SQLite's, which the garbage collector neither moves nor
// frees.
func at(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// pointer is a Go function as the Go port of SQLite calls it.
func pointer[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&struct{ f F }{f})) }

// function is the reverse.
func function[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&struct{ p uintptr }{p})) }

type (
	openFunc  = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32
	closeFunc = func(tls *libc.TLS, file uintptr) int32
	readFunc  = func(tls *libc.TLS, file, buf uintptr, n int32, off int64) int32
	truncFunc = func(tls *libc.TLS, file uintptr, size int64) int32
	sizeFunc  = func(tls *libc.TLS, file, size uintptr) int32
	syncFunc  = func(tls *libc.TLS, file uintptr, flags int32) int32
)

// open opens as SQLite does, and puts our methods before the file's own.
func open(tls *libc.TLS, _, name, p uintptr, flags int32, outFlags uintptr) int32 {
	rc := function[openFunc](original.FxOpen)(tls, unixVFS, name, p, flags, outFlags)
	if rc != sqlite3.SQLITE_OK || name == 0 || flags&(sqlite3.SQLITE_OPEN_MAIN_DB|sqlite3.SQLITE_OPEN_WAL) == 0 {
		return rc
	}
	u := (*sqlite3.TunixFile)(at(p))
	if u.FpMethod == 0 {
		return rc
	}
	path := libc.GoString(name)
	known.mu.Lock()
	defer known.mu.Unlock()
	m := known.methodsOf(tls, u.FpMethod)
	if m == nil {
		return rc // out of memory: SQLite's own way still works
	}
	u.FpMethod = m.ours
	known.files[p] = &file{plain: &m.plain, fd: int(u.Fh), path: path, dir: filepath.Dir(path), log: flags&sqlite3.SQLITE_OPEN_WAL != 0}
	return rc
}

// methods are those of one kind of file; the log is another kind than the file
// itself, which knows locks.
type methods struct {
	plain sqlite3.Tsqlite3_io_methods
	ours  uintptr // in SQLite's memory, and never freed
}

// methodsOf makes our methods from SQLite's.
func (r *registry) methodsOf(tls *libc.TLS, p uintptr) *methods {
	if m := r.kinds[p]; m != nil {
		return m
	}
	m := &methods{plain: *(*sqlite3.Tsqlite3_io_methods)(at(p))}
	m.ours = libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(m.plain)))
	if m.ours == 0 {
		return nil
	}
	ours := m.plain
	ours.FxClose = pointer(xClose)
	ours.FxRead = pointer(xRead)
	ours.FxWrite = pointer(xWrite)
	ours.FxTruncate = pointer(xTruncate)
	ours.FxSync = pointer(xSync)
	ours.FxFileSize = pointer(xFileSize)
	*(*sqlite3.Tsqlite3_io_methods)(at(m.ours)) = ours
	r.kinds[p] = m
	return m
}

// file is one open file. SQLite uses it from one thread at a time.
type file struct {
	plain     *sqlite3.Tsqlite3_io_methods
	fd        int
	path, dir string
	log       bool
	buf       []byte // written to the log, but not yet passed on
	off       int64  // where buf belongs
}

func of(p uintptr) *file {
	known.mu.RLock()
	defer known.mu.RUnlock()
	return known.files[p]
}

func (f *file) fault(op string) error {
	known.mu.RLock()
	hook := known.faults[f.dir]
	known.mu.RUnlock()
	if hook == nil {
		return nil
	}
	return hook(op, f.path)
}

// maxBuffer is what is kept of a commit before it is passed on in parts.
const maxBuffer = 1 << 20

// flush passes on what was written. Nobody else may read it before the sync
// that follows: SQLite shows the pages of a commit to other connections only
// after that.
func (f *file) flush() int32 {
	rest, off := f.buf, f.off
	f.buf = f.buf[:0] // if this fails the commit fails, and writes anew
	for len(rest) > 0 {
		n, err := syscall.Pwrite(f.fd, rest, off)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return failure(err, sqlite3.SQLITE_IOERR_WRITE)
		}
		rest, off = rest[n:], off+int64(n)
	}
	return sqlite3.SQLITE_OK
}

func failure(err error, code int32) int32 {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return sqlite3.SQLITE_FULL
	}
	return code
}

func xWrite(tls *libc.TLS, p, buf uintptr, n int32, off int64) int32 {
	f := of(p)
	if err := f.fault("write"); err != nil {
		return failure(err, sqlite3.SQLITE_IOERR_WRITE)
	}
	if !f.log {
		return function[readFunc](f.plain.FxWrite)(tls, p, buf, n, off)
	}
	if len(f.buf) > 0 && (off != f.off+int64(len(f.buf)) || len(f.buf)+int(n) > maxBuffer) {
		if rc := f.flush(); rc != sqlite3.SQLITE_OK {
			return rc
		}
	}
	if len(f.buf) == 0 {
		f.off = off
	}
	f.buf = append(f.buf, unsafe.Slice((*byte)(at(buf)), n)...)
	return sqlite3.SQLITE_OK
}

func xSync(tls *libc.TLS, p uintptr, flags int32) int32 {
	f := of(p)
	if rc := f.flush(); rc != sqlite3.SQLITE_OK {
		return rc
	}
	if err := f.fault("sync"); err != nil {
		return failure(err, sqlite3.SQLITE_IOERR_FSYNC)
	}
	if (*sqlite3.TunixFile)(at(p)).FctrlFlags&sqlite3.UNIXFILE_DIRSYNC != 0 {
		return function[syncFunc](f.plain.FxSync)(tls, p, flags) // a new name: the directory too
	}
	for {
		switch err := syscall.Fdatasync(f.fd); err {
		case nil:
			return sqlite3.SQLITE_OK
		case syscall.EINTR:
		default:
			return sqlite3.SQLITE_IOERR_FSYNC // ENOSPC too: what was lost is not known
		}
	}
}

func xRead(tls *libc.TLS, p, buf uintptr, n int32, off int64) int32 {
	f := of(p)
	if rc := f.flush(); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return function[readFunc](f.plain.FxRead)(tls, p, buf, n, off)
}

func xTruncate(tls *libc.TLS, p uintptr, size int64) int32 {
	f := of(p)
	if rc := f.flush(); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return function[truncFunc](f.plain.FxTruncate)(tls, p, size)
}

func xFileSize(tls *libc.TLS, p, size uintptr) int32 {
	f := of(p)
	if rc := f.flush(); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return function[sizeFunc](f.plain.FxFileSize)(tls, p, size)
}

func xClose(tls *libc.TLS, p uintptr) int32 {
	f := of(p)
	flushed := f.flush()
	known.mu.Lock()
	delete(known.files, p)
	known.mu.Unlock()
	if rc := function[closeFunc](f.plain.FxClose)(tls, p); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return flushed
}
