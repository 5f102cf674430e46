package webhook

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/internal/queue/sqlite"
	"github.com/colliehq/collie/internal/store"
	"github.com/colliehq/collie/signal"
)

// childDir tells the test program to be the receiver of TestHostileClients.
const childDir = "COLLIE_TEST_RECEIVER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child is a receiver in a process of its own, so that its memory can be looked
// at. It ends when its input does.
func child(dir string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(ctx, store.Options{Dir: dir, Log: log, Registry: prometheus.NewRegistry(), Ballast: -1})
	if err != nil {
		return err
	}
	defer s.Close()
	q := sqlite.New(s, sqlite.Options{})
	if err := q.Declare(ctx, queue.Subscription{Topic: signal.TopicSignals, Name: "record"}); err != nil {
		return err
	}
	github := Hook{Name: "github", Sender: "github", SecretFiles: []string{filepath.Join(dir, "secret")}}
	w, err := New(ctx, Options{Config: configured(open("a"), github), Store: s, Queue: q, Registry: prometheus.NewRegistry(), Log: log, Source: "webhook/child"})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = w.Mapper().Run(ctx) })
	wg.Go(func() { _ = w.Listener().Run(ctx) })
	<-w.Listener().Ready()
	fmt.Println(w.Listener().Address())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// victim is the receiver, seen from outside.
type victim struct {
	t       *testing.T
	address string
	pid     int
}

func startChild(t *testing.T) *victim {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^$") // ended by closing its input
	cmd.Env, cmd.Stderr = append(os.Environ(), childDir+"="+dir), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return &victim{t, strings.TrimSpace(line), cmd.Process.Pid}
}

// resident is the largest memory that the process had, in bytes.
func (v *victim) resident(field string) int64 {
	v.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.pid))
	if err != nil {
		v.t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				v.t.Fatal(err)
			}
			return kb << 10
		}
	}
	v.t.Fatalf("no %s in the status of a process", field)
	return 0
}

// served wants a delivery of somebody else to be taken, meanwhile.
func (v *victim) served(key string) {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, "http://"+v.address+"/hook/a", strings.NewReader("{}"))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("X-Id", key)
	client := http.Client{Timeout: hang}
	res, err := client.Do(req)
	if err != nil {
		v.t.Errorf("%s: others are not served: %v", key, err)
		return
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		v.t.Errorf("%s: others are answered %d", key, res.StatusCode)
	}
}

// post sends a body, in chunks if it has no length, and returns the code; 0 for
// a connection that was cut.
func (v *victim) post(hook string, h http.Header, body io.Reader) int {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, "http://"+v.address+"/hook/"+hook, body)
	if err != nil {
		v.t.Fatal(err)
	}
	maps.Copy(req.Header, h)
	client := http.Client{Timeout: hang, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}

// zeros is an endless body.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Slow, huge, deep, many-headed and compressed: memory stays bounded and others
// are served. What is measured is the highest memory of a process of its own.
func TestHostileClients(t *testing.T) {
	v := startChild(t)
	v.served("before")
	before := v.resident("VmRSS")
	slow := v.slowHeaders(1000)
	v.served("slow headers")
	for i := range 4 {
		if code := v.post("a", http.Header{"X-Id": {"chunked"}}, io.LimitReader(zeros{}, 30<<20)); code != http.StatusRequestEntityTooLarge && code != 0 {
			t.Errorf("30 MB in chunks, %d: %d", i, code)
		}
		// Signed wrongly, to a hook that takes 25 MB.
		head := http.Header{"X-Hub-Signature-256": {"sha256=" + strings.Repeat("00", 32)}}
		if code := v.post("github", head, io.LimitReader(zeros{}, 30<<20)); code != http.StatusRequestEntityTooLarge && code != 0 {
			t.Errorf("30 MB to a large hook, %d: %d", i, code)
		}
		if code := v.post("github", nil, io.LimitReader(zeros{}, 20<<20)); code != http.StatusUnauthorized && code != 0 {
			t.Errorf("20 MB without a proof, %d: %d", i, code)
		}
	}
	v.served("large bodies")
	if code := v.post("a", http.Header{"X-Id": {"deep"}}, strings.NewReader(strings.Repeat("[", 1<<20))); code != http.StatusAccepted {
		t.Errorf("a deeply nested document: %d", code)
	}
	many := http.Header{}
	for i := range 10_000 {
		many["X-Header-"+strconv.Itoa(i)] = []string{"x"}
	}
	if code := v.post("a", many, strings.NewReader("{}")); code != http.StatusRequestHeaderFieldsTooLarge && code != 0 {
		t.Errorf("10,000 headers: %d", code)
	}
	if code := v.post("a", http.Header{"Content-Encoding": {"gzip"}}, bytes.NewReader(bomb(t))); code != http.StatusUnsupportedMediaType {
		t.Errorf("a gzip bomb: %d", code)
	}
	v.served("all of it")
	grown := v.resident("VmHWM") - before
	t.Logf("memory before %d MB, highest since %d MB more", before>>20, grown>>20)
	if grown > 64<<20 && !raced {
		t.Errorf("memory grew by %d MB", grown>>20)
	}
	for _, c := range slow {
		c.Close()
	}
}

// slowHeaders opens connections that never finish their headers.
func (v *victim) slowHeaders(n int) (all []net.Conn) {
	v.t.Helper()
	for range n {
		c, err := new(net.Dialer).DialContext(v.t.Context(), "tcp", v.address)
		if err != nil {
			v.t.Fatal(err)
		}
		if _, err := io.WriteString(c, "POST /hook/a HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
			v.t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// bomb is 100 MB in a hundred kilobytes.
func bomb(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := io.CopyN(z, zeros{}, 100<<20); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A body that breaks off is not stored, in part or whole.
func TestBrokenBody(t *testing.T) {
	r := start(t, configured(open("a")), false)
	for name, request := range map[string]string{
		"length": "Content-Length: 100\r\n\r\n{\"half\":",
		"chunks": "Transfer-Encoding: chunked\r\n\r\n8\r\n{\"half\":\r\n",
		"none":   "Content-Length: 100\r\n\r\n",
	} {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", r.Listener().Address())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "POST /hook/a HTTP/1.1\r\nHost: x\r\n"+request); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Logf("%s: %v", name, err)
		}
		c.Close()
	}
	r.await("three broken bodies", func() bool { return r.metric("deliveries_total", "hook", "a", "result", "unreadable") == 3 })
	if n := len(r.spooled()); n != 0 {
		t.Errorf("%d deliveries are stored", n)
	}
}

// Headers that do not end are cut off.
func TestSlowHeadersAreCut(t *testing.T) {
	r := start(t, configured(open("a")), false)
	v := &victim{t: t, address: r.Listener().Address()}
	c := v.slowHeaders(1)[0]
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(hang)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("a connection whose headers never end stays open")
	}
}
