package webhook

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/notification"
	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/webhook/sender"
)

// Topic carries deliveries that were acknowledged and wait to be handled. It is
// always on the disk of this machine: no broker is needed to take a delivery.
const Topic = "deliveries"

// Subscription is the mapper's on Topic.
const Subscription = "webhook"

// Headers of a message on Topic, beside the headers of the delivery itself,
// which keep their names.
const (
	headerHook     = "hook"
	headerSender   = "sender"
	headerKey      = "key"
	headerReceived = "received"
)

// maxHeaderValue bounds each header that is stored.
const maxHeaderValue = 1024

// spool makes a delivery durable. Its id follows from hook and key, so that the
// same delivery has the same id, however often it comes: it is known while it is
// in the spool, and for as long as the store remembers that it was handled.
func (w *Webhook) spool(ctx context.Context, h *hook, head http.Header, raw []byte, received time.Time) (id string, first bool, err error) {
	key := h.sender.Key(h.settings, head, raw)
	headers := h.headers(head)
	headers[headerHook], headers[headerSender] = h.Name, h.sender.Name
	headers[headerKey] = strings.ToValidUTF8(key.Text[:min(len(key.Text), maxHeaderValue)], "\uFFFD")
	headers[headerReceived] = received.UTC().Format(time.RFC3339Nano)
	m := queue.Message{Topic: Topic, Key: deliveryID(h.Name, key.Text), Headers: headers, Body: raw}
	if !key.Repeats {
		first, err = w.store.PublishOnce(ctx, Subscription, m)
		return m.Key, first, err
	}
	err = w.store.Tx(ctx, func(tx *store.Tx) error {
		text, err := unique(tx, h.Name, key, received)
		if err != nil {
			return err
		}
		m.Key = deliveryID(h.Name, text)
		known, err := tx.Known(Subscription, Topic, m.Key)
		if first = !known; err != nil || known {
			return err
		}
		return tx.Enqueue(m)
	})
	return m.Key, first, err
}

// deliveryID is 24 hexadecimal digits.
func deliveryID(hook, key string) string {
	sum := sha256.Sum256([]byte(hook + "/" + key)) // a hook's name has no slash
	return hex.EncodeToString(sum[:12])
}

// unique is the key of a delivery whose sender says the same again on purpose:
// it counts how often that was.
func unique(tx *store.Tx, hook string, key sender.Key, now time.Time) (string, error) {
	name := hook + "/" + key.Text
	var last, n int64
	err := tx.QueryRow(`SELECT last, n FROM webhook_repeats WHERE key = ?`, name).Scan(&last, &n)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("look for an earlier delivery: %w", err)
	}
	if err == nil && now.Sub(time.Unix(0, last)) < notification.Redelivery {
		return fmt.Sprintf("%s#%d", key.Text, n), nil
	}
	n++
	if _, err := tx.Exec(`INSERT INTO webhook_repeats (key, last, n) VALUES (?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET last = excluded.last, n = excluded.n`, name, now.UnixNano(), n); err != nil {
		return "", fmt.Errorf("count a repetition: %w", err)
	}
	if _, err := tx.Exec(`DELETE FROM webhook_repeats WHERE last < ?`, now.Add(-repeatsFor).UnixNano()); err != nil {
		return "", fmt.Errorf("forget old repetitions: %w", err)
	}
	return fmt.Sprintf("%s#%d", key.Text, n), nil
}

// repeatsFor is longer than any repeat interval, and than the store remembers
// keys.
const repeatsFor = 30 * 24 * time.Hour

// headers are the ones of a delivery that are kept.
func (h *hook) headers(head http.Header) map[string]string {
	kept := make(map[string]string, len(h.keep)+4)
	for _, name := range h.keep {
		if values := head[name]; len(values) > 0 {
			kept[name] = strings.ToValidUTF8(values[0][:min(len(values[0]), maxHeaderValue)], "\uFFFD")
		}
	}
	return kept
}
