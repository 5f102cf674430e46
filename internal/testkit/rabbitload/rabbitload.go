// Package rabbitload fills a RabbitMQ with many queues in which messages wait,
// some handed out and not acknowledged, for tests of what looks at them.
package rabbitload

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Load is a connection that holds messages unacknowledged and consumers open
// until it is closed.
type Load struct{ conn *amqp.Connection }

// Queue is what one queue has after Fill.
type Queue struct {
	Name                      string
	Ready, Unacked, Consumers int
}

// channels is over how many channels the work is spread.
const channels = 8

// Want is what queue i of a Fill is given: between 0 and 6 messages, of which
// every fifth queue has one handed out to a consumer, and every fiftieth queue
// has 100 more.
func Want(prefix string, i int) Queue {
	q := Queue{Name: fmt.Sprintf("%s%05d", prefix, i), Ready: i % 7}
	if i%50 == 0 {
		q.Ready += 100
	}
	if i%5 == 0 && q.Ready > 0 {
		q.Ready, q.Unacked, q.Consumers = q.Ready-1, 1, 1
	}
	return q
}

// Fill makes n classic queues called PREFIX00000 and so on, and puts into each
// what Want says. It returns when the broker has them all.
func Fill(ctx context.Context, url, prefix string, n int) (*Load, error) {
	conn, err := amqp.Dial(url)
	if err != nil {
		return nil, fmt.Errorf("fill %d queues: %w", n, err)
	}
	l := &Load{conn}
	if err := l.fill(ctx, prefix, n); err != nil {
		return nil, errors.Join(fmt.Errorf("fill %d queues: %w", n, err), l.Close())
	}
	return l, nil
}

func (l *Load) fill(ctx context.Context, prefix string, n int) error {
	failed := make(chan error, channels)
	for c := range channels {
		go func() { failed <- l.share(ctx, prefix, c, n) }()
	}
	var err error
	for range channels {
		if e := <-failed; e != nil {
			err = e
		}
	}
	return err
}

// share makes every channels-th queue, beginning with the given one. Queues are
// declared without waiting for an answer; publishes are confirmed at the end.
func (l *Load) share(ctx context.Context, prefix string, first, n int) error {
	ch, err := l.conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	if err := ch.Qos(1, 0, false); err != nil {
		return err
	}
	published := 0
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 64*n/channels+128))
	for i := first; i < n; i += channels {
		q := Want(prefix, i)
		if _, err := ch.QueueDeclare(q.Name, false, false, false, true, nil); err != nil {
			return err
		}
		for range q.Ready + q.Unacked {
			if err := ch.PublishWithContext(ctx, "", q.Name, false, false, amqp.Publishing{Body: []byte("m")}); err != nil {
				return err
			}
			published++
		}
	}
	for range published {
		select {
		case c, ok := <-confirms:
			if !ok || !c.Ack {
				return fmt.Errorf("a message was not confirmed")
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return l.hold(ctx, ch, prefix, first, n)
}

// hold takes one message from each queue that Want gives a consumer.
func (l *Load) hold(ctx context.Context, ch *amqp.Channel, prefix string, first, n int) error {
	for i := first; i < n; i += channels {
		q := Want(prefix, i)
		if q.Consumers == 0 {
			continue
		}
		messages, err := ch.Consume(q.Name, "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		select {
		case <-messages:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Close gives back what is unacknowledged and ends the consumers.
func (l *Load) Close() error {
	return l.conn.CloseDeadline(time.Now().Add(10 * time.Second))
}
