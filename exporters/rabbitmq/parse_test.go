package rabbitmq

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/colliehq/collie/exporters/probe"
)

// depth is what a table says of a queue.
type depth [counts]float64

func depths(t testing.TB, p *report) map[[2]string]depth {
	t.Helper()
	table := newTable(defaults())
	if err := table.addReport(p); err != nil {
		t.Fatal(err)
	}
	all := map[[2]string]depth{}
	for _, q := range table.queues {
		all[[2]string{q.vhost, q.name}] = q.count
	}
	return all
}

// reference reads the same with the parser of the Prometheus project.
func reference(text string) (map[[2]string]depth, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	all := map[[2]string]depth{}
	for name, f := range families {
		column, ok := columnOf([]byte(name))
		if !ok {
			continue
		}
		for _, m := range f.GetMetric() {
			key := queueOf(m)
			d := all[key]
			d[column] = m.GetGauge().GetValue() + m.GetUntyped().GetValue()
			all[key] = d
		}
	}
	return all, nil
}

func queueOf(m *dto.Metric) (key [2]string) {
	for _, l := range m.GetLabel() {
		switch l.GetName() {
		case "vhost":
			key[0] = l.GetValue()
		case "queue":
			key[1] = l.GetValue()
		}
	}
	return key
}

// TestAgreesWithExpfmt reads random well-formed answers: names of all kinds,
// queues in the same and in another order per family, more labels, time stamps.
func TestAgreesWithExpfmt(t *testing.T) {
	for range 300 {
		text := randomAnswer()
		want, err := reference(text)
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		p, err := parseReport(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, depths(t, p)); diff != "" || p.broken > 0 {
			t.Fatalf("%d broken lines, and (-expfmt +ours):\n%s\nin %s", p.broken, diff, text)
		}
	}
}

func randomAnswer() string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	var labels []string
	for i := range rand.IntN(40) {
		l := fmt.Sprintf(`vhost="%s",queue="%s"`, escape.Replace(randomName()), escape.Replace(fmt.Sprint(i)+randomName()))
		if rand.IntN(5) == 0 {
			l += `,membership="leader"`
		}
		labels = append(labels, l)
	}
	var b strings.Builder
	for _, family := range []string{"queue_messages_ready", "queue_messages_unacked", "queue_messages", "queue_consumers", "queue_process_reductions_total"} {
		fmt.Fprintf(&b, "# TYPE rabbitmq_detailed_%s gauge\n", family)
		if rand.IntN(4) == 0 {
			rand.Shuffle(len(labels), func(i, j int) { labels[i], labels[j] = labels[j], labels[i] })
		}
		for _, l := range labels {
			value := fmt.Sprint(rand.IntN(1000))
			if rand.IntN(10) == 0 {
				value = []string{"1e6", "12.5", "9007199254740991", "0.0", "3 1700000000000"}[rand.IntN(5)]
			}
			fmt.Fprintf(&b, "rabbitmq_detailed_%s{%s} %s\n", family, l, value)
		}
	}
	b.WriteString("rabbitmq_build_info{rabbitmq_version=\"4.1.2\"} 1\n")
	return b.String()
}

func randomName() string {
	var b strings.Builder
	for range rand.IntN(8) {
		b.WriteString([]string{"a", ".", "/", `"`, `\`, "\n", "{", "}", ",", "=", " ", "犬", "#", `\n`}[rand.IntN(14)])
	}
	return b.String()
}

// TestNames reads labels as versions before and after the one that escapes them
// write them.
func TestNames(t *testing.T) {
	for _, c := range []struct{ version, labels, vhost, queue string }{
		{"3.10.8", `vhost="/",queue="plain"`, "/", "plain"},
		{"3.10.8", `vhost="/ci",queue="a"b\c"`, "/ci", `a"b\c`},
		{"3.10.8", `vhost="/",queue="C:\new"`, "/", `C:\new`},
		{"3.12.3", `vhost="/",queue="a"b"`, "/", `a"b`},
		{"3.12.3", `vhost="/",queue="a\c"`, "/", `a\c`},
		{"4.1.2", `vhost="/",queue="a\"b\\c\nd"`, "/", "a\"b\\c\nd"},
		{"4.1.2", `vhost="/",queue="q",membership="leader"`, "/", "q"},
		{"4.1.2", `queue="q",vhost="/"`, "/", "q"},
		{"", `vhost="",queue="q"`, "", "q"},
		{"4.1.2", `vhost="/",queue="` + "\xff" + `"`, "/", "\xff"},
	} {
		p := &report{version: c.version}
		vhost, queue, ok := p.names(c.labels)
		if !ok || vhost != c.vhost || queue != c.queue {
			t.Errorf("%s %s: %q %q %v", c.version, c.labels, vhost, queue, ok)
		}
	}
	for _, labels := range []string{``, `queue="q"`, `vhost="/"`, `vhost="/",queue=""`, `vhost=/,queue=q`, `vhost="/",queue="` + strings.Repeat("x", maxName+1) + `"`} {
		if _, queue, ok := (&report{}).names(labels); ok {
			t.Errorf("%.50s gives the queue %.50q", labels, queue)
		}
	}
}

// TestBrokenLines counts what is no sample and reads on.
func TestBrokenLines(t *testing.T) {
	text := strings.Join([]string{
		`rabbitmq_detailed_queue_messages{vhost="/",queue="a"} 1`,
		`rabbitmq_detailed_queue_messages{vhost="/",queue="b"} -1`,
		`rabbitmq_detailed_queue_messages{vhost="/",queue="b"} NaN`,
		`rabbitmq_detailed_queue_messages{vhost="/",queue="b"} undefined`,
		`rabbitmq_detailed_queue_messages{vhost="/",queue="b"`,
		`rabbitmq_detailed_queue_messages 3`,
		`{} 1`,
		`rabbitmq_detailed_queue_messages{vhost="/",queue="` + strings.Repeat("x", 3*maxLine) + `"} 1`,
		`rabbitmq_detailed_queue_messages{nonsense} 1`,
		"rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"c\"} 2\r",
		`rabbitmq_build_info{rabbitmq_version="4.1.2"} 1`,
	}, "\n")
	p, err := parseReport(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := map[[2]string]depth{{"/", "a"}: {messages: 1}, {"/", "c"}: {messages: 2}}
	if diff := cmp.Diff(want, depths(t, p)); diff != "" {
		t.Error(diff)
	}
	if p.broken != 7 {
		t.Errorf("%d lines are broken, want 7", p.broken)
	}
}

// endless never stops telling of queues.
type endless struct{ n int }

func (e *endless) Read(b []byte) (int, error) {
	var all bytes.Buffer
	for all.Len() < len(b)-100 {
		e.n++
		fmt.Fprintf(&all, "rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"%d\"} 1\n", e.n)
	}
	return copy(b, all.Bytes()), nil
}

// TestBounds ends an answer that never ends.
func TestBounds(t *testing.T) {
	p, err := parseReport(&endless{})
	var f *fault
	if !errors.As(err, &f) || f.reason != probe.Quota || len(p.rows) != maxRows {
		t.Errorf("%d rows, %v", len(p.rows), err)
	}
	garbage := io.MultiReader(bytes.NewReader(bytes.Repeat([]byte("x\n{\n"), maxBroken)))
	if _, err := parseReport(garbage); !errors.As(err, &f) || f.reason != probe.Protocol {
		t.Errorf("garbage: %v", err)
	}
}

// FuzzReport reads anything: no panic, and what is kept is bounded.
func FuzzReport(f *testing.F) {
	f.Add("rabbitmq_detailed_queue_messages_ready{vhost=\"/ci\",queue=\"a\"b\\c\"} 0\n# TYPE\nrabbitmq_build_info{rabbitmq_version=\"3.10.8\"} 1\n")
	f.Add("a{} 1\nrabbitmq_detailed_queue_messages{vhost=\"a\",queue=\"b\\\"} 2\n# x\nrabbitmq_identity_info{rabbitmq_node=\"n\"} 1")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseReport(strings.NewReader(text))
		if err != nil || p.broken > 0 {
			return
		}
		for key := range depths(t, p) {
			if key[1] == "" || len(key[0]) > maxName || len(key[1]) > maxName {
				t.Errorf("the queue %q", key)
			}
		}
		for _, told := range []string{p.node, p.cluster, p.version, p.erlang} {
			if len(told) > 3*maxName {
				t.Errorf("%d bytes for a name", len(told))
			}
		}
	})
}

// FuzzLabels reads labels that are well formed as expfmt does.
func FuzzLabels(f *testing.F) {
	f.Add(`vhost="/",queue="a\"b\\c\nd"`)
	f.Add(`a="",b="\\"`)
	f.Fuzz(func(t *testing.T, labels string) {
		if strings.ContainsAny(labels, "\r\n") {
			return
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(strings.NewReader("x{" + labels + "} 1\n"))
		if err != nil || len(families["x"].GetMetric()) != 1 {
			return
		}
		want, got := map[string]string{}, map[string]string{}
		for _, l := range families["x"].GetMetric()[0].GetLabel() {
			want[l.GetName()] = l.GetValue()
		}
		for _, l := range strictLabels(labels) {
			got[l[0]] = l[1]
		}
		if !maps.Equal(want, got) && len(got) > 0 {
			t.Errorf("%q: expfmt %q, ours %q", labels, want, got)
		}
	})
}

// FuzzQueues reads anything as a list of queues.
func FuzzQueues(f *testing.F) {
	f.Add(`[{"vhost":"/","name":"a","messages":null},{"messages":-1,"name":"b"}]`)
	f.Fuzz(func(_ *testing.T, text string) {
		table := newTable(defaults())
		_ = readQueues(strings.NewReader(text), table.addListed)
		table.totals()
		table.largest()
	})
}

// FuzzTarget takes anything for a target.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"mq1", "mq1:15692", "https://mq1/metrics", "[::1]:1", "::1", "http://a:b@c", "%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseEndpoint(text, metricsRoad)
		if err != nil {
			return
		}
		again, err := parseEndpoint(e.base.String(), metricsRoad)
		if err != nil || again.label() != e.label() {
			t.Errorf("%q is %s, which is %s (%v)", text, e.label(), again.label(), err)
		}
		e.peer(text, "http", 1)
	})
}

func TestEndpoints(t *testing.T) {
	for text, want := range map[string][2]string{
		"mq1":                         {"http://mq1:15692", "http://mq1:15672"},
		"MQ1.example.org":             {"http://mq1.example.org:15692", "http://mq1.example.org:15672"},
		"mq1:9999":                    {"http://mq1:9999", "http://mq1:15672"},
		"https://mq1":                 {"https://mq1:15691", "https://mq1:15671"},
		"https://mq1/metrics":         {"https://mq1:15691", "https://mq1:15671"},
		"http://mq1/rabbit/metrics/":  {"http://mq1:15692/rabbit", "http://mq1:15672"},
		"::1":                         {"http://[::1]:15692", "http://[::1]:15672"},
		"[::1]:99":                    {"http://[::1]:99", "http://[::1]:15672"},
		"http://mq1/metrics/detailed": {"http://mq1:15692", "http://mq1:15672"},
	} {
		e, err := parseEndpoint(text, metricsRoad)
		other := e.on(managementRoad)
		if got := [2]string{e.base.String(), other.base.String()}; err != nil || got != want {
			t.Errorf("%s: %s %v", text, got, err)
		}
	}
	for _, text := range []string{"", "http://", "ftp://mq", "mq:port", "mq:99999", "http://mq?x=1", "a b"} {
		if e, err := parseEndpoint(text, metricsRoad); err == nil {
			t.Errorf("%q is taken as %s", text, e.base.String())
		}
	}
}

// TestPeers finds other nodes from where one is.
func TestPeers(t *testing.T) {
	for _, c := range []struct{ at, node, want string }{
		{"mq1.example.org", "rabbit@mq2", "mq2.example.org:15692"},
		{"mq1.example.org", "rabbit@mq1", "mq1.example.org:15692"},
		{"mq1.example.org", "rabbit@mq2.other.org", "mq2.other.org:15692"},
		{"mq1", "rabbit@mq2", "mq2:15692"},
		{"10.0.0.1", "rabbit@mq2", "mq2:15692"},
		{"10.0.0.1", "n2@localhost", "10.0.0.1:15692"},
		{"mq1", "rabbit@", ""}, {"mq1", "rabbit", ""}, {"mq1", "r@a/b", ""}, {"mq1", "r@a:1", ""}, {"mq1", "r@169.254.169.254", "169.254.169.254:15692"},
	} {
		at, err := parseEndpoint(c.at, metricsRoad)
		if err != nil {
			t.Fatal(err)
		}
		e, ok := at.peer(c.node, "http", 15692)
		if ok != (c.want != "") || ok && e.label() != c.want {
			t.Errorf("from %s, %s is at %s", c.at, c.node, e.label())
		}
	}
}
