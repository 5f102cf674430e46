package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"

	"github.com/colliehq/collie/ledger/record"
	"github.com/colliehq/collie/signal"
)

// Journal returns a page of the journal, what was observed last first.
func (l *Ledger) Journal(ctx context.Context, q JournalQuery) (record.Page[record.Entry], error) {
	page := record.Page[record.Entry]{Items: []record.Entry{}}
	at, err := parseCursor(q.Cursor)
	if err != nil {
		return page, err
	}
	where := `at_ns >= ? AND at_ns <= ? AND (at_ns < ? OR id < ?)`
	args := []any{nanos(q.Since, math.MinInt64), at.upper(q.Until), at.at, at.id}
	if q.Kind != "" {
		where, args = `kind = ? AND `+where, append([]any{string(q.Kind)}, args...)
	}
	if q.Subject != "" {
		where, args = `subject = ? AND `+where, append([]any{q.Subject}, args...)
	}
	n := limit(q.Limit)
	err = l.store.View(ctx, func(tx *sql.Tx) error {
		page.Items, err = entries(ctx, tx, `SELECT `+entryColumns+` FROM ledger_journal WHERE `+where+
			` ORDER BY at_ns DESC, id DESC LIMIT ?`, append(args, n+1)...)
		return err
	})
	if err != nil {
		return page, fmt.Errorf("read journal: %w", err)
	}
	if len(page.Items) > n {
		page.Items = page.Items[:n]
		last := page.Items[n-1]
		page.Next = cursor{last.At.UnixNano(), last.ID}.String()
	}
	return page, nil
}

const entryColumns = `id, at_ns, recorded_ns, kind, subject, source, status, seq, body`

func entries(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]record.Entry, error) {
	found := []record.Entry{}
	err := view(ctx, tx, func(r *sql.Rows) error {
		var e record.Entry
		var at, recorded int64
		var body []byte
		if err := r.Scan(&e.ID, &at, &recorded, &e.Kind, &e.Subject, &e.Source, &e.Status, &e.Seq, &body); err != nil {
			return err
		}
		e.At, e.Recorded, e.Signal = moment(at), moment(recorded), body
		e.Summary = summary(e)
		found = append(found, e)
		return nil
	}, query, args...)
	return found, err
}

// summary is one line about the entry.
func summary(e record.Entry) string {
	var s signal.Signal
	if err := json.Unmarshal(e.Signal, &s); err != nil {
		return "unreadable: " + err.Error()
	}
	if t, err := s.Target(); err == nil {
		return tell(t)
	}
	if a, err := s.Action(); err == nil && a.Text != "" {
		return a.Text
	}
	return firstOf(s.Annotations["summary"], s.Annotations["text"], s.Annotations["description"], string(s.Status), string(s.Kind))
}

// tell says in a line what a signal about a target says.
func tell(t signal.Target) string {
	line := string(t.State)
	if t.Removed {
		line = "removed from the configuration"
	}
	if why := firstOf(t.Cause, t.Reason); why != "" {
		line += ": " + why
	}
	if t.Rule != "" {
		line += " (" + t.Rule + ")"
	}
	return line
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
