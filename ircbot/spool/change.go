package spool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/ircbot/words"
)

// ErrGone is a line that does not wait any more: something newer took its place,
// or it was dropped. Look again at what is open.
var ErrGone = errors.New("the line does not wait any more")

// one holds that a statement changed one row.
func one(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return ErrGone
}

// Send marks a line as handed to the server, before it is: whatever happens
// next, it is known that it may have arrived.
func (p *Spool) Send(ctx context.Context, l Line) (Line, error) {
	l.State, l.Sent = Sent, p.now()
	l.Tries++
	err := p.store.Tx(ctx, func(tx *store.Tx) error {
		if err := one(tx.Exec(`UPDATE ircbot_lines SET state = 'sent', tries = ?, sent_ns = ? WHERE id = ? AND state = 'queued'`, l.Tries, nanos(l.Sent), l.ID)); err != nil {
			return err
		}
		tx.OnCommit(func() { p.replace(l) })
		return nil
	})
	if err != nil {
		return Line{}, fmt.Errorf("mark a line as sent: %w", err)
	}
	return l, nil
}

// Fold makes one line of several that wait, which says about instead, and marks
// it as sent.
func (p *Spool) Fold(ctx context.Context, lines []Line, about words.About) (Line, error) {
	var out Line
	now := p.now()
	err := p.store.Tx(ctx, func(tx *store.Tx) error {
		out = Line{
			Network: lines[0].Network, Channel: lines[0].Channel, Lane: lines[0].Lane, State: Sent, Tries: 1, About: about, Place: lines[0].Place,
			Target: common(lines), Seen: lines[0].Seen, Accepted: lines[0].Accepted, Sent: now,
		}
		if err := insert(tx, &out); err != nil {
			return err
		}
		for _, l := range lines {
			if err := one(tx.Exec(`UPDATE ircbot_lines SET state = 'folded', into_id = ?, done_ns = ? WHERE id = ? AND state = 'queued'`, out.ID, nanos(now), l.ID)); err != nil {
				return err
			}
		}
		kept := out
		tx.OnCommit(func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.net(kept.Network).remove(ids(lines))
			p.net(kept.Network).add(&kept)
		})
		return nil
	})
	if err != nil {
		return Line{}, fmt.Errorf("fold %d lines: %w", len(lines), err)
	}
	return out, nil
}

// common is the target of all lines, if it is one.
func common(lines []Line) string {
	for _, l := range lines {
		if l.Target != lines[0].Target {
			return ""
		}
	}
	return lines[0].Target
}

func ids(lines []Line) map[int64]bool {
	out := make(map[int64]bool, len(lines))
	for _, l := range lines {
		out[l.ID] = true
	}
	return out
}

func (p *Spool) replace(l Line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	open := p.net(l.Network).open
	if i := slices.IndexFunc(open, func(o *Line) bool { return o.ID == l.ID }); i >= 0 {
		open[i] = &l
	}
}

// Confirm marks a line as arrived. also runs in the same transaction.
func (p *Spool) Confirm(ctx context.Context, l Line, method string, also func(*store.Tx) error) error {
	err := p.store.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE ircbot_lines SET state = 'confirmed', method = ?, done_ns = ? WHERE id = ?`, method, nanos(p.now()), l.ID)
		if err != nil {
			return err
		}
		tx.OnCommit(func() { p.forget(l) })
		return also(tx)
	})
	if err != nil {
		return fmt.Errorf("mark line %d as confirmed: %w", l.ID, err)
	}
	return nil
}

func (p *Spool) forget(lines ...Line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gone := ids(lines)
	for _, n := range p.nets {
		n.remove(gone)
	}
}

// Requeue queues lines again that nobody knows to have arrived. also runs in
// the same transaction.
func (p *Spool) Requeue(ctx context.Context, lines []Line, also func(*store.Tx) error) error {
	err := p.store.Tx(ctx, func(tx *store.Tx) error {
		for _, l := range lines {
			if _, err := tx.Exec(`UPDATE ircbot_lines SET state = 'queued' WHERE id = ? AND state = 'sent'`, l.ID); err != nil {
				return err
			}
			l.State = Queued
			tx.OnCommit(func() { p.replace(l) })
		}
		return also(tx)
	})
	if err != nil {
		return fmt.Errorf("queue %d lines again: %w", len(lines), err)
	}
	return nil
}

// Drop gives up lines that have nowhere to go, and returns those that it did.
func (p *Spool) Drop(ctx context.Context, lines []Line) (gone []Line, err error) {
	err = p.store.Tx(ctx, func(tx *store.Tx) error {
		gone, err = p.drop(tx, lines)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("drop %d lines: %w", len(lines), err)
	}
	return gone, nil
}

// drop gives up those of the lines that still wait: in the same commit somebody
// else may have been faster.
func (p *Spool) drop(tx *store.Tx, lines []Line) (gone []Line, err error) {
	for _, l := range lines {
		err := one(tx.Exec(`UPDATE ircbot_lines SET state = 'dropped', done_ns = ? WHERE id = ? AND state = 'queued'`, nanos(p.now()), l.ID))
		switch {
		case errors.Is(err, ErrGone):
		case err != nil:
			return nil, err
		default:
			gone = append(gone, l)
		}
	}
	tx.OnCommit(func() { p.forget(gone...) })
	return gone, nil
}

// Shed drops what the limit in bytes does not allow beside the lines that were
// accepted in the transaction: the least urgent lane first, of it the oldest.
// One line for each channel says how many they were. It is called once in a
// transaction.
func (p *Spool) Shed(tx *store.Tx, accepted []*Line) (gone []Line, err error) {
	more := map[string]int{}
	for _, l := range accepted {
		more[l.Network] += l.bytes
	}
	for name, bytes := range more {
		dropped, err := p.replaceByCount(tx, name, p.excess(name, bytes))
		if err != nil {
			return nil, err
		}
		gone = append(gone, dropped...)
	}
	return gone, nil
}

// excess is what has to go for more bytes to have room.
func (p *Spool) excess(name string, more int) (gone []Line) {
	p.mu.Lock()
	n := p.net(name)
	over := n.used + more - n.bytes
	p.mu.Unlock()
	if over <= 0 {
		return nil
	}
	open := p.Find(name, func(l *Line) bool { return l.Waits() && l.About.Kind != words.Dropped })
	slices.SortStableFunc(open, func(a, b Line) int { return int(b.Lane - a.Lane) })
	for _, l := range open {
		if over > 0 {
			over -= l.bytes
			gone = append(gone, l)
		}
	}
	return gone
}

// Expire drops what waits for longer than the limit, and says so in a line for
// each channel.
func (p *Spool) Expire(ctx context.Context, name string) (gone []Line, err error) {
	p.mu.Lock()
	limit := p.now().Add(-p.net(name).age)
	p.mu.Unlock()
	old := p.Find(name, func(l *Line) bool {
		return l.Accepted.Before(limit) && l.State == Queued && l.About.Kind != words.Dropped
	})
	if len(old) == 0 {
		return nil, nil
	}
	err = p.store.Tx(ctx, func(tx *store.Tx) error {
		gone, err = p.replaceByCount(tx, name, old)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("drop %d lines that are too old: %w", len(old), err)
	}
	return gone, nil
}

// replaceByCount drops lines, and leaves one in each channel that counts them,
// those that were counted there before included.
func (p *Spool) replaceByCount(tx *store.Tx, name string, lines []Line) ([]Line, error) {
	gone, err := p.drop(tx, lines)
	if err != nil || len(gone) == 0 {
		return nil, err
	}
	counts := map[string]*Line{}
	for _, l := range gone {
		if counts[l.Channel] == nil {
			counts[l.Channel] = &Line{
				Network: name, Channel: l.Channel, Lane: Info, State: Queued, Accepted: p.now(), Seen: p.now(),
				About: words.About{Kind: words.Dropped, Link: l.About.More},
			}
		}
		counts[l.Channel].About.Count += l.About.Alerts()
	}
	before, err := p.drop(tx, p.Find(name, func(l *Line) bool {
		return l.About.Kind == words.Dropped && l.Waits() && counts[l.Channel] != nil
	}))
	if err != nil {
		return nil, err
	}
	for _, l := range before {
		counts[l.Channel].About.Count += l.About.Count
	}
	for _, c := range counts {
		if err := insert(tx, c); err != nil {
			return nil, err
		}
		tx.OnCommit(func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.net(name).add(c)
		})
	}
	return gone, nil
}

// Supersede marks lines as said by another one that is accepted in the same
// transaction.
func (p *Spool) Supersede(tx *store.Tx, lines []Line, by *Line) error {
	for _, l := range lines {
		if _, err := tx.Exec(`UPDATE ircbot_lines SET state = 'folded', into_id = ?, done_ns = ? WHERE id = ? AND state = 'queued'`, by.ID, nanos(p.now()), l.ID); err != nil {
			return err
		}
	}
	tx.OnCommit(func() { p.forget(lines...) })
	return nil
}

// Members are the lines that were folded into one.
func (p *Spool) Members(ctx context.Context, into int64) ([]Line, error) {
	found, err := p.query(ctx, `SELECT `+columns+` FROM ircbot_lines WHERE into_id = ? ORDER BY id`, into)
	return values(found), err
}

// Newest are the newest lines of all networks and states, but for the dead man's
// switch as long as it arrives: once a minute it would hide all others.
func (p *Spool) Newest(ctx context.Context, limit int) ([]Line, error) {
	found, err := p.query(ctx, `SELECT `+columns+` FROM ircbot_lines
		WHERE NOT (state IN ('confirmed', 'folded') AND json_extract(about, '$.kind') = ?) ORDER BY id DESC LIMIT ?`, string(words.Heartbeat), limit)
	return values(found), err
}

func values(lines []*Line) []Line {
	out := make([]Line, len(lines))
	for i, l := range lines {
		out[i] = *l
	}
	return out
}

// Purge deletes what is done for longer than it is kept, and what channels were
// told of alerts that are over for long.
func (p *Spool) Purge(ctx context.Context) error {
	limit := p.now().Add(-keep)
	err := p.store.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`DELETE FROM ircbot_lines WHERE id IN (SELECT id FROM ircbot_lines WHERE done_ns > 0 AND done_ns < ? LIMIT 10000)`, nanos(limit)); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM ircbot_told WHERE told_ns < ? AND status = 'resolved'`, nanos(limit.Add(-7*24*time.Hour)))
		return err
	})
	if err != nil {
		return fmt.Errorf("purge the IRC spool: %w", err)
	}
	return nil
}
