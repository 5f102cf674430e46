package signatures

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var today = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

// family parses signatures that stand without their head.
func family(t testing.TB, signatures string) Family {
	t.Helper()
	f, told := Parse("test.yml", []byte("family: test\nsignatures:\n"+signatures))
	if len(told) > 0 {
		t.Fatal(Error(told))
	}
	return f
}

func classify(t testing.TB, f Family, job Job, log string) Verdict {
	t.Helper()
	set, err := Compile([]Family{f}, today)
	if err != nil {
		t.Fatal(err)
	}
	c := set.Classifier(job)
	if _, err := c.Write([]byte(log)); err != nil {
		t.Fatal(err)
	}
	return c.Verdict()
}

// names are the signatures of findings, and of those ruled out after a hyphen.
func names(v Verdict) (list []string) {
	for _, f := range v.Findings {
		list = append(list, f.Signature)
	}
	for _, f := range v.Vetoed {
		list = append(list, "-"+f.Signature)
	}
	return list
}

const examples = `
  - name: reset
    cause: network
    mode: active
    patterns: [{literal: connection reset by peer}]
    not: [{regex: 'giving up on purpose'}]
    samples: {match: [connection reset by peer]}
  - name: pull
    cause: registry
    mode: active
    patterns: [{regex: 'failed to pull image "(?P<host>[^/"]+)/'}]
    accuses: {host: $host}
    scope: {failure_reasons: [runner_system_failure]}
    samples: {match: ['failed to pull image "r.example.org/x"']}
  - name: compiler
    cause: compiler
    mode: active
    action: none
    patterns: [{regex: '^\S+:\d+:\d+: error: '}]
    samples: {match: ['a.c:1:2: error: x']}
  - name: mount
    cause: nfs
    patterns: [{lines: ['mount.*attempt', 'timed out'], within: 3}]
    scope: {sections: [step_script]}
    samples: {match: ["mount attempt 1\ntimed out"]}
  - name: oom
    cause: memory
    mode: report
    scope: {exit_codes: [137]}
  - name: tail
    cause: other
    patterns: [{literal: final words}]
    scope: {last_bytes: 40, jobs: ['^build']}
    samples: {match: [final words]}
`

func TestVerdict(t *testing.T) {
	f := family(t, examples)
	code := func(n int) *int { return &n }
	section := func(name, text string) string {
		return fmt.Sprintf("section_start:1:%s\r\x1b[0K%ssection_end:2:%s\r\x1b[0K\n", name, text, name)
	}
	for name, tt := range map[string]struct {
		job  Job
		log  string
		want []string
	}{
		"nothing":                       {log: "all is well\n"},
		"a literal":                     {log: "read: connection reset by peer\n", want: []string{"reset"}},
		"without an end":                {log: "connection reset by peer", want: []string{"reset"}},
		"in colours":                    {log: "connection \x1b[31mreset\x1b[0m by peer\n", want: []string{"reset"}},
		"vetoed":                        {log: "connection reset by peer\ngiving up on purpose\n", want: []string{"-reset"}},
		"failed rightly":                {log: "connection reset by peer\nmain.c:3:7: error: expected ;\n", want: []string{"compiler", "-reset"}},
		"in after_script":               {log: section("after_script", "connection reset by peer\n")},
		"after_script without a marker": {log: "Running after_script\nconnection reset by peer\n"},
		"a window":                      {log: section("step_script", "mount: attempt 1\nwait\ntimed out\n"), want: []string{"mount"}},
		"a window that is too long":     {log: section("step_script", "mount: attempt 1\n\n\ntimed out\n")},
		"a window in the wrong order":   {log: section("step_script", "timed out\nmount: attempt 1\n")},
		"a window on one line":          {log: section("step_script", "mount: attempt 1 timed out\n")},
		"a window elsewhere":            {log: section("prepare", "mount: attempt 1\ntimed out\n")},
		"a window begun anew":           {log: section("step_script", "mount attempt 1\nx\ny\nmount attempt 2\ntimed out\n"), want: []string{"mount"}},
		"an exit code":                  {job: Job{ExitCode: code(137)}, log: "Killed\n", want: []string{"oom"}},
		"another exit code":             {job: Job{ExitCode: code(1)}, log: "Killed\n"},
		"another failure reason":        {job: Job{FailureReason: "script_failure"}, log: `failed to pull image "r.example.org/x"`},
		"the failure reason":            {job: Job{FailureReason: "runner_system_failure"}, log: `failed to pull image "r.example.org/x"`, want: []string{"pull"}},
		"at the end":                    {log: strings.Repeat("-\n", 100) + "final words\n", want: []string{"tail"}},
		"long before the end":           {log: "final words\n" + strings.Repeat("-\n", 100)},
		"another job":                   {job: Job{Name: "test 1/2"}, log: "final words\n"},
		"the job":                       {job: Job{Name: "build 1/2"}, log: "final words\n", want: []string{"tail"}},
		"the surest first":              {job: Job{FailureReason: "runner_system_failure"}, log: "connection reset by peer\n" + `failed to pull image "r.example.org/x"`, want: []string{"pull", "reset"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, names(classify(t, f, tt.job, tt.log))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFinding(t *testing.T) {
	log := "first\nsection_start:1:prepare\r\x1b[0Kpulling\n\x1b[31mfailed to pull image \"r.example.org/x\": EOF\x1b[0m\r\n" + strings.Repeat("more\n", 200)
	v := classify(t, family(t, examples), Job{FailureReason: "runner_system_failure"}, log)
	want := &Finding{
		Signature: "pull", Family: "test", Cause: "registry", Action: Retry, Mode: Active, Confidence: 0.75, Count: 1,
		Matches: []Match{{Line: 3, LastLine: 3, Offset: int64(strings.Index(log, "\x1b[31m")), Section: "prepare", Excerpt: `failed to pull image "r.example.org/x": EOF`, Host: "r.example.org"}},
		Hosts:   []string{"r.example.org"}, Why: "line 3 matches, and so says how the job ended",
	}
	if diff := cmp.Diff(want, v.Best, cmpopts.IgnoreUnexported(Finding{})); diff != "" {
		t.Error(diff)
	}
	if v.Bytes != int64(len(log)) || v.Lines != strings.Count(log, "\n") {
		t.Errorf("%d bytes and %d lines, want %d and %d", v.Bytes, v.Lines, len(log), strings.Count(log, "\n"))
	}
}

func TestExpiredIsNotUsed(t *testing.T) {
	f := family(t, `
  - {name: old, cause: network, patterns: [{literal: connection reset}], samples: {match: [connection reset]}, expires: 2026-11-22}
  - {name: new, cause: network, patterns: [{literal: connection reset}], samples: {match: [connection reset]}, expires: 2026-11-23}
`)
	if diff := cmp.Diff([]string{"new"}, names(classify(t, f, Job{}, "connection reset\n"))); diff != "" {
		t.Error(diff)
	}
}

func TestWhoIsAccusedAndAsked(t *testing.T) {
	f := family(t, `
  - name: mount
    cause: nfs
    owner: storage team
    link: https://wiki.example.org/nfs
    patterns: [{lines: ['mounting', 'server (?P<host>\S+) not responding']}, {regex: 'mount (?P<host>[^:]+):'}]
    accuses: {host: $host}
    samples: {match: ["mounting\nserver nas not responding"]}
  - {name: fixed, cause: dns, patterns: [{literal: no answer}], accuses: {host: ns1.example.org}, samples: {match: [no answer]}}
`)
	v := classify(t, f, Job{}, "mounting /a\nserver nas1.example.org not responding\nmount nas2.example.org:/b\nno answer\n")
	if diff := cmp.Diff([]string{"nas1.example.org", "nas2.example.org"}, v.Best.Hosts); diff != "" {
		t.Error(diff)
	}
	if v.Best.Owner != "storage team" || v.Best.Link != "https://wiki.example.org/nfs" {
		t.Errorf("owner %q, link %q", v.Best.Owner, v.Best.Link)
	}
	if diff := cmp.Diff([]string{"ns1.example.org"}, v.Findings[1].Hosts); diff != "" {
		t.Error(diff)
	}
}

// The answer does not depend on how the log is cut, and is the same each time.
func TestSameLogSameVerdict(t *testing.T) {
	log := strings.Repeat("2026 building\n", 50) + "connection reset by peer\n\x1b[31mfailed to pull image \"r.example.org/x\"\x1b[0m\nmain.c:1:2: error: x\n"
	want := classify(t, family(t, examples), Job{}, log)
	set, err := Compile([]Family{family(t, examples)}, today)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1; size < len(log); size += 7 {
		c := set.Classifier(Job{})
		for rest := []byte(log); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			_, _ = c.Write(rest[:min(size, len(rest))])
		}
		if diff := cmp.Diff(want, c.Verdict(), cmpopts.IgnoreUnexported(Finding{})); diff != "" {
			t.Fatalf("in pieces of %d bytes:\n%s", size, diff)
		}
	}
}
