// Package schedule runs many jobs, each at its own interval: spread over time
// so that they do not start together, without drift, and never more at once
// than is allowed, overall and per host.
//
// One goroutine watches the clock and a heap of due times; a bounded set of
// workers, started when they are first needed, runs what is due. A job that is
// still waiting or running when it is due again is skipped, and counted.
package schedule

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Job is what runs at an interval.
type Job struct {
	Name  string        // unique; decides where in the interval the job runs
	Host  string        // what PerHost counts; empty counts towards no host
	Every time.Duration // at least a millisecond
	Run   func(ctx context.Context)
}

// Options of a schedule.
type Options struct {
	Concurrency int // jobs at once; below 1 means 64
	PerHost     int // jobs at once for one host; below 1 means 4
	Registry    prometheus.Registerer
}

// Schedule runs jobs. Make one with New, give it jobs with Set, run it once.
type Schedule struct {
	metrics *metrics
	wake    chan struct{} // the heap's top, or whether there is work, has changed
	limit   int
	perHost int

	mu       sync.Mutex
	jobs     map[string]*entry
	heap     dueHeap
	ready    queue            // due, and allowed to run as far as their host goes
	hosts    map[string]*host // those with a job running or waiting
	waiting  int              // due, not running
	running  int
	workers  int        // started
	sleeping int        // of them without work
	idle     *sync.Cond // where they sleep
	closed   bool
}

// entry is a job with its place in the schedule.
type entry struct {
	job   Job
	host  *host         // while it is waiting or running
	at    int           // index in the heap, -1 when it is not there
	phase time.Duration // the place in the interval
	due   time.Time     // of the next run, with its monotonic reading
	first bool          // the next run is out of phase: the first one, or one after Soon
	since time.Time     // when the run that is waiting or running was due
	busy  bool          // waiting or running
	owed  bool          // a first run was due while it was busy
	gone  bool          // removed
	stop  context.CancelFunc
}

type host struct {
	name    string
	busy    int   // running, or in the queue of those allowed to run
	waiting queue // due, but the host has enough running
}

// New returns a schedule without jobs.
func New(o Options) *Schedule {
	s := &Schedule{
		wake: make(chan struct{}, 1),
		jobs: map[string]*entry{}, hosts: map[string]*host{},
	}
	s.idle = sync.NewCond(&s.mu)
	s.SetLimits(o.Concurrency, o.PerHost)
	s.metrics = newMetrics(o.Registry, s)
	return s
}

// SetLimits changes how many jobs may run at once, overall and per host; as
// Options say. What runs already goes on.
func (s *Schedule) SetLimits(concurrency, perHost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit, s.perHost = concurrency, perHost
	if s.limit < 1 {
		s.limit = 64
	}
	if s.perHost < 1 {
		s.perHost = 4
	}
	for _, h := range s.hosts {
		s.fill(h)
	}
	s.idle.Broadcast() // those who are too many go
	s.signal()
}

// Set makes jobs the jobs of the schedule. A job that stays, with its name and
// interval, keeps its due time; one that leaves is cancelled if it runs. New
// jobs run for the first time soon: the first runs of all that are new together
// are spread over a short while, at most their interval.
func (s *Schedule) Set(jobs []Job) error {
	for _, j := range jobs {
		if j.Every < time.Millisecond || j.Run == nil {
			return fmt.Errorf("schedule: job %q needs a function and an interval of at least 1ms", j.Name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := make(map[string]bool, len(jobs))
	var fresh []*entry
	for _, j := range jobs {
		wanted[j.Name] = true
		if e := s.jobs[j.Name]; e != nil && e.job.Every == j.Every {
			e.job = j
			continue
		}
		s.remove(j.Name)
		e := &entry{job: j, at: -1, phase: phase(j.Name, j.Every)}
		s.jobs[j.Name] = e
		fresh = append(fresh, e)
	}
	for name := range s.jobs {
		if !wanted[name] {
			s.remove(name)
		}
	}
	s.spread(fresh)
	s.signal()
	return nil
}

// Soon runs every job once more soon, as if all were new: what they found
// before no longer counts. A job that is running runs again once it ended.
func (s *Schedule) Soon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spread(slices.Collect(maps.Values(s.jobs)))
	s.signal()
}

// perSecond is how many first runs are started per second, so that a start
// with thousands of targets is no burst.
const perSecond = 500

// spread puts the first runs of the entries into the next while. Everything
// after that happens at the entries' phases.
func (s *Schedule) spread(entries []*entry) {
	now := time.Now()
	window := time.Second + time.Duration(len(entries))*time.Second/perSecond
	for _, e := range entries {
		e.first = true
		w := min(window, e.job.Every)
		s.place(e, now.Add(time.Duration(float64(w)*float64(e.phase)/float64(e.job.Every))))
	}
}

func (s *Schedule) place(e *entry, due time.Time) {
	e.due = due
	if e.at < 0 {
		heap.Push(&s.heap, e)
		return
	}
	heap.Fix(&s.heap, e.at)
}

func (s *Schedule) remove(name string) {
	e := s.jobs[name]
	if e == nil {
		return
	}
	delete(s.jobs, name)
	e.gone = true
	if e.at >= 0 {
		heap.Remove(&s.heap, e.at)
	}
	if e.stop != nil {
		e.stop()
	}
}

// phase is the place of a job in its interval: the same after every restart,
// and spread evenly over many names.
func phase(name string, every time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash never fails
	x := h.Sum64()
	x ^= x >> 33 // FNV leaves the last bytes of similar names in the low bits
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return time.Duration(x % uint64(every))
}

// advance moves the entry's due time on to the first slot after now, and
// returns how many slots between were missed. Slots are in step with the wall
// clock of the moment of the first run, and with the monotonic clock after it.
// A slot less than half an interval after a first run is left out.
func (e *entry) advance(now time.Time) (missed int) {
	every := e.job.Every
	if e.first {
		e.first = false
		into := time.Duration(now.UnixNano() % int64(every))
		wait := (e.phase - into + every) % every
		if wait < every/2 {
			wait += every
		}
		e.due = now.Add(wait)
		return 0
	}
	missed = int(now.Sub(e.due) / every)
	e.due = e.due.Add(time.Duration(missed+1) * every)
	return missed
}

// signal wakes the goroutine that watches the clock.
func (s *Schedule) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Stats is how much the schedule has to do at this moment.
type Stats struct{ Jobs, Running, Waiting int }

// Stats tells what the schedule is doing.
func (s *Schedule) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Jobs: len(s.jobs), Running: s.running, Waiting: s.waiting}
}

type dueHeap []*entry

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool {
	return cmp.Or(h[i].due.Compare(h[j].due), cmp.Compare(h[i].job.Name, h[j].job.Name)) < 0
}

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h *dueHeap) Push(x any) {
	e := x.(*entry) //nolint:forcetypeassert // only place pushes, and only entries
	e.at = len(*h)
	*h = append(*h, e)
}

func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.at = -1
	return e
}
