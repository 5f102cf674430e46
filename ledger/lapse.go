package ledger

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

// What the ledger itself says about targets stands in the journal like any
// other signal, with the ledger as source, so that `collie why` tells it and a
// fold over the journal repeats it.

// watched is a target of an exporter, with the state that is on record.
type watched struct {
	name       string
	seq        uint64
	reportedNS int64
	reported   string
	open       interval
}

func watchedBy(tx *store.Tx, source string) ([]watched, error) {
	rows, err := tx.Query(`SELECT t.name, t.seq, t.reported_ns, t.reported, i.id, i.from_ns, i.state, i.source
		FROM ledger_targets t JOIN ledger_intervals i ON i.target = t.name AND i.to_ns = 9223372036854775807
		WHERE t.source = ? AND t.removed = 0`, source)
	if err != nil {
		return nil, fmt.Errorf("read targets of %s: %w", source, err)
	}
	defer rows.Close()
	var all []watched
	for rows.Next() {
		var w watched
		if err := rows.Scan(&w.name, &w.seq, &w.reportedNS, &w.reported, &w.open.id, &w.open.from, &w.open.state, &w.open.source); err != nil {
			return nil, fmt.Errorf("read targets of %s: %w", source, err)
		}
		all = append(all, w)
	}
	return all, rows.Err()
}

// close ends what is on record for the targets of the source at the watermark,
// never before the exporter's own last word.
func (l *Ledger) close(tx *store.Tx, source string, watermark int64, now time.Time) error {
	all, err := watchedBy(tx, source)
	if err != nil {
		return err
	}
	for _, w := range all {
		if w.open.state == signal.Unknown {
			continue
		}
		at := max(watermark, w.reportedNS, w.open.from)
		err := say(tx, w, at, now, signal.Target{
			State: signal.Unknown, Previous: w.open.state, Rule: "no lease from " + source,
			Cause: source + " does not say any more that it is looking",
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lookAgain takes the exporter's last words as true from the lease on: it went
// on looking, and nothing changed since.
func (l *Ledger) lookAgain(tx *store.Tx, lease signal.Lease, now time.Time) error {
	all, err := watchedBy(tx, lease.Source)
	if err != nil {
		return err
	}
	for _, w := range all {
		if w.open.source != ourselves || w.open.state != signal.Unknown {
			continue
		}
		var t signal.Target
		if err := json.Unmarshal([]byte(w.reported), &t); err != nil {
			return fmt.Errorf("last words on %s: %w", w.name, err)
		}
		t.Previous, t.Snapshot = signal.Unknown, true
		if err := say(tx, w, max(lease.Watermark.UnixNano(), w.open.from), now, t); err != nil {
			return err
		}
	}
	return nil
}

// say records what the ledger itself found out about the target.
func say(tx *store.Tx, w watched, at int64, now time.Time, t signal.Target) error {
	t.Name = w.name
	body, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encode state of %s: %w", w.name, err)
	}
	s, err := signal.New(signal.Signal{
		ID: fmt.Sprintf("%s/%s/%d/%s", ourselves, w.name, at, t.State), Kind: signal.KindTarget, Source: ourselves,
		Subject: signal.TargetSubject(w.name), Seq: w.seq, Observed: time.Unix(0, at),
		Labels: map[string]string{"target": w.name}, Body: body,
	})
	if err != nil {
		return fmt.Errorf("state of %s: %w", w.name, err)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode state of %s: %w", w.name, err)
	}
	if err := journal(tx, s, raw, now); err != nil {
		return err
	}
	c := changeOf(s, t)
	return put(tx, c)
}
