package alerting

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/alerting/manager"
	"github.com/colliehq/collie/internal/queue"
	"github.com/colliehq/collie/signal"
)

// A recovery that nobody observed is not told, while we run either.
func TestNotLookingIsNoRecovery(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]struct{ away, back func(*rig) }{
		"target unknown": {
			away: func(r *rig) { r.states.set("web", "unknown") },
			back: func(r *rig) { r.states.set("web", "up") },
		},
		"scrape fails": {
			away: func(r *rig) { r.states.failing(true) },
			back: func(r *rig) { r.states.failing(false); r.states.set("web", "up") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, t.TempDir(), nil)
			r.states.set("web", "down")
			r.start().ready()
			fired := r.expect("Down", "web", signal.Firing)
			look.away(r)
			r.nothing(3 * time.Second)
			look.back(r)
			resolved := r.expect("Down", "web", signal.Resolved)
			if !resolved.Started.Equal(fired.Started) {
				t.Errorf("resolved since %s, want %s", resolved.Started, fired.Started)
			}
			r.nothing(time.Second)
			r.states.set("web", "down")
			r.expect("Down", "web", signal.Firing)
		})
	}
}

// An alert that returns after nobody looked is the same one.
func TestReturnAfterNotLookingIsNotToldAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	r.states.set("web", "down")
	r.start().ready()
	r.expect("Down", "web", signal.Firing)
	r.states.set("web", "unknown")
	r.nothing(2 * time.Second)
	r.states.set("web", "down")
	r.nothing(2 * time.Second)
	r.states.set("web", "up")
	r.expect("Down", "web", signal.Resolved)
}

func TestForSurvivesStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRig(t, dir, nil)
	r.states.set("web", "suspect")
	r.start().ready()
	fired := r.expect("Slow", "web", signal.Firing)
	r.stop()
	r = newRig(t, dir, nil)
	r.states.set("web", "suspect")
	r.start().ready()
	r.nothing(5 * time.Second) // longer than the rule's for
	r.states.set("web", "up")
	if s := r.expect("Slow", "web", signal.Resolved); !s.Started.Equal(fired.Started) {
		t.Errorf("resolved since %s, want %s", s.Started, fired.Started)
	}
}

func TestReloadRefusesABadRuleFileAndGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	r.states.set("web", "up")
	r.start().ready()
	write(t, r.cfg.RuleFiles[0], strings.Replace(testRules, "== 1", "== == 1", 1))
	err := r.alerting.Reload(context.Background(), r.cfg)
	if err == nil || !strings.Contains(err.Error(), "rules.yml") {
		t.Fatalf("Reload with a bad rule file: %v", err)
	}
	r.states.set("web", "down")
	r.expect("Down", "web", signal.Firing)

	write(t, r.cfg.RuleFiles[0], testRules+"      - alert: Posted\n        expr: collie_target_state{state=\"down\"} == 1\n")
	write(t, r.cfg.ConfigFile, "route: {receiver: nobody}\n")
	if err := r.alerting.Reload(context.Background(), r.cfg); err == nil {
		t.Fatal("Reload with a bad alertmanager.yml: no error")
	}
	r.nothing(time.Second)
	write(t, r.cfg.ConfigFile, strings.ReplaceAll(testRoutes, "people", "others"))
	if err := r.alerting.Reload(context.Background(), r.cfg); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the other receiver has heard of neither
		s := r.next()
		if a, err := s.Alert(); err != nil || a.Receiver != "others" || s.Status != signal.Firing {
			t.Errorf("told %s to %+v, %v", s.Status, a, err)
		}
	}
	r.nothing(time.Second)
}

// Silences and inhibition do not reach the dead man's switch.
func TestDeadMansSwitchIsNotMuted(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil).start()
	code, text := request(t, http.MethodPost, r.url+"alertmanager/api/v2/silences", `{"matchers":[{"name":"alertname","value":".+","isRegex":true,"isEqual":true}],
		"startsAt":"2020-01-01T00:00:00Z","endsAt":"2100-01-01T00:00:00Z","createdBy":"test","comment":"all"}`)
	if code != http.StatusOK {
		t.Fatal(text)
	}
	r.ready()
	await(t, "the dead man's switch is told", func() bool {
		entries, err := r.queue.Peek(context.Background(), "deadman", queue.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.Contains(string(e.Body), manager.DeadManAlert) {
				return true
			}
		}
		return false
	})
}

// Whose rule is gone cannot fire.
func TestAlertOfARemovedRuleIsResolved(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	r.states.set("web", "down")
	r.start().ready()
	r.expect("Down", "web", signal.Firing)
	write(t, r.cfg.RuleFiles[0], strings.Replace(testRules, "alert: Down", "alert: Other", 1))
	if err := r.alerting.Reload(context.Background(), r.cfg); err != nil {
		t.Fatal(err)
	}
	r.expect("Down", "web", signal.Resolved)
}

func TestReceiversOfIRCReachTheQueue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRig(t, dir, func(c *Config) {
		write(t, c.ConfigFile, strings.Replace(testRoutes, `    webhook_configs: [{url: "http://127.0.0.1/hook/alertmanager"}]`, "", 1))
		c.Queued = []string{"people"}
	})
	unreached, added := r.cfg.Unreached([]string{"people", "people", "strangers"})
	if len(unreached) != 1 || unreached[0] != "strangers" || len(added) != 1 || added[0] != "people" {
		t.Errorf("Unreached: %v, %v", unreached, added)
	}
	r.states.set("web", "down")
	r.start().ready()
	r.expect("Down", "web", signal.Firing)
}

func TestReloadKeepsTheForm(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil).start()
	c := r.cfg
	c.PrometheusURL = "http://127.0.0.1:1"
	if err := r.alerting.Reload(context.Background(), c); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("Reload: %v", err)
	}
}
