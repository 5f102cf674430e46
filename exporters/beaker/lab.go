package beaker

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// lab is what one beakerd has told: the last value of each gauge, the sum of
// each counter. It is bounded: of what comes in any number, by lab controller,
// architecture and power type, it keeps the first maxSeries.
type lab struct {
	senders   []netip.Prefix // who may tell; empty: everybody
	maxSeries int
	since     time.Time

	mu      sync.Mutex // guards what follows
	held    map[series]held
	grouped int       // of held
	last    time.Time // when a gauge was last told
	counts  counts
}

// held is the value of a series.
type held struct {
	value   float64
	at      float64   // the sender's time
	arrived time.Time // ours
}

// counts are what became of the lines.
type counts struct {
	taken, unknown, late, overBudget, refused float64
}

func newLab(now time.Time) *lab { return &lab{since: now, held: map[series]held{}} }

// take takes in one line that is meant for this lab; the name is without the
// prefix.
func (l *lab) take(from netip.Addr, name string, x line, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := known(name)
	switch {
	case !l.admits(from):
		l.counts.refused++
	case !ok:
		l.counts.unknown++
	case s.family.counter:
		l.add(s, x, now)
	default:
		l.set(s, x, now)
	}
}

func (l *lab) admits(from netip.Addr) bool {
	return len(l.senders) == 0 || slices.ContainsFunc(l.senders, func(p netip.Prefix) bool { return p.Contains(from) })
}

// set keeps a gauge, unless one that was sent later has come before it, as UDP
// allows.
func (l *lab) set(s series, x line, now time.Time) {
	before, ok := l.held[s]
	switch {
	case ok && x.at != 0 && x.at < before.at:
		l.counts.late++
		return
	case !ok && !l.room(s):
		return
	}
	l.held[s] = held{x.value, x.at, now}
	l.last = now
	l.counts.taken++
}

// add sums a counter. beakerd sends 1 for each event, and two in one second
// look the same, so that a datagram that came twice counts twice, as in carbon.
func (l *lab) add(s series, x line, now time.Time) {
	before, ok := l.held[s]
	if !ok && !l.room(s) {
		return
	}
	l.held[s] = held{before.value + x.value, x.at, now}
	l.counts.taken++
}

// room tells whether a new series may be kept.
func (l *lab) room(s series) bool {
	if !s.grouped {
		return true
	}
	if l.grouped >= l.maxSeries {
		l.counts.overBudget++
		return false
	}
	l.grouped++
	return true
}

// snapshot is what a probe sees of a lab.
type snapshot struct {
	since, last time.Time // last is zero if no gauge ever came
	receiving   bool
	held        map[series]held
	counts      counts
}

// look forgets the gauges that were not told again within expiry, and gives a
// copy of the rest. Counters stay: nothing may happen for days.
func (l *lab) look(now time.Time, expiry time.Duration) snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := snapshot{since: l.since, last: l.last, counts: l.counts, held: make(map[series]held, len(l.held))}
	s.receiving = !l.last.IsZero() && now.Sub(l.last) < expiry
	for k, v := range l.held {
		switch {
		case k.family.counter || now.Sub(v.arrived) < expiry:
			s.held[k] = v
		default:
			delete(l.held, k)
			if k.grouped {
				l.grouped--
			}
		}
	}
	return s
}
