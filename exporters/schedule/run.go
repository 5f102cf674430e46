package schedule

import (
	"context"
	"sync"
	"time"
)

// Run runs the jobs until ctx ends; then it cancels those that run, and
// returns nil once they have ended. It is called once.
func (s *Schedule) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	defer s.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if wait, some := s.tick(ctx, &workers); some {
			timer.Reset(wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.wake:
		}
	}
}

func (s *Schedule) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.idle.Broadcast()
}

// tick hands out what is due, and tells how long until the next job is.
func (s *Schedule) tick(ctx context.Context, workers *sync.WaitGroup) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for len(s.heap) > 0 && !s.heap[0].due.After(now) {
		s.fire(s.heap[0], now)
	}
	for s.workers < s.limit && s.sleeping < s.ready.len() {
		s.workers++
		s.sleeping++
		workers.Go(func() { s.work(ctx) })
	}
	if len(s.heap) == 0 {
		return 0, false
	}
	return s.heap[0].due.Sub(now), true
}

// fire makes a due entry wait for a worker, and sets its next due time.
func (s *Schedule) fire(e *entry, now time.Time) {
	due, first := e.due, e.first
	missed := e.advance(now)
	s.place(e, e.due)
	switch {
	case !e.busy:
		s.admit(e, due)
	case first:
		e.owed = true
	default:
		missed++
	}
	s.metrics.skipped.Add(float64(missed))
}

// admit puts an entry into the queue of those that may run, or of those that
// wait for their host.
func (s *Schedule) admit(e *entry, due time.Time) {
	e.busy, e.since = true, due
	s.waiting++
	if e.job.Host == "" {
		e.host = nil
		s.offer(e)
		return
	}
	h := s.hosts[e.job.Host]
	if h == nil {
		h = &host{name: e.job.Host}
		s.hosts[e.job.Host] = h
	}
	e.host = h
	if h.busy >= s.perHost {
		h.waiting.push(e)
		return
	}
	h.busy++
	s.offer(e)
}

func (s *Schedule) offer(e *entry) {
	s.ready.push(e)
	s.idle.Signal()
}

// work is one worker.
func (s *Schedule) work(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for s.ready.len() == 0 && !s.closed && s.workers <= s.limit {
			s.idle.Wait()
		}
		if s.closed || s.workers > s.limit {
			s.workers--
			s.sleeping--
			return
		}
		s.sleeping--
		s.runOne(ctx, s.ready.pop())
		s.sleeping++
	}
}

// runOne runs one entry. It is called, and returns, with the lock held, and
// lets go of it while the job runs.
func (s *Schedule) runOne(ctx context.Context, e *entry) {
	s.waiting--
	if !e.gone {
		job := e.job
		ctx, stop := context.WithCancel(ctx)
		e.stop = stop
		s.running++
		late := time.Since(e.since)
		s.mu.Unlock()
		s.metrics.lateness.Observe(late.Seconds())
		job.Run(ctx)
		stop()
		s.mu.Lock()
		s.running--
		e.stop = nil
	}
	s.release(e)
}

// fill lets those who wait for their host run, as far as it may have more.
func (s *Schedule) fill(h *host) {
	for h.busy < s.perHost && h.waiting.len() > 0 {
		h.busy++
		s.offer(h.waiting.pop())
	}
}

// release gives the place of an entry that ended to the next one of its host.
func (s *Schedule) release(e *entry) {
	e.busy = false
	if h := e.host; h != nil {
		h.busy--
		s.fill(h)
		if h.busy == 0 {
			delete(s.hosts, h.name)
		}
	}
	if e.owed && !e.gone {
		e.owed = false
		s.admit(e, time.Now())
		s.signal() // there may be no worker yet for it
	}
}
