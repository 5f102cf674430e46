package rabbitmq

import (
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/colliehq/collie/internal/queue"
)

// Step is a queue of the ladder: what is put in comes out after its delay.
type Step struct {
	Name  string
	Delay time.Duration
}

// ladder has one queue per delay, since a delay per message would expire only
// at the head of its queue.
func ladder() []Step {
	return []Step{
		{"5s", 5 * time.Second},
		{"30s", 30 * time.Second},
		{"2m", 2 * time.Minute},
		{"10m", 10 * time.Minute},
		{"1h", time.Hour},
		{"6h", 6 * time.Hour},
	}
}

// now is the routing key of a message without delay; a delayed one has the
// name of its first step.
const now = "now"

const (
	// deliveryLimit parks what kills the process before Collie can count. It is
	// far above every crash limit, since looking at a message counts too.
	deliveryLimit = 1000
	// noDeliveryLimit is for queues that are only looked at. Newer brokers take
	// 20 where none is said, and drop what was looked at more often.
	noDeliveryLimit = 1_000_000_000
)

// names of the objects of a subscription.
type names struct{ main, alone, parked, spilled, turn string }

func (q *Queue) exchange(topic string) string { return q.cfg.Prefix + ".topic." + topic }

func (q *Queue) names(sub string) names {
	main := q.cfg.Prefix + ".sub." + sub
	return names{main: main, alone: main + ".alone", parked: main + ".parked", spilled: main + ".spilled", turn: main + ".turn"}
}

func (n names) step(s Step) string { return n.main + ".wait." + s.Name }

// Topology is what this process declared, as data.
type Topology struct {
	Exchanges []Exchange `json:"exchanges"`
	Queues    []Object   `json:"queues"`
	Bindings  []Binding  `json:"bindings"`
}

// Exchange is a durable one.
type Exchange struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

// Object is a durable queue with its arguments.
type Object struct {
	Name      string     `json:"name"`
	Arguments amqp.Table `json:"arguments"`
}

// Binding leads from an exchange to a queue.
type Binding struct {
	Exchange string `json:"exchange"`
	Queue    string `json:"queue"`
	Key      string `json:"key"`
}

// Topology lists the exchanges, queues and bindings of every subscription that
// this process declared.
func (q *Queue) Topology() Topology {
	var t Topology
	seen := map[string]bool{}
	for _, s := range q.declared() {
		one := q.topologyOf(q.specOf(s))
		if !seen[s.topic] {
			t.Exchanges = append(t.Exchanges, one.Exchanges...)
		}
		seen[s.topic] = true
		t.Queues = append(t.Queues, one.Queues...)
		t.Bindings = append(t.Bindings, one.Bindings...)
	}
	return t
}

func (q *Queue) topologyOf(spec queue.Subscription) Topology {
	n, exchange := q.names(spec.Name), q.exchange(spec.Topic)
	t := Topology{
		Exchanges: []Exchange{{Name: exchange, Kind: amqp.ExchangeDirect}},
		Queues: []Object{
			{n.parked, quorum(noDeliveryLimit)},
			{n.spilled, quorum(noDeliveryLimit)},
			{n.main, deadLetters(quorum(deliveryLimit), n.parked)},
			{n.alone, deadLetters(quorum(deliveryLimit), n.parked)},
		},
		Bindings: []Binding{{exchange, n.main, now}},
	}
	for _, s := range q.steps {
		args := deadLetters(quorum(noDeliveryLimit), n.main)
		args["x-message-ttl"] = s.Delay.Milliseconds()
		t.Queues = append(t.Queues, Object{n.step(s), args})
		t.Bindings = append(t.Bindings, Binding{exchange, n.step(s), s.Name})
	}
	return t
}

func quorum(limit int64) amqp.Table {
	return amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": limit}
}

// deadLetters moves what expires or kills too many consumers to another queue.
// At least once needs reject-publish: with another overflow the broker silently
// falls back to at most once.
func deadLetters(args amqp.Table, to string) amqp.Table {
	args["x-dead-letter-exchange"] = ""
	args["x-dead-letter-routing-key"] = to
	args["x-dead-letter-strategy"] = "at-least-once"
	args["x-overflow"] = "reject-publish"
	return args
}

// declareOn makes the topology of a subscription. Queues come before the
// bindings that fill them.
func (t *Topology) declareOn(ch *amqp.Channel) error {
	for _, e := range t.Exchanges {
		if err := ch.ExchangeDeclare(e.Name, e.Kind, true, false, false, false, nil); err != nil {
			return fmt.Errorf("declare exchange %s: %w", e.Name, err)
		}
	}
	for _, o := range t.Queues {
		if _, err := ch.QueueDeclare(o.Name, true, false, false, false, o.Arguments); err != nil {
			return fmt.Errorf("declare queue %s: %w", o.Name, err)
		}
	}
	for _, b := range t.Bindings {
		if err := ch.QueueBind(b.Queue, b.Key, b.Exchange, false, nil); err != nil {
			return fmt.Errorf("bind queue %s: %w", b.Queue, err)
		}
	}
	return nil
}
