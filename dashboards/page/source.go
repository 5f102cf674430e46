package page

import (
	"context"
	"errors"
	"time"

	"github.com/colliehq/collie/signal"
)

// Source is the record as the page reads it. Every method may be called from
// several requests at once; an error means that the record cannot be read now,
// unless it is ErrNotFound or ErrCursor.
type Source interface {
	// Targets returns every target that is configured now, in any order. It
	// may leave Evidence empty.
	Targets(ctx context.Context) ([]Target, error)

	// Target returns one target with its evidence, also if it has left the
	// configuration. The error is ErrNotFound if the record never heard of it.
	Target(ctx context.Context, name string) (Target, error)

	// Intervals returns the intervals that q selects, newest first for each
	// target, and the cursor of the next page, "" after the last one. Several
	// targets are asked for at once only without a cursor; then any cursor in
	// the answer says that not all of it is there.
	Intervals(ctx context.Context, q IntervalQuery) ([]Interval, string, error)

	// Availability sums up one target's states between from and to.
	Availability(ctx context.Context, name string, from, to time.Time) (Availability, error)

	// Journal returns the signals that q selects, newest first, and the cursor
	// of the next page, "" after the last one.
	Journal(ctx context.Context, q JournalQuery) ([]JournalEntry, string, error)
}

// Errors that a Source answers with when the question was wrong.
var (
	ErrNotFound = errors.New("not found")
	ErrCursor   = errors.New("no such place in the list")
)

// Target is a target with the state it is in.
type Target struct {
	Name    string
	Address string // what is probed
	Probe   string // the module
	Tier    string // essential, necessary, optional
	Every   string // the probe interval, as Go writes durations

	State signal.State
	Since time.Time // from when the state holds; zero if nothing is known yet
	Rule  string    // what made this the verdict

	// The last failure: of this state if the target is not up, else the one
	// before it came up. Empty if none is on record.
	Reason   string
	Cause    string
	Evidence string
	Failed   time.Time // when it was seen; zero if not known

	Source  string    // who looks at it, "exporter/host1"
	Blind   bool      // the lease of Source lapsed: nobody looks
	Seen    time.Time // Source was looking until then; zero if not known
	Removed bool      // it left the configuration

	Provides  []string
	DependsOn []string
}

// Interval is a stretch in one state.
type Interval struct {
	Target string
	State  signal.State
	From   time.Time
	To     time.Time // zero while it lasts

	Reason   string
	Cause    string
	Evidence string
	Rule     string
}

// IntervalQuery selects intervals that have a part between From and To.
type IntervalQuery struct {
	Targets []string
	From    time.Time
	To      time.Time
	Cursor  string // "" for the newest
	Limit   int    // of the answer
	Brief   bool   // Cause, Evidence and Rule are not needed
}

// Availability is for how long a target was in which state. Suspicion counts
// as what followed it.
type Availability struct {
	Up, Degraded, Down, Unreachable, Unknown, Maintenance time.Duration

	Downtimes int // how many began or went on in this time
}

// Ratio is (up+degraded) / (up+degraded+down), between 0 and 1, and whether
// there is anything to divide.
func (a Availability) Ratio() (float64, bool) {
	good := a.Up + a.Degraded
	if good+a.Down <= 0 {
		return 0, false
	}
	return float64(good) / float64(good+a.Down), true
}

// JournalEntry is one recorded signal.
type JournalEntry struct {
	Signal   signal.Signal
	Recorded time.Time
}

// JournalQuery selects signals. Empty fields select all.
type JournalQuery struct {
	Kind    signal.Kind
	Subject string // exactly
	Cursor  string // "" for the newest
	Limit   int    // of the answer
}
