// Package listing counts what is in a bucket by listing it, fast and without
// losing its place.
//
// The keys are divided into spans, each with a cursor. A worker that has nothing
// to do asks for a page from the middle of somebody else's span: what comes back
// is the first page of a new span, so that a good guess costs nothing, and a bad
// one tells that there is nothing behind the middle. Where the middle is, the
// last pass has learned; the first one finds it by binary search over the
// positions of a key, and by the characters that it has seen there.
package listing

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/colliehq/collie/exporters/s3/api"
)

// Pager reads pages of a listing. *api.Client is one.
type Pager interface {
	List(ctx context.Context, q api.Query, p *api.Page) error
}

// Totals are what was counted. Times are Unix seconds, 0 if there are none.
type Totals struct {
	Objects      int64 `json:"objects"`
	Bytes        int64 `json:"bytes"`
	Newest       int64 `json:"newest"`
	Older        int64 `json:"older"` // versions that are not the latest
	OlderBytes   int64 `json:"older_bytes"`
	Marker       int64 `json:"markers"` // delete markers
	Uploads      int64 `json:"uploads"` // unfinished ones
	OldestUpload int64 `json:"oldest_upload"`
}

// add counts one entry.
func (t *Totals) add(e *api.Entry) {
	switch e.Class {
	case api.Current:
		t.Objects++
		t.Bytes += e.Size
		t.Newest = max(t.Newest, e.At)
	case api.Older:
		t.Older++
		t.OlderBytes += e.Size
	case api.Marker:
		t.Marker++
	case api.Upload:
		t.Uploads++
		if e.At > 0 && (t.OldestUpload == 0 || e.At < t.OldestUpload) {
			t.OldestUpload = e.At
		}
	}
}

// Options of a pass.
type Options struct {
	Pager    Pager
	Listing  api.Listing
	Prefix   string
	Parallel int      // requests at once; listings of uploads and versions are divided as well
	Learned  [][]byte // keys that an earlier pass found evenly spread, in order
	From     *State   // where an earlier pass was interrupted
}

// Pass is one listing from the first key to the last. Run it once.
type Pass struct {
	o Options

	mu      sync.Mutex
	changed *sync.Cond
	spans   []*span
	state   State // all but its spans
	seen    alphabets
	ended   bool // by an error or by its context
}

// State is how far a pass came. It is a value to be kept as JSON; keys are bytes,
// since they need not be text.
type State struct {
	Totals  Totals   `json:"totals"`
	Spans   []Span   `json:"spans"`
	Samples [][]byte `json:"samples"` // evenly spread keys, for the next pass
	Stride  int      `json:"stride"`  // pages between two of them
	Pages   int      `json:"pages"`   // that were counted
	Wasted  int      `json:"wasted"`  // pages that told nothing new
}

// Span is a part of the keys that was not listed yet: what comes after After
// (and, of that key, after Mark), up to and including End. No End is no limit.
type Span struct {
	After []byte `json:"after"`
	Mark  []byte `json:"mark,omitempty"`
	End   []byte `json:"end,omitempty"`
	Deep  int    `json:"deep,omitempty"` // not all keys of the span share so long a prefix; 0: not known
}

// span is one at work.
type span struct {
	Span
	token     string  // to go on after pages without a key
	barren    int     // such pages in a row
	listed    bool    // a page was read, so that After is a key
	busy      bool    // a worker lists it
	splitting bool    // a worker asks for its middle
	futile    int     // middles that split off nothing, since the cursor moved on
	first     []byte  // key of the last page, which ended at After
	keys      int     // of that page
	rest      float64 // keys that are left, as the last page was spread; see estimate
}

// maxBarren bounds the pages without a key that say that there is more.
const maxBarren = 100

// New prepares a pass.
func New(o Options) *Pass {
	p := &Pass{o: o}
	p.changed = sync.NewCond(&p.mu)
	p.state.Stride = 1
	if o.From != nil {
		p.state = *o.From
		p.state.Spans = nil
		for _, s := range o.From.Spans {
			p.spans = append(p.spans, &span{Span: s, listed: len(s.After) > 0})
			p.seen.learn(s.After)
		}
		return p
	}
	var after []byte
	for _, end := range spread(o.Learned, 4*o.Parallel) {
		p.spans = append(p.spans, &span{Span: Span{After: after, End: end}})
		after = end
	}
	p.spans = append(p.spans, &span{Span: Span{After: after}})
	return p
}

// Run lists until everything is counted, an answer is an error, or ctx ends.
// It returns nil only when the totals are complete.
func (p *Pass) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, p.end)
	defer stop()
	var workers sync.WaitGroup
	for range max(1, p.o.Parallel) {
		workers.Go(func() {
			if err := p.work(ctx); err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

func (p *Pass) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.changed.Broadcast()
}

// State is how far the pass is. It may be asked while the pass runs.
func (p *Pass) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state
	s.Samples = append([][]byte(nil), s.Samples...)
	for _, x := range p.spans {
		s.Spans = append(s.Spans, x.Span)
	}
	return s
}

// Learned are the evenly spread keys of a pass that is complete.
func (p *Pass) Learned() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return sorted(p.state.Samples)
}

// Totals are what was counted so far, in how many pages.
func (p *Pass) Totals() (t Totals, pages int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.Totals, p.state.Pages
}

// task is a request to be made: the next page of a span, or its middle.
type task struct {
	span   *span
	middle []byte // nil: the next page
	query  api.Query
}

func (p *Pass) work(ctx context.Context) error {
	var page api.Page
	for {
		t, ok := p.next()
		if !ok {
			return nil
		}
		err := p.o.Pager.List(ctx, t.query, &page)
		if err == nil && t.middle == nil {
			err = p.listed(t.span, &page)
		} else if err == nil {
			err = p.split(t.span, t.middle, &page)
		}
		if err != nil {
			return err
		}
	}
}

// next waits for something to do; not ok is that there is nothing more.
func (p *Pass) next() (t task, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.ended || len(p.spans) == 0 {
			return task{}, false
		}
		for _, s := range p.spans {
			if !s.busy {
				s.busy = true
				return task{span: s, query: p.query(s.After, s.Mark, s.token)}, true
			}
		}
		if s, middle := p.widest(); s != nil {
			s.splitting = true
			return task{span: s, middle: middle, query: p.query(middle, nil, "")}, true
		}
		p.changed.Wait()
	}
}

func (p *Pass) query(after, mark []byte, token string) api.Query {
	return api.Query{Listing: p.o.Listing, Prefix: p.o.Prefix, After: string(after), Mark: string(mark), Token: token}
}

// listed takes the next page of a span.
func (p *Pass) listed(s *span, page *api.Page) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.changed.Broadcast()
	s.busy = false
	return p.take(s, page)
}

// split takes a page from behind the middle of a span: it becomes a span of its
// own, unless the span has come past its middle in the meantime.
func (p *Pass) split(s *span, middle []byte, page *api.Page) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.changed.Broadcast()
	s.splitting = false
	if bytes.Compare(s.After, middle) >= 0 || len(s.End) > 0 && bytes.Compare(middle, s.End) >= 0 {
		p.state.Wasted++
		return nil
	}
	part := &span{Span: Span{After: middle, End: s.End, Deep: s.Deep}}
	s.End = middle
	p.estimate(s)
	p.spans = append(p.spans, part)
	before := p.state.Totals
	if err := p.take(part, page); err != nil {
		return err
	}
	switch shared := len(middle) - len(highest); {
	case p.state.Totals == before: // nothing is behind the middle
		p.state.Wasted++
		p.state.Pages--
		s.futile++
	case bytes.HasSuffix(middle, highest) && (s.Deep == 0 || shared < s.Deep):
		s.Deep, part.Deep = shared, shared // not all share so much
	}
	return nil
}

// take counts a page of s, up to its end, and moves its cursor.
func (p *Pass) take(s *span, page *api.Page) error {
	if err := s.inOrder(page, p.o.Listing); err != nil {
		return err
	}
	p.state.Pages++
	entries, cut := s.within(page.Entries)
	for i := range entries {
		p.state.Totals.add(&entries[i])
		if i%64 == 0 {
			p.seen.learn(entries[i].Key)
		}
	}
	if len(entries) > 0 {
		last := entries[len(entries)-1]
		p.seen.learn(last.Key)
		s.first, s.keys = bytes.Clone(entries[0].Key), len(entries)
		s.advance(last, page, p.o.Listing)
		p.estimate(s)
		p.sample(last.Key)
	}
	if cut || !page.Truncated {
		p.remove(s)
		return nil
	}
	if len(page.Entries) == 0 {
		return s.goOn(page)
	}
	return nil
}

// within cuts off the entries behind the end.
func (s *span) within(entries []api.Entry) (mine []api.Entry, cut bool) {
	if len(s.End) == 0 || len(entries) == 0 || bytes.Compare(entries[len(entries)-1].Key, s.End) <= 0 {
		return entries, false
	}
	n := len(entries)
	for n > 0 && bytes.Compare(entries[n-1].Key, s.End) > 0 {
		n--
	}
	return entries[:n], true
}

func (s *span) advance(last api.Entry, page *api.Page, l api.Listing) {
	s.After = append([]byte(nil), last.Key...)
	s.token, s.barren, s.listed = "", 0, true
	s.Mark = nil
	switch {
	case l == api.Objects:
	case page.NextMark != "" && page.NextKey == string(last.Key):
		s.Mark = []byte(page.NextMark)
	default:
		s.Mark = append([]byte(nil), last.ID...)
	}
	s.futile = max(0, s.futile-1)
}

// goOn continues after a page without a key, which a server may send that
// passes by much that was deleted.
func (s *span) goOn(page *api.Page) error {
	s.barren++
	forward := page.Token != "" && page.Token != s.token || page.NextKey > string(s.After)
	if !forward || s.barren > maxBarren {
		return fmt.Errorf("%w: pages say that there is more, and hold nothing", api.ErrProtocol)
	}
	s.token = page.Token
	if page.NextKey > string(s.After) {
		s.After, s.Mark = []byte(page.NextKey), nil
	}
	return nil
}

// inOrder wants the keys of the page behind the cursor, each behind the one
// before: otherwise a listing may go round in a circle, or count twice.
func (s *span) inOrder(page *api.Page, l api.Listing) error {
	before := s.After
	for i := range page.Entries {
		key := page.Entries[i].Key
		c := bytes.Compare(before, key)
		again := c == 0 && l != api.Objects && (i > 0 || len(s.Mark) > 0 && !bytes.Equal(s.Mark, page.Entries[i].ID))
		if c > 0 || c == 0 && len(before) > 0 && !again {
			return fmt.Errorf("%w: the listing is not in the order of its keys (%q comes after %q)", api.ErrProtocol, clip(key), clip(before))
		}
		before = key
	}
	return nil
}

func clip(key []byte) []byte { return key[:min(len(key), 100)] }

func (p *Pass) remove(s *span) {
	for i, x := range p.spans {
		if x == s {
			s.After = highest // whoever still asks for its middle has come too late
			p.spans = append(p.spans[:i], p.spans[i+1:]...)
			return
		}
	}
}
