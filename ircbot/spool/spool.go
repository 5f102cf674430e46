package spool

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/colliehq/collie/internal/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is what the spool needs of internal/store.
type Store interface {
	Migrate(ctx context.Context, room string, fsys fs.FS) error
	Tx(ctx context.Context, f func(*store.Tx) error) error
	View(ctx context.Context, f func(*sql.Tx) error) error
}

// keep is how long what is done stays readable.
const keep = 48 * time.Hour

// limits of a network.
type limits struct {
	bytes int
	age   time.Duration
}

// Spool holds the lines of all networks. Its methods may be used by any
// goroutine, but only one sends the lines of a network.
type Spool struct {
	store Store
	now   func() time.Time

	mu   sync.Mutex
	nets map[string]*network
}

// network are the open lines of one network, the oldest first.
type network struct {
	open []*Line
	used int // bytes
	limits
	wake chan struct{}
}

// Open brings the tables up to date and reads what is open. What was sent when
// we ended is queued again: nobody knows whether it arrived.
func Open(ctx context.Context, s Store, now func() time.Time) (*Spool, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // a constant, valid path
	}
	if err := s.Migrate(ctx, "ircbot", sub); err != nil {
		return nil, fmt.Errorf("prepare the IRC spool: %w", err)
	}
	p := &Spool{store: s, now: now, nets: map[string]*network{}}
	err = s.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE ircbot_lines SET state = 'queued' WHERE state = 'sent'`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the IRC spool: %w", err)
	}
	return p, p.load(ctx)
}

func (p *Spool) load(ctx context.Context) error {
	open, err := p.query(ctx, `SELECT `+columns+` FROM ircbot_lines WHERE state IN ('queued', 'sent') ORDER BY place, id`)
	if err != nil {
		return fmt.Errorf("read the IRC spool: %w", err)
	}
	for _, l := range open {
		p.net(l.Network).add(l)
	}
	return nil
}

func (p *Spool) query(ctx context.Context, text string, args ...any) (lines []*Line, err error) {
	err = p.store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, text, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			l, err := scan(rows)
			if err != nil {
				return err
			}
			lines = append(lines, l)
		}
		return rows.Err()
	})
	return lines, err
}

// net is the network of the name; the lock is held, or nobody else knows p yet.
func (p *Spool) net(name string) *network {
	n := p.nets[name]
	if n == nil {
		n = &network{wake: make(chan struct{}, 1), limits: limits{bytes: math.MaxInt, age: math.MaxInt64}}
		p.nets[name] = n
	}
	return n
}

func (n *network) add(l *Line) {
	at, _ := slices.BinarySearchFunc(n.open, l, func(a, b *Line) int {
		return cmp.Or(cmp.Compare(a.Place, b.Place), cmp.Compare(a.ID, b.ID))
	})
	n.open = slices.Insert(n.open, at, l)
	n.used += l.bytes
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// remove takes lines out of what is open.
func (n *network) remove(gone map[int64]bool) {
	n.open = slices.DeleteFunc(n.open, func(l *Line) bool {
		if gone[l.ID] {
			n.used -= l.bytes
			return true
		}
		return false
	})
}

// Limit bounds what may wait for a network: in bytes, and for how long.
func (p *Spool) Limit(name string, bytes int, age time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.net(name).limits = limits{bytes, age}
}

// Wake says that lines of the network came.
func (p *Spool) Wake(name string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.net(name).wake
}

// Find are the open lines of a network that want says yes to.
func (p *Spool) Find(name string, want func(*Line) bool) (found []Line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.net(name).open {
		if want(l) {
			found = append(found, *l)
		}
	}
	return found
}

// Depth is how much is open.
type Depth struct {
	Queued, Sent int
	Lanes        map[Lane]int
}

// Depth counts the open lines of a network.
func (p *Spool) Depth(name string) Depth {
	d := Depth{Lanes: map[Lane]int{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.net(name).open {
		d.Lanes[l.Lane]++
		if l.State == Queued {
			d.Queued++
		} else {
			d.Sent++
		}
	}
	return d
}

// Waits reports whether any line of a network is queued.
func (p *Spool) Waits(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.net(name).open, func(l *Line) bool { return l.State == Queued })
}

// Networks are the names of those with open lines.
func (p *Spool) Networks() (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, n := range p.nets {
		if len(n.open) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// Open are the lines of a network that are not done, the oldest first, as they
// are now.
func (p *Spool) Open(name string) []Line {
	p.mu.Lock()
	defer p.mu.Unlock()
	open := p.net(name).open
	out := make([]Line, len(open))
	for i, l := range open {
		out[i] = *l
	}
	return out
}

// Accept writes a line in the transaction; once that is durable, the line is
// open.
func (p *Spool) Accept(tx *store.Tx, l *Line) error {
	l.State, l.Accepted, l.Place = Queued, tx.Now(), 0 // the transaction may be tried again
	if err := insert(tx, l); err != nil {
		return err
	}
	tx.OnCommit(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.net(l.Network).add(l)
	})
	return nil
}

func insert(tx *store.Tx, l *Line) error {
	about, err := l.encode()
	if err != nil {
		return err
	}
	res, err := tx.Exec(`INSERT INTO ircbot_lines (place, network, channel, lane, state, tries, subject, target, signal_id, about, bytes, into_id, method, seen_ns, accepted_ns, sent_ns, done_ns)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', ?, ?, ?, 0)`,
		l.Place, l.Network, l.Channel, l.Lane, l.State, l.Tries, l.Subject, l.Target, l.SignalID, about, l.bytes, nanos(l.Seen), nanos(l.Accepted), nanos(l.Sent))
	if err != nil {
		return fmt.Errorf("write a line into the spool: %w", err)
	}
	if l.ID, err = res.LastInsertId(); err != nil || l.Place != 0 {
		return err
	}
	l.Place = l.ID
	if _, err = tx.Exec(`UPDATE ircbot_lines SET place = id WHERE id = ?`, l.ID); err != nil {
		return fmt.Errorf("write a line into the spool: %w", err)
	}
	return nil
}
