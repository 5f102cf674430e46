package nfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/colliehq/collie/exporters/nfs/rpc"
	"github.com/colliehq/collie/exporters/probe"
)

// fault is why something could not be learned. The zero value is none.
type fault struct {
	reason probe.Reason
	status string // the finer cause, one of statuses(); "" if there is none
	cause  string

	noPrivilege bool // no port below 1024 could be used
}

func (f fault) none() bool { return f.reason == probe.None }

// statuses are the finer causes, a closed list: what NFS and MOUNT answer, by
// the names of RFC 1813 without NFS3ERR_, and of RFC 7530 and 8881 where only
// version 4 has it.
func statuses() []string {
	return []string{
		"perm", "noent", "io", "access", "notdir", "symlink", "nametoolong", "stale", "quota", "notsupp", "serverfault", "delay", "grace", "session",
		"auth", "version", "other",
	}
}

// statusError is a service that answers, with a status that says no.
type statusError struct {
	doing string // which part of the request it is about; may be empty
	code  uint32
}

// Error names the status.
func (e *statusError) Error() string {
	text := meaningOf(e.code).text
	if e.doing != "" {
		return e.doing + ": " + text
	}
	return text
}

// meaning is what a status number stands for.
type meaning struct {
	status string
	reason probe.Reason
	text   string
}

// meaningOf gives the meaning of a status of NFS 3, NFS 4 or MOUNT 3, which
// share their numbers (RFC 1813, sections 2.6 and 5.1.5; RFC 7530, section 13;
// RFC 8881, section 15).
func meaningOf(code uint32) meaning {
	switch code {
	case 1:
		return meaning{"perm", probe.Auth, "perm (not permitted; some servers want a source port below 1024)"}
	case 2:
		return meaning{"noent", probe.Status, "noent (no such path)"}
	case 5:
		return meaning{"io", probe.Status, "io (the server's disk failed)"}
	case 13:
		return meaning{"access", probe.Auth, "access (denied to this client or user)"}
	case 20:
		return meaning{"notdir", probe.Status, "notdir (not a directory)"}
	case 63:
		return meaning{"nametoolong", probe.Status, "nametoolong (a name is too long for the server)"}
	case 69:
		return meaning{"quota", probe.Quota, "dquot (over quota)"}
	case 70, 10001:
		return meaning{"stale", probe.Stale, "stale (the export was there and is gone)"}
	case 10004:
		return meaning{"notsupp", probe.Status, "notsupp (the server does not support it)"}
	case 10006:
		return meaning{"serverfault", probe.Status, "serverfault (a fault of the server's own)"}
	case 10008:
		return meaning{"delay", probe.Status, "delay (the server asks to come again later)"}
	case 10013:
		return meaning{"grace", probe.Status, "grace (the server was restarted and waits for its clients)"}
	case 10016:
		return meaning{"auth", probe.Auth, "wrongsec (the export wants other security than sys)"}
	case minorMismatch:
		return meaning{"version", probe.Status, "this minor version is not served"}
	case 10029:
		return meaning{"symlink", probe.Status, "symlink (write where the link leads to)"}
	case 10017, 10022, 10052, 10053, 10063, 10074, 10078:
		return meaning{"session", probe.Status, fmt.Sprintf("status %d (the session was not accepted)", code)}
	default:
		return meaning{"other", probe.Status, fmt.Sprintf("status %d", code)}
	}
}

// minorMismatch is NFS4ERR_MINOR_VERS_MISMATCH.
const minorMismatch = 10021

// faultOf says why doing something failed.
func faultOf(doing string, err error) fault {
	f := explain(err)
	f.cause = doing + ": " + f.cause
	return f
}

// stepError is an error on the way to what was asked.
type stepError struct {
	step string
	err  error
}

// Error says on which step.
func (e *stepError) Error() string { return e.step + ": " + e.err.Error() }

// Unwrap gives what went wrong.
func (e *stepError) Unwrap() error { return e.err }

func explain(err error) fault {
	if step, ok := errors.AsType[*stepError](err); ok {
		return faultOf(step.step, step.err)
	}
	if status, ok := errors.AsType[*statusError](err); ok {
		m := meaningOf(status.code)
		return fault{reason: m.reason, status: m.status, cause: status.Error()}
	}
	if no, ok := errors.AsType[*rpc.RefusalError](err); ok {
		return refused(no)
	}
	return fault{reason: reasonOf(err), cause: plain(err), noPrivilege: errors.Is(err, errNoPrivilege)}
}

// refused explains a server that does not do the call.
func refused(no *rpc.RefusalError) fault {
	switch no.Kind {
	case rpc.Unauthorized:
		return fault{reason: probe.Auth, status: "auth", cause: no.Error()}
	case rpc.VersionMismatch, rpc.ProgramUnavailable:
		return fault{reason: probe.Status, status: "version", cause: no.Error()}
	case rpc.ProcedureUnavailable:
		return fault{reason: probe.Status, status: "notsupp", cause: no.Error()}
	case rpc.SystemError:
		return fault{reason: probe.Status, status: "serverfault", cause: no.Error()}
	default:
		return fault{reason: probe.Protocol, cause: no.Error()}
	}
}

// reasonOf maps an error of connecting and talking to the closed list.
func reasonOf(err error) probe.Reason {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return probe.DNS
	case errors.Is(err, probe.ErrGuarded):
		return probe.Unreachable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return probe.Timeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return probe.Refused
	case errors.Is(err, errNoPrivilege):
		return probe.Auth
	}
	for _, number := range []syscall.Errno{
		syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN,
		syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT, syscall.EACCES, syscall.EPERM, syscall.EINVAL,
	} {
		if errors.Is(err, number) {
			return probe.Unreachable // what a missing route or a packet filter of our own answers
		}
	}
	return probe.Protocol
}

// plain tells an error in few words: without the addresses of this side and the
// names of system calls.
func plain(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("lookup %s: %s", dns.Name, dns.Err)
	case errors.Is(err, context.Canceled):
		return "the probe was cancelled"
	case reasonOf(err) == probe.Timeout:
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the server closed the connection"
	case errors.As(err, &op) && op.Err != nil:
		return plain(op.Err)
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		return call.Err.Error()
	}
	return err.Error()
}

// isDelay tells whether the server asks to come again later.
func isDelay(err error) bool {
	status, ok := errors.AsType[*statusError](err)
	return ok && status.code == 10008
}
