package ledger

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/retry"
)

const (
	workers   = 16 // signals of different subjects share commits
	prefetch  = 64 // deliveries in hand
	leaseTime = time.Minute
)

// Waits between tries of one job, and how many tries pass between two lines of
// the log.
const (
	firstWait = 100 * time.Millisecond
	maxWait   = 5 * time.Second
	tellEvery = 20
)

// job is a delivery with what is to be done for it. Jobs of one lane are done
// one after the other, in order; lanes run side by side.
type job struct {
	queue.Delivery
	lane string
	do   func(context.Context) error
}

// consume does the jobs until the channel closes, those in hand included. A
// job that could not be done before ctx ended ends its lane: what is behind it
// must not pass it by, and comes again with it.
func (l *Ledger) consume(ctx context.Context, in <-chan queue.Delivery, lanes int, read func(queue.Delivery) *job) error {
	var g errgroup.Group
	held := newKeeper()
	queues := make([]chan *job, lanes)
	for i := range queues {
		queues[i] = make(chan *job, prefetch)
		g.Go(func() error {
			open := true
			for j := range queues[i] {
				open = open && l.work(ctx, j)
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

// work does one job and settles it, and reports whether it could. Whatever
// fails is tried in place until it works, or until it is certain that it never
// will: given back to the queue, the job would be passed by what was said later
// of the same subject. What is in hand when ctx ends is tried once more, so that
// a stop loses no time at the next start.
func (l *Ledger) work(ctx context.Context, j *job) bool {
	do := func() error { return j.do(context.WithoutCancel(ctx)) }
	err := do()
	for attempt, wait := 1, firstWait; err != nil && !isHopeless(err); attempt, wait = attempt+1, min(2*wait, maxWait) {
		l.failed(j.Delivery, err, attempt)
		if !sleep(ctx, wait) {
			return false // the queue gives it again at the next start
		}
		err = do()
	}
	l.settle(context.WithoutCancel(ctx), j.Delivery, err)
	return true
}

// isHopeless reports an error that no other try can change: the message says
// what nobody understands, or what the tables refuse.
func isHopeless(err error) bool {
	verdict, _ := retry.Judge(err)
	if verdict == retry.Halt && !errors.Is(err, context.Canceled) {
		return true
	}
	var refused interface{ Code() int } // of SQLite
	return errors.As(err, &refused) && slices.Contains([]int{sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG}, refused.Code()&0xff)
}

// failed counts a failed write. Our own trouble is no exporter's silence, so
// the leases' time starts again.
func (l *Ledger) failed(d queue.Delivery, err error, attempt int) {
	l.metrics.failures.Inc()
	l.leases.restart(time.Now())
	if attempt%tellEvery == 1 {
		l.log.Warn("record not written, trying again", "subscription", d.Subscription, "key", d.Key, "attempt", attempt, "err", err)
	}
}

// settle acknowledges what was done, and parks what can never be.
func (l *Ledger) settle(ctx context.Context, d queue.Delivery, cause error) {
	var err error
	if cause == nil {
		err = d.Ack(ctx)
	} else {
		l.metrics.parked.Inc()
		l.log.Error("message parked", "subscription", d.Subscription, "key", d.Key, "err", cause)
		err = d.Park(ctx, cause)
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
