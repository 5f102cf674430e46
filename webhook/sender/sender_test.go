package sender

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/internal/notification"
	"github.com/colliehq/collie/signal"
)

// recorded reads a delivery of testdata.
func recorded(t testing.TB, name string) (http.Header, []byte) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name+".http"))
	if err != nil {
		t.Fatal(err)
	}
	head, body, found := bytes.Cut(raw, []byte("\n\n"))
	if !found {
		t.Fatalf("%s: no empty line between headers and body", name)
	}
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(string(head) + "\n\n"))).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return http.Header(h), bytes.TrimSuffix(body, []byte("\n"))
}

var received = time.Date(2026, 11, 22, 8, 30, 0, 0, time.UTC)

func delivery(t testing.TB, name string, s Settings) (Sender, Delivery) {
	t.Helper()
	from, _, _ := strings.Cut(name, "-")
	known, ok := Named(from)
	if !ok {
		t.Fatalf("no sender %s", from)
	}
	h, body := recorded(t, name)
	if s.Receiver == "" {
		s.Receiver = "hook1"
	}
	return known, Delivery{ID: "d1", Hook: "hook1", Received: received, Header: h, Body: body, Settings: s}
}

// backup maps the document of generic-backup.
var backup = Mapping{
	Alertname: `"Backup"`, Status: "result", Resolved: []string{"ok"}, Ignored: []string{"skipped"}, Identity: "job.name",
	Summary: "hints.0", Link: "log", Severity: `"warning"`, Labels: map[string]string{"target": "job.host", "code": "code", "absent": "no.such"},
}

// told is what matters of a signal.
type told struct {
	Kind    signal.Kind
	Subject string
	Status  signal.Status
	Labels  map[string]string
	Notes   map[string]string
	Started string
	Ended   string
	Alert   signal.Alert
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// signals are those of a delivery, as the mapper would make them.
func signals(t testing.TB, d Delivery, m Meaning) (all []told) {
	t.Helper()
	made := m.Signals
	if m.Alerts != nil {
		for i, a := range m.Alerts.Alerts {
			s, err := m.Alerts.Signal(a, "webhook/h", uint64(i)+1, received)
			if err != nil {
				t.Fatal(err)
			}
			made = append(made, s)
		}
	}
	for _, s := range made {
		s.ID, s.Source, s.Observed = "id", "webhook/h", received
		s, err := signal.New(s)
		if err != nil {
			t.Fatalf("%s is no valid signal: %v", d.Hook, err)
		}
		one := told{s.Kind, s.Subject, s.Status, s.Labels, s.Annotations, stamp(s.Started), stamp(s.Ended), signal.Alert{}}
		if s.Kind == signal.KindAlert {
			if one.Alert, err = s.Alert(); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, one)
	}
	return all
}

func TestRecordedDeliveries(t *testing.T) {
	type m = map[string]string
	// The resolution of an issue finds what fired, whatever else it says.
	issue := notification.Fingerprint(m{"alertname": "SentryIssue", "hook": "hook1", "id": "1170820242"})
	for name, tt := range map[string]struct {
		key  string
		text string
		want []told
	}{
		"gitlab-job": {"f5e5f430-f57b-4e6e-9fac-d9128cd7232f", "GitLab job 1977 (test) of gitlab-org/gitlab-test: failed", []told{{
			Kind: "job", Subject: "job/gitlab.example.org/1977", Started: "2021-02-23T02:41:40Z", Ended: "2021-02-23T02:42:11.5Z",
			Labels: m{"name": "test", "stage": "test", "status": "failed", "project": "gitlab-org/gitlab-test", "project_id": "380", "pipeline_id": "2366",
				"ref": "gitlab-script-trigger", "failure_reason": "runner_system_failure"},
			Notes: m{"summary": "GitLab job 1977 (test) of gitlab-org/gitlab-test: failed", "sha": "2293ada6b400935a1378653304eaf6221e0fdb8f", "retries": "2",
				"link": "https://gitlab.example.org/gitlab-org/gitlab-test/-/jobs/1977"},
		}}},
		"gitlab-job-running": {"0b0f3f26-6a0b-4f3a-8f50-8c3c2a0ed60a", "GitLab job 1977 (test) of gitlab-org/gitlab-test: running, which is not its end", nil},
		"gitlab-pipeline": {"6b0d7d7a-2b40-4a93-b53c-04d7d3cf3b3c", "GitLab pipeline 31 of gitlab-org/gitlab-test: success", []told{{
			Kind: "job", Subject: "pipeline/gitlab.example.org/31", Started: "2016-08-12T15:23:28Z", Ended: "2016-08-12T15:26:29Z",
			Labels: m{"status": "success", "project": "gitlab-org/gitlab-test", "project_id": "1", "ref": "master", "source": "merge_request_event"},
			Notes: m{"summary": "GitLab pipeline 31 of gitlab-org/gitlab-test: success", "sha": "bcbb5ec396a2c0f828686f14fac9b80b780504f2",
				"link": "https://gitlab.example.org/gitlab-org/gitlab-test/-/pipelines/31"},
		}}},
		"gitlab-push": {"52a9d0d7-8c1e-4f5e-9d0f-6ab2d4f3a1c4", "GitLab event push, which means no signal", nil},
		"github-workflow-job": {"72d3162e-cc78-11e3-81ab-4c9367dc0958", "GitHub workflow_job 2832853555 (Test workflow) of octo-org/example-workflow: failure", []told{{
			Kind: "job", Subject: "job/github.com/2832853555", Started: "2021-06-15T19:22:27Z", Ended: "2021-06-15T19:23:58Z",
			Labels: m{"name": "Test workflow", "stage": "CI", "status": "failure", "project": "octo-org/example-workflow", "project_id": "186853261",
				"pipeline_id": "940463255", "ref": "main", "event": "workflow_job"},
			Notes: m{"summary": "GitHub workflow_job 2832853555 (Test workflow) of octo-org/example-workflow: failure", "sha": "e3103f8eb03e1ad7f2331c5446b23c070fc54055",
				"runner": "my runner", "link": "https://github.com/octo-org/example-workflow/actions/runs/940463255/job/2832853555"},
		}}},
		"github-check-run": {"9f1f7d3a-0a10-11ee-9e8c-3a8f6a2f1f10", "GitHub check_run 128620228 (Octocoders-linter) of octo-org/example-workflow: success", []told{{
			Kind: "job", Subject: "job/github.com/128620228", Started: "2019-05-15T15:21:12Z", Ended: "2019-05-15T15:22:00Z",
			Labels: m{"name": "Octocoders-linter", "status": "success", "project": "octo-org/example-workflow", "project_id": "186853002", "ref": "changes", "event": "check_run"},
			Notes: m{"summary": "GitHub check_run 128620228 (Octocoders-linter) of octo-org/example-workflow: success", "sha": "ec26c3e57ca3a959ca5aad62de7213c562f8c821",
				"link": "https://github.com/octo-org/example-workflow/runs/128620228"},
		}}},
		"github-ping": {"0b989ba4-242f-11e5-81e1-c7b6966d2516", "GitHub event ping, which means no signal", nil},
		"sentry-event-alert": {"2f7f0a2a-1e3a-4c39-9f2a-2b6b0c4ad0a1", "Sentry told of an issue: ReferenceError: heck is not defined", []told{{
			Kind: "alert", Subject: "alert/SentryIssue/" + issue, Status: "firing", Started: "2019-08-19T21:06:17.677Z",
			Labels: m{"alertname": "SentryIssue", "severity": "warning", "project": "front-end", "environment": "production", "rule": "Very Important Alert Rule!"},
			Notes: m{"summary": "ReferenceError: heck is not defined", "description": "?(<anonymous>)",
				"link": "https://sentry.example.org/organizations/test-org/issues/1170820242/events/e4874d664c3540c1a32eab185f12c5ab/"},
			Alert: signal.Alert{
				Receiver: "hook1", GroupKey: "sentry/SentryIssue/1170820242", GroupLabels: m{"alertname": "SentryIssue"}, Fingerprint: issue,
				GeneratorURL: "https://sentry.example.org/organizations/test-org/issues/1170820242/events/e4874d664c3540c1a32eab185f12c5ab/",
				ExternalURL:  "https://sentry.example.org/organizations/test-org/issues/1170820242/events/e4874d664c3540c1a32eab185f12c5ab/",
			},
		}}},
		"sentry-issue-resolved": {"8a1d1b0f-5ad9-4b1c-8b2f-6d0f0f8f7c11", "Sentry told of the issue ReferenceError: heck is not defined resolved", []told{{
			Kind: "alert", Subject: "alert/SentryIssue/" + issue, Status: "resolved", Started: "2019-08-19T20:58:37.391Z", Ended: stamp(received),
			Labels: m{"alertname": "SentryIssue", "severity": "warning", "project": "front-end"},
			Notes:  m{"summary": "ReferenceError: heck is not defined", "description": "?(<anonymous>)", "link": "https://sentry.example.org/organizations/test-org/issues/1170820242/"},
			Alert: signal.Alert{
				Receiver: "hook1", GroupKey: "sentry/SentryIssue/1170820242", GroupLabels: m{"alertname": "SentryIssue"}, Fingerprint: issue,
				GeneratorURL: "https://sentry.example.org/organizations/test-org/issues/1170820242/",
				ExternalURL:  "https://sentry.example.org/organizations/test-org/issues/1170820242/",
			},
		}}},
		"standard-invoice": {"msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", "a delivery without a mapping, which means no signal", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, d := delivery(t, name, Settings{})
			if got := s.Key(d.Settings, d.Header, d.Body); got.Text != tt.key || got.Repeats {
				t.Errorf("key %+v, want %s", got, tt.key)
			}
			m, err := s.Read(d)
			if err != nil {
				t.Fatal(err)
			}
			if m.Text != tt.text {
				t.Errorf("text %q", m.Text)
			}
			if diff := cmp.Diff(tt.want, signals(t, d, m)); diff != "" {
				t.Errorf("signals (-want +got):\n%s", diff)
			}
		})
	}
}

// The fields that decide who is told what of the alerts of others.
func TestRecordedAlerts(t *testing.T) {
	type row struct{ receiver, name, severity, status, summary, link, target, ended string }
	for name, want := range map[string][]row{
		"alertmanager-firing": {
			{"ops", "DiskFull", "critical", "firing", "db1 has no room", "", "", ""},
			{"ops", "DiskFull", "critical", "firing", "db2 has no room", "", "", ""},
		},
		"grafana-firing": {
			{"ops", "High memory usage", "warning", "firing", "This alert was triggered for zone us-1", "", "", ""},
			{"ops", "High CPU usage", "", "resolved", "This alert was triggered for zone eu-1", "https://play.grafana.example.org/d/abc?viewPanel=1", "", "2021-10-12T08:06:03Z"},
		},
		"sentry-metric-alert":    {{"hook1", "SentryMetricAlert", "critical", "firing", "Critical: Too many errors", "", "", ""}},
		"sentry-metric-resolved": {{"hook1", "SentryMetricAlert", "", "resolved", "Resolved: Too many errors", "", "", "2020-09-07T19:12:00Z"}},
		"generic-backup":         {{"hook1", "Backup", "warning", "firing", "disk full on /backup", "", "db1", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			s, d := delivery(t, name, Settings{Mapping: backup})
			m, err := s.Read(d)
			if err != nil {
				t.Fatal(err)
			}
			var got []row
			for _, s := range signals(t, d, m) {
				got = append(got, row{s.Alert.Receiver, s.Labels["alertname"], s.Labels["severity"], string(s.Status), s.Notes["summary"], s.Notes["dashboard_url"], s.Labels["target"], s.Ended})
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// Fingerprints are Alertmanager's own where it gives them.
func TestAlertmanagerKeepsItsFingerprints(t *testing.T) {
	s, d := delivery(t, "alertmanager-firing", Settings{})
	m, err := s.Read(d)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"efb0c6c488e007da", "db73c85864f826bb"} {
		if got := m.Alerts.Alerts[i].Fingerprint; got != want {
			t.Errorf("fingerprint %s, want %s", got, want)
		}
	}
}

// Group, receiver, alerts, starts and states make the key, and nothing else.
func TestKeyOfGroup(t *testing.T) {
	s, d := delivery(t, "alertmanager-firing", Settings{})
	key := func(from, to string) Key {
		body := strings.Replace(string(d.Body), from, to, 1)
		if from != to && body == string(d.Body) {
			t.Fatalf("%s is not in the recorded delivery", from)
		}
		return s.Key(Settings{}, http.Header{}, []byte(body))
	}
	base := key("", "")
	if !base.Repeats {
		t.Error("Alertmanager says the same again on purpose")
	}
	if same := key("db1 has no room", "db1 is full"); same != base {
		t.Error("an annotation makes another delivery")
	}
	for what, other := range map[string]Key{
		"group": key(`alertname=\"DiskFull\"`, `alertname=\"Other\"`), "receiver": key(`"ops"`, `"dev"`), "start": key("08:01:00Z", "08:02:00Z"),
		"status": key(`{"status":"firing","labels"`, `{"status":"resolved","labels"`),
	} {
		if other == base {
			t.Errorf("another %s has the same key", what)
		}
	}
}

func TestFallbackKeys(t *testing.T) {
	for _, s := range All() {
		a, b := s.Key(Settings{}, http.Header{}, []byte(`{"a":1}`)), s.Key(Settings{}, http.Header{}, []byte(`{"a":2}`))
		if a.Text == "" || a == b || a != s.Key(Settings{}, http.Header{}, []byte(`{"a":1}`)) {
			t.Errorf("%s: without its header, the body is the key: %v %v", s.Name, a, b)
		}
	}
}

func TestNotUnderstood(t *testing.T) {
	for name, tt := range map[string]struct{ header, body, want string }{
		"gitlab":       {"", `{"event":"x"}`, "object_kind is missing"},
		"github":       {"", `{}`, "X-GitHub-Event is missing"},
		"sentry":       {"", `{}`, "Sentry-Hook-Resource is missing"},
		"alertmanager": {"", `{"version":"3"}`, `version "3" is not 4`},
		"grafana":      {"", `{"receiver":"r","alerts":[{"status":"on","labels":{"a":"b"}}]}`, `status "on"`},
		"generic":      {"", `{"job":{}}`, "nothing is at job.name"},
		"standard":     {"", `no json`, "needs a JSON document"},
	} {
		s, _ := Named(name)
		_, err := s.Read(Delivery{Header: http.Header{}, Body: []byte(tt.body), Settings: Settings{Receiver: "r", Mapping: backup}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestLargeEventKeepsItsEssence(t *testing.T) {
	s, d := delivery(t, "gitlab-job", Settings{})
	d.Body = []byte(strings.Replace(string(d.Body), `"tag": false`, `"tag": "`+strings.Repeat("x", signal.MaxBody)+`"`, 1))
	m, err := s.Read(d)
	if err != nil {
		t.Fatal(err)
	}
	var short struct {
		Build gitLabEvent `json:"build"`
	}
	if err := json.Unmarshal(m.Signals[0].Body, &short); err != nil || short.Build.BuildID != 1977 || short.Build.FailureReason != "runner_system_failure" {
		t.Errorf("%v: %s", err, m.Signals[0].Body)
	}
	signals(t, d, m)
}

func TestMappingIgnores(t *testing.T) {
	s, d := delivery(t, "generic-backup", Settings{Mapping: backup})
	for status, want := range map[string]int{"error": 1, "ok": 1, "skipped": 0} {
		d.Body = []byte(`{"job":{"name":"n"},"result":"` + status + `"}`)
		m, err := s.Read(d)
		if err != nil {
			t.Fatal(err)
		}
		got := signals(t, d, m)
		if len(got) != want || status == "ok" && got[0].Status != signal.Resolved {
			t.Errorf("%s: %+v", status, got)
		}
	}
}

// No sender stores a header that carries its proof.
func TestNothingSecretIsKept(t *testing.T) {
	for _, s := range All() {
		for _, name := range s.Keep {
			if CarriesProof(name) {
				t.Errorf("%s keeps %s", s.Name, name)
			}
		}
	}
}

// Whatever a delivery says is either not understood, or becomes valid signals.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.http")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".http")
		h, body := recorded(f, name)
		which := slices.IndexFunc(All(), func(s Sender) bool { return strings.HasPrefix(name, s.Name+"-") })
		f.Add(which, first(h.Get("X-Github-Event"), h.Get("Sentry-Hook-Resource")), body)
	}
	f.Add(0, "", []byte(`{"object_kind":"build","build_id":1,"build_status":"failed","build_name":"\u0000\n","project":{"web_url":"http://[","path_with_namespace":"`+strings.Repeat("é", 2000)+`"}}`))
	f.Add(3, "", []byte(strings.Repeat("[", 20_000)))
	f.Fuzz(func(t *testing.T, which int, event string, body []byte) {
		s := All()[uint(which)%uint(len(All()))]
		h := http.Header{"X-Github-Event": {event}, "Sentry-Hook-Resource": {event}}
		s.Key(Settings{}, h, body)
		d := Delivery{ID: "d", Hook: "h", Received: received, Header: h, Body: body, Settings: Settings{Receiver: "r", Mapping: backup}}
		m, err := s.Read(d)
		if err != nil {
			return
		}
		signals(t, d, m)
	})
}
