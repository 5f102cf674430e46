package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"

	"github.com/colliehq/collie/exporters/probe"
	"github.com/colliehq/collie/exporters/s3/api"
)

// errBudget says that the requests of the hour are used up.
var errBudget = errors.New("the budget of requests is spent")

// errOther says that the canary came back as something else.
var errOther = errors.New("what was read is not what was written")

// reasonOf maps an error to the closed list. A bucket that does not exist is a
// status, as any other answer that is neither a denial nor a full house.
func reasonOf(err error) probe.Reason {
	var refused *api.Error
	var credentials *api.CredentialsError
	switch {
	case err == nil:
		return probe.None
	case errors.As(err, &credentials):
		return probe.Auth
	case errors.Is(err, errBudget):
		return probe.Quota
	case errors.Is(err, errOther):
		return probe.Body
	case errors.As(err, &refused) && refused.Exhausted():
		return probe.Quota
	case errors.As(err, &refused) && refused.Denied():
		return probe.Auth
	case refused != nil:
		return probe.Status
	case errors.Is(err, api.ErrProtocol):
		return probe.Protocol
	}
	return reasonOfTransport(err)
}

func reasonOfTransport(err error) probe.Reason {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.Is(err, probe.ErrGuarded):
		return probe.Unreachable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return probe.Timeout
	case errors.As(err, &dns):
		return probe.DNS
	case errors.As(err, &timeout) && timeout.Timeout():
		return probe.Timeout
	case isTLS(err):
		return probe.TLS
	case errors.Is(err, syscall.ECONNREFUSED):
		return probe.Refused
	case errors.Is(err, syscall.ETIMEDOUT):
		return probe.Timeout
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return probe.Unreachable
	}
	return probe.Protocol
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

// words tells an error to a person, without the URLs that net/http puts before
// it.
func words(err error) string {
	var part *partial
	var whole *url.Error
	var dns *net.DNSError
	var call *os.SyscallError
	var refused *api.Error
	switch {
	case errors.As(err, &part):
		return part.text
	case errors.As(err, &refused):
		return refused.Error()
	case errors.As(err, &dns):
		return fmt.Sprintf("lookup %s: %s", dns.Name, dns.Err)
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "the probe was cancelled"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the other side closed the connection"
	case errors.As(err, &call):
		return "connect: " + call.Err.Error()
	case errors.As(err, &whole):
		return whole.Err.Error()
	}
	return err.Error()
}

// passing tells whether an error may go away by itself soon.
func passing(err error) bool {
	if refused, ok := errors.AsType[*api.Error](err); ok {
		return refused.Exhausted() && refused.Code != "QuotaExceeded" || refused.Status >= 500 && !refused.Unknown()
	}
	switch reasonOf(err) {
	case probe.Timeout, probe.Refused, probe.Unreachable, probe.DNS:
		return true
	case probe.Protocol:
		return !errors.Is(err, api.ErrProtocol) // a connection that broke
	default:
		return false
	}
}
