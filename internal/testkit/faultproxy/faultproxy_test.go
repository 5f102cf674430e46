package faultproxy_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/faultproxy"
)

const hang = time.Minute

// echo is a server that answers with what it got.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return l.Addr().String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.Start(echo(t))
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	return p
}

func dial(t *testing.T, p *faultproxy.Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Address())
	must(t, err)
	must(t, conn.SetDeadline(time.Now().Add(hang)))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func say(conn net.Conn, text string) (string, error) {
	if _, err := conn.Write([]byte(text)); err != nil {
		return "", err
	}
	answer := make([]byte, len(text))
	n, err := io.ReadFull(conn, answer)
	return string(answer[:n]), err
}

func wantSays(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if got, err := say(conn, text); err != nil || got != text {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestPassesAndCuts(t *testing.T) {
	p := start(t)
	conn := dial(t, p)
	wantSays(t, conn, "hello")
	p.Cut()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after the cut: %v", err)
	}
	wantSays(t, dial(t, p), "again")
	if p.Cuts() == 0 {
		t.Error("no cut was counted")
	}
}

func TestResets(t *testing.T) {
	p := start(t)
	conn := dial(t, p)
	wantSays(t, conn, "hello")
	p.Reset()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the reset: %v", err)
	}
}

func TestTruncatesWithinAnAnswer(t *testing.T) {
	p := start(t)
	conn := dial(t, p)
	wantSays(t, conn, "hello")
	p.Truncate(3)
	if got, err := say(conn, "hello"); got[:3] != "hel" || err == nil || len(got) != 3 {
		t.Errorf("got %q, %v", got, err)
	}
	wantSays(t, dial(t, p), "whole again")
}

func TestHangsUntilRestored(t *testing.T) {
	p := start(t)
	conn := dial(t, p)
	wantSays(t, conn, "hello")
	p.Hang()
	must(t, conn.SetDeadline(time.Now().Add(50*time.Millisecond)))
	if got, err := say(conn, "hello"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %q, %v", got, err)
	}
	p.Restore()
	must(t, conn.SetDeadline(time.Now().Add(hang)))
	answer := make([]byte, 5)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "hello" {
		t.Errorf("got %q, %v", answer, err)
	}
}

func TestLatencyAndRefusal(t *testing.T) {
	p := start(t)
	p.Latency(20 * time.Millisecond)
	begin := time.Now()
	wantSays(t, dial(t, p), "slow")
	if took := time.Since(begin); took < 40*time.Millisecond {
		t.Errorf("took %s", took)
	}
	p.Restore()
	p.Refuse()
	if got, err := say(dial(t, p), "hello"); err == nil {
		t.Errorf("got %q", got)
	}
}
