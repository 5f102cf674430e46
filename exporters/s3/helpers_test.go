package s3_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/s3"
	s3test "github.com/colliehq/collie/internal/testkit/s3"
)

// build makes a module of the kind from its options.
func build(t *testing.T, x *s3.S3, kind, options string) probe.Module {
	t.Helper()
	var mistakes []string
	m := probe.Module{Name: kind, Kind: kind, Probe: kindOf(t, x, kind).Build(node(t, options), func(line int, format string, args ...any) {
		mistakes = append(mistakes, fmt.Sprintf("%d: ", line)+fmt.Sprintf(format, args...))
	})}
	if len(mistakes) > 0 {
		t.Fatal(strings.Join(mistakes, "\n"))
	}
	return m
}

func kindOf(t *testing.T, x *s3.S3, name string) probe.Kind {
	t.Helper()
	for _, k := range x.Kinds() {
		if k.Name == name {
			return k
		}
	}
	t.Fatalf("no kind %s", name)
	return probe.Kind{}
}

func node(t *testing.T, options string) *yaml.Node {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(options), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

// keys writes the files of credentials and returns the options that name them.
func keys(t *testing.T, access, secretKey string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"id": access, "key": secretKey} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("access_key_file: %s/id\nsecret_key_file: %s/key\n", dir, dir)
}

// look probes once, within a guard against hanging.
func look(t *testing.T, m probe.Module, target string) probe.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return probe.Run(ctx, m, probe.Request{Target: target, Dial: probe.GuardMetadata})
}

// value is a sample of the result; false if there is none.
func value(r probe.Result, name string, labels ...string) (float64, bool) {
	for _, f := range r.Metrics.Families() {
		for _, s := range f.Samples {
			if f.Name == name && matches(s, labels) {
				return s.Value, true
			}
		}
	}
	return 0, false
}

func matches(s probe.Sample, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		found := false
		for _, l := range s.Labels {
			found = found || l.Name == labels[i] && l.Value == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}

// want compares samples with what they should be.
func want(t *testing.T, r probe.Result, values map[string]float64) {
	t.Helper()
	for name, v := range values {
		if got, ok := value(r, name); !ok || got != v {
			t.Errorf("%s is %v (known: %t), want %v", name, got, ok, v)
		}
	}
}

// memory is checkpoints that outlive an S3.
type memory struct {
	mu    sync.Mutex
	saved map[string][]byte
	saves int
}

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.saved[key], nil
}

func (m *memory) Save(_ context.Context, key string, state []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.saved == nil {
		m.saved = map[string][]byte{}
	}
	m.saved[key] = state
	m.saves++
	return nil
}

// running is an S3 with its background work, until the returned function ends
// it.
func running(t *testing.T, c s3.Checkpoints) (x *s3.S3, stop func()) {
	t.Helper()
	x = s3.New(s3.Options{Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))})
	x.Keep(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- x.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return x, stop
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// await probes until the result is as wanted.
func await(t *testing.T, m probe.Module, target string, holds func(probe.Result) bool) probe.Result {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute) // a guard against hanging
	for {
		r := look(t, m, target)
		if holds(r) {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("does not come: %s %s\n%s", r.Reason, r.Cause, probe.AppendText(nil, r.Metrics.Families()))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func known(r probe.Result) bool {
	v, _ := value(r, "probe_s3_total_known")
	return v == 1
}

func fake(t *testing.T, o s3test.FakeOptions) *s3test.Fake {
	t.Helper()
	f, err := s3test.StartFake(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return f
}
