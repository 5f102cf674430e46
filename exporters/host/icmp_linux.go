package host

import (
	"context"
	"syscall"
)

// dontFragment sets the DF bit on everything that the socket sends.
func dontFragment(_ context.Context, _, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_MTU_DISCOVER, syscall.IP_PMTUDISC_DO)
	})
	if err != nil {
		return err
	}
	return failed
}
