package s3

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/colliehq/collie/exporters/s3/api"
	"github.com/colliehq/collie/exporters/s3/listing"
)

// Source tells how much is in a bucket. Listing is one; the admin API of a Ceph
// object gateway or MinIO's metrics can be others.
type Source interface {
	Name() string // the value of the label source: one of a closed list
	Total(ctx context.Context) (Total, error)
	Seen() listing.Totals // so far, while Total is at it
}

// Total is how much is in a bucket. Counts that a source cannot tell are left
// at 0, and HasVersions and HasUploads say so.
type Total struct {
	listing.Totals

	UploadBytes  int64     `json:"upload_bytes"`  // of the parts of unfinished uploads,
	UploadsSized int64     `json:"uploads_sized"` // of so many of them
	Versioning   string    `json:"versioning"`    // off, enabled, suspended or unknown
	HasVersions  bool      `json:"has_versions"`  // older versions and delete markers were counted, or there can be none
	HasUploads   bool      `json:"has_uploads"`   // unfinished uploads were counted
	Source       string    `json:"source"`
	Began        time.Time `json:"began"`
	Ended        time.Time `json:"ended"`
}

// sourceListing is the source that there always is.
const sourceListing = "listing"

// place is how far a listing came: what is stored of it.
type place struct {
	Began      time.Time      `json:"began"`
	Versioning string         `json:"versioning"`     // empty: not asked yet
	Keys       *listing.State `json:"keys,omitempty"` // of objects or versions
	KeysDone   bool           `json:"keys_done"`
}

// lister counts by listing.
type lister struct {
	client  *link
	pager   listing.Pager // the client, within its budget
	o       bucketOptions
	now     func() time.Time
	learned [][]byte // from the last listing

	mu    sync.Mutex
	place place
	pass  *listing.Pass // that is under way
}

// Name is "listing".
func (l *lister) Name() string { return sourceListing }

// Total lists everything, or what is left of it.
func (l *lister) Total(ctx context.Context) (Total, error) {
	if err := l.begin(ctx); err != nil {
		return Total{}, err
	}
	err := l.keys(ctx)
	if err != nil && l.withoutVersions(err) {
		err = l.keys(ctx)
	}
	if err != nil {
		return Total{}, err
	}
	at := l.where()
	total := Total{
		Totals: at.Keys.Totals, Versioning: at.Versioning, Source: sourceListing, Began: at.Began,
		HasVersions: at.Versioning == "off" || l.kind(at.Versioning) == api.Versions,
	}
	if l.o.Uploads {
		if err := l.uploads(ctx, &total); err != nil {
			return Total{}, err
		}
	}
	total.Ended = l.now()
	return total, nil
}

// begin finds out whether there are versions.
func (l *lister) begin(ctx context.Context) error {
	if l.where().Versioning != "" {
		return nil
	}
	status := "unknown"
	if l.o.Versions != "false" {
		err := l.ask(ctx, func(ctx context.Context) (err error) {
			status, err = l.client.Versioning(ctx)
			return err
		})
		if err != nil && !cannot(err) {
			return during("ask for the state of versioning", err)
		}
		if err != nil {
			status = "unknown"
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.place.Began, l.place.Versioning = l.now(), status
	return nil
}

// cannot tells whether the server does not have something, or does not let us:
// what can be counted without is counted.
func cannot(err error) bool {
	var refused *api.Error
	return errors.As(err, &refused) && (refused.Denied() || refused.Unknown() || refused.Status == 400 || refused.Status == 404)
}

// ask makes a request that is no page, within the budget as pages are.
func (l *lister) ask(ctx context.Context, f func(ctx context.Context) error) error {
	if b, ok := l.pager.(*budgeted); ok {
		return b.do(ctx, f)
	}
	return f(ctx)
}

// kind is which listing tells the keys: that of versions tells objects as well.
func (l *lister) kind(versioning string) api.Listing {
	if l.o.Versions == "true" || l.o.Versions == "auto" && (versioning == "enabled" || versioning == "suspended") {
		return api.Versions
	}
	return api.Objects
}

// keys lists the objects, or all versions.
func (l *lister) keys(ctx context.Context) error {
	at := l.where()
	if at.KeysDone {
		return nil
	}
	pass := listing.New(listing.Options{
		Pager: l.pager, Listing: l.kind(at.Versioning), Prefix: l.o.Prefix, Parallel: l.o.Parallel,
		Learned: l.learned, From: at.Keys,
	})
	l.under(pass)
	err := pass.Run(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	state := pass.State()
	l.place.Keys, l.place.KeysDone, l.pass = &state, err == nil, nil
	if err != nil {
		return during("list the keys", err)
	}
	l.learned = pass.Learned()
	return nil
}

// withoutVersions goes over to plain objects, if it is versions that the server
// does not list for us, and nobody insists on them.
func (l *lister) withoutVersions(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.o.Versions != "auto" || l.kind(l.place.Versioning) != api.Versions || !cannot(err) {
		return false
	}
	l.place.Versioning, l.place.Keys = "unknown", nil
	return true
}

func (l *lister) under(pass *listing.Pass) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pass = pass
}

// where is how far the listing is, as it may be stored.
func (l *lister) where() place {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.place
	if l.pass != nil {
		state := l.pass.State()
		at.Keys = &state
	}
	return at
}

// Seen is what was counted so far.
func (l *lister) Seen() listing.Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pass != nil {
		t, _ := l.pass.Totals()
		return t
	}
	if l.place.Keys != nil {
		return l.place.Keys.Totals
	}
	return listing.Totals{}
}

// Bounds on unfinished uploads.
const (
	maxUploadPages = 100
	maxSized       = 1000 // uploads whose parts are asked for: a request each
)

// uploads counts what was begun and not completed, and how much of it there is.
// A server that does not tell costs only these counts.
func (l *lister) uploads(ctx context.Context, total *Total) error {
	counter := &sizing{Pager: l.pager}
	pass := listing.New(listing.Options{Pager: counter, Listing: api.Uploads, Prefix: l.o.Prefix, Parallel: 1})
	err := pass.Run(ctx)
	if err != nil {
		if cannot(err) {
			return nil
		}
		return during("list the unfinished uploads", err)
	}
	found, _ := pass.Totals()
	total.HasUploads, total.Uploads, total.OldestUpload = true, found.Uploads, found.OldestUpload
	for _, u := range counter.uploads {
		var bytes int64
		err := l.ask(ctx, func(ctx context.Context) (err error) {
			bytes, err = l.client.Parts(ctx, u.key, u.id)
			return err
		})
		switch {
		case err == nil:
			total.UploadBytes += bytes
			total.UploadsSized++
		case !cannot(err):
			return during("list the parts of an unfinished upload", err)
		}
	}
	return nil
}

// sizing remembers the first uploads of the pages that it passes on.
type sizing struct {
	listing.Pager

	uploads []upload
	pages   int
}

type upload struct{ key, id string }

// List reads a page.
func (s *sizing) List(ctx context.Context, q api.Query, p *api.Page) error {
	if err := s.Pager.List(ctx, q, p); err != nil {
		return err
	}
	for _, e := range p.Entries {
		if len(s.uploads) < maxSized {
			s.uploads = append(s.uploads, upload{string(e.Key), string(e.ID)})
		}
	}
	if s.pages++; s.pages >= maxUploadPages {
		p.Truncated = false // that is bad enough, and known to be so
	}
	return nil
}
