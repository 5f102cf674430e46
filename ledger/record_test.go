package ledger

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/ledger/record"
	"github.com/colliehq/collie/signal"
)

func minute(n float64) time.Time { return t0.Add(time.Duration(n * float64(time.Minute))) }

// TestIntervals tells short stories. The expected record follows from the
// times alone, and is the same in whatever order the signals come.
func TestIntervals(t *testing.T) {
	type s struct {
		at     float64
		state  signal.State
		change func(*signal.Signal, *signal.Target)
	}
	tests := map[string]struct {
		story []s
		want  []string
	}{
		"first word":       {[]s{{0, "unknown", nil}}, []string{"08:00:00 - unknown"}},
		"a life":           {[]s{{0, "unknown", nil}, {1, "up", nil}, {5, "suspect", nil}, {6, "down", nil}, {9, "up", nil}}, []string{"08:00:00 08:01:00 unknown", "08:01:00 08:05:00 up", "08:05:00 08:06:00 suspect", "08:06:00 08:09:00 down", "08:09:00 - up"}},
		"snapshot is none": {[]s{{0, "unknown", nil}, {1, "unknown", snapshot}, {2, "up", nil}, {3, "up", snapshot}}, []string{"08:00:00 08:02:00 unknown", "08:02:00 - up"}},
		"snapshot of news": {[]s{{0, "up", nil}, {3, "down", snapshot}}, []string{"08:00:00 08:03:00 up", "08:03:00 - down"}},
		"no length":        {[]s{{0, "up", nil}, {3, "suspect", nil}, {3, "down", nil}}, []string{"08:00:00 08:03:00 up", "08:03:00 - down"}},
		"zero-length flip": {[]s{{0, "up", nil}, {3, "suspect", nil}, {3, "up", nil}}, []string{"08:00:00 - up"}},
		"restart":          {[]s{{0, "down", nil}, {2, "unknown", nil}, {3, "unknown", snapshot}, {3.5, "down", nil}}, []string{"08:00:00 08:02:00 down", "08:02:00 08:03:30 unknown", "08:03:30 - down"}},
		"seen, then blind": {[]s{{0, "down", nil}, {2, "up", nil}, {2, "unknown", nil}, {4, "up", nil}}, []string{"08:00:00 08:02:00 down", "08:02:00 08:02:00.000000001 up", "08:02:00.000000001 08:04:00 unknown", "08:04:00 - up"}},
		"blind in passing": {[]s{{0, "up", nil}, {2, "down", nil}, {2, "unknown", nil}, {2, "up", nil}}, []string{"08:00:00 08:02:00 up", "08:02:00 08:02:00.000000001 down", "08:02:00.000000001 - up"}},
		"removed":          {[]s{{0, "up", nil}, {2, "unknown", removed}}, []string{"08:00:00 08:02:00 up", "08:02:00 - unknown"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(6) {
				var story []signal.Signal
				for i, s := range tt.story {
					change := s.change
					if change == nil {
						change = func(*signal.Signal, *signal.Target) {}
					}
					story = append(story, signalOf("web", uint64(100+i), minute(s.at), s.state, change))
				}
				r := newRig(t)
				r.clock = minute(30)
				if seed > 0 { // seed 0 is in order
					rand.New(rand.NewPCG(seed, 2)).Shuffle(len(story), func(i, j int) { story[i], story[j] = story[j], story[i] })
				}
				for _, s := range append(story, story...) { // and everything twice
					r.tell(s)
				}
				if diff := cmp.Diff(tt.want, r.lines("web")); diff != "" {
					t.Errorf("seed %d (-want +got):\n%s", seed, diff)
				}
			}
		})
	}
}

func TestCountsWhatIsNotNew(t *testing.T) {
	r := newRig(t)
	up, down := signalOf("web", 10, minute(0), signal.Up), signalOf("web", 12, minute(2), signal.Down)
	r.tell(up)
	r.tell(down)
	r.tell(down) // the same delivery again
	again := down
	again.ID = "another id" // the memory of ids is limited, the journal knows it
	r.tell(again)
	r.tell(signalOf("web", 11, minute(1), signal.Suspect))         // late
	r.tell(signalOf("web", 9, minute(-100*24*60), signal.Suspect)) // before the journal's time
	r.tell(signalOf("web", 13, minute(3), signal.Up, staged))      // not real
	for name, c := range map[string]struct {
		got, want float64
	}{
		"duplicates": {testutil.ToFloat64(r.metrics.duplicates), 1},
		"stale":      {testutil.ToFloat64(r.metrics.stale), 2},
		"late":       {testutil.ToFloat64(r.metrics.late), 1},
		"signals":    {testutil.ToFloat64(r.metrics.signals.WithLabelValues("target")), 4},
		"open":       {testutil.ToFloat64(r.metrics.open), 1},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	want := []string{"08:00:00 08:01:00 up", "08:01:00 08:02:00 suspect", "08:02:00 - down"}
	if diff := cmp.Diff(want, r.lines("web")); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	page, err := r.Journal(t.Context(), JournalQuery{})
	if err != nil || len(page.Items) != 4 {
		t.Errorf("journal has %d entries, %v; want the four that are new", len(page.Items), err)
	}
}

func staged(s *signal.Signal, _ *signal.Target) { s.Environment = "staging" }

// TestTwoExportersOfOneTarget: what comes with an earlier time than what is on
// record takes nothing away.
func TestTwoExportersOfOneTarget(t *testing.T) {
	r := newRig(t)
	r.tell(signalOf("web", 10, minute(0), signal.Up))
	r.tell(signalOf("web", 11, minute(10), signal.Down))
	r.clock = minute(12)
	r.tell(signalOf("web", 3, minute(5), signal.Up, from("exporter/host2")))
	want := []string{"08:00:00 08:10:00 up", "08:10:00 08:12:00 down", "08:12:00 - up"}
	if diff := cmp.Diff(want, r.lines("web")); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestUnreadableIsParked(t *testing.T) {
	r := newRig(t)
	badBody := signalOf("web", 1, minute(0), signal.Up)
	badBody.Body = []byte(`{"name":"other","state":"up"}`)
	tests := map[string]struct {
		topic string
		body  string
		want  string
	}{
		"no json":       {signal.TopicSignals, `{"specversion`, "read signal: "},
		"no signal":     {signal.TopicSignals, `{"specversion":"1.0","type":"dev.collie.signal.target"}`, "invalid signal"},
		"another name":  {signal.TopicSignals, string(message("", "", badBody).Body), `body tells of target "other"`},
		"huge seq":      {signal.TopicSignals, string(message("", "", signalOf("web", 1<<63, minute(0), signal.Up)).Body), "is too large"},
		"no lease":      {signal.TopicLeases, `[]`, "read lease: "},
		"lease of none": {signal.TopicLeases, `{}`, "is not set"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			read := r.signal
			if tt.topic == signal.TopicLeases {
				read = r.lease
			}
			err := read(queue.Delivery{Message: queue.Message{Topic: tt.topic, Body: []byte(tt.body)}}).do(t.Context())
			if !isHopeless(err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a stop with %q", err, tt.want)
			}
		})
	}
}

func TestLapse(t *testing.T) {
	tests := map[string]struct {
		tell func(r *rig)
		want []string
	}{
		"unknown from the watermark": {func(r *rig) {
			r.silence()
		}, []string{"08:00:00 08:10:00 up", "08:10:00 - unknown"}},
		"never before the last word": {func(r *rig) {
			r.tell(signalOf("web", 11, minute(12), signal.Down))
			r.clock = minute(20)
			r.silence()
		}, []string{"08:00:00 08:12:00 up", "08:12:00 08:12:00.000000001 down", "08:12:00.000000001 - unknown"}},
		"said once": {func(r *rig) {
			r.silence()
			r.silence()
		}, []string{"08:00:00 08:10:00 up", "08:10:00 - unknown"}},
		"the same session returns": {func(r *rig) {
			r.silence()
			r.hear("a", 2, minute(15))
		}, []string{"08:00:00 08:10:00 up", "08:10:00 08:15:00 unknown", "08:15:00 - up"}},
		"an old lease changes nothing": {func(r *rig) {
			r.silence()
			r.hear("a", 1, minute(15))
		}, []string{"08:00:00 08:10:00 up", "08:10:00 - unknown"}},
		"another session tells its own story": {func(r *rig) {
			r.silence()
			r.hear("b", 1, minute(15))
			r.tell(signalOf("web", 11, minute(15), signal.Unknown))
			r.tell(signalOf("web", 12, minute(15), signal.Unknown, snapshot))
			r.tell(signalOf("web", 13, minute(16), signal.Down))
		}, []string{"08:00:00 08:10:00 up", "08:10:00 08:16:00 unknown", "08:16:00 - down"}},
		"a transition ends it": {func(r *rig) {
			r.silence()
			r.tell(signalOf("web", 11, minute(14), signal.Down))
			r.hear("a", 2, minute(15))
		}, []string{"08:00:00 08:10:00 up", "08:10:00 08:14:00 unknown", "08:14:00 - down"}},
		"a transition that was delayed": {func(r *rig) {
			r.silence()
			r.tell(signalOf("web", 11, minute(8), signal.Down)) // before the watermark
			r.hear("a", 2, minute(15))
		}, []string{"08:00:00 08:08:00 up", "08:08:00 08:10:00 down", "08:10:00 08:15:00 unknown", "08:15:00 - down"}},
		"delayed until the lease was back": {func(r *rig) {
			r.silence()
			r.hear("a", 2, minute(15))
			r.tell(signalOf("web", 11, minute(12), signal.Down))
		}, []string{"08:00:00 08:10:00 up", "08:10:00 08:12:00 unknown", "08:12:00 - down"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.tell(signalOf("web", 10, minute(0), signal.Up))
			r.hear("a", 1, minute(10))
			r.clock = minute(20)
			tt.tell(r)
			if diff := cmp.Diff(tt.want, r.lines("web")); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLapseWaitsForTheQueue: what was said and not yet read is no silence.
func TestLapseWaitsForTheQueue(t *testing.T) {
	r := newRig(t)
	r.tell(signalOf("web", 10, minute(0), signal.Up))
	r.hear("a", 1, minute(10))
	if err := r.queue.Publish(t.Context(), message(signal.TopicSignals, "x", signalOf("web", 11, minute(11), signal.Down))); err != nil {
		t.Fatal(err)
	}
	r.silence()
	if diff := cmp.Diff([]string{"08:00:00 - up"}, r.lines("web")); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestSilenceIsOurOwnAfterTrouble(t *testing.T) {
	now := time.Now()
	w := newWatch()
	w.saw(source, 15*time.Second, now)
	if got := w.silent(now.Add(45 * time.Second)); len(got) != 0 {
		t.Errorf("%v is silent after exactly three leases", got)
	}
	if got := w.silent(now.Add(46 * time.Second)); len(got) != 1 {
		t.Error("not silent after three leases")
	}
	w.restart(now.Add(46 * time.Second))
	if got := w.silent(now.Add(90 * time.Second)); len(got) != 0 {
		t.Errorf("%v is silent although the time started again", got)
	}
	if !w.lapse(source, now.Add(200*time.Second)) {
		t.Error("not lapsed")
	}
	if got := w.silent(now.Add(300 * time.Second)); len(got) != 0 {
		t.Errorf("%v is told twice", got)
	}
}

func TestLastFailureIsOfATransition(t *testing.T) {
	r := newRig(t)
	r.tell(signalOf("web", 1, minute(0), signal.Up))
	r.tell(signalOf("web", 2, minute(1), signal.Down))
	r.tell(signalOf("web", 3, minute(5), signal.Down, snapshot)) // as after a reload
	got, err := r.Target(t.Context(), "web")
	if err != nil || got.LastFailure == nil || !got.LastFailure.At.Equal(minute(1)) || !got.Since.Equal(minute(1)) {
		t.Errorf("since %v, last failure %+v, %v", got.Since, got.LastFailure, err)
	}
}

func TestMetricsAreClean(t *testing.T) {
	problems, err := testutil.GatherAndLint(outage(t).registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestActionsTellTheirText holds what the story of an alert says of a line
// that was told: the sentence in the action's body.
func TestActionsTellTheirText(t *testing.T) {
	raw, err := json.Marshal(signal.Signal{
		ID: "a", Kind: signal.KindAction, Source: "ircbot/x", Subject: "alert/TargetDown/1", Observed: time.Unix(1, 0), Environment: "production",
		Body: []byte(`{"verb":"line.confirmed","text":"confirmed in #ops on libera by echo"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := summary(record.Entry{Signal: raw}), "confirmed in #ops on libera by echo"; got != want {
		t.Errorf("summary = %q, want %q", got, want)
	}
}
