package s3

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/s3/listing"
	"github.com/colliehq/collie/internal/secret"
)

// job lists one bucket again and again in the background, as long as somebody
// probes it.
type job struct {
	s3      *S3
	key     string
	budget  *budget
	wake    chan struct{}
	started bool               // guarded by the mutex of s3
	stop    context.CancelFunc // the same

	loading sync.Mutex
	loaded  bool // guarded by loading

	mu       sync.Mutex
	bucket   *bucket // as it was last asked for
	target   string
	request  probe.Request
	touched  time.Time        // when it was last probed,
	asked    time.Time        // and found well
	gaps     [2]time.Duration // between the last three probes
	failed   time.Time        // when a listing last gave up
	kept     kept
	source   *lister // at work; nil between listings
	link     *link   // its client
	requests int64   // of listings that ended
	bytes    int64
	failure  error // of the last listing, nil once one works
}

// kept is what a job stores.
type kept struct {
	Version int       `json:"version"`
	Total   *Total    `json:"total,omitempty"` // the last complete one
	Learned [][]byte  `json:"learned,omitempty"`
	Place   *place    `json:"place,omitempty"` // of a listing that is not complete
	Begun   time.Time `json:"begun"`
	Left    float64   `json:"left"` // of the budget,
	LeftAt  time.Time `json:"left_at"`
}

// keptVersion changes when what is stored means something else: then it is
// counted anew.
const keptVersion = 1

func newJob(x *S3, key string) *job { return &job{s3: x, key: key, wake: make(chan struct{}, 1)} }

// ask says that somebody wants to know, and whether the server answers: one
// that does not is left in peace.
func (j *job) ask(b *bucket, req probe.Request, well bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.s3.now()
	if !j.touched.IsZero() {
		j.gaps[0], j.gaps[1] = j.gaps[1], now.Sub(j.touched)
	}
	j.bucket, j.target, j.touched = b, req.Target, now
	if well {
		j.asked = j.touched
	}
	j.request = probe.Request{Target: req.Target, Dial: req.Dial, Resolver: req.Resolver}
	if j.budget == nil {
		j.budget = newBudget(b.o.RequestsPerHour, j.s3.now)
	} else {
		j.budget.set(b.o.RequestsPerHour)
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// How long a listing goes on that no probe asks for any more: its target may
// have left the configuration.
const (
	atLeast  = 2 * time.Minute
	onlyOnce = time.Hour // that only one probe ever asked for
)

var errUnasked = errors.New("no probe asks for the bucket any more")

// unasked tells whether probes ask no more: they would have asked three times.
func (j *job) unasked() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	patience := max(atLeast, 3*j.gaps[0], 3*j.gaps[1])
	if j.gaps[1] == 0 {
		patience = onlyOnce
	}
	return j.s3.now().Sub(j.touched) > patience
}

func (j *job) touchedAt() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.touched
}

// sight is what a probe shows of a job.
type sight struct {
	total           *Total
	running         bool
	seen            listing.Totals
	requests, bytes int64
	left            float64
	failure         error
}

func (j *job) sight() sight {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := sight{total: j.kept.Total, requests: j.requests, bytes: j.bytes, failure: j.failure}
	s.left, _ = j.budget.remaining()
	if j.source != nil {
		s.running, s.seen = true, j.source.Seen()
		s.requests += j.link.requests.Load()
		s.bytes += j.link.bytes.Load()
	}
	return s
}

// work lists whenever it is time.
func (j *job) work(ctx context.Context) {
	j.load(ctx)
	for {
		if !j.await(ctx) {
			return
		}
		err := j.list(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			continue
		}
		if errors.Is(err, errUnasked) {
			j.s3.log.Info("listing of a bucket rests until a probe asks for it again", "bucket", secret.URLs(j.target))
			continue
		}
		j.s3.log.Warn("listing of a bucket failed, it goes on from there later", "bucket", secret.URLs(j.target), "err", words(err), "reason", reasonOf(err))
		if !sleep(ctx, j.s3.pause) {
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// await waits until a listing is due: one that was interrupted at once, else
// list_every after the last began, if somebody asked since then.
func (j *job) await(ctx context.Context) bool {
	for {
		d := j.due()
		if d <= 0 {
			return ctx.Err() == nil
		}
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-j.wake:
			t.Stop()
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}

// due is in what time a listing is to begin.
func (j *job) due() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.s3.now()
	switch {
	case j.asked.IsZero(), !j.asked.After(j.failed):
		return time.Hour // or until somebody asks
	case j.kept.Place != nil, j.kept.Total == nil:
		return 0
	case !j.asked.After(j.kept.Begun):
		return time.Hour
	}
	return j.kept.Begun.Add(j.bucket.o.ListEvery).Sub(now)
}

// list makes one listing, from where the last one ended.
func (j *job) list(ctx context.Context) error {
	source, err := j.begin()
	if err != nil {
		j.end(nil, nil, err)
		return err
	}
	wanted, stop := context.WithCancelCause(ctx)
	var saver sync.WaitGroup
	saver.Go(func() { j.saveOften(wanted, stop) })
	total, err := source.Total(wanted)
	if err != nil && errors.Is(context.Cause(wanted), errUnasked) {
		err = errUnasked
	}
	stop(nil)
	saver.Wait()
	j.end(source, &total, err)
	if saved := j.store(ctx); saved != nil {
		j.s3.log.Warn("the place of a listing cannot be stored; after a restart it begins anew", "err", saved)
	}
	return err
}

func (j *job) begin() (*lister, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	o := j.bucket.o
	client, err := o.connect(j.target, j.request, o.Parallel)
	if err != nil {
		return nil, err
	}
	source := &lister{client: client, o: o, now: j.s3.now, learned: j.kept.Learned}
	source.pager = &budgeted{client: client, budget: j.budget, policy: patient(), wait: true, went: j.went}
	if j.kept.Place != nil {
		source.place = *j.kept.Place
	} else {
		j.kept.Begun = j.s3.now()
	}
	j.source, j.link = source, client
	return source, nil
}

// went notes how a request went: an error is tried again, a success ends it.
func (j *job) went(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failure = err
}

// end notes how a listing ended.
func (j *job) end(source *lister, total *Total, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failure = err; err != nil {
		j.failed = j.s3.now()
	}
	if errors.Is(err, errUnasked) {
		j.failure = nil // it goes on as soon as somebody wants to know
	}
	if source == nil {
		return
	}
	j.requests += source.client.requests.Load()
	j.bytes += source.client.bytes.Load()
	source.client.close()
	j.source, j.link = nil, nil
	if err != nil {
		at := source.where()
		j.kept.Place = &at
		return
	}
	j.kept.Place, j.kept.Total, j.kept.Learned = nil, total, source.learned
}

// saveOften keeps the place of the listing that is under way, and ends it when
// nobody wants to know any more.
func (j *job) saveOften(ctx context.Context, end context.CancelCauseFunc) {
	for sleep(ctx, j.s3.save) {
		if j.unasked() {
			end(errUnasked)
			return
		}
		if err := j.store(ctx); err != nil && ctx.Err() == nil {
			j.s3.log.Debug("the place of a listing cannot be stored", "err", err)
		}
	}
}

// storeLimit bounds a commit at the end, when ctx is over already.
const storeLimit = 5 * time.Second

// store writes down how far the job is.
func (j *job) store(ctx context.Context) error {
	c := j.s3.store()
	if c == nil {
		return nil
	}
	j.mu.Lock()
	k := j.kept
	if j.source != nil {
		at := j.source.where()
		k.Place = &at
	}
	k.Version = keptVersion
	k.Left, k.LeftAt = j.budget.remaining()
	j.mu.Unlock()
	raw, err := json.Marshal(k)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeLimit)
	defer cancel()
	if err := c.Save(ctx, j.key, raw); err != nil {
		j.s3.metrics.unsaved.Inc()
		return err
	}
	return nil
}

// longestBreak is how long a listing may have rested that is taken up
// again: too much of it would be of another time.
const longestBreak = 24 * time.Hour

// load reads what was stored before a restart. What cannot be read is counted
// anew.
func (j *job) load(ctx context.Context) {
	c := j.s3.store()
	j.loading.Lock()
	defer j.loading.Unlock()
	if c == nil || j.loaded {
		return
	}
	raw, err := c.Load(ctx, j.key)
	j.loaded = ctx.Err() == nil
	var k kept
	if err == nil && raw != nil {
		if err = json.Unmarshal(raw, &k); err == nil && k.Version != keptVersion {
			err = fmt.Errorf("it is of version %d", k.Version)
		}
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		j.s3.log.Warn("what was stored of a bucket cannot be used, it is counted anew", "err", err)
	}
	if err != nil || raw == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.s3.now().Sub(k.LeftAt) > longestBreak {
		k.Place = nil
	}
	j.kept = k
	j.budget.restore(k.Left, k.LeftAt)
}
