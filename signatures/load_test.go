package signatures

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseTellsEveryMistake(t *testing.T) {
	text := `family: Bad Name
signatures:
  - name: one
    cause: network
    patterns: [{regex: 'a(b'}, {literal: x, regex: y}, {lines: [a]}]
    samples: {match: [x]}
  - name: two
    cause: network
    action: rerty
    mode: acitve
    patterns: [{regex: '(a|b|)'}]
    limit: 99
    accuses: {host: $host}
  - {name: three, cause: network}
`
	_, told := Parse("bad.yml", []byte(text))
	want := []string{
		`bad.yml:1: family: "Bad Name" is no name; write small letters, digits and hyphens`,
		"bad.yml:5: signatures[0].patterns[0].regex: \"a(b\": missing closing ): `a(b`",
		`bad.yml:5: signatures[0].patterns[1]: give one of literal, regex and lines`,
		`bad.yml:5: signatures[0].patterns[2].lines: one line alone is a regex`,
		`bad.yml:9: signatures[1].action: unknown word "rerty"; did you mean "retry"?`,
		`bad.yml:10: signatures[1].mode: unknown word "acitve"; did you mean "active"?`,
		`bad.yml:11: signatures[1].patterns[0].regex: "(a|b|)": matches an empty line, and with it every log`,
		`bad.yml:12: signatures[1].limit: 99 attempts; it can be 1 to 20`,
		`bad.yml:13: signatures[1].accuses.host: $host is no group of patterns[0]; name a group with (?P<host>...)`,
		`bad.yml:7: signatures[1].samples.match: a signature is proven by at least one sample`,
		`bad.yml:14: signatures[2]: nothing to recognise it by: give patterns, or failure_reasons or exit_codes in its scope`,
	}
	got := map[string]bool{}
	for _, m := range told {
		got[m.String()] = true
	}
	for _, line := range want {
		if !got[line] {
			t.Errorf("not told: %s", line)
		}
	}
	if len(told) != len(want) {
		t.Errorf("told:\n%v", Error(told))
	}
}

func TestOwnFamilyTakesThePlaceOfAShippedOne(t *testing.T) {
	dir := t.TempDir()
	text := "family: dns\nsignatures:\n  - {name: ours, cause: dns, patterns: [{literal: our resolver}], samples: {match: [our resolver]}}\n"
	if err := os.WriteFile(filepath.Join(dir, "dns.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	families, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != len(Shipped()) {
		t.Errorf("%d families, want %d", len(families), len(Shipped()))
	}
	for _, f := range families {
		if f.Name != "dns" {
			continue
		}
		s := f.Signatures[0]
		want := Signature{
			Name: "ours", Cause: "dns", Family: "dns", File: filepath.Join(dir, "dns.yml"), Line: 3, Action: Retry, Mode: Shadow, Limit: 3,
			Patterns: []Text{{Literal: "our resolver", Within: 10}}, Samples: Samples{Match: []string{"our resolver"}},
			Delays: []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute}, Budget: Budget{Per: time.Hour},
		}
		if diff := cmp.Diff(want, s); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLoadTellsDoubleNames(t *testing.T) {
	name := filepath.Join(t.TempDir(), "mine.yml")
	text := "family: mine\nsignatures:\n  - {name: disk-full, cause: disk, patterns: [{literal: no room}], samples: {match: [no room]}}\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(name)
	if err == nil || !strings.Contains(err.Error(), name+`:3: signature "disk-full" is in shipped:disk.yml too`) {
		t.Errorf("error %v", err)
	}
}

func TestLint(t *testing.T) {
	f := family(t, `
  - {name: own, cause: a, patterns: [{literal: connection lost}], samples: {match: [nothing of it]}}
  - {name: first, cause: b, mode: active, patterns: [{literal: the very same}], samples: {match: [the very same]}}
  - {name: second, cause: c, patterns: [{literal: the very same}], samples: {match: [the very same]}}
  - {name: slow, cause: d, patterns: [{regex: '\d+ \d+ \d+'}], samples: {match: [1 2 3]}}
  - {name: short, cause: d, patterns: [{literal: oops}], samples: {match: [oops]}}
  - {name: old, cause: d, patterns: [{literal: ancient failure}], samples: {match: [ancient failure]}, expires: 2026-01-01}
  - {name: wide, cause: d, patterns: [{literal: link down}], samples: {match: [link down]}}
`)
	remarks, err := Lint([]Family{f}, today, []Corpus{{"clean.log", []byte("eth0: link down\n")}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range remarks {
		got = append(got, r.Level+" "+r.Check+" "+r.Signature)
	}
	want := []string{"error sample ", "error duplicate second", "warning shadowed second", "warning literal slow", "warning short short", "error expired old", "error broad wide"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzParse reads any bytes; what is accepted can be compiled and proven.
func FuzzParse(f *testing.F) {
	f.Add([]byte("family: test\nsignatures:\n" + examples))
	f.Add([]byte("family: x\nsignatures: [{name: a, cause: b, patterns: [{lines: [a, b], within: 3}], samples: {match: [\"a\\nb\"]}}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		one, told := Parse("fuzz.yml", text)
		if len(told) > 0 {
			return
		}
		if _, err := Prove([]Family{one}); err != nil {
			t.Fatal(err)
		}
	})
}
