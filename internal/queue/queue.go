// Package queue is the contract between those who publish and those who
// consume: durable before it is acknowledged, at least once, and only what every
// engine keeps. The engines are the packages below it; conformance holds them
// to this text.
package queue

import (
	"context"
	"errors"
	"time"
)

// Errors of Publish and of settling a delivery.
var (
	// ErrFull is a subscription with OnFull Refuse at its limit, or a disk
	// without room: nothing was stored.
	ErrFull = errors.New("queue is full")
	// ErrUnknown means that the message may be stored or not: publish again
	// with the same key.
	ErrUnknown = errors.New("outcome of publishing is unknown")
	// ErrClosed is a queue that was closed.
	ErrClosed = errors.New("queue is closed")
	// ErrNoSubscription is a topic or a subscription that nobody declared: a
	// message to it would vanish.
	ErrNoSubscription = errors.New("no such subscription")
	// ErrLost is a settlement that came too late: the lease ran out and the
	// message is somebody else's.
	ErrLost = errors.New("lease is lost")
)

// OnFull says what a full subscription does to its publishers.
type OnFull int

// The two answers of a full subscription.
const (
	Refuse OnFull = iota // publishers get ErrFull
	Spill                // the oldest waiting message is set aside and counted
)

// Subscription is a durable reader of a topic. It is declared before the first
// publish, so that nothing durable vanishes.
type Subscription struct {
	Topic  string
	Name   string // unique over all topics
	Limit  int    // messages that may wait; 0 means 1,000,000
	OnFull OnFull
	// CrashLimit is how many deliveries may end in a lost lease before the
	// message is parked; 0 means 5. Negative: a lost lease says nothing of the
	// message, which comes again at once, for ever.
	CrashLimit int
}

// Message is what a publisher hands over.
type Message struct {
	Topic     string
	Key       string            // the producer's; the same key is the same message
	Headers   map[string]string // carried unchanged
	Body      []byte
	NotBefore time.Time // not delivered earlier; zero means at once
}

// Delivery is one attempt at one message. Exactly one of Ack, RetryAfter and
// Park settles it; a delivery that is not settled before its lease ends comes
// again, to anyone.
type Delivery struct {
	Message
	Subscription string
	Attempt      int       // counted from 1; RetryAfter raises it, a lost lease too
	FirstSeen    time.Time // when it was published
	Settler
}

// Settler answers for one delivery. Every method is durable once it returns
// nil, and returns ErrLost once the lease is gone.
type Settler interface {
	// Ack says that the message is done with.
	Ack(ctx context.Context) error
	// RetryAfter asks for it again after d, because of cause. A cause made by
	// retry.After spends no attempt. For an exclusive consumer all that is
	// behind the message waits with it.
	RetryAfter(ctx context.Context, d time.Duration, cause error) error
	// Park sets it aside for a person, with the cause.
	Park(ctx context.Context, cause error) error
	// Extend asks for d more from now.
	Extend(ctx context.Context, d time.Duration) error
}

// Options of a consumer.
type Options struct {
	Prefetch int           // deliveries in hand at once; 0 means 1
	Lease    time.Duration // time to settle; 0 means 1 minute
	// Exclusive asks to be the only active consumer, which gets messages in
	// order of publication. Nothing passes a message that was delivered and
	// comes again: while it waits, because of RetryAfter or of lost leases, all
	// that was published after it waits too, until it is acknowledged or
	// parked. The same holds while an earlier exclusive consumer still has it
	// in hand. Only what the consumer has in hand already, at most Prefetch-1
	// messages, may be handled before it: who needs every message in order asks
	// for one at a time, or keeps the order in its hand. A message that its
	// publisher delayed with NotBefore takes its place when it is due, and
	// holds nothing back. What an engine on a broker cannot keep of this is in
	// the comment of its package.
	Exclusive bool
}

// Queue is an engine.
type Queue interface {
	// Declare makes the subscriptions known. Declaring again with other limits
	// changes the limits; waiting messages stay.
	Declare(ctx context.Context, subs ...Subscription) error
	// Publish stores the messages for every subscription of their topics, all
	// or none. nil means durable.
	Publish(ctx context.Context, msgs ...Message) error
	// Consume delivers until ctx ends, then closes the channel. Deliveries in
	// hand may still be settled after that.
	Consume(ctx context.Context, subscription string, opts Options) (<-chan Delivery, error)
	// Stats of every subscription, by name.
	Stats(ctx context.Context) ([]Stats, error)
	// Peek looks at messages without taking them, oldest first.
	Peek(ctx context.Context, subscription string, filter Filter) ([]Entry, error)
	// Redrive makes parked (and spilled) messages ready again with a fresh
	// attempt count: those with the keys, or all. It returns how many.
	Redrive(ctx context.Context, subscription string, keys ...string) (int, error)
	// Close ends every consumer and gives back what the engine holds.
	Close() error
}

// State of a message in one subscription.
type State string

// The states.
const (
	Ready   State = "ready"   // waiting for a consumer
	Delayed State = "delayed" // waiting for its time
	Leased  State = "leased"  // in a consumer's hand
	Parked  State = "parked"  // set aside for a person
	Spilled State = "spilled" // set aside because the subscription was full
)

// Stats of one subscription.
type Stats struct {
	Subscription
	Ready, Delayed, Leased, Parked, Spilled int
	OldestReady                             time.Time // zero if none waits
}

// Filter chooses what Peek shows.
type Filter struct {
	State State // empty: all
	Limit int   // 0 means 100
}

// Entry is a message as Peek shows it.
type Entry struct {
	Message
	State     State
	Attempt   int
	FirstSeen time.Time
	Due       time.Time // for a delayed or leased message
	Cause     string    // of the last RetryAfter or Park
}
