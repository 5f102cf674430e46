package module_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/host"
	"github.com/colliehq/collie/exporters/module"
	"github.com/colliehq/collie/exporters/probe"
)

var update = flag.Bool("update", false, "write the sentences anew, to be read before they are kept")

// TestBadFiles reads a folder in which each module file stands beside the
// sentences that a user reads about it.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if *update {
				_, err := module.Load(file, host.Kinds())
				text := strings.ReplaceAll(fmt.Sprint(err), file, filepath.Base(file)) + "\n"
				if err := os.WriteFile(strings.TrimSuffix(file, ".yml")+".txt", []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			wanted, err := os.ReadFile(strings.TrimSuffix(file, ".yml") + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			_, err = module.Load(file, host.Kinds())
			if _, ok := errors.AsType[*module.Error](err); !ok {
				t.Fatalf("got %v, want mistakes", err)
			}
			got := strings.ReplaceAll(err.Error(), file, filepath.Base(file)) + "\n"
			if diff := cmp.Diff(string(wanted), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestGoodFile reads a file with every option that is supported.
func TestGoodFile(t *testing.T) {
	modules, err := module.Load("testdata/good.yml", host.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range modules {
		names = append(names, m.Name)
		if m.Probe == nil || m.Config == "" {
			t.Errorf("%s has no probe or no text", m.Name)
		}
	}
	if diff := cmp.Diff([]string{"http_all", "http_bearer", "tcp_all", "dns_all", "icmp_all", "tls_all", "empty", "merged"}, names); diff != "" {
		t.Error(diff)
	}
	if modules[0].Timeout != 5*time.Second || modules[0].Kind != "http" {
		t.Errorf("got %+v", modules[0])
	}
}

// TestEveryOptionIsTried holds that the good file uses each option.
func TestEveryOptionIsTried(t *testing.T) {
	text, err := os.ReadFile("testdata/good.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range host.Options() {
		name := o.Name[strings.LastIndexByte(o.Name, '.')+1:]
		if o.Unsupported == "" && !strings.Contains(string(text), name+":") {
			t.Errorf("testdata/good.yml does not try %s.%s", o.Kind, o.Name)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	modules, err := module.Load("testdata/good.yml", host.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, m := range modules {
		all += m.Config
	}
	if strings.Contains(all, "hunter") {
		t.Errorf("a secret is shown:\n%s", all)
	}
	for _, shown := range []string{"method: PUT", "password: <secret>", "u:xxxxx@proxy.example", "password_file: /dev/null"} {
		if !strings.Contains(all, shown) {
			t.Errorf("%q is not shown:\n%s", shown, all)
		}
	}
}

func TestDefaults(t *testing.T) {
	defaults := module.Defaults(host.Kinds())
	var names []string
	for _, m := range defaults {
		names = append(names, m.Name)
	}
	wanted := []string{"http_2xx", "http_post_2xx", "tcp_connect", "tls_connect", "tls", "icmp", "dns_udp", "dns_tcp", "ssh_banner", "pop3s_banner", "smtp_starttls", "irc_banner"}
	if diff := cmp.Diff(wanted, names); diff != "" {
		t.Error(diff)
	}
	if got := module.Defaults([]probe.Kind{host.Kinds()[2]}); len(got) != 1 || got[0].Name != "icmp" {
		t.Errorf("of icmp alone there are %d modules", len(got))
	}
	own := []probe.Module{{Name: "icmp", Kind: "mine"}, {Name: "new"}}
	merged := module.Merge(defaults, own)
	if len(merged) != len(defaults)+1 || module.Map(merged)["icmp"].Kind != "mine" || module.Map(defaults)["icmp"].Kind != "icmp" {
		t.Error("the modules of a file do not replace and add to the built-in ones")
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := module.Load("testdata/none.yml", host.Kinds()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestDocumented holds that docs/modules.md lists each option exactly as it is
// decoded.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/modules.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented, decoded []string
	kind := ""
	for line := range strings.SplitSeq(string(text), "\n") {
		if name, ok := strings.CutPrefix(line, "### "); ok {
			kind = strings.Trim(name, "`")
		}
		cells := strings.Split(line, "|")
		if kind == "" || len(cells) < 5 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		support := "yes"
		if strings.Contains(cells[2], "no") {
			support = "no"
		}
		documented = append(documented, kind+" "+strings.Trim(cells[1], " `")+" "+support)
	}
	for _, o := range host.Options() {
		if strings.HasPrefix(o.Name, "tls_config.") && o.Kind != "tls" {
			continue // the same everywhere: listed once, below tls
		}
		support := "yes"
		if o.Unsupported != "" {
			support = "no"
		}
		decoded = append(decoded, o.Kind+" "+o.Name+" "+support)
	}
	slices.Sort(documented)
	slices.Sort(decoded)
	if diff := cmp.Diff(decoded, documented); diff != "" {
		t.Errorf("the decoder (-) and docs/modules.md (+) differ:\n%s", diff)
	}
}

// TestBuiltinDocumented holds that docs/modules.md lists the built-in modules,
// each with the place where the options of its kind are.
func TestBuiltinDocumented(t *testing.T) {
	const page = "../../docs/modules.md"
	_, table, ok := strings.Cut(read(t, page), "<!-- built-in -->\n")
	table, _, closed := strings.Cut(table, "<!-- /built-in -->")
	if !ok || !closed {
		t.Fatalf("%s has no list of the built-in modules", page)
	}
	var documented, builtin []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(.+)` \\| .+ \\| \\[(.+)\\]\\((.*)#(.+)\\) \\|$").FindAllStringSubmatch(table, -1) {
		documented = append(documented, row[1]+" "+row[2])
		target := page
		if row[3] != "" {
			target = "../../docs/" + row[3]
		}
		if !slices.Contains(anchors(read(t, target)), row[4]) {
			t.Errorf("%s: %s has no heading for #%s", row[1], target, row[4])
		}
	}
	var file struct {
		Modules yaml.Node `yaml:"modules"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "default.yml")), &file); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(file.Modules.Content); i += 2 {
		var m struct{ Prober string }
		if err := file.Modules.Content[i+1].Decode(&m); err != nil {
			t.Fatal(err)
		}
		builtin = append(builtin, file.Modules.Content[i].Value+" "+m.Prober)
	}
	if diff := cmp.Diff(builtin, documented); diff != "" {
		t.Errorf("default.yml (-) and docs/modules.md (+) differ:\n%s", diff)
	}
}

// anchors are what links to the headings of a page are called.
func anchors(page string) (names []string) {
	for _, heading := range regexp.MustCompile("(?m)^#+ (.*)$").FindAllStringSubmatch(page, -1) {
		names = append(names, strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(heading[1], "`", "")), " ", "-"))
	}
	return names
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// FuzzParse decodes any text.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "testdata/good.yml", "default.yml") {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		lines := strings.Count(string(text), "\n") + 1
		mistakes := 0
		modules := module.Parse(text, host.Kinds(), func(line int, path, message string) {
			mistakes++
			if line < 0 || line > lines+1 || message == "" {
				t.Errorf("line %d of %d: %s: %q", line, lines, path, message)
			}
		})
		for _, m := range modules {
			if mistakes == 0 && m.Probe == nil {
				t.Errorf("module %q has no probe and no mistake", m.Name)
			}
		}
	})
}
