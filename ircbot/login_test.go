package ircbot

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/colliehq/collie/internal/testkit/ircd"
)

// Without an account that the server takes, we join nothing, if it is required.
func TestSASL(t *testing.T) {
	accounts := map[string]string{"watcher": "right"}
	for name, c := range map[string]struct {
		options  ircd.Options
		password string
		optional bool
		joins    bool
		says     string // why not
	}{
		"taken":                        {options: ircd.Options{Caps: ircd.Modern(), Accounts: accounts}, password: "right", joins: true},
		"wrong password":               {options: ircd.Options{Caps: ircd.Modern(), Accounts: accounts}, password: "wrong", says: "refuses account watcher"},
		"not offered":                  {options: ircd.Options{Caps: ircd.Modern()}, password: "right", says: "does not offer SASL PLAIN"},
		"no capabilities at all":       {options: ircd.Options{}, password: "right", says: "does not offer SASL PLAIN"},
		"sasl refused":                 {options: ircd.Options{Caps: ircd.Modern(), Accounts: accounts, Nak: []string{"sasl"}}, password: "right", says: "does not offer SASL PLAIN"},
		"another capability refused":   {options: ircd.Options{Caps: ircd.Modern(), Accounts: accounts, Nak: []string{"echo-message"}}, password: "right", joins: true},
		"wrong password, not required": {options: ircd.Options{Caps: ircd.Modern(), Accounts: accounts}, password: "wrong", optional: true, joins: true},
		"not offered, not required":    {options: ircd.Options{Caps: ircd.Modern()}, password: "right", optional: true, joins: true},
	} {
		t.Run(name, func(t *testing.T) {
			file := secretFile(t, c.password)
			conf := oneNetwork(func(n *Network) { n.SASL = SASL{Account: "watcher", PasswordFile: file, Required: !c.optional} })
			inBubble(t, c.options, conf, func(r *rig) {
				r.after(10 * time.Second)
				if got := r.server.In("#ops", "collie"); got != c.joins {
					r.t.Errorf("in the channel: %v, want %v\n%s", got, c.joins, r.log)
				}
				if got := r.State()[0].Error; !strings.Contains(got, c.says) {
					r.t.Errorf("the error is %q, want %q", got, c.says)
				}
				if !c.joins && slices.ContainsFunc(r.server.Lines(), func(l string) bool { return strings.HasPrefix(l, "JOIN") }) {
					r.t.Errorf("wrote %q", r.server.Lines())
				}
				if strings.Contains(r.log.String(), c.password) {
					r.t.Error("the password is in the log")
				}
			})
		})
	}
}

func TestKeyedChannel(t *testing.T) {
	file := secretFile(t, "sesame")
	for name, c := range map[string]struct{ key, reason string }{"right key": {"sesame", ""}, "wrong key": {"other", "bad_key"}} {
		t.Run(name, func(t *testing.T) {
			conf := oneNetwork(func(n *Network) { n.Channels["#ops"] = Channel{Receivers: []string{"ops"}, KeyFile: file} })
			inBubble(t, ircd.Options{Keys: map[string]string{"#ops": c.key}}, conf, func(r *rig) {
				r.after(10 * time.Second)
				if got := r.server.In("#ops", "collie"); got != (c.reason == "") {
					r.t.Errorf("in the channel: %v", got)
				}
				if c.reason != "" && r.metric("join_failures_total", "reason", c.reason) == 0 {
					r.t.Errorf("no failure because of %s", c.reason)
				}
			})
		})
	}
}

func TestJoinReasons(t *testing.T) {
	for code, reason := range joinReasons {
		t.Run(reason, func(t *testing.T) {
			inBubble(t, ircd.Options{Refuse: map[string]string{"#ops": code}}, oneNetwork(), func(r *rig) {
				r.after(3 * time.Second)
				if got := r.metric("join_failures_total", "reason", reason); got != 1 {
					r.t.Errorf("%v failures because of %s", got, reason)
				}
				r.server.Set(func(o *ircd.Options) { o.Refuse = nil })
				r.after(time.Minute)
				if !r.server.In("#ops", "collie") {
					r.t.Error("not joined once it was possible")
				}
			})
		})
	}
}

// We say that we are a bot where the server knows such a thing, and ask services
// for our nick where we have an account.
func TestBotModeAndServices(t *testing.T) {
	file := secretFile(t, "right")
	o := ircd.Options{Caps: ircd.Modern(), Accounts: map[string]string{"watcher": "right"}, Features: []string{"BOT=B", "MONITOR=30"}, Taken: []string{"collie"}}
	conf := oneNetwork(func(n *Network) { n.SASL = SASL{Account: "watcher", PasswordFile: file, Required: true} })
	inBubble(t, o, conf, func(r *rig) {
		r.after(15 * time.Second)
		for _, want := range []string{"MODE collie_ +B", "MONITOR + collie", "PRIVMSG NickServ :REGAIN collie"} {
			if !slices.Contains(r.server.Lines(), want) {
				r.t.Errorf("%q was not written: %q", want, r.server.Lines())
			}
		}
		r.server.Set(func(o *ircd.Options) { o.Taken = nil })
		r.server.Raw("collie_", ":irc.test 731 collie_ :collie")
		r.after(3 * time.Second)
		if !r.server.In("#ops", "collie") {
			r.t.Error("the nick was not taken when it was free")
		}
	})
}

// Several servers are tried in turn, with a pause that is never below the floor.
func TestSeveralServers(t *testing.T) {
	conf := oneNetwork(func(n *Network) { n.Servers = []string{"a.test:6667", "b.test:6667"} })
	inBubble(t, ircd.Options{}, conf, func(r *rig) {
		r.after(10 * time.Second)
		r.server.Drop()
		r.after(19 * time.Second)
		if r.metric("reconnects_total") != 0 {
			r.t.Error("connected again before 20 s had passed")
		}
		r.after(10 * time.Second)
		if s := r.State()[0]; !s.Connected || s.Server != "b.test:6667" {
			r.t.Errorf("state %+v", s)
		}
	})
}
