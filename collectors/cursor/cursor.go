// Package cursor stores how far files are acknowledged, and what is being sent:
// both must survive for a replay to be the same to the byte.
package cursor

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/colliehq/collie/collectors/file"
	"github.com/colliehq/collie/internal/store"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Range is a stretch of one file in a flight.
type Range struct {
	File        int64 // Record.ID
	First       int   // entry of the flight that its first line is
	Start, Stop int64 // bytes
	Sum         uint32
	Mid         bool
	Max         int // longest line, in bytes
	Name        string
	Labels      string
}

// Flight is what is sent and acknowledged as one.
type Flight struct {
	Base    int64 // Unix nanoseconds of entry 0; no two flights have the same
	Entries int
	Ranges  []Range
}

// Book is the shipper's tables.
type Book struct{ store *store.Store }

// Open brings the tables up to date.
func Open(ctx context.Context, s *store.Store) (*Book, error) {
	sub, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return nil, err
	}
	if err := s.Migrate(ctx, "shipper", sub); err != nil {
		return nil, err
	}
	return &Book{store: s}, nil
}

// State is all that is stored.
type State struct {
	Files  []file.Record
	Flight *Flight // nil if none was under way
	Last   int64   // the latest time of an entry
}

// Load reads everything.
func (b *Book) Load(ctx context.Context) (s State, err error) {
	err = b.store.View(ctx, func(tx *sql.Tx) error {
		if s.Files, err = files(ctx, tx); err != nil {
			return err
		}
		if s.Flight, err = flight(ctx, tx); err != nil {
			return err
		}
		err := tx.QueryRowContext(ctx, `SELECT last FROM shipper_clock`).Scan(&s.Last)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return State{}, fmt.Errorf("read the cursors of log files: %w", err)
	}
	return s, nil
}

// rows reads each row of a query.
func rows(ctx context.Context, tx *sql.Tx, each func(*sql.Rows) error, query string, args ...any) (err error) {
	found, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		if err := each(found); err != nil {
			return err
		}
	}
	return found.Err()
}

func files(ctx context.Context, tx *sql.Tx) (all []file.Record, err error) {
	err = rows(ctx, tx, func(found *sql.Rows) error {
		var r file.Record
		var dev, inode int64
		var tail, past []byte
		err := found.Scan(&r.ID, &dev, &inode, &r.Key.Birth, &r.Name, &r.Path, &r.Head, &r.Cursor, &r.TailLen, &tail, &r.Before, &r.PastLen, &past, &r.Size, &r.Seen)
		r.Key.Dev, r.Key.Inode = uint64(dev), uint64(inode)
		copy(r.Tail[:], tail)
		copy(r.Past[:], past)
		all = append(all, r)
		return err
	}, `SELECT id, dev, inode, birth, name, path, head, cursor, tail_len, tail, before, past_len, past, size, seen FROM shipper_files ORDER BY id`)
	return all, err
}

func flight(ctx context.Context, tx *sql.Tx) (*Flight, error) {
	var f Flight
	err := tx.QueryRowContext(ctx, `SELECT base, entries FROM shipper_flights`).Scan(&f.Base, &f.Entries)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // no flight is no error
	}
	if err != nil {
		return nil, err
	}
	err = rows(ctx, tx, func(found *sql.Rows) error {
		var r Range
		err := found.Scan(&r.File, &r.First, &r.Start, &r.Stop, &r.Sum, &r.Mid, &r.Max, &r.Name, &r.Labels)
		f.Ranges = append(f.Ranges, r)
		return err
	}, `SELECT file, first, start, stop, sum, mid, max, name, labels FROM shipper_ranges WHERE flight = ? ORDER BY number`, f.Base)
	return &f, err
}

// Plan stores a flight before its first attempt, with the records of its files,
// in place of the one before. It may be repeated when it is not known whether it
// is stored.
func (b *Book) Plan(ctx context.Context, f *Flight, files []file.Record) error {
	err := b.store.Tx(ctx, func(tx *store.Tx) error {
		if err := errors.Join(put(tx, files), finish(tx)); err != nil {
			return err
		}
		return plan(tx, f)
	})
	if err != nil {
		return fmt.Errorf("store what is to be sent: %w", err)
	}
	return nil
}

func plan(tx *store.Tx, f *Flight) error {
	if _, err := tx.Exec(`INSERT INTO shipper_flights (base, entries) VALUES (?, ?)`, f.Base, f.Entries); err != nil {
		return err
	}
	for i, r := range f.Ranges {
		if _, err := tx.Exec(`INSERT INTO shipper_ranges (flight, number, file, first, start, stop, sum, mid, max, name, labels)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			f.Base, i, r.File, r.First, r.Start, r.Stop, r.Sum, r.Mid, r.Max, r.Name, r.Labels); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`INSERT INTO shipper_clock (id, last) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET last = excluded.last`,
		f.Base+int64(max(0, f.Entries-1)))
	return err
}

func finish(tx *store.Tx) error {
	_, err := tx.Exec(`DELETE FROM shipper_ranges`)
	_, other := tx.Exec(`DELETE FROM shipper_flights`)
	return errors.Join(err, other)
}

// Acknowledge ends the flight and stores the records as they are now.
func (b *Book) Acknowledge(ctx context.Context, files []file.Record) error {
	err := b.store.Tx(ctx, func(tx *store.Tx) error { return errors.Join(put(tx, files), finish(tx)) })
	if err != nil {
		return fmt.Errorf("store what was acknowledged: %w", err)
	}
	return nil
}

// Save stores records as they are now.
func (b *Book) Save(ctx context.Context, files []file.Record) error {
	if err := b.store.Tx(ctx, func(tx *store.Tx) error { return put(tx, files) }); err != nil {
		return fmt.Errorf("store where log files are: %w", err)
	}
	return nil
}

// Forget removes records of files that are long gone.
func (b *Book) Forget(ctx context.Context, ids []int64) error {
	err := b.store.Tx(ctx, func(tx *store.Tx) error {
		for _, id := range ids {
			if _, err := tx.Exec(`DELETE FROM shipper_files WHERE id = ?`, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget files that are gone: %w", err)
	}
	return nil
}

// head is never NULL.
func head(r *file.Record) []byte { return append([]byte{}, r.Head...) }

// put stores records.
func put(tx *store.Tx, files []file.Record) error {
	for i := range files {
		r := &files[i]
		if _, err := tx.Exec(`INSERT INTO shipper_files (id, dev, inode, birth, name, path, head, cursor, tail_len, tail, before, past_len, past, size, seen)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET dev = excluded.dev, inode = excluded.inode, birth = excluded.birth, name = excluded.name,
			path = excluded.path, head = excluded.head, cursor = excluded.cursor,
			tail_len = excluded.tail_len, tail = excluded.tail,
			before = excluded.before, past_len = excluded.past_len, past = excluded.past, size = excluded.size, seen = excluded.seen`,
			r.ID, int64(r.Key.Dev), int64(r.Key.Inode), r.Key.Birth, r.Name, r.Path, head(r), r.Cursor,
			r.TailLen, r.Tail[:], r.Before, r.PastLen, r.Past[:], r.Size, r.Seen); err != nil {
			return err
		}
	}
	return nil
}
