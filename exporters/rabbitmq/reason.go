package rabbitmq

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/colliehq/collie/exporters/probe"
)

// fault is why one request brought nothing.
type fault struct {
	reason probe.Reason
	cause  string
}

func (f *fault) Error() string { return f.cause }

func faultf(reason probe.Reason, format string, args ...any) *fault {
	return &fault{reason, fmt.Sprintf(format, args...)}
}

// faultOf maps an error of the network to the closed list.
func faultOf(err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	return &fault{reasonOf(err), plain(err)}
}

func reasonOf(err error) probe.Reason {
	var dns *net.DNSError
	var number syscall.Errno
	switch {
	case errors.Is(err, probe.ErrGuarded):
		return probe.Unreachable
	case isTimeout(err): // a lookup that takes too long is a lack of time, too
		return probe.Timeout
	case errors.As(err, &dns):
		return probe.DNS
	case isTLS(err):
		return probe.TLS
	case !errors.As(err, &number):
		return probe.Protocol
	}
	switch number {
	case syscall.ECONNREFUSED:
		return probe.Refused
	case syscall.ETIMEDOUT:
		return probe.Timeout
	case syscall.ECONNRESET, syscall.EPIPE:
		return probe.Protocol
	default:
		return probe.Unreachable // no route, or a packet filter of our own
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

func isTLS(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		header       tls.RecordHeaderError
		alert        tls.AlertError
		unknown      x509.UnknownAuthorityError
		name         x509.HostnameError
	)
	return errors.As(err, &verification) || errors.As(err, &header) || errors.As(err, &alert) ||
		errors.As(err, &unknown) || errors.As(err, &name)
}

// plain tells an error in few words, without addresses of this side and names
// of system calls.
func plain(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return "the probe was cancelled"
	case isTimeout(err):
		return "no answer in time"
	case errors.As(err, &dns):
		return fmt.Sprintf("lookup %s: %s", dns.Name, dns.Err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the other side closed the connection"
	case errors.As(err, &op) && op.Err != nil && !errors.Is(op.Err, err):
		return plain(op.Err)
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		return call.Err.Error()
	}
	return err.Error()
}
