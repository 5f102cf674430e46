// Package rpc calls the procedures of ONC RPC servers (RFC 5531) over TCP: one
// call at a time, within a deadline, with bounds on all that a server can send.
package rpc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/colliehq/collie/exporters/nfs/xdr"
)

// maxStrays bounds how many messages that are not the reply are read past.
const maxStrays = 16

// Cost is what calls took.
type Cost struct {
	Requests       int
	Sent, Received int64 // bytes
}

// Add adds another cost.
func (c *Cost) Add(o Cost) {
	c.Requests += o.Requests
	c.Sent += o.Sent
	c.Received += o.Received
}

// Client calls over one connection. It is not safe for concurrent use.
type Client struct {
	conn   net.Conn
	in     *bufio.Reader
	xid    uint32
	cost   Cost
	broken bool
}

// NewClient calls over conn, which Close closes.
func NewClient(conn net.Conn) *Client {
	c := &Client{conn: conn, xid: rand.Uint32()}
	c.in = bufio.NewReaderSize(counted{c}, 2<<10)
	return c
}

// Close closes the connection.
func (c *Client) Close() {
	_ = c.conn.Close() // the answers are in; how the goodbye goes does not matter
}

// Broken tells that a call ended without its reply: what comes next over this
// connection cannot be known, and no further call can be made.
func (c *Client) Broken() bool { return c.broken }

// Cost is what the calls took so far.
func (c *Client) Cost() Cost { return c.cost }

// Call calls a procedure and gives what reads its results, of which the server
// can send at most limit bytes. It ends when ctx does. A *RefusalError is a server
// that lives but says no.
func (c *Client) Call(ctx context.Context, p Procedure, who *Identity, args []byte, limit int) (*xdr.Decoder, error) {
	if c.broken {
		return nil, net.ErrClosed
	}
	defer c.until(ctx)()
	c.xid++
	c.cost.Requests++
	n, err := c.conn.Write(appendRecord(nil, appendCall(c.xid, p, who, args)))
	c.cost.Sent += int64(n)
	var results *xdr.Decoder
	if err == nil {
		results, err = c.reply(limit)
	}
	var no *RefusalError
	if err != nil && !errors.As(err, &no) {
		c.broken = true
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
	}
	return results, err
}

// reply reads messages until one is the reply to the last call.
func (c *Client) reply(limit int) (*xdr.Decoder, error) {
	for range maxStrays {
		message, err := readRecord(c.in, limit)
		if err != nil {
			return nil, err
		}
		if results, err := readReply(c.xid, message); !errors.Is(err, errStray) {
			return results, err
		}
	}
	return nil, errors.New("the server sends messages that are no reply to what was asked")
}

// until makes what waits on the connection fail when ctx ends, until the
// returned function is called.
func (c *Client) until(ctx context.Context) func() {
	deadline, _ := ctx.Deadline() // the zero time is none
	_ = c.conn.SetDeadline(deadline)
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = c.conn.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-done // so that it does not spoil the next call
		}
	}
}

// counted reads from the connection and counts.
type counted struct{ *Client }

func (r counted) Read(b []byte) (int, error) {
	n, err := r.conn.Read(b)
	r.cost.Received += int64(n)
	return n, err
}

var _ io.Reader = counted{}
