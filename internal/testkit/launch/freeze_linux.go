package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// attributes end the process with us, however we end.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// Freeze stops it with SIGSTOP and waits until the kernel says that it stands
// still. Thaw lets it go on.
func (p *Process) Freeze(ctx context.Context) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return Await(ctx, "the process to stand still", func(context.Context) error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
		if err != nil {
			return err
		}
		// The name of the program may hold anything; the state follows its end.
		at := strings.LastIndex(string(stat), ") ")
		if at < 0 || !strings.HasPrefix(string(stat[at+2:]), "T") {
			return errors.New("it runs")
		}
		return nil
	}, p)
}

// Thaw lets a frozen process go on.
func (p *Process) Thaw() error { return p.Signal(syscall.SIGCONT) }
