package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/colliehq/collie/internal/queue"
)

// Publish implements queue.Queue.
func (q *Queue) Publish(ctx context.Context, msgs ...queue.Message) error {
	if q.isClosed() {
		return queue.ErrClosed
	}
	if err := q.admit(ctx, msgs); err != nil {
		return err
	}
	out := make([]outgoing, 0, len(msgs))
	for i := range msgs {
		out = append(out, q.fresh(&msgs[i]))
	}
	err := q.send(ctx, out...)
	switch {
	case err == nil:
		q.published(msgs)
		return nil
	case errors.Is(err, errUnroutable):
		q.forgetTopics(msgs)
		err = fmt.Errorf("%w: %w", queue.ErrNoSubscription, err)
	case errors.Is(err, errNack):
		err = fmt.Errorf("%w: %w", queue.ErrUnknown, err)
	case q.isClosed():
		err = queue.ErrClosed
	}
	return fmt.Errorf("publish %s to %s: %w", msgs[0].Key, msgs[0].Topic, err)
}

// fresh makes a message of what a publisher handed over.
func (q *Queue) fresh(m *queue.Message) outgoing {
	it := item{Message: *m, first: q.stamp()}
	it.Headers = maps.Clone(m.Headers)
	it.id = strconv.FormatInt(it.first.UnixNano(), 36) + "-" + q.m.instance
	key := now
	if wait := time.Until(m.NotBefore); !m.NotBefore.IsZero() && wait > 0 {
		it.due = m.NotBefore
		key = q.climb(&it, wait).Name
	}
	return outgoing{q.exchange(m.Topic), key, it.publishing()}
}

// stamp is the time, later than every one before, so that what is looked at can
// be shown in the order in which it was published.
func (q *Queue) stamp() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := time.Now().UTC().Round(0)
	if !t.After(q.last) {
		t = q.last.Add(1)
	}
	q.last = t
	return t
}

// climb chooses the step for a message that is to wait: the longest that is not
// too long, or the shortest there is. What is left to wait after it travels
// along, so that a clock that is set back makes nobody wait longer.
func (q *Queue) climb(it *item, wait time.Duration) Step {
	step := q.steps[0]
	for _, s := range q.steps {
		if s.Delay <= wait {
			step = s
		}
	}
	it.wait = max(0, wait-step.Delay)
	return step
}

// admit looks whether every topic has a reader and every reader room, before
// anything is sent.
func (q *Queue) admit(ctx context.Context, msgs []queue.Message) error {
	more := map[string]int{}
	for i := range msgs {
		if err := check(&msgs[i]); err != nil {
			return err
		}
		more[msgs[i].Topic]++
	}
	for topic := range more {
		if err := q.known(ctx, topic); err != nil {
			return fmt.Errorf("publish to %s: %w", topic, err)
		}
	}
	for topic, n := range more {
		if err := q.makeRoom(ctx, topic, n); err != nil {
			return fmt.Errorf("publish to %s: %w", topic, err)
		}
	}
	return nil
}

// known finds out whether somebody declared a subscription of the topic, be it
// another process.
func (q *Queue) known(ctx context.Context, topic string) error {
	q.mu.Lock()
	known := q.topics[topic]
	q.mu.Unlock()
	if known {
		return nil
	}
	err := q.ask(ctx, func(ch *amqp.Channel) error {
		return ch.ExchangeDeclarePassive(q.exchange(topic), amqp.ExchangeDirect, true, false, false, false, nil)
	})
	if notFound(err) {
		return queue.ErrNoSubscription
	}
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.topics[topic] = true
	return nil
}

func (q *Queue) forgetTopics(msgs []queue.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range msgs {
		delete(q.topics, msgs[i].Topic)
	}
}

func (q *Queue) readers(topic string) (readers []*sub) {
	for _, s := range q.declared() {
		if s.topic == topic {
			readers = append(readers, s)
		}
	}
	return readers
}

func (q *Queue) published(msgs []queue.Message) {
	for i := range msgs {
		for _, s := range q.readers(msgs[i].Topic) {
			s.n.published.Add(1)
		}
	}
}

// copyTo publishes a copy of an item to a queue, with confirm.
func (q *Queue) copyTo(ctx context.Context, name string, it *item) error {
	return q.send(ctx, outgoing{"", name, it.publishing()})
}
