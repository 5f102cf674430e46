package host

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/colliehq/collie/exporters/probe"
)

// addTLS exports what a handshake showed. The names are blackbox_exporter's.
func addTLS(m *probe.Metrics, state *tls.ConnectionState) {
	m.Gauge("probe_ssl_earliest_cert_expiry", "When the first of the certificates that the server sent expires, in Unix time.",
		unix(earliest(state.PeerCertificates)))
	m.Gauge("probe_ssl_last_chain_expiry_timestamp_seconds", "When the last of the verified chains expires, in Unix time.",
		unix(lastChain(state.VerifiedChains)))
	m.Gauge("probe_tls_version_info", "The TLS version that was agreed on.", 1, "version", versionName(state.Version))
	m.Gauge("probe_tls_cipher_info", "The cipher suite that was agreed on.", 1, "cipher", tls.CipherSuiteName(state.CipherSuite))
	if len(state.PeerCertificates) > 0 {
		addLeaf(m, state.PeerCertificates[0])
	}
}

func addLeaf(m *probe.Metrics, leaf *x509.Certificate) {
	sum := sha256.Sum256(leaf.Raw)
	m.Gauge("probe_ssl_last_chain_info", "The server's own certificate.", 1,
		"fingerprint_sha256", hex.EncodeToString(sum[:]),
		"issuer", labelText(leaf.Issuer.String()),
		"serialnumber", hex.EncodeToString(leaf.SerialNumber.Bytes()),
		"subject", labelText(leaf.Subject.String()),
		"subjectalternative", labelText(strings.Join(leaf.DNSNames, ",")))
}

// labelText bounds text of the other side that becomes the value of a label.
func labelText(s string) string {
	const most = 1024
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= most {
		return s
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

func earliest(certs []*x509.Certificate) time.Time {
	var at time.Time
	for _, c := range certs {
		if at.IsZero() || c.NotAfter.Before(at) {
			at = c.NotAfter
		}
	}
	return at
}

func lastChain(chains [][]*x509.Certificate) time.Time {
	var at time.Time
	for _, chain := range chains {
		if end := earliest(chain); end.After(at) {
			at = end
		}
	}
	return at
}

// unix is the seconds of t. The zero time is what Go makes of it, as in
// blackbox_exporter: far in the past.
func unix(t time.Time) float64 { return float64(t.Unix()) }

func versionName(v uint16) string {
	switch v {
	case tls.VersionTLS10:
		return "TLS 1.0"
	case tls.VersionTLS11:
		return "TLS 1.1"
	case tls.VersionTLS12:
		return "TLS 1.2"
	case tls.VersionTLS13:
		return "TLS 1.3"
	}
	return "unknown"
}
