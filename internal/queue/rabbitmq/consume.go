package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/retry"
)

// consumer reads one subscription through one session after the other.
type consumer struct {
	q    *Queue
	sub  *sub
	opts queue.Options
	out  chan queue.Delivery

	// Of exclusive consumers, which take turns in order of arrival.
	before <-chan struct{} // closed when the one before has settled all
	ended  chan struct{}
}

// Consume implements queue.Queue. It begins when the broker can be reached.
func (q *Queue) Consume(ctx context.Context, subscription string, opts queue.Options) (<-chan queue.Delivery, error) {
	s, err := q.sub(subscription)
	if err != nil {
		return nil, err
	}
	if opts.Prefetch <= 0 {
		opts.Prefetch = 1
	}
	if opts.Lease <= 0 {
		opts.Lease = time.Minute
	}
	c := &consumer{q: q, sub: s, opts: opts, out: make(chan queue.Delivery)}
	if opts.Exclusive {
		c.before, c.ended = s.queueUp()
	}
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(q.ctx, cancel)
	q.wg.Go(func() {
		defer cancel()
		c.run(ctx)
	})
	return c.out, nil
}

// queueUp puts a consumer behind the exclusive ones of this process. Those of
// others are kept apart by the broker, in no order.
func (s *sub) queueUp() (before <-chan struct{}, ended chan struct{}) {
	s.turnMu.Lock()
	defer s.turnMu.Unlock()
	before, ended = s.turn, make(chan struct{})
	s.turn = ended
	return before, ended
}

// awaitTurn waits for those before. It reports whether they ended before ctx.
func (c *consumer) awaitTurn(ctx context.Context) bool {
	if c.before == nil {
		return ctx.Err() == nil
	}
	select {
	case <-c.before:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// leave lets the next one have its turn, if no session does.
func (c *consumer) leave() {
	if c.ended == nil {
		return
	}
	c.q.wg.Go(func() {
		if c.before != nil {
			select {
			case <-c.before:
			case <-c.q.ctx.Done():
			}
		}
		close(c.ended)
	})
}

// turnAgain is how often a consumer that waits for its turn asks.
const turnAgain = 200 * time.Millisecond

var errNotOurTurn = errors.New("another exclusive consumer is active")

func (c *consumer) run(ctx context.Context) {
	defer close(c.out)
	if !c.awaitTurn(ctx) {
		c.leave()
		return
	}
	pauses := retry.Policy{Base: 100 * time.Millisecond, Max: 10 * time.Second}
	for attempt := 1; ctx.Err() == nil; attempt++ {
		began := time.Now()
		lingers, err := c.session(ctx)
		if lingers {
			return
		}
		if ctx.Err() != nil {
			break
		}
		pause := pauses.Delay(attempt, 0)
		if errors.Is(err, errNotOurTurn) {
			attempt, pause = 0, turnAgain
		} else {
			c.q.log.Warn("consumer lost its broker, connecting again", "subscription", c.sub.name, "err", err)
		}
		if time.Since(began) > time.Minute {
			attempt = 0
		}
		wait(ctx, pause)
	}
	c.leave()
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// session connects and delivers until ctx or the connection ends. It may linger
// after ctx, for what the user still holds.
func (c *consumer) session(ctx context.Context) (lingers bool, err error) {
	conn, err := c.q.dial(ctx, "consumer of "+c.sub.name)
	if err != nil {
		return false, err
	}
	s := &session{c: c, conn: conn, settled: make(chan struct{}, 1), handed: map[*settler]bool{}, lookAlone: true}
	if err := s.open(ctx); err != nil {
		return false, errors.Join(err, closeConn(conn))
	}
	err = s.deliver(ctx)
	if ctx.Err() == nil {
		s.abandon()
		return false, errors.Join(err, closeConn(conn))
	}
	s.cancel()
	c.q.wg.Go(s.linger) // deliveries in hand may still be settled
	return true, nil
}

// open takes the turn, if order matters, and begins to consume.
func (s *session) open(ctx context.Context) (err error) {
	c := s.c
	if s.ch, err = s.conn.Channel(); err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	s.gone = s.ch.NotifyClose(make(chan *amqp.Error, 1))
	if c.opts.Exclusive {
		// A queue that belongs to the connection is the lock: it is gone with
		// it, whatever ends it. The broker does not enforce exclusive consumers
		// of quorum queues, and a single active one is not told when it is.
		if _, err := s.ch.QueueDeclare(c.sub.names.turn, false, false, true, false, nil); err != nil {
			if e, ok := errors.AsType[*amqp.Error](err); ok && e.Code == amqp.ResourceLocked {
				return errNotOurTurn
			}
			return fmt.Errorf("take the turn: %w", err)
		}
	}
	if err := s.ch.Qos(c.opts.Prefetch, 0, false); err != nil {
		return fmt.Errorf("ask for %d messages at once: %w", c.opts.Prefetch, err)
	}
	s.in, err = s.ch.Consume(c.sub.names.main, tag, false, false, false, false, nil)
	if notFound(err) { // somebody deleted it
		err = errors.Join(err, c.q.Declare(ctx, c.q.specOf(c.sub)))
	}
	if err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	return nil
}

// tag names the one consumer of a channel.
const tag = "collie"
