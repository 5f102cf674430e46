package engine

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// scope registers collectors so that all can be taken back at once: what is
// opened again brings its metrics again.
type scope struct {
	to prometheus.Registerer

	mu    sync.Mutex
	known []prometheus.Collector
}

func newScope(to prometheus.Registerer) *scope { return &scope{to: to} }

func (s *scope) Register(c prometheus.Collector) error {
	if err := s.to.Register(c); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = append(s.known, c)
	return nil
}

func (s *scope) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := s.Register(c); err != nil {
			panic(err)
		}
	}
}

func (s *scope) Unregister(c prometheus.Collector) bool { return s.to.Unregister(c) }

func (s *scope) unregister() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.known {
		s.to.Unregister(c)
	}
	s.known = nil
}

// lintClean keeps out the one metric of the engine that promtool check metrics
// objects to. Nothing here uses native histograms, which it counts.
type lintClean struct{ prometheus.Registerer }

func (l lintClean) Register(c prometheus.Collector) error {
	if offends(c) {
		return nil
	}
	return l.Registerer.Register(c)
}

func (l lintClean) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := l.Register(c); err != nil {
			panic(err)
		}
	}
}

func offends(c prometheus.Collector) bool {
	const name = `"prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total"`
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		c.Describe(descs)
	}()
	found := false
	for d := range descs {
		found = found || strings.Contains(d.String(), name)
	}
	return found
}
