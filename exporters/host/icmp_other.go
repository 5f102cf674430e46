//go:build !linux

package host

import (
	"context"
	"errors"
	"syscall"
)

func dontFragment(context.Context, string, string, syscall.RawConn) error {
	return errors.New("dont_fragment works on Linux only")
}
