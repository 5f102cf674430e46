// Package s3 tells how much is in a bucket, and whether one can write, read and
// delete there.
//
// A probe asks one question of the server and is over within its time limit,
// however much is in the bucket. What it tells of sizes was counted in the
// background: once in a while, many pages at a time but within a budget of
// requests, and from where it was if Collie was restarted in the meantime. Each
// total goes with its source and its age.
package s3

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/exporters/probe"
)

// Checkpoints keep what is to survive a restart, by key.
type Checkpoints interface {
	Load(ctx context.Context, key string) ([]byte, error) // nil if there is none
	Save(ctx context.Context, key string, state []byte) error
}

// Options of a S3.
type Options struct {
	Log      *slog.Logger          // nil: nothing is logged
	Registry prometheus.Registerer // nil: no metrics about ourselves
	Now      func() time.Time      // nil: time.Now
}

// S3 is this exporter in one process; one is used through every reload.
type S3 struct {
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics
	save    time.Duration // between two checkpoints of a listing
	pause   time.Duration // after a listing that failed

	mu          sync.Mutex
	checkpoints Checkpoints     // nil: nothing survives
	background  bool            // there is, or will be, somebody to list
	run         context.Context //nolint:containedctx // that of Run, for jobs that are asked for while it runs
	workers     sync.WaitGroup
	jobs        map[string]*job
}

// New returns a S3.
func New(o Options) *S3 {
	x := &S3{log: o.Log, now: o.Now, save: 2 * time.Second, pause: 30 * time.Second, jobs: map[string]*job{}}
	if x.log == nil {
		x.log = slog.New(slog.DiscardHandler)
	}
	if x.now == nil {
		x.now = time.Now
	}
	x.metrics = newMetrics(o.Registry, x)
	return x
}

// Kinds returns the kinds of probe that it offers, the visible list of this package.
func (x *S3) Kinds() []probe.Kind {
	return []probe.Kind{{Name: "s3", Build: x.buildBucket}, {Name: "s3_canary", Build: x.buildCanary}}
}

// Keep says where listings are to keep their place, and that Run will be
// called: from now on probes leave listing to it.
func (x *S3) Keep(c Checkpoints) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.checkpoints, x.background = c, true
}

// Name is the name of the task.
func (x *S3) Name() string { return "s3" }

// Ready is closed at once: nothing waits for the background work.
func (x *S3) Ready() <-chan struct{} {
	ready := make(chan struct{})
	close(ready)
	return ready
}

// Run lists the buckets that are probed, until ctx ends. All that it started
// has ended when it returns.
func (x *S3) Run(ctx context.Context) error {
	x.mu.Lock()
	x.run, x.background = ctx, true
	for _, j := range x.jobs {
		x.start(j)
	}
	x.mu.Unlock()
	<-ctx.Done()
	x.mu.Lock()
	x.run = nil
	x.mu.Unlock()
	x.workers.Wait()
	return nil
}

// start lets the job work. The mutex is held.
func (x *S3) start(j *job) {
	if x.run == nil || x.run.Err() != nil || j.started {
		return
	}
	ctx, cancel := context.WithCancel(x.run)
	j.started, j.stop = true, cancel
	x.workers.Go(func() {
		defer cancel()
		j.work(ctx)
	})
}

// Bounds on what is listed.
const (
	maxJobs = 256            // buckets; a probe of one more fails
	idle    = 48 * time.Hour // without a probe, until a bucket is forgotten
)

// jobOf is the job of a bucket, which is told that it was asked for, and whether
// it is well; false if there are too many. Nil without background work.
func (x *S3) jobOf(b *bucket, req probe.Request, well bool) (*job, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.background {
		return nil, true
	}
	key := b.key(req.Target)
	j := x.jobs[key]
	if j == nil {
		x.forget()
		if len(x.jobs) >= maxJobs {
			return nil, false
		}
		j = newJob(x, key)
		x.jobs[key] = j
	}
	j.ask(b, req, well)
	x.start(j)
	return j, true
}

// forget drops the jobs that nobody asked for in a long time. The mutex is held.
func (x *S3) forget() {
	for key, j := range x.jobs {
		if x.now().Sub(j.touchedAt()) > idle {
			if j.stop != nil {
				j.stop()
			}
			delete(x.jobs, key)
		}
	}
}

func (x *S3) store() Checkpoints {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.checkpoints
}
