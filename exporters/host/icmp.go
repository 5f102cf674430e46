package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/colliehq/collie/exporters/probe"
)

// icmpOptions are what a module says under icmp. The last four are Collie's own.
type icmpOptions struct {
	ipOptions `yaml:",inline"`

	SourceIP     ipAddr `yaml:"source_ip_address"`
	PayloadSize  int    `yaml:"payload_size"`
	DontFragment bool   `yaml:"dont_fragment"`
	TTL          int    `yaml:"ttl"`

	Packets  int           `yaml:"packets"`
	Interval time.Duration `yaml:"interval"`
	Wait     time.Duration `yaml:"wait"`
	MaxLoss  float64       `yaml:"max_loss_ratio"`
}

const (
	defaultTTL     = 64
	defaultPayload = 28 // bytes, as blackbox_exporter's
	maxPayload     = 65507 - 8
	maxPackets     = 100
)

type icmpProbe struct{ options icmpOptions }

func buildICMP(node *yaml.Node, bad func(line int, format string, args ...any)) probe.Func {
	p := &icmpProbe{options: icmpOptions{
		ipOptions: ipOptions{Fallback: true}, TTL: defaultTTL,
		Packets: 1, Interval: 200 * time.Millisecond, MaxLoss: 1,
	}}
	o := decode("icmp", node, &p.options, bad)
	p.options.validate(o)
	if !o.ok {
		return nil
	}
	if p.options.PayloadSize == 0 {
		p.options.PayloadSize = defaultPayload
	}
	if p.options.Wait == 0 && p.options.Packets > 1 {
		p.options.Wait = time.Second
	}
	return p.probe
}

func (i *icmpOptions) validate(o *options) {
	if i.TTL < 0 || i.TTL > 255 {
		o.mistake("ttl", "%d is not between 0 and 255", i.TTL)
	}
	if i.PayloadSize < 0 || i.PayloadSize > maxPayload {
		o.mistake("payload_size", "%d is not between 0 and %d", i.PayloadSize, maxPayload)
	}
	if i.Packets < 1 || i.Packets > maxPackets {
		o.mistake("packets", "%d is not between 1 and %d", i.Packets, maxPackets)
	}
	if i.Interval < time.Millisecond {
		o.mistake("interval", "must be at least 1ms")
	}
	if !(i.MaxLoss >= 0 && i.MaxLoss <= 1) {
		o.mistake("max_loss_ratio", "%v is not between 0 and 1", i.MaxLoss)
	}
}

// pings is what became of the packets of one probe.
type pings struct {
	lookup   lookup
	setup    time.Duration
	sent     int
	rtts     []time.Duration
	hopLimit int // of the last reply; -1 if it is not known
}

func (p *icmpProbe) probe(ctx context.Context, req probe.Request) probe.Result {
	var m probe.Metrics
	got := pings{hopLimit: -1}
	f := p.ping(ctx, req, &got)
	got.export(&m)
	if f.reason == probe.None {
		return probe.Result{Success: true, Metrics: m}
	}
	return probe.Fail(m, f.reason, f.cause)
}

func (p *icmpProbe) ping(ctx context.Context, req probe.Request, got *pings) fault {
	found, err := p.options.resolve(ctx, req, trimBrackets(req.Target))
	got.lookup = found
	if err != nil {
		return fault{reasonOf(err, probe.DNS), plain(err)}
	}
	addr, start := found.addr, time.Now()
	socket, err := openPing(ctx, req, &p.options, addr)
	got.setup = time.Since(start)
	if err != nil {
		return fault{reasonOf(err, probe.Unreachable), plain(err)}
	}
	defer endWith(ctx, socket)()
	err = p.exchange(ctx, newEcho(addr, p.options.PayloadSize, socket.ownID()), socket, got)
	return p.judge(addr, got, err)
}

// exchange sends the packets, each an interval after the one before, and
// collects replies until all are in or the time is over.
func (p *icmpProbe) exchange(ctx context.Context, e *echo, socket pingSocket, got *pings) error {
	sentAt := make([]time.Time, 0, p.options.Packets)
	for got.sent < p.options.Packets || len(got.rtts) < got.sent {
		if got.sent < p.options.Packets && (got.sent == 0 || time.Since(sentAt[got.sent-1]) >= p.options.Interval) {
			sentAt = append(sentAt, time.Now())
			if err := socket.send(e.request(got.sent)); err != nil {
				return err
			}
			got.sent++
		}
		if err := p.patience(ctx, socket, sentAt); err != nil {
			return err
		}
		seq, hops, err := e.reply(socket, got.sent)
		switch {
		case err == nil:
			got.rtts = append(got.rtts, time.Since(sentAt[seq]))
			got.hopLimit = hops
		case !isTimeout(err) || ctx.Err() != nil || got.sent == p.options.Packets:
			return err
		}
	}
	return nil
}

// patience makes the socket wait until the next packet is due, or as long as
// replies to the last one are waited for. A single packet waits until ctx ends.
func (p *icmpProbe) patience(ctx context.Context, socket pingSocket, sentAt []time.Time) error {
	last := sentAt[len(sentAt)-1]
	switch {
	case len(sentAt) < p.options.Packets:
		last = last.Add(p.options.Interval)
	case p.options.Wait > 0:
		last = last.Add(p.options.Wait)
	default:
		return nil
	}
	if err := socket.SetReadDeadline(last); err != nil {
		return err
	}
	return ctx.Err() // if it ended before the deadline was set, endWith's was overwritten
}

func (p *icmpProbe) judge(addr netip.Addr, got *pings, err error) fault {
	lost := got.sent - len(got.rtts)
	switch {
	case err != nil && !isTimeout(err) && len(got.rtts) == 0:
		return fault{reasonOf(err, probe.Unreachable), fmt.Sprintf("ping %s: %s", addr, plain(err))}
	case len(got.rtts) == 0 && got.sent <= 1:
		return fault{probe.Timeout, fmt.Sprintf("no reply from %s in time", addr)}
	case len(got.rtts) == 0 || float64(lost) > p.options.MaxLoss*float64(got.sent):
		return fault{probe.Timeout, fmt.Sprintf("%d of %d packets to %s had no reply", lost, got.sent, addr)}
	case errors.Is(err, context.Canceled):
		return fault{probe.Timeout, plain(err)}
	}
	return fault{}
}

// export adds what all icmp probes tell, whatever happened; times are 0 if
// there was no reply.
func (g *pings) export(m *probe.Metrics) {
	low, mean, high, deviation := g.stats()
	const name, help = "probe_icmp_duration_seconds", "How long each phase took; rtt is the mean round trip."
	g.lookup.export(m)
	m.Gauge(name, help, g.lookup.took.Seconds(), "phase", "resolve")
	m.Gauge(name, help, g.setup.Seconds(), "phase", "setup")
	m.Gauge(name, help, mean, "phase", "rtt")
	m.Gauge("probe_icmp_reply_hop_limit", "The hop limit (TTL) of the last reply; 0 without a reply.", float64(max(g.hopLimit, 0)))
	m.Gauge("probe_icmp_packets_sent", "How many echo requests were sent.", float64(g.sent))
	m.Gauge("probe_icmp_packets_received", "How many echo replies came in.", float64(len(g.rtts)))
	m.Gauge("probe_icmp_rtt_min_seconds", "The shortest round trip; 0 without a reply.", low)
	m.Gauge("probe_icmp_rtt_mean_seconds", "The mean round trip; 0 without a reply.", mean)
	m.Gauge("probe_icmp_rtt_max_seconds", "The longest round trip; 0 without a reply.", high)
	m.Gauge("probe_icmp_rtt_stddev_seconds", "The standard deviation of the round trips; 0 without a reply.", deviation)
}

func (g *pings) stats() (low, mean, high, deviation float64) {
	if len(g.rtts) == 0 {
		return 0, 0, 0, 0
	}
	low = math.Inf(1)
	var sum, squares float64
	for _, rtt := range g.rtts {
		v := rtt.Seconds()
		low, high, sum = min(low, v), max(high, v), sum+v
	}
	mean = sum / float64(len(g.rtts))
	for _, rtt := range g.rtts {
		squares += (rtt.Seconds() - mean) * (rtt.Seconds() - mean)
	}
	return low, mean, high, math.Sqrt(squares / float64(len(g.rtts)))
}
