package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/colliehq/collie/internal/testkit/s3"
)

// otherModules are of the kinds that blackbox_exporter has nothing like, or that
// are not worth a comparison. NFS, RabbitMQ, Beaker and listings of S3 have
// programs of their own beside this one.
const otherModules = `  dns: {prober: dns, timeout: 5s, dns: {query_name: collie.example, preferred_ip_protocol: ip4}}
  tls: {prober: tls, timeout: 5s, tls: {tls_config: {insecure_skip_verify: true}}}
  s3_canary: {prober: s3_canary, timeout: 5s, s3_canary: {endpoint: "%[1]s", access_key_file: "%[2]s/s3.id", secret_key_file: "%[2]s/s3.key"}}
`

// others is what these kinds look at.
type others struct {
	dir     string // where the keys are
	dns     *net.UDPConn
	tls     *httptest.Server
	gateway *s3.Gateway
	answers chan struct{} // closed when no more questions are answered
}

func serveOthers(ctx context.Context, dir string) (*others, error) {
	gateway, err := s3.StartGateway(ctx, filepath.Join(dir, "gateway"))
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, errors.Join(err, gateway.Stop())
	}
	o := &others{dir: dir, dns: conn, tls: httptest.NewTLSServer(nil), gateway: gateway, answers: make(chan struct{})}
	go o.answer()
	for name, text := range map[string]string{"s3.id": s3.AccessKey, "s3.key": s3.SecretKey} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return o, errors.Join(err, os.Mkdir(filepath.Join(gateway.Dir, "bench"), 0o700))
}

// answer sends each question back as an answer without records (RFC 1035, 4.1.1).
func (o *others) answer() {
	defer close(o.answers)
	b := make([]byte, 1500)
	for {
		n, from, err := o.dns.ReadFromUDP(b)
		if err != nil {
			return
		}
		if n > 2 {
			b[2] |= 0x80
			_, _ = o.dns.WriteToUDP(b[:n], from)
		}
	}
}

func (o *others) close() error {
	err := o.dns.Close()
	<-o.answers
	o.tls.Close()
	return errors.Join(err, o.gateway.Stop())
}

func (o *others) modules() string { return fmt.Sprintf(otherModules, o.gateway.URL, o.dir) }

// measureOthers prints what a probe of each of them costs.
func (b *bench) measureOthers(o *others, us *server) error {
	b.workers = 1 // on a busy machine a mount that many look at seems to hang
	for _, kind := range []struct{ module, target string }{
		{"dns", o.dns.LocalAddr().String()},
		{"tls", strings.TrimPrefix(o.tls.URL, "https://")},
		{"filesystem", "/"},
		{"machine", "localhost"},
		{"s3_canary", "bench"},
	} {
		var own []float64
		for round := range b.rounds + 1 {
			probes := b.probes / 8
			seconds, err := b.measure(us, kind.module, kind.target, probes)
			if err != nil {
				return fmt.Errorf("%s: %w", kind.module, err)
			}
			if round > 0 { // the first warms up
				own = append(own, seconds/float64(probes))
			}
		}
		fmt.Printf("figure exporters.%s_cpu_per_probe %.1f us\n", kind.module, median(own)*1e6)
	}
	return nil
}
