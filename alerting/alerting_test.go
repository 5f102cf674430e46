package alerting

import (
	"testing"
	"time"

	"github.com/colliehq/collie/signal"
)

func TestRuleFiresAndResolves(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	r.network = true
	r.start()
	r.states.set("web", "up")
	r.ready()
	r.states.set("web", "down")
	fired := r.expect("Down", "web", signal.Firing)
	a, err := fired.Alert()
	if err != nil {
		t.Fatal(err)
	}
	if a.Receiver != "people" || a.Repeat || a.Why != "first notification" || fired.Annotations["summary"] != "web is down" {
		t.Errorf("told %+v with %v", a, fired.Annotations)
	}
	r.states.set("web", "up")
	resolved := r.expect("Down", "web", signal.Resolved)
	if resolved.Subject != fired.Subject || !resolved.Started.Equal(fired.Started) || resolved.Ended.IsZero() || resolved.Seq <= fired.Seq {
		t.Errorf("resolved %+v after %+v", resolved, fired)
	}
	r.nothing(time.Second)
}
