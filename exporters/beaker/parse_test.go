package beaker

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	simulated "github.com/colliehq/collie/internal/testkit/beaker"
)

func TestParseLine(t *testing.T) {
	for text, want := range map[string]line{
		"beaker.gauges.dirty_jobs 3 1700000000":           {"beaker.gauges.dirty_jobs", 3, 1700000000},
		"  beaker.gauges.dirty_jobs\t3.5   1700000000.25": {"beaker.gauges.dirty_jobs", 3.5, 1700000000.25},
		"a 0 -1":                          {"a", 0, 0}, // now, as in carbon
		"a 1e3 17\r":                      {"a", 1000, 17},
		strings.Repeat("n", 900) + " 1 2": {strings.Repeat("n", 900), 1, 2},
	} {
		if got, err := parseLine([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "a", "a 1", "a 1 2 3", "a x 2", "a 1 x", "a NaN 2", "a nan 2", "a Inf 2", "a 1 +Inf", "a -1 2", "a 0x10 2", "a 1_0 2",
		"a 1e999 2", "a 1 -2", "(lp0\n(S'a'", "\x80\x02]q\x00", strings.Repeat("n", 2000) + " 1 2",
	} {
		if got, err := parseLine([]byte(text)); err == nil {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
}

// Everything that beakerd sends is known, each name as a series of its own.
func TestKnownNames(t *testing.T) {
	seen := map[series]string{}
	lines := append(simulated.Pass("", 1, time.Unix(17, 0)), simulated.Events("", time.Unix(17, 0))...)
	if len(lines) != 32+30+1+14+3+21+1 {
		t.Errorf("%d names", len(lines))
	}
	for _, text := range lines {
		name, _, _ := strings.Cut(text, " ")
		s, ok := known(name)
		if !ok {
			t.Errorf("%s is not known", name)
		}
		if other := seen[s]; other != "" {
			t.Errorf("%s and %s are one series", name, other)
		}
		seen[s] = name
	}
	want := series{family: sources[1].groups["by_lab"], a: field{"state", "idle_broken"}, b: field{"lab", "lab-01_example_org"}, grouped: true}
	if got, _ := known("gauges.systems_idle_broken.by_lab.lab-01_example_org"); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestUnknownNames(t *testing.T) {
	for _, name := range []string{
		"", "gauges", "gauges.", "gauges.recipes_", "gauges.recipes_queued", "gauges.recipes_queued.", "gauges.recipes_queued.by_arch",
		"gauges.recipes_queued.by_arch.", "gauges.recipes_queued.by_lab.x", "gauges.recipes_queued.all.x", "gauges.recipes_done.all",
		"gauges.systems_idle_removed.all", "gauges.recipes_queued.by_arch.a{b", "gauges.recipes_queued.by_arch.é", "counters.recipes_new",
		"gauges.recipes_queued.by_arch." + strings.Repeat("a", 256), "durations.recipes", "gauges.dirty_jobs.all", "counters.recipes_completed.all",
	} {
		if s, ok := known(name); ok {
			t.Errorf("%q is known as %+v", name, s)
		}
	}
}

const feed = `<?xml version="1.0"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title type="text">All</title>
<entry><id>1</id><title type="text"> a.example.org </title></entry>
<entry><id>2</id><title type="text">not/a host</title></entry>
<entry><id>3</id><title><![CDATA[b.example.org]]></title></entry>
<entry><id>4</id><title>c.example.org</title></entry></feed>`

func TestParseFeed(t *testing.T) {
	n, names, err := parseFeed(strings.NewReader(feed), 2)
	if diff := cmp.Diff([]string{"a.example.org", "b.example.org"}, names); diff != "" || n != 4 || err != nil {
		t.Errorf("%d entries, %v\n%s", n, err, diff)
	}
	for text, want := range map[string]string{
		"":                             "no Atom feed",
		"<rss/>":                       "no Atom feed",
		"<feed><entry>":                "EOF",
		"<feed></entry>":               "ends nothing",
		strings.Repeat("<feed>", 1000): "nested",
		"<!DOCTYPE feed [<!ENTITY a \"aa\">]><feed><entry><title>&a;</title></entry></feed>": "document type",
		"<feed>&lol;</feed>": "entity",
	} {
		if _, _, err := parseFeed(strings.NewReader(text), 2); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

func TestParseJobs(t *testing.T) {
	answer := func(body string) string {
		return "<?xml version='1.0'?>\n<methodResponse>" + body + "</methodResponse>"
	}
	list := answer("<params><param><value><array><data><value><string>J:7</string></value>\n<value><string>J:12</string></value></data></array></value></param></params>")
	ids, err := parseJobs(strings.NewReader(list), 10)
	if diff := cmp.Diff([]int{7, 12}, ids); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if ids, err := parseJobs(strings.NewReader(list), 1); len(ids) != 1 || err != nil {
		t.Errorf("with a limit of 1: %v, %v", ids, err)
	}
	empty := answer("<params><param><value><array><data/></array></value></param></params>")
	if ids, err := parseJobs(strings.NewReader(empty), 1); len(ids) != 0 || err != nil {
		t.Errorf("nothing unfinished: %v, %v", ids, err)
	}
	for text, want := range map[string]string{
		answer("<fault><value><struct><member><name>faultCode</name><value><int>1</int></value></member><member><name>faultString</name><value><string>Please log in first</string></value></member></struct></value></fault>"): "log in",
		answer("<params><param><value><string>J:1</string></value></param></params>"):                                            "no answer",
		answer("<params><param><value><array><data><value><string>R:7</string></value></data></array></value></param></params>"): "not the id",
		"": "no answer",
	} {
		if _, err := parseJobs(strings.NewReader(text), 10); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

func TestCallEscapes(t *testing.T) {
	got := jobFilter{owner: `a<b>&"`, limit: 5}.call()
	for _, want := range []string{
		"<methodName>jobs.filter</methodName>", "<member><name>is_finished</name><value><boolean>0</boolean></value></member>",
		"<member><name>limit</name><value><int>5</int></value></member>", "<value><string>a&lt;b&gt;&amp;&#34;</string></value>",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nhas no %s", got, want)
		}
	}
}

// What the server answers, as get_system_status in Server/bkr/server/systems.py
// makes it, in its older and newer form.
func TestParseSystem(t *testing.T) {
	began := time.Date(2026, 1, 31, 12, 0, 5, 0, time.UTC)
	for text, want := range map[string]system{
		`{"condition": "Automated", "current_loan": null, "current_reservation": null}`:                                                      {condition: "automated"},
		`{"condition": "Broken", "current_loan": {"recipient": "ann", "comment": null}, "current_reservation": null}`:                        {condition: "broken", loaned: true},
		`{"condition": "Manual", "current_loan": {}, "current_reservation": {"user_name": "bob"}}`:                                           {condition: "manual", reserved: true},
		`{"condition": "Automated", "current_reservation": {"user_name": "bob", "recipe_id": "7", "start_time": "2026-01-31 12:00:05 UTC"}}`: {condition: "automated", reserved: true, recipe: began},
		`{"condition": "Automated", "current_reservation": {"recipe_id": "7", "start_time": "2026-01-31 12:00:05.000000 UTC"}}`:              {condition: "automated", reserved: true, recipe: began},
		`{"condition": "Automated", "current_reservation": {"user": {"user_name": "bob"}, "recipe_id": "7", "start_time": "None UTC"}}`:      {condition: "automated", reserved: true},
		`{"condition": "On fire", "current_loan": null}`:                                                                                     {condition: "other"},
	} {
		if got, err := parseSystem(strings.NewReader(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "[]", "{}", "null", `{"condition": 7}`, `{"condition": "Manual"} x`, strings.Repeat("[", 100_000)} {
		if got, err := parseSystem(strings.NewReader(text)); err == nil {
			t.Errorf("%.40q was read as %+v", text, got)
		}
	}
}

func TestParseJobAndPool(t *testing.T) {
	recipes, err := parseJob(strings.NewReader(`{"id": 7, "t_id": "J:7", "recipesets": [{"machine_recipes": [{"status": "Queued"}, {"status": "Running"}]}, {"machine_recipes": [{"status": "Queued"}, {"status": "Odd"}]}]}`))
	if diff := cmp.Diff(map[string]int{"queued": 2, "running": 1, "other": 1}, recipes); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, text := range []string{`{"name": "p", "systems": ["a.example", "../x", "b.example", "c.example"]}`, `{"name": "p", "systems": [{"fqdn": "a.example"}, 7, {"fqdn": "b.example"}]}`} {
		names, err := parsePool(strings.NewReader(text), 2)
		if diff := cmp.Diff([]string{"a.example", "b.example"}, names); diff != "" || err != nil {
			t.Error(diff, err)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add("beaker.gauges.recipes_queued.by_arch.x86_64 3 1700000000")
	f.Add("beaker.counters.system_commands_failed.by_lab.a 1 -1")
	f.Fuzz(func(t *testing.T, text string) {
		x, err := parseLine([]byte(text))
		if err != nil {
			return
		}
		if s, ok := known(strings.TrimPrefix(x.name, "beaker.")); ok && strings.ContainsFunc(s.b.value, unfit) {
			t.Errorf("%q became the label %q", text, s.b.value)
		}
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add(feed)
	f.Add(`{"condition": "Manual", "current_reservation": {"start_time": "2026-01-31 12:00:05 UTC"}}`)
	f.Add(`{"name": "p", "systems": ["a", {"fqdn": "b"}]}`)
	f.Add(`<methodResponse><fault><value><struct><member><name>faultString</name><value>x</value></member></struct></value></fault></methodResponse>`)
	f.Fuzz(func(t *testing.T, text string) {
		read := func() io.Reader { return strings.NewReader(text) }
		_, names, _ := parseFeed(read(), 5)
		members, _ := parsePool(read(), 5)
		for _, name := range append(names, members...) {
			if !isHost(name) {
				t.Errorf("%q is no host", name)
			}
		}
		ids, _ := parseJobs(read(), 5)
		s, err := parseSystem(read())
		_, _ = parseJob(read())
		if len(names) > 5 || len(members) > 5 || len(ids) > 5 || err == nil && s.condition == "" {
			t.Error(fmt.Sprint(names, members, ids, s))
		}
	})
}
