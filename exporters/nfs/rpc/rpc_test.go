package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/rpcserver"
)

// FuzzReadRecord reads any bytes as records: none is longer than allowed.
func FuzzReadRecord(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 4, 1, 2, 3, 4}, 16)
	f.Add([]byte{0, 0, 0, 2, 1, 2, 0x80, 0, 0, 2, 3, 4}, 16)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1}, 16)
	f.Add(make([]byte, 400), 16)
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		limit = min(max(limit, 0), 1<<20)
		r := bytes.NewReader(b)
		for {
			record, err := readRecord(r, limit)
			if err != nil {
				return
			}
			if len(record) > limit {
				t.Fatalf("%d bytes where %d are allowed", len(record), limit)
			}
		}
	})
}

// FuzzReadReply reads any bytes as a reply.
func FuzzReadReply(f *testing.F) {
	c := rpcserver.Call{XID: 7}
	for _, b := range [][]byte{rpcserver.Accept(c, rpcserver.U32(1)), rpcserver.Deny(c, 5), rpcserver.Refuse(c, 2, 3, 4), rpcserver.Refuse(c, 5)} {
		f.Add(b[4:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		results, err := readReply(7, b)
		if (results == nil) == (err == nil) {
			t.Errorf("results %v and error %v", results, err)
		}
		if err != nil && err.Error() == "" {
			t.Error("an error without text")
		}
	})
}

// TestRecords joins the fragments of a record (RFC 5531, section 11).
func TestRecords(t *testing.T) {
	in := []byte{0, 0, 0, 2, 'a', 'b', 0, 0, 0, 0, 0x80, 0, 0, 3, 'c', 'd', 'e', 0x80, 0, 0, 1, 'f'}
	r := bytes.NewReader(in)
	for _, want := range []string{"abcde", "f"} {
		if got, err := readRecord(r, 5); err != nil || string(got) != want {
			t.Errorf("record %q, %v; want %q", got, err, want)
		}
	}
	if _, err := readRecord(r, 5); !errors.Is(err, io.EOF) {
		t.Errorf("error %v at the end", err)
	}
	if _, err := readRecord(bytes.NewReader(in), 4); !errors.Is(err, errTooLong) {
		t.Errorf("error %v of a record that is too long", err)
	}
	if got := appendRecord(nil, []byte("abc")); !bytes.Equal(got, []byte{0x80, 0, 0, 3, 'a', 'b', 'c'}) {
		t.Errorf("record %x", got)
	}
}

// TestRefusals tells the answers of a server that lives.
func TestRefusals(t *testing.T) {
	c := rpcserver.Call{XID: 7}
	for text, b := range map[string][]byte{
		"the server does not have this program":            rpcserver.Refuse(c, 1),
		"the server speaks versions 3 to 4 only":           rpcserver.Refuse(c, 2, 3, 4),
		"the server does not have this procedure":          rpcserver.Refuse(c, 3),
		"the server did not understand the arguments":      rpcserver.Refuse(c, 4),
		"the server reports a fault of its own":            rpcserver.Refuse(c, 5),
		"the server refuses our credentials: too weak":     rpcserver.Deny(c, 5),
		"the server refuses our credentials: auth_stat 99": rpcserver.Deny(c, 99),
		"the server speaks another version of RPC":         rpcserver.Record(rpcserver.U32(7, 1, 1, 0, 3, 3)),
	} {
		_, err := readReply(7, b[4:])
		var no *RefusalError
		if !errors.As(err, &no) || no.Error() != text {
			t.Errorf("%v, want %q", err, text)
		}
	}
}

func client(t *testing.T, answer func(rpcserver.Call) []byte) *Client {
	t.Helper()
	s, err := rpcserver.Start(answer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	conn, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(s.Port)})
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(conn)
	t.Cleanup(c.Close)
	return c
}

// TestCall sends what RFC 5531 says, and skips what is not its reply.
func TestCall(t *testing.T) {
	got := make(chan rpcserver.Call, 9)
	c := client(t, func(call rpcserver.Call) []byte {
		got <- call
		return append(rpcserver.Accept(rpcserver.Call{XID: call.XID - 1}), rpcserver.Accept(call, rpcserver.U32(42))...)
	})
	who := &Identity{Machine: "dog", UID: 1, GID: 2}
	for range 2 {
		d, err := c.Call(t.Context(), Procedure{100003, 3, 18}, who, []byte{0, 0, 0, 9}, 100)
		if err != nil || d.Uint32() != 42 || d.Err() != nil {
			t.Fatal(err)
		}
		call := <-got
		if call.Program != 100003 || call.Version != 3 || call.Procedure != 18 || !bytes.Equal(call.Args, []byte{0, 0, 0, 9}) {
			t.Errorf("the server got %+v", call)
		}
	}
	if cost := c.Cost(); cost.Requests != 2 || cost.Sent == 0 || cost.Received != 2*(28+32) {
		t.Errorf("cost %+v", cost)
	}
}

// TestCallEnds when its context does, and the connection is not used again.
func TestCallEnds(t *testing.T) {
	c := client(t, func(rpcserver.Call) []byte { return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Call(ctx, Procedure{}, nil, nil, 100); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if _, err := c.Call(t.Context(), Procedure{}, nil, nil, 100); !errors.Is(err, net.ErrClosed) || !c.Broken() {
		t.Errorf("error %v after one that ended without its reply", err)
	}
	c = client(t, func(rpcserver.Call) []byte { return nil })
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.Call(ctx, Procedure{}, nil, nil, 100); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
