// Package memory is the queue without a disk, for tests and for what may be
// lost with the process. It keeps every other promise of the contract.
package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/colliehq/collie/internal/queue"
)

// Queue is a queue.Queue in memory.
type Queue struct {
	mu     sync.Mutex
	closed bool
	subs   map[string]*sub
	last   uint64 // number of the last message
	token  uint64 // of the last lease

	stop chan struct{}
	wg   sync.WaitGroup
}

var _ queue.Queue = (*Queue)(nil)

// New returns an empty queue.
func New() *Queue { return &Queue{subs: map[string]*sub{}, stop: make(chan struct{})} }

// sub is a subscription with its messages, oldest first.
type sub struct {
	spec      queue.Subscription
	items     []*item
	consumers []*consumer // in order of arrival
}

// item is a message in one subscription.
type item struct {
	queue.Message
	number  uint64
	first   time.Time
	state   queue.State
	due     time.Time // of delayed and leased
	attempt int
	crashes int
	token   uint64
	cause   string
	back    bool // delayed after a delivery: what is behind it waits, if order matters
}

func (s *sub) count(states ...queue.State) (n int) {
	for _, it := range s.items {
		if slices.Contains(states, it.state) {
			n++
		}
	}
	return n
}

func (s *sub) oldest(states ...queue.State) *item {
	for _, it := range s.items {
		if slices.Contains(states, it.state) {
			return it
		}
	}
	return nil
}

func (s *sub) remove(it *item) {
	s.items = slices.DeleteFunc(s.items, func(o *item) bool { return o == it })
}

// wake lets every consumer look again.
func (s *sub) wake() {
	for _, c := range s.consumers {
		c.wake()
	}
}

// Declare implements queue.Queue.
func (q *Queue) Declare(_ context.Context, subs ...queue.Subscription) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return queue.ErrClosed
	}
	for _, spec := range subs {
		if err := q.declare(spec); err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) declare(spec queue.Subscription) error {
	if spec.Name == "" || spec.Topic == "" {
		return fmt.Errorf("declare subscription %q of topic %q: both names are needed", spec.Name, spec.Topic)
	}
	if spec.Limit <= 0 {
		spec.Limit = 1_000_000
	}
	if spec.CrashLimit == 0 {
		spec.CrashLimit = 5
	}
	s := q.subs[spec.Name]
	if s == nil {
		s = &sub{}
		q.subs[spec.Name] = s
	} else if s.spec.Topic != spec.Topic {
		return fmt.Errorf("declare subscription %s: it reads topic %s, not %s", spec.Name, s.spec.Topic, spec.Topic)
	}
	s.spec = spec
	return nil
}

// Publish implements queue.Queue.
func (q *Queue) Publish(_ context.Context, msgs ...queue.Message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return queue.ErrClosed
	}
	fresh, err := q.admit(msgs)
	if err != nil {
		return err
	}
	for _, m := range fresh {
		q.store(m)
	}
	return nil
}

// admit says which messages are to be stored: those whose key is not stored
// yet, if all of them fit.
func (q *Queue) admit(msgs []queue.Message) (fresh []queue.Message, err error) {
	type name struct{ topic, key string }
	seen := map[name]bool{}
	more := map[*sub]int{}
	for _, m := range msgs {
		readers := q.readers(m.Topic)
		if len(readers) == 0 {
			return nil, fmt.Errorf("publish %s to %s: %w", m.Key, m.Topic, queue.ErrNoSubscription)
		}
		if m.Key != "" && (seen[name{m.Topic, m.Key}] || stored(readers, m.Key)) {
			continue
		}
		seen[name{m.Topic, m.Key}] = true
		for _, s := range readers {
			more[s]++
			if s.spec.OnFull == queue.Refuse && s.count(queue.Ready, queue.Delayed, queue.Leased)+more[s] > s.spec.Limit {
				return nil, fmt.Errorf("publish %s to %s: %w: subscription %s holds %d messages", m.Key, m.Topic, queue.ErrFull, s.spec.Name, s.spec.Limit)
			}
		}
		fresh = append(fresh, m)
	}
	return fresh, nil
}

func (q *Queue) readers(topic string) (readers []*sub) {
	for _, s := range q.subs {
		if s.spec.Topic == topic {
			readers = append(readers, s)
		}
	}
	return readers
}

func stored(readers []*sub, key string) bool {
	for _, s := range readers {
		if slices.ContainsFunc(s.items, func(it *item) bool { return it.Key == key }) {
			return true
		}
	}
	return false
}

func (q *Queue) store(m queue.Message) {
	q.last++
	for _, s := range q.readers(m.Topic) {
		it := &item{Message: m, number: q.last, first: time.Now().UTC(), state: queue.Ready}
		it.Body = slices.Clone(m.Body)
		it.Headers = maps.Clone(m.Headers)
		it.NotBefore = time.Time{}
		if m.NotBefore.After(it.first) {
			it.state, it.due = queue.Delayed, m.NotBefore
		}
		s.spill()
		s.items = append(s.items, it)
		s.wake()
	}
}

// spill sets the oldest message aside if the subscription is full. As many as
// the limit are kept aside; then the oldest of them is dropped.
func (s *sub) spill() {
	if s.count(queue.Ready, queue.Delayed, queue.Leased) < s.spec.Limit {
		return
	}
	it := s.oldest(queue.Ready)
	if it == nil {
		it = s.soonest(queue.Delayed)
	}
	if it != nil {
		it.state, it.due = queue.Spilled, time.Time{}
	}
	if s.count(queue.Spilled) > s.spec.Limit {
		s.remove(s.oldest(queue.Spilled))
	}
}

func (s *sub) soonest(state queue.State) (first *item) {
	for _, it := range s.items {
		if it.state == state && (first == nil || it.due.Before(first.due)) {
			first = it
		}
	}
	return first
}

// Stats implements queue.Queue.
func (q *Queue) Stats(context.Context) ([]queue.Stats, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, queue.ErrClosed
	}
	stats := make([]queue.Stats, 0, len(q.subs))
	for _, s := range q.subs {
		st := queue.Stats{
			Subscription: s.spec, Ready: s.count(queue.Ready), Delayed: s.count(queue.Delayed),
			Leased: s.count(queue.Leased), Parked: s.count(queue.Parked), Spilled: s.count(queue.Spilled),
		}
		if it := s.oldest(queue.Ready); it != nil {
			st.OldestReady = it.first
		}
		stats = append(stats, st)
	}
	slices.SortFunc(stats, func(a, b queue.Stats) int { return strings.Compare(a.Name, b.Name) })
	return stats, nil
}

// Peek implements queue.Queue.
func (q *Queue) Peek(_ context.Context, subscription string, f queue.Filter) (entries []queue.Entry, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, err := q.sub(subscription)
	if err != nil {
		return nil, err
	}
	all := []queue.State{"", queue.Ready, queue.Delayed, queue.Leased, queue.Parked, queue.Spilled}
	if !slices.Contains(all, f.State) {
		return nil, fmt.Errorf("peek into %s: no state %q", subscription, f.State)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	for _, it := range s.items {
		if (f.State == "" || it.state == f.State) && len(entries) < limit {
			entries = append(entries, it.entry())
		}
	}
	return entries, nil
}

func (it *item) entry() queue.Entry {
	return queue.Entry{
		Message: it.Message, State: it.state, Attempt: it.attempt, FirstSeen: it.first, Due: it.due, Cause: it.cause,
	}
}

// Redrive implements queue.Queue.
func (q *Queue) Redrive(_ context.Context, subscription string, keys ...string) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, err := q.sub(subscription)
	if err != nil {
		return 0, err
	}
	for _, it := range s.items {
		if (it.state == queue.Parked || it.state == queue.Spilled) && (len(keys) == 0 || slices.Contains(keys, it.Key)) {
			it.state, it.attempt, it.crashes, it.cause = queue.Ready, 0, 0, ""
			n++
		}
	}
	s.wake()
	return n, nil
}

func (q *Queue) sub(name string) (*sub, error) {
	if q.closed {
		return nil, queue.ErrClosed
	}
	s := q.subs[name]
	if s == nil {
		return nil, fmt.Errorf("subscription %s: %w", name, queue.ErrNoSubscription)
	}
	return s, nil
}

// Close implements queue.Queue. What it held is gone.
func (q *Queue) Close() error {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.stop)
	}
	q.mu.Unlock()
	q.wg.Wait()
	return nil
}
