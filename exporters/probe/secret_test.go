package probe

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// The password in the URL of a target reaches the probe, and nobody else.
func TestPasswordInTargetIsNotTold(t *testing.T) {
	const target = "http://alice:hunter2@192.0.2.1/"
	m := Module{Name: "m", Probe: func(_ context.Context, r Request) Result {
		if r.Target != target {
			t.Errorf("the probe was asked for %q", r.Target)
		}
		return Fail(Metrics{}, DNS, "lookup "+r.Target)
	}}
	var said bytes.Buffer
	h := handler(t, m)
	h.Log = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, more := range []string{"", "&debug=true", "&refuse=true"} {
		h.Allow = func(string) bool { return more != "&refuse=true" }
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/probe?module=m"+more+"&target="+url.QueryEscape(target), nil))
		said.Write(w.Body.Bytes())
	}
	for _, output := range []string{"text", "json"} {
		if _, err := CLI(t.Context(), &said, m, target, CLIOptions{Output: output}); err != nil {
			t.Fatal(err)
		}
	}
	if text := said.String(); strings.Contains(text, "hunter2") || strings.Count(text, "<secret>") < 5 {
		t.Error(text)
	}
}
