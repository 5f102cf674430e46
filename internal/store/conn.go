package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	_ "modernc.org/sqlite" // the driver

	"github.com/colliehq/collie/internal/store/disk"
)

const (
	applicationID = 0x436f6c6c // "Coll", in the header of the file
	// walLimit is what the log is cut to when it grew beyond; it is written
	// over from the start after each checkpoint, which is faster than growing.
	walLimit = 64 << 20
)

// conn is the writing connection with its prepared statements.
type conn struct {
	db   *sql.DB
	conn *sql.Conn
	kept map[string]*sql.Stmt
	log  *checkpointer
}

func dsn(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append(pragmas, "busy_timeout(10000)")}
	if disk.Name != "" {
		q.Set("vfs", disk.Name)
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func openWriter(ctx context.Context, path string) (*conn, error) {
	if err := disk.Register(); err != nil {
		return nil, err
	}
	if err := makeFile(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dsn(path, "synchronous("+synchronous+")", "wal_autocheckpoint(0)",
		"journal_size_limit("+strconv.Itoa(walLimit)+")", "cache_size(-16384)", "foreign_keys(ON)", "temp_store(MEMORY)"))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(describe(path, err), db.Close())
	}
	w := &conn{db: db, conn: c, kept: map[string]*sql.Stmt{}}
	if err := w.check(ctx, path); err != nil {
		return nil, errors.Join(err, w.close())
	}
	if w.log, err = openCheckpointer(path); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// makeFile makes the database readable for its owner only.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open data file: %w", err)
	}
	return f.Close()
}

// check reads the header only, and makes it in a new file.
func (c *conn) check(ctx context.Context, path string) error {
	var version string
	if err := c.conn.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version); err != nil {
		return describe(path, err)
	}
	if err := checkVersion(version); err != nil {
		return err
	}
	id, pages, err := c.header(ctx)
	if err != nil {
		return describe(path, err)
	}
	switch {
	case pages == 0:
		return describe(path, c.create(ctx))
	case id != applicationID:
		return fmt.Errorf("%s is not a file of collie: move it away, or give --storage.path another directory", path)
	}
	return nil
}

func (c *conn) header(ctx context.Context) (id, pages int64, err error) {
	if err := c.conn.QueryRowContext(ctx, `PRAGMA page_count`).Scan(&pages); err != nil || pages == 0 {
		return 0, 0, err
	}
	return id, pages, c.conn.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id)
}

func (c *conn) create(ctx context.Context) error {
	for _, q := range []string{
		`PRAGMA auto_vacuum = INCREMENTAL`, // only before the first table
		fmt.Sprintf(`PRAGMA application_id = %d`, applicationID),
		`PRAGMA journal_mode = WAL`,
	} {
		if _, err := c.conn.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	return nil
}

func describe(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case isDamaged(err):
		return fmt.Errorf("%s is damaged or not a database: restore a backup, or move it away to start anew: %w", path, err)
	}
	return fmt.Errorf("open %s: %w", path, err)
}

// minimum is the first version without the bug that can lose a commit when
// the log is reset while another connection writes.
const minimum = "3.51.3"

func checkVersion(version string) error {
	have, want := numbers(version), numbers(minimum)
	for i := range want {
		if have[i] != want[i] {
			if have[i] < want[i] {
				return fmt.Errorf("SQLite %s can lose commits: this program needs %s or newer, build it with its own go.mod", version, minimum)
			}
			return nil
		}
	}
	return nil
}

func numbers(version string) (n [3]int) {
	for i, part := range strings.SplitN(version, ".", 3) {
		n[i], _ = strconv.Atoi(part) // what is no number is 0, and refused
	}
	return n
}

func openReaders(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn(path, "query_only(ON)", "cache_size(-2048)"))
	if err != nil {
		return nil, fmt.Errorf("open %s for reading: %w", path, err)
	}
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(readers)
	return db, nil
}

// prepare returns the kept statement for the query, or nil where too many are
// kept already.
func (c *conn) prepare(query string) (*sql.Stmt, error) {
	if st := c.kept[query]; st != nil {
		return st, nil
	}
	if len(c.kept) >= maxStatements {
		return nil, nil
	}
	st, err := c.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	c.kept[query] = st
	return st, nil
}

func (c *conn) exec(query string) error {
	st, err := c.prepare(query) //nolint:sqlclosecheck // kept until the connection closes
	if err != nil {
		return err
	}
	if st == nil {
		_, err = c.conn.ExecContext(context.Background(), query)
		return err
	}
	_, err = st.ExecContext(context.Background())
	return err
}

func (c *conn) close() error {
	var errs []error
	if c.log != nil {
		errs = append(errs, c.log.db.Close())
	}
	for _, st := range c.kept {
		errs = append(errs, st.Close())
	}
	clear(c.kept)
	return errors.Join(append(errs, c.conn.Close(), c.db.Close())...)
}

// wasUnclean reports whether the last process did not close the file: a clean
// stop removes the log.
func wasUnclean(path string) bool {
	info, err := os.Stat(path + "-wal")
	return err == nil && info.Size() > 0
}
