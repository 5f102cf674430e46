package host_test

import (
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/colliehq/collie/exporters/host"
	"github.com/colliehq/collie/exporters/module"
	"github.com/colliehq/collie/exporters/probe"
)

// load gives the modules of a module file's text, by name.
func load(t testing.TB, text string) map[string]probe.Module {
	t.Helper()
	modules := module.Parse([]byte(text), host.Kinds(), func(line int, path, message string) {
		t.Errorf("line %d: %s: %s", line, path, message)
	})
	if t.Failed() {
		t.FailNow()
	}
	return module.Map(modules)
}

// section gives a module of the kind with the options, written in YAML's flow
// style.
func section(t testing.TB, kind, options string) probe.Module {
	t.Helper()
	return load(t, fmt.Sprintf("modules:\n  m:\n    prober: %s\n    %s: %s\n", kind, kind, options))["m"]
}

// look runs the probe within a limit that only a hanging probe reaches.
func look(t testing.TB, m probe.Module, req probe.Request) probe.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return probe.Run(ctx, m, req)
}

// want compares the outcome of a probe.
func want(t testing.TB, got probe.Result, reason probe.Reason, cause string) {
	t.Helper()
	if got.Reason != reason || got.Success != (reason == probe.None) || !strings.Contains(got.Cause, cause) {
		t.Errorf("success %t, reason %q, cause %q; want reason %q and a cause with %q", got.Success, got.Reason, got.Cause, reason, cause)
	}
	if len(got.Evidence) > probe.MaxEvidence {
		t.Errorf("%d bytes of evidence", len(got.Evidence))
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

// wantSeries compares some of the samples of a result.
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

func (n names) LookupNetIP(_ context.Context, network, name string) ([]netip.Addr, error) {
	var found []netip.Addr
	for _, text := range n[name] {
		a := netip.MustParseAddr(text)
		if network == "ip" || network == "ip4" == a.Is4() {
			found = append(found, a)
		}
	}
	if len(found) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return found, nil
}

// listen serves each connection with f until the test ends.
func listen(t testing.TB, network string, f func(net.Conn)) string {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "tcp6" {
		address = "[::1]:0"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				f(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// refused is an address where nobody listens.
func refused(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// blackhole is an address whose SYNs are dropped: its listener never accepts
// and its backlog is full.
func blackhole(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fd)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", bound.(*syscall.SockaddrInet4).Port)
	for range 10 {
		conn, err := net.DialTimeout("tcp", address, 300*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatal("the backlog does not fill")
	return ""
}

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	File string // its certificate in PEM form
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-100 * time.Hour), NotAfter: time.Now().Add(100 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{cert: cert, key: key, File: filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(a.File, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// server gives a configuration with a certificate for 127.0.0.1 and
// good.example that ends at the time.
func (a *authority) server(t testing.TB, end time.Time) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x0abc), Subject: pkix.Name{CommonName: "good.example"}, NotBefore: time.Now().Add(-90 * time.Hour), NotAfter: end,
		DNSNames: []string{"good.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

// serverTLS serves each connection with f over TLS.
func serverTLS(t testing.TB, config *tls.Config, f func(net.Conn)) string {
	t.Helper()
	return listen(t, "tcp", func(conn net.Conn) {
		s := tls.Server(conn, config)
		if s.HandshakeContext(context.Background()) == nil {
			f(s)
		}
	})
}

func gzipped(text string) string {
	var b strings.Builder
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

func hostKinds() []probe.Kind { return host.Kinds() }

// testLog shows what is logged if the test fails.
func testLog(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }
