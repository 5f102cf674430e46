package turn

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colliehq/collie/ircbot/spool"
	"github.com/colliehq/collie/ircbot/words"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func waiting(id int64, subject string, lane spool.Lane, kind words.Kind, change ...func(*spool.Line)) spool.Line {
	severity := "warning"
	if lane == spool.Critical {
		severity = "critical"
	}
	l := spool.Line{
		ID: id, Place: id, Channel: "#ops", Lane: lane, State: spool.Queued, Subject: subject, Accepted: noon,
		About: words.About{Kind: kind, Severity: severity, Name: "Down", Target: subject, Started: noon},
	}
	for _, f := range change {
		f(&l)
	}
	return l
}

func sent(l *spool.Line)      { l.State, l.Tries = spool.Sent, 1 }
func again(l *spool.Line)     { l.Tries = 1 }
func elsewhere(l *spool.Line) { l.Channel = "#other" }

func TestNext(t *testing.T) {
	joined := map[string]Channel{"#ops": {Joined: noon.Add(-time.Hour)}}
	back := map[string]Channel{"#ops": {Joined: noon.Add(time.Hour)}} // the lines waited for us
	for name, c := range map[string]struct {
		open     []spool.Line
		channels map[string]Channel
		within   int
		ids      []int64
		kind     words.Kind
	}{
		"nothing":                  {nil, joined, 8, nil, ""},
		"the oldest":               {[]spool.Line{waiting(1, "a", spool.Info, words.Firing), waiting(2, "b", spool.Info, words.Firing)}, joined, 8, []int64{1}, words.Firing},
		"the most urgent":          {[]spool.Line{waiting(1, "a", spool.Info, words.Firing), waiting(2, "b", spool.Critical, words.Firing)}, joined, 8, []int64{2}, words.Firing},
		"not where we are not":     {[]spool.Line{waiting(1, "a", spool.Info, words.Firing, elsewhere)}, joined, 8, nil, ""},
		"not before its beginning": {[]spool.Line{waiting(1, "a", spool.Info, words.Firing, sent), waiting(2, "a", spool.Info, words.Resolved)}, joined, 8, nil, ""},
		"both while we are here":   {[]spool.Line{waiting(1, "a", spool.Info, words.Firing), waiting(2, "a", spool.Info, words.Resolved)}, joined, 8, []int64{1}, words.Firing},
		"missed while away":        {[]spool.Line{waiting(1, "a", spool.Info, words.Firing), waiting(2, "a", spool.Info, words.Resolved)}, back, 8, []int64{1, 2}, words.Missed},
		"missed twice":             {[]spool.Line{waiting(1, "a", spool.Info, words.Firing), waiting(2, "a", spool.Info, words.Resolved), waiting(3, "a", spool.Info, words.Firing), waiting(4, "a", spool.Info, words.Resolved)}, back, 8, []int64{1, 2, 3, 4}, words.Missed},
		"missed, and fires again":  {[]spool.Line{waiting(1, "a", spool.Info, words.Firing), waiting(2, "a", spool.Info, words.Resolved), waiting(3, "a", spool.Info, words.Firing)}, back, 8, []int64{1, 2}, words.Missed},
		"perhaps said before":      {[]spool.Line{waiting(1, "a", spool.Info, words.Firing, again), waiting(2, "a", spool.Info, words.Resolved)}, back, 8, []int64{1}, words.Firing},
		"end of what was told":     {[]spool.Line{waiting(1, "a", spool.Info, words.Resolved)}, back, 8, []int64{1}, words.Resolved},
		"storm":                    {[]spool.Line{waiting(1, "a", spool.Info, words.Firing), waiting(2, "b", spool.Critical, words.Firing), waiting(3, "c", spool.Info, words.Firing), waiting(4, "d", spool.Critical, words.Firing)}, joined, 3, []int64{2, 4}, words.Firing},
	} {
		t.Run(name, func(t *testing.T) {
			choice, ok := (&Turn{Kinds: 8}).Next(c.open, c.channels, c.within, spool.Lanes()...)
			var ids []int64
			for _, l := range choice.Lines {
				ids = append(ids, l.ID)
			}
			if diff := cmp.Diff(c.ids, ids); diff != "" || ok != (c.ids != nil) || choice.About.Kind != c.kind {
				t.Errorf("%v %q %s", ok, choice.About.Kind, diff)
			}
		})
	}
}

// However alerts are folded, each is told of once, critical ones never among
// less, and a subject's lines in their order.
func TestStormAddsUp(t *testing.T) {
	var open []spool.Line
	for i := range int64(400) {
		l := waiting(i+1, fmt.Sprint("s", i%170), []spool.Lane{spool.Info, spool.Critical, spool.Repeat}[i%170%3], words.Firing)
		l.About.Name = fmt.Sprint("Kind", i%170%20)
		open = append(open, l)
	}
	turn, sum, last := Turn{Kinds: 8}, 0, map[string]int64{}
	for lines := 0; ; lines++ {
		c, ok := turn.Next(open, map[string]Channel{"#ops": {}}, 4, spool.Lanes()...)
		if !ok {
			if sum != 400 || lines > 20 {
				t.Errorf("%d lines tell of %d alerts", lines, sum)
			}
			return
		}
		sum += c.About.Alerts()
		said := map[int64]bool{}
		for _, l := range c.Lines {
			if l.ID < last[l.Subject] {
				t.Errorf("%s: %d after %d", l.Subject, l.ID, last[l.Subject])
			}
			last[l.Subject] = l.ID
			said[l.ID] = true
			if l.Lane != c.Lines[0].Lane {
				t.Errorf("lanes %s and %s in one line", l.Lane, c.Lines[0].Lane)
			}
		}
		var rest []spool.Line
		for _, l := range open {
			if !said[l.ID] {
				rest = append(rest, l)
			}
		}
		open = rest
	}
}
