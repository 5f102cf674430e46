package ircbot

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colliehq/collie/ircbot/link"
	"github.com/colliehq/collie/ircbot/wire"
)

// Whatever a server says, the session survives it, and says nothing that breaks
// a line.
func FuzzHear(f *testing.F) {
	f.Add(":irc 001 collie :hi\n:irc 005 collie BOT=B MONITOR=3 CASEMAPPING=ascii :are supported by this server\n:collie!c@h JOIN #ops\n:irc 376")
	f.Add(":irc 001 c\n:c!u@h KICK #ops c\n:irc 470 c #ops ##x :no\n:irc 396 c a@b\n:c CHGHOST\n:irc 731 c\nBATCH\nBATCH +\n@label=c1.1.0 BATCH +x labeled-response\nPONG")
	f.Add(":irc 001 collie\n:a!b@c PRIVMSG collie :\x01PING \x00\n:a!b@c PRIVMSG #ops :!help\n:x!y@z INVITE collie #ops\nFAIL X Y\n404\n403 c #ops")
	f.Fuzz(func(t *testing.T, text string) {
		log := slog.New(slog.DiscardHandler)
		conf := oneNetwork()[0]
		b := &Bot{log: log, now: time.Now, metrics: newMetrics(prometheus.NewRegistry(), time.Now)}
		n := &network{b: b, name: conf.Name, log: log, changed: make(chan struct{}, 1)}
		n.conf.Store(&conf)
		s := newSession(n, conf, "irc.test:6667")
		s.link = link.New(link.Config{Nick: "collie", User: "collie", Timeout: time.Second}, s.observe)
		for line := range strings.SplitSeq(text, "\n") {
			m, err := wire.Parse(line)
			if err != nil || !s.ears.wants(m) {
				continue
			}
			s.hear(t.Context(), m)
			s.keepRooms(time.Now())
			s.keepNick(time.Now().Add(time.Hour))
		}
		s.deaf()
		s.asked.wait()
		for _, m := range s.control {
			checkLine(t, m)
		}
		for _, r := range s.replies {
			checkLine(t, r.message())
		}
	})
}

func checkLine(t *testing.T, m wire.Message) {
	t.Helper()
	line := m.String()
	again, err := wire.Parse(line)
	if strings.ContainsAny(line, "\r\n\x00") || err != nil || len(again.Params) != len(m.Params) {
		t.Errorf("%q is written as %q", m.Params, line)
	}
}
