package alerting

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/need"
	"github.com/colliehq/collie/internal/testkit/smallfs"
	"github.com/colliehq/collie/signal"
)

func smallDisk(t *testing.T, megabytes int) (string, *smallfs.FS) {
	t.Helper()
	need.Root(t)
	dir := t.TempDir()
	fs, err := smallfs.Mount(dir, megabytes)
	if err != nil {
		need.Missing(t, err.Error())
	}
	t.Cleanup(func() {
		if err := fs.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return dir, fs
}

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 60 s: %s", what)
		}
	}
}

// gauge reads one of our own metrics.
func (r *rig) gauge(name string) string {
	_, text := request(r.t, http.MethodGet, r.url+"metrics", "")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			return value
		}
	}
	return ""
}

// samples are the times of the samples of an expression over a range.
func (r *rig) samples(expr string) []float64 {
	r.t.Helper()
	_, text := request(r.t, http.MethodGet, r.url+"api/v1/query?query="+url.QueryEscape(expr), "")
	var answer struct {
		Data struct{ Result []struct{ Values [][2]any } }
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || len(answer.Data.Result) != 1 {
		r.t.Fatalf("%s: %v: %s", expr, err, text)
	}
	var times []float64
	for _, v := range answer.Data.Result[0].Values {
		times = append(times, v[0].(float64))
	}
	return times
}

// awaitSamples waits for so many more samples of a scrape.
func (r *rig) awaitSamples(t *testing.T, more int) {
	t.Helper()
	from := float64(time.Now().UnixMilli()) / 1000
	await(t, "samples are taken", func() bool {
		n := 0
		for _, at := range r.samples(upSamples) {
			if at > from {
				n++
			}
		}
		return n >= more
	})
}

const upSamples = `up{job="collie-targets"}[5m]`

// gaps are the widest and the usual time between two samples.
func gaps(times []float64) (widest, usual float64) {
	var all []float64
	for i := 1; i < len(times); i++ {
		all = append(all, times[i]-times[i-1])
	}
	slices.Sort(all)
	return all[len(all)-1], all[len(all)/2]
}

func TestFullDiskLeavesNoGapInSamples(t *testing.T) {
	t.Parallel()
	dir, fs := smallDisk(t, 64)
	r := newRig(t, dir, nil)
	r.states.set("web", "up")
	r.start().ready()
	r.awaitSamples(t, 10) // to lose
	if err := fs.Fill(); err != nil {
		t.Fatal(err)
	}
	await(t, "samples go to memory", func() bool { return r.gauge("collie_alerting_storage_aside") == "1" })
	if err := fs.Fill(); err != nil { // what was given away meanwhile
		t.Fatal(err)
	}
	r.awaitSamples(t, 15)
	if err := fs.Free(); err != nil {
		t.Fatal(err)
	}
	await(t, "samples go to the disk", func() bool { return r.gauge("collie_alerting_storage_aside") == "0" })
	r.awaitSamples(t, 5)
	before := r.samples(upSamples)
	if widest, usual := gaps(before); widest > max(1.5, 10*usual) {
		t.Errorf("a gap of %.1f s among %d samples, %.1f s apart", widest, len(before), usual)
	}
	// Alerts are told as ever.
	r.states.set("web", "down")
	r.expect("Down", "web", signal.Firing)

	// What was written since is still there after a start.
	r.stop()
	r = newRig(t, dir, nil)
	r.states.set("web", "down")
	r.start().ready()
	after := r.samples(upSamples)
	found := 0
	for _, at := range after {
		if at >= before[0] && at <= before[len(before)-1] {
			found++
		}
	}
	if found < len(before) {
		t.Errorf("%d of %d samples are left after a start", found, len(before))
	}
	r.nothing(2 * time.Second)
}

func TestSilenceOnFullDiskIsRefused(t *testing.T) {
	t.Parallel()
	dir, fs := smallDisk(t, 16)
	r := newRig(t, dir, nil)
	r.states.set("web", "up")
	r.start().ready()
	kept := postSilence(t, r.url, "kept", http.StatusOK)
	await(t, "a silence is refused on a full disk", func() bool {
		if err := fs.Fill(); err != nil {
			t.Fatal(err)
		}
		code, _ := request(t, http.MethodDelete, r.url+"alertmanager/api/v2/silence/00000000-0000-4000-8000-000000000000", "")
		return code == http.StatusServiceUnavailable
	})
	postSilence(t, r.url, "web", http.StatusServiceUnavailable)
	deleteSilence(t, r.url, kept, http.StatusServiceUnavailable)
	if got := silenceState(t, r.url, kept); got != "active" {
		t.Errorf("the silence that could not be ended is %s", got)
	}
	if _, text := request(t, http.MethodGet, r.url+"alertmanager/api/v2/silences", ""); strings.Contains(text, `"web"`) {
		t.Errorf("the refused silence is there: %s", text)
	}
	if err := fs.Free(); err != nil {
		t.Fatal(err)
	}
	await(t, "silences are taken again", func() bool {
		code, _ := request(t, http.MethodDelete, r.url+"alertmanager/api/v2/silence/"+kept, "")
		return code == http.StatusOK
	})
	postSilence(t, r.url, "web", http.StatusOK)
}
