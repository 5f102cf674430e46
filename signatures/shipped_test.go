package signatures

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestShippedSignatures holds every shipped signature against the samples of
// all, and prints the table.
func TestShippedSignatures(t *testing.T) {
	families := Shipped()
	proof, err := Prove(families)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range proof.Wrong {
		t.Error(m)
	}
	for _, f := range proof.Families {
		t.Logf("%-15s %2d signatures, %2d of %2d samples recognised, %2d clean ones, others %v", f.Family, f.Signatures, f.Recognised, f.Samples, f.Clean, f.Others)
		if f.Recognised != f.Samples {
			t.Errorf("%s recognises %d of its %d samples", f.Family, f.Recognised, f.Samples)
		}
	}
}

func TestShippedSignaturesHaveNothingToRemark(t *testing.T) {
	remarks, err := Lint(Shipped(), today, corpora(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range remarks {
		t.Error(r)
	}
}

// corpora are logs of sixteen systems in which no CI job failed.
func corpora(t testing.TB) (list []Corpus) {
	t.Helper()
	dir := os.Getenv("COLLIE_SHARED_DATA")
	if dir == "" {
		dir = "../../shared/data"
	}
	names, err := filepath.Glob(filepath.Join(dir, "loghub", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, Corpus{filepath.Base(name), text})
	}
	return list
}

// TestNoRetryWhereNothingFailed gives each of the logs whole to the shipped
// signatures.
func TestNoRetryWhereNothingFailed(t *testing.T) {
	set, err := Compile(Shipped(), today)
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range corpora(t) {
		c := set.Classifier(Job{Name: "build"})
		if _, err := c.Write(log.Text); err != nil {
			t.Fatal(err)
		}
		if best := c.Verdict().Best; best != nil && best.Action == Retry && best.Mode == Active {
			t.Errorf("%s: retry for %s: %q", log.Name, best.Signature, best.Matches[0].Excerpt)
		}
	}
}

// The fault model: what an operations team met, each with the cause that must
// come out of a whole log.
func TestFaultModel(t *testing.T) {
	set, err := Compile(Shipped(), today)
	if err != nil {
		t.Fatal(err)
	}
	for line, cause := range map[string]string{
		"fatal: unable to access 'https://git.example.org/k.git/': Could not resolve host: git.example.org; Temporary failure in name resolution": "dns",
		"socket.gaierror: [Errno -2] Name or service not known":                                                                                   "dns",
		"An error occurred (503) when calling the PutObject operation (reached max retries: 4): Service Unavailable":                              "s3",
		"mount.nfs: Connection timed out": "nfs",
		"Unable to attach or mount volumes: unmounted volumes=[cache], unattached volumes=[cache]: timed out waiting for the condition":                                                          "volume",
		"ERROR: Job failed: failed to pull image \"registry.example.org/builder:1\" with specified policies [always]: Error response from daemon: Get \"https://registry.example.org/v2/\": EOF": "registry",
		"fatal: unable to access 'https://git.example.org/k.git/': The requested URL returned error: 502":                                                                                        "git",
		"ERROR: Job failed (system failure): prepare environment: waiting for pod running: timed out waiting for pod to start":                                                                   "pods",
		"bash: fork: retry: Resource temporarily unavailable":                                                                                                                                    "pods",
		"[Errno 256] No more mirrors to try.":                      "mirror",
		"External Watchdog Expired":                                "beaker",
		"write /builds/a.o: no space left on device":               "disk",
		"ssh: connect to host 10.2.2.2 port 22: No route to host":  "network",
		"main.c:12:3: error: expected ';' before '}' token":        "compiler",
		"--- FAIL: TestX (0.00s)":                                  "tests",
		"remote: HTTP Basic: Access denied":                        "authentication",
		"a.py:1:80: E501 line too long (90 > 79 characters)":       "lint",
		"bash: -c: line 2: syntax error near unexpected token `('": "syntax",
		"ERROR: Job failed (system failure): aborted: terminated":  "runner",
	} {
		log := append(bytes.Repeat([]byte("building module, please wait\n"), 50), line...)
		c := set.Classifier(Job{})
		if _, err := c.Write(log); err != nil {
			t.Fatal(err)
		}
		v := c.Verdict()
		if v.Best == nil || v.Best.Cause != cause {
			t.Errorf("%s\nis %+v, want cause %s", line, v.Best, cause)
		}
	}
}

// What people do wrong must not be run again, whatever transient words stand
// beside it.
func TestUserErrorsAreNotRetried(t *testing.T) {
	set, err := Compile(Shipped(), today)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ reason, log string }{
		"a test that sees 503":      {"script_failure", "server_test.go:12: expected 200, got 503 Service Unavailable\n--- FAIL: TestServer (0.1s)\nFAIL\n"},
		"a test server's answer":    {"script_failure", "AssertionError: 502 Bad Gateway\n"},
		"its own timeout":           {"script_failure", "requests.exceptions.ReadTimeout: HTTPConnectionPool(host='localhost', port=8000): Read timed out. (read timeout=1)\nurllib3.exceptions.ReadTimeoutError\n"},
		"its own service":           {"script_failure", "psycopg2.OperationalError: connection to server at \"db\" failed: Connection refused\ndial tcp 127.0.0.1:5432: connect: connection refused\n"},
		"a wrong image":             {"runner_system_failure", "WARNING: Failed to pull image with policy \"always\": Error response from daemon: manifest for alpine:3.99 not found: manifest unknown\nERROR: Job failed: failed to pull image \"alpine:3.99\"\n"},
		"a wrong image in a pod":    {"runner_system_failure", "ERROR: Job failed (system failure): prepare environment: waiting for pod running: pulling image \"nope\": image pull failed: rpc error: repository does not exist or may require authentication\n"},
		"no login to the registry":  {"runner_system_failure", "Error response from daemon: Get https://registry.example.org/v2/a/manifests/1: unauthorized: authentication required\nfailed to pull image\n"},
		"a push that is too large":  {"script_failure", "error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413\nfatal: the remote end hung up unexpectedly\n"},
		"a push that is refused":    {"script_failure", "remote: GitLab: You are not allowed to push code\n ! [remote rejected] main -> main (pre-receive hook declined)\nfatal: the remote end hung up unexpectedly\n"},
		"no key":                    {"script_failure", "git@git.example.org: Permission denied (publickey).\nfatal: Could not read from remote repository.\nfatal: the remote end hung up unexpectedly\n"},
		"a host without our key":    {"script_failure", "fatal: [web1]: UNREACHABLE! => {\"msg\": \"Failed to connect to the host via ssh: Host key verification failed.\"}\n"},
		"kubectl of the job":        {"script_failure", "Error from server (NotFound): pods \"web-0\" not found\n"},
		"a pod with a wrong secret": {"script_failure", "Warning FailedMount kubelet MountVolume.SetUp failed for volume \"x\" : secret \"tls-web\" not found\n"},
		"a wrong node selector":     {"runner_system_failure", "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.\nERROR: syntax: bash: line 1: foo: command not found\n"},
		"a wrong repository":        {"script_failure", "Err:1 http://deb.example.org/debian nope Release\n  404  Not Found\nE: Some index files failed to download.\n"},
		"a package that is not":     {"script_failure", "E: Unable to locate package fooo\n"},
		"an upload that is refused": {"script_failure", "An error occurred (AccessDenied) when calling the PutObject operation: Access Denied\n"},
		"a dnf conflict":            {"script_failure", " Problem: cannot install both a-1 and a-2\nError: dependency resolution failed\n"},
		"no docker service":         {"script_failure", "Cannot connect to the Docker daemon at tcp://docker:2375. Is the docker daemon running?\n"},
		"a recipe nobody can run":   {"script_failure", "Recipe ID 7 does not match any systems\n"},
		"tags that no runner has":   {"stuck_or_timeout_failure", ""},
		"a command that timed out":  {"script_failure", "command pytest failed: timeout\n"},
		"an export of others":       {"script_failure", "mount.nfs4: access denied by server while mounting nas:/x\n"},
		"its own threads":           {"script_failure", "java.lang.OutOfMemoryError: unable to create new native thread\n"},
		"colours and a test":        {"script_failure", "2024-05-22T12:12:46.214615Z 00O ok\n2024-05-22T12:12:46.214615Z 00O \x1b[31mFAILED tests/a.py::b\x1b[0m - ConnectionResetError: [Errno 104] Connection reset by peer\n"},
	} {
		c := set.Classifier(Job{FailureReason: tt.reason})
		_, _ = c.Write([]byte(tt.log))
		if best := c.Verdict().Best; best != nil && best.Action == Retry && best.Mode == Active {
			t.Errorf("%s: retry for %s: %s", name, best.Signature, best.Why)
		}
	}
}

func BenchmarkClassify10MB(b *testing.B) {
	set, err := Compile(Shipped(), today)
	if err != nil {
		b.Fatal(err)
	}
	var log []byte
	for len(log) < 10<<20 {
		for _, c := range corpora(b) {
			log = append(log, c.Text...)
		}
	}
	log = log[:10<<20]
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		c := set.Classifier(Job{})
		_, _ = c.Write(log)
		c.Verdict()
	}
}
