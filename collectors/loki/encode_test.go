package loki_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"

	"github.com/colliehq/collie/collectors/loki"
)

func decode(t *testing.T, body []byte) (req push.PushRequest) {
	t.Helper()
	raw, err := s2.Decode(nil, body)
	if err != nil {
		t.Fatal(err)
	}
	if err := req.Unmarshal(raw); err != nil {
		t.Fatal(err)
	}
	return req
}

func TestLokiReadsWhatWeEncode(t *testing.T) {
	t.Parallel()
	var e loki.Encoder
	for _, line := range []string{"", "one", strings.Repeat("long ", 5000)} {
		want := []push.Stream{
			{Labels: `{a="b"}`, Entries: []push.Entry{
				{Timestamp: time.Unix(1_700_000_000, 5).UTC(), Line: line, StructuredMetadata: push.LabelsAdapter{{Name: "offset", Value: "12"}, {Name: "x", Value: ""}}},
				{Timestamp: time.Unix(1_700_000_001, 0).UTC(), Line: "two"},
			}},
			{Labels: `{c="d"}`, Entries: []push.Entry{{Timestamp: time.Unix(0, 999_999_999).UTC(), Line: line}}},
		}
		e.Reset()
		for _, s := range want {
			e.Stream(s.Labels)
			for _, n := range s.Entries {
				var meta []loki.Pair
				for _, m := range n.StructuredMetadata {
					meta = append(meta, loki.Pair{Name: m.Name, Value: []byte(m.Value)})
				}
				e.Entry(n.Timestamp.UnixNano(), []byte(n.Line), meta)
			}
		}
		if diff := cmp.Diff(want, decode(t, e.Body()).Streams); diff != "" {
			t.Errorf("stream (-want +got):\n%s", diff)
		}
	}
}

// fill makes a request of n lines.
func fill(e *loki.Encoder, line []byte, meta []loki.Pair, n int) {
	e.Reset()
	e.Stream(`{host="a", source="file"}`)
	for i := range n {
		e.Entry(1_700_000_000_000_000_000+int64(i), line, meta)
	}
	e.Body()
}

func TestALineCostsNoAllocation(t *testing.T) {
	var e loki.Encoder
	line, meta := []byte(strings.Repeat("x", 120)), []loki.Pair{{Name: "filename", Value: []byte("/var/log/a.log")}}
	fill(&e, line, meta, 1000)
	if n := testing.AllocsPerRun(20, func() { fill(&e, line, meta, 1000) }); n > 0 {
		t.Errorf("%v allocations for 1000 lines, want none", n)
	}
}

func TestLabels(t *testing.T) {
	t.Parallel()
	if got, want := loki.Labels(map[string]string{"b": `say "hi"`, "a": "x\xff"}), `{a="x�", b="say \"hi\""}`; got != want {
		t.Errorf("labels are %s, want %s", got, want)
	}
}

func BenchmarkEncode(b *testing.B) {
	var e loki.Encoder
	line, meta := []byte(strings.Repeat("a line of a log, ", 8)), []loki.Pair{{Name: "filename", Value: []byte("/var/log/a.log")}, {Name: "offset", Value: []byte("123456")}}
	b.SetBytes(int64(len(line)) * 8000)
	b.ReportAllocs()
	for b.Loop() {
		fill(&e, line, meta, 8000)
	}
}
