package local

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// patience is how long a probe waits for statfs at most. A healthy file system
// answers in microseconds, a healthy NFS server in milliseconds.
const patience = time.Second

// errLost says that the helper ended before it had answered, so that nothing is
// known about the mount.
var errLost = errors.New("the helper process that asks for sizes ended")

// asker makes statfs calls somewhere they can hang without harm.
type asker interface {
	// ask starts a call, and fails if it could not be started before ctx ends.
	ask(ctx context.Context, path string) (*call, error)
	// abandon says that nobody waits for the call any more: its mount is gone.
	abandon(c *call)
	close() error
}

// call is one statfs on its way.
type call struct {
	sent   time.Time
	done   chan struct{} // closed when answer, err and ended are set
	ended  time.Time
	answer answer
	err    error
}

// answer is what statfs says, in the kernel's units.
type answer struct {
	errno                     syscall.Errno
	unit, blocks, free, avail uint64 // unit in bytes, the others in units
	files, filesFree          uint64
}

func newCall() *call { return &call{sent: time.Now(), done: make(chan struct{})} }

func (c *call) finish(a answer, err error) {
	c.answer, c.err, c.ended = a, err, time.Now()
	close(c.done)
}

func (c *call) finished() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// sightKey tells one mount from another that was mounted at the same place later.
type sightKey struct {
	id            int
	device, point string
}

func (m mount) key() sightKey { return sightKey{m.id, m.device, m.point} }

// sight is what was seen of one mount. At most one call is out for it; probes
// at the same time share it.
type sight struct {
	mu       sync.Mutex
	out      *call     // nil: none is out
	since    time.Time // since when calls stay unanswered; zero: they do not
	last     answer    // of the last call that succeeded
	at       time.Time // when that was; zero: never
	err      error     // how the last call ended
	writable bool      // it has been seen mounted for writing
}

// view is what one probe sees of a mount.
type view struct {
	mount
	answer
	at       time.Time // when the answer was had; zero: never
	stuck    time.Time // since when the mount has not answered; zero: it does
	err      error     // why there is no new answer
	writable bool      // it was once mounted for writing
}

// start makes sure that a call is out, unless the last one still is.
func (s *sight) start(ctx context.Context, a asker, m mount) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writable = s.writable || !m.readonly()
	s.settle()
	if s.out != nil {
		return
	}
	c, err := a.ask(ctx, m.point)
	if err != nil {
		s.err = err
		return
	}
	s.out = c
	if s.since.IsZero() {
		s.since = c.sent
	}
}

// wait waits for the call that is out. One that is overdue is not waited for:
// a probe pays for a hanging mount once, not each time.
func (s *sight) wait(ctx context.Context) {
	s.mu.Lock()
	c := s.out
	s.mu.Unlock()
	if c == nil || time.Since(c.sent) >= patience {
		return
	}
	select {
	case <-c.done:
	case <-ctx.Done():
	}
}

// settle takes over the answer, if there is one. The caller holds s.mu.
func (s *sight) settle() {
	if s.out == nil || !s.out.finished() {
		return
	}
	c := s.out
	s.out, s.err = nil, c.err
	if c.err != nil {
		return
	}
	s.since = time.Time{}
	if c.answer.errno != 0 {
		s.err = c.answer.errno
		return
	}
	s.last, s.at = c.answer, c.ended
}

// view returns what is known now, and whether asking again could tell more.
func (s *sight) view(m mount) (v view, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	v = view{mount: m, answer: s.last, at: s.at, err: s.err, writable: s.writable}
	if s.out != nil {
		v.stuck, v.err = s.since, fmt.Errorf("no answer for %s", time.Since(s.since).Round(time.Second))
	}
	return v, s.out == nil && errors.Is(s.err, errLost)
}

// look asks all the mounts at once and returns what is known of each when all
// have answered, or when patience or ctx has run out.
func (l *Local) look(ctx context.Context, mounts []mount) []view {
	ctx, cancel := context.WithTimeout(ctx, budget(ctx))
	defer cancel()
	sights := make([]*sight, len(mounts))
	for i, m := range mounts {
		sights[i] = l.sight(m)
		sights[i].start(ctx, l.asker, m)
	}
	views := make([]view, len(mounts))
	for i, m := range mounts {
		sights[i].wait(ctx)
		v, again := sights[i].view(m)
		if again {
			sights[i].start(ctx, l.asker, m)
			sights[i].wait(ctx)
			v, _ = sights[i].view(m)
		}
		views[i] = v
	}
	return views
}

// budget leaves a part of the time limit for the answer itself.
func budget(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return patience
	}
	return min(patience, time.Until(deadline)*9/10)
}
