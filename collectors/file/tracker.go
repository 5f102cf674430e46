package file

import (
	"cmp"
	"errors"
	"log/slog"
	"os"
	"slices"
	"time"
)

// Log is one log file, through all its names. Its methods and fields are the
// tracker's and of who reads, in one goroutine.
type Log struct {
	Record

	Source int
	// InFlight says that bytes after the cursor are being sent.
	InFlight bool

	file    *os.File // nil while it is lost
	tail    []byte   // the TailLen bytes before the cursor
	modTime int64
	grown   time.Time // when it was seen to change
	gone    bool      // no path leads to it
	moved   bool      // the record changed and is not stored
}

// Live reports whether the content can be read now.
func (l *Log) Live() bool { return l.file != nil }

// Tracker knows which file is which. It is used by one goroutine.
type Tracker struct {
	log     *slog.Logger
	live    map[Key]*Log
	lost    map[int64]*Log // whose content is nowhere, or not found yet
	shadows map[Key]int64  // copies of a live file, and the ID of its record
	byKey   map[Key][]*Log // lost ones
	next    int64
	errors  func(error)
}

// NewTracker begins with what was stored. What cannot be read is told to failed.
func NewTracker(records []Record, log *slog.Logger, failed func(error)) *Tracker {
	t := &Tracker{log: log, live: map[Key]*Log{}, lost: map[int64]*Log{}, shadows: map[Key]int64{}, next: 1, errors: failed}
	for _, r := range records {
		t.lost[r.ID] = &Log{Record: r, Source: -1}
		t.next = max(t.next, r.ID+1)
	}
	return t
}

// Close closes all files.
func (t *Tracker) Close() {
	for _, l := range t.live {
		t.lose(l)
	}
}

// Live lists the files that can be read, the longest known first.
func (t *Tracker) Live() []*Log { return ordered(t.live) }

// Lost lists the files of which nothing is found.
func (t *Tracker) Lost() []*Log { return ordered(t.lost) }

func ordered[K comparable](m map[K]*Log) []*Log {
	all := make([]*Log, 0, len(m))
	for _, l := range m {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *Log) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Find is the log with the ID, nil if there is none.
func (t *Tracker) Find(id int64) *Log {
	if l := t.lost[id]; l != nil {
		return l
	}
	for _, l := range t.live {
		if l.ID == id {
			return l
		}
	}
	return nil
}

// Forget drops lost logs that were not seen since a time, and returns their IDs.
func (t *Tracker) Forget(since time.Time) (ids []int64) {
	for id, l := range t.lost {
		if l.Seen < since.UnixNano() {
			ids = append(ids, id)
			delete(t.lost, id)
		}
	}
	return ids
}

// Update takes what the globs found now. The same file under two names is one.
func (t *Tracker) Update(found []Candidate, now time.Time) {
	seen := map[Key]bool{}
	var unknown []Candidate
	t.index()
	for _, c := range found {
		if seen[c.Key] {
			continue
		}
		seen[c.Key] = true
		if !t.known(c, now) {
			unknown = append(unknown, c)
		}
	}
	t.leave(seen, now)
	for _, c := range unknown {
		if c.Size > 0 {
			t.meet(c, now)
		}
	}
	for k := range t.shadows {
		if !seen[k] {
			delete(t.shadows, k)
		}
	}
}

// index finds lost logs by their keys. Two have the same when a file was
// truncated: the last one is looked at first.
func (t *Tracker) index() {
	t.byKey = map[Key][]*Log{}
	for _, l := range slices.Backward(t.Lost()) {
		t.byKey[l.Key] = append(t.byKey[l.Key], l)
	}
}

// known reports whether the candidate is a file that we know by its key, with
// the content that we know.
func (t *Tracker) known(c Candidate, now time.Time) bool {
	if l := t.live[c.Key]; l != nil {
		return t.still(l, c, now)
	}
	for _, l := range t.byKey[c.Key] {
		if l.file != nil || l.Key != c.Key {
			continue
		}
		f := t.open(c)
		if f == nil {
			return true // not readable now: nothing is decided
		}
		if t.resume(l, f, c, now) {
			return true
		}
		_ = f.Close() // only read from
		l.unlink()
	}
	return false
}

// still looks whether a live file has the content that it had.
func (t *Tracker) still(l *Log, c Candidate, now time.Time) bool {
	if c.Size != l.Size || c.ModTime != l.modTime {
		l.grown, l.modTime = now, c.ModTime
		_, ok, err := l.holds(l.file)
		if c.Size < l.Cursor || !ok && err == nil { // an error shows when it is read
			t.truncated(l)
			return false
		}
	}
	if c.Path != l.Path {
		t.log.Debug("a log file was renamed", "from", l.Path, "to", c.Path)
		l.Path, l.moved = c.Path, true
	}
	l.gone, l.Source, l.Seen, l.Size = false, c.Source, now.UnixNano(), c.Size
	return true
}

// truncated is a file whose inode goes on with other content.
func (t *Tracker) truncated(l *Log) {
	t.log.Info("a log file was truncated", "file", l.Path, "cursor", l.Cursor, "unread", l.Unread())
	t.lose(l)
	l.unlink()
}

// unlink says that the content is not at its inode any more: no device has the
// complement of its number.
func (l *Log) unlink() { l.Key.Dev, l.moved = ^l.Key.Dev, true }

// Moved lists records that changed since the last call, of files of which
// something is known.
func (t *Tracker) Moved() (all []Record) {
	for _, m := range [][]*Log{t.Live(), t.Lost()} {
		for _, l := range m {
			if l.moved && len(l.Head) > 0 {
				all = append(all, l.Record)
				l.moved = false
			}
		}
	}
	return all
}

func (t *Tracker) lose(l *Log) {
	_ = l.file.Close() // only read from
	delete(t.live, l.Key)
	l.file, l.gone = nil, false
	if len(l.Head) > 0 { // otherwise nothing of it was read, nor can it be known again
		t.lost[l.ID] = l
	}
}

// leave looks at files whose path is gone, for as long as they are open.
func (t *Tracker) leave(seen map[Key]bool, now time.Time) {
	for k, l := range t.live {
		if seen[k] {
			continue
		}
		l.gone = true
		c, err := Look(l.file)
		if err != nil {
			t.errors(err)
			t.lose(l)
			continue
		}
		if c.Size != l.Size {
			c.Path = l.Path
			t.still(l, c, now)
			l.gone = true
		}
	}
}

// Retire closes a file that is gone and read to its end.
func (t *Tracker) Retire(l *Log) {
	if l.gone && l.file != nil && l.Unread() == 0 {
		t.lose(l)
	}
}

// Gone reports whether no path leads to the file any more.
func (l *Log) Gone() bool { return l.gone }

// open opens a candidate if it is still the same file.
func (t *Tracker) open(c Candidate) *os.File {
	f, err := os.Open(c.Path)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			t.errors(err)
		}
		return nil
	}
	now, err := Look(f)
	if err != nil || now.Key != c.Key {
		_ = f.Close() // only read from
		return nil
	}
	return f
}

// resume goes on with a lost log in f if its content is there.
func (t *Tracker) resume(l *Log, f *os.File, c Candidate, now time.Time) bool {
	tail, ok, err := l.holds(f)
	if err != nil {
		t.errors(err)
	}
	if !ok || c.Size < l.Cursor {
		return false
	}
	l.tail = tail
	t.take(l, f, c, now)
	return true
}

func (t *Tracker) take(l *Log, f *os.File, c Candidate, now time.Time) {
	delete(t.lost, l.ID)
	l.moved = l.moved || l.Key != c.Key || l.Path != c.Path
	l.file, l.Key, l.Path, l.Size, l.Source = f, c.Key, c.Path, c.Size, c.Source
	l.modTime, l.grown, l.Seen, l.gone = c.ModTime, now, now.UnixNano(), false
	t.live[c.Key] = l
}

// meet decides what a file is whose key nobody knows.
func (t *Tracker) meet(c Candidate, now time.Time) {
	f := t.open(c)
	if f == nil {
		return
	}
	switch {
	case t.continues(f, c, now):
	case t.copies(f, c):
		_ = f.Close() // only read from
	default:
		l := &Log{Record: Record{ID: t.next, Name: c.Path}}
		t.next++
		t.take(l, f, c, now)
	}
}

// continues looks for a lost log that goes on in f: as a copy that was made
// before it was truncated or removed.
func (t *Tracker) continues(f *os.File, c Candidate, now time.Time) bool {
	for _, l := range slices.Backward(t.Lost()) {
		switch {
		case l.InFlight && t.shadows[c.Key] == l.ID && c.Size < l.Size:
			_ = f.Close() // only read from; decided once it is known what was sent
			return true
		case len(l.Head) == 0 || !l.MayCopy(c.Key, c.Path) && !l.Rewritten(c.Path):
		case t.resume(l, f, c, now):
			t.log.Debug("a log file goes on in a copy", "file", l.Name, "copy", c.Path)
			return true
		case c.Size < l.Cursor && l.MayCopy(c.Key, c.Path) &&
			(t.shadows[c.Key] == l.ID || c.Size <= int64(len(l.Head)) || l.passed(f, c.Size)):
			if t.spent(l, f, c, now) {
				return true
			}
		}
	}
	return false
}

// spent takes a copy that was made before the last lines that we read: nothing
// in it is new.
func (t *Tracker) spent(l *Log, f *os.File, c Candidate, now time.Time) bool {
	n := min(TailSize, c.Size)
	ok, err := l.begins(f)
	tail, other := readAt(f, make([]byte, n), c.Size-n)
	if err = errors.Join(err, other); err != nil {
		t.errors(err)
	}
	if !ok || err != nil {
		return false
	}
	l.Head, l.Cursor, l.tail = l.Head[:min(int64(len(l.Head)), c.Size)], c.Size, tail
	l.TailLen, l.Tail, l.moved = len(tail), Sum(tail), true
	l.PastLen = 0
	t.take(l, f, c, now)
	return true
}

// copies reports whether f is a copy of a live file. It is left alone until it
// shows which of the two goes on.
func (t *Tracker) copies(f *os.File, c Candidate) bool {
	for _, l := range t.live {
		if c.Size > l.Size || !l.MayCopy(c.Key, c.Path) {
			continue
		}
		if ok, err := CopyOf(f, l.file, c.Size); ok && err == nil {
			t.shadows[c.Key] = l.ID
			return true
		}
	}
	return false
}
