package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/colliehq/collie/internal/queue"
)

// Outcomes of a publish that callers tell apart.
var (
	errUnroutable = errors.New("no queue is bound")
	errNack       = errors.New("the broker refused to store it")
)

// link is one session of publishing: a connection, a channel in confirm mode
// and one for questions. It is used until the first trouble and then replaced:
// what was in flight is unknown.
type link struct {
	conn    *amqp.Connection
	pub     *amqp.Channel
	timeout time.Duration
	sync    chan chan map[string]bool // see listen
	gone    chan struct{}             // closed when listen ends

	mu   sync.Mutex // orders the publishes
	last uint64

	ctl     *amqp.Channel // for questions, guarded by control
	control sync.Mutex

	gate      sync.Mutex
	blocked   bool
	unblocked chan struct{} // closed when the broker takes publishes again
}

func (q *Queue) newLink(ctx context.Context) (*link, error) {
	conn, err := q.dial(ctx, "publisher")
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, timeout: q.cfg.ConfirmTimeout, sync: make(chan chan map[string]bool), gone: make(chan struct{}), unblocked: make(chan struct{})}
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 8))
	if l.pub, err = conn.Channel(); err == nil {
		err = l.pub.Confirm(false)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a channel for publishing: %w", err), closeConn(conn))
	}
	// Without a buffer the library waits with the confirm until the return was
	// received.
	returns := l.pub.NotifyReturn(make(chan amqp.Return))
	q.wg.Go(func() { l.listen(returns) })
	q.wg.Go(func() { l.watchBlocked(blocked, q.m.setBlocked) })
	return l, nil
}

func closeConn(conn *amqp.Connection) error {
	if err := conn.CloseDeadline(time.Now().Add(time.Second)); err != nil && !errors.Is(err, amqp.ErrClosed) {
		return err
	}
	return nil
}

func (l *link) close() { _ = closeConn(l.conn) } // it was good for nothing any more

// listen collects what the broker returned as unroutable. A confirm comes after
// the return of its message, so who asks through sync after the confirm gets
// all returns that matter to it.
func (l *link) listen(returns <-chan amqp.Return) {
	defer close(l.gone)
	returned := map[string]bool{}
	for {
		select {
		case r, ok := <-returns:
			if !ok {
				return
			}
			returned[r.CorrelationId] = true
		case ask := <-l.sync:
			ask <- returned
			returned = <-ask
		}
	}
}

func (l *link) watchBlocked(blocked <-chan amqp.Blocking, show func(bool)) {
	defer show(false)
	for b := range blocked {
		show(b.Active)
		l.gate.Lock()
		if l.blocked && !b.Active {
			close(l.unblocked)
			l.unblocked = make(chan struct{})
		}
		l.blocked = b.Active
		l.gate.Unlock()
	}
}

func (l *link) isBlocked() (<-chan struct{}, bool) {
	l.gate.Lock()
	defer l.gate.Unlock()
	return l.unblocked, l.blocked
}

// awaitUnblocked waits until the broker takes publishes. If it does not, then
// nothing was sent: its memory or its disk is full.
func (l *link) awaitUnblocked(ctx context.Context) error {
	free, blocked := l.isBlocked()
	if !blocked {
		return nil
	}
	t := time.NewTimer(l.timeout)
	defer t.Stop()
	select {
	case <-free:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return fmt.Errorf("%w: the broker blocks publishers, its memory or disk alarm is on", queue.ErrFull)
	}
}

// outgoing is a message on its way to an exchange.
type outgoing struct {
	exchange, key string
	amqp.Publishing
}

// publish sends and waits for every confirm. An error other than errUnroutable
// and errNack means that the outcome is unknown and the link is of no use.
func (l *link) publish(ctx context.Context, msgs []outgoing) error {
	if err := l.awaitUnblocked(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	confirms, err := l.send(ctx, msgs)
	if err != nil {
		return fmt.Errorf("%w: %w", queue.ErrUnknown, err)
	}
	nacked := false
	for _, c := range confirms {
		acked, err := c.WaitContext(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("%w: no confirm: %w", queue.ErrUnknown, err)
		case !acked && l.pub.IsClosed():
			return fmt.Errorf("%w: the connection ended before the confirm", queue.ErrUnknown)
		case !acked:
			nacked = true
		}
	}
	switch {
	case l.anyReturned(msgs):
		return errUnroutable
	case nacked:
		return errNack
	}
	return nil
}

// send writes the messages without waiting in between.
func (l *link) send(ctx context.Context, msgs []outgoing) ([]*amqp.DeferredConfirmation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	confirms := make([]*amqp.DeferredConfirmation, 0, len(msgs))
	for i := range msgs {
		l.last++
		m := &msgs[i]
		m.CorrelationId = strconv.FormatUint(l.last, 36)
		c, err := l.pub.PublishWithDeferredConfirmWithContext(ctx, m.exchange, m.key, true, false, m.Publishing)
		if err != nil {
			return nil, err
		}
		confirms = append(confirms, c)
	}
	return confirms, nil
}

// anyReturned takes the returns of the messages out of those that came.
func (l *link) anyReturned(msgs []outgoing) bool {
	ask := make(chan map[string]bool)
	select {
	case l.sync <- ask:
	case <-l.gone: // after the confirms: what was returned is forgotten
		return false
	}
	returned := <-ask
	found := false
	for i := range msgs {
		found = found || returned[msgs[i].CorrelationId]
		delete(returned, msgs[i].CorrelationId)
	}
	ask <- returned
	return found
}

// ask runs f on the channel for questions, which is opened anew after an error:
// the broker closes a channel that asked for what does not exist.
func (l *link) ask(f func(*amqp.Channel) error) error {
	l.control.Lock()
	defer l.control.Unlock()
	if l.ctl == nil || l.ctl.IsClosed() {
		ch, err := l.conn.Channel()
		if err != nil {
			return fmt.Errorf("open a channel: %w", err)
		}
		l.ctl = ch
	}
	return f(l.ctl)
}

// notFound reports the broker's answer to a name that it does not know.
func notFound(err error) bool {
	e, ok := errors.AsType[*amqp.Error](err)
	return ok && e.Code == amqp.NotFound
}
