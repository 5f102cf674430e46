package beaker

import (
	"errors"
	"sync"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// maxMemory bounds how many servers are remembered: /probe may be asked for
// any. The one that was used longest ago is forgotten first.
const maxMemory = 64

// memory is what was learned of each server, under the key of its module and
// target, through reloads.
type memory struct {
	mu      sync.Mutex
	servers map[string]*server
	budgets map[string]*budget
}

func newMemory() *memory {
	return &memory{servers: map[string]*server{}, budgets: map[string]*budget{}}
}

// server is what was learned of one.
type server struct {
	turn chan struct{} // holds a token while nobody asks the server
	used time.Time

	mu      sync.Mutex // guards what follows
	feeds   map[string]fact[int]
	pools   map[string]fact[[]string]
	listed  []string // the systems of systems_of_feed
	systems map[string]fact[system]
	jobs    fact[jobs]
}

// fact is something learned, when, and when it was last asked for. Zero times
// are never.
type fact[T any] struct {
	value          T
	learned, asked time.Time
	failed         *trouble // why it could not be had when it was last asked for
}

// note keeps an answer, or why there is none. What the server as a whole could
// not answer is asked for again by the next probe, and so is what took too
// long, after the others.
func (f *fact[T]) note(value T, err error, now time.Time, refresh time.Duration) {
	var t *trouble
	switch {
	case err == nil:
		*f = fact[T]{value: value, learned: now, asked: now}
	case !errors.As(err, &t), t.server: // the budget is spent, or the server is gone
	case t.reason == probe.Timeout:
		f.asked, f.failed = now.Add(-refresh), t
	default:
		f.asked, f.failed = now, t
	}
}

// jobs are the unfinished jobs.
type jobs struct {
	listed  int
	recipes map[string]int
}

// budget limits the requests to one server to so many in an hour, whatever
// modules ask it; after a rest all of them may be made at once.
type budget struct {
	mu   sync.Mutex
	left float64
	at   time.Time
	used time.Time
}

// of finds or makes what is remembered under key, and the budget of the base.
func (m *memory) of(key, base string, perHour float64, now time.Time) (*server, *budget) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, b := m.servers[key], m.budgets[base]
	if s == nil {
		s = &server{turn: make(chan struct{}, 1), feeds: map[string]fact[int]{}, pools: map[string]fact[[]string]{}, systems: map[string]fact[system]{}}
		s.turn <- struct{}{}
		forget(m.servers, func(s *server) time.Time { return s.used })
		m.servers[key] = s
	}
	if b == nil {
		b = &budget{left: perHour, at: now}
		forget(m.budgets, func(b *budget) time.Time { return b.used })
		m.budgets[base] = b
	}
	s.used, b.used = now, now
	return s, b
}

// forget makes room for one more.
func forget[T any](all map[string]T, used func(T) time.Time) {
	if len(all) < maxMemory {
		return
	}
	oldest, first := "", true
	for key, x := range all {
		if first || used(x).Before(used(all[oldest])) {
			oldest, first = key, false
		}
	}
	delete(all, oldest)
}

// spend takes one request out of the budget, if there is one.
func (b *budget) spend(perHour float64, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(perHour, now)
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// rest is how many requests are left.
func (b *budget) rest(perHour float64, now time.Time) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(perHour, now)
	return b.left
}

func (b *budget) fill(perHour float64, now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.left += passed.Hours() * perHour
	}
	b.left, b.at = min(b.left, perHour), now
}
