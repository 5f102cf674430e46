package rabbitmq

import (
	"cmp"
	"slices"
	"strings"

	"github.com/colliehq/collie/exporters/probe"
)

// queue is one queue of the cluster.
type queue struct {
	vhost, name string
	count       [counts]float64
	has         [counts]bool
}

// table is the queues of a cluster, told by several nodes.
type table struct {
	o      *options
	queues []queue
	index  map[[2]string]int

	sources map[source]bool // the roads that counts came on
	broken  int             // lines that were passed over
}

func newTable(o *options) *table {
	return &table{o: o, index: map[[2]string]int{}, sources: map[source]bool{}}
}

// add takes what one more node tells of a queue. One that just got another
// leader may be told of twice: then the larger counts hold, for a queue must not
// look emptier than it is.
func (t *table) add(vhost, name string, count [counts]float64, has [counts]bool) error {
	key := [2]string{vhost, name}
	at, ok := t.index[key]
	if !ok {
		if len(t.queues) == maxRows {
			return faultf(probe.Quota, "the cluster has more than %d queues", maxRows)
		}
		at = len(t.queues)
		t.index[key] = at
		t.queues = append(t.queues, queue{vhost: vhost, name: name})
	}
	q := &t.queues[at]
	for i := range counts {
		if has[i] {
			q.count[i], q.has[i] = max(q.count[i], count[i]), true
		}
	}
	return nil
}

// addReport takes what a node tells on its metrics endpoint.
func (t *table) addReport(p *report) error {
	t.sources[fromMetrics] = true
	t.broken += p.broken
	for i := range p.rows {
		vhost, name, ok := p.names(p.rows[i].labels)
		switch {
		case !ok:
			t.broken++
			continue
		case !t.o.inside(vhost):
			continue
		}
		if err := t.add(vhost, name, p.rows[i].count, p.rows[i].has); err != nil {
			return err
		}
	}
	return nil
}

// addListed takes a queue of the management API, unless a node told of it
// itself: that is more recent.
func (t *table) addListed(q *listedQueue) error {
	t.sources[fromManagement] = true
	if _, told := t.index[[2]string{q.VHost, q.Name}]; told || !t.o.inside(q.VHost) {
		return nil
	}
	if q.Name == "" || len(q.Name) > maxName || len(q.VHost) > maxName {
		t.broken++
		return nil
	}
	var count [counts]float64
	var has [counts]bool
	for i, v := range [counts]*float64{ready: q.Ready, unacknowledged: q.Unacked, messages: q.Messages, consumers: q.Consumers} {
		if v != nil && *v >= 0 {
			count[i], has[i] = *v, true
		}
	}
	return t.add(q.VHost, q.Name, count, has)
}

// totals are the sums over all queues, and how many queues told each of them.
func (t *table) totals() (sums [counts]float64, told [counts]int) {
	for i := range t.queues {
		for c := range counts {
			sums[c] += t.queues[i].count[c]
			if t.queues[i].has[c] {
				told[c]++
			}
		}
	}
	return sums, told
}

// largest are the queues that get series of their own: of those that the
// options choose the ones with the most messages, and of as many messages those
// that come first by name, so that the choice stays the same. They are ordered
// by name.
func (t *table) largest() (shown []*queue, chosen int) {
	for i := range t.queues {
		if q := &t.queues[i]; t.o.chosen(q.vhost, q.name) {
			shown = append(shown, q)
		}
	}
	chosen = len(shown)
	if chosen > t.o.MaxQueues {
		slices.SortFunc(shown, byDepth)
		shown = shown[:t.o.MaxQueues]
	}
	slices.SortFunc(shown, byName)
	return shown, chosen
}

func byName(a, b *queue) int {
	return cmp.Or(strings.Compare(a.vhost, b.vhost), strings.Compare(a.name, b.name))
}

func byDepth(a, b *queue) int {
	return cmp.Or(cmp.Compare(b.count[messages], a.count[messages]), byName(a, b))
}
