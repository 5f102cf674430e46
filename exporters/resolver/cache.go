package resolver

import "time"

// cache keeps answers until they expire, at most maxEntries of them.
type cache struct {
	entries map[question]entry
}

type entry struct {
	answer  answer
	err     error
	expires time.Time
}

func (c *cache) get(q question, now time.Time) (entry, bool) {
	e, ok := c.entries[q]
	if ok && !now.Before(e.expires) {
		delete(c.entries, q)
		return entry{}, false
	}
	return e, ok
}

func (c *cache) put(q question, e entry) {
	now := time.Now()
	if !now.Before(e.expires) {
		return // a TTL of 0: for those who were waiting only (RFC 1035, section 3.2.1)
	}
	if _, known := c.entries[q]; !known && len(c.entries) >= maxEntries {
		c.evict()
	}
	c.entries[q] = e
}

// evict makes room: of a few entries, in the random order of a map, the one
// that expires first goes.
func (c *cache) evict() {
	var victim question
	var soonest time.Time
	looked := 0
	for q, e := range c.entries {
		if looked == 0 || e.expires.Before(soonest) {
			victim, soonest = q, e.expires
		}
		if looked++; looked == 16 {
			break
		}
	}
	delete(c.entries, victim)
}
