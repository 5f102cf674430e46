// Package collectors reads logs and sends them on: each line once, and none
// lost. Files are the buffer; a cursor moves only when Loki acknowledged.
package collectors

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/collectors/cursor"
	"github.com/colliehq/collie/collectors/file"
	"github.com/colliehq/collie/collectors/loki"
	"github.com/colliehq/collie/internal/secret"
	"github.com/colliehq/collie/internal/store"
)

// Options of the shipper. Config, Store, Dir, Host, Registry and Log must be set.
type Options struct {
	Config    Config
	Store     *store.Store
	Dir       string // for the folder quarantine
	Host      string // label of all streams
	UserAgent string
	Registry  prometheus.Registerer
	Log       *slog.Logger
	Now       func() time.Time  // nil means time.Now
	Transport http.RoundTripper // to Loki; nil means an own one

	sink  sink                     // tests replace Loki
	fault func(point string) error // tests stop it there, as a kill would
}

// sink makes one attempt.
type sink interface {
	Push(ctx context.Context, body []byte) loki.Answer
}

// ownLabels are on each stream, beside those of the source.
var ownLabels = []string{"source", "host"}

// Shipper sends log files to Loki. It is a task: Run it once.
type Shipper struct {
	o       Options
	log     *slog.Logger
	book    *cursor.Book
	sink    sink
	close   func()
	metrics *metrics
	tracker *file.Tracker
	labels  []string // of each source
	ready   chan struct{}

	enc      encoder
	batch    batch
	delivery *delivery // nil while nothing is sent
	moved    bool      // cursors of the batch, in memory
	last     int64     // the latest time of an entry
	after    int64     // the ID of the file that was read last, to be fair
	said     string    // the last cause of a failure, said once
	plans    time.Time // not before
}

// New opens the tables. Nothing is read before Run.
func New(ctx context.Context, o Options) (*Shipper, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	book, err := cursor.Open(ctx, o.Store)
	if err != nil {
		return nil, err
	}
	s := &Shipper{
		o: o, log: o.Log, book: book, sink: o.sink, close: func() {}, metrics: newMetrics(o.Registry), ready: make(chan struct{}),
	}
	for _, source := range o.Config.Sources {
		s.labels = append(s.labels, loki.Labels(s.labelsOf(source)))
	}
	if s.sink == nil {
		c := loki.New(loki.Options{
			URL: o.Config.Loki.URL, Tenant: o.Config.Loki.Tenant, UserAgent: o.UserAgent, Timeout: o.Config.Loki.Timeout,
			Authorize: authorize(o.Config.Loki), Transport: o.Transport, Now: o.Now,
		})
		s.sink, s.close = c, c.Close
	}
	return s, nil
}

func (s *Shipper) labelsOf(source Source) map[string]string {
	labels := map[string]string{"source": "file", "host": s.o.Host}
	maps.Copy(labels, source.Labels)
	return labels
}

// authorize reads the secret for each attempt, so that it may be replaced.
func authorize(c Loki) func(*http.Request) error {
	return func(req *http.Request) error {
		switch {
		case c.Username != "":
			password, err := secret.Read(c.PasswordFile)
			if err != nil {
				return fmt.Errorf("password for Loki: %w", err)
			}
			req.SetBasicAuth(c.Username, password.Reveal())
		case c.BearerTokenFile != "":
			token, err := secret.Read(c.BearerTokenFile)
			if err != nil {
				return fmt.Errorf("token for Loki: %w", err)
			}
			req.Header.Set("Authorization", "Bearer "+token.Reveal())
		}
		return nil
	}
}

// Name of the task.
func (*Shipper) Name() string { return "collectors" }

// Ready is closed once the files were looked at.
func (s *Shipper) Ready() <-chan struct{} { return s.ready }

// Run ships until ctx ends. What is under way then is sent again at the next
// start, the same to the byte.
func (s *Shipper) Run(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.close()
	defer s.tracker.Close()
	close(s.ready)
	tick := time.NewTicker(s.o.Config.Poll)
	defer tick.Stop()
	for ctx.Err() == nil {
		s.look(ctx)
		if s.round(ctx, tick.C) {
			continue // there may be more
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

// round plans, sends and acknowledges one batch as far as that is possible now,
// and reports whether it did.
func (s *Shipper) round(ctx context.Context, tick <-chan time.Time) (done bool) {
	if !s.plan(ctx) {
		return false
	}
	for !s.delivery.done() {
		if s.o.Now().Before(s.delivery.next) {
			return false
		}
		if !s.attempt(ctx, tick) {
			return false
		}
	}
	return s.acknowledge(ctx)
}

// attempt sends the next stretch, and looks at the files while it waits.
func (s *Shipper) attempt(ctx context.Context, tick <-chan time.Time) (answered bool) {
	next := s.delivery.todo[len(s.delivery.todo)-1]
	body := s.enc.encode(&s.batch, next.i, next.j)
	s.metrics.sent.Add(float64(len(body)))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan loki.Answer, 1)
	go func() { answers <- s.sink.Push(ctx, body) }()
	for {
		select {
		case a := <-answers:
			if ctx.Err() != nil || s.fails("pushed") {
				return false
			}
			s.answered(a)
			return true
		case <-tick:
			s.look(ctx)
		}
	}
}

func (s *Shipper) answered(a loki.Answer) {
	s.delivery.answered(a, s.o.Now())
	s.metrics.pushes.WithLabelValues(a.Verdict.String()).Inc()
	s.metrics.failing.Set(float64(s.delivery.attempts))
	switch a.Verdict {
	case loki.Accepted:
		s.metrics.lastAccepted.Set(float64(s.o.Now().UnixNano()) / 1e9)
		s.metrics.invalid.Add(float64(s.enc.changed.Invalid))
		s.metrics.nuls.Add(float64(s.enc.changed.NULs))
		s.metrics.split.Add(float64(s.enc.split))
		s.recovered()
	case loki.Later:
		s.failing("Loki does not take logs now: they stay in their files, and are sent once it does", a.Cause, "status", a.Status)
	case loki.Rejected, loki.TooLarge:
		s.log.Debug("Loki refused a part of a push", "status", a.Status, "cause", a.Cause)
	}
}

// failing says what stops the shipping, once for each cause.
func (s *Shipper) failing(what, cause string, args ...any) {
	if s.said == "" {
		s.log.Warn(what, append(args, "err", cause)...) //nolint:sloglint // callers give constants
	}
	s.said = cause
}

func (s *Shipper) recovered() {
	if s.said != "" {
		s.log.Info("logs are shipped again")
	}
	s.said = ""
}

// fails is where tests stop the shipper as a kill would.
func (s *Shipper) fails(point string) bool {
	return s.o.fault != nil && s.o.fault(point) != nil
}

func (s *Shipper) quarantine() string { return filepath.Join(s.o.Dir, "quarantine") }
