package alerting

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/colliehq/collie/signal"
)

func hookBody(status, started string) string {
	return fmt.Sprintf(`{"version":"4","groupKey":"{}:{alertname=\"Posted\"}","truncatedAlerts":0,"status":%[1]q,"receiver":"people",
		"groupLabels":{"alertname":"Posted"},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://am:9093","unknown":1,
		"alerts":[{"status":%[1]q,"labels":{"alertname":"Posted","target":"web"},"annotations":{"summary":"s"},"startsAt":%[2]q,
		"endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p/graph","fingerprint":"00000000000000aa"}]}`, status, started)
}

func TestWebhookOfAnOutsideAlertmanager(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	var ahead atomic.Int64
	r.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	r.start()
	post := func(body string, want int) {
		t.Helper()
		if code, text := request(t, http.MethodPost, r.url+"hook/alertmanager", body); code != want {
			t.Fatalf("%d %s, want %d", code, text, want)
		}
	}
	const first, second = "2026-11-22T08:00:00Z", "2026-11-22T09:00:00Z"
	post(hookBody("firing", first), http.StatusOK)
	fired := r.expect("Posted", "web", signal.Firing)
	if a, err := fired.Alert(); err != nil || a.Receiver != "people" || a.ExternalURL != "http://am:9093" || a.Fingerprint != "00000000000000aa" || a.Repeat {
		t.Errorf("told %+v, %v", a, err)
	}
	if fired.Subject != "alert/Posted/00000000000000aa" {
		t.Errorf("subject %s", fired.Subject)
	}
	post(hookBody("firing", first), http.StatusOK) // our answer was lost
	r.nothing(300 * time.Millisecond)
	ahead.Store(int64(time.Hour)) // its repeat_interval
	post(hookBody("firing", first), http.StatusOK)
	again := r.expect("Posted", "web", signal.Firing)
	if a, err := again.Alert(); err != nil || !a.Repeat || again.ID == fired.ID {
		t.Errorf("told again: %+v, %v", a, err)
	}
	post(hookBody("resolved", first), http.StatusOK)
	r.expect("Posted", "web", signal.Resolved)
	post(hookBody("resolved", first), http.StatusOK)
	r.nothing(300 * time.Millisecond)
	post(hookBody("firing", second), http.StatusOK)
	r.expect("Posted", "web", signal.Firing)

	post("{", http.StatusBadRequest)
	post(`{"version":"3"}`, http.StatusBadRequest)
	post(strings.Repeat(" ", maxHook+1), http.StatusRequestEntityTooLarge)
}
