package strictyaml

import (
	"net/netip"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// What is encoded can be changed without changing what it was made from.
func TestEncodeCopiesNodes(t *testing.T) {
	var doc struct {
		With yaml.Node `yaml:"with"`
	}
	if told := decode(t, "a: &a {x: [1]}\nwith: {b: *a}\n", &struct {
		A    any        `yaml:"a"`
		With *yaml.Node `yaml:"with"`
	}{With: &doc.With}); len(told) > 0 {
		t.Fatal(told)
	}
	node, err := Encode(doc)
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(node)
	if err != nil || string(text) != "with:\n    b:\n        x:\n            - 1\n" {
		t.Fatalf("got %s %v", text, err)
	}
	node.Content[1].Content[0].Value = "changed"
	if doc.With.Content[0].Value != "b" {
		t.Error("the source was changed")
	}
}

func TestEncodeIsReadBack(t *testing.T) {
	type sub struct {
		Depth int `yaml:"depth"`
	}
	type doc struct {
		Name    string           `yaml:"name"`
		Number  string           `yaml:"number"`
		Every   time.Duration    `yaml:"every"`
		Match   *regexp.Regexp   `yaml:"match"`
		Address netip.Addr       `yaml:"address,omitempty"`
		Left    *beat            `yaml:"left,omitempty"`
		Beat    *beat            `yaml:"beat"`
		Beats   map[string]*beat `yaml:"beats"`
		Any     any              `yaml:"any"`
		Raw     yaml.Node        `yaml:"raw,omitempty"`
		Sub     sub              `yaml:",inline"`
		Rest    map[string]int   `yaml:",inline"`
		Skipped string           `yaml:"-"`
	}
	v := doc{
		Name: "on", Number: "5", Every: 90 * time.Second, Match: regexp.MustCompile("^a: b$"),
		Beats: map[string]*beat{"z": {time.Hour, 0}, "a": nil},
		Any:   map[string]any{"l": []any{1, "x", true, nil}}, Sub: sub{3}, Rest: map[string]int{"r": 1}, Skipped: "x",
	}
	node, err := Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(node)
	if err != nil {
		t.Fatal(err)
	}
	want := `name: "on"
number: "5"
every: 1m30s
match: '^a: b$'
beat: null
beats:
    a: null
    z:
        every: 1h
        grace: 0s
any:
    l:
        - 1
        - x
        - true
        - null
depth: 3
r: 1
`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Fatal(diff)
	}
	var back doc
	if told := decode(t, string(text), &back); len(told) > 0 {
		t.Fatal(told)
	}
	back.Skipped = "x"
	same := cmp.Options{
		cmp.Comparer(func(a, b *regexp.Regexp) bool { return a.String() == b.String() }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	}
	if diff := cmp.Diff(v, back, same); diff != "" {
		t.Error(diff)
	}
}
