package faketarget

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func get(t *testing.T, client *http.Client, url string) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func TestHTTPStopsAndStartsOnItsPort(t *testing.T) {
	h, err := StartHTTP(0, http.StatusOK, "fine\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Stop() })
	url := h.URL()
	want := func(status int, body string) {
		t.Helper()
		if s, b, err := get(t, http.DefaultClient, url); s != status || b != body || err != nil {
			t.Errorf("got %d %q %v, want %d %q", s, b, err, status, body)
		}
	}
	want(200, "fine\n")
	h.Answer(http.StatusServiceUnavailable, "later")
	want(503, "later")
	for range 2 {
		if err := h.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := get(t, http.DefaultClient, url); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("stopped: %v", err)
	}
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	if err := h.Start(); err == nil {
		t.Error("started twice")
	}
	want(503, "later")
	if h.URL() != url || h.Asked() != 3 {
		t.Errorf("%s asked %d times, want %s and 3", h.URL(), h.Asked(), url)
	}
}

func TestSlowHTTP(t *testing.T) {
	h, err := StartHTTP(0, http.StatusOK, "")
	if err != nil {
		t.Fatal(err)
	}
	h.Delay(time.Hour)
	client := &http.Client{Timeout: 50 * time.Millisecond}
	var timeout net.Error
	if _, _, err := get(t, client, h.URL()); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, want a timeout", err)
	}
	if err := h.Stop(); err != nil { // does not wait for the hour
		t.Error(err)
	}
}

func TestTLS(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name, host string
		from, to   time.Time
		want       string
	}{
		{"good", "127.0.0.1", now.Add(-time.Hour), now.Add(time.Hour), ""},
		{"expired", "127.0.0.1", now.Add(-2 * time.Hour), now.Add(-time.Hour), "expired"},
		{"another name", "example.org", now.Add(-time.Hour), now.Add(time.Hour), "doesn't contain any IP SANs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cert, pem, err := Certificate(tt.host, tt.from, tt.to)
			if err != nil {
				t.Fatal(err)
			}
			h, err := StartHTTPS(0, http.StatusOK, "fine", cert)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = h.Stop() })
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(pem)
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
			_, body, err := get(t, client, h.URL())
			if tt.want == "" && (err != nil || body != "fine") || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %q, %v; want an error with %q", body, err, tt.want)
			}
		})
	}
}

func TestTCP(t *testing.T) {
	s, err := StartTCP(0, "220 hello\r\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	c := dial(t, s)
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); line != "220 hello\r\n" || err != nil {
		t.Errorf("greeting %q, %v", line, err)
	}
	_, _ = c.Write([]byte("PING\n"))
	if line, err := r.ReadString('\n'); line != "PING\n" || err != nil {
		t.Errorf("echo %q, %v", line, err)
	}
	s.Mute(true)
	silent := dial(t, s)
	_ = silent.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("mute: %v", err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the connection outlives the server")
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	dial(t, s)
}

func dial(t *testing.T, s *TCP) net.Conn {
	t.Helper()
	var d net.Dialer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
