package ircbot

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/ircbot/spool"
)

// joinReasons are why a channel could not be joined.
var joinReasons = map[string]string{
	"403": "no_such_channel", "405": "too_many_channels", "437": "unavailable", "471": "full", "473": "invite_only",
	"474": "banned", "475": "bad_key", "476": "bad_name", "477": "need_account", "489": "need_tls", "520": "operators_only",
}

const joinTimeout, joinOther = "timeout", "other"

type metrics struct {
	lines       *prometheus.CounterVec
	open        *prometheus.GaugeVec
	lanes       *prometheus.GaugeVec
	dropped     *prometheus.CounterVec
	connected   *prometheus.GaugeVec
	reconnects  *prometheus.CounterVec
	joinFails   *prometheus.CounterVec
	joined      *prometheus.GaugeVec
	delivery    *prometheus.HistogramVec
	lag         *prometheus.GaugeVec
	confirms    *prometheus.CounterVec
	truncated   *prometheus.CounterVec
	missing     *prometheus.CounterVec
	refused     *prometheus.CounterVec
	skipped     *prometheus.CounterVec
	written     *prometheus.CounterVec
	commands    *prometheus.CounterVec
	unrouted    prometheus.Counter
	unchanged   prometheus.Counter
	stale       prometheus.Counter
	parked      prometheus.Counter
	failures    prometheus.Counter
	heartbeats  *heartbeatAge
	untoldSteps prometheus.Counter
}

func newMetrics(r prometheus.Registerer, now func() time.Time) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "collie_irc_" + name, Help: help})
		r.MustRegister(c)
		return c
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "collie_irc_" + name, Help: help}, append([]string{"network"}, labels...))
		r.MustRegister(c)
		return c
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "collie_irc_" + name, Help: help}, append([]string{"network"}, labels...))
		r.MustRegister(g)
		return g
	}
	m := &metrics{
		lines:       counters("lines_total", "Lines that came into a state: accepted into the spool, confirmed by the server, unconfirmed when a connection ended, folded into another line, or missed (fired and resolved before it could be said).", "state"),
		open:        gauges("spool_lines", "Lines in the spool that are not confirmed, by state.", "state"),
		lanes:       gauges("lane_lines", "Lines in the spool that are not confirmed, by lane.", "lane"),
		dropped:     counters("dropped_lines_total", "Lines that were given up: the spool was full, they were too old, or their channel is no longer configured."),
		connected:   gauges("connected", "1 while we are registered with a server."),
		reconnects:  counters("reconnects_total", "Connections that were begun after the first."),
		joinFails:   counters("join_failures_total", "Attempts to join a channel that failed, by reason.", "reason"),
		joined:      gauges("channels_joined", "Channels that we are in."),
		lag:         gauges("lag_seconds", "Time that the server last took to answer a line or a PING."),
		confirms:    counters("confirmations_total", "Lines confirmed, by how: a labelled echo, an echo, or the answer to a PING sent after it.", "method"),
		truncated:   counters("truncated_echoes_total", "Lines that came back shorter than they were sent: the server cut them. They were sent again in smaller pieces."),
		missing:     counters("missing_echoes_total", "Lines that a server with echo-message took without an echo."),
		refused:     counters("refused_lines_total", "Lines that the server refused; they are sent again later."),
		skipped:     counters("unparsable_lines_total", "Lines of the server that are no IRC and were skipped."),
		written:     counters("written_lines_total", "Lines written to the server, of all kinds."),
		commands:    counters("commands_total", "Commands of people, by what became of them.", "command", "result"),
		unrouted:    counter("unrouted_alerts_total", "Alerts whose receiver is told in no channel."),
		unchanged:   counter("unchanged_alerts_total", "Alerts that a channel was told before and that were not repeated."),
		stale:       counter("stale_alerts_total", "Alerts that were older than what the channel was told already."),
		parked:      counter("parked_total", "Messages that are no valid signal of an alert and were set aside for a person."),
		failures:    counter("write_failures_total", "Writes to the spool that failed and were tried again."),
		untoldSteps: counter("untold_actions_total", "Confirmations that could not be told to the record, because the queue refused them."),
		delivery: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "collie_irc_delivery_seconds", Help: "Time from the notification to the confirmation of its line.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200},
		}, []string{"network"}),
		heartbeats: newHeartbeatAge(now),
	}
	r.MustRegister(m.delivery, m.heartbeats)
	return m
}

// begin makes the series of a network, so that none appears only with its first
// fault.
func (m *metrics) begin(network string) {
	for _, state := range []string{"accepted", "confirmed", "unconfirmed", "folded", "missed"} {
		m.lines.WithLabelValues(network, state)
	}
	for _, c := range []*prometheus.CounterVec{m.dropped, m.reconnects, m.truncated, m.missing, m.refused, m.skipped, m.written} {
		c.WithLabelValues(network)
	}
	for _, method := range []string{byLabel, byEcho, byBarrier} {
		m.confirms.WithLabelValues(network, method)
	}
	for _, reason := range joinReasons {
		m.joinFails.WithLabelValues(network, reason)
	}
	m.joinFails.WithLabelValues(network, joinTimeout)
	m.joinFails.WithLabelValues(network, joinOther)
	m.connected.WithLabelValues(network).Set(0)
	m.joined.WithLabelValues(network).Set(0)
	m.delivery.WithLabelValues(network)
	m.heartbeats.begin(network)
}

// end takes the series of a network away that is no longer configured.
func (m *metrics) end(network string) {
	only := prometheus.Labels{"network": network}
	for _, c := range []*prometheus.CounterVec{m.lines, m.dropped, m.reconnects, m.truncated, m.missing, m.refused, m.skipped, m.written, m.confirms, m.joinFails, m.commands} {
		c.DeletePartialMatch(only)
	}
	for _, g := range []*prometheus.GaugeVec{m.open, m.lanes, m.connected, m.joined, m.lag} {
		g.DeletePartialMatch(only)
	}
	m.delivery.DeletePartialMatch(only)
	m.heartbeats.end(network)
}

// spooled shows what is open.
func (m *metrics) spooled(network string, d spool.Depth) {
	m.open.WithLabelValues(network, string(spool.Queued)).Set(float64(d.Queued))
	m.open.WithLabelValues(network, string(spool.Sent)).Set(float64(d.Sent))
	for _, l := range spool.Lanes() {
		m.lanes.WithLabelValues(network, l.String()).Set(float64(d.Lanes[l]))
	}
}
