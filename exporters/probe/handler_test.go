package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// handler serves modules that tell what they were asked.
func handler(t *testing.T, modules ...Module) *Handler {
	t.Helper()
	byName := map[string]Module{}
	for _, m := range modules {
		byName[m.Name] = m
	}
	return &Handler{Modules: func() map[string]Module { return byName }, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

func ask(h http.Handler, target string, header ...string) (int, string) {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestHandlerRefuses(t *testing.T) {
	h := handler(t, Module{Name: "http_2xx", Probe: fixed(Result{Success: true})})
	h.Allow = func(target string) bool { return target == "known" }
	for _, c := range []struct {
		name, url string
		header    []string
		status    int
		text      string
	}{
		{"good", "/probe?target=known", nil, 200, "\nprobe_success 1\n"},
		{"good, by name", "/probe?target=known&module=http_2xx", nil, 200, "\nprobe_success 1\n"},
		{"no target", "/probe?module=http_2xx", nil, 400, "the parameter target is missing"},
		{"unknown module", "/probe?module=cat&target=known", nil, 400, `unknown module "cat"`},
		{"ad hoc", "/probe?target=unknown", nil, 403, "set probe.ad_hoc: true"},
		{"bad timeout", "/probe?target=known", []string{ScrapeTimeoutHeader, "soon"}, 400, "not a positive number of seconds"},
		{"no time", "/probe?target=known", []string{ScrapeTimeoutHeader, "0"}, 400, "not a positive number of seconds"},
		{"NaN", "/probe?target=known", []string{ScrapeTimeoutHeader, "NaN"}, 400, "not a positive number of seconds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if status, text := ask(h, c.url, c.header...); status != c.status || !strings.Contains(text, c.text) {
				t.Errorf("got %d %s, want %d and %q", status, text, c.status, c.text)
			}
		})
	}
}

func TestHandlerTimeLimit(t *testing.T) {
	for _, c := range []struct {
		header string
		module time.Duration
		want   time.Duration
	}{
		{"", 0, 120 * time.Second},
		{"", 5 * time.Second, 5 * time.Second},
		{"10", 0, 9500 * time.Millisecond},
		{"10", 5 * time.Second, 5 * time.Second},
		{"10", 20 * time.Second, 9500 * time.Millisecond},
		{"0.6", 0, 300 * time.Millisecond},
		{"0.1", 5 * time.Second, 50 * time.Millisecond},
		{"1e300", 0, 119500 * time.Millisecond},
		{"+Inf", 0, 119500 * time.Millisecond},
	} {
		if got, err := timeLimit(c.header, c.module); err != nil || got != c.want {
			t.Errorf("%q and %s: %s %v, want %s", c.header, c.module, got, err, c.want)
		}
	}
}

// TestHandlerCancels ends the probe when the scraper leaves.
func TestHandlerCancels(t *testing.T) {
	started, ended := make(chan struct{}), make(chan struct{})
	h := handler(t, Module{Name: "slow", Probe: func(ctx context.Context, _ Request) Result {
		close(started)
		<-ctx.Done()
		close(ended)
		return Fail(Metrics{}, Timeout, "left")
	}})
	s := httptest.NewServer(h)
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/probe?module=slow&target=x", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-started; cancel() }()
	if resp, err := http.DefaultClient.Do(r); err == nil {
		_ = resp.Body.Close()
		t.Error("the scraper got an answer")
	}
	<-ended
}

func TestHandlerGuards(t *testing.T) {
	var got Request
	see := func(_ context.Context, r Request) Result { got = r; return Result{Success: true} }
	h := handler(t, Module{Name: "m", Probe: see})
	ask(h, "/probe?module=m&target=x&hostname=dog.example")
	if got.Dial == nil || got.Dial("tcp", "169.254.169.254:80") == nil || got.Params.Hostname != "dog.example" || got.Target != "x" {
		t.Errorf("the probe was asked %+v", got)
	}
}

func TestHandlerDebug(t *testing.T) {
	h := handler(t, Module{Name: "m", Kind: "dog", Config: "prober: dog\n", Probe: func(_ context.Context, r Request) Result {
		r.Log.Debug("sniffing", "at", r.Target)
		var m Metrics
		m.Gauge("probe_dog_wags", "How often.", 3)
		result := Fail(m, Body, "it is a cat")
		result.Evidence = "meow"
		return result
	}})
	status, text := ask(h, "/probe?module=m&target=x&debug=true")
	for _, part := range []string{
		"Logs for the probe:\n", "msg=sniffing at=x", "reason: body\ncause: it is a cat\nevidence:\nmeow\n",
		"Metrics that would have been returned:\n# HELP", "\nprobe_dog_wags 3\n", "\nprobe_success 0\n", "Module configuration:\nprober: dog\n",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%d: %q is missing in\n%s", status, part, text)
		}
	}
}

func dog(success bool) Module {
	return Module{Name: "m", Kind: "dog", Probe: func(_ context.Context, r Request) Result {
		r.Log.Debug("sniffing")
		var m Metrics
		m.Gauge("probe_dog_wags", "How often.", 3, "tail", "left")
		if success {
			return Result{Success: true, Metrics: m}
		}
		return Result{Reason: Body, Cause: "it is a cat", Evidence: "meow\npurr\n", Metrics: m}
	}}
}

func TestCLIText(t *testing.T) {
	var out bytes.Buffer
	ok, err := CLI(t.Context(), &out, dog(false), "x", CLIOptions{})
	if ok || err != nil {
		t.Errorf("%t %v", ok, err)
	}
	for _, part := range []string{"msg=sniffing\n", "\nm x: failed after ", ": body: it is a cat\n    meow\n    purr\n\n# HELP", `probe_dog_wags{tail="left"} 3`} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is missing in\n%s", part, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("coloured, and not on a terminal")
	}
	out.Reset()
	if ok, err := CLI(t.Context(), &out, dog(true), "x", CLIOptions{Output: "text"}); !ok || err != nil || !strings.Contains(out.String(), "m x: success in ") {
		t.Errorf("%t %v %s", ok, err, out.String())
	}
}

func TestCLIJSON(t *testing.T) {
	var out bytes.Buffer
	if ok, err := CLI(t.Context(), &out, dog(false), "x", CLIOptions{Output: "json"}); ok || err != nil {
		t.Errorf("%t %v", ok, err)
	}
	var got struct {
		Module, Target, Reason, Cause, Evidence string
		Success                                 bool
		Log                                     []string
		Metrics                                 []struct {
			Name   string
			Labels map[string]string
			Value  float64
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{"m", "x", "body", "it is a cat", "meow\npurr\n", false, 1, "probe_dog_wags", "left", 3.0},
		[]any{got.Module, got.Target, got.Reason, got.Cause, got.Evidence, got.Success, len(got.Log), got.Metrics[0].Name, got.Metrics[0].Labels["tail"], got.Metrics[0].Value}); diff != "" {
		t.Error(diff)
	}
	if _, err := CLI(t.Context(), io.Discard, dog(true), "x", CLIOptions{Output: "xml"}); err == nil {
		t.Error("xml is accepted")
	}
}
