package rules

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/prometheus/alertmanager/config"

	"github.com/colliehq/collie/internal/testkit/need"
)

const exampleFile = "../../examples/alerting/alertmanager.yml"

// The shipped alertmanager.yml is understood by the Alertmanager that is
// embedded and by the amtool of a distribution, which is years older; each
// severity that a rule has goes where the comments say.
func TestExampleRoutes(t *testing.T) {
	c, err := config.LoadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range c.Receivers {
		if len(r.WebhookConfigs) != 1 || !strings.HasSuffix(string(r.WebhookConfigs[0].URL), "/hook/alertmanager") || !r.WebhookConfigs[0].SendResolved() {
			t.Errorf("the receiver %s does not tell Collie of firing and resolved", r.Name)
		}
	}
	need.Program(t, "amtool")
	run(t, exec.Command("amtool", "check-config", exampleFile))
	for labels, receiver := range map[string]string{
		"alertname=TargetDown severity=critical target=gitlab": "ops",
		"alertname=TargetDown severity=warning target=runner":  "watch",
		"alertname=TargetDown severity=info target=mirror":     "watch",
		"alertname=DeadMansSwitch severity=none":               "collie-deadman",
		"alertname=SomebodysOwn":                               "watch",
	} {
		args := append([]string{"config", "routes", "test", "--config.file=" + exampleFile, "--verify.receivers=" + receiver}, strings.Fields(labels)...)
		run(t, exec.Command("amtool", args...))
	}
}

// An inhibition names only alerts that there are, and a label by which the two
// belong together: with none on both sides it would mute strangers.
func TestExampleInhibitions(t *testing.T) {
	c, err := config.LoadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range c.InhibitRules {
		if len(r.Equal) == 0 {
			t.Errorf("%v: mutes whatever the source is about", r.TargetMatchers)
		}
		for _, m := range append(r.SourceMatchers, r.TargetMatchers...) {
			found := false
			for _, a := range alerts(t) {
				found = found || m.Name == "alertname" && m.Matches(a.Alert)
			}
			if !found {
				t.Errorf("%s: no shipped alert has that name", m)
			}
		}
	}
}
