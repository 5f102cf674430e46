package manager

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/colliehq/collie/internal/store"
)

// journal is Alertmanager's notification log, which is what keeps it from
// telling twice, with every entry in the store. It implements
// notify.NotificationLog.
type journal struct {
	log   *nflog.Log
	store *store.Store
	slog  *slog.Logger
	now   func() time.Time

	// written are the notifications whose entry was stored together with their
	// messages: the pipeline's own entry would only come after them.
	written sync.Map // *nflog.Store, which each notification has its own of

	mu      sync.Mutex
	unsaved map[string][]byte // entries that the store did not take yet
	merging map[*byte]bool    // entries that the log tells us because we told it
}

func openJournal(ctx context.Context, o Options) (*journal, error) {
	log, err := nflog.New(nflog.Options{Retention: retention, Logger: o.Log, Metrics: o.Registry})
	if err != nil {
		return nil, fmt.Errorf("prepare notification log: %w", err)
	}
	j := &journal{log: log, store: o.Store, slog: o.Log, now: o.Now, unsaved: map[string][]byte{}, merging: map[*byte]bool{}}
	rows, err := bodies(ctx, o.Store, `SELECT body FROM alerting_notifications`)
	if err != nil {
		return nil, fmt.Errorf("read notification log: %w", err)
	}
	for _, body := range rows {
		if err := log.Merge(body); err != nil {
			o.Log.Error("an entry of the notification log cannot be read", "err", err)
		}
	}
	log.SetBroadcast(j.changed)
	return j, nil
}

// bodies reads one column of bytes.
func bodies(ctx context.Context, s *store.Store, query string, args ...any) (list [][]byte, err error) {
	err = s.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var b []byte
			if err := rows.Scan(&b); err != nil {
				return err
			}
			list = append(list, b)
		}
		return rows.Err()
	})
	return list, err
}

// Log implements notify.NotificationLog.
func (j *journal) Log(r *nflogpb.Receiver, group string, firing, resolved []uint64, s *nflog.Store, expiry time.Duration) error {
	if _, done := j.written.LoadAndDelete(s); done {
		return nil
	}
	return j.log.Log(r, group, firing, resolved, s, expiry)
}

// Query implements notify.NotificationLog.
func (j *journal) Query(params ...nflog.QueryParam) ([]*nflogpb.Entry, error) {
	return j.log.Query(params...)
}

// last is the entry of the last notification, nil if there was none.
func (j *journal) last(r *nflogpb.Receiver, group string) *nflogpb.Entry {
	entries, err := j.log.Query(nflog.QGroupKey(group), nflog.QReceiver(r))
	if err != nil || len(entries) == 0 {
		return nil
	}
	return entries[0]
}

// entry makes the entry of a notification, later than the one before.
func (j *journal) entry(r *nflogpb.Receiver, group string, firing, resolved []uint64, before *nflogpb.Entry, expiry time.Duration) *nflogpb.MeshEntry {
	at := j.now()
	if before != nil && !before.GetTimestamp().AsTime().Before(at) { // the clock was set back
		at = before.GetTimestamp().AsTime().Add(time.Nanosecond)
	}
	if expiry <= 0 || expiry > retention {
		expiry = retention
	}
	return &nflogpb.MeshEntry{
		Entry: &nflogpb.Entry{
			Receiver: r, GroupKey: []byte(group), Timestamp: timestamppb.New(at), FiringAlerts: firing, ResolvedAlerts: resolved,
		},
		ExpiresAt: timestamppb.New(at.Add(expiry)),
	}
}

// commit stores an entry with whatever else write does, then makes it known.
func (j *journal) commit(ctx context.Context, e *nflogpb.MeshEntry, s *nflog.Store, write func(*store.Tx) error) error {
	var buf bytes.Buffer
	if _, err := protodelim.MarshalTo(&buf, e); err != nil {
		return fmt.Errorf("write entry of the notification log: %w", err)
	}
	body := buf.Bytes()
	err := j.store.Tx(ctx, func(tx *store.Tx) error {
		if err := write(tx); err != nil {
			return err
		}
		return insertEntry(tx, e, body)
	})
	if err != nil {
		return err
	}
	if s != nil {
		j.written.Store(s, true)
	}
	j.setMerging(body, true)
	defer j.setMerging(body, false)
	return j.log.Merge(body)
}

func (j *journal) setMerging(body []byte, on bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if on {
		j.merging[&body[0]] = true
		return
	}
	delete(j.merging, &body[0])
}

func insertEntry(tx *store.Tx, e *nflogpb.MeshEntry, body []byte) error {
	_, err := tx.Exec(`INSERT INTO alerting_notifications (receiver, group_key, expires, body) VALUES (?, ?, ?, ?)
		ON CONFLICT (receiver, group_key) DO UPDATE SET expires = excluded.expires, body = excluded.body`,
		receiverKey(e.GetEntry().GetReceiver()), string(e.GetEntry().GetGroupKey()), e.GetExpiresAt().AsTime().UnixNano(), body)
	return err
}

func receiverKey(r *nflogpb.Receiver) string {
	return fmt.Sprintf("%s/%s/%d", r.GetGroupName(), r.GetIntegration(), r.GetIdx())
}

// changed stores an entry of an integration that tells by itself. It is called
// under the lock of the log, which must not be asked for anything here.
func (j *journal) changed(body []byte) {
	j.mu.Lock()
	ours := len(body) > 0 && j.merging[&body[0]]
	j.mu.Unlock()
	if ours {
		return
	}
	if err := j.save(context.Background(), body); err != nil {
		j.slog.Warn("a notification was made but not stored: it is stored later, and may be made again after a crash", "err", err)
		j.mu.Lock()
		defer j.mu.Unlock()
		j.unsaved[string(body)] = body
	}
}

func (j *journal) save(ctx context.Context, body []byte) error {
	var e nflogpb.MeshEntry
	if err := protodelim.UnmarshalFrom(bytes.NewReader(body), &e); err != nil {
		return fmt.Errorf("read entry of the notification log: %w", err)
	}
	return j.store.Tx(ctx, func(tx *store.Tx) error { return insertEntry(tx, &e, body) })
}

// firing are the alerts of which some receiver was told last that they fire.
func (j *journal) firing() map[uint64]bool {
	found := map[uint64]bool{}
	all, err := j.log.MarshalBinary()
	if err != nil {
		return found
	}
	r := bytes.NewReader(all)
	for {
		var e nflogpb.MeshEntry
		if err := protodelim.UnmarshalFrom(r, &e); err != nil {
			return found
		}
		for _, hash := range e.GetEntry().GetFiringAlerts() {
			found[hash] = true
		}
	}
}

// tidy stores what could not be stored before, and forgets what is too old.
func (j *journal) tidy(ctx context.Context) error {
	j.mu.Lock()
	waiting := j.unsaved
	j.unsaved = map[string][]byte{}
	j.mu.Unlock()
	for key, body := range waiting {
		if err := j.save(ctx, body); err != nil {
			j.mu.Lock()
			j.unsaved[key] = body
			j.mu.Unlock()
		}
	}
	if _, err := j.log.GC(); err != nil {
		return fmt.Errorf("forget old notifications: %w", err)
	}
	return forget(ctx, j.store, `DELETE FROM alerting_notifications WHERE expires < ?`, j.now())
}

func forget(ctx context.Context, s *store.Store, query string, now time.Time) error {
	return s.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(query, now.UnixNano())
		return err
	})
}
