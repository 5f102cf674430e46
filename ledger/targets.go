package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/colliehq/collie/ledger/record"
	"github.com/colliehq/collie/signal"
)

const targetQuery = `SELECT t.name, t.source, t.reported, t.removed, t.failure_ns, t.failure,
	coalesce(l.session, ''), coalesce(l.watermark_ns, 0), coalesce(l.lapsed, 0),
	i.from_ns, i.state, i.reason, i.cause, i.rule, i.evidence,
	(SELECT from_ns FROM ledger_intervals WHERE target = t.name ORDER BY from_ns LIMIT 1)
	FROM ledger_targets t JOIN ledger_intervals i ON i.target = t.name AND i.to_ns = 9223372036854775807
	LEFT JOIN ledger_leases l ON l.source = t.source`

// Targets returns all targets that are configured, by name, as they are now.
func (l *Ledger) Targets(ctx context.Context) ([]record.Target, error) {
	return l.targets(ctx, targetQuery+` WHERE t.removed = 0 ORDER BY t.name`)
}

// AllTargets returns the targets that were removed from the configuration too.
func (l *Ledger) AllTargets(ctx context.Context) ([]record.Target, error) {
	return l.targets(ctx, targetQuery+` ORDER BY t.name`)
}

// Target returns one target as it is now; the error is ErrNoTarget if it is not
// on record.
func (l *Ledger) Target(ctx context.Context, name string) (record.Target, error) {
	found, err := l.targets(ctx, targetQuery+` WHERE t.name = ?`, name)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%w: %s", ErrNoTarget, name)
	}
	if err != nil {
		return record.Target{}, err
	}
	return found[0], nil
}

func (l *Ledger) targets(ctx context.Context, query string, args ...any) ([]record.Target, error) {
	targets := []record.Target{}
	err := l.store.View(ctx, func(tx *sql.Tx) error {
		return view(ctx, tx, func(r *sql.Rows) error {
			t, err := scanTarget(r)
			targets = append(targets, t)
			return err
		}, query, args...)
	})
	if err != nil {
		return nil, fmt.Errorf("read targets: %w", err)
	}
	return targets, nil
}

func scanTarget(r *sql.Rows) (record.Target, error) {
	var t record.Target
	var reported, failure, session string
	var failureNS, watermark, from, first int64
	err := r.Scan(&t.Name, &t.Source, &reported, &t.Removed, &failureNS, &failure, &session, &watermark, &t.Blind,
		&from, &t.State, &t.Reason, &t.Cause, &t.Rule, &t.Evidence, &first)
	if err != nil {
		return t, err
	}
	t.Since, t.First = moment(from), moment(first)
	if session != "" {
		seen := moment(watermark)
		t.LastSeen = &seen
	}
	var told signal.Target
	if err := json.Unmarshal([]byte(reported), &told); err != nil {
		return t, fmt.Errorf("last words on %s: %w", t.Name, err)
	}
	t.Tier, t.Probe, t.Address, t.Every = told.Tier, told.Probe, told.Address, told.Every
	t.DependsOn, t.Provides = told.DependsOn, told.Provides
	if failureNS == 0 {
		return t, nil
	}
	var last signal.Target
	if err := json.Unmarshal([]byte(failure), &last); err != nil {
		return t, fmt.Errorf("last failure of %s: %w", t.Name, err)
	}
	t.LastFailure = &record.Failure{At: moment(failureNS), State: last.State, Reason: last.Reason, Cause: last.Cause, Evidence: last.Evidence}
	return t, nil
}

// known is nil if the name is empty or a target on record.
func (l *Ledger) known(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	_, err := l.Target(ctx, name)
	return err
}
