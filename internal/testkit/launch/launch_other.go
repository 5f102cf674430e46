//go:build !linux

package launch

import (
	"context"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return nil }

// Freeze stops it with SIGSTOP. Thaw lets it go on.
func (p *Process) Freeze(context.Context) error { return p.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (p *Process) Thaw() error { return p.Signal(syscall.SIGCONT) }
