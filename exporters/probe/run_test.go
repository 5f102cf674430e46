package probe

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func fixed(r Result) Func { return func(context.Context, Request) Result { return r } }

func TestRunTidies(t *testing.T) {
	long := strings.Repeat("é", 10_000)
	for _, c := range []struct {
		name      string
		given     Result
		reason    Reason
		cause     int
		evidence  int
		succeeded bool
	}{
		{"success", Result{Success: true, Reason: DNS, Cause: "x", Evidence: "y"}, None, 0, 0, true},
		{"failure without a reason", Result{Cause: "x"}, Protocol, 1, 0, false},
		{"long texts", Result{Reason: Body, Cause: long, Evidence: long}, Body, maxCause, MaxEvidence, false},
		{"bytes that are no text", Result{Reason: Body, Cause: "\xff", Evidence: strings.Repeat("\xff ", MaxEvidence)}, Body, 3, MaxEvidence, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Run(t.Context(), Module{Probe: fixed(c.given)}, Request{})
			if got.Success != c.succeeded || got.Reason != c.reason || len(got.Cause) != c.cause || len(got.Evidence) > c.evidence || len(got.Evidence) < c.evidence-3 {
				t.Errorf("got %t %q, %d bytes of cause, %d of evidence", got.Success, got.Reason, len(got.Cause), len(got.Evidence))
			}
		})
	}
}

// TestRunHasTheSameSeries whatever happened.
func TestRunHasTheSameSeries(t *testing.T) {
	for _, reason := range append(Reasons(), None) {
		r := Run(t.Context(), Module{Probe: fixed(Result{Success: reason == None, Reason: reason})}, Request{})
		text := string(AppendText(nil, r.Metrics.Families()))
		if n := strings.Count(text, "\n") - strings.Count(text, "#"); n != 2+len(Reasons()) {
			t.Errorf("%q has %d series:\n%s", reason, n, text)
		}
		if want := `probe_failure{reason="` + string(reason) + `"} 1`; reason != None && !strings.Contains(text, want) {
			t.Errorf("%s is missing:\n%s", want, text)
		}
		if reason == None && strings.Contains(text, "\"} 1") {
			t.Errorf("a success has a reason:\n%s", text)
		}
	}
}

func TestRunSurvivesAPanic(t *testing.T) {
	var log bytes.Buffer
	broken := func(context.Context, Request) Result { panic("woof") }
	got := Run(t.Context(), Module{Name: "m", Kind: "dog", Probe: broken}, Request{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if got.Success || got.Reason != Protocol || !strings.Contains(got.Cause, "the dog probe broke on this answer: woof") {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(log.String(), "run_test.go") {
		t.Errorf("the log has no stack: %s", log.String())
	}
}

func TestRunKeepsTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := func(ctx context.Context, _ Request) Result {
			<-ctx.Done()
			return Fail(Metrics{}, Timeout, ctx.Err().Error())
		}
		for _, c := range []struct{ module, caller, want time.Duration }{
			{3 * time.Second, 5 * time.Second, 3 * time.Second}, {5 * time.Second, 3 * time.Second, 3 * time.Second}, {0, 4 * time.Second, 4 * time.Second},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), c.caller)
			got := Run(ctx, Module{Timeout: c.module, Probe: wait}, Request{})
			cancel()
			if got.Duration != c.want {
				t.Errorf("took %s, want %s", got.Duration, c.want)
			}
		}
	})
}

func TestRunFillsTheRequest(t *testing.T) {
	Run(t.Context(), Module{Probe: func(_ context.Context, r Request) Result {
		if r.Log == nil || r.Resolver != net.DefaultResolver {
			t.Errorf("got %+v", r)
		}
		return Result{Success: true}
	}}, Request{})
}

func TestGuardMetadata(t *testing.T) {
	for address, allowed := range map[string]bool{
		"127.0.0.1:80": true, "10.0.0.1": true, "[::1]:443": true, "192.168.1.1:22": true, "8.8.8.8:53": true, "[2001:db8::1]:80": true, "fd00::1": true,
		"[::ffff:127.0.0.1]:80": true, "169.253.255.255": true, "169.255.0.0": true, "[fec0::1]:80": true, "100.64.0.1": true,
		"169.254.169.254:80": false, "169.254.0.0": false, "169.254.255.255": false,
		"[fe80::1]:80": false, "fe80::1%eth0": false, "[fe80::1%eth0]:80": false, "febf::1": false, "[fd00:ec2::254]:80": false, "[fd20:ce::254]:80": false,
		"[::ffff:169.254.169.254]:80": false, "[::ffff:a9fe:a9fe]:80": false, "[::169.254.169.254]:80": false, "[::ffff:0:169.254.169.254]:80": false,
		"[64:ff9b::169.254.169.254]:80": false, "[64:ff9b:1::169.254.169.254]:80": false, "[2002:a9fe:a9fe::1]:80": false,
		"0.0.0.0:80": false, "0.1.2.3": false, "[::]:80": false, "[::ffff:0.0.0.0]:80": false, "100.100.100.200:80": false, "168.63.129.16": false,
		"[ff02::1]:80": false, "224.0.0.1": false, "": false, "localhost:80": false,
	} {
		err := GuardMetadata("tcp", address)
		if (err == nil) != allowed {
			t.Errorf("%q: %v, want allowed %t", address, err, allowed)
		}
		if err != nil && !errors.Is(err, ErrGuarded) {
			t.Errorf("%q: %v is not ErrGuarded", address, err)
		}
	}
}
