package rabbitmq

import (
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/colliehq/collie/internal/queue"
)

// The headers of a message. Attempts travel in them and never in x-death, so
// that copies begin a new life for the broker: its cycle detection, which
// drops messages, sees no cycle.
const (
	headerTopic    = "x-collie-topic"
	headerKey      = "x-collie-key"
	headerID       = "x-collie-id"      // of this message, whatever its key
	headerFirst    = "x-collie-first"   // published, Unix nanoseconds
	headerAttempt  = "x-collie-attempt" // deliveries so far
	headerCrashes  = "x-collie-crashes" // consumers that it took with it so far
	headerDue      = "x-collie-due"     // Unix nanoseconds
	headerWait     = "x-collie-wait"    // nanoseconds left after the step that it is in
	headerCause    = "x-collie-cause"   // of the last retry or parking
	headerUser     = "x-collie-header-" // the publisher's follow
	deliveryCount  = "x-delivery-count" // the broker's: how often it came back
	firstDeathWhy  = "x-first-death-reason"
	maxCause       = 4 << 10
	maxHeaderBytes = 64 << 10 // they travel in one frame of 128 KiB
)

// item is a message in a subscription, as our headers tell.
type item struct {
	queue.Message
	id       string
	first    time.Time
	attempt  int
	crashes  int
	due      time.Time
	wait     time.Duration
	cause    string
	returned int // how often the broker took it back
}

func (it *item) publishing() amqp.Publishing {
	h := amqp.Table{
		headerTopic: it.Topic, headerKey: it.Key, headerID: it.id, headerFirst: it.first.UnixNano(),
		headerAttempt: int64(it.attempt), headerCrashes: int64(it.crashes),
	}
	if !it.due.IsZero() {
		h[headerDue], h[headerWait] = it.due.UnixNano(), int64(it.wait)
	}
	if it.cause != "" {
		h[headerCause] = it.cause
	}
	for name, value := range it.Headers {
		h[headerUser+name] = value
	}
	return amqp.Publishing{Headers: h, DeliveryMode: amqp.Persistent, Timestamp: it.first, Body: it.Body}
}

// check refuses what the protocol cannot carry.
func check(m *queue.Message) error {
	size := len(m.Key) + len(m.Topic)
	for name, value := range m.Headers {
		if len(name) > 255-len(headerUser) {
			return fmt.Errorf("publish %s to %s: the name of a header is longer than %d bytes", m.Key, m.Topic, 255-len(headerUser))
		}
		size += len(name) + len(value)
	}
	if size > maxHeaderBytes {
		return fmt.Errorf("publish %s to %s: key and headers are larger than %d bytes", m.Key, m.Topic, maxHeaderBytes)
	}
	return nil
}

// decode reads a delivery of the broker. What another program published is
// taken as it is, with what the protocol itself says.
func decode(d *amqp.Delivery, topic string) item {
	it := item{
		Message: queue.Message{Topic: text(d.Headers, headerTopic), Key: text(d.Headers, headerKey), Body: d.Body},
		id:      text(d.Headers, headerID), cause: text(d.Headers, headerCause),
		attempt: int(number(d.Headers, headerAttempt)), crashes: int(number(d.Headers, headerCrashes)),
		returned: int(number(d.Headers, deliveryCount)), wait: time.Duration(number(d.Headers, headerWait)),
		first: moment(number(d.Headers, headerFirst)), due: moment(number(d.Headers, headerDue)),
	}
	if it.Topic == "" {
		it.Topic = topic
	}
	if _, ours := d.Headers[headerKey]; !ours {
		it.Key = d.MessageId
	}
	if it.first.IsZero() {
		it.first = d.Timestamp.UTC()
	}
	if it.first.IsZero() {
		it.first = time.Now().UTC()
	}
	for name, value := range d.Headers {
		if name, ok := strings.CutPrefix(name, headerUser); ok {
			if it.Headers == nil {
				it.Headers = map[string]string{}
			}
			it.Headers[name] = fmt.Sprint(value)
		}
	}
	return it
}

func text(h amqp.Table, name string) string {
	s, _ := h[name].(string)
	return s
}

func number(h amqp.Table, name string) int64 {
	switch n := h[name].(type) {
	case int64:
		return n
	case int32:
		return int64(n)
	case int16:
		return int64(n)
	case byte:
		return int64(n)
	}
	return 0
}

func moment(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

func short(cause string) string {
	if len(cause) <= maxCause {
		return cause
	}
	return cause[:maxCause] + "..."
}
