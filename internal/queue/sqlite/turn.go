package sqlite

import (
	"slices"

	"github.com/colliehq/collie/internal/queue"
)

// enter puts a consumer at the end of those of its subscription.
func (q *Queue) enter(c *consumer) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return queue.ErrClosed
	}
	q.consumers[c.sub] = append(q.consumers[c.sub], c)
	return nil
}

// leave lets the next consumer have its turn. A consumer that still has
// deliveries in its hand stays known, so that Close can give them back.
func (q *Queue) leave(c *consumer) {
	q.mu.Lock()
	c.left = true
	q.consumers[c.sub] = slices.DeleteFunc(q.consumers[c.sub], func(o *consumer) bool { return o.left && o.inHand() == 0 })
	q.mu.Unlock()
	c.sub.Notify()
}

func (q *Queue) hasLeft(c *consumer) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return c.left
}

// turn reports whether the consumer may take messages: an exclusive one is
// alone, in order of arrival.
func (q *Queue) turn(c *consumer) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, o := range q.consumers[c.sub] {
		if o == c {
			return true
		}
		if !o.left && (o.opts.Exclusive || c.opts.Exclusive) {
			return false
		}
	}
	return false
}
