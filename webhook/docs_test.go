package webhook

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/internal/strictyaml"
	"github.com/colliehq/collie/webhook/sender"
)

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The page tells of every metric with its labels, and of no other.
func TestDocumentedMetrics(t *testing.T) {
	h := open("a")
	h.Silence = 3600e9
	r := start(t, configured(h), true)
	r.about(r.post("a", id("1"), "{}").id, verbHandled)
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exposed := map[string]bool{}
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		name := f.GetName()
		if len(labels) > 0 {
			name += "{" + strings.Join(labels, ",") + "}"
		}
		exposed[name] = true
	}
	told := map[string]bool{}
	for _, found := range regexp.MustCompile("(?m)^\\| `(collie_webhook_[^`]+)` \\|").FindAllStringSubmatch(page(t), -1) {
		told[found[1]] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(exposed)), slices.Sorted(maps.Keys(told))); diff != "" {
		t.Errorf("docs/webhooks.md (-exposed +told):\n%s", diff)
	}
}

// Every sender and every key has its place on the page.
func TestDocumentedKeys(t *testing.T) {
	text := page(t)
	for _, s := range sender.All() {
		if !strings.Contains(text, "\n| `"+s.Name+"` |") {
			t.Errorf("docs/webhooks.md has no row for the sender %s", s.Name)
		}
		for _, key := range s.Uses {
			if !strings.Contains(text, "`"+key+"`") {
				t.Errorf("docs/webhooks.md does not tell of %s", key)
			}
		}
	}
}

func decoded(t *testing.T, text string) (Config, []string) {
	t.Helper()
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(text), &node); err != nil {
		t.Fatal(err)
	}
	c, told := Default(), []string{}
	strictyaml.Decode(&node, &c, func(_ int, path, message string) { told = append(told, path+": "+message) })
	c.Validate(func(path, format string, _ ...any) { told = append(told, path+": "+format) })
	return c, told
}

// Each mistake that a person can make is told where it is.
func TestMistakes(t *testing.T) {
	file := secretFile(t, "s")
	for name, tt := range map[string]struct{ text, want string }{
		"good":            {`hooks: [{name: a, sender: github, secret_files: [F]}]`, ""},
		"no proof":        {`hooks: [{name: a, sender: github}]`, "hooks[0].sender: anybody could post to this hook"},
		"insecure":        {`hooks: [{name: a, sender: github, insecure: true}]`, ""},
		"both":            {`hooks: [{name: a, sender: github, insecure: true, secret_files: [F]}]`, "hooks[0].insecure: a hook that takes"},
		"sender":          {`hooks: [{name: a, sender: gihub, secret_files: [F]}]`, "hooks[0].sender: %q is none of"},
		"name":            {`hooks: [{name: a/b, sender: github, secret_files: [F]}]`, "hooks[0].name: %q is no name of a hook"},
		"twice":           {`hooks: [{name: a, sender: github, secret_files: [F]}, {name: a, sender: sentry, secret_files: [F]}]`, "hooks[1].name: %q is the name of an earlier hook"},
		"meaningless":     {`hooks: [{name: a, sender: github, secret_files: [F], header: X}]`, "hooks[0].header: means nothing to the sender"},
		"secret in am":    {`hooks: [{name: a, sender: alertmanager, secret_files: [F]}]`, "hooks[0].secret_files: means nothing to the sender"},
		"half a password": {`hooks: [{name: a, sender: alertmanager, username: u, token_files: [F]}]`, "hooks[0].username: username and password_files belong together"},
		"no key":          {`hooks: [{name: a, sender: standard, secret_files: [F]}]`, "hooks[0].secret_files: "},
		"encoding":        {`hooks: [{name: a, sender: generic, secret_files: [F], encoding: rot13}]`, "hooks[0].encoding: %q is neither"},
		"keeps a secret":  {`hooks: [{name: a, sender: generic, secret_files: [F], keep_headers: [X-Api-Key]}]`, "hooks[0].keep_headers[0]: %s carries a secret"},
		"mapping":         {`hooks: [{name: a, sender: generic, secret_files: [F], mapping: {status: x}}]`, "hooks[0].mapping: "},
		"too large":       {`hooks: [{name: a, sender: github, secret_files: [F], max_body: 100MB}]`, "hooks[0].max_body: %s is more than limits.memory"},
		"address":         {`{listen_address: "9798"}`, "listen_address: %q is not an address"},
		"limits":          {`{limits: {requests: 0, memory: 1KB}}`, "limits.requests: %d is less than 1"},
		"tls":             {`{web_config_file: /nonexistent}`, "web_config_file: "},
		"silence":         {`hooks: [{name: a, sender: github, secret_files: [F], silence: 1s}]`, "hooks[0].silence: "},
	} {
		_, told := decoded(t, strings.ReplaceAll(tt.text, "[F]", "["+file+"]"))
		found := slices.ContainsFunc(told, func(s string) bool { return strings.HasPrefix(s, tt.want) })
		if tt.want == "" && len(told) > 0 || tt.want != "" && !found {
			t.Errorf("%s: told %q, want %q", name, told, tt.want)
		}
	}
}
