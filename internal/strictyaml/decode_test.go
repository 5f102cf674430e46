package strictyaml

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"
)

type beat struct {
	Every time.Duration `yaml:"every"`
	Grace time.Duration `yaml:"grace"`
}

func (b *beat) SetDefaults() { b.Grace = time.Minute }

// rule is "3" or "3 of 5" and decodes itself, as rooms' types do.
type rule struct{ failed, of int }

func (r *rule) UnmarshalYAML(n *yaml.Node) error {
	if _, err := fmt.Sscanf(n.Value, "%d of %d", &r.failed, &r.of); err == nil {
		return nil
	}
	r.of = 0
	if _, err := fmt.Sscanf(n.Value, "%d", &r.failed); err != nil {
		return errors.New(`write it like 3 or "3 of 5"`)
	}
	return nil
}

// several reports more than one mistake of its own.
type several struct{}

func (*several) DecodeYAML(n *yaml.Node, bad func(int, string, string)) {
	bad(n.Line, "first", "no")
	bad(n.Line, "[1]", "neither")
}

type inner struct {
	Nick string `yaml:"nick"`
}

type target struct {
	Name      string         `yaml:"name"`
	Every     time.Duration  `yaml:"every" also:"interval,period"`
	DownAfter rule           `yaml:"down_after"`
	Provides  []string       `yaml:"provides"`
	Heartbeat *beat          `yaml:"heartbeat"`
	With      map[string]any `yaml:"with"`
	Raw       yaml.Node      `yaml:"raw"`
}

type document struct {
	Targets []target         `yaml:"targets"`
	Ratio   float64          `yaml:"ratio"`
	Port    uint16           `yaml:"port"`
	Offset  int8             `yaml:"offset"`
	On      bool             `yaml:"on_"`
	Match   *regexp.Regexp   `yaml:"match"`
	Address netip.Addr       `yaml:"address"`
	Labels  map[string]int   `yaml:"labels"`
	Beats   map[string]beat  `yaml:"beats"`
	Pairs   map[string]*beat `yaml:"pairs"`
	Any     any              `yaml:"any"`
	Several several          `yaml:"several"`
	Skipped string           `yaml:"-"`
	*Hidden `yaml:",inline"`
	inner   `yaml:",inline"`
}

type Hidden struct {
	Depth int `yaml:"depth"`
}

func decode(t *testing.T, text string, into any) []string {
	t.Helper()
	bad, told := collect()
	node := Parse([]byte(text), bad)
	if node == nil {
		t.Fatalf("cannot be parsed: %v", *told)
	}
	Decode(node, into, bad)
	return *told
}

func TestDecode(t *testing.T) {
	text := `
base: &base {name: base, every: 5m, provides: [git]}
targets:
  - name: gitlab
    every: 1m30s
    down_after: 3 of 5
    heartbeat: {every: 1d}
    with: {endpoint: "https://s3.example.org", n: 3, l: [a, 2.5, true, null]}
    raw: {x: [1]}
  - <<: *base
    name: other
    down_after: 2
  - {<<: [{name: first, every: 1s}, {name: second, every: 2s, provides: []}]}
ratio: 0.5
port: 9797
offset: -0x10
on_: yes
match: ^a+$
address: 192.0.2.1
labels: {a: 1, b: 010}
beats: {x: {every: 2w}, y: }
pairs: {x: {every: 1h}, y: }
any: [1, {a: b}]
depth: 4
nick: null
`
	type top struct {
		Base     target `yaml:"base"`
		document `yaml:",inline"`
	}
	got := top{document: document{Skipped: "kept", inner: inner{Nick: "kept"}}}
	if told := decode(t, text, &got); len(told) > 0 {
		t.Fatal(strings.Join(told, "\n"))
	}
	base := target{Name: "base", Every: 5 * time.Minute, Provides: []string{"git"}}
	want := top{Base: base, document: document{
		Targets: []target{
			{
				Name: "gitlab", Every: 90 * time.Second, DownAfter: rule{3, 5}, Heartbeat: &beat{24 * time.Hour, time.Minute},
				With: map[string]any{"endpoint": "https://s3.example.org", "n": 3, "l": []any{"a", 2.5, true, nil}},
			},
			{Name: "other", Every: 5 * time.Minute, DownAfter: rule{failed: 2}, Provides: []string{"git"}},
			{Name: "first", Every: time.Second, Provides: []string{}},
		},
		Ratio: 0.5, Port: 9797, Offset: -16, On: true,
		Match: regexp.MustCompile("^a+$"), Address: netip.MustParseAddr("192.0.2.1"),
		Labels: map[string]int{"a": 1, "b": 10},
		Beats:  map[string]beat{"x": {14 * 24 * time.Hour, time.Minute}, "y": {0, time.Minute}},
		Pairs:  map[string]*beat{"x": {time.Hour, time.Minute}, "y": nil},
		Any:    []any{1, map[string]any{"a": "b"}},
		Hidden: &Hidden{4}, inner: inner{"kept"}, Skipped: "kept",
	}}
	options := cmp.Options{
		cmp.AllowUnexported(top{}, document{}, target{}, rule{}, inner{}, several{}),
		cmp.Comparer(func(a, b *regexp.Regexp) bool { return fmt.Sprint(a) == fmt.Sprint(b) }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmpopts.IgnoreFields(target{}, "Raw"),
	}
	if diff := cmp.Diff(want, got, options); diff != "" {
		t.Error(diff)
	}
	var raw struct {
		X []int `yaml:"x"`
	}
	bad, told := collect()
	Decode(&got.Targets[0].Raw, &raw, bad)
	if len(*told) > 0 || len(raw.X) != 1 {
		t.Error("the raw node was not kept", *told)
	}
}

func TestDecodeTellsEveryMistake(t *testing.T) {
	text := `targets:
  - nmae: a
    intervall: 5s
    every: 30 s
    down_after: often
  - every: 30
    every: 40s
    heartbeat: soon
    provides: git
  -
  - name: [a]
    provides: {git: 1}
    zzz: 1
  - name:gitlab
ratio: much
port: 70000
offset: 3.5
on_: maybe
match: "("
address: [1]
labels: [a]
beats: {x: {evry: 1s}}
several: 1
depth: [4]
nick: !secret x
? [1]
: 2
`
	var got document
	want := []string{
		`2 targets[0]: unknown key "nmae"; did you mean "name"?`,
		`3 targets[0]: unknown key "intervall"; did you mean "every"?`,
		`4 targets[0].every: "30 s" is not a duration; write it like 30s or 1m30s`,
		`5 targets[0].down_after: write it like 3 or "3 of 5"`,
		`7 targets[1]: duplicate key "every"; it is already set in line 6`,
		`6 targets[1].every: 30 has no unit; write 30s for seconds or 30m for minutes`,
		`8 targets[1].heartbeat: expected a map, found "soon"; its keys are every, grace`,
		`9 targets[1].provides: expected a list, found "git"; write [git]`,
		`10 targets[2]: is empty; fill it in or remove the dash`,
		`11 targets[3].name: expected a single value, found a list`,
		`12 targets[3].provides: expected a list, found a map; start each entry with "- "`,
		`13 targets[3]: unknown key "zzz"; it can be down_after, every, heartbeat, name, provides, raw, with`,
		`14 targets[4]: expected a map, found "name:gitlab"; a colon needs a space after it`,
		`15 ratio: "much" is not a number`,
		`16 port: "70000" is out of range`,
		`17 offset: "3.5" is not a whole number`,
		`18 on_: "maybe" is not true or false`,
		"19 match: error parsing regexp: missing closing ): `(`",
		`20 address: expected a single value, found a list`,
		`21 labels: expected a map, found a list; write its keys without "- "`,
		`22 beats.x: unknown key "evry"; did you mean "every"?`,
		`23 several.first: no`,
		`23 several[1]: neither`,
		`24 depth: expected a single value, found a list`,
		`25 nick: unknown tag !secret`,
		`26: a key must be a single word, not a list; text that begins with { or [ must be in quotes`,
	}
	told := decode(t, text, &got)
	// The last one is found before the values are looked at.
	if diff := cmp.Diff(want, append(told[1:], told[0])); diff != "" {
		t.Error(diff)
	}
}

// The Prometheus libraries' types stop at the first mistake and know no
// strictness of their own; through Decode they have both.
func TestDecodeLibraryTypes(t *testing.T) {
	var got struct {
		Client config.HTTPClientConfig `yaml:",inline"`
		TLS    config.TLSConfig        `yaml:"tls"`
	}
	told := decode(t, `
basic_auth: {usernam: a, password: b}
follow_redirects: perhaps
tls: {ca_fil: x, min_version: TLS9}
tls_config: {insecure_skip_verify: true, cert_file: a}
`, &got)
	want := []string{
		`2 basic_auth: unknown key "usernam"; did you mean "username"?`,
		`3 follow_redirects: "perhaps" is not true or false`,
		`4 tls: unknown key "ca_fil"; did you mean "ca_file"?`,
		`4 tls.min_version: unknown TLS version: TLS9`,
		`5 tls_config: exactly one of key or key_file must be configured when a client certificate is configured`,
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	if !got.Client.TLSConfig.InsecureSkipVerify || got.Client.BasicAuth.Password != "b" {
		t.Error("what is right beside the mistakes was not decoded")
	}
}

func TestDecodeIsBounded(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'j'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c, ", c-1), 10))
	}
	for name, c := range map[string]struct{ text, want string }{
		"bomb":   {bomb, "aliases repeat more than 500000 values"},
		"itself": {"a: &a [*a]\n", "*a contains itself"},
		"merge":  {"a: &a {<<: *a}\n", "*a contains itself"},
		"deep":   {"a: " + strings.Repeat("[", 200) + strings.Repeat("]", 200), "nested more than 100 deep"},
	} {
		t.Run(name, func(t *testing.T) {
			var got map[string]any
			told := decode(t, c.text, &got)
			if len(told) != 1 || !strings.Contains(told[0], c.want) {
				t.Errorf("%d mistakes, the first ones %.300v; want %q", len(told), told, c.want)
			}
		})
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "30s": 30 * time.Second, "1m30s": 90 * time.Second, "1d": 24 * time.Hour,
		"2w": 14 * 24 * time.Hour, "1y": 365 * 24 * time.Hour, "1h1ms": time.Hour + time.Millisecond,
		"1.5s": 1500 * time.Millisecond, "250us": 250 * time.Microsecond, "1w2d3h4m5s6ms": 9*24*time.Hour + 3*time.Hour + 4*time.Minute + 5*time.Second + 6*time.Millisecond,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                      `"" is not a duration; write it like 30s or 1m30s`,
		"30 s":                  `"30 s" is not a duration; write it like 30s or 1m30s`,
		"30":                    "30 has no unit; write 30s for seconds or 30m for minutes",
		"-5s":                   `"-5s" must not be negative`,
		"300y":                  `"300y" is too long; at most 292 years can be told`,
		"99999999999999999999y": `"99999999999999999999y" is too long; at most 292 years can be told`,
		"1d1y":                  `"1d1y" is not a duration; write it like 30s or 1m30s`,
	} {
		if got, err := ParseDuration(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v %v, want %s", text, got, err, want)
		}
	}
	for want, v := range map[string]time.Duration{
		"0s": 0, "1m30s": 90 * time.Second, "36h": 36 * time.Hour, "2d": 48 * time.Hour, "1w": 168 * time.Hour,
		"250ms": 250 * time.Millisecond, "1.5µs": 1500 * time.Nanosecond, "400d": 400 * 24 * time.Hour,
	} {
		got := FormatDuration(v)
		if got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
		if back, err := ParseDuration(got); err != nil || back != v {
			t.Errorf("%s is read back as %v %v", got, back, err)
		}
	}
}

func TestSuggestion(t *testing.T) {
	valid := []string{"name", "probe", "target", "tier", "every", "timeout", "depends_on"}
	for word, want := range map[string]string{
		"nmae": "name", "Name": "name", "evry": "every", "traget": "target", "targets": "target", "depends-on": "depends_on",
		"dependson": "depends_on", "timeout_seconds": "timeout", "xyz": "", "q": "", "": "",
	} {
		if got := Nearest(word, valid); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	if got, want := Suggestion("xyz", []string{"b", "a"}), "; it can be a, b"; got != want {
		t.Errorf("got %q", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("targets:\n  - name: a\n    every: 30s\n    with: {a: [1, 2]}\n"))
	f.Add([]byte("a: &a {<<: *a}\nany: [&x [*x], !!binary x, ~]\nlabels: {? [a] : 1, 2: b}\n"))
	f.Add([]byte("ratio: 1e999\nport: -0x1\noffset: 0777\nmatch: \"[\"\n? \n: \"\\ud800\"\n"))
	f.Add([]byte("tls_config: {min_version: 3, ca: *x}\n---\n...\n\t@"))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines := strings.Count(string(text), "\n") + strings.Count(string(text), "\r") + strings.Count(string(text), "\u0085") +
			strings.Count(string(text), "\u2028") + strings.Count(string(text), "\u2029") + 1
		bad := func(line int, path, message string) {
			if message == "" || line > lines+1 {
				t.Errorf("line %d of %d, %q: %q", line, lines, path, message)
			}
		}
		node := Parse(text, bad)
		var got struct {
			document `yaml:",inline"`
			Client   config.HTTPClientConfig `yaml:",inline"`
		}
		Decode(node, &got, bad)
		LinesOf(node).Of("targets[0].with.a[1]")
		LinesOf(node).Of(string(text))
	})
}

func TestKeysOf(t *testing.T) {
	want := []string{
		"targets", "targets[].name", "targets[].every", "targets[].down_after", "targets[].provides", "targets[].heartbeat",
		"targets[].heartbeat.every", "targets[].heartbeat.grace", "targets[].with", "targets[].raw",
		"ratio", "port", "offset", "on_", "match", "address", "labels", "beats", "beats.*.every", "beats.*.grace",
		"pairs", "pairs.*.every", "pairs.*.grace", "any", "several", "depth", "nick",
	}
	if diff := cmp.Diff(want, KeysOf(document{})); diff != "" {
		t.Error(diff)
	}
}
