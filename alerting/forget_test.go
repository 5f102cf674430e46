package alerting

import (
	"testing"
	"time"

	"github.com/colliehq/collie/signal"
)

// recordedRules alert on what they recorded before, as the shipped ones do.
const recordedRules = `
groups:
  - name: test
    rules:
      - record: test:down
        expr: |
          collie_target_state{state="down"} == 1
          or (test:down and on (target) collie_target_state{state="unknown"} == 1)
      - alert: Down
        expr: test:down
`

// What was recorded in the last session keeps no alert firing once a target was
// seen to be up; while nobody knows how it is, it does.
func TestRecordedBeforeTheStart(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]string{"up at once": "up", "unknown first": "unknown"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := newRig(t, dir, nil)
			write(t, r.cfg.RuleFiles[0], recordedRules)
			r.states.set("web", "down")
			r.start().ready()
			r.expect("Down", "web", signal.Firing)
			r.stop()

			r = newRig(t, dir, nil)
			write(t, r.cfg.RuleFiles[0], recordedRules)
			r.states.set("web", after)
			r.start().ready()
			if after == "unknown" {
				r.nothing(3 * time.Second)
				r.states.set("web", "up")
			}
			r.expect("Down", "web", signal.Resolved)
			r.nothing(time.Second)
		})
	}
}
