package collectors

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/collectors/loki"
)

// program is a random sequence of what happens to logs, and the simple model of
// it: every line that a file held is in Loki once, but for those that were
// truncated while nobody had read them, which may be missing.
type program struct {
	*world

	r     *rand.Rand
	seq   int
	lines map[string]bool // to whether it must arrive
	torn  map[string]string
	trace []string
}

func (p *program) say(format string, args ...any) {
	p.trace = append(p.trace, fmt.Sprintf(format, args...))
}

// line is unique. Some are refused by Loki, some are not UTF-8, some are long.
func (p *program) line() string {
	p.seq++
	s := fmt.Sprintf("line %06d ", p.seq)
	switch p.r.IntN(20) {
	case 0:
		s += "poison"
	case 1:
		s += strings.Repeat("x", p.r.IntN(900))
	}
	p.lines[s] = true
	return s
}

func (p *program) append(name string) {
	var b strings.Builder
	b.WriteString(p.torn[name])
	p.torn[name] = ""
	for range 1 + p.r.IntN(20) {
		b.WriteString(p.line() + "\n")
	}
	text := b.String()
	if p.r.IntN(4) == 0 { // the writer is in the middle of a line
		next := p.line() + "\n"
		at := 1 + p.r.IntN(len(next)-1)
		text += next[:at]
		p.torn[name] = next[at:]
	}
	p.write(name, text)
}

// whole ends the line that the writer is in.
func (p *program) whole(name string) {
	if p.torn[name] != "" {
		p.write(name, p.torn[name])
		p.torn[name] = ""
	}
}

// shift makes room for name.1. What is dropped at the end was read.
func (p *program) shift(name string) {
	const keep = 6
	for i := keep; i > 0; i-- {
		from := fmt.Sprintf("%s.%d", name, i)
		if !p.exists(from) {
			continue
		}
		if i == keep {
			p.settle()
			p.must(os.Remove(p.path(from)))
			continue
		}
		p.rename(from, fmt.Sprintf("%s.%d", name, i+1))
	}
}

func (p *program) exists(name string) bool {
	_, err := os.Stat(p.path(name))
	return err == nil
}

// settle lets the shipper read all there is, with a Loki that is well.
func (p *program) settle() {
	for _, name := range logs {
		p.whole(name)
	}
	answer, kill := p.answer, p.kill
	p.drain()
	p.answer, p.kill = answer, kill
}

func (p *program) rotate(name string) {
	p.whole(name)
	p.shift(name)
	p.rename(name, name+".1")
	p.append(name)
}

// copytruncate loses what is written between the copy and the truncation, unless
// it was read.
func (p *program) copytruncate(name string) {
	p.whole(name)
	p.shift(name)
	p.copy(name, name+".1")
	if p.r.IntN(2) == 0 {
		p.step()
	}
	if p.r.IntN(2) == 0 {
		late := p.line()
		p.lines[late] = false
		p.write(name, late+"\n")
		if p.r.IntN(2) == 0 {
			p.step()
		}
	}
	p.truncate(name)
}

// lokiFails decides what Loki answers from now on.
func (p *program) lokiFails() {
	mode := p.r.IntN(5)
	p.say("loki mode %d", mode)
	p.answer = func(body []byte) *loki.Answer {
		switch x := p.r.IntN(3); {
		case mode == 0 || x == 0:
			return nil
		case mode == 1:
			return &loki.Answer{Status: 429, Verdict: loki.Later, After: 3 * time.Second}
		case mode == 2:
			return &loki.Answer{Verdict: loki.Later, Cause: "connection refused"}
		case mode == 3: // it has all, and we do not learn of it
			p.push(body)
			return &loki.Answer{Verdict: loki.Later, Cause: "connection reset"}
		default:
			return &loki.Answer{Status: 413, Verdict: loki.TooLarge}
		}
	}
	if mode == 4 { // only large ones
		p.answer = func(body []byte) *loki.Answer {
			if len(body) > 600 {
				return &loki.Answer{Status: 413, Verdict: loki.TooLarge}
			}
			return nil
		}
	}
}

var logs = []string{"app.log", "other.log"}

func (p *program) run(steps int) {
	p.loki.Limits.Refuses = func(line string) string {
		if strings.HasSuffix(line, "poison") {
			return "no poison here"
		}
		return ""
	}
	for _, name := range logs {
		p.append(name)
	}
	for range steps {
		p.now = p.now.Add(time.Duration(p.r.IntN(3000)) * time.Millisecond)
		name := logs[p.r.IntN(len(logs))]
		p.act(name, p.r.IntN(16))
	}
	p.settle()
}

func (p *program) act(name string, what int) {
	p.say("act %d %s, line %d", what, name, p.seq)
	switch what {
	case 0, 1, 2, 3:
		p.append(name)
	case 4:
		p.rotate(name)
	case 5:
		p.copytruncate(name)
	case 6:
		p.lokiFails()
	case 7:
		p.answer = nil
	case 8: // killed while nothing happens
		p.stop()
	case 9: // killed in the middle
		p.kill = func(string) bool { return p.r.IntN(6) == 0 }
	case 10:
		p.kill = nil
	case 11: // truncated, and grown again; the inode is the same
		p.settle()
		p.truncate(name)
		p.append(name)
	case 12: // removed, and another file, often with its inode
		p.settle()
		p.must(os.Remove(p.path(name)))
		p.append(name)
	case 13: // rotated twice, unseen
		p.rotate(name)
		p.rotate(name)
	default:
		p.step()
	}
}

func (p *program) check() {
	p.t.Helper()
	got := p.copies()
	bad := 0
	for line, must := range p.lines {
		if n := got[line]; n > 1 || n == 0 && must {
			p.t.Errorf("%.30q arrived %d times", line, n)
			bad++
		}
		delete(got, line)
	}
	for line := range got {
		p.t.Errorf("%.60q was never written", line)
		bad++
	}
	if bad > 0 {
		p.t.Log(strings.Join(p.trace, "\n"))
	}
}

func TestRandomProgramsLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	programs := 60
	if n, err := strconv.Atoi(os.Getenv("COLLIE_PROGRAMS")); err == nil {
		programs = n // as many as one has time for
	}
	for seed := range programs {
		t.Run(fmt.Sprintf("seed%d", seed), func(t *testing.T) {
			w := newWorld(t)
			w.cfg.TornAfter = 1000 * time.Hour
			p := &program{world: w, r: rand.New(rand.NewPCG(uint64(seed), 7)), lines: map[string]bool{}, torn: map[string]string{}}
			p.run(60)
			p.check()
		})
	}
}
