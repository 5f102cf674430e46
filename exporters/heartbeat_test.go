package exporters

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/signal"
)

// call makes a request to the exporter's paths.
func (w *world) call(method, path string, header ...string) *httptest.ResponseRecorder {
	mux := http.NewServeMux()
	w.Register(mux)
	r := httptest.NewRequestWithContext(w.t.Context(), method, "http://collie.example:9797"+path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	out := httptest.NewRecorder()
	mux.ServeHTTP(out, r)
	return out
}

func TestHeartbeat(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(heartbeatOf("cron", time.Minute, 10*time.Second)))
		w.after(30 * time.Second)
		if s := w.shown("cron"); s != signal.Unknown {
			t.Errorf("shown as %q before the first ping", s)
		}
		for i := range 5 {
			method := []string{http.MethodPost, http.MethodGet}[i%2]
			if r := w.call(method, "/ping/cron"); r.Code != http.StatusOK {
				t.Fatalf("ping: %d %s", r.Code, r.Body)
			}
			w.after(69 * time.Second)
			if s := w.shown("cron"); s != signal.Up {
				t.Fatalf("shown as %q within its grace", s)
			}
		}
		last := w.disk.row("cron").lastPing
		w.after(2 * time.Second)
		if s := w.shown("cron"); s != signal.Down {
			t.Errorf("shown as %q 71 s after a ping", s)
		}
		w.after(time.Hour)
		w.call(http.MethodPost, "/ping/cron")
		w.after(0)
		if got, want := w.disk.story(t, "cron"), "[unknown] up down up"; got != want {
			t.Errorf("story %q, want %q", got, want)
		}
		down := w.disk.signals(t)[2].body
		if down.Reason != "stale" || down.Rule != "no ping for 1m10s" || !strings.Contains(down.Evidence, last.Format(time.RFC3339)) {
			t.Errorf("down: %+v", down)
		}
		if n := w.own("collie_exporter_pings_total"); n != 6 {
			t.Errorf("%v pings counted", n)
		}
		checkOrder(t, w)
	})
}

func TestHeartbeatThatNeverBeats(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(heartbeatOf("cron", time.Minute, 10*time.Second)))
		w.after(71 * time.Second)
		if got, want := w.disk.story(t, "cron"), "[unknown] down"; got != want {
			t.Errorf("story %q, want %q", got, want)
		}
	})
}

// After our own absence the time begins anew: the ping may have come while
// nobody was there to take it.
func TestHeartbeatOverRestart(t *testing.T) {
	inWorld(t, func(w *world) {
		c := configOf(heartbeatOf("cron", time.Hour, time.Minute))
		w.up(c)
		w.call(http.MethodPost, "/ping/cron")
		w.after(30 * time.Minute)
		ping := w.disk.row("cron").lastPing
		w.stop()
		w.after(3 * time.Hour)
		w.up(c)
		if got := w.disk.row("cron").lastPing; ping.IsZero() || !got.Equal(ping) {
			t.Errorf("the last ping came at %s, now %s", ping, got)
		}
		w.after(59 * time.Minute)
		if s := w.shown("cron"); s != signal.Unknown {
			t.Errorf("shown as %q", s)
		}
		w.after(3 * time.Minute)
		if got, want := w.disk.story(t, "cron"), "[unknown] up unknown [unknown] down"; got != want {
			t.Errorf("story %q, want %q", got, want)
		}
	})
}

// A ping is answered 200 only when it is stored; it counts all the same.
func TestPingWhileTheDiskIsFull(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(heartbeatOf("cron", time.Minute, time.Minute)))
		w.call(http.MethodPost, "/ping/cron")
		w.disk.set(func() { w.disk.full = true })
		r := w.call(http.MethodPost, "/ping/cron") // the first one to find out
		if r.Code != http.StatusServiceUnavailable || r.Header().Get("Retry-After") == "" {
			t.Errorf("first: %d %s", r.Code, r.Body)
		}
		w.after(time.Minute + 50*time.Second)
		before := time.Now()
		if r := w.call(http.MethodPost, "/ping/cron"); r.Code != http.StatusServiceUnavailable || time.Since(before) > 0 {
			t.Errorf("second: %d after %s", r.Code, time.Since(before))
		}
		w.after(time.Minute + 50*time.Second)
		w.disk.set(func() { w.disk.full = false })
		w.after(6 * time.Second)
		if got, want := w.disk.story(t, "cron"), "[unknown] up"; got != want {
			t.Errorf("story %q, want %q", got, want)
		}
		if r := w.call(http.MethodPost, "/ping/cron"); r.Code != http.StatusOK {
			t.Errorf("after: %d %s", r.Code, r.Body)
		}
	})
}

func TestPingIsDurableBeforeTheAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(heartbeatOf("cron", time.Minute, time.Minute)))
		for range 3 { // the first is a transition, the others only a ping
			w.after(time.Second)
			now := time.Now()
			if r := w.call(http.MethodPost, "/ping/cron"); r.Code != http.StatusOK {
				t.Fatal(r.Code)
			}
			if got := w.disk.row("cron").lastPing; !got.Equal(now) {
				t.Errorf("answered 200, but the last ping stored is of %s, not %s", got, now)
			}
		}
	})
}

func TestPingOfNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.up(configOf(targetOf("web")))
		for _, path := range []string{"/ping/nobody", "/ping/web"} {
			if r := w.call(http.MethodPost, path); r.Code != http.StatusNotFound {
				t.Errorf("%s: %d", path, r.Code)
			}
		}
		if err := w.Ping(context.Background(), "web"); err == nil {
			t.Error("a probed target takes a ping")
		}
	})
}
