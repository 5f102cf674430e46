// Package loki is a simulated Loki: it takes pushes as Loki 3 does, and keeps
// the entries where tests can count them. What is known of Loki's answers was
// measured against a real one.
package loki

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
)

// Entry is what is stored of a line.
type Entry struct {
	Labels   string
	Time     time.Time
	Line     string
	Metadata map[string]string
	Pushed   int // how often it came
}

// Limits are Loki's, with its defaults where they are 0.
type Limits struct {
	Line    int           // bytes of a line: 256 KiB
	Body    int           // bytes of a request, unpacked: 100 MiB
	Behind  time.Duration // the newest of the stream: 1 h
	Old     time.Duration // 7 days
	Ahead   time.Duration // 10 minutes
	Refuses func(line string) string
}

// Reply is how a push is answered instead.
type Reply struct {
	Status int
	Header http.Header
	Store  bool          // the entries are stored all the same
	Reset  bool          // the connection breaks, without an answer
	Hang   chan struct{} // the answer waits until it is closed
}

// Server is a simulated Loki. Its fields are set before it is used.
type Server struct {
	Limits Limits
	Now    func() time.Time
	// Reply answers push n, counted from 1, in place of the rules; nil means by
	// the rules.
	Reply func(n int) *Reply

	mu      sync.Mutex
	pushes  int
	streams map[string]*stream
	tenants map[string]int
	http    *httptest.Server
}

type stream struct {
	entries map[string]*Entry // by time and line
	order   []*Entry
	newest  time.Time
}

// New makes a server that listens on the loopback until Close.
func New() *Server {
	s := &Server{Now: time.Now, streams: map[string]*stream{}, tenants: map[string]int{}}
	s.http = httptest.NewServer(s)
	return s
}

// URL is where it listens.
func (s *Server) URL() string { return s.http.URL }

// Close stops it.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// Pushes is how many came.
func (s *Server) Pushes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pushes
}

// Tenants tells how many pushes came for each tenant.
func (s *Server) Tenants(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tenants[name]
}

// Entries are all that is stored, in the order of each stream.
func (s *Server) Entries() (all []Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		for _, e := range st.order {
			all = append(all, *e)
		}
	}
	return all
}

// ServeHTTP takes pushes.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/loki/api/v1/push" || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.pushes++
	s.tenants[r.Header.Get("X-Scope-Orgid")]++
	n := s.pushes
	s.mu.Unlock()
	if s.Reply != nil {
		if reply := s.Reply(n); reply != nil {
			s.scripted(w, r, reply, body)
			return
		}
	}
	status, text := s.Push(r.Header.Get("Content-Type"), body)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func (s *Server) scripted(w http.ResponseWriter, r *http.Request, reply *Reply, body []byte) {
	if reply.Store {
		s.Push(r.Header.Get("Content-Type"), body)
	}
	if reply.Hang != nil {
		select {
		case <-reply.Hang:
		case <-r.Context().Done():
		}
	}
	if reply.Reset {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), reply.Header)
	w.WriteHeader(reply.Status)
}

// Push is a push without HTTP: its status and text.
func (s *Server) Push(contentType string, body []byte) (status int, text string) {
	if contentType != "application/x-protobuf" {
		return http.StatusNoContent, "" // as Loki answers JSON with keys that it does not know: and nothing is stored
	}
	raw, err := s2.Decode(nil, body)
	if err != nil {
		return http.StatusBadRequest, "snappy: corrupt input\n"
	}
	if len(raw) > or(s.Limits.Body, 100<<20) {
		return http.StatusRequestEntityTooLarge, "message size too large\n"
	}
	var req push.PushRequest
	if err := req.Unmarshal(raw); err != nil {
		return http.StatusBadRequest, err.Error() + "\n"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var refused []string
	for _, st := range req.Streams {
		if st.Labels == "" || st.Labels == "{}" {
			refused = append(refused, "error at least one label pair is required per stream")
			continue
		}
		for i := range st.Entries {
			if why := s.take(st.Labels, &st.Entries[i]); why != "" {
				refused = append(refused, why)
			}
		}
	}
	if len(refused) > 0 { // the good ones are stored
		return http.StatusBadRequest, refused[0] + "\n"
	}
	return http.StatusNoContent, ""
}

// take stores an entry, or says why not.
func (s *Server) take(labels string, e *push.Entry) string {
	st := s.streams[labels]
	if st == nil {
		st = &stream{entries: map[string]*Entry{}}
		s.streams[labels] = st
	}
	if why := s.refuses(labels, st, e); why != "" {
		return why
	}
	key := fmt.Sprint(e.Timestamp.UnixNano(), " ", e.Line)
	if old := st.entries[key]; old != nil {
		old.Pushed++ // Loki keeps one of what is the same
		return ""
	}
	kept := &Entry{Labels: labels, Time: e.Timestamp, Line: e.Line, Metadata: map[string]string{}, Pushed: 1}
	for _, m := range e.StructuredMetadata {
		kept.Metadata[m.Name] = m.Value
	}
	st.entries[key] = kept
	st.order = append(st.order, kept)
	if e.Timestamp.After(st.newest) {
		st.newest = e.Timestamp
	}
	return ""
}

func (s *Server) refuses(labels string, st *stream, e *push.Entry) string {
	now, at := s.Now(), e.Timestamp
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
	oldest := st.newest.Add(-or(s.Limits.Behind, time.Hour))
	switch limit := or(s.Limits.Line, 256<<10); {
	case len(e.Line) > limit:
		return fmt.Sprintf("Max entry size '%d' bytes exceeded for stream '%s' while adding an entry with length '%d' bytes", limit, labels, len(e.Line))
	case at.Before(now.Add(-or(s.Limits.Old, 7*24*time.Hour))):
		return fmt.Sprintf("entry for stream '%s' has timestamp too old: %s", labels, stamp(at))
	case at.After(now.Add(or(s.Limits.Ahead, 10*time.Minute))):
		return fmt.Sprintf("entry for stream '%s' has timestamp too new: %s", labels, stamp(at))
	case at.Before(oldest):
		return fmt.Sprintf("entry with timestamp %s ignored, reason: 'entry too far behind, entry timestamp is: %s, oldest acceptable timestamp is: %s'", stamp(at), stamp(at), stamp(oldest))
	case strings.ContainsRune(e.Line, 0):
		return "a NUL" // Loki takes it; we never send one
	case s.Limits.Refuses != nil:
		return s.Limits.Refuses(e.Line)
	}
	return ""
}

func or[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}
