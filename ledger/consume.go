package ledger

import (
	"context"
	"errors"
	"hash/fnv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/retry"
)

const (
	workers   = 16 // signals of different subjects share commits
	prefetch  = 64 // deliveries in hand
	leaseTime = time.Minute
	patience  = 5 // attempts in place before a delivery goes back to the queue
)

// again is for what failed without the disk being full: something is wrong with
// the message or with us, and a person looks at it in the end.
func again() retry.Policy {
	return retry.Policy{Base: time.Second, Max: time.Minute, Jitter: 0.2, MaxAttempts: 20}
}

// job is a delivery with what is to be done for it. Jobs of one lane are done
// one after the other, in order; lanes run side by side.
type job struct {
	queue.Delivery
	lane string
	do   func(context.Context) error
}

// consume does the jobs until the channel closes, those in hand included.
func (l *Ledger) consume(ctx context.Context, in <-chan queue.Delivery, lanes int, read func(queue.Delivery) *job) error {
	var g errgroup.Group
	held := newKeeper()
	queues := make([]chan *job, lanes)
	for i := range queues {
		queues[i] = make(chan *job, prefetch)
		g.Go(func() error {
			for j := range queues[i] {
				l.work(ctx, j)
				held.release(j)
			}
			return nil
		})
	}
	keeping, stop := context.WithCancel(ctx)
	g.Go(func() error { held.run(keeping); return nil })
	for d := range in {
		j := read(d)
		held.hold(j)
		queues[pick(j.lane, lanes)] <- j
	}
	stop()
	for _, q := range queues {
		close(q)
	}
	return g.Wait()
}

func pick(lane string, lanes int) int {
	h := fnv.New32a()
	h.Write([]byte(lane))
	return int(h.Sum32() % uint32(lanes))
}

// work does one job and settles it. While the disk is full it is tried in
// place: giving it back would need room too. What is in hand when ctx ends is
// tried once more, so that a stop loses no time at the next start.
func (l *Ledger) work(ctx context.Context, j *job) {
	do := func() error { return j.do(context.WithoutCancel(ctx)) }
	err := do()
	wait := 100 * time.Millisecond
	for attempt := 1; retryHere(err, attempt); attempt++ {
		l.failed(j.Delivery, err, attempt)
		if !sleep(ctx, wait) {
			return // the queue gives it again at the next start
		}
		wait = min(2*wait, 5*time.Second)
		err = do()
	}
	l.settle(context.WithoutCancel(ctx), j.Delivery, err)
}

func retryHere(err error, attempt int) bool {
	return err != nil && !isStop(err) && (attempt < patience || errors.Is(err, queue.ErrFull))
}

func isStop(err error) bool {
	verdict, _ := retry.Judge(err)
	return verdict == retry.Halt
}

// failed counts a failed write. Our own trouble is no exporter's silence, so
// the leases' time starts again.
func (l *Ledger) failed(d queue.Delivery, err error, attempt int) {
	l.metrics.failures.Inc()
	l.leases.restart(time.Now())
	if attempt == 1 {
		l.log.Warn("record not written, trying again", "subscription", d.Subscription, "key", d.Key, "err", err)
	}
}

func (l *Ledger) settle(ctx context.Context, d queue.Delivery, cause error) {
	var err error
	due, more := again().Next(d.Attempt, d.FirstSeen, time.Now())
	switch {
	case cause == nil:
		err = d.Ack(ctx)
	case isStop(cause) || !more:
		l.metrics.parked.Inc()
		l.log.Error("message parked", "subscription", d.Subscription, "key", d.Key, "err", cause)
		err = d.Park(ctx, cause)
	default:
		err = d.RetryAfter(ctx, time.Until(due), cause)
	}
	if err != nil && !errors.Is(err, queue.ErrLost) { // lost: it comes again and is known then
		l.log.Warn("delivery not settled", "subscription", d.Subscription, "key", d.Key, "err", err)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// keeper extends what is in hand for long, so that waiting for room on the disk
// does not look like a consumer that died.
type keeper struct {
	mu   sync.Mutex
	held map[*job]time.Time
}

func newKeeper() *keeper { return &keeper{held: map[*job]time.Time{}} }

func (k *keeper) hold(j *job) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held[j] = time.Now()
}

func (k *keeper) release(j *job) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, j)
}

func (k *keeper) run(ctx context.Context) {
	t := time.NewTicker(leaseTime / 6)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			for _, j := range k.older(now.Add(-leaseTime / 3)) {
				// If it fails, the lease runs out and the message comes again,
				// which is harmless.
				_ = j.Extend(ctx, leaseTime)
			}
		}
	}
}

// older returns what was last held before the limit, and counts it as held anew.
func (k *keeper) older(limit time.Time) (old []*job) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for j, since := range k.held {
		if since.Before(limit) {
			old = append(old, j)
			k.held[j] = limit.Add(leaseTime / 3)
		}
	}
	return old
}
