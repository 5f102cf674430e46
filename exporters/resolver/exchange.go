package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// resolve asks the servers, each in its turn, until one answers.
func (r *Resolver) resolve(ctx context.Context, c conf, q question, turn int) (answer, error) {
	var last *net.DNSError
	for range c.attempts {
		for i := range c.servers {
			if c.rotate {
				i += turn
			}
			server := c.servers[i%len(c.servers)]
			a, err := r.exchange(ctx, c, q, server)
			if err == nil {
				return a, nil
			}
			last = failure(q, server, err)
			if ctx.Err() != nil {
				return answer{}, last
			}
		}
	}
	return answer{}, last
}

func failure(q question, server string, err error) *net.DNSError {
	out := &net.DNSError{UnwrapErr: err, Err: err.Error(), Name: q.name, Server: server, IsTemporary: true}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		out.Err, out.IsTimeout = "no answer in time", true
	}
	return out
}

// exchange asks one server, over TCP if the answer does not fit into UDP, and
// without EDNS if the server does not know that.
func (r *Resolver) exchange(ctx context.Context, c conf, q question, server string) (answer, error) {
	network, edns := "udp", true
	if c.tcp {
		network = "tcp"
	}
	for {
		r.metrics.queries.Inc()
		a, err := r.once(ctx, network, server, q, edns, c.timeout)
		switch {
		case errors.Is(err, errTruncated) && network == "udp":
			network = "tcp"
		case errors.Is(err, errFormat) && edns:
			edns = false
		case err != nil:
			r.metrics.failures.Inc()
			return answer{}, err
		default:
			return a, nil
		}
	}
}

func (r *Resolver) once(ctx context.Context, network, server string, q question, edns bool, limit time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	id := uint16(rand.Uint32())
	msg, err := q.pack(id, edns)
	if err != nil {
		return answer{}, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, server)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })() // ends reads and writes
	if network == "tcp" {
		return overTCP(conn, msg, q, id)
	}
	return overUDP(conn, msg, q, id)
}

// overUDP waits until the answer comes: what else arrives was sent by others,
// perhaps to deceive (RFC 5452, section 9.1).
func overUDP(conn net.Conn, msg []byte, q question, id uint16) (answer, error) {
	if _, err := conn.Write(msg); err != nil {
		return answer{}, err
	}
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return answer{}, err
		}
		a, err := q.parse(buf[:n], id)
		if !errors.Is(err, errNotOurs) {
			return a, err
		}
	}
}

// overTCP puts the length before the message (RFC 1035, section 4.2.2).
func overTCP(conn net.Conn, msg []byte, q question, id uint16) (answer, error) {
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)); err != nil {
		return answer{}, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return answer{}, fmt.Errorf("read over tcp: %w", err)
	}
	buf := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return answer{}, fmt.Errorf("read over tcp: %w", err)
	}
	return q.parse(buf, id)
}
