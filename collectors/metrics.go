package collectors

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/colliehq/collie/collectors/loki"
)

// metrics of the shipper.
type metrics struct {
	lines, bytes, split, invalid, nuls   prometheus.Counter
	pushes                               *prometheus.CounterVec
	sent, quarantined, replays, errors   prometheus.Counter
	files, packed, unread, gap, inFlight prometheus.Gauge
	lastAccepted, failing                prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "collie_shipper_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "collie_shipper_" + name, Help: help})
	}
	m := &metrics{
		lines:   counter("entries_total", "Entries that Loki acknowledged, or that are in the quarantine."),
		bytes:   counter("read_bytes_total", "Bytes of files that are acknowledged."),
		split:   counter("split_entries_total", "Entries that are a part of a line: it was too long, or had no end."),
		invalid: counter("invalid_utf8_bytes_total", "Bytes of lines that were no UTF-8 and were replaced."),
		nuls:    counter("nul_bytes_total", "NUL bytes that were taken out of lines, as holes of sparse files have them."),
		pushes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "collie_shipper_pushes_total", Help: "Attempts to push to Loki, by what became of them.",
		}, []string{"verdict"}),
		sent:         counter("sent_bytes_total", "Bytes of pushes, compressed, with every attempt."),
		quarantined:  counter("quarantined_entries_total", "Entries that Loki refused for good, set aside in the folder quarantine."),
		replays:      counter("replays_total", "Batches that were sent again after a start, the same to the byte."),
		errors:       counter("read_errors_total", "Files and folders that could not be read, or not be looked at, each time."),
		files:        gauge("files", "Files that are followed."),
		packed:       gauge("packed_files", "Files that a glob names and that are compressed: they are not read."),
		unread:       gauge("unread_bytes", "Bytes of files that are not acknowledged."),
		gap:          gauge("gap_bytes", "Bytes that were seen in files and are lost: truncated or removed before they were read."),
		inFlight:     gauge("in_flight_entries", "Entries that are being sent."),
		lastAccepted: gauge("last_accepted_timestamp_seconds", "When Loki accepted a push last."),
		failing:      gauge("failing_attempts", "Attempts in a row that Loki did not accept; 0 while it does."),
	}
	for _, v := range []loki.Verdict{loki.Accepted, loki.Rejected, loki.TooLarge, loki.Later} {
		m.pushes.WithLabelValues(v.String())
	}
	return m
}
