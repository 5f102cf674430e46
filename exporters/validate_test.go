package exporters

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/host"
	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/internal/strictyaml"
)

// decode reads a configuration as the configuration file is read.
func decode(t *testing.T, text string) (Config, []string) {
	t.Helper()
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(text), &node); err != nil {
		t.Fatal(err)
	}
	var said []string
	c := DefaultConfig()
	strictyaml.Decode(&node, &c, func(_ int, path, message string) { said = append(said, path+": "+message) })
	return c, said
}

func mistakes(t *testing.T, text string) []string {
	t.Helper()
	c, said := decode(t, text)
	bad := func(path, format string, args ...any) { said = append(said, path+": "+fmt.Sprintf(format, args...)) }
	c.Validate(bad)
	modules := []probe.Module{{Name: "http_2xx", Kind: "http"}, {Name: "icmp", Kind: "icmp"}}
	c.ValidateModules(modules, host.Kinds(), func(_ int, path, format string, args ...any) { bad(path, format, args...) })
	return said
}

func TestValidate(t *testing.T) {
	const ok = "probe: http_2xx, target: 'http://a/'"
	tests := map[string]struct {
		text string
		want []string
	}{
		"good": {`
targets:
  - {name: gitlab, probe: http_2xx, target: "https://gitlab.example/", tier: essential, provides: [git], every: 30s, down_after: 3, depends_on: [net]}
  - {name: net, probe: icmp, target: 192.0.2.1, down_after: 3 of 5, up_after: 2, with: {packets: 5}}
  - {name: cron, heartbeat: {every: 24h, grace: 1h}}
probe: {ad_hoc: true, concurrency: 10, per_host: 2, lease: 5s}`, nil},
		"nothing":     {`{}`, nil},
		"no name":     {`targets: [{` + ok + `}]`, []string{"targets[0].name: is missing; every target needs a name"}},
		"bad name":    {`targets: [{name: "a b", ` + ok + `}]`, []string{`targets[0].name: "a b" is no name: use up to 63 letters, digits and . _ : -, beginning with a letter or digit`}},
		"duplicate":   {`targets: [{name: a, ` + ok + `}, {name: a, ` + ok + `}]`, []string{`targets[1].name: "a" is already the name of target 1 in the list; each target needs its own`}},
		"module":      {`targets: [{name: a, probe: http_2x, target: b}]`, []string{`targets[0].probe: unknown module "http_2x"; did you mean "http_2xx"?`}},
		"no probe":    {`targets: [{name: a, target: b}]`, []string{"targets[0].probe: is missing; name a module, as http_2xx, tcp_connect or icmp"}},
		"no target":   {`targets: [{name: a, probe: icmp}]`, []string{"targets[0].target: is missing; write the address that the probe icmp looks at"}},
		"neither":     {`targets: [{name: a}]`, []string{"targets[0]: says neither what to probe (probe and target) nor that it reports itself (heartbeat)"}},
		"both":        {`targets: [{name: a, ` + ok + `, heartbeat: {every: 1h}}]`, []string{"targets[0].probe: a target has either a probe or a heartbeat, not both; make two targets of it", "targets[0].target: a heartbeat has no address: its cron job posts to /ping/a"}},
		"tier":        {`targets: [{name: a, ` + ok + `, tier: essental}]`, []string{`targets[0].tier: unknown tier "essental"; did you mean "essential"?`}},
		"every":       {`targets: [{name: a, ` + ok + `, every: 100ms}]`, []string{"targets[0].every: 100ms is too short; at least 1s is needed"}},
		"timeout":     {`targets: [{name: a, ` + ok + `, every: 5s, timeout: 10s}]`, []string{"targets[0].timeout: 10s is longer than every (5s), a probe would still run when the next one is due"}},
		"up_after":    {`targets: [{name: a, ` + ok + `, up_after: 0}]`, []string{"targets[0].up_after: 0 is not between 1 and 100"}},
		"beat":        {`targets: [{name: a, heartbeat: {every: 0s}}]`, []string{"targets[0].heartbeat.every: 0s is too short; write how often a ping comes, at least 1s"}},
		"provides":    {`targets: [{name: a, ` + ok + `, provides: ["a/b"]}]`, []string{`targets[0].provides[0]: "a/b" is no name: use letters, digits and . _ : -`}},
		"unknown dep": {`targets: [{name: gitlab, ` + ok + `}, {name: a, ` + ok + `, depends_on: [gitlap]}]`, []string{`targets[1].depends_on[0]: unknown target "gitlap"; did you mean "gitlab"?`}},
		"itself":      {`targets: [{name: a, ` + ok + `, depends_on: [a]}]`, []string{`targets[0].depends_on[0]: "a" depends on itself`}},
		"twice":       {`targets: [{name: a, ` + ok + `, depends_on: [b, b]}, {name: b, ` + ok + `}]`, []string{`targets[0].depends_on[1]: "b" stands twice`}},
		"loop": {`targets: [{name: x, ` + ok + `, depends_on: [c]}, {name: a, ` + ok + `, depends_on: [b]}, {name: b, ` + ok + `, depends_on: [c]}, {name: c, ` + ok + `, depends_on: [a]}]`,
			[]string{"targets[1].depends_on: goes round in a circle: a needs b needs c needs a"}},
		"two loops": {`targets: [{name: a, ` + ok + `, depends_on: [b]}, {name: b, ` + ok + `, depends_on: [a]}, {name: c, ` + ok + `, depends_on: [d]}, {name: d, ` + ok + `, depends_on: [c]}]`,
			[]string{"targets[0].depends_on: goes round in a circle: a needs b needs a", "targets[2].depends_on: goes round in a circle: c needs d needs c"}},
		"probe section": {`probe: {concurrency: 0, per_host: 0, lease: 100ms}`, []string{
			"probe.concurrency: 0 probes at once is not between 1 and 10000", "probe.per_host: 0 probes of one host at once; at least 1 is needed",
			"probe.lease: 100ms is not between 1s and 10m",
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, mistakes(t, tt.text)); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}

// What the packages below say about a window or an option reaches the user too.
func TestValidateNested(t *testing.T) {
	for text, want := range map[string]string{
		`targets: [{name: a, probe: icmp, target: b, down_after: 5 of 3}]`:             "can never be met",
		`targets: [{name: a, probe: icmp, target: b, with: {packet: 3}}]`:              "packets",
		`targets: [{name: a, probe: icmp, target: b, evry: 3s}]`:                       "every",
		`targets: [{name: a, heartbeat: {every: 1h}, with: {a: b}}]`:                   "takes no options",
		`targets: [{name: a, probe: icmp, target: b, down_after: {failed: 3, of: 5}}]`: "down_after",
	} {
		if got := strings.Join(mistakes(t, text), "\n"); !strings.Contains(got, want) {
			t.Errorf("%s:\n%s\nlacks %q", text, got, want)
		}
	}
}

func TestTimeLimit(t *testing.T) {
	for _, tt := range []struct{ every, timeout, module, want time.Duration }{
		{15 * time.Second, 0, 0, 10 * time.Second},
		{10 * time.Second, 0, 0, 8 * time.Second},
		{time.Second, 0, 5 * time.Second, 800 * time.Millisecond},
		{time.Minute, 0, 20 * time.Second, 20 * time.Second},
		{time.Minute, 3 * time.Second, 20 * time.Second, 3 * time.Second},
		{10 * time.Second, 10 * time.Second, 0, 8 * time.Second},
	} {
		if got := (TargetConfig{Every: tt.every, Timeout: tt.timeout}).TimeLimit(tt.module); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}
