// Package rows keeps a queue in the tables of a SQLite file: what is published,
// where each message stands in each subscription, and how many stand where. It
// is the arithmetic between the store, whose transactions publish, and the
// SQLite engine, whose consumers take and settle.
package rows

import (
	"database/sql"
	"sync"
	"sync/atomic"
	"time"

	"github.com/colliehq/collie/internal/queue"
)

// Tx is the transaction in which the book writes. Hooks run on the goroutine
// that commits.
type Tx interface {
	Exec(query string, args ...any) (sql.Result, error)
	Query(query string, args ...any) (*sql.Rows, error)
	QueryRow(query string, args ...any) *sql.Row
	OnCommit(f func())
	OnRollback(f func())
	Now() time.Time
}

// The states, as the file has them.
const (
	ready = iota
	delayed
	leased
	parked
	spilled
	states
)

const outside = -1 // the state of what is not in a subscription

func stateName(s int) queue.State {
	return [states]queue.State{queue.Ready, queue.Delayed, queue.Leased, queue.Parked, queue.Spilled}[s]
}

// Book knows every subscription and how many messages stand where. Its methods
// that take a Tx are called by one writer at a time; the others by anyone.
type Book struct {
	now   func() time.Time
	clock clock

	mu      sync.RWMutex // guards the maps
	byName  map[string]*Sub
	byTopic map[string][]*Sub

	lastMessage int64 // ids rise in order of publication
	lastToken   int64
}

// Sub is a subscription.
type Sub struct {
	id   int64
	spec atomic.Pointer[queue.Subscription]

	live        [states]int64        // the writer's, what it has not committed included
	shown       [states]atomic.Int64 // what is committed
	Published   atomic.Uint64        // messages stored
	Redelivered atomic.Uint64        // deliveries after the first attempt
	Lost        atomic.Uint64        // leases that ran out
	Spilled     atomic.Uint64        // messages set aside because the subscription was full
	Dropped     atomic.Uint64        // spilled messages that made room for younger ones
	Parked      atomic.Uint64        // messages set aside for a person

	mu        sync.Mutex
	listeners map[chan struct{}]bool
}

// Spec is the subscription as it was declared last.
func (s *Sub) Spec() queue.Subscription { return *s.spec.Load() }

// waiting counts what the limit is about.
func (s *Sub) waiting() int64 { return s.live[ready] + s.live[delayed] + s.live[leased] }

// Listen returns a channel that is signalled after every commit that may give
// a consumer of the subscription something to do.
func (s *Sub) Listen() (wake <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners[c] = true
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, c)
	}
}

// Notify wakes the consumers of the subscription.
func (s *Sub) Notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.listeners {
		select {
		case c <- struct{}{}:
		default: // it is awake already
		}
	}
}

// move counts n messages from one state to another: for the writer at once, for
// everybody else once the transaction is durable.
func (s *Sub) move(tx Tx, from, to int, n int64) {
	if n == 0 {
		return
	}
	add := func(state int, n int64) {
		if state != outside {
			s.live[state] += n
		}
	}
	add(from, -n)
	add(to, n)
	tx.OnRollback(func() {
		add(from, n)
		add(to, -n)
	})
	tx.OnCommit(func() {
		if from != outside {
			s.shown[from].Add(-n)
		}
		if to != outside {
			s.shown[to].Add(n)
		}
	})
}

// Sub finds a subscription by its name.
func (b *Book) Sub(name string) (*Sub, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s, ok := b.byName[name]
	return s, ok
}

// Subs lists every subscription, in no order.
func (b *Book) Subs() []*Sub {
	b.mu.RLock()
	defer b.mu.RUnlock()
	subs := make([]*Sub, 0, len(b.byName))
	for _, s := range b.byName {
		subs = append(subs, s)
	}
	return subs
}

// Counts says how many messages stand where.
func (s *Sub) Counts() map[queue.State]int {
	n := make(map[queue.State]int, states)
	for state := range states {
		n[stateName(state)] = int(s.shown[state].Load())
	}
	return n
}

// NotifyAll wakes every consumer.
func (b *Book) NotifyAll() {
	for _, s := range b.Subs() {
		s.Notify()
	}
}

// Idle reports that the subscription holds nothing that a consumer could get,
// now or later.
func (s *Sub) Idle() bool {
	return s.shown[ready].Load()+s.shown[delayed].Load()+s.shown[leased].Load() == 0
}

// Waiting counts what the limit of a subscription is about: ready, delayed and
// leased messages.
func (b *Book) Waiting(subscription string) int {
	s, ok := b.Sub(subscription)
	if !ok {
		return 0
	}
	return int(s.shown[ready].Load() + s.shown[delayed].Load() + s.shown[leased].Load())
}
