package ledger

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/ledger/record"
	"github.com/colliehq/collie/signal"
)

// outage is a rig with one target that went down and came up again, one that
// is down, and one that left.
func outage(t testing.TB) *rig {
	r := newRig(t)
	details := func(_ *signal.Signal, b *signal.Target) {
		b.DependsOn, b.Provides = []string{"dns"}, []string{"git"}
	}
	r.tell(signalOf("web", 10, minute(0), signal.Unknown, details))
	r.hear("a", 1, minute(0))
	r.tell(signalOf("web", 11, minute(1), signal.Up, details))
	r.tell(signalOf("db", 10, minute(1), signal.Up))
	r.tell(signalOf("tmp", 10, minute(1), signal.Up))
	r.tell(signalOf("web", 12, minute(10), signal.Suspect, details))
	r.tell(signalOf("web", 13, minute(12), signal.Down, details))
	r.tell(signalOf("web", 14, minute(20), signal.Up, details))
	r.tell(signalOf("tmp", 11, minute(25), signal.Unknown, removed))
	r.tell(signalOf("db", 11, minute(40), signal.Down))
	r.tell(other("alert", "alert/WebDown", minute(13), map[string]string{"alertname": "WebDown", "target": "web"}, "web does not answer"))
	r.tell(other("action", "action/42", minute(14), map[string]string{"target": "web"}, "told #ops on libera: web is down"))
	r.tell(other("job", "job/gitlab.example.org/1234", minute(30), nil, "failed: runner lost"))
	r.hear("a", 2, minute(60))
	r.clock = minute(60)
	return r
}

func other(kind, subject string, at time.Time, labels map[string]string, summary string) signal.Signal {
	s, err := signal.New(signal.Signal{
		ID: subject + at.String(), Kind: signal.Kind(kind), Source: "test", Subject: subject, Observed: at,
		Labels: labels, Annotations: map[string]string{"summary": summary},
	})
	if err != nil {
		panic(err)
	}
	return s
}

func serve(l *rig) *http.ServeMux {
	mux := http.NewServeMux()
	l.Register(mux)
	return mux
}

func get(h http.Handler, path string) (code int, e struct {
	Status, Error, Next string
	Data                json.RawMessage
}) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		panic(w.Body.String())
	}
	return w.Code, e
}

// TestAPIAnswers is a table of requests and what they answer.
func TestAPIAnswers(t *testing.T) {
	const reason = `,"reason":"refused","cause":"connection refused","rule":"3 failed in a row","evidence":"dial tcp 192.0.2.1:443: connect: connection refused"`
	tests := map[string]string{
		"targets/db": `{"name":"db","state":"down","since":"2026-11-22T08:40:00Z"` + reason + `,
			"tier":"essential","probe":"http_2xx","address":"https://db.example.org/","every":"30s","source":"exporter/host1",
			"last_seen":"2026-11-22T09:00:00Z","blind":false,"first":"2026-11-22T08:01:00Z",
			"last_failure":{"at":"2026-11-22T08:40:00Z","state":"down","reason":"refused","cause":"connection refused","evidence":"dial tcp 192.0.2.1:443: connect: connection refused"}}`,
		"intervals?target=web&state=down": `[{"target":"web","state":"down","from":"2026-11-22T08:12:00Z","to":"2026-11-22T08:20:00Z","seconds":480` + reason + `,"source":"exporter/host1"}]`,
		"intervals?state=down,unknown&since=25m": `[
			{"target":"db","state":"down","from":"2026-11-22T08:40:00Z","to":null,"seconds":1200` + reason + `,"source":"exporter/host1"},
			{"target":"tmp","state":"unknown","from":"2026-11-22T08:25:00Z","to":null,"seconds":2100,"rule":"collie was stopped","source":"exporter/host1"}]`,
		"intervals?target=web&since=2026-11-22T08:00:30Z&until=1795334460":// 08:01:00, the first of which is not included
		`[{"target":"web","state":"unknown","from":"2026-11-22T08:00:00Z","to":"2026-11-22T08:01:00Z","seconds":60,"rule":"collie was stopped","source":"exporter/host1"}]`,
		"downtimes": `[
			{"target":"db","from":"2026-11-22T08:40:00Z","to":null,"end":"open","seconds":1200,"window_seconds":1200,"unknown_seconds":0` + reason + `},
			{"target":"web","from":"2026-11-22T08:10:00Z","to":"2026-11-22T08:20:00Z","end":"up","seconds":600,"window_seconds":600,"unknown_seconds":0` + reason + `}]`,
		"downtimes?target=web&since=45m&until=42m": `[{"target":"web","from":"2026-11-22T08:10:00Z","to":"2026-11-22T08:20:00Z","end":"up","seconds":600,"window_seconds":180,"unknown_seconds":0` + reason + `}]`,
		// The window ends while it was only suspected: that was down time already.
		"downtimes?target=web&until=49m":                  `[{"target":"web","from":"2026-11-22T08:10:00Z","to":"2026-11-22T08:20:00Z","end":"up","seconds":600,"window_seconds":60,"unknown_seconds":0` + reason + `}]`,
		"downtimes?target=web&since=2026-11-22T08:20:00Z": `[]`,
		"availability?target=web": `[{"target":"web","from":"2026-11-22T08:00:00Z","to":"2026-11-22T09:00:00Z","availability":0.8305084745762712,
			"up_seconds":2940,"degraded_seconds":0,"down_seconds":600,"unknown_seconds":60,"unreachable_seconds":0,"maintenance_seconds":0,"undecided_seconds":0}]`,
		"availability?target=tmp&since=30m&by=month&tz=Europe/Prague": `[{"target":"tmp","month":"2026-11","from":"2026-11-22T08:30:00Z","to":"2026-11-22T09:00:00Z","availability":null,
			"up_seconds":0,"degraded_seconds":0,"down_seconds":0,"unknown_seconds":1800,"unreachable_seconds":0,"maintenance_seconds":0,"undecided_seconds":0}]`,
	}
	h := serve(outage(t))
	for path, want := range tests {
		t.Run(path, func(t *testing.T) {
			code, got := get(h, API+path)
			if code != http.StatusOK || got.Status != "success" {
				t.Fatalf("%d %s %s", code, got.Status, got.Error)
			}
			if diff := cmp.Diff(compact(t, []byte(want)), compact(t, got.Data)); diff != "" {
				t.Errorf("data (-want +got):\n%s", diff)
			}
		})
	}
}

func compact(t *testing.T, raw []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return v
}

func TestAPITargets(t *testing.T) {
	h := serve(outage(t))
	for path, want := range map[string][]string{"targets": {"db", "web"}, "targets?removed=true": {"db", "tmp", "web"}} {
		_, got := get(h, API+path)
		var targets []record.Target
		if err := json.Unmarshal(got.Data, &targets); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, x := range targets {
			names = append(names, x.Name)
			if x.Name == "web" && (x.State != signal.Up || x.LastFailure == nil || x.DependsOn[0] != "dns" || x.Provides[0] != "git") {
				t.Errorf("web is %+v", x)
			}
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

// TestAPIRefuses: each mistake is answered by a sentence.
func TestAPIRefuses(t *testing.T) {
	tests := map[string]struct {
		code int
		want string
	}{
		"targets/nope":                     {404, "no such target: nope; /api/collie/v1/targets lists them"},
		"intervals?target=nope":            {404, "no such target: nope"},
		"targets?removed=maybe":            {400, `removed "maybe" is not true or false`},
		"intervals?since=yesterday":        {400, `since: "yesterday" is not a time; write 2026-11-22T08:30:00Z, Unix seconds, or how long ago, as 30d or 12h`},
		"intervals?since=1e300":            {400, "outside of the years"},
		"intervals?since=NaN":              {400, "outside of the years"},
		"intervals?since=9999-01-01":       {400, "outside of the years"},
		"intervals?since=1h&until=2h":      {400, "since (2026-11-22T08:00:00Z) is not before until (2026-11-22T07:00:00Z)"},
		"intervals?limit=0":                {400, `limit "0" is not a number from 1 to 1000`},
		"intervals?limit=1001":             {400, "from 1 to 1000"},
		"intervals?state=broken":           {400, `state "broken" is not one of up, degraded, suspect, down, unreachable, unknown, maintenance`},
		"intervals?cursor=xyz":             {400, `cursor "xyz" is not one that an answer gave as "next"`},
		"downtimes?cursor=xyz":             {400, "cursor"},
		"downtimes?state=down":             {400, `parameter "state" is not known here; this takes target, since, until, limit, cursor`},
		"intervals?target=a&target=b":      {400, `parameter "target" is given 2 times`},
		"intervals?target=%zz":             {400, "cannot be read"},
		"availability?by=week":             {400, `by "week" is not month`},
		"availability?tz=Prague":           {400, `tz "Prague" is not a time zone; write one as Europe/Prague`},
		"availability?tz=../../etc/passwd": {400, "is not a time zone"},
		"journal?kind=rumour":              {400, `kind "rumour" is not one of target, log, job, alert, action`},
		"journal?cursor=MTIz":              {400, "cursor"},
		"why":                              {400, "say which subject: why?subject=target/NAME"},
		"why?subject=target/nope":          {404, "no such target: nope"},
		"why?subject=job/1":                {404, "no such subject: job/1; /api/collie/v1/journal lists what is known"},
		"why?subject=web":                  {404, "did you mean target/web?"},
		"nonsense":                         {404, "nothing is at /api/collie/v1/nonsense"},
	}
	h := serve(outage(t))
	for path, tt := range tests {
		t.Run(path, func(t *testing.T) {
			code, got := get(h, API+path)
			if code != tt.code || got.Status != "error" || !strings.Contains(got.Error, tt.want) {
				t.Errorf("%d %s %q, want %d with %q", code, got.Status, got.Error, tt.code, tt.want)
			}
		})
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodDelete, API+"targets", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", w.Code)
	}
}

// TestAPIPages walks through everything page by page: the same as at once,
// whatever the size of the page and the window.
func TestAPIPages(t *testing.T) {
	h := serve(outage(t))
	for _, path := range []string{"intervals?since=55m", "intervals?state=up,down&since=30m&until=5m", "intervals?", "journal?", "journal?kind=target&since=50m", "downtimes?"} {
		_, all := get(h, API+path)
		var want []json.RawMessage
		if err := json.Unmarshal(all.Data, &want); err != nil || len(want) == 0 {
			t.Fatalf("%s: %d entries, %v", path, len(want), err)
		}
		for _, size := range []string{"1", "2", "3"} {
			var got []json.RawMessage
			next := ""
			for range len(want) + 1 {
				_, page := get(h, API+path+"&limit="+size+"&cursor="+url.QueryEscape(next))
				var items []json.RawMessage
				if err := json.Unmarshal(page.Data, &items); err != nil {
					t.Fatal(err)
				}
				got = append(got, items...)
				if next = page.Next; next == "" {
					break
				}
			}
			if diff := cmp.Diff(want, got); diff != "" || next != "" {
				t.Errorf("%s in pages of %s (-want +got):\n%s", path, size, diff)
			}
		}
	}
}

func TestWhy(t *testing.T) {
	r := outage(t)
	type step struct{ at, what, text string }
	tests := map[string]struct {
		subject string
		since   time.Time
		summary string
		earlier bool
		want    []step
	}{
		"a target that recovered": {"target/web", time.Time{}, "up", true, []step{
			{"08:01:00", "decided", "up, as 1 succeeded"},
			{"08:10:00", "seen", "first failed result: connection refused (refused)"},
			{"08:12:00", "decided", "down, as 3 failed in a row: connection refused (refused)"},
			{"08:13:00", "decided", "alert WebDown: web does not answer"},
			{"08:14:00", "delivered", "told #ops on libera: web is down"},
			{"08:20:00", "decided", "up, as 1 succeeded"},
		}},
		"since": {"target/web", minute(15), "up", false, []step{{"08:20:00", "decided", "up, as 1 succeeded"}}},
		"a removed one": {"target/tmp", time.Time{}, "unknown", false, []step{
			{"08:01:00", "decided", "up, as 1 succeeded"}, {"08:25:00", "decided", "removed from the configuration"},
		}},
		"a job": {"job/gitlab.example.org/1234", time.Time{}, "failed: runner lost", false, []step{{"08:30:00", "seen", "failed: runner lost"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			story, err := r.Why(t.Context(), tt.subject, tt.since)
			if err != nil {
				t.Fatal(err)
			}
			var got []step
			for _, s := range story.Steps {
				got = append(got, step{s.At.Format(time.TimeOnly), s.What, s.Text})
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(step{})); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if story.Summary != tt.summary || story.Earlier != tt.earlier {
				t.Errorf("summary %q, earlier %v", story.Summary, story.Earlier)
			}
		})
	}
}

// TestWhyTellsOfBlindness: what the ledger itself found out is in the story.
func TestWhyTellsOfBlindness(t *testing.T) {
	r := outage(t)
	r.clock = minute(70)
	r.silence()
	r.hear("a", 3, minute(75))
	story, err := r.Why(t.Context(), "target/db", minute(50))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range story.Steps {
		got = append(got, s.At.Format(time.TimeOnly)+" "+s.Text)
	}
	want := []string{
		"09:00:00 unknown, as no lease from exporter/host1: exporter/host1 does not say any more that it is looking",
		"09:15:00 down again: its exporter goes on looking",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestParseTime(t *testing.T) {
	now := minute(60)
	for text, want := range map[string]string{
		"2026-11-22T08:30:00Z":      "2026-11-22T08:30:00Z",
		"2026-11-22T08:30:00+01:00": "2026-11-22T07:30:00Z",
		"2026-11-22":                "2026-11-22T00:00:00Z",
		"1795334400":                "2026-11-22T08:00:00Z",
		"1795334400.5":              "2026-11-22T08:00:00.5Z",
		"30d":                       "2026-10-23T09:00:00Z",
		"1h30m":                     "2026-11-22T07:30:00Z",
	} {
		got, err := ParseTime(text, now)
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s: %v, %v, want %s", text, got, err, want)
		}
	}
}

// FuzzAPI: no request makes it panic or answer anything but JSON with a code
// that fits.
func FuzzAPI(f *testing.F) {
	for _, q := range []string{
		"since=30d&until=1h", "target=web&state=up,down&limit=3", "cursor=MS4y", "since=-1", "since=1e18", "by=month&tz=Europe/Prague&since=0",
		"subject=target/web&since=292y", "kind=job&until=1677-01-01", "limit=1000000000000000000000", "%00", "since=1795334400.999999999999",
	} {
		f.Add(q)
	}
	h := serve(outage(f))
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"targets", "intervals", "downtimes", "availability", "journal", "why"} {
			r := httptest.NewRequest(http.MethodGet, API+path, nil)
			r.URL.RawQuery = query
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if !json.Valid(w.Body.Bytes()) || w.Code != 200 && w.Code != 400 && w.Code != 404 {
				t.Errorf("%s?%s: %d %s", path, query, w.Code, w.Body)
			}
		}
	})
}
