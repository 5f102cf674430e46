package ledger

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/ledger/client"
	"github.com/colliehq/collie/signal"
)

// TestClient runs the commands' client against the real API; the texts are what
// a person is to read.
func TestClient(t *testing.T) {
	r := outage(t)
	server := httptest.NewServer(serve(r))
	defer server.Close()
	c := &client.Client{URL: server.URL, HTTP: server.Client(), Now: r.clock, Zone: time.UTC}
	ctx := t.Context()
	tests := map[string]struct {
		do   func(w io.Writer) error
		want string
	}{
		"status": {func(w io.Writer) error {
			sum, err := c.Status(ctx, w, client.StatusOptions{})
			want := client.Summary{Targets: 2, States: map[signal.State]int{"up": 1, "down": 1}, EssentialDown: []string{"db"}}
			if diff := cmp.Diff(want, sum); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
			return err
		}, `
TARGET  STATE  SINCE                FOR  TIER       WHY
db      down   2026-11-22 08:40:00  20m  essential  connection refused
web     up     2026-11-22 08:20:00  40m  essential

2 targets: 1 down, 1 up
`},
		"downtimes": {func(w io.Writer) error { return c.Downtimes(ctx, w, client.DowntimesOptions{}) }, `
TARGET  FROM                 TO                   LASTED  REASON   CAUSE
db      2026-11-22 08:40:00  still down           20m     refused  connection refused
web     2026-11-22 08:10:00  2026-11-22 08:20:00  10m     refused  connection refused

2 downtimes since 30d ago, 30m in all
`},
		"downtimes of one": {func(w io.Writer) error {
			return c.Downtimes(ctx, w, client.DowntimesOptions{Target: "web", Since: "45m", Until: "42m"})
		}, `
TARGET  FROM                 TO                   LASTED  REASON   CAUSE
web     2026-11-22 08:10:00  2026-11-22 08:20:00  10m     refused  connection refused

1 downtime since 45m ago until 42m ago, 10m in all, 3m of it in that time
`},
		"no downtimes": {func(w io.Writer) error {
			return c.Downtimes(ctx, w, client.DowntimesOptions{Target: "web", Since: "2026-11-22T08:30:00Z"})
		}, `
no downtimes since 2026-11-22T08:30:00Z
`},
		"downtimes as csv": {func(w io.Writer) error { return c.Downtimes(ctx, w, client.DowntimesOptions{Output: "csv"}) }, `
target,from,to,end,seconds,window_seconds,unknown_seconds,reason,cause,rule
db,2026-11-22T08:40:00Z,,open,1200,1200,0,refused,connection refused,3 failed in a row
web,2026-11-22T08:10:00Z,2026-11-22T08:20:00Z,up,600,600,0,refused,connection refused,3 failed in a row
`},
		"by month": {func(w io.Writer) error {
			return c.Downtimes(ctx, w, client.DowntimesOptions{By: "month", Zone: "Europe/Prague"})
		}, `
TARGET  MONTH    AVAILABILITY  DOWN  UP   UNKNOWN  OTHER
db      2026-11  66.102%       20m   39m  0s       0s
web     2026-11  83.051%       10m   49m  1m       0s
`},
		"by month as csv": {func(w io.Writer) error {
			return c.Downtimes(ctx, w, client.DowntimesOptions{Target: "web", By: "month", Output: "csv"})
		}, `
target,month,from,to,availability,up_seconds,degraded_seconds,down_seconds,unknown_seconds,unreachable_seconds,maintenance_seconds,undecided_seconds
web,2026-11,2026-11-22T08:00:00Z,2026-11-22T09:00:00Z,0.8305084745762712,2940,0,600,60,0,0,0
`},
		"why": {func(w io.Writer) error { return c.Why(ctx, w, client.WhyOptions{Subject: "target/web"}) }, `
target/web is up since 2026-11-22 08:20:00, for 40m
https://web.example.org/ · http_2xx · every 30s · essential · depends on dns · looked at by exporter/host1

what was before: --since 7d
2026-11-22 08:01:00  decided    up, as 1 succeeded
2026-11-22 08:10:00  seen       first failed result: connection refused (refused)
                                dial tcp 192.0.2.1:443: connect: connection refused
2026-11-22 08:12:00  decided    down, as 3 failed in a row: connection refused (refused)
                                dial tcp 192.0.2.1:443: connect: connection refused
2026-11-22 08:13:00  decided    alert WebDown: web does not answer
2026-11-22 08:14:00  delivered  told #ops on libera: web is down
2026-11-22 08:20:00  decided    up, as 1 succeeded
`},
		"why of a job": {func(w io.Writer) error {
			return c.Why(ctx, w, client.WhyOptions{Subject: "job/gitlab.example.org/1234"})
		}, `
job/gitlab.example.org/1234

2026-11-22 08:30:00  seen       failed: runner lost
`},
		"why of a bare name": {func(w io.Writer) error { return c.Why(ctx, w, client.WhyOptions{Subject: "db", Since: "1m"}) }, `
target/db is down since 2026-11-22 08:40:00, for 20m
https://db.example.org/ · http_2xx · every 30s · essential · looked at by exporter/host1

the journal tells nothing about it in that time
`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := tt.do(&out); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(tt.want, "\n"), out.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestClientOfBlindExporter(t *testing.T) {
	r := outage(t)
	r.clock = minute(70)
	r.silence()
	server := httptest.NewServer(serve(r))
	defer server.Close()
	c := &client.Client{URL: server.URL, HTTP: server.Client(), Now: r.clock, Zone: time.UTC}
	var out strings.Builder
	if _, err := c.Status(t.Context(), &out, client.StatusOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Downtimes(context.Background(), &out, client.DowntimesOptions{Target: "db"}); err != nil {
		t.Fatal(err)
	}
	want := `TARGET  STATE    SINCE                FOR  TIER       WHY
db      unknown  2026-11-22 09:00:00  10m  essential  exporter/host1 last looked 10m ago
web     unknown  2026-11-22 09:00:00  10m  essential  exporter/host1 last looked 10m ago

2 targets: 2 unknown
TARGET  FROM                 TO                               LASTED  REASON   CAUSE
db      2026-11-22 08:40:00  2026-11-22 09:00:00, then blind  20m     refused  connection refused

1 downtime since 30d ago, 20m in all
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestClientReadsEveryPage: more downtimes than one page holds.
func TestClientReadsEveryPage(t *testing.T) {
	r := newRig(t)
	const n = MaxLimit + 50
	r.tell(signalOf("web", 1, t0, signal.Up))
	err := r.store.Tx(t.Context(), func(tx *store.Tx) error {
		for i := 1; i < 2*n; i++ {
			at := t0.Add(time.Duration(i) * time.Second)
			if err := put(tx, change{target: "web", at: at.UnixNano(), state: []signal.State{signal.Up, signal.Down}[i%2]}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(serve(r))
	defer server.Close()
	c := &client.Client{URL: server.URL, HTTP: server.Client(), Now: r.clock, Zone: time.UTC}
	var out strings.Builder
	if err := c.Downtimes(t.Context(), &out, client.DowntimesOptions{Output: "csv"}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\n"); got != n+1 {
		t.Errorf("%d lines, want %d", got, n+1)
	}
}
