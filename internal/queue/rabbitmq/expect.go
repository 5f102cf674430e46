package rabbitmq

import "github.com/colliehq/collie/internal/queue"

// Expect takes the subscriptions as if they were declared, without asking the
// broker: Drift then compares them with what is there.
func (q *Queue) Expect(subs ...queue.Subscription) {
	for _, s := range subs {
		q.remember(s)
	}
}
