package manager

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/silence/silencepb"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/colliehq/collie/internal/store"
)

// Bounds of silences.
const (
	maxSilences    = 10_000
	maxSilenceSize = 64 << 10
)

// silences are Alertmanager's silences, each in the store before its maker gets
// an answer. One that cannot be stored is refused and not in force.
type silences struct {
	*silence.Silences
	silencer *silence.Silencer
	store    *store.Store
	log      *slog.Logger
	now      func() time.Time

	api sync.Mutex // one change by the API at a time

	mu     sync.Mutex
	quiet  bool     // changes are not stored: they come from the store
	failed [][]byte // changes that could not be stored
	err    error    // why
}

func openSilences(ctx context.Context, o Options, rec eventrecorder.Recorder) (*silences, error) {
	all, err := silence.New(silence.Options{
		Retention: retention, Logger: o.Log, Metrics: o.Registry, EventRecorder: rec,
		Limits: silence.Limits{MaxSilences: func() int { return maxSilences }, MaxSilenceSizeBytes: func() int { return maxSilenceSize }},
	})
	if err != nil {
		return nil, fmt.Errorf("prepare silences: %w", err)
	}
	s := &silences{Silences: all, store: o.Store, log: o.Log, now: o.Now}
	rows, err := bodies(ctx, o.Store, `SELECT body FROM alerting_silences`)
	if err != nil {
		return nil, fmt.Errorf("read silences: %w", err)
	}
	for _, body := range rows {
		if err := all.Merge(body); err != nil {
			o.Log.Error("a silence in the store cannot be read", "err", err)
		}
	}
	all.SetBroadcast(s.changed)
	s.silencer = silence.NewSilencer(all, o.Log, rec)
	return s, nil
}

// changed stores a silence. It is called under the lock of the silences, which
// must not be asked for anything here.
func (s *silences) changed(body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quiet {
		return
	}
	if err := s.save(context.Background(), body); err != nil {
		s.failed, s.err = append(s.failed, bytes.Clone(body)), err
	}
}

func (s *silences) save(ctx context.Context, body []byte) error {
	m, err := decodeSilence(body)
	if err != nil {
		return err
	}
	return s.store.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO alerting_silences (id, expires, body) VALUES (?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, body = excluded.body`,
			m.GetSilence().GetId(), m.GetExpiresAt().AsTime().UnixNano(), body)
		return err
	})
}

func decodeSilence(body []byte) (*silencepb.MeshSilence, error) {
	var m silencepb.MeshSilence
	if err := protodelim.UnmarshalFrom(bytes.NewReader(body), &m); err != nil {
		return nil, fmt.Errorf("read silence: %w", err)
	}
	return &m, nil
}

// guard answers requests that change silences only once the change is stored.
func (s *silences) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
			next.ServeHTTP(w, r)
			return
		}
		if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
			refuse(w, http.StatusForbidden, "refused: the request came from another site")
			return
		}
		if !strings.HasPrefix(r.URL.Path, Prefix+"/api/v2/silence") {
			next.ServeHTTP(w, r)
			return
		}
		s.change(w, r, next)
	})
}

func (s *silences) change(w http.ResponseWriter, r *http.Request, next http.Handler) {
	s.api.Lock()
	defer s.api.Unlock()
	// Tried before, so that a full disk changes nothing, not even for a moment.
	if err := s.try(r.Context()); err != nil {
		s.refuse(w, err)
		return
	}
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, r)
	if err := s.settle(r.Context()); err != nil {
		s.refuse(w, err)
		return
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // the asker may be gone: nobody is left to tell
}

func (s *silences) refuse(w http.ResponseWriter, err error) {
	s.log.Error("a silence was refused: it cannot be stored", "err", err)
	refuse(w, http.StatusServiceUnavailable, "the silence cannot be stored, nothing was changed: "+err.Error())
}

func refuse(w http.ResponseWriter, code int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if text, err := json.Marshal(why); err == nil { // a JSON text, as Alertmanager's API answers errors
		_, _ = w.Write(text)
	}
}

// try stores something of the size of a silence.
func (s *silences) try(ctx context.Context) error {
	return s.store.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO alerting_trial (id, body) VALUES (1, randomblob(4096)) ON CONFLICT (id) DO UPDATE SET body = excluded.body`)
		return err
	})
}

// settle takes back what the last request changed in memory but not in the
// store, and says why it was not stored.
func (s *silences) settle(ctx context.Context) error {
	s.mu.Lock()
	failed, err := s.failed, s.err
	s.failed, s.err, s.quiet = nil, nil, true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.quiet = false
		s.mu.Unlock()
	}()
	for _, body := range failed {
		if err := s.takeBack(ctx, body); err != nil {
			s.log.Error("a silence that was refused stays in force until the next start", "err", err)
		}
	}
	return err
}

func (s *silences) takeBack(ctx context.Context, body []byte) error {
	now := s.now()
	was, err := decodeSilence(body)
	if err != nil {
		return err
	}
	stored, err := s.stored(ctx, was.GetSilence().GetId())
	if err != nil {
		return err
	}
	if stored == nil { // it is new: end it, to be forgotten soon
		stored = proto.CloneOf(was)
		stored.Silence.EndsAt, stored.ExpiresAt = timestamppb.New(now), timestamppb.New(now.Add(tidyEvery))
		if stored.GetSilence().GetStartsAt().AsTime().After(now) {
			stored.Silence.StartsAt = stored.GetSilence().GetEndsAt()
		}
	}
	after := was.GetSilence().GetUpdatedAt().AsTime().Add(time.Nanosecond) // what is not newer is not taken
	stored.Silence.UpdatedAt = timestamppb.New(after)
	var buf bytes.Buffer
	if _, err := protodelim.MarshalTo(&buf, stored); err != nil {
		return fmt.Errorf("write silence: %w", err)
	}
	return s.Merge(buf.Bytes())
}

func (s *silences) stored(ctx context.Context, id string) (*silencepb.MeshSilence, error) {
	rows, err := bodies(ctx, s.store, `SELECT body FROM alerting_silences WHERE id = ?`, id)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return decodeSilence(rows[0])
}

func (s *silences) tidy(ctx context.Context) error {
	if _, err := s.GC(); err != nil {
		return fmt.Errorf("forget old silences: %w", err)
	}
	return forget(ctx, s.store, `DELETE FROM alerting_silences WHERE expires < ?`, s.now())
}
