package config

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/internal/strictyaml"
)

// write puts a collie.yml into a new working directory.
func write(t *testing.T, text string) {
	t.Helper()
	folder(t, glob(t, "testdata/files/*")...)
	if err := os.WriteFile(DefaultFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, named string) *Config {
	t.Helper()
	c, told := Load(named, environment, kinds())
	if err := told.Err(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFind(t *testing.T) {
	t.Chdir(t.TempDir())
	if got := Find(""); got != "" {
		t.Errorf("without a file: %q", got)
	}
	if got := Find("other.yml"); got != "other.yml" {
		t.Errorf("a named file: %q", got)
	}
	if err := os.WriteFile(DefaultFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Find(""); got != DefaultFile {
		t.Errorf("with ./collie.yml: %q", got)
	}
}

func TestNoFileMeansDefaults(t *testing.T) {
	t.Chdir(t.TempDir())
	c := load(t, "")
	if c.File != "" || len(c.Exporters.Targets) != 0 || c.State.Engine != "sqlite" || len(c.Modules) == 0 {
		t.Errorf("got %+v", c)
	}
}

func TestEmptyFileMeansDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing yet\n", "---\n", "targets:\n", "ledger:\nprobe:\n"} {
		t.Run(text, func(t *testing.T) {
			write(t, text)
			if c := load(t, ""); c.File != DefaultFile || c.Ledger != Default().Ledger {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	t.Chdir(t.TempDir())
	large := strings.Repeat("#\n", maxFile/2+1)
	if err := os.WriteFile("large.yml", []byte(large), 0o600); err != nil {
		t.Fatal(err)
	}
	for named, want := range map[string]string{
		"absent.yml": "absent.yml: does not exist",
		".":          ".: is a directory; name the file in it",
		"large.yml":  "large.yml: has more than 16777216 bytes",
	} {
		_, told := Load(named, environment, kinds())
		if got := told.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLoad(t *testing.T) {
	write(t, `
targets:
  - &web
    name: gitlab
    probe: http_2xx
    target: https://${HOST}/-/readiness
    tier: essential
    provides: [git]
    every: ${EVERY}
    down_after: 3 of 5
  - <<: *web
    name: costs-$$5
    depends_on: [gitlab]
  - name: nightly
    heartbeat: {every: 1d, grace: 1h}
ledger: {retention: 1y}
`)
	if err := os.WriteFile("good.yml", []byte(strings.Replace(mustRead(t, DefaultFile), "costs-$$5", "other", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	c := load(t, "good.yml")
	first, second, third := c.Exporters.Targets[0], c.Exporters.Targets[1], c.Exporters.Targets[2]
	if first.Target != "https://gitlab.example.org/-/readiness" || first.Every != 90*time.Second || first.DownAfter.String() != "3 of 5" {
		t.Errorf("first target: %+v", first)
	}
	if second.Name != "other" || second.Target != first.Target || second.Tier != "essential" || second.DependsOn[0] != "gitlab" {
		t.Errorf("second target: %+v", second)
	}
	if third.Heartbeat.Every != 24*time.Hour || third.Tier == "" {
		t.Errorf("third target: %+v", third)
	}
	if c.Ledger.Retention != 365*24*time.Hour || c.Ledger.JournalRetention != Default().Ledger.JournalRetention {
		t.Errorf("ledger: %+v", c.Ledger)
	}
	if c.Exporters.Probe != Default().Exporters.Probe {
		t.Errorf("probe: %+v", c.Exporters.Probe)
	}
	// $$ is a dollar sign, which no name has.
	_, told := Load("", environment, kinds())
	if got := told.Error(); !strings.Contains(got, `collie.yml:12: targets[1].name: "costs-$5" is no name`) {
		t.Errorf("got %s", got)
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	folder(t, glob(t, "testdata/files/*")...)
	if err := os.Mkdir("etc", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename("good.secret", "etc/good.secret"); err != nil {
		t.Fatal(err)
	}
	text := `targets:
  - name: gitlab
    probe: http_2xx
    target: https://gitlab.example.org
    with: {basic_auth: {username: collie, password_file: good.secret}}
`
	if err := os.WriteFile("etc/c.yml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := load(t, "etc/c.yml")
	var with struct {
		Auth map[string]string `yaml:"basic_auth"`
	}
	strictyaml.Decode(&c.Exporters.Targets[0].With, &with, func(int, string, string) {})
	if got, want := with.Auth["password_file"], "etc/good.secret"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

const secretive = `
targets:
  - name: gitlab
    probe: http_2xx
    target: https://${HOST}/
    every: 90s
    with:
      basic_auth: {username: "${EMPTY}collie", password: "${PASSWORD}"}
      proxy_url: http://proxy:${PASSWORD}@192.0.2.1/
      headers: {Authorization: "Bearer ${PASSWORD}", X-Note: "${PASSWORD}"}
`

func TestShowTellsNoSecret(t *testing.T) {
	write(t, secretive)
	c := load(t, "")
	text, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	if strings.Contains(got, "hunter2") {
		t.Errorf("a secret is shown:\n%s", got)
	}
	for _, want := range []string{
		"password: <secret>\n", "Authorization: <secret>\n", "X-Note: ${PASSWORD}\n", "target: https://${HOST}/\n",
		"proxy_url: http://proxy:<secret>@192.0.2.1/", "every: 1m30s\n", "engine: sqlite\n", "retention: ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
	again, err := c.Show()
	if err != nil || string(again) != got {
		t.Errorf("shown twice, it changed: %v", err)
	}
	var with struct {
		Auth map[string]string `yaml:"basic_auth"`
		Rest map[string]any    `yaml:",inline"`
	}
	strictyaml.Decode(&c.Exporters.Targets[0].With, &with, func(int, string, string) {})
	if with.Auth["password"] != "hunter2" {
		t.Error("showing the configuration changed it")
	}
}

// What is shown, without its secrets, is a configuration too.
func TestShownIsReadBack(t *testing.T) {
	write(t, "targets:\n  - {name: a, probe: icmp, target: 192.0.2.1, down_after: 2 of 3}\n  - {name: b, heartbeat: {every: 1d}}\n")
	c := load(t, "")
	text, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "down_after: "); n != 1 {
		t.Errorf("%d targets show down_after; one is not probed:\n%s", n, text)
	}
	if err := os.WriteFile("shown.yml", text, 0o600); err != nil {
		t.Fatal(err)
	}
	back := load(t, "shown.yml")
	if diff := cmp.Diff(c.Exporters, back.Exporters, cmpopts.IgnoreFields(yaml.Node{}, "Line", "Column")); diff != "" {
		t.Errorf("%s\n%s", diff, text)
	}
	again, err := back.Show()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(text), string(again)); diff != "" {
		t.Error(diff)
	}
}

func TestLogsTellNoSecret(t *testing.T) {
	write(t, secretive)
	c := load(t, "")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("loaded", "config", c, "plain", *c)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("loaded", "config", c, "plain", *c)
	fmt.Fprintf(&log, "%v %+v %#v %s", c, c, *c, c)
	if strings.Contains(log.String(), "hunter2") {
		t.Error(log.String())
	}
}

func TestCheck(t *testing.T) {
	write(t, "targets:\n  - {name: a, probe: icmp, target: 192.0.2.1}\n")
	n := len(load(t, "").Modules)
	for _, c := range []struct {
		named, output, want string
		ok                  bool
	}{
		{"", "", fmt.Sprintf("collie.yml: ok, 1 target, %d modules\n", n), true},
		{"absent.yml", "text", "absent.yml: does not exist\n", false},
		{"", "json", fmt.Sprintf(`{
  "file": "collie.yml",
  "ok": true,
  "targets": 1,
  "modules": %d,
  "mistakes": []
}
`, n), true},
		{"absent.yml", "json", `{
  "file": "absent.yml",
  "ok": false,
  "targets": 0,
  "modules": 0,
  "mistakes": [
    {
      "file": "absent.yml",
      "message": "does not exist"
    }
  ]
}
`, false},
	} {
		var got strings.Builder
		ok, err := Check(&got, c.named, environment, kinds(), c.output)
		if diff := cmp.Diff(c.want, got.String()); diff != "" || ok != c.ok || err != nil {
			t.Errorf("%s %s: %v %v %s", c.named, c.output, ok, err, diff)
		}
	}
	if _, err := Check(&strings.Builder{}, "", environment, kinds(), "xml"); err == nil {
		t.Error("an unknown output was accepted")
	}
	if err := os.WriteFile("collie.yml", []byte("# targets:\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if ok, err := Check(&got, "", environment, kinds(), ""); !ok || err != nil || !strings.HasPrefix(got.String(), "collie.yml: ok, but without targets nothing is watched, ") {
		t.Errorf("%v %v %s", ok, err, got.String())
	}
	got.Reset()
	t.Chdir(t.TempDir())
	if ok, err := Check(&got, "", environment, kinds(), ""); !ok || err != nil || !strings.HasPrefix(got.String(), "no collie.yml here: ok, collie up watches this machine then, ") {
		t.Errorf("%v %v %s", ok, err, got.String())
	}
}

func TestMistakesAreBounded(t *testing.T) {
	write(t, "targets:\n"+strings.Repeat("  - {nam: a}\n", 10_000))
	_, told := Load("", environment, kinds())
	if len(told) != most+1 || !strings.HasSuffix(told[most].Message, " more") {
		t.Errorf("%d mistakes, the last one %v", len(told), told[len(told)-1])
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(secretive))
	f.Add([]byte("targets:\n- {name: a, probe: icmp, target: b, depends_on: [a]}\n- {name: a, heartbeat: }\nirc: [{}]\n"))
	f.Add([]byte("ledger: &l {retention: ${EVERY}}\nstate: *l\nprobe: {<<: *l, lease: $$}\n"))
	f.Add([]byte("modules_file: x\ntargets: [{with: {a_file: &a [${X}, *a]}}]\n"))
	list := kinds()
	f.Fuzz(func(t *testing.T, text []byte) {
		c := Default()
		n := &notes{file: DefaultFile}
		lines, ok := c.parse(text, n, environment)
		if ok {
			c.validate(lines, n, n.explained(), list, true)
		}
		if len(n.told) > 0 {
			_ = n.told.sorted(DefaultFile).Error()
			return
		}
		shown, err := c.Show()
		if err != nil {
			t.Fatalf("%q cannot be shown: %v", text, err)
		}
		again := &notes{file: "shown"}
		if Default().parse(shown, again, environment); len(again.told) > 0 && !strings.Contains(string(shown), "$") {
			t.Errorf("%q shows as\n%s\nwhich is wrong: %v", text, shown, again.told)
		}
	})
}
