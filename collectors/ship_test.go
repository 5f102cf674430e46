package collectors

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/colliehq/collie/collectors/loki"
	fake "github.com/colliehq/collie/internal/testkit/loki"
)

func lines(w *world) (all []string) {
	entries := w.loki.Entries()
	slices.SortFunc(entries, func(a, b fake.Entry) int { return a.Time.Compare(b.Time) })
	for _, e := range entries {
		all = append(all, e.Line)
	}
	return all
}

func TestWhatALineIsSentWith(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("a.log", "one\r\n\n\x00\x00b\xffd\n"+strings.Repeat("é", 60<<10)+"\ntorn")
	w.step()
	if got := lines(w); len(got) != 5 || got[0] != "one" || got[1] != "" || got[2] != "b\uFFFDd" || got[3]+got[4] != strings.Repeat("é", 60<<10) {
		t.Errorf("lines are %.100q", got)
	}
	w.now = w.now.Add(w.cfg.TornAfter)
	w.step()
	w.write("a.log", " off\n")
	w.step()
	entries := w.loki.Entries()
	first, last := entries[5], entries[6]
	at := fmt.Sprint(5 + 1 + 6 + 120<<10 + 1)
	if diff := cmp.Diff(map[string]string{"filename": w.path("a.log"), "offset": at, "part": "first"}, first.Metadata); diff != "" || first.Line != "torn" {
		t.Errorf("torn line is %q; metadata (-want +got):\n%s", first.Line, diff)
	}
	if last.Line != " off" || last.Metadata["part"] != "last" || entries[2].Metadata["invalid_utf8_bytes"] != "1" {
		t.Errorf("the rest of the torn line is %q with %v, the line that is not UTF-8 has %v", last.Line, last.Metadata, entries[2].Metadata)
	}
	if want := `{host="here", job="test", source="file"}`; first.Labels != want {
		t.Errorf("labels are %s, want %s", first.Labels, want)
	}
}

func TestAReplayIsTheSameToTheByte(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("a.log", strings.Repeat("the same line\n", 1000)+"torn")
	var sent [][]byte
	w.answer = func(body []byte) *loki.Answer {
		sent = append(sent, slices.Clone(body))
		return &loki.Answer{Verdict: loki.Later}
	}
	w.step()
	w.stop()
	w.write("a.log", " no more\nand more\n")
	w.now = w.now.Add(time.Hour)
	w.step()
	if len(sent) != 2 || !slices.Equal(sent[0], sent[1]) {
		t.Fatalf("%d pushes, and they differ", len(sent))
	}
	w.drain()
	if got := len(lines(w)); got != 1002 {
		t.Errorf("%d lines arrived, want 1002", got)
	}
}

func TestRefusedLinesAreSetAsideAndNoOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.loki.Limits.Refuses = func(line string) string {
		if strings.HasPrefix(line, "bad") {
			return "too bad"
		}
		return ""
	}
	var text strings.Builder
	for i := range 300 {
		fmt.Fprintf(&text, "%s %d\n", map[bool]string{true: "bad", false: "good"}[i%100 == 7], i)
	}
	w.write("a.log", text.String())
	w.drain()
	var bad []string
	for _, q := range w.quarantined() {
		bad = append(bad, q.Line+": "+q.Reason)
	}
	if diff := cmp.Diff([]string{"bad 7: too bad", "bad 107: too bad", "bad 207: too bad"}, bad); diff != "" {
		t.Errorf("quarantine (-want +got):\n%s", diff)
	}
	if got := len(lines(w)); got != 297 {
		t.Errorf("%d lines arrived, want 297", got)
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pushes := 0
	w.answer = func([]byte) *loki.Answer {
		pushes++
		return &loki.Answer{Verdict: loki.Later, Status: 429, After: time.Minute}
	}
	w.write("a.log", "line\n")
	for range 10 {
		w.step()
		w.now = w.now.Add(7 * time.Second)
	}
	if pushes != 2 {
		t.Errorf("%d pushes in 70 s, want 2 a minute apart", pushes)
	}
}

func TestALossIsShownAsAGap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("a.log", "first\n")
	w.drain()
	w.answer = func([]byte) *loki.Answer { return &loki.Answer{Verdict: loki.Later} }
	w.write("a.log", "second\n")
	w.step()
	w.write("a.log", "nobody reads this\n")
	w.step()
	w.must(os.Truncate(w.path("a.log"), 0))
	w.drain()
	w.step()
	if got := testutil.ToFloat64(w.ship.metrics.gap); got != float64(len("nobody reads this\n")) {
		t.Errorf("the gap is %v bytes", got)
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Sources = []Source{{Files: "relative.log", Labels: map[string]string{"a-b": ""}}, {}}
	c.Loki.Username, c.MaxLine = "me", 1
	var got []string
	c.Validate(func(path, _ string, _ ...any) { got = append(got, path) })
	if diff := cmp.Diff([]string{"sources[0].files", "sources[0].labels", "sources[1].files", "loki.url", "loki.password_file", "max_line"}, got); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
	Default().Validate(func(path, format string, args ...any) {
		t.Errorf("default %s "+format, append([]any{path}, args...)...)
	})
}
