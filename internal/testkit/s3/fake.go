package s3

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"sync/atomic"
	"time"
)

// Faults are what a Fake does wrong. The zero value is a good server.
type Faults struct {
	SlowDown  int  // answers 503 SlowDown to that many of 100 requests, in bursts of that many
	BadXML    bool // listings end in the middle
	Endless   bool // every page says that there is more, and repeats the first one
	BadTokens bool // tokens lead back to the beginning
	Hang      bool // answers nothing
}

// Fake is a server with one bucket, whose keys are made up as they are asked
// for: PREFIX/objNNNNNNN, each of 1 KiB, over so many prefixes. It takes any
// credentials, and nothing else than ListObjectsV2, the state of versioning and
// the listing of uploads. It is a simulation: real servers do much more.
type Fake struct {
	URL string

	keys     int
	prefixes int
	latency  time.Duration
	faults   atomic.Pointer[Faults]
	requests atomic.Int64
	pages    atomic.Int64
	server   *http.Server
	done     chan struct{}
}

// FakeOptions say what is in the bucket, which may have any name.
type FakeOptions struct {
	Address  string        // host:port; empty is a free one on loopback
	Keys     int           // objects
	Prefixes int           // over which they are spread evenly; 0 is 1
	Latency  time.Duration // of each page
	Faults   Faults
}

// ObjectSize is the size of each object of a Fake, in bytes.
const ObjectSize = 1024

// pageSize is how many keys a page has.
const pageSize = 1000

// StartFake starts a server. Close must be called.
func StartFake(ctx context.Context, o FakeOptions) (*Fake, error) {
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", o.Address)
	if err != nil {
		return nil, err
	}
	f := &Fake{URL: "http://" + l.Addr().String(), keys: o.Keys, prefixes: max(1, o.Prefixes), latency: o.Latency, done: make(chan struct{})}
	f.Break(o.Faults)
	f.server = &http.Server{Handler: http.HandlerFunc(f.serve), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(f.done)
		_ = f.server.Serve(l) // until Close
	}()
	return f, nil
}

// Close ends the server.
func (f *Fake) Close() error {
	err := f.server.Close()
	<-f.done
	return err
}

// Break makes the server do wrong from now on, or right again.
func (f *Fake) Break(faults Faults) { f.faults.Store(&faults) }

// Requests is how many requests came.
func (f *Fake) Requests() int64 { return f.requests.Load() }

// Pages is how many pages of objects were asked for with more than one key.
func (f *Fake) Pages() int64 { return f.pages.Load() }

// Key is the key at a place of the order, from 0.
func (f *Fake) Key(i int) string {
	return string(f.appendKey(nil, i))
}

// appendKey is Key without fmt, which would cost more than all else here.
func (f *Fake) appendKey(b []byte, i int) []byte {
	per := (f.keys + f.prefixes - 1) / f.prefixes
	b = appendDigits(append(b, 'p'), i/per, 3)
	return appendDigits(append(b, "/obj"...), i%per, 7)
}

func appendDigits(b []byte, n, digits int) []byte {
	at := len(b)
	b = append(b, "0000000"[:digits]...)
	for i := at + digits - 1; i >= at; i-- {
		b[i] += byte(n % 10)
		n /= 10
	}
	return b
}

func (f *Fake) serve(w http.ResponseWriter, r *http.Request) {
	n := f.requests.Add(1)
	faults := *f.faults.Load()
	q := r.URL.Query()
	switch {
	case faults.Hang:
		<-r.Context().Done()
	case int(n%100) < faults.SlowDown:
		refuse(w, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
	case r.Method != http.MethodGet:
		refuse(w, http.StatusNotImplemented, "NotImplemented", "This is a simulation.")
	case q.Has("versioning"):
		fmt.Fprint(w, `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>`)
	case q.Has("uploads"):
		fmt.Fprint(w, `<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>`)
	case q.Get("list-type") == "2":
		f.list(r.Context(), w, q, faults)
	default:
		refuse(w, http.StatusNotImplemented, "NotImplemented", "This is a simulation.")
	}
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, message)
}

// list answers ListObjectsV2.
func (f *Fake) list(ctx context.Context, w http.ResponseWriter, q url.Values, faults Faults) {
	after := q.Get("start-after")
	if token := q.Get("continuation-token"); token != "" && !faults.BadTokens {
		after = token
	}
	from := sort.Search(f.keys, func(i int) bool { return f.Key(i) > after })
	size := pageSize
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil {
		size = min(size, n)
	}
	if faults.Endless {
		from = 0
	}
	if size > 1 {
		f.pages.Add(1)
		timer := time.NewTimer(f.latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
	w.Header().Set("Content-Type", "application/xml")
	out := bufio.NewWriterSize(w, 256<<10)
	to := min(from+size, f.keys)
	f.write(out, from, to, faults)
	if err := out.Flush(); err != nil && !errors.Is(err, context.Canceled) {
		return // the client has gone
	}
}

func (f *Fake) write(out *bufio.Writer, from, to int, faults Faults) {
	fmt.Fprintf(out, `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>fake</Name><KeyCount>%d</KeyCount><IsTruncated>%t</IsTruncated>`,
		to-from, to < f.keys || faults.Endless)
	if to < f.keys {
		fmt.Fprintf(out, `<NextContinuationToken>%s</NextContinuationToken>`, f.Key(to-1))
	}
	var key []byte // what cannot be written, Flush tells
	for i := from; i < to; i++ {
		_, _ = out.WriteString(`<Contents><Key>`)
		key = f.appendKey(key[:0], i)
		_, _ = out.Write(key)
		_, _ = out.WriteString(`</Key><LastModified>2026-11-22T12:00:00.000Z</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>1024</Size><StorageClass>STANDARD</StorageClass></Contents>`)
		if faults.BadXML && i == (from+to)/2 {
			return
		}
	}
	_, _ = out.WriteString(`</ListBucketResult>`)
}
