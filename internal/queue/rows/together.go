package rows

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/queue"
)

// ErrNotTogether says that messages have to be stored one by one: one of them is
// known already, or does not fit. What was written has to be rolled back.
var ErrNotTogether = errors.New("messages cannot be stored together")

// steps are how many rows one statement stores: few lengths, so that few
// statements are kept prepared.
func steps() []int { return []int{32, 8, 1} }

// EnqueueTogether stores the messages of several publishers with as few
// statements as possible: what a group commit does with one statement for each
// row is the larger part of its time. Any error means that they have to be
// stored one by one, which says whose fault it is.
func (b *Book) EnqueueTogether(tx Tx, msgs []queue.Message) error {
	places, err := b.places(tx.Now(), msgs)
	if err != nil {
		return err
	}
	first := b.lastMessage + 1
	b.lastMessage += int64(len(msgs)) // never taken back: a gap in the ids is harmless
	if err := insertMessages(tx, first, msgs); err != nil {
		return err
	}
	var rows [][]any
	for i := range msgs {
		for _, s := range places[i].subs {
			rows = append(rows, []any{first + int64(i), s.id, places[i].state, places[i].due})
		}
	}
	if _, err := insert(tx, `INSERT INTO queue_deliveries (message, subscription, state, due, attempt, crashes, token, cause) VALUES `,
		`(?, ?, ?, ?, 0, 0, 0, '')`, ``, rows); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	b.entered(tx, places)
	return nil
}

// place is where a message goes.
type place struct {
	subs  []*Sub
	state int
	due   int64
}

func (b *Book) places(now time.Time, msgs []queue.Message) ([]place, error) {
	places := make([]place, len(msgs))
	more := map[*Sub]int64{}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for i := range msgs {
		m := &msgs[i]
		p := place{subs: b.byTopic[m.Topic], state: ready}
		if wait := m.NotBefore.Sub(now); !m.NotBefore.IsZero() && wait > 0 {
			p.state, p.due = delayed, b.after(wait)
		}
		for _, s := range p.subs {
			if more[s]++; s.waiting()+more[s] > int64(s.spec.Load().Limit) {
				return nil, ErrNotTogether
			}
		}
		if len(p.subs) == 0 {
			return nil, ErrNotTogether
		}
		places[i] = p
	}
	return places, nil
}

func insertMessages(tx Tx, first int64, msgs []queue.Message) error {
	rows := make([][]any, len(msgs))
	published := tx.Now().UnixNano()
	for i := range msgs {
		m := &msgs[i]
		headers, err := encodeHeaders(m.Headers)
		if err != nil {
			return err
		}
		rows[i] = []any{first + int64(i), m.Topic, m.Key, published, headers, notNil(m.Body)}
	}
	n, err := insert(tx, `INSERT INTO queue_messages (id, topic, key, published, headers, body) VALUES `,
		`(?, ?, ?, ?, ?, ?)`, ` ON CONFLICT (key, topic) WHERE key <> '' DO NOTHING`, rows)
	switch {
	case err != nil:
		return fmt.Errorf("publish: %w", err)
	case n != len(rows):
		return ErrNotTogether
	}
	return nil
}

// insert stores rows, many with one statement, and says how many were stored.
func insert(tx Tx, head, row, tail string, rows [][]any) (stored int, err error) {
	for _, step := range steps() {
		for ; len(rows) >= step; rows = rows[step:] {
			query := head + strings.Repeat(row+", ", step-1) + row + tail
			res, err := tx.Exec(query, slices.Concat(rows[:step]...)...)
			if err != nil {
				return stored, err
			}
			n, err := res.RowsAffected()
			if err != nil {
				return stored, err
			}
			stored += int(n)
		}
	}
	return stored, nil
}

// entered counts what was stored.
func (b *Book) entered(tx Tx, places []place) {
	counts := map[*Sub]*[states]int64{}
	for _, p := range places {
		for _, s := range p.subs {
			if counts[s] == nil {
				counts[s] = new([states]int64)
			}
			counts[s][p.state]++
		}
	}
	for s, n := range counts {
		s.move(tx, outside, ready, n[ready])
		s.move(tx, outside, delayed, n[delayed])
		tx.OnCommit(func() {
			s.Published.Add(uint64(n[ready] + n[delayed]))
			s.Notify()
		})
	}
}
