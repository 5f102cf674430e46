package ledger

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

const millions = 1_000_000

// fill writes a million intervals and a million journal entries of 100 targets,
// a minute apart per target; every hundredth is down.
func fill(tb testing.TB, r *rig) {
	tb.Helper()
	body := message("", "", signalOf("t0", 1, t0, signal.Down)).Body
	statements := []string{
		fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < %d)
		INSERT INTO ledger_intervals (target, from_ns, to_ns, state, reason, cause, rule, evidence, source)
		SELECT 't' || (i %% 100), %d + (i/100)*60000000000, iif(i/100 = %d, 9223372036854775807, %d + (i/100+1)*60000000000),
		CASE WHEN i/100 %% 100 = 7 THEN 'down' WHEN i/100 %% 2 = 0 THEN 'up' ELSE 'unknown' END,
		'refused', 'connection refused', '3 failed in a row', 'dial tcp 192.0.2.1:443: connect: connection refused', 'exporter/host1' FROM n`,
			millions-1, t0.UnixNano(), millions/100-1, t0.UnixNano()),
		fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < %d)
		INSERT INTO ledger_journal (at_ns, recorded_ns, kind, subject, target, source, status, seq, environment, body)
		SELECT %d + (i/100)*60000000000, 0, 'target', 'target/t' || (i %% 100), '', 'exporter/host1', 'firing', i, 'production', ?1 FROM n`,
			millions-1, t0.UnixNano()),
		`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < 99)
		INSERT INTO ledger_targets (name, source, seq, reported_ns, reported, removed, failure_ns, failure)
		SELECT 't' || i, 'exporter/host1', 1, 0, '{"name":"t0","state":"up"}', 0, 0, '' FROM n`,
	}
	for i, s := range statements {
		err := r.store.Tx(tb.Context(), func(tx *store.Tx) error {
			var args []any
			if i == 1 {
				args = []any{body}
			}
			_, err := tx.Exec(s, args...)
			return err
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	r.clock = t0.Add(millions / 100 * time.Minute)
}

// BenchmarkMillion asks a record of a million intervals and entries. It prints
// the figures that the aims are about: a page of 100 in less than 10 ms.
func BenchmarkMillion(b *testing.B) {
	r := newRig(b)
	fill(b, r)
	ctx := b.Context()
	middle := t0.Add(millions / 200 * time.Minute)
	page := func(q Query) func() (int, error) {
		return func() (int, error) {
			p, err := r.Intervals(ctx, q)
			return len(p.Items), err
		}
	}
	deep := cursor{middle.UnixNano(), millions / 2}.String()
	questions := []struct {
		name string
		ask  func() (int, error)
	}{
		{"intervals_page", page(Query{})},
		{"intervals_page_deep", page(Query{Cursor: deep})},
		{"intervals_page_of_target", page(Query{Target: "t42", Until: middle})},
		{"intervals_page_of_state", page(Query{States: []signal.State{signal.Down}})},
		{"intervals_page_of_target_and_state", page(Query{Target: "t42", States: []signal.State{signal.Down, signal.Suspect}})},
		{"intervals_24h_of_target", page(Query{Target: "t42", Since: r.clock.Add(-24 * time.Hour), Limit: MaxLimit})},
		{"journal_page", func() (int, error) { p, err := r.Journal(ctx, JournalQuery{Cursor: deep}); return len(p.Items), err }},
		{"journal_page_of_subject", func() (int, error) {
			p, err := r.Journal(ctx, JournalQuery{Subject: "target/t42", Until: middle})
			return len(p.Items), err
		}},
		{"downtimes_page", func() (int, error) { p, err := r.Downtimes(ctx, Query{}); return len(p.Items), err }},
		{"why", func() (int, error) { s, err := r.Why(ctx, "target/t42", time.Time{}); return len(s.Steps), err }},
		{"targets_100", func() (int, error) { t, err := r.Targets(ctx); return len(t), err }},
		{"availability_of_target", func() (int, error) {
			a, err := r.Availability(ctx, AvailabilityQuery{Target: "t42"})
			return len(a), err
		}},
		{"availability_of_all", func() (int, error) { a, err := r.Availability(ctx, AvailabilityQuery{}); return len(a), err }},
	}
	for _, q := range questions {
		b.Run(q.name, func(b *testing.B) {
			for b.Loop() {
				if n, err := q.ask(); err != nil || n == 0 {
					b.Fatalf("%d answers, %v", n, err)
				}
			}
			fmt.Printf("figure ledger.%s_seconds %.6f s\n", q.name, b.Elapsed().Seconds()/float64(b.N))
		})
	}
}

// BenchmarkRecord writes signals of many targets, as many at once as the ledger
// has workers.
func BenchmarkRecord(b *testing.B) {
	r := newRig(b)
	r.clock = minute(1e6)
	signals := make([]signal.Signal, b.N)
	for i := range signals {
		state := []signal.State{signal.Up, signal.Down}[i/100%2]
		signals[i] = signalOf(fmt.Sprintf("t%02d", i%100), uint64(i+1), t0.Add(time.Duration(i)*time.Second), state)
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < b.N; i += workers {
				if err := r.try(signals[i]); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	fmt.Printf("figure ledger.signals_per_second %.0f 1/s\n", float64(b.N)/b.Elapsed().Seconds())
}
