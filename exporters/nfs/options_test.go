package nfs

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// mistakes reads options and gives what is wrong with them.
func mistakes(t *testing.T, text string) (o options, all []string) {
	t.Helper()
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(text), &node); err != nil {
		t.Fatal(err)
	}
	o, ok := decode(node.Content[0], func(line int, format string, args ...any) {
		all = append(all, fmt.Sprintf("%d: ", line)+fmt.Sprintf(format, args...))
	})
	if ok != (len(all) == 0) {
		t.Errorf("%s: ok is %t with mistakes %q", text, ok, all)
	}
	return o, all
}

// TestOptions has for each option what is accepted and what is not.
func TestOptions(t *testing.T) {
	accepted := map[string][]string{
		"versions":              {"auto", "3", "4", "4.0", "[3, 4.0, 4.1, 4.2]", `"4.1"`},
		"path":                  {"/srv/builds", "/"},
		"path_v4":               {"/builds"},
		"require_size":          {"true", "false"},
		"ports":                 {"{nfs: 1}", "{mount: 20048, rpcbind: 0}"},
		"max_exports":           {"0", "1000"},
		"privileged_port":       {"auto", "always", "never"},
		"uid":                   {"0", "4294967295"},
		"gid":                   {"65534"},
		"min_free_ratio":        {"0.1", "10%"},
		"min_free_bytes":        {"20GB", "1000"},
		"min_free_inodes_ratio": {"1"},
		"preferred_ip_protocol": {"ip4", "ip6"},
		"ip_protocol_fallback":  {"false"},
		"source_ip_address":     {"192.0.2.1", "2001:db8::1"},
	}
	refused := map[string][]string{
		"versions":              {"2", "4.3", "[]", "[3, 3]", "[auto]", "{}", "all"},
		"path":                  {"srv", "/a/../b", "[]"},
		"path_v4":               {"builds", "/" + strings.Repeat("x", 256), strings.Repeat("/x", 65), strings.Repeat("/xxx", 300)},
		"require_size":          {"maybe"},
		"ports":                 {"{nfs: 0}", "{nfs: 65536}", "{mountd: 1}", "2049"},
		"max_exports":           {"-1", "1001", "many"},
		"privileged_port":       {"yes", "sometimes"},
		"uid":                   {"-1", "root"},
		"gid":                   {"4294967296"},
		"min_free_ratio":        {"2", "-1", "NaN", "some"},
		"min_free_bytes":        {"-1", "lots"},
		"min_free_inodes_ratio": {"101%"},
		"preferred_ip_protocol": {"ip5"},
		"ip_protocol_fallback":  {"perhaps"},
		"source_ip_address":     {"here"},
	}
	page, err := os.ReadFile("../../docs/exporters/nfs.md")
	if err != nil {
		t.Fatal(err)
	}
	for field := range reflect.TypeFor[options]().Fields() {
		name := field.Tag.Get("yaml")
		if len(accepted[name]) == 0 || len(refused[name]) == 0 {
			t.Errorf("%s is not tried", name)
		}
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("%s is not documented", name)
		}
		for _, value := range accepted[name] {
			if _, wrong := mistakes(t, name+": "+value); len(wrong) > 0 {
				t.Errorf("%s: %s is refused: %q", name, value, wrong)
			}
		}
		for _, value := range refused[name] {
			if _, wrong := mistakes(t, "\n"+name+": "+value); len(wrong) == 0 || !strings.HasPrefix(wrong[0], "2: nfs."+name) {
				t.Errorf("%s: %s gives %q", name, value, wrong)
			}
		}
	}
	if _, wrong := mistakes(t, "versoins: 3"); len(wrong) != 1 || !strings.Contains(wrong[0], `"versions"`) {
		t.Errorf("an unknown option gives %q", wrong)
	}
}

func TestDefaults(t *testing.T) {
	o, ok := decode(nil, func(int, string, ...any) { t.Error("a mistake in nothing") })
	if !ok || o.Ports.NFS != 2049 || o.Ports.Rpcbind != 111 || !o.Versions.asks(v3) || !o.Versions.asksV4() {
		t.Errorf("%+v", o)
	}
}
