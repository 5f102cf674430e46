package rows

import (
	"encoding/json"
	"fmt"

	"github.com/colliehq/collie/internal/queue"
)

// Enqueue stores the messages for every subscription of their topics, all or
// none. A message whose key is stored already is the same message: it is not
// stored again.
func (b *Book) Enqueue(tx Tx, msgs ...queue.Message) error {
	for i := range msgs {
		if err := b.enqueue(tx, &msgs[i]); err != nil {
			return fmt.Errorf("publish %s to %s: %w", msgs[i].Key, msgs[i].Topic, err)
		}
	}
	return nil
}

func (b *Book) enqueue(tx Tx, m *queue.Message) error {
	b.mu.RLock()
	subs := b.byTopic[m.Topic]
	b.mu.RUnlock()
	if len(subs) == 0 {
		return queue.ErrNoSubscription
	}
	stored, err := b.insertMessage(tx, m)
	if err != nil || !stored {
		return err
	}
	state, due := ready, int64(0)
	if wait := m.NotBefore.Sub(tx.Now()); !m.NotBefore.IsZero() && wait > 0 {
		state, due = delayed, b.after(wait)
	}
	for _, s := range subs {
		if err := s.admit(tx); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO queue_deliveries (message, subscription, state, due, attempt, crashes, token, cause) VALUES (?, ?, ?, ?, 0, 0, 0, '')`,
			b.lastMessage, s.id, state, due)
		if err != nil {
			return err
		}
		s.move(tx, outside, state, 1)
		tx.OnCommit(func() {
			s.Published.Add(1)
			s.Notify()
		})
	}
	return nil
}

func (b *Book) insertMessage(tx Tx, m *queue.Message) (stored bool, err error) {
	headers, err := encodeHeaders(m.Headers)
	if err != nil {
		return false, err
	}
	res, err := tx.Exec(`INSERT INTO queue_messages (id, topic, key, published, headers, body) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (key, topic) WHERE key <> '' DO NOTHING`, b.lastMessage+1, m.Topic, m.Key, tx.Now().UnixNano(), headers, notNil(m.Body))
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	if err != nil || n == 0 {
		return false, err
	}
	b.lastMessage++ // never taken back: a gap in the ids is harmless
	return true, nil
}

// notNil keeps a body without bytes from being NULL.
func notNil(body []byte) []byte {
	if body == nil {
		return []byte{}
	}
	return body
}

// admit makes sure that there is room for one more message.
func (s *Sub) admit(tx Tx) error {
	spec := s.Spec()
	if s.waiting() < int64(spec.Limit) {
		return nil
	}
	if spec.OnFull == queue.Refuse {
		return fmt.Errorf("%w: subscription %s holds %d messages", queue.ErrFull, spec.Name, spec.Limit)
	}
	return s.spill(tx, spec)
}

// spill sets the oldest message that nobody holds aside. What was set aside is
// bounded too: the oldest of it makes room.
func (s *Sub) spill(tx Tx, spec queue.Subscription) error {
	for _, from := range []int{ready, delayed} {
		if s.live[from] == 0 {
			continue
		}
		_, err := tx.Exec(`UPDATE queue_deliveries SET state = ?, due = 0 WHERE subscription = ? AND message =
			(SELECT message FROM queue_deliveries WHERE subscription = ? AND state = ? ORDER BY due, message LIMIT 1)`, spilled, s.id, s.id, from)
		if err != nil {
			return err
		}
		s.move(tx, from, spilled, 1)
		tx.OnCommit(func() { s.Spilled.Add(1) })
		break
	}
	if s.live[spilled] <= int64(spec.Limit) {
		return nil
	}
	return s.dropSpilled(tx)
}

func (s *Sub) dropSpilled(tx Tx) error {
	var message int64
	err := tx.QueryRow(`SELECT message FROM queue_deliveries WHERE subscription = ? AND state = ? ORDER BY due, message LIMIT 1`, s.id, spilled).Scan(&message)
	if err != nil {
		return err
	}
	if err := s.remove(tx, message, spilled); err != nil {
		return err
	}
	tx.OnCommit(func() { s.Dropped.Add(1) })
	return nil
}

// remove takes a message out of the subscription, and out of the file if no
// other subscription has it.
func (s *Sub) remove(tx Tx, message int64, from int) error {
	if _, err := tx.Exec(`DELETE FROM queue_deliveries WHERE message = ? AND subscription = ?`, message, s.id); err != nil {
		return err
	}
	s.move(tx, from, outside, 1)
	return forget(tx, message)
}

func forget(tx Tx, message int64) error {
	_, err := tx.Exec(`DELETE FROM queue_messages WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM queue_deliveries WHERE message = ?1)`, message)
	return err
}

func encodeHeaders(h map[string]string) (string, error) {
	if len(h) == 0 {
		return "", nil
	}
	b, err := json.Marshal(h)
	if err != nil {
		return "", fmt.Errorf("encode headers: %w", err)
	}
	return string(b), nil
}

func decodeHeaders(s string) (map[string]string, error) {
	if s == "" {
		return nil, nil
	}
	var h map[string]string
	if err := json.Unmarshal([]byte(s), &h); err != nil {
		return nil, fmt.Errorf("decode headers: %w", err)
	}
	return h, nil
}
