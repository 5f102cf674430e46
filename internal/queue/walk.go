package queue

import "context"

// Walker is an engine that can show every message of a subscription, oldest
// first, however many there are.
type Walker interface {
	// Walk calls each for every entry that the filter lets through, until each
	// fails. Messages that come or go meanwhile may be seen or not.
	Walk(ctx context.Context, subscription string, filter Filter, each func(Entry) error) error
}

// Walk walks through a subscription. Of an engine that is no Walker, only as
// many entries are seen as one Peek shows; filter.Limit 0 means no limit for a
// Walker.
func Walk(ctx context.Context, q Queue, subscription string, filter Filter, each func(Entry) error) error {
	if w, ok := q.(Walker); ok {
		return w.Walk(ctx, subscription, filter, each)
	}
	if filter.Limit <= 0 {
		filter.Limit = peekAtOnce
	}
	entries, err := q.Peek(ctx, subscription, filter)
	for i := 0; err == nil && i < len(entries); i++ {
		err = each(entries[i])
	}
	return err
}

// peekAtOnce bounds what is held in memory of an engine that cannot walk.
const peekAtOnce = 10_000
