package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/colliehq/collie/internal/queue"
)

// lookAloneEvery is how often a consumer looks whether another one left
// messages that are to be delivered alone.
const lookAloneEvery = 5 * time.Second

// session is one connection of a consumer. It takes messages ahead of its user
// by at most the prefetch, and acknowledges on the channel that delivered.
//
// A message that the broker took back may have killed its consumer, or was only
// beside the one that did. It moves to a queue of its own kind, from which the
// session takes one at a time while nothing else is in the user's hand: what is
// taken back from there is the culprit for sure, and is counted.
type session struct {
	c    *consumer
	conn *amqp.Connection
	ch   *amqp.Channel
	in   <-chan amqp.Delivery
	gone chan *amqp.Error // closed with the channel

	buffer    []*settler // not handed over yet
	lookAlone bool
	cancelled chan struct{} // closed when the broker sends no more

	settled chan struct{}
	mu      sync.Mutex
	handed  map[*settler]bool
	single  bool // what is in the hand is to be alone
}

var errConnection = errors.New("the connection ended")

func (s *session) deliver(ctx context.Context) error {
	look := time.NewTicker(lookAloneEvery)
	defer look.Stop()
	for ctx.Err() == nil {
		if s.inHand() == 0 && s.lookAlone {
			if err := s.nextAlone(ctx); err != nil {
				return err
			}
			continue
		}
		next, out := s.next()
		if ctx.Err() != nil { // even if somebody still receives
			break
		}
		select {
		case d, ok := <-s.incoming():
			if !ok {
				return errConnection
			}
			s.take(ctx, d)
		case <-s.gone: //nolint:errcheck // why it ended is logged by what comes next
			return errConnection
		case out <- next:
			s.hand(s.buffer[0], false)
			s.buffer = s.buffer[1:]
		case <-s.settled:
		case <-look.C:
			s.lookAlone = true
		case <-ctx.Done():
		}
	}
	return nil
}

// next is what the user may have now, if anything.
func (s *session) next() (d queue.Delivery, out chan<- queue.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.buffer) == 0 || s.lookAlone || s.single || len(s.handed) >= s.c.opts.Prefetch {
		return d, nil
	}
	return s.buffer[0].delivery(), s.c.out
}

// incoming is where messages come from. While a suspect is in the hand, nothing
// is moved: if it kills us now, the acknowledgement of what was copied may not
// arrive, and the copies of suspects would breed suspects.
func (s *session) incoming() <-chan amqp.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.single {
		return nil
	}
	return s.in
}

func (s *session) inHand() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.handed)
}

// hand notes that the user has it: from now on its lease runs.
func (s *session) hand(it *settler, single bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it.done {
		return // the user was quicker
	}
	s.handed[it] = true
	s.single = single
	it.lease = time.AfterFunc(s.c.opts.Lease, it.expire)
}

// take sorts what the broker delivers: it is due later, or suspected of having
// killed a consumer, or the user's.
func (s *session) take(ctx context.Context, d amqp.Delivery) {
	it := decode(&d, s.c.sub.topic)
	cause := deadCause(d.Headers)
	back := max(0, it.returned-s.c.q.back.count(it.id))
	wait := min(time.Until(it.due), it.wait)
	switch {
	case !it.due.IsZero() && wait > 0:
		step := s.c.q.climb(&it, wait)
		s.move(ctx, d, &it, s.c.sub.names.step(step))
	case it.crashes > 0 || back > 0:
		if back > 0 {
			it.crashes++
			it.attempt++
			it.cause = lostCause(it.crashes)
			s.c.sub.n.lost.Add(1)
		}
		s.lookAlone = true
		s.move(ctx, d, &it, s.c.sub.names.alone)
	default:
		if it.cause == "" {
			it.cause = cause
		}
		s.buffer = append(s.buffer, s.newSettler(d, it))
	}
}

func lostCause(crashes int) string {
	return fmt.Sprintf("lease lost %d times: its consumer died or took too long", crashes)
}

// move puts a message into another queue, then acknowledges it here. A broker
// that takes no publishes is asked again and again: giving the message back
// would count as one more time that it came back.
func (s *session) move(ctx context.Context, d amqp.Delivery, it *item, to string) bool {
	for !s.ch.IsClosed() {
		// A copy whose confirm nobody awaits would be there twice.
		err := s.c.q.copyTo(context.WithoutCancel(ctx), to, it)
		if err == nil {
			s.c.q.back.forget(it.id)
			_ = d.Ack(false) // if the channel is gone it comes again
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.c.q.log.Warn("message cannot be moved, trying again", "to", to, "key", it.Key, "err", err)
		wait(ctx, time.Second)
	}
	return false
}

// nextAlone hands over one message that is to be alone, or finds that there is
// none.
func (s *session) nextAlone(ctx context.Context) error {
	d, some, err := s.ch.Get(s.c.sub.names.alone, false)
	if err != nil {
		return fmt.Errorf("take what is delivered alone: %w", err)
	}
	if !some {
		s.lookAlone = false
		return nil
	}
	// The answer came after the broker had read every acknowledgement before it.
	it := decode(&d, s.c.sub.topic)
	back := max(0, it.returned-s.c.q.back.count(it.id))
	if back > 0 {
		it.crashes += back
		it.attempt += back
		it.cause = lostCause(it.crashes)
		s.c.sub.n.lost.Add(uint64(back))
		if !s.judge(ctx, d, &it) {
			return nil
		}
	}
	return s.handAlone(ctx, s.newSettler(d, it))
}

// judge parks a message that took too many consumers with it, and makes the
// others wait: where order matters in our hand, for nothing may pass them, else
// in the ladder. It reports whether the message is to be delivered now.
func (s *session) judge(ctx context.Context, d amqp.Delivery, it *item) bool {
	c := s.c
	limit := c.q.specOf(c.sub).CrashLimit
	if limit < 0 {
		it.crashes = 0
		return true
	}
	if it.crashes >= limit {
		if s.move(ctx, d, it, c.sub.names.parked) {
			c.sub.n.parked.Add(1)
		}
		return false
	}
	pause := crashDelay(it.crashes)
	switch {
	case pause == 0:
		return true
	case c.opts.Exclusive:
		wait(ctx, pause)
		return true
	}
	it.due = time.Now().Add(pause)
	s.move(ctx, d, it, c.sub.names.step(c.q.climb(it, pause)))
	return false
}

// crashDelay is none the first time, for most lost leases are a restart, and
// then grows fourfold from a second.
func crashDelay(crashes int) time.Duration {
	if crashes < 2 {
		return 0
	}
	return min(time.Second<<(2*min(crashes-2, 16)), 5*time.Minute)
}

func (s *session) handAlone(ctx context.Context, it *settler) error {
	d := it.delivery()
	for ctx.Err() == nil { // even if somebody still receives
		select {
		case <-s.gone: //nolint:errcheck // why it ended is logged by what comes next
			it.lose()
			return errConnection
		case s.c.out <- d:
			s.hand(it, true)
			return nil
		case <-ctx.Done():
		}
	}
	it.giveBack()
	return nil
}

// abandon marks everything as lost: the broker took it back.
func (s *session) abandon() {
	s.mu.Lock()
	all := s.buffer
	for it := range s.handed {
		all = append(all, it)
	}
	s.mu.Unlock()
	for _, it := range all {
		it.lose()
	}
}

// cancelWithin bounds how long the end of a consumer waits for the broker.
const cancelWithin = 2 * time.Second

// cancel asks the broker for no more messages.
func (s *session) cancel() {
	s.cancelled = make(chan struct{})
	s.c.q.wg.Go(func() {
		defer close(s.cancelled)
		// Its answer comes after everything that the queue sends us because of
		// what we acknowledged. The library would drop what arrives after the
		// cancellation, and the broker count it as taken back.
		d, some, err := s.ch.Get(s.c.sub.names.main, false)
		if err != nil {
			return
		}
		if s.ch.Cancel(tag, false) != nil {
			return
		}
		for d := range s.in {
			s.buffer = append(s.buffer, s.newSettler(d, decode(&d, s.c.sub.topic)))
		}
		if some {
			s.buffer = append(s.buffer, s.newSettler(d, decode(&d, s.c.sub.topic)))
		}
	})
	t := time.NewTimer(cancelWithin)
	defer t.Stop()
	select {
	case <-s.cancelled:
	case <-t.C:
	}
}

// linger waits until the user has settled what it holds, or leases end, and
// gives back what it never got. Where order matters it is given back last, so
// that it stays behind what was before it.
func (s *session) linger() {
	<-s.cancelled // heartbeats bound it
	if !s.c.opts.Exclusive {
		s.giveBack()
	}
	for s.inHand() > 0 && !s.ch.IsClosed() && s.c.q.ctx.Err() == nil {
		select {
		case <-s.settled:
		case <-s.c.q.ctx.Done():
		case <-time.After(time.Second): // to see a connection that ended
		}
	}
	s.giveBack()
	s.abandon()
	if s.c.ended != nil {
		defer close(s.c.ended)
	}
	s.c.q.noteErr(closeConn(s.conn))
}

func (s *session) giveBack() {
	for _, it := range s.buffer {
		it.giveBack()
	}
	s.buffer = nil
}
