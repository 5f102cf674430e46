// Package rabbitmq is the queue on RabbitMQ: quorum queues, publisher confirms,
// and our own ladder of delays.
//
// # What it keeps
//
// A topic is an exchange, a subscription a quorum queue bound to it, so that one
// confirm covers every subscription. Beside it a subscription has a ladder of
// queues that give back after 5 s to 6 h, a queue for what is delivered alone,
// one for what is parked and one for what was spilled. A message moves between
// them as a copy without x-death, published with confirm before the original is
// acknowledged: it may be there twice, it is never gone. Nothing that dead-letters
// does so twice into the same queue, hence the broker's cycle detection, which
// drops messages without a word, finds no cycle.
//
// # Where it is weaker than a file
//
//   - A key that is published twice is stored twice: consumers use Once.
//   - Publish is all or none as far as limits go. When the broker itself refuses
//     or the connection ends within a publish, some messages or subscriptions may
//     have it: the answer is queue.ErrUnknown, and publishing again mends it.
//   - Limits are kept by the publishers, who look at the depths: several
//     publishers may pass one by what they publish within a second.
//   - Delays are kept to the smallest step (5 s), never shorter. A message that
//     waits for longer than one step is counted as ready between two steps if no
//     consumer runs.
//   - A message that comes again after RetryAfter is behind those that waited;
//     only crash victims hold back what is behind them.
//   - An acknowledgement is handed to the broker, which does not confirm it: if
//     the connection ends just then, the message comes again.
//   - Counts of what is leased are of this process.
//   - Peek takes ready messages for a moment and gives them back: while a consumer
//     runs it leaves them alone. For another process than the one that looked they
//     count one attempt more.
package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/colliehq/collie/internal/queue"
)

// Options of the engine.
type Options struct {
	Config   Config
	Log      *slog.Logger
	Registry prometheus.Registerer // nil: no metrics
}

// Queue is a queue.Queue.
type Queue struct {
	cfg   Config
	log   *slog.Logger
	m     *metrics
	steps []Step

	ctx  context.Context //nolint:containedctx // ends with Close, not with a call
	stop context.CancelFunc
	wg   sync.WaitGroup

	linkMu sync.Mutex
	link   *link

	mu     sync.Mutex
	closed bool
	subs   map[string]*sub
	topics map[string]bool // exchanges that exist
	last   time.Time       // of publishing

	back returned
}

var _ queue.Queue = (*Queue)(nil)

// sub is a subscription that this process declared, or found at the broker.
type sub struct {
	name  string
	topic string
	spec  queue.Subscription // guarded by the queue's lock
	names names
	room  room
	hand  hand
	n     counters

	turnMu sync.Mutex
	turn   <-chan struct{} // of the last exclusive consumer
}

// New returns an engine. It connects when it is first used.
func New(o Options) (*Queue, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	q := &Queue{
		cfg: o.Config, log: o.Log, steps: ladder(), ctx: ctx, stop: stop,
		subs: map[string]*sub{}, topics: map[string]bool{}, back: returned{seen: map[string]int{}},
	}
	q.m = newMetrics(q)
	if o.Registry != nil {
		if err := o.Registry.Register(q.m); err != nil {
			return nil, fmt.Errorf("register the metrics of the queue: %w", err)
		}
	}
	return q, nil
}

// Declare implements queue.Queue. The objects at the broker stay as they were
// declared first; limits are this process's.
func (q *Queue) Declare(ctx context.Context, subs ...queue.Subscription) error {
	for _, spec := range subs {
		if spec.Name == "" || spec.Topic == "" {
			return fmt.Errorf("declare subscription %q of topic %q: both names are needed", spec.Name, spec.Topic)
		}
		if known, err := q.sub(spec.Name); err == nil && known.topic != spec.Topic {
			return fmt.Errorf("declare subscription %s: it reads topic %s, not %s", spec.Name, known.topic, spec.Topic)
		}
		t := q.topologyOf(spec)
		if err := q.ask(ctx, t.declareOn); err != nil {
			return fmt.Errorf("declare subscription %s: %w", spec.Name, err)
		}
		q.remember(spec)
	}
	return nil
}

func (q *Queue) remember(spec queue.Subscription) {
	if spec.Limit <= 0 {
		spec.Limit = 1_000_000
	}
	if spec.CrashLimit == 0 {
		spec.CrashLimit = 5
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.topics[spec.Topic] = true
	s := q.subs[spec.Name]
	if s == nil {
		q.subs[spec.Name] = &sub{name: spec.Name, topic: spec.Topic, spec: spec, names: q.names(spec.Name)}
		return
	}
	s.spec = spec
	s.room.forget()
}

func (q *Queue) sub(name string) (*sub, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, queue.ErrClosed
	}
	s := q.subs[name]
	if s == nil {
		return nil, fmt.Errorf("subscription %s: %w", name, queue.ErrNoSubscription)
	}
	return s, nil
}

// specOf is the subscription as it was declared last.
func (q *Queue) specOf(s *sub) queue.Subscription {
	q.mu.Lock()
	defer q.mu.Unlock()
	return s.spec
}

func (q *Queue) declared() []*sub {
	q.mu.Lock()
	defer q.mu.Unlock()
	subs := make([]*sub, 0, len(q.subs))
	for _, s := range q.subs {
		subs = append(subs, s)
	}
	slices.SortFunc(subs, func(a, b *sub) int { return strings.Compare(a.name, b.name) })
	return subs
}

func (q *Queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// current returns the link, a new one if there is none that works.
func (q *Queue) current(ctx context.Context) (*link, error) {
	q.linkMu.Lock()
	defer q.linkMu.Unlock()
	if q.isClosed() {
		return nil, queue.ErrClosed
	}
	if q.link != nil && !q.link.conn.IsClosed() && !q.link.pub.IsClosed() {
		return q.link, nil
	}
	if q.link != nil {
		q.link.close()
		q.link = nil
	}
	l, err := q.newLink(ctx)
	if err != nil {
		return nil, err
	}
	q.link = l
	return l, nil
}

// drop gives a link up after trouble. Those who still wait on it learn at once
// that they do not know.
func (q *Queue) drop(l *link) {
	q.linkMu.Lock()
	if q.link == l {
		q.link = nil
	}
	q.linkMu.Unlock()
	l.close()
}

// ask puts a question to the broker, again on a new connection if the old one
// turns out to be gone: f may be called twice.
func (q *Queue) ask(ctx context.Context, f func(*amqp.Channel) error) error {
	l, err := q.current(ctx)
	if err != nil {
		return err
	}
	err = l.ask(f)
	_, network := errors.AsType[net.Error](err)
	if err == nil || !network && !errors.Is(err, amqp.ErrClosed) && !l.conn.IsClosed() {
		return err
	}
	q.drop(l)
	if l, err = q.current(ctx); err != nil {
		return err
	}
	return l.ask(f)
}

// send publishes with confirm. After trouble the link is replaced, so that no
// later publish shares its fate.
func (q *Queue) send(ctx context.Context, msgs ...outgoing) error {
	l, err := q.current(ctx)
	if err != nil {
		return err
	}
	err = l.publish(ctx, msgs)
	if errors.Is(err, queue.ErrUnknown) {
		q.m.unknown.Add(float64(len(msgs)))
		if _, blocked := l.isBlocked(); !blocked || l.pub.IsClosed() {
			q.drop(l)
		}
	}
	return err
}

// Close implements queue.Queue. Deliveries that were not settled go back.
func (q *Queue) Close() error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	q.mu.Unlock()
	q.stop()
	q.linkMu.Lock()
	if q.link != nil {
		q.link.close()
	}
	q.linkMu.Unlock()
	q.wg.Wait()
	return nil
}
