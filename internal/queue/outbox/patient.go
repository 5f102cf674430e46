package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/retry"
)

// Patient is a broker's queue for those who start while the broker is away: a
// subscription that cannot be declared now is declared once the broker is there,
// before anything is read from it.
type Patient struct {
	queue.Queue
	log *slog.Logger

	trying    sync.WaitGroup
	declaring sync.Mutex // held while the broker is asked, which may take long

	mu      sync.Mutex
	pending map[string]queue.Subscription
}

// NewPatient returns the queue with patience.
func NewPatient(q queue.Queue, log *slog.Logger) *Patient {
	return &Patient{Queue: q, log: log, pending: map[string]queue.Subscription{}}
}

// tryFor bounds how long a start waits for the broker: those who send deliveries
// wait for the start.
const tryFor = 2 * time.Second

// Declare declares what it can. It fails only for what will never be right.
// Once the broker was away, nothing more is asked of it here.
func (p *Patient) Declare(ctx context.Context, subs ...queue.Subscription) error {
	for _, s := range subs {
		if s.Name == "" || s.Topic == "" {
			return fmt.Errorf("declare subscription %q of topic %q: both names are needed", s.Name, s.Topic)
		}
		if !p.waits() {
			err := p.try(ctx, s)
			if err == nil {
				continue
			}
			if ctx.Err() != nil {
				return err
			}
			p.log.Warn("the broker cannot be asked; subscriptions are declared later", "subscription", s.Name, "err", err)
		}
		p.mu.Lock()
		p.pending[s.Name] = s
		p.mu.Unlock()
	}
	return nil
}

func (p *Patient) waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pending) > 0
}

// try declares, and does not wait for a broker that takes its time to say no:
// RabbitMQ does, to whoever has a wrong password. What it declares after all is
// declared again later, which changes nothing.
func (p *Patient) try(ctx context.Context, s queue.Subscription) error {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	answer := make(chan error, 1)
	p.trying.Go(func() { // ends with the attempt, which has a bound of its own
		defer cancel()
		answer <- p.Queue.Declare(ctx, s)
	})
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		select {
		case err := <-answer: // both at once
			return err
		default:
			return fmt.Errorf("declare subscription %s: no answer within %s", s.Name, tryFor)
		}
	}
}

// Close closes the broker's queue, and waits for attempts that still wait for an
// answer.
func (p *Patient) Close() error {
	err := p.Queue.Close()
	p.trying.Wait()
	return err
}

// Consume reads the subscription, from when it could be declared on.
func (p *Patient) Consume(ctx context.Context, name string, o queue.Options) (<-chan queue.Delivery, error) {
	p.mu.Lock()
	s, wait := p.pending[name]
	p.mu.Unlock()
	if !wait {
		return p.Queue.Consume(ctx, name, o)
	}
	out := make(chan queue.Delivery)
	go func() { // ends with ctx, and closes what its reader waits for
		defer close(out)
		p.late(ctx, s, o, out)
	}()
	return out, nil
}

// late declares until the broker takes it, then hands over what comes.
func (p *Patient) late(ctx context.Context, s queue.Subscription, o queue.Options, out chan<- queue.Delivery) {
	var in <-chan queue.Delivery
	err := retry.Do(ctx, retry.Policy{Base: time.Second, Max: 30 * time.Second, Jitter: 0.2}, func(ctx context.Context) (err error) {
		in, err = p.open(ctx, s, o)
		return err
	})
	if err == nil {
		forward(ctx, in, out)
	}
}

func (p *Patient) open(ctx context.Context, s queue.Subscription, o queue.Options) (<-chan queue.Delivery, error) {
	if err := p.declareLate(ctx); err != nil {
		return nil, err
	}
	return p.Queue.Consume(ctx, s.Name, o)
}

// Publish publishes once every subscription is there: what is published before
// would not reach those that come later.
func (p *Patient) Publish(ctx context.Context, msgs ...queue.Message) error {
	if err := p.declareLate(ctx); err != nil {
		return err
	}
	return p.Queue.Publish(ctx, msgs...)
}

// declareLate declares what could not be declared before.
func (p *Patient) declareLate(ctx context.Context) error {
	p.declaring.Lock()
	defer p.declaring.Unlock()
	for _, s := range p.later() {
		if err := p.Queue.Declare(ctx, s); err != nil {
			return err
		}
		p.mu.Lock()
		delete(p.pending, s.Name)
		p.mu.Unlock()
		p.log.Info("subscription declared", "subscription", s.Name)
	}
	return nil
}

func (p *Patient) later() []queue.Subscription {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.SortedFunc(maps.Values(p.pending), func(a, b queue.Subscription) int { return strings.Compare(a.Name, b.Name) })
}

func forward(ctx context.Context, in <-chan queue.Delivery, out chan<- queue.Delivery) {
	for d := range in {
		select {
		case out <- d:
		case <-ctx.Done(): // its lease gives it back
		}
	}
}
