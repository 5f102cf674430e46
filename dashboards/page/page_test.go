package page_test

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/dashboards/page"
	"github.com/colliehq/collie/dashboards/page/internal/fixture"
)

var update = flag.Bool("update", false, "write the golden files anew")

// serve is the page over a source, beside stand-ins for the other rooms' paths.
func serve(source page.Source) http.Handler {
	return serveWith(page.Options{Source: source})
}

func serveWith(o page.Options) http.Handler {
	o.Version, o.Now = "1.2.3", fixture.Now
	o.Log = slog.New(slog.DiscardHandler)
	mux := http.NewServeMux()
	for _, other := range []string{
		"/targets/metrics", "/sd/targets", "/probe", "POST /ping/{name}", "/metrics", "/config", "/-/healthy",
		"/-/ready", "POST /-/reload", "/api/collie/v1/", "/api/v1/", "/alertmanager/api/v2/", "POST /hook/alertmanager",
	} {
		mux.HandleFunc(other, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "other room: "+r.URL.Path) })
	}
	page.New(o).Register(mux)
	return mux
}

func get(t *testing.T, h http.Handler, url string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, url, nil))
	return w
}

// removed is a site from which a target has gone.
func removed() *fixture.Record {
	r := fixture.Site(fixture.Now())
	for i := range r.All {
		if r.All[i].Name == "wiki" {
			r.All[i].Removed = true
		}
	}
	return r
}

// scenes are the pages that the tests look at: every page in every condition.
func scenes() []scene {
	now := fixture.Now()
	site := fixture.Site(now)
	half := fixture.Site(now)
	half.IntervalErr = io.ErrUnexpectedEOF
	return []scene{
		{"site", site, nil, "/", 200},
		{"site-filtered", site, nil, "/?q=example+refused&state=down&tier=necessary&refresh=30", 200},
		{"site-no-match", site, nil, "/?q=nothing-like-this", 200},
		{"calm", fixture.Calm(now), nil, "/", 200},
		{"starting", fixture.Starting(now), nil, "/", 200},
		{"starting-target", fixture.Starting(now), nil, "/targets/gitlab-disk", 200},
		{"empty", &fixture.Record{}, nil, "/", 200},
		{"empty-journal", &fixture.Record{}, nil, "/journal", 200},
		{"unreadable", &fixture.Record{Err: io.ErrUnexpectedEOF}, nil, "/", 503},
		{"unreadable-target", &fixture.Record{Err: io.ErrUnexpectedEOF}, nil, "/targets/gitlab", 503},
		{"unreadable-journal", &fixture.Record{Err: io.ErrUnexpectedEOF}, nil, "/journal", 503},
		{"half-readable", half, nil, "/", 200},
		{"half-readable-target", half, nil, "/targets/gitlab", 200},
		{"target-down", site, nil, "/targets/gitlab", 200},
		{"target-up", site, nil, "/targets/dns", 200},
		{"target-blind", site, nil, "/targets/branch-office", 200},
		{"target-removed", removed(), nil, "/targets/wiki", 200},
		{"target-unheard-of", site, nil, "/targets/gitlub", 404},
		{"journal", site, nil, "/journal", 200},
		{"journal-filtered", site, nil, "/journal?kind=job&subject=job%2Fgitlab.example.org%2F91402", 200},
		{"not-found", site, nil, "/no/such/page", 404},
		{"bad-cursor", site, nil, "/journal?before=yesterday", 400},
	}
}

// barkScenes are the pages of a Collie that also barks.
func barkScenes() []scene {
	now := fixture.Now()
	site, calm := fixture.Site(now), fixture.Calm(now)
	unread := fixture.Loud(now)
	unread.Firing, unread.Err = nil, io.ErrUnexpectedEOF
	half := fixture.Loud(now)
	half.SpoolErr = io.ErrUnexpectedEOF
	muted := fixture.Quiet(now)
	muted.Firing = fixture.Loud(now).Firing[1:4]
	return []scene{
		{"alerts", site, fixture.Loud(now), "/alerts", 200},
		{"alerts-quiet", calm, fixture.Quiet(now), "/alerts", 200},
		{"alerts-muted", calm, muted, "/alerts?refresh=30", 200},
		{"alerts-empty", &fixture.Record{}, &fixture.Barks{}, "/alerts", 200},
		{"alerts-unreadable", site, unread, "/alerts", 503},
		{"alerts-half-readable", site, half, "/alerts", 200},
		{"alerts-without-record", &fixture.Record{Err: io.ErrUnexpectedEOF}, fixture.Quiet(now), "/alerts", 200},
		{"site-loud", site, fixture.Loud(now), "/", 200},
		{"calm-quiet", calm, fixture.Quiet(now), "/", 200},
		{"calm-muted", calm, muted, "/", 200},
		{"calm-unreadable", calm, unread, "/", 200},
		{"not-found-loud", site, fixture.Loud(now), "/no/such/page", 404},
	}
}

type scene struct {
	name   string
	source page.Source
	barks  page.Barks
	url    string
	status int
}

func eachScene(t *testing.T, f func(t *testing.T, s scene, w *httptest.ResponseRecorder)) {
	t.Helper()
	for _, s := range append(scenes(), barkScenes()...) {
		t.Run(s.name, func(t *testing.T) {
			w := get(t, serveWith(page.Options{Source: s.source, Barks: s.barks}), s.url)
			if w.Code != s.status {
				t.Fatalf("GET %s: status %d, want %d", s.url, w.Code, s.status)
			}
			f(t, s, w)
		})
	}
}

var assetHash = regexp.MustCompile(`(/assets/[a-z-]+)-[0-9a-f]{16}\.`)

func TestGolden(t *testing.T) {
	eachScene(t, func(t *testing.T, s scene, w *httptest.ResponseRecorder) {
		got := assetHash.ReplaceAll(w.Body.Bytes(), []byte("$1-HASH."))
		file := filepath.Join("testdata", s.name+".html")
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("the page is not %s (run with -update and look at the difference):\n%s", file, cmp.Diff(string(want), string(got)))
		}
	})
}

func TestHeaders(t *testing.T) {
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; " +
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options": "nosniff",
		"X-Frame-Options":        "DENY",
		"Referrer-Policy":        "no-referrer",
		"Cache-Control":          "no-store",
		"Content-Type":           "text/html; charset=utf-8",
	}
	eachScene(t, func(t *testing.T, s scene, w *httptest.ResponseRecorder) {
		for name, value := range want {
			if got := w.Header().Get(name); got != value {
				t.Errorf("%s is %q, want %q", name, got, value)
			}
		}
		if s.status == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
			t.Error("a 503 says nothing about when to come back")
		}
	})
}

func TestOnlyReads(t *testing.T) {
	h := serve(fixture.Site(fixture.Now()))
	for _, url := range []string{"/", "/journal", "/targets/gitlab", "/no/such/page"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("q=1")))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: status %d, Allow %q", url, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestAssetsMayBeKept(t *testing.T) {
	h := serve(fixture.Site(fixture.Now()))
	found := regexp.MustCompile(`/assets/[^"]+`).FindAllString(get(t, h, "/").Body.String(), -1)
	if len(found) == 0 {
		t.Fatal("the page refers to no asset")
	}
	types := map[string]string{".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
	for _, url := range found {
		w := get(t, h, url)
		if w.Code != 200 || w.Header().Get("Content-Type") != types[filepath.Ext(url)] ||
			!strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: status %d, headers %v", url, w.Code, w.Header())
		}
	}
}

// TestOtherRoomsKeepTheirPaths holds the patterns against those that are
// registered beside them: a conflict would panic, a shadow would answer.
func TestOtherRoomsKeepTheirPaths(t *testing.T) {
	r := fixture.Site(fixture.Now())
	r.All[0].Name = "metrics"
	h := serve(r)
	if got := get(t, h, "/targets/metrics").Body.String(); got != "other room: /targets/metrics" {
		t.Errorf("/targets/metrics answers %.60q", got)
	}
	list := get(t, h, "/").Body.String()
	if !strings.Contains(list, `href="/targets/metrics/"`) {
		t.Error("the list does not link to a target that is called metrics")
	}
	if w := get(t, h, "/targets/metrics/"); w.Code != 200 || !strings.Contains(w.Body.String(), "metrics is down") {
		t.Errorf("/targets/metrics/ has status %d", w.Code)
	}
}

// hanging is a record that answers nobody.
type hanging struct{ fixture.Record }

func (hanging) Targets(ctx context.Context) ([]page.Target, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestHangingRecordIsAnError(t *testing.T) {
	h := serveWith(page.Options{Source: &hanging{}, Timeout: time.Millisecond})
	if w := get(t, h, "/"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "deadline exceeded") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

func TestTimesInAChosenZone(t *testing.T) {
	h := serveWith(page.Options{Source: fixture.Site(fixture.Now()), Location: time.FixedZone("CET", 3600)})
	got := get(t, h, "/").Body.String()
	// down since 14:17:52 UTC
	if want := `<time datetime="2026-11-22T14:17:52Z">15:17:52 CET</time>`; !strings.Contains(got, want) {
		t.Errorf("the list lacks %s", want)
	}
}

func TestRefreshIsChosen(t *testing.T) {
	h := serve(fixture.Site(fixture.Now()))
	for query, want := range map[string]string{
		"": "", "?refresh=30": "30", "?refresh=0": "", "?refresh=1": "", "?refresh=-5": "", "?refresh=99999": "", "?refresh=5;url=//example.org": "",
	} {
		body := get(t, h, "/"+query).Body.String()
		m := regexp.MustCompile(`<meta http-equiv="refresh" content="([^"]*)">`).FindStringSubmatch(body)
		got := ""
		if m != nil {
			got = m[1]
		}
		if got != want {
			t.Errorf("/%s loads again after %q, want %q", query, got, want)
		}
	}
}
