package s3

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/s3/api"
	"github.com/colliehq/collie/internal/strictyaml"
)

// probe asks the server whether the bucket is there and may be listed, and adds
// what was counted of it.
func (b *bucket) probe(ctx context.Context, req probe.Request) probe.Result {
	var m probe.Metrics
	client, err := b.o.connect(req.Target, req, 0)
	if err != nil {
		client = &link{} // shows that nothing was asked
	} else {
		defer client.close()
		err = b.check(ctx, client)
	}
	j, room := b.s3.jobOf(b, req, err == nil)
	var s sight
	switch {
	case j != nil:
		j.load(ctx)
		s = j.sight()
	case room && err == nil:
		s, err = b.direct(ctx, client, req)
	}
	if err == nil && !room {
		err = fmt.Errorf("%w: %d buckets are counted already, this one cannot be", errBudget, maxJobs)
	}
	client.exportCost(&m, "probe_s3", "resolve", "connect", "tls", "check", "list")
	now := b.s3.now()
	exportTotal(&m, s.total, now)
	exportSight(&m, s)
	if err != nil {
		return failed(m, err)
	}
	if reason, cause := b.judge(s.total, now); reason != probe.None {
		return probe.Fail(m, reason, cause)
	}
	return probe.Result{Success: true, Metrics: m}
}

// during tells in what an error came about.
func during(what string, err error) error {
	if err == nil {
		return nil
	}
	return &partial{what + ": " + words(err), err}
}

// failed is the result for an error.
func failed(m probe.Metrics, err error) probe.Result {
	return probe.Fail(m, reasonOf(err), words(err))
}

// check asks for one key: that needs the bucket, the credentials and the right
// to list.
func (b *bucket) check(ctx context.Context, client *link) error {
	start := time.Now()
	defer func() { client.phases.add("check", time.Since(start)) }()
	var page api.Page
	return client.List(ctx, api.Query{Listing: api.Objects, Prefix: b.o.Prefix, Max: 1}, &page)
}

// judge holds the counts against what the module accepts.
func (b *bucket) judge(t *Total, now time.Time) (probe.Reason, string) {
	if t == nil {
		return probe.None, ""
	}
	newest := now.Sub(time.Unix(t.Newest, 0))
	age := now.Sub(t.Ended)
	switch o := b.o; {
	case o.MaxTotalAge > 0 && age > o.MaxTotalAge:
		return probe.Stale, fmt.Sprintf("the bucket was last counted %s ago, more than max_total_age", round(age))
	case o.MaxNewestAge > 0 && t.Newest == 0:
		return probe.Stale, "the bucket is empty, but max_newest_age is set"
	case o.MaxNewestAge > 0 && newest > o.MaxNewestAge:
		return probe.Stale, fmt.Sprintf("the newest object is %s old, more than max_newest_age (%s)", round(newest), strictyaml.FormatDuration(o.MaxNewestAge))
	case o.MaxSize > 0 && t.Bytes+t.OlderBytes+t.UploadBytes > int64(o.MaxSize):
		return probe.Quota, fmt.Sprintf("%d bytes are in the bucket with older versions and unfinished uploads, more than max_size", t.Bytes+t.OlderBytes+t.UploadBytes)
	}
	return probe.None, ""
}

func round(d time.Duration) string { return strictyaml.FormatDuration(d.Round(time.Second)) }

// margin is kept of the time limit to tell how far a direct listing came.
const margin = 200 * time.Millisecond

// direct lists here and now, for who has nothing that runs in the background.
func (b *bucket) direct(ctx context.Context, checked *link, req probe.Request) (sight, error) {
	start := time.Now()
	defer func() { checked.phases.add("list", time.Since(start)) }()
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-min(margin, time.Until(deadline)/4)))
		defer cancel()
	}
	client, err := b.o.connect(req.Target, req, b.o.Parallel)
	if err != nil {
		return sight{}, err
	}
	defer client.close()
	budget := newBudget(b.o.RequestsPerHour, time.Now)
	source := &lister{client: client, o: b.o, now: b.s3.now, pager: &budgeted{client: client, budget: budget, policy: patient()}}
	total, err := source.Total(ctx)
	s := sight{seen: source.Seen(), requests: client.requests.Load(), bytes: client.bytes.Load(), failure: err}
	s.left, _ = budget.remaining()
	if err == nil {
		s.total = &total
		return s, nil
	}
	return s, incomplete(err, s)
}

// incomplete says how far a direct listing came.
func incomplete(err error, s sight) error {
	far := fmt.Sprintf("after %d objects with %d bytes, in %d requests; in a running Collie it goes on in the background", s.seen.Objects, s.seen.Bytes, s.requests)
	if errors.Is(err, context.DeadlineExceeded) {
		return &partial{"the time was up " + far, err}
	}
	return &partial{fmt.Sprintf("%s (%s)", words(err), far), err}
}

// partial is an error with how far we came.
type partial struct {
	text  string
	cause error
}

func (p *partial) Error() string { return p.text }
func (p *partial) Unwrap() error { return p.cause }
