package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// program is one start of collie.
type program struct {
	cmd  *exec.Cmd
	url  string // of its page and API
	once sync.Once
	err  error
}

func build(ctx context.Context, to string) error {
	out, err := exec.CommandContext(ctx, "go", "build", "-o", to, "github.com/colliehq/collie/cmd/collie").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build collie: %w\n%s", err, out)
	}
	return nil
}

// start starts collie, with syncs that fail in the kernel if failing. strace
// runs beside it then (-D), so that the process is collie's own.
func (t *receiver) start(ctx context.Context, failing bool) (*program, error) {
	args := []string{t.program, "up", "--config.file", t.config(), "--storage.path", t.data, "--web.listen-address", "127.0.0.1:0", "--log.level", "error"}
	if failing {
		args = append([]string{
			"strace", "-D", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o", os.DevNull,
			"-e", "inject=fdatasync:error=EIO:when=60+97",
		}, args...)
	}
	p := &program{cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("collie says no address: %w", err), p.end())
	}
	p.url = strings.TrimSpace(line)
	return p, nil
}

// end kills it. One that gave up on its disk before is as good.
func (p *program) end() error {
	p.once.Do(func() {
		if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			p.err = err
		}
		_ = p.cmd.Wait() // it was killed, and says so
	})
	return p.err
}
