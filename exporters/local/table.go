package local

import (
	"errors"
	"fmt"
)

// table is the mounts of this machine at one time.
type table struct {
	text   string
	mounts []mount // those that paths lead to
	odd    int     // lines that were not understood
}

// mounts returns the mounts as they are now. Nothing is parsed again while the
// kernel says the same.
func (l *Local) mounts() (*table, error) {
	text, err := l.read("self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the list of mounts: %w", err)
	}
	if text == "" {
		return nil, errors.New("this system has no /proc/self/mountinfo: file systems can be probed on Linux only")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.table != nil && l.table.text == text {
		return l.table, nil
	}
	all, odd := parseMountinfo(text)
	l.table = &table{text: text, mounts: visible(all), odd: odd}
	l.forget(all)
	return l.table, nil
}

// forget drops what was seen of mounts that are gone. The caller holds l.mu.
func (l *Local) forget(mounts []mount) {
	there := make(map[sightKey]bool, len(mounts))
	for _, m := range mounts {
		there[m.key()] = true
	}
	for key, s := range l.sights {
		if there[key] {
			continue
		}
		delete(l.sights, key)
		s.mu.Lock()
		if s.out != nil && !s.out.finished() {
			l.asker.abandon(s.out)
		}
		s.mu.Unlock()
	}
}

// sight returns what was seen of m so far.
func (l *Local) sight(m mount) *sight {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sights[m.key()]
	if s == nil {
		s = &sight{}
		l.sights[m.key()] = s
	}
	return s
}
