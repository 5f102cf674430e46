package rows

import (
	"fmt"
	"time"

	"github.com/colliehq/collie/internal/queue"
)

// New returns a book that stamps what is published with now. Load fills it.
func New(now func() time.Time) *Book {
	return &Book{now: now, byName: map[string]*Sub{}, byTopic: map[string][]*Sub{}}
}

// Load reads what the file holds. It is called before the first use, and again
// whenever the file may differ from what the book counted.
func (b *Book) Load(tx Tx) error {
	if err := b.loadClock(tx); err != nil {
		return err
	}
	var last int64
	if err := tx.QueryRow(`SELECT coalesce(max(id), 0) FROM queue_messages`).Scan(&last); err != nil {
		return fmt.Errorf("read the last message: %w", err)
	}
	b.lastMessage = max(b.lastMessage, last)
	// Tokens rise from start to start, so that no settlement of an earlier
	// process can be taken for one of this.
	b.lastToken = max(b.lastToken, time.Now().UnixNano())
	if err := b.loadSubscriptions(tx); err != nil {
		return err
	}
	return b.loadCounts(tx)
}

func (b *Book) loadSubscriptions(tx Tx) error {
	rows, err := tx.Query(`SELECT id, name, topic, max_waiting, on_full, crash_limit FROM queue_subscriptions`)
	if err != nil {
		return fmt.Errorf("read subscriptions: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var sub queue.Subscription
		if err := rows.Scan(&id, &sub.Name, &sub.Topic, &sub.Limit, &sub.OnFull, &sub.CrashLimit); err != nil {
			return fmt.Errorf("read subscriptions: %w", err)
		}
		b.put(id, sub)
	}
	return rows.Err()
}

func (b *Book) loadCounts(tx Tx) error {
	byID := map[int64]*Sub{}
	for _, s := range b.Subs() {
		byID[s.id] = s
		for state := range states {
			s.live[state] = 0
			s.shown[state].Store(0)
		}
	}
	rows, err := tx.Query(`SELECT subscription, state, count(*) FROM queue_deliveries GROUP BY subscription, state`)
	if err != nil {
		return fmt.Errorf("count messages: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, n int64
		var state int
		if err := rows.Scan(&id, &state, &n); err != nil {
			return fmt.Errorf("count messages: %w", err)
		}
		if s := byID[id]; s != nil && state >= 0 && state < states {
			s.live[state] = n
			s.shown[state].Store(n)
		}
	}
	return rows.Err()
}

// put makes a subscription known, or changes the limits of a known one.
func (b *Book) put(id int64, spec queue.Subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.byName[spec.Name]
	if s == nil {
		s = &Sub{id: id, listeners: map[chan struct{}]bool{}}
		b.byName[spec.Name] = s
		b.byTopic[spec.Topic] = append(b.byTopic[spec.Topic], s)
	}
	s.spec.Store(&spec)
}

// Declare makes the subscriptions durable. Limits of known ones change.
func (b *Book) Declare(tx Tx, subs ...queue.Subscription) error {
	for _, spec := range subs {
		if spec.Name == "" || spec.Topic == "" {
			return fmt.Errorf("declare subscription %q of topic %q: both names are needed", spec.Name, spec.Topic)
		}
		spec = Defaults(spec)
		if known, ok := b.Sub(spec.Name); ok && known.Spec().Topic != spec.Topic {
			return fmt.Errorf("declare subscription %s: it reads topic %s, not %s", spec.Name, known.Spec().Topic, spec.Topic)
		}
		var id int64
		err := tx.QueryRow(`INSERT INTO queue_subscriptions (name, topic, max_waiting, on_full, crash_limit) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET max_waiting = excluded.max_waiting, on_full = excluded.on_full, crash_limit = excluded.crash_limit
			RETURNING id`, spec.Name, spec.Topic, spec.Limit, int(spec.OnFull), spec.CrashLimit).Scan(&id)
		if err != nil {
			return fmt.Errorf("declare subscription %s: %w", spec.Name, err)
		}
		tx.OnCommit(func() { b.put(id, spec) })
	}
	return nil
}

// Defaults fills in what a declaration leaves out.
func Defaults(s queue.Subscription) queue.Subscription {
	if s.Limit <= 0 {
		s.Limit = 1_000_000
	}
	if s.CrashLimit == 0 {
		s.CrashLimit = 5
	}
	return s
}
