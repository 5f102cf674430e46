package s3

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/colliehq/collie/exporters/probe"
)

// metrics are about ourselves.
type metrics struct{ unsaved prometheus.Counter }

func newMetrics(r prometheus.Registerer, x *S3) *metrics {
	f := promauto.With(r)
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "collie_s3_buckets", Help: "Buckets that are counted in the background."}, func() float64 {
		x.mu.Lock()
		defer x.mu.Unlock()
		return float64(len(x.jobs))
	})
	return &metrics{unsaved: f.NewCounter(prometheus.CounterOpts{
		Name: "collie_s3_checkpoint_failures_total", Help: "How often the place of a listing could not be stored.",
	})}
}

// exportTotal adds what is known of the bucket: series of counts that nobody
// told are left out.
func exportTotal(m *probe.Metrics, t *Total, now time.Time) {
	m.Gauge("probe_s3_total_known", "1 if the bucket was ever counted completely; the counts are the last complete ones.", probe.Bool(t != nil))
	if t == nil {
		return
	}
	m.Gauge("probe_s3_total_age_seconds", "How long ago the counts were complete, and where they come from.", max(0, now.Sub(t.Ended).Seconds()), "source", t.Source)
	m.Gauge("probe_s3_total_taken_seconds", "How long it took to count, pauses and restarts included.", max(0, t.Ended.Sub(t.Began).Seconds()))
	m.Gauge("probe_s3_objects", "Objects in the bucket; of an object with versions the current one counts.", float64(t.Objects))
	m.Gauge("probe_s3_size_bytes", "Size of these objects.", float64(t.Bytes))
	m.Gauge("probe_s3_newest_object_timestamp_seconds", "When the newest object was written, as Unix time; 0 if there is none.", float64(t.Newest))
	age := math.Inf(1)
	if t.Newest > 0 {
		age = max(0, now.Sub(time.Unix(t.Newest, 0)).Seconds())
	}
	m.Gauge("probe_s3_newest_object_age_seconds", "How long ago the newest object was written; +Inf if there is none.", age)
	if t.HasVersions {
		m.Gauge("probe_s3_noncurrent_versions", "Older versions of objects, and versions of deleted ones.", float64(t.Older))
		m.Gauge("probe_s3_noncurrent_size_bytes", "Size of the older versions.", float64(t.OlderBytes))
		m.Gauge("probe_s3_delete_markers", "Delete markers: what hides objects that were deleted in a bucket with versions.", float64(t.Marker))
	}
	if t.HasUploads {
		m.Gauge("probe_s3_unfinished_uploads", "Multipart uploads that were begun, and neither completed nor aborted.", float64(t.Uploads))
		m.Gauge("probe_s3_unfinished_uploads_sized", "Of how many of them the parts were added up.", float64(t.UploadsSized))
		m.Gauge("probe_s3_unfinished_size_bytes", "Size of these parts, which take room that no listing of objects shows.", float64(t.UploadBytes))
		m.Gauge("probe_s3_oldest_upload_timestamp_seconds", "When the oldest of them was begun, as Unix time; 0 if there is none.", float64(t.OldestUpload))
	}
	for _, status := range []string{"enabled", "suspended", "off", "unknown"} {
		m.Gauge("probe_s3_versioning", "1 for the state of versioning that the bucket was in; unknown if the server does not tell.", probe.Bool(t.Versioning == status), "status", status)
	}
}

// exportSight adds how the background work does.
func exportSight(m *probe.Metrics, s sight) {
	m.Gauge("probe_s3_listing_running", "1 while the bucket is being listed.", probe.Bool(s.running))
	m.Gauge("probe_s3_listing_objects", "Objects that the listing under way has counted so far.", float64(s.seen.Objects))
	m.Counter("probe_s3_listing_requests_total", "Requests that listing this bucket has made since Collie was started.", float64(s.requests))
	m.Counter("probe_s3_listing_received_bytes_total", "Bytes of the answers to these requests.", float64(s.bytes))
	m.Gauge("probe_s3_listing_budget_remaining_requests", "Requests that are left of requests_per_hour.", math.Floor(s.left))
	failed := reasonOf(s.failure)
	for _, r := range probe.Reasons() {
		m.Gauge("probe_s3_listing_failure", "1 for the reason for which listing does not get on at present.", probe.Bool(r == failed), "reason", string(r))
	}
}

// exportCost adds what the probe itself took.
func (l *link) exportCost(m *probe.Metrics, family string, phases ...string) {
	for _, phase := range phases {
		m.Gauge(family+"_duration_seconds", "How long each phase of the probe took; 0 if it was not reached.", l.phases.of(phase).Seconds(), "phase", phase)
	}
	m.Gauge(family+"_requests", "Requests that the probe made.", float64(l.requests.Load()))
	m.Gauge(family+"_received_bytes", "Bytes of the answers to these requests.", float64(l.bytes.Load()))
}
