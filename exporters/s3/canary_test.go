package s3_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/s3"
	s3test "github.com/colliehq/collie/internal/testkit/s3"
)

// left are the keys in a bucket, versions and delete markers included.
func left(t *testing.T, c *minio.Core, bucket string) (keys []string) {
	t.Helper()
	for o := range c.Client.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

func makeBucket(t *testing.T, c *minio.Core, name string) {
	t.Helper()
	if err := c.MakeBucket(t.Context(), name, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestCanary(t *testing.T) {
	g, c := gateway(t)
	for _, bucket := range []string{"plain", "kept"} {
		makeBucket(t, c, bucket)
		if bucket == "kept" {
			if err := c.EnableVersioning(t.Context(), bucket); err != nil {
				t.Fatal(err)
			}
		}
		m := build(t, s3.New(s3.Options{}), "s3_canary", "endpoint: "+g.URL+"\n"+keys(t, s3test.AccessKey, s3test.SecretKey))
		for range 2 {
			r := look(t, m, bucket)
			if !r.Success {
				t.Fatal(bucket, r.Reason, r.Cause)
			}
			for _, phase := range []string{"put", "read", "delete"} {
				if v, _ := value(r, "probe_s3_canary_duration_seconds", "phase", phase); v <= 0 {
					t.Errorf("%s took %v", phase, v)
				}
			}
		}
		if keys := left(t, c, bucket); len(keys) > 0 {
			t.Errorf("%s: left over: %v", bucket, keys)
		}
	}
	m := build(t, s3.New(s3.Options{}), "s3_canary", "endpoint: "+g.URL+"\n"+keys(t, s3test.AccessKey, "wrong"))
	if r := look(t, m, "plain"); r.Reason != probe.Auth || !strings.Contains(r.Cause, "put the object: ") {
		t.Errorf("%s %s", r.Reason, r.Cause)
	}
}

// between stands before a server and may spoil what passes.
func between(t *testing.T, to string, spoil func(w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.Host = r.In.Host // it is signed
	}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !spoil(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// Reading fails or gives something else: the object is deleted nevertheless.
func TestCanaryCleansUp(t *testing.T) {
	g, c := gateway(t)
	makeBucket(t, c, "plain")
	for name, spoil := range map[string]func(w http.ResponseWriter){
		"status": func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
		"body":   func(w http.ResponseWriter) { _, _ = io.WriteString(w, "something else") },
	} {
		at := between(t, g.URL, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, ".collie-canary") {
				spoil(w)
				return true
			}
			return false
		})
		r := look(t, build(t, s3.New(s3.Options{}), "s3_canary", "endpoint: "+at+"\n"+keys(t, s3test.AccessKey, s3test.SecretKey)), "plain")
		if string(r.Reason) != name {
			t.Errorf("%s: %s %s", name, r.Reason, r.Cause)
		}
		if keys := left(t, c, "plain"); len(keys) > 0 {
			t.Errorf("%s: left over: %v", name, keys)
		}
	}
}

// The server hangs after it took the object, within the time limit: what is
// left over is found later, once it is old, and what is young is let be.
func TestCanaryLeftovers(t *testing.T) {
	g, c := gateway(t)
	makeBucket(t, c, "plain")
	put(t, c, "plain", "mine", 1)
	var hang atomic.Bool
	hang.Store(true)
	at := between(t, g.URL, func(_ http.ResponseWriter, r *http.Request) bool {
		if hang.Load() && r.Method != http.MethodPut {
			<-r.Context().Done()
			return true
		}
		return false
	})
	var ahead atomic.Int64
	x := s3.New(s3.Options{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	m := build(t, x, "s3_canary", "endpoint: "+at+"\n"+keys(t, s3test.AccessKey, s3test.SecretKey))
	m.Timeout = 2 * time.Second
	if r := look(t, m, "plain"); r.Reason != probe.Timeout {
		t.Fatal(r.Reason, r.Cause)
	}
	if n := len(left(t, c, "plain")); n != 2 {
		t.Fatalf("%d objects", n)
	}
	hang.Store(false)
	m.Timeout = time.Minute
	r := look(t, m, "plain")
	want(t, r, map[string]float64{"probe_success": 1, "probe_s3_canary_leftovers": 0})
	ahead.Store(int64(time.Hour))
	r = look(t, m, "plain")
	want(t, r, map[string]float64{"probe_success": 1, "probe_s3_canary_leftovers": 1, "probe_s3_canary_leftovers_removed": 1})
	if keys := left(t, c, "plain"); len(keys) != 1 || keys[0] != "mine" {
		t.Errorf("%v", keys)
	}
}

// A server that is frozen accepts connections and answers nothing.
func TestFrozenServer(t *testing.T) {
	g, c := gateway(t)
	makeBucket(t, c, "plain")
	m := build(t, s3.New(s3.Options{}), "s3", "endpoint: "+g.URL+"\n"+keys(t, s3test.AccessKey, s3test.SecretKey))
	if r := look(t, m, "plain"); !r.Success {
		t.Fatal(r.Cause)
	}
	if err := syscall.Kill(g.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	m.Timeout = 500 * time.Millisecond
	if r := look(t, m, "plain"); r.Reason != probe.Timeout {
		t.Errorf("%s %s", r.Reason, r.Cause)
	}
	if err := syscall.Kill(g.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	m.Timeout = time.Minute
	if r := look(t, m, "plain"); !r.Success {
		t.Error(r.Cause)
	}
}
