package listing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/exporters/s3/api"
)

// shelf answers as a server does whose bucket holds the keys, in order. Each
// key has a size that tells it from the others.
type shelf struct {
	keys     []string
	latency  time.Duration
	requests atomic.Int64
	refuse   func(n int64) error
}

func (s *shelf) List(ctx context.Context, q api.Query, p *api.Page) error {
	n := s.requests.Add(1)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.latency):
	}
	if s.refuse != nil {
		if err := s.refuse(n); err != nil {
			return err
		}
	}
	from := sort.SearchStrings(s.keys, q.After)
	if from < len(s.keys) && s.keys[from] == q.After {
		from++
	}
	to := min(from+1000, len(s.keys))
	p.Entries = p.Entries[:0]
	for i := from; i < to; i++ {
		p.Entries = append(p.Entries, api.Entry{Key: []byte(s.keys[i]), Size: int64(i) + 1, At: int64(i)})
	}
	p.Truncated = to < len(s.keys)
	return nil
}

func (s *shelf) totals() Totals {
	n := int64(len(s.keys))
	return Totals{Objects: n, Bytes: n * (n + 1) / 2, Newest: max(0, n-1)}
}

func newShelf(latency time.Duration, keys []string) *shelf {
	slices.Sort(keys)
	return &shelf{keys: slices.Compact(keys), latency: latency}
}

// names are ways in which people name objects: of so many the ith.
func names() map[string]func(r *rand.Rand, i, n int) string {
	day := func(i, n int) time.Time {
		return time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * 365 * 24 * time.Hour / time.Duration(n))
	}
	return map[string]func(r *rand.Rand, i, n int) string{
		"one":         func(*rand.Rand, int, int) string { return "a" },
		"16 prefixes": func(_ *rand.Rand, i, _ int) string { return fmt.Sprintf("p%02d/obj%07d", i%16, i/16) },
		"one prefix":  func(_ *rand.Rand, i, _ int) string { return fmt.Sprintf("artifacts/project/builds/obj%07d", i) },
		"dates": func(_ *rand.Rand, i, n int) string {
			return "logs/" + day(i, n).Format("2006/01/02/150405") + fmt.Sprintf("-%06d.gz", i)
		},
		"hashes": func(r *rand.Rand, i, _ int) string { return fmt.Sprintf("%02x/%016x", byte(i), r.Uint64()) },
		"uuids": func(r *rand.Rand, _, _ int) string {
			return fmt.Sprintf("%08x-%04x-4%03x", r.Uint32(), uint16(r.Uint32()), r.IntN(4096))
		},
		"unicode": func(_ *rand.Rand, i, _ int) string {
			return fmt.Sprintf("дата/%c%c/%d", rune(0x400+i%64), rune(0x4e00+i%512), i)
		},
		"skewed": func(_ *rand.Rand, i, _ int) string {
			return fmt.Sprintf("%s/%d", []string{"a", "a", "a", "a", "a", "a", "b", "zzz"}[i%8], i)
		},
		"bytes": func(r *rand.Rand, _, _ int) string {
			return string([]byte{byte(1 + r.IntN(255)), byte(1 + r.IntN(255)), byte(1 + r.IntN(255))})
		},
	}
}

// bucket is n keys named in one of these ways.
func bucket(name string, n int) (keys []string) {
	r, how := rand.New(rand.NewPCG(1, 2)), names()[name]
	for i := range n {
		keys = append(keys, how(r, i, n))
	}
	return keys
}

// buckets are so many keys of each kind, and none.
func buckets(n int) map[string][]string {
	all := map[string][]string{"none": nil}
	for name := range names() {
		all[name] = bucket(name, n)
	}
	return all
}

func TestTotalsAreExact(t *testing.T) {
	for name, keys := range buckets(60_000) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShelf(50*time.Millisecond, keys)
				start := time.Now()
				p := New(Options{Pager: s, Parallel: 16})
				if err := p.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				got, _ := p.Totals()
				if diff := cmp.Diff(s.totals(), got); diff != "" {
					t.Fatal(diff)
				}
				serial := time.Duration(len(s.keys)/1000+1) * s.latency
				t.Logf("%d keys in %s, one after the other %s, %d requests, %d of them wasted", len(s.keys), time.Since(start), serial, s.requests.Load(), p.State().Wasted)
				first := time.Since(start)
				start = time.Now()
				again := New(Options{Pager: s, Parallel: 16, Learned: p.Learned()})
				if err := again.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got, _ := again.Totals(); got != s.totals() {
					t.Errorf("the second pass has %+v", got)
				}
				t.Logf("the second time in %s, first %s", time.Since(start), first)
			})
		})
	}
}

// At 16 prefixes a pass is more than ten times as fast as page after page, the
// first time and when it has learned.
func TestMillionKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(50*time.Millisecond, bucket("16 prefixes", 1_000_000))
		var learned [][]byte
		for _, what := range []string{"first", "second"} {
			start := time.Now()
			p := New(Options{Pager: s, Parallel: 16, Learned: learned})
			if err := p.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, _ := p.Totals(); got != s.totals() {
				t.Errorf("%+v", got)
			}
			times := 1000 * s.latency.Seconds() / time.Since(start).Seconds()
			t.Logf("%s pass: %s, %.1f times the serial rate, %d wasted", what, time.Since(start), times, p.State().Wasted)
			if times <= 10 {
				t.Errorf("the %s pass is %.1f times as fast as page after page", what, times)
			}
			learned = p.Learned()
		}
	})
}

var errDown = errors.New("down")

// A pass that is interrupted anywhere goes on from its state, as it was stored,
// and no page is read twice but those that were under way.
func TestInterruptedPass(t *testing.T) {
	for name, keys := range buckets(20_000) {
		synctest.Test(t, func(t *testing.T) {
			s := newShelf(50*time.Millisecond, keys)
			var state *State
			var stops int
			for {
				limit := s.requests.Load() + 7
				s.refuse = func(n int64) error {
					if n > limit {
						return errDown
					}
					return nil
				}
				p := New(Options{Pager: s, Parallel: 4, From: state})
				err := p.Run(t.Context())
				if err == nil {
					if got, _ := p.Totals(); got != s.totals() {
						t.Errorf("%s: %+v, want %+v", name, got, s.totals())
					}
					return
				}
				if !errors.Is(err, errDown) {
					t.Fatal(err)
				}
				raw, err := json.Marshal(p.State())
				if err != nil {
					t.Fatal(err)
				}
				state = &State{}
				if err := json.Unmarshal(raw, state); err != nil {
					t.Fatal(err)
				}
				if stops++; stops > 100 {
					t.Fatalf("%s: does not get on: %s", name, raw)
				}
			}
		})
	}
}

// pages answers with what it is told, whatever is asked.
type pages func(q api.Query, p *api.Page) error

func (f pages) List(_ context.Context, q api.Query, p *api.Page) error {
	p.Entries, p.Truncated, p.Token, p.NextKey = p.Entries[:0], false, "", ""
	return f(q, p)
}

// A server that goes round in circles is told, and does not keep us for ever.
func TestHostilePages(t *testing.T) {
	for name, f := range map[string]pages{
		"the same page again and again": func(_ api.Query, p *api.Page) error {
			p.Entries, p.Truncated = append(p.Entries, api.Entry{Key: []byte("a")}), true
			return nil
		},
		"out of order": func(_ api.Query, p *api.Page) error {
			p.Entries = append(p.Entries, api.Entry{Key: []byte("b")}, api.Entry{Key: []byte("a")})
			return nil
		},
		"twice": func(_ api.Query, p *api.Page) error {
			p.Entries = append(p.Entries, api.Entry{Key: []byte("b")}, api.Entry{Key: []byte("b")})
			return nil
		},
		"more of nothing": func(_ api.Query, p *api.Page) error {
			p.Truncated = true
			return nil
		},
		"tokens to nowhere": func(q api.Query, p *api.Page) error {
			p.Truncated, p.Token = true, q.Token+"x"
			return nil
		},
	} {
		if err := New(Options{Pager: f, Parallel: 4}).Run(t.Context()); !errors.Is(err, api.ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Pages without a key are gone through by the server's token.
func TestEmptyPages(t *testing.T) {
	f := pages(func(q api.Query, p *api.Page) error {
		switch q.Token {
		case "":
			p.Truncated, p.Token = true, "t1"
		case "t1":
			p.Truncated, p.Token = true, "t2"
		case "t2":
			p.Entries = append(p.Entries, api.Entry{Key: []byte("z"), Size: 3})
		}
		return nil
	})
	p := New(Options{Pager: f, Parallel: 1})
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _ := p.Totals(); got != (Totals{Objects: 1, Bytes: 3}) {
		t.Errorf("%+v", got)
	}
}

// Versions of one key go over several pages, and are counted by class.
func TestVersions(t *testing.T) {
	var all []api.Entry
	for k := range 40 {
		for v := range 100 {
			e := api.Entry{Key: fmt.Appendf(nil, "k%02d", k), ID: fmt.Appendf(nil, "v%03d", v), Size: 1, Class: api.Older}
			switch {
			case v == 0:
				e.Class = api.Current
			case v%10 == 0:
				e.Class, e.Size = api.Marker, 0
			}
			all = append(all, e)
		}
	}
	f := pages(func(q api.Query, p *api.Page) error {
		from := 0
		for from < len(all) && (string(all[from].Key) < q.After || string(all[from].Key) == q.After && (q.Mark == "" || string(all[from].ID) <= q.Mark)) {
			from++
		}
		to := min(from+33, len(all))
		p.Entries = append(p.Entries, all[from:to]...)
		p.Truncated = to < len(all)
		return nil
	})
	p := New(Options{Pager: f, Listing: api.Versions, Parallel: 4})
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := Totals{Objects: 40, Bytes: 40, Older: 40 * 90, OlderBytes: 40 * 90, Marker: 40 * 9}
	if got, _ := p.Totals(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// After its context ends, a pass asks for nothing more.
func TestCancelledPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(50*time.Millisecond, bucket("hashes", 50_000))
		ctx, cancel := context.WithTimeout(t.Context(), 160*time.Millisecond)
		defer cancel()
		if err := New(Options{Pager: s, Parallel: 8}).Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		n := s.requests.Load()
		time.Sleep(time.Second)
		if s.requests.Load() != n {
			t.Error("requests after the end")
		}
	})
}
