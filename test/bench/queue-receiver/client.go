package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// roots trust the certificate of one measurement.
type roots = x509.CertPool

// certificate writes a self-signed one, and the file that names it.
func certificate(dir string) (*roots, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{
		"cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		"web.yml": []byte("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool, nil
}

// client is one sender on one connection. It spends as little as it can, since
// it shares the processors with what is measured: the body and its signature
// are made once, only the id differs.
type client struct {
	net.Conn
	in     *bufio.Reader
	number int
	before []byte // the request up to the id
	after  []byte // and from there on
	buffer []byte
}

func dial(ctx context.Context, address string, pool *roots, number, size int) (*client, error) {
	d := tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	body := []byte(`{"zen": "Design for failure.", "number": ` + fmt.Sprint(number) + `, "pad": "`)
	body = append(body, bytes.Repeat([]byte("x"), max(0, size-len(body)-2))...)
	body = append(body, `"}`...)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	c := &client{Conn: conn, in: bufio.NewReader(conn), number: number}
	c.before = []byte("POST /hook/bench HTTP/1.1\r\nHost: " + address + "\r\nContent-Type: application/json\r\nUser-Agent: GitHub-Hookshot/bench\r\nX-GitHub-Event: ping\r\nX-Hub-Signature-256: sha256=" +
		hex.EncodeToString(mac.Sum(nil)) + "\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\nX-GitHub-Delivery: ")
	c.after = append([]byte("\r\n\r\n"), body...)
	return c, nil
}

// post sends one delivery and waits until it is acknowledged.
func (c *client) post(n int) error {
	c.buffer = append(c.buffer[:0], c.before...)
	c.buffer = fmt.Appendf(c.buffer, "%d-%d", c.number, n)
	c.buffer = append(c.buffer, c.after...)
	if _, err := c.Write(c.buffer); err != nil {
		return err
	}
	status, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 202 ")) {
		return fmt.Errorf("answer %q", strings.TrimSpace(string(status)))
	}
	length := 0
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if rest, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if _, err := fmt.Sscan(string(rest), &length); err != nil {
				return err
			}
		}
	}
	_, err = c.in.Discard(length)
	return err
}
