package ircd

import (
	"context"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/testkit/faketarget"
	"github.com/colliehq/collie/internal/testkit/launch"
)

//go:embed inspircd.conf
var inspircdConf string

//go:embed atheme.conf
var athemeConf string

//go:embed ngircd.conf
var ngircdConf string

// Real is a server of the system, with its own port on loopback, and services
// where it has them.
type Real struct {
	Address string // host:port, without TLS
	// TLSAddress is where InspIRCd speaks TLS, with a certificate of its own for
	// 127.0.0.1, which CAFile holds. It stays the same when it is started again.
	TLSAddress, CAFile string

	dir       string
	program   string
	args      []string
	process   *launch.Process
	services  *launch.Process
	linkPort  int
	tlsPort   int
	withLinks bool
}

// StartInspIRCd starts an InspIRCd 3 with IRCv3 capabilities in dir. With
// services, an Atheme is linked to it: NickServ, and SASL PLAIN.
func StartInspIRCd(ctx context.Context, dir string, services bool) (*Real, error) {
	r := &Real{dir: dir, program: "inspircd", withLinks: services}
	port, err := launch.FreePort()
	if err != nil {
		return nil, err
	}
	if r.linkPort, err = launch.FreePort(); err != nil {
		return nil, err
	}
	if r.tlsPort, err = launch.FreePort(); err != nil {
		return nil, err
	}
	if err := r.certify(); err != nil {
		return nil, err
	}
	r.TLSAddress = "127.0.0.1:" + strconv.Itoa(r.tlsPort)
	r.Address = "127.0.0.1:" + strconv.Itoa(port)
	if _, err := r.write("motd", "a test\n", port); err != nil {
		return nil, err
	}
	file, err := r.write("inspircd.conf", inspircdConf, port)
	if err != nil {
		return nil, err
	}
	r.args = []string{"--runasroot", "--nofork", "--config=" + file}
	return r, r.Start(ctx)
}

// StartNgIRCd starts an ngIRCd: a server without the capabilities that confirm
// lines.
func StartNgIRCd(ctx context.Context, dir string) (*Real, error) {
	port, err := launch.FreePort()
	if err != nil {
		return nil, err
	}
	r := &Real{dir: dir, program: "ngircd", Address: "127.0.0.1:" + strconv.Itoa(port)}
	file, err := r.write("ngircd.conf", ngircdConf, port)
	if err != nil {
		return nil, err
	}
	r.args = []string{"-n", "-f", file}
	return r, r.Start(ctx)
}

// certify makes the certificate of the server, which signs itself.
func (r *Real) certify() error {
	cert, ca, err := faketarget.Certificate("127.0.0.1", time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return fmt.Errorf("start %s: %w", r.program, err)
	}
	r.CAFile = filepath.Join(r.dir, "cert.pem")
	return errors.Join(os.WriteFile(r.CAFile, ca, 0o600),
		os.WriteFile(filepath.Join(r.dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
}

func (r *Real) write(name, text string, port int) (string, error) {
	file := filepath.Join(r.dir, name)
	text = strings.NewReplacer("PORT_OF_LINKS", strconv.Itoa(r.linkPort), "PORT_OF_TLS", strconv.Itoa(r.tlsPort), "PORT", strconv.Itoa(port), "DIR", r.dir).Replace(text)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("start %s: %w", r.program, err)
	}
	return file, nil
}

// Start starts the server again after Stop.
func (r *Real) Start(ctx context.Context) (err error) {
	if r.process, err = launch.Start(launch.Options{Dir: r.dir}, r.program, r.args...); err != nil {
		return err
	}
	err = launch.Await(ctx, r.program+" to listen", func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", r.Address)
		if err != nil {
			return err
		}
		return conn.Close()
	}, r.process)
	if err == nil && r.withLinks {
		err = r.startServices(ctx)
	}
	if err != nil {
		return errors.Join(err, r.Stop())
	}
	return nil
}

func (r *Real) startServices(ctx context.Context) error {
	file, err := r.write("atheme.conf", athemeConf, 0)
	if err != nil {
		return err
	}
	data := filepath.Join(r.dir, "services")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("start services: %w", err)
	}
	r.services, err = launch.Start(launch.Options{Dir: data}, "atheme-services", "-n", "-c", file, "-D", data,
		"-l", filepath.Join(data, "log"), "-p", filepath.Join(data, "pid"))
	if err != nil {
		return err
	}
	return launch.Await(ctx, "services to link", func(ctx context.Context) error {
		c, err := Connect(ctx, r.Address, "waiting")
		if err != nil {
			return err
		}
		defer c.Close()
		return c.Ask(ctx, "WHOIS NickServ", " 311 ", " 401 ")
	}, r.process, r.services)
}

// Register makes an account with services.
func (r *Real) Register(ctx context.Context, account, password string) error {
	c, err := Connect(ctx, r.Address, account)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Ask(ctx, "PRIVMSG NickServ :REGISTER "+password+" "+account+"@example.org", "is now registered", "is already registered")
}

// Stop kills the server and its services, as a crash would.
func (r *Real) Stop() error {
	var err error
	for _, p := range []*launch.Process{r.services, r.process} {
		if p != nil {
			err = errors.Join(err, ignoreKilled(p.Kill()))
		}
	}
	r.services, r.process = nil, nil
	return err
}

func ignoreKilled(err error) error {
	if err != nil && strings.Contains(err.Error(), "killed") {
		return nil
	}
	return err
}

// Close ends the server.
func (r *Real) Close() error { return r.Stop() }

const clientWait = 20 * time.Second
