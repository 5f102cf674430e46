// Package promserver runs the Prometheus and the promtool that the system has,
// against which our series and files are held.
package promserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/testkit/launch"
)

// Server is a running Prometheus.
type Server struct {
	URL string // without a slash at its end

	process *launch.Process
}

// Start starts a Prometheus on a free loopback port with the text of a
// configuration, and waits until it is ready. Its data live in dir. Close must
// be called.
func Start(ctx context.Context, dir, config string) (*Server, error) {
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("start prometheus: %w", err)
	}
	port, err := launch.FreePort()
	if err != nil {
		return nil, err
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	p, err := launch.Start(launch.Options{Dir: dir}, "prometheus",
		"--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "tsdb"), "--web.listen-address="+address)
	if err != nil {
		return nil, err
	}
	s := &Server{URL: "http://" + address, process: p}
	if err := launch.AwaitHTTP(ctx, s.URL+"/-/ready", "", p); err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	return s, nil
}

// Process is the server's process.
func (s *Server) Process() *launch.Process { return s.process }

// Close ends it.
func (s *Server) Close() error { return s.process.End(30 * time.Second) }

// Sample is one series of an answer.
type Sample struct {
	Labels map[string]string // with __name__
	Value  float64
}

// Query evaluates an expression now. Scalars have no labels.
func (s *Server) Query(ctx context.Context, expression string) ([]Sample, error) {
	var answer struct {
		Status, Error string
		Data          struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := s.get(ctx, "/api/v1/query?query="+url.QueryEscape(expression), &answer); err != nil {
		return nil, err
	}
	switch {
	case answer.Status != "success":
		return nil, fmt.Errorf("query %s: %s", expression, answer.Error)
	case answer.Data.ResultType == "scalar":
		var v point
		err := json.Unmarshal(answer.Data.Result, &v)
		return []Sample{{Value: v.value}}, err
	case answer.Data.ResultType != "vector":
		return nil, fmt.Errorf("query %s: a %s is not a vector", expression, answer.Data.ResultType)
	}
	var series []struct {
		Metric map[string]string `json:"metric"`
		Value  point             `json:"value"`
	}
	if err := json.Unmarshal(answer.Data.Result, &series); err != nil {
		return nil, fmt.Errorf("query %s: %w", expression, err)
	}
	var samples []Sample
	for _, one := range series {
		samples = append(samples, Sample{Labels: one.Metric, Value: one.Value.value})
	}
	return samples, nil
}

// Await waits until an expression has a result, and returns it.
func (s *Server) Await(ctx context.Context, expression string) (samples []Sample, err error) {
	err = launch.Await(ctx, "a result of "+expression, func(ctx context.Context) error {
		found, err := s.Query(ctx, expression)
		if err == nil && len(found) == 0 {
			err = errors.New("there is none")
		}
		samples = found
		return err
	}, s.process)
	return samples, err
}

// point is how the API writes a value: [1700000000.1, "1"].
type point struct{ value float64 }

// UnmarshalJSON reads a point.
func (p *point) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &[2]any{new(float64), &text}); err != nil {
		return err
	}
	v, err := strconv.ParseFloat(text, 64)
	p.value = v
	return err
}

func (s *Server) get(ctx context.Context, path string, into any) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	return json.NewDecoder(resp.Body).Decode(into)
}

// CheckMetrics has "promtool check metrics" look at an exposition. What it
// finds is the error.
func CheckMetrics(ctx context.Context, exposition string) error {
	return promtool(ctx, exposition, "check", "metrics")
}

// CheckRules has "promtool check rules" look at rule files.
func CheckRules(ctx context.Context, files ...string) error {
	return promtool(ctx, "", append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, files...)...)
}

func promtool(ctx context.Context, stdin string, args ...string) error {
	cmd := exec.CommandContext(ctx, "promtool", args...) //nolint:gosec // what a test asks for
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err == nil && args[1] == "metrics" && len(out) > 0 {
		err = errors.New("it complains") // some of its findings leave the exit code at 0
	}
	if err != nil {
		return fmt.Errorf("promtool %s: %w: %s", strings.Join(args[:2], " "), err, out)
	}
	return nil
}
