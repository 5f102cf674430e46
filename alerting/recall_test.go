package alerting

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/colliehq/collie/signal"
)

// A recovery that is posted as soon as we listen after a restart is told: what
// was remembered does not undo it. Nor is an alert that goes on ended by it.
func TestRecoveryPostedRightAfterTheStart(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"all inside":         nil,
		"Prometheus outside": func(c *Config) { c.PrometheusURL = "http://127.0.0.1:1" },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := newRig(t, dir, change)
			r.start().ready()
			began := time.Now().UTC()
			for _, target := range []string{"ended", "ongoing"} {
				postAlert(t, r.url, target, began, began.Add(time.Hour))
				r.expect("Posted", target, signal.Firing)
			}
			r.stop()

			r = newRig(t, dir, change)
			r.listening = func() { postAlert(t, r.url, "ended", began, time.Now().UTC()) }
			r.start().ready()
			if s := r.expect("Posted", "ended", signal.Resolved); !s.Started.Equal(began) {
				t.Errorf("resolved since %s, want %s", s.Started, began)
			}
			r.nothing(2 * time.Second)
			postAlert(t, r.url, "ongoing", began, time.Now().UTC())
			r.expect("Posted", "ongoing", signal.Resolved)
		})
	}
}

func postAlert(t *testing.T, url, target string, from, to time.Time) {
	t.Helper()
	code, text := request(t, "POST", url+"alertmanager/api/v2/alerts", fmt.Sprintf(`[{"labels":{"alertname":"Posted","target":%q},"startsAt":%q,"endsAt":%q}]`,
		target, from.Format(time.RFC3339Nano), to.Format(time.RFC3339Nano)))
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, text)
	}
}
