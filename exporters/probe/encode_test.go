package probe

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// library writes the families with the Prometheus library.
func library(t testing.TB, format expfmt.Format, families []Family) string {
	t.Helper()
	var out bytes.Buffer
	enc := expfmt.NewEncoder(&out, format)
	for _, f := range families {
		kind := map[Type]dto.MetricType{Gauge: dto.MetricType_GAUGE, Counter: dto.MetricType_COUNTER, Untyped: dto.MetricType_UNTYPED}[f.Type]
		mf := &dto.MetricFamily{Name: &f.Name, Help: &f.Help, Type: &kind}
		for _, s := range f.Samples {
			m := &dto.Metric{}
			for _, l := range s.Labels {
				m.Label = append(m.Label, &dto.LabelPair{Name: &l.Name, Value: &l.Value})
			}
			switch f.Type {
			case Gauge:
				m.Gauge = &dto.Gauge{Value: &s.Value}
			case Counter:
				m.Counter = &dto.Counter{Value: &s.Value}
			default:
				m.Untyped = &dto.Untyped{Value: &s.Value}
			}
			mf.Metric = append(mf.Metric, m)
		}
		if err := enc.Encode(mf); err != nil {
			t.Fatal(err)
		}
	}
	if c, ok := enc.(expfmt.Closer); ok {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func formats(t testing.TB) []expfmt.Format {
	t.Helper()
	open, err := expfmt.NewOpenMetricsFormat("1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	return []expfmt.Format{expfmt.NewFormat(expfmt.TypeTextPlain), open}
}

// FuzzSameAsLibrary writes the same bytes as the Prometheus library does.
func FuzzSameAsLibrary(f *testing.F) {
	f.Add("help", "value", 1.5, 0.0)
	f.Add("a \\ \"b\"\n", "c \\ \"d\"\n\xff\xfeé", math.Inf(1), math.Inf(-1))
	f.Add("", "", math.NaN(), 1e21)
	f.Add("x", "y", 1e-9, 123456789.0)
	f.Add("x", "y", math.Copysign(0, -1), 3.668918509e+09)
	f.Fuzz(func(t *testing.T, help, value string, a, b float64) {
		help, value = strings.ToValidUTF8(help, "�"), strings.ToValidUTF8(value, "�")
		var m Metrics
		m.Gauge("probe_a", help, a)
		m.Gauge("probe_b", help, b, "x", value)
		m.Gauge("probe_b", help, a, "x", value+"2", "y", "")
		m.Counter("probe_c_total", help, math.Abs(b), "x", value)
		m.Add(Untyped, "probe_d", help, 7)
		for _, format := range formats(t) {
			var e Exposition
			e.Add(m.Families())
			if diff := cmp.Diff(library(t, format, m.Families()), string(e.Append(nil, format))); diff != "" {
				t.Errorf("%s: the library (-) and we (+) differ:\n%s", format, diff)
			}
		}
	})
}

// TestManyTargets merges the families of several probes under one head each.
func TestManyTargets(t *testing.T) {
	var a, b Metrics
	a.Gauge("probe_success", "Success.", 1)
	a.Gauge("probe_only_a", "Only here.", 2, "target", "own")
	b.Gauge("probe_success", "Another text.", 0)
	var e Exposition
	e.Add(a.Families(), "target", "a", "probe", "http_2xx")
	e.Add(b.Families(), "target", "b", "probe", "icmp")
	expected := `# HELP probe_only_a Only here.
# TYPE probe_only_a gauge
probe_only_a{target="a",probe="http_2xx",exported_target="own"} 2
# HELP probe_success Success.
# TYPE probe_success gauge
probe_success{target="a",probe="http_2xx"} 1
probe_success{target="b",probe="icmp"} 0
`
	if diff := cmp.Diff(expected, string(e.Append(nil, expfmt.NewFormat(expfmt.TypeTextPlain)))); diff != "" {
		t.Error(diff)
	}
}

func TestNegotiate(t *testing.T) {
	for accept, want := range map[string]expfmt.FormatType{
		"": expfmt.TypeTextPlain, "*/*": expfmt.TypeTextPlain, "text/html": expfmt.TypeTextPlain,
		"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1": expfmt.TypeOpenMetrics,
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited":                                            expfmt.TypeTextPlain,
	} {
		if got := Negotiate(http.Header{"Accept": {accept}}).FormatType(); got != want {
			t.Errorf("%q gives %v, want %v", accept, got, want)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	var m Metrics
	for i := range 25 {
		m.Gauge(fmt.Sprintf("probe_metric_%d_seconds", i), "What it says.", float64(i)/7, "phase", "resolve")
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendText(buf[:0], m.Families())
	}
}
