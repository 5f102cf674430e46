package rabbitmq

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"

	"github.com/colliehq/collie/exporters/probe"
)

// The counts of a queue.
const (
	ready = iota
	unacknowledged
	messages
	consumers
	counts
)

// row is one queue as a node tells of it, with its labels as they were sent.
type row struct {
	labels string // between the braces
	count  [counts]float64
	has    [counts]bool
}

// report is what one node says of itself on its metrics endpoint.
type report struct {
	rows   []row
	first  int            // the count that came first, and made the rows
	index  map[string]int // of rows; made when they do not come in the same order
	gauges map[string]float64
	broken int // lines that are no samples

	node, cluster, version, erlang string
}

// Bounds of what one node may tell.
const (
	maxRows   = 1 << 20
	maxLine   = 64 << 10
	maxName   = 1024 // of a queue or virtual host, in bytes; AMQP allows 255
	maxBroken = 1_000_000
)

// columnOf are the families that count a queue's messages and consumers.
func columnOf(name []byte) (int, bool) {
	switch string(name) {
	case "rabbitmq_detailed_queue_messages_ready":
		return ready, true
	case "rabbitmq_detailed_queue_messages_unacked":
		return unacknowledged, true
	case "rabbitmq_detailed_queue_messages":
		return messages, true
	case "rabbitmq_detailed_queue_consumers":
		return consumers, true
	}
	return 0, false
}

// parseReport reads the text that a node answers, line by line: it may be
// hundreds of megabytes. What it gives beside an error was read before that.
func parseReport(body io.Reader) (*report, error) {
	p := &report{gauges: map[string]float64{}}
	lines := bufio.NewReaderSize(body, maxLine)
	hint := 0
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			p.broken++
			err = skipLine(lines)
			line = nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return p, err
		}
		if broke := p.line(bytes.TrimRight(line, "\r\n"), &hint); broke != nil {
			return p, broke
		}
		if err != nil {
			return p, p.complete()
		}
	}
}

func skipLine(lines *bufio.Reader) error {
	for {
		if _, err := lines.ReadSlice('\n'); !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// complete tells an answer of RabbitMQ from a login page that is answered with
// 200: the plugin always says who it is.
func (p *report) complete() error {
	if p.version == "" && p.node == "" {
		return faultf(probe.Protocol, "the answer is not that of RabbitMQ's prometheus plugin: it does not say rabbitmq_build_info")
	}
	return nil
}

// line takes one line. Hint is the row after the last one: each family lists
// the queues in the same order, so that no table is needed to find them.
func (p *report) line(line []byte, hint *int) error {
	if len(line) == 0 || line[0] == '#' {
		*hint = 0
		return nil
	}
	name, labels, value, ok := cutSample(line)
	if !ok {
		return p.refuse()
	}
	if column, ok := columnOf(name); ok {
		return p.queue(column, labels, value, hint)
	}
	if v, ok := number(value); ok && labels == nil {
		p.gauge(name, v)
	}
	p.identify(name, labels)
	return nil
}

func (p *report) refuse() error {
	if p.broken++; p.broken > maxBroken {
		return faultf(probe.Protocol, "more than %d lines of the answer are no samples", maxBroken)
	}
	return nil
}

func (p *report) queue(column int, labels, value []byte, hint *int) error {
	v, ok := number(value)
	if !ok || v < 0 || len(labels) == 0 {
		return p.refuse()
	}
	at := p.find(column, labels, *hint)
	if at < 0 {
		if len(p.rows) == maxRows {
			return faultf(probe.Quota, "the node tells of more than %d queues", maxRows)
		}
		at = len(p.rows)
		p.rows = append(p.rows, row{labels: string(labels)})
		if p.index != nil {
			p.index[p.rows[at].labels] = at
		}
	}
	p.rows[at].count[column], p.rows[at].has[column] = v, true
	*hint = at + 1
	return nil
}

// find is the row with the labels; below zero if there is none.
func (p *report) find(column int, labels []byte, hint int) int {
	switch {
	case len(p.rows) == 0:
		p.first = column
		return -1
	case hint < len(p.rows) && p.rows[hint].labels == string(labels):
		return hint
	case p.index == nil && hint == len(p.rows) && column == p.first:
		return -1 // the first family is still being read: each line is a new queue
	}
	if p.index == nil {
		p.index = make(map[string]int, len(p.rows))
		for i := range p.rows {
			p.index[p.rows[i].labels] = i
		}
	}
	if at, ok := p.index[string(labels)]; ok {
		return at
	}
	return -1
}

// cutSample takes a line apart: NAME{LABELS} VALUE, or NAME VALUE. Before 3.11
// and some later versions RabbitMQ did not escape names of queues, so the end
// of the labels is looked for from the right: no value holds a brace.
func cutSample(line []byte) (name, labels, value []byte, ok bool) {
	open := bytes.IndexAny(line, "{ \t")
	if open <= 0 {
		return nil, nil, nil, false
	}
	name = line[:open]
	if line[open] != '{' {
		return name, nil, firstField(line[open:]), true
	}
	end := bytes.LastIndexByte(line, '}')
	if end < open {
		return nil, nil, nil, false
	}
	return name, line[open+1 : end], firstField(line[end+1:]), true
}

// firstField leaves the time stamp that may follow a value.
func firstField(b []byte) []byte {
	b = bytes.TrimLeft(b, " \t")
	if end := bytes.IndexAny(b, " \t"); end >= 0 {
		return b[:end]
	}
	return b
}

// number reads a value. Depths are whole numbers, which are read without the
// detour over a string.
func number(b []byte) (float64, bool) {
	if len(b) == 0 || len(b) > 32 {
		return 0, false
	}
	whole := uint64(0)
	for _, c := range b {
		if c < '0' || c > '9' || len(b) > 15 {
			v, err := strconv.ParseFloat(string(b), 64)
			return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
		}
		whole = whole*10 + uint64(c-'0')
	}
	return float64(whole), true
}
