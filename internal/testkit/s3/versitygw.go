// Package s3 has servers of object storage for tests: a real one, versitygw,
// and one of our own that has as many keys as wanted, is as slow as wanted, and
// fails as wanted.
package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/launch"
	"github.com/colliehq/collie/internal/testkit/need"
)

// The version that test/install builds.
const version = "v1.8.0"

// Keys of the server's owner.
const (
	AccessKey = "collie-test"
	SecretKey = "collie-test-secret"
)

// Program is where test/install puts the server, "" if it did not.
func Program() string { return need.BuiltFile("versitygw", version) }

// Need needs the server, as need.Program does.
func Need(t testing.TB) {
	t.Helper()
	need.Built(t, "versitygw", version)
}

// Gateway is a versitygw, which keeps buckets as folders.
type Gateway struct {
	URL string
	Dir string // a folder below it is a bucket

	versions string // folder of older versions
	port     string
	process  *launch.Process
}

// StartGateway starts a server on loopback with its data in dir.
func StartGateway(ctx context.Context, dir string) (*Gateway, error) {
	if Program() == "" {
		return nil, errors.New("versitygw is not built: run make tools")
	}
	port, err := launch.FreePort()
	if err != nil {
		return nil, err
	}
	g := &Gateway{Dir: filepath.Join(dir, "data"), versions: filepath.Join(dir, "versions"), port: "127.0.0.1:" + strconv.Itoa(port)}
	g.URL = "http://" + g.port
	for _, d := range []string{g.Dir, g.versions} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("start versitygw: %w", err)
		}
	}
	return g, g.Start(ctx)
}

// Start starts the server again after Stop.
func (g *Gateway) Start(ctx context.Context) (err error) {
	g.process, err = launch.Start(launch.Options{Env: []string{"ROOT_ACCESS_KEY=" + AccessKey, "ROOT_SECRET_KEY=" + SecretKey}},
		Program(), "--port", g.port, "posix", "--versioning-dir", g.versions, g.Dir)
	if err != nil {
		return err
	}
	err = launch.Await(ctx, "versitygw to listen", func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", g.port)
		if err != nil {
			return err
		}
		return conn.Close()
	}, g.process)
	if err != nil {
		return errors.Join(err, g.Stop())
	}
	return nil
}

// PID is its process id, for signals.
func (g *Gateway) PID() int { return g.process.PID() }

// Stop ends the server.
func (g *Gateway) Stop() error {
	if g.process == nil {
		return nil
	}
	_ = g.process.End(5 * time.Second) // how it ended says nothing about the test
	return nil
}
