package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/colliehq/collie/ledger/record"
	"github.com/colliehq/collie/signal"
)

// ErrNoSubject is a subject that the journal does not know.
var ErrNoSubject = errors.New("no such subject")

// steps bounds a story: what is longer is told in its newest part.
const steps = 200

// Why tells the story of a subject from the journal, the oldest step first. For
// a target it begins with the last thing that went well before its newest
// trouble; with since it begins there. An alert may be given by its name alone:
// the story is of the one that was told last.
func (l *Ledger) Why(ctx context.Context, subject string, since time.Time) (record.Story, error) {
	subject, err := l.newestOf(ctx, subject)
	if err != nil {
		return record.Story{}, err
	}
	if strings.HasPrefix(subject, deliveryPrefix) {
		return l.whyDelivery(ctx, subject, since)
	}
	story := record.Story{Subject: subject}
	name, isTarget := strings.CutPrefix(subject, signal.TargetSubject(""))
	if isTarget {
		t, err := l.Target(ctx, name)
		if err != nil {
			return story, err
		}
		story.Target, story.Summary, story.Since = &t, string(t.State), &t.Since
	} else {
		name = ""
	}
	found, err := l.about(ctx, subject, name, since)
	if err != nil {
		return story, err
	}
	if len(found) == 0 && !isTarget {
		return story, fmt.Errorf("%w: %s", ErrNoSubject, subject)
	}
	story.Earlier = len(found) > steps
	found = found[:min(len(found), steps)]
	if isTarget && since.IsZero() {
		found, story.Earlier = newestTrouble(found, subject, story.Earlier)
	}
	slices.Reverse(found)
	for _, e := range found {
		if s, ok := step(e); ok {
			story.Steps = append(story.Steps, s)
		}
	}
	if story.Steps == nil {
		story.Steps = []record.Step{}
	}
	if !isTarget {
		story.Summary = story.Steps[len(story.Steps)-1].Text
	}
	return story, nil
}

// newestOf completes the subject of an alert that lacks its fingerprint: several
// alerts have the same name.
func (l *Ledger) newestOf(ctx context.Context, subject string) (string, error) {
	name, isAlert := strings.CutPrefix(subject, string(signal.KindAlert)+"/")
	if !isAlert || name == "" || strings.Contains(name, "/") {
		return subject, nil
	}
	from, until := subject+"/", subject+"0" // what begins with the first is before the second
	err := l.store.View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT subject FROM ledger_journal WHERE subject >= ? AND subject < ? AND kind = ? ORDER BY at_ns DESC, id DESC LIMIT 1`,
			from, until, signal.KindAlert).Scan(&subject)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return subject, fmt.Errorf("read journal about %s: %w", subject, err)
	}
	return subject, nil
}

// about reads the newest entries about the subject, newest first: its own, and
// those of other kinds that carry the target as label.
func (l *Ledger) about(ctx context.Context, subject, target string, since time.Time) (found []record.Entry, err error) {
	branch := func(column string) string {
		return `SELECT ` + entryColumns + ` FROM (SELECT ` + entryColumns + ` FROM ledger_journal WHERE ` + column + ` AND at_ns >= ? ORDER BY at_ns DESC, id DESC LIMIT ?)`
	}
	from := nanos(since, math.MinInt64)
	query, args := branch(`subject = ?`), []any{subject, from, steps + 1}
	if target != "" {
		query += ` UNION ALL ` + branch(`target <> '' AND target = ?`)
		args = append(args, target, from, steps+1)
	}
	err = l.store.View(ctx, func(tx *sql.Tx) error {
		found, err = entries(ctx, tx, query+` ORDER BY 2 DESC, 1 DESC LIMIT ?`, append(args, steps+1)...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read journal about %s: %w", subject, err)
	}
	return found, nil
}

// newestTrouble cuts the entries, newest first, behind the last one that told
// of an up target before the newest suspicion, verdict or blindness.
func newestTrouble(found []record.Entry, subject string, more bool) ([]record.Entry, bool) {
	trouble := false
	for i, e := range found {
		state, ok := stateOf(e, subject)
		if !ok {
			continue
		}
		if state == signal.Up && trouble {
			return found[:i+1], more || i+1 < len(found)
		}
		trouble = trouble || state == signal.Suspect || state == signal.Down
	}
	return found, more
}

func stateOf(e record.Entry, subject string) (signal.State, bool) {
	if e.Subject != subject {
		return "", false
	}
	var s signal.Signal
	if err := json.Unmarshal(e.Signal, &s); err != nil {
		return "", false
	}
	t, err := s.Target()
	return t.State, err == nil
}

// step tells an entry; snapshots that say nothing new are left out.
func step(e record.Entry) (record.Step, bool) {
	s := record.Step{At: e.At, What: record.Seen, Text: e.Summary, Kind: e.Kind, Source: e.Source, Entry: e.ID}
	var sig signal.Signal
	if err := json.Unmarshal(e.Signal, &sig); err != nil {
		return s, true
	}
	switch e.Kind {
	case signal.KindTarget:
		return targetStep(s, sig)
	case signal.KindAction:
		s.What = record.Delivered
		if a, err := sig.Action(); err == nil {
			s.Verb = a.Verb
		}
	case signal.KindAlert:
		s.What = record.Decided
		s.Text = strings.TrimSpace(string(e.Status) + " alert " + firstOf(sig.Labels["alertname"], e.Subject) + ": " + e.Summary)
	case signal.KindJob, signal.KindLog:
	}
	s.Detail = firstOf(sig.Annotations["detail"], sig.Annotations["evidence"])
	return s, true
}

func targetStep(s record.Step, sig signal.Signal) (record.Step, bool) {
	t, err := sig.Target()
	if err != nil {
		return s, true
	}
	if t.Snapshot && sig.Source != ourselves {
		return s, false
	}
	s.What, s.Text, s.Detail = record.Decided, told(t), t.Evidence
	switch t.State {
	case signal.Suspect:
		s.What, s.Text = record.Seen, "first failed result: "+failure(t)
	case signal.Up:
		s.Text = "up" + rule(t)
	case signal.Down, signal.Degraded, signal.Unreachable, signal.Unknown, signal.Maintenance:
	}
	if t.Snapshot {
		s.Text = string(t.State) + " again: its exporter goes on looking"
	}
	return s, true
}

func told(t signal.Target) string {
	if t.Removed {
		return "removed from the configuration"
	}
	text := string(t.State) + rule(t)
	if t.Cause != "" || t.Reason != "" {
		text += ": " + failure(t)
	}
	return text
}

func rule(t signal.Target) string {
	if t.Rule == "" {
		return ""
	}
	return ", as " + t.Rule
}

func failure(t signal.Target) string {
	switch {
	case t.Cause == "":
		return firstOf(t.Reason, "no reason given")
	case t.Reason == "":
		return t.Cause
	}
	return t.Cause + " (" + t.Reason + ")"
}
