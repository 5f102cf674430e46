package signatures

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := NewMetrics(reg)
	m.now = func() time.Time { return time.Unix(1_800_000_000, 0) }
	set, err := Compile([]Family{family(t, `
  - {name: reset, cause: network, patterns: [{literal: connection reset by peer}], not: [{literal: on purpose}], samples: {match: [connection reset by peer]}}
  - {name: quota, cause: disk, action: report, patterns: [{regex: 'disk quota .*exceeded'}], samples: {match: [disk quota exceeded]}}
`)}, today)
	if err != nil {
		t.Fatal(err)
	}
	m.Measure(set)
	for _, log := range []string{"connection reset by peer\n", "connection reset by peer\non purpose\n", "all is well\n", "disk quota is 3\ndisk quota exceeded\n"} {
		c := set.Classifier(Job{})
		_, _ = c.Write([]byte(log))
		c.Verdict()
	}
	want := `
# HELP collie_signature_hits_total Logs that a signature was recognised in.
# TYPE collie_signature_hits_total counter
collie_signature_hits_total{signature="quota"} 1
collie_signature_hits_total{signature="reset"} 1
# HELP collie_signature_last_hit_timestamp_seconds When a signature was last recognised; absent if it never was since the start.
# TYPE collie_signature_last_hit_timestamp_seconds gauge
collie_signature_last_hit_timestamp_seconds{signature="quota"} 1.8e+09
collie_signature_last_hit_timestamp_seconds{signature="reset"} 1.8e+09
# HELP collie_signature_tried_lines_total Lines that the texts of a signature were tried on: what it costs.
# TYPE collie_signature_tried_lines_total counter
collie_signature_tried_lines_total{signature="quota"} 2
collie_signature_tried_lines_total{signature="reset"} 3
# HELP collie_signature_vetoes_total Logs that a signature was recognised in, and ruled out.
# TYPE collie_signature_vetoes_total counter
collie_signature_vetoes_total{signature="quota"} 0
collie_signature_vetoes_total{signature="reset"} 1
# HELP collie_signatures_logs_total Logs that were classified, by what the best signature asks for; unknown if there is none, vetoed if all were ruled out.
# TYPE collie_signatures_logs_total counter
collie_signatures_logs_total{result="alert"} 0
collie_signatures_logs_total{result="none"} 0
collie_signatures_logs_total{result="report"} 1
collie_signatures_logs_total{result="retry"} 1
collie_signatures_logs_total{result="unknown"} 1
collie_signatures_logs_total{result="vetoed"} 1
# HELP collie_signatures_read_bytes_total Bytes of the logs that were classified.
# TYPE collie_signatures_read_bytes_total counter
collie_signatures_read_bytes_total 109
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}

	// After a reload the series of what is gone go too, and a log that was begun
	// before does not bring them back.
	late := set.Classifier(Job{})
	_, _ = late.Write([]byte("connection reset by peer\n"))
	next, err := Compile([]Family{family(t, "\n  - {name: quota, cause: disk, patterns: [{literal: quota}], samples: {match: [quota]}}\n")}, today)
	if err != nil {
		t.Fatal(err)
	}
	m.Measure(next)
	late.Verdict()
	if n := testutil.CollectAndCount(m.hits); n != 1 {
		t.Errorf("%d series of hits after the reload, want 1", n)
	}
	if n := testutil.ToFloat64(m.hits.WithLabelValues("quota")); n != 1 {
		t.Errorf("the hits of what stayed are %v, want 1", n)
	}
}
