package host

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"

	"github.com/colliehq/collie/exporters/probe"
)

// reasonOf maps an error to the closed list.
func reasonOf(err error, otherwise probe.Reason) probe.Reason {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return probe.DNS
	case errors.Is(err, probe.ErrGuarded):
		return probe.Unreachable
	case isTimeout(err):
		return probe.Timeout
	case isTLS(err):
		return probe.TLS
	}
	return reasonOfErrno(err, otherwise)
}

func reasonOfErrno(err error, otherwise probe.Reason) probe.Reason {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return otherwise
	}
	switch number {
	case syscall.ECONNREFUSED:
		return probe.Refused
	case syscall.ETIMEDOUT:
		return probe.Timeout
	case syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN,
		syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT, syscall.EACCES, syscall.EPERM, syscall.EINVAL:
		return probe.Unreachable // what a missing route or a packet filter of our own answers
	default:
		return otherwise
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
		invalid      x509.CertificateInvalidError
	)
	return errors.As(err, &verification) || errors.As(err, &header) || errors.As(err, &alert) ||
		errors.As(err, &unknown) || errors.As(err, &name) || errors.As(err, &invalid)
}

// plain tells an error in few words: without the addresses of this side and the
// names of system calls, which say nothing to who reads why a target is down.
func plain(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("lookup %s: %s", dns.Name, dns.Err)
	case errors.Is(err, context.Canceled):
		return "the probe was cancelled"
	case isTimeout(err):
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the other side closed the connection"
	case errors.As(err, &op) && op.Err != nil:
		return plain(op.Err)
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		return call.Err.Error()
	}
	return err.Error()
}

// isDebug says whether anyone reads the log of this probe: what is costly to
// tell is told only then.
func isDebug(req probe.Request) bool {
	return req.Log.Enabled(context.Background(), slog.LevelDebug)
}
