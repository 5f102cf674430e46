package ledger

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/colliehq/collie/signal"
)

// Limits of a page.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// ErrBadQuery is wrapped by errors that the asker can mend.
var ErrBadQuery = errors.New("bad query")

// ErrNoTarget is a target that is not on record.
var ErrNoTarget = errors.New("no such target")

// Query chooses intervals and downtimes: those that overlap the time from Since
// to Until. What is zero does not choose.
type Query struct {
	Target string
	States []signal.State // of intervals
	Since  time.Time
	Until  time.Time
	Limit  int    // 0 means DefaultLimit, more than MaxLimit is MaxLimit
	Cursor string // from the page before
}

// JournalQuery chooses entries of the journal, by the time of observation.
type JournalQuery struct {
	Subject string
	Kind    signal.Kind
	Since   time.Time
	Until   time.Time
	Limit   int
	Cursor  string
}

func limit(n int) int {
	if n <= 0 {
		return DefaultLimit
	}
	return min(n, MaxLimit)
}

// cursor is a place between two rows, in the order of time and then id, newest
// first: what comes next is before it.
type cursor struct{ at, id int64 }

func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.at, 10) + "." + strconv.FormatInt(c.id, 10)))
}

func parseCursor(s string) (cursor, error) {
	if s == "" {
		return cursor{math.MaxInt64, math.MaxInt64}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	at, id, found := strings.Cut(string(raw), ".")
	if err == nil && found {
		a, err1 := strconv.ParseInt(at, 10, 64)
		i, err2 := strconv.ParseInt(id, 10, 64)
		if err1 == nil && err2 == nil {
			return cursor{a, i}, nil
		}
	}
	return cursor{}, fmt.Errorf("%w: cursor %q is not one that an answer gave as \"next\"", ErrBadQuery, s)
}

// upper is the largest time that may come next and is before until.
func (c cursor) upper(until time.Time) int64 {
	if last := nanos(until, math.MaxInt64); last != math.MaxInt64 {
		return min(last-1, c.at)
	}
	return c.at
}

// nanos is t as the tables have it; a zero time is the bound.
func nanos(t time.Time, bound int64) int64 {
	switch {
	case t.IsZero():
		return bound
	case !t.After(time.Unix(0, math.MinInt64)):
		return math.MinInt64 + 1
	case !t.Before(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

func moment(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// end is the end of an interval as the answers have it: nil while it lasts.
func end(ns int64) *time.Time {
	if ns == forever {
		return nil
	}
	t := moment(ns)
	return &t
}

// view reads rows and gives each to scan.
func view(ctx context.Context, tx *sql.Tx, scan func(*sql.Rows) error, query string, args ...any) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
