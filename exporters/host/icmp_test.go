package host

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/colliehq/collie/exporters/probe"
)

// fakePing answers the packets whose numbers are in replies, after a delay.
type fakePing struct {
	net.Conn
	replies map[int]time.Duration
	noise   [][]byte
	broken  error

	due      []arrival
	deadline time.Time
}

type arrival struct {
	at      time.Time
	message []byte
}

func (f *fakePing) ownID() bool                       { return false }
func (f *fakePing) SetReadDeadline(t time.Time) error { f.deadline = t; return nil }
func (f *fakePing) SetDeadline(t time.Time) error     { f.deadline = t; return nil }
func (f *fakePing) Close() error                      { return nil }

func (f *fakePing) send(message []byte) error {
	if f.broken != nil {
		return f.broken
	}
	for _, n := range f.noise {
		f.due = append(f.due, arrival{time.Now(), n})
	}
	f.due = append(f.due, arrival{time.Now(), append([]byte(nil), message...)}) // the request itself, as a raw socket on loopback sees it
	if delay, ok := f.replies[int(binary.BigEndian.Uint16(message[6:]))]; ok {
		reply := append([]byte(nil), message...)
		reply[0] = echoReply4
		f.due = append(f.due, arrival{time.Now().Add(delay), reply}, arrival{time.Now().Add(delay), reply}) // duplicated on the way
	}
	return nil
}

func (f *fakePing) receive(buffer []byte) (n, hops int, err error) {
	first := -1
	for i, a := range f.due {
		if first < 0 || a.at.Before(f.due[first].at) {
			first = i
		}
	}
	if first < 0 || f.due[first].at.After(f.deadline) {
		time.Sleep(time.Until(f.deadline))
		return 0, 0, os.ErrDeadlineExceeded
	}
	a := f.due[first]
	f.due = append(f.due[:first], f.due[first+1:]...)
	time.Sleep(time.Until(a.at))
	return copy(buffer, a.message), 57, nil
}

func TestPingsAreCounted(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		name    string
		options icmpOptions
		socket  fakePing
		reason  probe.Reason
		cause   string
		rtts    []time.Duration
		took    time.Duration
	}{
		{"all", icmpOptions{Packets: 3, MaxLoss: 1}, fakePing{replies: map[int]time.Duration{0: 10 * ms, 1: 20 * ms, 2: 30 * ms}}, probe.None, "", []time.Duration{10 * ms, 20 * ms, 30 * ms}, 430 * ms},
		{"out of order", icmpOptions{Packets: 2, MaxLoss: 1}, fakePing{replies: map[int]time.Duration{0: 300 * ms, 1: 20 * ms}}, probe.None, "", []time.Duration{20 * ms, 300 * ms}, 300 * ms},
		{"one lost", icmpOptions{Packets: 3, MaxLoss: 1}, fakePing{replies: map[int]time.Duration{0: 10 * ms, 2: 10 * ms}}, probe.None, "", []time.Duration{10 * ms, 10 * ms}, 1400 * ms},
		{"one lost, too many", icmpOptions{Packets: 3, MaxLoss: 0.2}, fakePing{replies: map[int]time.Duration{0: 10 * ms, 2: 10 * ms}}, probe.Timeout, "1 of 3 packets", []time.Duration{10 * ms, 10 * ms}, 1400 * ms},
		{"all lost", icmpOptions{Packets: 3, MaxLoss: 1}, fakePing{}, probe.Timeout, "3 of 3 packets", nil, 1400 * ms},
		{"noise", icmpOptions{Packets: 1, MaxLoss: 1}, fakePing{replies: map[int]time.Duration{0: 10 * ms}, noise: [][]byte{nil, {0}, make([]byte, 36), make([]byte, 60)}}, probe.None, "", []time.Duration{10 * ms}, 10 * ms},
		{"cannot send", icmpOptions{Packets: 2, MaxLoss: 1}, fakePing{broken: os.NewSyscallError("sendto", syscall.ENETUNREACH)}, probe.Unreachable, "network is unreachable", nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				c.options.Interval, c.options.Wait = 200*ms, time.Second
				p := icmpProbe{options: c.options}
				to := netip.MustParseAddr("192.0.2.1")
				got, start := pings{hopLimit: -1}, time.Now()
				err := p.exchange(ctx, newEcho(to, 28, false), &c.socket, &got)
				f := p.judge(to, &got, err)
				if f.reason != c.reason || !contains(f.cause, c.cause) {
					t.Errorf("got %q %q, want %q %q", f.reason, f.cause, c.reason, c.cause)
				}
				if len(got.rtts) != len(c.rtts) {
					t.Fatalf("round trips %v, want %v", got.rtts, c.rtts)
				}
				for i := range c.rtts {
					if got.rtts[i] != c.rtts[i] {
						t.Errorf("round trips %v, want %v", got.rtts, c.rtts)
					}
				}
				if took := time.Since(start); took != c.took {
					t.Errorf("took %s, want %s", took, c.took)
				}
			})
		})
	}
}

func TestPingStats(t *testing.T) {
	g := pings{rtts: []time.Duration{2 * time.Second, 4 * time.Second, 6 * time.Second, 8 * time.Second}}
	low, mean, high, deviation := g.stats()
	if low != 2 || mean != 5 || high != 8 || deviation*deviation < 4.999 || deviation*deviation > 5.001 {
		t.Errorf("got %v %v %v %v", low, mean, high, deviation)
	}
}

// TestChecksum uses the example of RFC 1071, section 3.
func TestChecksum(t *testing.T) {
	if got := checksum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}); got != ^uint16(0xddf2) {
		t.Errorf("got %#x", got)
	}
	if got := checksum([]byte{0x01}); got != ^uint16(0x0100) {
		t.Errorf("got %#x", got)
	}
}

// TestPingLoopback uses the sockets of this machine.
func TestPingLoopback(t *testing.T) {
	for _, c := range []struct {
		name, target string
		whole        bool
	}{{"IPv4", "127.0.0.1", false}, {"IPv4 unfragmented", "127.0.0.1", true}, {"IPv6", "::1", false}} {
		t.Run(c.name, func(t *testing.T) {
			o := icmpOptions{
				ipOptions: ipOptions{Fallback: true}, TTL: 5, Packets: 3, Interval: time.Millisecond, Wait: time.Second, PayloadSize: 100, DontFragment: c.whole,
			}
			p := icmpProbe{options: o}
			r := probe.Run(t.Context(), probe.Module{Kind: "icmp", Probe: p.probe, Timeout: 5 * time.Second}, probe.Request{Target: c.target, Dial: probe.GuardMetadata})
			if !r.Success && contains(r.Cause, "CAP_NET_RAW") && os.Getenv("CI") != "true" {
				t.Skip(r.Cause)
			}
			if !r.Success {
				t.Fatalf("%s: %s", r.Reason, r.Cause)
			}
			if text := string(probe.AppendText(nil, r.Metrics.Families())); !contains(text, "\nprobe_icmp_reply_hop_limit ") || !contains(text, "\nprobe_icmp_packets_received 3\n") {
				t.Error(text)
			}
		})
	}
}

func TestPingIsDenied(t *testing.T) {
	if !isDenied(os.NewSyscallError("socket", syscall.EACCES)) || isDenied(errors.New("else")) {
		t.Error("a denied socket is not told from others")
	}
	if reasonOf(errPing, probe.Unreachable) != probe.Unreachable || !contains(plain(errPing), "ping_group_range") {
		t.Error("who may not ping is not told what to do")
	}
}

// FuzzPing feeds packets to what looks for replies.
func FuzzPing(f *testing.F) {
	e := newEcho(netip.MustParseAddr("192.0.2.1"), 28, false)
	request := e.request(0)
	f.Add(append(append([]byte{0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0}, make([]byte, 8)...), request...))
	f.Add([]byte{0x4f})
	f.Fuzz(func(t *testing.T, packet []byte) {
		buffer := append(make([]byte, 0, 200), packet...)
		n, _, err := stripIPv4(buffer, len(buffer))
		if err != nil || n > len(packet) {
			t.Fatalf("%d of %d bytes left, %v", n, len(packet), err)
		}
		e.match(buffer[:n])
	})
}
