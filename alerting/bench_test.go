package alerting

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/signal"
)

// BenchmarkPostToSignal is how long it takes from an alert that is posted to
// Alertmanager's API until its signal is delivered, group_wait left out.
func BenchmarkPostToSignal(b *testing.B) {
	r := newRig(b, b.TempDir(), func(c *Config) {
		write(b, c.ConfigFile, strings.NewReplacer("100ms", "1ms", "[alertname]", "['...']").Replace(testRoutes))
	}).start()
	r.ready()
	n := 0
	for b.Loop() {
		n++
		target := fmt.Sprint(n)
		code, text := request(b, "POST", r.url+"alertmanager/api/v2/alerts", `[{"labels":{"alertname":"Posted","target":"`+target+`"}}]`)
		if code != 200 {
			b.Fatal(text)
		}
		r.expect("Posted", target, signal.Firing)
	}
	b.ReportMetric(float64(b.Elapsed())/float64(time.Millisecond)/float64(n), "ms/alert")
}
