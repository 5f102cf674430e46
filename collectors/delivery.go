package collectors

import (
	"math/rand/v2"
	"time"

	"github.com/colliehq/collie/collectors/loki"
)

// delivery is how far the sending of a batch came. It begins again after a
// start, with the same bytes.
type delivery struct {
	todo     []stretch // the next one last
	refused  []refusal
	attempts int // in a row that were not answered
	next     time.Time
}

// stretch is entries of the batch, from i to before j.
type stretch struct{ i, j int }

// refusal is an entry that Loki does not take.
type refusal struct {
	entry  int
	status int
	reason string
}

func newDelivery(entries int) *delivery {
	d := &delivery{}
	if entries > 0 {
		d.todo = append(d.todo, stretch{0, entries})
	}
	return d
}

func (d *delivery) done() bool { return len(d.todo) == 0 }

// answered takes what became of the next stretch. Of a refused one, both halves
// are sent again, until the entries stand alone that Loki does not take: it keeps
// the good ones of a refused request, and takes them a second time as the same.
func (d *delivery) answered(a loki.Answer, now time.Time) {
	if a.Verdict == loki.Later {
		d.next = now.Add(max(a.After, backoff(d.attempts, rand.Float64())))
		d.attempts++
		return
	}
	d.attempts = 0
	last := len(d.todo) - 1
	s := d.todo[last]
	d.todo = d.todo[:last]
	switch {
	case a.Verdict == loki.Accepted:
	case s.j-s.i == 1:
		d.refused = append(d.refused, refusal{entry: s.i, status: a.Status, reason: a.Cause})
	default:
		mid := (s.i + s.j) / 2
		d.todo = append(d.todo, stretch{mid, s.j}, stretch{s.i, mid})
	}
}

// backoff is the pause after a number of attempts: from half a second, doubled
// up to a minute, of which a part is random.
func backoff(attempts int, random float64) time.Duration {
	const least, most = 500 * time.Millisecond, time.Minute
	d := min(most, least<<min(attempts, 10))
	return d/2 + time.Duration(random*float64(d/2))
}
