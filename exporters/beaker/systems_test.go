package beaker

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
	simulated "github.com/colliehq/collie/internal/testkit/beaker"
)

// people is a small lab: what each of its systems does is known.
func people() []simulated.System {
	return []simulated.System{
		{FQDN: "idle.example.org", Condition: "Automated", Pools: []string{"kernel"}},
		{FQDN: "busy.example.org", Condition: "Automated", User: "ann", Recipe: 7, Started: time.Date(2026, 1, 31, 12, 0, 5, 0, time.UTC), Pools: []string{"kernel"}},
		{FQDN: "lent.example.org", Condition: "Manual", Loan: "bob", User: "bob"},
		{FQDN: "dead.example.org", Condition: "Broken"},
		{FQDN: "gone.example.org", Condition: "Removed"},
	}
}

func startLab(t testing.TB, systems []simulated.System, jobs ...simulated.Job) *simulated.Lab {
	t.Helper()
	l, err := simulated.Start("127.0.0.1:0", systems, jobs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Stop() })
	return l
}

// stopped is a Beaker whose clock is moved by hand.
func stopped() (*Beaker, func(time.Duration)) {
	var mu sync.Mutex
	now := beginning
	x := New(Options{Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	return x, func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(d)
	}
}

func TestSystems(t *testing.T) {
	l := startLab(t, people(), simulated.Job{ID: 7, Owner: "ann", Recipes: []string{"Running", "Queued"}}, simulated.Job{ID: 9, Owner: "bob", Recipes: []string{"Queued"}})
	x, pass := stopped()
	m := build(t, x, "beaker_systems", "{systems: [lent.example.org, dead.example.org], pools: [kernel], jobs: true, requests_per_hour: 100}")
	r := look(t, m, l.URL, hang)
	if !r.Success {
		t.Fatalf("%s %s", r.Reason, r.Cause)
	}
	text := exposition(r)
	golden(t, "systems.prom", text)
	for _, want := range []string{
		`probe_beaker_feed_systems{feed="all"} 5`, `probe_beaker_feed_systems{feed="available"} 4`, `probe_beaker_feed_systems{feed="free"} 2`,
		`probe_beaker_system_condition{system="dead.example.org",condition="broken"} 1`, `probe_beaker_system_condition{system="dead.example.org",condition="automated"} 0`,
		`probe_beaker_system_loaned{system="lent.example.org"} 1`, `probe_beaker_system_loaned{system="busy.example.org"} 0`,
		`probe_beaker_system_reserved{system="busy.example.org"} 1`, `probe_beaker_system_reserved{system="idle.example.org"} 0`,
		`probe_beaker_system_recipe_start_timestamp_seconds{system="busy.example.org"} 1.769860805e+09`,
		"probe_beaker_unfinished_jobs 2", `probe_beaker_job_recipes{status="queued"} 2`, `probe_beaker_job_recipes{status="running"} 1`,
		"probe_beaker_requests 11", "probe_beaker_requests_left 89",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is not there", want)
		}
	}
	// Within refresh nothing is asked again, and the ages tell.
	pass(time.Minute)
	text = exposition(look(t, m, l.URL, hang))
	for _, want := range []string{"probe_beaker_requests 0", `probe_beaker_feed_age_seconds{feed="all"} 60`, `probe_beaker_system_age_seconds{system="busy.example.org"} 60`, "probe_beaker_jobs_age_seconds 60"} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("a minute later: %s is not there\n%s", want, text)
		}
	}
	pass(4 * time.Minute)
	if text = exposition(look(t, m, l.URL, hang)); !strings.Contains(text, "probe_beaker_requests 11\n") {
		t.Errorf("after refresh:\n%s", text)
	}
}

// Whatever the server answers, the reason tells, and what was known stays.
func TestFaults(t *testing.T) {
	l := startLab(t, people(), simulated.Job{ID: 7, Recipes: []string{"Queued"}})
	for fault, want := range map[string]struct {
		reason probe.Reason
		cause  string
	}{
		"login":      {probe.Auth, "asks to log in"},
		"login-page": {probe.Auth, "page to log in"},
		"forbidden":  {probe.Auth, "403"},
		"error":      {probe.Status, "500"},
		"page":       {probe.Body, "page for people"},
		"bomb":       {probe.Body, "document type"},
		"deep":       {probe.Body, "nested"},
		"endless":    {probe.Body, "longer than"},
		"slow":       {probe.Timeout, "deadline"},
		"fault":      {probe.Status, "Invalid limit"},
	} {
		t.Run(fault, func(t *testing.T) {
			x, pass := stopped()
			m := build(t, x, "beaker_systems", "{systems: [lent.example.org], jobs: true}")
			if fault != "fault" { // that one is of jobs.filter alone
				m = build(t, x, "beaker_systems", "{feeds: [all]}")
			}
			if r := look(t, m, l.URL, hang); !r.Success {
				t.Fatalf("before: %s %s", r.Reason, r.Cause)
			}
			pass(10 * time.Minute)
			if err := l.Break(fault); err != nil {
				t.Fatal(err)
			}
			limit := hang
			if fault == "slow" {
				limit = 1500 * time.Millisecond
			}
			if fault == "endless" { // reading 32 MiB takes what it takes, and one answer may take a third of the time
				limit = 10 * hang
			}
			r := look(t, m, l.URL, limit)
			if r.Reason != want.reason || !strings.Contains(r.Cause, want.cause) {
				t.Errorf("%s %s, want %s %s", r.Reason, r.Cause, want.reason, want.cause)
			}
			if !strings.Contains(exposition(r), `probe_beaker_feed_systems{feed="all"} 5`) {
				t.Errorf("what was known is lost:\n%s", exposition(r))
			}
			if err := l.Break(""); err != nil {
				t.Fatal(err)
			}
			pass(6 * time.Minute)
			if r := look(t, m, l.URL, hang); !r.Success {
				t.Errorf("afterwards: %s %s", r.Reason, r.Cause)
			}
		})
	}
}

func TestNoServer(t *testing.T) {
	x, _ := stopped()
	m := build(t, x, "beaker_systems", "{feeds: [all]}")
	for target, want := range map[string]probe.Reason{
		"http://" + freeAddress(t) + "/bkr": probe.Refused, "http://nosuch.invalid/bkr": probe.DNS, "http://169.254.169.254/bkr": probe.Unreachable,
		"beaker.example.org": probe.Protocol, "ftp://x/": probe.Protocol, "http://u:p@127.0.0.1/": probe.Protocol, "": probe.Protocol,
	} {
		if r := look(t, m, target, 10*time.Second); r.Reason != want || strings.Contains(r.Cause, "u:p") {
			t.Errorf("%q: %s %s", target, r.Reason, r.Cause)
		}
	}
}

// A system that is not known fails the probe until it is asked about again; the
// others are told.
func TestUnknownSystem(t *testing.T) {
	l := startLab(t, people())
	x, pass := stopped()
	m := build(t, x, "beaker_systems", "{systems: [typo.example.org, dead.example.org]}")
	for range 2 { // the second time nothing is asked
		r := look(t, m, l.URL, hang)
		if r.Reason != probe.Status || !strings.Contains(r.Cause, "/systems/typo.example.org/status answers 404") ||
			!strings.Contains(exposition(r), `{system="dead.example.org",condition="broken"} 1`) {
			t.Errorf("%s %s\n%s", r.Reason, r.Cause, exposition(r))
		}
		pass(time.Second)
	}
	l.Set(simulated.System{FQDN: "typo.example.org", Condition: "Manual"})
	pass(5 * time.Minute)
	if r := look(t, m, l.URL, hang); !r.Success {
		t.Errorf("%s %s", r.Reason, r.Cause)
	}
}

// The budget bounds the requests of an hour; what is known is told meanwhile,
// until it is too old.
func TestBudget(t *testing.T) {
	var systems []simulated.System
	for i := range 30 {
		systems = append(systems, simulated.System{FQDN: fmt.Sprintf("s%02d.example.org", i), Condition: "Manual"})
	}
	l := startLab(t, systems)
	x, pass := stopped()
	m := build(t, x, "beaker_systems", "{feeds: [all], systems_of_feed: all, max_systems: 25, requests_per_hour: 20}")
	text := exposition(look(t, m, l.URL, hang))
	for _, want := range []string{
		"probe_success 1", "probe_beaker_requests 20", "probe_beaker_requests_left 0", "probe_beaker_systems_waiting 6",
		"probe_beaker_systems_dropped 1", // one more than max_systems is read of a feed
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is not there\n%s", want, text)
		}
	}
	pass(29 * time.Minute) // half an hour's budget: the feed again, and those that wait first
	text = exposition(look(t, m, l.URL, hang))
	for _, want := range []string{"probe_success 1", "probe_beaker_requests 9", "probe_beaker_systems_waiting 0"} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("later: %s is not there\n%s", want, text)
		}
	}
	pass(2 * time.Minute)
	r := look(t, m, l.URL, hang)
	if r.Reason != probe.Quota || !strings.Contains(r.Cause, "requests_per_hour") {
		t.Errorf("%s %s", r.Reason, r.Cause)
	}
}

// Probes of one server at the same time ask once.
func TestProbesAtTheSameTime(t *testing.T) {
	l := startLab(t, people())
	x, _ := stopped()
	m := build(t, x, "beaker_systems", "{feeds: [all], systems: [dead.example.org]}")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if r := look(t, m, l.URL, hang); !r.Success {
				t.Errorf("%s %s", r.Reason, r.Cause)
			}
		})
	}
	all.Wait()
	if n := l.Asked("/systems/dead.example.org/status"); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestPassword(t *testing.T) {
	l := startLab(t, people())
	x, _ := stopped()
	file := filepath.Join(t.TempDir(), "password")
	m := build(t, x, "beaker_systems", "{feeds: [all], username: collie, password_file: '"+file+"'}")
	if r := look(t, m, l.URL, hang); r.Reason != probe.Auth || !strings.Contains(r.Cause, "does not exist") {
		t.Errorf("%s %s", r.Reason, r.Cause)
	}
	if err := os.WriteFile(file, []byte("s3cret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := look(t, m, l.URL, hang); r.Reason != probe.Auth || !strings.Contains(r.Cause, "everybody on this machine") {
		t.Errorf("%s %s", r.Reason, r.Cause)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := look(t, m, l.URL, hang); !r.Success {
		t.Errorf("%s %s", r.Reason, r.Cause)
	}
}

// Whatever targets are asked for, each failure has as many series, and no more
// is remembered than the bound.
func TestSeriesStayFew(t *testing.T) {
	x, _ := stopped()
	m := build(t, x, "beaker_systems", "{systems: [a.example.org]}")
	series := map[int]bool{}
	for range 2_000 {
		target := fmt.Sprintf("http://127.0.0.1:1/%x", rand.Uint64())
		if rand.IntN(4) == 0 {
			target = fmt.Sprintf("%x\x00%c", rand.Uint64(), rune(rand.IntN(0x2fff)))
		}
		r := look(t, m, target, hang)
		n := 0
		for _, f := range r.Metrics.Families() {
			n += len(f.Samples)
		}
		series[n] = true
	}
	if len(series) != 1 || len(x.memory.servers) > maxMemory || len(x.memory.budgets) > maxMemory {
		t.Errorf("%v series, %d and %d remembered", series, len(x.memory.servers), len(x.memory.budgets))
	}
}

// mistakes are what is told about the options of a kind.
func mistakes(t *testing.T, kind, options string) (all string) {
	t.Helper()
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(options), &node); err != nil {
		t.Fatal(err)
	}
	for _, k := range New(Options{}).Kinds() {
		if k.Name == kind {
			k.Build(node.Content[0], func(_ int, format string, args ...any) { all += fmt.Sprintf(format, args...) + "\n" })
		}
	}
	return all
}

func TestOptions(t *testing.T) {
	for text, want := range map[string]string{
		"beaker {listen_address: here}":             `listen_address: "here" is not HOST:PORT`,
		"beaker {listen_address: 'a.example:2003'}": "is not an address of this machine",
		"beaker {listen_address: '127.0.0.1:0'}":    "is not a port",
		"beaker {prefix: 'a b'}":                    "prefix: must be what carbon.prefix is",
		"beaker {expiry: 1ms}":                      "expiry: must be at least 1s",
		"beaker {max_series: 0}":                    "max_series: must be a whole number",
		"beaker {senders: [somebody]}":              `"somebody" is neither an address nor a network`,
		"beaker {prefx: a}":                         "prefix",
		"beaker_systems {feeds: [broken]}":          `feeds[0]: "broken" is none of`,
		"beaker_systems {systems: ['a/b']}":         "is not the name of a host",
		"beaker_systems {pools: ['a/b']}":           "is not the name of a pool",
		"beaker_systems {systems_of_feed: some}":    "systems_of_feed",
		"beaker_systems {refresh: 1h}":              "refresh: must be from 1s to max_age",
		"beaker_systems {username: a}":              "username: needs password_file",
		"beaker_systems {jobs_owner: a}":            "jobs: must be true",
		"beaker_systems {requests_per_hour: -3}":    "whole number",
		"beaker_systems {password: a}":              "password_file",
	} {
		kind, options, _ := strings.Cut(text, " ")
		if got := mistakes(t, kind, options); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{
		"beaker {listen_address: ':2003', prefix: '', expiry: 2m, max_series: 10, senders: [192.0.2.7, '2001:db8::/32']}",
		"beaker_systems {feeds: [], systems: [a], pools: ['my pool'], systems_of_feed: free, max_systems: 5, jobs: true, jobs_owner: a, jobs_group: b, max_jobs: 9, refresh: 1m, max_age: 1h, requests_per_hour: 60, username: a, password_file: f, ca_file: c, insecure_skip_verify: true}",
	} {
		kind, options, _ := strings.Cut(text, " ")
		if got := mistakes(t, kind, options); got != "" {
			t.Errorf("%s: %s", text, got)
		}
	}
}
