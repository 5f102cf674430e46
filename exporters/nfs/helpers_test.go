package nfs_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/exporters/module"
	"github.com/colliehq/collie/exporters/nfs"
	"github.com/colliehq/collie/exporters/probe"
)

var update = flag.Bool("update", false, "write the golden files and the page anew")

// with gives a module with the options, written in YAML's flow style.
func with(t testing.TB, options string) probe.Module {
	t.Helper()
	text := fmt.Sprintf("modules:\n  m:\n    prober: nfs\n    nfs: %s\n", options)
	modules := module.Parse([]byte(text), nfs.New(nfs.Options{}).Kinds(), func(line int, path, message string) {
		t.Fatalf("line %d: %s: %s", line, path, message)
	})
	return modules[0]
}

// look probes within a limit that only a hanging probe reaches.
func look(t testing.TB, m probe.Module, target string) probe.Result {
	t.Helper()
	return lookFor(t, m, target, time.Minute)
}

func lookFor(t testing.TB, m probe.Module, target string, limit time.Duration) probe.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	r := probe.Run(ctx, m, probe.Request{Target: target, Resolver: names{"localhost": {"127.0.0.1"}}, Dial: probe.GuardMetadata})
	if len(r.Evidence) > probe.MaxEvidence {
		t.Errorf("%d bytes of evidence", len(r.Evidence))
	}
	return r
}

// want compares the outcome of a probe.
func want(t testing.TB, got probe.Result, reason probe.Reason, cause string) {
	t.Helper()
	if got.Reason != reason || got.Success != (reason == probe.None) || !strings.Contains(got.Cause, cause) {
		t.Errorf("success %t, reason %q, cause %q; want reason %q and a cause with %q\n%s", got.Success, got.Reason, got.Cause, reason, cause, got.Evidence)
	}
}

// series gives the samples of a result as a scrape would show them.
func series(r probe.Result) map[string]string {
	all := map[string]string{}
	for line := range strings.SplitSeq(string(probe.AppendText(nil, r.Metrics.Families())), "\n") {
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			all[line[:at]] = line[at+1:]
		}
	}
	return all
}

// wantSeries compares some of the samples of a result; "" is one that is not
// there.
func wantSeries(t testing.TB, r probe.Result, wanted map[string]string) {
	t.Helper()
	got := series(r)
	for name, value := range wanted {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
}

// names is a resolver that knows what it is told.
type names map[string][]string

func (n names) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	var found []netip.Addr
	for _, text := range n[name] {
		found = append(found, netip.MustParseAddr(text))
	}
	if len(found) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return found, nil
}

// testLog shows what is logged if the test fails.
func testLog(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }
