package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/colliehq/collie/dashboards/page"
	"github.com/colliehq/collie/ledger"
	"github.com/colliehq/collie/ledger/record"
	"github.com/colliehq/collie/signal"
)

// pageSource shows the ledger to the page: rooms do not know each other.
type pageSource struct{ ledger *ledger.Ledger }

func (s pageSource) Targets(ctx context.Context) ([]page.Target, error) {
	targets, err := s.ledger.Targets(ctx)
	shown := make([]page.Target, len(targets))
	for i, t := range targets {
		shown[i] = pageTarget(t)
	}
	return shown, err
}

func (s pageSource) Target(ctx context.Context, name string) (page.Target, error) {
	t, err := s.ledger.Target(ctx, name)
	return pageTarget(t), pageError(err)
}

func pageTarget(t record.Target) page.Target {
	shown := page.Target{
		Name: t.Name, Address: t.Address, Probe: t.Probe, Tier: t.Tier, Every: t.Every,
		State: t.State, Since: t.Since, Rule: t.Rule, Reason: t.Reason, Cause: t.Cause, Evidence: t.Evidence,
		Source: t.Source, Blind: t.Blind, Removed: t.Removed, Provides: t.Provides, DependsOn: t.DependsOn,
	}
	if t.LastSeen != nil {
		shown.Seen = *t.LastSeen
	}
	if f := t.LastFailure; f != nil {
		shown.Failed = f.At
		if t.State == signal.Up { // what went wrong before it came up
			shown.Reason, shown.Cause, shown.Evidence = f.Reason, f.Cause, f.Evidence
		}
	}
	return shown
}

// Intervals reads target by target: each is a short read along an index.
func (s pageSource) Intervals(ctx context.Context, q page.IntervalQuery) (shown []page.Interval, next string, err error) {
	for _, name := range q.Targets {
		ask := ledger.Query{Target: name, Since: q.From, Until: q.To, Cursor: q.Cursor}
		for more := true; more; more = next != "" && len(shown) < q.Limit {
			ask.Limit = q.Limit - len(shown)
			found, err := s.ledger.Intervals(ctx, ask)
			if err != nil {
				return nil, "", pageError(err)
			}
			for _, i := range found.Items {
				shown = append(shown, pageInterval(i))
			}
			next, ask.Cursor = found.Next, found.Next
		}
		if len(shown) >= q.Limit {
			return shown, next, nil
		}
	}
	return shown, next, nil
}

func pageInterval(i record.Interval) page.Interval {
	shown := page.Interval{
		Target: i.Target, State: i.State, From: i.From, Reason: i.Reason, Cause: i.Cause, Evidence: i.Evidence, Rule: i.Rule,
	}
	if i.To != nil {
		shown.To = *i.To
	}
	return shown
}

func (s pageSource) Availability(ctx context.Context, name string, from, to time.Time) (page.Availability, error) {
	found, err := s.ledger.Availability(ctx, ledger.AvailabilityQuery{Target: name, Since: from, Until: to})
	if err != nil || len(found) == 0 {
		return page.Availability{}, pageError(err)
	}
	downtimes, err := s.ledger.Downtimes(ctx, ledger.Query{Target: name, Since: from, Until: to, Limit: ledger.MaxLimit})
	a := found[0]
	return page.Availability{
		Up: seconds(a.Up), Degraded: seconds(a.Degraded), Down: seconds(a.Down), Unreachable: seconds(a.Unreachable),
		Unknown: seconds(a.Unknown), Maintenance: seconds(a.Maintenance), Downtimes: len(downtimes.Items),
	}, pageError(err)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (s pageSource) Journal(ctx context.Context, q page.JournalQuery) ([]page.JournalEntry, string, error) {
	found, err := s.ledger.Journal(ctx, ledger.JournalQuery{Kind: q.Kind, Subject: q.Subject, Cursor: q.Cursor, Limit: q.Limit})
	if err != nil {
		return nil, "", pageError(err)
	}
	shown := make([]page.JournalEntry, len(found.Items))
	for i, e := range found.Items {
		shown[i].Recorded = e.Recorded
		if err := json.Unmarshal(e.Signal, &shown[i].Signal); err != nil {
			// What cannot be decoded is still shown, with what the journal knows.
			shown[i].Signal = signal.Signal{Kind: e.Kind, Subject: e.Subject, Source: e.Source, Seq: e.Seq, Observed: e.At}
		}
	}
	return shown, found.Next, nil
}

// pageError turns the ledger's errors into those that the page knows.
func pageError(err error) error {
	switch {
	case errors.Is(err, ledger.ErrNoTarget), errors.Is(err, ledger.ErrNoSubject):
		return errors.Join(page.ErrNotFound, err)
	case errors.Is(err, ledger.ErrBadQuery):
		return errors.Join(page.ErrCursor, err)
	}
	return err
}
