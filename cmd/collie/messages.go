package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/config"
	"github.com/colliehq/collie/internal/daemon"
	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/admin"
	"github.com/colliehq/collie/internal/queue/outbox"
	"github.com/colliehq/collie/internal/queue/rabbitmq"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/ircbot"
	"github.com/colliehq/collie/ledger"
	"github.com/colliehq/collie/signal"
)

// messages is where signals wait for their readers: in the SQLite file, or at a
// broker that a relay brings them to.
type messages struct {
	local  queue.Queue // in the file, where transactions put them
	shared queue.Queue // what rooms declare on and read from
	relay  *outbox.Relay
	broker *rabbitmq.Queue
}

// messagesOf makes the queue that the configuration asks for.
func messagesOf(ctx context.Context, c config.Queue, st *store.Store, log *slog.Logger, reg prometheus.Registerer) (*messages, error) {
	local := sqlite.New(st, sqlite.Options{})
	if !c.Broker() {
		return &messages{local: local, shared: local}, nil
	}
	m := &messages{local: local}
	var err error
	if m.broker, err = rabbitmq.New(rabbitmq.Options{Config: c.RabbitMQ, Log: log, Registry: reg}); err != nil {
		return nil, err
	}
	patient := outbox.NewPatient(m.broker, log)
	m.shared = patient
	topics := []string{signal.TopicSignals, signal.TopicLeases}
	for _, topic := range topics { // before anybody enqueues
		if err := local.Declare(ctx, outbox.Subscription(topic)); err != nil {
			return nil, fmt.Errorf("outbox: %w", err)
		}
	}
	m.relay, err = outbox.New(outbox.Options{Local: local, Broker: patient, Topics: topics, Log: log, Registry: reg})
	return m, err
}

// tasks are what moves messages.
func (m *messages) tasks() []daemon.Task {
	if m.relay == nil {
		return nil
	}
	return []daemon.Task{m.relay}
}

// engines are what `collie queue` looks into.
func (m *messages) engines() []admin.Engine {
	list := []admin.Engine{{Name: "sqlite", Queue: m.local}}
	if m.broker != nil {
		list = append(list, admin.Engine{Name: "rabbitmq", Queue: m.broker})
	}
	return list
}

func (m *messages) close() error {
	if m.broker == nil {
		return nil
	}
	return m.shared.Close() // and with it the broker
}

// drift compares what all roles declare with what is at the broker.
func drift(ctx context.Context, c rabbitmq.Config) (differences []string, err error) {
	q, err := rabbitmq.New(rabbitmq.Options{Config: c})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	q.Expect(slices.Concat(ledger.Subscriptions(), ircbot.Subscriptions())...)
	return q.Drift(ctx)
}
