package resolver

import (
	"context"
	"errors"
	"net"
)

func notFound(name string) *net.DNSError {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func isNotFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// contextError is what a caller gets whose time ran out before the answer came.
func contextError(ctx context.Context, name string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &net.DNSError{UnwrapErr: ctx.Err(), Err: "no answer in time", Name: name, IsTimeout: true}
	}
	return &net.DNSError{UnwrapErr: ctx.Err(), Err: "canceled", Name: name}
}

// copyOf copies an error that several callers share, so that each may put its
// own name into it.
func copyOf(err error) error {
	if dns, ok := err.(*net.DNSError); ok { //nolint:errorlint // only the outermost is ours to copy
		c := *dns
		return &c
	}
	return err
}
