package webhook

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/webhook/sender"
)

// open is a hook that takes what anybody posts.
func open(name string) Hook {
	return Hook{Name: name, Sender: "generic", Insecure: true, KeyHeader: "X-Id"}
}

func id(v string) http.Header { return http.Header{"X-Id": {v}} }

// onlyReader hides the length of a body, so that it is sent in chunks.
type onlyReader struct{ io.Reader }

func TestAnswers(t *testing.T) {
	small := open("small")
	small.MaxBody = 1024
	r := start(t, configured(open("a"), small), false)
	big := strings.Repeat("x", 1025)
	chunked := r.request("small", nil, "")
	chunked.Body, chunked.ContentLength = io.NopCloser(onlyReader{strings.NewReader(big)}), -1
	packed := http.Header{"Content-Encoding": {"gzip"}}
	get := r.request("a", nil, "")
	get.Method = http.MethodGet
	many := http.Header{}
	for i := range 250 {
		many["X-"+strconv.Itoa(i)] = []string{""}
	}
	for name, tt := range map[string]struct {
		got  answer
		code int
		text string
	}{
		"unknown hook":     {r.post("b", nil, "{}"), 404, "no such hook"},
		"below a hook":     {r.post("a/b", nil, "{}"), 404, "no such hook"},
		"get":              {r.do(get), 405, "is posted"},
		"too large":        {r.post("small", nil, big), 413, "larger than 1KB; nothing was stored"},
		"too large chunks": {r.do(chunked), 413, "larger than 1KB; nothing was stored"},
		"compressed":       {r.post("a", packed, "{}"), 415, "compressed"},
		"many headers":     {r.post("a", many, "{}"), 431, ""},
	} {
		if tt.got.code != tt.code || !strings.Contains(tt.got.text, tt.text) {
			t.Errorf("%s: %d %s", name, tt.got.code, tt.got.text)
		}
	}
	if n := len(r.spooled()); n != 0 {
		t.Errorf("%d deliveries are stored", n)
	}
	if got := r.post("small", id("1"), big[:1024]); got.code != 202 {
		t.Errorf("the largest body: %d %s", got.code, got.text)
	}
	if got := r.metric("deliveries_total", "hook", "small", "result", "too_large"); got != 2 {
		t.Errorf("too_large counted %v times", got)
	}
	if got := r.metric("memory_bytes"); got != 0 {
		t.Errorf("%v bytes are held", got)
	}
}

// What is acknowledged is on the disk, unchanged, with the headers that matter.
func TestStoredAsItCame(t *testing.T) {
	h := open("a")
	h.KeepHeaders = []string{"X-Event"}
	r := start(t, configured(h), false)
	body := "\x00\xff not JSON \r\n"
	got := r.post("a", http.Header{"X-Id": {"7"}, "X-Event": {"boom"}, "Authorization": {"Bearer x"}, "Cookie": {"c"}, "Content-Type": {"text/odd"}}, body)
	if got.code != 202 || got.head.Get("Content-Type") != "application/json" {
		t.Fatalf("%+v", got)
	}
	e := r.spooled()[0]
	if string(e.Body) != body || e.Key != got.id || e.Topic != Topic {
		t.Errorf("stored %q as %s", e.Body, e.Key)
	}
	for key, want := range map[string]string{
		"hook": "a", "sender": "generic", "key": "7", "X-Event": "boom", "Content-Type": "text/odd", "Authorization": "", "Cookie": "", "X-Id": "",
	} {
		if e.Headers[key] != want {
			t.Errorf("header %s is %q, want %q", key, e.Headers[key], want)
		}
	}
}

// Our own faults are never a 4xx, and name a time to try again.
func TestOverload(t *testing.T) {
	c := configured(open("a"))
	c.Limits.Requests = 1
	c.Limits.Waiting = 1
	r := start(t, c, false)
	// The disk takes its time.
	busy, free := make(chan struct{}), make(chan struct{})
	go func() {
		err := r.store.Tx(context.Background(), func(*store.Tx) error { close(busy); <-free; return nil })
		if err != nil {
			t.Error(err)
		}
	}()
	<-busy
	done := make(chan answer, 1)
	go func() { done <- r.post("a", id("slow"), "{}") }()
	r.await("a request in flight", func() bool { return r.metric("requests_in_flight") == 1 })
	if got := r.post("a", id("1"), "{}"); got.code != 503 || got.head.Get("Retry-After") == "" {
		t.Errorf("beside another one: %d %v", got.code, got.head)
	}
	close(free)
	if got := <-done; got.code != 202 {
		t.Errorf("the slow one: %d %s", got.code, got.text)
	}
	if full := r.post("a", id("2"), "{}"); full.code != 503 || full.head.Get("Retry-After") == "" {
		t.Errorf("a full spool: %d %v", full.code, full.head)
	}
	if again := r.post("a", id("slow"), "{}"); again.code != 202 {
		t.Errorf("what is stored already, with a full spool: %d", again.code)
	}
	for result, want := range map[string]float64{"overloaded": 1, "full": 1, "stored": 1, "repeated": 1} {
		if got := r.metric("deliveries_total", "hook", "a", "result", result); got != want {
			t.Errorf("%s: %v, want %v", result, got, want)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	h := open("a")
	h.MaxBody = 1 << 20
	c := configured(h)
	c.Limits.Memory = 512 << 10
	r := start(t, c, false)
	got := r.post("a", id("1"), strings.Repeat("x", 1<<20))
	if got.code != 503 || got.head.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.code, got.text)
	}
	large := strings.Repeat("x", 100<<10) + "end"
	if got := r.post("a", id("1"), large); got.code != 202 {
		t.Errorf("%d %s", got.code, got.text)
	}
	if got := string(r.spooled()[0].Body); got != large {
		t.Errorf("a body of several pieces has %d bytes", len(got))
	}
}

// A store that is gone is our fault.
func TestClosedStore(t *testing.T) {
	r := start(t, configured(open("a")), false)
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	if got := r.post("a", id("1"), "{}"); got.code != 503 || got.head.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.code, got.text)
	}
}

// A body that does not come in time is given up.
func TestSlowBody(t *testing.T) {
	c := configured(open("a"))
	c.Limits.ReadTimeout = time.Second
	r := start(t, c, false)
	slow, feed := io.Pipe()
	defer feed.Close()
	req := r.request("a", nil, "")
	req.Body, req.ContentLength = slow, 100
	res, err := http.DefaultTransport.RoundTrip(req)
	if err == nil {
		if res.StatusCode != http.StatusRequestTimeout {
			t.Errorf("answer %d", res.StatusCode)
		}
		res.Body.Close()
	}
	r.await("giving up", func() bool { return r.metric("deliveries_total", "hook", "a", "result", "unreadable") == 1 })
	if n := len(r.spooled()); n != 0 {
		t.Errorf("%d deliveries are stored", n)
	}
}

// Senders that number nothing say the same again on purpose: at once it is a
// redelivery, later a repetition.
func TestRepeats(t *testing.T) {
	r := start(t, configured(Hook{Name: "am", Sender: "alertmanager", Insecure: true}), false)
	body := alertBody("4", "1")
	one := r.post("am", nil, body)
	if again := r.post("am", nil, body); again.id != one.id {
		t.Errorf("a redelivery is %s and %s", one.id, again.id)
	}
	r.clock.step(4 * time.Hour)
	later := r.post("am", nil, body)
	if later.id == one.id || later.code != 202 {
		t.Errorf("a repetition is %s and %s", one.id, later.id)
	}
	if n := len(r.spooled()); n != 2 {
		t.Errorf("%d deliveries are stored", n)
	}
}

func TestReload(t *testing.T) {
	r := start(t, configured(open("a")), false)
	was := r.Listener().Address()
	if err := r.Reload(t.Context(), configured(open("a"), Hook{Name: "b", Sender: "github", SecretFiles: []string{"/nonexistent/secret"}})); err == nil {
		t.Fatal("a secret that is not there is no reason to refuse")
	}
	if got := r.post("a", id("1"), "{}"); got.code != 202 {
		t.Errorf("after a refused reload: %d", got.code)
	}
	next := configured(open("b"))
	next.ListenAddress = "localhost:0"
	if err := r.Reload(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	r.await("another address", func() bool { return r.Listener().Address() != was })
	if got := r.post("b", id("1"), "{}"); got.code != 202 {
		t.Errorf("the new hook: %d", got.code)
	}
	if got := r.post("a", id("2"), "{}"); got.code != 404 {
		t.Errorf("the old hook: %d", got.code)
	}
	if r.metric("deliveries_total", "hook", "a") != -1 || r.metric("last_delivery_timestamp_seconds", "hook", "a") != -1 {
		t.Error("the old hook still has series")
	}
	if err := r.Reload(t.Context(), Default()); err != nil {
		t.Fatal(err)
	}
	r.await("no address", func() bool { return r.Listener().Address() == "" })
}

// When a hook was posted to last is known after a restart; one that was never
// posted to is silent since it is configured.
func TestLastDelivery(t *testing.T) {
	h := open("a")
	h.Silence = time.Hour
	began := float64(time.Now().Unix())
	r := start(t, configured(h, open("never")), true)
	got := r.post("a", id("1"), "{}")
	r.about(got.id, verbHandled)
	at := r.metric("last_delivery_timestamp_seconds", "hook", "a")
	if at < began || r.metric("silence_seconds", "hook", "a") != 3600 || r.metric("silence_seconds", "hook", "never") != -1 {
		t.Errorf("last %v, silence %v", at, r.metric("silence_seconds", "hook", "a"))
	}
	since := r.metric("last_delivery_timestamp_seconds", "hook", "never")
	r.clock.step(time.Minute)
	r.restart(true)
	if now := r.metric("last_delivery_timestamp_seconds", "hook", "a"); now < at || now > at+30 {
		t.Errorf("after a restart %v, before %v", now, at)
	}
	if now := r.metric("last_delivery_timestamp_seconds", "hook", "never"); now != since || since < began {
		t.Errorf("never posted to: %v, then %v", since, now)
	}
}

// A delivery becomes its signals and one that tells of it, once.
func TestHandled(t *testing.T) {
	r := start(t, configured(Hook{Name: "ci", Sender: "gitlab", Insecure: true}), true)
	body := `{"object_kind":"build","build_id":12,"build_name":"rspec","build_status":"failed","project":{"path_with_namespace":"g/p","web_url":"https://gitlab.example.org/g/p"}}`
	got := r.post("ci", http.Header{"Idempotency-Key": {"k1"}, "X-Gitlab-Token": {"hush"}}, body)
	done := r.about(got.id, verbHandled)
	all := r.signals()
	if len(all) != 2 || all[0].Subject != "job/gitlab.example.org/12" || string(all[0].Body) != body || all[0].Annotations["delivery"] != "delivery/"+got.id {
		t.Fatalf("%+v", all)
	}
	a, err := done.Action()
	if err != nil {
		t.Fatal(err)
	}
	if a.Text != "GitLab job 12 (rspec) of g/p: failed" || len(a.Effects) != 1 || a.Effects[0].ID != all[0].ID || a.Effects[0].Subject != all[0].Subject {
		t.Errorf("%+v", a)
	}
	var times []time.Time
	for _, name := range []string{"received", "stored", "handled"} {
		at, err := time.Parse(time.RFC3339Nano, done.Annotations[name])
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, at)
	}
	if times[1].Before(times[0]) || times[2].Before(times[1]) || done.Annotations["attempt"] != "1" || done.Annotations["key"] != "k1" {
		t.Errorf("%v", done.Annotations)
	}
	r.await("an empty spool", func() bool { return len(r.spooled()) == 0 })
	if again := r.post("ci", http.Header{"Idempotency-Key": {"k1"}}, body); again.id != got.id || len(r.spooled()) != 0 || len(r.signals()) != 2 {
		t.Errorf("what was handled came again: %+v", again)
	}
}

// What cannot be understood waits for a person, and others go on.
func TestParked(t *testing.T) {
	r := start(t, configured(Hook{Name: "ci", Sender: "gitlab", Insecure: true}), true)
	deep := r.post("ci", http.Header{"Idempotency-Key": {"deep"}}, strings.Repeat(`{"a":`, 100_000))
	good := r.post("ci", http.Header{"Idempotency-Key": {"good"}}, `{"object_kind":"push"}`)
	r.about(good.id, verbHandled)
	told := r.about(deep.id, verbParked)
	r.await("parking", func() bool { e := r.spooled(); return len(e) == 1 && e[0].State == queue.Parked })
	if e := r.spooled()[0]; e.Key != deep.id || !strings.Contains(e.Cause, "exceeded max depth") {
		t.Errorf("%+v", e.Cause)
	}
	if a, err := told.Action(); err != nil || !strings.Contains(a.Text, "exceeded max depth") {
		t.Errorf("%v %+v", err, a)
	}
}

// A person looks at what comes before anything acts on it.
func TestHold(t *testing.T) {
	h := Hook{Name: "ci", Sender: "gitlab", Insecure: true, Hold: true}
	r := start(t, configured(h), true)
	got := r.post("ci", http.Header{"Idempotency-Key": {"1"}}, `{"object_kind":"push"}`)
	r.about(got.id, verbParked)
	r.await("parking", func() bool { e := r.spooled(); return len(e) == 1 && e[0].State == queue.Parked })
	if !strings.HasPrefix(r.spooled()[0].Cause, "held:") || r.metric("hold", "hook", "ci") != 1 {
		t.Errorf("%+v", r.spooled()[0])
	}
	h.Hold = false
	if err := r.Reload(t.Context(), configured(h)); err != nil {
		t.Fatal(err)
	}
	if n, err := r.queue.Redrive(t.Context(), Subscription, got.id); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	r.about(got.id, verbHandled)
}

// A restart between the acknowledgement and the handling loses nothing.
func TestHandledAfterRestart(t *testing.T) {
	r := start(t, configured(Hook{Name: "ci", Sender: "gitlab", Insecure: true}), false)
	var ids []string
	for _, key := range []string{"1", "2", "3"} {
		ids = append(ids, r.post("ci", http.Header{"Idempotency-Key": {key}}, `{"object_kind":"push","k":`+key+`}`).id)
	}
	r.restart(true)
	for _, id := range ids {
		r.about(id, verbHandled)
	}
	r.conf = configured() // a hook that is gone from the configuration
	r.restart(false)
}

// A mistake in a sender's reading parks that delivery and nothing else.
func TestPanicIsParked(t *testing.T) {
	_, err := read(sender.Sender{Read: func(sender.Delivery) (sender.Meaning, error) { panic("boom") }}, sender.Delivery{})
	if err == nil || !strings.Contains(err.Error(), "boom") {
		t.Error(err)
	}
}
