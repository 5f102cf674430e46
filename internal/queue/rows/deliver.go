package rows

import (
	"fmt"
	"time"

	"github.com/colliehq/collie/internal/queue"
)

// Taken is a message in a consumer's hand.
type Taken struct {
	queue.Message
	Attempt   int
	FirstSeen time.Time
	Crashes   int // leases of it that were lost
	ID, Token int64
}

// Want is what a consumer asks Take for.
type Want struct {
	Max     int // messages
	Held    int // messages that the consumer has in hand
	Lease   time.Duration
	Ordered bool // nothing passes a message that comes again
}

// Take leases messages that are due, in order of publication. A message whose
// lease was lost before is taken alone, so that a message that kills its
// consumer takes no others with it: while something is in hand, nothing is
// taken from it on.
func (b *Book) Take(tx Tx, s *Sub, w Want) ([]Taken, error) {
	if err := b.promote(tx, s); err != nil {
		return nil, err
	}
	if s.live[ready] == 0 || w.Ordered && s.live[leased] > int64(w.Held) { // somebody else's are not settled
		return nil, nil
	}
	before, err := s.barrier(tx, w.Ordered)
	if err != nil {
		return nil, fmt.Errorf("take from %s: %w", s.Spec().Name, err)
	}
	taken, err := s.first(tx, w, before)
	if err != nil {
		return nil, fmt.Errorf("take from %s: %w", s.Spec().Name, err)
	}
	due := b.after(w.Lease)
	for i := range taken {
		b.lastToken++
		t := &taken[i]
		t.Token = b.lastToken
		if _, err := tx.Exec(`UPDATE queue_deliveries SET state = ?, due = ?, attempt = ?, token = ? WHERE message = ? AND subscription = ?`,
			leased, due, t.Attempt, t.Token, t.ID, s.id); err != nil {
			return nil, fmt.Errorf("take from %s: %w", s.Spec().Name, err)
		}
		if t.Attempt > 1 {
			tx.OnCommit(func() { s.Redelivered.Add(1) })
		}
	}
	s.move(tx, ready, leased, int64(len(taken)))
	return taken, nil
}

// returned is the token of a delayed message that a consumer had: what is
// behind it waits, if order matters. It is no lease's.
const returned = -1

// barrier is the first message that waits to come again, or no message.
func (s *Sub) barrier(tx Tx, ordered bool) (message int64, err error) {
	if !ordered || s.live[delayed] == 0 {
		return maxTime, nil
	}
	err = tx.QueryRow(`SELECT coalesce(min(message), ?) FROM queue_deliveries WHERE subscription = ? AND state = ? AND token = ?`,
		maxTime, s.id, delayed, returned).Scan(&message)
	return message, err
}

// first reads what is taken next, of what was published before a message.
func (s *Sub) first(tx Tx, w Want, before int64) ([]Taken, error) {
	rows, err := tx.Query(`SELECT d.message, d.attempt, d.crashes, m.topic, m.key, m.published, m.headers, m.body
		FROM queue_deliveries d JOIN queue_messages m ON m.id = d.message
		WHERE d.subscription = ? AND d.state = ? AND d.message < ? ORDER BY d.due, d.message LIMIT ?`, s.id, ready, before, w.Max)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var taken []Taken
	for rows.Next() {
		var t Taken
		var headers string
		var published int64
		if err := rows.Scan(&t.ID, &t.Attempt, &t.Crashes, &t.Topic, &t.Key, &published, &headers, &t.Body); err != nil {
			return nil, err
		}
		if t.Crashes > 0 && w.Held+len(taken) > 0 {
			break
		}
		if t.Headers, err = decodeHeaders(headers); err != nil {
			return nil, err
		}
		t.Attempt++
		t.FirstSeen = time.Unix(0, published).UTC()
		taken = append(taken, t)
		if t.Crashes > 0 {
			break
		}
	}
	return taken, rows.Err()
}

// promote makes ready what is due: delayed messages whose time came, and
// leased ones whose lease ran out.
func (b *Book) promote(tx Tx, s *Sub) error {
	now := b.clock.now()
	if s.live[delayed] > 0 {
		res, err := tx.Exec(`UPDATE queue_deliveries SET state = ?, due = 0, token = 0 WHERE subscription = ? AND state = ? AND due <= ?`, ready, s.id, delayed, now)
		if err != nil {
			return fmt.Errorf("wake delayed messages: %w", err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		s.move(tx, delayed, ready, n)
	}
	if s.live[leased] > 0 {
		return b.reclaim(tx, s, now)
	}
	return nil
}

// reclaim takes back the leases that ran out.
func (b *Book) reclaim(tx Tx, s *Sub, now int64) error {
	lost, err := s.lost(tx, now)
	if err != nil {
		return fmt.Errorf("take leases back: %w", err)
	}
	for _, l := range lost {
		if err := b.crashed(tx, s, l.message, l.crashes+1); err != nil {
			return fmt.Errorf("take leases back: %w", err)
		}
	}
	return nil
}

type lostLease struct {
	message int64
	crashes int
}

func (s *Sub) lost(tx Tx, now int64) (lost []lostLease, err error) {
	rows, err := tx.Query(`SELECT message, crashes FROM queue_deliveries WHERE subscription = ? AND state = ? AND due <= ?`, s.id, leased, now)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var l lostLease
		if err := rows.Scan(&l.message, &l.crashes); err != nil {
			return nil, err
		}
		lost = append(lost, l)
	}
	return lost, rows.Err()
}

// crashed gives a message back whose consumer was lost: at once the first
// time, then later and later, and to a person in the end.
func (b *Book) crashed(tx Tx, s *Sub, message int64, crashes int) error {
	state, due, token := ready, int64(0), int64(0)
	cause := fmt.Sprintf("lease lost %d times: its consumer died or took too long", crashes)
	limit := s.Spec().CrashLimit
	if limit < 0 {
		crashes = 0
	}
	switch wait := CrashDelay(crashes); {
	case limit > 0 && crashes >= limit:
		state = parked
		tx.OnCommit(func() { s.Parked.Add(1) })
	case wait > 0:
		state, due, token = delayed, b.after(wait), returned
	}
	_, err := tx.Exec(`UPDATE queue_deliveries SET state = ?, due = ?, crashes = ?, token = ?, cause = ? WHERE message = ? AND subscription = ?`,
		state, due, crashes, token, cause, message, s.id)
	if err != nil {
		return err
	}
	s.move(tx, leased, state, 1)
	tx.OnCommit(func() {
		s.Lost.Add(1)
		s.Notify()
	})
	return nil
}

// CrashDelay is the wait after so many lost leases. The first time there is
// none: most lost leases are a restart, and order matters to those who ask for
// it.
func CrashDelay(crashes int) time.Duration {
	if crashes < 2 {
		return 0
	}
	return min(time.Second<<(2*min(crashes-2, 16)), time.Hour)
}

// Recover takes back every lease, for no consumer of an earlier process lives.
func (b *Book) Recover(tx Tx) error {
	for _, s := range b.Subs() {
		if err := b.reclaim(tx, s, maxTime); err != nil {
			return err
		}
	}
	return nil
}

const maxTime = int64(^uint64(0) >> 1)

// NextDue says in how long a message of the subscription is due, delayed or
// leased.
func (b *Book) NextDue(tx Tx, s *Sub) (time.Duration, bool, error) {
	next := maxTime
	for _, state := range []int{delayed, leased} {
		if s.live[state] == 0 {
			continue
		}
		var due int64
		err := tx.QueryRow(`SELECT coalesce(min(due), ?) FROM queue_deliveries WHERE subscription = ? AND state = ?`, maxTime, s.id, state).Scan(&due)
		if err != nil {
			return 0, false, fmt.Errorf("next due message: %w", err)
		}
		next = min(next, due)
	}
	if next == maxTime {
		return 0, false, nil
	}
	return time.Duration(max(0, next-b.clock.now())), true, nil
}
