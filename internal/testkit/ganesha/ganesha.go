// Package ganesha runs a real NFS server for tests, NFS-Ganesha with rpcbind, in
// a network namespace of its own: both listen on all addresses of the network
// they are in. It exports a small file system in memory, whose size is exact and
// which nothing else writes to.
package ganesha

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/colliehq/collie/internal/testkit/launch"
)

//go:embed ganesha.conf
var config string

// Programs are what a test needs to be installed.
func Programs() []string {
	return []string{"ganesha.nfsd", "rpcbind", "unshare", "nsenter", "ip", "mount"}
}

// Options of a server. The zero value speaks all that it can.
type Options struct {
	Namespace *Namespace // nil: that in which we are
	Protocols string     // "3, 4" if empty
	Minors    string     // of version 4; "0, 1, 2" if empty
	NoRpcbind bool       // it is ended as soon as the server is up, which does not start without
}

// Server is a running NFS server at port 2049 of its network. It exports
// /export, /secure, which wants source ports below 1024, and /private, which
// lets nobody in.
type Server struct {
	Dir string // the directory behind /export, as it is seen in the namespace

	dir      string
	o        Options
	rpcbind  *launch.Process
	process  *launch.Process
	launched int
}

// Start starts a server that keeps its files in dir, and waits until it
// listens. Close must be called.
func Start(ctx context.Context, dir string, o Options) (*Server, error) {
	s := &Server{Dir: filepath.Join(dir, "export"), dir: dir, o: o}
	text := strings.NewReplacer("DIR", dir, "PROTOCOLS", cmp.Or(o.Protocols, "3, 4"), "MINORS", cmp.Or(o.Minors, "0, 1, 2")).Replace(config)
	if err := os.WriteFile(s.file("ganesha.conf"), []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("start an NFS server: %w", err)
	}
	if err := s.fileSystems(ctx); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// fileSystems makes what is exported: in memory, partly full.
func (s *Server) fileSystems(ctx context.Context) error {
	for _, name := range []string{"export", "secure", "private", "recovery"} {
		if err := os.MkdirAll(s.file(name), 0o700); err != nil {
			return fmt.Errorf("make what is exported: %w", err)
		}
	}
	script := `cd "$0" && mount -t tmpfs -o size=24m,nr_inodes=1000,mode=0755 none export && mkdir -p export/builds/nightly &&
		head -c 5000000 /dev/zero >export/builds/artifact && for d in secure private; do mount -t tmpfs -o size=1m,mode=0755 none $d || exit 1; done`
	if out, err := s.run(ctx, "sh", "-c", script, s.dir); err != nil {
		return fmt.Errorf("make what is exported: %w: %s", err, out)
	}
	return nil
}

// run runs a command where the server is.
func (s *Server) run(ctx context.Context, args ...string) (string, error) {
	args = slices.Concat(s.o.Namespace.Enter(), args)
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput() //nolint:gosec // what a test asks for
	return string(out), err
}

func (s *Server) launch(args ...string) (*launch.Process, error) {
	args = slices.Concat(s.o.Namespace.Enter(), args)
	return launch.Start(launch.Options{Dir: s.dir}, args[0], args[1:]...)
}

func (s *Server) start(ctx context.Context) (err error) {
	if s.rpcbind, err = s.launch("rpcbind", "-f"); err != nil {
		return err
	}
	if err := s.listens(ctx, "111", s.rpcbind); err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil || !s.o.NoRpcbind {
		return err
	}
	return s.rpcbind.Kill()
}

// Start starts the NFS server again after Stop.
func (s *Server) Start(ctx context.Context) (err error) {
	s.launched++
	log := s.file(fmt.Sprintf("ganesha-%d.log", s.launched))
	if s.process, err = s.launch("ganesha.nfsd", "-F", "-f", s.file("ganesha.conf"), "-L", log, "-p", s.file("ganesha.pid")); err != nil {
		return err
	}
	if err := s.listens(ctx, "2049", s.process); err != nil {
		text, _ := os.ReadFile(log)
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}

// listens waits until the port takes connections.
func (s *Server) listens(ctx context.Context, port string, p *launch.Process) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return launch.Await(ctx, "port "+port+" of the NFS server", func(ctx context.Context) error {
		conn, err := s.dial(ctx, port)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}, p)
}

func (s *Server) dial(ctx context.Context, port string) (net.Conn, error) {
	address := net.JoinHostPort("127.0.0.1", port)
	if s.o.Namespace != nil {
		return s.o.Namespace.dial(address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", address)
}

// Process is the NFS server's, for signals.
func (s *Server) Process() *launch.Process { return s.process }

// Stop ends the NFS server. rpcbind goes on.
func (s *Server) Stop() error {
	if s.process == nil {
		return nil
	}
	err := s.process.Kill() // it would take seconds to say goodbye
	s.process = nil
	return err
}

// Close ends the servers. Mounts go with their namespace; here they are taken
// away if there is none.
func (s *Server) Close() error {
	err := s.Stop()
	if s.rpcbind != nil {
		err = errors.Join(err, s.rpcbind.Kill())
	}
	if s.o.Namespace == nil {
		for _, name := range []string{"export", "secure", "private"} {
			_, _ = s.run(context.Background(), "umount", "-l", s.file(name))
		}
	}
	return err
}
