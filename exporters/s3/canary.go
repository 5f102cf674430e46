package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/s3/api"
)

// canary is an "s3_canary" module: it writes, reads and deletes one small
// object.
type canary struct {
	s3 *S3
	o  canaryOptions

	mu    sync.Mutex
	swept map[string]time.Time // by target: when we last looked for what is left over
}

// Bounds on looking for what others left over.
const (
	sweepEvery  = 10 * time.Minute
	leftoverAge = 10 * time.Minute // no probe takes so long
	maxLeftover = 20               // removed by one probe
	maxSwept    = 1024             // targets that are remembered
)

// trial is one probe of the canary.
type trial struct {
	*canary
	client  *link
	key     string
	body    []byte
	version string
	found   int // that was left over by earlier probes
	removed int
}

func (c *canary) probe(ctx context.Context, req probe.Request) probe.Result {
	var m probe.Metrics
	t := &trial{canary: c, client: &link{}, key: c.o.Prefix + c.s3.now().UTC().Format("20060102T150405Z") + "-" + rand.Text(), body: make([]byte, c.o.Size)}
	_, _ = rand.Read(t.body) // never fails
	client, err := c.o.connect(req.Target, req, 1)
	if err == nil {
		t.client = client
		defer client.close()
		err = t.run(ctx, req.Target)
	}
	t.client.exportCost(&m, "probe_s3_canary", "resolve", "connect", "tls", "put", "read", "delete", "sweep")
	m.Gauge("probe_s3_canary_size_bytes", "Size of the object that is written, read and deleted.", float64(c.o.Size))
	m.Gauge("probe_s3_canary_leftovers", "Objects of earlier probes, which did not come to delete them, that this probe found.", float64(t.found))
	m.Gauge("probe_s3_canary_leftovers_removed", "Of these, how many this probe deleted.", float64(t.removed))
	if err != nil {
		return failed(m, err)
	}
	return probe.Result{Success: true, Metrics: m}
}

// run makes the round. The object is deleted whatever happened before, for
// which a part of the time is kept.
func (t *trial) run(ctx context.Context, target string) error {
	work, cancel := reserve(ctx, 4)
	defer cancel()
	err := t.writeAndRead(work)
	if deleted := t.phase(ctx, "delete", func(ctx context.Context) error {
		return t.client.Delete(ctx, t.key, t.version)
	}); err == nil && deleted != nil {
		err = during("delete the object", deleted)
	}
	if t.due(target, err) {
		// What is left over is swept as far as time allows; it fails no probe.
		_ = t.phase(work, "sweep", t.sweep)
	}
	return err
}

func (t *trial) writeAndRead(ctx context.Context) error {
	err := t.phase(ctx, "put", func(ctx context.Context) (err error) {
		t.version, err = t.client.Put(ctx, t.key, t.body)
		return err
	})
	if err != nil {
		return during("put the object", err)
	}
	var got []byte
	err = t.phase(ctx, "read", func(ctx context.Context) (err error) {
		got, err = t.client.Get(ctx, t.key)
		return err
	})
	switch {
	case err != nil:
		return during("read the object", err)
	case !bytes.Equal(got, t.body):
		return errOther
	}
	return nil
}

// reserve leaves one in so many parts of the time for what comes after.
func reserve(ctx context.Context, parts time.Duration) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/parts))
}

func (t *trial) phase(ctx context.Context, name string, f func(ctx context.Context) error) error {
	start := time.Now()
	defer func() { t.client.phases.add(name, time.Since(start)) }()
	return f(ctx)
}

// due tells whether to look for leftovers: at the first probe, after a failed
// one, and once in a while.
func (c *canary) due(target string, failed error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.s3.now()
	if failed != nil {
		delete(c.swept, target)
		return false // at the next probe
	}
	if at, ok := c.swept[target]; ok && now.Sub(at) < sweepEvery {
		return false
	}
	if c.swept == nil || len(c.swept) >= maxSwept {
		c.swept = map[string]time.Time{}
	}
	c.swept[target] = now
	return true
}

// sweep deletes what probes that crashed left over. What is not old yet may be
// another Collie's, at work.
func (t *trial) sweep(ctx context.Context) error {
	var page api.Page
	q := api.Query{Listing: api.Objects, Prefix: t.o.Prefix}
	if t.version != "" && t.version != "null" {
		q.Listing = api.Versions // a version that is only hidden takes room as well
	}
	if err := t.client.List(ctx, q, &page); err != nil {
		return err
	}
	old := t.s3.now().Add(-leftoverAge).Unix()
	for _, e := range page.Entries {
		if e.At > old || string(e.Key) == t.key {
			continue
		}
		if t.found++; t.found > maxLeftover {
			continue
		}
		if err := t.client.Delete(ctx, string(e.Key), string(e.ID)); err != nil {
			return err
		}
		t.removed++
	}
	return nil
}
