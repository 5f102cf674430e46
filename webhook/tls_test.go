package webhook

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeTLS writes a certificate of its own and a file that names it.
func writeTLS(t *testing.T, dir string, serial int64, more string) (file string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string]string{
		"cert.pem": string(cert), "key.pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})),
		"web.yml": "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n" + more,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return filepath.Join(dir, "web.yml"), pool
}

func TestTLS(t *testing.T) {
	file, pool := writeTLS(t, t.TempDir(), 1, "")
	c := configured(open("a"))
	c.WebConfigFile = file
	r := start(t, c, false)
	client := http.Client{Timeout: hang, Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+r.Listener().Address()+"/hook/a", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted || res.ProtoMajor != 1 {
		t.Errorf("%d over %s", res.StatusCode, res.Proto)
	}
	other := c
	other.WebConfigFile = ""
	if err := r.Reload(t.Context(), other); err == nil || !strings.Contains(err.Error(), "restart Collie") {
		t.Errorf("TLS is taken away by a reload: %v", err)
	}
}

// A renewed certificate is taken without a reload, and a broken one is not.
func TestCertificateIsRenewed(t *testing.T) {
	dir := t.TempDir()
	file, _ := writeTLS(t, dir, 1, "")
	r, err := newRenewing(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		t.Helper()
		r.read = time.Now().Add(-certificateAge)
		c, err := r.current().GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.Int64()
	}
	if n := serial(); n != 1 {
		t.Errorf("certificate %d", n)
	}
	writeTLS(t, dir, 2, "")
	if n := serial(); n != 2 {
		t.Errorf("certificate %d after renewing", n)
	}
	writeTLS(t, dir, 3, "nonsense: true\n")
	if n := r.current(); n == nil {
		t.Error("a broken file leaves nothing")
	}
}

func TestWebConfigThatMeansNothingHere(t *testing.T) {
	file, _ := writeTLS(t, t.TempDir(), 1, "basic_auth_users: {ann: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG}\n")
	if _, err := loadTLS(file); err == nil || !strings.Contains(err.Error(), "per hook") {
		t.Errorf("%v", err)
	}
}
