package rows

import (
	"fmt"
	"time"

	"github.com/colliehq/collie/internal/queue"
)

// Lease names one delivery of one message.
type Lease struct{ ID, Token int64 }

// maxCause bounds the text that is kept of a failure.
const maxCause = 4 << 10

// Ack takes the message out of the subscription.
func (b *Book) Ack(tx Tx, s *Sub, l Lease) error {
	res, err := tx.Exec(`DELETE FROM queue_deliveries WHERE message = ? AND subscription = ? AND token = ?`, l.ID, s.id, l.Token)
	if err := held(res, err); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	s.move(tx, leased, outside, 1)
	if err := forget(tx, l.ID); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}

// Retry asks for the message again after d. Without spend the attempt is given
// back.
func (b *Book) Retry(tx Tx, s *Sub, l Lease, d time.Duration, spend bool, cause string) error {
	state, due, token := ready, int64(0), int64(0)
	if d > 0 {
		state, due, token = delayed, b.after(d), returned
	}
	back := 1
	if spend {
		back = 0
	}
	res, err := tx.Exec(`UPDATE queue_deliveries SET state = ?, due = ?, attempt = attempt - ?, crashes = 0, token = ?, cause = ?
		WHERE message = ? AND subscription = ? AND token = ?`, state, due, back, token, short(cause), l.ID, s.id, l.Token)
	if err := held(res, err); err != nil {
		return fmt.Errorf("ask for another attempt: %w", err)
	}
	s.move(tx, leased, state, 1)
	tx.OnCommit(s.Notify)
	return nil
}

// Release gives back what no consumer has seen, as if it had not been taken.
func (b *Book) Release(tx Tx, s *Sub, leases ...Lease) error {
	for _, l := range leases {
		res, err := tx.Exec(`UPDATE queue_deliveries SET state = ?, due = 0, attempt = attempt - 1, token = 0
			WHERE message = ? AND subscription = ? AND token = ?`, ready, l.ID, s.id, l.Token)
		if err != nil {
			return fmt.Errorf("give back: %w", err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return fmt.Errorf("give back: %w", err)
		}
		s.move(tx, leased, ready, n)
	}
	tx.OnCommit(s.Notify)
	return nil
}

// Park sets the message aside for a person.
func (b *Book) Park(tx Tx, s *Sub, l Lease, cause string) error {
	res, err := tx.Exec(`UPDATE queue_deliveries SET state = ?, due = 0, token = 0, cause = ? WHERE message = ? AND subscription = ? AND token = ?`,
		parked, short(cause), l.ID, s.id, l.Token)
	if err := held(res, err); err != nil {
		return fmt.Errorf("park: %w", err)
	}
	s.move(tx, leased, parked, 1)
	tx.OnCommit(func() { s.Parked.Add(1) })
	return nil
}

// Extend lets the lease end d from now.
func (b *Book) Extend(tx Tx, s *Sub, l Lease, d time.Duration) error {
	res, err := tx.Exec(`UPDATE queue_deliveries SET due = ? WHERE message = ? AND subscription = ? AND token = ?`, b.after(d), l.ID, s.id, l.Token)
	if err := held(res, err); err != nil {
		return fmt.Errorf("extend lease: %w", err)
	}
	return nil
}

// after is the queue's time in d, without overflow.
func (b *Book) after(d time.Duration) int64 {
	now := b.clock.now()
	if int64(d) > maxTime-1-now {
		return maxTime - 1
	}
	return now + int64(d)
}

// held turns a statement that found no such lease into queue.ErrLost.
func held(res interface{ RowsAffected() (int64, error) }, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return queue.ErrLost
	}
	return err
}

func short(cause string) string {
	if len(cause) <= maxCause {
		return cause
	}
	return cause[:maxCause] + "..."
}
