package loki_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/collectors/loki"
)

func TestWhatAnAnswerMeans(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		status int
		after  string
		body   string
		want   loki.Answer
	}{
		{status: 200, want: loki.Answer{Verdict: loki.Accepted, Status: 200, Cause: "200 OK"}},
		{status: 204, want: loki.Answer{Verdict: loki.Accepted, Status: 204, Cause: "204 No Content"}},
		{status: 202, want: loki.Answer{Verdict: loki.Later, Status: 202, Cause: "202 Accepted"}},
		{status: 260, body: "ingestion blocked", want: loki.Answer{Verdict: loki.Later, Status: 260, Cause: "ingestion blocked"}},
		{status: 307, want: loki.Answer{Verdict: loki.Later, Status: 307, Cause: "307 Temporary Redirect"}},
		{status: 400, body: "too far\xff behind\n", want: loki.Answer{Verdict: loki.Rejected, Status: 400, Cause: "too far behind"}},
		{status: 401, body: "no org id", want: loki.Answer{Verdict: loki.Later, Status: 401, Cause: "no org id"}},
		{status: 413, want: loki.Answer{Verdict: loki.TooLarge, Status: 413, Cause: "413 Request Entity Too Large"}},
		{status: 429, after: "7", body: "slow down", want: loki.Answer{Verdict: loki.Later, Status: 429, After: 7 * time.Second, Cause: "slow down"}},
		{status: 503, after: now.Add(9 * time.Second).Format(http.TimeFormat), body: "x", want: loki.Answer{Verdict: loki.Later, Status: 503, After: 9 * time.Second, Cause: "x"}},
		{status: 503, after: "99999999999999", body: "x", want: loki.Answer{Verdict: loki.Later, Status: 503, After: time.Hour, Cause: "x"}},
		{status: 503, after: "-3", body: "x", want: loki.Answer{Verdict: loki.Later, Status: 503, Cause: "x"}},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Scope-Orgid") != "ci" || r.URL.Path != "/loki/api/v1/push" {
				t.Errorf("asked %s for tenant %q", r.URL.Path, r.Header.Get("X-Scope-Orgid"))
			}
			w.Header().Set("Location", "/elsewhere")
			if test.after != "" {
				w.Header().Set("Retry-After", test.after)
			}
			w.WriteHeader(test.status)
			if test.status != http.StatusNoContent {
				_, _ = w.Write([]byte(test.body))
			}
		}))
		c := loki.New(loki.Options{URL: srv.URL + "/", Tenant: "ci", Now: func() time.Time { return now }})
		got := c.Push(t.Context(), nil)
		srv.Close()
		c.Close()
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("answer to %d (-want +got):\n%s", test.status, diff)
		}
	}
}

func TestNoAnswerIsLaterAndTellsNoPassword(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer srv.Close()
	c := loki.New(loki.Options{URL: "http://me:hunter2@" + srv.Listener.Addr().String()})
	defer c.Close()
	if got := c.Push(t.Context(), nil); got.Verdict != loki.Later || got.Cause != "EOF" {
		t.Errorf("answer is %+v, want to try later because of EOF", got)
	}
}
