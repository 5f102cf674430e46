package strictyaml

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// collect returns a place for mistakes, and what was told to it, as lines.
func collect() (bad Bad, told *[]string) {
	told = &[]string{}
	return func(line int, path, message string) {
		at := fmt.Sprint(line)
		if path != "" {
			at += " " + path
		}
		*told = append(*told, at+": "+message)
	}, told
}

func TestParseSaysWhatBreaksTheRules(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"tab":                  {"a:\n\tb: 1\n", "2: is indented with a tab; YAML wants spaces"},
		"tab after spaces":     {"a:\n  b: 1\n  \tc: 1\n", "3: is indented with a tab; YAML wants spaces"},
		"indented value":       {"a: b\n  c: d\n", "2: is indented further than line 1, which has a value already; keys that belong together stand in one column"},
		"glued colon":          {"a:\n  - b: x\n    probe:y\n    c: d\n", `3: "probe:y" needs a space after the colon`},
		"glued colon at top":   {"targets:\n  - name:gitlab\n    probe: http\n", `2: "name:gitlab" needs a space after the colon`},
		"no colon":             {"a:\n  - b: x\n    probe y\n    c: d\n", `3: "probe y" has no colon; write "key: value"`},
		"no colon at top":      {"targets\n  - a: b\n", `1: "targets" has no colon; write "key: value"`},
		"open bracket":         {"a: 1\nb: [1, 2\nc: 3\nd: 4\n", `2: a list that begins with "[" is not closed by "]", or a comma is missing`},
		"open brace":           {"a: 1\nb: {c: 2\n", `2: a map that begins with "{" is not closed by "}", or a comma is missing`},
		"open quote":           {"a: 1\nb: \"x\nc: 3\n", "2: a quote is opened here and never closed"},
		"at sign":              {"a: 1\nb: @x\n", "2: a value that begins with @ must be in quotes"},
		"backquote":            {"b: `x`\n", "1: a value that begins with ` must be in quotes"},
		"star":                 {"a: 1\nb: *.example.org\n", "2: a value that begins with * or & must be in quotes"},
		"unknown anchor":       {"a: 1\nb: *x\n", "2: unknown anchor 'x' referenced; a value that begins with * must be in quotes"},
		"colon in value":       {"a: 1\nb: it is: so\n", `2: a value with ": " in it must be in quotes`},
		"quote inside quotes":  {"a: 1\nb: 'it's'\nc: 2\n", "2: text goes on after the closing quote; put the whole value in quotes of the other kind"},
		"between indentations": {"a:\n    b: 1\n  c: 2\n", "3: its indentation fits none of the lines above"},
		"list then key":        {"- a\nb: 1\n", `2: belongs to no entry of the list above; align it with the word after "- ", or begin it with "- "`},
		"second document":      {"a: 1\n---\nb: 2\n", `2: a second document begins here; remove the "---"`},
		"control character":    {"a: 1\nb: \x01\n", "2: control characters are not allowed"},
		"not UTF-8":            {"a: 1\nb: \xff\n", "2: invalid leading UTF-8 octet"},
	} {
		t.Run(name, func(t *testing.T) {
			bad, told := collect()
			if node := Parse([]byte(c.text), bad); node != nil {
				t.Error("a broken document was read")
			}
			if diff := cmp.Diff([]string{c.want}, *told); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseReadsWhatIsRight(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "a: 1\n", "---\na: 1\n", "\ufeffa: 1\r\nb: 2\r\n", "a: [1,\n 2]\n"} {
		bad, told := collect()
		if node := Parse([]byte(text), bad); node == nil || len(*told) > 0 {
			t.Errorf("%q: %v", text, *told)
		}
	}
}

// A long list in brackets before the mistake must not hide it.
func TestBrokenLineBehindLongBrackets(t *testing.T) {
	text := "a: [\n" + strings.Repeat("  1,\n", 40) + "]\n" + strings.Repeat("b: 1\n", 200) + "c: @\n" + strings.Repeat("d: 1\n", 300)
	bad, told := collect()
	Parse([]byte(text), bad)
	want := []string{"243: a value that begins with @ must be in quotes"}
	if diff := cmp.Diff(want, *told); diff != "" {
		t.Error(diff)
	}
}

func TestLines(t *testing.T) {
	text := `base: &base
  tier: optional
targets:
  - name: a
    depends_on: [b,
      c]
  - <<: *base
    name: b
channels:
  "#ops": {nick: x}
`
	bad, told := collect()
	lines := LinesOf(Parse([]byte(text), bad))
	if len(*told) > 0 {
		t.Fatal(*told)
	}
	for path, want := range map[string]int{
		"":                           1,
		"targets":                    3,
		"targets[0]":                 4,
		"targets[0].depends_on":      5,
		"targets[0].depends_on[1]":   6,
		"targets[1].name":            8,
		"targets[1].tier":            2, // where the merged value stands
		"targets[1].absent":          7,
		"targets[9].name":            3,
		"targets[x].name":            3,
		`channels["#ops"].nick`:      10,
		`channels["#ops`:             10,
		"nothing.like.this":          1,
		"base.tier.deeper[3].still.": 2,
	} {
		if got := lines.Of(path); got != want {
			t.Errorf("%s: line %d, want %d", path, got, want)
		}
	}
	if got := (Lines{}).Of("a"); got != 0 {
		t.Errorf("without a document: line %d", got)
	}
}
