package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/retry"
)

// RunModel does random operations on an empty queue and on a model of it, and
// compares them after each. The same seed does the same. The model knows what
// the engine does without.
func RunModel(t *testing.T, seed uint64, steps int, open func(t *testing.T) queue.Queue, without ...string) {
	t.Helper()
	m := &model{t: t, q: limited{open(t), without}, r: rand.New(rand.NewPCG(seed, seed)), subs: []*modelSub{
		{spec: queue.Subscription{Topic: "a", Name: "a1", Limit: 12}},
		{spec: queue.Subscription{Topic: "a", Name: "a2", Limit: 6, OnFull: queue.Spill}},
		{spec: queue.Subscription{Topic: "b", Name: "b1", Limit: 1000}},
	}}
	for _, s := range m.subs {
		declare(t, m.q, s.spec)
	}
	for step := range steps {
		m.step()
		m.compare()
		if t.Failed() {
			t.Fatalf("seed %d, step %d", seed, step)
		}
	}
}

// model is what the contract says of one consumer that takes one message at a
// time. Delays are none or long, so that time decides nothing.
type model struct {
	t    *testing.T
	q    queue.Queue
	r    *rand.Rand
	subs []*modelSub
	last int
	due  int // the latest due time, in steps of a second from an hour on
	at   int // the last place
}

// place is where a message goes that was published, set aside or comes again:
// behind all others of its state, or where it was published.
func (m *model) place(it *modelItem) {
	if m.at++; it.at == 0 || !keeps(m.q, RetryInPlace) {
		it.at = m.at
	}
}

// later is a delay that no test waits for, longer than every one before.
func (m *model) later() time.Duration {
	m.due++
	return time.Hour + time.Duration(m.due)*time.Second
}

type modelSub struct {
	spec  queue.Subscription
	items []*modelItem // in order of publication
}

type modelItem struct {
	Key     string
	State   queue.State
	Attempt int
	Cause   string
	due     int  // of a delayed one: which of the delays it is
	back    bool // delayed by a consumer
	at      int  // its place
}

func (s *modelSub) in(states ...queue.State) (items []*modelItem) {
	for _, it := range s.items {
		if slices.Contains(states, it.State) {
			items = append(items, it)
		}
	}
	slices.SortStableFunc(items, func(a, b *modelItem) int { return a.at - b.at })
	return items
}

func (s *modelSub) remove(it *modelItem) {
	s.items = slices.DeleteFunc(s.items, func(o *modelItem) bool { return o == it })
}

func (m *model) step() {
	s := m.subs[m.r.IntN(len(m.subs))]
	switch n := m.r.IntN(10); {
	case n < 4:
		n := 1 + m.r.IntN(3)
		if s.spec.Topic == "a" && !keeps(m.q, RetryInPlace) {
			n = 1 // within a batch such an engine spills what was there before
		}
		m.publish(s.spec.Topic, n)
	case n < 9:
		m.take(s)
	default:
		m.redrive(s)
	}
}

func (m *model) publish(topic string, n int) {
	var msgs []queue.Message
	for range n {
		m.last++
		key := m.last
		if m.r.IntN(5) == 0 && keeps(m.q, SameKeyOnce) {
			key = 1 + m.r.IntN(m.last) // an old one again
		}
		msg := queue.Message{Topic: topic, Key: fmt.Sprint(key)}
		if m.r.IntN(6) == 0 {
			msg.NotBefore = time.Now().Add(m.later())
		}
		msgs = append(msgs, msg)
	}
	before := m.snapshot()
	for _, msg := range msgs {
		if !m.publishOne(msg) {
			m.restore(before)
			wantErr(m.t, m.q.Publish(m.t.Context(), msgs...), queue.ErrFull)
			return
		}
	}
	must(m.t, m.q.Publish(m.t.Context(), msgs...))
}

func (m *model) dueOf(msg queue.Message) int {
	return int((time.Until(msg.NotBefore) - time.Hour).Round(time.Second) / time.Second)
}

// publishOne reports whether there was room.
func (m *model) publishOne(msg queue.Message) bool {
	var readers []*modelSub
	for _, s := range m.subs {
		if s.spec.Topic == msg.Topic {
			readers = append(readers, s)
		}
		if s.spec.Topic == msg.Topic && keeps(m.q, SameKeyOnce) && slices.ContainsFunc(s.items, func(it *modelItem) bool { return it.Key == msg.Key }) {
			return true // stored already
		}
	}
	for _, s := range readers {
		if !m.admit(s) {
			return false
		}
		it := &modelItem{Key: msg.Key, State: queue.Ready}
		m.place(it)
		if !msg.NotBefore.IsZero() {
			it.State, it.due = queue.Delayed, m.dueOf(msg)
		}
		s.items = append(s.items, it)
	}
	return true
}

func (m *model) admit(s *modelSub) bool {
	if len(s.in(queue.Ready, queue.Delayed, queue.Leased)) < s.spec.Limit {
		return true
	}
	if s.spec.OnFull == queue.Refuse {
		return false
	}
	oldest := s.in(queue.Ready)
	if len(oldest) == 0 {
		oldest = s.in(queue.Delayed)
		slices.SortFunc(oldest, func(a, b *modelItem) int { return a.due - b.due })
	}
	oldest[0].State = queue.Spilled
	m.place(oldest[0])
	if spilled := s.in(queue.Spilled); len(spilled) > s.spec.Limit {
		s.remove(spilled[0])
	}
	return true
}

func (m *model) snapshot() [][]modelItem {
	var all [][]modelItem
	for _, s := range m.subs {
		var items []modelItem
		for _, it := range s.items {
			items = append(items, *it)
		}
		all = append(all, items)
	}
	return all
}

func (m *model) restore(all [][]modelItem) {
	for i, items := range all {
		m.subs[i].items = nil
		for _, it := range items {
			m.subs[i].items = append(m.subs[i].items, &it)
		}
	}
}

// take consumes one message and settles it in a random way.
func (m *model) take(s *modelSub) {
	exclusive := m.r.IntN(2) == 0
	it := s.next(exclusive && keeps(m.q, RetryHoldsBack))
	if it == nil {
		return
	}
	ctx, cancel := context.WithCancel(m.t.Context())
	defer cancel()
	deliveries, err := m.q.Consume(ctx, s.spec.Name, queue.Options{Exclusive: exclusive})
	must(m.t, err)
	defer func() {
		// What was taken ahead is given back before the channel is read to its
		// end: a receiver could still get it.
		cancel()
		if !m.t.Failed() {
			waitFor(m.t, func() bool { return stats(m.t, m.q, s.spec.Name).Leased == 0 })
		}
		for range deliveries { // it closes
		}
	}()
	d := next(m.t, deliveries)
	if !keeps(m.q, LooksAreFree) { // what was given back may be behind others
		it = s.ready(d.Key, d.Attempt, it)
	}
	it.Attempt++
	if d.Attempt > it.Attempt && !keeps(m.q, LooksAreFree) {
		it.Attempt = d.Attempt
	}
	if d.Key != it.Key || d.Attempt != it.Attempt {
		m.t.Errorf("%s delivers %s, attempt %d; want %s, attempt %d", s.spec.Name, d.Key, d.Attempt, it.Key, it.Attempt)
	}
	m.settle(s, it, d)
}

// ready is the message with the key that may have been delivered, or otherwise.
func (s *modelSub) ready(key string, attempt int, otherwise *modelItem) *modelItem {
	found := otherwise
	for _, it := range s.in(queue.Ready) {
		if it.Key == key && (found.Key != key || it.Attempt+1 == attempt) {
			found = it
		}
	}
	return found
}

// next is what is delivered next: the oldest that is ready, and with order
// nothing that is behind one that comes again.
func (s *modelSub) next(ordered bool) *modelItem {
	for _, it := range s.in(queue.Ready, queue.Delayed) {
		if it.State == queue.Ready {
			return it
		}
		if ordered && it.State == queue.Delayed && it.back {
			return nil
		}
	}
	return nil
}

func (m *model) settle(s *modelSub, it *modelItem, d queue.Delivery) {
	ctx, cause := m.t.Context(), fmt.Errorf("cause %d", m.r.IntN(100))
	switch m.r.IntN(6) {
	case 0, 1:
		s.remove(it)
		must(m.t, d.Ack(ctx))
	case 2:
		it.State, it.Cause = queue.Parked, cause.Error()
		must(m.t, d.Park(ctx, cause))
	case 3:
		it.State, it.Cause = queue.Ready, cause.Error()
		must(m.t, d.RetryAfter(ctx, 0, cause))
	case 4:
		delay := m.later()
		it.State, it.Cause, it.due, it.back = queue.Delayed, cause.Error(), m.due, true
		must(m.t, d.RetryAfter(ctx, delay, cause))
	case 5:
		it.State, it.Cause = queue.Ready, cause.Error()
		it.Attempt--
		must(m.t, d.RetryAfter(ctx, 0, retry.After(0, cause)))
	}
	m.place(it)
	if err := d.Ack(ctx); !errors.Is(err, queue.ErrLost) {
		m.t.Errorf("settled twice: %v", err)
	}
}

func (m *model) redrive(s *modelSub) {
	var keys []string
	aside := slices.Concat(s.in(queue.Parked), s.in(queue.Spilled))
	if m.r.IntN(2) == 0 && len(aside) > 0 {
		keys = []string{aside[m.r.IntN(len(aside))].Key}
	}
	want := 0
	for _, it := range aside {
		if len(keys) == 0 || it.Key == keys[0] {
			it.State, it.Attempt, it.Cause = queue.Ready, 0, ""
			m.place(it)
			want++
		}
	}
	n, err := m.q.Redrive(m.t.Context(), s.spec.Name, keys...)
	must(m.t, err)
	if n != want {
		m.t.Errorf("redrove %d of %s, want %d", n, s.spec.Name, want)
	}
}

func (m *model) compare() {
	for _, s := range m.subs {
		var n depth
		for _, it := range s.items {
			n.add(it.State)
		}
		diff := m.differ(s)
		for begin := time.Now(); diff != "" && !keeps(m.q, CountsAtOnce) && time.Since(begin) < hang; diff = m.differ(s) {
			time.Sleep(50 * time.Millisecond)
		}
		if diff != "" {
			m.t.Errorf("%s (-model +queue):\n%s", s.spec.Name, diff)
		}
		wantDepth(m.t, m.q, s.spec.Name, n)
	}
}

// differ compares what is looked at with what the model holds.
func (m *model) differ(s *modelSub) string {
	entries, err := m.q.Peek(m.t.Context(), s.spec.Name, queue.Filter{Limit: 10_000})
	must(m.t, err)
	var got, want []modelItem
	for i, e := range entries {
		got = append(got, modelItem{Key: e.Key, State: e.State, Attempt: e.Attempt, Cause: e.Cause})
		if i < len(s.items) && s.items[i].Key == e.Key && e.Attempt > s.items[i].Attempt && !keeps(m.q, LooksAreFree) {
			s.items[i].Attempt, s.items[i].Cause = e.Attempt, e.Cause
		}
	}
	if !keeps(m.q, LooksAreFree) {
		s.swapSpilled(got)
	}
	for _, it := range s.items {
		want = append(want, *it)
	}
	return cmp.Diff(want, got, cmpopts.IgnoreUnexported(modelItem{}))
}

// swapSpilled takes over which of the ready ones were set aside: what was given
// back may be behind others, which are the oldest then.
func (s *modelSub) swapSpilled(got []modelItem) {
	var kept, aside *modelItem
	for i, it := range s.items[:min(len(s.items), len(got))] {
		switch {
		case it.Key != got[i].Key:
			return
		case it.State == queue.Ready && got[i].State == queue.Spilled:
			kept = it
		case it.State == queue.Spilled && got[i].State == queue.Ready:
			aside = it
		}
	}
	if kept != nil && aside != nil {
		kept.State, aside.State = aside.State, kept.State
		kept.at, aside.at = aside.at, kept.at
	}
}

func (d *depth) add(s queue.State) {
	switch s {
	case queue.Ready:
		d.Ready++
	case queue.Delayed:
		d.Delayed++
	case queue.Leased:
		d.Leased++
	case queue.Parked:
		d.Parked++
	case queue.Spilled:
		d.Spilled++
	}
}
