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
