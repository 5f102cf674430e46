package s3_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/s3"
	s3test "github.com/colliehq/collie/internal/testkit/s3"
)

// journal is a log that can be looked at while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) await(t *testing.T, words string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		j.mu.Lock()
		found := strings.Contains(j.text.String(), words)
		j.mu.Unlock()
		if found {
			return
		}
	}
	t.Fatalf("the log does not say %q", words)
}

// A bucket that left the configuration is not listed to its end. When it comes
// back, the listing goes on where it was.
func TestListingRestsWhenNobodyAsks(t *testing.T) {
	f := fake(t, s3test.FakeOptions{Keys: 60_000, Latency: 100 * time.Millisecond})
	var ahead atomic.Int64
	log := &journal{}
	x := s3.New(s3.Options{
		Log: slog.New(slog.NewTextHandler(log, nil)),
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	x.Keep(&memory{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	m := build(t, x, "s3", "{endpoint: '"+f.URL+"', parallel: 1}")
	await(t, m, "b", func(probe.Result) bool { return f.Pages() >= 5 })
	ahead.Add(int64(3 * time.Minute))
	log.await(t, "rests until a probe asks")
	if n := f.Pages(); n >= 60 {
		t.Errorf("%d pages: it was listed to the end", n)
	}
	r := await(t, m, "b", known)
	want(t, r, map[string]float64{"probe_s3_objects": 60_000})
	if n := f.Pages(); n > 70 {
		t.Errorf("%d pages for 60 and a rest", n)
	}
}
